//! Laying one part of a spec over another (§3): maps merge, everything else replaces, `key+` appends, `null` removes
//! and stays.

use std::sync::Arc;

use super::problem::Drafts;
use super::yaml::{Changes, Content, Entry, Map, Node, Over};

/// The names under `build`, of which a spec has at most one.
pub(in crate::spec) const BUILDERS: [&str; 6] = ["go", "rust", "python", "node", "web", "command"];
/// The names under `packages`, of which a spec has at most one.
const DISTRIBUTIONS: [&str; 2] = ["debian", "apk"];

/// `top` over `below`. Associative, and an empty map is neutral on both sides: templates that extend templates give
/// the same as one list of them. (Of `build`, where it has one builder, as it has to.)
///
/// A `key+` without a `key` below stays one, so that a variant can append to what it is laid over later; where none
/// comes, it is read as `key`.
pub(in crate::spec) fn overlay(below: &Node, top: &Node, drafts: &mut Drafts) -> Node {
    let mut result = top.clone();
    if top.content == Content::Null {
        return result;
    }
    let cleared = below.content == Content::Null || below.over == Over::Clear;
    if top.over == Over::Merge
        && let (Content::Map(low), Content::Map(high)) = (&below.content, &top.content)
    {
        let mut map = Arc::clone(low);
        if !high.is_empty() {
            merge_maps(Arc::make_mut(&mut map), high, drafts);
        }
        result.content = Content::Map(map);
        result.over = below.over;
        return result;
    }
    if cleared {
        result.over = Over::Clear;
    } else if matches!(top.content, Content::Map(_)) {
        // What is below is no map: nor may a map below that shine through.
        result.over = result.over.max(Over::Replace);
    }
    result
}

fn merge_maps(map: &mut Map, high: &Map, drafts: &mut Drafts) {
    let mut changes = Changes::new();
    for (key, top) in high.iter() {
        // Only a list can be appended; any other value makes it a name that ends with a plus (a label, say).
        let appends = key.strip_suffix('+').filter(|_| matches!(top.node.content, Content::List(_)));
        if let Some(name) = appends {
            let place = if current(map, &changes, name).is_some() { name } else { key };
            let node = append(current(map, &changes, place), name, key, top, drafts);
            changes.insert(Arc::from(place), Some(Entry { key: top.key, node }));
            continue;
        }
        let pending = format!("{key}+");
        if map.get(&pending).is_some_and(|entry| matches!(entry.node.content, Content::List(_))) {
            changes.insert(Arc::from(pending), None);
        }
        let node = match current(map, &changes, key) {
            None => top.node.clone(),
            Some(below) if names_another(key, &below.node, &top.node) => {
                let over = top.node.over.max(Over::Replace).max(below.node.over);
                Node { over, ..top.node.clone() }
            }
            Some(below) => overlay(&below.node, &top.node, drafts),
        };
        changes.insert(Arc::clone(key), Some(Entry { key: top.key, node }));
    }
    map.apply(changes);
}

/// The entry of `key`, with what is already changed.
fn current<'a>(map: &'a Map, changes: &'a Changes, key: &str) -> Option<&'a Entry> {
    changes.get(key).map_or_else(|| map.get(key), Option::as_ref)
}

/// A part that names another builder replaces `build` whole, and one that names another distribution `packages`: the fields
/// of one mean nothing to another.
fn names_another(key: &str, below: &Node, top: &Node) -> bool {
    let names: &[&str] = match key {
        "build" => &BUILDERS,
        "packages" => &DISTRIBUTIONS,
        _ => return false,
    };
    let (Some(below), Some(top)) = (below.map(), top.map()) else { return false };
    let named =
        |map: &Map, name: &str| map.get(name).is_some_and(|entry| entry.node.content != Content::Null);
    names.iter().any(|name| named(top, name) && !named(below, name))
        && names.iter().any(|name| named(below, name))
}

/// The items of `top` after those of `below`.
fn append(below: Option<&Entry>, name: &str, key: &str, top: &Entry, drafts: &mut Drafts) -> Node {
    let Some(below) = below.map(|entry| &entry.node) else { return top.node.clone() };
    match (&below.content, &top.node.content) {
        (Content::List(items), Content::List(more)) => {
            let items = items.iter().chain(more.iter()).cloned().collect();
            Node { over: below.over, content: Content::List(Arc::new(items)), span: top.node.span }
        }
        (Content::Null, _) => Node { over: Over::Clear, ..top.node.clone() },
        _ => {
            drafts
                .say(
                    top.key,
                    format!("`{key}` appends to a list, but `{name}` is {} there", below.describe()),
                )
                .hint(format!("`{name}:` replaces it"));
            below.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::sources::{Sources, Span};
    use crate::spec::yaml::parse;

    fn tree(text: &str) -> Node {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", text.to_owned());
        parse(file, &sources, &mut Drafts::default()).unwrap()
    }

    /// A tree without places, in one line; `!` marks what replaces, `!!` what also clears.
    fn show(node: &Node) -> String {
        let mark = ["", "!", "!!"][node.over as usize];
        let content = match &node.content {
            Content::Null => "~".to_owned(),
            Content::Scalar(text, _) => text.to_string(),
            Content::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            Content::Map(map) => {
                let rows: Vec<_> =
                    map.iter().map(|(key, row)| format!("{key}:{}", show(&row.node))).collect();
                format!("{{{}}}", rows.join(" "))
            }
        };
        format!("{mark}{content}")
    }

    fn laid(texts: &[&str]) -> (String, usize) {
        let mut drafts = Drafts::default();
        let merged = texts
            .iter()
            .map(|text| tree(text))
            .reduce(|below, top| overlay(&below, &top, &mut drafts))
            .unwrap_or_else(|| Node::empty(Span::begin(0)));
        (show(&merged), drafts.len())
    }

    #[test]
    fn rules() {
        for (texts, expected) in [
            (&["{a: {x: 1, y: 1}, b: 1}", "{a: {y: 2, z: 2}}"][..], "{a:{x:1 y:2 z:2} b:1}"),
            (&["{a: [1, 2]}", "{a: [3]}"], "{a:[3]}"),
            (&["{a: [1, 2]}", "{a+: [3]}", "{a+: [4]}"], "{a:[1 2 3 4]}"),
            (&["{}", "{a+: [3]}"], "{a+:[3]}"),
            (&["{a+: [1]}", "{a: [2]}"], "{a:[2]}"),
            (&["{a: {x: 1}}", "{a: ~}"], "{a:~}"),
            (&["{a: {x: 1}}", "{a: ~}", "{a: {y: 2}}"], "{a:!!{y:2}}"),
            (&["{a: ~}", "{a: {y: 2}}", "{a: {z: 3}}"], "{a:!!{y:2 z:3}}"),
            (&["{a: ~}", "{a+: [1]}"], "{a:!![1]}"),
            (&["{a: {x: 1}}", "{a: text}", "{a: {y: 2}}"], "{a:!{y:2}}"),
            (&["{l: {x+: 1}}", "{l: {x: 2}}"], "{l:{x:2 x+:1}}"),
            (&["{build: {go: {tags: [a]}}}", "{build: {rust: {}}}"], "{build:!{rust:{}}}"),
            (&["{build: {go: {tags: [a]}}}", "{build: {go: {to: b}}}"], "{build:{go:{tags:[a] to:b}}}"),
            (&["{build: {}}", "{build: {go: {}}}"], "{build:{go:{}}}"),
            (&["{build: {go: {}}}", "{build: {go: ~, rust: {}}}"], "{build:!{go:~ rust:{}}}"),
        ] {
            assert_eq!(laid(texts), (expected.to_owned(), 0), "{texts:?}");
        }
        assert_eq!(laid(&["{a: {x: 1}}", "{a+: [1]}"]), ("{a:{x:1}}".to_owned(), 1));
    }

    /// Parts with keys that meet often, appending forms and nulls.
    fn part() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![Just("~".to_owned()), "[0-9]", "\\[[0-9]\\]", Just("{}".to_owned())];
        let map = leaf.prop_recursive(3, 12, 3, |inner| {
            let key = prop::sample::select(vec!["a", "b"]);
            prop::collection::btree_map(key, inner, 0..4).prop_map(|rows| {
                let rows: Vec<_> = rows.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", rows.join(", "))
            })
        });
        let row = (prop::sample::select(vec!["a", "b", "l", "l+", "go", "rust"]), map, "[0-9]");
        prop::collection::vec(row, 0..4).prop_map(|rows| {
            let mut seen = std::collections::BTreeSet::new();
            let rows: Vec<_> = rows
                .into_iter()
                .filter(|(key, ..)| {
                    seen.insert(if key.len() > 2 || *key == "go" {
                        "build"
                    } else {
                        key.trim_end_matches('+')
                    })
                })
                .map(|(key, value, digit)| match key {
                    // One builder, as the language has it.
                    "go" | "rust" if value == "~" => "build: ~".to_owned(),
                    "go" | "rust" => format!("build: {{{key}: {value}}}"),
                    "l" | "l+" if value != "~" || key == "l+" => format!("{key}: [{digit}]"),
                    _ => format!("{key}: {value}"),
                })
                .collect();
            format!("{{{}}}", rows.join(", "))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn order_of_laying_does_not_matter(a in part(), b in part(), c in part()) {
            let mut drafts = Drafts::default();
            let (a, b, c) = (tree(&a), tree(&b), tree(&c));
            let left = overlay(&a, &b, &mut drafts);
            let left = overlay(&left, &c, &mut drafts);
            let right = overlay(&b, &c, &mut drafts);
            let right = overlay(&a, &right, &mut drafts);
            prop_assert_eq!(show(&left), show(&right));
        }

        #[test]
        fn nothing_is_neutral(a in part()) {
            let mut drafts = Drafts::default();
            let (a, empty) = (tree(&a), tree("{}"));
            prop_assert_eq!(show(&overlay(&a, &empty, &mut drafts)), show(&a));
            prop_assert_eq!(show(&overlay(&empty, &a, &mut drafts)), show(&a));
        }
    }
}
