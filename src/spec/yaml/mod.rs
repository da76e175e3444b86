//! YAML 1.2 as a tree that knows where each of its nodes was written.

mod map;
mod node;
mod parse;
mod scalar;

pub(in crate::spec) use map::{Changes, Map};
pub(in crate::spec) use node::{Content, Entry, Node, Over, Style};
pub(in crate::spec) use parse::{parse, parse_value};
pub(in crate::spec) use scalar::{Plain, classify};
