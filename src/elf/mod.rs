//! ELF files: what the dynamic loader reads of them, and what it would miss in an image.

mod read;
mod windows;

pub use read::read_elf;

#[cfg(test)]
#[path = "../../tests/cli/elf_file.rs"]
pub(crate) mod elf_file;
