//! What the programs of the components know, by bytes; and the programs themselves, as imgpack carries them, against real
//! servers and commands.
//!
//! Servers of gRPC are grpc-go's (`fixtures/health-server`, which `tests/install` builds). A test that lacks a program is
//! skipped and says so; with `CI=true` it fails.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unreachable_pub, reason = "the programs' modules are read as parts of the programs")]

#[expect(dead_code, reason = "the program's own main is not run here")]
#[path = "../../src/component/probe/main.rs"]
mod probe;

mod asked;
mod init;
mod program;
mod started;
