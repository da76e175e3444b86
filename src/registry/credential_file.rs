//! One file of credentials: containers' `auth.json`, Docker's `config.json`, or the older `.dockercfg`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::credential_helper as helper;
use super::credentials::{Credential, CredentialsError, read_entry};
use super::error::{Cause, one_line};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConfigJson {
    // Values, so that one bad entry does not keep the others from being used.
    auths: Option<BTreeMap<String, Value>>,
    cred_helpers: Option<BTreeMap<String, Value>>,
    creds_store: Option<String>,
}

/// A file of credentials, read.
#[derive(Clone)]
pub(super) struct CredentialFile {
    path: PathBuf,
    auths: BTreeMap<String, Value>,
    helpers: BTreeMap<String, Value>,
    store: Option<String>,
}

/// Asks a helper, by its program's name, for what it has for a server.
pub(super) type Ask<'a> = dyn FnMut(&str, &str) -> Result<Option<Credential>, CredentialsError> + 'a;

/// Docker Hub goes by an address of its own in every credentials file.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

impl CredentialFile {
    /// Reads the file at `path`, `None` where there is none. The `old` form is the map of entries alone.
    pub(super) fn read(path: &Path, old: bool) -> Result<Option<Self>, CredentialsError> {
        let Some(bytes) = bytes_of(path)? else { return Ok(None) };
        let json = |error: serde_json::Error| not_json(path, &error);
        let config = if bytes.trim_ascii().is_empty() {
            ConfigJson::default()
        } else if old {
            let auths = serde_json::from_slice(&bytes).map_err(json)?;
            ConfigJson { auths, ..ConfigJson::default() }
        } else {
            serde_json::from_slice(&bytes).map_err(json)?
        };
        Ok(Some(Self {
            path: path.to_owned(),
            auths: config.auths.unwrap_or_default(),
            helpers: config.cred_helpers.unwrap_or_default(),
            store: config.creds_store.filter(|name| !name.is_empty()),
        }))
    }

    /// The helper that answers for `registry`, and whether it was named for this one alone.
    pub(super) fn helper(&self, registry: &str) -> Option<(&str, bool)> {
        let named = self.helpers.iter().find(|(key, _)| namespace(key).eq_ignore_ascii_case(registry));
        match named {
            // What is no text is no program's name either.
            Some((_, name)) => Some((name.as_str().unwrap_or_default(), true)),
            None => self.store.as_deref().map(|name| (name, false)),
        }
    }

    /// The credentials for `path` of `registry` (an empty path: for the registry as a whole), and what gave them. A
    /// helper that is named for the registry comes first, then the store for all of them, then the entry that names the
    /// most of the repository. What cannot be used is told where nothing else is found.
    pub(super) fn find(
        &self,
        registry: &str,
        path: &str,
        ask: &mut Ask<'_>,
    ) -> Result<Option<(Credential, String)>, CredentialsError> {
        let mut failure = None;
        if let Some((name, named)) = self.helper(registry) {
            match self.ask(name, registry, ask) {
                Ok(Some(found)) => {
                    return Ok(Some((found, format!("the helper docker-credential-{name}"))));
                }
                Ok(None) if named => return Ok(None),
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
        }
        let whole = format!("{}/{path}", registry.to_ascii_lowercase());
        let mut entries: Vec<(String, &String, &Value)> = self
            .auths
            .iter()
            .map(|(key, value)| (namespace(key), key, value))
            .filter(|(namespace, ..)| covers(namespace, &whole))
            .collect();
        // The most of the repository first; of several ways to write the same, the plain one.
        entries.sort_by_key(|(namespace, key, _)| (std::cmp::Reverse(namespace.len()), namespace != *key));
        for (_, key, value) in entries {
            match read_entry(value) {
                Ok(Some(found)) => return Ok(Some((found, format!("the entry `{}`", one_line(key))))),
                Ok(None) => {}
                Err(reason) => {
                    failure.get_or_insert(CredentialsError::Entry {
                        path: self.path.clone(),
                        entry: one_line(key),
                        reason,
                    });
                }
            }
        }
        failure.map_or(Ok(None), Err)
    }

    fn ask(
        &self,
        name: &str,
        registry: &str,
        ask: &mut Ask<'_>,
    ) -> Result<Option<Credential>, CredentialsError> {
        if !helper::is_name(name) {
            return Err(CredentialsError::HelperName { path: self.path.clone(), name: one_line(name) });
        }
        let server = if registry == "docker.io" { DOCKER_HUB } else { registry };
        ask(&format!("docker-credential-{name}"), server)
    }
}

/// The bytes of a file, `None` where there is none.
pub(super) fn bytes_of(path: &Path) -> Result<Option<Vec<u8>>, CredentialsError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        // A name below what is no folder is nothing that anybody wrote either.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(CredentialsError::Read { path: path.to_owned(), source: Cause(error.to_string()) }),
    }
}

/// Where a file stops being JSON: serde's own words may quote the content.
pub(super) fn not_json(path: &Path, error: &serde_json::Error) -> CredentialsError {
    CredentialsError::Json { path: path.to_owned(), line: error.line(), column: error.column() }
}

/// A key of the file as `host[/path]`: without scheme and version, Docker Hub under its own name.
pub(super) fn namespace(key: &str) -> String {
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
    repository
        .strip_prefix(namespace)
        .is_some_and(|rest| !namespace.is_empty() && (rest.is_empty() || rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Repository;

    fn file(json: &str) -> Result<CredentialFile, CredentialsError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        CredentialFile::read(&path, false).map(Option::unwrap)
    }

    fn find(file: &CredentialFile, repository: &str) -> Result<Option<String>, CredentialsError> {
        let repository: Repository = repository.parse().unwrap();
        let mut ask = |program: &str, server: &str| match server {
            "none.example" => Ok(None),
            "broken.example" => {
                Err(CredentialsError::Helper { program: program.to_owned(), reason: "failed".to_owned() })
            }
            _ => Ok(Some(super::super::credentials::password_of(program, server))),
        };
        Ok(file.find(repository.registry(), repository.path(), &mut ask)?.map(|(found, _)| match found {
            Credential::Password { user, password } => format!("{user}:{}", password.0),
            Credential::Identity(token) => format!("identity {}", token.0),
            Credential::Bearer(token) => format!("bearer {}", token.0),
        }))
    }

    #[test]
    fn finds_the_entry_that_is_meant() {
        // printf 'u:p:w' | base64 = dTpwOnc=
        let file = file(
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
                "half.example": {"auth": "dTpwOnc="},
                "half.example/bad": {"auth": "%%%"},
                "": {"auth": "bm9ib2R5OnB3"}
            }, "unknown": [1]}"#,
        )
        .unwrap();
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
            ("half.example/bad/x", Some("u:p:w")),
            ("evil-ghcr.io/acme", None),
            ("ghcr.io.evil.example/acme", None),
            ("unknown.example/x", None),
        ] {
            assert_eq!(find(&file, repository).unwrap().as_deref(), expected, "{repository}");
        }
        for (repository, reason) in
            [("bad.example/x", "the entry `bad.example` of"), ("bad64.example/x", "`auth` is not base64")]
        {
            let error = find(&file, repository).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
            assert!(error.hint().unwrap().contains("docker login bad"));
        }
    }

    #[test]
    fn helpers_come_before_entries_and_fail_alone() {
        let file = file(
            r#"{"credHelpers": {"123.dkr.ecr.eu-west-1.amazonaws.com": "ecr-login", "gcr.io": "gcloud",
                    "https://index.docker.io/v1/": "hub", "none.example": "x", "odd.example": 7},
                "credsStore": "store",
                "auths": {"none.example": {"auth": "dTpwOnc="}, "broken.example": {"auth": "dTpwOnc="}}}"#,
        )
        .unwrap();
        for (repository, expected) in [
            (
                "123.dkr.ecr.eu-west-1.amazonaws.com/x",
                Some("docker-credential-ecr-login:123.dkr.ecr.eu-west-1.amazonaws.com"),
            ),
            ("gcr.io/acme/x", Some("docker-credential-gcloud:gcr.io")),
            ("nginx", Some("docker-credential-hub:https://index.docker.io/v1/")),
            ("eu.gcr.io/acme/x", Some("docker-credential-store:eu.gcr.io")),
            // Its own helper has the last word of this file; the store for all has not.
            ("none.example/x", None),
            ("broken.example/x", Some("u:p:w")),
        ] {
            assert_eq!(find(&file, repository).unwrap().as_deref(), expected, "{repository}");
        }
        assert!(find(&file, "odd.example/x").unwrap_err().to_string().contains("no program's name"));
    }

    #[test]
    fn other_forms_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".dockercfg");
        std::fs::write(&path, r#"{"https://index.docker.io/v1/": {"auth": "aHViOnB3", "email": "x"}}"#)
            .unwrap();
        let old = CredentialFile::read(&path, true).unwrap().unwrap();
        assert_eq!(find(&old, "nginx").unwrap().as_deref(), Some("hub:pw"));
        for empty in ["", " \n", "{}", r#"{"auths": null, "credHelpers": null, "credsStore": null}"#] {
            assert_eq!(find(&file(empty).unwrap(), "nginx").unwrap(), None, "{empty:?}");
        }
        assert!(CredentialFile::read(&directory.path().join("missing"), false).unwrap().is_none());
        assert!(CredentialFile::read(&path.join("below"), false).unwrap().is_none());
        let error = CredentialFile::read(directory.path(), false).err().unwrap();
        assert!(error.told().contains("cannot read ") && error.told().contains("directory"), "{error}");
    }

    #[test]
    fn a_broken_file_is_not_quoted() {
        for json in
            ["{\"auths\": {\n \"ghcr.io\": \"geheim\" }, \"credsStore\": [\"geheim\"]}", "\n\"geheim\""]
        {
            let error = file(json).err().unwrap();
            assert!(error.to_string().contains("config.json:2:"), "{error}");
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
        }
    }

    #[test]
    fn helpers_with_a_path_in_their_name_are_refused() {
        for name in ["../evil", "a/b", "", "-x", ".x", "a b", "a\\n"] {
            let file = file(&format!(r#"{{"credHelpers": {{"ghcr.io": "{name}"}}}}"#)).unwrap();
            let error = find(&file, "ghcr.io/x").unwrap_err();
            assert!(error.to_string().contains("no program's name"), "{name}: {error}");
        }
    }
}
