//! The fetch phase: the crates of one lock file, in a directory that appears whole.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::PathBuf;

use toml::{Table, Value};

use crate::system::{self, IoError};

use super::super::caches::{lock, private_directory};
use super::super::environment;
use super::super::project::short;
use super::manifest::Lock;
use super::{Argument, BuilderError, Caches, Cargo, Host, Phase, Runner, Stage};

/// The directory with `crates/` and the configuration that puts them in the place of registries; `None` where everything
/// is in the source root.
pub(super) fn vendor(
    cargo: &Cargo<'_>,
    lockfile: &Lock,
    host: &Host,
    caches: &Caches,
    stage: &Stage,
    runner: &mut Runner<'_>,
) -> Result<Option<PathBuf>, BuilderError> {
    if !lockfile.external {
        return Ok(None);
    }
    // Cargo writes the manifests of git dependencies anew, so its version decides too.
    let key = short(&["vendor", &lockfile.digest.hex(), cargo.version]);
    let directory = caches.vendor().join(&key);
    if directory.is_dir() {
        system::space::use_now(&directory);
        return Ok(Some(directory));
    }
    let waiting = || runner.note("waiting for another download of these crates");
    let _lock = lock(&caches.vendor().join(format!("{key}.lock")), runner.cancel(), &waiting)?;
    if directory.is_dir() {
        return Ok(Some(directory));
    }
    let part = caches.vendor().join(format!("{key}.part"));
    system::fs::remove_dir_all(&part)?;
    private_directory(&part)?;

    let mut environment = cargo.environment.clone();
    for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        environment.remove(OsStr::new(name));
    }
    environment.extend(environment::network(host));
    if let Some(path) = host.variable("PATH") {
        environment.insert("PATH".into(), path.to_owned());
    }
    let mut args: Vec<Argument> =
        ["vendor", "--locked", "--versioned-dirs", "--respect-source-config"].map(Argument::from).into();
    if host.is_offline() {
        args.push("--offline".into());
    }
    args.extend(cargo.configuration());
    let crates = part.join("crates");
    args.push(Argument::from(&crates));
    let mut answer = String::new();
    let command = cargo.command(args, &environment, Phase::Fetch, stage)?;
    runner.run(
        command,
        Some(&mut |line| {
            answer.push_str(line);
            answer.push('\n');
        }),
    )?;
    let configuration = relative(&answer, &crates.to_string_lossy())?;
    system::fs::write_atomic(part.join(".cargo/config.toml"), configuration.as_bytes())?;
    std::fs::rename(&part, &directory).map_err(IoError::of("rename", &part))?;
    Ok(Some(directory))
}

/// The configuration that `cargo vendor` prints, with the directory named relative to it.
fn relative(answer: &str, directory: &str) -> Result<String, BuilderError> {
    let wrong =
        |reason: &str| BuilderError::Answer { command: "cargo vendor".to_owned(), reason: reason.to_owned() };
    let table: Table = answer.parse().map_err(|_| wrong("it prints no configuration"))?;
    let sources =
        table.get("source").and_then(Value::as_table).ok_or_else(|| wrong("it names no sources"))?;
    // A JSON string is a TOML string.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = String::new();
    let mut found = false;
    for (name, source) in sources {
        let _ = writeln!(text, "[source.{}]", quoted(name));
        for (key, value) in source.as_table().into_iter().flatten() {
            let mut value = value.as_str().ok_or_else(|| wrong("a source has a field that is no text"))?;
            if key == "directory" && value == directory {
                found = true;
                value = "crates";
            }
            let _ = writeln!(text, "{key} = {}", quoted(value));
        }
    }
    if found { Ok(text) } else { Err(wrong("it does not name the directory")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_no_path_of_this_machine() {
        let answer = "[source.crates-io]\nreplace-with = \"vendored-sources\"\n\n\
            [source.\"git+https://x.example/a?branch=b\"]\ngit = \"https://x.example/a\"\nbranch = \"b\"\n\
            replace-with = \"vendored-sources\"\n\n[source.vendored-sources]\ndirectory = \"/c d/crates\"\n";
        let text = relative(answer, "/c d/crates").unwrap();
        let table: Table = text.parse().unwrap();
        assert_eq!(table["source"]["vendored-sources"]["directory"].as_str(), Some("crates"));
        assert_eq!(table["source"]["crates-io"]["replace-with"].as_str(), Some("vendored-sources"));
        assert_eq!(table["source"]["git+https://x.example/a?branch=b"]["branch"].as_str(), Some("b"));
        let error = relative("hello", "/c").unwrap_err().to_string();
        assert_eq!(error, "cannot make sense of the answer of `cargo vendor`: it prints no configuration");
    }
}
