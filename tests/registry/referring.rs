//! What refers to a manifest: asked for by the API or by a tag, and kept under that tag where nobody else does.

use std::sync::{Arc, Mutex};

use imgpack::model::{BlobDigest, MediaType};
use imgpack::registry::Registry as _;
use serde_json::{Value, json};

use crate::fake::{Asked, Fake, Reply};
use crate::{anonymous, repository, told};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn row(name: &str) -> Value {
    json!({
        "mediaType": MediaType::OciManifest.as_str(), "digest": BlobDigest::of(name.as_bytes()), "size": 7,
        "artifactType": format!("application/{name}"),
    })
}

fn index(rows: &[Value]) -> String {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": rows }).to_string()
}

/// A manifest that refers to `subject`.
fn signature(subject: BlobDigest, name: &str) -> Vec<u8> {
    json!({
        "schemaVersion": 2, "mediaType": MediaType::OciManifest.as_str(), "artifactType": "application/signature",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": BlobDigest::of(b"{}"), "size": 2 },
        "layers": [], "annotations": { "name": name },
        "subject": { "mediaType": MediaType::OciManifest.as_str(), "digest": subject, "size": 1 },
    })
    .to_string()
    .into_bytes()
}

fn subject() -> BlobDigest {
    BlobDigest::of(b"subject")
}

fn tag() -> String {
    format!("sha256-{}", subject().hex())
}

#[test]
fn the_api_answers_in_pages() {
    let server = Fake::start(|asked| {
        let page = asked.target.contains("page=2");
        // What is no manifest, or has another digest than ours, cannot be asked for.
        let odd = json!({ "mediaType": "application/x", "digest": BlobDigest::of(b"x"), "size": 1 });
        let other = json!({ "mediaType": INDEX, "digest": "sha512:abc", "size": 1 });
        let rows = if page { vec![row("b"), odd, other] } else { vec![row("a"), row("b")] };
        let reply = Reply::body(index(&rows)).with("Content-Type", INDEX);
        if page { reply } else { reply.with("Link", format!("<{}?page=2>; rel=\"next\"", asked.target)) }
    });
    let mut found = anonymous().referrers(&repository(&server), subject()).unwrap();
    found.sort_by_key(|row| row.artifact_type.clone());
    let types: Vec<_> = found.iter().map(|row| row.artifact_type.as_deref().unwrap()).collect();
    assert_eq!(types, ["application/a", "application/b"]);
    let first = format!("GET /v2/acme/web/referrers/{}", subject());
    assert_eq!(server.lines(), [first.clone(), format!("{first}?page=2")]);
}

#[test]
fn without_the_api_a_tag_has_the_list() {
    for missing in [
        Reply::status(404),
        Reply::status(405),
        Reply::body("<html>welcome</html>").with("Content-Type", "text/html"),
    ] {
        let server = Fake::start(move |asked| match asked.target.as_str() {
            target if target.contains("/referrers/") => missing.clone(),
            target if target.ends_with(&tag()) => Reply::body(index(&[row("a")])).with("Content-Type", INDEX),
            _ => Reply::status(404),
        });
        let remote = anonymous();
        let found = remote.referrers(&repository(&server), subject()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].artifact_type.as_deref(), Some("application/a"));
        // The registry is asked once for what it does not have.
        assert!(remote.referrers(&repository(&server), BlobDigest::of(b"other")).unwrap().is_empty());
        assert_eq!(server.lines().iter().filter(|line| line.contains("/referrers/")).count(), 1);
    }
}

#[test]
fn refusals_and_nonsense_are_no_empty_list() {
    for (reply, expected) in [
        (Reply::status(403), "refuses access to acme/web"),
        (Reply::body("[]").with("Content-Type", INDEX), "it is not the index of a list of referrers"),
    ] {
        let server = Fake::start(move |_| reply.clone());
        let error = told(&anonymous().referrers(&repository(&server), subject()).unwrap_err());
        assert!(error.contains(expected), "{error}");
    }
}

/// A registry that keeps what is under the tag, and lets a test disturb each write.
fn keeping_tag(
    mut disturb: impl FnMut(usize, &mut Option<Vec<u8>>, &Asked) -> Option<Reply> + Send + 'static,
) -> (Fake, Arc<Mutex<Option<Vec<u8>>>>) {
    let kept: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let inside = Arc::clone(&kept);
    let mut writes = 0;
    let server = Fake::start(move |asked| {
        let mut kept = inside.lock().unwrap();
        if !asked.target.ends_with(&tag()) {
            return Reply::status(201);
        }
        if asked.method == "PUT" {
            writes += 1;
            if let Some(reply) = disturb(writes, &mut kept, asked) {
                return reply;
            }
            *kept = Some(asked.body.clone());
            return Reply::status(201);
        }
        match &*kept {
            Some(bytes) => Reply::body(bytes.clone())
                .with("Content-Type", INDEX)
                .with("ETag", format!("\"{}\"", BlobDigest::of(bytes))),
            None => Reply::status(404),
        }
    });
    (server, kept)
}

fn rows(kept: &Mutex<Option<Vec<u8>>>) -> Vec<Value> {
    let index: Value = serde_json::from_slice(kept.lock().unwrap().as_ref().unwrap()).unwrap();
    assert_eq!((&index["mediaType"], &index["schemaVersion"]), (&json!(INDEX), &json!(2)));
    index["manifests"].as_array().unwrap().clone()
}

fn push(server: &Fake, bytes: &[u8]) {
    let reference = repository(server).at(BlobDigest::of(bytes));
    let pushed = anonymous().push_manifest(&reference, MediaType::OciManifest, bytes);
    assert!(pushed.is_ok(), "{}", told(&pushed.unwrap_err()));
}

#[test]
fn a_registry_that_lists_is_left_to_it() {
    let server = Fake::start(|_| Reply::status(201).with("OCI-Subject", subject()));
    push(&server, &signature(subject(), "a"));
    assert_eq!(server.lines().len(), 1, "{:?}", server.lines());
}

#[test]
fn the_list_under_the_tag_is_kept() {
    let (server, kept) = keeping_tag(|_, _, _| None);
    let (one, two) = (signature(subject(), "one"), signature(subject(), "two"));
    push(&server, &one);
    push(&server, &two);
    push(&server, &one);
    let listed = rows(&kept);
    assert_eq!(listed.len(), 2);
    assert_eq!(
        listed[1],
        json!({
            "mediaType": MediaType::OciManifest.as_str(), "digest": BlobDigest::of(&two), "size": two.len(),
            "artifactType": "application/signature", "annotations": { "name": "two" },
        })
    );
    // The third time it is there.
    let writes =
        server.requests().into_iter().filter(|asked| asked.method == "PUT" && asked.target.ends_with(&tag()));
    let held: Vec<bool> = writes.map(|asked| asked.headers.contains_key("if-match")).collect();
    assert_eq!(held, [false, true], "a write holds to what was read");
}

#[test]
fn what_others_write_at_the_same_time_stays() {
    // Another client's list takes the place of ours, once silently, once by refusing ours.
    for refused in [false, true] {
        let (server, kept) = keeping_tag(move |write, kept, _| {
            if write > 1 {
                return None;
            }
            *kept = Some(index(&[row("theirs")]).into_bytes());
            Some(Reply::status(if refused { 412 } else { 201 }))
        });
        let ours = signature(subject(), "ours");
        push(&server, &ours);
        let listed = rows(&kept);
        assert_eq!(listed.len(), 2, "refused: {refused}");
        assert_eq!((&listed[0], &listed[1]["digest"]), (&row("theirs"), &json!(BlobDigest::of(&ours))));
    }
}

#[test]
fn a_list_that_never_stays_is_an_error() {
    let (server, _kept) = keeping_tag(|_, _, _| Some(Reply::status(412)));
    let bytes = signature(subject(), "a");
    let reference = repository(&server).at(BlobDigest::of(&bytes));
    let error = told(&anonymous().push_manifest(&reference, MediaType::OciManifest, &bytes).unwrap_err());
    assert!(error.contains("others change it all the time"), "{error}");
}

#[test]
fn a_tag_with_something_else_is_not_overwritten() {
    let (server, kept) = keeping_tag(|_, _, _| None);
    *kept.lock().unwrap() = Some(br#"{"schemaVersion":2,"layers":[]}"#.to_vec());
    let bytes = signature(subject(), "a");
    let reference = repository(&server).at(BlobDigest::of(&bytes));
    let error = told(&anonymous().push_manifest(&reference, MediaType::OciManifest, &bytes).unwrap_err());
    assert!(error.contains("it is no list of referrers, and its tag is needed for one"), "{error}");
}

#[test]
fn two_pushes_of_one_process_are_both_listed() {
    let (server, kept) = keeping_tag(|_, _, _| None);
    let remote = anonymous();
    let names: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let (remote, server) = (&remote, &server);
            scope.spawn(move || {
                let bytes = signature(subject(), name);
                let reference = repository(server).at(BlobDigest::of(&bytes));
                remote.push_manifest(&reference, MediaType::OciManifest, &bytes).unwrap();
            });
        }
    });
    assert_eq!(rows(&kept).len(), names.len());
}
