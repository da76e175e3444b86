//! The binary: hands the process to [`imgpack::cli`] and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    imgpack::cli::main()
}
