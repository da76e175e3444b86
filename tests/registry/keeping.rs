//! The script of a registry that keeps what it is given.

use std::collections::BTreeMap;

use imgpack::model::BlobDigest;

use crate::fake::{Asked, Fake, Reply};

/// A registry without anything; manifests are refused while a blob of theirs is missing.
pub(crate) fn start() -> Fake {
    Fake::start(script())
}

/// What it answers.
pub(crate) fn script() -> impl FnMut(&Asked) -> Reply + Send + 'static {
    let mut blobs: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
    let mut manifests: BTreeMap<(String, String), (String, Vec<u8>)> = BTreeMap::new();
    let mut uploads = 0;
    move |asked| {
        let path = asked.target.trim_start_matches("/v2/");
        let found =
            |body: Option<&Vec<u8>>| body.map_or(Reply::status(404), |body| Reply::body(body.clone()));
        if let Some((repository, rest)) = path.split_once("/blobs/uploads/") {
            if asked.method == "POST" {
                uploads += 1;
                return Reply::status(202).with("Location", format!("{}{uploads}", asked.target));
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
            ("POST", _) => "upload",
            ("GET", rest) if rest.contains("/manifests/") => "manifest pulled",
            ("GET", rest) if rest.contains("/blobs/") => "blob pulled",
            _ => "other",
        };
        *counts.entry(kind).or_insert(0) += 1;
    }
    counts
}
