//! The bytes of layers: canonical tar, deterministic gzip, and reading both.
//!
//! Generic over `Read` and `Write`; opens nothing, reads no clock. The same entries give the same bytes on every
//! machine and with every number of threads.

mod gzip;
mod header;
mod stream;

pub use gzip::GzipWriter;
pub use header::LAYERS_TIME;
pub use stream::{TarError, write_tar};
