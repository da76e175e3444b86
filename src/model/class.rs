use std::fmt;

/// How stable a layer is; layers stand in this order, the most stable first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Layers of the base image, never changed.
    Base,
    /// System packages, components and composed files.
    System,
    /// Dependencies of the service.
    Deps,
    /// Code shared by several services.
    Shared,
    /// The service itself.
    App,
    /// Its configuration, and the declared directories.
    Config,
}

impl Class {
    /// The word used in buildspecs and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::System => "system",
            Self::Deps => "deps",
            Self::Shared => "shared",
            Self::App => "app",
            Self::Config => "config",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
