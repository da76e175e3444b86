use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::template::Template;
use crate::model::{Class, Compression, Identity, ImagePath, Owner, Platform};

/// A place in a spec file, for messages about what was written there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Path of the file relative to the workspace root.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A path of the workspace: relative to its root, `/` between components, normalised, `.` for the root itself;
/// never out of the root. Relative to the spec file it was relative in, whichever file extended that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourcePath {
    /// The path.
    pub path: String,
    /// Where it was written.
    pub site: Site,
}

/// One image to build: one identity, with everything merged, resolved and checked as far as text can be.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSpec {
    /// `service[/image][@variant]`.
    pub identity: Identity,
    /// Where the service's spec begins.
    pub site: Site,
    /// Where the sources are. Default: the workspace root when a builder is named, nothing else uses it.
    pub source: Source,
    /// The builder, if any.
    pub build: Option<Build>,
    /// `args` after `--set`; their uses are already put in, kept for the result and the report.
    pub args: BTreeMap<String, String>,
    /// What it stands on.
    pub base: Base,
    /// Packages of a distribution, put on the base.
    pub packages: Option<Packages>,
    /// Components of imgpack itself, put on the base; those that a health check or `init` implies are not among them.
    pub components: BTreeSet<Component>,
    /// The program that runs as PID 1 before the entrypoint.
    pub init: Option<Init>,
    /// What the check of ELF files lets pass.
    pub elf: ElfRules,
    /// Files, directories, links and texts.
    pub files: Vec<FileRule>,
    /// What is removed from the base.
    pub remove: Vec<ImagePath>,
    /// PEM files added to the image's CA bundle.
    pub certificates: Vec<SourcePath>,
    /// What the config says.
    pub image: ImageSettings,
    /// Platforms, in index order, no two the same.
    pub platforms: Vec<Platform>,
    /// Registry and repository (`ghcr.io/acme/analytics/backend`); without a registry in the workspace only the
    /// repository's path, which is enough for layouts and archives but not for `--push`.
    pub repository: String,
    /// Tags, with the variant's suffix already appended; volatile values allowed.
    pub tags: Vec<Template>,
    /// Whether labels, annotations and env may hold volatile values.
    pub stamp: bool,
    /// How layers are compressed.
    pub compression: Compression,
    /// Docker's media types instead of OCI's.
    pub docker_media_types: bool,
    /// An index even for one platform.
    pub index_always: bool,
    /// The images of the workspace that it stands on or takes files from, by identity and each once, as they are written:
    /// `--set` is for what a command selects.
    pub needs: Vec<Arc<Self>>,
}

/// The `source` map. Paths named literally are taken whatever ignore files say.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The directory.
    pub dir: SourcePath,
    /// Globs relative to `dir`; empty means everything.
    pub include: Vec<String>,
    /// Globs relative to `dir`.
    pub exclude: Vec<String>,
    /// More directories or files, put into the staged tree.
    pub add: Vec<SourceAddition>,
}

/// One row of `source.add`.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceAddition {
    /// What is added.
    pub from: SourcePath,
    /// Where it goes, relative to the staged `dir`; `.` and `..` components resolved, never out of it.
    pub to: String,
}

/// The builder of a service.
#[derive(Debug, Clone, PartialEq)]
pub enum Build {
    /// The Go toolchain.
    Go(GoBuild),
    /// Cargo.
    Rust(RustBuild),
}

/// `build.go`
#[derive(Debug, Clone, PartialEq)]
pub struct GoBuild {
    /// Package path relative to `source.dir`, beginning with `./` (default `.`).
    pub package: String,
    /// Where the binary goes. Default `/app/<last component of the package, else of the service>`.
    pub to: ImagePath,
    /// Build tags.
    pub tags: Vec<String>,
    /// `-ldflags`. Default `-s -w`.
    pub ldflags: String,
    /// `-X` values: import path and name → template (the one place where volatile values reach a layer).
    pub stamp: BTreeMap<String, Template>,
    /// More environment of the make phase.
    pub env: BTreeMap<String, Template>,
    /// Class of the layer (always `app` today).
    pub class: Class,
}

/// `build.rust`
#[derive(Debug, Clone, PartialEq)]
pub struct RustBuild {
    /// Cargo package; `None`: the one package of the manifest in `source.dir`.
    pub package: Option<String>,
    /// Binary target; default: the package's name.
    pub bin: Option<String>,
    /// Where the binary goes; `None`: `/app/<bin>`, known once the manifest is read.
    pub to: Option<ImagePath>,
    /// Cargo profile. Default `release`.
    pub profile: String,
    /// Features.
    pub features: Vec<String>,
    /// Whether the default features are on.
    pub default_features: bool,
    /// The libc.
    pub target: RustTarget,
    /// More environment of the make phase.
    pub env: BTreeMap<String, Template>,
}

/// `build.rust.target`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RustTarget {
    /// Static musl.
    Musl,
}

/// What an image stands on.
#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    /// The built-in one.
    Static,
    /// Nothing.
    Scratch,
    /// A registry reference, as written.
    Registry(String),
    /// `oci:DIR`
    OciLayout(SourcePath),
    /// `oci-archive:FILE`
    OciArchive(SourcePath),
    /// `docker-archive:FILE`
    DockerArchive(SourcePath),
    /// `rootfs:` a tar or tar.gz file for each platform.
    Rootfs(BTreeMap<Platform, SourcePath>),
    /// `spec:NAME`: another image of the workspace.
    Spec(Identity),
}

/// Something that imgpack carries in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// Mozilla's CA certificates.
    CaCertificates,
    /// IANA's time zones.
    Tzdata,
    /// The program that checks http, grpc and tcp.
    Probe,
    /// The program that runs as PID 1.
    Init,
}

/// Packages of the base's distribution.
#[derive(Debug, Clone, PartialEq)]
pub enum Packages {
    /// `packages.debian`
    Debian(DebianPackages),
    /// `packages.apk`
    Apk(ApkPackages),
}

/// `packages.debian`
#[derive(Debug, Clone, PartialEq)]
pub struct DebianPackages {
    /// The suite by its code name: `bookworm`. Its updates and security suites come with it.
    pub suite: String,
    /// Packages that are wanted, as `name` or `name=version`.
    pub install: Vec<String>,
    /// Packages that are left out, even where one depends on them.
    pub exclude: Vec<String>,
    /// What of the documentation stays.
    pub keep: Keep,
    /// `scripts: { NAME: ignore }`: packages whose scripts no rule covers, and without whose work the image does.
    pub scripts_ignored: BTreeSet<String>,
    /// More repositories.
    pub repositories: Vec<DebianRepository>,
    /// Where it was written.
    pub site: Site,
}

/// A Debian repository beside those of the suite.
#[derive(Debug, Clone, PartialEq)]
pub struct DebianRepository {
    /// Address of the archive's root, as `https://apt.example.org/debian`.
    pub url: String,
    /// Its suite.
    pub suite: String,
    /// Its components; empty for a flat repository.
    pub components: Vec<String>,
    /// The OpenPGP key that signs it, armoured or not.
    pub key: SourcePath,
}

/// `packages.apk`
#[derive(Debug, Clone, PartialEq)]
pub struct ApkPackages {
    /// What is wanted, as in `/etc/apk/world`: `name`, `name=version`, `name~1.2`, `so:…`, `cmd:…`, `!name`.
    pub install: Vec<String>,
    /// What of the documentation stays (Alpine has it in packages of their own, so this is rarely said).
    pub keep: Keep,
    /// `scripts: { NAME: ignore }`: packages whose scripts no rule covers, and without whose work the image does.
    pub scripts_ignored: BTreeSet<String>,
    /// More repositories.
    pub repositories: Vec<ApkRepository>,
    /// Where it was written.
    pub site: Site,
}

/// An Alpine repository beside those of the base.
#[derive(Debug, Clone, PartialEq)]
pub struct ApkRepository {
    /// Address of the folder that has the folders of architectures, or a directory of the workspace.
    pub from: ApkLocation,
    /// The public key that signs it; its file name is the key's name. `None`: one of the base's.
    pub key: Option<SourcePath>,
}

/// Where an Alpine repository is.
#[derive(Debug, Clone, PartialEq)]
pub enum ApkLocation {
    /// An address.
    Url(String),
    /// A directory of the workspace.
    Directory(SourcePath),
}

/// What of the documentation in packages stays; by default copyright files only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// `docs`: all of `/usr/share/doc` and info pages.
    pub docs: bool,
    /// `man`: manual pages.
    pub man: bool,
    /// `locales`: translations and locales.
    pub locales: bool,
}

/// `init`
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Init {
    /// Whether `${VAR}` and `${VAR:-default}` are replaced in the command's words when it starts.
    pub expand: bool,
    /// TCP addresses (`db:5432`) that have to answer first.
    pub wait: Vec<String>,
    /// Commands that have to end with 0 first, one after the other.
    pub before: Vec<Vec<String>>,
    /// Files that are made of templates first.
    pub render: Vec<Render>,
}

/// A row of `init.render`
#[derive(Debug, Clone, PartialEq)]
pub struct Render {
    /// The template, in the image.
    pub from: ImagePath,
    /// The file that is made.
    pub to: ImagePath,
    /// The only variables that are replaced; empty means all.
    pub only: Vec<String>,
}

/// `elf`
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ElfRules {
    /// Libraries that may be missing, as globs of their names: `libcuda.so.*`.
    pub allow: Vec<String>,
    /// Files that are not looked at, as globs of their places in the image.
    pub ignore: Vec<String>,
}

/// One row of `files`.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRule {
    /// What it brings.
    pub kind: FileKind,
    /// Its place in the image; `None` where `from` is a directory whose content goes to the image's root (`to: /`).
    pub to: Option<ImagePath>,
    /// Permission bits for files (of `dir: true`: for the directory); `None`: from the x bit, or 0755 for directories.
    pub mode: Option<u32>,
    /// Owner; `None`: 0:0.
    pub owner: Option<Owner>,
    /// Class of its layer; declared directories ignore it (they are the image's last layer).
    pub class: Class,
    /// May take the place of a file, or of a directory, of the base.
    pub replace: bool,
    /// Where it was written.
    pub site: Site,
}

/// The forms of a `files` row.
#[derive(Debug, Clone, PartialEq)]
pub enum FileKind {
    /// A file or directory of the workspace.
    Copy {
        /// What is copied.
        from: SourcePath,
        /// Globs below a directory; empty means everything.
        include: Vec<String>,
        /// Globs below a directory.
        exclude: Vec<String>,
    },
    /// A file or directory of an image of a registry.
    Image {
        /// The registry reference, as written.
        reference: String,
        /// The path in the image; `None` for all of it.
        path: Option<ImagePath>,
        /// Globs below a directory; empty means everything.
        include: Vec<String>,
        /// Globs below a directory.
        exclude: Vec<String>,
    },
    /// A file or directory of another image of the workspace.
    Spec {
        /// The image.
        identity: Identity,
        /// The path in the image; `None` for all of it.
        path: Option<ImagePath>,
        /// Globs below a directory; empty means everything.
        include: Vec<String>,
        /// Globs below a directory.
        exclude: Vec<String>,
    },
    /// A file of the network: its address, with neither user nor query.
    Address(String),
    /// An empty directory.
    Directory,
    /// A symbolic link with this target.
    Link(String),
    /// A text; only stable values.
    Text(Template),
}

/// A value that the base may also have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Inherit<T> {
    /// Not said: the base's value stays.
    #[default]
    Base,
    /// Removed with `null`: the base's value goes.
    Removed,
    /// Said.
    Set(T),
}

/// The `image` map.
#[expect(clippy::struct_excessive_bools, reason = "one for each map whose rows are added to the base's")]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImageSettings {
    /// The user; `Base` on built-in bases means 65532:65532, elsewhere what the base says.
    pub user: Inherit<User>,
    /// The entrypoint; `Base` with a builder means the artefact.
    pub entrypoint: Inherit<Vec<Template>>,
    /// Its arguments.
    pub cmd: Inherit<Vec<Template>>,
    /// Environment by name.
    pub env: BTreeMap<String, Inherit<Template>>,
    /// Whether `env: null` removed all of the base's.
    pub env_removed: bool,
    /// Working directory.
    pub workdir: Inherit<String>,
    /// Ports as `8000/tcp`; names are kept for later commands. Added to the base's.
    pub ports: PortList,
    /// Whether `ports: null` removed all of the base's, also where others are set over it.
    pub ports_removed: bool,
    /// Volumes. Added to the base's.
    pub volumes: Inherit<BTreeSet<ImagePath>>,
    /// Whether `volumes: null` removed all of the base's.
    pub volumes_removed: bool,
    /// Signal that stops the container.
    pub stop_signal: Inherit<String>,
    /// Labels of the config; `Removed` removes the base's.
    pub labels: BTreeMap<String, Inherit<Template>>,
    /// Whether `labels: null` removed all of the base's.
    pub labels_removed: bool,
    /// Annotations of manifests and index.
    pub annotations: BTreeMap<String, Template>,
    /// `org.opencontainers.image.<key>` → value: to labels of the config and annotations of manifests and index.
    pub info: BTreeMap<String, Template>,
    /// Health check.
    pub healthcheck: Inherit<Healthcheck>,
}

/// `image.ports`: name (in the list form `8000`, or `53/udp`) → `8000/tcp`.
pub type PortList = Inherit<BTreeMap<String, String>>;

/// `image.user`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name; with a name the user gets a row in `/etc/passwd`.
    pub name: Option<String>,
    /// User number.
    pub uid: u32,
    /// Group name; with a name the group gets a row in `/etc/group`. Default: the user's name where there is one.
    pub group: Option<String>,
    /// Group number; default: the user's.
    pub gid: u32,
}

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healthcheck {
    /// What is run.
    pub test: HealthTest,
    /// Between two runs.
    pub interval: Option<Duration>,
    /// Longest run.
    pub timeout: Option<Duration>,
    /// Failures in it do not count.
    pub start_period: Option<Duration>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<u32>,
}

/// What a health check runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthTest {
    /// `none`: no health check, not the base's either.
    None,
    /// A command of the image.
    Command(Vec<String>),
    /// An address that the probe component asks.
    Probe(ProbeCheck),
}

/// What the probe component asks, and what it takes for a good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeCheck {
    /// `http://:8000/health`, `grpc://:50051/Service`, `tcp://:5432`. `$NAME` and `${NAME:-default}` in it are replaced by
    /// the probe, from the container's environment.
    pub url: String,
    /// Status numbers that are good, as `200` or `200-299,404`; `None`: 200 to 399.
    pub status: Option<String>,
    /// A text that the body has to hold.
    pub body: Option<String>,
}

impl ImageSpec {
    /// Components that are put on the base: those that are named, and those that the health check and `init` need.
    pub fn all_components(&self) -> BTreeSet<Component> {
        let mut all = self.components.clone();
        if let Inherit::Set(Healthcheck { test: HealthTest::Probe(_), .. }) = &self.image.healthcheck {
            all.insert(Component::Probe);
        }
        if self.init.is_some() {
            all.insert(Component::Init);
        }
        all
    }
}
