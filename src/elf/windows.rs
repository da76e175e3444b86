use std::io::{self, Read};
use std::ops::Range;

/// The parts of a file that may be asked for, in memory.
#[derive(Debug, Default)]
pub(super) struct Windows(Vec<(u64, Vec<u8>)>);

impl Windows {
    /// Reads `ranges` of a file from its beginning, and passes over what is between them. A file that ends earlier gives
    /// what it has.
    pub(super) fn read(file: &mut impl Read, ranges: &[Range<u64>]) -> io::Result<Self> {
        let mut windows = Self::default();
        let mut position = 0;
        for range in ranges {
            let between = range.start.saturating_sub(position);
            position += io::copy(&mut file.take(between), &mut io::sink())?;
            if position < range.start {
                break;
            }
            let mut bytes = Vec::new();
            let length = range.end.saturating_sub(position);
            let start = position;
            position += file.take(length).read_to_end(&mut bytes)? as u64;
            windows.0.push((start, bytes));
        }
        Ok(windows)
    }

    /// At most `limit` bytes from `offset`; fewer where the window ends earlier. `None` outside of all windows.
    pub(super) fn from(&self, offset: u64, limit: u64) -> Option<&[u8]> {
        self.0.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(offset.checked_sub(*start)?).ok()?;
            let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
            Some(&rest[..rest.len().min(usize::try_from(limit).ok()?)])
        })
    }

    /// Exactly `length` bytes from `offset`.
    pub(super) fn exactly(&self, offset: u64, length: u64) -> Option<&[u8]> {
        self.from(offset, length).filter(|bytes| bytes.len() as u64 == length)
    }
}

/// Sorts ranges, and joins those that overlap or touch.
pub(super) fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_what_was_asked_for() {
        let ranges = joined(vec![4..6, 0..2, 5..8, 12..20]);
        assert_eq!(ranges, [0..2, 4..8, 12..20]);
        let windows = Windows::read(&mut &b"0123456789abcde"[..], &ranges).unwrap();
        let text = |offset, limit| windows.from(offset, limit).map(|bytes| str::from_utf8(bytes).unwrap());
        assert_eq!(text(0, 9), Some("01"));
        assert_eq!(text(2, 1), None);
        assert_eq!(text(5, 2), Some("56"));
        assert_eq!(text(12, 9), Some("cde"), "the file ends there");
        assert_eq!(windows.exactly(12, 4), None);
        assert_eq!(text(u64::MAX, 1), None);
        assert!(Windows::read(&mut &b"01"[..], &[0..1, 9..10]).unwrap().from(9, 1).is_none());
    }
}
