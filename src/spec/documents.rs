//! Every spec file and inline service of a workspace, read once, and what each is with all that it extends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::language::{Service, resolve};
use super::merge::overlay;
use super::problem::{Drafts, did_you_mean};
use super::shape::{Reader, Shape as _};
use super::sources::{Files, ReadError, Sources, Span};
use super::yaml::{Content, Node, parse};
use crate::model::Identity;

/// Longest chain of `extends`.
const DEPTH: usize = 8;
/// Longest list of one `extends`.
const WIDTH: usize = 64;

/// One spec as written.
pub(super) struct Document {
    pub(super) name: String,
    pub(super) span: Span,
    /// What is said in it, without `name`, `extends` and `x-…`.
    node: Node,
    extends: Vec<(Arc<str>, Span)>,
    merged: Option<Merged>,
}

/// What a document is with all that it extends.
#[derive(Clone)]
struct Merged {
    node: Node,
    /// Documents in its longest chain, itself counted.
    depth: usize,
}

impl Document {
    /// Whether it is a template, never built.
    pub(super) fn is_template(&self) -> bool {
        self.name.starts_with('_')
    }
}

/// All documents of a workspace.
pub(super) struct Documents<'a> {
    files: &'a dyn Files,
    pub(super) sources: &'a mut Sources,
    pub(super) drafts: &'a mut Drafts,
    pub(super) all: Vec<Document>,
    by_name: BTreeMap<String, usize>,
    by_path: BTreeMap<String, Option<usize>>,
}

impl<'a> Documents<'a> {
    pub(super) fn new(files: &'a dyn Files, sources: &'a mut Sources, drafts: &'a mut Drafts) -> Self {
        Self { files, sources, drafts, all: Vec::new(), by_name: BTreeMap::new(), by_path: BTreeMap::new() }
    }

    /// Adds every buildspec below `dir`; `required` is where the folder was named, if it has to be there.
    pub(super) fn add_folder(&mut self, dir: &str, required: Option<Span>, workspace_file: &str) {
        let mut paths = match self.files.list(dir) {
            Ok(paths) => paths,
            Err(ReadError::NotFound) if required.is_none() => return,
            Err(error) => {
                if let Some(span) = required {
                    self.drafts.say(span, format!("cannot read the folder `{dir}`: {error}"));
                }
                return;
            }
        };
        paths.sort();
        for path in paths.into_iter().filter(|path| path != workspace_file) {
            self.file(&path, None);
        }
    }

    /// The document of the file at `path`, read if it was not yet; `asked` is where it was named.
    fn file(&mut self, path: &str, asked: Option<Span>) -> Option<usize> {
        if let Some(known) = self.by_path.get(path) {
            return *known;
        }
        let document = match self.files.read(path) {
            Ok(text) => {
                let file = self.sources.add(path, text);
                self.read(file, path)
            }
            Err(error) => {
                let begin = self.sources.add(path, String::new());
                let span = asked.unwrap_or(Span::begin(begin));
                let hint = match error {
                    ReadError::NotFound => did_you_mean(path, self.by_path.keys().map(String::as_str)),
                    _ => None,
                };
                self.drafts.say(span, format!("cannot read `{path}`: {error}")).maybe_hint(hint);
                // Asked for again elsewhere, it is a mistake there too.
                return None;
            }
        };
        self.by_path.insert(path.to_owned(), document);
        document
    }

    fn read(&mut self, file: usize, path: &str) -> Option<usize> {
        let node = parse(file, self.sources, self.drafts)?;
        let stem = path.rsplit('/').next().unwrap_or_default();
        let stem = without_extension(stem).unwrap_or(stem);
        let span = Span::begin(file);
        Service::read(&node, &mut Reader::new(self.sources, self.drafts));
        let (name, at) = match node.map().and_then(|map| map.get("name")) {
            Some(entry) => (entry.node.text().unwrap_or(stem), entry.node.span),
            None => (stem, span),
        };
        if !Identity::is_name(name) {
            if at == span {
                self.drafts
                    .say(at, format!("the file's name, `{name}`, is not the name of a service"))
                    .hint("say `name:`, with letters, digits, `.`, `_` and `-`");
            }
            return None;
        }
        self.add(name.to_owned(), at, span, &node)
    }

    /// Adds an inline service, which was checked with the workspace.
    pub(super) fn add_inline(&mut self, name: &str, key: Span, node: &Node) {
        if let Some(said) = node.get("name").filter(|said| said.text() != Some(name)) {
            self.drafts
                .say(said.span, format!("the name of this service is its key, `{name}`"))
                .hint("remove `name:`");
        }
        if Identity::is_name(name) {
            self.add(name.to_owned(), key, key, node);
        }
    }

    fn add(&mut self, name: String, at: Span, span: Span, node: &Node) -> Option<usize> {
        let mut map = node.map()?.clone();
        let extends = map.remove("extends").map(|entry| entry.node);
        map.remove("name");
        map.retain(|key| !key.starts_with("x-"));
        let extends: Vec<(Arc<str>, Span)> = match extends.as_ref().map(|node| (&node.content, node)) {
            Some((Content::List(items), _)) => {
                items.iter().filter_map(|item| Some((Arc::from(item.text()?), item.span))).collect()
            }
            Some((Content::Scalar(text, _), node)) => vec![(Arc::clone(text), node.span)],
            _ => Vec::new(),
        };
        if let Some((_, span)) = extends.get(WIDTH) {
            self.drafts.say(*span, format!("`extends` names more than {WIDTH}"));
            return None;
        }
        if let Some(first) = self.by_name.get(&name).and_then(|first| self.all.get(*first)) {
            let site = self.sources.site(first.span);
            self.drafts
                .say(at, format!("two services are called `{name}`: this one and {site}"))
                .hint("give one of them another `name:`");
        }
        let node = Node { content: Content::Map(Arc::new(map)), ..node.clone() };
        let index = self.all.len();
        self.by_name.entry(name.clone()).or_insert(index);
        self.all.push(Document { name, span, node, extends, merged: None });
        Some(index)
    }

    /// What document `index` is with all that it extends.
    pub(super) fn merged(&mut self, index: usize) -> Option<Node> {
        self.merge(index, &mut Vec::new()).map(|merged| merged.node)
    }

    fn merge(&mut self, index: usize, chain: &mut Vec<usize>) -> Option<Merged> {
        let document = self.all.get(index)?;
        if let Some(merged) = &document.merged {
            return Some(merged.clone());
        }
        let (own, extends) = (document.node.clone(), document.extends.clone());
        chain.push(index);
        let mut merged = Merged { node: Node::empty(own.span), depth: 1 };
        for (text, span) in extends {
            let Some(parent) = self.find(&text, span) else { continue };
            if let Some(from) = chain.iter().position(|link| *link == parent) {
                let circle: Vec<&str> =
                    chain[from..].iter().chain([&parent]).map(|link| &*self.all[*link].name).collect();
                self.drafts.say(span, format!("`extends` goes in a circle: {}", circle.join(" → ")));
                continue;
            }
            if chain.len() > DEPTH {
                self.too_deep(span);
                continue;
            }
            let Some(below) = self.merge(parent, chain) else { continue };
            if below.depth > DEPTH {
                self.too_deep(span);
            }
            merged.depth = merged.depth.max(below.depth + 1);
            merged.node = overlay(&merged.node, &below.node, self.drafts);
        }
        merged.node = overlay(&merged.node, &own, self.drafts);
        merged.node.span = own.span;
        chain.pop();
        self.all[index].merged = Some(merged.clone());
        Some(merged)
    }

    fn too_deep(&mut self, span: Span) {
        self.drafts.say(span, format!("`extends` more than {DEPTH} deep"));
    }

    /// The document that `text` in an `extends` names: with `/` or `.yaml` a file, else a template.
    fn find(&mut self, text: &str, span: Span) -> Option<usize> {
        if text.contains('/') || without_extension(text).is_some() {
            return match resolve(self.sources.dir(span.file()), text) {
                Ok(path) => self.file(&path, Some(span)),
                Err(wrong) => {
                    wrong.say(span, &mut Reader::new(self.sources, self.drafts));
                    None
                }
            };
        }
        if let Some(index) = self.by_name.get(text) {
            return Some(*index);
        }
        let names: BTreeSet<&str> = self.by_name.keys().map(String::as_str).collect();
        let hint = did_you_mean(text, names)
            .unwrap_or_else(|| "a template is a buildspec with a name that begins with `_`".to_owned());
        self.drafts.say(span, format!("there is no template `{text}`")).hint(hint);
        None
    }
}

/// The name of a YAML file without what says that it is one.
fn without_extension(name: &str) -> Option<&str> {
    name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"))
}
