use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use object::LittleEndian as LE;
use object::elf::{
    DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB, DT_VERDEF, DT_VERDEFNUM,
    DT_VERNEED, DT_VERNEEDNUM, Dyn64, DynamicTag, ET_DYN, ET_EXEC, FileHeader64, PF_W, PF_X, PT_DYNAMIC,
    PT_INTERP, PT_LOAD, ProgramHeader64, VER_FLG_BASE, VER_FLG_WEAK, Verdaux, Verdef, Vernaux, Verneed,
};
use object::pod::{Pod, from_bytes, slice_from_bytes};

use super::windows::{Windows, joined};
use crate::model::Elf;

/// Longest table of program headers, in bytes: real ones have some ten rows of 56.
const HEADERS: u64 = 64 << 10;
/// Most of a read-only segment that is kept in memory: names stand at its beginning, behind the symbols.
const NAMES: u64 = 32 << 20;
/// Most of a writable segment: where tools that change a library's names put them anew.
const CHANGED_NAMES: u64 = 4 << 20;
/// Longest dynamic section and path.
const SMALL: u64 = 64 << 10;
/// Most bytes that one file takes in memory while others do so too.
const SHARED: u64 = 4 << 20;
/// Most bytes of one file.
const TOTAL: u64 = 40 << 20;
/// Most bytes of names that one file gives: sixty libraries with a hundred versions have 3 KiB.
const TEXT: usize = 64 << 10;
/// Longest name or path, as the kernel's `PATH_MAX`.
const NAME: u64 = 4096;

/// One large file at a time, so that many readers at once need little memory.
static LARGE: Mutex<()> = Mutex::new(());

/// What `file` says to the loader, from its beginning; it need not be read to its end. `None` where it is no program and no
/// library, or one that is broken. Of files for other machines than x86_64 and aarch64 only the machine is told.
///
/// Memory: at most 4 MiB a call, and 40 MiB once in the process. What lies outside of the parts that are kept (names
/// behind 32 MiB of symbols) makes a file one that is not known.
pub fn read_elf(file: &mut impl Read) -> io::Result<Option<Elf>> {
    let mut head = Vec::new();
    file.by_ref().take(size_of::<FileHeader64<LE>>() as u64).read_to_end(&mut head)?;
    let Some(machine) = machine(&head) else { return Ok(None) };
    let machine = match machine {
        Ok(known) => known.to_owned(),
        Err(other) => return Ok(Some(Elf { machine: other, ..Elf::default() })),
    };
    let Ok((header, _)) = from_bytes::<FileHeader64<LE>>(&head) else { return Ok(None) };
    let (start, count) = (header.e_phoff.get(LE), u64::from(header.e_phnum.get(LE)));
    let length = count * size_of::<ProgramHeader64<LE>>() as u64;
    let Some(end) = start.checked_add(length).filter(|end| *end <= HEADERS) else { return Ok(None) };
    file.by_ref().take(end.saturating_sub(head.len() as u64)).read_to_end(&mut head)?;
    let table = usize::try_from(start).ok().and_then(|start| head.get(start..));
    let rows = table.and_then(|table| slice_from_bytes(table, usize::try_from(count).ok()?).ok());
    let Some((segments, _)) = rows else { return Ok(None) };
    let segments: Vec<Segment> = segments.iter().map(Segment::of).collect();
    if !segments.iter().any(|segment| segment.kind == Kind::Dynamic || segment.kind == Kind::Interpreter) {
        return Ok(Some(Elf { machine, ..Elf::default() }));
    }
    let ranges = ranges(&segments, head.len() as u64);
    let large = ranges.iter().map(|range| range.end - range.start).sum::<u64>() > SHARED;
    let _alone = large.then(|| LARGE.lock().unwrap_or_else(PoisonError::into_inner));
    let windows = Windows::read(&mut head.as_slice().chain(file), &ranges)?;
    Ok(Image { segments, windows }.elf(machine))
}

/// `None` where it is no program and no library; `Err` the name of a machine of which nothing more is wanted.
fn machine(head: &[u8]) -> Option<Result<&'static str, String>> {
    let (class, order) = (*head.get(4)?, *head.get(5)?);
    let number = |at: usize| -> Option<u16> {
        let bytes = [*head.get(at)?, *head.get(at + 1)?];
        Some(if order == 2 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let (kind, machine) = (number(16)?, number(18)?);
    if !head.starts_with(b"\x7fELF") || ![ET_EXEC.0, ET_DYN.0].contains(&kind) {
        return None;
    }
    Some(match (machine, class, order) {
        (62, 2, 1) => Ok("x86_64"),
        (183, 2, 1) => Ok("aarch64"),
        (3, 1, 1) => Err("i386".to_owned()),
        (40, 1, 1) => Err("arm".to_owned()),
        (21, 2, 1) => Err("ppc64le".to_owned()),
        (22, 2, 2) => Err("s390x".to_owned()),
        (243, 2, 1) => Err("riscv64".to_owned()),
        (258, 2, 1) => Err("loongarch64".to_owned()),
        (number, class, order) => {
            let class = if class == 2 { "" } else { "-32" };
            Err(format!("machine-{number}{class}{}", if order == 2 { "-be" } else { "" }))
        }
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Load { written: bool, executed: bool },
    Dynamic,
    Interpreter,
    Other,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    kind: Kind,
    offset: u64,
    address: u64,
    length: u64,
}

impl Segment {
    fn of(row: &ProgramHeader64<LE>) -> Self {
        let flags = row.p_flags.get(LE).0;
        let kind = match row.p_type.get(LE) {
            PT_LOAD => Kind::Load { written: flags & PF_W.0 != 0, executed: flags & PF_X.0 != 0 },
            PT_DYNAMIC => Kind::Dynamic,
            PT_INTERP => Kind::Interpreter,
            _ => Kind::Other,
        };
        let (offset, length) = (row.p_offset.get(LE), row.p_filesz.get(LE));
        Self { kind, offset, address: row.p_vaddr.get(LE), length }
    }

    /// How much of it, from its beginning, is kept.
    fn kept(&self) -> u64 {
        let limit = match self.kind {
            Kind::Load { written: true, .. } => CHANGED_NAMES,
            // The first segment has the names also where older linkers put the program into it.
            Kind::Load { executed: true, .. } if self.offset > 0 => 0,
            Kind::Load { .. } => NAMES,
            Kind::Dynamic | Kind::Interpreter => SMALL,
            Kind::Other => 0,
        };
        self.length.min(limit)
    }
}

/// The parts of a file that are kept, in order.
fn ranges(segments: &[Segment], head: u64) -> Vec<Range<u64>> {
    let kept = segments.iter().filter(|segment| segment.kept() > 0);
    let kept = kept.map(|segment| segment.offset..segment.offset.saturating_add(segment.kept()));
    let mut total = 0;
    let mut ranges = joined(kept.chain(std::iter::once(0..head)).collect());
    for range in &mut ranges {
        range.end = range.end.min(range.start.saturating_add(TOTAL - total));
        total += range.end - range.start;
    }
    ranges
}

/// A file as it is loaded.
struct Image {
    segments: Vec<Segment>,
    windows: Windows,
}

impl Image {
    fn elf(&self, machine: String) -> Option<Elf> {
        let mut elf = Elf { machine, ..Elf::default() };
        let mut text = Text { table: (0, 0), windows: &self.windows, left: TEXT };
        if let Some(interpreter) = self.segment(Kind::Interpreter) {
            let bytes = self.windows.from(interpreter.offset, interpreter.length.min(NAME))?;
            elf.interpreter = Some(name(bytes)?.to_owned());
        }
        let Some(dynamic) = self.segment(Kind::Dynamic) else { return Some(elf) };
        let bytes = self.windows.from(dynamic.offset, dynamic.length.min(SMALL)).unwrap_or_default();
        let (rows, _) = slice_from_bytes::<Dyn64<LE>>(bytes, bytes.len() / size_of::<Dyn64<LE>>()).ok()?;
        let rows: Vec<(DynamicTag, u64)> = rows
            .iter()
            .map(|row| (row.d_tag.get(LE), row.d_val.get(LE)))
            .take_while(|(tag, _)| *tag != DT_NULL)
            .collect();
        let value = |wanted| rows.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let Some(strings) = value(DT_STRTAB) else { return Some(elf) };
        text.table = (self.offset(strings)?, value(DT_STRSZ)?);
        for (tag, value) in &rows {
            match *tag {
                DT_NEEDED => elf.needed.push(text.take(*value)?),
                DT_SONAME => elf.soname = Some(text.take(*value)?),
                DT_RUNPATH => elf.runpath = paths(&text.take(*value)?),
                DT_RPATH => elf.rpath = paths(&text.take(*value)?),
                _ => {}
            }
        }
        if let Some((address, count)) = value(DT_VERNEED).zip(value(DT_VERNEEDNUM)) {
            self.needed_versions(self.offset(address)?, count, &mut text, &mut elf.versions_needed)?;
        }
        if let Some((address, count)) = value(DT_VERDEF).zip(value(DT_VERDEFNUM)) {
            self.versions(self.offset(address)?, count, &mut text, &mut elf.versions)?;
        }
        Some(elf)
    }

    fn segment(&self, kind: Kind) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.kind == kind)
    }

    /// Where in the file an address is.
    fn offset(&self, address: u64) -> Option<u64> {
        let mut loaded = self.segments.iter().filter(|segment| matches!(segment.kind, Kind::Load { .. }));
        loaded.find_map(|segment| {
            let at = address.checked_sub(segment.address).filter(|at| *at < segment.length)?;
            segment.offset.checked_add(at)
        })
    }

    fn row<T: Pod>(&self, offset: u64) -> Option<&T> {
        let bytes = self.windows.exactly(offset, size_of::<T>() as u64)?;
        from_bytes(bytes).ok().map(|(row, _)| row)
    }

    fn needed_versions(
        &self,
        mut at: u64,
        count: u64,
        text: &mut Text<'_>,
        found: &mut Vec<(String, String)>,
    ) -> Option<()> {
        for _ in 0..count {
            text.count(1)?;
            let library: &Verneed<LE> = self.row(at)?;
            let mut one = at.checked_add(library.vn_aux.get(LE).into())?;
            for _ in 0..library.vn_cnt.get(LE) {
                text.count(1)?;
                let version: &Vernaux<LE> = self.row(one)?;
                // The loader does not insist on weak ones.
                if version.vna_flags.get(LE).0 & VER_FLG_WEAK.0 == 0 {
                    let library = text.take(library.vn_file.get(LE).into())?;
                    found.push((library, text.take(version.vna_name.get(LE).into())?));
                }
                one = one.checked_add(version.vna_next.get(LE).into())?;
            }
            at = at.checked_add(library.vn_next.get(LE).into())?;
        }
        Some(())
    }

    fn versions(&self, mut at: u64, count: u64, text: &mut Text<'_>, found: &mut Vec<String>) -> Option<()> {
        for _ in 0..count {
            text.count(1)?;
            let version: &Verdef<LE> = self.row(at)?;
            // The first is the library's own name.
            if version.vd_flags.get(LE).0 & VER_FLG_BASE.0 == 0 {
                let name: &Verdaux<LE> = self.row(at.checked_add(version.vd_aux.get(LE).into())?)?;
                found.push(text.take(name.vda_name.get(LE).into())?);
            }
            at = at.checked_add(version.vd_next.get(LE).into())?;
        }
        Some(())
    }
}

/// The table of names, and how much of it may still be taken: rows of a few bytes can all name one long text.
struct Text<'a> {
    table: (u64, u64),
    windows: &'a Windows,
    left: usize,
}

impl Text<'_> {
    fn take(&mut self, at: u64) -> Option<String> {
        let (start, length) = self.table;
        let limit = length.checked_sub(at)?.min(NAME);
        let name = name(self.windows.from(start.checked_add(at)?, limit)?)?;
        self.count(name.len().max(1))?;
        Some(name.to_owned())
    }

    fn count(&mut self, length: usize) -> Option<()> {
        self.left = self.left.checked_sub(length)?;
        Some(())
    }
}

/// The text before the first NUL.
fn name(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    str::from_utf8(&bytes[..end]).ok().filter(|text| !text.chars().any(char::is_control))
}

fn paths(text: &str) -> Vec<String> {
    text.split(':').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
