//! The language of buildspecs: what it means, what it refuses, and that its pages say the same.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "texts are put together to be read here"
)]

mod bad_specs;
mod docs;
mod hostile;
mod meaning;
mod memory;
mod schema;
mod selection;
