//! The bytes of layers: canonical tar, deterministic gzip, and reading both.
//!
//! Generic over `Read` and `Write`; opens nothing.
