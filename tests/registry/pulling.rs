use std::time::Duration;

use imgpack::model::{BlobDigest, MediaType};
use imgpack::registry::{Patience, Registry as _, RegistryError, Remote, RemoteConfig};

use crate::fake::{Asked, Fake, Reply};
use crate::{anonymous, config, layer, repository, told, with_credentials};

const DOCUMENT: &[u8] = br#"{"schemaVersion":2,
  "mediaType":"application/vnd.oci.image.index.v1+json", "manifests":[]}"#;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn body() -> Vec<u8> {
    (0..1_000_000_u32).map(|n| (n % 251) as u8).collect()
}

fn pull(server: &Fake, remote: &Remote) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    remote.blob(&repository(server), &layer(&body()), &mut bytes)?;
    Ok(bytes)
}

/// What a registry that honours ranges answers.
fn ranged(asked: &Asked, body: &[u8]) -> Reply {
    match asked.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')) {
        None => Reply::body(body),
        Some(first) => {
            let first: usize = first.parse().unwrap();
            let range = format!("bytes {first}-{}/{}", body.len() - 1, body.len());
            Reply::status(206).with("Content-Range", range).and_body(&body[first..])
        }
    }
}

#[test]
fn a_blob_comes_whole() {
    let server = Fake::start(|asked| ranged(asked, &body()));
    assert!(pull(&server, &anonymous()).unwrap() == body());
    let path = format!("/v2/acme/web/blobs/{}", layer(&body()).digest);
    assert_eq!(server.lines(), [format!("GET {path}")]);
}

#[test]
fn a_broken_pull_goes_on_where_it_stopped() {
    for ranges in [true, false] {
        let mut cuts = vec![700_000, 100_000];
        let server = Fake::start(move |asked| {
            let reply = if ranges { ranged(asked, &body()) } else { Reply::body(body()) };
            match asked.method.as_str() {
                "GET" => match cuts.pop() {
                    Some(cut) => reply.cut_after(cut),
                    None => reply,
                },
                _ => reply,
            }
        });
        assert!(pull(&server, &anonymous()).unwrap() == body(), "ranges: {ranges}");
        let gets: Vec<_> = server.requests().into_iter().filter(|asked| asked.method == "GET").collect();
        let ranges: Vec<_> = gets.iter().map(|asked| asked.headers.get("range").cloned()).collect();
        assert_eq!(ranges.len(), 3);
        assert_eq!(ranges[0], None);
        assert!(ranges[1..].iter().all(|range| range.as_ref().unwrap().starts_with("bytes=")), "{ranges:?}");
    }
}

#[test]
fn bytes_that_are_not_the_blob_are_refused() {
    let mut other = body();
    other[999_999] ^= 1;
    let longer = [body(), vec![0]].concat();
    for (what, served, expected) in [
        ("bad", other, "has other content than its digest says: expected sha256:"),
        (
            "long",
            longer.clone(),
            "another size than its descriptor says: expected 1000000 bytes, found 1000001",
        ),
    ] {
        let server = Fake::start(move |_| Reply::body(served.clone()));
        let error = told(&pull(&server, &anonymous()).unwrap_err());
        assert!(error.starts_with("the blob sha256:"), "{error}");
        assert!(error.contains(expected), "{what}: {error}");
    }
    // A rest that is longer than what is missing.
    let server = Fake::start(move |asked| match asked.headers.get("range") {
        None => Reply::body(body()).cut_after(400_000),
        Some(_) => ranged(asked, &longer),
    });
    let error = told(&pull(&server, &anonymous()).unwrap_err());
    assert!(error.contains("expected 1000000 bytes, found at least 1000001"), "{error}");
    // A body that always ends too early.
    let server = Fake::start(|_| Reply::body(body()).cut_after(5));
    let error = told(&pull(&server, &anonymous()).unwrap_err());
    assert!(error.contains("the connection broke: GET http://127.0.0.1:"), "{error}");
}

#[test]
fn a_redirect_is_followed_without_credentials() {
    let store = Fake::start(|asked| ranged(asked, &body()));
    let location = format!("http://localhost:{}/blob?sig=geheim", store.address.port());
    let server = Fake::start(move |asked| match asked.headers.contains_key("authorization") {
        false => Reply::status(401).with("WWW-Authenticate", "Basic"),
        true => Reply::status(307).with("Location", &location),
    });
    let directory = tempfile::tempdir().unwrap();
    let json = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpnZWhlaW0="}}}}}}"#, server.address);
    let remote = with_credentials(directory.path(), &json);
    assert!(pull(&server, &remote).unwrap() == body());
    assert_eq!(store.lines(), ["GET /blob?sig=geheim"]);
}

#[test]
fn a_broken_redirected_pull_goes_on_where_it_stopped() {
    let mut cut = Some(400_000);
    let store = Fake::start(move |asked| match cut.take() {
        Some(cut) => ranged(asked, &body()).cut_after(cut),
        None => ranged(asked, &body()),
    });
    let location = format!("http://localhost:{}/blob", store.address.port());
    let server = Fake::start(move |_| Reply::status(302).with("Location", &location));
    assert!(pull(&server, &anonymous()).unwrap() == body());
    assert_eq!(store.lines().len(), 2);
    assert!(store.requests()[1].headers["range"].starts_with("bytes="));
}

#[test]
fn redirects_that_break_the_rules_are_not_followed() {
    for (location, expected) in [
        ("http://10.0.0.1/?geheim", "led to http://10.0.0.1/?…, and http is spoken only with this machine"),
        ("/again", "was answered wrongly: more than 5 redirects"),
    ] {
        let server = Fake::start(move |_| Reply::status(307).with("Location", location));
        let error = told(&pull(&server, &anonymous()).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
    let server = Fake::start(|_| Reply::status(307));
    let error = told(&pull(&server, &anonymous()).unwrap_err());
    assert!(error.contains("it has no Location"), "{error}");
}

#[test]
fn what_is_missing_is_named() {
    let server = Fake::start(|asked| match asked.method.as_str() {
        "HEAD" => Reply::status(404),
        _ => Reply::status(404).and_body(r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#),
    });
    let error = told(&pull(&server, &anonymous()).unwrap_err());
    assert!(error.contains("is not there: GET http://127.0.0.1:"), "{error}");
    assert!(error.contains("was answered with 404: BLOB_UNKNOWN, blob unknown"), "{error}");
    let reference = repository(&server).tagged("v9").unwrap();
    for error in [anonymous().resolve(&reference).unwrap_err(), anonymous().manifest(&reference).unwrap_err()]
    {
        assert!(error.is_not_found());
        let error = told(&error);
        assert!(error.starts_with(&format!("{reference} is not there: GET")), "{error}");
        assert!(error.contains("may be misspelt"), "{error}");
    }
    assert!(!anonymous().has_blob(&repository(&server), layer(b"x").digest).unwrap());
}

#[test]
fn a_sink_that_is_full_is_named() {
    let server = Fake::start(|_| Reply::body(body()));
    let mut room = [0; 1000];
    let error =
        anonymous().blob(&repository(&server), &layer(&body()), &mut room.as_mut_slice()).unwrap_err();
    assert!(told(&error).starts_with("cannot write the blob sha256:"), "{error}");
    assert_eq!(server.lines().len(), 1, "no second try");
}

#[test]
fn a_stream_that_dries_up_is_not_waited_for() {
    let server = Fake::start(|asked| match asked.method.as_str() {
        "HEAD" => Reply::body(body()),
        _ => Reply::silence(),
    });
    let patience = Patience { stall: Duration::from_millis(50), ..Patience::default() };
    let error = told(&pull(&server, &Remote::new(RemoteConfig { patience, ..config() })).unwrap_err());
    assert!(error.starts_with("the connection broke: GET"), "{error}");
}

#[test]
fn a_manifest_is_kept_as_it_came() {
    let digest = BlobDigest::of(DOCUMENT);
    let server = Fake::start(move |_| {
        Reply::body(DOCUMENT)
            .with("Content-Type", format!("{INDEX}; charset=utf-8"))
            .with("Docker-Content-Digest", digest)
    });
    let reference = repository(&server).tagged("v1").unwrap();
    let manifest = anonymous().manifest(&reference).unwrap();
    assert_eq!((manifest.media_type, manifest.digest), (MediaType::OciIndex, digest));
    assert_eq!(manifest.bytes, DOCUMENT);
    assert_eq!(anonymous().resolve(&reference).unwrap(), manifest.descriptor());
    assert_eq!(server.lines().last().unwrap(), "HEAD /v2/acme/web/manifests/v1", "HEAD alone tells it");
    let accept = &server.requests()[0].headers["accept"];
    assert_eq!(accept.split(", ").filter(|text| MediaType::parse(text).is_some()).count(), 4, "{accept}");
}

#[test]
fn a_head_that_says_little_is_asked_again_by_get() {
    let server = Fake::start(|asked| match asked.method.as_str() {
        "HEAD" => Reply::status(200).with("Content-Type", "application/json"),
        _ => Reply::body(DOCUMENT).with("Content-Type", "application/json"),
    });
    let reference = repository(&server).tagged("v1").unwrap();
    let descriptor = anonymous().resolve(&reference).unwrap();
    assert_eq!(descriptor.digest, BlobDigest::of(DOCUMENT));
    assert_eq!(descriptor.size, DOCUMENT.len() as u64);
}

#[test]
fn manifests_that_are_not_what_was_asked_for_are_refused() {
    let wanted = layer(b"other").digest;
    let server = Fake::start(|_| Reply::body(DOCUMENT));
    for resolve in [true, false] {
        let reference = repository(&server).at(wanted);
        let error = match resolve {
            true => anonymous().resolve(&reference).unwrap_err(),
            false => anonymous().manifest(&reference).unwrap_err(),
        };
        assert!(told(&error).contains(&format!("expected {wanted}, found {}", BlobDigest::of(DOCUMENT))));
    }
    for (reply, expected) in [
        (Reply::body(DOCUMENT).with("Docker-Content-Digest", wanted), "other content than its digest says"),
        (Reply::body(vec![b' '; 4 * 1024 * 1024 + 1]), "the answer is larger than 4194304 bytes"),
        (Reply::body("geheim"), "v1: it is not the JSON of a manifest"),
        (Reply::body(r#"{"schemaVersion":1}"#), "its schemaVersion is not 2"),
    ] {
        let server = Fake::start(move |_| reply.clone());
        let error = anonymous().manifest(&repository(&server).tagged("v1").unwrap()).unwrap_err();
        assert!(told(&error).contains(expected), "{error}");
    }
}

#[test]
fn tags_are_listed_page_by_page() {
    let mut all: Vec<String> = (0..250).map(|n| format!("v{n:03}")).collect();
    let server = Fake::start(move |asked| {
        let last =
            asked.target.split_once("last=").map(|(_, last)| last.split('&').next().unwrap().to_owned());
        all.sort();
        let page: Vec<_> =
            all.iter().filter(|tag| last.as_ref().is_none_or(|last| *tag > last)).take(100).collect();
        Reply::body(serde_json::json!({"name": "acme/web", "tags": page}).to_string())
    });
    let tags = anonymous().tags(&repository(&server)).unwrap();
    assert_eq!(tags.len(), 250);
    assert_eq!((tags[0].as_str(), tags[249].as_str()), ("v000", "v249"));
}

#[test]
fn links_lead_from_page_to_page() {
    let server = Fake::start(|asked| match asked.target.as_str() {
        "/v2/acme/web/tags/list?n=1000" => Reply::body(r#"{"tags":["c","a","not a tag"]}"#)
            .with("Link", "</v2/acme/web/tags/list?page=2>; rel=\"next\""),
        "/v2/acme/web/tags/list?page=2" => Reply::body(r#"{"tags":["b"]}"#),
        other => Reply::status(500).and_body(other.to_owned()),
    });
    assert_eq!(anonymous().tags(&repository(&server)).unwrap(), ["a", "b", "c"]);
    // Whoever links has no other way to name a page.
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn a_list_does_not_lead_to_another_host() {
    for link in ["<http://127.0.0.1:1/v2/x>; rel=next", "<https://registry.example/v2/x>; rel=next"] {
        let server = Fake::start(move |_| Reply::body(r#"{"tags":["a"]}"#).with("Link", link));
        let error = told(&anonymous().tags(&repository(&server)).unwrap_err());
        assert!(error.contains("and the next page of a list is the registry's own"), "{error}");
        assert_eq!(server.lines().len(), 1);
    }
}

#[test]
fn a_list_without_end_ends() {
    let server = Fake::start(|asked| {
        Reply::body(r#"{"tags":["a"]}"#).with("Link", format!("<{}>; rel=next", asked.target))
    });
    assert_eq!(anonymous().tags(&repository(&server)).unwrap(), ["a"]);
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn lists_that_are_none_are_named() {
    for (reply, expected) in [
        (
            Reply::status(404).and_body(r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#),
            "is not there: GET http://127.0.0.1:",
        ),
        (Reply::body("[]"), "it is not the JSON of this answer"),
        (Reply::status(403), "refuses access to acme/web"),
    ] {
        let server = Fake::start(move |_| reply.clone());
        let error = told(&anonymous().tags(&repository(&server)).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}
