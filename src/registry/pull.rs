//! Pulling blobs by one request each, whose every step elsewhere is judged by our rules.

use std::io::Write;
use std::pin::pin;

use futures_util::{Stream, StreamExt as _};
use reqwest::Method;
use reqwest::header::CONTENT_RANGE;

use super::auth::Access;
use super::error::{Cause, RegistryError, Request};
use super::http::{Http, is_passing_error, transport};
use super::runtime::{sleep, within};
use crate::model::{BlobDigest, Descriptor, Hasher, Repository};

/// A blob on its way, from one place or from several: what came so far is hashed and counted.
pub(super) struct Arriving<'a> {
    /// What comes, from where it comes now.
    what: String,
    blob: &'a Descriptor,
    sink: &'a mut dyn Write,
    hasher: Hasher,
    written: u64,
}

impl<'a> Arriving<'a> {
    pub(super) fn new(blob: &'a Descriptor, sink: &'a mut dyn Write) -> Self {
        Self { what: String::new(), blob, sink, hasher: Hasher::new(), written: 0 }
    }

    /// Takes a stream that begins at `skip` bytes before what is still missing. `Ok(false)` when it ended too early.
    async fn take<B: AsRef<[u8]>, E>(
        &mut self,
        stream: impl Stream<Item = Result<B, E>>,
        mut skip: u64,
        stall: std::time::Duration,
    ) -> Result<Result<(), Option<E>>, RegistryError> {
        let mut stream = pin!(stream);
        while self.written < self.blob.size || skip > 0 {
            let chunk = match within(stall, stream.next()).await {
                Some(Some(Ok(chunk))) => chunk,
                Some(Some(Err(error))) => return Ok(Err(Some(error))),
                Some(None) => return Ok(Ok(())),
                None => return Ok(Err(None)),
            };
            let chunk = chunk.as_ref();
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= known as u64;
            self.write(&chunk[known..])?;
        }
        // Whatever follows the last byte is too much.
        if let Some(Some(Ok(chunk))) = within(stall, stream.next()).await {
            self.write(chunk.as_ref())?;
        }
        Ok(Ok(()))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        let found = self.written + bytes.len() as u64;
        if found > self.blob.size {
            return Err(RegistryError::Size {
                what: self.what.clone(),
                expected: self.blob.size,
                found,
                more: true,
            });
        }
        self.hasher.update(bytes);
        self.sink
            .write_all(bytes)
            .map_err(|source| RegistryError::Write { digest: self.blob.digest, source })?;
        self.written = found;
        Ok(())
    }

    /// Compares what came with the digest that was asked for.
    pub(super) fn finish(self) -> Result<(), RegistryError> {
        let found = BlobDigest(self.hasher.finish());
        if found != self.blob.digest {
            return Err(RegistryError::Digest { what: self.what, expected: self.blob.digest, found });
        }
        self.sink.flush().map_err(|source| RegistryError::Write { digest: self.blob.digest, source })
    }
}

impl Http {
    /// Gets what is missing of a blob from one repository.
    pub(super) async fn bring(
        &self,
        repository: &Repository,
        arriving: &mut Arriving<'_>,
    ) -> Result<(), RegistryError> {
        let blob = arriving.blob;
        arriving.what = format!("the blob {} of {repository}", blob.digest);
        let mut failures = 0;
        loop {
            let before = arriving.written;
            let result = self.fetch(repository, arriving).await;
            let error = match result {
                Ok(()) if arriving.written == blob.size => {
                    self.holders.add(repository, blob.digest);
                    return Ok(());
                }
                Ok(()) => {
                    let call = self.call(Method::GET, repository, &path_of(blob), Access::Pull)?;
                    let ended = format!("it ended after {} of {} bytes", arriving.written, blob.size);
                    RegistryError::Broken { request: Box::new(call.request()), source: Cause(ended) }
                }
                Err(error) => error,
            };
            // A line that breaks again and again but brings something each time gets through in the end.
            failures = if arriving.written > before { 1 } else { failures + 1 };
            match self.retry.wait(failures, None) {
                Some(wait) if is_passing_error(&error) => sleep(wait).await,
                _ => return Err(error),
            }
        }
    }

    /// One try to get what is missing. A range is asked for where a part is there already.
    async fn fetch(&self, repository: &Repository, arriving: &mut Arriving<'_>) -> Result<(), RegistryError> {
        let mut call = self.call(Method::GET, repository, &path_of(arriving.blob), Access::Pull)?;
        call.range = Some(arriving.written).filter(|written| *written > 0);
        let mut response = self.send(&call).await?;
        if response.status() == 416 && call.range.take().is_some() {
            // Some registries know no range without an end: the whole again, and what is known of it is skipped.
            response = self.send(&call).await?;
        }
        if !response.status().is_success() {
            return Err(self.refusal(&call, response, &arriving.what).await);
        }
        let partial = response.status() == 206
            && response
                .headers()
                .get(CONTENT_RANGE)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|text| text.starts_with(&format!("bytes {}-", arriving.written)));
        let skip = if partial { 0 } else { arriving.written };
        let said = response.content_length().filter(|_| !partial);
        if let Some(found) = said.filter(|found| *found != arriving.blob.size) {
            let (what, expected) = (arriving.what.clone(), arriving.blob.size);
            return Err(RegistryError::Size { what, expected, found, more: false });
        }
        let url = response.url().clone();
        let request = Box::new(Request::new("GET", &url, repository));
        match arriving.take(response.bytes_stream(), skip, self.patience.stall).await? {
            Ok(()) => Ok(()),
            Err(Some(error)) => Err(transport(request, &url, &error)),
            Err(None) => Err(RegistryError::Broken { request, source: stalled() }),
        }
    }
}

fn path_of(blob: &Descriptor) -> String {
    format!("blobs/{}", blob.digest)
}

fn stalled() -> Cause {
    Cause("nothing came any more".to_owned())
}
