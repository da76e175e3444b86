use std::collections::BTreeSet;

use super::check::Files;
use super::error::{ElfError, Missing};
use super::program::Executable;
use super::view::{Source, View};
use crate::model::{Entry, ImagePath};

/// Where engines look for programs in an image that does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Scripts that scripts may be for, as Linux allows (execve(2)).
const SCRIPTS: usize = 4;

/// A command of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What says it, for messages: `the entrypoint`.
    pub role: &'static str,
    /// Its words.
    pub words: Vec<String>,
    /// Whether they are words for another program, which may start the first of them, or do something else with it.
    pub arguments: bool,
    /// Whether the base says them itself: what it lacks of its own is not for the image to judge.
    pub inherited: bool,
}

/// A file from which on the loader's work is followed.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// Where it really is.
    pub(super) path: ImagePath,
    /// What makes it one, for messages.
    pub(super) why: String,
}

/// The image as programs are started in it.
pub(super) struct Started<'v, 'a> {
    pub(super) view: &'v View<'a>,
    pub(super) files: &'v Files<'v>,
    pub(super) env: &'v [String],
    pub(super) workdir: Option<&'v str>,
    pub(super) volumes: &'v BTreeSet<ImagePath>,
}

impl Started<'_, '_> {
    /// The value of a variable.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().find_map(|row| row.strip_prefix(name)?.strip_prefix('='))
    }

    /// The programs that a command starts, through scripts, as far as they are in the image; and the interpreters of scripts
    /// that are not.
    pub(super) fn roots(&self, program: &Program, errors: &mut Vec<ElfError>) -> Vec<Root> {
        let mut found = Vec::new();
        errors.extend(self.unstartable(program));
        for (path, sure) in self.programs(program) {
            // A script that is an argument is for the program before it.
            if sure || self.executable_at(&path).is_none_or(|file| file.elf().is_some()) {
                self.follow(path, program.role.to_owned(), SCRIPTS, &mut found, errors);
            }
        }
        found
    }

    /// Why the program of a command cannot be run at all, whatever it is. One below a volume comes at run time.
    fn unstartable(&self, program: &Program) -> Option<ElfError> {
        // What init puts in is not known yet.
        let word = program.words.first().filter(|word| !program.arguments && !word.contains("${"))?;
        let why = || vec![program.role.to_owned()];
        if let Some(path) = self.program(word) {
            let (_, source) = self.view.file(path.as_str())?;
            let (mode, entry) = match source {
                Source::Own(entry) => (entry.mode, entry),
                Source::Base => return None,
            };
            let ignored = mode & 0o111 != 0 || self.files.is_ignored(path.as_str());
            return (!ignored)
                .then(|| ElfError::new(&path, Some(entry), why(), Missing::Permission { mode }));
        }
        let place = self.place(word);
        let parsed = place.as_deref().and_then(|place| ImagePath::parse(place).ok());
        let is_below = |volume: &ImagePath| parsed.as_ref().is_some_and(|place| place.is_within(volume));
        let ignored = match &place {
            Some(place) => self.files.is_ignored(place),
            None => self.path().split(':').any(|folder| self.files.is_ignored(&format!("{folder}/{word}"))),
        };
        let own = !program.inherited || Started { view: &self.view.base(), ..*self }.program(word).is_some();
        if ignored || !own || self.volumes.iter().any(is_below) {
            return None;
        }
        let path = place.is_none().then(|| self.path().to_owned());
        let name = place.as_deref().unwrap_or(word);
        let other = place.as_deref().is_some_and(|place| self.view.has(place));
        Some(ElfError::of_name(name, why(), Missing::Program { path, other }))
    }

    /// What a command's words name: the first, one behind `--` (a program that starts another), absolute paths of programs;
    /// with whether it is surely started.
    fn programs(&self, program: &Program) -> Vec<(ImagePath, bool)> {
        let words = &program.words;
        let mut found: Vec<(ImagePath, bool)> = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let named = index == 0 || words[index - 1] == "--";
            let sure = named && !(program.arguments && index == 0);
            let place = if named {
                self.program(word)
            } else if word.starts_with('/') {
                self.executable(word)
            } else {
                None
            };
            let Some(path) = place else { continue };
            let is_env = sure && word.rsplit('/').next() == Some("env");
            if is_env && let Some(word) = behind_env(words[index + 1..].iter().map(String::as_str)) {
                found.extend(self.program(word).map(|path| (path, true)));
            }
            found.push((path, sure));
        }
        found
    }

    /// What an own file is.
    fn executable_at(&self, path: &ImagePath) -> Option<std::sync::Arc<Executable>> {
        match self.view.file(path.as_str())?.1 {
            Source::Own(entry) => Some(self.files.of(entry)),
            Source::Base => None,
        }
    }

    /// A program by its name or path.
    fn program(&self, word: &str) -> Option<ImagePath> {
        if let Some(place) = self.place(word) {
            return self.view.file(&place).map(|(path, _)| path);
        }
        self.path().split(':').find_map(|folder| self.executable(&format!("{folder}/{word}")))
    }

    /// Where a program is that is not looked for.
    fn place(&self, word: &str) -> Option<String> {
        let relative = || {
            let workdir = self.workdir.unwrap_or_default().trim_end_matches('/');
            format!("{workdir}/{}", word.trim_start_matches("./"))
        };
        word.contains('/').then(|| if word.starts_with('/') { word.to_owned() } else { relative() })
    }

    fn path(&self) -> &str {
        self.variable("PATH").unwrap_or(PATH)
    }

    fn executable(&self, path: &str) -> Option<ImagePath> {
        let (path, source) = self.view.file(path)?;
        let mode = match source {
            Source::Own(entry) => entry.mode,
            Source::Base => self.view.facts().tree.get(&path)?.mode,
        };
        (mode & 0o111 != 0).then_some(path)
    }

    /// Follows scripts to what runs them. Of the base's own scripts nothing is known.
    fn follow(
        &self,
        path: ImagePath,
        why: String,
        left: usize,
        found: &mut Vec<Root>,
        errors: &mut Vec<ElfError>,
    ) {
        let Some((_, Source::Own(entry))) = self.view.file(path.as_str()) else {
            return found.push(Root { path, why });
        };
        let executable = self.files.of(entry);
        let Some(line) = executable.script().filter(|_| !self.files.is_ignored(path.as_str())) else {
            return found.push(Root { path, why });
        };
        let mut words = line.split_whitespace();
        let Some(interpreter) = words.next().filter(|_| left > 0) else { return };
        let missing = |interpreter: &str| {
            let missing = Missing::Interpreter { interpreter: interpreter.to_owned(), line: line.to_owned() };
            ElfError::new(&path, Some(entry), vec![why.clone()], missing)
        };
        let next = format!("{why}: {path}");
        match self.view.file(interpreter) {
            Some((place, _)) => self.follow(place, next.clone(), left - 1, found, errors),
            None => return errors.push(missing(interpreter)),
        }
        if interpreter.ends_with("/env")
            && let Some(word) = behind_env(words)
        {
            match self.program(word) {
                Some(place) => self.follow(place, next, left - 1, found, errors),
                None => errors.push(missing(word)),
            }
        }
    }
}

/// The program that `env` is to start: not an option and not a variable.
fn behind_env<'w>(words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    words.into_iter().find(|word| !word.starts_with('-') && !word.contains('='))
}

/// What a library of the image's own is to a language's interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Module {
    /// Python imports it.
    Python,
    /// Node requires it.
    Node,
}

impl Module {
    /// Whether the file at a path is one: Python's stand below the folders of modules, and are no bundled libraries.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let (path, name) = (entry.path.as_str(), entry.path.name());
        let ends = |name: &str, end| name.strip_suffix(end).is_some();
        if ends(name, ".node") {
            return Some(Self::Node);
        }
        let stem = name.strip_suffix(".so")?;
        let folders = ["/site-packages/", "/dist-packages/", "/lib-dynload/"];
        let (_, below) = folders.iter().find_map(|folder| path.split_once(folder))?;
        let tagged = stem.contains(".cpython-") || ends(stem, ".abi3");
        let mut above = below.split('/').rev().skip(1);
        let bundled = stem.starts_with("lib") || above.any(|name| ends(name, ".libs") || name == "lib");
        (tagged || !bundled).then_some(Self::Python)
    }

    /// For messages.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Python => "a Python extension",
            Self::Node => "a Node addon",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{EntryKind, Owner};

    #[test]
    fn modules_are_known_by_their_places() {
        for (path, module) in [
            ("/app/lib/python3.11/site-packages/x/_y.cpython-311-x86_64-linux-gnu.so", Some(Module::Python)),
            ("/usr/lib/python3/dist-packages/_dbm.so", Some(Module::Python)),
            ("/a/site-packages/grpc/lib/libcygrpc.abi3.so", Some(Module::Python)),
            ("/a/site-packages/numpy.libs/libopenblas-1.so", None),
            ("/a/site-packages/numpy.libs/openblas.so", None),
            ("/a/site-packages/torch/lib/libtorch.so", None),
            ("/a/site-packages/x.so.1", None),
            ("/usr/lib/x.so", None),
            ("/app/node_modules/bcrypt/prebuilds/linux-x64/bcrypt.node", Some(Module::Node)),
        ] {
            let entry = Entry {
                path: path.parse().unwrap(),
                kind: EntryKind::bytes(Vec::new()),
                mode: 0o644,
                owner: Owner::default(),
                origin: Arc::from("test"),
            };
            assert_eq!(Module::of(&entry), module, "{path}");
        }
        assert_eq!(behind_env("-S A=1 -u python3 x".split(' ')), Some("python3"));
    }
}
