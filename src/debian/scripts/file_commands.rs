use std::sync::Arc;

use super::account_commands::{self, is_table};
use super::accounts;
use super::alternatives::{self, Link};
use super::commands::Done;
use super::files::SCRATCH;
use super::pattern::UNKNOWN;
use super::run::Run;
use crate::model::{BaseFacts, EntryKind, FactKind, ImagePath};

/// A command that makes, changes or takes away files, with options that are known here.
pub(super) fn run(run: &mut Run<'_, '_>, name: &str, words: &[&str]) -> Done {
    let known = matches!(
        name,
        "mkdir"
            | "install"
            | "chown"
            | "chgrp"
            | "chmod"
            | "ln"
            | "rm"
            | "rmdir"
            | "touch"
            | "cp"
            | "mv"
            | "ucf"
            | "dpkg-statoverride"
            | "update-ca-certificates"
            | "dpkg-divert"
    );
    if !known {
        return Done::Unknown;
    }
    let statement = [&[name], words].concat().join(" ");
    let (options, values, paths) = split(name, words);
    if options.contains(UNKNOWN)
        || paths.iter().chain(values.iter().map(|(_, value)| value)).any(|path| path.contains(UNKNOWN))
    {
        return Done::Unknown;
    }
    let changes = Changes { statement: &statement, options: &options, values: &values, paths: &paths };
    match name {
        "dpkg-statoverride" if words.contains(&"--list") => return Done::Ended(Some(false)),
        "dpkg-divert" => return diversion(run, words),
        _ => {}
    }
    // Temporary files are nobody's.
    let owned = usize::from(matches!(name, "chown" | "chgrp" | "chmod"));
    if paths.len() > owned && paths[owned..].iter().all(|path| path.starts_with(SCRATCH)) {
        return Done::Ended(Some(true));
    }
    let is_nothing =
        |path: &&str| run.system.files.place(path).is_some() && run.system.files.kind(path).is_none();
    let removes_nothing = name == "rm" && paths.iter().all(is_nothing);
    if removes_nothing {
        return Done::Ended(Some(true));
    }
    if !run.may(&statement) {
        return Done::Ended(Some(true));
    }
    match name {
        "mkdir" => changes.mkdir(run),
        "install" => changes.install(run),
        "chown" | "chgrp" => changes.chown(run, name == "chgrp"),
        "chmod" => changes.chmod(run),
        "ln" => changes.ln(run),
        "rm" | "rmdir" => changes.rm(run, name == "rmdir"),
        "touch" => changes.touch(run),
        "cp" | "ucf" => changes.cp(run, name == "ucf"),
        "mv" => changes.mv(run),
        "dpkg-statoverride" => changes.statoverride(run),
        "update-ca-certificates" => certificates(run),
        _ => Done::Unknown,
    }
}

/// Options as one text of letters and long names between blanks, options with their values, and the other words.
fn split<'w>(name: &str, words: &[&'w str]) -> (String, Vec<(String, &'w str)>, Vec<&'w str>) {
    let valued: &[&str] = match name {
        "mkdir" => &["-m", "--mode"],
        "install" => &["-m", "-o", "-g", "--mode", "--owner", "--group"],
        _ => &[],
    };
    let (mut options, mut values, mut paths) = (String::new(), Vec::new(), Vec::new());
    let mut words = words.iter();
    let mut only_paths = false;
    while let Some(word) = words.next() {
        if only_paths || !word.starts_with('-') || *word == "-" {
            paths.push(*word);
        } else if *word == "--" {
            only_paths = true;
        } else if let Some((option, value)) = word.split_once('=')
            && valued.contains(&option)
        {
            values.push((option.trim_start_matches('-')[..1].to_owned(), value));
        } else if valued.contains(word) {
            values.extend(words.next().map(|value| (word.trim_start_matches('-')[..1].to_owned(), *value)));
        } else if let Some(option) =
            valued.iter().find(|option| option.len() == 2 && word.starts_with(**option))
        {
            values.push((option[1..].to_owned(), &word[2..]));
        } else if word.starts_with("--") {
            options.push_str(&format!(" {word} "));
        } else {
            options.push_str(&word[1..]);
        }
    }
    (options, values, paths)
}

struct Changes<'c> {
    statement: &'c str,
    options: &'c str,
    values: &'c [(String, &'c str)],
    paths: &'c [&'c str],
}

impl Changes<'_> {
    /// Whether only these one-letter options and long names are given.
    fn only(&self, letters: &str, long: &[&str]) -> bool {
        self.options.split(' ').filter(|part| !part.is_empty()).all(|part| {
            if part.starts_with("--") {
                long.contains(&part)
            } else {
                part.chars().all(|char| letters.contains(char))
            }
        })
    }

    fn has(&self, letter: char) -> bool {
        self.options.split(' ').any(|part| !part.starts_with("--") && part.contains(letter))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    fn mode(&self) -> Result<Option<u32>, ()> {
        match self.value("m") {
            None => Ok(None),
            Some(text) => match u32::from_str_radix(text, 8) {
                Ok(mode) if mode <= 0o7777 => Ok(Some(mode)),
                _ => Err(()),
            },
        }
    }

    fn place(&self, run: &mut Run<'_, '_>, path: &str) -> Option<ImagePath> {
        let place = run.system.files.place(path);
        if place.is_none() {
            run.refuse(format!("`{}`: {path} is no place in the image", self.statement));
        }
        place
    }

    fn mkdir(&self, run: &mut Run<'_, '_>) -> Done {
        let (true, Ok(mode)) = (self.only("pv", &["--parents", "--verbose"]), self.mode()) else {
            return Done::Unknown;
        };
        for path in self.paths {
            if let Some(place) = self.place(run, path) {
                let place = run.system.files.followed(place.as_str()).unwrap_or(place);
                let mode = mode.unwrap_or(0o777 & !run.state.umask);
                run.system.make_directory(&place, mode, &run.origin);
            }
        }
        Done::Ended(Some(true))
    }

    fn install(&self, run: &mut Run<'_, '_>) -> Done {
        let Ok(mode) = self.mode() else { return Done::Unknown };
        let places: Vec<&str> = if self.has('d') || self.options.contains("--directory") {
            if !self.only("dvp", &["--directory"]) {
                return Done::Unknown;
            }
            for path in self.paths {
                if let Some(place) = self.place(run, path) {
                    let place = run.system.files.followed(place.as_str()).unwrap_or(place);
                    run.system.make_directory(&place, mode.unwrap_or(0o755), &run.origin);
                    change(run, &place, mode, None, None);
                }
            }
            self.paths.to_vec()
        } else {
            let (true, [from, to]) = (self.only("pDv", &[]), self.paths) else { return Done::Unknown };
            self.copy(run, from, to, Some(mode.unwrap_or(0o755)));
            vec![*to]
        };
        for path in places {
            if let Some(place) = run.system.files.followed(path) {
                change(run, &place, None, self.value("o"), self.value("g"));
            }
        }
        Done::Ended(Some(true))
    }

    fn chown(&self, run: &mut Run<'_, '_>, group_only: bool) -> Done {
        let long = ["--no-dereference", "--recursive", "--quiet", "--silent"];
        let ([owner, paths @ ..], true) = (self.paths, self.only("RhfPv", &long)) else {
            return Done::Unknown;
        };
        let (user, group) = match owner.split_once([':', '.']) {
            _ if group_only => (None, Some(*owner)),
            Some((user, group)) => {
                (Some(user).filter(|name| !name.is_empty()), Some(group).filter(|name| !name.is_empty()))
            }
            None => (Some(*owner), None),
        };
        self.changed(run, paths, None, user, group)
    }

    fn chmod(&self, run: &mut Run<'_, '_>) -> Done {
        let ([mode, paths @ ..], true) = (self.paths, self.only("Rfv", &["--recursive"])) else {
            return Done::Unknown;
        };
        let Ok(mode) = u32::from_str_radix(mode, 8) else { return Done::Unknown };
        self.changed(run, paths, Some(mode & 0o7777), None, None)
    }

    fn changed(
        &self,
        run: &mut Run<'_, '_>,
        paths: &[&str],
        mode: Option<u32>,
        user: Option<&str>,
        group: Option<&str>,
    ) -> Done {
        let recursive = self.has('R') || self.options.contains("--recursive");
        for path in paths.iter().filter(|path| !path.starts_with(SCRATCH)) {
            let own = self.has('h') || self.options.contains("--no-dereference");
            let place = if own { run.system.files.place(path) } else { run.system.files.followed(path) };
            let Some(place) = place else {
                run.refuse(format!("`{}`: {path} is no place in the image", self.statement));
                continue;
            };
            if (own && run.system.files.kind(path).is_none())
                || (!own && run.system.files.target(path).is_none())
            {
                run.refuse(format!("`{}`: {path} is not there", self.statement));
                continue;
            }
            let places: Vec<ImagePath> =
                if recursive { run.system.files.below(&place).cloned().collect() } else { vec![place] };
            run.spend(places.len());
            for place in places {
                change(run, &place, mode, user, group);
            }
        }
        Done::Ended(Some(true))
    }

    fn ln(&self, run: &mut Run<'_, '_>) -> Done {
        let long = ["--symbolic", "--force", "--no-dereference", "--no-target-directory"];
        let symbolic = self.has('s') || self.options.contains("--symbolic");
        let ([target, link], true, true) = (self.paths, symbolic, self.only("snfTv", &long)) else {
            return Done::Unknown;
        };
        let into =
            !self.has('n') && !self.has('T') && run.system.files.target(link) == Some(&FactKind::Directory);
        let link = if into {
            format!("{}/{}", link.trim_end_matches('/'), target.rsplit('/').next().unwrap_or_default())
        } else {
            (*link).to_owned()
        };
        let Some(place) = self.place(run, &link) else { return Done::Ended(None) };
        let force = self.has('f') || self.options.contains("--force");
        if run.system.files.kind(&link).is_some() && !force {
            return Done::Ended(Some(false));
        }
        let kind = EntryKind::Symlink { target: (*target).to_owned() };
        run.system.put(&place, kind, 0o777, &run.origin);
        Done::Ended(Some(true))
    }

    fn rm(&self, run: &mut Run<'_, '_>, directory: bool) -> Done {
        if !self.only("rfvp", &["--force", "--recursive", "--ignore-fail-on-non-empty", "--parents"]) {
            return Done::Unknown;
        }
        let recursive = self.has('r');
        for path in self.paths {
            let (Some(place), true) = (self.place(run, path), run.system.files.kind(path).is_some()) else {
                continue;
            };
            if directory && !run.system.files.is_empty(&place) {
                return Done::Ended(Some(false));
            }
            if run.system.installed.base.tree.contains_key(&place) {
                run.refuse(format!("`{}`: {path} is the base's", self.statement));
                continue;
            }
            let places: Vec<ImagePath> =
                if recursive { run.system.files.below(&place).cloned().collect() } else { vec![place] };
            run.spend(places.len());
            for place in places {
                run.system.files.remove(&mut run.system.effects, &place);
            }
        }
        Done::Ended(Some(true))
    }

    fn touch(&self, run: &mut Run<'_, '_>) -> Done {
        if !self.only("hc", &["--no-dereference"]) {
            return Done::Unknown;
        }
        for path in self.paths {
            if run.system.files.target(path).is_none()
                && let Some(place) = self.place(run, path)
            {
                run.system.put(&place, account_commands::file(""), 0o666 & !run.state.umask, &run.origin);
            }
        }
        Done::Ended(Some(true))
    }

    fn cp(&self, run: &mut Run<'_, '_>, keeps: bool) -> Done {
        let known = keeps || self.only("afpdPvZLn", &["--preserve", "--no-clobber", "--archive"]);
        let ([from, to], true) = (self.paths, known) else { return Done::Unknown };
        let keeps = keeps || self.has('n') || self.options.contains("--no-clobber");
        if keeps && run.system.files.target(to).is_some() {
            return Done::Ended(Some(true));
        }
        self.copy(run, from, to, None);
        Done::Ended(Some(true))
    }

    fn copy(&self, run: &mut Run<'_, '_>, from: &str, to: &str, mode: Option<u32>) {
        let to = match run.system.files.target(to) {
            Some(FactKind::Directory) => {
                format!("{}/{}", to.trim_end_matches('/'), from.rsplit('/').next().unwrap_or_default())
            }
            _ => to.to_owned(),
        };
        if let Some(FactKind::Symlink(target)) = run.system.files.kind(from)
            && (self.has('a') || self.has('d') || self.has('P'))
        {
            let kind = EntryKind::Symlink { target: target.clone() };
            if let Some(place) = self.place(run, &to) {
                run.system.put(&place, kind, 0o777, &run.origin);
            }
            return;
        }
        let Some(bytes) = run.system.content(from) else {
            run.refuse(format!("`{}`: {from} is no file of the packages", self.statement));
            return;
        };
        let kept = run
            .system
            .files
            .followed(from)
            .and_then(|place| run.system.files.facts.tree.get(&place))
            .map(|fact| fact.mode);
        let mode = mode.or(kept).unwrap_or(0o644);
        if let Some(passwd) = is_table(&to) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.table(run, passwd, &text);
        } else if let Some(place) = self.place(run, &to) {
            run.system.put(&place, EntryKind::bytes(bytes), mode, &run.origin);
        }
    }

    fn table(&self, run: &mut Run<'_, '_>, passwd: bool, text: &str) {
        let origin = Arc::clone(&run.origin);
        if let Err(what) = accounts::take_rows(&mut run.system.effects, passwd, text, &origin) {
            run.refuse(format!("`{}`: {what}", self.statement));
        }
        mark_table(run, passwd);
    }

    fn mv(&self, run: &mut Run<'_, '_>) -> Done {
        let ([from, to], true) = (self.paths, self.only("fTv", &["--no-clobber"])) else {
            return Done::Unknown;
        };
        let (Some(old), Some(new)) = (self.place(run, from), self.place(run, to)) else {
            return Done::Ended(None);
        };
        let Some(entry) = run.system.effects.made.get(&old).cloned() else { return Done::Unknown };
        let into = run.system.files.target(to) == Some(&FactKind::Directory);
        if entry.kind == EntryKind::Directory || into {
            return Done::Unknown;
        }
        run.system.files.remove(&mut run.system.effects, &old);
        run.system.files.make(&mut run.system.effects, new, entry);
        Done::Ended(Some(true))
    }

    fn statoverride(&self, run: &mut Run<'_, '_>) -> Done {
        let long = ["--update", "--add", "--force", "--force-all", "--quiet", "--force-statoverride-add"];
        let ([user, group, mode, path], true, true) =
            (self.paths, self.options.contains("--add"), self.only("", &long))
        else {
            return Done::Unknown;
        };
        let Ok(mode) = u32::from_str_radix(mode, 8) else { return Done::Unknown };
        // Only with --update is an override applied at once.
        if self.options.contains("--update") {
            return self.changed(run, &[path], Some(mode & 0o7777), Some(user), Some(group));
        }
        Done::Unknown
    }
}

/// Marks `/etc/passwd` or `/etc/group` as there; its rows are among the accounts.
fn mark_table(run: &mut Run<'_, '_>, passwd: bool) {
    let path = if passwd { "/etc/passwd" } else { "/etc/group" };
    if let Some(place) = run.system.files.place(path) {
        let origin = Arc::clone(&run.origin);
        run.system.put(&place, account_commands::file(""), 0o644, &origin);
        run.system.effects.made.remove(&place);
    }
}

/// Changes mode and owner of what is at a place.
fn change(
    run: &mut Run<'_, '_>,
    place: &ImagePath,
    mode: Option<u32>,
    user: Option<&str>,
    group: Option<&str>,
) {
    if mode.is_none() && user.is_none() && group.is_none() {
        return;
    }
    let system = &mut *run.system;
    if let Some(made) = system.effects.made.get_mut(place) {
        if !matches!(made.kind, EntryKind::Symlink { .. }) {
            made.mode = mode.unwrap_or(made.mode);
        }
        made.user = user.map_or_else(|| made.user.clone(), str::to_owned);
        made.group = group.map_or_else(|| made.group.clone(), str::to_owned);
        return;
    }
    let in_base = system.installed.base.tree.get(place).is_some_and(|fact| fact.kind == FactKind::File);
    if in_base && system.files.packaged(place).is_none() {
        run.refuse(format!("{place} is a file of the base, whose mode and owner stay"));
        return;
    }
    let Some(fact) = system.files.facts.tree.get_mut(place) else { return };
    if let (Some(mode), false) = (mode, matches!(fact.kind, FactKind::Symlink(_))) {
        fact.mode = mode;
    }
    let is_link = matches!(fact.kind, FactKind::Symlink(_));
    let attributes = system.effects.attributes.entry(place.clone()).or_default();
    if !is_link {
        attributes.mode = mode.or(attributes.mode);
    }
    attributes.user = user.map(str::to_owned).or_else(|| attributes.user.take());
    attributes.group = group.map(str::to_owned).or_else(|| attributes.group.take());
}

/// `update-alternatives --install …`
pub(super) fn alternatives(run: &mut Run<'_, '_>, words: &[&str]) -> Done {
    let words: Vec<&str> =
        words.iter().copied().filter(|word| !matches!(*word, "--quiet" | "--force" | "--verbose")).collect();
    match words.as_slice() {
        ["--install", link, name, path, priority, rest @ ..] => {
            let mut links = vec![Link { place: link, name, path }];
            for slave in rest.chunks(4) {
                match slave {
                    ["--slave", link, name, path] => links.push(Link { place: link, name, path }),
                    _ => return Done::Unknown,
                }
            }
            let unknown =
                links.iter().any(|link| [link.place, link.name, link.path].concat().contains(UNKNOWN));
            let (Ok(priority), false) = (priority.parse(), unknown) else { return Done::Unknown };
            if run.may(&format!("update-alternatives {}", words.join(" "))) {
                alternatives::install(run.system, &links, priority, &run.origin);
            }
            Done::Ended(Some(true))
        }
        // Nothing of an earlier version is there.
        ["--remove" | "--remove-all" | "--auto", ..] => Done::Ended(Some(true)),
        ["--query" | "--list" | "--display" | "--get-selections", ..] => {
            run.output.push(UNKNOWN);
            Done::Ended(None)
        }
        _ => Done::Unknown,
    }
}

/// Questions about diversions: there are none.
fn diversion(run: &mut Run<'_, '_>, words: &[&str]) -> Done {
    match words {
        ["--truename", path] => {
            run.output.push_str(path);
            Done::Ended(Some(true))
        }
        ["--listpackage" | "--list", _] => Done::Ended(Some(true)),
        _ => Done::Unknown,
    }
}

/// `update-ca-certificates`: the bundle of all certificates below `/usr/share/ca-certificates` and
/// `/usr/local/share/ca-certificates`, in bytewise order of their paths, and the list of those of the first. Those of the
/// base stand in the base's bundle; the others come behind it.
fn certificates(run: &mut Run<'_, '_>) -> Done {
    let mut bundle = String::new();
    let mut of_base = false;
    let mut list =
        String::from("# Certificates of /usr/share/ca-certificates that update-ca-certificates takes.\n");
    for folder in ["/usr/share/ca-certificates", "/usr/local/share/ca-certificates"] {
        let Some(folder) = run.system.files.followed(folder) else { continue };
        let is_certificate = |path: &&ImagePath| {
            path.name().rsplit_once('.').is_some_and(|(_, end)| end == "crt")
                && run.system.files.target(path.as_str()) == Some(&FactKind::File)
        };
        let files: Vec<ImagePath> = run.system.files.below(&folder).filter(is_certificate).cloned().collect();
        for path in files {
            if let Some(name) = path.as_str().strip_prefix("/usr/share/ca-certificates/") {
                list.push_str(name);
                list.push('\n');
            }
            let own =
                run.system.files.packaged(&path).is_some() || run.system.effects.made.contains_key(&path);
            if !own && run.system.installed.base.tree.contains_key(&path) {
                of_base = true;
                continue;
            }
            let Some(text) = run.system.content_at(&path).and_then(|bytes| String::from_utf8(bytes).ok())
            else {
                run.refuse(format!("`update-ca-certificates`: {path} is no text"));
                continue;
            };
            bundle.push_str(&text);
            if !text.ends_with('\n') {
                bundle.push('\n');
            }
        }
    }
    if of_base {
        let Some(known) = run.system.installed.base.text(BaseFacts::CA_BUNDLES[0]) else {
            run.refuse("`update-ca-certificates`: the base has certificates, but no bundle of them");
            return Done::Ended(Some(true));
        };
        let newline = if known.is_empty() || known.ends_with('\n') { "" } else { "\n" };
        bundle = format!("{known}{newline}{bundle}");
    }
    run.system.effects.bundle = Some(bundle);
    if let Some(place) = run.system.files.place("/etc/ca-certificates.conf") {
        let origin = Arc::clone(&run.origin);
        run.system.put(&place, EntryKind::bytes(list.into_bytes()), 0o644, &origin);
    }
    Done::Ended(Some(true))
}

impl Run<'_, '_> {
    /// What a redirection writes.
    pub(super) fn write(&mut self, path: &str, text: &str, append: bool) {
        if path.starts_with("/dev/")
            || path.starts_with(SCRATCH)
            || path == UNKNOWN.to_string() && text.is_empty()
        {
            return;
        }
        let statement = format!("> {path}");
        if self.system.rules.covering(self.package, &statement, true).is_some()
            || self.system.rules.covering(self.package, &statement, false).is_some()
        {
            return;
        }
        self.spend(text.len());
        let before = if append { self.system.content(path) } else { None };
        let before = before.and_then(|bytes| String::from_utf8(bytes).ok());
        if path.contains(UNKNOWN)
            || text.contains(UNKNOWN)
            || (append && before.is_none() && self.system.files.target(path).is_some())
        {
            self.refuse(format!("`{statement}`, of which the text is not known before the script runs"));
            return;
        }
        if !self.may(&statement) {
            return;
        }
        let text = before.unwrap_or_default() + text;
        let changes = Changes { statement: &statement, options: "", values: &[], paths: &[] };
        if let Some(passwd) = is_table(path) {
            changes.table(self, passwd, &text);
            return;
        }
        let Some(place) = self.system.files.followed(path) else {
            self.refuse(format!("`{statement}`: it is no place in the image"));
            return;
        };
        let mode =
            self.system.files.facts.tree.get(&place).map_or(0o666 & !self.state.umask, |fact| fact.mode);
        let origin = Arc::clone(&self.origin);
        self.system.put(&place, EntryKind::bytes(text.into_bytes()), mode, &origin);
    }
}
