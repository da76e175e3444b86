//! `imgpack inspect`

use std::fmt::Write as _;
use std::io::Write as _;

use clap::Args;

use super::args::Format;
use super::failure::Exit;
use super::progress::Mode;
use super::run::{Settings, print};
use crate::model::{BlobDigest, MediaType, RawPlatform, Size};
use crate::ops::error::Error;
use crate::ops::inspect::{self, InspectedLayer, Inspection, Manifest, Referrer, inspect};
use crate::ops::place::Source;
use crate::report::column::{cut, left, right, shorten};

/// Columns of the text.
const WIDTH: usize = 80;
/// Columns of the names on the left.
const NAME: usize = 12;

/// `inspect`
#[derive(Debug, Args)]
pub(super) struct InspectArguments {
    /// What to look at: a reference, oci:DIR[:NAME], oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME]
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Only the image for this platform, like linux/arm64
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<RawPlatform>,

    /// Form of the answer
    #[arg(long, value_name = "FORM", default_value = "text")]
    format: Format,

    /// Print the index or manifest, byte for byte, and nothing else
    #[arg(long, conflicts_with = "format")]
    raw: bool,
}

/// Shows an image without its layers.
pub(super) fn run(settings: &Settings, arguments: &InspectArguments) -> Result<Exit, Vec<Error>> {
    inspected(settings, arguments).map_err(|error| vec![error])
}

fn inspected(settings: &Settings, arguments: &InspectArguments) -> Result<Exit, Error> {
    let source = Source::parse(&arguments.image)?;
    let platform = arguments.platform.as_ref();
    settings.use_workspace_around()?;
    settings.with_machine(".".into(), None, Mode::Quiet, |machine| {
        if arguments.raw {
            let bytes = inspect::raw(machine, &source, platform)?;
            return exactly(&bytes);
        }
        let found = inspect(machine, &source, platform)?;
        match arguments.format {
            Format::Text => print(&text(&found)),
            Format::Json => {
                let json =
                    serde_json::to_string_pretty(&found).map_err(|error| Error::bug(error.to_string()))?;
                print(&format!("{json}\n"))
            }
        }
    })?;
    Ok(Exit::Done)
}

fn exactly(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(crate::system::IoError { action: "write to", path: "stdout".into(), source: error }.into())
        }
        _ => Ok(()),
    }
}

/// A line of a name and what it is; no control character of an image reaches a terminal.
fn line(text: &mut String, name: &str, value: &str) {
    let room = WIDTH - 2 - NAME;
    let _ = writeln!(text, "  {}{}", left(name, NAME), cut(value, room));
}

/// Several lines under one name.
fn lines(text: &mut String, name: &str, values: impl IntoIterator<Item = String>) {
    for (index, value) in values.into_iter().enumerate() {
        line(text, if index == 0 { name } else { "" }, &value);
    }
}

fn text(found: &Inspection) -> String {
    let mut text = format!("{}\n", cut(&found.reference, usize::MAX));
    let root = &found.root;
    let _ = writeln!(text, "  {}", root.digest);
    let made = if found.made { ", made for this: the archive has none" } else { "" };
    line(&mut text, "type", &format!("{}, {}{made}", kind(&root.media_type), Size(root.size)));
    if let Some(artifact) = &root.artifact_type {
        line(&mut text, "artifact", artifact);
    }
    lines(&mut text, "annotations", pairs(&root.annotations));
    let images: Vec<&Manifest> =
        found.manifests.iter().filter(|manifest| manifest.statement_about.is_none()).collect();
    for (index, manifest) in images.iter().enumerate() {
        image(&mut text, found, manifest, &images[..index]);
    }
    let statements = found.manifests.iter().filter(|manifest| manifest.statement_about.is_some());
    let rows: Vec<String> = statements
        .map(|manifest| {
            let about = manifest.statement_about.as_deref().unwrap_or_default();
            format!(
                "  {}  {}{}",
                right(&Size(manifest.transfer).to_string(), 9),
                short(&manifest.document.digest),
                about.parse().map_or(String::new(), |digest: BlobDigest| about_what(found, &digest)),
            )
        })
        .collect();
    if !rows.is_empty() {
        let _ = writeln!(text, "\nstatements in the index\n{}", rows.join("\n"));
    }
    if !found.referrers.is_empty() {
        text.push_str("\nreferrers\n");
        for row in &found.referrers {
            referrer(&mut text, found, row);
        }
    }
    text
}

fn referrer(text: &mut String, found: &Inspection, row: &Referrer) {
    let what = row.manifest.artifact_type.as_deref().unwrap_or("of no type");
    let about = about_what(found, &row.subject);
    let room = WIDTH - 2 - 9 - 2 - 12 - 2 - about.chars().count();
    let _ = writeln!(
        text,
        "  {}  {}  {}{about}",
        right(&Size(row.manifest.size).to_string(), 9),
        short(&row.manifest.digest),
        shorten(what, room.max(20)),
    );
}

/// ` for linux/amd64`, where something is said of one of several.
fn about_what(found: &Inspection, digest: &BlobDigest) -> String {
    let manifest = found.manifests.iter().find(|manifest| manifest.document.digest == *digest);
    match manifest.and_then(|manifest| manifest.platform.as_ref()) {
        Some(platform) if *digest != found.root.digest => format!("  for {}", cut(&platform.to_string(), 24)),
        _ => String::new(),
    }
}

fn short(digest: &BlobDigest) -> String {
    digest.hex().chars().take(12).collect()
}

fn image(text: &mut String, found: &Inspection, manifest: &Manifest, before: &[&Manifest]) {
    let alone = manifest.document.digest == found.root.digest;
    let name = match (&manifest.platform, &manifest.document.artifact_type) {
        (Some(platform), _) => platform.to_string(),
        (None, Some(_)) if alone => "artifact".to_owned(),
        (None, Some(artifact)) => artifact.clone(),
        (None, None) => "no platform".to_owned(),
    };
    let count = manifest.layers.len();
    let plural = if count == 1 { "" } else { "s" };
    let _ = writeln!(text, "\n{}  {} in {count} layer{plural}", cut(&name, 48), Size(manifest.transfer));
    if !alone {
        let _ = writeln!(text, "  {}", manifest.document.digest);
        // What the root says is not said twice.
        let own = &manifest.document.annotations;
        if *own != found.root.annotations && before.iter().all(|other| other.document.annotations != *own) {
            lines(text, "annotations", pairs(own));
        }
    }
    if let Some(settings) = &manifest.settings {
        match before.iter().find(|other| other.settings.as_ref() == Some(settings)) {
            Some(other) => {
                let other = other.platform.as_ref().map(ToString::to_string).unwrap_or_default();
                line(text, "settings", &format!("those of {other}"));
            }
            None => settings_text(text, settings),
        }
    }
    for layer in &manifest.layers {
        layer_text(text, layer);
    }
}

fn settings_text(text: &mut String, settings: &inspect::Settings) {
    let words = |words: &[String]| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    for (name, value) in [
        ("entrypoint", settings.entrypoint.as_deref().map(words)),
        ("cmd", settings.cmd.as_deref().map(words)),
        ("user", settings.user.clone()),
        ("workdir", settings.workdir.clone()),
        ("ports", Some(settings.ports.join(", "))),
        ("volumes", Some(settings.volumes.join(", "))),
        ("signal", settings.stop_signal.clone()),
        ("health", settings.healthcheck.as_deref().map(words)),
        ("created", settings.created.clone()),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            line(text, name, &value);
        }
    }
    lines(text, "env", settings.env.iter().cloned());
    lines(text, "labels", pairs(&settings.labels));
}

fn layer_text(text: &mut String, layer: &InspectedLayer) {
    let made = layer.created_by.as_deref().unwrap_or_default();
    let class = layer.class.map_or("", crate::model::Class::as_str);
    let own = [format!("imgpack {class}: "), "imgpack ".to_owned()];
    let made =
        own.iter().filter(|_| !class.is_empty()).find_map(|own| made.strip_prefix(own)).unwrap_or(made);
    let title = layer.blob.annotations.get("org.opencontainers.image.title").map(String::as_str);
    // Of gzip layers, the usual, nothing is said.
    let usual =
        MediaType::parse(&layer.blob.media_type).is_some_and(|kind| kind.to_oci() == MediaType::OciLayerGzip);
    let kind = if usual { String::new() } else { kind(&layer.blob.media_type) };
    let words = [title.unwrap_or_default(), &kind, made];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let what = words.join("  ");
    let _ = writeln!(
        text,
        "  {}{}  {}  {}",
        left(if class.is_empty() { "layer" } else { class }, NAME - 5),
        right(&Size(layer.blob.size).to_string(), 9),
        short(&layer.blob.digest),
        cut(&what, WIDTH - 2 - (NAME - 5) - 9 - 2 - 12 - 2),
    );
    // A line ends where its words end.
    text.truncate(text.trim_end().len());
    text.push('\n');
}

/// `a b` with quotes where a word has spaces or none at all.
fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains(char::is_whitespace) { format!("'{word}'") } else { word.to_owned() }
}

fn pairs(map: &std::collections::BTreeMap<String, String>) -> impl Iterator<Item = String> {
    map.iter().map(|(key, value)| format!("{key}={value}"))
}

/// What people call a media type.
fn kind(media_type: &str) -> String {
    match MediaType::parse(media_type) {
        Some(MediaType::OciIndex) => "OCI index".to_owned(),
        Some(MediaType::OciManifest) => "OCI manifest".to_owned(),
        Some(MediaType::DockerIndex) => "Docker manifest list".to_owned(),
        Some(MediaType::DockerManifest) => "Docker manifest".to_owned(),
        Some(MediaType::OciLayerTar | MediaType::DockerLayerTar) => "not compressed".to_owned(),
        Some(MediaType::OciLayerZstd) => "zstd".to_owned(),
        _ => media_type.to_owned(),
    }
}
