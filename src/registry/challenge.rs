/// How a registry wants to be told who asks (RFC 9110, 11.6.1; distribution's token authentication).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with every request.
    Basic,
    /// A token from `realm`.
    Bearer {
        /// Where tokens are given.
        realm: String,
        /// For whom the token is.
        service: Option<String>,
    },
}

impl Challenge {
    /// The challenge of one or several `WWW-Authenticate` headers; a token is preferred to a password.
    pub(super) fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut basic = None;
        for header in headers {
            for (scheme, parameters) in schemes(header) {
                let value = |name: &str| {
                    parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone())
                };
                if scheme.eq_ignore_ascii_case("bearer") {
                    if let Some(realm) = value("realm").filter(|realm| !realm.is_empty()) {
                        return Some(Self::Bearer { realm, service: value("service") });
                    }
                } else if scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        basic
    }
}

type Scheme = (String, Vec<(String, String)>);

/// Splits `Bearer a="b,c",d=e, Basic realm="x"` into schemes with their parameters.
fn schemes(header: &str) -> Vec<Scheme> {
    let mut found: Vec<Scheme> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let word_ends = rest.find([' ', '=', ',', '\t']).unwrap_or(rest.len());
        let word = rest[..word_ends].to_owned();
        let after = rest[word_ends..].trim_start_matches([' ', '\t']);
        match (after.strip_prefix('='), found.last_mut()) {
            (Some(value), Some((_, parameters))) if !word.is_empty() => {
                let (value, after) = take_value(value.trim_start_matches([' ', '\t']));
                parameters.push((word, value));
                rest = after;
            }
            // A parameter before any scheme: nothing that can be understood follows.
            (Some(_), _) => return found,
            (None, _) => {
                if !word.is_empty() {
                    found.push((word, Vec::new()));
                }
                rest = after;
            }
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    found
}

/// A token or a quoted string at the beginning of `text`, and what follows it.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (index, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[index + 1..]),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_registries_send() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) })
        };
        for (headers, expected) in [
            (
                vec![r#"Bearer realm="https://a/t",service="reg",scope="repository:x:pull,push""#],
                bearer("https://a/t", Some("reg")),
            ),
            (vec![r#"bearer service=reg , realm="https://a/\"t""#], bearer("https://a/\"t", Some("reg"))),
            (vec![r#"Basic realm="x", Bearer realm="https://a/t""#], bearer("https://a/t", None)),
            (vec![r#"Basic realm="a, Bearer realm=b""#], Some(Challenge::Basic)),
            (vec!["Basic realm=\"x\"", "Bearer realm=https://a/t"], bearer("https://a/t", None)),
            (vec!["BASIC"], Some(Challenge::Basic)),
            (vec!["Negotiate", "Digest realm=\"x\""], None),
            (vec!["Bearer"], None),
            (vec!["Bearer realm=\"\""], None),
            (vec!["realm=\"x\""], None),
            (vec!["=,=,\"", ", ,", "Bearer realm=\"unclosed"], bearer("unclosed", None)),
            (vec![""], None),
            (vec![], None),
        ] {
            assert_eq!(Challenge::parse(headers.iter().copied()), expected, "{headers:?}");
        }
    }
}
