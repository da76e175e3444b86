use std::collections::BTreeMap;
use std::fs::{self as std_fs, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::error::ArchiveError;
use super::graph::Root;
use super::image::{Blob, Content, ImageOutput, OpenBlob, blobs, check_names};
use super::tarball::Counted;
use crate::model::{BlobDigest, MediaType};
use crate::system::{Cancel, IoError, fs, parallel};

/// The bytes of `oci-layout` (image-spec, image-layout.md).
pub(super) const LAYOUT_FILE: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// image-spec, annotations.md.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// No layout's index is longer.
const INDEX_LIMIT: u64 = 64 << 20;

/// Writes `images` into the layout at `path`: blobs first, the index last by a rename. Entries of other names stay, and
/// so do blobs that nothing names any more.
pub(super) fn write(
    path: &Path,
    images: &[ImageOutput],
    open: OpenBlob<'_>,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    check_names(images)?;
    write_blobs(path, &roots(images)?, &blobs(images), 1, open, cancel)
}

/// The same with what is named already in the words of a layout; so many blobs at once.
pub(super) fn write_blobs(
    path: &Path,
    roots: &[Root],
    blobs: &BTreeMap<BlobDigest, Blob<'_>>,
    jobs: usize,
    open: OpenBlob<'_>,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    let (mut undo, _lock) = enter(path, cancel)?;
    let marker = path.join("oci-layout");
    let index = path.join("index.json");
    let is_layout = read_marker(path, &marker)?;
    let known = if is_layout { read_index(&index)? } else { Vec::new() };
    let bytes = index_json(known, roots);

    undo.create_dir(&path.join("blobs"))?;
    let directory = path.join("blobs/sha256");
    undo.create_dir(&directory)?;
    let is_missing = |(digest, blob): &(&BlobDigest, &Blob<'_>)| {
        let there = std_fs::metadata(directory.join(digest.hex()));
        !there.is_ok_and(|found| found.is_file() && found.len() == blob.size)
    };
    let missing: Vec<_> = blobs.iter().filter(is_missing).collect();
    let stopped = AtomicBool::new(false);
    let written = parallel(jobs, &missing, |(digest, blob)| {
        if stopped.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let place = directory.join(digest.hex());
        let result = cancel.check().map_err(ArchiveError::from);
        let result = result.and_then(|()| write_blob(path, &place, digest, **blob, open, cancel));
        stopped.fetch_or(result.is_err(), Ordering::SeqCst);
        result.map(|()| Some(place))
    });
    let mut failure = None;
    for result in written {
        match result {
            Ok(place) => undo.files.extend(place),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if let Some(error) = failure {
        return Err(error);
    }
    if !is_layout {
        fs::write_atomic(&marker, LAYOUT_FILE)?;
        undo.files.push(marker);
    }
    cancel.check()?;
    fs::write_atomic(&index, &bytes)?;
    undo.keep();
    Ok(())
}

/// What `index.json` says of each image.
pub(super) fn roots(images: &[ImageOutput]) -> Result<Vec<Root>, ArchiveError> {
    let root = |image: &ImageOutput| {
        let (root, platform) = image.root()?;
        let mut entry = json!({
            "mediaType": root.descriptor.media_type,
            "digest": root.descriptor.digest,
            "size": root.descriptor.size,
        });
        if let Some(platform) = platform {
            entry["platform"] = json!({ "architecture": platform.goarch(), "os": platform.os() });
        }
        Ok(Root { names: image.names.clone(), entry })
    };
    images.iter().map(root).collect()
}

/// The bytes of `index.json` with `roots` added to the entries `known`. An entry whose name is given anew is replaced
/// where it stands, so that the same command twice gives the same bytes.
pub(super) fn index_json(known: Vec<Value>, roots: &[Root]) -> Vec<u8> {
    let mut entries = known;
    for Root { names, entry } in roots {
        let mut entry = entry.clone();
        if names.is_empty() && !entries.iter().any(|known| known["digest"] == entry["digest"]) {
            entries.push(entry.clone());
        }
        for name in names {
            entry["annotations"][REF_NAME] = name.as_str().into();
            let named = |known: &Value| known["annotations"][REF_NAME] == **name;
            match entries.iter().position(named) {
                Some(at) => {
                    entries[at] = entry.clone();
                    let mut index = 0;
                    entries.retain(|known| {
                        index += 1;
                        index <= at + 1 || !named(known)
                    });
                }
                None => entries.push(entry.clone()),
            }
        }
    }
    let index =
        json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": entries });
    index.to_string().into_bytes()
}

/// Whether `path` is a layout already; an error where it is something else.
fn read_marker(path: &Path, marker: &Path) -> Result<bool, ArchiveError> {
    #[derive(serde::Deserialize)]
    struct Marker {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    match read_limited(marker, 4096) {
        Ok(bytes) => {
            let found: Marker = serde_json::from_slice(&bytes)
                .map_err(|source| ArchiveError::Damaged { path: marker.to_owned(), source })?;
            if found.version != "1.0.0" {
                return Err(ArchiveError::LayoutVersion { path: path.to_owned(), version: found.version });
            }
            Ok(true)
        }
        Err(error) if error.is_not_found() => {
            let mut found = std_fs::read_dir(path).map_err(IoError::of("read the directory", path))?;
            // What an imgpack that was killed left behind is ours.
            let foreign = found.any(|entry| {
                entry.is_ok_and(|entry| {
                    let name = entry.file_name();
                    name != "blobs" && !name.to_string_lossy().starts_with(".imgpack-")
                })
            });
            if foreign { Err(ArchiveError::NotLayout(path.to_owned())) } else { Ok(false) }
        }
        Err(error) => Err(error.into()),
    }
}

/// The entries of an existing index, as they are.
fn read_index(path: &Path) -> Result<Vec<Value>, ArchiveError> {
    #[derive(serde::Deserialize)]
    struct Index {
        #[serde(default)]
        manifests: Option<Vec<Value>>,
    }
    match read_limited(path, INDEX_LIMIT) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(|index: Index| index.manifests.unwrap_or_default())
            .map_err(|source| ArchiveError::Damaged { path: path.to_owned(), source }),
        // A first write that was killed before its end.
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, IoError> {
    let mut bytes = Vec::new();
    fs::open(path)?.take(limit + 1).read_to_end(&mut bytes).map_err(IoError::of("read", path))?;
    if bytes.len() as u64 > limit {
        let too_long = io::Error::other(format!("it is longer than {limit} bytes"));
        return Err(IoError::of("read", path)(too_long));
    }
    Ok(bytes)
}

fn write_blob(
    layout: &Path,
    place: &Path,
    digest: &BlobDigest,
    blob: Blob<'_>,
    open: OpenBlob<'_>,
    cancel: &Cancel,
) -> Result<(), ArchiveError> {
    // Beside the blobs' directory, not in it: other tools take every name there for a digest.
    let mut file = fs::temporary_in(layout)?;
    let failed = |source| ArchiveError::from(IoError::of("write", place)(source));
    match blob.content {
        Content::Bytes(bytes) => file.write_all(bytes).map_err(failed)?,
        Content::Elsewhere(send) => {
            let mut counted = Counted { writer: file.as_file_mut(), cancel, failed: None, written: 0 };
            let sent = send(digest, &mut counted);
            let Counted { failed: unwritten, written: found, .. } = counted;
            cancel.check()?;
            if let Some(error) = unwritten {
                return Err(failed(error));
            }
            sent.map_err(|source| ArchiveError::Elsewhere { digest: *digest, source })?;
            if found != blob.size {
                return Err(ArchiveError::Length { digest: *digest, expected: blob.size, found });
            }
        }
        Content::Stored => {
            let unreadable = |source| ArchiveError::Blob { digest: *digest, source };
            let source = open(digest).map_err(unreadable)?;
            let found = source.metadata().map_err(unreadable)?.len();
            let wrong = |found| ArchiveError::Length { digest: *digest, expected: blob.size, found };
            if found != blob.size {
                return Err(wrong(found));
            }
            // File to File is copy_file_range: shared extents where the file system can.
            let mut written = 0;
            while written < blob.size {
                cancel.check()?;
                match io::copy(&mut (&source).take(64 << 20), file.as_file_mut()).map_err(failed)? {
                    0 => return Err(wrong(written)),
                    count => written += count,
                }
            }
            if written != blob.size {
                return Err(wrong(written));
            }
        }
    }
    file.persist(place).map_err(|error| IoError::of("create", place)(error.error))?;
    Ok(())
}

/// Makes the directory `path` and takes it for this process alone. Another imgpack that writes to the same layout is
/// waited for: both read, change and write its index.
fn enter(path: &Path, cancel: &Cancel) -> Result<(Undo, File), ArchiveError> {
    loop {
        cancel.check()?;
        if std_fs::metadata(path).is_ok_and(|found| !found.is_dir()) {
            return Err(ArchiveError::NotDirectory(path.to_owned()));
        }
        let mut undo = Undo::default();
        undo.create_dir_all(path)?;
        let lock = match fs::open(path) {
            Err(error) if error.is_not_found() => {
                undo.keep();
                continue;
            }
            other => other?,
        };
        // A file system without locks is used without.
        while let Err(rustix::io::Errno::WOULDBLOCK) = flock(&lock, FlockOperation::NonBlockingLockExclusive)
        {
            // Someone else's directory by now: it is not ours to take away.
            undo.keep();
            cancel.check()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        // The one that held it may have failed and taken the directory away.
        let same = |found: std_fs::Metadata| {
            lock.metadata().is_ok_and(|mine| (mine.dev(), mine.ino()) == (found.dev(), found.ino()))
        };
        if std_fs::metadata(path).is_ok_and(same) {
            return Ok((undo, lock));
        }
        undo.keep();
    }
}

/// What was made so far; taken away again unless it is kept.
#[derive(Default)]
struct Undo {
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

impl Undo {
    fn create_dir(&mut self, path: &Path) -> Result<(), IoError> {
        match std_fs::create_dir(path) {
            Ok(()) => self.directories.push(path.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(error) => return Err(IoError::of("create the directory", path)(error)),
        }
        Ok(())
    }

    fn create_dir_all(&mut self, path: &Path) -> Result<(), IoError> {
        let missing: Vec<&Path> =
            path.ancestors().take_while(|above| !above.as_os_str().is_empty() && !above.is_dir()).collect();
        missing.into_iter().rev().try_for_each(|above| self.create_dir(above))
    }

    fn keep(&mut self) {
        self.files.clear();
        self.directories.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std_fs::remove_file(file);
        }
        for directory in self.directories.iter().rev() {
            let _ = std_fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::image::ManifestOutput;
    use crate::model::{Descriptor, Document, Platform};

    fn image(names: &[&str], text: &str) -> ImageOutput {
        let document = |kind, bytes: &[u8]| Document::new(kind, bytes.to_vec());
        ImageOutput {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            index: None,
            manifests: vec![ManifestOutput {
                platform: Platform::AMD64,
                manifest: document(MediaType::OciManifest, text.as_bytes()),
                config: document(MediaType::OciConfig, b"{}"),
                layers: vec![],
            }],
        }
    }

    fn names(bytes: &[u8]) -> Vec<String> {
        let index: Value = serde_json::from_slice(bytes).unwrap();
        let entries = index["manifests"].as_array().unwrap();
        entries
            .iter()
            .map(|entry| entry["annotations"][REF_NAME].as_str().unwrap_or("-").to_owned())
            .collect()
    }

    #[test]
    fn names_are_replaced_where_they_stand() {
        let foreign = json!({ "digest": "sha256:00", "x-unknown": 1 });
        let old = |name: &str| json!({ "digest": "sha256:11", "annotations": { REF_NAME: name } });
        let known = vec![old("a"), foreign.clone(), old("b"), old("a")];
        let bytes = index_json(known, &roots(&[image(&["a", "c"], "1")]).unwrap());
        assert_eq!(names(&bytes), ["a", "-", "b", "c"]);
        let index: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(index["manifests"][1], foreign);
        assert_eq!(index["manifests"][0]["digest"], BlobDigest::of(b"1").to_string());
        let images = roots(&[image(&["a", "c"], "1")]).unwrap();
        let again = index_json(index["manifests"].as_array().unwrap().clone(), &images);
        assert_eq!(again, bytes);
    }

    #[test]
    fn an_image_without_a_name_stands_there_once() {
        let bytes = index_json(vec![], &roots(&[image(&[], "1"), image(&[], "1"), image(&[], "2")]).unwrap());
        assert_eq!(names(&bytes), ["-", "-"]);
    }

    #[test]
    fn a_failed_write_takes_away_what_it_made() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("new/layout");
        let open = |_: &BlobDigest| Err(io::Error::other("gone"));
        let mut broken = image(&["a"], "1");
        broken.manifests[0].layers.push(crate::model::Layer {
            descriptor: Descriptor::of(MediaType::OciLayerGzip, b"layer"),
            diff_id: crate::model::DiffId::of(b"layer"),
            unpacked: 5,
            entries: 1,
        });
        let error = write(&target, &[broken], &open, &Cancel::new()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot read blob {}", BlobDigest::of(b"layer")));
        assert_eq!(std_fs::read_dir(root.path()).unwrap().count(), 0, "something was left behind");
    }

    #[test]
    fn a_layout_in_use_is_waited_for_until_cancelled() {
        let root = tempfile::tempdir().unwrap();
        let held = File::open(root.path()).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        let cancel = Cancel::new();
        let open = |_: &BlobDigest| Err(io::Error::other("gone"));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| write(root.path(), &[image(&["a"], "1")], &open, &cancel));
            cancel.cancel();
            assert!(matches!(writer.join().unwrap(), Err(ArchiveError::Cancelled(_))));
        });
        assert_eq!(std_fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
