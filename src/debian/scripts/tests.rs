use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::debian::{Paragraph, paragraphs};
use crate::model::{Content, ContentDigest, EntryKind, ImagePath, Owner, PackageFileKind};

/// A package out of rows: `/dir/`, `/link -> target`, `/file`, `/file = content`.
fn package(name: &str, scripts: &[(&str, &str)], files: &[&str]) -> DebFacts {
    let row = |row: &&str| {
        let (path, kind) = match (row.split_once(" -> "), row.split_once(" = ")) {
            (Some((path, target)), _) => (path, PackageFileKind::Symlink { target: target.to_owned() }),
            (None, Some((path, content))) => (path, regular(content)),
            (None, None) if row.ends_with('/') => (*row, PackageFileKind::Directory),
            (None, None) => (*row, regular("")),
        };
        let mode = if kind == PackageFileKind::Directory { 0o755 } else { 0o644 };
        PackageFile { path: path.parse().unwrap(), kind, mode, owner: Owner::default(), elf: None }
    };
    let mut files: Vec<PackageFile> = files.iter().map(row).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    DebFacts {
        control: Paragraph(vec![field("Package", name), field("Architecture", "amd64")]),
        scripts: scripts.iter().map(|(name, text)| field(name, text)).collect(),
        files,
    }
}

fn regular(content: &str) -> PackageFileKind {
    let bytes = content.as_bytes();
    PackageFileKind::File { digest: ContentDigest::of(bytes), size: bytes.len() as u64, offset: 0 }
}

/// The effects of packages, whose contents are what `files` rows say.
fn of(packages: &[DebFacts], contents: &[(&str, &str)]) -> Result<Effects, Vec<ScriptError>> {
    let packages: Vec<&DebFacts> = packages.iter().collect();
    let contents: BTreeMap<&str, &str> = contents.iter().copied().collect();
    let read = |_: usize, file: &PackageFile| {
        Ok(contents.get(file.path.as_str()).copied().unwrap_or_default().as_bytes().to_vec())
    };
    let (base, ignored) = (BaseFacts::default(), BTreeSet::new());
    effects(&Installed { packages: &packages, base: &base, ignored: &ignored, read: &read })
}

/// Follows the scripts of real packages: a folder for each, as `dpkg-deb --control` and `dpkg-deb --contents` (in the file
/// `files`) give them, in the order of the file `order` beside them. `tests/campaigns/scripts.sh` makes such folders.
#[test]
#[ignore = "needs the scripts of real packages: tests/campaigns/scripts.sh"]
fn the_scripts_of_real_packages_are_covered() {
    let mut errors = BTreeSet::new();
    for root in std::env::var("IMGPACK_SCRIPTS").unwrap().split(':').map(PathBuf::from) {
        let order = std::fs::read_to_string(root.join("order")).unwrap();
        let packages: Vec<DebFacts> =
            order.split_whitespace().map(|name| read_package(&root.join(name))).collect();
        assert!(!packages.is_empty());
        let found = of_real(&packages, &root);
        if std::env::var_os("IMGPACK_SCRIPTS_SHOW").is_some() {
            println!("{found:#?}");
        }
        errors.extend(found.err().unwrap_or_default().iter().map(ToString::to_string));
    }
    let lines: Vec<String> = errors.into_iter().collect();
    assert!(lines.is_empty(), "{} statements are not covered:\n{}", lines.len(), lines.join("\n"));
}

/// The effects of real packages; contents that they ask for lie below `root` in the package's folder.
fn of_real(packages: &[DebFacts], root: &Path) -> Result<Effects, Vec<ScriptError>> {
    let read = |index: usize, file: &PackageFile| {
        let name = packages[index].control.get("Package").unwrap_or_default();
        Ok(std::fs::read(root.join(name).join("root").join(file.path.relative())).unwrap_or_default())
    };
    let packages: Vec<&DebFacts> = packages.iter().collect();
    let (base, ignored) = (BaseFacts::default(), BTreeSet::new());
    effects(&Installed { packages: &packages, base: &base, ignored: &ignored, read: &read })
}

fn read_package(folder: &Path) -> DebFacts {
    let mut facts = DebFacts::default();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        match name.as_str() {
            "control" => facts.control = paragraphs(&text).unwrap().remove(0),
            "files" => facts.files = text.lines().filter_map(listed).collect(),
            _ => drop(facts.scripts.insert(name, text)),
        }
    }
    if facts.files.is_empty() {
        let sums = facts.scripts.get("md5sums").cloned().unwrap_or_default();
        let paths = sums.lines().filter_map(|line| line.split_once("  ").map(|(_, path)| format!("/{path}")));
        let conffiles = facts.scripts.get("conffiles").cloned().unwrap_or_default();
        let all: Vec<String> = paths.chain(conffiles.lines().map(str::to_owned)).collect();
        let rows: Vec<&str> = all.iter().map(String::as_str).filter(|row| row.starts_with('/')).collect();
        facts.files = package("x", &[], &rows).files;
    }
    facts
}

/// A row of `tar -tv`.
fn listed(line: &str) -> Option<PackageFile> {
    let at = line.find(" ./")?;
    let path = &line[at + 2..];
    let (path, target) = path.split_once(" -> ").map_or((path, None), |(path, target)| (path, Some(target)));
    let path: ImagePath = path.split_once(" link to ").map_or(path, |(path, _)| path).parse().ok()?;
    let kind = match (line.chars().next()?, target) {
        ('d', _) => PackageFileKind::Directory,
        (_, Some(target)) => PackageFileKind::Symlink { target: target.to_owned() },
        _ => regular(""),
    };
    Some(PackageFile { path, kind, mode: 0o644, owner: Owner::default(), elf: None })
}
