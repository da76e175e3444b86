//! Taking a blob over from another repository of the same registry (distribution-spec, "Mounting a blob from another
//! repository"). It only saves bytes: whatever it comes to, the push goes on.

use reqwest::Method;

use super::auth::Access;
use super::error::RegistryError;
use super::http::Http;
use super::session::Session;
use super::upload::Begun;
use crate::model::{BlobDigest, Repository};

impl Http {
    /// Asks for a mount, where a repository is known that holds the blob. A registry that does not do it answers with a
    /// session, which is used, or refuses; then nothing is begun.
    pub(super) async fn mount<'a>(
        &self,
        repository: &'a Repository,
        digest: BlobDigest,
    ) -> Result<Option<Begun<'a>>, RegistryError> {
        let Some(from) = self.holders.of(repository, digest) else { return Ok(None) };
        let mut call = self.call(Method::POST, repository, "blobs/uploads/", Access::Mount(&from))?;
        let fields = [("mount", digest.to_string()), ("from", from.path().to_owned())];
        call.url.query_pairs_mut().extend_pairs(fields);
        call.follow = false;
        call.body = Some(("application/octet-stream", &[]));
        let response = match self.send(&call).await {
            Ok(response) => response,
            Err(error) if error.is_cancelled() => return Err(error),
            // The token server may give no token for both repositories.
            Err(_) => {
                self.holders.refuse(repository, &from);
                return Ok(None);
            }
        };
        match response.status().as_u16() {
            201 => Ok(Some(Begun::Mounted)),
            202 => {
                Ok(Some(Begun::Session(Session::begun(self, repository, &call, response.headers()).await?)))
            }
            401 | 403 => {
                self.holders.refuse(repository, &from);
                Ok(None)
            }
            // The next one may be luckier.
            404 | 408 | 429 | 500.. => Ok(None),
            _ => {
                self.holders.refuse_all(repository.registry());
                Ok(None)
            }
        }
    }
}
