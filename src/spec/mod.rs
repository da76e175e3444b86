//! What the user wrote, and what it means: text in, value out.
//!
//! Opens nothing: files reach it through [`Files`]. Knows no builder's machinery and no base's bytes.
//!
//! The way of a text: [`Files`] → `sources` (texts, for messages) → `yaml` (trees with places) → `shape` and
//! `language` (what may be said; every mistake) → `documents` and `merge` (`extends`, defaults, images, variants) →
//! `resolve` ([`ImageSpec`]) → [`Workspace::select`].

mod documents;
mod language;
mod merge;
mod problem;
mod references;
mod resolve;
mod schema;
mod select;
mod service;
mod set;
mod shape;
mod sources;
mod template;
mod value;
mod workspace;
mod yaml;

pub use problem::{Excerpt, Problem, Problems};
pub use schema::schema;
pub use select::SelectError;
pub use service::{
    ApkLocation, ApkPackages, ApkRepository, Base, Build, Component, DebianPackages, DebianRepository,
    ElfRules, FileKind, FileRule, GoBuild, HealthTest, Healthcheck, ImageSettings, ImageSpec, Inherit, Init,
    Keep, Packages, PortList, ProbeCheck, Render, RustBuild, RustTarget, Site, Source, SourceAddition,
    SourcePath, User,
};
pub use set::{SetArg, SetArgError};
pub use sources::{Files, ReadError};
pub use template::{Part, TargetValue, Template, Value, Values};
pub use workspace::{Service, WORKSPACE_FILE, Workspace, load};
