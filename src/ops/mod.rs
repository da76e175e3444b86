//! One file per verb of the command line; each joins the parts below.
//!
//! Knows no terminal: what happens is told to an [`Observer`](event::Observer), what came out is returned.

pub mod event;
pub mod pack;
pub mod parallel;
pub mod values;
