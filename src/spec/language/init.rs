use serde_json::{Value as Json, json};

use super::text::VariableName;
use crate::model::ImagePath;
use crate::spec::shape::{FromText, Items, Late, Origin, Reader, Schemas, Shape, Wrong, record};
use crate::spec::yaml::{Content, Node};

/// `init`
#[derive(Debug)]
pub(in crate::spec) enum InitForm {
    /// `true`: signals, zombies and the exit status; `false`: none.
    Plain(bool),
    Map(Box<InitMap>),
}

record! {
    /// What PID 1 does before it starts the entrypoint.
    struct InitMap("init") {
        /// Whether `${NAME}` and `${NAME:-default}` in the command's words become variables of the environment.
        "expand" => expand: bool,
        /// Addresses that are waited for: `db:5432`.
        "wait" => wait: Items<Late<TcpAddress>>,
        /// Commands that are run first, one after the other; each has to end with 0.
        "before" => before: Items<Items<Late<String>>>,
        /// Files that are made of templates.
        "render" => render: Items<RenderRow>,
    }
}

record! {
    /// A file that is made of a template when the container starts.
    struct RenderRow("init.render") {
        /// The template, in the image.
        "from" => from: Late<ImagePath>,
        /// The file that is made.
        "to" => to: Late<ImagePath>,
        /// The only variables that are replaced. Default: all.
        "only" => only: Items<Late<VariableName>>,
    }
}

impl Shape for InitForm {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.content {
            Content::Map(_) => InitMap::read(node, reader).map(|map| Self::Map(Box::new(map))),
            Content::Scalar(..) => bool::read(node, reader).map(Self::Plain),
            _ => {
                reader.wrong(node, &Self::wanted());
                None
            }
        }
    }
    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "anyOf": [InitMap::schema(schemas), { "type": "boolean" }] })
    }
    fn wanted() -> String {
        "true, or a map with expand, wait, before and render".to_owned()
    }
}

/// A host and a port, in which variables of the container's environment may stand.
#[derive(Debug, Clone)]
pub(in crate::spec) struct TcpAddress(pub(in crate::spec) String);

impl FromText for TcpAddress {
    const WANTED: &'static str = "an address like db:5432";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        let good = text.contains("${")
            || text.rsplit_once(':').is_some_and(|(host, port)| {
                let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
                !bare.is_empty()
                    && (bare != host || !host.contains(':'))
                    && !port.starts_with(['0', '+'])
                    && port.parse::<u16>().is_ok()
            });
        if !good
            || text.contains("://")
            || text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '/')
        {
            return Err(
                Wrong::new(format!("`{text}` is not a host and a port")).hint("write it like db:5432")
            );
        }
        Ok(Self(text.to_owned()))
    }
}
