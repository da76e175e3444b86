//! Words on the screen, flags, exit codes.

pub mod progress;
pub mod style;
