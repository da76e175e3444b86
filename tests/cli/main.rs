//! The command line as a person meets it: every message is read whole, with its exit code and what it leaves behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bases;
mod builders;
mod closure;
mod disk;
mod env;
mod fresh;
mod lock;
mod output;
mod plan;
mod registry;
mod signals;
mod sources;
mod specs;
mod truth;
mod usage;
