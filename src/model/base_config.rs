use std::collections::{BTreeMap, BTreeSet};

use super::image_path::ImagePath;

/// What a base's config says (image-spec, config.md, "Properties"), as far as an image on it can inherit it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BaseConfig {
    /// `NAME` and value, in the base's order.
    pub env: Vec<(String, String)>,
    /// User as written: name or number, maybe with a group.
    pub user: Option<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// Entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    pub cmd: Option<Vec<String>>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `8000/tcp`
    pub exposed_ports: BTreeSet<String>,
    /// Volumes.
    pub volumes: BTreeSet<ImagePath>,
    /// Stop signal.
    pub stop_signal: Option<String>,
    /// Docker's `Healthcheck` object as it is.
    pub healthcheck: Option<serde_json::Value>,
}
