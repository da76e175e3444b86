//! Words on the screen, flags, exit codes. Decides nothing about images.

mod args;
mod auth;
mod cache;
mod copy;
mod failure;
mod inspect;
mod lock;
mod merge;
mod outdated;
pub mod progress;
mod registries;
mod run;
pub mod style;
mod verbs;

pub use run::main;
