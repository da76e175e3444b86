//! ELF files: what the dynamic loader reads of them, and what it would miss in an image.
//!
//! [`check`] looks at the merged tree as the kernel and the loader will: from the programs that an image names, through
//! scripts, to every library that is needed. What is not known is no error.

mod check;
mod error;
mod process;
mod program;
mod provider;
mod read;
mod roots;
mod view;
mod windows;

pub use check::{Check, Checked, Foreign, check, may_be_elf};
pub use error::{ElfError, Missing};
pub use process::CLibrary;
pub use program::Executable;
pub use provider::Distribution;
pub use read::read_elf;
pub use roots::Program;
pub use view::View;

#[cfg(test)]
#[path = "../../tests/cli/elf_file.rs"]
pub(crate) mod elf_file;
