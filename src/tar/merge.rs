use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use super::members::{
    CONTENT_LIMIT, CONTENTS_LIMIT, DATABASE_LIMIT, LayerMembers, MEMBER_LIMIT, TEXT_LIMIT, content,
};
use super::read::{Member, MemberKind, TarError, TarReader, components, lossy, too_long};
use crate::model::{BaseFacts, DiffId, Elf, Fact, FactKind, ImagePath};

/// Deepest path: real trees stay below 60, and following links costs the square of it.
const DEPTH_LIMIT: usize = 256;
/// What one layer's tar says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LayerFacts {
    /// Digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// Sum of the sizes of its files in bytes.
    pub unpacked: u64,
    /// Number of its members.
    pub entries: u64,
}

/// Merges a base's layers, from the lowest, into [`BaseFacts`] (image-spec, layer.md, "Applying Changesets").
///
/// Works as the engines do where the specification leaves room: parents that no layer has are 0755 0:0; a member below a
/// symbolic link of the base goes where the link leads; an opaque directory loses what lower layers put in it. Members
/// whose path is not UTF-8 or has control characters are left out: no path of imgpack's own can meet one. Nothing is
/// written anywhere, so a path can lead nowhere; `..` is refused all the same.
#[derive(Debug, Default)]
pub struct Merge {
    facts: BaseFacts,
    /// Which member of which layer the content of a file is, by path.
    files: BTreeMap<ImagePath, FileId>,
    kept: BTreeMap<FileId, Vec<u8>>,
    elf: BTreeMap<FileId, Elf>,
    layers: usize,
    members: u64,
    text: u64,
    /// The directory of the last member as written, and where it is.
    last_parent: Option<(String, String)>,
}

/// Number of the layer and of the member in it.
type FileId = (usize, u64);

impl Merge {
    /// No layer yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next layer.
    pub fn add(&mut self, layer: &LayerMembers) -> Result<LayerFacts, TarError> {
        self.members = self.members.saturating_add(layer.facts.entries);
        if self.members > MEMBER_LIMIT {
            return Err(TarError::TooMany { limit: MEMBER_LIMIT, what: "files" });
        }
        let number = self.layers;
        let mut current = Layer { number, ordinal: 0, added: BTreeSet::new(), opaque: BTreeSet::new() };
        self.last_parent = None;
        for (index, member) in layer.members.iter().enumerate() {
            if self.apply(&mut current, member)? {
                let file = (number, current.ordinal);
                if let Some(content) = layer.contents.get(&index) {
                    self.kept.insert(file, content.clone());
                }
                if let Some(elf) = layer.elf.get(&index) {
                    self.elf.insert(file, elf.clone());
                }
            }
            current.ordinal += 1;
        }
        self.layers += 1;
        Ok(layer.facts)
    }

    /// The layers, from 0, that have to be read once more by [`Self::again`]: a wanted file turned out to be a link to
    /// another one there.
    pub fn wanted_again(&self) -> BTreeSet<usize> {
        self.missing().into_iter().map(|(layer, _)| layer).collect()
    }

    /// Reads layer `number` once more for the contents that are still wanted of it.
    pub fn again(&mut self, number: usize, tar: impl Read) -> Result<(), TarError> {
        let missing = self.missing();
        let mut reader = TarReader::new(tar);
        let mut ordinal = 0;
        while let Some(member) = reader.next_member()? {
            if missing.contains(&(number, ordinal)) && member.size <= DATABASE_LIMIT {
                let content = content(&mut reader)?;
                self.kept.insert((number, ordinal), content);
            }
            ordinal += 1;
        }
        Ok(())
    }

    /// The merged tree as it is by now; without contents.
    pub fn tree(&self) -> &BaseFacts {
        &self.facts
    }

    /// Which member of which layer, both from 0, the content of the regular file at `path` is.
    pub fn member(&self, path: &ImagePath) -> Option<(usize, u64)> {
        self.files.get(path).copied()
    }

    /// The merged tree with the contents that were found.
    pub fn finish(mut self) -> BaseFacts {
        let binaries: BTreeSet<ImagePath> =
            BaseFacts::BINARIES.iter().filter_map(|path| self.file(path)).collect();
        for (path, id) in self.wanted_files() {
            let Some(content) = self.kept.get(&id).cloned() else { continue };
            if binaries.contains(&path) {
                self.facts.binaries.insert(path, content);
            } else {
                let text = String::from_utf8(content);
                let text =
                    text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
                self.facts.contents.insert(path, text);
            }
        }
        let elf = self.files.iter().filter_map(|(path, id)| Some((path.clone(), self.elf.get(id)?.clone())));
        self.facts.elf = elf.collect();
        self.facts
    }

    /// The regular file to which a path leads.
    fn file(&self, path: &str) -> Option<ImagePath> {
        let path = self.facts.resolve(&ImagePath::parse(path).ok()?)?;
        self.files.contains_key(&path).then_some(path)
    }

    /// The files that the wanted paths are in the end; those that are too long, or too many, are left out.
    fn wanted_files(&self) -> BTreeMap<ImagePath, FileId> {
        let mut left = CONTENTS_LIMIT;
        let mut found = BTreeMap::new();
        let mut want = |path: Option<ImagePath>, limit: u64| {
            let Some(path) = path.filter(|path| !found.contains_key(path)) else { return };
            let (Some(fact), Some(id)) = (self.facts.tree.get(&path), self.files.get(&path)) else { return };
            if fact.size <= limit.min(left) {
                left -= fact.size;
                found.insert(path, *id);
            }
        };
        for path in BaseFacts::CONTENTS.iter().chain(&BaseFacts::CA_BUNDLES) {
            want(self.file(path), CONTENT_LIMIT);
        }
        for path in BaseFacts::DATABASES {
            want(self.file(path), DATABASE_LIMIT);
        }
        for (folder, end) in BaseFacts::FOLDERS {
            let names = self.facts.names_in(folder).into_iter();
            for (_, path) in names.filter(|(name, _)| name.ends_with(end)) {
                want(self.file(path.as_str()), CONTENT_LIMIT);
            }
        }
        found
    }

    fn missing(&self) -> BTreeSet<FileId> {
        self.wanted_files().into_values().filter(|id| !self.kept.contains_key(id)).collect()
    }

    /// Applies one member; whether it became a regular file of the tree.
    fn apply(&mut self, layer: &mut Layer, member: &Member) -> Result<bool, TarError> {
        let parts = components(&member.path)?;
        let Some((name, above)) = parts.split_last() else { return Ok(false) };
        if parts.len() > DEPTH_LIMIT {
            return Err(too_long(&member.path));
        }
        // Bookkeeping of aufs, which no engine unpacks.
        if parts.iter().any(|part| part.starts_with(b".wh..wh.") && *part != b".wh..wh..opq") {
            return Ok(false);
        }
        let Some(above) = self.directory(above, &member.path)? else { return Ok(false) };
        if *name == b".wh..wh..opq" {
            // Once is enough: what this layer adds stays.
            if layer.opaque.insert(above.clone()) {
                self.empty(&above, &layer.added);
            }
            return Ok(false);
        }
        if let Some(name) = name.strip_prefix(b".wh.") {
            if matches!(name, b"" | b"." | b"..") {
                return Err(TarError::Whiteout { path: lossy(&member.path) });
            }
            if let Some(path) = path_of(&above, name) {
                self.remove(&path);
            }
            return Ok(false);
        }
        let Some(path) = path_of(&above, name) else { return Ok(false) };
        let mut file = None;
        let kind = match &member.kind {
            MemberKind::Directory => FactKind::Directory,
            MemberKind::File => {
                file = Some((layer.number, layer.ordinal));
                FactKind::File
            }
            MemberKind::Symlink(target) => {
                let target = String::from_utf8_lossy(target).into_owned();
                self.count_text(target.len())?;
                FactKind::Symlink(target)
            }
            MemberKind::Special => FactKind::Special,
            MemberKind::Hardlink(target) => {
                let broken = || TarError::Hardlink { path: lossy(&member.path), target: lossy(target) };
                let target = self.hardlink_target(target)?.ok_or_else(broken)?;
                if target == path {
                    return Ok(false);
                }
                let fact = self.facts.tree.get(&target).ok_or_else(broken)?.clone();
                if fact.kind == FactKind::Directory {
                    return Err(broken());
                }
                let file = self.files.get(&target).copied();
                self.insert(layer, path, fact, file)?;
                return Ok(false);
            }
        };
        let fact = Fact { kind, mode: member.mode, uid: member.uid, gid: member.gid, size: member.size };
        self.insert(layer, path, fact, file)?;
        Ok(file.is_some())
    }

    /// Where the directory `parts` of a member is, links followed: its path, empty for the root. `None` if it is not one
    /// that facts can hold.
    fn directory(&mut self, parts: &[&[u8]], member: &[u8]) -> Result<Option<String>, TarError> {
        if parts.is_empty() {
            return Ok(Some(String::new()));
        }
        let Ok(written) = String::from_utf8(parts.join(&b'/')) else { return Ok(None) };
        if let Some((known, resolved)) = &self.last_parent
            && *known == written
        {
            return Ok(Some(resolved.clone()));
        }
        // A removal below a removal is no path; what it would remove is gone.
        let Ok(path) = ImagePath::parse(&format!("/{written}/x")) else { return Ok(None) };
        let not_directory = || TarError::NotDirectory { path: lossy(member) };
        let resolved = self.facts.resolve_parents(&path).ok_or_else(not_directory)?;
        let resolved = resolved.parent().map_or_else(String::new, |parent| parent.as_str().to_owned());
        self.last_parent = Some((written, resolved.clone()));
        Ok(Some(resolved))
    }

    fn hardlink_target(&mut self, target: &[u8]) -> Result<Option<ImagePath>, TarError> {
        let parts = components(target)?;
        if parts.len() > DEPTH_LIMIT {
            return Err(too_long(target));
        }
        let Some((name, above)) = parts.split_last() else { return Ok(None) };
        Ok(self.directory(above, target)?.and_then(|above| path_of(&above, name)))
    }

    fn insert(
        &mut self,
        layer: &mut Layer,
        path: ImagePath,
        fact: Fact,
        file: Option<FileId>,
    ) -> Result<(), TarError> {
        for above in path.ancestors() {
            if !self.facts.tree.contains_key(&above) {
                self.count_text(above.as_str().len())?;
                let fact = Fact { kind: FactKind::Directory, mode: 0o755, uid: 0, gid: 0, size: 0 };
                self.facts.tree.insert(above.clone(), fact);
                layer.added.insert(above);
            }
        }
        self.count_text(path.as_str().len())?;
        let was = self.facts.tree.get(&path).map(|fact| fact.kind == FactKind::Directory);
        if was.is_some_and(|was_directory| !(was_directory && fact.kind == FactKind::Directory)) {
            self.remove(&path);
        }
        if matches!(fact.kind, FactKind::Symlink(_)) {
            self.last_parent = None;
        }
        if let Some(file) = file {
            self.files.insert(path.clone(), file);
        }
        layer.added.insert(path.clone());
        self.facts.tree.insert(path, fact);
        Ok(())
    }

    /// Removes `path` and everything below it.
    fn remove(&mut self, path: &ImagePath) {
        self.last_parent = None;
        let Some(fact) = self.facts.tree.get(path) else { return };
        let directory = fact.kind == FactKind::Directory;
        self.forget(path);
        if !directory {
            return;
        }
        for below in self.below(path.as_str()) {
            self.forget(&below);
        }
    }

    /// Removes what is below `directory` but for `added`.
    fn empty(&mut self, directory: &str, added: &BTreeSet<ImagePath>) {
        self.last_parent = None;
        for below in self.below(directory) {
            if !added.contains(&below) {
                self.forget(&below);
            }
        }
    }

    fn forget(&mut self, path: &ImagePath) {
        self.facts.tree.remove(path);
        if let Some(file) = self.files.remove(path) {
            // If another name of it is wanted, its layer is read again.
            self.kept.remove(&file);
        }
    }

    fn below(&self, directory: &str) -> Vec<ImagePath> {
        let prefix = format!("{directory}/");
        // A space is the first character that a name can have; names like `usr-x` stand between `usr` and `usr/x`.
        let range = match ImagePath::parse(&format!("{prefix} ")) {
            Ok(first) => self.facts.tree.range(first..),
            Err(_) => return Vec::new(),
        };
        range.map(|(path, _)| path).take_while(|path| path.as_str().starts_with(&prefix)).cloned().collect()
    }

    fn count_text(&mut self, length: usize) -> Result<(), TarError> {
        self.text += length as u64;
        if self.text > TEXT_LIMIT {
            return Err(TarError::TooMany { limit: TEXT_LIMIT, what: "bytes of paths" });
        }
        Ok(())
    }
}

/// The layer that is being applied.
struct Layer {
    number: usize,
    ordinal: u64,
    added: BTreeSet<ImagePath>,
    opaque: BTreeSet<String>,
}

/// `None` for a name that facts cannot hold.
fn path_of(directory: &str, name: &[u8]) -> Option<ImagePath> {
    ImagePath::parse(&format!("{directory}/{}", std::str::from_utf8(name).ok()?)).ok()
}

#[cfg(test)]
mod tests;
