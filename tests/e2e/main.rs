//! End to end: the sources under `fixtures/` become images by `imgpack`, go to a real registry, are pulled and run by
//! a real container engine, and are asked whether they do what they are for. Other programs judge what was made.
//!
//! Registry and engine belong to this run alone and are gone after it. `IMGPACK_BIN` names another binary to test,
//! `IMGPACK_E2E_CACHE` a cache that outlives the run (by default every run builds from nothing). A test that lacks a
//! program is skipped and says so; with `CI=true` it fails. `tests/install` installs what is needed.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod arm64;
mod catalogue;
mod components;
mod engine;
mod judges;
mod program;
mod qemu;
mod registry;
mod services;
mod sizes;
mod trust;
mod unpacked;
mod waiting;
mod workspace;
mod world;
