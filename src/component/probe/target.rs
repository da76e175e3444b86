//! What is asked, as an address: `http://host:port/path`, `grpc://host:port/Service`, `tcp://host:port`.

use super::dial::Address;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A path of a server of HTTP.
    Http(Address, String),
    /// A service of a server of gRPC; empty for the server as a whole.
    Grpc(Address, String),
    /// A port.
    Tcp(Address),
}

impl Target {
    /// Reads an address in which every variable is replaced.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if text.contains(|c: char| c.is_control() || c == ' ') {
            return Err("an address has no blanks".to_owned());
        }
        let service = path.trim_start_matches('/');
        match scheme {
            "http" => {
                let path = path.split('#').next().unwrap_or_default();
                let slash = if path.starts_with('/') { "" } else { "/" };
                Ok(Self::Http(Address::parse(authority, Some(80))?, format!("{slash}{path}")))
            }
            "grpc" => Ok(Self::Grpc(Address::parse(authority, None)?, service.to_owned())),
            "tcp" if service.is_empty() => Ok(Self::Tcp(Address::parse(authority, None)?)),
            "tcp" => Err("an address of tcp:// ends with its port".to_owned()),
            "https" | "grpcs" => Err(format!("the probe speaks no TLS, and so no {scheme}://")),
            _ => Err("an address begins with http://, grpc:// or tcp://".to_owned()),
        }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        match self {
            Self::Http(address, _) | Self::Grpc(address, _) | Self::Tcp(address) => address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, said) in [
            ("http://:8000/health", "http localhost:8000 /health"),
            ("http://web", "http web:80 /"),
            ("http://web?a=/b#c", "http web:80 /?a=/b"),
            ("grpc://:50051", "grpc localhost:50051 "),
            ("grpc://api:50051/a.b.C", "grpc api:50051 a.b.C"),
            ("tcp://[::1]:5432", "tcp [::1]:5432"),
            ("tcp://db:5432/", "tcp db:5432"),
            ("tcp://db:5432/x", "an address of tcp:// ends with its port"),
            ("tcp://db", "`db` is not an address like host:8000 or :8000"),
            ("http://a b/", "an address has no blanks"),
            ("http://a/\r\nX: y", "an address has no blanks"),
            ("https://web/", "the probe speaks no TLS, and so no https://"),
            ("localhost:80", "an address begins with http://, grpc:// or tcp://"),
            ("http://me:secret@web/", "`me:secret@web` is not an address like host:8000 or :8000"),
        ] {
            let found = match Target::parse(text) {
                Ok(Target::Http(address, path)) => format!("http {} {path}", address.name()),
                Ok(Target::Grpc(address, service)) => format!("grpc {} {service}", address.name()),
                Ok(Target::Tcp(address)) => format!("tcp {}", address.name()),
                Err(error) => error,
            };
            assert_eq!(found, said, "{text}");
        }
    }
}
