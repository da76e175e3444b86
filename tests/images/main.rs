//! What images are, byte for byte, by the program itself: layers that do not depend on their base, layers that images
//! share, files composed from base and spec, fixed digests of fixed trees, equal digests whatever is around a build,
//! and other programs' readings of all of it.
//!
//! A test that lacks a program or a file is skipped and says so; with `CI=true` it fails. `tests/install` installs
//! what is needed. `UPDATE_GOLDEN=1` writes the expected digests anew.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod alpine_packages;
mod apk_files;
mod apk_repositories;
mod apk_repository;
mod archives;
mod built;
mod composed;
#[path = "../registry/fake.rs"]
#[allow(dead_code, reason = "faults of registries are not played here")]
mod fake;
mod golden;
mod judges;
mod layout;
mod matrix;
mod program;
mod pulled;
mod registry;
mod reproducible;
mod rootfs;
mod sharing;
mod workspace;
