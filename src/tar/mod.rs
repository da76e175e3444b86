//! The bytes of layers: canonical tar, deterministic gzip, and reading both.
//!
//! Generic over `Read` and `Write`; opens nothing, reads no clock. The same entries give the same bytes on every
//! machine and with every number of threads.

mod compressed;
mod gzip;
mod header;
mod merge;
mod read;
mod stream;

pub use compressed::{Packing, open as open_packed};
pub use gzip::GzipWriter;
pub use header::LAYERS_TIME;
pub use merge::{LayerFacts, Merge};
pub use read::{Member, MemberKind, TarError, TarReader};
pub use stream::{WriteError, write_tar};
