//! Pushing many images as one job: nothing is tagged before everything is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::{RegistryError, TakenTag};
use super::port::{BlobSource, Pushed, Registry};
use super::tags;
use super::uploads::{Early, Uploads};
use crate::model::{BlobDigest, Descriptor, ImageRef, MediaType, Repository};

/// A manifest or index to be stored, its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What it is.
    pub media_type: MediaType,
    /// The document.
    pub bytes: Arc<[u8]>,
}

impl Manifest {
    /// Digest of the document.
    pub fn digest(&self) -> BlobDigest {
        BlobDigest::of(&self.bytes)
    }
}

/// One image for one repository.
#[derive(Debug, Clone)]
pub struct ImagePush {
    /// Where it goes.
    pub repository: Repository,
    /// Names for `root`; without any it is pushed by digest.
    pub tags: Vec<String>,
    /// What the tags name: an index, or the manifest of a single platform.
    pub root: Manifest,
    /// The manifests that `root` lists, where it is an index.
    pub children: Vec<Manifest>,
    /// Every blob that a manifest names: layers and configs.
    pub blobs: Vec<(Descriptor, BlobSource)>,
}

/// What an image of a registry consists of: the digests of all blobs below the manifest or index of this digest, as far as
/// that is known without asking. Empty where it is not.
pub type Contents<'a> = dyn Fn(BlobDigest) -> BTreeSet<BlobDigest> + Sync + 'a;

/// Images that belong together: none of their tags moves before all of them are stored.
#[derive(Clone)]
pub struct PushJob<'a> {
    /// The images, in the order of the summary.
    pub images: Vec<ImagePush>,
    /// Requests at once, at least 1.
    pub parallel: usize,
    /// Blobs that were sent before; they are not asked for again.
    pub early: Early,
    /// What the images consist of that the tags name now. Their blobs are in the repository; where a manifest is
    /// refused all the same, each of them is asked for.
    pub contents: &'a Contents<'a>,
    /// Manifests and indexes that are known to be in their repositories, with all that they name; they are not sent.
    pub stored: BTreeSet<(Repository, BlobDigest)>,
    /// Tags that must not move: while one of them is another image, nothing is sent.
    pub immutable: BTreeSet<ImageRef>,
}

impl PushJob<'_> {
    /// A job of which nothing is known beforehand, and whose tags may all move.
    pub fn new(images: Vec<ImagePush>, parallel: usize) -> Self {
        PushJob {
            images,
            parallel,
            early: Early::new(),
            contents: &|_| BTreeSet::new(),
            stored: BTreeSet::new(),
            immutable: BTreeSet::new(),
        }
    }
}

/// Told about a push while it goes on, from several threads.
pub trait PushObserver: Sync {
    /// The blobs that are going to be asked for, those sent before left out; before the first.
    fn planned(&self, _blobs: &[(&Repository, &Descriptor)]) {}
    /// How much of a blob was sent; falls back when it has to be sent again.
    fn sending(&self, _repository: &Repository, _blob: &Descriptor, _sent: u64) {}
    /// A blob is in the repository.
    fn stored(&self, _repository: &Repository, _blob: &Descriptor, _pushed: Pushed) {}
    /// A tag points to the image.
    fn tagged(&self, _reference: &ImageRef, _existed: bool) {}
}

/// Watches nothing.
impl PushObserver for () {}

/// What a push did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushSummary {
    /// The images, as in the job.
    pub images: Vec<PushedImage>,
    /// Blobs that were sent.
    pub blobs_sent: usize,
    /// Blobs that were in their repository before. Blobs of unchanged images are not looked at and not counted.
    pub blobs_existed: usize,
    /// Blobs that their registry took over from another of its repositories.
    pub blobs_mounted: usize,
    /// Bytes of blobs that were sent.
    pub bytes_sent: u64,
    /// Bytes that had to be sent once more, as a try failed.
    pub bytes_resent: u64,
}

/// One image of a [`PushSummary`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    /// Where it is.
    pub repository: Repository,
    /// The digest of its root.
    pub digest: BlobDigest,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether every tag (without tags, the digest) was there before.
    pub unchanged: bool,
}

/// What is still to do for an image.
struct Missing {
    content: bool,
    tags: Vec<ImageRef>,
    /// Blobs of what its tags name now.
    there: BTreeSet<BlobDigest>,
    /// Immutable tags that are another image.
    taken: Vec<TakenTag>,
}

/// Pushes a job: HEAD of every tag, then blobs, manifests, indexes, tags, each step for all images before the next.
pub fn push(
    registry: &dyn Registry,
    job: &PushJob<'_>,
    observer: &dyn PushObserver,
) -> Result<PushSummary, RegistryError> {
    let digests: Vec<BlobDigest> = job.images.iter().map(|image| image.root.digest()).collect();
    let tags = tags_of(job, &digests)?;
    let mut missing = look(registry, job, &digests, &tags, observer)?;
    tags::refuse(missing.iter_mut().flat_map(|missing| std::mem::take(&mut missing.taken)).collect())?;
    let wanted: Vec<&ImagePush> = job
        .images
        .iter()
        .zip(&missing)
        .filter(|(_, missing)| missing.content)
        .map(|(image, _)| image)
        .collect();

    for (image, missing) in job.images.iter().zip(&missing) {
        registry.holds(&image.repository, &missing.there);
        if !missing.content {
            registry.holds(&image.repository, &image.blobs.iter().map(|(blob, _)| blob.digest).collect());
        }
    }
    let there: BTreeSet<(&Repository, BlobDigest)> = job
        .images
        .iter()
        .zip(&missing)
        .flat_map(|(image, missing)| missing.there.iter().map(|digest| (&image.repository, *digest)))
        .collect();
    let mut blobs: BTreeMap<(&Repository, BlobDigest), (&Descriptor, &BlobSource)> = BTreeMap::new();
    for image in &wanted {
        for (blob, source) in &image.blobs {
            if job.early.contains_key(&(image.repository.clone(), blob.digest)) {
                continue;
            }
            blobs.entry((&image.repository, blob.digest)).or_insert((blob, source));
        }
    }
    let (known, mut unknown): (Vec<_>, Vec<_>) = blobs
        .into_iter()
        .map(|((repository, _), (blob, source))| Sending { repository, blob, source })
        .partition(|blob| there.contains(&(blob.repository, blob.blob.digest)));
    // The largest first, so that none is left alone at the end.
    unknown.sort_by_key(|sending| std::cmp::Reverse(sending.blob.size));
    observer.planned(&unknown.iter().map(|sending| (sending.repository, sending.blob)).collect::<Vec<_>>());
    let mut pushed = send(registry, job.parallel, &unknown, observer)?;
    match documents(registry, job, &wanted) {
        Err(error) if !known.is_empty() && error.is_missing_part() => {
            pushed.extend(send(registry, job.parallel, &known, observer)?);
            documents(registry, job, &wanted)?;
        }
        result => {
            result?;
            for Sending { repository, blob, .. } in known {
                let there = Pushed::EXISTED;
                observer.stored(repository, blob, there);
                pushed.push(there);
            }
        }
    }

    let mut left: BTreeMap<&ImageRef, &Manifest> = BTreeMap::new();
    for (image, missing) in job.images.iter().zip(&missing) {
        left.extend(missing.tags.iter().map(|tag| (tag, &image.root)));
    }
    let left: Vec<_> = left.into_iter().collect();
    tags::move_tags(registry, job.parallel, &left, observer)?;

    let images = job.images.iter().zip(digests).zip(missing).map(|((image, digest), missing)| PushedImage {
        repository: image.repository.clone(),
        digest,
        tags: image.tags.clone(),
        unchanged: !missing.content && missing.tags.is_empty(),
    });
    let blobs = || pushed.iter().chain(job.early.values());
    Ok(PushSummary {
        images: images.collect(),
        blobs_sent: blobs().filter(|pushed| !pushed.existed && !pushed.mounted).count(),
        blobs_existed: blobs().filter(|pushed| pushed.existed).count(),
        blobs_mounted: blobs().filter(|pushed| pushed.mounted).count(),
        bytes_sent: blobs().map(|pushed| pushed.sent).sum(),
        bytes_resent: blobs().map(|pushed| pushed.resent).sum(),
    })
}

/// A blob and where it goes.
struct Sending<'a> {
    repository: &'a Repository,
    blob: &'a Descriptor,
    source: &'a BlobSource,
}

/// Sends blobs, each to one repository of a registry before the others.
fn send(
    registry: &dyn Registry,
    parallel: usize,
    blobs: &[Sending<'_>],
    observer: &dyn PushObserver,
) -> Result<Vec<Pushed>, RegistryError> {
    std::thread::scope(|scope| {
        let uploads = Uploads::new(scope, registry, observer, parallel);
        for Sending { repository, blob, source } in blobs {
            uploads.add(repository, blob, (*source).clone());
        }
        Ok(uploads.finish()?.into_values().collect())
    })
}

/// Stores manifests, then the indexes over them.
fn documents(registry: &dyn Registry, job: &PushJob<'_>, wanted: &[&ImagePush]) -> Result<(), RegistryError> {
    for indexes in [false, true] {
        let mut documents: BTreeMap<(&Repository, BlobDigest), &Manifest> = BTreeMap::new();
        for image in wanted {
            for manifest in image.children.iter().chain([&image.root]) {
                if manifest.media_type.is_index() == indexes {
                    documents.insert((&image.repository, manifest.digest()), manifest);
                }
            }
        }
        let is_stored = |place: &(&Repository, BlobDigest)| job.stored.contains(&(place.0.clone(), place.1));
        let documents: Vec<_> = documents.into_iter().filter(|(place, _)| !is_stored(place)).collect();
        in_parallel(job.parallel, &documents, |((repository, digest), manifest)| {
            registry.push_manifest(&repository.at(*digest), manifest.media_type, &manifest.bytes)
        })?;
    }
    Ok(())
}

/// The references of every image's tags; one tag for two images is an error.
fn tags_of(job: &PushJob<'_>, digests: &[BlobDigest]) -> Result<Vec<BTreeSet<ImageRef>>, RegistryError> {
    let mut owners: BTreeMap<ImageRef, BlobDigest> = BTreeMap::new();
    let mut all = Vec::new();
    for (image, digest) in job.images.iter().zip(digests) {
        let mut tags = BTreeSet::new();
        for tag in &image.tags {
            let reference = image.repository.tagged(tag)?;
            match owners.insert(reference.clone(), *digest) {
                Some(first) if first != *digest => {
                    return Err(RegistryError::Conflict {
                        reference: reference.to_string(),
                        first,
                        second: *digest,
                    });
                }
                _ => tags.insert(reference),
            };
        }
        all.push(tags);
    }
    Ok(all)
}

/// Asks which tags point where they should already. A root that is in the repository has all its parts there.
fn look(
    registry: &dyn Registry,
    job: &PushJob<'_>,
    digests: &[BlobDigest],
    tags: &[BTreeSet<ImageRef>],
    observer: &dyn PushObserver,
) -> Result<Vec<Missing>, RegistryError> {
    // The images of one repository in one row: the first request gets the token for the others.
    let mut rows: BTreeMap<&Repository, Vec<usize>> = BTreeMap::new();
    for (index, image) in job.images.iter().enumerate() {
        rows.entry(&image.repository).or_default().push(index);
    }
    let rows: Vec<_> = rows.into_iter().collect();
    let found = in_parallel(job.parallel, &rows, |(repository, indexes)| {
        let mut row = Vec::new();
        for &index in indexes {
            let digest = digests[index];
            let mut missing =
                Missing { content: true, tags: Vec::new(), there: BTreeSet::new(), taken: Vec::new() };
            for reference in &tags[index] {
                let mut found = registry.present(reference)?;
                let is_immutable = job.immutable.contains(reference);
                if is_immutable && found.is_none() {
                    found = tags::surely_present(registry, reference)?;
                }
                if found == Some(digest) {
                    missing.content = false;
                    observer.tagged(reference, true);
                } else {
                    if let Some(is) = found.filter(|_| is_immutable) {
                        let reference = reference.to_string();
                        missing.taken.push(TakenTag { reference, is, wanted: digest });
                    }
                    missing.there.extend(found.map(job.contents).unwrap_or_default());
                    missing.tags.push(reference.clone());
                }
            }
            if tags[index].is_empty() && registry.present(&repository.at(digest))? == Some(digest) {
                missing.content = false;
            }
            row.push((index, missing));
        }
        Ok(row)
    })?;
    let mut found: Vec<(usize, Missing)> = found.into_iter().flatten().collect();
    found.sort_by_key(|(index, _)| *index);
    Ok(found.into_iter().map(|(_, missing)| missing).collect())
}

/// `work` on every item by at most `parallel` threads; results in the items' order. After a failure nothing new is
/// begun, and the failure of the first item that failed is returned.
pub(super) fn in_parallel<T: Sync, R: Send>(
    parallel: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, RegistryError> + Sync,
) -> Result<Vec<R>, RegistryError> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let done: Mutex<Vec<(usize, Result<R, RegistryError>)>> = Mutex::new(Vec::with_capacity(items.len()));
    let run = || {
        while !stop.load(Ordering::SeqCst) {
            let index = next.fetch_add(1, Ordering::SeqCst);
            let Some(item) = items.get(index) else { return };
            let result = work(item);
            if result.is_err() {
                stop.store(true, Ordering::SeqCst);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
    };
    let threads = parallel.clamp(1, items.len().max(1));
    if threads == 1 {
        run();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(run);
            }
        });
    }
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Memory;

    fn blob(text: &str) -> (Descriptor, BlobSource) {
        let bytes: Arc<[u8]> = text.as_bytes().into();
        (Descriptor::of(MediaType::OciLayerGzip, &bytes), BlobSource::Bytes(bytes))
    }

    /// A manifest over one config and layers, and its blobs.
    fn manifest(layers: &[&str]) -> (Manifest, Vec<(Descriptor, BlobSource)>) {
        let mut blobs = vec![blob("{}")];
        blobs.extend(layers.iter().map(|layer| blob(layer)));
        let row = |(blob, _): &(Descriptor, BlobSource)| serde_json::to_value(blob).unwrap();
        let document = serde_json::json!({
            "schemaVersion": 2,
            "config": row(&blobs[0]),
            "layers": blobs[1..].iter().map(row).collect::<Vec<_>>(),
        });
        let bytes = serde_json::to_vec(&document).unwrap().into();
        (Manifest { media_type: MediaType::OciManifest, bytes }, blobs)
    }

    fn single(repository: &str, layers: &[&str], tags: &[&str]) -> ImagePush {
        let (root, blobs) = manifest(layers);
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        ImagePush { repository: repository.parse().unwrap(), tags, root, children: Vec::new(), blobs }
    }

    fn multi(repository: &str, platforms: &[&[&str]], tags: &[&str]) -> ImagePush {
        let (children, blobs): (Vec<_>, Vec<_>) = platforms.iter().map(|layers| manifest(layers)).unzip();
        let rows: Vec<_> = children
            .iter()
            .map(|child| serde_json::to_value(Descriptor::of(child.media_type, &child.bytes)).unwrap())
            .collect();
        let document = serde_json::json!({"schemaVersion": 2, "manifests": rows});
        let bytes = serde_json::to_vec(&document).unwrap().into();
        ImagePush {
            repository: repository.parse().unwrap(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            root: Manifest { media_type: MediaType::OciIndex, bytes },
            children,
            blobs: blobs.into_iter().flatten().collect(),
        }
    }

    fn run(registry: &Memory, images: Vec<ImagePush>, parallel: usize) -> Result<PushSummary, RegistryError> {
        push(registry, &PushJob::new(images, parallel), &())
    }

    #[test]
    fn everything_is_there_before_the_first_tag() {
        for parallel in [1, 4] {
            let registry = Memory::new();
            let images = vec![
                multi("r.example/a", &[&["x", "shared"], &["y", "shared"]], &["v1", "latest"]),
                single("r.example/b", &["x", "shared"], &["v1"]),
            ];
            let summary = run(&registry, images, parallel).unwrap();
            let log = registry.log();
            let kind = |line: &String| match line.split(' ').collect::<Vec<_>>()[..] {
                ["present", ..] => 0,
                ["asked" | "blob" | "mounted", ..] => 1,
                ["manifest", key] if key.contains("@sha256") => 2,
                ["index", key] if key.contains("@sha256") => 3,
                ["manifest" | "index", _] => 4,
                _ => panic!("{line}"),
            };
            let kinds: Vec<_> = log.iter().map(kind).collect();
            assert!(kinds.is_sorted(), "{log:#?}");
            // {} x y shared in a, {} x shared in b: each sent once, and mounted where else it is needed.
            let count = |kind: &str| log.iter().filter(|line| line.starts_with(kind)).count();
            assert_eq!((count("blob"), count("mounted")), (4, 3), "{log:#?}");
            let counts = (summary.blobs_sent, summary.blobs_mounted, summary.blobs_existed);
            assert_eq!((counts, summary.bytes_sent), ((4, 3, 0), 10));
            assert!(summary.images.iter().all(|image| !image.unchanged));
            assert_eq!(registry.tags(&"r.example/a".parse().unwrap()).unwrap(), ["latest", "v1"]);
        }
    }

    #[test]
    fn an_unchanged_image_costs_one_question_for_each_tag() {
        let registry = Memory::new();
        let images = || {
            vec![
                multi("r.example/a", &[&["x"], &["y"]], &["v1", "latest"]),
                single("r.example/b", &["x"], &[]),
            ]
        };
        run(&registry, images(), 2).unwrap();
        let before = registry.log().len();
        let summary = run(&registry, images(), 1).unwrap();
        assert_eq!(registry.log()[before..].len(), 3, "{:#?}", &registry.log()[before..]);
        assert!(summary.images.iter().all(|image| image.unchanged));
        assert_eq!((summary.blobs_sent, summary.blobs_existed, summary.bytes_sent), (0, 0, 0));
    }

    #[test]
    fn a_new_tag_of_a_known_image_sends_no_blob() {
        let registry = Memory::new();
        run(&registry, vec![single("r.example/a", &["x"], &["v1"])], 2).unwrap();
        let before = registry.log().len();
        let summary = run(&registry, vec![single("r.example/a", &["x"], &["v1", "v2"])], 2).unwrap();
        assert_eq!(
            registry.log()[before..],
            ["present r.example/a:v1", "present r.example/a:v2", "manifest r.example/a:v2"]
        );
        assert!(!summary.images[0].unchanged);
    }

    #[test]
    fn what_was_sent_before_is_not_asked_for() {
        let registry = Memory::new();
        let image = single("r.example/a", &["x", "y"], &["v1"]);
        let (blob, source) = &image.blobs[1];
        let pushed = registry.push_blob(&image.repository, blob, source, &|_| {}).unwrap();
        let early = Early::from([((image.repository.clone(), blob.digest), pushed)]);
        let before = registry.log().len();
        let job = PushJob { early, ..PushJob::new(vec![image], 1) };
        let summary = push(&registry, &job, &()).unwrap();
        assert_eq!((summary.blobs_sent, summary.bytes_sent), (3, 4));
        let sent = registry.log()[before..].iter().filter(|line| line.starts_with("blob")).count();
        assert_eq!(sent, 2, "{:#?}", registry.log());
    }

    #[test]
    fn blobs_of_the_image_that_a_tag_names_are_not_asked_for() {
        let old = single("r.example/a", &["x", "y"], &["v1"]);
        let blobs: BTreeSet<BlobDigest> = old.blobs.iter().map(|(blob, _)| blob.digest).collect();
        let root = old.root.digest();
        for lost in [false, true] {
            let registry = Memory::new();
            run(&registry, vec![old.clone()], 2).unwrap();
            if lost {
                registry.lose_blob(&old.repository, blob("y").0.digest);
            }
            let before = registry.log().len();
            let images = vec![single("r.example/a", &["x", "y", "new"], &["v1"])];
            let contents = |digest| if digest == root { blobs.clone() } else { BTreeSet::new() };
            let job = PushJob { contents: &contents, ..PushJob::new(images, 2) };
            let summary = push(&registry, &job, &()).unwrap();
            let counts = (summary.blobs_sent, summary.blobs_existed, summary.bytes_sent);
            // A registry that lost a blob refuses the manifest, and gets the blob.
            assert_eq!(counts, if lost { (2, 2, 4) } else { (1, 3, 3) });
            let asked = registry.log()[before..].iter().filter(|line| line.starts_with("asked")).count();
            assert_eq!(asked, if lost { 4 } else { 1 }, "{:#?}", registry.log());
        }
    }

    #[test]
    fn a_failure_leaves_every_tag_where_it_was() {
        let registry = Memory::new();
        run(&registry, vec![single("r.example/a", &["old"], &["v1"])], 1).unwrap();
        let bad = blob("unlucky").0.digest;
        registry.fail_blob(bad);
        let images =
            vec![single("r.example/a", &["new"], &["v1"]), single("r.example/b", &["unlucky"], &["v1"])];
        let error = run(&registry, images, 4).unwrap_err();
        assert!(error.to_string().contains(&bad.to_string()), "{error}");
        let old = single("r.example/a", &["old"], &[]).root.digest();
        let a = "r.example/a:v1".parse().unwrap();
        assert_eq!(registry.present(&a).unwrap(), Some(old));
        assert!(registry.tags(&"r.example/b".parse().unwrap()).unwrap_err().is_not_found());
    }

    #[test]
    fn one_tag_cannot_be_two_images() {
        let registry = Memory::new();
        let images = vec![single("r.example/a", &["x"], &["v1"]), single("r.example/a", &["y"], &["v1"])];
        let error = run(&registry, images, 1).unwrap_err().to_string();
        assert!(error.starts_with("r.example/a:v1 would be two images: sha256:"), "{error}");
        assert!(registry.log().is_empty());
        let same = vec![single("r.example/a", &["x"], &["v1"]), single("r.example/a", &["x"], &["v1"])];
        run(&registry, same, 1).unwrap();
    }

    #[test]
    fn the_observer_hears_of_every_byte() {
        #[derive(Default)]
        struct Sum(Mutex<(usize, u64, u64, Vec<String>)>);
        impl PushObserver for Sum {
            fn planned(&self, blobs: &[(&Repository, &Descriptor)]) {
                let mut sum = self.0.lock().unwrap();
                (sum.0, sum.1) = (blobs.len(), blobs.iter().map(|(_, blob)| blob.size).sum());
            }
            fn stored(&self, _: &Repository, _: &Descriptor, pushed: Pushed) {
                self.0.lock().unwrap().2 += pushed.sent;
            }
            fn tagged(&self, reference: &ImageRef, existed: bool) {
                self.0.lock().unwrap().3.push(format!("{reference} {existed}"));
            }
        }
        let registry = Memory::new();
        let sum = Sum::default();
        let job = PushJob::new(vec![single("r.example/a", &["abc"], &["v1"])], 2);
        push(&registry, &job, &sum).unwrap();
        push(&registry, &job, &sum).unwrap();
        let sum = sum.0.into_inner().unwrap();
        assert_eq!(sum, (0, 0, 5, vec!["r.example/a:v1 false".to_owned(), "r.example/a:v1 true".to_owned()]));
    }
}
