use std::collections::BTreeMap;
use std::sync::Arc;

use super::system::System;
use crate::model::{EntryKind, ImagePath};

/// Choices among programs of one purpose (update-alternatives(1)).
#[derive(Debug, Default)]
pub(super) struct Alternatives {
    groups: BTreeMap<String, Choice>,
}

/// The best choice of a group so far.
#[derive(Debug)]
struct Choice {
    priority: i64,
    /// Links of a worse choice that the better one does not have.
    links: Vec<ImagePath>,
}

/// A link of a group: where it is, its name, and what it leads to.
pub(super) struct Link<'t> {
    pub place: &'t str,
    pub name: &'t str,
    pub path: &'t str,
}

/// Installs a choice: its link leads over `/etc/alternatives` to the program of the highest priority, the first of equal
/// ones. A group that the base has stays as the base has it.
pub(super) fn install(system: &mut System<'_>, links: &[Link<'_>], priority: i64, origin: &Arc<str>) {
    let Some(master) = links.first() else { return };
    // What is left out of the image can be no choice.
    if system.files.target(master.path).is_none() {
        return;
    }
    let generic: Option<ImagePath> = format!("/etc/alternatives/{}", master.name).parse().ok();
    if generic.is_some_and(|path| system.installed.base.tree.contains_key(&path)) {
        return;
    }
    if let Some(known) = system.alternatives.groups.get(master.name) {
        if known.priority >= priority {
            return;
        }
        for place in known.links.clone() {
            system.files.remove(&mut system.effects, &place);
        }
    }
    let mut made = Vec::new();
    for (index, Link { place: link, name, path }) in links.iter().enumerate() {
        if index > 0 && system.files.target(path).is_none() {
            continue;
        }
        let generic = format!("/etc/alternatives/{name}");
        let (Some(at), Some(link)) = (system.files.place(&generic), system.files.place(link)) else {
            continue;
        };
        for (place, target) in [(at, (*path).to_owned()), (link, generic)] {
            system.put(&place, EntryKind::Symlink { target }, 0o777, origin);
            made.push(place);
        }
    }
    system.alternatives.groups.insert(master.name.to_owned(), Choice { priority, links: made });
}
