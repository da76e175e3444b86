//! The bytes of a blob on their way up, readable from any place again.

use std::fs::File;
use std::io;
use std::path::Path;

use reqwest::header::CONTENT_RANGE;
use reqwest::{Method, Response};

use super::auth::Access;
use super::error::{Cause, RegistryError, Request};
use super::http::{Http, is_passing_error, transport};
use super::port::BlobSource;
use super::runtime::{FileReader, sleep, within};
use crate::model::{BlobDigest, Descriptor, Hasher, Repository};

/// How much is read and handed on at once, in bytes.
const PIECE: usize = 256 * 1024;

/// A blob that is read while it is pushed.
pub(super) struct Input<'a> {
    http: &'a Http,
    blob: &'a Descriptor,
    kind: Kind<'a>,
    at: u64,
}

enum Kind<'a> {
    Bytes(&'a [u8]),
    File(&'a Path, FileReader),
    Registry(Relay<'a>),
}

/// A blob that comes from another repository. What passes is hashed once, however often it is read.
struct Relay<'a> {
    from: &'a Repository,
    response: Option<Response>,
    /// What came and was not taken.
    rest: Vec<u8>,
    /// How much of the answer lies before the place that was asked for.
    skip: u64,
    hasher: Hasher,
    hashed: u64,
    /// Tries since something came.
    failures: u32,
}

impl<'a> Input<'a> {
    /// Opens a file; another registry is asked with the first byte.
    pub(super) fn open(
        http: &'a Http,
        blob: &'a Descriptor,
        source: &'a BlobSource,
    ) -> Result<Self, RegistryError> {
        let kind = match source {
            BlobSource::Bytes(bytes) => {
                of_size(blob, format!("the blob {}", blob.digest), bytes.len() as u64)?;
                Kind::Bytes(bytes)
            }
            BlobSource::File(path) => {
                let file = File::open(path).map_err(|source| unreadable(path, source))?;
                let length = file.metadata().map_err(|source| unreadable(path, source))?.len();
                of_size(blob, format!("the blob {}", blob.digest), length)?;
                Kind::File(path, FileReader::new(file))
            }
            BlobSource::Registry(from) => Kind::Registry(Relay {
                from,
                response: None,
                rest: Vec::new(),
                skip: 0,
                hasher: Hasher::new(),
                hashed: 0,
                failures: 0,
            }),
        };
        Ok(Self { http, blob, kind, at: 0 })
    }

    /// How many bytes lie before the next one.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Goes on at another place.
    pub(super) async fn seek(&mut self, to: u64) -> Result<(), RegistryError> {
        if self.at == to {
            return Ok(());
        }
        match &mut self.kind {
            Kind::Bytes(_) => {}
            Kind::File(path, reader) => reader.seek(to).await.map_err(|source| unreadable(path, source))?,
            Kind::Registry(relay) => {
                relay.response = None;
                relay.rest.clear();
            }
        }
        self.at = to;
        Ok(())
    }

    /// The next bytes before `end`, at least one. The last bytes of a blob of another repository are given only when
    /// all of it proved to be what its digest says.
    pub(super) async fn next(&mut self, end: u64) -> Result<Vec<u8>, RegistryError> {
        let most = usize::try_from(end - self.at).unwrap_or(PIECE).min(PIECE);
        let bytes = match &mut self.kind {
            Kind::Bytes(bytes) => {
                let at = usize::try_from(self.at).unwrap_or(usize::MAX);
                bytes.get(at..at.saturating_add(most)).unwrap_or_default().to_vec()
            }
            Kind::File(path, reader) => reader.read(most).await.map_err(|source| unreadable(path, source))?,
            Kind::Registry(relay) => relay.next(self.http, self.blob, self.at, most).await?,
        };
        if bytes.is_empty() {
            return Err(RegistryError::Size {
                what: format!("the blob {}", self.blob.digest),
                expected: self.blob.size,
                found: self.at,
                more: false,
            });
        }
        self.at += bytes.len() as u64;
        Ok(bytes)
    }
}

impl Relay<'_> {
    async fn next(
        &mut self,
        http: &Http,
        blob: &Descriptor,
        at: u64,
        most: usize,
    ) -> Result<Vec<u8>, RegistryError> {
        while self.rest.is_empty() {
            let error = match self.arrive(http, blob, at).await {
                Ok(()) => continue,
                Err(error) => error,
            };
            self.response = None;
            self.failures += 1;
            match http.retry.wait(self.failures, None) {
                Some(wait) if is_passing_error(&error) => sleep(wait).await,
                _ => return Err(error),
            }
        }
        self.failures = 0;
        let left = self.rest.split_off(most.min(self.rest.len()));
        let bytes = std::mem::replace(&mut self.rest, left);
        self.check(blob, at, &bytes)?;
        Ok(bytes)
    }

    /// Waits for more of the answer, asking for it first where there is none.
    async fn arrive(&mut self, http: &Http, blob: &Descriptor, at: u64) -> Result<(), RegistryError> {
        let mut response = if let Some(response) = self.response.take() {
            response
        } else {
            let (response, skip) = self.ask(http, blob, at).await?;
            self.skip = skip;
            response
        };
        let url = response.url().clone();
        let request = || Box::new(Request::new("GET", &url, self.from));
        let broken = |words: String| RegistryError::Broken { request: request(), source: Cause(words) };
        let bytes = within(http.patience.stall, response.chunk())
            .await
            .ok_or_else(|| broken("nothing came any more".to_owned()))?
            .map_err(|error| transport(request(), &url, &error))?
            .ok_or_else(|| broken(format!("it ended after {at} of {} bytes", blob.size)))?;
        self.response = Some(response);
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        self.rest.extend_from_slice(&bytes[skipped..]);
        let found = at + self.rest.len() as u64;
        if found > blob.size {
            let (what, expected) = (self.what(blob), blob.size);
            return Err(RegistryError::Size { what, expected, found, more: true });
        }
        Ok(())
    }

    /// Asks for the blob from `at` on; how many bytes before that come nevertheless.
    async fn ask(&self, http: &Http, blob: &Descriptor, at: u64) -> Result<(Response, u64), RegistryError> {
        let path = format!("blobs/{}", blob.digest);
        let mut call = http.call(Method::GET, self.from, &path, Access::Pull)?;
        call.range = Some(at).filter(|at| *at > 0);
        let response = http.send(&call).await?;
        if !response.status().is_success() {
            return Err(http.refusal(&call, response, &self.what(blob)).await);
        }
        let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        if response.status() == 206 && range.is_some_and(|text| text.starts_with(&format!("bytes {at}-"))) {
            return Ok((response, 0));
        }
        of_size(blob, self.what(blob), response.content_length().unwrap_or(blob.size))?;
        Ok((response, at))
    }

    fn check(&mut self, blob: &Descriptor, at: u64, bytes: &[u8]) -> Result<(), RegistryError> {
        let known = usize::try_from(self.hashed.saturating_sub(at)).unwrap_or(usize::MAX);
        let Some(new) = bytes.get(known..).filter(|new| !new.is_empty()) else { return Ok(()) };
        self.hasher.update(new);
        self.hashed += new.len() as u64;
        if self.hashed < blob.size {
            return Ok(());
        }
        let found = BlobDigest(std::mem::take(&mut self.hasher).finish());
        if found == blob.digest {
            return Ok(());
        }
        Err(RegistryError::Digest { what: self.what(blob), expected: blob.digest, found })
    }

    fn what(&self, blob: &Descriptor) -> String {
        format!("the blob {} of {}", blob.digest, self.from)
    }
}

fn unreadable(path: &Path, source: io::Error) -> RegistryError {
    RegistryError::Read { what: path.display().to_string(), source }
}

/// Bytes that are not the blob are told from a registry that is wrong.
fn of_size(blob: &Descriptor, what: String, found: u64) -> Result<(), RegistryError> {
    if found == blob.size {
        return Ok(());
    }
    Err(RegistryError::Size { what, expected: blob.size, found, more: false })
}
