use serde::Serialize;

use super::change::{Delta, LayerChange, PreviousLayer};
use super::image::{ForeignFiles, ImageReport, LargestFile};
use super::{Report, Totals};
use crate::model::{BlobDigest, Class, Descriptor, DiffId, MediaType, Platform, Size};

/// Version of the shape of the JSON report. Fields may be added to a version, never changed or removed.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: u32,
    unit: &'static str,
    images: Vec<Image<'a>>,
    totals: Totals,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Image<'a> {
    identity: String,
    platform: Platform,
    manifest: Descriptor,
    config: Descriptor,
    transfer: Size,
    unpacked: Size,
    layers_unpacked: Size,
    change: Changes<'a>,
    classes: Vec<ClassRow>,
    layers: Vec<LayerRow<'a>>,
    largest_files: &'a [LargestFile],
    #[serde(skip_serializing_if = "Option::is_none")]
    foreign_files: Option<&'a ForeignFiles>,
}

#[derive(Serialize)]
struct ClassRow {
    class: Class,
    layers: usize,
    transfer: Size,
    unpacked: Size,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LayerRow<'a> {
    index: usize,
    class: Class,
    title: &'a str,
    media_type: MediaType,
    digest: BlobDigest,
    #[serde(rename = "diffID")]
    diff_id: DiffId,
    transfer: Size,
    unpacked: Size,
    entries: u64,
    change: &'static str,
}

#[derive(Serialize)]
struct Changes<'a> {
    state: &'static str,
    #[serde(flatten)]
    against: Option<Against<'a>>,
}

#[derive(Serialize)]
struct Against<'a> {
    transfer: DeltaRow,
    unpacked: DeltaRow,
    classes: Vec<ClassDelta>,
    removed: Vec<RemovedRow<'a>>,
}

#[derive(Serialize)]
struct DeltaRow {
    from: Size,
    to: Size,
    by: i64,
}

#[derive(Serialize)]
struct ClassDelta {
    class: Class,
    #[serde(flatten)]
    transfer: DeltaRow,
}

#[derive(Serialize)]
struct RemovedRow<'a> {
    class: Class,
    title: &'a str,
    digest: BlobDigest,
    transfer: Size,
    unpacked: Size,
}

pub(super) fn render(report: &Report) -> String {
    let images = report.images();
    let removed: Vec<Vec<PreviousLayer>> =
        images.iter().map(|image| image.change().map(|change| change.removed).unwrap_or_default()).collect();
    let document = Document {
        schema_version: SCHEMA_VERSION,
        unit: "bytes",
        images: images.iter().zip(&removed).map(|(image, removed)| image_row(image, removed)).collect(),
        totals: report.totals(),
    };
    // Writing plain structs to memory cannot fail; were it to, an empty text is no JSON and is noticed.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn image_row<'a>(image: &'a ImageReport, removed: &'a [PreviousLayer]) -> Image<'a> {
    let change = image.change();
    let word = |index: usize| match change.as_ref().and_then(|change| change.layers.get(index)) {
        None | Some(LayerChange::New) => "new",
        Some(LayerChange::Reused) => "reused",
        Some(LayerChange::Changed(_)) => "changed",
    };
    let layers = image.layers.iter().enumerate().map(|(index, layer)| LayerRow {
        index,
        class: layer.class,
        title: &layer.title,
        media_type: layer.layer.descriptor.media_type,
        digest: layer.layer.descriptor.digest,
        diff_id: layer.layer.diff_id,
        transfer: Size(layer.layer.descriptor.size),
        unpacked: Size(layer.layer.unpacked),
        entries: layer.layer.entries,
        change: word(index),
    });
    let against = change.as_ref().map(|change| Against {
        transfer: delta(change.transfer),
        unpacked: delta(change.unpacked),
        classes: change
            .classes
            .iter()
            .map(|(class, transfer)| ClassDelta { class: *class, transfer: delta(*transfer) })
            .collect(),
        removed: removed
            .iter()
            .map(|layer| RemovedRow {
                class: layer.class,
                title: &layer.title,
                digest: layer.digest,
                transfer: layer.transfer,
                unpacked: layer.unpacked,
            })
            .collect(),
    });
    Image {
        identity: image.identity.to_string(),
        platform: image.platform,
        manifest: image.manifest,
        config: image.config,
        transfer: image.transfer(),
        unpacked: image.unpacked,
        layers_unpacked: image.layers_unpacked(),
        change: Changes {
            state: match &change {
                None => "first",
                Some(change) if change.is_changed => "changed",
                Some(_) => "unchanged",
            },
            against,
        },
        classes: image
            .classes()
            .into_iter()
            .map(|(class, row)| ClassRow {
                class,
                layers: row.layers,
                transfer: row.transfer,
                unpacked: row.unpacked,
            })
            .collect(),
        layers: layers.collect(),
        largest_files: &image.largest,
        foreign_files: image.foreign.as_ref(),
    }
}

fn delta(delta: Delta) -> DeltaRow {
    DeltaRow { from: delta.from, to: delta.to, by: delta.bytes() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::report::sample;

    #[test]
    fn the_document_has_its_shape_and_exact_bytes() {
        let text = sample::rebuilt_core().json();
        assert!(text.ends_with("}\n"));
        let value: Value = serde_json::from_str(&text).unwrap();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&value), ["images", "schemaVersion", "totals", "unit"]);
        assert_eq!(value["schemaVersion"], 1);
        assert_eq!(value["unit"], "bytes");
        let image = &value["images"][0];
        assert_eq!(
            keys(image),
            [
                "change",
                "classes",
                "config",
                "identity",
                "largestFiles",
                "layers",
                "layersUnpacked",
                "manifest",
                "platform",
                "transfer",
                "unpacked"
            ]
        );
        assert_eq!(image["identity"], "core");
        assert_eq!(image["platform"], "linux/amd64");
        assert_eq!(image["change"]["state"], "changed");
        let sum: u64 =
            image["layers"].as_array().unwrap().iter().map(|row| row["transfer"].as_u64().unwrap()).sum();
        let documents =
            image["config"]["size"].as_u64().unwrap() + image["manifest"]["size"].as_u64().unwrap();
        assert_eq!(image["transfer"], sum + documents);
        let layer = &image["layers"][1];
        assert_eq!(
            keys(layer),
            [
                "change",
                "class",
                "diffID",
                "digest",
                "entries",
                "index",
                "mediaType",
                "title",
                "transfer",
                "unpacked"
            ]
        );
        assert_eq!(
            (&layer["class"], &layer["change"], &layer["index"]),
            (&json!("app"), &json!("changed"), &json!(1))
        );
        assert_eq!(
            image["change"]["classes"][1],
            json!({ "class": "app", "from": 3_100_000, "to": 3_112_345, "by": 12_345 })
        );
        assert_eq!(
            image["largestFiles"][0],
            json!({ "path": "/app/core", "size": 7_612_345, "class": "app" })
        );
        assert_eq!(keys(&value["totals"]), ["distinct", "images", "shared", "transfer"]);
    }

    #[test]
    fn order_of_the_images_does_not_matter() {
        let report = sample::rebuilt_core();
        let mut images = report.images().to_vec();
        images.reverse();
        assert_eq!(Report::new(images).json(), report.json());
    }

    #[test]
    fn a_first_build_has_nothing_to_compare_with() {
        let mut images = sample::rebuilt_core().images().to_vec();
        images[0].previous = None;
        let value: Value = serde_json::from_str(&Report::new(images).json()).unwrap();
        assert_eq!(value["images"][0]["change"], json!({ "state": "first" }));
        assert_eq!(value["images"][0]["layers"][0]["change"], "new");
    }
}
