//! Laying one part of a spec over another (§3): maps merge, everything else replaces, `key+` appends, `null` removes
//! and stays.

use std::sync::Arc;

use super::problem::Drafts;
use super::yaml::{Content, Entry, Map, Node, Over};

/// The names under `build`, of which a spec has at most one.
pub(in crate::spec) const BUILDERS: [&str; 6] = ["go", "rust", "python", "node", "web", "command"];

/// `top` over `below`. Associative, and an empty map is neutral on both sides: templates that extend templates give
/// the same as one list of them.
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
    } else if kind(below) != kind(top) {
        result.over = result.over.max(Over::Replace);
    }
    result
}

fn kind(node: &Node) -> u8 {
    match node.content {
        Content::Null => 0,
        Content::Scalar(..) => 1,
        Content::List(_) => 2,
        Content::Map(_) => 3,
    }
}

fn merge_maps(map: &mut Map, high: &Map, drafts: &mut Drafts) {
    for (key, top) in high {
        // Only a list can be appended; any other value makes it a name that ends with a plus (a label, say).
        let appends = key.strip_suffix('+').filter(|_| matches!(top.node.content, Content::List(_)));
        if let Some(name) = appends {
            append(map, name, key, top, drafts);
            continue;
        }
        let pending = format!("{key}+");
        if map.get(pending.as_str()).is_some_and(|entry| matches!(entry.node.content, Content::List(_))) {
            map.remove(pending.as_str());
        }
        let merged = match map.get(key) {
            None => top.node.clone(),
            Some(below) if &**key == "build" && names_another_builder(&below.node, &top.node) => {
                Node { over: top.node.over.max(Over::Replace).max(below.node.over), ..top.node.clone() }
            }
            Some(below) => overlay(&below.node, &top.node, drafts),
        };
        map.insert(Arc::clone(key), Entry { key: top.key, node: merged });
    }
}

/// A part that names another builder replaces `build` whole: the fields of one mean nothing to another.
fn names_another_builder(below: &Node, top: &Node) -> bool {
    let (Some(below), Some(top)) = (below.map(), top.map()) else { return false };
    let named =
        |map: &Map, name: &str| map.get(name).is_some_and(|entry| entry.node.content != Content::Null);
    BUILDERS.iter().any(|name| named(top, name) && !named(below, name))
        && BUILDERS.iter().any(|name| named(below, name))
}

fn append(map: &mut Map, name: &str, key: &Arc<str>, top: &Entry, drafts: &mut Drafts) {
    let Content::List(more) = &top.node.content else { return };
    let place = if map.contains_key(name) { name } else { &**key };
    let node = match map.get(place).map(|entry| &entry.node) {
        None => top.node.clone(),
        Some(below) => match &below.content {
            Content::List(items) => {
                let items = items.iter().chain(more.iter()).cloned().collect();
                Node { over: below.over, content: Content::List(Arc::new(items)), span: top.node.span }
            }
            Content::Null => Node { over: Over::Clear, ..top.node.clone() },
            _ => {
                drafts
                    .say(
                        top.key,
                        format!("`{key}` appends to a list, but `{name}` is {} there", below.describe()),
                    )
                    .hint(format!("`{name}:` replaces it"));
                below.clone()
            }
        },
    };
    map.insert(Arc::from(place), Entry { key: top.key, node });
}
