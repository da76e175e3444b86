//! One file per verb of the command line; each joins the parts below.
//!
//! Knows no terminal: what happens is told to an [`Observer`](event::Observer), what came out is returned.

pub mod assemble;
/// `imgpack auth`.
pub mod auth;
pub mod bases;
pub mod build;
/// `imgpack cache`.
pub mod cache;
pub mod closure;
pub mod compile;
pub mod contents;
/// `imgpack copy`.
pub mod copy;
pub mod deliver;
mod downloads;
mod elf;
/// Why a command did not do all that was asked.
pub mod error;
/// What happens while a command runs.
pub mod event;
pub mod explain;
pub mod files;
pub mod fingerprint;
pub mod graph;
pub mod history;
pub mod image_record;
pub mod inputs;
/// `imgpack inspect`.
pub mod inspect;
/// `imgpack lock`, and the file that it writes.
pub mod lock;
/// What every command works with.
pub mod machine;
/// `imgpack merge`.
pub mod merge;
pub mod outdated;
pub mod pack;
pub mod packages;
pub mod pins;
pub mod place;
pub mod prepare;
pub mod press;
mod pulls;
pub mod remote_sources;
pub mod result;
mod slots;
pub mod sources;
pub mod tags;
pub mod values;
pub mod workspace;
mod workspace_images;
