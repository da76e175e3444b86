//! Docker's `config.json`: which credentials belong to a repository.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::credential_helper as helper;
use super::error::Looked;
use crate::model::Repository;

/// A text that no message shows.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What proves who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// User and password, or a token that stands for a password.
    Password {
        /// User name.
        user: String,
        /// Password.
        password: Secret,
    },
    /// An OAuth2 refresh token (`identitytoken`).
    Identity(Secret),
    /// A token that is sent as it is (`registrytoken`).
    Bearer(Secret),
}

/// Credentials that cannot be read. Shows places and reasons, never contents.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not what Docker writes.
    #[error("{}:{line}:{column} is not the JSON of a credentials file", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// One entry cannot be used.
    #[error("the entry `{entry}` of {} cannot be used: {reason}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry's key.
        entry: String,
        /// Why not.
        reason: &'static str,
    },
    /// A helper's name that would run something else.
    #[error("{} names a credential helper `{name}`, which is no program's name", path.display())]
    HelperName {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A helper that failed.
    #[error("the credential helper {program} {reason}")]
    Helper {
        /// The program.
        program: String,
        /// How it failed.
        reason: String,
    },
}

impl CredentialsError {
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Entry { entry, .. } => Some(format!("`docker login {entry}` writes it anew")),
            Self::Helper { program, .. } => {
                Some(format!("install {program}, or remove it from credHelpers and credsStore"))
            }
            _ => None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConfigJson {
    // Values, so that one bad entry does not keep the others from being used.
    auths: BTreeMap<String, serde_json::Value>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AuthJson {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Docker's `config.json`, read.
pub(super) struct DockerConfig {
    path: PathBuf,
    exists: bool,
    json: ConfigJson,
}

/// Docker Hub goes by an address of its own in every credentials file.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

impl DockerConfig {
    /// Reads `directory/config.json`; a missing file has no entries.
    pub(super) fn read(directory: &Path) -> Result<Self, CredentialsError> {
        let path = directory.join("config.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, exists: false, json: ConfigJson::default() });
            }
            Err(source) => return Err(CredentialsError::Read { path, source }),
        };
        // serde's own words may quote the content.
        let json = serde_json::from_slice(&bytes).map_err(|error| CredentialsError::Json {
            path: path.clone(),
            line: error.line(),
            column: error.column(),
        })?;
        Ok(Self { path, exists: true, json })
    }

    /// The credentials for `repository`, and where they came from. A helper that is named for the registry comes
    /// first, then the store for all of them, then the entry of the file that names the most of the repository.
    pub(super) fn find(
        &self,
        repository: &Repository,
    ) -> Result<(Option<Credential>, Looked), CredentialsError> {
        let registry = repository.registry();
        let mut looked = Looked { file: Some(self.path.clone()), exists: self.exists, entry: None };
        let named = self
            .json
            .cred_helpers
            .iter()
            .find(|(key, _)| namespace(key).eq_ignore_ascii_case(registry))
            .map(|(_, name)| name);
        if let Some(name) = named.or(self.json.creds_store.as_ref().filter(|name| !name.is_empty())) {
            if !helper::is_name(name) {
                return Err(CredentialsError::HelperName {
                    path: self.path.clone(),
                    name: super::error::one_line(name),
                });
            }
            let server = if registry == "docker.io" { DOCKER_HUB } else { registry };
            let found = helper::ask(&format!("docker-credential-{name}"), server)?;
            if found.is_some() || named.is_some() {
                looked.entry = found.is_some().then(|| format!("the helper docker-credential-{name}"));
                return Ok((found, looked));
            }
        }
        let whole = repository.to_string();
        let entry = self
            .json
            .auths
            .iter()
            .filter(|(key, _)| covers(&namespace(key), &whole))
            .max_by_key(|(key, _)| namespace(key).len());
        let Some((key, value)) = entry else { return Ok((None, looked)) };
        let found = read_entry(value).map_err(|reason| CredentialsError::Entry {
            path: self.path.clone(),
            entry: key.clone(),
            reason,
        })?;
        looked.entry = found.is_some().then(|| format!("the entry `{key}`"));
        Ok((found, looked))
    }
}

/// A key of the file as `host[/path]`: without scheme and version, Docker Hub under its own name.
fn namespace(key: &str) -> String {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://");
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    let (host, path) = match bare.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (bare, None),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    match path {
        Some(path) => format!("{}/{path}", host.to_ascii_lowercase()),
        None => host.to_ascii_lowercase(),
    }
}

/// Whether an entry for `namespace` is meant for `repository`: itself or something below it, never a sibling.
fn covers(namespace: &str, repository: &str) -> bool {
    let (host, path) = repository.split_once('/').unwrap_or((repository, ""));
    let repository = format!("{}/{path}", host.to_ascii_lowercase());
    repository
        .strip_prefix(namespace)
        .is_some_and(|rest| !namespace.is_empty() && (rest.is_empty() || rest.starts_with('/')))
}

fn read_entry(value: &serde_json::Value) -> Result<Option<Credential>, &'static str> {
    let entry = AuthJson::deserialize(value).map_err(|_| "it is not of Docker's form")?;
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    if let Some(token) = filled(entry.identitytoken) {
        return Ok(Some(Credential::Identity(Secret(token))));
    }
    if let Some(token) = filled(entry.registrytoken) {
        return Ok(Some(Credential::Bearer(Secret(token))));
    }
    if let Some(auth) = filled(entry.auth) {
        let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let bytes = GeneralPurpose::new(&STANDARD, lenient)
            .decode(auth.trim())
            .map_err(|_| "`auth` is not base64")?;
        let text = String::from_utf8(bytes).map_err(|_| "`auth` is not UTF-8")?;
        let (user, password) = text.split_once(':').ok_or("`auth` is not the base64 of user:password")?;
        return Ok(Some(password_of(user, password.trim_end_matches('\0'))));
    }
    match (filled(entry.username), filled(entry.password)) {
        (Some(user), Some(password)) => Ok(Some(password_of(&user, &password))),
        // `{}` marks a registry whose credentials a store keeps.
        (None, None) => Ok(None),
        _ => Err("it has a user without a password, or the reverse"),
    }
}

/// A user called `<token>` marks an identity token (docker-credential-helpers).
pub(super) fn password_of(user: &str, password: &str) -> Credential {
    let secret = Secret(password.to_owned());
    match user {
        "<token>" => Credential::Identity(secret),
        _ => Credential::Password { user: user.to_owned(), password: secret },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> (tempfile::TempDir, Result<DockerConfig, CredentialsError>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), json).unwrap();
        let config = DockerConfig::read(directory.path());
        (directory, config)
    }

    fn user(found: Option<Credential>) -> Option<String> {
        found.map(|credential| match credential {
            Credential::Password { user, password } => format!("{user}:{}", password.0),
            Credential::Identity(token) => format!("identity {}", token.0),
            Credential::Bearer(token) => format!("bearer {}", token.0),
        })
    }

    #[test]
    fn finds_the_entry_that_is_meant() {
        // printf 'u:p:w' | base64 = dTpwOnc=
        let (_directory, config) = config(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
                "ghcr.io": {"auth": "dTpwOnc="},
                "ghcr.io/acme": {"auth": "YWNtZTpwdw"},
                "https://plain.example/v2/": {"username": "a", "password": "b"},
                "LOCALHOST:5000": {"auth": "bG9jYWw6cHc="},
                "token.example": {"auth": "dTpwOnc=", "identitytoken": "it"},
                "marked.example": {"auth": "PHRva2VuPjppdA=="},
                "bearer.example": {"registrytoken": "rt"},
                "store.example": {},
                "bad.example": {"auth": 7},
                "bad64.example": {"auth": "%%%"},
                "": {"auth": "bm9ib2R5OnB3"}
            }, "unknown": [1]}"#,
        );
        let config = config.unwrap();
        for (repository, expected) in [
            ("nginx", Some("hub:pw")),
            ("ghcr.io/other/x", Some("u:p:w")),
            ("ghcr.io/acme/x", Some("acme:pw")),
            ("ghcr.io/acmeother/x", Some("u:p:w")),
            ("plain.example/x", Some("a:b")),
            ("localhost:5000/x", Some("local:pw")),
            ("localhost:5001/x", None),
            ("token.example/x", Some("identity it")),
            ("marked.example/x", Some("identity it")),
            ("bearer.example/x", Some("bearer rt")),
            ("store.example/x", None),
            ("evil-ghcr.io/acme", None),
            ("unknown.example/x", None),
        ] {
            let (found, looked) = config.find(&repository.parse().unwrap()).unwrap();
            assert_eq!(looked.entry.is_some(), expected.is_some(), "{repository}");
            assert_eq!(user(found).as_deref(), expected, "{repository}");
        }
        for (repository, reason) in
            [("bad.example/x", "the entry `bad.example` of"), ("bad64.example/x", "`auth` is not base64")]
        {
            let error = config.find(&repository.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
            assert!(error.hint().unwrap().contains("docker login bad"));
        }
    }

    #[test]
    fn a_broken_file_is_not_quoted() {
        let (_directory, config) =
            config("{\"auths\": {\n \"ghcr.io\": \"geheim\" }, \"credHelpers\": \"geheim\"}");
        let error = config.err().unwrap();
        assert!(error.to_string().contains("config.json:2:"), "{error}");
        assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
    }

    #[test]
    fn a_missing_file_has_no_entries() {
        let directory = tempfile::tempdir().unwrap();
        let config = DockerConfig::read(directory.path()).unwrap();
        let (found, looked) = config.find(&"ghcr.io/x".parse().unwrap()).unwrap();
        assert!(found.is_none() && !looked.exists && looked.entry.is_none());
    }

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", password_of("u", "geheim")).contains("geheim"));
    }

    #[test]
    fn helpers_with_a_path_in_their_name_are_refused() {
        for name in ["../evil", "a/b", "", "-x", ".x", "a b", "a\\n"] {
            let json = format!(r#"{{"credHelpers": {{"ghcr.io": "{name}"}}}}"#);
            let (_directory, config) = config(&json);
            let error = config.unwrap().find(&"ghcr.io/x".parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("no program's name"), "{name}: {error}");
        }
    }
}
