use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::rules::Rules;
use crate::model::{BaseFacts, ContentDigest, Effects, ImagePath, PackageGroup, PackageUser};

/// Names of the users and groups that there are.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// Of the base: users, then groups.
    base: [BTreeSet<String>; 2],
}

/// Numbers for names that have none in the rules: behind those of the rules, at the end of Debian's range of system users.
const FIRST: u32 = 300;
const COUNT: u32 = 600;

impl Accounts {
    pub(super) fn new(base: &BaseFacts) -> Self {
        let names = |path: &str| -> BTreeSet<String> {
            let path: Option<ImagePath> = path.parse().ok();
            let text = path.and_then(|path| base.resolve(&path)).and_then(|path| base.contents.get(&path));
            let lines = text.map(String::as_str).unwrap_or_default().lines();
            lines.filter_map(|line| line.split(':').next()).map(str::to_owned).collect()
        };
        Self { base: [names("/etc/passwd"), names("/etc/group")] }
    }

    pub(super) fn has_user(&self, effects: &Effects, name: &str) -> bool {
        name == "root" || self.base[0].contains(name) || effects.users.contains_key(name)
    }

    pub(super) fn has_group(&self, effects: &Effects, name: &str) -> bool {
        name == "root" || self.base[1].contains(name) || effects.groups.contains_key(name)
    }
}

/// A user that a command adds.
#[derive(Debug, Default)]
pub(super) struct NewUser {
    pub name: String,
    pub uid: Option<u32>,
    pub group: Option<String>,
    pub comment: String,
    pub home: Option<String>,
    pub shell: Option<String>,
}

/// The number of a system account without one of its own: from the rules' table, else made of the name alone, so that it
/// stays the same whatever else is installed.
pub(super) fn number(table: &BTreeMap<String, u32>, name: &str) -> u32 {
    table.get(name).copied().unwrap_or_else(|| {
        let digest = ContentDigest::of(name.as_bytes()).to_string();
        let hex = digest.rsplit(':').next().unwrap_or_default();
        let start = u32::from_str_radix(hex.get(..7).unwrap_or("0"), 16).unwrap_or(0);
        FIRST + start % COUNT
    })
}

/// Adds a group, unless it is there.
pub(super) fn add_group(
    (accounts, effects, rules): (&Accounts, &mut Effects, &Rules),
    name: &str,
    gid: Option<u32>,
    origin: &Arc<str>,
) {
    if accounts.has_group(effects, name) {
        return;
    }
    let group = PackageGroup {
        gid: gid.unwrap_or_else(|| number(rules.groups(), name)),
        fixed: gid.is_some_and(|gid| gid < 100),
        members: BTreeSet::new(),
        origin: Arc::clone(origin),
    };
    effects.groups.insert(name.to_owned(), group);
}

/// Adds a user, unless it is there; whether it was added.
pub(super) fn add_user(
    (accounts, effects, rules): (&Accounts, &mut Effects, &Rules),
    user: NewUser,
    origin: &Arc<str>,
) -> bool {
    if accounts.has_user(effects, &user.name) {
        return false;
    }
    let group = user.group.unwrap_or_else(|| "nogroup".to_owned());
    if group == "nogroup" {
        add_group((accounts, effects, rules), "nogroup", Some(65_534), origin);
    }
    let row = PackageUser {
        uid: user.uid.unwrap_or_else(|| number(rules.users(), &user.name)),
        fixed: user.uid.is_some_and(|uid| uid < 100),
        group,
        comment: user.comment,
        home: user.home.unwrap_or_else(|| "/nonexistent".to_owned()),
        shell: user.shell.unwrap_or_else(|| "/usr/sbin/nologin".to_owned()),
        origin: Arc::clone(origin),
    };
    effects.users.insert(user.name, row);
    true
}

/// Makes a user a member of a group.
pub(super) fn join(accounts: &Accounts, effects: &mut Effects, user: &str, group: &str, origin: &Arc<str>) {
    // A row of a group of the base says its number in the base; that of here is not taken.
    if !effects.groups.contains_key(group) && accounts.has_group(effects, group) {
        let row = PackageGroup { gid: 0, fixed: false, members: BTreeSet::new(), origin: Arc::clone(origin) };
        effects.groups.insert(group.to_owned(), row);
    }
    if let Some(row) = effects.groups.get_mut(group) {
        row.members.insert(user.to_owned());
    }
}

/// Takes the rows of a written `/etc/passwd` (`table` 0) or `/etc/group` (1); their numbers are the distribution's.
pub(super) fn take_rows(
    effects: &mut Effects,
    passwd: bool,
    text: &str,
    origin: &Arc<str>,
) -> Result<(), String> {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let columns: Vec<&str> = line.split(':').collect();
        let wrong = || format!("`{line}` is no row of /etc/{}", if passwd { "passwd" } else { "group" });
        match columns.as_slice() {
            [name, _, uid, gid, comment, home, shell] if passwd => {
                let gid: u32 = gid.parse().map_err(|_| wrong())?;
                let row = PackageUser {
                    uid: uid.parse().map_err(|_| wrong())?,
                    fixed: true,
                    group: gid.to_string(),
                    comment: (*comment).to_owned(),
                    home: (*home).to_owned(),
                    shell: (*shell).to_owned(),
                    origin: Arc::clone(origin),
                };
                effects.users.insert((*name).to_owned(), row);
            }
            [name, _, gid, members] if !passwd => {
                let members = members.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
                let gid = gid.parse().map_err(|_| wrong())?;
                let row = PackageGroup { gid, fixed: true, members, origin: Arc::clone(origin) };
                effects.groups.insert((*name).to_owned(), row);
            }
            _ => return Err(wrong()),
        }
    }
    Ok(())
}
