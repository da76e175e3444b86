//! Debian packages: versions, relations, indexes and their signatures, solving, the files of a .deb (Debian Policy Manual,
//! chapters 3 to 7; deb(5), deb-control(5), deb-version(7)).
//!
//! Opens nothing: readers and texts come in, values go out.

mod deb;
mod explain;
mod index;
mod installed;
mod paragraph;
mod solve;

pub use deb::{DebError, DebFacts, read_deb};
pub use explain::NoSolution;
pub use index::{Index, IndexError};
pub use installed::Installed;
pub use paragraph::{Paragraph, ParagraphError, paragraphs};
pub use solve::{Chosen, Request, Solution, solve};
