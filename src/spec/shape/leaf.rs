use std::marker::PhantomData;

use serde_json::{Value as Json, json};

use super::late::{FromText, Origin};
use super::{Field, Reader, Schemas, Shape};
use crate::spec::sources::Span;
use crate::spec::value::Expression;
use crate::spec::yaml::{self, Content, Node, Style, classify};

/// Reads text; says how to quote a number or boolean that is meant as text.
///
/// `meant` is what a number most likely stands for, if that is not just its digits.
pub(super) fn read_text<'a>(
    node: &'a Node,
    wanted: &str,
    meant: fn(&str) -> Option<String>,
    reader: &mut Reader<'_>,
) -> Option<&'a str> {
    if let Content::Scalar(text, style) = &node.content {
        if *style != Style::Plain || classify(text) == yaml::Plain::Text {
            return Some(text);
        }
        let quoted = match text.strip_prefix("0o") {
            Some(octal) => format!("\"0{octal}\""),
            None => format!("\"{text}\""),
        };
        let hint = match meant(text) {
            Some(meant) => format!("write {meant}"),
            None => format!("YAML reads {text} as {}: write {quoted}", node.describe()),
        };
        reader.wrong(node, wanted).hint(hint);
        return None;
    }
    reader.wrong(node, wanted);
    None
}

/// Text that is taken as it is written, with no values put in.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Plain<T>(pub(in crate::spec) T);

impl<T: FromText> Shape for Plain<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = read_text(node, T::WANTED, T::meant_by_number, reader)?;
        if text.contains("${") {
            let message = format!("no values are put into `{}`", reader.at());
            reader.say(node.span, message).at_text("${");
            return None;
        }
        match T::from_text(text, &Origin::new(node.span, reader.sources)) {
            Ok(value) => Some(Self(value)),
            Err(wrong) => {
                wrong.say(node.span, reader);
                None
            }
        }
    }
    fn schema(_: &mut Schemas) -> Json {
        T::schema()
    }
    fn wanted() -> String {
        T::WANTED.to_owned()
    }
}

/// Text with value expressions.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Template {
    pub(in crate::spec) expression: Expression,
    pub(in crate::spec) span: Span,
}

impl Shape for Template {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = read_text(node, "text", |_| None, reader)?;
        if text.contains('\0') {
            reader.say(node.span, "a NUL character, which no text of an image can hold");
            return None;
        }
        match Expression::parse(text) {
            Ok(expression) => Some(Self { expression, span: node.span }),
            Err(mistakes) => {
                for mistake in mistakes {
                    reader.say(node.span, mistake.message).at_text(mistake.text).maybe_hint(mistake.hint);
                }
                None
            }
        }
    }
    fn schema(_: &mut Schemas) -> Json {
        json!({ "type": "string" })
    }
    fn wanted() -> String {
        "text".to_owned()
    }
}

impl Shape for bool {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Content::Scalar(text, Style::Plain | Style::Argument) = &node.content {
            if let yaml::Plain::Bool(value) = classify(text) {
                return Some(value);
            }
            let meant = match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" => Some("true"),
                "no" | "off" | "n" => Some("false"),
                _ => None,
            };
            let hint = meant.map(|meant| format!("`{text}` is text in YAML 1.2: write {meant}"));
            reader.wrong(node, "true or false").maybe_hint(hint);
            return None;
        }
        reader.wrong(node, "true or false");
        None
    }
    fn schema(_: &mut Schemas) -> Json {
        json!({ "type": "boolean" })
    }
    fn wanted() -> String {
        "true or false".to_owned()
    }
}

/// A whole number from 0 to `MAX`.
#[derive(Debug, Clone, Copy)]
pub(in crate::spec) struct Int<const MAX: u32>(pub(in crate::spec) u32);

impl<const MAX: u32> Shape for Int<MAX> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let wanted = Self::wanted();
        let Content::Scalar(text, style) = &node.content else {
            reader.wrong(node, &wanted);
            return None;
        };
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || (text.len() > 1 && text.starts_with('0')) {
            let hint = (is_number && *style == Style::Plain)
                .then(|| format!("write {} or, if text is meant, \"{text}\"", text.trim_start_matches('0')));
            reader.wrong(node, &wanted).maybe_hint(hint);
            return None;
        }
        if *style == Style::Quoted {
            reader.wrong(node, &wanted).hint(format!("write {text} without quotes"));
            return None;
        }
        match text.parse() {
            Ok(number) if number <= MAX => Some(Self(number)),
            _ => {
                let message = format!("`{}` wants {wanted}, found {text}", reader.at());
                reader.say(node.span, message);
                None
            }
        }
    }
    fn schema(_: &mut Schemas) -> Json {
        json!({ "type": "integer", "minimum": 0, "maximum": MAX })
    }
    fn wanted() -> String {
        format!("a whole number from 0 to {MAX}")
    }
}

/// A list: the right ones of its items, and whether there are wrong ones.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Items<T>(pub(in crate::spec) Vec<(T, Span)>, pub(in crate::spec) bool);

impl<T: Shape> Shape for Items<T> {
    const LIST: bool = true;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let items = match &node.content {
            Content::List(items) => items.as_slice(),
            // `--set tags=edge`: a list of one.
            Content::Scalar(_, Style::Argument) => std::slice::from_ref(node),
            _ => {
                let hint = node.text().map(|text| {
                    if text.len() < 40 && !text.contains(['[', ']', ',', '\n', ' ']) {
                        format!("write [{text}]")
                    } else {
                        "write it as a list: [ONE, \"AND ANOTHER\"]".to_owned()
                    }
                });
                reader.wrong(node, &Self::wanted()).maybe_hint(hint);
                return None;
            }
        };
        let before = reader.drafts.len();
        let mut read = Vec::with_capacity(items.len());
        for item in items {
            if item.content == Content::Null {
                let message = format!("an empty item of `{}`", reader.at());
                reader.say(item.span, message);
            } else if let Some(value) = T::read(item, reader) {
                read.push((value, item.span));
            }
        }
        Some(Self(read, reader.drafts.len() > before))
    }
    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "type": "array", "items": T::schema(schemas) })
    }
    fn wanted() -> String {
        match T::wanted().as_str() {
            "text" => "a list of texts".to_owned(),
            item => format!("a list, each item {item}"),
        }
    }
}

/// Something that is only checked: what it holds is merged as a tree and read later.
#[derive(Debug, Clone, Copy)]
pub(in crate::spec) struct Checked<T>(PhantomData<T>);

impl<T: Shape> Shape for Checked<T> {
    const LIST: bool = T::LIST;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(|_| Self(PhantomData))
    }
    fn schema(schemas: &mut Schemas) -> Json {
        T::schema(schemas)
    }
    fn wanted() -> String {
        T::wanted()
    }
}

impl<T> Field<Items<T>> {
    /// The items; none where nothing was said.
    pub(in crate::spec) fn items(&self) -> &[(T, Span)] {
        self.value().map_or(&[], |items| &items.0)
    }
}
