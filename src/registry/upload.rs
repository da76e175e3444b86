//! Pushing a blob: HEAD, then a session, then one PUT with all the bytes. What breaks goes on where the registry says that
//! it stands, in chunks (distribution-spec, "Pushing blobs").

use std::time::Duration;

use reqwest::Method;

use super::auth::Access;
use super::document::stored_as;
use super::error::RegistryError;
use super::http::{Http, asked_wait, is_passing_error};
use super::input::Input;
use super::port::{BlobSource, Pushed};
use super::retry::is_passing;
use super::runtime::sleep;
use super::session::{Answered, Part, Session, stored};
use crate::model::{BlobDigest, Descriptor, Repository};

/// Sizes of chunks, in bytes. The first is what GHCR takes at most; the others are for proxies that limit bodies.
const CHUNKS: [u64; 3] = [4 << 20, 1 << 20, 256 << 10];
/// A blob that is sent whole breaks so often before it is sent in chunks.
const WHOLE: u32 = 2;
/// However far each try gets, after so many faults it is enough.
const FAULTS: u32 = 100;

/// What a POST came to.
pub(super) enum Begun<'a> {
    /// The blob is there.
    Stored,
    /// It was taken over from another repository.
    Mounted,
    Session(Session<'a>),
}

impl Http {
    /// Whether a blob is in a repository, as far as HEAD says.
    pub(super) async fn has_blob(
        &self,
        repository: &Repository,
        digest: BlobDigest,
        access: Access<'_>,
    ) -> Result<bool, RegistryError> {
        let mut call = self.call(Method::HEAD, repository, &format!("blobs/{digest}"), access)?;
        // A registry that would send us elsewhere for the bytes has them.
        call.follow = false;
        let response = self.send(&call).await?;
        match response.status().as_u16() {
            200..=399 => Ok(true),
            401 | 403 | 429 | 500.. => {
                Err(self.refusal(&call, response, &format!("the blob {digest} of {repository}")).await)
            }
            _ => Ok(false),
        }
    }

    pub(super) async fn push_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        source: &BlobSource,
        progress: &dyn Fn(u64),
    ) -> Result<Pushed, RegistryError> {
        if self.has_blob(repository, blob.digest, Access::Push).await? {
            self.holders.add(repository, blob.digest);
            return Ok(Pushed::EXISTED);
        }
        let input = Input::open(self, blob, source)?;
        if let BlobSource::Registry(from) = source {
            self.holders.add(from, blob.digest);
        }
        let begun = match self.mount(repository, blob.digest).await? {
            Some(begun) => begun,
            None => self.begin(repository).await?,
        };
        let upload = Upload {
            http: self,
            repository,
            blob,
            input,
            progress,
            handed: 0,
            most: 0,
            chunk: None,
            broken: 0,
            failures: 0,
            faults: 0,
            challenged: false,
        };
        let pushed = upload.run(begun).await?;
        self.holders.add(repository, blob.digest);
        Ok(pushed)
    }

    /// Opens a session.
    pub(super) async fn begin<'a>(&self, repository: &'a Repository) -> Result<Begun<'a>, RegistryError> {
        let mut call = self.call(Method::POST, repository, "blobs/uploads/", Access::Push)?;
        call.follow = false;
        call.body = Some(("application/octet-stream", &[]));
        let response = self.send(&call).await?;
        match response.status().as_u16() {
            201 => Ok(Begun::Stored),
            202 => Ok(Begun::Session(Session::begun(self, repository, &call, response.headers()).await?)),
            200..=399 => Err(RegistryError::Protocol {
                request: Box::new(call.request()),
                reason: format!("{} instead of 202 for an upload", response.status()),
            }),
            _ => Err(self.refusal(&call, response, &repository.to_string()).await),
        }
    }
}

/// A blob on its way, over as many sessions as it takes.
struct Upload<'a> {
    http: &'a Http,
    repository: &'a Repository,
    blob: &'a Descriptor,
    input: Input<'a>,
    progress: &'a dyn Fn(u64),
    /// Bytes handed to the network, all tries together.
    handed: u64,
    /// The most that a session was known to hold.
    most: u64,
    /// The size of chunks, where a new session gets no single PUT.
    chunk: Option<u64>,
    /// PUTs of the whole blob that broke.
    broken: u32,
    /// Faults since `most` grew, and in all.
    failures: u32,
    faults: u32,
    /// Whether a new token was got since `most` grew.
    challenged: bool,
}

/// Why a session did not go on.
struct Fault {
    error: RegistryError,
    kind: FaultKind,
    /// What the registry's `Retry-After` says.
    asked: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FaultKind {
    /// Nothing helps.
    Final,
    /// Passing: the session says where it stands.
    Unknown,
    /// The session cannot be used any more.
    Lost,
    /// A new token is there.
    Expired,
    /// The body was too large.
    Large,
}

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Self {
        let kind = if is_passing_error(&error) { FaultKind::Unknown } else { FaultKind::Final };
        Self { error, kind, asked: None }
    }
}

impl<'a> Upload<'a> {
    async fn run(mut self, begun: Begun<'a>) -> Result<Pushed, RegistryError> {
        let mut next = begun;
        loop {
            let mut session = match next {
                Begun::Stored => return Ok(self.pushed()),
                Begun::Mounted => return Ok(Pushed::MOUNTED),
                Begun::Session(session) => session,
            };
            next = match self.advance(&mut session).await {
                Ok(()) => Begun::Stored,
                Err(fault) => self.recover(session, fault).await?,
            };
        }
    }

    fn pushed(&self) -> Pushed {
        if self.handed == 0 && self.blob.size > 0 {
            return Pushed::EXISTED;
        }
        let sent = self.blob.size;
        Pushed { sent, resent: self.handed.saturating_sub(sent), ..Pushed::default() }
    }

    /// Sends what a session lacks, to the end.
    async fn advance(&mut self, session: &mut Session<'a>) -> Result<(), Fault> {
        let size = self.blob.size;
        let whole = session.stored == 0 && self.chunk.is_none();
        while !whole && session.stored < size {
            let length = self.chunk.unwrap_or(CHUNKS[0]).max(session.least);
            let end = session.stored.saturating_add(length).min(size);
            let answered = self.send(session, Part::Chunk, end).await?;
            let headers = answered.response.headers();
            let found = stored(headers, end).or_else(|| (!headers.contains_key("range")).then_some(end));
            let wrong = |kind, reason: String| {
                let request = answered.request.clone();
                Fault { error: RegistryError::Protocol { request, reason }, kind, asked: None }
            };
            match found {
                Some(found) if found > end => {
                    let reason = format!("it holds {found} bytes of {end} that were sent");
                    return Err(wrong(FaultKind::Lost, reason));
                }
                Some(found) if found > session.stored => session.stored = found,
                _ => {
                    let reason = format!("it stays at {} of {size} bytes", session.stored);
                    return Err(wrong(FaultKind::Unknown, reason));
                }
            }
            session.follow(self.http, &answered.request, headers).await?;
            self.reached(session.stored);
        }
        let answered = self.send(session, Part::Rest(self.blob.digest), size).await?;
        Ok(stored_as(&answered.response, &self.what(), self.blob.digest)?)
    }

    /// One request of a session; a success, or the fault that it is.
    async fn send(&mut self, session: &mut Session<'a>, part: Part, end: u64) -> Result<Answered, Fault> {
        let range = session.stored..end;
        let (whole, progress, mut at) =
            (part != Part::Chunk && !range.is_empty(), self.progress, range.start);
        let handed = &mut self.handed;
        let mut told = |count| {
            *handed += count;
            at += count;
            progress(at);
        };
        let result = session.send(self.http, part, &mut self.input, range, &mut told).await;
        let answered = match result {
            Ok(answered) if answered.response.status().is_success() => return Ok(answered),
            Ok(answered) => answered,
            Err(error) => {
                self.broken += u32::from(whole);
                return Err(error.into());
            }
        };
        let Answered { request, response, own } = answered;
        let (http, status, asked) = (self.http, response.status().as_u16(), asked_wait(&response));
        let kind = match status {
            300..=399 => {
                let reason = "an upload is redirected".to_owned();
                return Err(RegistryError::Protocol { request, reason }.into());
            }
            401 if own && !self.challenged => {
                self.challenged = true;
                if http.answer(self.repository, Access::Push, response.headers()).await? {
                    FaultKind::Expired
                } else {
                    FaultKind::Final
                }
            }
            413 => FaultKind::Large,
            // Another offset, in words that differ.
            416 => FaultKind::Unknown,
            // It takes no chunks.
            405 | 501 if part == Part::Chunk => FaultKind::Lost,
            status if is_passing(status) => {
                self.broken += u32::from(whole && status != 429);
                FaultKind::Unknown
            }
            _ => FaultKind::Final,
        };
        let what = self.what();
        let looked = || own.then(|| http.auth.looked(self.repository));
        let error = http.refusal_of(request, response, &what, looked).await;
        let resumed = part != Part::Chunk && !whole;
        let kind = match kind {
            FaultKind::Final if is_lost_session(&error, resumed) => FaultKind::Lost,
            kind => kind,
        };
        if matches!(status, 405 | 501) && kind == FaultKind::Lost {
            self.chunk = None;
        }
        Err(Fault { error, kind, asked })
    }

    /// What follows a fault, after the wait that it asks for.
    async fn recover(&mut self, mut session: Session<'a>, fault: Fault) -> Result<Begun<'a>, RegistryError> {
        let Fault { error, kind, asked } = fault;
        let smaller = |than: u64| CHUNKS.into_iter().find(|chunk| *chunk < than && *chunk >= session.least);
        match kind {
            FaultKind::Final => return Err(error),
            FaultKind::Large => match smaller(self.chunk.unwrap_or(self.blob.size)) {
                Some(chunk) => self.chunk = Some(chunk),
                None => return Err(error),
            },
            _ => {}
        }
        self.failures += 1;
        self.faults += 1;
        if self.chunk.is_none() && self.broken >= WHOLE && self.blob.size > CHUNKS[0] {
            // What is known to be stored is kept from now on.
            self.chunk = Some(CHUNKS[0]);
        }
        match self.http.retry.wait(self.failures, asked).filter(|_| self.faults < FAULTS) {
            Some(_) if matches!(kind, FaultKind::Expired | FaultKind::Large) => {}
            Some(wait) => sleep(wait).await,
            None => return Err(error),
        }
        // It may have been stored though the answer says otherwise, or never came.
        let all = session.handed == self.blob.size;
        if all && kind == FaultKind::Unknown && self.has_blob().await? {
            return Ok(Begun::Stored);
        }
        if kind != FaultKind::Lost
            && let Some(stored) = session.ask(self.http, self.blob.size).await?
        {
            self.reached(stored);
            return Ok(Begun::Session(session));
        }
        (self.progress)(0);
        self.http.begin(self.repository).await
    }

    async fn has_blob(&self) -> Result<bool, RegistryError> {
        self.http.has_blob(self.repository, self.blob.digest, Access::Push).await
    }

    /// So much is known to be stored.
    fn reached(&mut self, stored: u64) {
        if stored > self.most {
            self.most = stored;
            self.failures = 0;
            self.challenged = false;
        }
        (self.progress)(stored);
    }

    fn what(&self) -> String {
        format!("the blob {} of {}", self.blob.digest, self.repository)
    }
}

/// Whether the registry forgot the upload that it began, or (`resumed`) put it together wrongly.
fn is_lost_session(error: &RegistryError, resumed: bool) -> bool {
    let (RegistryError::NotFound { detail, .. } | RegistryError::Status { detail, .. }) = error else {
        return false;
    };
    match detail.code.as_deref() {
        Some("BLOB_UPLOAD_UNKNOWN" | "BLOB_UPLOAD_INVALID") => true,
        Some("DIGEST_INVALID") => resumed,
        _ => matches!(error, RegistryError::NotFound { .. }),
    }
}
