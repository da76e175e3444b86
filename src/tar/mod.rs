//! The bytes of layers: canonical tar, deterministic gzip, and reading both.
//!
//! Generic over `Read` and `Write`; opens nothing.

mod compressed;
mod merge;
mod read;

pub use compressed::{Packing, open as open_packed};
pub use merge::{LayerFacts, Merge};
pub use read::{Member, MemberKind, TarError, TarReader};
