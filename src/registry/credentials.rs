//! What proves who we are, and why it cannot be had.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::error::Cause;

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

/// Credentials that cannot be read or kept. Shows places and reasons, never contents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// The file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// The file is not what Docker and podman write.
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
    /// What is kept in the file would never be looked at.
    #[error("{} leaves {registry} to the credential helper docker-credential-{helper}", path.display())]
    Left {
        /// The file.
        path: PathBuf,
        /// The registry.
        registry: String,
        /// The helper's name.
        helper: String,
    },
    /// Nowhere to keep anything.
    #[error(
        "there is no place to keep credentials: neither REGISTRY_AUTH_FILE nor XDG_CONFIG_HOME nor HOME is set"
    )]
    NoPlace,
}

impl CredentialsError {
    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Entry { entry, .. } => Some(format!("`docker login {entry}` writes it anew")),
            Self::Helper { program, .. } => {
                Some(format!("install {program}, or remove it from credHelpers and credsStore"))
            }
            Self::Left { helper, .. } => Some(format!(
                "log in with what docker-credential-{helper} belongs to, or name another file in REGISTRY_AUTH_FILE"
            )),
            Self::NoPlace => Some("name a file in REGISTRY_AUTH_FILE".to_owned()),
            _ => None,
        }
    }

    /// The error and its cause in one line.
    pub fn told(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
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

/// What one entry of a credentials file says; `None` where a store keeps it.
pub(super) fn read_entry(value: &serde_json::Value) -> Result<Option<Credential>, &'static str> {
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

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", password_of("u", "geheim")).contains("geheim"));
    }
}
