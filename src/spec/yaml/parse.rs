use std::collections::BTreeMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marked};

use super::map::Map;
use super::node::{Content, Entry, Node, Style};
use super::scalar::{Plain, classify};
use crate::spec::problem::Drafts;
use crate::spec::sources::{Sources, Span};

/// Largest spec file in bytes.
const BYTES: usize = 4 << 20;
/// Most nodes of one file, each use of an anchor counted with all that it brings.
const NODES: usize = 250_000;
/// Deepest nesting.
const DEPTH: usize = 64;

/// Reads one document; `None` after a mistake that leaves no tree to go on with (it is said). An empty file is an
/// empty map.
pub(in crate::spec) fn parse(file: usize, sources: &Sources, drafts: &mut Drafts) -> Option<Node> {
    let text = sources.text(file);
    let begin = Span::begin(file);
    if text.len() > BYTES {
        drafts.say(begin, format!("the file has {} bytes, a spec file has at most {BYTES}", text.len()));
        return None;
    }
    let node = tree(text, file, (1, 1), drafts)?;
    if node.content == Content::Null {
        return Some(Node::empty(begin));
    }
    Some(node)
}

/// Reads a value that stands in `text`, a part of line 1 of `file` from character `column` on.
pub(in crate::spec) fn parse_value(
    text: &str,
    file: usize,
    column: usize,
    drafts: &mut Drafts,
) -> Option<Node> {
    tree(text, file, (1, column), drafts)
}

/// A list or map that is being filled.
struct Frame {
    span: Span,
    anchor: usize,
    extent: Extent,
    content: Open,
}

enum Open {
    List(Vec<Node>),
    Map(Vec<(Arc<str>, Entry)>, Option<(Arc<str>, Span)>),
}

/// How much a node is, with all that it holds and with anchors written out.
#[derive(Clone, Copy)]
struct Extent {
    nodes: usize,
    height: usize,
}

impl Extent {
    const ONE: Self = Self { nodes: 1, height: 1 };
}

struct Tree<'a> {
    file: usize,
    origin: (usize, usize),
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, (Node, Extent)>,
    nodes: usize,
    root: Option<Node>,
    drafts: &'a mut Drafts,
}

/// A mistake was said and the rest cannot be read.
struct Stop;

fn tree(text: &str, file: usize, origin: (usize, usize), drafts: &mut Drafts) -> Option<Node> {
    let mut tree =
        Tree { file, origin, frames: Vec::new(), anchors: BTreeMap::new(), nodes: 0, root: None, drafts };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, marked) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = Marked { start: *error.marker(), end: *error.marker() };
                let span = within(tree.span(at), text, origin);
                let message = error.info().trim_end_matches('.').to_lowercase();
                tree.drafts.say(span, format!("not YAML: {message}")).maybe_hint(syntax_hint(&message));
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                let span = tree.span(marked);
                tree.drafts.say(span, "a second YAML document: a file holds one");
                return None;
            }
        }
        if tree.event(event, marked).is_err() {
            return None;
        }
    }
    let begin = Span::new(file, origin.0, origin.1, 1);
    Some(tree.root.unwrap_or_else(|| Node::new(begin, Content::Null)))
}

/// `span`, or the end of what is written where that is past it: the end of a file shows nothing.
fn within(span: Span, text: &str, origin: (usize, usize)) -> Span {
    let written = text.trim_end();
    let line = origin.0 + written.matches('\n').count();
    if span.line() <= line {
        return span;
    }
    let last = written.rsplit('\n').next().unwrap_or_default().chars().count();
    let column = if line == origin.0 { origin.1 + last } else { 1 + last };
    Span::new(span.file(), line, column, 1)
}

/// A way out of the syntax errors that people meet most.
fn syntax_hint(message: &str) -> Option<String> {
    if message.contains("tab") {
        Some("YAML is indented with spaces".to_owned())
    } else if message.contains("illegal placement of ':'") || message.contains("flow") {
        Some("a `[`, a `{` or a quote above may be left open".to_owned())
    } else if message.contains("mapping values are not allowed") {
        Some("put text that contains `: ` in quotes, and give a nested map its own line".to_owned())
    } else if message.contains("cannot start any token") || message.contains("unexpected character") {
        Some("put text that begins with a special character in quotes".to_owned())
    } else {
        None
    }
}

impl Tree<'_> {
    fn span(&self, marked: Marked) -> Span {
        let (line, column) = (marked.start.line().max(1), marked.start.col());
        let width = if marked.end.line() == marked.start.line() {
            marked.end.col().saturating_sub(column)
        } else {
            1
        };
        let shift = if line == 1 { self.origin.1 } else { 1 };
        Span::new(self.file, line + self.origin.0 - 1, column + shift, width.max(1))
    }

    fn event(&mut self, event: Event<'_>, marked: Marked) -> Result<(), Stop> {
        let span = self.span(marked);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(span, tag.is_some())?;
                let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
                if self.wants_key() {
                    self.key(span, &text);
                    return Ok(());
                }
                let content = if style == Style::Plain && classify(&text) == Plain::Null {
                    Content::Null
                } else {
                    Content::Scalar(Arc::from(text.as_ref()), style)
                };
                self.put(Node::new(span, content), anchor, Extent::ONE, 1)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(span, anchor, tag.is_some(), Open::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.open(span, anchor, tag.is_some(), Open::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(frame) = self.frames.pop() else { return Ok(()) };
                let content = match frame.content {
                    Open::List(items) => Content::List(Arc::new(items)),
                    Open::Map(rows, _) => {
                        let (map, twice) = Map::from_rows(rows);
                        for twice in twice {
                            let (key, line) = (twice.key, twice.first.line());
                            self.drafts
                                .say(twice.second, format!("`{key}` is given twice, first in line {line}"));
                        }
                        Content::Map(Arc::new(map))
                    }
                };
                // What it holds was counted as it was put in.
                self.put(Node::new(frame.span, content), frame.anchor, frame.extent, 1)
            }
            Event::Alias(anchor) => {
                if self.wants_key() {
                    self.drafts.say(span, "an alias cannot be a key");
                    return Err(Stop);
                }
                let Some((mut node, extent)) = self.anchors.get(&anchor).cloned() else {
                    self.drafts.say(span, "an alias inside of what it names");
                    return Err(Stop);
                };
                // What is wrong with it as a whole is wrong where it is used.
                node.span = span;
                self.put(node, 0, extent, extent.nodes)
            }
            _ => Ok(()),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { content: Open::Map(_, None), .. }))
    }

    fn refuse_tag(&mut self, span: Span, tagged: bool) -> Result<(), Stop> {
        if tagged {
            self.drafts.say(span, "a YAML tag: the language has none").hint("quotes make a value text");
            return Err(Stop);
        }
        Ok(())
    }

    fn open(&mut self, span: Span, anchor: usize, tagged: bool, content: Open) -> Result<(), Stop> {
        self.refuse_tag(span, tagged)?;
        if self.wants_key() {
            self.drafts.say(span, "a key is text, not a list or a map");
            return Err(Stop);
        }
        self.check_depth(span, 1)?;
        self.frames.push(Frame { span, anchor, extent: Extent::ONE, content });
        Ok(())
    }

    fn check_depth(&mut self, span: Span, height: usize) -> Result<(), Stop> {
        if self.frames.len() + height > DEPTH {
            self.drafts.say(span, format!("nested more than {DEPTH} deep"));
            return Err(Stop);
        }
        Ok(())
    }

    fn key(&mut self, span: Span, text: &str) {
        if let Some(Frame { content: Open::Map(_, key), .. }) = self.frames.last_mut() {
            *key = Some((Arc::from(text), span));
        }
    }

    /// Puts a whole node where it belongs; `new` of its nodes were not counted yet.
    fn put(&mut self, node: Node, anchor: usize, extent: Extent, new: usize) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(new);
        if self.nodes > NODES {
            self.drafts.say(node.span, format!("more than {NODES} values, with aliases written out"));
            return Err(Stop);
        }
        self.check_depth(node.span, extent.height - 1)?;
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), extent));
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.extent.nodes = frame.extent.nodes.saturating_add(extent.nodes);
        frame.extent.height = frame.extent.height.max(extent.height + 1);
        match &mut frame.content {
            Open::List(items) => items.push(node),
            Open::Map(rows, key) => {
                rows.extend(key.take().map(|(text, span)| (text, Entry { key: span, node })));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, String> {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", text.to_owned());
        let mut drafts = Drafts::default();
        let node = parse(file, &sources, &mut drafts);
        match node {
            Some(node) if drafts.is_empty() => Ok(node),
            _ => Err(drafts.finish(&sources).to_string()),
        }
    }

    #[test]
    fn knows_where_things_were_written() {
        let node = read("a:\n  - ünï: \"x y\"\n    b: 010\n").unwrap();
        let Content::List(items) = &node.get("a").unwrap().content else { panic!("no list") };
        let entry = items[0].map().unwrap().get("ünï").unwrap();
        assert_eq!(entry.key, Span::new(0, 2, 5, 3));
        assert_eq!(entry.node.span, Span::new(0, 2, 10, 5));
        assert_eq!(entry.node.content, Content::Scalar("x y".into(), Style::Quoted));
        assert_eq!(items[0].get("b").unwrap().describe(), "a number");
    }

    #[test]
    fn aliases_are_copies() {
        let node = read("x-a: &a [1, 2]\nb: *a\n").unwrap();
        assert_eq!(node.get("b").unwrap().content, node.get("x-a").unwrap().content);
    }

    #[test]
    fn refuses_what_the_language_has_not() {
        let laughs = (1..9).fold("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, at| {
            let uses = vec![format!("*a{}", at - 1); 10].join(",");
            format!("{text}a{at}: &a{at} [{uses}]\n")
        });
        let tower = (1..9).fold(format!("a0: &a0 {}{}\n", "[".repeat(20), "]".repeat(20)), |text, at| {
            format!("{text}a{at}: &a{at} {}*a{}{}\n", "[".repeat(20), at - 1, "]".repeat(20))
        });
        for (text, expected) in [
            ("a: 1\na: 2\n", "a.yaml:2:1: `a` is given twice, first in line 1"),
            ("a: 1\n---\nb: 1\n", "a second YAML document"),
            ("a: !!str 1\n", "a YAML tag"),
            ("a: !x [1]\n", "a YAML tag"),
            ("? [a]\n: 1\n", "a key is text"),
            ("? {a: 1}\n: 1\n", "a key is text"),
            ("&x a: 1\n*x : 2\n", "an alias cannot be a key"),
            ("a: &a [*a]\n", "an alias inside of what it names"),
            ("a: *b\n", "not YAML: "),
            ("a: [1\n", "not YAML: "),
            ("a:\n\tb: 1\n", "not YAML: "),
            (&format!("a: {}{}", "[".repeat(100), "]".repeat(100)), "nested more than 64 deep"),
            (&laughs, "more than 250000 values"),
            (&tower, "nested more than 64 deep"),
        ] {
            let message = read(text).expect_err(text);
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn an_empty_file_is_an_empty_map() {
        for text in ["", "# only words\n", "---\n", "~\n"] {
            assert_eq!(read(text).unwrap().map().map(Map::is_empty), Some(true), "{text:?}");
        }
    }
}
