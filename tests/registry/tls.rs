use std::path::PathBuf;
use std::process::Command;

use imgpack::model::Repository;
use imgpack::registry::{BlobSource, CredentialPlaces, Realms, Registry as _, Remote, RemoteConfig};

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
    assert!(error.contains("hint: if 0.0.0.0 has a certificate of your own CA, name its file"), "{error}");
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

/// A registry at `0.0.0.0` that sends us to `127.0.0.1` for a token: two owners, as far as anyone can tell.
fn with_foreign_realm() -> Fake {
    let port = std::sync::Arc::new(std::sync::OnceLock::new());
    let own = std::sync::Arc::clone(&port);
    let server = Fake::start_tls(move |asked| match asked.bearer() {
        _ if asked.target.starts_with("/token") => Reply::body(r#"{"token":"t"}"#),
        Some("t") => stores(asked),
        _ => Reply::status(401).with(
            "WWW-Authenticate",
            format!("Bearer realm=\"https://127.0.0.1:{}/token\"", own.get().unwrap()),
        ),
    });
    port.set(server.address.port()).unwrap();
    server
}

#[test]
fn a_foreign_token_server_gets_credentials_where_the_workspace_says_so() {
    if proxied() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("auth.json");
    let server = with_foreign_realm();
    let (repository, port) = (repository(&server), server.address.port());
    let registry = format!("0.0.0.0:{port}");
    std::fs::write(&file, format!(r#"{{"auths": {{"{registry}": {{"auth": "dXNlcjpnZWhlaW0="}}}}}}"#))
        .unwrap();
    let remote = |credentials, realms| {
        Remote::new(RemoteConfig { ca_files: vec![ca()], credentials, realms, ..config() })
    };
    let digest = layer(BODY).digest;
    let with = || CredentialPlaces::file(&file);

    let error = told(&remote(with(), Realms::default()).has_blob(&repository, digest).unwrap_err());
    assert_eq!(
        error,
        format!(
            "{registry} wants the credentials for it to be sent to 127.0.0.1, which is not known to belong to it\n\
             hint: if {registry} gives its tokens there, write `auth: {{ realms: {{ \"{registry}\": [127.0.0.1] }} }}` in \
             imgpack.yaml"
        )
    );
    assert!(server.lines().iter().all(|line| !line.contains("/token")), "{:?}", server.lines());

    let realms = Realms::new([(registry.clone(), vec!["127.0.0.1".to_owned()])].into());
    assert!(remote(with(), realms).has_blob(&repository, digest).unwrap());
    assert!(remote(CredentialPlaces::default(), Realms::default()).has_blob(&repository, digest).unwrap());
    let asked: Vec<_> = server.lines().into_iter().filter(|line| line.contains("/token")).collect();
    let scope = "scope=repository%3Aacme%2Fweb%3Apull";
    assert_eq!(
        asked,
        [format!("GET /token?{scope}&account=user [Basic user:geheim]"), format!("GET /token?{scope}")]
    );
}

#[test]
fn a_hosts_certificates_are_trusted_for_it_alone() {
    if proxied() {
        return;
    }
    let server = Fake::start_tls(stores);
    let (repository, port) = (repository(&server), server.address.port());
    for (name, trusted) in
        [(format!("0.0.0.0:{port}"), true), (format!("127.0.0.1:{port}"), false), ("0.0.0.0".into(), false)]
    {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join(&name);
        std::fs::create_dir(&own).unwrap();
        std::fs::copy(ca(), own.join("ca.crt")).unwrap();
        // What shows this machine is sent to who asks for it.
        for (from, to) in [("server.pem", "client.cert"), ("server.key", "client.key")] {
            std::fs::copy(ca().with_file_name(from), own.join(to)).unwrap();
        }
        let remote =
            Remote::new(RemoteConfig { certificate_directories: vec![directory.path().into()], ..config() });
        let found = remote.has_blob(&repository, layer(BODY).digest);
        assert_eq!(found.is_ok(), trusted, "{name}: {:?}", found.as_ref().map_err(told));
        if !trusted {
            assert!(told(&found.unwrap_err()).contains("UnknownIssuer"));
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join(format!("0.0.0.0:{port}/bad.crt"));
    std::fs::create_dir(bad.parent().unwrap()).unwrap();
    std::fs::write(&bad, "geheim").unwrap();
    let remote =
        Remote::new(RemoteConfig { certificate_directories: vec![directory.path().into()], ..config() });
    let error = told(&remote.has_blob(&repository, layer(BODY).digest).unwrap_err());
    assert_eq!(error, format!("cannot use the certificates of {}\nit has no PEM certificate", bad.display()));
}

#[test]
fn a_host_that_wants_to_know_this_machine_is_shown_its_certificate() {
    if proxied() {
        return;
    }
    let server = Fake::start_mutual_tls(stores);
    let repository = repository(&server);
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join(repository.registry());
    std::fs::create_dir(&own).unwrap();
    let ask = || {
        let directories = vec![directory.path().into()];
        let remote = Remote::new(RemoteConfig {
            ca_files: vec![ca()],
            certificate_directories: directories,
            ..config()
        });
        remote.has_blob(&repository, layer(BODY).digest).map_err(|error| told(&error))
    };
    let error = ask().unwrap_err();
    assert!(error.contains("received fatal alert: CertificateRequired"), "{error}");
    assert!(error.ends_with("hint: 0.0.0.0 wants to see a certificate of this machine; docs/credentials.md says where it is kept"), "{error}");
    std::fs::copy(ca().with_file_name("client.pem"), own.join("client.cert")).unwrap();
    let error = ask().unwrap_err();
    assert!(
        error.starts_with("cannot use the certificates of ") && error.contains("client.key\n"),
        "{error}"
    );
    std::fs::write(own.join("client.key"), "geheim").unwrap();
    let error = ask().unwrap_err();
    assert!(
        error.starts_with("cannot use the certificates of ") && error.contains("client.key\n"),
        "{error}"
    );
    std::fs::copy(ca().with_file_name("client.key"), own.join("client.key")).unwrap();
    assert!(ask().unwrap());
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
