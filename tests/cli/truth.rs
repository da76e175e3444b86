//! A cache may save work and nothing else: after any sequence of edits, and whatever happened to the store, a build gives
//! the digests of a build with an empty cache.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::builders::{with_go, with_rust};
use crate::env::{Env, IMGPACK, files_below, is_installed, skip};

/// One thing that happens between two builds. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Edit {
    /// Another content, and length.
    Write(usize, u32),
    /// Another content of the same length, and the time that the file had.
    WriteUnseen(usize, u32),
    /// The same by way of a new file that is moved over the old one.
    Replace(usize, u32),
    /// What the file held before its last edit, with the time that it has.
    Restore(usize),
    Remove(usize),
    Add(usize, u32),
    /// A file where ignore rules leave it out.
    AddIgnored(u32),
    Rename(usize, usize),
    /// Two files change places, times and all.
    Swap(usize, usize),
    Executable(usize),
    Retarget(usize),
    /// A time long ago, now, or to come.
    Time(usize, i64),
    /// The rules in `.gitignore`.
    Ignore(usize),
    /// The buildspec.
    Spec(usize),
    /// The clock of the next build, in hours off.
    Clock(i64),
    /// A file of the store becomes shorter.
    Tear(usize, usize),
    /// A byte of a record, an index or a cache becomes another. Blobs are named by their content and not among these.
    Flip(usize, usize),
    /// A file of the store is gone.
    Lose(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let any = || any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20));
    prop_oneof![
        3 => (any(), 0..9u32).prop_map(|(file, content)| Edit::Write(file, content)),
        4 => (any(), 0..9u32).prop_map(|(file, content)| Edit::WriteUnseen(file, content)),
        2 => (any(), 0..9u32).prop_map(|(file, content)| Edit::Replace(file, content)),
        2 => any().prop_map(Edit::Restore),
        1 => any().prop_map(Edit::Remove),
        2 => (0..6usize, 0..9u32).prop_map(|(place, content)| Edit::Add(place, content)),
        1 => (0..9u32).prop_map(Edit::AddIgnored),
        2 => (any(), any()).prop_map(|(from, to)| Edit::Rename(from, to)),
        3 => (any(), any()).prop_map(|(one, other)| Edit::Swap(one, other)),
        1 => any().prop_map(Edit::Executable),
        1 => any().prop_map(Edit::Retarget),
        2 => (any(), prop_oneof![Just(-86_400), Just(0), Just(86_400)]).prop_map(|(file, at)| Edit::Time(file, at)),
        1 => (0..4usize).prop_map(Edit::Ignore),
        2 => (0..8usize).prop_map(Edit::Spec),
        2 => prop_oneof![Just(-30), Just(-1), Just(0), Just(1), Just(30)].prop_map(Edit::Clock),
        2 => (any(), any()).prop_map(|(file, at)| Edit::Tear(file, at)),
        2 => (any(), any()).prop_map(|(file, at)| Edit::Flip(file, at)),
        1 => any().prop_map(Edit::Lose),
    ]
}

/// A workspace, what its files held, and the clock of its next build.
struct World<'e> {
    env: &'e Env,
    kind: &'e Kind,
    before: BTreeMap<PathBuf, Vec<u8>>,
    clock: i64,
    /// Builds that made an image, and all builds: equal failures say little.
    built: &'e Cell<(u32, u32)>,
}

/// What kind of service is edited.
struct Kind {
    /// Directory of its sources in the workspace.
    dir: &'static str,
    /// Files whose names have this end are edited; empty means all.
    end: &'static str,
    /// What a program begins with: never edited.
    main: &'static str,
    /// What it cannot be without: edited, but never removed.
    needed: &'static str,
    /// A content that the builder takes.
    content: fn(u32) -> String,
    /// Places for new files, relative to the workspace.
    places: [&'static str; 6],
    /// Texts of the buildspec.
    specs: Vec<String>,
    /// Folders of the store that an empty cache gets all the same: what a tool of others keeps there is not ours to doubt,
    /// and slow to make.
    kept: &'static [&'static str],
}

/// Every content has one length for eight digits' worth of numbers.
fn same_length(content: fn(u32) -> String, number: u32) -> String {
    content(number % 10)
}

impl World<'_> {
    fn sources(&self) -> Vec<PathBuf> {
        let mut found = files_below(&self.env.path(self.kind.dir));
        found.retain(|path| {
            path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
                && path.to_string_lossy().ends_with(self.kind.end)
                && *path != self.env.path(self.kind.main)
        });
        found
    }

    fn is_needed(&self, path: &Path) -> bool {
        *path == self.env.path(self.kind.needed)
    }

    fn stored(&self) -> Vec<PathBuf> {
        let root = self.env.cache().join("v1");
        let ours = |path: &PathBuf| {
            let name = path.strip_prefix(&root).unwrap_or(path);
            ["blobs", "records", "groups", "last", "stat", "clean", "tools", "stage"]
                .iter()
                .any(|folder| name.starts_with(folder))
                // A staged tree is as its builder left it: only what is kept of it is.
                && (!name.starts_with("stage") || name.extension().is_some_and(|end| end == "json"))
        };
        let mut found = files_below(&root);
        found.retain(|path| ours(path) && path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()));
        found
    }

    fn write(&mut self, path: &Path, text: &str) {
        if let Ok(old) = fs::read(path) {
            self.before.insert(path.to_owned(), old);
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn apply(&mut self, edit: &Edit) {
        let sources = self.sources();
        let pick = |number: usize| (!sources.is_empty()).then(|| sources[number % sources.len()].clone());
        match *edit {
            Edit::Write(file, content) => {
                let Some(path) = pick(file) else { return };
                let text = (self.kind.content)(content) + &"\n".repeat(content as usize);
                self.write(&path, &text);
            }
            Edit::WriteUnseen(file, content) => {
                let Some(path) = pick(file) else { return };
                let time = path.metadata().unwrap().modified().unwrap();
                self.write(&path, &same_length(self.kind.content, content));
                set_time(&path, time);
            }
            Edit::Replace(file, content) => {
                let Some(path) = pick(file) else { return };
                let metadata = path.metadata().unwrap();
                let new = self.env.path(".git-new");
                fs::write(&new, same_length(self.kind.content, content)).unwrap();
                fs::set_permissions(&new, metadata.permissions()).unwrap();
                set_time(&new, metadata.modified().unwrap());
                fs::rename(new, path).unwrap();
            }
            Edit::Restore(file) => {
                let Some(path) = pick(file) else { return };
                if let Some(old) = self.before.get(&path).cloned() {
                    let time = path.metadata().unwrap().modified().unwrap();
                    fs::write(&path, old).unwrap();
                    set_time(&path, time);
                }
            }
            Edit::Remove(file) => {
                if let Some(path) = pick(file).filter(|path| !self.is_needed(path)) {
                    fs::remove_file(path).unwrap();
                }
            }
            Edit::Add(place, content) => {
                let path = self.env.path(self.kind.places[place]);
                self.write(&path, &(self.kind.content)(content));
            }
            Edit::AddIgnored(content) => {
                let path = self.env.path(self.kind.dir).join("debug.log");
                self.write(&path, &content.to_string());
            }
            Edit::Rename(from, to) => {
                if let Some(from) = pick(from).filter(|path| !self.is_needed(path)) {
                    let to = self.env.path(self.kind.places[to % self.kind.places.len()]);
                    fs::create_dir_all(to.parent().unwrap()).unwrap();
                    fs::rename(from, to).unwrap();
                }
            }
            Edit::Swap(one, other) => {
                let (Some(one), Some(other)) = (pick(one), pick(other)) else { return };
                let between = self.env.path(".git-swap");
                if one != other {
                    fs::rename(&one, &between).unwrap();
                    fs::rename(&other, &one).unwrap();
                    fs::rename(&between, &other).unwrap();
                }
            }
            Edit::Executable(file) => {
                let Some(path) = pick(file) else { return };
                let mode = path.metadata().unwrap().permissions().mode();
                fs::set_permissions(&path, Permissions::from_mode(mode ^ 0o111)).unwrap();
            }
            Edit::Retarget(file) => {
                let Some(path) = pick(file) else { return };
                let link = self.env.path(self.kind.dir).join("a-link");
                let _ = fs::remove_file(&link);
                if path.parent() == link.parent() {
                    symlink(path.file_name().unwrap(), link).unwrap();
                }
            }
            Edit::Time(file, offset) => {
                let Some(path) = pick(file) else { return };
                set_time(&path, shifted(SystemTime::now(), offset));
            }
            Edit::Ignore(number) => {
                let rules = ["*.log\n", "*.log\n*.txt\n", "sub/\n", "*\n!*.log\n"][number];
                // Programs need their sources: for them only other files come and go.
                let rules = if self.kind.end.is_empty() { rules } else { ["*.log\n", ""][number % 2] };
                self.env.file(".gitignore", rules);
            }
            Edit::Spec(number) => {
                let text = &self.kind.specs[number % self.kind.specs.len()];
                self.env.spec("it", text);
            }
            // Cargo, whose environment is imgpack's to make, keeps this machine's clock, and goes by times: one that only
            // imgpack's went back from is no clock that a machine can have.
            Edit::Clock(hours) => self.clock = if self.kind.end == ".rs" { hours.max(0) } else { hours },
            Edit::Tear(file, at) => {
                let stored = self.stored();
                if let Some(path) = stored.get(file % stored.len().max(1)) {
                    let length = path.metadata().unwrap().len();
                    let file = File::options().write(true).open(path).unwrap();
                    file.set_len(at as u64 % length.max(1)).unwrap();
                }
            }
            Edit::Flip(file, at) => {
                let mut stored = self.stored();
                stored.retain(|path| !path.starts_with(self.env.cache().join("v1/blobs")));
                if let Some(path) = stored.get(file % stored.len().max(1)) {
                    let mut bytes = fs::read(path).unwrap();
                    let at = at % bytes.len().max(1);
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << (at % 8);
                        fs::write(path, bytes).unwrap();
                    }
                }
            }
            Edit::Lose(file) => {
                let stored = self.stored();
                if let Some(path) = stored.get(file % stored.len().max(1)) {
                    fs::remove_file(path).unwrap();
                }
            }
        }
    }

    /// What a build with this cache says: the digests on stdout, or the errors.
    fn build(&self, cache: &Path, clock: i64) -> Result<String, String> {
        let mut words = vec!["--kill-after=10".to_owned(), "300".to_owned()];
        if clock != 0 {
            words.extend(["faketime".to_owned(), "-f".to_owned(), format!("{clock:+}h")]);
        }
        words.extend(
            [IMGPACK, "build", "--quiet", "--output", "oci:../out", "--format", "json"].map(str::to_owned),
        );
        let mut command = self.env.command("timeout", &words);
        command.env("IMGPACK_CACHE", cache);
        let ended = self.env.ended(command);
        let _ = fs::remove_dir_all(self.env.outside("out"));
        if ended.code != 0 {
            return Err(format!("{} {}", ended.code, first_error(&ended.stderr)));
        }
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let digests =
            report["images"].as_array().unwrap().iter().map(|image| image["manifest"]["digest"].to_string());
        Ok(digests.collect::<Vec<_>>().join(" "))
    }

    /// Builds with the cache of all builds so far and with an empty one.
    fn compare(&self) -> Result<(), TestCaseError> {
        let empty = self.env.outside("empty");
        let _ = fs::remove_dir_all(&empty);
        for kept in self.kind.kept {
            let from = self.env.cache().join("v1").join(kept);
            if from.is_dir() {
                fs::create_dir_all(empty.join("v1")).unwrap();
                symlink(from, empty.join("v1").join(kept)).unwrap();
            }
        }
        let now = self.build(&self.env.cache(), self.clock);
        let afresh = self.build(&empty, 0);
        let (good, all) = self.built.get();
        self.built.set((good + u32::from(now.is_ok()), all + 1));
        prop_assert_eq!(now, afresh);
        Ok(())
    }
}

/// The first error, up to the first path: that differs from cache to cache.
fn first_error(stderr: &str) -> String {
    let line = stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or(stderr);
    line.split("[dir]/").next().unwrap_or(line).to_owned()
}

fn set_time(path: &Path, time: SystemTime) {
    let file = File::open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn shifted(time: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time - by } else { time + by }
}

/// Runs `cases` sequences of edits; the environment can ask for more.
fn holds(cases: u32, kind: &Kind, env: impl Fn() -> Env) {
    if !is_installed("faketime") {
        return skip("faketime is not installed");
    }
    let wanted = std::env::var("IMGPACK_TRUTH_CASES").ok().and_then(|text| text.parse().ok());
    let cases = wanted.unwrap_or(cases);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 40, ..Config::default() };
    let steps = prop::collection::vec(prop::collection::vec(edit(), 1..4), 2..6);
    let built = Cell::new((0, 0));
    let result = TestRunner::new(config).run(&steps, |steps| {
        let env = env();
        env.file(".gitignore", "*.log\n").spec("it", &kind.specs[0]);
        let mut world = World { env: &env, kind, before: BTreeMap::new(), clock: 0, built: &built };
        world.compare()?;
        for edits in &steps {
            edits.iter().for_each(|edit| world.apply(edit));
            world.compare()?;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let (good, all) = built.get();
    // The campaign reads it.
    #[expect(clippy::print_stdout, reason = "a figure of the campaign")]
    {
        println!("{good} of {all} builds made an image");
    }
    assert!(good * 2 > all, "{good} of {all} builds made an image");
}

#[test]
fn files_are_packed_as_with_an_empty_cache() {
    let spec = |rest: &str| format!("base: scratch\nplatforms: [linux/amd64]\n{rest}");
    let kind = Kind {
        dir: "tree",
        end: "",
        main: "none",
        needed: "tree/a.txt",
        content: |number| format!("content {number:08}\n"),
        places: [
            "tree/new",
            "tree/sub/new",
            "tree/a.txt",
            "tree/sub/b.txt",
            "tree/sub/deeper/c",
            "tree/x.log",
        ],
        specs: vec![
            spec("files: { /app: ../tree }\n"),
            spec(
                "files: [{ from: ../tree, to: /app, class: deps }, { from: ../tree/a.txt, to: /etc/a, mode: \"0600\" }]\n",
            ),
            spec("files: [{ from: ../tree, to: /app, exclude: [sub] }]\n"),
            spec(
                "files: [{ from: ../tree, to: /app, include: [\"**/*.txt\"] }, { from: ../tree/sub, to: /sub, owner: \"7:7\" }]\n",
            ),
            spec("files: { /app: ../tree }\nimage: { env: { A: b } }\n"),
            spec("files: { /app: ../tree }\ncompression: gzip:9\n"),
            spec("files: { /app: ../tree }\ncompression: zstd\n"),
            spec("files: { /app: ../tree }\ncompression: none\n"),
        ],
        kept: &[],
    };
    holds(12, &kind, || {
        let env = Env::new();
        env.file("tree/a.txt", "content 00000000\n").file("tree/sub/b.txt", "content 00000001\n");
        // Enough for several groups.
        let noise = |length: u32| -> Vec<u8> {
            (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
        };
        env.file("tree/big", noise(2_600_000)).file("tree/sub/large", noise(900_000));
        env.file("tree/sub/run.sh", "content 00000002\n");
        env
    });
}

#[test]
fn go_programs_are_made_as_with_an_empty_cache() {
    let spec = |rest: &str| {
        format!(
            "source: ../service\nbase: scratch\nplatforms: [linux/amd64]\nbuild: {{ go: {{ {rest} }} }}\n"
        )
    };
    let kind = Kind {
        dir: "service",
        end: ".go",
        main: "service/main.go",
        needed: "service/b.go",
        content: |number| format!("package main\n\nfunc init() {{ println({number:08}+1000) }}\n"),
        places: [
            "service/b.go",
            "service/c.go",
            "service/d_test.go",
            "service/e_arm64.go",
            "service/other/f.go",
            "service/g.txt",
        ],
        specs: vec![spec(""), spec("ldflags: \"\""), spec("tags: [x]")],
        kept: &["go"],
    };
    let Some(env) = with_go("package main\n\nfunc main() {}\n") else { return };
    drop(env);
    let shared = tempfile::tempdir().unwrap();
    holds(2, &kind, || {
        let env = with_go("package main\n\nfunc main() {}\n").unwrap();
        fs::remove_file(env.path("buildspecs/web.yaml")).unwrap();
        env.file("service/b.go", "package main\n\nfunc init() { println(\"b\") }\n");
        // The standard library is compiled once for all cases.
        fs::create_dir_all(env.cache().join("v1")).unwrap();
        fs::create_dir_all(shared.path().join("go")).unwrap();
        symlink(shared.path().join("go"), env.cache().join("v1/go")).unwrap();
        env
    });
}

#[test]
fn rust_programs_are_made_as_with_an_empty_cache() {
    let spec = |rest: &str| {
        format!(
            "source: ../service\nbase: scratch\nplatforms: [linux/amd64]\nbuild: {{ rust: {{ {rest} }} }}\n"
        )
    };
    let kind = Kind {
        dir: "service",
        end: ".rs",
        main: "service/src/main.rs",
        needed: "service/src/b.rs",
        content: |number| format!("pub fn main() {{ print!(\"{number:08}\") }}\n"),
        places: [
            "service/src/b.rs",
            "service/src/bin/c.rs",
            "service/tests/d.rs",
            "service/src/e.rs",
            "service/f.rs",
            "service/g.txt",
        ],
        specs: vec![spec(""), spec("profile: dev")],
        kept: &[],
    };
    let main = "#[path = \"b.rs\"]\nmod b;\nfn main() {\n    b::main();\n}\n";
    let Some(env) = with_rust(main) else { return };
    drop(env);
    holds(1, &kind, || {
        let env = with_rust(main).unwrap();
        fs::remove_file(env.path("buildspecs/core.yaml")).unwrap();
        env.file("service/src/b.rs", "pub fn main() {}\n");
        env
    });
}
