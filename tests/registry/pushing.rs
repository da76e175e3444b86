use std::cell::RefCell;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use imgpack::model::MediaType;
use imgpack::registry::{BlobSource, Patience, Pushed, Registry as _, RegistryError, Remote, RemoteConfig};

use crate::fake::{Asked, Fake, Reply};
use crate::{anonymous, config, layer, repository, told, with_credentials};

const BODY: &[u8] = b"the bytes of a layer";

fn memory(bytes: &[u8]) -> BlobSource {
    BlobSource::Bytes(Arc::from(bytes))
}

/// HEAD: not there; POST: `location`; PUT: stored.
fn uploads(location: String) -> impl FnMut(&Asked) -> Reply + Send + 'static {
    move |asked| match asked.method.as_str() {
        "HEAD" => Reply::status(404),
        "POST" => Reply::status(202).with("Location", &location),
        _ => Reply::status(201),
    }
}

fn push(server: &Fake, remote: &Remote) -> Result<Pushed, RegistryError> {
    remote.push_blob(&repository(server), &layer(BODY), &memory(BODY), &|_| {})
}

#[test]
fn a_blob_is_asked_for_then_sent_in_one_piece_from_its_file() {
    let server = Fake::start(uploads("/v2/acme/web/blobs/uploads/7?_state=a%2Fb".into()));
    let body = vec![7; 3_000_000];
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&body).unwrap();
    let sent = RefCell::new(Vec::new());
    let pushed = anonymous()
        .push_blob(&repository(&server), &layer(&body), &BlobSource::File(file.path().into()), &|bytes| {
            sent.borrow_mut().push(bytes);
        })
        .unwrap();
    assert_eq!(pushed, Pushed { sent: 3_000_000, ..Pushed::default() });
    let digest = layer(&body).digest.to_string();
    assert_eq!(
        server.lines(),
        [
            format!("HEAD /v2/acme/web/blobs/{digest}"),
            "POST /v2/acme/web/blobs/uploads/".to_owned(),
            format!("PUT /v2/acme/web/blobs/uploads/7?_state=a%2Fb&digest={}", digest.replace(':', "%3A")),
        ]
    );
    assert_eq!(server.requests()[1].headers["content-length"], "0");
    let put = server.requests().pop().unwrap();
    assert_eq!(put.headers["content-length"], "3000000");
    assert!(!put.headers.contains_key("transfer-encoding"));
    assert!(put.body == body);
    assert!(sent.borrow().is_sorted() && sent.borrow().len() > 1, "{:?}", sent.borrow());
    assert_eq!(sent.borrow().last(), Some(&3_000_000));
}

#[test]
fn a_blob_that_is_there_is_not_sent() {
    for there in [Reply::status(200), Reply::status(307).with("Location", "http://10.0.0.1/")] {
        let server = Fake::start(move |_| there.clone());
        assert_eq!(push(&server, &anonymous()).unwrap(), Pushed::EXISTED);
        assert_eq!(server.lines().len(), 1);
    }
    // A registry may find on POST that it has the blob.
    let server = Fake::start(|asked| Reply::status(if asked.method == "POST" { 201 } else { 404 }));
    assert_eq!(push(&server, &anonymous()).unwrap(), Pushed::EXISTED);
}

#[test]
fn another_host_gets_the_bytes_and_no_credentials() {
    let store = Fake::start(|_| Reply::status(201));
    let location = format!("http://localhost:{}/put?sig=geheim", store.address.port());
    let mut upload = uploads(location);
    let server = Fake::start(move |asked| match asked.headers.get("authorization") {
        None => Reply::status(401).with("WWW-Authenticate", "Basic realm=\"x\""),
        Some(_) => upload(asked),
    });
    let directory = tempfile::tempdir().unwrap();
    let json = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpnZWhlaW0="}}}}}}"#, server.address);
    let remote = with_credentials(directory.path(), &json);
    push(&server, &remote).unwrap();
    let digest = layer(BODY).digest.to_string();
    assert_eq!(
        server.lines(),
        [
            format!("HEAD /v2/acme/web/blobs/{digest}"),
            format!("HEAD /v2/acme/web/blobs/{digest} [Basic user:geheim]"),
            "POST /v2/acme/web/blobs/uploads/ [Basic user:geheim]".to_owned(),
        ]
    );
    assert_eq!(store.lines(), [format!("PUT /put?sig=geheim&digest={}", digest.replace(':', "%3A"))]);
    assert_eq!(store.requests()[0].body, BODY);
}

#[test]
fn addresses_that_break_the_rules_are_not_followed() {
    for (location, expected) in [
        (
            "http://10.0.0.1/put?sig=geheim",
            "http://10.0.0.1/put?…, and http is spoken only with this machine",
        ),
        ("http://registry.example/put", "and http is spoken only with this machine"),
        ("https://user:geheim@registry.example/put", "which carries a user or a password"),
        ("ftp://registry.example/put", "which is neither https nor http"),
        ("http://[geheim", "which is no address"),
    ] {
        let server = Fake::start(uploads(location.into()));
        let error = told(&push(&server, &anonymous()).unwrap_err());
        assert!(error.contains("names an address that is not followed: POST http://127.0.0.1:"), "{error}");
        assert!(error.contains(expected), "{error}");
        assert_eq!(server.lines().len(), 2, "nothing more is asked");
    }
}

#[test]
fn wrong_answers_to_an_upload_are_named() {
    let digest = layer(b"other").digest;
    for (reply, method, expected) in [
        (Reply::status(202), "POST", "was answered wrongly: it has no Location"),
        (Reply::status(204), "POST", "was answered wrongly: 204 No Content instead of 202 for an upload"),
        (Reply::status(307).with("Location", "/"), "PUT", "an upload is redirected"),
        (
            Reply::status(201).with("Docker-Content-Digest", digest),
            "PUT",
            "has other content than its digest says",
        ),
        (
            Reply::status(400).and_body(r#"{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}"#),
            "PUT",
            "was answered with 400: DIGEST_INVALID, no",
        ),
        (Reply::status(413), "PUT", "?… was answered with 413"),
    ] {
        let mut upload = uploads("/upload".into());
        let server = Fake::start(move |asked| match asked.method == method {
            true => reply.clone(),
            false => upload(asked),
        });
        let error = told(&push(&server, &anonymous()).unwrap_err());
        assert!(error.contains(expected), "{error}");
        assert_eq!(server.lines().iter().filter(|line| line.starts_with(method)).count(), 1, "no second try");
    }
}

#[test]
fn passing_faults_are_tried_again_with_a_new_session() {
    let gone = r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#;
    for fault in [
        Reply::status(500),
        Reply::status(503),
        Reply::status(429).with("Retry-After", 0),
        Reply::status(408),
        Reply::hang_up(),
        Reply::status(404).and_body(gone),
    ] {
        let mut faults = vec![fault.clone(), fault.clone()];
        let server = Fake::start(move |asked| match asked.method.as_str() {
            "HEAD" | "GET" => Reply::status(404),
            "POST" => Reply::status(202).with("Location", "/upload"),
            _ => faults.pop().unwrap_or(Reply::status(201)),
        });
        let pushed = push(&server, &anonymous()).unwrap();
        assert_eq!(pushed.sent, BODY.len() as u64);
        // Whether it was stored nevertheless, and where its session stands, is asked in between.
        let mut requests = server.requests();
        requests.retain(|asked| matches!(asked.method.as_str(), "POST" | "PUT"));
        let methods: Vec<_> = requests.iter().map(|asked| asked.method.as_str()).collect();
        assert_eq!(methods, ["POST", "PUT", "POST", "PUT", "POST", "PUT"], "{fault:?}");
        assert_eq!(server.requests().pop().unwrap().body, BODY, "{fault:?}");
    }
}

#[test]
fn faults_that_stay_end_after_the_tries_that_are_allowed() {
    let server = Fake::start(|_| Reply::status(503).and_body(r#"{"errors":[{"code":"UNAVAILABLE"}]}"#));
    let error = told(&push(&server, &anonymous()).unwrap_err());
    assert!(error.contains("was answered with 503"), "{error}");
    assert_eq!(server.lines().len(), 3);

    let server = Fake::start(|_| Reply::status(429).with("Retry-After", 3600));
    let error = told(&push(&server, &anonymous()).unwrap_err());
    assert!(error.ends_with("hint: the registry asks to come back in 3600 s"), "{error}");
    assert_eq!(server.lines().len(), 1, "an hour is not waited");
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let repository = format!("{address}/acme/web").parse().unwrap();
    let error = anonymous().push_blob(&repository, &layer(BODY), &memory(BODY), &|_| {}).unwrap_err();
    let digest = layer(BODY).digest;
    assert_eq!(
        told(&error),
        format!(
            "cannot reach the registry {address}: HEAD http://{address}/v2/acme/web/blobs/{digest}\n\
             Connection refused (os error 111)\n\
             hint: is a registry listening on {address}?"
        )
    );
}

#[test]
fn a_silent_registry_is_not_waited_for() {
    for silent in ["HEAD", "PUT"] {
        let mut upload = uploads("/upload".into());
        let server = Fake::start(move |asked| match asked.method == silent {
            true => Reply::silence(),
            false => upload(asked),
        });
        let moment = Duration::from_millis(50);
        let patience = Patience { stall: moment, answer: moment, ..Patience::default() };
        let remote = Remote::new(RemoteConfig { patience, ..config() });
        let error = told(&push(&server, &remote).unwrap_err());
        assert!(error.starts_with(&format!("the connection broke: {silent} http://127.0.0.1")), "{error}");
    }
}

#[test]
fn cancelling_ends_an_upload() {
    let cancel = imgpack::system::Cancel::new();
    let remote = Remote::new(RemoteConfig { cancel: cancel.clone(), ..config() });
    let mut upload = uploads("/upload".into());
    let server = Fake::start(move |asked| match asked.method.as_str() {
        "PUT" => {
            cancel.cancel();
            Reply::silence()
        }
        _ => upload(asked),
    });
    assert!(push(&server, &remote).unwrap_err().is_cancelled());
    assert!(push(&server, &remote).unwrap_err().is_cancelled());
    assert_eq!(server.lines().len(), 3, "nothing is begun afterwards");
}

#[test]
fn a_file_that_is_not_the_blob_is_not_sent() {
    let server = Fake::start(uploads("/upload".into()));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blob");
    std::fs::write(&path, b"short").unwrap();
    let push = |source| anonymous().push_blob(&repository(&server), &layer(BODY), &source, &|_| {});
    let error = told(&push(BlobSource::File(path.clone())).unwrap_err());
    assert!(error.contains("another size than its descriptor says: expected 20 bytes, found 5"), "{error}");
    let missing = directory.path().join("missing");
    let error = told(&push(BlobSource::File(missing.clone())).unwrap_err());
    assert!(
        error.starts_with(&format!("cannot read {} to push it\nNo such file", missing.display())),
        "{error}"
    );
    assert!(!server.lines().iter().any(|line| line.starts_with("PUT")));
}

#[test]
fn a_manifest_is_stored_under_its_tag_as_it_is() {
    let document = br#"{"schemaVersion":2, "layers":[]}"#;
    let server = Fake::start(|_| Reply::status(201));
    let tagged = repository(&server).tagged("v1").unwrap();
    anonymous().push_manifest(&tagged, MediaType::OciManifest, document).unwrap();
    let put = server.requests().pop().unwrap();
    assert_eq!(put.line(), "PUT /v2/acme/web/manifests/v1");
    assert_eq!(put.headers["content-type"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(put.body, document);

    let other = layer(b"other").digest;
    let server = Fake::start(move |_| Reply::status(201).with("Docker-Content-Digest", other));
    let tagged = repository(&server).tagged("v1").unwrap();
    let error = anonymous().push_manifest(&tagged, MediaType::OciManifest, document).unwrap_err();
    assert!(told(&error).contains("has other content than its digest says"), "{error}");
}

#[test]
fn what_head_does_not_say_is_unknown() {
    static STATUS: AtomicUsize = AtomicUsize::new(0);
    let digest = layer(BODY).digest;
    let server = Fake::start(move |_| {
        let status = u16::try_from(STATUS.load(Ordering::SeqCst)).unwrap();
        Reply::status(status).with("Docker-Content-Digest", digest)
    });
    let reference = repository(&server).tagged("v1").unwrap();
    for (status, expected) in [(200, Some(digest)), (404, None), (405, None), (400, None)] {
        STATUS.store(status, Ordering::SeqCst);
        assert_eq!(anonymous().present(&reference).unwrap(), expected, "{status}");
    }
    for status in [401, 403, 500] {
        STATUS.store(status, Ordering::SeqCst);
        let error = anonymous().present(&reference).unwrap_err();
        assert!(told(&error).contains(&format!("was answered with {status}")), "{error}");
    }
}

#[test]
fn a_tag_that_does_not_move_is_told_with_what_it_names() {
    let document: &[u8] = br#"{"schemaVersion":2, "layers":[]}"#;
    let (ours, other) = (imgpack::model::BlobDigest::of(document), layer(b"other").digest);
    let push = |status: u16, body: &str, found: Option<imgpack::model::BlobDigest>| {
        let body = body.to_owned();
        let server = Fake::start(move |asked| match (asked.method.as_str(), found) {
            ("PUT", _) => Reply::status(status).and_body(body.as_str()),
            (_, Some(found)) => Reply::status(200).with("Docker-Content-Digest", found),
            _ => Reply::status(404),
        });
        let tagged = repository(&server).tagged("v1").unwrap();
        let result = anonymous().push_manifest(&tagged, MediaType::OciManifest, document);
        (result, server.lines().len())
    };
    let ecr = r#"{"errors":[{"code":"TAG_INVALID","message":"The image tag 'v1' already exists in the 'web' repository and cannot be overwritten because the tag is immutable."}]}"#;
    for (status, body) in [
        (403, r#"{"errors":[{"code":"DENIED"}]}"#),
        (405, ""),
        (409, r#"{"errors":[{"code":"TAG_IMMUTABLE"}]}"#),
        (412, r#"{"errors":[{"code":"PRECONDITION","message":"configured as immutable"}]}"#),
        (400, ecr),
        (400, r#"{"errors":[{"code":"ImageTagAlreadyExistsException"}]}"#),
    ] {
        let (result, asked) = push(status, body, Some(ours));
        assert!(result.is_ok(), "{status} {body}: {result:?}");
        assert_eq!(asked, 2);
        let error = told(&push(status, body, Some(other)).0.unwrap_err());
        assert!(error.contains(&format!("/acme/web:v1 exists as {other} and was not moved\n")), "{error}");
        assert!(error.contains(&format!("was answered with {status}")), "{error}");
        assert!(error.ends_with("hint: the tag seems to be immutable: push under another tag"), "{error}");
        // Where there is no such tag it is the refusal that it is.
        let error = told(&push(status, body, None).0.unwrap_err());
        assert!(!error.contains("was not moved") && error.contains(&format!("with {status}")), "{error}");
    }
    for (status, body) in [(400, r#"{"errors":[{"code":"MANIFEST_INVALID"}]}"#), (401, ""), (413, "")] {
        let (result, asked) = push(status, body, Some(other));
        let error = told(&result.unwrap_err());
        assert!(!error.contains("was not moved"), "{error}");
        assert_eq!(asked, 1);
    }
}
