//! Reports for tests.

use super::{ImageReport, LargestFile, LayerReport, Report};
use crate::model::{Class, Descriptor, DiffId, Digest, Layer, MediaType, Platform, Size};

/// A layer whose digest follows from its fields.
pub(super) fn layer(class: Class, title: &str, transfer: u64, unpacked: u64) -> LayerReport {
    let digest = Digest::of(format!("{class} {title} {transfer} {unpacked}").as_bytes());
    let descriptor = Descriptor {
        media_type: MediaType::OciLayerGzip,
        digest: crate::model::BlobDigest(digest),
        size: transfer,
    };
    LayerReport {
        class,
        title: title.to_owned(),
        layer: Layer { descriptor, diff_id: DiffId(digest), unpacked, entries: 3 },
    }
}

/// An image of `layers` whose largest files are its layers' titles.
pub(super) fn image(identity: &str, platform: Platform, layers: Vec<LayerReport>) -> ImageReport {
    let text = format!("{identity} {platform} {layers:?}");
    let document = |media_type, size| Descriptor { size, ..Descriptor::of(media_type, text.as_bytes()) };
    let config = document(MediaType::OciConfig, 1_234);
    let mut largest: Vec<LargestFile> = layers
        .iter()
        .filter(|layer| layer.title.starts_with('/'))
        .map(|layer| LargestFile {
            path: layer.title.parse().unwrap(),
            size: Size(layer.layer.unpacked),
            class: layer.class,
        })
        .collect();
    largest.sort_by_key(|file| std::cmp::Reverse(file.size));
    ImageReport {
        identity: identity.parse().unwrap(),
        platform,
        manifest: Descriptor {
            digest: crate::model::BlobDigest::of(format!("manifest {text}").as_bytes()),
            ..document(MediaType::OciManifest, 567)
        },
        config,
        unpacked: layers.iter().map(|layer| Size(layer.layer.unpacked)).sum(),
        layers,
        largest,
        foreign: None,
        previous: None,
    }
}

/// `core` for both platforms, first built and then built again with another binary for amd64.
pub(super) fn rebuilt_core() -> Report {
    let of = |platform, size: u64| {
        image(
            "core",
            platform,
            vec![
                layer(Class::Base, "static@1", 812_345, 2_123_456),
                layer(Class::App, "/app/core", size, size + 4_500_000),
                layer(Class::Config, "directories", 213, 0),
            ],
        )
    };
    let mut amd64 = of(Platform::AMD64, 3_112_345);
    amd64.previous = Some(of(Platform::AMD64, 3_100_000).remember());
    let mut arm64 = of(Platform::ARM64, 2_987_654);
    arm64.previous = Some(arm64.remember());
    Report::new(vec![arm64, amd64])
}
