//! Which Debian packages are chosen, held against what apt chose from the same indexes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::time::Instant;

use imgpack::debian::{Index, Request, solve};

fn indexes(files: &str) -> Vec<Index> {
    let open = |path| Index::read(&mut BufReader::with_capacity(1 << 16, File::open(path).unwrap())).unwrap();
    files.split_whitespace().map(open).collect()
}

/// One line for each set of packages: `name=version`, sorted; or why there is none.
fn chosen(indexes: &[Index], architecture: &str, sets: &str) -> String {
    let mut lines = String::new();
    for set in sets.lines() {
        let request = Request {
            architecture: architecture.to_owned(),
            install: set.split_whitespace().map(str::to_owned).collect(),
            exclude: Vec::new(),
        };
        match solve(&request, indexes, &[]) {
            Ok(solution) => {
                let named = solution
                    .packages
                    .iter()
                    .map(|chosen| format!("{}={}", chosen.package.name, chosen.package.version));
                let mut named = named.collect::<Vec<_>>();
                named.sort();
                lines.push_str(&named.join(" "));
            }
            Err(error) => {
                let mut cause: Option<&dyn std::error::Error> = Some(&error);
                let mut word = "error: ";
                while let Some(error) = cause {
                    write!(lines, "{word}{error}").unwrap();
                    word = "; because ";
                    cause = error.source();
                }
            }
        }
        lines.push('\n');
    }
    lines
}

/// The half of `tests/campaigns/apt-sets.sh` that is not apt: `APT_SETS` names a directory with `indexes` (paths),
/// `architecture` and `sets`, and gets `chosen`.
#[test]
#[ignore = "a part of tests/campaigns/apt-sets.sh"]
fn sets_of_a_campaign() {
    let directory = std::env::var("APT_SETS").unwrap();
    let read = |name: &str| fs::read_to_string(Path::new(&directory).join(name)).unwrap();
    let started = Instant::now();
    let indexes = indexes(&read("indexes"));
    let parsed = started.elapsed();
    let memory = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = memory.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    let memory = memory
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", ");
    let sets = read("sets");
    let started = Instant::now();
    let chosen = chosen(&indexes, read("architecture").trim(), &sets);
    println!(
        "{} packages read in {parsed:.1?} ({memory}); {} sets in {:.1?}",
        indexes.iter().map(Index::len).sum::<usize>(),
        sets.lines().count(),
        started.elapsed(),
    );
    fs::write(Path::new(&directory).join("chosen"), chosen).unwrap();
}
