//! The types of the language: each reads itself from a tree, saying every mistake, and describes itself as JSON Schema.
//!
//! One source for what is read, what is refused, what `--set` may name and what editors are told: a field that is
//! declared and not used is a warning of the compiler, one that is used and not declared does not compile.

mod late;
mod leaf;
mod record;
mod table;
mod words;

use serde_json::{Map as JsonMap, Value as Json};

pub(in crate::spec) use late::{FromText, Late, Origin, Wrong};
pub(in crate::spec) use leaf::{Checked, Int, Items, Plain, Template};
pub(in crate::spec) use record::{
    FieldName, Record, Taken, read_record, record, record_property, record_schema,
};
pub(in crate::spec) use table::{Key, Row, Table};
pub(in crate::spec) use words::words;

use super::problem::{Draft, Drafts};
use super::sources::{Sources, Span};
use super::yaml::{Content, Node, Over};

/// A type of the language.
pub(in crate::spec) trait Shape: Sized {
    /// Whether `key+` may append to it.
    const LIST: bool = false;
    /// Reads itself; `None` after a mistake, which is said.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;
    /// Itself as JSON Schema.
    fn schema(schemas: &mut Schemas) -> Json;
    /// Itself in words, for `wants …`.
    fn wanted() -> String;
}

/// What reading needs.
pub(in crate::spec) struct Reader<'a> {
    pub(in crate::spec) sources: &'a Sources,
    pub(in crate::spec) drafts: &'a mut Drafts,
    /// The field that is being read.
    at: String,
}

impl<'a> Reader<'a> {
    pub(in crate::spec) fn new(sources: &'a Sources, drafts: &'a mut Drafts) -> Self {
        Self { sources, drafts, at: String::new() }
    }

    /// Says that something is wrong at `span`.
    pub(in crate::spec) fn say(&mut self, span: Span, message: impl Into<String>) -> &mut Draft {
        self.drafts.say(span, message)
    }

    /// Says that `node` is not what its field wants.
    pub(in crate::spec) fn wrong(&mut self, node: &Node, wanted: &str) -> &mut Draft {
        let message = format!("`{}` wants {wanted}, found {}", self.at, node.describe());
        self.drafts.say(node.span, message)
    }

    /// Reads the value of field `name`.
    pub(in crate::spec) fn field<T: Shape>(&mut self, name: &str, node: &Node) -> Field<T> {
        if node.content == Content::Null {
            return Field::Removed;
        }
        let outer = std::mem::replace(&mut self.at, name.to_owned());
        let value = T::read(node, self);
        self.at = outer;
        match value {
            Some(value) => Field::Set(Set { value, span: node.span, cleared: node.over == Over::Clear }),
            None => Field::Broken,
        }
    }

    /// The name of the field that is being read.
    pub(in crate::spec) fn at(&self) -> &str {
        &self.at
    }
}

/// The value of a field that may be left out.
#[derive(Debug, Clone, Default)]
pub(in crate::spec) enum Field<T> {
    /// Not said.
    #[default]
    Absent,
    /// `null`.
    Removed,
    /// Said.
    Set(Set<T>),
    /// Said, but wrong: there is a mistake for it already.
    Broken,
}

/// A value that was said.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Set<T> {
    pub(in crate::spec) value: T,
    pub(in crate::spec) span: Span,
    /// A `null` stood below it.
    pub(in crate::spec) cleared: bool,
}

impl<T> Field<T> {
    /// The value, where one was said and is right.
    pub(in crate::spec) fn get(&self) -> Option<&Set<T>> {
        match self {
            Self::Set(set) => Some(set),
            _ => None,
        }
    }

    pub(in crate::spec) fn value(&self) -> Option<&T> {
        self.get().map(|set| &set.value)
    }

    /// Whether something was said, right or wrong.
    pub(in crate::spec) fn is_said(&self) -> bool {
        matches!(self, Self::Set(_) | Self::Broken)
    }

    /// Whether what the base image has goes: `null`, or values laid over a `null`.
    pub(in crate::spec) fn clears(&self) -> bool {
        matches!(self, Self::Removed) || self.get().is_some_and(|set| set.cleared)
    }
}

/// The named parts of a JSON Schema (`$defs`).
#[derive(Debug, Default)]
pub(in crate::spec) struct Schemas(pub(in crate::spec) JsonMap<String, Json>);

impl Schemas {
    /// A reference to the part `name`, made by `make` when it is first asked for.
    pub(in crate::spec) fn named(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Json) -> Json {
        if !self.0.contains_key(name) {
            // A placeholder ends the recursion of types that hold themselves.
            self.0.insert(name.to_owned(), Json::Null);
            let part = make(self);
            self.0.insert(name.to_owned(), part);
        }
        serde_json::json!({ "$ref": format!("#/$defs/{name}") })
    }
}

/// `schema` or `null`.
pub(in crate::spec) fn nullable(schema: &Json, description: &str) -> Json {
    let mut any = match schema.get("anyOf") {
        Some(Json::Array(forms)) if schema.as_object().is_some_and(|map| map.len() == 1) => forms.clone(),
        _ => vec![schema.clone()],
    };
    any.push(serde_json::json!({ "type": "null" }));
    if description.is_empty() {
        serde_json::json!({ "anyOf": any })
    } else {
        serde_json::json!({ "description": description, "anyOf": any })
    }
}
