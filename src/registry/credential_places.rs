//! Where credentials are looked for: podman's order (podman-login(1), containers-auth.json(5)), then what a job of
//! GitHub Actions carries.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::credential_file::CredentialFile;
use super::credential_helper as helper;
use super::credentials::{Credential, CredentialsError, Secret, password_of};
use crate::model::Repository;
use crate::system::Cancel;

/// One place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A file of the form that Docker and podman write.
    File(PathBuf),
    /// A file of the form before that: `.dockercfg`.
    OldFile(PathBuf),
    /// `GITHUB_TOKEN` of a job of GitHub Actions, for ghcr.io alone.
    GitHub,
    /// User and password that were given to this command.
    Given,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::OldFile(path) => path.display().fmt(f),
            Self::GitHub => f.write_str("GITHUB_TOKEN of this GitHub Actions job"),
            Self::Given => f.write_str("the user and password that were given"),
        }
    }
}

/// What credentials would be sent as; never their value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// User and password.
    Password {
        /// The user.
        user: String,
    },
    /// An OAuth2 refresh token, for the token server.
    IdentityToken,
    /// A token for the registry itself.
    BearerToken,
}

/// What came of one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is not there.
    Missing,
    /// It has nothing for this repository.
    NoEntry,
    /// It has what is used.
    Used {
        /// The entry or the helper, where the place has several.
        entry: Option<String>,
        /// What it is.
        form: Form,
    },
    /// It could not be used.
    Failed(CredentialsError),
    /// An earlier one had what is used.
    NotNeeded,
}

/// Where credentials were looked for, in order, with what came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// The places.
    pub places: Vec<(Place, Outcome)>,
}

impl Looked {
    /// What is used, in words: "the entry `ghcr.io` of /home/me/.docker/config.json".
    pub fn used(&self) -> Option<String> {
        self.places.iter().find_map(|(place, outcome)| match outcome {
            Outcome::Used { entry: Some(entry), .. } => Some(format!("{entry} of {place}")),
            Outcome::Used { entry: None, .. } => Some(place.to_string()),
            _ => None,
        })
    }

    /// The first place that could not be used.
    pub fn failed(&self) -> Option<&CredentialsError> {
        self.places.iter().find_map(|(_, outcome)| match outcome {
            Outcome::Failed(error) => Some(error),
            _ => None,
        })
    }
}

/// The places, in the order in which they are looked at; none: everything is anonymous.
#[derive(Clone, Default)]
pub struct CredentialPlaces {
    places: Vec<Place>,
    environment: BTreeMap<OsString, OsString>,
    given: Option<Credential>,
    /// The file that a login writes.
    own: Option<PathBuf>,
}

/// An environment holds secrets.
impl fmt::Debug for CredentialPlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.places).finish()
    }
}

/// What was read and asked so far: a file is read once, a helper is asked once for each server.
#[derive(Default)]
pub(super) struct Memory {
    files: BTreeMap<Place, Result<Option<CredentialFile>, CredentialsError>>,
    helpers: BTreeMap<(String, String), Result<Option<Credential>, CredentialsError>>,
}

impl CredentialPlaces {
    /// The places that this environment names, and that programs have in common.
    pub fn of(environment: &BTreeMap<OsString, OsString>) -> Self {
        let variable = |name: &str| environment.get(OsStr::new(name)).filter(|value| !value.is_empty());
        let folder = |name: &str| variable(name).map(PathBuf::from);
        let home = folder("HOME");
        let config = folder("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        let config = config.map(|folder| folder.join("containers/auth.json"));
        if let Some(only) = folder("REGISTRY_AUTH_FILE") {
            let places = vec![Place::File(only.clone())];
            return Self { places, environment: environment.clone(), given: None, own: Some(only) };
        }
        let runtime = folder("XDG_RUNTIME_DIR");
        let own = runtime
            .clone()
            .filter(|folder| is_ours(folder))
            .map(|folder| folder.join("containers/auth.json"));
        let runtime = runtime.map_or_else(
            || PathBuf::from(format!("/run/containers/{}", rustix::process::getuid().as_raw())),
            |folder| folder.join("containers"),
        );
        let docker = folder("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
        let mut places = vec![Place::File(runtime.join("auth.json"))];
        places.extend(config.clone().map(Place::File));
        places.extend(docker.map(|folder| Place::File(folder.join("config.json"))));
        places.extend(home.map(|home| Place::OldFile(home.join(".dockercfg"))));
        if variable("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
            places.push(Place::GitHub);
        }
        Self { places, environment: environment.clone(), given: None, own: own.or(config) }
    }

    /// One file alone, of the form that Docker and podman write.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { places: vec![Place::File(path.into())], ..Self::default() }
    }

    /// A user and a password, wherever they are asked for.
    pub fn given(user: &str, password: &str) -> Self {
        Self {
            places: vec![Place::Given],
            given: Some(Credential::Password {
                user: user.to_owned(),
                password: Secret(password.to_owned()),
            }),
            ..Self::default()
        }
    }

    /// The file that a login writes.
    pub fn own_file(&self) -> Result<&Path, CredentialsError> {
        self.own.as_deref().ok_or(CredentialsError::NoPlace)
    }

    /// Where credentials for `path` of `registry` are found, and of which form they are; an empty path asks for the
    /// registry as a whole. Runs helpers.
    pub fn look(&self, registry: &str, path: &str, cancel: &Cancel) -> Looked {
        self.find(registry, path, &mut Memory::default(), cancel).1
    }

    pub(super) fn for_repository(
        &self,
        repository: &Repository,
        memory: &mut Memory,
        cancel: &Cancel,
    ) -> (Option<Credential>, Looked) {
        self.find(repository.registry(), repository.path(), memory, cancel)
    }

    fn find(
        &self,
        registry: &str,
        path: &str,
        memory: &mut Memory,
        cancel: &Cancel,
    ) -> (Option<Credential>, Looked) {
        let (mut found, mut looked) = (None, Looked::default());
        for place in &self.places {
            let outcome = if found.is_some() {
                Outcome::NotNeeded
            } else {
                match self.look_at(place, registry, path, memory, cancel) {
                    Ok(Answer::Missing) => Outcome::Missing,
                    Ok(Answer::Nothing) => Outcome::NoEntry,
                    Ok(Answer::Found(credential, entry)) => {
                        let form = form_of(&credential);
                        found = Some(credential);
                        Outcome::Used { entry, form }
                    }
                    Err(error) => Outcome::Failed(error),
                }
            };
            looked.places.push((place.clone(), outcome));
        }
        (found, looked)
    }

    fn look_at(
        &self,
        place: &Place,
        registry: &str,
        path: &str,
        memory: &mut Memory,
        cancel: &Cancel,
    ) -> Result<Answer, CredentialsError> {
        let Memory { files, helpers } = memory;
        match place {
            Place::File(file) | Place::OldFile(file) => {
                let old = matches!(place, Place::OldFile(_));
                let read = files.entry(place.clone()).or_insert_with(|| CredentialFile::read(file, old));
                let Some(file) = read.as_ref().map_err(Clone::clone)? else { return Ok(Answer::Missing) };
                let mut ask = |program: &str, server: &str| {
                    helpers
                        .entry((program.to_owned(), server.to_owned()))
                        .or_insert_with(|| helper::ask(program, server, &self.environment, cancel))
                        .clone()
                };
                let found = file.find(registry, path, &mut ask)?;
                Ok(found.map_or(Answer::Nothing, |(found, entry)| Answer::Found(found, Some(entry))))
            }
            Place::GitHub => {
                let variable =
                    |name: &str| self.environment.get(OsStr::new(name)).and_then(|value| value.to_str());
                match variable("GITHUB_TOKEN").filter(|token| !token.is_empty()) {
                    None => Ok(Answer::Missing),
                    Some(token) if registry == "ghcr.io" => {
                        let user = variable("GITHUB_ACTOR").filter(|user| !user.is_empty());
                        Ok(Answer::Found(password_of(user.unwrap_or("github-actions"), token), None))
                    }
                    Some(_) => Ok(Answer::Nothing),
                }
            }
            Place::Given => {
                Ok(self.given.clone().map_or(Answer::Nothing, |given| Answer::Found(given, None)))
            }
        }
    }
}

enum Answer {
    Missing,
    Nothing,
    Found(Credential, Option<String>),
}

fn form_of(credential: &Credential) -> Form {
    match credential {
        Credential::Password { user, .. } => Form::Password { user: super::error::one_line(user) },
        Credential::Identity(_) => Form::IdentityToken,
        Credential::Bearer(_) => Form::BearerToken,
    }
}

/// Whether a folder is there and belongs to this user: what is kept in another's is not kept.
fn is_ours(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
    }

    fn shown(pairs: &[(&str, &str)]) -> Vec<String> {
        CredentialPlaces::of(&environment(pairs)).places.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_order_is_podmans() {
        assert_eq!(
            shown(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/7")]),
            [
                "/run/user/7/containers/auth.json",
                "/h/.config/containers/auth.json",
                "/h/.docker/config.json",
                "/h/.dockercfg"
            ]
        );
        let own = format!("/run/containers/{}/auth.json", rustix::process::getuid().as_raw());
        assert_eq!(
            shown(&[
                ("HOME", "/h"),
                ("XDG_CONFIG_HOME", "/c"),
                ("DOCKER_CONFIG", "/d"),
                ("REGISTRY_AUTH_FILE", ""),
                ("GITHUB_ACTIONS", "true")
            ]),
            [
                own.as_str(),
                "/c/containers/auth.json",
                "/d/config.json",
                "/h/.dockercfg",
                "GITHUB_TOKEN of this GitHub Actions job"
            ]
        );
        assert_eq!(
            shown(&[("HOME", "/h"), ("REGISTRY_AUTH_FILE", "/only.json"), ("GITHUB_ACTIONS", "true")]),
            ["/only.json"]
        );
        assert_eq!(shown(&[]), [own.as_str()]);
    }

    #[test]
    fn a_login_is_kept_where_it_is_looked_for_first() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().to_str().unwrap();
        for (pairs, expected) in [
            (vec![("REGISTRY_AUTH_FILE", "/only.json"), ("HOME", "/h")], Some("/only.json".to_owned())),
            (vec![("XDG_RUNTIME_DIR", here), ("HOME", "/h")], Some(format!("{here}/containers/auth.json"))),
            (
                vec![("XDG_RUNTIME_DIR", "/not/there"), ("HOME", "/h")],
                Some("/h/.config/containers/auth.json".to_owned()),
            ),
            (vec![("XDG_CONFIG_HOME", "/c")], Some("/c/containers/auth.json".to_owned())),
            (vec![], None),
        ] {
            let places = CredentialPlaces::of(&environment(&pairs));
            assert_eq!(places.own_file().ok().map(|path| path.display().to_string()), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_first_place_with_an_entry_wins_and_a_bad_one_does_not_stop() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, json: &str| {
            std::fs::write(folder.path().join(name), json).unwrap();
            Place::File(folder.path().join(name))
        };
        let places = CredentialPlaces {
            places: vec![
                Place::File(folder.path().join("missing")),
                file("bad", "{"),
                file("other", r#"{"auths": {"other.example": {"auth": "dTpwOnc="}, "ghcr.io": {}}}"#),
                file("one", r#"{"auths": {"ghcr.io": {"auth": "b25lOmdlaGVpbQ=="}}}"#),
                file("two", r#"{"auths": {"ghcr.io": {"auth": "dHdvOmdlaGVpbQ=="}}}"#),
            ],
            ..CredentialPlaces::default()
        };
        let looked = places.look("ghcr.io", "acme/web", &Cancel::new());
        assert!(!format!("{looked:?} {places:?}").contains("geheim"));
        let used = Outcome::Used {
            entry: Some("the entry `ghcr.io`".into()),
            form: Form::Password { user: "one".into() },
        };
        let outcomes: Vec<_> = looked.places.iter().map(|(_, outcome)| outcome.clone()).collect();
        assert!(matches!(outcomes[1], Outcome::Failed(CredentialsError::Json { .. })));
        assert_eq!([&outcomes[0], &outcomes[2]], [&Outcome::Missing, &Outcome::NoEntry]);
        assert_eq!([&outcomes[3], &outcomes[4]], [&used, &Outcome::NotNeeded]);
        assert_eq!(
            looked.used().unwrap(),
            format!("the entry `ghcr.io` of {}", folder.path().join("one").display())
        );
        // Only the bad one is left to be told.
        assert!(places.look("unknown.example", "x", &Cancel::new()).failed().is_some());
    }

    #[test]
    fn the_token_of_a_job_is_for_its_own_registry_alone() {
        let job = [("GITHUB_ACTIONS", "true"), ("GITHUB_TOKEN", "geheim"), ("GITHUB_ACTOR", "octo")];
        let look = |pairs: &[(&str, &str)], registry: &str| {
            let places = CredentialPlaces::of(&environment(pairs));
            assert!(!format!("{places:?}").contains("geheim"));
            let looked = places.look(registry, "acme/web", &Cancel::new());
            assert!(!format!("{looked:?}").contains("geheim"));
            looked.used()
        };
        assert_eq!(look(&job, "ghcr.io").unwrap(), "GITHUB_TOKEN of this GitHub Actions job");
        for registry in
            ["docker.io", "evil-ghcr.io", "ghcr.io.evil.example", "ghcr.io:443", "containers.pkg.github.com"]
        {
            assert_eq!(look(&job, registry), None, "{registry}");
        }
        assert_eq!(look(&job[1..], "ghcr.io"), None, "not in a job");
        assert_eq!(look(&[("GITHUB_ACTIONS", "1"), job[1]], "ghcr.io"), None);
        assert_eq!(look(&job[..1], "ghcr.io"), None);
    }

    #[test]
    fn what_was_given_is_used_everywhere() {
        let places = CredentialPlaces::given("me", "geheim");
        assert!(!format!("{places:?}").contains("geheim"));
        assert!(places.look("any.example", "", &Cancel::new()).used().is_some());
    }
}
