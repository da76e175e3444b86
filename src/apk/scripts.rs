use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::accounts::Accounts;
use super::archive::ApkFacts;

/// Scripts of well-known packages whose work an image does without, `package script why`.
const RULES: &str = include_str!("scripts.rules");

/// Scripts that apk runs when a package comes, in its order.
const NEW: [&str; 3] = ["pre-install", "post-install", "trigger"];
/// Those that it runs when one comes in place of another version.
const UPGRADE: [&str; 3] = ["pre-upgrade", "post-upgrade", "trigger"];

/// A mode, a user and a group that scripts set.
type Change = (Option<u32>, Option<String>, Option<String>);

/// What scripts do to an image.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Directories that they make: path, mode, user and group.
    pub(super) directories: BTreeMap<String, (u32, String, String, Arc<str>)>,
    /// Owners and modes that they set: path, mode, user, group.
    pub(super) attributes: BTreeMap<String, Change>,
    /// Links that they make: path, target.
    pub(super) links: BTreeMap<String, (String, Arc<str>)>,
}

/// A script whose work is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the script {script} of package {package} does what imgpack has no rule for: `{line}`")]
pub struct ScriptError {
    /// The package.
    pub package: String,
    /// The script: `post-install`.
    pub script: &'static str,
    /// Its first line that is not understood.
    pub line: String,
}

/// Does what the scripts of packages do, in their order, then the triggers of other packages. Nothing is run: a script is a
/// list of commands that are known, or has a rule, or is an error. `packages`: names, what they hold, and whether they
/// come in place of another version; `triggered`: names, and the trigger.
pub(super) fn run_scripts(
    packages: &[(&str, &ApkFacts, bool)],
    triggered: &[(String, String)],
    accounts: &mut Accounts,
    ignored: &BTreeSet<String>,
) -> Result<Done, Vec<ScriptError>> {
    let (mut done, mut errors) = (Done::default(), Vec::new());
    let mut all: Vec<(&str, &'static str, &str)> = Vec::new();
    for (package, facts, upgrade) in packages {
        let scripts = if *upgrade { UPGRADE } else { NEW };
        all.extend(
            scripts.into_iter().filter_map(|name| Some((*package, name, facts.scripts.get(name)?.as_str()))),
        );
    }
    // apk runs triggers when everything else is done.
    all.sort_by_key(|(_, script, _)| *script == "trigger");
    all.extend(triggered.iter().map(|(package, text)| (package.as_str(), "trigger", text.as_str())));
    for (package, script, text) in all {
        if ignored.contains(package) || has_rule(package, script) {
            continue;
        }
        let origin: Arc<str> = Arc::from(format!("package {package}"));
        if let Err(line) = run(text, accounts, &mut done, &origin) {
            errors.push(ScriptError { package: package.to_owned(), script, line });
        }
    }
    if errors.is_empty() { Ok(done) } else { Err(errors) }
}

fn has_rule(package: &str, script: &str) -> bool {
    RULES.lines().filter(|line| !line.starts_with('#')).any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some(package) && words.next().is_some_and(|known| known == script || known == "*")
    })
}

/// The first line that is not understood is the error.
fn run(text: &str, accounts: &mut Accounts, done: &mut Done, origin: &Arc<str>) -> Result<(), String> {
    let mut lines = text.lines();
    // What a line continues in the next, without its backslash.
    let mut begun = String::new();
    while let Some(line) = lines.next() {
        begun.push_str(line.trim());
        if let Some(rest) = begun.strip_suffix('\\') {
            begun = format!("{rest} ");
            continue;
        }
        let line = std::mem::take(&mut begun);
        let unknown = || Err(line.clone());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(end) = here_document(&line) {
            // A text for people.
            if !lines.by_ref().any(|line| line.trim() == end) {
                return unknown();
            }
            continue;
        }
        let Some(command) = plain(&line) else { return unknown() };
        let Some(words) = words(command) else { return unknown() };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some((program, arguments)) = words.split_first() else { continue };
        let understood = match program.rsplit('/').next().unwrap_or(program) {
            "exit" => match arguments {
                [] | ["0"] => return Ok(()),
                _ => false,
            },
            "set" | ":" | "true" | "echo" | "printf" => true,
            "addgroup" => accounts.addgroup(arguments, origin),
            "adduser" => match accounts.adduser(arguments, origin) {
                Some(home) => {
                    if let Some((path, user, group)) = home {
                        done.directories.insert(path, (0o2755, user, group, Arc::clone(origin)));
                    }
                    true
                }
                None => false,
            },
            "mkdir" | "install" => directories(program, arguments, done, origin),
            name @ ("chown" | "chgrp" | "chmod") => attributes(name, arguments, done),
            "ln" => match arguments {
                ["-s" | "-sf" | "-snf" | "-sfn", target, path]
                    if path.starts_with('/') && !path.ends_with('/') =>
                {
                    done.links.insert((*path).to_owned(), ((*target).to_owned(), Arc::clone(origin)));
                    true
                }
                _ => false,
            },
            _ => false,
        };
        if !understood {
            return unknown();
        }
    }
    if begun.is_empty() { Ok(()) } else { Err(begun) }
}

/// The end mark of `cat <<EOF` and its like, where what follows goes to the terminal.
fn here_document(line: &str) -> Option<&str> {
    let mark = line.strip_prefix("cat")?.trim_start();
    let mark = mark.strip_prefix("1>&2").or_else(|| mark.strip_prefix(">&2")).unwrap_or(mark).trim_start();
    let mark = mark.strip_prefix("<<-").or_else(|| mark.strip_prefix("<<"))?.trim();
    let mark = mark.strip_suffix(">&2").unwrap_or(mark).trim();
    Some(mark.trim_matches(['"', '\'', '\\']))
}

/// A command without what throws its messages and its failure away; `None` where there is more than one.
fn plain(line: &str) -> Option<&str> {
    let mut line = line.trim_end_matches(';').trim();
    loop {
        let before = line;
        for end in [
            "|| true",
            "|| :",
            "||true",
            "||:",
            "&>/dev/null",
            "2>&1",
            "2>/dev/null",
            "2> /dev/null",
            ">/dev/null",
            "> /dev/null",
            "1>&2",
            ">&2",
        ] {
            line = line.strip_suffix(end).unwrap_or(line).trim_end();
        }
        if line == before {
            break;
        }
    }
    // Looks for what is there already, and otherwise makes it: both come to the same.
    for (test, rest) in [("getent ", " || "), ("id ", " || "), ("grep ", " || ")] {
        if line.starts_with(test) {
            let (_, command) = line.split_once(rest)?;
            return plain(command);
        }
    }
    Some(line)
}

/// The words of a simple command; `None` where a shell would do more than part them.
fn words(command: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in command.chars() {
        match (quote, character) {
            (Some(mark), c) if c == mark => quote = None,
            (Some('"'), '$' | '`' | '\\')
            | (None, '$' | '`' | '\\' | '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*' | '?' | '{' | '[') => {
                return None;
            }
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, c) if c.is_ascii_whitespace() => found.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    found.extend(word.take());
    quote.is_none().then_some(found)
}

/// `mkdir -p` and `install -d`, with modes and owners.
fn directories(program: &str, arguments: &[&str], done: &mut Done, origin: &Arc<str>) -> bool {
    let (mut mode, mut user, mut group) = (None, None, None);
    let makes = program.ends_with("mkdir");
    let (mut paths, mut is_directory) = (Vec::new(), makes);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match *word {
            "-d" => is_directory = true,
            "-p" | "-D" => {}
            "-m" | "-o" | "-g" => {
                let Some(value) = words.next() else { return false };
                match *word {
                    "-o" => user = Some((*value).to_owned()),
                    "-g" => group = Some((*value).to_owned()),
                    _ => match u32::from_str_radix(value, 8) {
                        Ok(number) => mode = Some(number),
                        Err(_) => return false,
                    },
                }
            }
            word if word.starts_with("-m") => match u32::from_str_radix(&word[2..], 8) {
                Ok(number) => mode = Some(number),
                Err(_) => return false,
            },
            word if word.starts_with('/') => paths.push(word),
            _ => return false,
        }
    }
    for path in &paths {
        let path = path.trim_end_matches('/').to_owned();
        let root = |name: &Option<String>| name.clone().unwrap_or_else(|| "root".to_owned());
        let row = (mode.unwrap_or(0o755), root(&user), root(&group), Arc::clone(origin));
        done.directories.entry(path.clone()).or_insert(row);
        // What is there already changes with `install` alone.
        if !makes && (mode.is_some() || user.is_some() || group.is_some()) {
            let row = done.attributes.entry(path).or_default();
            row.0 = mode.or(row.0);
            row.1 = user.clone().or_else(|| row.1.take());
            row.2 = group.clone().or_else(|| row.2.take());
        }
    }
    is_directory && !paths.is_empty()
}

/// `chown`, `chgrp` and `chmod` of single files.
fn attributes(program: &str, arguments: &[&str], done: &mut Done) -> bool {
    let [what, paths @ ..] = arguments else { return false };
    let numeric = u32::from_str_radix(what, 8).ok();
    let (user, group) = match program {
        "chgrp" => (None, Some(*what)),
        _ => match what.split_once([':', '.']) {
            Some((user, group)) => (Some(user), Some(group)),
            None => (Some(*what), None),
        },
    };
    let name = |name: Option<&str>| name.filter(|name| !name.is_empty()).map(str::to_owned);
    for path in paths {
        if !path.starts_with('/') {
            return false;
        }
        let path = path.trim_end_matches('/');
        let row = done.attributes.entry(path.to_owned()).or_default();
        if program == "chmod" {
            let Some(mode) = numeric else { return false };
            row.0 = Some(mode & 0o7777);
        } else {
            row.1 = name(user).or_else(|| row.1.clone());
            row.2 = name(group).or_else(|| row.2.clone());
        }
    }
    !paths.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_before_a_command_changes_nothing_of_it() {
        let (mut accounts, mut done) = (Accounts::default(), Done::default());
        let text = "/bin/chmod 700 /etc/x\n/bin/chgrp 5 /etc/x\n/usr/bin/install -d -m 750 -o 7 /var/x\nmkdir -p /var/x\n";
        run(text, &mut accounts, &mut done, &Arc::from("package x")).unwrap();
        assert_eq!(done.attributes["/etc/x"], (Some(0o700), None, Some("5".to_owned())));
        assert_eq!(done.attributes["/var/x"], (Some(0o750), Some("7".to_owned()), None));
        let (mode, user, ..) = &done.directories["/var/x"];
        assert_eq!((*mode, user.as_str()), (0o750, "7"));
    }
}
