use serde_json::{Value as Json, json};

use super::leaf::{Template, read_text};
use super::{Reader, Schemas, Shape};
use crate::spec::service::Site;
use crate::spec::sources::{Sources, Span};
use crate::spec::yaml::Node;

/// A value that is written as text.
pub(in crate::spec) trait FromText: Sized + Clone {
    /// Itself in words.
    const WANTED: &'static str = "text";
    /// Reads itself.
    fn from_text(text: &str, origin: &Origin<'_>) -> Result<Self, Wrong>;
    /// What was most likely meant by an unquoted number, if not its digits.
    fn meant_by_number(_: &str) -> Option<String> {
        None
    }
    /// Itself as JSON Schema.
    fn schema() -> Json {
        json!({ "type": "string" })
    }
}

/// Where a text stands.
pub(in crate::spec) struct Origin<'a> {
    /// The directory that paths in it are relative to; empty for the workspace root.
    pub(in crate::spec) dir: &'a str,
    span: Span,
    sources: &'a Sources,
}

impl<'a> Origin<'a> {
    pub(in crate::spec) fn new(span: Span, sources: &'a Sources) -> Self {
        Self { dir: sources.dir(span.file()), span, sources }
    }

    pub(in crate::spec) fn site(&self) -> Site {
        self.sources.site(self.span)
    }
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::spec) struct Wrong {
    message: String,
    hint: Option<String>,
    secret: bool,
}

impl Wrong {
    pub(in crate::spec) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, secret: false }
    }

    #[must_use]
    pub(in crate::spec) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(in crate::spec) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// The same about a text that may hold a secret, and is not shown.
    #[must_use]
    pub(in crate::spec) fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(in crate::spec) fn say(self, span: Span, reader: &mut Reader<'_>) {
        reader.say(span, self.message).maybe_hint(self.hint).secret(self.secret);
    }
}

impl FromText for String {
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        if text.contains('\0') {
            return Err(Wrong::new("a NUL character"));
        }
        Ok(text.to_owned())
    }
}

/// A value written as text in which `${arg.…}` may stand: read at once where none does, else when arguments are known.
#[derive(Debug, Clone)]
pub(in crate::spec) enum Late<T> {
    Now(T),
    Later(Template),
}

impl<T: FromText> Shape for Late<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = read_text(node, T::WANTED, T::meant_by_number, reader)?;
        if text.contains("${") {
            let template = Template::read(node, reader)?;
            let Some(text) = template.expression.constant() else { return Some(Self::Later(template)) };
            return now(text, node, reader);
        }
        now(text, node, reader)
    }
    fn schema(_: &mut Schemas) -> Json {
        let schema = T::schema();
        match schema.get("pattern").or(schema.get("enum")) {
            Some(_) => json!({ "anyOf": [schema, { "type": "string", "pattern": r"\$\{" }] }),
            None => schema,
        }
    }
    fn wanted() -> String {
        T::WANTED.to_owned()
    }
}

fn now<T: FromText>(text: &str, node: &Node, reader: &mut Reader<'_>) -> Option<Late<T>> {
    match T::from_text(text, &Origin::new(node.span, reader.sources)) {
        Ok(value) => Some(Late::Now(value)),
        Err(wrong) => {
            wrong.say(node.span, reader);
            None
        }
    }
}
