use serde_json::{Value as Json, json};

use super::address::ArchiveAddress;
use super::keys::PrefixKey;
use super::reference::Prefix;
use crate::spec::shape::{Field, Items, Plain, Reader, Schemas, Shape, Table, nullable};
use crate::spec::yaml::{Content, Node};

type Addresses = Items<Plain<ArchiveAddress>>;
type Registries = Table<PrefixKey, Items<Plain<Prefix>>>;

/// `mirrors`: of registries by their names, and of the distributions that packages come from. No registry has the name of a
/// distribution: its host has a dot or a port.
#[derive(Debug)]
pub(in crate::spec) struct Mirrors {
    pub(in crate::spec) registries: Registries,
    pub(in crate::spec) debian: Field<Addresses>,
    pub(in crate::spec) apk: Field<Addresses>,
}

const DISTRIBUTIONS: [&str; 2] = ["debian", "apk"];

impl Shape for Mirrors {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Content::Map(map) = &node.content else {
            reader.wrong(node, &Self::wanted());
            return None;
        };
        let mut addresses =
            |name| map.get(name).map_or(Field::Absent, |entry| reader.field(name, &entry.node));
        let [debian, apk] = DISTRIBUTIONS.map(&mut addresses);
        let mut map = map.clone();
        std::sync::Arc::make_mut(&mut map).retain(|name| !DISTRIBUTIONS.contains(&name));
        let registries = Table::read(&Node { content: Content::Map(map), ..node.clone() }, reader)?;
        Some(Self { registries, debian, apk })
    }
    fn schema(schemas: &mut Schemas) -> Json {
        let mut schema = Registries::schema(schemas);
        let addresses = Addresses::schema(schemas);
        schema["properties"] = json!({
            "debian": nullable(&addresses, "Where Debian's packages and their indexes are read from first."),
            "apk": nullable(&addresses, "Where Alpine's packages and their indexes are read from first."),
        });
        schema
    }
    fn wanted() -> String {
        Registries::wanted()
    }
}
