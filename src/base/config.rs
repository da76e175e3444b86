use std::collections::BTreeMap;

use serde::Deserialize;

use super::document::{RawPlatform, null_is_default, parse_json};
use super::error::BaseError;
use super::import::Import;
use crate::model::{BaseConfig, BaseHealthcheck, BaseHistory, DiffId};

/// Longest config in bytes: those of large images have some 20 kB.
pub(super) const CONFIG_LIMIT: u64 = 8 << 20;

/// A config, parsed.
#[derive(Debug)]
pub(super) struct ParsedConfig {
    pub(super) config: BaseConfig,
    pub(super) platform: RawPlatform,
    pub(super) diff_ids: Vec<DiffId>,
    /// What made each layer; empty where the history does not match the layers.
    pub(super) created_by: Vec<Option<String>>,
}

#[derive(Deserialize)]
struct RawConfig {
    #[serde(flatten)]
    platform: RawPlatform,
    #[serde(default, deserialize_with = "null_is_default")]
    config: RawSettings,
    rootfs: RawRootfs,
    #[serde(default, deserialize_with = "null_is_default")]
    history: Vec<RawHistory>,
}

#[derive(Deserialize)]
struct RawRootfs {
    #[serde(default, deserialize_with = "null_is_default")]
    diff_ids: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawSettings {
    user: Option<String>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    volumes: Option<BTreeMap<String, serde_json::Value>>,
    stop_signal: Option<String>,
    healthcheck: Option<RawHealthcheck>,
    shell: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RawHealthcheck {
    test: Option<Vec<String>>,
    interval: i64,
    timeout: i64,
    start_period: i64,
    start_interval: i64,
    retries: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawHistory {
    created: Option<String>,
    created_by: Option<String>,
    author: Option<String>,
    comment: Option<String>,
    empty_layer: bool,
}

impl ParsedConfig {
    /// Reads a config; `what` names it.
    pub(super) fn parse(import: &Import<'_>, what: &str, bytes: &[u8]) -> Result<Self, BaseError> {
        let raw: RawConfig = parse_json(import, what, bytes)?;
        let diff_ids = raw.rootfs.diff_ids.iter().map(|text| text.parse());
        let diff_ids: Vec<DiffId> =
            diff_ids.collect::<Result<_, _>>().map_err(|error| import.document(what, error))?;
        let history: Vec<BaseHistory> = raw.history.into_iter().map(RawHistory::cooked).collect();
        let created_by: Vec<_> =
            history.iter().filter(|line| !line.empty_layer).map(|line| line.created_by.clone()).collect();
        let created_by = if created_by.len() == diff_ids.len() { created_by } else { Vec::new() };
        Ok(Self { config: raw.config.cooked(history), platform: raw.platform, diff_ids, created_by })
    }
}

impl RawSettings {
    fn cooked(self, history: Vec<BaseHistory>) -> BaseConfig {
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        let words = |words: Option<Vec<String>>| words.filter(|words| !words.is_empty());
        let mut env: Vec<(String, String)> = Vec::new();
        for line in self.env.unwrap_or_default() {
            let (name, value) = line.split_once('=').unwrap_or((&line, ""));
            match env.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => value.clone_into(known),
                None => env.push((name.to_owned(), value.to_owned())),
            }
        }
        BaseConfig {
            user: text(self.user),
            env,
            workdir: text(self.working_dir),
            entrypoint: words(self.entrypoint),
            cmd: words(self.cmd),
            labels: self.labels.unwrap_or_default(),
            exposed_ports: self.exposed_ports.unwrap_or_default().into_keys().collect(),
            volumes: self.volumes.unwrap_or_default().into_keys().collect(),
            stop_signal: text(self.stop_signal),
            healthcheck: self.healthcheck.and_then(RawHealthcheck::cooked),
            shell: words(self.shell),
            history,
        }
    }
}

impl RawHealthcheck {
    /// A health check without a test says nothing: the engine takes its own default.
    fn cooked(self) -> Option<BaseHealthcheck> {
        let test = self.test.filter(|test| !test.is_empty())?;
        let Self { interval, timeout, start_period, start_interval, retries, .. } = self;
        Some(BaseHealthcheck { test, interval, timeout, start_period, start_interval, retries })
    }
}

impl RawHistory {
    fn cooked(self) -> BaseHistory {
        let Self { created, created_by, author, comment, empty_layer } = self;
        BaseHistory { created, created_by, author, comment, empty_layer }
    }
}
