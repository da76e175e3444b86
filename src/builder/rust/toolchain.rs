//! Which rustc and cargo: through rustup and the project's `rust-toolchain.toml` to the programs themselves.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use toml::Table;

use crate::model::Platform;
use crate::system::Cancel;
use crate::system::process::{self, Invocation};

use super::super::host::{SYSTEM_PATH, is_program};
use super::super::tool::Question;
use super::super::{Tool, ToolIdentity};
use super::{BuilderError, Caches, Host, Project};

const RUSTUP: &str = "install rustup from https://rustup.rs";

/// What decides which Rust is meant, but for the machine's default: the channel that the project asks for, the host's
/// architecture (Rust's output is not known to be the same from each) and the target.
pub(in super::super) fn toolchain(platform: Platform, project: &Project) -> Result<String, BuilderError> {
    let asked = Asked::of(project)?;
    let channel = asked.as_ref().map_or("default", |asked| &asked.channel);
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    Ok(format!("rust/{channel}/{arch}-{os}/{}", platform.rust_musl_target()))
}

/// Resolves rustc, cargo and the linker, and sees that the target is there. Nothing is ever installed.
pub(in super::super) fn identify(
    platform: Platform,
    project: &Project,
    host: &Host,
    caches: &Caches,
    cancel: &Cancel,
) -> Result<Tool, BuilderError> {
    let asked = Asked::of(project)?;
    let rustup = find_rustup(host);
    let target = platform.rust_musl_target();
    let text = |name: &str| {
        host.variable(name).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let question = Question::new(vec![
        "rust".to_owned(),
        target.to_owned(),
        asked.as_ref().map(|asked| asked.channel.clone()).unwrap_or_default(),
        rustup.as_deref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        text("RUSTUP_TOOLCHAIN"),
        text("RUSTUP_HOME"),
        text("HOME"),
        text("PATH"),
    ]);
    if let Some(tool) = question.remembered(caches) {
        return Ok(tool);
    }
    let resolver = Resolver { host, cancel, asked: asked.as_ref(), target };
    let (tool, mut witnesses) = resolver.resolve(rustup.as_deref())?;
    witnesses.extend(rustup);
    let home = host.variable("HOME").map(|home| Path::new(home).join(".rustup"));
    if let Some(home) = host.variable("RUSTUP_HOME").map(PathBuf::from).or(home) {
        witnesses.push(home.join("settings.toml"));
    }
    question.remember(caches, &tool, &witnesses);
    Ok(tool)
}

/// What the project asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    channel: String,
    file: String,
}

impl Asked {
    fn of(project: &Project) -> Result<Option<Self>, BuilderError> {
        let Some(input) = project.nearest(&["rust-toolchain", "rust-toolchain.toml"]) else {
            return Ok(None);
        };
        let text = Project::text(input)?;
        let wrong = |reason: &str| BuilderError::Project {
            path: input.path.clone(),
            reason: reason.to_owned(),
            hint: Some("name a toolchain: [toolchain] channel = \"1.95.0\"".to_owned()),
        };
        let line = text.trim();
        let legacy =
            input.path.ends_with("rust-toolchain") && !line.is_empty() && !line.contains(['\n', '[', '=']);
        let channel = if legacy {
            line.to_owned()
        } else {
            let table: Table = text.parse().map_err(|_| wrong("is not TOML"))?;
            let toolchain = table.get("toolchain").ok_or_else(|| wrong("has no [toolchain]"))?;
            if toolchain.get("path").is_some() {
                return Err(wrong("names a toolchain by path, which would be another on every machine"));
            }
            match toolchain.get("channel").and_then(toml::Value::as_str) {
                Some(channel) => channel.to_owned(),
                None => return Ok(None),
            }
        };
        // It becomes an argument of rustup.
        if !channel.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !channel.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        {
            return Err(wrong("names no toolchain"));
        }
        Ok(Some(Self { channel, file: input.path.clone() }))
    }
}

fn find_rustup(host: &Host) -> Option<PathBuf> {
    let cargo_home = host
        .variable("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| host.variable("HOME").map(|home| Path::new(home).join(".cargo")));
    host.find("rustup")
        .or_else(|| cargo_home.map(|home| home.join("bin/rustup")).filter(|path| is_program(path)))
}

struct Resolver<'a> {
    host: &'a Host,
    cancel: &'a Cancel,
    asked: Option<&'a Asked>,
    target: &'static str,
}

impl Resolver<'_> {
    /// The tool and the files that decided.
    fn resolve(&self, rustup: Option<&Path>) -> Result<(Tool, Vec<PathBuf>), BuilderError> {
        let rustc = match rustup {
            Some(rustup) => self.ask_rustup(rustup)?,
            None => self.host.find("rustc").ok_or_else(|| missing("rustc"))?,
        };
        let bin = rustc.parent().unwrap_or(Path::new("/"));
        let cargo = bin.join("cargo");
        if !is_program(&rustc) {
            return Err(missing("rustc"));
        }
        if !is_program(&cargo) {
            return Err(missing("cargo"));
        }
        let verbose = self.ask(&rustc, &["-vV"])?;
        let line = |name: &str| {
            verbose
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .unwrap_or_default()
                .to_owned()
        };
        let release = line("release");
        if let (None, Some(asked)) = (rustup, self.asked)
            && asked.channel != release
            && asked.channel.starts_with(|c: char| c.is_ascii_digit())
            && !release.starts_with(&format!("{}.", asked.channel))
        {
            return Err(BuilderError::MissingToolchain {
                toolchain: asked.channel.clone(),
                file: Some(asked.file.clone()),
                hint: format!(
                    "{} is {release}, and there is no rustup to choose another: {RUSTUP}",
                    rustc.display()
                ),
            });
        }
        let sysroot = PathBuf::from(self.ask(&rustc, &["--print", "sysroot"])?.trim());
        let name = self.asked.map_or_else(
            || sysroot.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            |asked| asked.channel.clone(),
        );
        let libraries = sysroot.join("lib/rustlib").join(self.target).join("lib");
        let Some(std) = standard_library(&libraries) else {
            let hint = match rustup {
                Some(_) => format!("rustup target add {} --toolchain {name}", self.target),
                None => format!("{RUSTUP}; then: rustup target add {}", self.target),
            };
            return Err(BuilderError::MissingTarget {
                toolchain: name,
                target: self.target.to_owned(),
                hint,
            });
        };
        let host = line("host");
        let linker = sysroot.join("lib/rustlib").join(&host).join("bin/rust-lld");
        if !is_program(&linker) {
            return Err(BuilderError::MissingProgram {
                program: format!("rust-lld (in {})", sysroot.display()),
                hint: format!("a distribution's Rust may lack it: {RUSTUP}"),
            });
        }
        let lld = self.ask(&linker, &["-flavor", "gnu", "--version"])?;
        let fields = [
            ("version", release),
            ("commit", line("commit-hash")),
            ("llvm", line("LLVM version")),
            ("host", host),
            ("cargo", self.ask(&cargo, &["-V"])?),
            ("linker", lld.split(" (").next().unwrap_or_default().to_owned()),
            ("std", std),
        ];
        let mut paths = BTreeMap::from([
            ("rustc".to_owned(), rustc.clone()),
            ("cargo".to_owned(), cargo.clone()),
            ("sysroot".to_owned(), sysroot),
        ]);
        // The host's C linker, where it is not in a directory that every Unix has.
        let cc = self.host.find("cc").and_then(|cc| cc.parent().map(Path::to_owned));
        if let Some(directory) =
            cc.filter(|directory| !SYSTEM_PATH.split(':').any(|d| Path::new(d) == directory))
        {
            paths.insert("cc".to_owned(), directory);
        }
        Ok((Tool { identity: ToolIdentity::new(fields), paths }, vec![rustc, cargo, libraries, linker]))
    }

    fn ask_rustup(&self, rustup: &Path) -> Result<PathBuf, BuilderError> {
        let mut args: Vec<OsString> = vec!["which".into()];
        let mut env = self.host.environment().clone();
        env.insert("RUSTUP_AUTO_INSTALL".into(), "0".into());
        env.remove(OsStr::new("RUST_BACKTRACE"));
        if let Some(asked) = self.asked {
            args.extend(["--toolchain".into(), (&asked.channel).into()]);
        }
        args.push("rustc".into());
        let directory = PathBuf::from("/");
        let invocation = Invocation { program: rustup.to_owned(), args, env, directory, stdin: None };
        let (status, stdout, stderr) = process::output(invocation, self.cancel)?;
        if status.success() {
            return Ok(PathBuf::from(stdout.trim_end_matches('\n')));
        }
        let wanted = self.asked.map(|asked| asked.channel.clone());
        let wanted = wanted
            .or_else(|| self.host.variable("RUSTUP_TOOLCHAIN").map(|n| n.to_string_lossy().into_owned()));
        if stderr.contains("not installed") || stderr.contains("no default") {
            let toolchain = wanted.unwrap_or_else(|| "stable".to_owned());
            return Err(BuilderError::MissingToolchain {
                hint: format!(
                    "rustup toolchain install {toolchain} --profile minimal --target {}",
                    self.target
                ),
                toolchain,
                file: self.asked.map(|asked| asked.file.clone()),
            });
        }
        let reason = stderr.lines().find(|line| line.starts_with("error")).unwrap_or("it failed").to_owned();
        Err(BuilderError::Answer { command: "rustup which rustc".to_owned(), reason })
    }

    /// What a program of the toolchain says, with nothing of the user's.
    fn ask(&self, program: &Path, args: &[&str]) -> Result<String, BuilderError> {
        let shown = || {
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            format!("{name} {}", args.join(" "))
        };
        let mut env: BTreeMap<OsString, OsString> = BTreeMap::from([("PATH".into(), SYSTEM_PATH.into())]);
        for name in ["HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            env.extend(self.host.variable(name).map(|value| (name.into(), value.to_owned())));
        }
        env.insert("RUSTUP_AUTO_INSTALL".into(), "0".into());
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let invocation =
            Invocation { program: program.to_owned(), args, env, directory: "/".into(), stdin: None };
        let (status, stdout, stderr) = process::output(invocation, self.cancel)?;
        if status.success() {
            return Ok(stdout);
        }
        let reason = stderr.lines().next().unwrap_or("it failed").to_owned();
        Err(BuilderError::Answer { command: shown(), reason })
    }
}

fn missing(program: &str) -> BuilderError {
    BuilderError::MissingProgram { program: program.to_owned(), hint: RUSTUP.to_owned() }
}

/// The file name of the target's standard library, which carries the hash of its build.
fn standard_library(libraries: &Path) -> Option<String> {
    let mut names: Vec<String> = std::fs::read_dir(libraries)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            name.starts_with("libstd-") && Path::new(name).extension().is_some_and(|e| e == "rlib")
        })
        .collect();
    names.sort();
    names.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, text: &str) -> Result<Option<String>, String> {
        let files = crate::builder::closure::tests::files("a", &[(path, text)]);
        Asked::of(&files.project)
            .map(|asked| asked.map(|asked| asked.channel))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn toolchain_files() {
        let toml = "[toolchain]\nchannel = \"1.95.0\"\ntargets = []\n";
        assert_eq!(asked("rust-toolchain.toml", toml).unwrap().as_deref(), Some("1.95.0"));
        assert_eq!(
            asked("a/rust-toolchain", "nightly-2026-01-01\n").unwrap().as_deref(),
            Some("nightly-2026-01-01")
        );
        assert_eq!(asked("rust-toolchain", toml).unwrap().as_deref(), Some("1.95.0"));
        assert_eq!(asked("other", "x").unwrap(), None);
        let cases = [
            (
                "[toolchain]\npath = \"/x\"",
                "names a toolchain by path, which would be another on every machine",
            ),
            ("[toolchain]\nchannel = \"--help\"", "names no toolchain"),
            ("x = 1", "has no [toolchain]"),
            ("stable", "is not TOML"),
        ];
        for (text, reason) in cases {
            assert_eq!(
                asked("rust-toolchain.toml", text).unwrap_err(),
                format!("rust-toolchain.toml: {reason}")
            );
        }
    }
}
