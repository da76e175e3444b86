//! The script of a registry that keeps what it is given.

use std::collections::BTreeMap;

use imgpack::model::BlobDigest;

use crate::fake::{Asked, Fake, Reply};

/// What a registry does when it is asked to take a blob over from another repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mounts {
    Done,
    /// A session is begun instead.
    Accepted,
    /// The whole request is refused.
    Refused,
}

/// A registry without anything that mounts; manifests are refused while a blob of theirs is missing.
pub(crate) fn start() -> Fake {
    Fake::start(script())
}

pub(crate) fn start_with(mounts: Mounts) -> Fake {
    Fake::start(script_with(mounts))
}

/// What it answers.
pub(crate) fn script() -> impl FnMut(&Asked) -> Reply + Send + 'static {
    script_with(Mounts::Done)
}

fn script_with(mounts: Mounts) -> impl FnMut(&Asked) -> Reply + Send + 'static {
    let mut blobs: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
    let mut manifests: BTreeMap<(String, String), (String, Vec<u8>)> = BTreeMap::new();
    let mut uploads = 0;
    move |asked| {
        let path = asked.target.trim_start_matches("/v2/");
        let found =
            |body: Option<&Vec<u8>>| body.map_or(Reply::status(404), |body| Reply::body(body.clone()));
        if let Some((repository, rest)) = path.split_once("/blobs/uploads/") {
            if asked.method == "POST" {
                if let Some((digest, from)) =
                    rest.strip_prefix("?mount=").and_then(|q| q.split_once("&from="))
                {
                    let digest = digest.replace("%3A", ":");
                    match (mounts, blobs.get(&(from.replace("%2F", "/"), digest.clone()))) {
                        (Mounts::Refused, _) => return Reply::status(405),
                        (Mounts::Done, Some(bytes)) => {
                            let bytes = bytes.clone();
                            blobs.insert((repository.to_owned(), digest), bytes);
                            return Reply::status(201);
                        }
                        _ => {}
                    }
                }
                uploads += 1;
                let address = format!("/v2/{repository}/blobs/uploads/{uploads}");
                return Reply::status(202).with("Location", address);
            }
            let digest = rest.split_once("digest=").unwrap().1.replace("%3A", ":");
            blobs.insert((repository.to_owned(), digest), asked.body.clone());
            return Reply::status(201);
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            return found(blobs.get(&(repository.to_owned(), digest.to_owned())));
        }
        // It keeps no lists of referrers.
        let Some((repository, name)) = path.split_once("/manifests/") else { return Reply::status(404) };
        let key = (repository.to_owned(), name.to_owned());
        if asked.method != "PUT" {
            let Some((kind, bytes)) = manifests.get(&key) else { return Reply::status(404) };
            let digest = BlobDigest::of(bytes);
            return found(Some(bytes)).with("Content-Type", kind).with("Docker-Content-Digest", digest);
        }
        let document: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
        let is_there = |row: &serde_json::Value| {
            let key = (repository.to_owned(), row["digest"].as_str().unwrap().to_owned());
            blobs.contains_key(&key) || manifests.contains_key(&key)
        };
        let is_foreign = |row: &serde_json::Value| {
            row["mediaType"].as_str().is_some_and(|kind| kind.contains(".foreign."))
        };
        // What a manifest refers to need not be there; foreign layers are elsewhere.
        let named =
            [&document["layers"], &document["manifests"]].into_iter().filter_map(|rows| rows.as_array());
        if !named.flatten().chain(document.get("config")).all(|row| is_foreign(row) || is_there(row)) {
            return Reply::status(400).and_body(r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#);
        }
        let digest = BlobDigest::of(&asked.body);
        let kept = (asked.headers["content-type"].clone(), asked.body.clone());
        manifests.insert((repository.to_owned(), digest.to_string()), kept.clone());
        manifests.insert(key, kept);
        Reply::status(201).with("Docker-Content-Digest", digest)
    }
}

/// How often a kind of request was made.
pub(crate) fn counted(lines: &[String]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let kind = match line.split_once(' ').unwrap() {
            ("HEAD", rest) if rest.contains("/manifests/") => "question about a manifest",
            ("HEAD", _) => "question about a blob",
            ("PUT", rest) if rest.contains("/blobs/") => "blob",
            ("PUT", _) => "manifest",
            ("POST", rest) if rest.contains("?mount=") => "mount",
            ("POST", _) => "upload",
            ("GET", rest) if rest.contains("/manifests/") => "manifest pulled",
            ("GET", rest) if rest.contains("/blobs/") => "blob pulled",
            _ => "other",
        };
        *counts.entry(kind).or_insert(0) += 1;
    }
    counts
}
