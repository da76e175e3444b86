use std::io::{self, Read};

use super::read::read_elf;
use crate::model::Elf;

/// Longest first line of a script that a kernel reads (execve(2), "Interpreter scripts"), rounded up.
const LINE: u64 = 256;

/// What the kernel and the loader make of a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Executable {
    /// A program or library.
    Elf(Elf),
    /// A script: what stands behind `#!`.
    Script(String),
    /// Neither.
    Other,
}

impl Executable {
    /// Looks at a file from its beginning.
    pub fn read(file: &mut impl Read) -> io::Result<Self> {
        let mut head = Vec::new();
        file.by_ref().take(LINE).read_to_end(&mut head)?;
        if let Some(line) = head.strip_prefix(b"#!") {
            let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
            return Ok(Self::Script(String::from_utf8_lossy(line).trim().to_owned()));
        }
        let elf = read_elf(&mut head.as_slice().chain(file))?;
        Ok(elf.map_or(Self::Other, Self::Elf))
    }

    /// What stands behind `#!`, of a script.
    pub fn script(&self) -> Option<&str> {
        if let Self::Script(line) = self { Some(line) } else { None }
    }

    /// What it is as an ELF file.
    pub fn elf(&self) -> Option<&Elf> {
        if let Self::Elf(elf) = self { Some(elf) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::elf_file::ElfFile;

    #[test]
    fn files_are_told_apart() {
        let read = |bytes: &[u8]| Executable::read(&mut &bytes[..]).unwrap();
        for (text, line) in [
            ("#!/bin/sh\nexit 1\n", "/bin/sh"),
            ("#! /usr/bin/env  python3 -u\r\n", "/usr/bin/env  python3 -u"),
            ("#!", ""),
        ] {
            assert_eq!(read(text.as_bytes()), Executable::Script(line.to_owned()));
        }
        assert_eq!(read(b"text"), Executable::Other);
        let library = ElfFile { soname: Some("libx.so"), code: Some(1000), ..ElfFile::default() }.bytes();
        assert_eq!(read(&library).elf().unwrap().soname.as_deref(), Some("libx.so"));
    }
}
