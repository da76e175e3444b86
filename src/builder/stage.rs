//! The staged tree: exactly the inputs, at a place that does not depend on the checkout.
//!
//! Cargo decides by modification times. A staged file therefore gets a new one whenever its content becomes another, later
//! than everything that an earlier build wrote, even where the clock went back; restoring old content gives a new time too.
//! What cargo is not told of (a macro that lists a directory, a template that is read while compiling) is covered by giving
//! every Rust source a new time when a path appears or vanishes or a file that is no Rust source changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, FileTimes, Metadata, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::model::{ContentDigest, Hasher};
use crate::system::{self, Cancel, IoError};

use super::caches::{lock, private_directory};
use super::{BuilderError, Caches, Input, InputKind};

/// What is in a stand-in: nothing is ever compiled from it without being told.
const STAND_IN: &[u8] =
    b"compile_error!(\"not an input of this image: name its package as a dependency\");\n";

/// A staged tree whose lock is held.
pub(super) struct Stage {
    /// Where it is.
    pub(super) root: PathBuf,
    lock: File,
    caches: Caches,
    record: PathBuf,
    state: State,
}

/// A staged file, and the content that its record says it has.
#[derive(Debug)]
pub struct StagedFile {
    /// Where it is.
    pub path: PathBuf,
    staged: Staged,
}

impl StagedFile {
    /// Whether it has that content. One that looks different from outside is right too: it will be staged again, as
    /// after a build that was killed.
    pub fn is_right(&self) -> Result<bool, IoError> {
        let looks = || self.path.symlink_metadata().is_ok_and(|found| stat(&found) == self.staged.stat);
        if self.staged.kind.starts_with('l') || !looks() {
            return Ok(true);
        }
        let (found, _) = match File::open(&self.path).and_then(Hasher::read_all) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            read => read.map_err(IoError::of("read", &self.path))?,
        };
        // A build may be at work here.
        Ok(found == self.staged.digest.0 || !looks())
    }
}

/// Every file of the staged tree `id`, as its record says.
pub(super) fn staged_files(caches: &Caches, id: &str) -> Vec<StagedFile> {
    let bytes = fs::read(caches.stage().join(format!("{id}.json"))).ok();
    let state: State = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let root = caches.stage().join(id);
    state.files.into_iter().map(|(path, staged)| StagedFile { path: root.join(path), staged }).collect()
}

/// What a synchronisation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Synced {
    /// Files and links that were written.
    pub(super) written: usize,
    /// Paths that were not inputs, or were not there before.
    pub(super) appeared_or_vanished: usize,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// No later modification time was given, no later build ended (ns since 1970).
    latest: u64,
    files: BTreeMap<String, Staged>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Staged {
    digest: ContentDigest,
    /// `f`, `x`, `s`, or `l` and the link's target.
    kind: String,
    /// Inode, size, mode, mtime, ctime: what the builder touched is staged again.
    stat: [i64; 7],
}

fn stat(metadata: &Metadata) -> [i64; 7] {
    [
        metadata.ino().cast_signed(),
        metadata.size().cast_signed(),
        i64::from(metadata.mode()),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ]
}

fn kind(input: &Input) -> String {
    match &input.kind {
        InputKind::File { executable: false } => "f".to_owned(),
        InputKind::File { executable: true } => "x".to_owned(),
        InputKind::Symlink { target } => format!("l{target}"),
        InputKind::StandIn => "s".to_owned(),
    }
}

impl Stage {
    /// Takes the lock `id` and the staged tree `tree`; calls `waiting` if another build has the lock.
    pub(super) fn open(
        caches: &Caches,
        id: &str,
        tree: &str,
        cancel: &Cancel,
        waiting: &dyn Fn(),
    ) -> Result<Self, BuilderError> {
        let directory = caches.stage();
        let lock = lock(&directory.join(format!("{id}.lock")), cancel, waiting)?;
        let record = directory.join(format!("{tree}.json"));
        // A record that is torn or not there: everything is staged again.
        let state =
            fs::read(&record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let root = directory.join(tree);
        private_directory(&root)?;
        Ok(Self { root, lock, caches: caches.clone(), record, state })
    }

    /// The lock, for a child to hold too: a tool that outlives imgpack still keeps others out.
    pub(super) fn share_lock(&self) -> Result<File, BuilderError> {
        Ok(self.lock.try_clone().map_err(IoError::of("share the lock of", &self.root))?)
    }

    /// Makes the tree exactly the inputs.
    pub(super) fn sync(&mut self, inputs: &[Input], cancel: &Cancel) -> Result<Synced, BuilderError> {
        let (wanted, directories) = check(inputs)?;
        let mut synced = Synced::default();
        let mut present = BTreeSet::new();
        let sweep = Sweep { wanted: &wanted, directories: &directories, staged: &self.state.files };
        sweep.directory(&self.root, "", &mut present, &mut synced.appeared_or_vanished)?;
        for directory in &directories {
            let path = self.root.join(directory);
            match fs::create_dir(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => other.map_err(IoError::of("create the directory", &path))?,
            }
        }
        let stamp = self.next_stamp();
        let mut other_than_rust = false;
        let known: BTreeSet<String> = self.state.files.keys().cloned().collect();
        // Also what an earlier build removed before it was killed.
        synced.appeared_or_vanished +=
            known.iter().filter(|path| !wanted.contains_key(path.as_str())).count();
        self.state.files.retain(|path, _| present.contains(path));
        for input in inputs {
            if present.contains(&input.path) {
                continue;
            }
            cancel.check()?;
            let path = self.root.join(&input.path);
            let metadata = write(input, &path, stamp)?;
            let staged = Staged { digest: input.digest, kind: kind(input), stat: stat(&metadata) };
            synced.written += 1;
            if !known.contains(&input.path) {
                synced.appeared_or_vanished += 1;
            }
            other_than_rust |= !is_rust(&input.path);
            self.state.files.insert(input.path.clone(), staged);
        }
        if synced.appeared_or_vanished > 0 || other_than_rust {
            self.stamp_rust_sources(stamp)?;
        }
        self.state.latest = stamp;
        self.save()?;
        Ok(synced)
    }

    /// Says that a build in the tree has ended: what is staged from now on is later than everything it wrote.
    pub(super) fn ended(&mut self) -> Result<(), BuilderError> {
        self.state.latest = self.state.latest.max(now());
        self.save()
    }

    fn next_stamp(&self) -> u64 {
        // File systems take their times from a clock that ticks every ten milliseconds at most.
        now().max(self.state.latest + 10_000_000)
    }

    fn stamp_rust_sources(&mut self, stamp: u64) -> Result<(), BuilderError> {
        for (path, staged) in &mut self.state.files {
            if is_rust(path) && !staged.kind.starts_with('l') {
                let path = self.root.join(path);
                set_modified(&File::open(&path).map_err(IoError::of("open", &path))?, &path, stamp)?;
                staged.stat = stat(&path.symlink_metadata().map_err(IoError::of("look at", &path))?);
            }
        }
        Ok(())
    }

    fn save(&self) -> Result<(), BuilderError> {
        let bytes = serde_json::to_vec(&self.state)
            .map_err(|error| IoError::of("write", &self.record)(error.into()))?;
        Ok(self.caches.write(&self.record, &bytes)?)
    }
}

pub(super) fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2))
}

fn set_modified(file: &File, path: &Path, stamp: u64) -> Result<(), IoError> {
    let time = UNIX_EPOCH + Duration::from_nanos(stamp);
    file.set_times(FileTimes::new().set_modified(time)).map_err(IoError::of("set the time of", path))
}

type Wanted<'a> = BTreeMap<&'a str, &'a Input>;

/// The inputs by path and the directories they need; every path is inside the tree and no file is also a directory.
fn check(inputs: &[Input]) -> Result<(Wanted<'_>, BTreeSet<&str>), BuilderError> {
    let wrong = |input: &Input, reason: String| BuilderError::Project {
        path: input.path.clone(),
        reason,
        hint: None,
    };
    let mut wanted = BTreeMap::new();
    let mut directories = BTreeSet::new();
    for input in inputs {
        let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
        if input.path.split('/').any(bad) {
            return Err(wrong(input, "is not a path inside the source root".to_owned()));
        }
        if let InputKind::Symlink { target } = &input.kind
            && leaves(&input.path, target)
        {
            return Err(wrong(input, format!("is a link to {target}, out of the source root")));
        }
        if wanted.insert(input.path.as_str(), input).is_some() {
            return Err(wrong(input, "is there twice".to_owned()));
        }
        let mut path = input.path.as_str();
        while let Some((parent, _)) = path.rsplit_once('/') {
            if !directories.insert(parent) {
                break;
            }
            path = parent;
        }
    }
    if let Some(input) = inputs.iter().find(|input| directories.contains(input.path.as_str())) {
        return Err(wrong(input, "is a file and a directory".to_owned()));
    }
    Ok((wanted, directories))
}

/// Whether a link at `path` points out of the tree, as text.
fn leaves(path: &str, target: &str) -> bool {
    let mut depth = path.matches('/').count();
    if target.starts_with('/') || target.is_empty() || target.contains('\0') {
        return true;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

/// Removes what is not wanted as it is.
struct Sweep<'a> {
    wanted: &'a Wanted<'a>,
    directories: &'a BTreeSet<&'a str>,
    staged: &'a BTreeMap<String, Staged>,
}

impl Sweep<'_> {
    fn directory(
        &self,
        directory: &Path,
        prefix: &str,
        present: &mut BTreeSet<String>,
        strangers: &mut usize,
    ) -> Result<(), BuilderError> {
        for entry in fs::read_dir(directory).map_err(IoError::of("list", directory))? {
            let entry = entry.map_err(IoError::of("list", directory))?;
            let path = entry.path();
            let metadata = path.symlink_metadata().map_err(IoError::of("look at", &path))?;
            let name = entry.file_name();
            let relative = name.to_str().map(|name| format!("{prefix}{name}"));
            if metadata.is_dir() {
                match relative {
                    Some(relative) if self.directories.contains(relative.as_str()) => {
                        self.directory(&path, &format!("{relative}/"), present, strangers)?;
                    }
                    _ => {
                        *strangers += 1;
                        system::fs::remove_dir_all(&path)?;
                    }
                }
                continue;
            }
            if let Some(relative) = relative {
                let input = self.wanted.get(relative.as_str());
                let same = |input: &&Input, staged: &Staged| {
                    staged.digest == input.digest
                        && staged.kind == kind(input)
                        && staged.stat == stat(&metadata)
                };
                if let (Some(input), Some(staged)) = (input, self.staged.get(&relative))
                    && same(input, staged)
                {
                    present.insert(relative);
                    continue;
                }
                if input.is_none() && !self.staged.contains_key(&relative) {
                    *strangers += 1;
                }
            } else {
                *strangers += 1;
            }
            fs::remove_file(&path).map_err(IoError::of("remove", &path))?;
        }
        Ok(())
    }
}

/// Copies one input; its content must be what was hashed.
fn write(input: &Input, path: &Path, stamp: u64) -> Result<Metadata, BuilderError> {
    let executable = match &input.kind {
        InputKind::Symlink { target } => {
            symlink(target, path).map_err(IoError::of("create the link", path))?;
            return Ok(path.symlink_metadata().map_err(IoError::of("look at", path))?);
        }
        InputKind::StandIn => {
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .open(path)
                .map_err(IoError::of("create", path))?;
            file.write_all(STAND_IN).map_err(IoError::of("write", path))?;
            set_modified(&file, path, stamp)?;
            return Ok(file.metadata().map_err(IoError::of("look at", path))?);
        }
        InputKind::File { executable } => *executable,
    };
    let mut source = system::fs::open(&input.source)?;
    let mut file =
        File::options().write(true).create_new(true).open(path).map_err(IoError::of("create", path))?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(IoError::of("read", &input.source)(error).into()),
        };
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(IoError::of("write", path))?;
    }
    if ContentDigest(hasher.finish()) != input.digest {
        let _ = fs::remove_file(path);
        return Err(BuilderError::Changed { path: input.source.clone() });
    }
    // Not what the umask leaves: build scripts copy modes.
    let mode = if executable { 0o755 } else { 0o644 };
    file.set_permissions(Permissions::from_mode(mode)).map_err(IoError::of("set the mode of", path))?;
    set_modified(&file, path, stamp)?;
    Ok(file.metadata().map_err(IoError::of("look at", path))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    struct Fixture {
        directory: tempfile::TempDir,
        inputs: BTreeMap<String, Input>,
    }

    impl Fixture {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().unwrap(), inputs: BTreeMap::new() }
        }
        fn file(&mut self, path: &str, content: &str) -> &mut Self {
            let source = self.directory.path().join(Digest::of(content.as_bytes()).hex());
            fs::write(&source, content).unwrap();
            let kind = InputKind::File { executable: path == "run.sh" };
            let digest = ContentDigest::of(content.as_bytes());
            self.inputs.insert(path.into(), Input { path: path.into(), kind, digest, source });
            self
        }
        fn link(&mut self, path: &str, target: &str) -> &mut Self {
            let digest = ContentDigest::of(target.as_bytes());
            let kind = InputKind::Symlink { target: target.into() };
            self.inputs
                .insert(path.into(), Input { path: path.into(), kind, digest, source: PathBuf::new() });
            self
        }
        fn inputs(&self) -> Vec<Input> {
            self.inputs.values().cloned().collect()
        }
        fn open(&self) -> Stage {
            let caches = Caches::new(self.directory.path().join("cache"));
            Stage::open(&caches, "rust-x", "rust-x-1", &Cancel::new(), &|| {}).unwrap()
        }
        fn sync(&self) -> Result<(Stage, Synced), BuilderError> {
            let mut stage = self.open();
            let synced = stage.sync(&self.inputs(), &Cancel::new())?;
            Ok((stage, synced))
        }
    }

    fn modified(stage: &Stage, path: &str) -> SystemTime {
        stage.root.join(path).metadata().unwrap().modified().unwrap()
    }

    #[test]
    fn exactly_the_inputs_and_nothing_is_written_twice() {
        let mut fixture = Fixture::new();
        fixture.file("a.rs", "a").file("d/e/b.txt", "b").file("run.sh", "#!").link("d/l", "../a.rs");
        let (stage, synced) = fixture.sync().unwrap();
        assert_eq!(synced, Synced { written: 4, appeared_or_vanished: 4 });
        assert_eq!(fs::read_to_string(stage.root.join("d/l")).unwrap(), "a");
        let mode = |path: &str| stage.root.join(path).metadata().unwrap().mode() & 0o777;
        assert_eq!((mode("run.sh"), mode("a.rs")), (0o755, 0o644));
        drop(stage);

        let (stage, synced) = fixture.sync().unwrap();
        assert_eq!(synced, Synced::default());
        // A builder that writes into its sources does not get away with it.
        fs::write(stage.root.join("a.rs"), "x").unwrap();
        fs::create_dir_all(stage.root.join("new/deep")).unwrap();
        fs::remove_file(stage.root.join("d/l")).unwrap();
        fs::remove_file(stage.root.join("d/e/b.txt")).unwrap();
        fs::remove_dir(stage.root.join("d/e")).unwrap();
        symlink("/", stage.root.join("d/e")).unwrap();
        drop(stage);
        let (stage, synced) = fixture.sync().unwrap();
        assert_eq!(synced.written, 3);
        assert_eq!(fs::read_to_string(stage.root.join("a.rs")).unwrap(), "a");
        assert_eq!(fs::read_to_string(stage.root.join("d/e/b.txt")).unwrap(), "b");
        assert!(stage.root.join("d/e").symlink_metadata().unwrap().is_dir());
        assert!(!stage.root.join("new").exists());
    }

    #[test]
    fn a_stand_in_is_there_by_its_name() {
        let mut fixture = Fixture::new();
        fixture.file("a.rs", "a").file("lib.rs", "whole");
        let whole = fixture.inputs["lib.rs"].clone();
        let stand_in = Input { kind: InputKind::StandIn, digest: ContentDigest::of(b""), ..whole.clone() };
        for (input, text) in [(&stand_in, None), (&whole, Some("whole")), (&stand_in, None)] {
            fixture.inputs.insert("lib.rs".into(), input.clone());
            let (stage, synced) = fixture.sync().unwrap();
            assert!(synced.written > 0);
            let staged = fs::read_to_string(stage.root.join("lib.rs")).unwrap();
            assert_eq!(
                staged.as_str(),
                text.unwrap_or(
                    "compile_error!(\"not an input of this image: name its package as a dependency\");\n"
                )
            );
            drop(stage);
            assert_eq!(fixture.sync().unwrap().1, Synced::default());
        }
    }

    #[test]
    fn times_move_when_content_does_and_never_back() {
        let mut fixture = Fixture::new();
        fixture.file("main.rs", "A").file("other.rs", "o");
        let (mut stage, _) = fixture.sync().unwrap();
        stage.ended().unwrap();
        let (first, other) = (modified(&stage, "main.rs"), modified(&stage, "other.rs"));
        drop(stage);
        let mut last = first;
        for content in ["B", "A", "A"] {
            fixture.file("main.rs", content);
            let (mut stage, synced) = fixture.sync().unwrap();
            let time = modified(&stage, "main.rs");
            assert_eq!(time > last, synced.written == 1, "{content}");
            assert_eq!(modified(&stage, "other.rs"), other);
            last = time;
            stage.ended().unwrap();
        }
    }

    #[test]
    fn a_clock_that_goes_back_does_not_matter() {
        let mut fixture = Fixture::new();
        fixture.file("main.rs", "A");
        let (mut stage, _) = fixture.sync().unwrap();
        let future = now() + 3_600_000_000_000;
        stage.state.latest = future;
        stage.save().unwrap();
        drop(stage);
        fixture.file("main.rs", "B");
        let (stage, _) = fixture.sync().unwrap();
        assert!(modified(&stage, "main.rs") > UNIX_EPOCH + Duration::from_nanos(future));
    }

    #[test]
    fn what_macros_may_read_gives_every_rust_source_a_new_time() {
        type Change = (&'static str, fn(&mut Fixture));
        let changes: [Change; 3] = [
            ("a file appears", |f| _ = f.file("templates/b", "b")),
            ("a file vanishes", |f| _ = f.inputs.remove("templates/a")),
            ("a template changes", |f| _ = f.file("templates/a", "c")),
        ];
        for (name, change) in changes {
            let mut fixture = Fixture::new();
            fixture.file("main.rs", "A").file("templates/a", "a");
            let (stage, _) = fixture.sync().unwrap();
            let before = modified(&stage, "main.rs");
            drop(stage);
            change(&mut fixture);
            let (stage, _) = fixture.sync().unwrap();
            assert!(modified(&stage, "main.rs") > before, "{name}");
            let after = modified(&stage, "main.rs");
            drop(stage);
            let (stage, synced) = fixture.sync().unwrap();
            assert_eq!((synced, modified(&stage, "main.rs")), (Synced::default(), after), "{name}");
        }
    }

    #[test]
    fn what_a_killed_build_removed_counts_as_vanished() {
        let mut fixture = Fixture::new();
        fixture.file("main.rs", "A").file("templates/a", "a");
        let (stage, _) = fixture.sync().unwrap();
        let before = modified(&stage, "main.rs");
        drop(stage);
        fixture.inputs.remove("templates/a");
        // It swept the tree, and did not come to write its record.
        fs::remove_file(fixture.open().root.join("templates/a")).unwrap();
        let (stage, _) = fixture.sync().unwrap();
        assert!(modified(&stage, "main.rs") > before);
    }

    #[test]
    fn a_file_that_changed_since_it_was_hashed_is_an_error() {
        let mut fixture = Fixture::new();
        fixture.file("a", "1").file("b", "2");
        let source = fixture.inputs["b"].source.clone();
        fs::write(&source, "3").unwrap();
        let error = fixture.sync().map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), format!("{} changed while it was read", source.display()));
        assert!(!fixture.open().root.join("b").exists());
        fs::write(&source, "2").unwrap();
        fixture.sync().unwrap();
    }

    #[test]
    fn nothing_leaves_the_tree() {
        let cases: [(&str, Option<&str>, &str); 7] = [
            ("../a", None, "../a: is not a path inside the source root"),
            ("/a", None, "/a: is not a path inside the source root"),
            ("a//b", None, "a//b: is not a path inside the source root"),
            ("a/./b", None, "a/./b: is not a path inside the source root"),
            ("l", Some("/etc"), "l: is a link to /etc, out of the source root"),
            ("d/l", Some("../../x"), "d/l: is a link to ../../x, out of the source root"),
            ("x", Some("y"), "x: is a file and a directory"),
        ];
        for (path, target, message) in cases {
            let mut fixture = Fixture::new();
            fixture.file("x/y", "");
            match target {
                Some(target) => fixture.link(path, target),
                None => fixture.file(path, ""),
            };
            assert_eq!(fixture.sync().map(|_| ()).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_second_build_waits_and_can_be_cancelled() {
        let mut fixture = Fixture::new();
        fixture.file("a", "");
        let (_held, _) = fixture.sync().unwrap();
        let cancel = Cancel::new();
        let caches = Caches::new(fixture.directory.path().join("cache"));
        let error =
            Stage::open(&caches, "rust-x", "rust-x-1", &cancel, &|| cancel.cancel()).map(|_| ()).unwrap_err();
        assert!(matches!(error, BuilderError::Cancelled(_)));
    }
}
