use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::error::Error;
use super::graph::{Graph, Node, Origin, Referrers, is_image_config};
use super::machine::Machine;
use super::place::Source;
use crate::archive::Form;
use crate::model::{BlobDigest, Class, RawDescriptor, RawPlatform};
use crate::system::parallel;

/// Configs asked for at once.
const CONFIGS: usize = 4;

/// What is said of an image, or of any other artifact, without its layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// 1.
    pub schema_version: u32,
    /// What was asked for.
    pub reference: String,
    /// The root: an index, or a manifest.
    #[serde(flatten)]
    pub root: Document,
    /// Whether the manifest was made for this, over config and layers of a Docker archive, which has none.
    pub made: bool,
    /// The manifests, in the order of the index.
    pub manifests: Vec<Manifest>,
    /// What refers to one of them.
    pub referrers: Vec<Referrer>,
}

/// An index or a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// Its digest.
    pub digest: BlobDigest,
    /// Its media type.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// What kind of artifact, where it is no image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The manifest.
    #[serde(flatten)]
    pub document: Document,
    /// Its platform, where it is an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<RawPlatform>,
    /// The manifest of the index that this one, by BuildKit, is a statement about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_about: Option<String>,
    /// Digest and size of its config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<RawDescriptor>,
    /// What the config says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// The layers, the lowest first.
    pub layers: Vec<InspectedLayer>,
    /// Bytes of manifest, config and layers: what a puller gets.
    pub transfer: u64,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectedLayer {
    /// Its class, where imgpack made the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// What the config's history says that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Its blob.
    #[serde(flatten)]
    pub blob: RawDescriptor,
}

/// Something that refers to a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// To what.
    pub subject: BlobDigest,
    /// What it is.
    #[serde(flatten)]
    pub manifest: RawDescriptor,
}

/// What a config says of how its image runs (image-spec, config.md; Docker's extensions).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// RFC 3339, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// User and group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Entrypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Environment.
    pub env: Vec<String>,
    /// Ports.
    pub ports: Vec<String>,
    /// Volumes.
    pub volumes: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Stop signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// The command of the health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawConfig {
    created: Option<String>,
    #[serde(flatten)]
    platform: Option<RawPlatform>,
    #[serde(deserialize_with = "null_is_default")]
    config: RawSettings,
    #[serde(deserialize_with = "null_is_default")]
    history: Vec<RawHistory>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawSettings {
    user: Option<String>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    env: Option<Vec<String>>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    volumes: Option<BTreeMap<String, serde_json::Value>>,
    labels: Option<BTreeMap<String, String>>,
    stop_signal: Option<String>,
    healthcheck: Option<RawHealthcheck>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct RawHealthcheck {
    test: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawHistory {
    created_by: Option<String>,
    empty_layer: bool,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// The exact bytes of what `source` names, or of its manifest for `platform`.
pub fn raw(machine: &Machine<'_>, source: &Source, platform: Option<&RawPlatform>) -> Result<Vec<u8>, Error> {
    let (origin, mut root) = Origin::open(machine, source)?;
    if let Some(platform) = platform {
        root = origin.select(&root, platform)?;
    }
    Ok(origin.document(&root)?.bytes.to_vec())
}

/// Reads what `source` names, or its manifest for `platform`: documents, configs and the list of referrers, no layer.
pub fn inspect(
    machine: &Machine<'_>,
    source: &Source,
    platform: Option<&RawPlatform>,
) -> Result<Inspection, Error> {
    let (origin, mut root) = Origin::open(machine, source)?;
    if let Some(platform) = platform {
        root = origin.select(&root, platform)?;
    }
    let graph = origin.walk(&root, Referrers::Listed, machine.cancel)?;
    let node = graph.root().ok_or_else(|| Error::bug("the root was not read"))?;
    let images: Vec<&Node> =
        graph.below(graph.root).into_iter().filter(|node| !node.parts.media_type.is_index()).collect();
    let manifests = parallel(CONFIGS, &images, |node| manifest(&origin, node));
    let manifests = manifests.into_iter().collect::<Result<Vec<_>, Error>>()?;
    Ok(Inspection {
        schema_version: 1,
        reference: source.to_string(),
        root: document(node),
        made: matches!(source, Source::Local(place, _) if place.form == Form::DockerArchive),
        manifests,
        referrers: referrers(&graph),
    })
}

fn referrers(graph: &Graph) -> Vec<Referrer> {
    let row =
        |(subject, row): &(BlobDigest, RawDescriptor)| Referrer { subject: *subject, manifest: row.clone() };
    graph.referrers.iter().map(row).collect()
}

fn document(node: &Node) -> Document {
    Document {
        digest: node.row.digest,
        media_type: node.row.media_type.clone(),
        size: node.row.size,
        artifact_type: node.parts.kind().map(str::to_owned),
        annotations: node.parts.annotations.clone(),
    }
}

fn manifest(origin: &Origin<'_>, node: &Node) -> Result<Manifest, Error> {
    let config = node.parts.config.clone();
    let statement = node.row.annotations.get("vnd.docker.reference.digest").cloned();
    let statement_about = statement.filter(|_| node.row.is_attestation());
    let parsed: Option<RawConfig> = match &config {
        // BuildKit's statements have configs that say nothing.
        Some(config) if is_image_config(config) && statement_about.is_none() => {
            // A config that is not as the specification says is shown as one that says nothing.
            serde_json::from_slice(&origin.small(config)?).ok()
        }
        _ => None,
    };
    let rows: Vec<Option<String>> = parsed.as_ref().map_or_else(Vec::new, |config| {
        config.history.iter().filter(|row| !row.empty_layer).map(|row| row.created_by.clone()).collect()
    });
    // A history that does not fit says nothing of any layer.
    let rows = if rows.len() == node.parts.layers.len() { rows } else { vec![None; node.parts.layers.len()] };
    let classes = classes(&rows);
    let layers = node.parts.layers.iter().zip(rows).zip(classes).map(|((blob, created_by), class)| {
        InspectedLayer { class, created_by: created_by.filter(|text| !text.is_empty()), blob: blob.clone() }
    });
    let layers: Vec<InspectedLayer> = layers.collect();
    let blobs: u64 = node.parts.blobs().map(|row| row.size).fold(0, u64::saturating_add);
    let platform = parsed.as_ref().and_then(|config| config.platform.clone());
    let platform = platform.filter(|platform| !platform.os.is_empty()).or_else(|| node.row.platform.clone());
    Ok(Manifest {
        document: document(node),
        platform: platform.filter(|_| statement_about.is_none()),
        statement_about,
        config,
        settings: parsed.map(settings),
        layers,
        transfer: blobs.saturating_add(node.row.size),
    })
}

/// The classes of layers by what made them: imgpack writes `imgpack CLASS: …` for its own, which stand on those of the
/// base. Nothing is said of images by others.
fn classes(rows: &[Option<String>]) -> Vec<Option<Class>> {
    const OWN: [Class; 5] = [Class::System, Class::Deps, Class::Shared, Class::App, Class::Config];
    let own = |row: &Option<String>| {
        let (class, _) = row.as_deref()?.strip_prefix("imgpack ")?.split_once(": ")?;
        OWN.into_iter().find(|known| known.as_str() == class)
    };
    let found: Vec<Option<Class>> = rows.iter().map(own).collect();
    match found.iter().position(Option::is_some) {
        Some(first) => found
            .into_iter()
            .enumerate()
            .map(|(at, class)| if at < first { Some(Class::Base) } else { class })
            .collect(),
        None => found,
    }
}

fn settings(config: RawConfig) -> Settings {
    let RawConfig { created, config, .. } = config;
    let keys =
        |map: Option<BTreeMap<String, serde_json::Value>>| map.unwrap_or_default().into_keys().collect();
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    Settings {
        created: some(created),
        user: some(config.user),
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        workdir: some(config.working_dir),
        env: config.env.unwrap_or_default(),
        ports: keys(config.exposed_ports),
        volumes: keys(config.volumes),
        labels: config.labels.unwrap_or_default(),
        stop_signal: some(config.stop_signal),
        healthcheck: config.healthcheck.and_then(|check| check.test),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_that_imgpack_wrote() {
        let rows = |rows: &[&str]| rows.iter().map(|row| Some((*row).to_owned())).collect::<Vec<_>>();
        assert_eq!(
            classes(&rows(&["ADD rootfs.tar", "imgpack deps: wheels", "imgpack app: /app/x"])),
            [Some(Class::Base), Some(Class::Deps), Some(Class::App)]
        );
        assert_eq!(classes(&rows(&["RUN imgpack app: x", "imgpack static@1", "imgpack base: x"])), [None; 3]);
        assert_eq!(classes(&[None]), [None]);
    }
}
