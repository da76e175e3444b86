//! Every output form of an image, and what the tools of others say to it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    reason = "helpers of tests are outside of #[test] functions"
)]

#[path = "output/judge.rs"]
mod judge;
#[path = "output/sample.rs"]
mod sample;

#[path = "output/engine.rs"]
mod engine;
#[path = "output/failure.rs"]
mod failure;
#[path = "output/form.rs"]
mod form;
