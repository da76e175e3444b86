use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{PackageGroup, PackageUser};

/// The first number of a system account, and of one that is none (busybox, `adduser` and `addgroup`).
const SYSTEM: u32 = 100;
const ORDINARY: u32 = 1000;

/// The users and groups of a base, and those that packages' scripts add.
#[derive(Debug, Clone, Default)]
pub(super) struct Accounts {
    uids: BTreeMap<String, u32>,
    gids: BTreeMap<String, u32>,
    pub(super) users: BTreeMap<String, PackageUser>,
    pub(super) groups: BTreeMap<String, PackageGroup>,
}

impl Accounts {
    /// Those of the base's tables.
    pub(super) fn new(passwd: &str, group: &str) -> Self {
        let numbers = |text: &str| -> BTreeMap<String, u32> {
            let row = |line: &str| {
                let mut columns = line.split(':');
                Some((columns.next()?.to_owned(), columns.nth(1)?.parse().ok()?))
            };
            text.lines().filter_map(row).collect()
        };
        Self { uids: numbers(passwd), gids: numbers(group), ..Self::default() }
    }

    /// The number of a user.
    pub(super) fn uid(&self, name: &str) -> Option<u32> {
        self.uids.get(name).copied()
    }

    /// The number of a group.
    pub(super) fn gid(&self, name: &str) -> Option<u32> {
        self.gids.get(name).copied()
    }

    /// `addgroup` with these words behind it, as busybox has it. `false` where that is not understood.
    pub(super) fn addgroup(&mut self, words: &[&str], origin: &Arc<str>) -> bool {
        let (mut system, mut gid, mut names) = (false, None, Vec::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "-S" | "--system" => system = true,
                "-g" | "--gid" => match words.next().and_then(|word| word.parse().ok()) {
                    Some(number) => gid = Some(number),
                    None => return false,
                },
                word if word.starts_with('-') => return false,
                word => names.push(word),
            }
        }
        match names.as_slice() {
            [group] => self.group(group, system, gid, origin),
            [user, group] => self.join(user, group, origin),
            _ => return false,
        }
        true
    }

    #[expect(clippy::option_option, reason = "not understood, no home, a home")]
    /// `adduser` with these words behind it, as Alpine's busybox has it. `None` where that is not understood, else the home
    /// that it makes, with its user and group.
    pub(super) fn adduser(
        &mut self,
        words: &[&str],
        origin: &Arc<str>,
    ) -> Option<Option<(String, String, String)>> {
        let (mut system, mut makes_home, mut uid) = (false, true, None);
        let (mut home, mut shell, mut comment, mut group, mut names) = (None, None, None, None, Vec::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "-S" | "--system" => system = true,
                "-D" | "--disabled-password" => {}
                "-H" | "--no-create-home" => makes_home = false,
                "-h" | "--home" => home = Some(*words.next()?),
                "-s" | "--shell" => shell = Some(*words.next()?),
                "-g" | "--gecos" => comment = Some(*words.next()?),
                "-G" | "--ingroup" => group = Some(*words.next()?),
                "-u" | "--uid" => uid = Some(words.next()?.parse().ok()?),
                // Several letters in one word, the last of which may want a value.
                word if word.starts_with('-') && !word.starts_with("--") && word.len() > 2 => {
                    let (flags, last) = word[1..].split_at(word.len() - 2);
                    for flag in flags.chars() {
                        match flag {
                            'S' => system = true,
                            'D' => {}
                            'H' => makes_home = false,
                            _ => return None,
                        }
                    }
                    match last {
                        "S" => system = true,
                        "D" => {}
                        "H" => makes_home = false,
                        "h" => home = Some(*words.next()?),
                        "s" => shell = Some(*words.next()?),
                        "g" => comment = Some(*words.next()?),
                        "G" => group = Some(*words.next()?),
                        "u" => uid = Some(words.next()?.parse().ok()?),
                        _ => return None,
                    }
                }
                word if word.starts_with('-') => return None,
                word => names.push(word),
            }
        }
        match names.as_slice() {
            [name] => {
                if self.uids.contains_key(*name) {
                    return Some(None);
                }
                let from = if system { SYSTEM } else { ORDINARY };
                let apart = group.is_none() && !system;
                let taken = |number: u32| {
                    self.uids.values().any(|known| *known == number)
                        || (apart && self.gids.values().any(|known| *known == number))
                };
                let uid =
                    uid.unwrap_or_else(|| (from..u32::MAX).find(|number| !taken(*number)).unwrap_or(from));
                let group = match group {
                    Some(group) => group.to_owned(),
                    None if system => "nogroup".to_owned(),
                    None => {
                        self.group(name, false, Some(uid), origin);
                        (*name).to_owned()
                    }
                };
                if !apart {
                    self.join(name, &group, origin);
                }
                let home = home.map_or_else(|| format!("/home/{name}"), str::to_owned);
                let shell = shell.unwrap_or(if system { "/sbin/nologin" } else { "/bin/sh" }).to_owned();
                let comment = comment.unwrap_or("Linux User,,,").to_owned();
                self.uids.insert((*name).to_owned(), uid);
                let user = PackageUser {
                    uid,
                    fixed: true,
                    group: group.clone(),
                    comment,
                    home: home.clone(),
                    shell,
                    origin: Arc::clone(origin),
                };
                self.users.insert((*name).to_owned(), user);
                Some(makes_home.then(|| (home, (*name).to_owned(), group)))
            }
            [user, group] => {
                self.join(user, group, origin);
                Some(None)
            }
            _ => None,
        }
    }

    fn group(&mut self, name: &str, system: bool, gid: Option<u32>, origin: &Arc<str>) {
        if self.gids.contains_key(name) {
            return;
        }
        let from = if system { SYSTEM } else { ORDINARY };
        let taken = |number: u32| self.gids.values().any(|known| *known == number);
        let gid = gid.unwrap_or_else(|| (from..u32::MAX).find(|number| !taken(*number)).unwrap_or(from));
        self.gids.insert(name.to_owned(), gid);
        let group = PackageGroup { gid, fixed: true, members: BTreeSet::new(), origin: Arc::clone(origin) };
        self.groups.insert(name.to_owned(), group);
    }

    fn join(&mut self, user: &str, group: &str, origin: &Arc<str>) {
        let Some(gid) = self.gid(group) else { return };
        let row = self.groups.entry(group.to_owned()).or_insert_with(|| PackageGroup {
            gid,
            fixed: false,
            members: BTreeSet::new(),
            origin: Arc::clone(origin),
        });
        row.members.insert(user.to_owned());
    }
}
