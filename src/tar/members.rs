use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use super::merge::LayerFacts;
use super::read::{Member, MemberKind, TarError, TarReader};
use crate::model::{BaseFacts, DiffId, Hasher};

/// Longest file whose content is kept, in bytes.
pub(super) const CONTENT_LIMIT: u64 = 4 << 20;
/// Most bytes of contents that are kept of one layer for their names alone.
const CONTENTS_LIMIT: u64 = 16 << 20;
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
    pub(super) contents: BTreeMap<usize, String>,
}

/// What the layers of one base may hold together, whichever is read first.
#[derive(Debug, Default)]
pub struct Budget {
    pub(super) members: AtomicU64,
    pub(super) text: AtomicU64,
}

impl Budget {
    fn take(&self, member: &Member) -> Result<(), TarError> {
        let link = match &member.kind {
            MemberKind::Symlink(target) | MemberKind::Hardlink(target) => target.len(),
            _ => 0,
        };
        let text = (member.path.len() + link) as u64;
        for (used, more, limit, what) in
            [(&self.members, 1, MEMBER_LIMIT, "files"), (&self.text, text, TEXT_LIMIT, "bytes of paths")]
        {
            if used.fetch_add(more, Ordering::Relaxed) + more > limit {
                return Err(TarError::TooMany { limit, what });
            }
        }
        Ok(())
    }
}

impl LayerMembers {
    /// Reads an uncompressed tar to its end.
    pub fn read(tar: impl Read, budget: &Budget) -> Result<Self, TarError> {
        let mut hashed = Hashed { input: tar, hasher: Hasher::new(), length: 0 };
        let mut reader = TarReader::new(&mut hashed);
        let (mut members, mut contents) = (Vec::new(), BTreeMap::new());
        let (mut unpacked, mut kept) = (0_u64, 0);
        while let Some(member) = reader.next_member()? {
            budget.take(&member)?;
            unpacked = unpacked.saturating_add(member.size);
            if may_be_wanted(&member) && kept + member.size <= CONTENTS_LIMIT {
                kept += member.size;
                contents.insert(members.len(), content(&mut reader)?);
            }
            members.push(member);
        }
        reader.finish()?;
        let entries = members.len() as u64;
        let facts = LayerFacts { diff_id: DiffId(hashed.hasher.finish()), unpacked, entries };
        Ok(Self { facts, members, contents })
    }
}

/// Whether a file has the last name of one whose content facts hold: whatever links its directories turn out to be.
fn may_be_wanted(member: &Member) -> bool {
    let name = member.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let wanted = || BaseFacts::CONTENTS.iter().chain(&BaseFacts::CA_BUNDLES);
    member.kind == MemberKind::File
        && member.size <= CONTENT_LIMIT
        && wanted().any(|path| path.rsplit('/').next().is_some_and(|last| last.as_bytes() == name))
}

pub(super) fn content<R: Read>(reader: &mut TarReader<R>) -> Result<String, TarError> {
    let mut bytes = Vec::new();
    let read = reader.data().read_to_end(&mut bytes);
    read.map_err(|error| reader.failed(error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
