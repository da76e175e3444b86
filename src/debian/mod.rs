//! Debian packages: versions, relations, indexes and their signatures, solving, the files of a .deb (Debian Policy Manual,
//! chapters 3 to 7; deb(5), deb-control(5), deb-version(7)).
//!
//! Opens nothing: readers and texts come in, values go out.

mod ar;
mod deb;
mod documentation;
mod explain;
mod index;
mod installed;
mod merge;
mod packing;
mod paragraph;
mod scripts;
mod solve;

pub use deb::{DebError, DebFacts, read_deb};
pub use documentation::{Documentation, documentation};
pub use explain::NoSolution;
pub use index::{Index, IndexError};
pub use installed::Installed;
pub use merge::{MergeError, MergedPackages, merge_packages};
pub use paragraph::{Paragraph, ParagraphError, paragraphs};
pub use scripts::{Installed as Installation, ScriptError, effects};
pub use solve::{Chosen, Request, Solution, solve};
