//! The bytes of layers: canonical tar cut into groups, their compression, and reading both.
//!
//! Generic over `Read` and `Write`; opens nothing, reads no clock. The same entries give the same bytes on every
//! machine and with every number of threads.

mod attributes;
mod compressed;
mod framing;
mod groups;
mod header;
mod members;
mod merge;
mod read;
mod stream;

pub use attributes::Attributes;
pub use compressed::{Packing, open as open_packed, open_xz};
pub use framing::Framing;
pub use groups::{Group, groups};
pub use header::LAYERS_TIME;
pub use members::{Budget, LayerMembers};
pub use merge::{LayerFacts, Merge};
pub use read::{Member, MemberKind, TarError, TarReader};
pub(crate) use read::{components, lossy};
pub use stream::{Open, TarWriter, WriteError};
