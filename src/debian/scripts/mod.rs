//! Maintainer scripts, followed without being run (Debian Policy Manual, chapter 6): which users, links, directories and
//! files a fresh installation makes, as values. What is not known of a script is an error, never a guess.

mod account_commands;
mod accounts;
mod alternatives;
mod commands;
mod conditions;
mod expand;
mod file_commands;
mod files;
mod filters;
mod pattern;
mod rules;
mod run;
mod system;

use std::collections::BTreeSet;
use std::io;

use self::rules::Rules;
use self::run::Run;
use self::system::System;
use super::deb::DebFacts;
use super::shell;
use super::status::database;
use crate::model::{BaseFacts, Effects, EntryKind, PackageFile};

/// Packages that are put on a base.
#[derive(Clone, Copy)]
pub struct Installed<'a> {
    /// What they hold; a package stands behind those that it depends on, as far as there is such an order.
    pub packages: &'a [&'a DebFacts],
    /// The files of each that get into the image, where they are there.
    pub files: &'a [Vec<PackageFile>],
    /// What they are put on.
    pub base: &'a BaseFacts,
    /// Names of packages whose scripts are left out of account.
    pub ignored: &'a BTreeSet<String>,
    /// Reads a file of the package with that index. Asked only for the few that composed files are made of.
    pub read: &'a dyn Fn(usize, &PackageFile) -> io::Result<Vec<u8>>,
}

/// A statement of a maintainer script of which imgpack does not know what it would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("package {package}: {script} does what imgpack does not know: {what}")]
pub struct ScriptError {
    /// The package.
    pub package: String,
    /// The script: `postinst`.
    pub script: String,
    /// The statement that no rule covers, or what else is wrong with it.
    pub what: String,
}

/// Statements that are told of one script.
const TOLD: usize = 4;

impl ScriptError {
    /// All of them for people, a block for each package.
    pub fn list(errors: &[Self]) -> String {
        let mut text = String::from(
            "imgpack runs no script of a package but follows what it says, and these say something that it does not know:",
        );
        for script in errors.chunk_by(|one, two| (&one.package, &one.script) == (&two.package, &two.script)) {
            let told = script.iter().take(TOLD).map(|error| format!("\n    {}", error.what));
            let more = script.len().saturating_sub(TOLD);
            let more = if more > 0 { format!("\n    and {more} more") } else { String::new() };
            let first = &script[0];
            text.push_str(&format!(
                "\n  {} of {}:{}{more}",
                first.script,
                first.package,
                told.collect::<String>()
            ));
        }
        text
    }

    /// The ways out.
    pub fn hint(&self) -> String {
        let package = &self.package;
        format!(
            "`exclude: [{package}]` if nothing needs it, `scripts: {{ {package}: ignore }}` if the image does without what the \
             script does, or another base; please report it, so that imgpack learns the script"
        )
    }
}

/// What the maintainer scripts of freshly installed packages would do to an image, and the packages' rows of the dpkg
/// database; nothing is run.
///
/// All packages are unpacked, each after its `preinst install`; then each is configured (`postinst configure` with no
/// version before it), then those that wait for triggers get them. `prerm` and `postrm` have no part in an installation, and
/// `config` and `templates` only fill debconf's database.
pub fn effects(installed: &Installed<'_>) -> Result<Effects, Vec<ScriptError>> {
    let rules = Rules::own().map_err(|error| {
        vec![ScriptError { package: "imgpack".into(), script: "rules.toml".into(), what: error.to_string() }]
    })?;
    let mut system = System::new(installed, &rules);
    let mut errors = Vec::new();
    for (index, facts) in installed.packages.iter().enumerate() {
        system.learn(facts.scripts.get("templates").map(String::as_str).unwrap_or_default());
        follow(&mut system, facts, "preinst", &["install"], &mut errors);
        for file in installed.files.get(index).into_iter().flatten() {
            system.files.unpack(index, file);
        }
    }
    for facts in installed.packages {
        follow(&mut system, facts, "postinst", &["configure", ""], &mut errors);
    }
    for facts in installed.packages {
        let names = triggers(facts, "interest");
        if !names.is_empty() {
            follow(&mut system, facts, "postinst", &["triggered", &names.join(" ")], &mut errors);
        }
    }
    certificates_of_base(&mut system, &mut errors);
    match database(installed.packages, installed.base) {
        Ok(files) => {
            for file in files {
                system.put(&file.path, EntryKind::bytes(file.text.into_bytes()), 0o644, &file.origin);
            }
        }
        Err(path) => errors.push(ScriptError {
            package: "dpkg".into(),
            script: "database".into(),
            what: format!("{path} of the base is larger than 16 MiB: it cannot be added to"),
        }),
    }
    if errors.is_empty() { Ok(system.effects) } else { Err(errors) }
}

/// Makes the bundle anew where a package asks the base's own ca-certificates for it. It is the one trigger of a base's
/// package that is followed: their scripts are not known.
fn certificates_of_base(system: &mut System<'_>, errors: &mut Vec<ScriptError>) {
    const NAMES: [&str; 2] = ["update-ca-certificates", "update-ca-certificates-fresh"];
    let packages = system.installed.packages;
    let waits =
        packages.iter().any(|facts| triggers(facts, "interest").iter().any(|name| NAMES.contains(name)));
    let asks =
        packages.iter().any(|facts| triggers(facts, "activate").iter().any(|name| NAMES.contains(name)))
            || NAMES.iter().any(|name| system.triggered.contains(*name));
    if waits || !asks || system.files.program("update-ca-certificates").is_none() {
        return;
    }
    if let Ok(script) = shell::parse("update-ca-certificates") {
        let mut run = Run::new(system, "ca-certificates", "postinst", &["triggered"], "all");
        run.follow(&script);
        errors.extend(run.uncovered.into_iter().map(|what| ScriptError {
            package: "ca-certificates".into(),
            script: "postinst".into(),
            what,
        }));
    }
}

/// Names of the triggers that a package waits for (`interest`) or sets off (`activate`) (deb-triggers(5)).
fn triggers<'f>(facts: &'f DebFacts, kind: &str) -> Vec<&'f str> {
    let text = facts.scripts.get("triggers").map(String::as_str).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    lines.filter(|(word, _)| word.starts_with(kind)).map(|(_, name)| name.trim()).collect()
}

/// Follows a script of a package, where it has it.
fn follow(
    system: &mut System<'_>,
    facts: &DebFacts,
    script: &str,
    arguments: &[&str],
    errors: &mut Vec<ScriptError>,
) {
    let package = facts.control.get("Package").unwrap_or_default();
    let Some(text) = facts.scripts.get(script) else { return };
    if system.installed.ignored.contains(package) || system.rules.knows_program(package, script) {
        return;
    }
    let mut error = |what: String| {
        let (package, script) = (package.to_owned(), script.to_owned());
        let error = ScriptError { package, script, what };
        if !errors.contains(&error) {
            errors.push(error);
        }
    };
    let interpreter = text.lines().next().and_then(|line| line.strip_prefix("#!")).unwrap_or_default();
    let program = interpreter.split_whitespace().next().unwrap_or_default();
    if !matches!(program.rsplit('/').next(), Some("sh" | "dash" | "bash")) {
        return error("it is no shell script".to_owned());
    }
    let script_text = match shell::parse(text) {
        Ok(parsed) => parsed,
        Err(wrong) => return error(wrong.to_string()),
    };
    let architecture = facts.control.get("Architecture").unwrap_or_default();
    let mut run = Run::new(system, package, script, arguments, architecture);
    run.follow(&script_text);
    let uncovered = run.uncovered;
    if let Some(unreadable) = system.unreadable.take() {
        error(unreadable);
    }
    uncovered.into_iter().for_each(error);
}

#[cfg(test)]
mod tests;
