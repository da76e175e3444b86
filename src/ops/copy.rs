use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::deliver::{UPLOADS, Watcher};
use super::downloads::Downloads;
use super::error::{Error, ErrorKind};
use super::event::Event;
use super::graph::{Graph, Node, Origin, Referrers, carried, is_image_config};
use super::machine::Machine;
use super::place::{Source, Target};
use super::tags::TagRules;
use crate::archive::{self, Destination, DockerImage, Form, GraphOutput, SendBlob};
use crate::model::{BlobDigest, RawDescriptor, RawPlatform, Repository};
use crate::registry::{self, BlobSource, ImagePush, Manifest, PushJob};

/// The ends of the tags under which cosign keeps what belongs to a digest where it uses no referrers.
const LEGACY: [&str; 3] = ["sig", "att", "sbom"];

/// What is copied.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// Only the image for this platform; without it everything.
    pub platform: Option<RawPlatform>,
    /// Leave out what refers to the image.
    pub no_referrers: bool,
    /// Copy what cosign keeps under tags, too.
    pub legacy_signatures: bool,
    /// Names at the target beside the one in its reference.
    pub tags: Vec<String>,
    /// Which of them must not move.
    pub rules: TagRules,
}

/// What a copy did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// What there is now: `repository@digest`, `oci:DIR@digest`, `docker-archive:FILE`.
    pub reference: String,
    /// Indexes and manifests of the image.
    pub documents: usize,
    /// Documents that refer to it, or belong to it otherwise.
    pub referrers: usize,
    /// Blobs that were sent or written.
    pub blobs_sent: usize,
    /// Blobs that the registry took over from another repository of its own.
    pub blobs_mounted: usize,
    /// Blobs that were there.
    pub blobs_existed: usize,
    /// Bytes of what was sent.
    pub bytes_sent: u64,
    /// Whether nothing was to do.
    pub unchanged: bool,
}

/// Copies an image, or any other artifact, as it is: no byte of it changes, and so no digest.
pub fn copy(
    machine: &Machine<'_>,
    source: &Source,
    target: &Target,
    options: &CopyOptions,
) -> Result<Copied, Error> {
    let (origin, mut root) = Origin::open(machine, source)?;
    if let Some(platform) = &options.platform {
        root = origin.select(&root, platform)?;
    }
    let docker = matches!(target, Target::Local(place) if place.form == Form::DockerArchive);
    let referrers = if options.no_referrers || docker { Referrers::Ignored } else { Referrers::Followed };
    let mut graph = origin.walk(&root, referrers, machine.cancel)?;
    if let Source::Local(place, _) = source
        && place.form == Form::DockerArchive
    {
        let made = format!("{place} has no manifest; {} is made over its config and layers", root.digest);
        machine.observer.event(Event::Note(made));
    }
    for digest in &graph.gone {
        warn(machine, format!("{digest} is listed among the referrers and is not there"));
    }
    for digest in &graph.absent {
        warn(machine, format!("the layer {digest} is kept elsewhere and is not copied"));
    }
    let mut legacy = Vec::new();
    if options.legacy_signatures {
        legacy = legacy_signatures(machine, &origin, &graph)?;
    }
    let mut copied = match target {
        Target::Registry(reference, tagged) => {
            if let Some(wanted) = reference.digest().filter(|wanted| *wanted != root.digest) {
                return Err(Error::usage_with_hint(
                    format!("{source} is {}, not {wanted}", root.digest),
                    "a copy keeps its digest: name a tag, or a repository alone",
                ));
            }
            let mut tags: BTreeSet<String> = options.tags.iter().cloned().collect();
            if *tagged || (options.tags.is_empty() && reference.digest().is_none()) {
                tags.extend(reference.tag().map(str::to_owned));
            }
            push(
                machine,
                &origin,
                &graph,
                &legacy,
                reference.repository(),
                tags.into_iter().collect(),
                &options.rules,
            )?
        }
        Target::Local(place) => {
            for (tag, found) in legacy {
                merge(&mut graph, found, &tag);
            }
            write(machine, &origin, &graph, place, names(source, &origin, options, docker))?
        }
    };
    copied.documents = graph.below(graph.root).len();
    Ok(copied)
}

fn warn(machine: &Machine<'_>, text: String) {
    machine.observer.event(Event::Warning(text));
}

/// What cosign keeps under tags for the documents of a graph.
fn legacy_signatures(
    machine: &Machine<'_>,
    origin: &Origin<'_>,
    graph: &Graph,
) -> Result<Vec<(String, Graph)>, Error> {
    let Origin::Registry(registry, repository) = origin else {
        return Err(Error::usage("--legacy-signatures are tags of a registry, and the source is none"));
    };
    let mut found = Vec::new();
    for node in graph.below(graph.root) {
        for end in LEGACY {
            let tag = format!("sha256-{}.{end}", node.row.digest.hex());
            let reference = repository.tagged(&tag).map_err(ErrorKind::from)?;
            match registry.manifest(&reference) {
                Ok(manifest) => {
                    let row = RawDescriptor::from(manifest.descriptor());
                    found.push((tag, origin.walk(&row, Referrers::Ignored, machine.cancel)?));
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(found)
}

/// Puts what is kept under a tag into a graph for a layout, which lists it by its name.
fn merge(graph: &mut Graph, other: Graph, tag: &str) {
    if let Some(root) = other.documents.get(&other.root) {
        let mut row = root.row.clone();
        row.annotations.insert("org.opencontainers.image.ref.name".to_owned(), tag.to_owned());
        graph.referrers.push((graph.root, row));
    }
    graph.documents.extend(other.documents);
    graph.blobs.extend(other.blobs);
}

/// The names of a copy on this machine.
fn names(source: &Source, origin: &Origin<'_>, options: &CopyOptions, docker: bool) -> Vec<String> {
    match (source, origin) {
        (Source::Registry(reference), _) => {
            let named = |tag: &str| format!("{}:{tag}", reference.repository());
            if options.tags.is_empty() {
                reference.tag().map(named).into_iter().collect()
            } else {
                options.tags.iter().map(|tag| named(tag)).collect()
            }
        }
        // A tag alone is no name for Docker.
        (_, Origin::Local(image)) if options.tags.is_empty() => {
            image.names.iter().filter(|name| !docker || name.contains([':', '/'])).cloned().collect()
        }
        _ => options.tags.clone(),
    }
}

/// Where a blob of `origin` is while it is pushed.
fn blob_source(machine: &Machine<'_>, origin: &Origin<'_>, row: &RawDescriptor) -> Result<BlobSource, Error> {
    let image = match origin {
        Origin::Registry(_, repository) => return Ok(BlobSource::Registry(repository.clone())),
        Origin::Local(image) => image,
    };
    if let Some(bytes) = image.made(&row.digest) {
        return Ok(BlobSource::Bytes(bytes.clone()));
    }
    if let Some(path) = image.path(&row.digest) {
        // Told before anything is sent.
        return match image.length(&row.digest) {
            Some(length) if length == row.size => Ok(BlobSource::File(path)),
            _ => Err(origin
                .send(row, &mut std::io::sink())
                .err()
                .unwrap_or_else(|| Error::bug(format!("{} changed while it was looked at", row.digest)))),
        };
    }
    // A member of an archive is no file of its own.
    if !machine.store.has_blob(&row.digest, row.size) {
        let mut writer = machine.store.write_blob()?;
        origin.send(row, &mut writer)?;
        writer.finish()?;
    }
    Ok(BlobSource::File(machine.store.blob_path(&row.digest)))
}

/// Pushes a graph: blobs, manifests, indexes from the inside out, tags last.
fn push(
    machine: &Machine<'_>,
    origin: &Origin<'_>,
    graph: &Graph,
    legacy: &[(String, Graph)],
    repository: &Repository,
    tags: Vec<String>,
    rules: &TagRules,
) -> Result<Copied, Error> {
    let watcher = Watcher::new(machine);
    // What is in the repository has its blobs there; an archive is unpacked only for what is not.
    let there = |digest| match origin {
        Origin::Registry(_, from) => Ok::<_, Error>(from == repository),
        Origin::Local(image) if image.path(&digest).is_some() => Ok(false),
        Origin::Local(_) => Ok(machine.registry.present(&repository.at(digest))? == Some(digest)),
    };
    let mut stages: BTreeMap<usize, Vec<ImagePush>> = BTreeMap::new();
    let mut last = Vec::new();
    let image = |graph: &Graph, digest: BlobDigest, tags: Vec<String>| {
        let known = there(digest)?;
        image_push(machine, origin, graph, digest, repository, tags, known)
    };
    for (graph, tags) in
        [(graph, tags)].into_iter().chain(legacy.iter().map(|(tag, graph)| (graph, vec![tag.clone()])))
    {
        let refer: BTreeSet<BlobDigest> = graph
            .referrers
            .iter()
            .map(|(_, row)| row.digest)
            .filter(|digest| *digest != graph.root)
            .collect();
        let heights = graph.heights();
        for node in graph.documents.values() {
            let digest = node.row.digest;
            let height = heights.get(&digest).copied().unwrap_or_default();
            if digest == graph.root {
                last.push(image(graph, digest, tags.clone())?);
            } else if refer.contains(&digest) {
                last.push(image(graph, digest, Vec::new())?);
            } else if height > 0 {
                stages.entry(height).or_default().push(image(graph, digest, Vec::new())?);
            }
        }
    }
    let mut copied = Copied { unchanged: true, ..Copied::default() };
    copied.referrers = last.len() - 1;
    let mut listed: BTreeMap<BlobDigest, BTreeSet<BlobDigest>> = BTreeMap::new();
    for images in stages.into_values().chain([last]) {
        let immutable = rules.fixed(&images)?;
        let job = PushJob { immutable, ..PushJob::new(images, UPLOADS) };
        let summary = match registry::push(machine.registry, &job, &watcher) {
            Ok(summary) => summary,
            Err(error) => return Err(blame(origin, &job, error)),
        };
        copied.blobs_sent += summary.blobs_sent;
        copied.blobs_mounted += summary.blobs_mounted;
        copied.blobs_existed += summary.blobs_existed;
        copied.bytes_sent += summary.bytes_sent;
        for image in &summary.images {
            copied.unchanged &= image.unchanged;
            if image.unchanged {
                listed.entry(image.digest).or_default();
            }
        }
    }
    relist(machine, graph, repository, &listed)?;
    copied.reference = format!("{repository}@{}", graph.root);
    Ok(copied)
}

/// What was there before is listed among the referrers of its subject, too: who pushed it may have been stopped between
/// the two.
fn relist(
    machine: &Machine<'_>,
    graph: &Graph,
    repository: &Repository,
    unchanged: &BTreeMap<BlobDigest, BTreeSet<BlobDigest>>,
) -> Result<(), Error> {
    let mut lists: BTreeMap<BlobDigest, BTreeSet<BlobDigest>> = BTreeMap::new();
    for (subject, row) in graph.referrers.iter().filter(|(_, row)| unchanged.contains_key(&row.digest)) {
        if !lists.contains_key(subject) {
            let found = machine.registry.referrers(repository, *subject)?;
            lists.insert(*subject, found.into_iter().map(|row| row.digest).collect());
        }
        let listed = lists.get(subject).is_some_and(|list| list.contains(&row.digest));
        if let (false, Some(node)) = (listed, graph.documents.get(&row.digest)) {
            machine.registry.push_manifest(&repository.at(row.digest), node.parts.media_type, &node.bytes)?;
        }
    }
    Ok(())
}

fn image_push(
    machine: &Machine<'_>,
    origin: &Origin<'_>,
    graph: &Graph,
    digest: BlobDigest,
    repository: &Repository,
    tags: Vec<String>,
    there: bool,
) -> Result<ImagePush, Error> {
    let manifest = |node: &Node| Manifest { media_type: node.parts.media_type, bytes: node.bytes.clone() };
    let root = graph.documents.get(&digest).ok_or_else(|| Error::bug(format!("{digest} was not read")))?;
    // Indexes in it were pushed before, with all that is in them.
    let listed = root.parts.manifests.iter().filter_map(|row| graph.documents.get(&row.digest));
    let children: Vec<&Node> = listed.filter(|node| !node.parts.media_type.is_index()).collect();
    let mut blobs = Vec::new();
    let named = children.iter().copied().chain([root]);
    let rows = named.flat_map(|node| node.parts.blobs().chain(&node.parts.manifests));
    let mut seen = BTreeSet::new();
    for row in rows.filter(|_| !there) {
        if graph.blobs.contains_key(&row.digest) && seen.insert(row.digest) {
            blobs.push((carried(row), blob_source(machine, origin, row)?));
        }
    }
    let children = children.into_iter().map(manifest).collect();
    Ok(ImagePush { repository: repository.clone(), tags, root: manifest(root), children, blobs })
}

/// A registry that refuses a blob of this machine may be right: then the blob is damaged, and that is said.
fn blame(origin: &Origin<'_>, job: &PushJob<'_>, error: registry::RegistryError) -> Error {
    let refused = matches!(
        error,
        registry::RegistryError::Status { status: 400, .. } | registry::RegistryError::Digest { .. }
    );
    if let (Origin::Local(image), true) = (origin, refused) {
        for (blob, _) in job.images.iter().flat_map(|image| &image.blobs) {
            if let Err(damage) = image.send(&blob.digest, blob.size, &mut std::io::sink()) {
                return damage.into();
            }
        }
    }
    error.into()
}

/// Writes a graph to this machine.
fn write(
    machine: &Machine<'_>,
    origin: &Origin<'_>,
    graph: &Graph,
    place: &Destination,
    names: Vec<String>,
) -> Result<Copied, Error> {
    let docker = place.form == Form::DockerArchive;
    let image = if docker { Some(docker_image(origin, graph, names.clone())?) } else { None };
    // A Docker archive's config is read by now.
    let rows: Vec<&RawDescriptor> =
        graph.blobs.values().filter(|row| !(docker && is_image_config(row))).collect();
    let sent: Mutex<(u64, usize)> = Mutex::default();
    let downloads = Downloads::new(machine.observer);
    if let Origin::Registry(_, repository) = origin {
        let blobs: Vec<_> = rows.iter().map(|row| carried(row)).collect();
        downloads.expect(repository, &blobs);
    }
    let send = |digest: &BlobDigest, sink: &mut dyn std::io::Write| {
        let row = graph.blobs.get(digest).ok_or_else(|| format!("{digest} is not known"))?;
        match origin {
            Origin::Registry(_, repository) => {
                origin.send(row, &mut downloads.counted(repository, &carried(row), sink)).map_err(boxed)?;
            }
            Origin::Local(_) => origin.send(row, sink).map_err(boxed)?,
        }
        let mut sent = sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *sent = (sent.0 + row.size, sent.1 + 1);
        Ok(())
    };
    let send: SendBlob<'_> = &send;
    let mut reference = format!("{place}@{}", graph.root);
    if let Some(image) = image {
        archive::write_docker_image(place, &image, send, machine.cancel)?;
        reference = place.to_string();
    } else {
        let root = graph.root().ok_or_else(|| Error::bug("the root was not read"))?;
        let refers = graph.referrers.iter().map(|(_, row)| (row.digest, row.clone()));
        let output = GraphOutput {
            root: root.row.clone(),
            names,
            referrers: refers.collect::<BTreeMap<_, _>>().into_values().collect(),
            documents: graph.documents.iter().map(|(digest, node)| (*digest, node.bytes.clone())).collect(),
            blobs: graph.blobs.iter().map(|(digest, row)| (*digest, row.size)).collect(),
        };
        archive::write_graph(place, &output, send, machine.cancel)?;
    }
    let (bytes_sent, blobs_sent) = *sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(Copied {
        reference,
        documents: 0,
        referrers: graph.referrers.len(),
        blobs_sent,
        blobs_mounted: 0,
        blobs_existed: if docker { 0 } else { graph.blobs.len().saturating_sub(blobs_sent) },
        bytes_sent,
        unchanged: false,
    })
}

fn boxed(error: Error) -> Box<dyn std::error::Error + Send + Sync> {
    match *error.kind {
        ErrorKind::Registry(error) => error.into(),
        ErrorKind::Local(error) => error.into(),
        other => other.into(),
    }
}

/// The image of the one platform that a graph has.
fn docker_image(origin: &Origin<'_>, graph: &Graph, names: Vec<String>) -> Result<DockerImage, Error> {
    let is_image =
        |node: &&Node| node.parts.config.as_ref().is_some_and(is_image_config) && !node.row.is_attestation();
    let images: Vec<&Node> = graph.below(graph.root).into_iter().filter(is_image).collect();
    match images.as_slice() {
        [one] => {
            let Some(config) = &one.parts.config else { return Err(Error::bug("an image without config")) };
            if let Some(layer) = one.parts.layers.iter().find(|layer| graph.absent.contains(&layer.digest)) {
                return Err(Error::usage(format!(
                    "the layer {} of {} is kept elsewhere, and a docker-archive holds whole images",
                    layer.digest,
                    origin.place()
                )));
            }
            let config = origin.small(config)?.into();
            Ok(DockerImage { names, config, layers: one.parts.layers.clone() })
        }
        [] => Err(Error::usage(format!(
            "{} of {} is no image: a docker-archive holds nothing else",
            graph.root,
            origin.place()
        ))),
        several => {
            let image = names.first().cloned().unwrap_or_else(|| graph.root.to_string());
            Err(archive::ArchiveError::SeveralPlatforms { image, count: several.len() }.into())
        }
    }
}
