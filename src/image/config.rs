use std::collections::HashMap;

use oci_spec::image::{Arch, ConfigBuilder, HistoryBuilder, ImageConfigurationBuilder, Os, RootFsBuilder};

use super::ImageError;
use super::json::canonical_json;
use crate::model::{Architecture, DiffId, Document, MediaType, Platform};
use crate::plan::ImageConfig;

/// A layer as a config names it.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigLayer {
    /// Digest of its tar.
    pub diff_id: DiffId,
    /// What made it, for `docker history`.
    pub created_by: String,
}

/// The config (image-spec, config.md). `created` is RFC 3339 and absent unless the caller was told a time. `Healthcheck` is
/// Docker's extension, which engines read from OCI configs too.
pub fn config_document(
    config: &ImageConfig,
    platform: Platform,
    layers: &[ConfigLayer],
    created: Option<&str>,
    docker: bool,
) -> Result<Document, ImageError> {
    let wrong =
        |source: Box<dyn std::error::Error + Send + Sync>| ImageError::Build { what: "config", source };
    let mut inner = ConfigBuilder::default().env(config.env.clone());
    if !config.user.is_empty() {
        inner = inner.user(config.user.clone());
    }
    if let Some(entrypoint) = &config.entrypoint {
        inner = inner.entrypoint(entrypoint.clone());
    }
    if let Some(cmd) = &config.cmd {
        inner = inner.cmd(cmd.clone());
    }
    if let Some(workdir) = &config.workdir {
        inner = inner.working_dir(workdir.clone());
    }
    if let Some(signal) = &config.stop_signal {
        inner = inner.stop_signal(signal.clone());
    }
    if !config.ports.is_empty() {
        inner = inner.exposed_ports(config.ports.iter().cloned().collect::<Vec<_>>());
    }
    if !config.volumes.is_empty() {
        inner = inner.volumes(config.volumes.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
    if !config.labels.is_empty() {
        inner = inner.labels(config.labels.clone().into_iter().collect::<HashMap<_, _>>());
    }
    let inner = inner.build().map_err(|error| wrong(error.into()))?;

    let history = layers
        .iter()
        .map(|layer| {
            let mut row = HistoryBuilder::default().created_by(layer.created_by.clone());
            if let Some(created) = created {
                row = row.created(created);
            }
            row.build().map_err(|error| wrong(error.into()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let root = RootFsBuilder::default()
        .typ("layers")
        .diff_ids(layers.iter().map(|layer| layer.diff_id.to_string()).collect::<Vec<_>>())
        .build()
        .map_err(|error| wrong(error.into()))?;
    let architecture = match platform.architecture {
        Architecture::Amd64 => Arch::Amd64,
        Architecture::Arm64 => Arch::ARM64,
    };
    let mut whole = ImageConfigurationBuilder::default()
        .architecture(architecture)
        .os(Os::Linux)
        .config(inner)
        .rootfs(root)
        .history(history);
    if let Some(created) = created {
        whole = whole.created(created);
    }
    let whole = whole.build().map_err(|error| wrong(error.into()))?;
    let mut value = serde_json::to_value(whole).map_err(|error| wrong(error.into()))?;
    if let (Some(check), Some(inner)) =
        (&config.healthcheck, value.get_mut("config").and_then(serde_json::Value::as_object_mut))
    {
        inner.insert("Healthcheck".to_owned(), check.clone());
    }
    let bytes = canonical_json(&value);
    let media_type = if docker { MediaType::DockerConfig } else { MediaType::OciConfig };
    Ok(Document::new(media_type, bytes))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::model::Owner;

    fn sample() -> ImageConfig {
        ImageConfig {
            user: "65532:65532".into(),
            owner: Owner { uid: 65532, gid: 65532 },
            env: vec!["B=2".into(), "A=1".into()],
            entrypoint: Some(vec!["/app/x".into()]),
            cmd: None,
            workdir: Some("/app".into()),
            ports: BTreeSet::from(["8000/tcp".into(), "53/udp".into()]),
            volumes: BTreeSet::from(["/data".parse().unwrap(), "/cache".parse().unwrap()]),
            labels: ('a'..='m').map(|key| (key.to_string(), String::new())).collect(),
            annotations: BTreeMap::new(),
            stop_signal: Some("SIGTERM".into()),
            healthcheck: Some(
                serde_json::json!({"Test": ["CMD", "/app/x", "-check"], "Interval": 10_000_000_000_u64}),
            ),
        }
    }

    #[test]
    fn the_config_is_the_same_bytes_every_time() {
        let layers = [ConfigLayer { diff_id: DiffId::of(b"tar"), created_by: "imgpack: app".into() }];
        let make = || {
            config_document(&sample(), Platform::ARM64, &layers, Some("2024-01-02T03:04:05Z"), false)
                .unwrap()
                .bytes
        };
        let text = String::from_utf8(make().to_vec()).unwrap();
        assert_eq!(
            text,
            "{\"architecture\":\"arm64\",\"config\":{\"Entrypoint\":[\"/app/x\"],\"Env\":[\"B=2\",\"A=1\"],\
             \"ExposedPorts\":{\"53/udp\":{},\"8000/tcp\":{}},\"Healthcheck\":{\"Interval\":10000000000,\
             \"Test\":[\"CMD\",\"/app/x\",\"-check\"]},\"Labels\":{\"a\":\"\",\"b\":\"\",\"c\":\"\",\"d\":\"\",\"e\":\"\",\
             \"f\":\"\",\"g\":\"\",\"h\":\"\",\"i\":\"\",\"j\":\"\",\"k\":\"\",\"l\":\"\",\"m\":\"\"},\
             \"StopSignal\":\"SIGTERM\",\"User\":\"65532:65532\",\"Volumes\":{\"/cache\":{},\"/data\":{}},\
             \"WorkingDir\":\"/app\"},\"created\":\"2024-01-02T03:04:05Z\",\"history\":[{\"created\":\
             \"2024-01-02T03:04:05Z\",\"created_by\":\"imgpack: app\"}],\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[\
             \"sha256:8d1bdd4c6a1a1c6a0c2e5f1f\"],\"type\":\"layers\"}}"
                .replace("sha256:8d1bdd4c6a1a1c6a0c2e5f1f", &DiffId::of(b"tar").to_string())
        );
        assert!((0..20).all(|_| *make() == *text.as_bytes()));
    }
}
