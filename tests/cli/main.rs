//! The command line as a person meets it: every message is read whole, with its exit code and what it leaves behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod auth;
mod bases;
mod builders;
mod cache;
mod closure;
mod copy;
mod debs;
mod disk;
mod elf;
#[allow(dead_code, reason = "unit tests use the rest")]
mod elf_file;
mod elsewhere;
mod env;
#[path = "../registry/fake.rs"]
#[allow(dead_code, reason = "faults are not played here")]
mod fake;
mod fresh;
mod graph;
mod inspect;
#[path = "../registry/keeping.rs"]
mod keeping;
mod lock;
mod merge;
#[allow(dead_code, reason = "each test takes of it what it needs")]
mod mirror;
mod offline;
mod output;
mod package_layers;
mod packages;
mod pinning;
mod plan;
mod pulled;
mod pushing;
mod real;
mod registry;
#[path = "../registry/servers.rs"]
#[allow(dead_code, reason = "the library is tried with them too")]
mod servers;
mod signals;
mod sources;
mod specs;
mod truth;
mod unchanged;
mod usage;
mod workspace_bases;
