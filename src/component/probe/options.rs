//! What the probe is told, in its own words.

use std::time::Duration;

use super::dial::duration;
use super::expand::{Forms, Lookup, expand};
use super::http::status_ranges;
use super::target::Target;

/// What is printed for `--help`.
pub const USAGE: &str = "\
usage: imgpack-probe [OPTIONS] URL...

Asks services whether they are well: http://HOST:PORT/PATH, grpc://HOST:PORT/SERVICE
(the standard health check, no TLS), tcp://HOST:PORT. No HOST is this machine. $NAME
and ${NAME:-default} in a URL come from the environment. Called as grpc_health_probe
it takes the flags of that program.

  --timeout TIME     for all of it (10s)
  --status NUMBERS   good answers of HTTP, like 200-299,404 (200-399)
  --body TEXT        text that the answer of HTTP has to hold
  --header 'N: V'    header of the request; may be said again

0: all are well; 1: one is not; 2: it cannot be asked like this.
";

/// What the probe is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// For everything that is asked.
    pub timeout: Duration,
    /// Status numbers that are good.
    pub status: Vec<(u16, u16)>,
    /// A text that a body has to hold.
    pub body: Option<String>,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// The addresses as they were written, for messages: what a variable holds may be a secret. With what they mean.
    pub targets: Vec<(String, Target)>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Ask.
    Check(Options),
    /// Print how it is used.
    Help,
}

/// Reads arguments, without the program's name.
pub fn parse(arguments: &[String], lookup: Lookup<'_>) -> Result<Wanted, String> {
    let mut options = Options {
        timeout: Duration::from_secs(10),
        status: vec![(200, 399)],
        body: None,
        headers: Vec::new(),
        targets: Vec::new(),
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            let target = expand(word, Forms { bare: true, only: &[] }, lookup)
                .map_err(|name| format!("{word}: the variable {name} is not set"))
                .and_then(|url| Target::parse(&url).map_err(|error| format!("{word}: {error}")))?;
            options.targets.push((word.clone(), target));
            continue;
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        if ["-h", "--help"].contains(&name) {
            return Ok(Wanted::Help);
        }
        if !["--timeout", "--status", "--body", "--header"].contains(&name) {
            return Err(format!("{name} is not known: see --help"));
        }
        let value = value.or_else(|| words.next().cloned()).ok_or_else(|| format!("{name} wants a value"))?;
        let wrong = |wanted: &str| format!("{name} {value}: not {wanted}");
        match name {
            "--timeout" => {
                options.timeout = duration(&value).ok_or_else(|| wrong("a time like 2s or 500ms"))?;
            }
            "--status" => {
                options.status = status_ranges(&value).ok_or_else(|| wrong("numbers like 200-299,404"))?;
            }
            "--body" => options.body = Some(value),
            _ => {
                let header =
                    value.split_once(':').filter(|(name, _)| !name.is_empty() && !name.contains(' '));
                let header = header.filter(|_| !value.contains(char::is_control));
                let (name, value) = header.ok_or_else(|| "--header: not like 'Name: value'".to_owned())?;
                options.headers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }
    if options.targets.is_empty() {
        return Err("no URL: see --help".to_owned());
    }
    Ok(Wanted::Check(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Wanted, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        parse(&words, &|name| (name == "PORT").then(|| "8000".to_owned()))
    }

    #[test]
    fn arguments_are_read() {
        let Ok(Wanted::Check(options)) = read(&[
            "--timeout=2s",
            "--status",
            "200",
            "--body",
            "a=b",
            "--header",
            "X: 1 ",
            "http://:$PORT/x",
            "tcp://:${P:-1}",
        ]) else {
            panic!("not read")
        };
        assert_eq!(options.timeout, Duration::from_secs(2));
        assert_eq!((options.status, options.body.as_deref()), (vec![(200, 200)], Some("a=b")));
        assert_eq!(options.headers, [("X".to_owned(), "1".to_owned())]);
        assert_eq!(options.targets.len(), 2);
    }

    #[test]
    fn mistakes_are_told() {
        for (words, said) in [
            (&[][..], "no URL: see --help"),
            (&["--timeout"], "--timeout wants a value"),
            (&["--timeout", "2"], "--timeout 2: not a time like 2s or 500ms"),
            (&["--status=2xx"], "--status=2xx"),
            (&["--header", "X"], "--header: not like 'Name: value'"),
            (&["--fast"], "--fast is not known: see --help"),
            (&["http://:$NO/"], "http://:$NO/: the variable NO is not set"),
            (&["ftp://x"], "ftp://x: an address begins with http://, grpc:// or tcp://"),
        ] {
            let error = read(words).unwrap_err();
            assert!(error == said || error.starts_with("--status 2xx: not"), "{error}");
        }
        assert_eq!(read(&["--help"]), Ok(Wanted::Help));
    }
}
