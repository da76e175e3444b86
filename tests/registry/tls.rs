use std::path::PathBuf;
use std::process::Command;

use imgpack::model::Repository;
use imgpack::registry::{BlobSource, Registry as _, Remote, RemoteConfig};

use crate::fake::{Asked, Fake, Reply};
use crate::{anonymous, config, layer, told};

const BODY: &[u8] = b"the bytes of a layer";

/// On Linux `0.0.0.0` reaches this machine, and is not one of the names that are spoken to without TLS.
fn repository(server: &Fake) -> Repository {
    format!("0.0.0.0:{}/acme/web", server.address.port()).parse().unwrap()
}

fn ca() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/registry/tls/ca.pem"))
}

/// A proxy of the environment does not reach servers of this machine.
fn proxied() -> bool {
    let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let found = names.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if found {
        println!("skipped: the environment names a proxy");
    }
    found
}

fn stores(asked: &Asked) -> Reply {
    match asked.method.as_str() {
        "HEAD" if asked.target.contains("blobs") => Reply::body(BODY),
        "GET" if asked.target.contains("tags") => Reply::body(r#"{"name":"acme/web","tags":["v1"]}"#),
        _ => Reply::body(BODY),
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    if proxied() {
        return;
    }
    let server = Fake::start_tls(stores);
    let error = told(&anonymous().has_blob(&repository(&server), layer(BODY).digest).unwrap_err());
    assert!(error.starts_with("no secure connection to 0.0.0.0: HEAD https://0.0.0.0:"), "{error}");
    assert!(error.contains("invalid peer certificate: UnknownIssuer"), "{error}");
    assert!(
        error.contains("hint: if 0.0.0.0 has a certificate of your own CA, name the CA's file"),
        "{error}"
    );
}

#[test]
fn plain_http_where_tls_is_wanted_is_named() {
    if proxied() {
        return;
    }
    let server = Fake::start(|_| Reply::status(200));
    let error = told(&anonymous().has_blob(&repository(&server), layer(BODY).digest).unwrap_err());
    assert!(error.contains("hint: it seems to speak plain http"), "{error}");
}

#[test]
fn a_ca_file_is_trusted_for_every_request() {
    if proxied() {
        return;
    }
    let server = Fake::start_tls(stores);
    let remote = Remote::new(RemoteConfig { ca_files: vec![ca()], ..config() });
    let repository = repository(&server);
    let mut bytes = Vec::new();
    remote.blob(&repository, &layer(BODY), &mut bytes).unwrap_or_else(|error| panic!("{}", told(&error)));
    assert_eq!(bytes, BODY);
    assert_eq!(remote.tags(&repository).unwrap(), ["v1"]);
    let source = BlobSource::Bytes(BODY.into());
    assert!(remote.push_blob(&repository, &layer(BODY), &source, &|_| {}).unwrap().existed);
}

#[test]
fn ca_files_that_are_none_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let (missing, empty) = (directory.path().join("missing.pem"), directory.path().join("empty.pem"));
    std::fs::write(&empty, "nothing\n").unwrap();
    let server = Fake::start_tls(stores);
    for (path, expected) in [(missing, "No such file"), (empty, "it has no PEM certificate")] {
        let remote = Remote::new(RemoteConfig { ca_files: vec![path.clone()], ..config() });
        let error = told(&remote.has_blob(&repository(&server), layer(BODY).digest).unwrap_err());
        assert!(error.starts_with(&format!("cannot use the certificates of {}", path.display())), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

/// Tells the child where the server is.
const PORT: &str = "IMGPACK_TEST_TLS_PORT";

/// An environment belongs to a process: this test runs itself again in one with `SSL_CERT_FILE`.
#[test]
fn ssl_cert_file_is_honoured() {
    if proxied() {
        return;
    }
    if let Ok(port) = std::env::var(PORT) {
        let repository: Repository = format!("0.0.0.0:{port}/acme/web").parse().unwrap();
        let mut bytes = Vec::new();
        let remote = anonymous();
        remote.blob(&repository, &layer(BODY), &mut bytes).unwrap_or_else(|error| panic!("{}", told(&error)));
        assert_eq!(bytes, BODY);
        // These are listed by another client.
        assert_eq!(remote.tags(&repository).unwrap(), ["v1"]);
        return;
    }
    let server = Fake::start_tls(stores);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::ssl_cert_file_is_honoured"])
        .env(PORT, server.address.port().to_string())
        .env("SSL_CERT_FILE", ca())
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(server.lines().len() > 2, "the child asked this server");
}
