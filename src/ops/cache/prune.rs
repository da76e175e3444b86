//! `imgpack cache prune`: what was not used for long goes, and of the rest what was used least recently until the cache is
//! small enough.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::inventory::{Inventory, Item, Kind};
use crate::builder::Caches;
use crate::model::{BlobDigest, Size};
use crate::ops::error::Error;
use crate::store::Store;
use crate::system::fs;

/// What may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// What the cache may take on the disk afterwards.
    pub max_size: Option<Size>,
    /// What was not used for longer goes.
    pub older_than: Option<Duration>,
    /// Everything goes.
    pub all: bool,
    /// Only these kinds; empty means every kind.
    pub kinds: BTreeSet<Kind>,
    /// Only what this service alone used.
    pub service: Option<String>,
}

/// What went, or would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pruned {
    /// Things and what they took on the disk, by kind, without the kinds of which nothing went.
    pub removed: Vec<(Kind, usize, Size)>,
    /// What is left.
    pub left: Size,
    /// What stays because a tool that outlived its imgpack is at work on it.
    pub busy: usize,
}

impl Pruned {
    /// What was freed.
    pub fn freed(&self) -> Size {
        self.removed.iter().map(|(_, _, size)| *size).sum()
    }
}

impl Rule {
    fn is_about(&self, item: &Item) -> bool {
        let owner = |service: &String| {
            !item.owners.is_empty() && item.owners.iter().all(|owner| owner.service == *service)
        };
        (self.kinds.is_empty() || self.kinds.contains(&item.kind)) && self.service.as_ref().is_none_or(owner)
    }

    /// Which of the items go.
    fn chosen(&self, items: &[Item], now: SystemTime) -> Vec<bool> {
        let age = |item: &Item| now.duration_since(item.used).unwrap_or_default();
        let may: Vec<bool> = items.iter().map(|item| self.is_about(item) && !item.busy).collect();
        let mut goes: Vec<bool> = items
            .iter()
            .zip(&may)
            .map(|(item, may)| {
                let old = self.older_than.is_some_and(|limit| age(item) > limit);
                *may && (self.all || old || item.kind == Kind::Rubbish)
            })
            .collect();
        if let Some(Size(limit)) = self.max_size {
            let mut left: u64 =
                items.iter().zip(&goes).filter(|(_, goes)| !**goes).map(|(item, _)| item.size.0).sum();
            let mut order: Vec<usize> =
                (0..items.len()).filter(|index| may[*index] && !goes[*index]).collect();
            // Of what was used equally long ago the largest first: fewest things have to be made again.
            order.sort_by_key(|index| (items[*index].used, std::cmp::Reverse(items[*index].size)));
            for index in order {
                if left <= limit {
                    break;
                }
                goes[index] = true;
                left -= items[index].size.0;
            }
        }
        // A record of what is gone is of no use, whatever the rule is about.
        let gone: BTreeSet<BlobDigest> =
            items.iter().zip(&goes).filter(|(_, goes)| **goes).filter_map(|(item, _)| item.blob).collect();
        for (item, goes) in items.iter().zip(&mut goes) {
            *goes |= item.leads_to.iter().any(|blob| gone.contains(blob));
        }
        goes
    }
}

/// Removes what `rule` says from a store that is opened alone, or with `dry` only says what would go.
pub fn prune(store: &mut Store, rule: &Rule, dry: bool) -> Result<Pruned, Error> {
    let caches = Caches::new(store.root());
    let held = if dry { None } else { Some(caches.hold()?) };
    let inventory = Inventory::take(store, held.as_ref())?;
    let goes = rule.chosen(&inventory.items, SystemTime::now());
    let mut moved: Vec<PathBuf> = Vec::new();
    let mut removed: Vec<(Kind, usize, Size)> = Vec::new();
    for (item, _) in inventory.items.iter().zip(&goes).filter(|(_, goes)| **goes) {
        if !dry {
            for path in &item.paths {
                moved.extend(store.discard(path)?);
            }
        }
        match removed.last_mut().filter(|(kind, _, _)| *kind == item.kind) {
            Some((_, count, size)) => {
                *count += 1;
                size.0 += item.size.0;
            }
            None => removed.push((item.kind, 1, item.size)),
        }
    }
    for path in held.iter().map(|held| caches.leftovers(held)).collect::<Result<Vec<_>, _>>()?.concat() {
        moved.extend(store.discard(&path)?);
    }
    let busy = inventory.items.iter().filter(|item| item.busy && rule.is_about(item)).count();
    // Nobody has to wait for large directories to be removed: they are out of the way.
    drop(held);
    store.release();
    for path in moved {
        fs::remove_all(path)?;
    }
    let freed: u64 = removed.iter().map(|(_, _, size)| size.0).sum();
    Ok(Pruned { removed, left: Size(inventory.size().0 - freed), busy })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cache::Owner;

    const DAY: Duration = Duration::from_hours(24);

    fn item(kind: Kind, size: u64, days: u32, services: &[&str]) -> Item {
        let owner = |service: &&str| Owner { service: (*service).to_owned(), workspace: "/w".into() };
        Item {
            kind,
            size: Size(size),
            used: SystemTime::UNIX_EPOCH + DAY * (100 - days),
            owners: services.iter().map(owner).collect(),
            blob: (kind == Kind::Layers).then(|| BlobDigest::of(&size.to_be_bytes())),
            leads_to: Vec::new(),
            busy: false,
            paths: Vec::new(),
        }
    }

    /// The sizes of what goes.
    fn gone(rule: &Rule, items: &[Item]) -> Vec<u64> {
        let goes = rule.chosen(items, SystemTime::UNIX_EPOCH + DAY * 100);
        items.iter().zip(goes).filter(|(_, goes)| *goes).map(|(item, _)| item.size.0).collect()
    }

    #[test]
    fn what_a_rule_takes() {
        let mut busy = item(Kind::Dependencies, 7, 99, &["a"]);
        busy.busy = true;
        let items = [
            item(Kind::Layers, 100, 0, &["a"]),
            item(Kind::Layers, 30, 40, &["a", "b"]),
            item(Kind::Layers, 20, 40, &[]),
            item(Kind::Bases, 50, 10, &["b"]),
            item(Kind::Rubbish, 1, 0, &[]),
            busy,
        ];
        let rule = Rule::default;
        let size = |size| Rule { max_size: Some(Size(size)), ..rule() };
        let cases: [(&str, Rule, &[u64]); 10] = [
            ("only rubbish by itself", rule(), &[1]),
            ("everything but what is in use", Rule { all: true, ..rule() }, &[100, 30, 20, 50, 1]),
            ("what is old", Rule { older_than: Some(DAY * 30), ..rule() }, &[30, 20, 1]),
            ("it fits", size(207), &[1]),
            ("the oldest, of these the largest", size(206), &[30, 1]),
            ("in the order of use", size(150), &[30, 20, 50, 1]),
            ("no more than there is", size(0), &[100, 30, 20, 50, 1]),
            ("of one kind", Rule { all: true, kinds: BTreeSet::from([Kind::Bases]), ..rule() }, &[50]),
            ("of one service alone", Rule { all: true, service: Some("b".into()), ..rule() }, &[50]),
            ("both", Rule { older_than: Some(DAY * 30), ..size(120) }, &[30, 20, 50, 1]),
        ];
        for (name, rule, expected) in cases {
            assert_eq!(gone(&rule, &items), expected, "{name}");
        }
    }

    #[test]
    fn records_go_with_what_they_lead_to() {
        let layers = [item(Kind::Layers, 10, 50, &[]), item(Kind::Layers, 20, 0, &[])];
        let mut records = [item(Kind::Records, 1, 0, &[]), item(Kind::Records, 2, 0, &[])];
        records[0].leads_to.push(BlobDigest::of(&10_u64.to_be_bytes()));
        records[1].leads_to.push(BlobDigest::of(&20_u64.to_be_bytes()));
        let items = [layers, records].concat();
        let rule =
            Rule { older_than: Some(DAY * 30), kinds: BTreeSet::from([Kind::Layers]), ..Rule::default() };
        assert_eq!(gone(&rule, &items), [10, 1]);
    }
}
