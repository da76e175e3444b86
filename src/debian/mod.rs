//! Debian packages: versions, relations, indexes and their signatures, solving, the files of a .deb (Debian Policy Manual,
//! chapters 3 to 7; deb(5), deb-control(5), deb-version(7)).
//!
//! Opens nothing: readers and texts come in, values go out.

mod candidates;
mod deb;
mod explain;
mod index;
mod installed;
mod order;
mod paragraph;
mod relation;
mod sat;
mod solve;
mod version;

pub use deb::{DebError, DebFacts, read_deb};
pub use explain::{Fact, NoSolution};
pub use index::{Index, IndexError};
pub use installed::Installed;
pub use paragraph::{Paragraph, ParagraphError, paragraphs};
pub use relation::{Comparison, Relation, RelationError, relations};
pub use solve::{Chosen, Request, Solution, solve};
pub use version::compare_versions;
