use serde_json::{Value as Json, json};

use super::language;
use super::shape::{Schemas, Shape as _};

/// The JSON Schema of `imgpack.yaml` and of buildspecs, in one: what has `apiVersion` is the first.
///
/// Made from the types that read the language (§3). What only the whole can show (values, names that must exist) is
/// not in it.
pub fn schema() -> Json {
    let mut schemas = Schemas::default();
    let workspace = language::Workspace::schema(&mut schemas);
    let buildspec = language::Service::schema(&mut schemas);
    if let Some(part) = schemas.0.get_mut("Workspace") {
        part["required"] = json!(["apiVersion"]);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "imgpack.yaml and buildspecs",
        "if": { "type": "object", "required": ["apiVersion"] },
        "then": workspace,
        "else": buildspec,
        "$defs": schemas.0,
    })
}
