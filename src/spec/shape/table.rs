use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde_json::{Value as Json, json};

use super::{Field, Reader, Schemas, Shape, Wrong, nullable};
use crate::spec::sources::Span;
use crate::spec::yaml::{Content, Node};

/// What to do instead of YAML 1.1's merge keys.
pub(super) const MERGE_KEY: &str = "YAML 1.2 has no merge keys: use `extends`";

/// What the keys of a table are.
pub(in crate::spec) trait Key {
    /// Itself in words.
    const WANTED: &'static str;
    /// What is wrong with `text` as a key.
    fn check(text: &str) -> Result<(), Wrong>;
}

/// A map with the user's own keys.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Table<K, T> {
    pub(in crate::spec) rows: BTreeMap<String, Row<T>>,
    keys: PhantomData<K>,
}

/// One row of a table.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Row<T> {
    pub(in crate::spec) key: Span,
    pub(in crate::spec) field: Field<T>,
}

impl<K: Key, T: Shape> Shape for Table<K, T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Content::Map(map) = &node.content else {
            reader.wrong(node, &Self::wanted());
            return None;
        };
        let mut rows = BTreeMap::new();
        for (key, entry) in map.iter() {
            if &**key == "<<" && matches!(entry.node.content, Content::Map(_) | Content::List(_)) {
                reader.say(entry.key, "`<<` in a map").hint(MERGE_KEY);
                continue;
            }
            if let Err(wrong) = K::check(key) {
                wrong.say(entry.key, reader);
                continue;
            }
            let field = reader.field(key, &entry.node);
            rows.insert(key.to_string(), Row { key: entry.key, field });
        }
        Some(Self { rows, keys: PhantomData })
    }
    fn schema(schemas: &mut Schemas) -> Json {
        let values = T::schema(schemas);
        json!({ "type": "object", "additionalProperties": nullable(&values, "") })
    }
    fn wanted() -> String {
        format!("a map of {} to {}", K::WANTED, T::wanted())
    }
}

impl<K, T> Field<Table<K, T>> {
    /// The rows; none where nothing was said.
    pub(in crate::spec) fn rows(&self) -> impl Iterator<Item = (&String, &Row<T>)> {
        self.value().into_iter().flat_map(|table| table.rows.iter())
    }
}
