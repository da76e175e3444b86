//! The door to this machine: files with their path in every error, how a file looked, cancellation, child processes.
//!
//! Knows nothing of images.

mod cancel;
pub mod fs;
mod parallel;
pub mod process;
mod stat;

pub use cancel::{Cancel, Cancelled};
pub use fs::IoError;
pub use parallel::parallel;
pub use stat::{FileStat, Moment};
