//! Credentials: which would be used, and a login of our own.

use super::error::Error;
use crate::model::Repository;
use crate::registry::{AuthFile, CredentialPlaces, Looked, PlainHttp, Remote, RemoteConfig, SignIn};
use crate::system::Cancel;

/// A registry, or something in it: a namespace or a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    repository: Repository,
    path: String,
}

impl Subject {
    /// A registry, or a namespace of one: `ghcr.io`, `ghcr.io/acme`.
    pub fn namespace(text: &str) -> Result<Self, Error> {
        let host = text.split('/').next().unwrap_or_default();
        if let Some((_, rest)) = text.split_once("://") {
            return Err(Error::usage_with_hint(
                format!("`{text}` is an address, not a registry"),
                format!("write {}", rest.trim_end_matches('/')),
            ));
        }
        if !is_host(host) {
            return Err(Error::usage_with_hint(
                format!("`{text}` does not begin with a registry's host"),
                "write it like ghcr.io, docker.io or localhost:5000",
            ));
        }
        // A repository below it, so that nothing is taken for a short name of Docker Hub.
        let repository: Repository = format!("{text}/x")
            .parse()
            .map_err(|_| Error::usage(format!("`{text}` is neither a registry nor a namespace of one")))?;
        let path = if text == host { "" } else { repository.path().strip_suffix("/x").unwrap_or_default() };
        Ok(Self { path: path.to_owned(), repository })
    }

    /// An image or a repository as everywhere, or a registry alone.
    pub fn reference(text: &str) -> Result<Self, Error> {
        let host = text.split(':').next().unwrap_or_default();
        if !text.contains(['/', '@']) && (host.contains('.') || host == "localhost") {
            return Self::namespace(text);
        }
        let image: crate::model::ImageRef = text.parse()?;
        let repository = image.repository().clone();
        Ok(Self { path: repository.path().to_owned(), repository })
    }

    /// The registry.
    pub fn registry(&self) -> &str {
        self.repository.registry()
    }

    /// Where the registry is spoken to.
    pub fn address(&self, plain_http: &PlainHttp) -> String {
        format!("{}://{}", plain_http.scheme(&self.repository), self.repository.authority())
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.registry())?;
        if self.path.is_empty() { Ok(()) } else { write!(f, "/{}", self.path) }
    }
}

/// Whether the first part of a name is a host, as in references.
fn is_host(text: &str) -> bool {
    text.contains(['.', ':']) || text == "localhost"
}

/// Where credentials for `subject` are found; asks helpers, and no network.
pub fn explain(places: &CredentialPlaces, subject: &Subject, cancel: &Cancel) -> Looked {
    places.look(subject.registry(), &subject.path, cancel)
}

/// Asks the registry to let us in with what is found.
pub fn ask(config: RemoteConfig, subject: &Subject) -> Result<SignIn, Error> {
    Ok(Remote::new(config).sign_in(&subject.repository, subject.path.is_empty())?)
}

/// What a login did.
#[derive(Debug)]
pub struct LoggedIn {
    /// How the registry let us in.
    pub sign_in: SignIn,
    /// Where user and password are kept.
    pub file: std::path::PathBuf,
}

/// Keeps user and password for `subject`, once the registry takes them.
pub fn login(config: RemoteConfig, subject: &Subject, user: &str, password: &str) -> Result<LoggedIn, Error> {
    let path = config.credentials.own_file()?.to_owned();
    let file = AuthFile::new(&path);
    // What cannot be kept is not sent.
    file.takes(subject.registry())?;
    let given = RemoteConfig { credentials: CredentialPlaces::given(user, password), ..config };
    let sign_in = Remote::new(given).sign_in(&subject.repository, true)?;
    file.keep(&subject.to_string(), user, password)?;
    Ok(LoggedIn { sign_in, file: path })
}

/// What a logout did.
#[derive(Debug)]
pub struct LoggedOut {
    /// The file that a login writes.
    pub file: std::path::PathBuf,
    /// Whether it had an entry.
    pub forgotten: bool,
    /// What is used from now on.
    pub left: Option<String>,
}

/// Forgets what is kept for `subject`.
pub fn logout(places: &CredentialPlaces, subject: &Subject, cancel: &Cancel) -> Result<LoggedOut, Error> {
    let file = places.own_file()?.to_owned();
    let forgotten = AuthFile::new(&file).forget(&subject.to_string())?;
    let left = explain(places, subject, cancel).used();
    Ok(LoggedOut { file, forgotten, left })
}

/// What is wrong with a user or a password that could never be sent (RFC 7617).
pub fn check(user: &str, password: &str) -> Result<(), Error> {
    if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
        return Err(Error::usage("a user name is a text without colons and control characters"));
    }
    if password.is_empty() || password.chars().any(char::is_control) {
        return Err(Error::usage_with_hint(
            "the password on stdin is empty or more than one line",
            "pipe it: `printenv TOKEN | imgpack auth login …`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_read() {
        let plain = PlainHttp::new(["registry.lan:5000".to_owned()]);
        for (text, shown, address) in [
            ("ghcr.io", "ghcr.io", "https://ghcr.io"),
            ("ghcr.io/acme", "ghcr.io/acme", "https://ghcr.io"),
            ("docker.io", "docker.io", "https://registry-1.docker.io"),
            ("docker.io/acme", "docker.io/acme", "https://registry-1.docker.io"),
            ("localhost:5000", "localhost:5000", "http://localhost:5000"),
            ("localhost", "localhost", "http://localhost"),
            ("registry.lan:5000", "registry.lan:5000", "http://registry.lan:5000"),
        ] {
            let subject = Subject::namespace(text).unwrap();
            assert_eq!((subject.to_string().as_str(), subject.address(&plain).as_str()), (shown, address));
        }
        for text in ["", "acme", "https://ghcr.io/", "ghcr.io/", "ghcr.io/ACME", "ghcr.io//x", "user@ghcr.io"]
        {
            assert!(Subject::namespace(text).is_err(), "{text}");
        }
        for (text, shown) in [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27", "docker.io/library/nginx"),
            ("ghcr.io/acme/web:v1", "ghcr.io/acme/web"),
            ("ghcr.io", "ghcr.io"),
            ("localhost:5000", "localhost:5000"),
        ] {
            assert_eq!(Subject::reference(text).unwrap().to_string(), shown);
        }
    }
}
