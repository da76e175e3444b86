//! `imgpack outdated`: arguments → one call of `ops::outdated` → a table or JSON.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::args::Format;
use super::failure::{self, Exit, Tails};
use super::progress::Mode;
use super::run::{Settings, print};
use crate::lock::{LOCK_FILE, short};
use crate::ops::error::Error;
use crate::ops::outdated::{Now, Standing, outdated};

/// `outdated`
#[derive(Debug, Args)]
pub(super) struct OutdatedArguments {
    /// Form of the answer
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(super) format: Format,
}

pub(super) fn run(settings: &Settings, arguments: &OutdatedArguments) -> Result<Exit, Vec<Error>> {
    let one = |error: Error| vec![error];
    let root = settings.root().map_err(one)?;
    let workspace = Settings::load(&root, &[]).map_err(one)?;
    settings.use_workspace(&workspace);
    let specs = workspace.select_every(&[]).map_err(|error| one(error.into()))?;
    let (standings, errors) =
        settings.with_machine(root, None, Mode::Quiet, |machine| outdated(machine, specs)).map_err(one)?;
    let behind = standings.iter().any(|standing| standing.now != Now::Same);
    match arguments.format {
        Format::Json => print(&json(&standings)).map_err(one)?,
        Format::Text if behind => print(&table(&standings)).map_err(one)?,
        Format::Text if errors.is_empty() => {
            settings.remark(&format!("{LOCK_FILE}: nothing is outdated"));
        }
        Format::Text => {}
    }
    if !errors.is_empty() {
        return Ok(Exit::of_all([failure::report(&errors, Tails::Always)]));
    }
    Ok(if behind { Exit::Finding } else { Exit::Done })
}

/// The rows that are behind: `NAME  PINNED  NOW`.
fn table(standings: &[Standing]) -> String {
    let now = |standing: &Standing| match &standing.now {
        Now::Same => None,
        Now::Other(now) => Some(short(now)),
        Now::Gone => Some("gone".to_owned()),
    };
    let head = ["NAME".to_owned(), "PINNED".to_owned(), "NOW".to_owned()];
    let rows = standings.iter().filter_map(|standing| {
        Some([format!("{} {}", standing.kind, standing.name), short(&standing.pinned), now(standing)?])
    });
    let rows: Vec<[String; 3]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (first, second) = (width(0), width(1));
    let mut text = String::new();
    for [name, pinned, now] in &rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:first$}  {pinned:second$}  {now}");
    }
    text
}

fn json(standings: &[Standing]) -> String {
    let rows: Vec<_> = standings
        .iter()
        .map(|standing| {
            let now = match &standing.now {
                Now::Same => Some(&standing.pinned),
                Now::Other(now) => Some(now),
                Now::Gone => None,
            };
            json!({
                "kind": standing.kind.as_str(), "name": standing.name, "pinned": standing.pinned, "now": now,
                "outdated": standing.now != Now::Same,
            })
        })
        .collect();
    format!("{:#}\n", json!({ "rows": rows }))
}
