use super::group::{Group, Part};
use super::{line, percent, plural, signed};
use crate::model::Size;
use crate::report::Report;
use crate::report::change::Change;
use crate::report::column::{cut, left, right, shorten, width as columns};

const NUMBER: usize = 10;
const CHANGE: usize = 12;
const PERCENT: usize = 10;

/// One row per image and platform; with `details` also its classes and its largest file.
pub(super) fn render(text: &mut String, groups: &[Group<'_>], details: bool, width: usize) {
    let parts = || groups.iter().flat_map(|group| &group.parts);
    let platform = parts().map(|part| platforms(part).len()).max().unwrap_or(0).max("PLATFORM".len());
    let percents =
        parts().any(|part| part.change.as_ref().is_some_and(|change| !percent(change.transfer).is_empty()));
    let percent_room = if percents { PERCENT } else { 0 };
    let room = width.saturating_sub(2 + platform + 2 * NUMBER + CHANGE + percent_room);
    let row = |text: &mut String, cells: [&str; 6]| {
        line(
            text,
            &format!(
                "{}  {}{}{}{}{}",
                left(cells[0], room),
                left(cells[1], platform),
                right(cells[2], NUMBER),
                right(cells[3], NUMBER),
                right(cells[4], CHANGE),
                right(cells[5], percent_room)
            ),
        );
    };
    row(text, ["IMAGE", "PLATFORM", "TRANSFER", "UNPACKED", "CHANGE", ""]);
    // A name that does not fit is shortened where that leaves it unlike all others, else it has a line of its own.
    let names: Vec<String> = groups.iter().map(|group| shorten(&group.identity, room)).collect();
    let unlike = |name: &str| names.iter().filter(|other| *other == name).count() == 1;
    for (group, name) in groups.iter().zip(&names) {
        if !unlike(name) {
            line(text, &shorten(&group.identity, width));
        }
        for (index, part) in group.parts.iter().enumerate() {
            let (change, percent) = match &part.change {
                None => ("first build".to_owned(), String::new()),
                Some(Change { is_changed: false, .. }) => ("unchanged".to_owned(), String::new()),
                Some(change) if change.transfer.bytes() == 0 => ("changed".to_owned(), String::new()),
                Some(change) => (signed(change.transfer), percent(change.transfer)),
            };
            let (transfer, unpacked) = (part.image.transfer().to_string(), part.image.unpacked.to_string());
            let name = if index == 0 && unlike(name) { name.as_str() } else { "" };
            row(text, [name, &platforms(part), &transfer, &unpacked, &change, &percent]);
            if details && part.change.as_ref().is_none_or(|change| change.is_changed) {
                classes(text, part, width);
            }
        }
    }
}

/// What the images weigh together, and what they share.
pub(super) fn totals(text: &mut String, report: &Report, width: usize) {
    let totals = report.totals();
    let row = |text: &mut String, label: &str, size: Size| {
        line(text, &cut(&format!("{}{}", left(label, 44), right(&size.to_string(), NUMBER)), width));
    };
    text.push('\n');
    row(text, &format!("{} fetched one by one", plural(totals.images, "image")), totals.transfer);
    row(text, "every blob once, as a registry stores them", totals.distinct);
    if totals.shared.0 > 0 {
        row(text, "of these in more than one image", totals.shared);
    }
}

fn platforms(part: &Part<'_>) -> String {
    match part.platforms.as_slice() {
        [one] => one.clone(),
        // The system is always linux.
        several => several
            .iter()
            .map(|platform| platform.rsplit('/').next().unwrap_or(platform))
            .collect::<Vec<_>>()
            .join("+"),
    }
}

/// `base 0.8 MB / 2.1 MB, app …`: transfer and unpacked size of each class, and the largest file.
fn classes(text: &mut String, part: &Part<'_>, width: usize) {
    let mut pieces: Vec<String> = part
        .image
        .classes()
        .into_iter()
        .map(|(class, sum)| {
            let delta = part.change.as_ref().and_then(|change| change.classes.get(&class).copied());
            match delta.filter(|delta| delta.bytes() != 0) {
                Some(delta) => format!("{class} {} / {} ({})", sum.transfer, sum.unpacked, signed(delta)),
                None => format!("{class} {} / {}", sum.transfer, sum.unpacked),
            }
        })
        .collect();
    if let Some(file) = part.image.largest.first() {
        let room = (width - 4).saturating_sub(columns("largest  ") + columns(&file.size.to_string()) + 1);
        pieces.push(format!("largest {} {}", shorten(file.path.as_str(), room), file.size));
    }
    let mut row = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        let comma = if index + 1 < pieces.len() { "," } else { "" };
        if !row.is_empty() && columns(&row) + columns(piece) + 2 > width {
            line(text, &row);
            row.clear();
        }
        row.push_str(if row.is_empty() { "    " } else { " " });
        row.push_str(piece);
        row.push_str(comma);
    }
    if !row.is_empty() {
        line(text, &row);
    }
}
