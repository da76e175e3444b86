use std::collections::{BTreeMap, BTreeSet};

/// What a base's config says (image-spec, config.md), as far as an image on it inherits or keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BaseConfig {
    /// User as written: name or number, perhaps with a group.
    pub user: Option<String>,
    /// Environment in the base's order, each name once.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub workdir: Option<String>,
    /// Entrypoint; `None` where the base has none or an empty one.
    pub entrypoint: Option<Vec<String>>,
    /// Its arguments; `None` where the base has none or an empty list.
    pub cmd: Option<Vec<String>>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Ports as `8000/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// Volumes.
    pub volumes: BTreeSet<String>,
    /// Signal that stops the container.
    pub stop_signal: Option<String>,
    /// Health check.
    pub healthcheck: Option<BaseHealthcheck>,
    /// Shell of shell-form commands (Docker's extension).
    pub shell: Option<Vec<String>>,
    /// Every line of its history, those of empty layers too.
    pub history: Vec<BaseHistory>,
}

/// A base's health check, in the units of the config (Docker's extension; OCI keeps it as it is).
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BaseHealthcheck {
    /// `NONE`, `CMD …` or `CMD-SHELL …`.
    pub test: Vec<String>,
    /// Nanoseconds between two runs; 0 is the engine's default, as below.
    pub interval: i64,
    /// Nanoseconds of the longest run.
    pub timeout: i64,
    /// Nanoseconds in which failures do not count.
    pub start_period: i64,
    /// Nanoseconds between two runs in the start period.
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    pub retries: i64,
}

/// One line of a base's history.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BaseHistory {
    /// RFC 3339, as written.
    pub created: Option<String>,
    /// What made the layer.
    pub created_by: Option<String>,
    /// Who.
    pub author: Option<String>,
    /// Remark.
    pub comment: Option<String>,
    /// Whether it made no layer.
    pub empty_layer: bool,
}
