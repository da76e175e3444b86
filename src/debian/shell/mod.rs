//! The shell language of maintainer scripts, read into a tree (POSIX.1-2024, XCU chapter 2; Debian Policy Manual, 10.4).
//! What is no POSIX shell is an error: a script that is not understood is never guessed at.

mod parse;
mod syntax;

pub(super) use parse::{ShellError, parse};
pub(super) use syntax::{Document, Node, Parameter, Piece, Redirect, Script, Target, Word};
