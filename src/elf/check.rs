use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::error::{ElfError, Missing};
use super::process::{CLibrary, Loader, Process};
use super::program::Executable;
use super::provider::Distribution;
use super::roots::{Module, Program, Root, Started};
use super::view::{Source, View};
use crate::model::{Content, Elf, Entry, EntryKind, ImagePath};

/// What is checked of an image.
pub struct Check<'c> {
    /// The machine that it is for, by the kernel's name: `x86_64`.
    pub machine: &'c str,
    /// Its environment, `NAME=value`.
    pub env: &'c [String],
    /// Its working directory.
    pub workdir: Option<&'c str>,
    /// Places whose files come at run time.
    pub volumes: &'c BTreeSet<ImagePath>,
    /// What is started in it.
    pub programs: &'c [Program],
    /// Libraries that may be missing, as globs of their names.
    pub allow: &'c [String],
    /// Files that are not looked at, as globs of their places.
    pub ignore: &'c [String],
    /// What an own regular file is.
    pub look: &'c dyn Fn(&Entry) -> Arc<Executable>,
    /// What it stands on.
    pub distribution: Option<Distribution>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Checked {
    /// What will not run.
    pub errors: Vec<ElfError>,
    /// Files for other platforms that nothing needs, in the order of their paths.
    pub foreign: Vec<Foreign>,
}

/// A file for another platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Its place.
    pub path: ImagePath,
    /// Its length in bytes.
    pub size: u64,
}

/// The image's own files, as the loader sees them, and the rules of the spec.
pub(super) struct Files<'v> {
    look: &'v dyn Fn(&Entry) -> Arc<Executable>,
    allow: GlobSet,
    ignore: GlobSet,
}

impl Files<'_> {
    pub(super) fn of(&self, entry: &Entry) -> Arc<Executable> {
        (self.look)(entry)
    }

    pub(super) fn elf(&self, entry: &Entry) -> Option<Arc<Elf>> {
        self.of(entry).elf().cloned().map(Arc::new)
    }

    pub(super) fn is_allowed(&self, name: &str) -> bool {
        self.allow.is_match(name)
    }

    pub(super) fn is_ignored(&self, path: &str) -> bool {
        self.ignore.is_match(path)
    }
}

/// Whether a file can be a program or library by its mode and name: what is looked into.
pub fn may_be_elf(entry: &Entry) -> bool {
    let name = entry.path.name();
    let ends = |end| name.strip_suffix(end).is_some();
    entry.mode & 0o111 != 0 || ends(".so") || name.contains(".so.") || ends(".node")
}

/// Looks at an image as the kernel and the loader will. What is not known is no error.
pub fn check(view: &View<'_>, check: &Check<'_>) -> Checked {
    let files = Files { look: check.look, allow: globs(check.allow), ignore: globs(check.ignore) };
    let Check { env, workdir, volumes, .. } = *check;
    let started = Started { view, files: &files, env, workdir, volumes };
    let mut errors = Vec::new();
    let mut used = BTreeSet::new();
    let mut programs = Process::default();
    let mut library = None;
    for program in check.programs {
        for root in started.roots(program, &mut errors) {
            if files.is_ignored(root.path.as_str()) || used.contains(&root.path) {
                continue;
            }
            used.insert(root.path.clone());
            let Some(loader) = loader_of(view, &files, check, &started, &root, &mut errors) else { continue };
            library = library.or(Some(loader.library));
            let mut process = Process::default();
            process.load(&loader, &root.path, &root.why, &mut errors);
            programs.join(&process);
        }
    }
    used.extend(programs.paths().cloned());
    let mut foreign = Vec::new();
    let library = library.or_else(|| CLibrary::of_image(view, check.machine));
    for entry in view.own_files() {
        let EntryKind::File { size, content, .. } = &entry.kind else { continue };
        let other = Foreign { path: entry.path.clone(), size: *size };
        if files.is_ignored(entry.path.as_str()) {
            continue;
        }
        // sharp's addons for glibc have no word for it.
        let twin = || entry.path.as_str().replace("linux-", "linuxmusl-");
        let beside_musl =
            library == Some(CLibrary::Musl) && entry.path.name().contains("linux-") && view.has(&twin());
        if beside_musl || is_for_another(entry.path.as_str(), check.machine, library) {
            foreign.push(other);
            continue;
        }
        // A distribution's packages fit together by themselves.
        if !may_be_elf(entry) || matches!(content, Content::Packed { .. }) {
            continue;
        }
        let Some(elf) = files.elf(entry) else { continue };
        match Module::of(entry).zip(library) {
            Some((module, library)) => {
                if elf.machine != check.machine {
                    errors.push(machine_error(entry, module.noun(), &elf, check));
                    continue;
                }
                let loader = Loader { paths: paths(&started), ..loader(view, &files, check, library) };
                let mut process = programs.clone();
                process.load(&loader, &entry.path, module.noun(), &mut errors);
                used.extend(process.paths().cloned());
            }
            None if elf.machine != check.machine => foreign.push(other),
            None => {}
        }
    }
    foreign.retain(|file| !used.contains(&file.path));
    let errors = joined(errors);
    let known = |error| ElfError { distribution: check.distribution.clone(), ..error };
    Checked { errors: errors.into_iter().map(known).collect(), foreign }
}

fn loader<'v, 'a>(
    view: &'v View<'a>,
    files: &'v Files<'v>,
    check: &'v Check<'_>,
    library: CLibrary,
) -> Loader<'v, 'a> {
    Loader { view, files, library, machine: check.machine, paths: Vec::new() }
}

/// `LD_LIBRARY_PATH`
fn paths(started: &Started<'_, '_>) -> Vec<String> {
    let said = started.variable("LD_LIBRARY_PATH").unwrap_or_default();
    said.split([':', ';']).filter(|path| path.starts_with('/')).map(str::to_owned).collect()
}

/// The loader of a program; `None` where it needs none, or what it needs is not there, which is told.
fn loader_of<'v, 'a>(
    view: &'v View<'a>,
    files: &'v Files<'v>,
    check: &'v Check<'_>,
    started: &Started<'_, '_>,
    root: &Root,
    errors: &mut Vec<ElfError>,
) -> Option<Loader<'v, 'a>> {
    let (_, source) = view.file(root.path.as_str())?;
    let (elf, entry) = match source {
        Source::Own(entry) => (files.elf(entry)?, Some(entry)),
        Source::Base => (Arc::new(view.facts().elf.get(&root.path)?.clone()), None),
    };
    if elf.machine != check.machine {
        errors.push(machine_error(entry?, &root.why, &elf, check));
        return None;
    }
    let interpreter = elf.interpreter.clone()?;
    if view.file(&interpreter).is_none() {
        if entry.is_some() || view.base().file(&interpreter).is_some() {
            let has = CLibrary::of_image(view, check.machine);
            let missing = Missing::Loader { loader: interpreter, has };
            errors.push(ElfError::new(&root.path, entry, vec![root.why.clone()], missing));
        }
        return None;
    }
    let library = CLibrary::of_program(view, &interpreter)?;
    Some(Loader { paths: paths(started), ..loader(view, files, check, library) })
}

fn machine_error(entry: &Entry, why: &str, elf: &Elf, check: &Check<'_>) -> ElfError {
    let missing = Missing::Machine { machine: elf.machine.clone(), wanted: check.machine.to_owned() };
    ElfError::new(&entry.path, Some(entry), vec![why.to_owned()], missing)
}

/// Words for machines in the names of packages and folders, by the kernel's.
const MACHINES: [(&str, &[&str]); 3] = [
    ("x86_64", &["x64", "amd64", "x86_64"]),
    ("aarch64", &["arm64", "aarch64", "armv8"]),
    ("", &["ia32", "x86", "arm", "armv6", "armv7", "ppc64", "s390x", "riscv64", "loong64", "mips64el"]),
];

/// Whether a Node addon is by its path for another platform: below `prebuilds/<os>-<arch>` (prebuildify), or with another
/// machine or C library in its names.
fn is_for_another(path: &str, machine: &str, library: Option<CLibrary>) -> bool {
    if let Some((_, rest)) = path.split_once("/prebuilds/") {
        let Some((folder, _)) = rest.split_once('/') else { return false };
        let (os, arch) = folder.split_once('-').unwrap_or((folder, ""));
        let own = MACHINES.iter().find(|(name, _)| *name == machine).map_or(&[][..], |(_, words)| words);
        if !os.starts_with("linux") || !arch.split('+').any(|arch| own.contains(&arch)) {
            return true;
        }
    }
    if path.strip_suffix(".node").is_none() {
        return false;
    }
    let below = path.rsplit_once("/node_modules/").map_or(path, |(_, below)| below);
    let mut words = below.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let others = MACHINES.iter().filter(|(name, _)| *name != machine).flat_map(|(_, words)| *words);
    let others: Vec<&str> = others.copied().collect();
    let own = match library {
        Some(CLibrary::Glibc) => ["musl", "linuxmusl"],
        Some(CLibrary::Musl) => ["glibc", "gnu"],
        None => ["", ""],
    };
    words.any(|word| !word.is_empty() && (others.contains(&word) || own.contains(&word)))
}

/// Of files that miss the same, the first with the number of the others.
fn joined(errors: Vec<ElfError>) -> Vec<ElfError> {
    let mut joined: Vec<ElfError> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    for error in errors {
        let name = match &error.missing {
            Missing::Library { name, .. } => format!("library {name}"),
            Missing::Version { library, version, .. } => format!("version {library} {version}"),
            Missing::Machine { machine, .. } => format!("machine {machine}"),
            Missing::CLibrary { own, .. } => format!("C library {own}"),
            Missing::Loader { loader, .. } => format!("loader {loader}"),
            Missing::Interpreter { .. } => format!("interpreter {}", error.file),
            Missing::Program { .. } | Missing::Permission { .. } => format!("program {}", error.file),
        };
        if !seen.insert((name.clone(), error.file.clone())) {
            continue;
        }
        if let Some(first) = places.get(&name).and_then(|index| joined.get_mut(*index)) {
            first.others += 1;
        } else {
            places.insert(name, joined.len());
            joined.push(error);
        }
    }
    joined
}

/// A glob that is none stands for its own text.
fn globs(texts: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for text in texts {
        let glob = Glob::new(text).or_else(|_| Glob::new(&globset::escape(text)));
        if let Ok(glob) = glob {
            set.add(glob);
        }
    }
    set.build().unwrap_or_default()
}

#[cfg(test)]
mod tests;
