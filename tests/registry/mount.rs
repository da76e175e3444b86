//! Blobs that a registry takes over from another of its repositories.

use std::collections::BTreeSet;
use std::sync::Arc;

use imgpack::model::{BlobDigest, MediaType, Repository};
use imgpack::registry::{self, BlobSource, ImagePush, Manifest, PushJob, Pushed, Registry as _};

use crate::fake::{Asked, Fake, Reply};
use crate::keeping::{self, Mounts};
use crate::{anonymous, layer, told};

const BODY: &[u8] = b"the bytes of a layer";
const HEAD: &str = "HEAD";
const MOUNT: &str = "POST ?mount&from=acme%2Fapi";

fn repository(server: &Fake, path: &str) -> Repository {
    format!("{}/{path}", server.address).parse().unwrap()
}

/// What was asked of `acme/web`, short.
fn steps(server: &Fake) -> Vec<String> {
    let digest = layer(BODY).digest.to_string();
    let short = |asked: &Asked| {
        let target = asked.target.replace(&digest.replace(':', "%3A"), "DIGEST");
        let target =
            target.trim_start_matches("/v2/acme/web/blobs/uploads/").replace("mount=DIGEST", "mount");
        match (asked.method.as_str(), asked.bearer()) {
            ("HEAD", None) => HEAD.to_owned(),
            (method, None) => format!("{method} {target}").trim().to_owned(),
            (method, Some(token)) => format!("{method} {target} [{token}]").replace("  ", " "),
        }
    };
    server.requests().iter().map(short).collect()
}

/// Pushes to `acme/web` what `acme/api` is known to hold.
fn push(server: &Fake) -> Pushed {
    let remote = anonymous();
    let blob = layer(BODY);
    remote.holds(&repository(server, "acme/api"), &BTreeSet::from([blob.digest]));
    let source = BlobSource::Bytes(Arc::from(BODY));
    let pushed = remote.push_blob(&repository(server, "acme/web"), &blob, &source, &|_| {});
    pushed.map_err(|error| told(&error)).unwrap()
}

/// A registry that answers to a mount as `mount` says, and knows the rest.
fn answering(mount: Reply) -> Fake {
    Fake::start(move |asked| match asked.method.as_str() {
        "HEAD" => Reply::status(404),
        "POST" if asked.target.contains("?mount=") => mount.clone(),
        "POST" => Reply::status(202).with("Location", "/plain"),
        _ => Reply::status(201),
    })
}

#[test]
fn every_answer_to_a_mount_leads_on() {
    let sent = Pushed { sent: BODY.len() as u64, ..Pushed::default() };
    let plain = [HEAD, MOUNT, "POST", "PUT /plain?digest=DIGEST"].to_vec();
    for (reply, pushed, expected) in [
        (Reply::status(201), Pushed::MOUNTED, [HEAD, MOUNT].to_vec()),
        (
            Reply::status(202).with("Location", "/session?x=1"),
            sent,
            [HEAD, MOUNT, "PUT /session?x=1&digest=DIGEST"].to_vec(),
        ),
        (Reply::status(400), sent, plain.clone()),
        (Reply::status(401), sent, plain.clone()),
        (Reply::status(403), sent, plain.clone()),
        (Reply::status(404), sent, plain.clone()),
        (Reply::status(405), sent, plain.clone()),
        (Reply::status(307).with("Location", "/"), sent, plain.clone()),
        (Reply::status(501), sent, plain.clone()),
    ] {
        let server = answering(reply.clone());
        assert_eq!(push(&server), pushed, "{reply:?}");
        assert_eq!(steps(&server), expected, "{reply:?}");
    }
    // What passes is tried again first.
    for reply in [Reply::status(500), Reply::hang_up()] {
        let server = answering(reply.clone());
        assert_eq!(push(&server), sent);
        let expected = [HEAD, MOUNT, MOUNT, MOUNT, "POST", "PUT /plain?digest=DIGEST"];
        assert_eq!(steps(&server), expected, "{reply:?}");
    }
}

#[test]
fn what_was_refused_is_not_asked_for_again() {
    // What passes is tried three times, for one blob.
    for (status, expected) in [(405, 1), (400, 1), (403, 1), (404, 2), (500, 3), (501, 1)] {
        let server = answering(Reply::status(status));
        let remote = anonymous();
        for text in ["one", "two"] {
            let blob = layer(text.as_bytes());
            remote.holds(&repository(&server, "acme/api"), &BTreeSet::from([blob.digest]));
            let source = BlobSource::Bytes(text.as_bytes().into());
            remote.push_blob(&repository(&server, "acme/web"), &blob, &source, &|_| {}).unwrap();
        }
        let mounts = server.lines().iter().filter(|line| line.contains("?mount=")).count();
        assert_eq!(mounts, expected, "{status}");
    }
}

#[test]
fn what_was_seen_here_is_mounted_without_being_told() {
    let blob = layer(BODY);
    let source = BlobSource::Bytes(Arc::from(BODY));
    // Found by HEAD, sent, or pulled.
    for way in ["found", "sent", "pulled", "source"] {
        let server = Fake::start(move |asked| match asked.method.as_str() {
            "HEAD" if asked.target.contains("/acme/api/") && way == "found" => Reply::status(200),
            "HEAD" => Reply::status(404),
            "GET" => Reply::body(BODY),
            "POST" if asked.target.contains("?mount=") => Reply::status(201),
            "POST" => Reply::status(202).with("Location", "/plain"),
            _ => Reply::status(201),
        });
        let (api, web) = (repository(&server, "acme/api"), repository(&server, "acme/web"));
        let remote = anonymous();
        let mut source = source.clone();
        match way {
            "pulled" => remote.blob(&api, &blob, &mut Vec::new()).unwrap(),
            "source" => source = BlobSource::Registry(api),
            _ => drop(remote.push_blob(&api, &blob, &source, &|_| {}).unwrap()),
        }
        assert_eq!(remote.push_blob(&web, &blob, &source, &|_| {}).unwrap(), Pushed::MOUNTED, "{way}");
    }
    // Not from another registry.
    let (server, other) = (answering(Reply::status(201)), answering(Reply::status(201)));
    let remote = anonymous();
    remote.holds(&repository(&other, "acme/api"), &BTreeSet::from([blob.digest]));
    let pushed = remote.push_blob(&repository(&server, "acme/web"), &blob, &source, &|_| {}).unwrap();
    assert!(!pushed.mounted);
    assert!(other.lines().is_empty());
}

#[test]
fn a_mount_asks_for_a_wider_token_and_does_without_one() {
    let narrow = "scope=repository%3Aacme%2Fweb%3Apull%2Cpush";
    let wide = format!("{narrow}&scope=repository%3Aacme%2Fapi%3Apull");
    // The token server gives a token for both, gives one that the registry does not take, or gives none.
    for (given, pushed) in
        [("wide", Pushed::MOUNTED), ("useless", Pushed::default()), ("none", Pushed::default())]
    {
        let server = Fake::start(move |asked| {
            if let Some(query) = asked.target.strip_prefix("/token?") {
                let wanted = if query.contains("api") { given } else { "narrow" };
                return match wanted {
                    "none" => Reply::status(403).and_body(r#"{"details":"no"}"#),
                    token => Reply::body(format!(r#"{{"token":"{token}"}}"#)),
                };
            }
            let mount = asked.target.contains("?mount=");
            match (asked.method.as_str(), asked.bearer()) {
                ("POST", Some("wide")) if mount => Reply::status(201),
                ("HEAD", Some("narrow")) => Reply::status(404),
                ("POST", Some("narrow")) if !mount => Reply::status(202).with("Location", "/plain"),
                ("PUT", Some("narrow")) => Reply::status(201),
                _ => {
                    let host = &asked.headers["host"];
                    Reply::status(401)
                        .with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
                }
            }
        });
        let sent = if pushed.mounted { 0 } else { BODY.len() as u64 };
        assert_eq!(push(&server), Pushed { sent, ..pushed }, "{given}");
        let tokens: Vec<String> = server
            .lines()
            .iter()
            .filter_map(|line| Some(line.strip_prefix("GET /token?")?.to_owned()))
            .collect();
        assert_eq!(tokens[..2], [narrow.to_owned(), wide.clone()], "{given}");
        assert!(tokens[2..].iter().all(|query| *query == wide), "the narrow token is kept: {tokens:?}");
        let lines = steps(&server);
        let (first, last) = (&lines[..2], &lines[lines.len() - 2..]);
        assert_eq!(first[0], HEAD);
        match given {
            "wide" => assert_eq!(last[1], format!("{MOUNT} [wide]")),
            _ => assert_eq!(last, ["POST [narrow]", "PUT /plain?digest=DIGEST [narrow]"], "{given}"),
        }
    }
}

#[test]
fn an_oauth_token_server_gets_both_scopes_in_one_field() {
    let server = Fake::start(|asked| {
        if asked.target == "/token" {
            return Reply::body(r#"{"access_token":"t"}"#);
        }
        match (asked.method.as_str(), asked.bearer()) {
            (_, None) => {
                let host = &asked.headers["host"];
                Reply::status(401).with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
            }
            ("HEAD", _) => Reply::status(404),
            _ => Reply::status(201),
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let json = format!(r#"{{"auths": {{"{}": {{"identitytoken": "geheim"}}}}}}"#, server.address);
    let remote = crate::with_credentials(directory.path(), &json);
    let blob = layer(BODY);
    remote.holds(&repository(&server, "acme/api"), &BTreeSet::from([blob.digest]));
    let source = BlobSource::Bytes(Arc::from(BODY));
    let web = repository(&server, "acme/web");
    assert_eq!(remote.push_blob(&web, &blob, &source, &|_| {}).unwrap(), Pushed::MOUNTED);
    let mut forms = server.requests().into_iter().filter(|asked| asked.target == "/token");
    let last = String::from_utf8(forms.next_back().unwrap().body).unwrap();
    assert!(
        last.ends_with("&scope=repository%3Aacme%2Fweb%3Apull%2Cpush+repository%3Aacme%2Fapi%3Apull"),
        "{last}"
    );
}

#[test]
fn a_job_sends_a_shared_blob_once_where_that_can_be() {
    for (mounts, sent, mounted) in [(Mounts::Done, 1, 5), (Mounts::Accepted, 6, 0), (Mounts::Refused, 6, 0)] {
        let server = keeping::start_with(mounts);
        let blob = layer(BODY);
        let document = serde_json::json!({"schemaVersion": 2, "config": blob, "layers": []});
        let bytes = serde_json::to_vec(&document).unwrap().into();
        let image = |path: &str| ImagePush {
            repository: repository(&server, path),
            tags: vec!["v1".to_owned()],
            root: Manifest { media_type: MediaType::OciManifest, bytes: Arc::clone(&bytes) },
            children: Vec::new(),
            blobs: vec![(blob, BlobSource::Bytes(Arc::from(BODY)))],
        };
        let job = PushJob::new(["a", "b", "c", "d", "e", "f"].map(image).to_vec(), 3);
        let summary =
            registry::push(&anonymous(), &job, &()).unwrap_or_else(|error| panic!("{}", told(&error)));
        assert_eq!((summary.blobs_sent, summary.blobs_mounted), (sent, mounted), "{mounts:?}");
        assert_eq!(summary.bytes_sent, (sent * BODY.len()) as u64);
        let uploads = server.lines().iter().filter(|line| line.starts_with("POST")).count();
        // A refused mount costs a POST, and only those do that were on their way together.
        let posts = if mounts == Mounts::Refused { 7..=9 } else { 6..=6 };
        assert!(posts.contains(&uploads), "{mounts:?}: {uploads}");

        // Another service comes: what the others hold already is known without asking.
        let known = server.lines().len();
        let mut more = job.clone();
        more.images.push(image("g"));
        let summary = registry::push(&anonymous(), &more, &()).unwrap();
        let counts = (summary.blobs_sent, summary.blobs_mounted);
        assert_eq!(
            counts,
            if mounts == Mounts::Done { (0, 1) } else { (1, 0) },
            "{:#?}",
            &server.lines()[known..]
        );
    }
}

#[test]
fn a_digest_is_what_is_mounted() {
    let server = answering(Reply::status(201));
    push(&server);
    let digest: BlobDigest = layer(BODY).digest;
    let expected =
        format!("POST /v2/acme/web/blobs/uploads/?mount=sha256%3A{}&from=acme%2Fapi", digest.hex());
    assert_eq!(server.lines()[1], expected);
}
