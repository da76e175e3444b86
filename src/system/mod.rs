//! The door to this machine: files with their path in every error, how a file looked, locks, cancellation, child processes.
//!
//! Knows nothing of images.

mod cancel;
pub mod fs;
pub mod lock;
mod parallel;
pub mod process;
pub mod space;
mod stat;

pub use cancel::{Cancel, Cancelled};
pub use fs::IoError;
pub use parallel::parallel;
pub use stat::{FileStat, Moment};
