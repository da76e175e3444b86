//! The door to this machine: files with their path in every error, locks, cancellation, child processes.
//!
//! Knows nothing of images.

mod cancel;
pub mod fs;
pub mod lock;
pub mod process;
pub mod space;

pub use cancel::{Cancel, Cancelled};
pub use fs::IoError;
