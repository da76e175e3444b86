//! The door to this machine: files with their path in every error, how a file looked, tars of files, locks,
//! cancellation, child processes.
//!
//! Knows nothing of images.

mod apt;
mod archive_file;
mod cancel;
pub mod fs;
pub mod lock;
mod parallel;
pub mod process;
pub mod space;
mod stat;

pub use apt::AptFiles;
pub use archive_file::{ArchiveFile, ArchiveFileError, Window};
pub use cancel::{Cancel, Cancelled, Watched};
pub use fs::IoError;
pub use parallel::parallel;
pub use stat::{FileStat, Moment};
