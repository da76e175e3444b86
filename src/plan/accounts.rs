use std::collections::BTreeMap;

use super::composed::{ComposeError, joined};
use crate::model::{Effects, Owner};
use crate::spec::User;

const ROOT_PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\n";
const ROOT_GROUP: &str = "root:x:0:\n";

/// `/etc/passwd` and `/etc/group` of an image, as they are being made (passwd(5), group(5)).
pub(super) struct Accounts {
    passwd: Table,
    group: Table,
}

impl Accounts {
    /// The tables of the base, with the groups and users of packages, then `image.user`. A name that the base has keeps
    /// the base's row; the number that `image.user` gives to a name goes before the one of packages, unless theirs is fixed.
    pub(super) fn new(
        passwd: Option<&str>,
        group: Option<&str>,
        effects: &Effects,
        user: Option<&User>,
    ) -> Result<Self, ComposeError> {
        let mut group = Table::new("group", group);
        let mut passwd = Table::new("user", passwd);
        let wanted_gid =
            |name: &str| user.filter(|user| user.group.as_deref() == Some(name)).map(|user| user.gid);
        let mut groups: Vec<_> = effects.groups.iter().collect();
        groups.sort_by_key(|(_, row)| row.gid);
        for (name, row) in groups {
            let gid = chosen(("group", name, row.gid), row.fixed, wanted_gid(name), &row.origin)?;
            let members = row.members.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            group.packaged(name, gid, &format!("{name}:x:{gid}:{members}"), &row.origin)?;
            group.join(name, &row.members);
        }
        let mut users: Vec<_> = effects.users.iter().collect();
        users.sort_by_key(|(_, row)| row.uid);
        for (name, row) in users {
            let wanted = user.filter(|user| user.name.as_deref() == Some(name));
            let uid = chosen(("user", name, row.uid), row.fixed, wanted.map(|user| user.uid), &row.origin)?;
            let gid = match wanted {
                Some(user) => user.gid,
                None => group.number(&row.group).or_else(|| row.group.parse().ok()).ok_or_else(|| {
                    ComposeError::NoAccount {
                        kind: "group",
                        name: row.group.clone(),
                        origin: row.origin.to_string(),
                    }
                })?,
            };
            let text = format!("{name}:x:{uid}:{gid}:{}:{}:{}", row.comment, row.home, row.shell);
            passwd.packaged(name, uid, &text, &row.origin)?;
        }
        if let Some(User { name, uid, group: group_name, gid }) = user {
            if let Some(name) = name {
                passwd.own(name, *uid, &format!("{name}:x:{uid}:{gid}::/nonexistent:/sbin/nologin"))?;
            }
            if let Some(name) = group_name {
                group.own(name, *gid, &format!("{name}:x:{gid}:"))?;
            }
        }
        passwd.rooted(ROOT_PASSWD);
        group.rooted(ROOT_GROUP);
        Ok(Self { passwd, group })
    }

    /// The text of `/etc/passwd`, where something of it is wanted.
    pub(super) fn passwd(&self) -> Option<&str> {
        self.passwd.wanted.then_some(&self.passwd.text)
    }

    /// The text of `/etc/group`, where something of it is wanted.
    pub(super) fn group(&self) -> Option<&str> {
        self.group.wanted.then_some(&self.group.text)
    }

    /// The numbers of a user and a group that are named or numbered.
    pub(super) fn owner(&self, user: &str, group: &str, origin: &str) -> Result<Owner, ComposeError> {
        let number = |table: &Table, name: &str| {
            table.number(name).or_else(|| name.parse().ok()).ok_or_else(|| ComposeError::NoAccount {
                kind: table.kind,
                name: name.to_owned(),
                origin: origin.to_owned(),
            })
        };
        Ok(Owner { uid: number(&self.passwd, user)?, gid: number(&self.group, group)? })
    }
}

fn chosen(
    (kind, name, number): (&'static str, &str, u32),
    fixed: bool,
    wanted: Option<u32>,
    origin: &str,
) -> Result<u32, ComposeError> {
    match wanted {
        Some(wanted) if fixed && wanted != number => Err(ComposeError::Number {
            kind,
            name: name.to_owned(),
            owner: origin.to_owned(),
            number: number.to_string(),
            wanted,
        }),
        Some(wanted) => Ok(wanted),
        None => Ok(number),
    }
}

/// One of the two files: lines whose first column is a name and whose third is its number.
struct Table {
    kind: &'static str,
    text: String,
    numbers: BTreeMap<String, String>,
    /// Who brought the names that the base does not have.
    origins: BTreeMap<String, String>,
    in_base: bool,
    wanted: bool,
}

impl Table {
    fn new(kind: &'static str, base: Option<&str>) -> Self {
        let mut table = Self {
            kind,
            text: base.unwrap_or_default().to_owned(),
            numbers: BTreeMap::new(),
            origins: BTreeMap::new(),
            in_base: base.is_some(),
            wanted: false,
        };
        for line in base.unwrap_or_default().lines() {
            let mut columns = line.split(':');
            if let (Some(name), Some(number)) = (columns.next(), columns.nth(1)) {
                table.numbers.entry(name.to_owned()).or_insert_with(|| number.to_owned());
            }
        }
        table
    }

    fn number(&self, name: &str) -> Option<u32> {
        match self.numbers.get(name) {
            Some(number) => number.parse().ok(),
            None => (name == "root" && !self.in_base).then_some(0),
        }
    }

    /// Adds the row of a package, unless the base has the name.
    fn packaged(&mut self, name: &str, number: u32, row: &str, origin: &str) -> Result<(), ComposeError> {
        self.wanted = true;
        if self.numbers.contains_key(name) {
            return Ok(());
        }
        let text = number.to_string();
        if let Some((other, _)) = self.numbers.iter().find(|(_, known)| **known == text) {
            return Err(ComposeError::Taken {
                kind: self.kind,
                name: name.to_owned(),
                origin: origin.to_owned(),
                number,
                other: other.clone(),
            });
        }
        self.origins.insert(name.to_owned(), origin.to_owned());
        self.put(name, text, row);
        Ok(())
    }

    /// Adds the row of `image.user`, unless the name is there with the same number.
    fn own(&mut self, name: &str, number: u32, row: &str) -> Result<(), ComposeError> {
        self.wanted = true;
        match self.numbers.get(name) {
            None => self.put(name, number.to_string(), row),
            Some(known) if known.parse() == Ok(number) => {}
            Some(known) => {
                return Err(ComposeError::Number {
                    kind: self.kind,
                    name: name.to_owned(),
                    owner: self.origins.get(name).cloned().unwrap_or_else(|| "the base".to_owned()),
                    number: known.clone(),
                    wanted: number,
                });
            }
        }
        Ok(())
    }

    fn put(&mut self, name: &str, number: String, row: &str) {
        self.numbers.insert(name.to_owned(), number);
        self.text = joined(&self.text, &format!("{row}\n"));
    }

    /// Adds members to a group.
    fn join<'m>(&mut self, name: &str, members: impl IntoIterator<Item = &'m String>) {
        let mut rows: Vec<String> = self.text.lines().map(str::to_owned).collect();
        let start = format!("{name}:");
        let Some(row) = rows.iter_mut().find(|row| row.starts_with(&start)) else { return };
        for member in members {
            let known = row.rsplit(':').next().unwrap_or_default();
            if !known.split(',').any(|known| known == member) {
                let comma = if known.is_empty() { "" } else { "," };
                row.push_str(comma);
                row.push_str(member);
            }
        }
        self.text = rows.join("\n") + "\n";
    }

    /// Root stands first where neither base nor packages have it.
    fn rooted(&mut self, row: &str) {
        if self.wanted && !self.in_base && !self.numbers.contains_key("root") {
            self.text.insert_str(0, row);
            self.numbers.insert("root".to_owned(), "0".to_owned());
        }
    }
}
