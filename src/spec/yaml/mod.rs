//! YAML 1.2 as a tree that knows where each of its nodes was written.

mod node;
mod parse;
mod scalar;

pub(in crate::spec) use node::{Content, Entry, Map, Node, Over, Style};
pub(in crate::spec) use parse::{parse, parse_value};
pub(in crate::spec) use scalar::{Plain, classify};
