//! Pushing a blob: HEAD, then POST for a place, then one PUT with the bytes (distribution-spec, "POST then PUT").

use std::fs::File;
use std::io;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, Response, Url};

use super::address;
use super::auth::Access;
use super::document::stored_as;
use super::error::{Cause, RegistryError, Request};
use super::http::{Call, Http, is_passing_error, root, transport};
use super::port::{BlobSource, Pushed};
use super::runtime::{file_body, send_watched, sleep, within};
use crate::model::{BlobDigest, Descriptor, Repository};

impl Http {
    /// Whether a blob is in a repository, as far as HEAD says.
    pub(super) async fn has_blob(
        &self,
        repository: &Repository,
        digest: BlobDigest,
        access: Access,
    ) -> Result<bool, RegistryError> {
        let mut call = Call::new(Method::HEAD, repository, &format!("blobs/{digest}"), access)?;
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
            return Ok(Pushed { existed: true, sent: 0 });
        }
        let mut failures = 0;
        let mut challenged = false;
        loop {
            let error = match self.upload(repository, blob, source, progress, &mut challenged).await {
                Ok(pushed) => return Ok(pushed),
                Err(error) => error,
            };
            failures += 1;
            let again = is_passing_error(&error) || is_lost_session(&error);
            match self.retry.wait(failures, None) {
                Some(wait) if again => sleep(wait).await,
                _ => return Err(error),
            }
            progress(0);
        }
    }

    /// One try: a new session, and all the bytes.
    async fn upload(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        source: &BlobSource,
        progress: &dyn Fn(u64),
        challenged: &mut bool,
    ) -> Result<Pushed, RegistryError> {
        let what = format!("the blob {} of {repository}", blob.digest);
        loop {
            let mut call = Call::new(Method::POST, repository, "blobs/uploads/", Access::Push)?;
            call.follow = false;
            call.body = Some(("application/octet-stream", &[]));
            let response = self.send(&call).await?;
            match response.status().as_u16() {
                201 => return Ok(Pushed { existed: true, sent: 0 }),
                202 => {}
                200..=399 => {
                    return Err(RegistryError::Protocol {
                        request: Box::new(call.request()),
                        reason: format!("{} instead of 202 for an upload", response.status()),
                    });
                }
                _ => return Err(self.refusal(&call, response, &repository.to_string()).await),
            }
            let mut url = self.location(repository, &call.request(), &call.url, response.headers()).await?;
            drop(response);
            url.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
            let request = Box::new(Request::new("PUT", &url, repository));
            let response = self.put(repository, &url, blob, source, &request, progress).await?;
            let own = address::same_origin(&root(repository)?, &url);
            match response.status().as_u16() {
                200..=299 => {
                    stored_as(&response, &what, blob.digest)?;
                    return Ok(Pushed { existed: false, sent: blob.size });
                }
                // The token ran out between the two requests.
                401 if own && !*challenged => {
                    *challenged = true;
                    if self.answer(repository, Access::Push, response.headers()).await? {
                        continue;
                    }
                    return Err(self.refuse_put(repository, request, response, &what, own).await);
                }
                300..=399 => {
                    return Err(RegistryError::Protocol {
                        request,
                        reason: "an upload is redirected".to_owned(),
                    });
                }
                _ => return Err(self.refuse_put(repository, request, response, &what, own).await),
            }
        }
    }

    async fn refuse_put(
        &self,
        repository: &Repository,
        request: Box<Request>,
        response: Response,
        what: &str,
        own: bool,
    ) -> RegistryError {
        let looked = || own.then(|| self.auth.looked(repository));
        self.refusal_of(request, response, what, looked).await
    }

    async fn put(
        &self,
        repository: &Repository,
        url: &Url,
        blob: &Descriptor,
        source: &BlobSource,
        request: &Request,
        progress: &dyn Fn(u64),
    ) -> Result<Response, RegistryError> {
        let mut put = self
            .clients
            .for_url(url)?
            .put(url.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, blob.size);
        if address::same_origin(&root(repository)?, url) {
            put = self.authorize(put, repository, Access::Push).await?;
        }
        let shown = || Box::new(request.clone());
        let silent = || RegistryError::Broken {
            request: shown(),
            source: Cause("the registry stopped taking or answering".to_owned()),
        };
        let answer = self.patience.answer;
        let result = match source {
            BlobSource::Bytes(bytes) => {
                of_size(blob, bytes.len() as u64)?;
                let sent = within(answer, put.body(bytes.to_vec()).send()).await;
                progress(blob.size);
                sent
            }
            BlobSource::File(path) => {
                let read =
                    |source: io::Error| RegistryError::Read { what: path.display().to_string(), source };
                let file = File::open(path).map_err(read)?;
                of_size(blob, file.metadata().map_err(read)?.len())?;
                let (body, sent) = file_body(file);
                let request = put.body(Body::wrap_stream(body)).send();
                send_watched(request, sent, self.patience.stall, answer, progress).await
            }
            BlobSource::Registry(from) => {
                let call = Call::new(Method::GET, from, &format!("blobs/{}", blob.digest), Access::Pull)?;
                let pulled = self.send(&call).await?;
                if !pulled.status().is_success() {
                    let what = format!("the blob {} of {from}", blob.digest);
                    return Err(self.refusal(&call, pulled, &what).await);
                }
                of_size(blob, pulled.content_length().unwrap_or(blob.size))?;
                Some(put.body(Body::wrap_stream(pulled.bytes_stream())).send().await)
            }
        };
        result.ok_or_else(silent)?.map_err(|error| transport(shown(), url, &error))
    }
}

/// A file that is not the blob is told from a registry that is wrong.
fn of_size(blob: &Descriptor, found: u64) -> Result<(), RegistryError> {
    if found == blob.size {
        return Ok(());
    }
    Err(RegistryError::Size {
        what: format!("the blob {}", blob.digest),
        expected: blob.size,
        found,
        more: false,
    })
}

/// Whether the registry forgot the upload that it began (BLOB_UPLOAD_UNKNOWN, BLOB_UPLOAD_INVALID).
fn is_lost_session(error: &RegistryError) -> bool {
    let (RegistryError::NotFound { request, detail, .. } | RegistryError::Status { request, detail, .. }) =
        error
    else {
        return false;
    };
    request.method == "PUT"
        && matches!(detail.code.as_deref(), Some("BLOB_UPLOAD_UNKNOWN" | "BLOB_UPLOAD_INVALID"))
}
