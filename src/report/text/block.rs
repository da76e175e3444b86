use super::group::{Group, Part};
use super::{line, percent, plural, signed};
use crate::model::{Class, Size};
use crate::report::change::{Change, LayerChange};
use crate::report::column::{left, right, shorten, width as columns};
use crate::report::image::LayerReport;

const CLASS: usize = 8;
const NUMBER: usize = 10;
const CHANGE: usize = 12;
/// Layers of one class that have a row each; of more the largest, and one row for the others.
const ROWS: usize = 8;

/// A table of the layers of every platform of an identity.
pub(super) fn render(text: &mut String, group: &Group<'_>, width: usize) {
    for (index, part) in group.parts.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        Table { width, part, first: (index > 0).then(|| &group.parts[0]) }.render(text, &group.identity);
    }
}

struct Table<'a> {
    width: usize,
    part: &'a Part<'a>,
    /// The part that was shown before this one.
    first: Option<&'a Part<'a>>,
}

struct Row {
    class: String,
    title: String,
    transfer: Option<Size>,
    unpacked: Option<Size>,
    change: String,
}

impl Table<'_> {
    fn render(&self, text: &mut String, identity: &str) {
        let room = self.width - 2 * NUMBER - CHANGE;
        let platforms = self.part.platforms();
        let name = left(identity, room.saturating_sub(platforms.len() + 2)).trim_end().to_owned();
        line(
            text,
            &format!(
                "{}{}{}{}",
                left(&format!("{name}  {platforms}"), room),
                right("TRANSFER", NUMBER),
                right("UNPACKED", NUMBER),
                right(if self.part.change.is_some() { "CHANGE" } else { "" }, CHANGE)
            ),
        );
        for row in self.rows() {
            self.row(text, &row);
        }
        let (merged, layers) = (self.part.image.unpacked, self.part.image.layers_unpacked());
        if layers > merged {
            let hidden = Size(layers.0 - merged.0);
            let indent = 2 + CLASS;
            line(text, &format!("{:indent$}layers unpack to {layers}; {hidden} of it later layers hide", ""));
        }
        self.files(text);
        self.foreign(text);
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let shown: Vec<&LayerReport> = self.first.iter().flat_map(|part| &part.image.layers).collect();
        let (same, own): (Vec<_>, Vec<_>) = self.part.layers().partition(|(layer, _)| shown.contains(layer));
        // One layer that was shown has a row as well as its mention would.
        let (same, own) = if same.len() > 1 { (same, own) } else { (vec![], self.part.layers().collect()) };
        if let Some(first) = self.first.filter(|_| !same.is_empty()) {
            let mut classes: Vec<&str> = same.iter().map(|(layer, _)| layer.class.as_str()).collect();
            classes.dedup();
            rows.push(Row {
                class: String::new(),
                title: format!("as {}: {}", first.platforms(), classes.join(", ")),
                ..sum(&same)
            });
        }
        let mut rest = own.as_slice();
        while let Some((layer, _)) = rest.first() {
            let count = rest.iter().take_while(|(other, _)| other.class == layer.class).count();
            let (class, others) = rest.split_at(count);
            rows.extend(class_rows(layer.class, class));
            rest = others;
        }
        for layer in self.part.change.iter().flat_map(|change| &change.removed) {
            rows.push(Row {
                class: layer.class.to_string(),
                title: format!("{} (gone)", layer.title),
                transfer: None,
                unpacked: None,
                change: format!("-{}", layer.transfer),
            });
        }
        rows.push(Row {
            class: String::new(),
            title: "config and manifest".into(),
            transfer: Some(Size(self.part.image.config.size + self.part.image.manifest.size)),
            unpacked: None,
            change: String::new(),
        });
        rows.push(self.total());
        rows
    }

    fn total(&self) -> Row {
        let image = self.part.image;
        let mut title = plural(image.layers.len(), "layer");
        let change = match &self.part.change {
            None => "first build".to_owned(),
            Some(Change { is_changed: false, .. }) => "unchanged".to_owned(),
            Some(change) if change.transfer.bytes() == 0 => "changed".to_owned(),
            Some(change) => {
                let percent = percent(change.transfer);
                if !percent.is_empty() {
                    title = format!("{title}, {percent}");
                }
                signed(change.transfer)
            }
        };
        Row {
            class: "total".into(),
            title,
            transfer: Some(image.transfer()),
            unpacked: Some(image.unpacked),
            change,
        }
    }

    fn files(&self, text: &mut String) {
        if self.part.image.largest.is_empty() {
            return;
        }
        line(text, "  largest files");
        for file in &self.part.image.largest {
            self.row(
                text,
                &Row {
                    class: file.class.to_string(),
                    title: file.path.to_string(),
                    transfer: None,
                    unpacked: Some(file.size),
                    change: String::new(),
                },
            );
        }
    }

    /// What could be left out.
    fn foreign(&self, text: &mut String) {
        let Some(foreign) = &self.part.image.foreign else { return };
        let row = format!("  for other platforms: {}, {}: ", plural(foreign.files, "file"), foreign.unpacked);
        let room = self.width.saturating_sub(columns(&row));
        line(text, &format!("{row}{}", shorten(foreign.largest.as_str(), room)));
    }

    fn row(&self, text: &mut String, row: &Row) {
        let room = self.width - 2 - CLASS - 2 * NUMBER - CHANGE;
        let size = |size: Option<Size>| right(&size.map(|size| size.to_string()).unwrap_or_default(), NUMBER);
        line(
            text,
            &format!(
                "  {}{}{}{}{}",
                left(&row.class, CLASS),
                left(&row.title, room),
                size(row.transfer),
                size(row.unpacked),
                right(&row.change, CHANGE)
            ),
        );
    }
}

type Layers<'a> = [(&'a LayerReport, Option<LayerChange>)];

fn class_rows(class: Class, layers: &Layers<'_>) -> Vec<Row> {
    let name = class.to_string();
    let titled = |title: String, rows: &Layers<'_>| Row { class: name.clone(), title, ..sum(rows) };
    // A base's layers are one thing to the one who named the base.
    let title = &layers.first().map(|(layer, _)| layer.title.clone()).unwrap_or_default();
    if class == Class::Base && layers.len() > 1 && layers.iter().all(|(layer, _)| layer.title == *title) {
        return vec![titled(format!("{title} ({} layers)", layers.len()), layers)];
    }
    let mut shown: Vec<usize> = (0..layers.len()).collect();
    if layers.len() > ROWS {
        shown.sort_by_key(|&index| (std::cmp::Reverse(layers[index].0.layer.descriptor.size), index));
        shown.truncate(ROWS - 1);
        shown.sort_unstable();
    }
    let mut rows: Vec<Row> =
        shown.iter().map(|&index| titled(layers[index].0.title.clone(), &layers[index..=index])).collect();
    if shown.len() < layers.len() {
        let others: Vec<_> =
            (0..layers.len()).filter(|index| !shown.contains(index)).map(|index| layers[index]).collect();
        rows.push(titled(format!("{} more layers", others.len()), &others));
    }
    rows
}

/// A row without words for the sum of layers.
fn sum(layers: &Layers<'_>) -> Row {
    let mut bytes = 0_i128;
    let mut words = Vec::new();
    for (layer, change) in layers {
        let size = i128::from(layer.layer.descriptor.size);
        match change {
            None => {}
            Some(LayerChange::Reused) => words.push("reused"),
            Some(LayerChange::New) => {
                words.push("new");
                bytes += size;
            }
            Some(LayerChange::Changed(delta)) => {
                words.push("changed");
                bytes += i128::from(delta.bytes());
            }
        }
    }
    words.sort_unstable();
    words.dedup();
    let change = match words.as_slice() {
        [] => String::new(),
        [word @ ("reused" | "new")] => (*word).to_owned(),
        _ if bytes == 0 => "changed".to_owned(),
        _ => {
            let size = Size(u64::try_from(bytes.unsigned_abs()).unwrap_or(u64::MAX));
            format!("{}{size}", if bytes < 0 { '-' } else { '+' })
        }
    };
    Row {
        class: String::new(),
        title: String::new(),
        transfer: Some(layers.iter().map(|(layer, _)| Size(layer.layer.descriptor.size)).sum()),
        unpacked: Some(layers.iter().map(|(layer, _)| Size(layer.layer.unpacked)).sum()),
        change,
    }
}
