use crate::archive::{ArchiveError, LocalError};
use crate::base::{BaseError, BuiltInError};
use crate::builder::BuilderError;
use crate::component::ComponentError;
use crate::debian::{DebError, MergeError as PackagesError, ScriptError};
use crate::elf::ElfError;
use crate::engine::EngineError;
use crate::image::ImageError;
use crate::lock::{LOCK_FILE, LockError};
use crate::model::{BlobDigest, ReferenceError};
use crate::plan::{ComposeError, LayerError, SettingsError};
use crate::registry::{CredentialsError, RegistryError};
use crate::spec::{Problems, SelectError, Site};
use crate::store::StoreError;
use crate::system::{Cancelled, IoError};
use crate::tar::WriteError;
use crate::tree::TreeError;

use super::event::Task;
use super::graph::GraphError;
use super::merge::MergeError;
use super::pack::PackError;
use super::packages::{ApkPackageError, PackageError};

/// Why a command did not do all that was asked, with what it was about.
#[derive(Debug)]
pub struct Error {
    /// The images that have it.
    pub tasks: Vec<Task>,
    /// What it was about: a place in a spec. Outermost first.
    pub context: Vec<String>,
    /// What happened.
    pub kind: Box<ErrorKind>,
}

/// What happened; [`crate::cli`] gives each its exit code and hint.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// Mistakes in specs.
    #[error(transparent)]
    Spec(#[from] Problems),
    /// Identities, variants or tags that do not go together.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// An image reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Arguments that do not go together, or sources that are not what the spec says.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// A way out.
        hint: Option<String>,
    },
    /// The lock file.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An image that is pinned, and that its registry does not have.
    #[error("{LOCK_FILE} pins {reference} to {digest}, which {registry} no longer has")]
    Gone {
        /// The name of the row.
        reference: String,
        /// The pinned digest.
        digest: BlobDigest,
        /// The registry.
        registry: String,
        /// What it said.
        source: RegistryError,
    },
    /// The sources on the disk.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The base.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The data that imgpack carries.
    #[error(transparent)]
    BuiltIn(#[from] BuiltInError),
    /// The programs that imgpack carries.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// A builder.
    #[error(transparent)]
    Builder(#[from] BuilderError),
    /// Entries that cannot become layers.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Several of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Layers(Vec<LayerError>),
    /// Packages of a distribution.
    #[error(transparent)]
    Package(Box<PackageError>),
    /// What is wrong with a Debian package.
    #[error(transparent)]
    Deb(#[from] DebError),
    /// Alpine packages.
    #[error(transparent)]
    Apk(Box<ApkPackageError>),
    /// Packages that cannot stand side by side; the first of them are told.
    #[error("{}", .0.iter().take(10).map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Packages(Vec<PackagesError>),
    /// Maintainer scripts that no rule covers.
    #[error("{}", ScriptError::list(.0))]
    Scripts(Vec<ScriptError>),
    /// Programs and libraries that would not run.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Elf(Vec<ElfError>),
    /// A composed file.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The config.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A document.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A layer while it was made.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A local output.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A layout or an archive that is read.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// An image of others.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Results that do not go together.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A file of credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A file of this machine.
    #[error(transparent)]
    Io(#[from] IoError),
    /// What several images wait for.
    #[error(transparent)]
    Shared(std::sync::Arc<Self>),
    /// The user asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A promise of the code that did not hold.
    #[error("{0}")]
    Bug(String),
}

impl<E: Into<ErrorKind>> From<E> for Error {
    fn from(error: E) -> Self {
        Self { tasks: Vec::new(), context: Vec::new(), kind: Box::new(error.into()) }
    }
}

impl From<ApkPackageError> for ErrorKind {
    fn from(error: ApkPackageError) -> Self {
        Self::Apk(Box::new(error))
    }
}

impl From<PackageError> for ErrorKind {
    fn from(error: PackageError) -> Self {
        Self::Package(Box::new(error))
    }
}

impl ErrorKind {
    /// What happened, also where several images share it.
    pub fn own(&self) -> &Self {
        match self {
            Self::Shared(kind) => kind.own(),
            kind => kind,
        }
    }
}

impl Error {
    /// Arguments that do not go together.
    pub fn usage(message: impl Into<String>) -> Self {
        ErrorKind::Usage { message: message.into(), hint: None }.into()
    }

    /// The same with a way out.
    pub fn usage_with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        ErrorKind::Usage { message: message.into(), hint: Some(hint.into()) }.into()
    }

    /// A promise that did not hold.
    pub fn bug(message: impl Into<String>) -> Self {
        ErrorKind::Bug(message.into()).into()
    }

    /// Entries that cannot become layers, all of them.
    pub fn many(errors: Vec<LayerError>) -> Self {
        ErrorKind::Layers(errors).into()
    }

    /// Every maintainer script that no rule covers.
    pub fn scripts(errors: Vec<ScriptError>) -> Self {
        ErrorKind::Scripts(errors).into()
    }

    /// The same error, said of a place in a spec.
    #[must_use]
    pub fn at(self, site: &Site) -> Self {
        self.about(site)
    }

    /// The same error, said of one image and platform.
    #[must_use]
    pub fn of(mut self, task: &Task) -> Self {
        self.tasks.push(task.clone());
        self
    }

    /// The same error, said of something.
    #[must_use]
    pub fn about(mut self, what: impl std::fmt::Display) -> Self {
        self.context.insert(0, what.to_string());
        self
    }

    /// Whether something that was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        match &*self.kind {
            ErrorKind::Registry(error) => error.is_not_found(),
            ErrorKind::Local(LocalError::Missing { .. }) => true,
            _ => false,
        }
    }

    /// Whether it only says that somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self.kind.own(),
            ErrorKind::Cancelled(_)
                | ErrorKind::Base(BaseError::Cancelled(_))
                | ErrorKind::Builder(BuilderError::Cancelled(_))
                | ErrorKind::Engine(EngineError::Cancelled(_))
                | ErrorKind::Tree(TreeError::Cancelled(_))
                | ErrorKind::Pack(PackError::Write(WriteError::Cancelled))
                | ErrorKind::Archive(ArchiveError::Cancelled(_))
                | ErrorKind::Local(LocalError::Cancelled(_))
                | ErrorKind::Store(StoreError::Cancelled(_))
                | ErrorKind::Registry(RegistryError::Cancelled)
        )
    }
}
