use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::system;

use super::{BuilderError, Caches};

/// What a tool is, for keys, pins and people: without paths of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolIdentity {
    /// `name → value`, the value a single line that is not empty.
    pub fields: BTreeMap<String, String>,
}

impl ToolIdentity {
    /// What a tool says of itself, without what it leaves empty.
    pub(super) fn new(fields: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let line = |value: String| value.split_whitespace().collect::<Vec<_>>().join(" ");
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), line(value)));
        Self { fields: fields.filter(|(_, value)| !value.is_empty()).collect() }
    }
}

/// A resolved tool: its identity, and where its programs are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// What it is.
    pub identity: ToolIdentity,
    pub(super) paths: BTreeMap<String, PathBuf>,
}

impl Tool {
    pub(super) fn path(&self, name: &str) -> Result<&Path, BuilderError> {
        self.paths.get(name).map(PathBuf::as_path).ok_or_else(|| BuilderError::Answer {
            command: "identify".to_owned(),
            reason: format!("the tool has no `{name}`: it was resolved for another builder"),
        })
    }

    /// A field of the identity, empty where there is none.
    pub fn field(&self, name: &str) -> &str {
        self.identity.fields.get(name).map_or("", String::as_str)
    }
}

/// How a file that decided looked then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Witness {
    path: PathBuf,
    /// `None`: it was not there.
    stat: Option<[i64; 5]>,
}

impl Witness {
    fn of(path: &Path) -> Self {
        let stat = path
            .metadata()
            .ok()
            .map(|m| [m.ino().cast_signed(), m.size().cast_signed(), m.mtime(), m.mtime_nsec(), m.ctime()]);
        Self { path: path.to_owned(), stat }
    }
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    question: Vec<String>,
    tool: Tool,
    witnesses: Vec<Witness>,
}

/// A question about a tool, with everything that decides the answer but files.
pub(super) struct Question {
    fields: Vec<String>,
}

impl Question {
    pub(super) fn new(fields: Vec<String>) -> Self {
        Self { fields }
    }

    fn file(&self, caches: &Caches) -> PathBuf {
        let fields: Vec<&str> = self.fields.iter().map(String::as_str).collect();
        caches.tools().join(format!("{}.json", super::project::short(&fields)))
    }

    /// The earlier answer, if every file that decided it looks as it did.
    pub(super) fn remembered(&self, caches: &Caches) -> Option<Tool> {
        let file = self.file(caches);
        let bytes = system::fs::read(&file).ok()?;
        system::space::note_use(&file, &file.metadata().ok()?);
        let remembered: Remembered = serde_json::from_slice(&bytes).ok()?;
        let same = remembered.question == self.fields
            && remembered.witnesses.iter().all(|witness| *witness == Witness::of(&witness.path));
        same.then_some(remembered.tool)
    }

    /// Keeps an answer. That it cannot be kept is no error: it saves time only.
    pub(super) fn remember(&self, caches: &Caches, tool: &Tool, witnesses: &[PathBuf]) {
        let remembered = Remembered {
            question: self.fields.clone(),
            tool: tool.clone(),
            witnesses: witnesses.iter().map(|path| Witness::of(path)).collect(),
        };
        if let Ok(bytes) = serde_json::to_vec(&remembered)
            && super::caches::private_directory(&caches.tools()).is_ok()
        {
            let _ = caches.write(self.file(caches), &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_until_a_file_that_decided_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let caches = Caches::new(directory.path());
        let (program, absent) = (directory.path().join("go"), directory.path().join("absent"));
        std::fs::write(&program, "one").unwrap();
        let tool = Tool {
            identity: ToolIdentity::new([("version", "1\n2 ".into()), ("commit", " ".into())]),
            paths: BTreeMap::from([("go".into(), program.clone())]),
        };
        assert_eq!((tool.field("version"), tool.identity.fields.len()), ("1 2", 1));
        let question = Question::new(vec!["go".into(), "PATH".into()]);
        assert_eq!(question.remembered(&caches), None);
        question.remember(&caches, &tool, &[program.clone(), absent.clone()]);
        assert_eq!(question.remembered(&caches), Some(tool.clone()));
        assert_eq!(Question::new(vec!["go".into(), "other".into()]).remembered(&caches), None);

        std::fs::write(&absent, "").unwrap();
        assert_eq!(question.remembered(&caches), None, "a file that appeared decides too");
        std::fs::remove_file(&absent).unwrap();
        assert_eq!(question.remembered(&caches), Some(tool));
        std::fs::write(&program, "other").unwrap();
        assert_eq!(question.remembered(&caches), None);
    }
}
