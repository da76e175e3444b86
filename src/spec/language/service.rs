use std::ops::RangeInclusive;

use serde_json::{Value as Json, json};

use super::base::BaseForm;
use super::build::BuildMap;
use super::elf::ElfMap;
use super::files::FilesForm;
use super::image::Image;
use super::init::InitForm;
use super::keys::{ArgKey, NameKey};
use super::packages::PackagesMap;
use super::path::{Glob, StagedPath};
use super::reference::RepositoryText;
use super::text::Name;
use crate::model::{Compression, ImagePath, Platform};
use crate::spec::problem::did_you_mean;
use crate::spec::service::SourcePath;
use crate::spec::shape::{
    Checked, FromText, Items, Late, Origin, Plain, Reader, Schemas, Shape, Table, Template, Wrong, record,
    words,
};
use crate::spec::yaml::{Content, Node};

record! {
    /// One service: a buildspec, or a row of `services` in imgpack.yaml.
    #[free(true)]
    struct Service("a service") {
        /// Name of the service. Default: the file's name. A name that begins with `_` is a template, never built.
        "name" => name: Plain<Name>,
        /// What it extends, in order: a path (with `/` or `.yaml`), or the name of a template.
        "extends" => extends: Extends,
        /// Images of the service, each a patch; they share layers.
        "images" => images: Table<NameKey, Checked<Patch>>,
        /// Variants of the service, each a patch.
        "variants" => variants: Table<NameKey, Variant>,
    }
    with patch: Patch
}

record! {
    /// A variant: what differs.
    struct Variant("a variant") {
        /// Whether it is built whenever the plain spec is. Default: `false`.
        "always" => always: bool,
    }
    with patch: Patch
}

record! {
    /// Everything that defaults, templates, images, variants and `--set` can change.
    struct Patch("") {
        /// Where the sources are: a directory, or a map. Default: the workspace root.
        "source" => source: SourceForm,
        /// Build arguments: `--set args.NAME=…`, `${arg.NAME}`.
        "args" => args: Table<ArgKey, Plain<String>>,
        /// How it is built. Default: not at all; a base and files are an image too.
        "build" => build: BuildMap,
        /// What it stands on: `static` (the default), `scratch`, `spec:NAME`, a registry reference, an archive, or a `rootfs`.
        "base" => base: BaseForm,
        /// Packages of the base's distribution, put on the base: of Debian or of Alpine.
        "packages" => packages: PackagesMap,
        /// Components of imgpack that are put on the base.
        "components" => components: Items<Late<ComponentWord>>,
        /// Files, directories, links and texts: a list of maps, or a map of places in the image to paths.
        "files" => files: FilesForm,
        /// What is removed from the base.
        "remove" => remove: Items<Late<ImagePath>>,
        /// PEM files that are added to the image's CA bundle.
        "certificates" => certificates: Items<Late<SourcePath>>,
        /// A small program of imgpack's as PID 1, under which the entrypoint runs: `true`, or what it does first.
        "init" => init: InitForm,
        /// What the check of programs and shared libraries lets pass.
        "elf" => elf: ElfMap,
        /// How the image is run.
        "image" => image: Image,
        /// Platforms. Default: linux/amd64 and linux/arm64.
        "platforms" => platforms: Items<Late<Platform>>,
        /// Repository, below the workspace's registry unless it begins with a registry's host. Default: the service's name.
        "repository" => repository: Late<RepositoryText>,
        /// Tags. Default: `latest`.
        "tags" => tags: Items<Template>,
        /// Whether labels, annotations, info and env may hold values that differ between two builds of the same sources.
        "stamp" => stamp: bool,
        /// Compression of layers: `gzip` (the default), `zstd` or `none`; with a level `gzip:9` or `zstd:19`.
        "compression" => compression: Late<CompressionText>,
        /// Media types: `oci` (the default) or `docker`.
        "mediaTypes" => media_types: Late<MediaTypes>,
        /// `auto` (the default): an index where there are several platforms; `always`: also for one.
        "index" => index: Late<Index>,
    }
    later {
        "steps" => "steps before the builder",
        "tools" => "other tools",
        "secrets" => "secrets of the fetch phase",
        "budget" => "size budgets",
        "test" => "tests of the image",
        "attestations" => "attestations",
    }
}

words! {
    /// A component.
    enum ComponentWord {
        "ca-certificates" => CaCertificates,
        "tzdata" => Tzdata,
        "probe" => Probe,
        "init" => Init,
    }
}

words! {
    /// `mediaTypes`
    enum MediaTypes { "oci" => Oci, "docker" => Docker, }
}

words! {
    /// `index`
    enum Index { "auto" => Auto, "always" => Always, }
}

/// `compression`: one text, so that a variant and `--set` replace level and method together.
#[derive(Debug, Clone, Copy)]
pub(in crate::spec) struct CompressionText(pub(in crate::spec) Compression);

impl FromText for CompressionText {
    const WANTED: &'static str = "gzip, zstd or none, or with a level gzip:9 or zstd:19";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let (method, level) = match text.split_once(':') {
            Some((method, level)) => (method, Some(level)),
            None => (text, None),
        };
        let with_level = |make: fn(u8) -> Compression, levels: RangeInclusive<u8>, default: Compression| {
            let Some(level) = level else { return Ok(Self(default)) };
            let canonical = !level.starts_with(['0', '+']);
            let level = level.parse().ok().filter(|level| canonical && levels.contains(level));
            level.map(|level| Self(make(level))).ok_or_else(|| {
                let (first, last) = (levels.start(), levels.end());
                Wrong::new(format!("`{text}`: levels of {method} are {first} to {last}"))
            })
        };
        match (method, level) {
            ("gzip", _) => with_level(Compression::Gzip, Compression::GZIP_LEVELS, Compression::GZIP),
            ("zstd", _) => with_level(Compression::Zstd, Compression::ZSTD_LEVELS, Compression::ZSTD),
            ("none", None) => Ok(Self(Compression::None)),
            ("none", Some(_)) => Err(Wrong::new(format!("`{text}`: `none` has no level"))),
            _ => {
                let known = ["gzip", "zstd", "none"];
                let hint =
                    did_you_mean(method, known).unwrap_or_else(|| format!("known are {}", known.join(", ")));
                Err(Wrong::new(format!("`{text}` is not a compression")).hint(hint))
            }
        }
    }
    fn schema() -> Json {
        let levels =
            |levels: RangeInclusive<u8>| levels.map(|level| level.to_string()).collect::<Vec<_>>().join("|");
        let (gzip, zstd) = (levels(Compression::GZIP_LEVELS), levels(Compression::ZSTD_LEVELS));
        json!({ "type": "string", "pattern": format!("^(none|gzip(:({gzip}))?|zstd(:({zstd}))?)$") })
    }
}

/// `extends`: a list, or one. Only checked: what it names is read before types are.
#[derive(Debug)]
pub(in crate::spec) struct Extends;

impl Shape for Extends {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Scalar(..) = &node.content {
            return Plain::<String>::read(node, reader).map(|_| Self);
        }
        Items::<Plain<String>>::read(node, reader).map(|_| Self)
    }
    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "anyOf": [Items::<Plain<String>>::schema(schemas), { "type": "string" }] })
    }
    fn wanted() -> String {
        "a list of templates and paths".to_owned()
    }
}

/// `source`
#[derive(Debug)]
pub(in crate::spec) enum SourceForm {
    Dir(Late<SourcePath>),
    Map(Box<SourceMap>),
}

record! {
    /// Where the sources are.
    struct SourceMap("source") {
        /// The directory. Default: the workspace root.
        "dir" => dir: Late<SourcePath>,
        /// Globs below it. What they name besides `**` is an input even where nothing imports it. Default: everything.
        "include" => include: Items<Late<Glob>>,
        /// Globs below it.
        "exclude" => exclude: Items<Late<Glob>>,
        /// More files and directories of the workspace.
        "add" => add: Items<SourceAdd>,
    }
}

record! {
    /// Something added to the sources.
    struct SourceAdd("source.add") {
        /// File or directory of the workspace.
        "from" => from: Late<SourcePath>,
        /// Its place, relative to `source.dir`. Default: its own name.
        "to" => to: Late<StagedPath>,
    }
}

impl Shape for SourceForm {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Map(_) => SourceMap::read(node, reader).map(|map| Self::Map(Box::new(map))),
            Content::Scalar(..) => Late::read(node, reader).map(Self::Dir),
            _ => {
                reader.wrong(node, &Self::wanted());
                None
            }
        }
    }
    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "anyOf": [SourceMap::schema(schemas), { "type": "string" }] })
    }
    fn wanted() -> String {
        "a directory, or a map with dir, include, exclude and add".to_owned()
    }
}
