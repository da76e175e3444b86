//! One image for one platform: its layers planned from what the spec, the base and the builder give, its documents written.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::compile::CompileRecord;
use super::error::Error;
use super::packages::{PlacedPackages, Unpacked};
use super::sources::{CopiedFiles, Sources};
use crate::base::{self, BaseImage};
use crate::component;
use crate::image::{ConfigLayer, ManifestLayers, config_document, index_document, manifest_document};
use crate::model::{
    BaseFacts, BlobDigest, Class, Content, Descriptor, Document, Entries, Entry, EntryKind, FactKind,
    ImagePath, Layer, Owner, Platform, Repository,
};
use crate::plan::{
    ImageConfig, LayerPart, PlannedLayer, composed_files, image_config, last_directories, plan_layers,
    target_value, under_init,
};
use crate::report::ForeignFiles;
use crate::spec::{Base, Build, Component, FileKind, FileRule, ImageSpec, Inherit, Template, Value};
use crate::store::Store;
use crate::tree::HashedFile;

/// Everything about one image for one platform before its layers exist.
#[derive(Debug)]
pub struct PlannedImage {
    /// For which platform.
    pub platform: Platform,
    /// What it stands on.
    pub base: Arc<BaseImage>,
    /// What its config says.
    pub config: ImageConfig,
    /// Packages that are put on the base.
    pub packages: Vec<Unpacked>,
    /// Its own layers, in order.
    pub layers: Vec<PlannedLayer>,
    /// What of it is for other platforms.
    pub foreign: Option<ForeignFiles>,
    /// Whether a volatile value was asked for.
    pub volatile: bool,
}

impl PlannedImage {
    /// What a later layer of the image hides, since a row with `replace` says so: places, with what brought them.
    pub fn replaced(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let below = || self.layers[..at].iter().rev().filter(|below| below.class < layer.class);
            for path in &layer.replacing {
                let hidden = below().find_map(|below| below.entries.get(path));
                found.extend(hidden.map(|hidden| format!("{path} of {}", hidden.origin)));
            }
        }
        found
    }
}

/// One image for one platform, with everything stored but layers of a registry's base.
#[derive(Debug, Clone)]
pub struct FinishedImage {
    /// For which platform.
    pub platform: Platform,
    /// The config.
    pub config: Document,
    /// The manifest.
    pub manifest: Document,
    /// Every layer, the base's first.
    pub layers: Vec<FinishedLayer>,
    /// Annotations of the manifest but the base's digest, for the index.
    pub annotations: BTreeMap<String, String>,
}

/// A layer of a finished image.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FinishedLayer {
    /// Its class.
    pub class: Class,
    /// What it is, for people.
    pub title: String,
    /// The layer.
    pub layer: Layer,
    /// The repository that has it, of a layer of a base that need not be in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Repository>,
    /// Where a layer is to be had that is not to be distributed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// Where the artefact of a builder goes: the spec's place, or `/app/<name>`.
pub fn artefact_place(build: &Build, name: &str) -> Result<ImagePath, Error> {
    match build {
        Build::Go(go) => Ok(go.to.clone()),
        Build::Rust(rust) => match &rust.to {
            Some(path) => Ok(path.clone()),
            None => ImagePath::parse(&format!("/app/{name}"))
                .map_err(|error| Error::usage(format!("build.rust.bin: {error}"))),
        },
    }
}

/// What an image is made of beside its spec and the sources.
pub struct Ingredients<'i> {
    /// What it stands on.
    pub base: &'i Arc<BaseImage>,
    /// What its builder made.
    pub made: Option<&'i CompileRecord>,
    /// Packages that are put on the base.
    pub packages: Vec<Unpacked>,
    /// What they are in the image.
    pub placed: PlacedPackages,
}

/// Plans the image: inheritance, composed files, classes, and where the base wants each path.
pub fn plan_image(
    spec: &ImageSpec,
    platform: Platform,
    ingredients: Ingredients<'_>,
    sources: &Sources<'_>,
    copied: &Copied<'_>,
    volatile: &dyn Fn(&Value) -> Option<String>,
) -> Result<PlannedImage, Error> {
    let Ingredients { base, made, packages, placed } = ingredients;
    let asked_volatile = Cell::new(false);
    let volatile = |value: &Value| {
        asked_volatile.set(true);
        volatile(value)
    };
    let facts = &base.facts;
    let mut parts = placed.parts;
    let packaged = parts.len();
    parts.extend(component_parts(spec, facts, platform)?);
    let mut artefact = None;
    if let (Some(build), Some(made)) = (&spec.build, made) {
        let (part, place) = artefact_part(build, made, sources.store())?;
        artefact = place;
        parts.push(part);
    }
    let mut config = image_config(&spec.image, &base.config, facts, platform, artefact.as_ref(), &volatile)?;
    if let Some(init) = &spec.init {
        config.entrypoint = Some(under_init(init, config.entrypoint.take()));
    }

    let stable = |value: &Value| match value {
        Value::Base(name) => Some(
            base.config
                .env
                .iter()
                .find(|(known, _)| known == name)
                .map_or_else(String::new, |(_, text)| text.clone()),
        ),
        other => target_value(other, platform),
    };
    let brought = |path: &ImagePath| parts.iter().any(|part| part.entries.get(path).is_some());
    let (file_parts, directories) = file_parts(spec, base, &brought, sources, copied, &stable)?;
    parts.extend(file_parts);

    let certificates = sources.certificates(spec)?;
    let bundle = if spec.components.contains(&Component::CaCertificates) {
        bundle_of(&base::ca_certificates()?)
    } else {
        None
    };
    let user = match &spec.image.user {
        Inherit::Set(user) => Some(user),
        _ => None,
    };
    // What scripts do is done to what packages bring.
    let mut composed = composed_files(
        facts,
        &placed.effects,
        &mut parts[..packaged],
        user,
        &certificates,
        bundle.as_deref(),
        &spec.remove,
    )?;
    for entry in placed.composed {
        // What the spec brings there, or removes itself.
        let path = &entry.path;
        let said = || {
            spec.remove.contains(path)
                || path.ancestors().any(|above| spec.remove.contains(&above))
                || parts.iter().any(|part| part.entries.get(path).is_some())
        };
        if entry.kind == EntryKind::Whiteout && said() {
            continue;
        }
        composed.entries.insert(entry).map_err(crate::plan::LayerError::from)?;
    }
    if composed.title.is_empty() {
        "the merged /usr".clone_into(&mut composed.title);
    }
    parts.push(composed);

    let workdir = config.workdir.as_deref().and_then(|path| ImagePath::parse(path).ok());
    let present: Vec<&Entries> = parts.iter().map(|part| &part.entries).collect();
    let asked = match &spec.image.volumes {
        Inherit::Set(volumes) => volumes.clone(),
        _ => BTreeSet::new(),
    };
    let (volumes, workdir) = (&config.volumes, workdir.as_ref());
    let mut last = last_directories(directories, volumes, &asked, workdir, config.owner, facts, &present)
        .map_err(crate::plan::LayerError::from)?;
    let may_replace = |rule: &&FileRule| rule.replace && matches!(rule.kind, FileKind::Directory);
    last.replace.extend(spec.files.iter().filter(may_replace).filter_map(|rule| rule.to.clone()));
    parts.push(last);
    let layers = plan_layers(parts, facts, spec.compression).map_err(Error::many)?;
    let volatile = asked_volatile.get();
    let base = Arc::clone(base);
    Ok(PlannedImage { platform, base, config, packages, layers, foreign: None, volatile })
}

/// Writes config and manifest of an image whose layers are stored. `created` is RFC 3339.
pub fn finish_image(
    spec: &ImageSpec,
    planned: &PlannedImage,
    made: &[Layer],
    created: Option<&str>,
) -> Result<FinishedImage, Error> {
    let docker = spec.docker_media_types;
    let base_layers = planned.base.layers.iter().map(|layer| {
        let title = layer.title.as_ref().or(layer.created_by.as_ref()).cloned().unwrap_or_default();
        let (from, urls) = (layer.from.clone(), layer.urls.clone());
        FinishedLayer { class: Class::Base, title, layer: layer.layer, from, urls }
    });
    let own = planned.layers.iter().zip(made).map(|(plan, layer)| FinishedLayer {
        class: plan.class,
        title: plan.title.clone(),
        layer: *layer,
        from: None,
        urls: Vec::new(),
    });
    let layers: Vec<FinishedLayer> = base_layers.chain(own).collect();
    let below = planned.base.layers.iter().map(|layer| layer.created_by.clone().unwrap_or_default());
    let above = planned.layers.iter().map(|plan| format!("imgpack {}: {}", plan.class, plan.title));
    let rows: Vec<ConfigLayer> = layers
        .iter()
        .zip(below.chain(above))
        .map(|(layer, created_by)| ConfigLayer { diff_id: layer.layer.diff_id, created_by })
        .collect();
    let config = config_document(&planned.config, planned.platform, &rows, created, docker)?;
    let annotations = annotations(&planned.config, &planned.base, created);
    let mut own = annotations.clone();
    if let Some(digest) = planned.base.digest {
        own.insert("org.opencontainers.image.base.digest".into(), digest.to_string());
    }
    let contents = ManifestLayers {
        config: config.descriptor,
        layers: layers.iter().map(|layer| layer.layer.descriptor).collect(),
        urls: layers
            .iter()
            .filter(|layer| !layer.urls.is_empty())
            .map(|layer| (layer.layer.descriptor.digest, layer.urls.clone()))
            .collect(),
    };
    let manifest = manifest_document(&contents, &own, docker)?;
    Ok(FinishedImage { platform: planned.platform, config, manifest, layers, annotations })
}

/// The index over the platforms of an image, where it has one.
pub fn finish_index(spec: &ImageSpec, images: &[FinishedImage]) -> Result<Option<Document>, Error> {
    let rows: Vec<(Platform, Descriptor)> =
        images.iter().map(|image| (image.platform, image.manifest.descriptor)).collect();
    let annotations = images.first().map(|image| image.annotations.clone()).unwrap_or_default();
    index_over(&rows, spec.index_always, &annotations, spec.docker_media_types)
}

/// The index over manifests, which stand in its order: of several, or with `always` also of one. The same for what one
/// command built and for what was merged.
pub fn index_over(
    rows: &[(Platform, Descriptor)],
    always: bool,
    annotations: &BTreeMap<String, String>,
    docker: bool,
) -> Result<Option<Document>, Error> {
    if rows.len() < 2 && !always {
        return Ok(None);
    }
    Ok(Some(index_document(rows, annotations, docker)?))
}

fn annotations(config: &ImageConfig, base: &BaseImage, created: Option<&str>) -> BTreeMap<String, String> {
    let mut annotations = config.annotations.clone();
    if let Some(created) = created {
        annotations.insert("org.opencontainers.image.created".into(), created.to_owned());
    }
    if let Some(name) = &base.name {
        annotations.insert("org.opencontainers.image.base.name".into(), name.clone());
    }
    annotations
}

fn component_parts(spec: &ImageSpec, facts: &BaseFacts, platform: Platform) -> Result<Vec<LayerPart>, Error> {
    let mut parts = Vec::new();
    for component in spec.all_components() {
        let (title, entries) = match component {
            // With `certificates` the bundle is a composed file.
            Component::CaCertificates if !spec.certificates.is_empty() => continue,
            Component::CaCertificates => ("CA certificates", base::ca_certificates()?),
            Component::Tzdata => ("time zones", base::time_zones()?),
            Component::Probe => (component::PROBE_NAME, component::probe(platform)?),
            Component::Init => (component::INIT_NAME, component::init(platform)?),
        };
        if matches!(component, Component::Probe | Component::Init)
            && base_puts(spec, component)
            && entries.iter().all(|entry| is_there(facts, entry))
        {
            continue;
        }
        parts.push(part(Class::System, title, entries));
    }
    Ok(parts)
}

/// Whether an image of the workspace that this one stands on has a component, which this imgpack puts there.
fn base_puts(spec: &ImageSpec, component: Component) -> bool {
    let Base::Spec(identity) = &spec.base else { return false };
    let base = spec.needs.iter().find(|other| other.identity == *identity);
    base.is_some_and(|base| base.all_components().contains(&component) || base_puts(base, component))
}

/// Whether a base still has a program or link of a component.
fn is_there(facts: &BaseFacts, entry: &Entry) -> bool {
    let path = facts.resolve_parents(&entry.path);
    path.and_then(|path| facts.tree.get(&path)).is_some_and(|fact| match (&entry.kind, &fact.kind) {
        (EntryKind::File { size, .. }, FactKind::File) => *size == fact.size && entry.mode == fact.mode,
        (EntryKind::Symlink { target }, FactKind::Symlink(text)) => target == text,
        _ => false,
    })
}

/// The text of the component's bundle.
fn bundle_of(entries: &Entries) -> Option<String> {
    entries.iter().find_map(|entry| match &entry.kind {
        EntryKind::File { content: Content::Bytes(bytes), .. } => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        _ => None,
    })
}

fn part(class: Class, title: impl Into<String>, entries: Entries) -> LayerPart {
    LayerPart { class, title: title.into(), entries, replace: BTreeSet::new() }
}

fn artefact_part(
    build: &Build,
    made: &CompileRecord,
    store: &Store,
) -> Result<(LayerPart, Option<ImagePath>), Error> {
    let origin: Arc<str> = Arc::from(match build {
        Build::Go(_) => "build.go",
        Build::Rust(_) => "build.rust",
    });
    let mut entries = Entries::new();
    let mut entrypoint = None;
    for artefact in &made.artefacts {
        let path = artefact_place(build, &artefact.name)?;
        if artefact.executable && entrypoint.is_none() {
            entrypoint = Some(path.clone());
        }
        entries
            .insert(Entry {
                path,
                kind: EntryKind::File {
                    digest: artefact.digest,
                    size: artefact.size,
                    content: Content::Path(store.blob_path(&BlobDigest(artefact.digest.0))),
                },
                mode: if artefact.executable { 0o755 } else { 0o644 },
                owner: Owner::default(),
                origin: Arc::clone(&origin),
            })
            .map_err(crate::plan::LayerError::from)?;
    }
    let title = entries.iter().map(|entry| entry.path.to_string()).collect::<Vec<_>>().join(", ");
    Ok((part(Class::App, title, entries), entrypoint))
}

/// The files that a row copies.
pub type Copied<'a> = dyn Fn(&FileRule) -> Result<Arc<CopiedFiles>, Error> + 'a;

type Declared = Vec<(ImagePath, u32, Owner, Arc<str>)>;

/// The `files` rows by class, and the declared directories.
fn file_parts(
    spec: &ImageSpec,
    base: &BaseImage,
    brought: &dyn Fn(&ImagePath) -> bool,
    sources: &Sources<'_>,
    copied: &Copied<'_>,
    values: &dyn Fn(&Value) -> Option<String>,
) -> Result<(Vec<LayerPart>, Declared), Error> {
    let mut classes: BTreeMap<Class, LayerPart> = BTreeMap::new();
    let mut directories = Vec::new();
    for rule in &spec.files {
        let origin: Arc<str> = Arc::from(rule.site.to_string());
        let owner = rule.owner.unwrap_or_default();
        let place = || {
            rule.to.clone().ok_or_else(|| {
                Error::usage("`to: /` is for a directory of files: name a place below it").at(&rule.site)
            })
        };
        let layer = classes.entry(rule.class).or_insert_with(|| part(rule.class, "", Entries::new()));
        if rule.replace
            && let Some(to) = &rule.to
        {
            layer.replace.insert(to.clone());
        }
        let mut put = |path, kind, mode| {
            let entry = Entry { path, kind, mode, owner, origin: Arc::clone(&origin) };
            layer.entries.insert(entry).map_err(|error| Error::from(crate::plan::LayerError::from(error)))
        };
        match &rule.kind {
            FileKind::Directory => directories.push((place()?, rule.mode.unwrap_or(0o755), owner, origin)),
            FileKind::Link(target) => put(place()?, EntryKind::Symlink { target: target.clone() }, 0o777)?,
            FileKind::Text(template) => {
                let text = rendered(template, values).map_err(|error| error.at(&rule.site))?;
                put(place()?, EntryKind::bytes(text.into_bytes()), rule.mode.unwrap_or(0o644))?;
            }
            FileKind::Copy { .. } | FileKind::Image { .. } | FileKind::Spec { .. } | FileKind::Address(_) => {
                let copied = copied(rule)?;
                refuse_secret(rule, &copied, sources)?;
                for (path, file) in copied_places(rule, &copied)? {
                    let mode = match file.entry_kind() {
                        EntryKind::File { .. } => rule.mode.unwrap_or_else(|| file.entry_mode()),
                        _ => file.entry_mode(),
                    };
                    put(path, file.entry_kind(), mode)?;
                }
                let mut own = empty_directories(rule, &copied)?;
                if owner != Owner::default() && !copied.single {
                    own.extend(owned_directories(rule, &copied)?);
                }
                for path in own {
                    let known = facts_directory(base, &path) || brought(&path);
                    if !known {
                        put(path, EntryKind::Directory, 0o755)?;
                    }
                }
            }
        }
    }
    let mut parts: Vec<LayerPart> = classes.into_values().collect();
    for part in &mut parts {
        part.title = files_title(&part.entries);
    }
    Ok((parts, directories))
}

fn rendered(template: &Template, values: &dyn Fn(&Value) -> Option<String>) -> Result<String, Error> {
    template.render(&values).map_err(|value| Error::usage(format!("{value} has no value here")))
}

fn facts_directory(base: &BaseImage, path: &ImagePath) -> bool {
    base.facts.resolve(path).is_some_and(|path| base.facts.tree.contains_key(&path))
}

/// Each file of a row with its place in the image.
fn copied_places<'c>(
    rule: &FileRule,
    copied: &'c CopiedFiles,
) -> Result<Vec<(ImagePath, &'c HashedFile)>, Error> {
    let place = |file: &'c HashedFile| Ok((copied_place(rule, copied.single, &file.path)?, file));
    copied.files.iter().map(place).collect()
}

fn copied_place(rule: &FileRule, single: bool, path: &str) -> Result<ImagePath, Error> {
    let path = match (&rule.to, single) {
        (Some(to), true) => Ok(to.clone()),
        (Some(to), false) => to.join(path),
        (None, _) => ImagePath::parse(&format!("/{path}")),
    };
    path.map_err(|error| Error::usage(error.to_string()).at(&rule.site))
}

/// The directories without anything in them that a row brings.
fn empty_directories(rule: &FileRule, copied: &CopiedFiles) -> Result<BTreeSet<ImagePath>, Error> {
    copied.empty.iter().map(|path| copied_place(rule, copied.single, path)).collect()
}

/// The directories that a copied directory brings, itself included.
fn owned_directories(rule: &FileRule, copied: &CopiedFiles) -> Result<BTreeSet<ImagePath>, Error> {
    let mut found = BTreeSet::new();
    for (path, _) in copied_places(rule, copied)? {
        let mut at = path.parent();
        while let Some(directory) = at {
            if rule.to.as_ref().is_some_and(|to| !directory.is_within(to)) {
                break;
            }
            at = directory.parent();
            found.insert(directory);
        }
    }
    Ok(found)
}

fn refuse_secret(rule: &FileRule, copied: &CopiedFiles, sources: &Sources<'_>) -> Result<(), Error> {
    // A file that is named by itself is meant, and packages hold such words in their tests.
    if copied.single || rule.class == Class::Deps {
        return Ok(());
    }
    let Some((file, words)) = sources.secret_among(&copied.files) else { return Ok(()) };
    let place = copied_place(rule, copied.single, &file.path)?;
    let name = match &rule.kind {
        FileKind::Image { reference, .. } => format!("{} of image:{reference}", file.path),
        FileKind::Spec { identity, .. } => format!("{} of spec:{identity}", file.path),
        _ => file.absolute.display().to_string(),
    };
    Err(Error::usage_with_hint(
        format!("{name} looks like it holds {words} and would become {place}"),
        "leave it out with `exclude`, or name the file by itself in `files` if it is meant",
    )
    .at(&rule.site))
}

/// `/etc/app.toml`, or `3 files in /app/templates`.
fn files_title(entries: &Entries) -> String {
    let files: Vec<&Entry> = entries.iter().filter(|entry| entry.kind != EntryKind::Directory).collect();
    let [first, rest @ ..] = files.as_slice() else { return "files".to_owned() };
    if rest.is_empty() {
        return first.path.to_string();
    }
    let above = first
        .path
        .ancestors()
        .filter(|above| files.iter().all(|file| file.path.is_within(above)))
        .last()
        .map_or_else(|| "/".to_owned(), |above| above.to_string());
    format!("{} files in {above}", files.len())
}
