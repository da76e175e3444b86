use std::sync::Arc;

use super::map::Map;
use crate::spec::sources::Span;

/// A value and where it was written. Cheap to clone: lists and maps are shared until they are merged.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::spec) struct Node {
    pub(in crate::spec) span: Span,
    pub(in crate::spec) content: Content,
    /// What became of the things below it when it was merged.
    pub(in crate::spec) over: Over,
}

/// How a node relates to what it is laid over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::spec) enum Over {
    /// A map is merged with the map below.
    Merge,
    /// It takes the place of what is below.
    Replace,
    /// The same, because a `null` stood between: what the base image has is removed too (§3, "null").
    Clear,
}

/// The four kinds of nodes.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::spec) enum Content {
    Null,
    Scalar(Arc<str>, Style),
    List(Arc<Vec<Node>>),
    Map(Arc<Map>),
}

/// A key's place, and its value.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::spec) struct Entry {
    pub(in crate::spec) key: Span,
    pub(in crate::spec) node: Node,
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::spec) enum Style {
    /// As it is: may be a number or a boolean.
    Plain,
    /// In quotes or as a block: always text.
    Quoted,
    /// On the command line: whatever the field wants.
    Argument,
}

impl Node {
    pub(in crate::spec) fn new(span: Span, content: Content) -> Self {
        Self { span, content, over: Over::Merge }
    }

    /// An empty map.
    pub(in crate::spec) fn empty(span: Span) -> Self {
        Self::new(span, Content::Map(Arc::default()))
    }

    pub(in crate::spec) fn map(&self) -> Option<&Map> {
        match &self.content {
            Content::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The value of `key`, where this is a map that has it.
    pub(in crate::spec) fn get(&self, key: &str) -> Option<&Node> {
        self.map()?.get(key).map(|entry| &entry.node)
    }

    /// The text, where this is a scalar.
    pub(in crate::spec) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// What it is, for `found …`.
    pub(in crate::spec) fn describe(&self) -> &'static str {
        match &self.content {
            Content::Null => "null",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
            Content::Scalar(text, Style::Plain) => super::classify(text).describe(),
            Content::Scalar(..) => "text",
        }
    }
}
