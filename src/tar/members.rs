use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use super::merge::LayerFacts;
use super::read::{Member, MemberKind, TarError, TarReader};
use crate::elf::read_elf;
use crate::model::{BaseFacts, DiffId, Elf, Hasher};

/// Longest file whose content is kept, in bytes.
pub(super) const CONTENT_LIMIT: u64 = 4 << 20;
/// The same for databases.
pub(super) const DATABASE_LIMIT: u64 = 16 << 20;
/// Most bytes of contents that are kept of all layers of a base.
pub(super) const CONTENTS_LIMIT: u64 = 48 << 20;
/// Most members of all layers: ten times the largest images seen.
pub(super) const MEMBER_LIMIT: u64 = 4_000_000;
/// Most bytes of paths and links, so that a small archive cannot fill the memory.
pub(super) const TEXT_LIMIT: u64 = 512 << 20;
/// Most uncompressed bytes of one layer, so that a small archive cannot be read for ever.
const LAYER_LIMIT: u64 = 256 << 30;

/// The members of one layer without their data, read before it is known what the layers below make of their paths: so
/// several layers can be read at once, each a single time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerMembers {
    pub(super) facts: LayerFacts,
    pub(super) members: Vec<Member>,
    /// Contents of the files that by their name may be wanted, by the number of the member.
    pub(super) contents: BTreeMap<usize, Vec<u8>>,
    /// The programs and libraries, in the same way.
    pub(super) elf: BTreeMap<usize, Elf>,
}

/// What the layers of one base may hold together, whichever is read first.
#[derive(Debug, Default)]
pub struct Budget {
    pub(super) members: AtomicU64,
    pub(super) text: AtomicU64,
    contents: AtomicU64,
}

impl Budget {
    fn take(&self, member: &Member) -> Result<(), TarError> {
        let link = match &member.kind {
            MemberKind::Symlink(target) | MemberKind::Hardlink(target) => target.len(),
            _ => 0,
        };
        count(&self.members, 1, MEMBER_LIMIT, "files")?;
        self.take_text(member.path.len() + link)
    }

    fn take_text(&self, length: usize) -> Result<(), TarError> {
        count(&self.text, length as u64, TEXT_LIMIT, "bytes of paths")
    }

    /// Whether there is room for the content of a file that by its name may be wanted. Without it the layer is read again
    /// for those that are.
    fn take_content(&self, size: u64) -> bool {
        self.contents.fetch_add(size, Ordering::Relaxed).saturating_add(size) <= CONTENTS_LIMIT
    }
}

fn count(used: &AtomicU64, more: u64, limit: u64, what: &'static str) -> Result<(), TarError> {
    if used.fetch_add(more, Ordering::Relaxed) + more > limit {
        return Err(TarError::TooMany { limit, what });
    }
    Ok(())
}

impl LayerMembers {
    /// Reads an uncompressed tar to its end.
    pub fn read(tar: impl Read, budget: &Budget) -> Result<Self, TarError> {
        let mut hashed = Hashed { input: tar, hasher: Hasher::new(), length: 0 };
        let mut reader = TarReader::new(&mut hashed);
        let (mut members, mut contents, mut elf) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut unpacked = 0_u64;
        while let Some(member) = reader.next_member()? {
            budget.take(&member)?;
            unpacked = unpacked.saturating_add(member.size);
            if may_be_wanted(&member) && budget.take_content(member.size) {
                contents.insert(members.len(), content(&mut reader)?);
            } else if member.size > 0 {
                let found = read_elf(&mut reader.data());
                if let Some(found) = found.map_err(|error| reader.failed(error))? {
                    budget.take_text(text_of(&found))?;
                    elf.insert(members.len(), found);
                }
            }
            members.push(member);
        }
        reader.finish()?;
        let entries = members.len() as u64;
        let facts = LayerFacts { diff_id: DiffId(hashed.hasher.finish()), unpacked, entries };
        Ok(Self { facts, members, contents, elf })
    }
}

/// Whether a file has the last name of one whose content facts hold, of databases the last two, whatever links its
/// directories turn out to be.
fn may_be_wanted(member: &Member) -> bool {
    let ends = |path: &str, names: usize| {
        let wanted = path.as_bytes().rsplit(|byte| *byte == b'/').take(names);
        let mut parts = member.path.rsplit(|byte| *byte == b'/');
        wanted.into_iter().all(|part| parts.next() == Some(part))
    };
    let below = |folder: &str| {
        let above = member.path.iter().rposition(|byte| *byte == b'/').map(|at| &member.path[..at]);
        above.is_some_and(|above| {
            let (above, folder) = (above.rsplit(|byte| *byte == b'/'), folder.rsplit('/').take(2));
            above.zip(folder).all(|(one, other)| one == other.as_bytes())
        })
    };
    let named = || BaseFacts::CONTENTS.iter().chain(&BaseFacts::CA_BUNDLES).any(|path| ends(path, 1));
    let database = || BaseFacts::DATABASES.iter().any(|path| ends(path, 2));
    let listed = || {
        let is_in = |(folder, end): &(&str, &str)| member.path.ends_with(end.as_bytes()) && below(folder);
        BaseFacts::FOLDERS.iter().any(is_in)
    };
    member.kind == MemberKind::File
        && member.size <= DATABASE_LIMIT
        && (database() || (member.size <= CONTENT_LIMIT && (named() || listed())))
}

/// The length of the names in bytes.
fn text_of(elf: &Elf) -> usize {
    let lists = [&elf.needed, &elf.runpath, &elf.rpath, &elf.versions].into_iter().flatten();
    let pairs = elf.versions_needed.iter().map(|(library, version)| library.len() + version.len());
    lists.map(String::len).chain(pairs).sum()
}

pub(super) fn content<R: Read>(reader: &mut TarReader<R>) -> Result<Vec<u8>, TarError> {
    let mut bytes = Vec::new();
    let read = reader.data().read_to_end(&mut bytes);
    read.map_err(|error| reader.failed(error))?;
    Ok(bytes)
}

/// Hashes what is read, and stops at [`LAYER_LIMIT`].
struct Hashed<R> {
    input: R,
    hasher: Hasher,
    length: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.length += count as u64;
        if self.length > LAYER_LIMIT {
            return Err(io::Error::other("it unpacks to more than 256 GiB"));
        }
        Ok(count)
    }
}
