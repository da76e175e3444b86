use super::reference::check_host;
use crate::spec::shape::{FromText, Origin, Wrong};

/// Longest address, as most programs take.
const LONGEST: usize = 2000;

/// The address of a file: `https://`, or `http://` of this machine. It stands in specs, locks and messages as it is, so
/// nothing in it can be a secret: no user, no password, no query.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Address(pub(in crate::spec) String);

impl FromText for Address {
    const WANTED: &'static str = "an address like https://example.com/file";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        Self::read(text).map_err(|wrong| if text.contains(['@', '?', '#']) { wrong.secret() } else { wrong })
    }
}

impl Address {
    fn read(text: &str) -> Result<Self, Wrong> {
        let parts = Parts::of(text);
        let shown = parts.shown();
        match parts.scheme {
            "https" => {}
            "http" if is_this_machine(parts.host) => {}
            "http" => {
                return Err(Wrong::new(format!("`{shown}`: http is spoken only with this machine"))
                    .hint("write https://"));
            }
            _ => {
                return Err(Wrong::new(format!("`{shown}` is not an address that files come from"))
                    .hint("write an https:// address, image:REF, or a path of the workspace"));
            }
        }
        parts.check(text, "files are fetched without credentials; an image of a registry can have them")?;
        if parts.path.is_empty() || parts.path.ends_with('/') {
            return Err(Wrong::new(format!("`{text}` names no file")).hint("write the address of one file"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The address of an archive of packages, without a slash at its end: `https://` or `http://`, for what comes from it is
/// signed. Nothing in it can be a secret, as in an [`Address`].
#[derive(Debug, Clone)]
pub(in crate::spec) struct ArchiveAddress(pub(in crate::spec) String);

impl FromText for ArchiveAddress {
    const WANTED: &'static str = "an address like https://deb.debian.org/debian";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        Self::read(text).map_err(|wrong| if text.contains(['@', '?', '#']) { wrong.secret() } else { wrong })
    }
}

impl ArchiveAddress {
    fn read(text: &str) -> Result<Self, Wrong> {
        let text = text.trim_end_matches('/');
        let parts = Parts::of(text);
        if !matches!(parts.scheme, "https" | "http") {
            let hint = if text.contains("://") {
                "write an https:// address".to_owned()
            } else {
                format!("write https://{text}")
            };
            return Err(
                Wrong::new(format!("`{text}` is not the address of an archive of packages")).hint(hint)
            );
        }
        parts.check(text, "packages are fetched without credentials")?;
        Ok(Self(text.to_owned()))
    }
}

/// An address, taken apart.
struct Parts<'a> {
    scheme: &'a str,
    authority: &'a str,
    host: &'a str,
    path: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let path = path.strip_prefix('/').unwrap_or(path);
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        Self { scheme, authority, host, path }
    }

    /// What is not secret of it.
    fn shown(&self) -> String {
        format!("{}://{}/…", self.scheme, self.host)
    }

    /// What no address of imgpack's has.
    fn check(&self, text: &str, no_credentials: &str) -> Result<(), Wrong> {
        let shown = self.shown();
        if self.authority.contains('@') {
            return Err(Wrong::new(format!("`{shown}` carries a user or a password")).hint(no_credentials));
        }
        if text.contains('?') {
            return Err(Wrong::new(format!("`{shown}` has a query, which could hold a secret"))
                .hint("write an address that needs none: it stands in imgpack.lock"));
        }
        if text.contains('#') {
            return Err(Wrong::new(format!("`{shown}` has a fragment, which no server is asked for"))
                .hint("leave out `#` and what follows"));
        }
        check_host(self.host).map_err(Wrong::new)?;
        if text.len() > LONGEST {
            return Err(Wrong::new(format!("an address of {} characters, at most {LONGEST}", text.len())));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['\\', '"', '<', '>']) {
            return Err(Wrong::new(format!("`{shown}` has a character that no address has"))
                .hint("write it with its percent sign and digits, like %20"));
        }
        if self.path.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(Wrong::new(format!("`{text}` has a component `.` or `..`")));
        }
        Ok(())
    }
}

/// Whether a host, with or without its port, is written as this machine.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::sources::{Sources, Span};

    #[test]
    fn addresses_have_no_room_for_secrets() {
        let sources = Sources::default();
        let read = |text: &str| Address::from_text(text, &Origin::new(Span::begin(0), &sources));
        for text in [
            "https://example.com/a",
            "https://example.com:8443/a/b%20c.tar.gz",
            "https://10.0.0.1/a",
            "http://127.0.0.1:5000/a",
            "http://localhost/a",
            "http://[::1]:80/a",
        ] {
            assert_eq!(read(text).unwrap().0, text);
        }
        for text in [
            "http://example.com/a",
            "http://127.0.0.1.example/a",
            "ftp://example.com/a",
            "ftp://u:geheim@example.com/a",
            "https://u:geheim@example.com/a",
            "https://geheim@example.com/a",
            "https://example.com/a?token=geheim",
            "https://example.com?geheim",
            "https://example.com/a#geheim",
            "https://example.com",
            "https://example.com/",
            "https://example.com/a/",
            "https:///a",
            "https://exa mple/a",
            "https://example.com/a b",
            "https://example.com/ä",
            "https://example.com/a/../b",
            "https://example.com/\\a",
        ] {
            let wrong = read(text).map(|_| ()).unwrap_err();
            assert!(!format!("{wrong:?}").contains("geheim"), "{wrong:?}");
        }
    }

    #[test]
    fn archives_of_packages() {
        let sources = Sources::default();
        let read = |text: &str| ArchiveAddress::from_text(text, &Origin::new(Span::begin(0), &sources));
        for (text, expected) in [
            ("https://deb.debian.org/debian", "https://deb.debian.org/debian"),
            ("http://mirror.example:8080/debian/", "http://mirror.example:8080/debian"),
            ("https://apt.example.org", "https://apt.example.org"),
        ] {
            assert_eq!(read(text).unwrap().0, expected);
        }
        for text in [
            "deb.debian.org/debian",
            "ftp://deb.debian.org/debian",
            "file:///srv/debian",
            "https://u:geheim@apt.example.org/debian",
            "https://geheim@apt.example.org",
            "https://apt.example.org/debian?token=geheim",
            "https://apt.example.org/a#geheim",
            "https://apt.example.org/../debian",
            "https:///debian",
            "https://apt.example.org/a b",
            "",
        ] {
            let wrong = read(text).map(|_| ()).unwrap_err();
            assert!(!format!("{wrong:?}").contains("geheim"), "{wrong:?}");
        }
    }
}
