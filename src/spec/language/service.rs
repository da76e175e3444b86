use std::ops::RangeInclusive;

use serde_json::{Value as Json, json};

use super::build::BuildMap;
use super::files::FilesForm;
use super::image::Image;
use super::keys::{ArgKey, NameKey, PlatformKey};
use super::path::{Glob, StagedPath};
use super::reference::{self, RepositoryText};
use super::text::Name;
use crate::model::{Compression, ImagePath, Platform};
use crate::spec::problem::{did_you_mean, nearest};
use crate::spec::service::SourcePath;
use crate::spec::shape::{
    Checked, FromText, Items, Late, Origin, Plain, Reader, Schemas, Shape, Table, Template, Wrong, record,
    words,
};
use crate::spec::yaml::{Content, Node, Style};

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
        /// What it stands on: `static` (the default), `scratch`, a registry reference, an archive, or a `rootfs`.
        "base" => base: BaseForm,
        /// Components of imgpack that are put on the base.
        "components" => components: Items<Late<ComponentWord>>,
        /// Files, directories, links and texts: a list of maps, or a map of places in the image to paths.
        "files" => files: FilesForm,
        /// What is removed from the base.
        "remove" => remove: Items<Late<ImagePath>>,
        /// PEM files that are added to the image's CA bundle.
        "certificates" => certificates: Items<Late<SourcePath>>,
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
        "packages" => "Debian and Alpine packages",
        "init" => "the init component",
        "budget" => "size budgets",
        "test" => "tests of the image",
        "elf" => "checks of shared libraries",
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

/// `base`
#[derive(Debug)]
pub(in crate::spec) enum BaseForm {
    Text(Late<BaseText>),
    Map(BaseMap),
}

record! {
    /// A base that is one root file system for each platform.
    struct BaseMap("base") {
        /// A tar or tar.gz file for each platform.
        "rootfs" => rootfs: Table<PlatformKey, Late<SourcePath>>,
    }
}

impl Shape for BaseForm {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Map(_) => {
                let map = BaseMap::read(node, reader)?;
                if !matches!(
                    map.rootfs,
                    crate::spec::shape::Field::Set(_) | crate::spec::shape::Field::Broken
                ) {
                    reader.say(node.span, "`base` as a map needs `rootfs`");
                    return None;
                }
                Some(Self::Map(map))
            }
            Content::Scalar(_, Style::Plain | Style::Quoted | Style::Argument) => {
                Late::read(node, reader).map(Self::Text)
            }
            _ => {
                reader.wrong(node, &Self::wanted());
                None
            }
        }
    }
    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "anyOf": [BaseMap::schema(schemas), { "type": "string" }] })
    }
    fn wanted() -> String {
        "static, scratch, a registry reference, an archive, or a map with rootfs".to_owned()
    }
}

/// A base in one text.
#[derive(Debug, Clone)]
pub(in crate::spec) enum BaseText {
    Static,
    Scratch,
    Registry(String),
    OciLayout(SourcePath),
    OciArchive(SourcePath),
    DockerArchive(SourcePath),
}

impl FromText for BaseText {
    const WANTED: &'static str = "static, scratch, a registry reference, or an archive";
    fn from_text(text: &str, origin: &Origin<'_>) -> Result<Self, Wrong> {
        match text {
            "static" => return Ok(Self::Static),
            "scratch" => return Ok(Self::Scratch),
            _ => {}
        }
        let path = |text| SourcePath::from_text(text, origin);
        match text.split_once(':') {
            Some(("oci", dir)) => return path(dir).map(Self::OciLayout),
            Some(("oci-archive", file)) => return path(file).map(Self::OciArchive),
            Some(("docker-archive", file)) => return path(file).map(Self::DockerArchive),
            Some(("spec", _)) => {
                return Err(Wrong::new(format!(
                    "`{text}`: a base that is another spec is not in this version of imgpack yet"
                )));
            }
            _ => {}
        }
        if let Some((_, rest)) = text.split_once("://") {
            return Err(Wrong::new(format!("`{text}` is not a registry reference"))
                .hint(format!("write {rest}, without the scheme")));
        }
        let (host, rest) = text.split_once('/').unwrap_or(("", text));
        if reference::is_registry_host(host) {
            return reference::check_reference(text).map(|()| Self::Registry(text.to_owned()));
        }
        if !text.contains(['/', ':', '@'])
            && let Some(near) = nearest(text, ["static", "scratch"])
        {
            return Err(Wrong::new(format!("`{text}` is not a base")).hint(format!("did you mean `{near}`?")));
        }
        let full = match (host, text.contains([':', '@'])) {
            ("", _) if rest.contains('/') => format!("docker.io/{rest}"),
            ("", true) => format!("docker.io/library/{rest}"),
            ("", false) => format!("docker.io/library/{rest}:TAG"),
            (_, _) => format!("docker.io/{text}"),
        };
        let rootfs = if text == "alpine" || text.starts_with("alpine:") {
            ", or `rootfs:` with Alpine's own root file systems"
        } else {
            ""
        };
        Err(Wrong::new(format!("`{text}` does not say which registry it is in"))
            .hint(format!("write {full}{rootfs}; words alone are `static` and `scratch`")))
    }
}
