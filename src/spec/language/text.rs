use std::time::Duration;

use crate::model::{Identity, Platform};
use crate::spec::problem::did_you_mean;
use crate::spec::shape::{FromText, Origin, Wrong};

/// The name of a service, an image, a variant, a port. Only checked.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Name;

/// What is wrong with `text` as a name.
pub(super) fn check_name(text: &str) -> Result<(), Wrong> {
    if Identity::is_name(text) {
        return Ok(());
    }
    Err(Wrong::new(format!("`{text}` is not a name"))
        .hint("names are letters, digits, `.`, `_` and `-`, and begin with a letter, a digit or `_`"))
}

impl FromText for Name {
    const WANTED: &'static str = "a name";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        check_name(text).map(|()| Self)
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]*$" })
    }
}

impl FromText for Platform {
    const WANTED: &'static str = "a platform";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        text.parse().map_err(|error: crate::model::PlatformError| {
            let linux = format!("linux/{text}");
            let known = Platform::ALL.map(|platform| platform.to_string());
            let hint = match text {
                "x86_64" | "x86-64" | "linux/x86_64" => Some("did you mean `linux/amd64`?".to_owned()),
                "aarch64" | "linux/aarch64" => Some("did you mean `linux/arm64`?".to_owned()),
                _ if known.contains(&linux) => Some(format!("did you mean `{linux}`?")),
                _ => did_you_mean(text, known.iter().map(String::as_str)),
            };
            Wrong::new(error.to_string()).maybe_hint(hint)
        })
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "enum": Platform::ALL.map(|platform| platform.to_string()) })
    }
}

/// A length of time: `10s`, `1m30s`, `500ms`; never nothing.
impl FromText for Duration {
    const WANTED: &'static str = "a duration like 10s, 1m30s or 500ms";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let wrong =
            || Wrong::new(format!("`{text}` is not a duration")).hint("write it like 10s, 1m30s or 500ms");
        let mut rest = text;
        let mut total: u64 = 0;
        let mut last = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let unit = match &rest[..letters] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return Err(wrong()),
            };
            if unit >= last {
                return Err(wrong());
            }
            last = unit;
            rest = &rest[letters..];
            total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        }
        // Engines count nanoseconds in a signed 64-bit number.
        if total == 0 || total > u64::try_from(i64::MAX).unwrap_or(u64::MAX) / 1_000_000 {
            return Err(wrong());
        }
        Ok(Self::from_millis(total))
    }
    fn meant_by_number(text: &str) -> Option<String> {
        Some(format!("{text}s, if seconds are meant"))
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$" })
    }
}

/// Permission bits in octal.
#[derive(Debug, Clone, Copy)]
pub(in crate::spec) struct Mode(pub(in crate::spec) u32);

impl FromText for Mode {
    const WANTED: &'static str = "permission bits in quotes, like \"0644\"";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        u32::from_str_radix(text, 8).ok().filter(|_| octal).map(Self).ok_or_else(|| {
            Wrong::new(format!("`{text}` is not a mode"))
                .hint("three or four octal digits, like \"0644\" or \"0755\"")
        })
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "pattern": "^[0-7]{3,4}$" })
    }
}

/// The name of a variable of the environment.
#[derive(Debug, Clone)]
pub(in crate::spec) struct VariableName(pub(in crate::spec) String);

impl FromText for VariableName {
    const WANTED: &'static str = "the name of a variable";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let good = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(Wrong::new(format!("`{text}` is not the name of a variable")))
        }
    }
}

/// The signal that stops a container.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Signal(pub(in crate::spec) String);

const SIGNALS: [&str; 31] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGKILL",
    "SIGPIPE",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

impl FromText for Signal {
    const WANTED: &'static str = "a signal like SIGTERM";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let real_time = |prefix: &str| {
            text == prefix.trim_end_matches(['+', '-'])
                || text.strip_prefix(prefix).is_some_and(|n| n.parse::<u8>().is_ok_and(|n| n <= 30))
        };
        let number = text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
        if SIGNALS.contains(&text) || real_time("SIGRTMIN+") || real_time("SIGRTMAX-") || number {
            return Ok(Self(text.to_owned()));
        }
        let hint = did_you_mean(&format!("SIG{}", text.trim_start_matches("SIG")), SIGNALS);
        Err(Wrong::new(format!("`{text}` is not a signal")).maybe_hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::sources::{Sources, Span};

    fn read<T: FromText>(text: &str) -> Option<T> {
        let sources = Sources::default();
        T::from_text(text, &Origin::new(Span::begin(0), &sources)).ok()
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1h1m1s1ms", Some(3_661_001)),
            ("0s", None),
            ("10", None),
            ("", None),
            ("s", None),
            ("1s1m", None),
            ("1s1s", None),
            ("1.5s", None),
            ("-1s", None),
            ("10 s", None),
            ("1d", None),
            ("99999999999999999999s", None),
            ("18446744073709551615s", None),
            ("9999999999999999ms", None),
        ] {
            assert_eq!(read::<Duration>(text), milliseconds.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn modes_and_signals() {
        for (text, mode) in
            [("0644", Some(0o644)), ("755", Some(0o755)), ("7777", Some(0o7777)), ("4755", Some(0o4755))]
        {
            assert_eq!(read::<Mode>(text).map(|mode| mode.0), mode);
        }
        for text in ["", "64", "00644", "0o644", "0888", "u+x", "+644", "-1"] {
            assert!(read::<Mode>(text).is_none(), "{text}");
        }
        for (text, good) in [
            ("SIGTERM", true),
            ("15", true),
            ("SIGRTMIN+3", true),
            ("SIGRTMIN", true),
            ("TERM", false),
            ("SIGRTMIN+99", false),
            ("0", false),
            ("65", false),
            ("sigterm", false),
        ] {
            assert_eq!(read::<Signal>(text).is_some(), good, "{text}");
        }
    }
}
