use std::sync::Arc;

use super::accounts::{self, NewUser};
use super::commands::Done;
use super::pattern::UNKNOWN;
use super::run::Run;
use crate::model::EntryKind;

/// `getent` and `id`: whether an account is there.
pub(super) fn asked(run: &mut Run<'_, '_>, name: &str, words: &[&str]) -> Done {
    let system = &run.system;
    let status = match (name, words) {
        ("getent", [table @ ("passwd" | "group"), account]) if !account.contains(UNKNOWN) => {
            let passwd = *table == "passwd";
            let known = if passwd {
                system.accounts.has_user(&system.effects, account)
            } else {
                system.accounts.has_group(&system.effects, account)
            };
            if known {
                run.output.push(UNKNOWN);
            }
            Some(known)
        }
        ("id", [options @ .., account]) if !account.contains(UNKNOWN) && !account.starts_with('-') => {
            let known = system.accounts.has_user(&system.effects, account);
            if let (Some(user), ["-Gn"]) = (system.effects.users.get(*account), options) {
                let joined = system.effects.groups.iter().filter(|(_, row)| row.members.contains(*account));
                let names: Vec<&str> =
                    joined.map(|(name, _)| name.as_str()).chain([user.group.as_str()]).collect();
                let text = names.join(" ");
                run.output.push_str(&text);
            } else if known && !options.is_empty() {
                run.output.push(UNKNOWN);
            }
            Some(known)
        }
        _ => {
            run.output.push(UNKNOWN);
            None
        }
    };
    Done::Ended(status)
}

/// The commands that make accounts (adduser(8), useradd(8), groupadd(8), usermod(8), systemd-sysusers(8)).
pub(super) fn run(run: &mut Run<'_, '_>, name: &str, words: &[&str]) -> Done {
    if words.iter().any(|word| word.contains(UNKNOWN)) {
        return Done::Unknown;
    }
    let statement = [&[name], words].concat().join(" ");
    if name == "systemd-sysusers" {
        return sysusers(run, words, &statement);
    }
    let Some(asked) = Options::read(name, words) else { return Done::Unknown };
    if !run.may(&statement) {
        return Done::Ended(Some(true));
    }
    let origin = Arc::clone(&run.origin);
    let system = &mut *run.system;
    let makes_user = matches!(name, "adduser" | "useradd");
    match asked.names.as_slice() {
        [user, group] if matches!(name, "adduser" | "addgroup" | "gpasswd") => {
            accounts::join(&system.accounts, &mut system.effects, user, group, &origin);
        }
        [user] if name == "usermod" || name == "gpasswd" => {
            if asked.changes_row() {
                let Some(row) = system.effects.users.get_mut(user) else { return Done::Unknown };
                row.uid = asked.uid.unwrap_or(row.uid);
                row.group = asked
                    .group
                    .or_else(|| asked.gid.map(|gid| gid.to_string()))
                    .unwrap_or_else(|| row.group.clone());
                row.home = asked.home.unwrap_or_else(|| row.home.clone());
                row.shell = asked.shell.unwrap_or_else(|| row.shell.clone());
                if !asked.comment.is_empty() {
                    row.comment.clone_from(&asked.comment);
                }
            }
            for group in &asked.groups {
                accounts::join(&system.accounts, &mut system.effects, user, group, &origin);
            }
        }
        [user] if makes_user && (asked.system || !asked.own_group) => {
            let own = asked.own_group || (name == "useradd" && asked.group.is_none());
            if own {
                let gid = asked.gid.or(asked.uid);
                accounts::add_group(
                    (&system.accounts, &mut system.effects, system.rules),
                    user,
                    gid,
                    &origin,
                );
            }
            let numbered = asked.gid.filter(|_| !own).map(|gid| gid.to_string());
            let group = asked.group.clone().or_else(|| own.then(|| user.clone())).or(numbered);
            let home = asked
                .home
                .clone()
                .or_else(|| (!asked.no_home && !asked.system).then(|| format!("/home/{user}")));
            let new = NewUser {
                name: user.clone(),
                uid: asked.uid,
                group: group.clone(),
                comment: asked.comment.clone(),
                home: home.clone(),
                shell: asked.shell.clone(),
            };
            let added =
                accounts::add_user((&system.accounts, &mut system.effects, system.rules), new, &origin);
            let makes_home = added && !asked.no_home && (name == "adduser" || asked.makes_home);
            if let Some(place) = home.filter(|_| makes_home).and_then(|home| system.files.place(&home))
                && system.files.target(place.as_str()).is_none()
            {
                system.make_directory(&place, 0o755, &origin);
                if let Some(made) = system.effects.made.get_mut(&place) {
                    made.user.clone_from(user);
                    made.group = group.unwrap_or_else(|| "nogroup".to_owned());
                }
            }
            for group in &asked.groups {
                accounts::join(&system.accounts, &mut system.effects, user, group, &origin);
            }
        }
        [group] if matches!(name, "addgroup" | "groupadd" | "adduser") => {
            accounts::add_group(
                (&system.accounts, &mut system.effects, system.rules),
                group,
                asked.gid,
                &origin,
            );
        }
        _ => return Done::Unknown,
    }
    Done::Ended(Some(true))
}

#[derive(Default)]
struct Options {
    names: Vec<String>,
    system: bool,
    own_group: bool,
    no_home: bool,
    makes_home: bool,
    uid: Option<u32>,
    gid: Option<u32>,
    group: Option<String>,
    groups: Vec<String>,
    comment: String,
    home: Option<String>,
    shell: Option<String>,
}

impl Options {
    /// Whether a user's row is to say something else.
    fn changes_row(&self) -> bool {
        let texts = [&self.group, &self.home, &self.shell];
        texts.iter().any(|text| text.is_some())
            || self.uid.is_some()
            || self.gid.is_some()
            || !self.comment.is_empty()
    }

    /// `None` for an option that is not known.
    fn read(name: &str, words: &[&str]) -> Option<Self> {
        let mut found = Self::default();
        let long = matches!(name, "adduser" | "addgroup");
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if !word.starts_with('-') || word.is_empty() {
                found.names.push((*word).to_owned());
                continue;
            }
            let (option, mut value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value.to_owned())),
                None => (*word, None),
            };
            let mut next = || value.take().or_else(|| words.next().map(|word| (*word).to_owned()));
            match option {
                "--system" | "-r" => found.system = true,
                "--group" if long => found.own_group = true,
                "--home" | "--home-dir" | "-d" => found.home = Some(next()?),
                "--no-create-home" | "-M" => found.no_home = true,
                "--create-home" | "-m" => found.makes_home = true,
                "--shell" | "-s" => found.shell = Some(next()?),
                "--gecos" | "--comment" | "-c" => found.comment = next()?,
                "--ingroup" => found.group = Some(next()?),
                "--uid" | "-u" => found.uid = Some(next()?.parse().ok()?),
                "--gid" | "-g" => {
                    let value = next()?;
                    match value.parse() {
                        Ok(gid) if name != "useradd" => found.gid = Some(gid),
                        _ => found.group = Some(value),
                    }
                }
                "-G" | "--groups" => {
                    let value = next()?;
                    found.groups.extend(value.split(',').map(str::to_owned));
                }
                "-aG" if name == "usermod" => found.groups.push(next()?),
                "-a" | "--add" if name == "gpasswd" => {
                    let user = next()?;
                    found.names.insert(0, user);
                }
                "-a" | "--append" if name == "usermod" => {}
                "--user-group" | "-U" => found.own_group = true,
                "-N" | "--no-user-group" => found.group = Some("nogroup".to_owned()),
                "--quiet"
                | "-q"
                | "--disabled-login"
                | "--disabled-password"
                | "--force-badname"
                | "--allow-badname"
                | "--allow-bad-names"
                | "--force"
                | "-f"
                | "--no-log-init" => {}
                _ => return None,
            }
        }
        if name == "useradd" && found.own_group {
            found.group = None;
        }
        // `adduser --group NAME` alone makes a group.
        found.own_group &= found.system || name == "useradd" || name == "addgroup" || found.names.len() == 1;
        Some(found)
    }
}

/// `systemd-sysusers FILE…`: rows of sysusers.d(5).
fn sysusers(run: &mut Run<'_, '_>, words: &[&str], statement: &str) -> Done {
    let files: Vec<String> = words
        .iter()
        .filter(|word| !word.starts_with('-'))
        .map(
            |word| {
                if word.contains('/') { (*word).to_owned() } else { format!("/usr/lib/sysusers.d/{word}") }
            },
        )
        .collect();
    if words.iter().any(|word| word.starts_with("--") && !word.starts_with("--root")) || !run.may(statement) {
        return Done::Unknown;
    }
    for file in files {
        let text = run.system.content(&file).and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(text) = text else {
            run.refuse(format!("`{statement}`: there is no {file}"));
            continue;
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if !sysuser(run, &columns(line)) {
                run.refuse(format!("{file}: `{line}`"));
            }
        }
    }
    Done::Ended(Some(true))
}

/// One row; whether it is understood.
fn sysuser(run: &mut Run<'_, '_>, columns: &[String]) -> bool {
    let origin = Arc::clone(&run.origin);
    let system = &mut *run.system;
    let column = |index: usize| columns.get(index).map(String::as_str).filter(|text| *text != "-");
    let (Some(kind), Some(name)) = (column(0), column(1)) else { return false };
    let id = column(2).unwrap_or_default();
    let (uid, gid) = id.split_once(':').unwrap_or((id, ""));
    let number = |text: &str| text.parse::<u32>().ok();
    if id.contains('/') || name.contains('%') {
        return false;
    }
    match kind {
        "g" => {
            let gid = number(uid);
            accounts::add_group((&system.accounts, &mut system.effects, system.rules), name, gid, &origin);
        }
        "u" | "u!" => {
            let named = (!gid.is_empty()).then(|| gid.to_owned());
            if named.is_none() {
                let gid = number(uid);
                accounts::add_group(
                    (&system.accounts, &mut system.effects, system.rules),
                    name,
                    gid,
                    &origin,
                );
            }
            let new = NewUser {
                name: name.to_owned(),
                uid: number(uid),
                group: Some(named.unwrap_or_else(|| name.to_owned())),
                comment: column(3).unwrap_or_default().to_owned(),
                home: Some(column(4).unwrap_or("/").to_owned()),
                shell: column(5).map(str::to_owned),
            };
            accounts::add_user((&system.accounts, &mut system.effects, system.rules), new, &origin);
        }
        "m" => {
            let Some(group) = column(2) else { return false };
            accounts::add_group((&system.accounts, &mut system.effects, system.rules), group, None, &origin);
            accounts::join(&system.accounts, &mut system.effects, name, group, &origin);
        }
        "r" => {}
        _ => return false,
    }
    true
}

/// The columns of a row: words, quoted where they have blanks.
fn columns(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    let mut quote = None;
    for char in line.chars() {
        match quote {
            Some(open) if char == open => quote = None,
            None if char == '"' || char == '\'' => {
                quote = Some(char);
                current.get_or_insert_default();
            }
            None if char.is_whitespace() => found.extend(current.take()),
            Some(_) | None => current.get_or_insert_default().push(char),
        }
    }
    found.extend(current);
    found
}

/// Where `/etc/passwd` and `/etc/group` are written whole.
pub(super) fn is_table(path: &str) -> Option<bool> {
    match path {
        "/etc/passwd" => Some(true),
        "/etc/group" => Some(false),
        _ => None,
    }
}

/// A file in memory.
pub(super) fn file(text: &str) -> EntryKind {
    EntryKind::bytes(text.as_bytes())
}
