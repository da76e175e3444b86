//! Addresses of services, as `host:port`, and connections to them.

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// Where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or a number, an IPv6 one without its brackets; empty for this machine.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`, `:port`, `[::1]:port`; without a port where there is a `default`.
    pub fn parse(text: &str, default: Option<u16>) -> Result<Self, String> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':').or(port.is_empty().then_some(""))),
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, Some("")),
            },
        };
        let port = match (port, default) {
            (Some(""), Some(port)) => Some(port),
            (Some(port), _) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok(),
            _ => None,
        };
        let is_name =
            !host.contains(['/', '@', '[', ']', ' ']) && (text.starts_with('[') || !host.contains(':'));
        match port.filter(|port| *port > 0 && is_name) {
            Some(port) => Ok(Self { host: host.to_owned(), port }),
            None => Err(format!("`{text}` is not an address like host:8000 or :8000")),
        }
    }

    /// As it is written, with the name of this machine for an empty host.
    pub fn name(&self) -> String {
        match self.host.as_str() {
            "" => format!("localhost:{}", self.port),
            host if host.contains(':') => format!("[{host}]:{}", self.port),
            host => format!("{host}:{}", self.port),
        }
    }

    fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        if self.host.is_empty() {
            // The service may listen on one of them alone.
            return Ok(vec![
                (Ipv4Addr::LOCALHOST, self.port).into(),
                (Ipv6Addr::LOCALHOST, self.port).into(),
            ]);
        }
        Ok((self.host.as_str(), self.port).to_socket_addrs()?.collect())
    }

    /// Connects to the first of the host's numbers that answers, with at most `each` for one of them.
    pub fn connect(&self, each: Duration) -> std::io::Result<TcpStream> {
        let mut last = Error::new(ErrorKind::NotFound, "the name has no address");
        for address in self.resolve()? {
            match TcpStream::connect_timeout(&address, each) {
                Ok(stream) => return Ok(stream),
                // A refusal says more than a machine without IPv6.
                Err(error) if last.kind() != ErrorKind::ConnectionRefused => last = error,
                Err(_) => {}
            }
        }
        Err(last)
    }
}

/// A time as `2s`, `500ms`, `1m30s` or `1.5s`, in whole milliseconds. By hand: std's floating numbers cost 19 kB.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut whole = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(digits(rest));
        let (part, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        let (unit, after) = after.split_at(after.bytes().take_while(u8::is_ascii_alphabetic).count());
        let unit: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        whole = whole.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        let mut worth = unit;
        for digit in part.bytes() {
            worth /= 10;
            whole = whole.checked_add(worth * u64::from(digit - b'0'))?;
        }
        rest = after;
    }
    (whole > 0).then(|| Duration::from_millis(whole))
}

/// A time in words.
pub fn in_words(time: Duration) -> String {
    match (time.as_millis() % 1000, time.as_millis() / 1000) {
        (0, seconds) => format!("{seconds} s"),
        _ => format!("{} ms", time.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, default, name) in [
            ("db:5432", None, Some("db:5432")),
            (":8000", None, Some("localhost:8000")),
            ("", Some(80), Some("localhost:80")),
            ("web", Some(80), Some("web:80")),
            ("[::1]:80", None, Some("[::1]:80")),
            ("[::1]", Some(80), Some("[::1]:80")),
            ("::1:80", None, None),
            ("web", None, None),
            ("web:", None, None),
            ("web:0", None, None),
            ("web:70000", None, None),
            ("web:+80", None, None),
            ("a@b:80", None, None),
            ("[::1]x:80", None, None),
        ] {
            let found = Address::parse(text, default).ok().map(|address| address.name());
            assert_eq!(found.as_deref(), name, "{text}");
        }
    }

    #[test]
    fn times_are_read() {
        let ms = |text| duration(text).map(|time| time.as_millis());
        let found = [ms("2s"), ms("500ms"), ms("1m30s"), ms("1.55s"), ms("1.0h")];
        assert_eq!(found, [2000, 500, 90_000, 1550, 3_600_000].map(Some));
        for text in [
            "",
            "2",
            "s",
            "0s",
            "-1s",
            "1x",
            "1e9s",
            "1..5s",
            ".5s",
            "99999999999999999999s",
            "99999999999999999h",
        ] {
            assert_eq!(ms(text), None, "{text}");
        }
    }
}
