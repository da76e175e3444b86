//! What the configuration of this host's apt says of mirrors and of a proxy (sources.list(5), apt.conf(5)). Texts come in;
//! its keys are not asked.

use super::paragraph::paragraphs;

/// Where apt finds suites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptSource {
    /// Addresses of archives, `http://` or `https://`, without a slash at their ends.
    pub addresses: Vec<String>,
    /// `bookworm`, `bookworm-security`.
    pub suites: Vec<String>,
}

/// The sources of binary packages in a file of the one-line style (`sources.list`, `*.list`). Lines that are none are passed
/// over: apt complains of them.
pub fn list_sources(text: &str) -> Vec<AptSource> {
    let source = |line: &str| {
        let rest = line.split('#').next()?.trim().strip_prefix("deb")?;
        let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace();
        let addresses = vec![address(words.next()?)?];
        Some(AptSource { addresses, suites: vec![words.next()?.to_owned()] })
    };
    text.lines().filter_map(source).collect()
}

/// The same of a file in the deb822 style (`*.sources`).
pub fn deb822_sources(text: &str) -> Vec<AptSource> {
    let source = |paragraph: &super::Paragraph| {
        let words = |name: &str| paragraph.get(name).unwrap_or_default().split_whitespace();
        let enabled = paragraph.get("Enabled").is_none_or(|text| !text.eq_ignore_ascii_case("no"));
        if !enabled || !words("Types").any(|kind| kind == "deb") {
            return None;
        }
        let addresses: Vec<String> = words("URIs").filter_map(address).collect();
        let suites = words("Suites").map(str::to_owned).collect();
        (!addresses.is_empty()).then_some(AptSource { addresses, suites })
    };
    paragraphs(text).unwrap_or_default().iter().filter_map(source).collect()
}

/// An address that can be asked without apt, and without its credentials.
fn address(word: &str) -> Option<String> {
    let (scheme, rest) = word.split_once("://")?;
    let host = rest.split('/').next()?;
    let good = matches!(scheme, "http" | "https") && !host.contains('@') && !word.contains(['?', '#']);
    good.then(|| word.trim_end_matches('/').to_owned())
}

/// `Acquire::http::Proxy`, as its files say it one after the other: an address, or nothing.
pub fn http_proxy<'t>(files: impl IntoIterator<Item = &'t str>) -> Option<String> {
    let mut found = None;
    for text in files {
        if let Some(value) = setting(text, "acquire::http::proxy") {
            found = Some(value);
        }
    }
    found.filter(|value| value.starts_with("http://") || value.starts_with("https://"))
}

/// The last value of a setting, whose name is in lower case.
fn setting(text: &str, wanted: &str) -> Option<String> {
    let mut found = None;
    // Names of the braces around, and of what stands before the value.
    let mut around: Vec<String> = Vec::new();
    let mut name = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        let line = |text: &'_ str| text.find('\n').unwrap_or(text.len());
        rest = match first {
            '#' => &rest[line(rest)..],
            '/' if after.starts_with('/') => &rest[line(rest)..],
            '/' if after.starts_with('*') => rest.find("*/").map_or("", |end| &rest[end + 2..]),
            '"' => {
                let end = after.find('"').unwrap_or(after.len());
                if [&around[..], &[name.clone()]].concat().join("::") == wanted {
                    found = Some(after[..end].to_owned());
                }
                after.get(end + 1..).unwrap_or("")
            }
            '{' => {
                around.push(std::mem::take(&mut name));
                after
            }
            '}' => {
                around.pop();
                after
            }
            ';' => {
                name.clear();
                after
            }
            first if first.is_whitespace() => after,
            _ => {
                let stop = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"' | '#');
                let end = rest.find(stop).unwrap_or(rest.len()).max(first.len_utf8());
                name = rest[..end].to_ascii_lowercase();
                &rest[end..]
            }
        };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sources: Vec<AptSource>) -> Vec<String> {
        let line = |source: AptSource| format!("{} {}", source.addresses.join(","), source.suites.join(","));
        sources.into_iter().map(line).collect()
    }

    #[test]
    fn sources_in_both_styles() {
        let text = "# deb http://no.example/debian bookworm main\ndeb http://a.example/debian/ bookworm main contrib # x\n\
            deb [arch=amd64 signed-by=/k] https://b.example/debian bookworm-updates main\n\
            deb-src http://c.example/debian bookworm main\ndeb\tcdrom:[x]/ bookworm main\n\
            deb http://me:pw@d.example/debian bookworm main\ndeb http://e.example/debian\ndebian\n";
        assert_eq!(
            shown(list_sources(text)),
            ["http://a.example/debian bookworm", "https://b.example/debian bookworm-updates"]
        );
        let text = "Types: deb deb-src\nURIs: http://a.example/debian http://b.example/debian/\n mirror+file:/x\n\
            Suites: trixie trixie-updates\nComponents: main\n\nTypes: deb-src\nURIs: http://c.example\nSuites: x\n\n\
            Enabled: no\nTypes: deb\nURIs: http://c.example\nSuites: x\n";
        assert_eq!(
            shown(deb822_sources(text)),
            ["http://a.example/debian,http://b.example/debian trixie,trixie-updates"]
        );
        assert!(deb822_sources("nonsense").is_empty());
    }

    #[test]
    fn the_proxy_of_apt() {
        for (text, expected) in [
            ("Acquire::http::Proxy \"http://p.example:3128\";", Some("http://p.example:3128")),
            ("Acquire { http { Proxy \"http://p.example\"; }; };", Some("http://p.example")),
            ("acquire::HTTP { // \"x\"\n proxy \"http://p.example\"; }", Some("http://p.example")),
            ("/* Acquire::http::Proxy \"http://x\"; */ # \"\nAcquire::Retries \"3\";", None),
            ("Acquire::http::Proxy \"DIRECT\";", None),
            ("Acquire::http::Proxy::deb.debian.org \"http://p.example\";", None),
            ("Acquire::https::Proxy \"http://p.example\";", None),
            ("Acquire::http::Proxy \"http://a\"; Acquire::http::Proxy \"http://b\";", Some("http://b")),
            ("Acquire::http::Proxy \"http://a", Some("http://a")),
            ("/", None),
            ("}}{\"", None),
        ] {
            assert_eq!(http_proxy([text]).as_deref(), expected, "{text}");
        }
    }
}
