use std::fmt;

use super::problem::did_you_mean;
use super::template::{Part, TargetValue, Template, Value};

/// A text with value expressions, before `args` are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::spec) struct Expression(pub(in crate::spec) Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::spec) enum Piece {
    Text(String),
    /// `${arg.NAME}`
    Arg(String),
    Value(Value),
}

/// Something wrong in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::spec) struct Mistake {
    /// The expression as written.
    pub(in crate::spec) text: String,
    pub(in crate::spec) message: String,
    pub(in crate::spec) hint: Option<String>,
}

const KNOWN: [&str; 13] = [
    "arg.NAME",
    "target.os",
    "target.arch",
    "target.uname",
    "target.deb",
    "target.rust",
    "base.NAME",
    "git:tag",
    "git:sha",
    "git:branch",
    "env:NAME",
    "version",
    "args.NAME",
];

impl Expression {
    /// Reads `text`; every mistake of it.
    pub(in crate::spec) fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let mut pieces = Vec::new();
        let mut mistakes = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            literal.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$${") {
                literal.push_str("${");
                rest = after;
            } else if let Some(after) = rest.strip_prefix("${") {
                let Some((inner, after)) = after.split_once('}') else {
                    mistakes.push(Mistake {
                        text: rest.chars().take(20).collect(),
                        message: "`${` without a `}`".to_owned(),
                        hint: Some("`$${` is a plain `${`".to_owned()),
                    });
                    break;
                };
                match piece(inner) {
                    Ok(piece) => {
                        if !literal.is_empty() {
                            pieces.push(Piece::Text(std::mem::take(&mut literal)));
                        }
                        pieces.push(piece);
                    }
                    Err(mistake) => mistakes.push(mistake),
                }
                rest = after;
            } else {
                literal.push('$');
                rest = &rest[1..];
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        if mistakes.is_empty() { Ok(Self(pieces)) } else { Err(mistakes) }
    }

    /// The text, where nothing is to be put in.
    pub(in crate::spec) fn constant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// With `args` put in; the names of those that are not known.
    pub(in crate::spec) fn put_args<'a>(
        &self,
        arg: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Template, Vec<String>> {
        let mut parts: Vec<Part> = Vec::new();
        let mut unknown = Vec::new();
        for piece in &self.0 {
            let text = match piece {
                Piece::Value(value) => {
                    parts.push(Part::Value(value.clone()));
                    continue;
                }
                Piece::Text(text) => text,
                Piece::Arg(name) => {
                    let Some(text) = arg(name) else {
                        unknown.push(name.clone());
                        continue;
                    };
                    text
                }
            };
            match parts.last_mut() {
                Some(Part::Text(last)) => last.push_str(text),
                _ if text.is_empty() => {}
                _ => parts.push(Part::Text(text.to_owned())),
            }
        }
        if unknown.is_empty() { Ok(Template(parts)) } else { Err(unknown) }
    }
}

/// Reads what stands between the braces.
fn piece(inner: &str) -> Result<Piece, Mistake> {
    let mistake =
        |message: String, hint: Option<String>| Mistake { text: format!("${{{inner}}}"), message, hint };
    let is_variable = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if let Some(name) = inner.strip_prefix("arg.").filter(|name| is_variable(name)) {
        return Ok(Piece::Arg(name.to_owned()));
    }
    if let Some(name) = inner.strip_prefix("base.").filter(|name| is_variable(name)) {
        return Ok(Piece::Value(Value::Base(name.to_owned())));
    }
    if let Some(name) = inner.strip_prefix("env:").filter(|name| is_variable(name)) {
        if looks_secret(name) {
            return Err(mistake(
                format!("`${{env:{name}}}` looks like a secret, and what is put in can be read by everyone"),
                Some("give secrets to the container when it is started".to_owned()),
            ));
        }
        return Ok(Piece::Value(Value::Env(name.to_owned())));
    }
    let value = match inner {
        "target.os" => Value::Target(TargetValue::Os),
        "target.arch" => Value::Target(TargetValue::Arch),
        "target.uname" => Value::Target(TargetValue::Uname),
        "target.deb" => Value::Target(TargetValue::Deb),
        "target.rust" => Value::Target(TargetValue::Rust),
        "git:tag" => Value::GitTag,
        "git:sha" => Value::GitSha,
        "git:branch" => Value::GitBranch,
        "version" => Value::Version,
        _ => {
            // As shells, and imgpack's own `init` and `probe`, write a variable with a default.
            let name = inner.split_once(":-").map_or(inner, |(name, _)| name);
            let hint = if is_variable(name) {
                format!(
                    "`${{arg.{name}}}` is an argument, `${{env:{name}}}` a variable, `$${{{inner}}}` plain text"
                )
            } else if let Some(name) = inner.strip_prefix("args.") {
                format!("write `${{arg.{name}}}`")
            } else {
                did_you_mean(inner, KNOWN).unwrap_or_else(|| {
                    "values are arg.NAME, target.os|arch|uname|deb|rust, base.NAME, git:tag|sha|branch, env:NAME, version"
                        .to_owned()
                })
            };
            return Err(mistake(format!("`${{{inner}}}` is not a value"), Some(hint)));
        }
    };
    Ok(Piece::Value(value))
}

/// Whether a variable's name says that it holds a secret.
fn looks_secret(name: &str) -> bool {
    const ENDS: [&str; 11] = [
        "TOKEN",
        "TOKENS",
        "SECRET",
        "SECRETS",
        "PASSWORD",
        "PASSWORDS",
        "PASSWD",
        "PASSPHRASE",
        "CREDENTIAL",
        "CREDENTIALS",
        "APIKEY",
    ];
    name.to_ascii_uppercase()
        .split('_')
        .any(|word| matches!(word, "KEY" | "KEYS" | "PAT") || ENDS.iter().any(|end| word.ends_with(end)))
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(&text.replace("${", "$${")),
            Piece::Arg(name) => write!(f, "${{arg.{name}}}"),
            Piece::Value(value) => fmt::Display::fmt(value, f),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_shows() {
        for text in [
            "",
            "plain $ text",
            "${arg.A}b${target.arch}",
            "/opt:${base.PATH}",
            "${git:tag}-${git:sha}-${git:branch}-${env:CI_JOB}-${version}",
            "$${HOME}",
            "${target.os}${target.uname}${target.deb}${target.rust}",
        ] {
            assert_eq!(Expression::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Expression::parse("$${x}$").unwrap().constant(), Some("${x}$"));
    }

    #[test]
    fn refuses_with_a_way_out() {
        for (text, message, hint) in [
            ("${HOME}", "`${HOME}` is not a value", "`$${HOME}` plain text"),
            ("${DB:-db}", "`${DB:-db}` is not a value", "`$${DB:-db}` plain text"),
            ("${args.A}", "not a value", "write `${arg.A}`"),
            ("${target.arhc}", "not a value", "did you mean `target.arch`?"),
            ("${git.tag}", "not a value", "did you mean `git:tag`?"),
            ("${}", "`${}` is not a value", "values are"),
            ("a ${b", "`${` without a `}`", "`$${`"),
            ("${env:GITHUB_TOKEN}", "looks like a secret", "when it is started"),
            ("${env:DB_PASSWORD}", "looks like a secret", ""),
            ("${env:api_key}", "looks like a secret", ""),
            ("${env:DBPASSWORD}", "looks like a secret", ""),
            ("${env:MY_SECRETS}", "looks like a secret", ""),
        ] {
            let mistakes = Expression::parse(text).expect_err(text);
            assert!(mistakes[0].message.contains(message), "{mistakes:?}");
            assert!(mistakes[0].hint.as_deref().unwrap_or_default().contains(hint), "{mistakes:?}");
        }
        for text in ["${env:MONKEYS_VERSION}", "${env:PWD}", "${env:TOKENIZER}", "${env:KEYBOARD}"] {
            assert!(Expression::parse(text).is_ok(), "{text}");
        }
        assert_eq!(Expression::parse("${a} ${b}").expect_err("two").len(), 2);
    }

    #[test]
    fn puts_arguments_in() {
        let expression = Expression::parse("a${arg.X}b${arg.Y}${version}").unwrap();
        let template = expression.put_args(|name| (name == "X").then_some("1").or(Some(""))).unwrap();
        assert_eq!(template, Template(vec![Part::Text("a1b".into()), Part::Value(Value::Version)]));
        assert_eq!(expression.put_args(|_| None), Err(vec!["X".to_owned(), "Y".to_owned()]));
    }
}
