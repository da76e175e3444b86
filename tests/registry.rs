//! Registries: the protocol and its faults against a scripted server, and the whole against a real registry.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(
    clippy::match_bool,
    clippy::format_push_string,
    reason = "scripts and texts of tests read best this way"
)]

#[path = "registry/access.rs"]
mod access;
#[path = "registry/early.rs"]
mod early;
#[path = "registry/fake.rs"]
mod fake;
#[path = "registry/faults.rs"]
mod faults;
#[path = "registry/files.rs"]
mod files;
#[path = "registry/keeping.rs"]
mod keeping;
#[path = "registry/mirrors.rs"]
mod mirrors;
#[path = "registry/mount.rs"]
mod mount;
#[path = "registry/pulling.rs"]
mod pulling;
#[path = "registry/pushing.rs"]
mod pushing;
#[path = "registry/reading.rs"]
mod reading;
#[path = "registry/real.rs"]
mod real;
#[path = "registry/real_uploads.rs"]
mod real_uploads;
#[path = "registry/referring.rs"]
mod referring;
#[path = "registry/relay.rs"]
mod relay;
#[path = "registry/resume.rs"]
mod resume;
#[path = "registry/servers.rs"]
#[allow(dead_code, reason = "the command line is tried with more of them")]
mod servers;
#[path = "registry/sessions.rs"]
mod sessions;
#[path = "registry/tls.rs"]
mod tls;

use std::path::Path;
use std::time::Duration;

use imgpack::model::{Descriptor, MediaType, Repository};
use imgpack::registry::{CredentialPlaces, Patience, RegistryError, Remote, RemoteConfig, Retry};

/// A config that does not sleep; waits of milliseconds only.
fn config() -> RemoteConfig {
    RemoteConfig {
        retry: Retry { attempts: 3, first: Duration::from_millis(1), longest: Duration::from_secs(1) },
        patience: Patience {
            connect: Duration::from_secs(5),
            stall: Duration::from_secs(20),
            answer: Duration::from_secs(20),
        },
        ..RemoteConfig::default()
    }
}

fn anonymous() -> Remote {
    Remote::new(config())
}

/// A registry client with this `config.json`.
fn with_credentials(directory: &Path, json: &str) -> Remote {
    std::fs::write(directory.join("config.json"), json).unwrap();
    Remote::new(RemoteConfig {
        credentials: CredentialPlaces::file(directory.join("config.json")),
        ..config()
    })
}

fn repository(server: &fake::Fake) -> Repository {
    format!("{}/acme/web", server.address).parse().unwrap()
}

fn layer(bytes: &[u8]) -> Descriptor {
    Descriptor::of(MediaType::OciLayerGzip, bytes)
}

/// An error with all its causes and its hint, as a user reads them; its `Debug` form must hold no secret either.
fn told(error: &RegistryError) -> String {
    assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
    let mut text = error.to_string();
    let mut at: &dyn std::error::Error = error;
    while let Some(source) = at.source() {
        text.push_str(&format!("\n{source}"));
        at = source;
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("\nhint: {hint}"));
    }
    assert!(!text.contains("geheim"), "{text}");
    text
}
