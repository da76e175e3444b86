//! An upload that a registry has begun, and its requests (distribution-spec, "Pushing blobs").

use std::ops::Range;
use std::pin::pin;

use futures_util::future::{Either, select};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION, RANGE};
use reqwest::{Body, Method, Response, Url};

use super::address;
use super::auth::Access;
use super::error::{Cause, RegistryError, Request};
use super::http::{Call, Http, method_name, transport};
use super::input::Input;
use super::runtime::{body, within};
use crate::model::{BlobDigest, Repository};

/// Where a registry takes a blob's bytes.
pub(super) struct Session<'a> {
    repository: &'a Repository,
    /// The newest Location: it may change with every answer.
    url: Url,
    /// The smallest chunk but the last (OCI-Chunk-Min-Length), in bytes.
    pub(super) least: u64,
    /// Bytes that the registry is known to hold.
    pub(super) stored: u64,
    /// Where the bytes end that were handed over, some of which it may hold.
    pub(super) handed: u64,
}

/// What is sent into a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// PATCH with one chunk.
    Chunk,
    /// PUT with whatever is left; the blob is whole then.
    Rest(BlobDigest),
}

/// An answer to a part, and what was asked.
pub(super) struct Answered {
    pub(super) request: Box<Request>,
    pub(super) response: Response,
    /// Whether the registry itself answered, to which credentials go.
    pub(super) own: bool,
}

impl<'a> Session<'a> {
    /// The session that the answer to a POST stands for.
    pub(super) async fn begun(
        http: &Http,
        repository: &'a Repository,
        call: &Call<'_>,
        headers: &HeaderMap,
    ) -> Result<Self, RegistryError> {
        let url = http.location(repository, &call.request(), &call.url, headers).await?;
        let least = headers.get("oci-chunk-min-length").and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Self { repository, url, least: least.unwrap_or(0), stored: 0, handed: 0 })
    }

    /// Takes over a new Location, where an answer has one.
    pub(super) async fn follow(
        &mut self,
        http: &Http,
        request: &Request,
        headers: &HeaderMap,
    ) -> Result<(), RegistryError> {
        if headers.contains_key(LOCATION) {
            self.url = http.location(self.repository, request, &self.url, headers).await?;
        }
        Ok(())
    }

    /// Sends the bytes of `range`. `handed` is told of every piece that the network took.
    pub(super) async fn send(
        &mut self,
        http: &Http,
        part: Part,
        input: &mut Input<'_>,
        range: Range<u64>,
        handed: &mut dyn FnMut(u64),
    ) -> Result<Answered, RegistryError> {
        let mut url = self.url.clone();
        let method = match part {
            Part::Chunk => Method::PATCH,
            Part::Rest(digest) => {
                url.query_pairs_mut().append_pair("digest", &digest.to_string());
                Method::PUT
            }
        };
        let shown = Box::new(Request::new(method_name(&method), &url, self.repository));
        let mut request = http
            .clients
            .for_url(&url)?
            .request(method, url.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, range.end - range.start);
        if part == Part::Chunk {
            request = request.header(CONTENT_RANGE, format!("{}-{}", range.start, range.end - 1));
        }
        let own = address::same_origin(&http.root(self.repository)?, &url);
        if own {
            request = http.authorize(request, self.repository, Access::Push).await?;
        }
        input.seek(range.start).await?;
        let broken =
            |words: &str| RegistryError::Broken { request: shown.clone(), source: Cause(words.to_owned()) };
        let silent = || broken("the registry stopped taking or answering");
        let result = if range.is_empty() {
            within(http.patience.answer, request.send()).await.ok_or_else(silent)?
        } else {
            let (feed, body) = body();
            let sent = pin!(request.body(Body::wrap_stream(body)).send());
            let feeding = pin!(async {
                let feed = feed;
                while input.at() < range.end {
                    let piece = input.next(range.end).await?;
                    let length = piece.len() as u64;
                    match within(http.patience.stall, feed.give(piece)).await {
                        None => return Err(silent()),
                        // It is answered before it came whole, or the connection is gone.
                        Some(false) => return Ok(()),
                        Some(true) => {
                            self.handed = self.handed.max(input.at());
                            handed(length);
                        }
                    }
                }
                Ok(())
            });
            match select(sent, feeding).await {
                Either::Left((result, _)) => result,
                Either::Right((fed, sent)) => {
                    fed?;
                    within(http.patience.answer, sent).await.ok_or_else(silent)?
                }
            }
        };
        let response = result.map_err(|error| transport(shown.clone(), &url, &error))?;
        Ok(Answered { request: shown, response, own })
    }

    /// Asks how much of the blob, of `size` bytes, is stored; `None` where the registry does not say, where the session
    /// is gone, or where it cannot be right.
    pub(super) async fn ask(&mut self, http: &Http, size: u64) -> Result<Option<u64>, RegistryError> {
        let mut call = http.call(Method::GET, self.repository, "", Access::Push)?;
        call.url = self.url.clone();
        call.follow = false;
        let response = http.send(&call).await?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let stored = stored(response.headers(), 0).filter(|stored| *stored <= self.handed.min(size));
        if let Some(stored) = stored {
            self.follow(http, &call.request(), response.headers()).await?;
            self.stored = stored;
        }
        Ok(stored)
    }
}

/// How many bytes the `Range` of an answer says are stored. `0-0` may be one byte or none; it is one where `expected` is.
pub(super) fn stored(headers: &HeaderMap, expected: u64) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?.trim();
    let last: u64 = text.strip_prefix("bytes=").unwrap_or(text).strip_prefix("0-")?.parse().ok()?;
    match last {
        0 if expected != 1 => None,
        last => last.checked_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_how_much_is_stored() {
        for (text, expected, found) in [
            ("0-9", 10, Some(10)),
            ("0-4", 10, Some(5)),
            ("bytes=0-9", 10, Some(10)),
            ("0-0", 1, Some(1)),
            ("0-0", 10, None),
            ("5-9", 10, None),
            ("0-", 10, None),
            ("0--1", 10, None),
            ("0-18446744073709551615", 10, None),
            ("", 10, None),
        ] {
            let headers = HeaderMap::from_iter([(RANGE, text.parse().unwrap())]);
            assert_eq!(stored(&headers, expected), found, "{text}");
        }
        assert_eq!(stored(&HeaderMap::new(), 10), None);
    }
}
