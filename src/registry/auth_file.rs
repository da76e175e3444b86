//! The file that a login writes: containers' `auth.json` (containers-auth.json(5)).

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::credential_file::{CredentialFile, bytes_of, namespace, not_json};
use super::credentials::CredentialsError;
use super::error::Cause;

/// A file of credentials that is changed entry by entry; all that is not understood stays.
#[derive(Debug, Clone)]
pub struct AuthFile {
    path: PathBuf,
}

impl AuthFile {
    /// The file at `path`, which need not be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Whether what is kept for `registry` would be found: no helper answers for it in this file.
    pub fn takes(&self, registry: &str) -> Result<(), CredentialsError> {
        match CredentialFile::read(&self.path, false)?.as_ref().and_then(|file| file.helper(registry)) {
            None => Ok(()),
            Some((helper, _)) => Err(CredentialsError::Left {
                path: self.path.clone(),
                registry: registry.to_owned(),
                helper: super::error::one_line(helper),
            }),
        }
    }

    /// Keeps user and password for `key`: a registry, or a namespace of one.
    pub fn keep(&self, key: &str, user: &str, password: &str) -> Result<(), CredentialsError> {
        let mut json = self.read()?.unwrap_or_default();
        let auths = self.auths(&mut json)?;
        auths.retain(|known, _| namespace(known) != key);
        auths.insert(key.to_owned(), json!({ "auth": STANDARD.encode(format!("{user}:{password}")) }));
        self.write(&json)
    }

    /// Forgets the entries for `key`; whether there was any.
    pub fn forget(&self, key: &str) -> Result<bool, CredentialsError> {
        let Some(mut json) = self.read()? else { return Ok(false) };
        let auths = self.auths(&mut json)?;
        let before = auths.len();
        auths.retain(|known, _| namespace(known) != key);
        let forgotten = auths.len() < before;
        if forgotten {
            self.write(&json)?;
        }
        Ok(forgotten)
    }

    fn read(&self) -> Result<Option<Map<String, Value>>, CredentialsError> {
        let Some(bytes) = bytes_of(&self.path)? else { return Ok(None) };
        if bytes.trim_ascii().is_empty() {
            return Ok(Some(Map::new()));
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|error| not_json(&self.path, &error))
    }

    fn auths<'a>(
        &self,
        json: &'a mut Map<String, Value>,
    ) -> Result<&'a mut Map<String, Value>, CredentialsError> {
        let auths = json.entry("auths").or_insert(Value::Null);
        if auths.is_null() {
            *auths = json!({});
        }
        auths.as_object_mut().ok_or(CredentialsError::Json { path: self.path.clone(), line: 1, column: 1 })
    }

    /// Writes the file whole or not at all, readable by its owner alone.
    fn write(&self, json: &Map<String, Value>) -> Result<(), CredentialsError> {
        let wrong = |error: io::Error| CredentialsError::Write {
            path: self.path.clone(),
            source: Cause(error.to_string()),
        };
        // A link stays one.
        let path = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(wrong)?;
        let mut file = tempfile::Builder::new()
            .prefix(".imgpack-")
            .make_in(folder, |path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path))
            .map_err(wrong)?;
        let mut text = serde_json::to_vec_pretty(json).map_err(|error| wrong(error.into()))?;
        text.push(b'\n');
        file.write_all(&text).map_err(wrong)?;
        file.persist(&path).map_err(|error| wrong(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_not_understood_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/containers/auth.json");
        let file = AuthFile::new(&path);
        assert!(!file.forget("ghcr.io").unwrap() && !path.exists(), "nothing is written for nothing");
        file.keep("ghcr.io", "me", "a:b").unwrap();
        assert_eq!([mode(&path), mode(path.parent().unwrap())], [0o600, 0o700]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!({"auths": {"ghcr.io": {"auth": "bWU6YTpi"}}})
        );

        let other = json!({"email": 7, "auth": "eDp5"});
        let known = json!({
            "auths": {"other.example": other, "https://index.docker.io/v1/": {"auth": "eDp5"}, "ghcr.io": {}},
            "credHelpers": {"gcr.io": "gcloud"}, "future": [1]
        });
        std::fs::write(&path, known.to_string()).unwrap();
        let link = folder.path().join("link.json");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let file = AuthFile::new(&link);
        file.keep("docker.io", "me", "x").unwrap();
        file.keep("ghcr.io/acme", "me", "x").unwrap();
        assert!(file.forget("ghcr.io").unwrap());
        assert!(link.is_symlink(), "a link stays one");
        let now: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            now,
            json!({
                "auths": {"other.example": other, "docker.io": {"auth": "bWU6eA=="}, "ghcr.io/acme": {"auth": "bWU6eA=="}},
                "credHelpers": {"gcr.io": "gcloud"}, "future": [1]
            })
        );
        assert_eq!(mode(&path), 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing half-written");
    }

    #[test]
    fn a_file_that_is_not_understood_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.json");
        for text in ["{\"auths\": geheim", "[]", "{\"auths\": [\"geheim\"]}"] {
            std::fs::write(&path, text).unwrap();
            let error = AuthFile::new(&path).keep("ghcr.io", "me", "geheim").unwrap_err();
            assert!(error.to_string().contains("is not the JSON of a credentials file"), "{error}");
            assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        let below = AuthFile::new(path.join("auth.json")).keep("ghcr.io", "me", "x").unwrap_err();
        assert!(below.told().starts_with("cannot write "), "{below}");
    }

    #[test]
    fn a_helper_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.json");
        std::fs::write(&path, r#"{"credHelpers": {"gcr.io": "gcloud"}}"#).unwrap();
        let file = AuthFile::new(&path);
        file.takes("ghcr.io").unwrap();
        let error = file.takes("gcr.io").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{} leaves gcr.io to the credential helper docker-credential-gcloud", path.display())
        );
        assert!(error.hint().unwrap().contains("REGISTRY_AUTH_FILE"));
    }
}
