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

/// `sample` is an extract of two indexes of bookworm, and what apt 2.6.1 chose from that extract, with an empty database and
/// without recommends: `none` or the packages. Sets that differ are named here with the reason.
#[test]
fn packages_are_those_that_apt_chooses() {
    if let Ok(directory) = std::env::var("APT_SETS") {
        return campaign(Path::new(&directory));
    }
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/debian/sample");
    let paths = ["bookworm", "bookworm-security"].map(|name| sample.join(name).display().to_string());
    let indexes = indexes(&paths.join(" "));
    let apt = fs::read_to_string(sample.join("apt")).unwrap();
    let (sets, apt): (Vec<_>, Vec<_>) = apt.lines().map(|line| line.split_once(": ").unwrap()).unzip();
    let chosen = chosen(&indexes, "amd64", &sets.join("\n"));
    assert!(sets.len() > 20 && chosen.lines().count() == sets.len());
    for ((set, apt), chosen) in sets.iter().zip(apt).zip(chosen.lines()) {
        match *set {
            // apt does not take an older libcurl4 for the older curl.
            "curl=7.88.1-10+deb12u5" => {
                assert_eq!(apt, "none");
                assert!(chosen.contains("libcurl4=7.88.1-10+deb12u5 "), "{chosen}");
            }
            _ if apt == "none" => assert!(chosen.starts_with("error: "), "{set}: {chosen}"),
            _ => assert_eq!(chosen, apt, "{set}"),
        }
    }
}

/// The half of `tests/campaigns/apt-sets.sh` that is not apt: `APT_SETS` names a directory with `indexes` (paths),
/// `architecture` and `sets`, and gets `chosen`.
fn campaign(directory: &Path) {
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
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
    fs::write(directory.join("chosen"), chosen).unwrap();
}
