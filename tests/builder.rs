//! The builders with the real toolchains: `go`, `cargo` and `rustup` on the PATH, both musl targets of the pinned
//! toolchain, and a network for the fetch phase.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this is all test code")]

#[path = "builder/fixture.rs"]
mod fixture;
#[path = "builder/go.rs"]
mod go;
#[path = "builder/rust.rs"]
mod rust;
#[path = "builder/workspace.rs"]
mod workspace;
