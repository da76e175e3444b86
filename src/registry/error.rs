use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::credential_places::Looked;
use super::web::FileError;
use crate::model::{BlobDigest, ReferenceError, Repository};

/// A request as messages may show it: no userinfo, no query, no header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `PUT` …
    pub method: &'static str,
    /// The address without userinfo and query, which may carry signatures.
    pub url: String,
    /// The repository that the request was for.
    pub repository: Repository,
}

impl Request {
    pub(super) fn new(method: &'static str, url: &Url, repository: &Repository) -> Self {
        Self { method, url: redacted(url), repository: repository.clone() }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

/// An address without what may be secret in it.
pub(super) fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    if url.query().is_some() { format!("{shown}?…") } else { shown.to_string() }
}

/// What a registry says of a refusal (distribution-spec, "Error Codes"): code and message, either may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// `MANIFEST_UNKNOWN`, `DENIED` …
    pub code: Option<String>,
    /// Words for people, cut to one line.
    pub message: Option<String>,
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.code, &self.message) {
            (Some(code), Some(message)) => write!(f, ": {code}, {message}"),
            (Some(text), None) | (None, Some(text)) => write!(f, ": {text}"),
            (None, None) => Ok(()),
        }
    }
}

/// Why bytes did not come over: the deepest cause that the network layer names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub(super) String);

/// What went wrong between imgpack and a registry. No variant carries a credential, a token or a signed address.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No connection.
    #[error("cannot reach the registry {}: {request}", request.repository.registry())]
    Unreachable {
        /// What was asked.
        request: Box<Request>,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// A connection that cannot be trusted.
    #[error("no secure connection to {host}: {request}")]
    Tls {
        /// What was asked.
        request: Box<Request>,
        /// Whose certificate it is.
        host: String,
        /// Whether the other side does not speak TLS at all.
        plain: bool,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// A connection that broke.
    #[error("the connection broke: {request}")]
    Broken {
        /// What was asked.
        request: Box<Request>,
        /// How.
        #[source]
        source: Cause,
    },
    /// 401 or 403.
    #[error("{} refuses access to {}: {request} was answered with {status}{detail}",
        request.repository.registry(), request.repository.path())]
    Denied {
        /// What was asked.
        request: Box<Request>,
        /// HTTP status.
        status: u16,
        /// The registry's words.
        detail: Box<Detail>,
        /// Which credentials were looked for; `None` where none would have been sent.
        looked: Option<Box<Looked>>,
    },
    /// The registry does not have it.
    #[error("{what} is not there: {request} was answered with {status}{detail}")]
    NotFound {
        /// The reference, or blob and repository.
        what: String,
        /// What was asked.
        request: Box<Request>,
        /// HTTP status.
        status: u16,
        /// The registry's words.
        detail: Box<Detail>,
    },
    /// Any other answer that is no success.
    #[error("{request} was answered with {status}{detail}")]
    Status {
        /// What was asked.
        request: Box<Request>,
        /// HTTP status.
        status: u16,
        /// The registry's words.
        detail: Box<Detail>,
        /// How long the registry wants us to wait, where that is longer than we do.
        wait: Option<Duration>,
    },
    /// An answer that the protocol does not allow.
    #[error("{request} was answered wrongly: {reason}")]
    Protocol {
        /// What was asked.
        request: Box<Request>,
        /// What is wrong with the answer.
        reason: String,
    },
    /// An address named by the registry that imgpack does not follow.
    #[error("{} names an address that is not followed: {request} led to {to}, {reason}", request.repository.registry())]
    Address {
        /// What was asked.
        request: Box<Request>,
        /// The address, without userinfo and query.
        to: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// Bytes with another digest than promised.
    #[error("{what} has other content than its digest says: expected {expected}, found {found}")]
    Digest {
        /// What was read.
        what: String,
        /// The digest asked for.
        expected: BlobDigest,
        /// The digest of what came.
        found: BlobDigest,
    },
    /// More or fewer bytes than promised.
    #[error("{what} has another size than its descriptor says: expected {expected} bytes, found {}{found}",
        if *more { "at least " } else { "" })]
    Size {
        /// What was read.
        what: String,
        /// Bytes expected.
        expected: u64,
        /// Bytes found.
        found: u64,
        /// Whether reading stopped there, with more to come.
        more: bool,
    },
    /// A manifest that imgpack does not read.
    #[error("cannot use the manifest {reference}: {reason}")]
    Manifest {
        /// The reference.
        reference: String,
        /// Why not.
        reason: String,
    },
    /// A token server that gets no credentials.
    #[error(
        "{registry} wants the credentials for it to be sent to {realm}, which is not known to belong to it"
    )]
    Realm {
        /// The registry.
        registry: String,
        /// The token server's host.
        realm: String,
    },
    /// A registry as a whole that does not let us in.
    #[error("{} {}: {request} was answered with {status}{detail}", request.repository.registry(),
        if *sent { "does not take these credentials" } else { "lets nobody in without credentials" })]
    Login {
        /// What was asked.
        request: Box<Request>,
        /// Whether there were any.
        sent: bool,
        /// HTTP status.
        status: u16,
        /// The registry's words.
        detail: Box<Detail>,
    },
    /// A file that cannot be read while it is pushed.
    #[error("cannot read {what} to push it")]
    Read {
        /// The blob or its path.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A blob that was read cannot be kept.
    #[error("cannot write the blob {digest} that was pulled")]
    Write {
        /// The blob.
        digest: BlobDigest,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file of certificates that cannot be used.
    #[error("cannot use the certificates of {}", path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// No network client on this machine.
    #[error("cannot set up network access")]
    Setup {
        /// Why not.
        #[source]
        source: Cause,
    },
    /// A file of the network.
    #[error(transparent)]
    File(Box<FileError>),
    /// A tag that is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// One tag asked to name two images.
    #[error("{reference} would be two images: {first} and {second}")]
    Conflict {
        /// The reference with the tag.
        reference: String,
        /// One digest.
        first: BlobDigest,
        /// The other.
        second: BlobDigest,
    },
    /// Tags that must not move, and are other images.
    #[error("{}", taken(tags))]
    Immutable {
        /// At least one, in order.
        tags: Vec<TakenTag>,
    },
    /// Everything is stored, but of several tags not all could be set.
    #[error("{}", half_tagged(moved, left))]
    Tags {
        /// References that point to their images now.
        moved: Vec<String>,
        /// References of which that is not known.
        left: Vec<String>,
        /// What happened to the first of these.
        #[source]
        source: Box<RegistryError>,
    },
    /// A tag that names something else and does not move.
    #[error("{reference} exists as {found} and was not moved")]
    Kept {
        /// The reference with the tag.
        reference: String,
        /// What it names.
        found: BlobDigest,
        /// The registry's refusal.
        #[source]
        source: Box<RegistryError>,
    },
    /// Something that only a registry knows, where nobody may ask one.
    #[error("{what} is not known here, and --offline lets no request leave")]
    Offline {
        /// What was wanted.
        what: String,
        /// Whether it may be another one each time it is asked for.
        moves: bool,
    },
    /// The work was asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl From<FileError> for RegistryError {
    fn from(error: FileError) -> Self {
        Self::File(Box::new(error))
    }
}

/// A tag that must not move and is another image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TakenTag {
    /// The reference with the tag.
    pub reference: String,
    /// What it is.
    pub is: BlobDigest,
    /// What the push would make it.
    pub wanted: BlobDigest,
}

fn taken(tags: &[TakenTag]) -> String {
    let Some((first, others)) = tags.split_first() else { return String::new() };
    let TakenTag { reference, is, wanted } = first;
    let mut text = format!("{reference} must not move: it is {is}, and this push would make it {wanted}");
    if !others.is_empty() {
        let others: Vec<&str> = others.iter().map(|tag| tag.reference.as_str()).collect();
        text.push_str(&format!("; the same goes for {}", others.join(", ")));
    }
    text
}

fn half_tagged(moved: &[String], left: &[String]) -> String {
    let left = left.join(", ");
    match moved {
        [] => format!("no tag moved: {left}"),
        moved => format!("not every tag moved: {} did, {left} did not", moved.join(", ")),
    }
}

impl RegistryError {
    /// The repository whose registry was asked, where one was.
    pub(super) fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Unreachable { request, .. }
            | Self::Tls { request, .. }
            | Self::Broken { request, .. }
            | Self::Denied { request, .. }
            | Self::NotFound { request, .. }
            | Self::Status { request, .. }
            | Self::Protocol { request, .. }
            | Self::Address { request, .. } => Some(&request.repository),
            _ => None,
        }
    }

    /// Whether a manifest was refused because something that it names is not there (MANIFEST_BLOB_UNKNOWN in the
    /// distribution-spec; registries also say 404, or 400 without a code).
    pub(super) fn is_missing_part(&self) -> bool {
        match self {
            Self::NotFound { request, .. } => request.method == "PUT",
            Self::Status { request, status, .. } => request.method == "PUT" && *status == 400,
            _ => false,
        }
    }

    /// Whether the registry said that it does not have what was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the work was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { request, .. } => Some(reach_hint(&request.repository)),
            Self::Tls { plain: true, .. } => Some(
                "it seems to speak plain http; where the network may be trusted with passwords and images, name the \
                 registry in IMGPACK_HTTP_REGISTRIES"
                    .into(),
            ),
            // The name of TLS's alert (RFC 8446, 6), as rustls writes it.
            Self::Tls { host, source, .. } if source.0.contains("alert: CertificateRequired") => {
                Some(format!(
                    "{host} wants to see a certificate of this machine; docs/credentials.md says where it is kept"
                ))
            }
            Self::Tls { host, .. } => {
                Some(format!("if {host} has a certificate of your own CA, name its file in IMGPACK_CA_FILE"))
            }
            Self::Denied { request, looked: Some(looked), .. } => Some(denied_hint(request, looked)),
            Self::NotFound { request, .. } => {
                Some(format!("`{}` may be misspelt, or not be pushed yet", request.repository))
            }
            Self::Status { wait: Some(wait), .. } => {
                Some(format!("the registry asks to come back in {} s", wait.as_secs()))
            }
            Self::Status { status: 429, .. } => {
                Some("the registry limits requests; log in, or try later".into())
            }
            Self::Status { status: 405, request, .. } if request.method == "POST" => Some(format!(
                "{} takes no pushes: it is read-only, or a cache of another registry",
                request.repository.registry()
            )),
            Self::Address { request, reason, .. } if *reason == HTTP_ADDRESS => Some(format!(
                "if {} stands behind a proxy that ends TLS, the proxy has to pass on X-Forwarded-Proto: https",
                request.repository.registry()
            )),
            Self::Realm { registry, realm } => Some(format!(
                "if {registry} gives its tokens there, write `auth: {{ realms: {{ \"{registry}\": [{realm}] }} }}` in imgpack.yaml"
            )),
            // Who may not write at all is told by the blobs before.
            Self::Kept { .. } => Some("the tag seems to be immutable: push under another tag".into()),
            Self::File(error) => error.hint(),
            Self::Immutable { .. } => Some(
                "imgpack.yaml says so (`tags.immutable`), and nothing was tagged: give what changed another tag".into(),
            ),
            Self::Tags { source, .. } => Some(source.hint().unwrap_or_else(|| {
                "all images are stored: the same command again only sets the tags that are left".into()
            })),
            Self::Offline { moves: true, .. } => {
                Some("run `imgpack lock` without --offline: what is pinned needs no question".into())
            }
            Self::Offline { moves: false, .. } => {
                Some("run once without --offline: what it brings is kept".into())
            }
            _ => None,
        }
    }
}

pub(super) const HTTP_ADDRESS: &str = "and http is spoken only with this machine";

fn reach_hint(repository: &Repository) -> String {
    if repository.is_loopback() {
        format!("is a registry listening on {}?", repository.registry())
    } else {
        format!("is `{}` the right host, and can this machine reach it over https?", repository.registry())
    }
}

fn denied_hint(request: &Request, looked: &Looked) -> String {
    let repository = &request.repository;
    if let Some(used) = looked.used() {
        return format!(
            "{used} was used; it may have expired, or not be allowed to {} {}",
            if matches!(request.method, "GET" | "HEAD") { "read" } else { "write" },
            repository.path()
        );
    }
    if looked.places.is_empty() {
        return "no credentials file was given".to_owned();
    }
    if let Some(error) = looked.failed() {
        let way = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        return format!("no credentials were found: {}{way}", error.told());
    }
    format!(
        "there are no credentials for it; `imgpack auth login {}` keeps some, `imgpack auth explain {repository}` \
         shows where they are looked for",
        repository.registry()
    )
}

/// One line of at most 300 characters without control characters: what a registry says is not trusted to be text.
pub(super) fn one_line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(301).collect();
    if line.chars().count() > 300 {
        line.pop();
        line.push('…');
    }
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::credential_places::{Form, Outcome, Place};
    use super::super::credentials::CredentialsError;
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let url = Url::parse("https://user:geheim@s3.example/x?X-Amz-Signature=geheim#geheim").unwrap();
        assert_eq!(redacted(&url), "https://s3.example/x?…");
    }

    #[test]
    fn a_registrys_words_become_one_line() {
        assert_eq!(one_line("a\u{1b}[31m\nb\u{9b}c "), "a [31m b c");
        assert_eq!(one_line(&"x".repeat(1000)).chars().count(), 301);
    }

    #[test]
    fn denied_names_the_place_and_the_entry() {
        let url = Url::parse("https://ghcr.io/v2/acme/web/blobs/uploads/").unwrap();
        let repository: Repository = "ghcr.io/acme/web".parse().unwrap();
        let hint = |looked: Looked| {
            RegistryError::Denied {
                request: Box::new(Request::new("POST", &url, &repository)),
                status: 403,
                detail: Box::default(),
                looked: Some(Box::new(looked)),
            }
            .hint()
            .unwrap()
        };
        let file = || Place::File("/h/config.json".into());
        let used = |entry: Option<&str>| Outcome::Used {
            entry: entry.map(str::to_owned),
            form: Form::Password { user: "me".into() },
        };
        let helper = CredentialsError::Helper {
            program: "docker-credential-x".into(),
            reason: "is in no folder of PATH".into(),
        };
        for (places, text) in [
            (vec![], "no credentials file was given"),
            (
                vec![(file(), Outcome::Missing), (file(), Outcome::NoEntry)],
                "there are no credentials for it; `imgpack auth login ghcr.io` keeps some, `imgpack auth explain \
                 ghcr.io/acme/web` shows where they are looked for",
            ),
            (
                vec![(file(), Outcome::Failed(helper)), (file(), Outcome::NoEntry)],
                "no credentials were found: the credential helper docker-credential-x is in no folder of PATH; \
                 install docker-credential-x, or remove it from credHelpers and credsStore",
            ),
            (
                vec![(file(), Outcome::NoEntry), (file(), used(Some("the entry `ghcr.io`")))],
                "the entry `ghcr.io` of /h/config.json was used; it may have expired, or not be allowed to write acme/web",
            ),
            (
                vec![(Place::GitHub, used(None))],
                "GITHUB_TOKEN of this GitHub Actions job was used; it may have expired, or not be allowed to write \
                 acme/web",
            ),
        ] {
            assert_eq!(hint(Looked { places }), text);
        }
    }
}
