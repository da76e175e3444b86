//! What the user wrote, and what it means: text in, value out.
//!
//! Opens nothing: files reach it through [`Files`]. Knows no builder's machinery and no base's bytes.

mod service;
mod template;

pub use service::{
    Base, Build, Component, FileKind, FileRule, GoBuild, HealthTest, Healthcheck, ImageSettings, ImageSpec,
    Inherit, PortList, RustBuild, RustTarget, Site, Source, SourceAddition, SourcePath, User,
};
pub use template::{Part, TargetValue, Template, Value, Values};
