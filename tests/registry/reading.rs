//! What registries, their proxies and the network between do to those who read from them.

use std::io::Write as _;
use std::time::Duration;

use imgpack::model::{BlobDigest, MediaType};
use imgpack::registry::{
    BlobSource, ImagePush, Manifest, Patience, PushJob, Registry as _, RegistryError, Remote, RemoteConfig,
    push,
};

use crate::fake::{Asked, Fake, Reply};
use crate::{anonymous, config, layer, repository, told};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCUMENT: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

fn body() -> Vec<u8> {
    (0..100_000_u32).map(|n| (n % 251) as u8).collect()
}

fn document() -> Reply {
    Reply::body(DOCUMENT).with("Content-Type", INDEX)
}

/// Answers in turn; the last one stays.
fn in_turn(replies: Vec<Reply>) -> impl FnMut(&Asked) -> Reply + Send + 'static {
    let mut turn = 0;
    move |_| {
        turn += 1;
        replies[(turn - 1).min(replies.len() - 1)].clone()
    }
}

fn blob(server: &Fake, remote: &Remote) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    remote.blob(&repository(server), &layer(&body()), &mut bytes)?;
    Ok(bytes)
}

fn manifest(server: &Fake, remote: &Remote) -> Result<Vec<u8>, RegistryError> {
    remote.manifest(&repository(server).tagged("v1").unwrap()).map(|manifest| manifest.bytes)
}

/// Waits no longer than this for the next byte.
fn patient(stall: Duration) -> Remote {
    let patience = Patience { stall, answer: stall, ..Patience::default() };
    Remote::new(RemoteConfig { patience, ..config() })
}

const MOMENT: Duration = Duration::from_millis(50);

#[test]
fn faults_that_pass_are_outlived() {
    for (is_manifest, good) in [(true, document()), (false, Reply::body(body()))] {
        for (what, fault) in [
            ("no answer", Reply::hang_up()),
            ("500", Reply::status(500)),
            ("502 with a page", Reply::status(502).and_body("<html>bad gateway</html>")),
            ("503", Reply::status(503).with("Retry-After", 0)),
            ("504", Reply::status(504)),
            ("408", Reply::status(408)),
            ("429", Reply::status(429).with("Retry-After", 0)),
            ("429 with a date", Reply::status(429).with("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT")),
            ("half an answer", good.clone().cut_after(50)),
            ("an answer without a body", good.clone().cut_after(0)),
        ] {
            let server = Fake::start(in_turn(vec![fault.clone(), fault, good.clone()]));
            let remote = anonymous();
            let result = match is_manifest {
                true => manifest(&server, &remote).map(|bytes| bytes == DOCUMENT),
                false => blob(&server, &remote).map(|bytes| bytes == body()),
            };
            assert!(result.unwrap_or_else(|error| panic!("{what}: {}", told(&error))), "{what}");
            assert_eq!(server.lines().len(), 3, "{what}");
        }
    }
}

#[test]
fn a_blob_that_never_comes_is_asked_for_three_times() {
    for reply in [Reply::status(503), Reply::hang_up(), Reply::body(body()).cut_after(0)] {
        let server = Fake::start(move |_| reply.clone());
        let error = told(&blob(&server, &anonymous()).unwrap_err());
        assert!(error.contains("GET http://127.0.0.1:"), "{error}");
        assert_eq!(server.lines().len(), 3, "{error}");
        // And on its way to another registry.
        let target = crate::keeping::start();
        let to = format!("{}/acme/web", target.address).parse().unwrap();
        let source = BlobSource::Registry(repository(&server));
        let error = told(&anonymous().push_blob(&to, &layer(&body()), &source, &|_| {}).unwrap_err());
        assert!(error.contains(&format!("GET http://{}/", server.address)), "{error}");
        assert_eq!(server.lines().len(), 6, "{error}");
    }
}

#[test]
fn faults_that_stay_are_named_after_three_tries() {
    for (reply, expected) in [
        (document().cut_after(50), "the connection broke: GET http://127.0.0.1:"),
        (Reply::status(503), "was answered with 503"),
        (Reply::hang_up(), "the connection broke: GET http://127.0.0.1:"),
    ] {
        let server = Fake::start(move |_| reply.clone());
        let error = told(&manifest(&server, &anonymous()).unwrap_err());
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("/v2/acme/web/manifests/v1"), "{error}");
        assert_eq!(server.lines().len(), 3, "{error}");
    }
    let server = Fake::start(|_| Reply::status(429).with("Retry-After", 3600));
    let error = told(&manifest(&server, &anonymous()).unwrap_err());
    assert!(error.ends_with("hint: the registry asks to come back in 3600 s"), "{error}");
    assert_eq!(server.lines().len(), 1, "an hour is not waited");
}

#[test]
fn what_head_refuses_get_may_tell() {
    for status in [400, 403, 404, 405, 501] {
        let server = Fake::start(move |asked| match asked.method.as_str() {
            "HEAD" => Reply::status(status),
            _ => document(),
        });
        let found = anonymous().resolve(&repository(&server).tagged("v1").unwrap());
        let found = found.unwrap_or_else(|error| panic!("{status}: {}", told(&error)));
        assert_eq!((found.digest, found.media_type), (BlobDigest::of(DOCUMENT), MediaType::OciIndex));
        assert_eq!(
            server.requests().iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(),
            ["HEAD", "GET"]
        );
    }
}

#[test]
fn ranges_that_are_not_understood_cost_only_bytes() {
    let whole = body();
    let range = |first: usize, last: usize| format!("bytes {first}-{last}/{}", body().len());
    for (what, second, asked) in [
        // go-containerregistry's own registry knows only ranges with an end.
        ("416", Reply::status(416), 3),
        ("a whole answer", Reply::body(whole.clone()), 2),
        (
            "another part than asked for",
            Reply::status(206).with("Content-Range", range(0, 99_999)).and_body(whole.clone()),
            2,
        ),
        (
            "less than asked for",
            Reply::status(206).with("Content-Range", range(40_000, 59_999)).and_body(&whole[40_000..60_000]),
            3,
        ),
    ] {
        let mut turn = 0;
        let (second, all) = (second.clone(), whole.clone());
        let server = Fake::start(move |asked| {
            turn += 1;
            match (turn, asked.headers.get("range").map(String::as_str)) {
                (1, _) => Reply::body(all.clone()).cut_after(40_000),
                (2, _) => second.clone(),
                (_, Some("bytes=60000-")) => Reply::status(206)
                    .with("Content-Range", "bytes 60000-99999/100000")
                    .and_body(&all[60_000..]),
                _ => Reply::body(all.clone()),
            }
        });
        let bytes = blob(&server, &anonymous()).unwrap_or_else(|error| panic!("{what}: {}", told(&error)));
        assert!(bytes == whole, "{what}");
        assert_eq!(server.lines().len(), asked, "{what}");
    }
}

#[test]
fn http_1_0_ends_with_the_connection() {
    let server = Fake::start(in_turn(vec![Reply::body(body()).closed_after(100_000)]));
    assert!(blob(&server, &anonymous()).unwrap() == body());
    let server = Fake::start(in_turn(vec![document().closed_after(DOCUMENT.len())]));
    assert_eq!(manifest(&server, &anonymous()).unwrap(), DOCUMENT);

    // Nothing says that such an answer is cut: only size and digest do.
    let whole = Reply::body(body());
    let server = Fake::start(in_turn(vec![whole.clone().closed_after(70_000), whole.clone()]));
    assert!(blob(&server, &anonymous()).unwrap() == body());
    let server = Fake::start(in_turn(vec![whole.closed_after(0)]));
    let error = told(&blob(&server, &anonymous()).unwrap_err());
    assert!(error.contains("it ended after 0 of 100000 bytes"), "{error}");
    let digest = BlobDigest::of(DOCUMENT);
    let cut = document().with("Docker-Content-Digest", digest).closed_after(30);
    let server = Fake::start(in_turn(vec![cut]));
    let error = told(&manifest(&server, &anonymous()).unwrap_err());
    assert!(error.contains(&format!("expected {digest}, found sha256:")), "{error}");
}

#[test]
fn a_stream_that_stops_in_the_middle_is_asked_for_again() {
    let server = Fake::start(in_turn(vec![Reply::body(body()).stuck_after(30_000), Reply::body(body())]));
    assert!(blob(&server, &patient(MOMENT)).unwrap() == body());
    let server = Fake::start(in_turn(vec![document().stuck_after(30), document()]));
    assert_eq!(manifest(&server, &patient(MOMENT)).unwrap(), DOCUMENT);
    let server = Fake::start(in_turn(vec![Reply::body(body()).stuck_after(0)]));
    let error = told(&blob(&server, &patient(MOMENT)).unwrap_err());
    assert!(error.starts_with("the connection broke: GET http://127.0.0.1:"), "{error}");
    assert!(error.contains("nothing came any more"), "{error}");
}

#[test]
fn a_document_that_drips_is_given_up() {
    let server = Fake::start(in_turn(vec![document().dripping(Duration::from_millis(20))]));
    let error = told(&manifest(&server, &patient(MOMENT)).unwrap_err());
    assert!(error.contains("no answer within 0.05 s"), "{error}");
}

#[test]
fn headers_without_end_are_refused() {
    let server = Fake::start(in_turn(vec![document().with("X-Long", "x".repeat(2_000_000))]));
    let error = told(&manifest(&server, &anonymous()).unwrap_err());
    assert!(error.starts_with("the connection broke: GET http://127.0.0.1:"), "{error}");
}

#[test]
fn an_encoding_that_was_not_asked_for_is_not_the_document() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(DOCUMENT).unwrap();
    let packed = packed.finish().unwrap();
    for digest in [true, false] {
        let reply = Reply::body(packed.clone()).with("Content-Type", INDEX).with("Content-Encoding", "gzip");
        let reply =
            if digest { reply.with("Docker-Content-Digest", BlobDigest::of(DOCUMENT)) } else { reply };
        let server = Fake::start(in_turn(vec![reply]));
        let error = told(&manifest(&server, &anonymous()).unwrap_err());
        let expected = if digest {
            "has other content than its digest says"
        } else {
            "it is not the JSON of a manifest"
        };
        assert!(error.contains(expected), "{error}");
        assert!(
            !server.requests()[0].headers.contains_key("accept-encoding"),
            "bytes are asked for as they are"
        );
    }
}

#[test]
fn types_that_say_nothing_are_looked_through() {
    for named in
        [None, Some("text/plain"), Some("application/json; charset=utf-8"), Some("application/octet-stream")]
    {
        let reply = Reply::body(DOCUMENT);
        let reply = if let Some(named) = named { reply.with("Content-Type", named) } else { reply };
        let server = Fake::start(in_turn(vec![reply]));
        let found = anonymous().manifest(&repository(&server).tagged("v1").unwrap()).unwrap();
        assert_eq!((found.media_type, found.digest), (MediaType::OciIndex, BlobDigest::of(DOCUMENT)));
    }
    let other = "application/vnd.oci.image.manifest.v1+json";
    let server = Fake::start(in_turn(vec![Reply::body(DOCUMENT).with("Content-Type", other)]));
    let error = told(&manifest(&server, &anonymous()).unwrap_err());
    assert!(error.contains("and was sent as another"), "{error}");
}

#[test]
fn a_tag_that_is_read_stale_is_pushed_again_and_no_failure() {
    // A replica that has not heard of the last push.
    let stale = BlobDigest::of(b"old");
    let server = Fake::start(move |asked| match (asked.method.as_str(), asked.target.ends_with("/v1")) {
        ("HEAD", true) => Reply::status(200).with("Docker-Content-Digest", stale).with("Content-Type", INDEX),
        ("PUT", _) => Reply::status(201),
        _ => Reply::status(404),
    });
    let root = Manifest { media_type: MediaType::OciIndex, bytes: DOCUMENT.into() };
    let image = ImagePush {
        repository: repository(&server),
        tags: vec!["v1".to_owned()],
        root: root.clone(),
        children: Vec::new(),
        blobs: Vec::new(),
    };
    let job = PushJob::new(vec![image], 2);
    for _ in 0..2 {
        let summary = push(&anonymous(), &job, &()).unwrap_or_else(|error| panic!("{}", told(&error)));
        assert_eq!((summary.images[0].digest, summary.images[0].unchanged), (root.digest(), false));
    }
    let puts: Vec<_> = server.lines().into_iter().filter(|line| line.starts_with("PUT")).collect();
    let (by_digest, by_tag) =
        (format!("PUT /v2/acme/web/manifests/{}", root.digest()), "PUT /v2/acme/web/manifests/v1".to_owned());
    assert_eq!(puts, [by_digest.clone(), by_tag.clone(), by_digest, by_tag]);
}
