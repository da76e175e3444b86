//! The door to this machine: files with their path in every error, cancellation, child processes.
//!
//! Knows nothing of images.

mod cancel;
pub mod fs;
pub mod process;

pub use cancel::{Cancel, Cancelled};
pub use fs::IoError;
