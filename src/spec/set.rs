use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use serde_json::Value as Json;

use super::language::Patch;
use super::problem::{Drafts, did_you_mean};
use super::shape::{Schemas, Shape as _};
use super::sources::{Sources, Span};
use super::workspace::check_patch;
use super::yaml::{Content, Entry, Map, Node, Style, parse_value};

/// One `--set path=value`: highest of all, laid over what is selected.
///
/// The schema types the value: text is taken as it is, `[…]` and `{…}` are read as YAML where a list or map may stand,
/// and `null` removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetArg(String);

/// A text that is no `path=value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form path=value, like args.REGION=eu")]
pub struct SetArgError(String);

impl FromStr for SetArg {
    type Err = SetArgError;
    fn from_str(text: &str) -> Result<Self, SetArgError> {
        match text.split_once('=') {
            Some((path, _)) if path.split('.').all(|part| !part.is_empty()) => Ok(Self(text.to_owned())),
            _ => Err(SetArgError(text.to_owned())),
        }
    }
}

impl fmt::Display for SetArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A `--set` as a part of a spec.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// The part.
    pub(super) node: Node,
    scope: Scope,
    span: Span,
}

/// Which services it is for.
#[derive(Debug, Clone)]
enum Scope {
    All,
    /// Those that have this argument.
    Arg(String),
    /// Those that are built with this builder.
    Builder(String),
}

impl SetArg {
    /// Reads it by the schema; `None` after a mistake, which is said.
    pub(super) fn compile(&self, sources: &mut Sources, drafts: &mut Drafts) -> Option<Setting> {
        let (path, value) = self.0.split_once('=')?;
        let file = sources.add_argument("--set", self.0.clone());
        let span = |column: usize, text: &str| Span::new(file, 1, column, text.chars().count().max(1));
        let (root, schemas) = grammar();
        let mut here = vec![root.clone()];
        let mut segments: Vec<(&str, Span)> = Vec::new();
        let mut rest = path;
        let mut column = 1;
        while !rest.is_empty() {
            let (segment, after) = rest.split_once('.').unwrap_or((rest, ""));
            let forms = expand(&here, schemas);
            let properties: Vec<&Json> =
                forms.iter().filter_map(|form| form.get("properties")?.get(segment)).collect();
            // Keys of the user's own may have dots: the whole rest is one.
            let free: Vec<&Json> = forms
                .iter()
                .filter_map(|form| form.get("additionalProperties").filter(|p| p.is_object()))
                .collect();
            let (segment, after) =
                if properties.is_empty() && !free.is_empty() { (rest, "") } else { (segment, after) };
            here = if properties.is_empty() { free } else { properties }.into_iter().cloned().collect();
            segments.push((segment, span(column, segment)));
            column += segment.chars().count() + 1;
            rest = after;
        }
        let forms = expand(&here, schemas);
        let takes =
            |kind: &str| forms.iter().any(|form| form.get("type").and_then(Json::as_str) == Some(kind));
        let at = span(path.chars().count() + 2, value);
        let compound =
            (value.starts_with('[') && takes("array")) || (value.starts_with('{') && takes("object"));
        let mut node = if compound {
            parse_value(value, file, at.column(), drafts)?
        } else if value == "null" {
            Node::new(at, Content::Null)
        } else {
            Node::new(at, Content::Scalar(Arc::from(value), Style::Argument))
        };
        for (segment, key) in segments.iter().rev() {
            let map = Map::one(segment, Entry { key: *key, node });
            node = Node::new(*key, Content::Map(Arc::new(map)));
        }
        if !check_patch(&node, sources, drafts) {
            return None;
        }
        let scope = match segments.as_slice() {
            [("args", _), (name, _)] => Scope::Arg((*name).to_owned()),
            [("build", _), (name, _), _, ..] => Scope::Builder((*name).to_owned()),
            _ => Scope::All,
        };
        let span = segments.last().map_or(at, |(_, span)| *span);
        Some(Setting { node, scope, span })
    }
}

impl Setting {
    /// Whether it is for the spec `node`.
    pub(super) fn is_for(&self, node: &Node) -> bool {
        let has = |map: &str, key: &str| {
            node.get(map).and_then(|map| map.get(key)).is_some_and(|node| node.content != Content::Null)
        };
        match &self.scope {
            Scope::All => true,
            Scope::Arg(name) => has("args", name),
            Scope::Builder(name) => has("build", name),
        }
    }

    /// Says so where it is for none of `nodes`.
    pub(super) fn check_use<'a>(
        &self,
        nodes: impl Iterator<Item = &'a Node>,
        among: &str,
        drafts: &mut Drafts,
    ) {
        let nodes: Vec<&Node> = nodes.collect();
        if nodes.iter().any(|node| self.is_for(node)) {
            return;
        }
        match &self.scope {
            Scope::All => {}
            Scope::Arg(name) => {
                let known = nodes.iter().filter_map(|node| node.get("args")?.map()).flat_map(Map::iter);
                let hint = did_you_mean(name, known.map(|(key, _)| &**key));
                drafts
                    .say(self.span, format!("no service {among} has an argument `{name}`"))
                    .maybe_hint(hint);
            }
            Scope::Builder(name) => {
                drafts.say(self.span, format!("no service {among} is built with `{name}`"));
            }
        }
    }

    /// Whether it says where the image goes.
    pub(super) fn sets_repository(&self) -> bool {
        self.node.get("repository").is_some()
    }
}

/// The schema of what can be set, and its parts; made once.
fn grammar() -> &'static (Json, Schemas) {
    static GRAMMAR: OnceLock<(Json, Schemas)> = OnceLock::new();
    GRAMMAR.get_or_init(|| {
        let mut schemas = Schemas::default();
        (Patch::schema(&mut schemas), schemas)
    })
}

/// The alternatives of schemas, with references followed.
fn expand(schemas: &[Json], parts: &Schemas) -> Vec<Json> {
    let mut forms = Vec::new();
    let mut open: Vec<&Json> = schemas.iter().collect();
    // References nest no deeper than the language does: the bound is never met.
    for _ in 0..1000 {
        let Some(schema) = open.pop() else { break };
        if let Some(Json::Array(any)) = schema.get("anyOf") {
            open.extend(any);
        } else if let Some(name) = schema.get("$ref").and_then(Json::as_str) {
            open.extend(name.rsplit('/').next().and_then(|name| parts.0.get(name)));
        } else {
            forms.push(schema.clone());
        }
    }
    forms
}
