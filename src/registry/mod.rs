//! OCI registries: the only asynchronous place, behind a synchronous port.
//!
//! [`Registry`] is the port; [`Remote`] speaks to the network, [`Memory`] is one for tests,
//! [`Offline`] lets no request leave. [`push`] sends a
//! [`PushJob`] of many images through any of them. tokio is known to `runtime.rs` alone, addresses are judged in
//! `address.rs` alone, and no credential leaves `auth.rs`, `credential*.rs` and `token.rs` but in a header, or by `auth_file.rs` into the file of a
//! login.

mod address;
mod auth;
mod auth_file;
mod certificates;
mod challenge;
mod clients;
mod credential_file;
mod credential_helper;
mod credential_places;
mod credentials;
mod document;
mod error;
mod holders;
mod http;
mod input;
mod listing;
mod memory;
mod mirrors;
mod mount;
mod offline;
mod plain_http;
mod port;
mod pull;
mod push;
mod realm;
mod referrers;
mod remote;
mod resolver;
mod retry;
mod runtime;
mod session;
mod sign_in;
mod tags;
mod token;
mod upload;
mod uploads;
mod web;

pub use auth_file::AuthFile;
pub use clients::Patience;
pub use credential_places::{CredentialPlaces, Form, Looked, Outcome, Place};
pub use credentials::CredentialsError;
pub use error::{Cause, Detail, RegistryError, Request, TakenTag};
pub use memory::Memory;
pub use mirrors::Mirrors;
pub use offline::Offline;
pub use plain_http::PlainHttp;
pub use port::{ArchiveFile, BlobSource, Pushed, RawManifest, Registry};
pub use push::{Contents, ImagePush, Manifest, PushJob, PushObserver, PushSummary, PushedImage, push};
pub use realm::Realms;
pub use remote::{Remote, RemoteConfig};
pub use retry::Retry;
pub use sign_in::{Asked, SignIn};
pub use uploads::{Early, Uploads};
pub use web::FileError;
