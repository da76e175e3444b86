/// What a plain scalar is in the core schema of YAML 1.2 (yaml.org/spec/1.2.2, 10.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::spec) enum Plain {
    Null,
    Bool(bool),
    /// A whole number in any of the schema's notations.
    Int,
    Float,
    Text,
}

impl Plain {
    pub(in crate::spec) fn describe(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int | Self::Float => "a number",
            Self::Text => "text",
        }
    }
}

/// Resolves a plain scalar.
pub(in crate::spec) fn classify(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Plain::Float,
        _ => {}
    }
    let radix = |prefix, digit: fn(char) -> bool| {
        text.strip_prefix(prefix).is_some_and(|rest: &str| !rest.is_empty() && rest.chars().all(digit))
    };
    if radix("0o", |c| c.is_digit(8)) || radix("0x", |c| c.is_ascii_hexdigit()) {
        return Plain::Int;
    }
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Plain::Int;
    }
    if matches!(number, ".inf" | ".Inf" | ".INF") || is_float(number) { Plain::Float } else { Plain::Text }
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema() {
        for (text, expected) in [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("null", Plain::Null),
            ("true", Plain::Bool(true)),
            ("FALSE", Plain::Bool(false)),
            ("yes", Plain::Text),
            ("on", Plain::Text),
            ("0644", Plain::Int),
            ("010", Plain::Int),
            ("-7", Plain::Int),
            ("0o17", Plain::Int),
            ("0xFf", Plain::Int),
            ("0x", Plain::Text),
            ("3.10", Plain::Float),
            ("1.", Plain::Float),
            (".5", Plain::Float),
            ("1e3", Plain::Float),
            ("-.inf", Plain::Float),
            (".", Plain::Text),
            ("1e", Plain::Text),
            ("e3", Plain::Text),
            ("1.2.3", Plain::Text),
            ("1001:1001", Plain::Text),
            ("10s", Plain::Text),
            ("2024-01-01", Plain::Text),
            ("-", Plain::Text),
        ] {
            assert_eq!(classify(text), expected, "{text}");
        }
    }
}
