mod block;
mod group;
mod summary;

use std::fmt::Write as _;

use super::Report;
use super::change::Delta;
use crate::model::Size;

/// How much of each image a text report shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// Tables for a few images, rows for many; of several images the unchanged ones have a row only.
    #[default]
    Auto,
    /// A table of the layers of every image.
    Full,
    /// A few rows for every image.
    Rows,
}

/// How a text report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns of a line; less than 60 are taken as 60.
    pub width: usize,
    /// How much of each image is shown.
    pub detail: Detail,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { width: 80, detail: Detail::Auto }
    }
}

/// More images than these get rows instead of tables.
const TABLES: usize = 4;

pub(super) fn render(report: &Report, options: &TextOptions) -> String {
    let width = options.width.max(60);
    let groups = group::by_identity(report.images());
    let single = groups.len() == 1;
    let tables = match options.detail {
        Detail::Full => true,
        Detail::Rows => false,
        Detail::Auto => groups.len() <= TABLES,
    };
    let mut text = String::new();
    if tables {
        for group in &groups {
            if single || options.detail == Detail::Full || group.is_news() {
                block::render(&mut text, group, width);
                text.push('\n');
            }
        }
    }
    if !single {
        summary::render(&mut text, &groups, !tables, width);
        summary::totals(&mut text, report, width);
    }
    while text.ends_with("\n\n") {
        text.pop();
    }
    text
}

/// `+12.3 kB`, `-1.0 MB`, `+0 B`.
fn signed(delta: Delta) -> String {
    let bytes = delta.bytes();
    format!("{}{}", if bytes < 0 { '-' } else { '+' }, Size(bytes.unsigned_abs()))
}

/// `+1.25 %`; empty where nothing was there before or nothing changed.
fn percent(delta: Delta) -> String {
    let bytes = delta.bytes();
    if bytes == 0 || delta.from.0 == 0 {
        return String::new();
    }
    let sign = if bytes < 0 { '-' } else { '+' };
    let hundredths = u128::from(bytes.unsigned_abs()) * 10_000;
    let hundredths = (hundredths + u128::from(delta.from.0) / 2) / u128::from(delta.from.0);
    match hundredths {
        0 => format!("{sign}<0.01 %"),
        1..10_000 => format!("{sign}{}.{:02} %", hundredths / 100, hundredths % 100),
        _ => format!("{sign}{} %", hundredths / 100),
    }
}

/// One line without the spaces at its end.
fn line(text: &mut String, content: &str) {
    let _ = writeln!(text, "{}", content.trim_end());
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests;
