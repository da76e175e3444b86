use std::collections::BTreeMap;

use super::documents::Documents;
use super::language::{self, ArchiveAddress, Patch, Requirement};
use super::merge::overlay;
use super::problem::{Drafts, Problems};
use super::references::{self, Reference};
use super::resolve::{Subject, resolve};
use super::service::{ImageSpec, Site};
use super::set::{SetArg, Setting};
use super::shape::{Field, FromText as _, Items, Origin, Plain as Text, Reader, Shape as _};
use super::sources::{Files, ReadError, Sources, Span};
use super::yaml::{Content, Map, Node, Plain, Style, classify, parse};
use crate::model::{Identity, Size};

/// The workspace's file, at its root.
pub const WORKSPACE_FILE: &str = "imgpack.yaml";
/// Most images of one service, each variant counted.
const IMAGES: usize = 1_000;
/// Where buildspecs are, if `specs` does not say.
const DEFAULT_SPECS: &str = "buildspecs";

/// Everything that a workspace's specs say, resolved and without a mistake.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// Registry, and path in it, that repositories are below.
    pub registry: Option<String>,
    /// `requires`, as written.
    pub requires: Option<String>,
    /// `auth.realms`: hosts of token servers that get the credentials for a registry.
    pub realms: BTreeMap<String, Vec<String>>,
    /// `cache.maxSize`: what the cache may take on the disk.
    pub cache_limit: Option<Size>,
    /// A registry, or a part of one (`docker.io`, `docker.io/library`) → where what is below it is read from first, in
    /// this order. No input of anything that is built.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// `mirrors.debian`: archives that are asked first, in this order, without a slash at the end. No input of anything.
    pub debian_mirrors: Vec<String>,
    /// `mirrors.apk`: the same for Alpine's packages.
    pub apk_mirrors: Vec<String>,
    /// `tags.immutable`: globs of tags that never move to another image.
    pub immutable_tags: Vec<String>,
    /// Every service by name, without templates.
    pub services: BTreeMap<String, Service>,
    pub(super) sources: Sources,
    pub(super) settings: Vec<Setting>,
}

/// One service with all its images and variants.
#[derive(Debug, Clone)]
pub struct Service {
    /// Where its spec begins.
    pub site: Site,
    /// Names of its `images`; empty where it is one image itself.
    pub images: Vec<String>,
    /// Names of its `variants`, and whether each is built whenever the plain spec is.
    pub variants: BTreeMap<String, bool>,
    pub(super) built: BTreeMap<Identity, Built>,
}

/// One image: resolved, and the tree it was resolved from, over which `--set` is laid.
#[derive(Debug, Clone)]
pub(super) struct Built {
    pub(super) subject: Subject,
    pub(super) node: Node,
    pub(super) spec: ImageSpec,
    /// The images of the workspace that it names.
    pub(super) references: Vec<Reference>,
}

impl Service {
    /// Every image in every variant, the plain one first.
    pub fn specs(&self) -> impl Iterator<Item = &ImageSpec> {
        self.built.values().map(|built| &built.spec)
    }
}

/// Reads a workspace from `imgpack.yaml` on: every mistake of every file, or none.
///
/// `sets` are the `--set` arguments of the command; they are checked here and laid over what is selected.
pub fn load(files: &dyn Files, sets: &[SetArg]) -> Result<Workspace, Problems> {
    let mut sources = Sources::default();
    let mut drafts = Drafts::default();
    let workspace = read(files, sets, &mut sources, &mut drafts);
    match workspace {
        Some(mut workspace) if drafts.is_empty() => {
            workspace.sources = sources;
            Ok(workspace)
        }
        _ => Err(drafts.finish(&sources)),
    }
}

fn read(files: &dyn Files, sets: &[SetArg], sources: &mut Sources, drafts: &mut Drafts) -> Option<Workspace> {
    let (text, error) = match files.read(WORKSPACE_FILE) {
        Ok(text) => (text, None),
        Err(error) => (String::new(), Some(error)),
    };
    let file = sources.add(WORKSPACE_FILE, text);
    let begin = Span::begin(file);
    if let Some(error) = error {
        let message = match error {
            ReadError::NotFound => "there is no imgpack.yaml at the root of the workspace".to_owned(),
            error => format!("cannot read it: {error}"),
        };
        drafts.say(begin, message).hint("it begins with `apiVersion: imgpack/v1`");
        return None;
    }
    let node = parse(file, sources, drafts)?;
    if let Some(requires) = node.get("requires")
        && !may_read(requires, sources, drafts)
    {
        return None;
    }
    let head = language::Workspace::read(&node, &mut Reader::new(sources, drafts))?;
    if !head.api_version.is_said() {
        drafts.say(begin, "no `apiVersion`").hint("begin with `apiVersion: imgpack/v1`");
    }
    if let Some(format) = head.format.get().filter(|format| format.value.0 != 1) {
        let message = format!("format {} of layers is not known to this version of imgpack", format.value.0);
        drafts.say(format.span, message).hint("write `format: 1`");
    }
    let registry = head.registry.value().map(|registry| registry.0.0.clone());
    let mirrors = mirrors(&head, drafts);
    let defaults = head.defaults.get().and_then(|_| node.get("defaults"));
    let defaults =
        defaults.filter(|node| node.map().is_some()).cloned().unwrap_or_else(|| Node::empty(begin));

    let mut documents = Documents::new(files, sources, drafts);
    if head.specs.is_said() {
        for (dir, span) in head.specs.items() {
            documents.add_folder(&dir.0.path, Some(*span), WORKSPACE_FILE);
        }
    } else {
        documents.add_folder(DEFAULT_SPECS, None, WORKSPACE_FILE);
    }
    for (name, entry) in node.get("services").and_then(Node::map).into_iter().flat_map(Map::iter) {
        if entry.node.content == Content::Null {
            documents
                .drafts
                .say(entry.key, format!("service `{name}` is empty"))
                .hint(format!("write `{name}: {{}}`"));
        }
        documents.add_inline(name, entry.key, &entry.node);
    }
    let mut merged = Vec::new();
    // Files that are only extended are added as they are met, at the end.
    for index in 0..documents.all.len() {
        let node = documents.merged(index);
        let document = &documents.all[index];
        if let Some(node) = node.filter(|_| !document.is_template()) {
            merged.push((document.name.clone(), document.span, node));
        }
    }

    let mut services = BTreeMap::new();
    for (name, span, node) in merged {
        let node = overlay(&defaults, &node, drafts);
        let service = service(&name, span, &node, registry.as_deref(), sources, drafts);
        services.insert(name, service);
    }
    let settings = sets.iter().filter_map(|set| set.compile(sources, drafts)).collect::<Vec<_>>();
    if drafts.is_empty() {
        references::check_all(&services, drafts);
        if drafts.is_empty() {
            references::connect(&mut services);
        }
        for setting in &settings {
            let nodes =
                services.values().flat_map(|service: &Service| service.built.values()).map(|b| &b.node);
            setting.check_use(nodes, "in the workspace", drafts);
        }
    }
    let requires = head.requires.value().map(|requires| requires.0.text.clone());
    let cache_limit = head.cache.value().and_then(|cache| cache.max_size.value()).map(|size| size.0);
    let realms = head.auth.value().map(language::AuthSettings::hosts).unwrap_or_default();
    let immutable = head.tags.value().into_iter().flat_map(|tags| tags.immutable.items());
    let immutable_tags = immutable.map(|(glob, _)| glob.0.0.clone()).collect();
    Some(Workspace {
        registry,
        requires,
        realms,
        cache_limit,
        mirrors,
        debian_mirrors: archives(head.mirrors.value().map(|mirrors| &mirrors.debian)),
        apk_mirrors: archives(head.mirrors.value().map(|mirrors| &mirrors.apk)),
        immutable_tags,
        services,
        sources: Sources::default(),
        settings,
    })
}

/// `mirrors`: none is what it stands for.
fn mirrors(head: &language::Workspace, drafts: &mut Drafts) -> BTreeMap<String, Vec<String>> {
    let mut mirrors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let rows = head.mirrors.value().into_iter().flat_map(|mirrors| &mirrors.registries.rows);
    for (name, row) in rows {
        for (mirror, span) in row.field.items() {
            if mirror.0.0 == *name {
                drafts.say(*span, format!("`{name}` as a mirror of itself")).hint("it is asked last anyway");
            } else {
                mirrors.entry(name.clone()).or_default().push(mirror.0.0.clone());
            }
        }
    }
    mirrors
}

/// Addresses of archives.
fn archives(field: Option<&Field<Items<Text<ArchiveAddress>>>>) -> Vec<String> {
    field.into_iter().flat_map(Field::items).map(|(address, _)| address.0.0.clone()).collect()
}

/// Whether this version of imgpack may read the workspace; read before anything else, so that an older one says this
/// instead of mistakes that are none.
fn may_read(node: &Node, sources: &Sources, drafts: &mut Drafts) -> bool {
    let Some(text) = node.text() else { return true };
    let Ok(requirement) = Requirement::from_text(text, &Origin::new(node.span, sources)) else { return true };
    let own = env!("CARGO_PKG_VERSION");
    if requirement.is_met_by(own) {
        return true;
    }
    drafts
        .say(node.span, format!("this workspace requires imgpack {text}, and this is imgpack {own}"))
        .hint("install a version that it can be read with");
    false
}

/// Every image in every variant of one service.
fn service(
    name: &str,
    span: Span,
    node: &Node,
    registry: Option<&str>,
    sources: &Sources,
    drafts: &mut Drafts,
) -> Service {
    let mut map = node.map().cloned().unwrap_or_default();
    let mut patches = |key: &str| -> Vec<(String, Node)> {
        let entry = map.remove(key);
        let rows = entry.as_ref().and_then(|entry| entry.node.map()).into_iter().flat_map(Map::iter);
        rows.filter(|(name, entry)| entry.node.map().is_some() && Identity::is_name(name))
            .map(|(name, entry)| (name.to_string(), entry.node.clone()))
            .collect()
    };
    let images = patches("images");
    let variants = patches("variants");
    let node = Node { content: Content::Map(std::sync::Arc::new(map)), ..node.clone() };
    let mut service = Service {
        site: sources.site(span),
        images: images.iter().map(|(name, _)| name.clone()).collect(),
        variants: variants.iter().map(|(name, node)| (name.clone(), is_true(node.get("always")))).collect(),
        built: BTreeMap::new(),
    };
    let plain = [(None, None)];
    let images: Vec<(Option<String>, Option<&Node>)> = match images.as_slice() {
        [] => plain.to_vec(),
        images => images.iter().map(|(name, node)| (Some(name.clone()), Some(node))).collect(),
    };
    let variants: Vec<(Option<String>, Option<Node>)> = std::iter::once((None, None))
        .chain(variants.iter().map(|(name, node)| (Some(name.clone()), Some(without(node, "always")))))
        .collect();
    if images.len().saturating_mul(variants.len()) > IMAGES {
        drafts.say(span, format!("service `{name}` has more than {IMAGES} images, variants counted"));
        return service;
    }
    for (image, image_patch) in &images {
        let image_node = image_patch.map_or_else(|| node.clone(), |patch| overlay(&node, patch, drafts));
        let says_repository =
            |patch: Option<&Node>| patch.is_some_and(|patch| patch.get("repository").is_some());
        for (variant, variant_patch) in &variants {
            let node = variant_patch
                .as_ref()
                .map_or_else(|| image_node.clone(), |patch| overlay(&image_node, patch, drafts));
            let identity =
                Identity { service: name.to_owned(), image: image.clone(), variant: variant.clone() };
            let subject = Subject {
                identity: identity.clone(),
                span,
                registry: registry.map(str::to_owned),
                own_repository: says_repository(*image_patch) && !says_repository(variant_patch.as_ref()),
            };
            if let Some((spec, references)) = resolve(&node, &subject, sources, drafts) {
                service.built.insert(identity, Built { subject, node, spec, references });
            }
        }
    }
    service
}

fn is_true(node: Option<&Node>) -> bool {
    matches!(node.map(|node| &node.content), Some(Content::Scalar(text, Style::Plain)) if classify(text) == Plain::Bool(true))
}

fn without(node: &Node, key: &str) -> Node {
    let mut node = node.clone();
    if let Content::Map(map) = &mut node.content {
        std::sync::Arc::make_mut(map).remove(key);
    }
    node
}

/// Checks a tree as a part that `--set` gives.
pub(super) fn check_patch(node: &Node, sources: &Sources, drafts: &mut Drafts) -> bool {
    let before = drafts.len();
    Patch::read(node, &mut Reader::new(sources, drafts));
    drafts.len() == before
}
