//! Variables in texts: `${NAME}`, `${NAME:-text}`, `${NAME-text}`, and where it is asked for `$NAME`.
//!
//! `$${` is a plain `${`. What is no variable stays as it is: `${a.b}`, `$1`, a single `$`. A variable that is not set and
//! has no text to stand for it is an error: an empty word in a command or a configuration is found too late.

/// Where variables come from: the value, `None` where there is none, or why it cannot be used.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Which variables are replaced.
#[derive(Debug, Clone, Copy)]
pub struct Forms<'a> {
    /// `$NAME` too, without braces.
    pub bare: bool,
    /// No others than these; empty means all.
    pub only: &'a [String],
}

/// The text with every variable replaced; else the name of the first that is not set.
pub fn expand(text: &str, forms: Forms<'_>, lookup: Lookup<'_>) -> Result<String, String> {
    let wanted = |name: &str| forms.only.is_empty() || forms.only.iter().any(|only| only == name);
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        made.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$${") {
            made.push_str("${");
            rest = after;
            continue;
        }
        let braced = rest.strip_prefix("${").and_then(|inside| braced(inside));
        let found = braced.or_else(|| forms.bare.then(|| bare(&rest[1..])).flatten());
        match found {
            Some((variable, after)) if wanted(variable.name) => {
                made.push_str(&variable.value(lookup)?);
                rest = after;
            }
            _ => {
                made.push('$');
                rest = &rest[1..];
            }
        }
    }
    made.push_str(rest);
    Ok(made)
}

struct Variable<'t> {
    name: &'t str,
    /// The text for one that is not set, and whether it is also for one that is empty.
    default: Option<(&'t str, bool)>,
}

impl Variable<'_> {
    fn value(&self, lookup: Lookup<'_>) -> Result<String, String> {
        match (lookup(self.name), self.default) {
            (Some(value), Some((_, false)) | None) => Ok(value),
            (Some(value), Some((_, true))) if !value.is_empty() => Ok(value),
            (_, Some((text, _))) => Ok(text.to_owned()),
            (None, None) => Err(self.name.to_owned()),
        }
    }
}

/// The variable behind `${`, and what follows its `}`.
fn braced(inside: &str) -> Option<(Variable<'_>, &str)> {
    let (inside, after) = inside.split_once('}')?;
    let (name, rest) = inside.split_at(name_length(inside)?);
    let default = match rest {
        "" => None,
        _ => match rest.strip_prefix(":-") {
            Some(text) => Some((text, true)),
            None => Some((rest.strip_prefix('-')?, false)),
        },
    };
    Some((Variable { name, default }, after))
}

fn bare(text: &str) -> Option<(Variable<'_>, &str)> {
    let (name, after) = text.split_at(name_length(text)?);
    Some((Variable { name, default: None }, after))
}

/// How long the name is that a text begins with.
fn name_length(text: &str) -> Option<usize> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = text.bytes().take_while(|byte| is_name(byte)).count();
    (length > 0 && !text.as_bytes()[0].is_ascii_digit()).then_some(length)
}

/// The values of this process's environment that are text.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            "LOOP" => Some("${A}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced() {
        for (text, bare, only, made) in [
            ("x${A}y", false, "", "x1y"),
            ("$A", false, "", "$A"),
            ("$A/$A_/", true, "", "missing A_"),
            ("$A/${A}$", true, "", "1/1$"),
            ("${NO:-x y}${NO-z}", false, "", "x yz"),
            ("${EMPTY:-x}${EMPTY-x}${EMPTY}", false, "", "x"),
            ("${A:-x}${A-x}", false, "", "11"),
            ("${NO:-}", false, "", ""),
            ("${NO}", false, "", "missing NO"),
            ("$NO", true, "", "missing NO"),
            ("$${A} $$A $$", false, "", "${A} $$A $$"),
            ("${a.b} ${A ${1} ${} $1 ${A:x}", true, "", "${a.b} ${A ${1} ${} $1 ${A:x}"),
            ("${LOOP}", false, "", "${A}"),
            ("${NO} ${A} $host", true, "A", "${NO} 1 $host"),
            ("ü${A}ü", false, "", "ü1ü"),
        ] {
            let only: Vec<String> =
                only.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            let found = expand(text, Forms { bare, only: &only }, &lookup);
            assert_eq!(found.unwrap_or_else(|name| format!("missing {name}")), made, "{text}");
        }
    }
}
