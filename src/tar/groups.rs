//! How a layer's tar is cut into groups that are compressed each on its own (docs/format.md, "Groups").
//!
//! Where a group begins follows from one entry alone, its path and its length, so that a change of an entry moves no
//! boundary but those around it.

use super::header::header_blocks;
use crate::model::{Digest, Entry, EntryKind, Hasher};

/// The length in bytes that groups of small entries have on average.
const AVERAGE: u64 = 768 << 10;
/// No group of small entries is longer, in bytes.
const LONGEST: u64 = 2 << 20;
/// A longer file is cut, in bytes from its start.
pub(super) const CUT: u64 = 1 << 20;
/// What ends a tar, in bytes.
pub(super) const END: usize = 1024;

/// A stretch of a tar that is compressed by itself: whole entries, or one piece of a large file.
#[derive(Debug)]
pub struct Group<'a> {
    pub(super) pieces: Vec<Piece<'a>>,
    /// Whether the end of the tar belongs to it.
    pub(super) last: bool,
    length: u64,
}

/// An entry, or of a large file what lies between two offsets.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) entry: &'a Entry,
    /// Offsets in the file's content; both 0 for what has none. At 0 the piece has the header too.
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Piece<'_> {
    /// Length of the file's content in bytes; 0 for what is no file.
    pub(super) fn size(&self) -> u64 {
        size(self.entry)
    }

    /// Whether the file ends in this piece.
    pub(super) fn is_last(&self) -> bool {
        self.to == self.size()
    }
}

impl Group<'_> {
    /// Its length in bytes, before compression.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What decides its bytes: headers, and the digests of the files with the offsets of the pieces. No byte of a file
    /// is read; packing compares every file with its digest.
    pub fn identity(&self) -> Digest {
        let mut hasher = Hasher::new();
        hasher.update(b"imgpack/group/v1");
        for piece in &self.pieces {
            let header = header_blocks(piece.entry);
            hasher.update(&(header.len() as u64).to_be_bytes());
            hasher.update(&header);
            if let EntryKind::File { digest, .. } = &piece.entry.kind {
                hasher.update(digest.0.as_bytes());
            }
            hasher.update(&piece.from.to_be_bytes());
            hasher.update(&piece.to.to_be_bytes());
        }
        hasher.update(&[u8::from(self.last)]);
        hasher.finish()
    }
}

/// The groups of entries that stand in the order of their paths; at least one, since every tar has an end.
pub fn groups<'a>(entries: impl Iterator<Item = &'a Entry>) -> impl Iterator<Item = Group<'a>> {
    Groups { pieces: Pieces { entries, rest: None }, next: None, over: false }
}

struct Groups<'a, I: Iterator<Item = &'a Entry>> {
    pieces: Pieces<'a, I>,
    /// The piece that begins the next group.
    next: Option<(Piece<'a>, u64)>,
    over: bool,
}

impl<'a, I: Iterator<Item = &'a Entry>> Iterator for Groups<'a, I> {
    type Item = Group<'a>;

    fn next(&mut self) -> Option<Group<'a>> {
        if self.over {
            return None;
        }
        let mut group = Group { pieces: Vec::new(), last: false, length: 0 };
        if let Some((piece, length)) = self.next.take() {
            group.pieces.push(piece);
            group.length = length;
        }
        for (piece, length) in self.pieces.by_ref() {
            if group.pieces.last().is_some_and(|before| is_boundary(before, &piece, group.length, length)) {
                self.next = Some((piece, length));
                return Some(group);
            }
            group.pieces.push(piece);
            group.length += length;
        }
        self.over = true;
        group.last = true;
        group.length += END as u64;
        Some(group)
    }
}

/// Whether a group of `so_far` bytes ends before `piece`.
fn is_boundary(before: &Piece<'_>, piece: &Piece<'_>, so_far: u64, length: u64) -> bool {
    let alone = |piece: &Piece<'_>| piece.size() > CUT;
    alone(before) || alone(piece) || so_far + length > LONGEST || begins_group(piece.entry, length)
}

/// One in `AVERAGE / length` entries begins a group, chosen by the digest of its path.
fn begins_group(entry: &Entry, length: u64) -> bool {
    let digest = Digest::of(entry.path.relative().as_bytes());
    let draw = digest.as_bytes().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    u128::from(draw) * u128::from(AVERAGE) < u128::from(length) << 64
}

struct Pieces<'a, I> {
    entries: I,
    /// A large file of which pieces up to the offset were given.
    rest: Option<(&'a Entry, u64)>,
}

impl<'a, I: Iterator<Item = &'a Entry>> Iterator for Pieces<'a, I> {
    /// A piece and its length in the tar in bytes.
    type Item = (Piece<'a>, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, from) = match self.rest.take() {
            Some(rest) => rest,
            None => (self.entries.next()?, 0),
        };
        let size = size(entry);
        let to = if size > CUT { size.min(from + CUT) } else { size };
        if to < size {
            self.rest = Some((entry, to));
        }
        let header = if from == 0 { header_blocks(entry).len() as u64 } else { 0 };
        // Only the last piece is padded: offsets are multiples of a block.
        let length = header + (to - from).next_multiple_of(512);
        Some((Piece { entry, from, to }, length))
    }
}

fn size(entry: &Entry) -> u64 {
    match entry.kind {
        EntryKind::File { size, .. } => size,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
