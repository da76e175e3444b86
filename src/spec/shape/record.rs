use serde_json::{Map as JsonMap, Value as Json, json};

use super::table::MERGE_KEY;
use super::{Reader, Schemas, nullable};
use crate::spec::language;
use crate::spec::problem::nearest;
use crate::spec::yaml::{Content, Entry, Node};

/// A map with known fields.
pub(in crate::spec) trait Record: Default {
    /// Its name in messages.
    const LABEL: &'static str;
    /// Its name in the schema.
    const NAME: &'static str;
    /// What it is, for the schema.
    const DOC: &'static str;
    /// Whether `x-…` keys are ignored in it.
    const FREE: bool = false;
    /// Takes the value of field `key`; with `append` it was written `key+`.
    fn take(&mut self, key: &str, append: bool, node: &Node, reader: &mut Reader<'_>) -> Taken;
    /// Its fields.
    fn names() -> Vec<FieldName>;
    /// The schema of each field.
    fn properties(schemas: &mut Schemas, properties: &mut JsonMap<String, Json>);
}

/// What [`Record::take`] did.
pub(in crate::spec) enum Taken {
    /// It took the value, or said what is wrong with it.
    Yes,
    /// There is such a field, of a later version, that brings this.
    Later(&'static str),
    /// There is such a field, but nothing can be appended to it.
    NoList,
    /// There is none.
    Unknown,
}

/// A field by name.
#[derive(Debug, Clone, Copy)]
pub(in crate::spec) struct FieldName {
    pub(in crate::spec) name: &'static str,
    /// Whether it is refused in this version.
    pub(in crate::spec) later: bool,
}

/// Declares a record: its fields (`"name" => member: Type`), those that it shares with another record
/// (`with member: Record`), and those that this version refuses (`later { "name" => "what it brings" }`).
macro_rules! record {
    (
        $(#[doc = $doc:literal])*
        $(#[free($free:literal)])?
        struct $name:ident($label:literal) {
            $( $(#[doc = $field_doc:literal])* $key:literal => $member:ident: $type:ty, )*
        }
        $( with $inner:ident: $inner_type:ident )?
        $( later { $( $later_key:literal => $later_doc:literal, )* } )?
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Default)]
        pub(in crate::spec) struct $name {
            $( $(#[doc = $field_doc])* pub(in crate::spec) $member: $crate::spec::shape::Field<$type>, )*
            $( pub(in crate::spec) $inner: $inner_type, )?
        }

        impl $crate::spec::shape::Record for $name {
            const LABEL: &'static str = $label;
            const NAME: &'static str = stringify!($name);
            const DOC: &'static str = concat!($($doc, "\n"),*);
            $( const FREE: bool = $free; )?

            fn take(
                &mut self,
                key: &str,
                append: bool,
                node: &$crate::spec::yaml::Node,
                reader: &mut $crate::spec::shape::Reader<'_>,
            ) -> $crate::spec::shape::Taken {
                match key {
                    $(
                        $key if append && !<$type as $crate::spec::shape::Shape>::LIST => {
                            $crate::spec::shape::Taken::NoList
                        }
                        $key => {
                            self.$member = reader.field($key, node);
                            $crate::spec::shape::Taken::Yes
                        }
                    )*
                    $( $( $later_key => $crate::spec::shape::Taken::Later($later_doc), )* )?
                    $( _ if true => self.$inner.take(key, append, node, reader), )?
                    _ => $crate::spec::shape::Taken::Unknown,
                }
            }

            fn names() -> Vec<$crate::spec::shape::FieldName> {
                #[allow(unused_mut, reason = "only records that share fields add to it")]
                let mut names = vec![
                    $( $crate::spec::shape::FieldName { name: $key, later: false }, )*
                    $( $( $crate::spec::shape::FieldName { name: $later_key, later: true }, )* )?
                ];
                $( names.extend(<$inner_type as $crate::spec::shape::Record>::names()); )?
                names
            }

            fn properties(
                schemas: &mut $crate::spec::shape::Schemas,
                properties: &mut serde_json::Map<String, serde_json::Value>,
            ) {
                $( <$inner_type as $crate::spec::shape::Record>::properties(schemas, properties); )?
                $( $crate::spec::shape::record_property::<$type>(
                    $key, concat!($($field_doc, "\n"),*), schemas, properties,
                ); )*
                $( $( properties.insert($later_key.to_owned(), serde_json::json!({
                    "description": concat!("Not in this version of imgpack yet: ", $later_doc, "."), "not": {},
                })); )* )?
            }
        }

        impl $crate::spec::shape::Shape for $name {
            fn read(
                node: &$crate::spec::yaml::Node,
                reader: &mut $crate::spec::shape::Reader<'_>,
            ) -> Option<Self> {
                $crate::spec::shape::read_record(node, reader)
            }
            fn schema(schemas: &mut $crate::spec::shape::Schemas) -> serde_json::Value {
                $crate::spec::shape::record_schema::<Self>(schemas)
            }
            fn wanted() -> String {
                "a map".to_owned()
            }
        }
    };
}
pub(in crate::spec) use record;

/// Reads a record: every field that is there, every mistake.
pub(in crate::spec) fn read_record<R: Record>(node: &Node, reader: &mut Reader<'_>) -> Option<R> {
    let Content::Map(map) = &node.content else {
        reader.wrong(node, "a map");
        return None;
    };
    let mut record = R::default();
    for (key, entry) in map.iter() {
        if R::FREE && key.starts_with("x-") {
            continue;
        }
        let (name, append) = key.strip_suffix('+').map_or((&**key, false), |name| (name, true));
        if append && map.contains_key(name) {
            reader
                .say(entry.key, format!("both `{name}` and `{key}` in one map"))
                .hint(format!("`{name}` replaces what is extended, `{key}` appends to it"));
            continue;
        }
        if append
            && !matches!(entry.node.content, Content::List(_))
            && R::names().iter().any(|f| f.name == name)
        {
            reader.say(
                entry.key,
                format!("`{key}` appends to a list and wants one, found {}", entry.node.describe()),
            );
            continue;
        }
        match record.take(name, append, &entry.node, reader) {
            Taken::Yes => {}
            Taken::Later(what) => {
                reader
                    .say(entry.key, format!("`{name}` ({what}) is not in this version of imgpack yet"))
                    .hint("remove it; it is never ignored");
            }
            Taken::NoList => {
                reader
                    .say(entry.key, format!("`{key}` appends to a list, but `{name}` is none"))
                    .hint(format!("`{name}:` merges with what is extended, or replaces it"));
            }
            Taken::Unknown => unknown::<R>(name, entry, reader),
        }
    }
    Some(record)
}

/// Words of Dockerfiles and compose files, and what they are called here.
const SYNONYMS: [(&str, &str); 12] = [
    ("environment", "env"),
    ("command", "cmd"),
    ("from", "base"),
    ("expose", "ports"),
    ("working_dir", "workdir"),
    ("workingDir", "workdir"),
    ("copy", "files"),
    ("tag", "tags"),
    ("platform", "platforms"),
    ("arch", "platforms"),
    ("target", "to"),
    ("source", "from"),
];

fn unknown<R: Record>(name: &str, entry: &Entry, reader: &mut Reader<'_>) {
    let names: Vec<&str> = R::names().iter().filter(|field| !field.later).map(|field| field.name).collect();
    let camel = camel_case(name);
    let hint = if name == "<<" {
        Some(MERGE_KEY.to_owned())
    } else if camel != name && R::names().iter().any(|field| field.name == camel) {
        Some(format!("names are camelCase: write `{camel}`"))
    } else if let Some(near) = nearest(name, names.iter().copied()) {
        Some(format!("did you mean `{near}`?"))
    } else if let Some((_, here)) =
        SYNONYMS.iter().find(|(other, here)| *other == name && names.contains(here))
    {
        Some(format!("it is called `{here}` here"))
    } else if let Some(home) = language::home_of(name).filter(|home| *home != R::LABEL) {
        Some(format!("`{name}` is a field of {home}"))
    } else {
        Some(format!("known are {}", names.join(", ")))
    };
    let place = match (R::LABEL, reader.at()) {
        // `--set` begins at the top.
        ("", "") => String::new(),
        // One type with several homes.
        ("", at) => format!(" in `{at}`"),
        (label, _) => format!(" in {label}"),
    };
    reader.say(entry.key, format!("unknown field `{name}`{place}")).maybe_hint(hint);
}

/// `start_period` or `start-period` as `startPeriod`.
fn camel_case(name: &str) -> String {
    let mut camel = String::new();
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' | '-' if !camel.is_empty() => upper = true,
            c if upper => {
                camel.extend(c.to_uppercase());
                upper = false;
            }
            c => camel.push(c),
        }
    }
    camel
}

/// The schema of a record: a named part.
pub(in crate::spec) fn record_schema<R: Record>(schemas: &mut Schemas) -> Json {
    schemas.named(R::NAME, |schemas| {
        let mut properties = JsonMap::new();
        R::properties(schemas, &mut properties);
        let mut schema = json!({
            "description": words(R::DOC),
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        });
        if R::FREE {
            schema["patternProperties"] = json!({ "^x-": {} });
        }
        schema
    })
}

/// Puts the schema of one field, and of its appending form, among `properties`.
pub(in crate::spec) fn record_property<T: super::Shape>(
    key: &str,
    doc: &str,
    schemas: &mut Schemas,
    properties: &mut JsonMap<String, Json>,
) {
    let schema = T::schema(schemas);
    if T::LIST {
        let list = json!({ "description": format!("Appends to `{key}`."), "type": "array" });
        properties.insert(format!("{key}+"), list);
    }
    properties.insert(key.to_owned(), nullable(&schema, &words(doc)));
}

/// A doc comment as one line.
fn words(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}
