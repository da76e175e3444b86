//! Reading by way of mirrors.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use imgpack::model::{BlobDigest, Descriptor, ImageRef, MediaType, Repository};
use imgpack::registry::{
    BlobSource, ImagePush, Manifest, Mirrors, PushJob, Registry as _, Remote, RemoteConfig, push,
};

use crate::fake::{Asked, Fake, Reply};
use crate::{config, layer};

const MANIFEST: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
const BLOB: &[u8] = b"0123456789";

/// Has one manifest and one blob, whatever the repository is called.
fn has_all(asked: &Asked) -> Reply {
    if asked.target.contains("/manifests/") {
        let digest = BlobDigest::of(MANIFEST.as_bytes());
        let reply = Reply::body(MANIFEST).with("content-type", MediaType::OciManifest.as_str());
        return reply.with("docker-content-digest", digest);
    }
    Reply::body(BLOB)
}

/// A client that reads the repositories of `server` from these mirrors; what it tells.
fn client(server: &Fake, mirrors: &[String]) -> (Remote, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let rows = BTreeMap::from([(server.address.to_string(), mirrors.to_vec())]);
    let mirrors = Mirrors::new(rows).unwrap().telling(move |text| tell.lock().unwrap().push(text.to_owned()));
    (Remote::new(RemoteConfig { mirrors, ..config() }), told)
}

fn at(server: &Fake, text: &str) -> ImageRef {
    format!("{}/{text}", server.address).parse().unwrap()
}

fn blob(client: &Remote, repository: &Repository) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.blob(repository, &layer(BLOB), &mut bytes).unwrap();
    bytes
}

#[test]
fn what_a_mirror_has_is_read_there() {
    let (server, mirror) = (Fake::start(has_all), Fake::start(has_all));
    let (client, told) = client(&server, &[format!("{}/hub", mirror.address)]);
    let reference = at(&server, "acme/web:1");
    assert_eq!(client.resolve(&reference).unwrap().digest, BlobDigest::of(MANIFEST.as_bytes()));
    client.manifest(&reference).unwrap();
    assert_eq!(blob(&client, reference.repository()), BLOB);
    let digest = layer(BLOB).digest;
    assert_eq!(
        mirror.lines(),
        [
            "HEAD /v2/hub/acme/web/manifests/1".to_owned(),
            "GET /v2/hub/acme/web/manifests/1".to_owned(),
            format!("GET /v2/hub/acme/web/blobs/{digest}"),
        ]
    );
    assert_eq!(server.lines(), Vec::<String>::new());
    assert!(told.lock().unwrap().is_empty());
    // For a lock the registry itself is asked.
    client.resolve_at_source(&reference).unwrap();
    assert_eq!(server.lines(), ["HEAD /v2/acme/web/manifests/1"]);
    // A push goes nowhere else.
    assert!(client.present(&reference).unwrap().is_some());
    assert_eq!((server.lines().len(), mirror.lines().len()), (2, 3));
}

#[test]
fn a_mirror_that_does_not_help_is_passed_over_and_told_of_once() {
    for (reply, said) in [
        (Reply::status(404), "it is not there (404)"),
        (Reply::status(401), "access is refused (401)"),
        (Reply::status(403), "access is refused (403)"),
        (Reply::status(503), "it answers with 503"),
        (Reply::hang_up(), "the connection breaks"),
    ] {
        let server = Fake::start(has_all);
        let mirror = Fake::start(move |_| reply.clone());
        let second = Fake::start(has_all);
        let (client, told) = client(&server, &[mirror.address.to_string(), format!("{}/b", second.address)]);
        let reference = at(&server, "acme/web:1");
        client.manifest(&reference).unwrap();
        let asked = mirror.lines().len();
        assert_eq!(blob(&client, reference.repository()), BLOB);
        assert_eq!(blob(&client, reference.repository()), BLOB);
        assert_eq!(mirror.lines().len(), asked, "{said}: it is not asked again");
        assert_eq!((server.lines().len(), second.lines().len()), (0, 3), "{said}");
        let expected = format!("mirror {}/acme/web: {said}; the next place is asked", mirror.address);
        assert_eq!(*told.lock().unwrap(), [expected]);
    }
}

#[test]
fn where_no_mirror_helps_the_registry_says_the_last_word() {
    let nobody = {
        let gone = Fake::start(has_all);
        gone.address.to_string()
    };
    let server = Fake::start(has_all);
    let (client_of_good, told) = client(&server, std::slice::from_ref(&nobody));
    let reference = at(&server, "acme/web:1");
    client_of_good.resolve(&reference).unwrap();
    client_of_good.manifest(&reference).unwrap();
    assert_eq!(blob(&client_of_good, reference.repository()), BLOB);
    assert_eq!(told.lock().unwrap().len(), 1, "{told:?}");
    assert!(told.lock().unwrap()[0].contains("it cannot be reached"));

    let empty = Fake::start(|_| Reply::status(404));
    let (client, _) = client(&empty, &[nobody]);
    let error = client.manifest(&at(&empty, "acme/web:1")).unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains(&empty.address.to_string()), "{error}");
}

#[test]
fn a_registry_that_its_mirrors_stand_in_for_is_told_of_once() {
    let (server, mirror) = (Fake::start(has_all), Fake::start(has_all));
    let (client, told) = client(&server, &[mirror.address.to_string()]);
    let references = [at(&server, "acme/web:1"), at(&server, "acme/base:1")];
    let address = server.address;
    drop(server);
    for reference in &references {
        client.resolve_at_source(reference).unwrap();
    }
    let expected = format!("{address} cannot be reached; what its tags are, its mirrors are asked");
    assert_eq!(*told.lock().unwrap(), [expected]);
}

#[test]
fn a_mirror_that_breaks_off_is_gone_on_with_elsewhere() {
    let mirror = Fake::start(|asked| match asked.headers.get("range") {
        None => Reply::body(BLOB).cut_after(4),
        Some(_) => Reply::status(404),
    });
    let server = Fake::start(|asked| {
        let first: usize = asked.headers["range"]["bytes=".len()..].trim_end_matches('-').parse().unwrap();
        Reply::status(206).with("content-range", format!("bytes {first}-9/10")).and_body(&BLOB[first..])
    });
    let (client, told) = client(&server, &[mirror.address.to_string()]);
    assert_eq!(blob(&client, at(&server, "acme/web").repository()), BLOB);
    assert_eq!(server.requests()[0].headers["range"], "bytes=4-");
    assert_eq!(told.lock().unwrap().len(), 1);
}

#[test]
fn what_a_mirror_says_is_checked() {
    let mirror = Fake::start(|_| Reply::body("9876543210"));
    let server = Fake::start(has_all);
    let (client, told) = client(&server, &[mirror.address.to_string()]);
    let reference = at(&server, "acme/web").with_digest(BlobDigest::of(MANIFEST.as_bytes()));
    // A document is asked for elsewhere; of a blob it is too late, what came is written.
    assert_eq!(client.manifest(&reference).unwrap().bytes, MANIFEST.as_bytes());
    assert!(told.lock().unwrap()[0].contains("what it has is damaged"));
    let mirror = Fake::start(|_| Reply::body("9876543210"));
    let (client, _) = self::client(&server, &[mirror.address.to_string()]);
    let error = client.blob(reference.repository(), &layer(BLOB), &mut Vec::new()).unwrap_err();
    let expected =
        format!("the blob {} of {}/acme/web has other content", layer(BLOB).digest, mirror.address);
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn who_may_have_sent_wrong_bytes_is_named() {
    let mirror = Fake::start(|asked| match asked.headers.get("range") {
        None => Reply::body("9876543210").cut_after(4),
        Some(_) => Reply::status(404),
    });
    let server =
        Fake::start(|_| Reply::status(206).with("content-range", "bytes 4-9/10").and_body(&BLOB[4..]));
    let (client, _) = client(&server, &[mirror.address.to_string()]);
    let error = client.blob(at(&server, "acme/web").repository(), &layer(BLOB), &mut Vec::new()).unwrap_err();
    let expected = format!(
        "the blob {} of {}/acme/web and {}/acme/web has other content",
        layer(BLOB).digest,
        mirror.address,
        server.address
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn a_blob_of_a_base_is_streamed_from_a_mirror() {
    let (server, mirror) = (Fake::start(|_| Reply::status(404)), Fake::start(has_all));
    let target = crate::keeping::start();
    let (client, _) = client(&server, &[format!("{}/hub", mirror.address)]);
    let to: Repository = format!("{}/acme/web", target.address).parse().unwrap();
    let from = at(&server, "acme/base").repository().clone();
    let blob: Descriptor = layer(BLOB);
    client.push_blob(&to, &blob, &BlobSource::Registry(from), &|_| {}).unwrap();
    assert_eq!(mirror.lines(), [format!("GET /v2/hub/acme/base/blobs/{}", blob.digest)]);
    assert_eq!(server.lines(), Vec::<String>::new());
}

#[test]
fn a_wrong_blob_of_a_mirror_is_streamed_from_the_registry() {
    let (server, mirror) = (Fake::start(has_all), Fake::start(|_| Reply::body("9876543210")));
    let target = crate::keeping::start();
    let (client, told) = client(&server, &[mirror.address.to_string()]);
    let to: Repository = format!("{}/acme/web", target.address).parse().unwrap();
    let from = at(&server, "acme/base").repository().clone();
    let blob: Descriptor = layer(BLOB);
    client.push_blob(&to, &blob, &BlobSource::Registry(from), &|_| {}).unwrap();
    assert_eq!(server.lines(), [format!("GET /v2/acme/base/blobs/{}", blob.digest)]);
    assert!(told.lock().unwrap()[0].contains("what it has is damaged"));
}

#[test]
fn what_proved_wrong_is_not_mounted() {
    let server = Fake::start(|asked| match asked.method.as_str() {
        "GET" => Reply::body("9876543210"),
        "POST" => Reply::status(202).with("Location", "/upload/1"),
        "PUT" => Reply::status(201),
        _ => Reply::status(404),
    });
    let (client, _) = client(&server, &[]);
    client.blob(at(&server, "acme/base").repository(), &layer(BLOB), &mut Vec::new()).unwrap_err();
    let source = BlobSource::Bytes(BLOB.into());
    client.push_blob(at(&server, "acme/web").repository(), &layer(BLOB), &source, &|_| {}).unwrap();
    assert!(!server.lines().iter().any(|line| line.contains("mount=")), "{:#?}", server.lines());
}

#[test]
fn an_immutable_tag_that_only_a_mirror_knows_is_set() {
    // It was deleted, and the mirror has it still.
    let server = Fake::start(|asked| match asked.method.as_str() {
        "PUT" => Reply::status(201),
        _ => Reply::status(404),
    });
    let mirror = Fake::start(has_all);
    let (client, _) = client(&server, &[mirror.address.to_string()]);
    let tag = at(&server, "acme/web:v1");
    let image = ImagePush {
        repository: tag.repository().clone(),
        tags: vec!["v1".to_owned()],
        root: Manifest { media_type: MediaType::OciManifest, bytes: MANIFEST.as_bytes().into() },
        children: Vec::new(),
        blobs: Vec::new(),
    };
    let job = PushJob { immutable: [tag].into(), ..PushJob::new(vec![image], 1) };
    assert!(!push(&client, &job, &()).unwrap().images[0].unchanged);
    assert!(server.lines().contains(&"PUT /v2/acme/web/manifests/v1".to_owned()), "{:#?}", server.lines());
}
