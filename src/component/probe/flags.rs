//! The flags of grpc_health_probe, which manifests and compose files have been written with for years.

use std::time::Duration;

use super::dial::{Address, duration};

/// What is printed for `-h`, where its flags are the ones that are known here.
pub const USAGE: &str = "\
usage: grpc_health_probe -addr HOST:PORT [FLAGS]

  -addr HOST:PORT         the server
  -service NAME           service; the server as a whole where there is none
  -connect-timeout TIME   for the connection (1s)
  -rpc-timeout TIME       for the call (1s)
  -rpc-header 'N: V'      header of the call; may be said again
  -user-agent TEXT        name that the call gives itself (grpc_health_probe)
  -v                      say more
";

/// What the flags say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags {
    /// The server, as it was written.
    pub addr: String,
    /// The same, read.
    pub address: Address,
    /// The service.
    pub service: String,
    /// For the connection.
    pub connect_timeout: Duration,
    /// For the call.
    pub rpc_timeout: Duration,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// The name that the call gives itself.
    pub user_agent: String,
    /// Whether more is said.
    pub verbose: bool,
}

/// Reads arguments as Go's flag package does; `None` for `-h`.
pub fn parse(arguments: &[String]) -> Result<Option<Flags>, String> {
    let second = Duration::from_secs(1);
    let mut addr = String::new();
    let mut flags = Flags {
        addr: String::new(),
        address: Address { host: String::new(), port: 0 },
        service: String::new(),
        connect_timeout: second,
        rpc_timeout: second,
        headers: Vec::new(),
        user_agent: "grpc_health_probe".to_owned(),
        verbose: false,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
            // Go ends its flags here, and that program looks at nothing behind them.
            break;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        match name {
            "" => break,
            "h" | "help" => return Ok(None),
            "v" => {
                flags.verbose = value
                    .as_deref()
                    .is_none_or(|value| ["1", "t", "T", "true", "TRUE", "True"].contains(&value));
                continue;
            }
            "addr" | "service" | "connect-timeout" | "rpc-timeout" | "rpc-header" | "user-agent" => {}
            _ if name.starts_with("tls") || ["alts", "gzip", "spiffe"].contains(&name) => {
                return Err(format!("-{name} is not supported: this probe speaks no TLS and no compression"));
            }
            _ => return Err(format!("flag provided but not defined: -{name}")),
        }
        let value = value
            .or_else(|| words.next().cloned())
            .ok_or_else(|| format!("flag needs an argument: -{name}"))?;
        let time = || {
            duration(&value).ok_or_else(|| format!("-{name} must be greater than zero (specified: {value})"))
        };
        match name {
            "addr" => addr = value,
            "service" => flags.service = value,
            "connect-timeout" => flags.connect_timeout = time()?,
            "rpc-timeout" => flags.rpc_timeout = time()?,
            "user-agent" => flags.user_agent = value,
            _ => {
                let header = value.split_once(':').filter(|(name, _)| !name.is_empty());
                let (name, value) =
                    header.ok_or_else(|| "-rpc-header must be like 'name: value'".to_owned())?;
                flags.headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
    }
    if addr.is_empty() {
        return Err("-addr not specified".to_owned());
    }
    let host = addr.strip_prefix("dns:///").or_else(|| addr.strip_prefix("passthrough:///")).unwrap_or(&addr);
    flags.address = Address::parse(host, None).map_err(|error| format!("-addr: {error}"))?;
    flags.addr = addr;
    Ok(Some(flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Option<Flags>, String> {
        parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let flags =
            read("-addr=:5000 --service a.B -connect-timeout 250ms -rpc-timeout=2s -v").unwrap().unwrap();
        assert_eq!((flags.addr.as_str(), flags.address.name()), (":5000", "localhost:5000".to_owned()));
        assert_eq!((flags.service.as_str(), flags.verbose), ("a.B", true));
        assert_eq!((flags.connect_timeout.as_millis(), flags.rpc_timeout.as_millis()), (250, 2000));
        assert!(!read("-v=false -addr x:1").unwrap().unwrap().verbose);
        assert_eq!(read("-h"), Ok(None));
        for (words, said) in [
            ("", "-addr not specified"),
            ("-addr", "flag needs an argument: -addr"),
            ("-addr x", "-addr: `x` is not an address like host:8000 or :8000"),
            ("-addr x:1 -rpc-timeout 0s", "-rpc-timeout must be greater than zero (specified: 0s)"),
            ("-addr x:1 -tls", "-tls is not supported: this probe speaks no TLS and no compression"),
            ("-nope", "flag provided but not defined: -nope"),
        ] {
            assert_eq!(read(words).unwrap_err(), said);
        }
    }
}
