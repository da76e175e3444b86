use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::check::Files;
use super::error::{ElfError, Missing};
use super::view::{Source, View};
use crate::model::{Elf, Entry, ImagePath};

/// The C library whose loader starts programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CLibrary {
    /// GNU's.
    Glibc,
    /// Alpine's.
    Musl,
}

impl CLibrary {
    /// That of a program's loader: Alpine's gcompat answers to glibc's name.
    pub(super) fn of_program(view: &View<'_>, loader: &str) -> Option<Self> {
        let real = view.file(loader).and_then(|(path, _)| Self::of_loader(path.as_str()));
        if is_compatible(view) { Some(Self::Musl) } else { real.or_else(|| Self::of_loader(loader)) }
    }

    /// Whose loader it is.
    pub fn of_loader(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.starts_with("ld-musl-") {
            Some(Self::Musl)
        } else if name.starts_with("ld-linux") {
            Some(Self::Glibc)
        } else {
            None
        }
    }

    /// The one of an image, by its loaders.
    pub(super) fn of_image(view: &View<'_>, machine: &str) -> Option<Self> {
        let glibc =
            if machine == "x86_64" { "/lib64/ld-linux-x86-64.so.2" } else { "/lib/ld-linux-aarch64.so.1" };
        if view.file(glibc).is_some() {
            return Some(Self::Glibc);
        }
        view.file(&format!("/lib/ld-musl-{machine}.so.1")).map(|_| Self::Musl)
    }
}

impl fmt::Display for CLibrary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Glibc => "glibc",
            Self::Musl => "musl",
        })
    }
}

/// How a loader looks for libraries in an image.
pub(super) struct Loader<'v, 'a> {
    pub(super) view: &'v View<'a>,
    pub(super) files: &'v Files<'v>,
    pub(super) library: CLibrary,
    pub(super) machine: &'v str,
    /// `LD_LIBRARY_PATH`.
    pub(super) paths: Vec<String>,
}

/// A file that is loaded.
#[derive(Debug, Clone)]
pub(super) struct Object<'a> {
    /// Where it was found, the last links not followed.
    place: String,
    /// Where it is.
    pub(super) path: ImagePath,
    source: Source<'a>,
    /// `None` where nothing is known of it.
    elf: Option<Arc<Elf>>,
    /// Who needed it first.
    by: Option<usize>,
}

/// A program or module with everything that is loaded for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Process<'a> {
    objects: Vec<Object<'a>>,
    names: BTreeMap<String, usize>,
}

enum Search<'a> {
    Found(Object<'a>),
    Missing(Option<(ImagePath, String)>),
}

impl<'a> Process<'a> {
    /// The libraries, which a module finds loaded.
    pub(super) fn join(&mut self, other: &Self) {
        let shift = self.objects.len();
        self.objects.extend(
            other
                .objects
                .iter()
                .map(|object| Object { by: object.by.map(|by| by + shift), ..object.clone() }),
        );
        for (name, index) in &other.names {
            self.names.entry(name.clone()).or_insert(index + shift);
        }
    }

    /// Every file that is loaded.
    pub(super) fn paths(&self) -> impl Iterator<Item = &ImagePath> {
        self.objects.iter().map(|object| &object.path)
    }

    /// Loads the file at `path` and what it needs. `why` makes it needed.
    pub(super) fn load(
        &mut self,
        loader: &Loader<'_, 'a>,
        path: &ImagePath,
        why: &str,
        errors: &mut Vec<ElfError>,
    ) {
        let Some((path, source)) = loader.view.file(path.as_str()) else { return };
        let first = self.objects.len();
        let elf = loader.elf(&path, source);
        self.objects.push(Object { place: path.to_string(), path, source, elf, by: None });
        let mut next = first;
        while let Some(object) = self.objects.get(next).cloned() {
            if let Some(elf) = object.elf.clone().filter(|_| !loader.files.is_ignored(object.path.as_str())) {
                self.needs(loader, next, &object, &elf, why, errors);
            }
            next += 1;
        }
        if loader.library == CLibrary::Glibc {
            for index in first..self.objects.len() {
                self.versions(loader, index, why, errors);
            }
        }
    }

    /// Loads what one file needs.
    fn needs(
        &mut self,
        loader: &Loader<'_, 'a>,
        index: usize,
        object: &Object<'a>,
        elf: &Elf,
        why: &str,
        errors: &mut Vec<ElfError>,
    ) {
        if let Some(own) = loader.foreign(elf) {
            let missing = Missing::CLibrary { own, has: loader.library };
            return errors.extend(self.error(index, why, missing));
        }
        for name in &elf.needed {
            if loader.files.is_allowed(name)
                || loader.library.is_itself(name)
                || self.names.contains_key(name)
            {
                continue;
            }
            match self.search(loader, loader.view, index, elf, name) {
                Search::Found(found) => {
                    let at = self.objects.len();
                    let soname = found.elf.as_ref().and_then(|elf| elf.soname.clone());
                    self.names.extend(soname.into_iter().chain([name.clone()]).map(|name| (name, at)));
                    self.objects.push(found);
                }
                Search::Missing(other) => {
                    // A base that lacks it by itself is not for the image to judge.
                    let base = loader.view.base();
                    let own = matches!(object.source, Source::Own(_))
                        || matches!(self.search(loader, &base, index, elf, name), Search::Found(_));
                    if own {
                        errors.extend(self.error(index, why, Missing::Library { name: name.clone(), other }));
                    }
                }
            }
        }
    }

    /// Compares the symbol versions that one file needs with those of its libraries.
    fn versions(&self, loader: &Loader<'_, 'a>, index: usize, why: &str, errors: &mut Vec<ElfError>) {
        let object = &self.objects[index];
        let Some(elf) = object.elf.as_ref().filter(|_| !loader.files.is_ignored(object.path.as_str())) else {
            return;
        };
        let mut told: Vec<&str> = Vec::new();
        for (name, version) in elf.versions_needed.iter().rev() {
            let Some(library) = self.names.get(name).map(|index| &self.objects[*index]) else { continue };
            let Some(has) = library.elf.as_ref().map(|elf| &elf.versions) else { continue };
            let from_base = |object: &Object<'_>| matches!(object.source, Source::Base);
            // The loader lets libraries without any versions pass.
            let lacks = !has.is_empty() && !has.contains(version);
            if !lacks || (from_base(object) && from_base(library)) {
                continue;
            }
            let newest = newest(version, has);
            // Of several that are too new the newest says it all.
            let later = elf.versions_needed.iter().any(|(other, more)| {
                other == name
                    && !has.contains(more)
                    && family(more) == family(version)
                    && is_newer(more, version)
            });
            if !later && !told.contains(&version.as_str()) {
                told.push(version);
                let (library, version) = (library.path.clone(), version.clone());
                errors.extend(self.error(index, why, Missing::Version { library, version, newest }));
            }
        }
    }

    fn error(&self, index: usize, why: &str, missing: Missing) -> Option<ElfError> {
        let object = self.objects.get(index)?;
        let mut way = Vec::new();
        let mut by = object.by;
        while let Some(above) = by.and_then(|index| self.objects.get(index)) {
            way.push(above.path.to_string());
            by = above.by;
        }
        way.push(why.to_owned());
        way.reverse();
        let entry: Option<&Entry> = if let Source::Own(entry) = object.source { Some(entry) } else { None };
        Some(ElfError::new(&object.path, entry, way, missing))
    }

    /// Looks for a library as the loader does (ld.so(8); musl, `ldso/dynlink.c`).
    fn search(
        &self,
        loader: &Loader<'_, 'a>,
        view: &View<'a>,
        index: usize,
        elf: &Elf,
        name: &str,
    ) -> Search<'a> {
        let mut other = None;
        let mut try_at = |place: String| {
            let (path, source) = view.file(&place)?;
            let elf = loader.elf(&path, source);
            if let Some(elf) = elf.as_ref().filter(|elf| elf.machine != loader.machine) {
                other.get_or_insert((path, elf.machine.clone()));
                return None;
            }
            Some(Object { place, path, source, elf, by: Some(index) })
        };
        if name.contains('/') {
            let place = self.expanded(loader, index, name);
            return place.into_iter().find_map(&mut try_at).map_or(Search::Missing(None), Search::Found);
        }
        let mut folders = Vec::new();
        let glibc = loader.library == CLibrary::Glibc;
        let mut inherited = Vec::new();
        let mut at = Some(index);
        while let Some(object) = at.and_then(|index| Some((index, self.objects.get(index)?))) {
            let (index, object) = object;
            if let Some(elf) = &object.elf {
                // The newer form is its file's own; musl makes no difference.
                let own = if glibc && !elf.runpath.is_empty() { &[][..] } else { &elf.rpath };
                let newer = if glibc { &[][..] } else { &elf.runpath };
                let paths = own.iter().chain(newer);
                inherited.extend(paths.flat_map(|path| self.expanded(loader, index, path)));
            }
            at = object.by;
        }
        let own = elf.runpath.iter().flat_map(|path| self.expanded(loader, index, path));
        if glibc && elf.runpath.is_empty() {
            folders.append(&mut inherited);
        }
        folders.extend(loader.paths.iter().cloned());
        folders.append(&mut inherited.into_iter().filter(|_| !glibc).collect());
        folders.extend(own);
        folders.extend(loader.folders());
        let found = folders.iter().find_map(|folder| try_at(format!("{folder}/{name}")));
        let found = found.or_else(|| {
            let cached = loader.cached();
            cached.iter().find_map(|folder| {
                try_at(format!("{folder}/{name}")).filter(|found| matches!(found.source, Source::Base))
            })
        });
        found.map_or_else(|| Search::Missing(other), Search::Found)
    }

    /// A path with the loader's variables put in: `$ORIGIN` is where the file was found, or where it is.
    fn expanded(&self, loader: &Loader<'_, 'a>, index: usize, path: &str) -> Vec<String> {
        let library =
            if loader.machine == "x86_64" { "lib/x86_64-linux-gnu" } else { "lib/aarch64-linux-gnu" };
        let plain = |path: &str, name: &str, value: &str| {
            path.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
        };
        let path = plain(&plain(path, "PLATFORM", loader.machine), "LIB", library);
        if !path.contains("$ORIGIN") && !path.contains("${ORIGIN}") {
            return vec![path];
        }
        let Some(object) = self.objects.get(index) else { return Vec::new() };
        let mut origins = vec![folder(&object.place), folder(object.path.as_str())];
        origins.dedup();
        origins.into_iter().map(|origin| plain(&path, "ORIGIN", origin)).collect()
    }
}

impl<'a> Loader<'_, 'a> {
    fn elf(&self, path: &ImagePath, source: Source<'a>) -> Option<Arc<Elf>> {
        match source {
            Source::Own(entry) => self.files.elf(entry),
            Source::Base => self.view.facts().elf.get(path).cloned().map(Arc::new),
        }
    }

    /// The C library that a file is linked against, where it is not this one.
    fn foreign(&self, elf: &Elf) -> Option<CLibrary> {
        let needs = |begin: &str| elf.needed.iter().any(|name| name.starts_with(begin));
        let own = if needs("libc.musl-") || elf.needed.iter().any(|name| name == "libc.so") {
            CLibrary::Musl
        } else if needs("ld-linux")
            || elf.versions_needed.iter().any(|(_, version)| version.starts_with("GLIBC_"))
        {
            CLibrary::Glibc
        } else {
            return None;
        };
        let compatible = own == CLibrary::Glibc && is_compatible(self.view);
        (own != self.library && !compatible).then_some(own)
    }

    /// The folders that are always looked into.
    fn folders(&self) -> Vec<String> {
        let machine = self.machine;
        match self.library {
            CLibrary::Glibc => {
                let multiarch = format!("{machine}-linux-gnu");
                let mut folders = vec![format!("/lib/{multiarch}"), format!("/usr/lib/{multiarch}")];
                folders.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(str::to_owned));
                folders
            }
            CLibrary::Musl => {
                let said = self.view.facts().text(&format!("/etc/ld-musl-{machine}.path"));
                let said = said.map(|text| text.split([':', '\n']).filter(|path| path.starts_with('/')));
                match said {
                    Some(paths) => paths.map(str::to_owned).collect(),
                    None => ["/lib", "/usr/local/lib", "/usr/lib"].map(str::to_owned).to_vec(),
                }
            }
        }
    }

    /// The folders of /etc/ld.so.conf, whose libraries are found by way of /etc/ld.so.cache: those that the base had when
    /// that was written.
    fn cached(&self) -> Vec<String> {
        let facts = self.view.facts();
        if self.library == CLibrary::Musl || !self.view.has("/etc/ld.so.cache") {
            return Vec::new();
        }
        let listed = facts.names_in("/etc/ld.so.conf.d").into_iter();
        let texts = listed.filter_map(|(_, path)| facts.text(path.as_str()));
        let lines = texts.chain(facts.text("/etc/ld.so.conf")).flat_map(str::lines);
        lines.map(str::trim).filter(|line| line.starts_with('/')).map(str::to_owned).collect()
    }
}

impl CLibrary {
    /// Whether a name stands for the C library itself, whatever files there are (musl, `load_library`).
    fn is_itself(self, name: &str) -> bool {
        let parts = ["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."];
        let rest = name.strip_prefix("lib");
        let musl = rest.is_some_and(|rest| parts.iter().any(|part| rest.starts_with(part)));
        self == Self::Musl && (musl || name.starts_with("ld-musl-"))
    }
}

/// Whether musl stands in for glibc.
fn is_compatible(view: &View<'_>) -> bool {
    view.file("/lib/libgcompat.so.0").is_some()
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `GLIBC_` of `GLIBC_2.38`.
fn family(version: &str) -> &str {
    version.find(|c: char| c.is_ascii_digit()).map_or(version, |at| &version[..at])
}

fn numbers(version: &str) -> Vec<u32> {
    version[family(version).len()..].split(['.', '_']).map_while(|part| part.parse().ok()).collect()
}

fn is_newer(one: &str, other: &str) -> bool {
    numbers(one) > numbers(other)
}

/// The newest version of the same family.
fn newest(version: &str, has: &[String]) -> Option<String> {
    let same = has.iter().filter(|other| family(other) == family(version) && !numbers(other).is_empty());
    same.max_by_key(|version| numbers(version)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        let has = ["GLIBC_2.9", "GLIBC_2.36", "GLIBC_2.4", "GLIBC_PRIVATE", "GLIBCXX_3.4"].map(str::to_owned);
        assert_eq!(newest("GLIBC_2.38", &has).as_deref(), Some("GLIBC_2.36"));
        assert_eq!(newest("OPENSSL_3.0.0", &has), None);
        assert!(is_newer("GLIBC_2.38", "GLIBC_2.4") && !is_newer("GLIBC_2.4", "GLIBC_2.10"));
    }

    #[test]
    fn musl_answers_to_many_names() {
        for (name, itself) in [
            ("libc.so", true),
            ("libc.musl-x86_64.so.1", true),
            ("libpthread.so.0", true),
            ("libm.so.6", true),
            ("ld-musl-x86_64.so.1", true),
            ("libcrypto.so.3", false),
            ("libmagic.so.1", false),
        ] {
            assert_eq!(CLibrary::Musl.is_itself(name), itself, "{name}");
            assert!(!CLibrary::Glibc.is_itself(name));
        }
    }
}
