//! Debian packages: versions, relations, indexes and their signatures, solving, the files of a .deb (Debian Policy Manual,
//! chapters 3 to 7; deb(5), deb-control(5), deb-version(7)).
//!
//! Opens nothing: readers and texts come in, values go out.

mod deb;
mod paragraph;
mod scripts;
mod shell;

pub use deb::{DebError, DebFacts, read_deb};
pub use paragraph::{Paragraph, ParagraphError, paragraphs};
pub use scripts::{Installed, ScriptError, effects};
