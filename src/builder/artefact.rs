//! What a tool made: is it what was wanted, and a copy out of reach of the next build.

use std::fs::{File, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use object::elf::{EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadCache};

use crate::model::{Architecture, Platform};
use crate::system::{self, IoError};

use super::{Artefact, BuilderError};

/// Whether a text is in a file that is handed over in pieces.
struct Search {
    needle: Vec<u8>,
    kept: Vec<u8>,
    found: bool,
}

impl Search {
    fn new(needle: &[u8]) -> Self {
        Self { needle: needle.to_owned(), kept: Vec::new(), found: false }
    }

    fn feed(&mut self, bytes: &[u8]) {
        if self.found || self.needle.is_empty() {
            return;
        }
        let overlap = self.needle.len() - 1;
        self.kept.extend_from_slice(&bytes[..bytes.len().min(overlap)]);
        self.found = contains(&self.kept, &self.needle) || contains(bytes, &self.needle);
        if bytes.len() >= overlap {
            self.kept.clear();
            self.kept.extend_from_slice(&bytes[bytes.len() - overlap..]);
        } else {
            let excess = self.kept.len().saturating_sub(overlap);
            self.kept.drain(..excess);
        }
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let (Some(&first), mut rest) = (needle.first(), bytes) else { return true };
    while let Some(at) = rest.iter().position(|&byte| byte == first) {
        rest = &rest[at..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// Checks a static program and copies it into `into`. The flag says whether the bytes name `cache`, which would make them
/// differ where the cache is elsewhere.
pub(super) fn take(
    made: &Path,
    name: &str,
    platform: Platform,
    into: &Path,
    cache: &Path,
) -> Result<(Artefact, bool), BuilderError> {
    use std::os::unix::ffi::OsStrExt as _;
    let wrong = |reason: String| BuilderError::Binary { name: name.to_owned(), reason };
    let mut source = system::fs::open(made)?;
    check(&source, platform).map_err(wrong)?;
    source.rewind().map_err(IoError::of("read", made))?;
    let path = into.join(name);
    let mut file =
        File::options().write(true).create_new(true).open(&path).map_err(IoError::of("create", &path))?;
    let mut search = Search::new(cache.as_os_str().as_bytes());
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = source.read(&mut buffer).map_err(IoError::of("read", made))?;
        if count == 0 {
            break;
        }
        search.feed(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(IoError::of("write", &path))?;
    }
    file.set_permissions(Permissions::from_mode(0o755)).map_err(IoError::of("set the mode of", &path))?;
    Ok((Artefact { name: name.to_owned(), path, executable: true }, search.found))
}

/// The reason why a file is no static program for the platform.
fn check(file: &File, platform: Platform) -> Result<(), String> {
    let unreadable = |_| "is not a 64-bit ELF file".to_owned();
    let cache = ReadCache::new(file);
    let header = FileHeader64::<Endianness>::parse(&cache).map_err(unreadable)?;
    let endian = header.endian().map_err(unreadable)?;
    let machine = match header.e_machine(endian) {
        EM_X86_64 => "amd64".to_owned(),
        EM_AARCH64 => "arm64".to_owned(),
        other => format!("ELF machine {other:?}"),
    };
    let wanted = match platform.architecture {
        Architecture::Amd64 => "amd64",
        Architecture::Arm64 => "arm64",
    };
    if machine != wanted {
        return Err(format!("is made for {machine}, and {platform} was wanted"));
    }
    if !matches!(header.e_type(endian), ET_EXEC | ET_DYN) {
        return Err("is not a program".to_owned());
    }
    for segment in header.program_headers(endian, &cache).map_err(unreadable)? {
        if segment.p_type(endian) == PT_INTERP {
            let loader = segment.interpreter(endian, &cache).ok().flatten().map(String::from_utf8_lossy);
            let loader = loader.map(|loader| format!(" ({loader})")).unwrap_or_default();
            return Err(format!("is not static: it wants a loader{loader}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header with one program header, little-endian.
    fn elf(machine: u16, kind: u16, segment: u32) -> Vec<u8> {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(kind.to_le_bytes());
        bytes.extend(machine.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(64u64.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend([0; 4]);
        for half in [64u16, 56, 1, 64, 0, 0] {
            bytes.extend(half.to_le_bytes());
        }
        bytes.extend(segment.to_le_bytes());
        bytes.extend([0; 4]);
        for word in [120u64, 0, 0, 7, 7, 1] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(b"/lib/l\0");
        bytes
    }

    #[test]
    fn only_static_programs_of_the_platform_pass() {
        let cases = [
            (elf(62, 2, 1), Platform::AMD64, None),
            (elf(183, 3, 1), Platform::ARM64, None),
            (elf(62, 2, 1), Platform::ARM64, Some("is made for amd64, and linux/arm64 was wanted")),
            (elf(62, 3, 3), Platform::AMD64, Some("is not static: it wants a loader (/lib/l)")),
            (elf(62, 1, 1), Platform::AMD64, Some("is not a program")),
            (b"#!/bin/sh".to_vec(), Platform::AMD64, Some("is not a 64-bit ELF file")),
            (Vec::new(), Platform::AMD64, Some("is not a 64-bit ELF file")),
        ];
        for (bytes, platform, reason) in cases {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            assert_eq!(check(&file, platform).err().as_deref(), reason);
        }
    }

    #[test]
    fn a_text_is_found_across_pieces() {
        for pieces in
            [vec!["xx/cac", "he/yy"], vec!["/", "c", "a", "c", "h", "e"], vec!["ab/cache"], vec!["//cache"]]
        {
            let mut search = Search::new(b"/cache");
            for piece in &pieces {
                search.feed(piece.as_bytes());
            }
            assert!(search.found, "{pieces:?}");
        }
        let mut search = Search::new(b"/cache");
        for piece in ["/cac", "/he", "cache", "/ca", "the"] {
            search.feed(piece.as_bytes());
        }
        assert!(!search.found);
    }

    #[test]
    fn an_artefact_is_copied_and_nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let (made, into) = (directory.path().join("made"), directory.path().join("into"));
        std::fs::create_dir(&into).unwrap();
        let mut bytes = elf(62, 2, 1);
        bytes.extend(b"/the/cache/stage/x");
        std::fs::write(&made, &bytes).unwrap();
        let (artefact, named) = take(&made, "app", Platform::AMD64, &into, Path::new("/the/cache")).unwrap();
        assert!(named);
        assert_eq!(std::fs::read(&artefact.path).unwrap(), bytes);
        assert_eq!(artefact.path, into.join("app"));
        let error = take(&made, "app", Platform::AMD64, &into, Path::new("/other")).unwrap_err();
        assert!(error.to_string().starts_with("cannot create "), "{error}");
    }
}
