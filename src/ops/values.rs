//! Answers to the volatile values of a spec: the state of git and the environment, asked only where a spec names them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::spec::Value;

/// The volatile values of one command.
#[derive(Debug)]
pub struct Volatile {
    root: PathBuf,
    environment: BTreeMap<OsString, OsString>,
    tag: OnceLock<Option<String>>,
    sha: OnceLock<Option<String>>,
    branch: OnceLock<Option<String>>,
}

impl Volatile {
    /// Values of the workspace at `root`, with the environment as it was read at the start.
    pub fn new(root: &Path, environment: BTreeMap<OsString, OsString>) -> Self {
        Self {
            root: root.to_owned(),
            environment,
            tag: OnceLock::new(),
            sha: OnceLock::new(),
            branch: OnceLock::new(),
        }
    }

    /// The answer, `None` where there is none: no git repository, no tag at this commit, no such variable.
    pub fn value(&self, value: &Value) -> Option<String> {
        match value {
            Value::GitTag => {
                self.tag.get_or_init(|| self.git(&["describe", "--tags", "--exact-match"])).clone()
            }
            Value::GitSha => self.sha.get_or_init(|| self.git(&["rev-parse", "HEAD"])).clone(),
            Value::GitBranch => {
                self.branch.get_or_init(|| self.git(&["symbolic-ref", "--short", "-q", "HEAD"])).clone()
            }
            Value::Env(name) => self
                .environment
                .get(&OsString::from(name))
                .and_then(|value| value.to_str())
                .map(str::to_owned),
            // A version is what the tag says, else the commit.
            Value::Version => self
                .value(&Value::GitTag)
                .map(|tag| tag.strip_prefix('v').map_or_else(|| tag.clone(), str::to_owned))
                .or_else(|| self.value(&Value::GitSha).map(|sha| sha.chars().take(12).collect())),
            Value::Target(_) | Value::Base(_) => None,
        }
    }

    fn git(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("git")
            .arg("-C")
            .arg(&self.root)
            .args(arguments)
            .env("GIT_OPTIONAL_LOCKS", "0")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let text = text.trim();
        (output.status.success() && !text.is_empty()).then(|| text.to_owned())
    }
}
