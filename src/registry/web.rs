//! Files of the network by their addresses: one GET without credentials, whose every redirect is judged by our rules.

use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE};
use reqwest::{Response, Url};

use super::address;
use super::clients::deepest;
use super::error::{Cause, RegistryError, redacted};
use super::http::{HOPS, Http, asked_wait, is_redirect, tls_error};
use super::port::ArchiveFile;
use super::retry::is_passing;
use super::runtime::{sleep, within};
use crate::model::{BlobDigest, Hasher};

/// Larger files are not downloaded (bytes): an address that never ends must not fill the disk.
const LARGEST: u64 = 4 << 30;

/// Why a file of the network could not be had. Addresses are shown without queries, which may carry signatures.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A text that is no address, or none that is followed.
    #[error("{address} cannot be fetched: it is an address {reason}")]
    Address {
        /// The address.
        address: String,
        /// Why not.
        reason: &'static str,
    },
    /// No connection.
    #[error("cannot reach {address}")]
    Unreachable {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// A connection that cannot be trusted.
    #[error("no secure connection to {host}, for {address}")]
    Tls {
        /// The address.
        address: String,
        /// Whose certificate it is.
        host: String,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// A connection that broke.
    #[error("the connection broke while {address} was read")]
    Broken {
        /// The address.
        address: String,
        /// How.
        #[source]
        source: Cause,
    },
    /// An answer that is no success.
    #[error("{address} was answered with {status}")]
    Status {
        /// The address.
        address: String,
        /// HTTP status.
        status: u16,
        /// How long the server wants us to wait.
        wait: Option<Duration>,
    },
    /// A redirect that is not followed.
    #[error("{address} leads to {to}, {reason}")]
    Redirect {
        /// The address.
        address: String,
        /// Where it leads.
        to: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// An answer that the protocol does not allow.
    #[error("{address} was answered wrongly: {reason}")]
    Protocol {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file that is too large.
    #[error("{address} is larger than {limit} bytes, the most that is taken")]
    TooLarge {
        /// The address.
        address: String,
        /// Most bytes.
        limit: u64,
    },
    /// Another file than the pinned one.
    #[error("{address} has other content than is pinned: expected {expected}, found {found}")]
    Digest {
        /// The address.
        address: String,
        /// The pinned digest.
        expected: BlobDigest,
        /// The digest of what came.
        found: BlobDigest,
    },
    /// A file that cannot be kept.
    #[error("cannot write what {address} is")]
    Write {
        /// The address.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl FileError {
    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Digest { address, .. } => {
                Some(format!("if the new content is meant, pin it with `imgpack lock --upgrade {address}`"))
            }
            Self::Status { status: 401 | 403, .. } => {
                Some("files are fetched without credentials; an image of a registry can have them".to_owned())
            }
            Self::Status { status: 404 | 410, .. } => {
                Some("the address may be misspelt, or the file be gone".to_owned())
            }
            Self::Tls { host, .. } => {
                Some(format!("if {host} has a certificate of your own CA, name its file in IMGPACK_CA_FILE"))
            }
            _ => None,
        }
    }

    fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => is_passing(*status),
            _ => false,
        }
    }
}

/// By which rules a file is fetched.
#[derive(Debug, Clone, Copy)]
enum FileKind<'a> {
    /// Those for any address.
    Any,
    /// Those for archives of packages, by way of this proxy or of the environment's.
    OfArchive { proxy: Option<&'a str> },
}

/// A file on its way: what came so far is hashed and counted.
struct Arriving<'a> {
    /// What messages show.
    address: &'a str,
    url: Url,
    sink: &'a mut dyn Write,
    hasher: Hasher,
    written: u64,
    expected: Option<BlobDigest>,
    limit: u64,
    kind: FileKind<'a>,
    /// What tells this content from another of the same address (RFC 9110, 8.8): a strong ETag, or a time.
    validator: Option<String>,
}

impl Arriving<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        if self.written + bytes.len() as u64 > self.limit {
            return Err(self.too_large());
        }
        self.hasher.update(bytes);
        self.sink
            .write_all(bytes)
            .map_err(|source| FileError::Write { address: self.address.to_owned(), source })?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn too_large(&self) -> FileError {
        FileError::TooLarge { address: self.address.to_owned(), limit: self.limit }
    }

    fn protocol(&self, reason: &'static str) -> FileError {
        FileError::Protocol { address: self.address.to_owned(), reason }
    }

    fn broken(&self, source: Cause) -> FileError {
        FileError::Broken { address: self.address.to_owned(), source }
    }

    /// Whether what is missing can be asked for: a part that came from another content would not be noticed without a
    /// digest or a validator.
    fn may_go_on(&self) -> bool {
        self.written == 0 || self.expected.is_some() || self.validator.is_some()
    }
}

impl Http {
    /// Writes the file at `address` to `sink`; its digest and size in bytes.
    pub(super) async fn file(
        &self,
        address: &str,
        expected: Option<BlobDigest>,
        sink: &mut dyn Write,
    ) -> Result<(BlobDigest, u64), RegistryError> {
        let wrong = |reason| FileError::Address { address: address.to_owned(), reason };
        let url = Url::parse(address).map_err(|_| wrong("that cannot be read"))?;
        address::check_alone(&url).map_err(wrong)?;
        let arriving = Arriving {
            address,
            url,
            sink,
            hasher: Hasher::new(),
            written: 0,
            expected,
            limit: LARGEST,
            kind: FileKind::Any,
            validator: None,
        };
        self.bring_file(arriving).await
    }

    /// Writes a file of an archive of packages to `sink`; its digest and size in bytes.
    pub(super) async fn archive_file(
        &self,
        file: &ArchiveFile<'_>,
        sink: &mut dyn Write,
    ) -> Result<(BlobDigest, u64), RegistryError> {
        let ArchiveFile { address, expected, limit, proxy } = *file;
        let wrong = |reason| FileError::Address { address: shown(address), reason };
        let url = Url::parse(address).map_err(|_| wrong("that cannot be read"))?;
        address::check_content(&url).map_err(wrong)?;
        let (hasher, kind) = (Hasher::new(), FileKind::OfArchive { proxy });
        self.bring_file(Arriving {
            address,
            url,
            sink,
            hasher,
            written: 0,
            expected,
            limit,
            kind,
            validator: None,
        })
        .await
    }

    async fn bring_file(&self, mut arriving: Arriving<'_>) -> Result<(BlobDigest, u64), RegistryError> {
        let (address, expected) = (arriving.address, arriving.expected);
        let mut failures = 0;
        loop {
            let before = arriving.written;
            let Err(error) = self.fetch_file(&mut arriving).await else { break };
            failures = if arriving.written > before { 1 } else { failures + 1 };
            let asked = if let FileError::Status { wait, .. } = &error { *wait } else { None };
            match self.retry.wait(failures, asked) {
                Some(wait) if error.is_passing() && arriving.may_go_on() => sleep(wait).await,
                _ => return Err(error.into()),
            }
        }
        let found = BlobDigest(arriving.hasher.finish());
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(FileError::Digest { address: address.to_owned(), expected, found }.into());
        }
        let flushed = arriving.sink.flush();
        flushed.map_err(|source| FileError::Write { address: address.to_owned(), source })?;
        Ok((found, arriving.written))
    }

    /// One try to get what is missing.
    async fn fetch_file(&self, arriving: &mut Arriving<'_>) -> Result<(), FileError> {
        let response = self.ask_for_file(arriving).await?;
        let status = response.status().as_u16();
        let whole = response.content_length();
        let validator = validator(&response);
        let mut skip = 0;
        match status {
            200 if arriving.written > 0 => {
                let same = validator.is_some() && validator == arriving.validator;
                if !same && arriving.expected.is_none() {
                    return Err(arriving.protocol("it changed while it was read"));
                }
                skip = arriving.written;
            }
            200 => arriving.validator = validator,
            206 if begins_at(&response, arriving.written) => {}
            206 => return Err(arriving.protocol("another part of it came than was asked for")),
            _ => {
                let wait = asked_wait(&response);
                return Err(FileError::Status { address: arriving.address.to_owned(), status, wait });
            }
        }
        let end =
            whole.map(|length| if status == 206 { arriving.written.saturating_add(length) } else { length });
        if end.is_some_and(|end| end > arriving.limit) {
            return Err(arriving.too_large());
        }
        let mut stream = pin!(response.bytes_stream());
        loop {
            let chunk = match within(self.patience.stall, stream.next()).await {
                Some(Some(Ok(chunk))) => chunk,
                Some(Some(Err(error))) => return Err(arriving.broken(deepest(&error))),
                Some(None) => break,
                None => return Err(arriving.broken(self.silence())),
            };
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= known as u64;
            arriving.write(&chunk[known..])?;
        }
        match end {
            Some(end) if arriving.written != end => {
                let text = format!("it ended after {} of {end} bytes", arriving.written);
                Err(arriving.broken(Cause(text)))
            }
            _ => Ok(()),
        }
    }

    /// The answer behind all redirects.
    async fn ask_for_file(&self, arriving: &Arriving<'_>) -> Result<Response, FileError> {
        let address = || arriving.address.to_owned();
        let mut url = arriving.url.clone();
        for _ in 0..=HOPS {
            let client = match arriving.kind {
                FileKind::Any => self.clients.for_url(&url),
                FileKind::OfArchive { proxy } => self.clients.for_archive(&url, proxy),
            };
            let client = client
                .map_err(|error| FileError::Unreachable { address: address(), source: deepest(&error) })?;
            // The bytes as they are kept there, which the digest is of.
            let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
            if arriving.written > 0 {
                request = request.header(RANGE, format!("bytes={}-", arriving.written));
                if let Some(validator) = arriving.validator.as_ref().filter(|_| arriving.expected.is_none()) {
                    request = request.header(IF_RANGE, validator);
                }
            }
            let response = within(self.patience.stall, request.send())
                .await
                .ok_or_else(|| arriving.broken(self.silence()))?
                .map_err(|error| failed(address(), &url, &error))?;
            if !is_redirect(&response) {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| arriving.protocol("a redirect leads nowhere"))?;
            let floors = &self.clients.floors;
            let followed = match arriving.kind {
                FileKind::Any => address::follow(&arriving.url, &url, location, floors).await,
                FileKind::OfArchive { .. } => {
                    address::follow_content(&arriving.url, &url, location, floors).await
                }
            };
            url = followed.map_err(|(to, reason)| FileError::Redirect { address: address(), to, reason })?;
        }
        Err(arriving.protocol("it leads from one address to the next without end"))
    }

    fn silence(&self) -> Cause {
        Cause(format!("no answer within {} s", self.patience.stall.as_secs_f32()))
    }
}

/// An address as messages may show it.
fn shown(address: &str) -> String {
    Url::parse(address).map_or_else(|_| "a text".to_owned(), |url| redacted(&url))
}

/// What kind of failure of the network layer this is.
fn failed(address: String, url: &Url, error: &reqwest::Error) -> FileError {
    let at = redacted(url);
    let address = if at == address { address } else { format!("{address} (at {at})") };
    let source = if error.is_timeout() { Cause("it took too long".to_owned()) } else { deepest(error) };
    if tls_error(error).is_some() {
        let host = url.host_str().unwrap_or_default().to_owned();
        FileError::Tls { address, host, source }
    } else if error.is_connect() {
        FileError::Unreachable { address, source }
    } else {
        FileError::Broken { address, source }
    }
}

fn validator(response: &Response) -> Option<String> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let strong = text(ETAG).filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| text(LAST_MODIFIED)).map(str::to_owned)
}

fn begins_at(response: &Response, first: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    first > 0 && range.is_some_and(|text| text.starts_with(&format!("bytes {first}-")))
}
