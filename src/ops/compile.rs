//! Builders run where no record says what they made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::Error;
use super::event::{Event, Phase, Task};
use super::inputs::{INPUTS, InputList};
use super::prepare::Session;
use crate::builder::{self, BuildRequest, Line, Project, Tool, ToolIdentity};
use crate::key::Key;
use crate::model::{ContentDigest, Platform};
use crate::spec::{Build, ImageSpec, Value};
use crate::system::{IoError, parallel};

/// One run of a builder that one or more tasks wait for.
pub struct Compile {
    /// What the spec says.
    pub build: Build,
    /// For which platform.
    pub platform: Platform,
    /// The sources: those of the closure.
    pub project: Arc<Project>,
    /// Everything in the source root.
    pub everything: Arc<Project>,
    /// The resolved tool; `None` where a pin and a record make it unnecessary.
    pub tool: Option<Tool>,
    /// What an earlier run of the key made, where all of it is still there.
    pub recorded: Option<CompileRecord>,
    /// Everything that decides what is made.
    pub key: Key,
    /// Who waits for it.
    pub tasks: Vec<Task>,
}

/// What a builder made, kept under its key.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CompileRecord {
    /// The files.
    pub artefacts: Vec<Made>,
    /// The key's fields, for `explain`.
    pub key: Key,
    /// The source root that it was made from, as the builders' caches call it.
    #[serde(default)]
    pub source_root: Option<String>,
}

/// A file that a builder made; its content is a blob of the store.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// Digest of its content.
    pub digest: ContentDigest,
    /// Its length in bytes.
    pub size: u64,
    /// Whether it is a program.
    pub executable: bool,
}

impl Session<'_> {
    /// Answers for the templates of a build for one platform.
    pub fn values(&self, platform: Platform) -> impl Fn(&Value) -> Option<String> + '_ {
        move |value| crate::plan::target_value(value, platform).or_else(|| self.volatile(value))
    }

    /// One run of the builder of `spec`: the pinned tool decides its key, and only where that tool has yet to run it is
    /// looked for.
    pub(super) fn compile(
        &self,
        spec: &ImageSpec,
        build: &Build,
        platform: Platform,
    ) -> Result<Compile, Error> {
        let everything = self.sources.project(spec, build)?;
        let project = self.closures.project(build, &everything)?;
        let toolchain = builder::toolchain(build, platform, &project)?;
        let pinned = self.pins.toolchain(&toolchain)?;
        let compile = |tool: Option<Tool>, key: Key, recorded| Compile {
            build: build.clone(),
            platform,
            project: Arc::clone(&project),
            everything: Arc::clone(&everything),
            tool,
            recorded,
            key,
            tasks: Vec::new(),
        };
        if let (Some(pinned), None) = (&pinned, self.fresh) {
            let key = self.key(build, platform, &project, pinned)?;
            if let Some(record) = self.recorded(&key) {
                return Ok(compile(None, key, Some(record)));
            }
        }
        let cancel = self.machine.cancel;
        let tool = builder::identify(build, platform, &project, &self.host, &self.caches, cancel)?;
        self.pins.compare(&toolchain, pinned.as_ref(), &tool.identity)?;
        let key = self.key(build, platform, &project, &tool.identity)?;
        let recorded = self.recorded(&key);
        Ok(compile(Some(tool), key, recorded))
    }

    /// The key of a run: what the spec says, the tool, and every input.
    pub fn key(
        &self,
        build: &Build,
        platform: Platform,
        project: &Project,
        tool: &ToolIdentity,
    ) -> Result<Key, Error> {
        let mut key = Key::new(match build {
            Build::Go(_) => "build.go",
            Build::Rust(_) => "build.rust",
        });
        for field in builder::key_fields(build, platform, project, &self.values(platform))? {
            key.clear(field.name, field.value);
        }
        for (name, value) in &tool.fields {
            key.clear(format!("tool {name}"), value.clone());
        }
        key.digest_of(INPUTS, &InputList::digest(project));
        Ok(key)
    }

    /// What an earlier run of this key made, where all of it is still there.
    pub fn recorded(&self, key: &Key) -> Option<CompileRecord> {
        let record: CompileRecord = self.machine.store.record(&key.digest())?;
        let whole = record
            .artefacts
            .iter()
            .all(|made| self.machine.store.has_blob(&crate::model::BlobDigest(made.digest.0), made.size));
        whole.then_some(record)
    }

    /// Runs every builder of `compiles`, those of one source root one after the other. Results stand in order.
    pub fn run(&self, compiles: &[Compile]) -> Vec<Result<CompileRecord, Error>> {
        let mut roots: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, compile) in compiles.iter().enumerate() {
            roots.entry(&compile.project.root).or_default().push(index);
        }
        let groups: Vec<Vec<usize>> = roots.into_values().collect();
        for compile in compiles {
            self.tell(compile, |task| Event::Phase { task, phase: Phase::Waiting });
        }
        let at_once = self.machine.jobs.min(groups.len()).max(1);
        let tool_jobs = (self.machine.jobs / at_once).max(1);
        let failed = AtomicBool::new(false);
        let mut results: Vec<(usize, Result<CompileRecord, Error>)> = parallel(at_once, &groups, |group| {
            let run = |index: &usize| {
                let compile = &compiles[*index];
                if failed.load(Ordering::SeqCst) && !self.keep_going {
                    return (*index, Err(crate::system::Cancelled.into()));
                }
                let result = self.run_one(compile, tool_jobs);
                if result.is_err() {
                    failed.store(true, Ordering::SeqCst);
                    self.tell(compile, |task| Event::Failed { task });
                }
                (*index, result)
            };
            group.iter().map(run).collect::<Vec<_>>()
        })
        .into_iter()
        .flatten()
        .collect();
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn run_one(&self, compile: &Compile, jobs: usize) -> Result<CompileRecord, Error> {
        self.machine.cancel.check()?;
        let builder = match compile.build {
            Build::Go(_) => "go",
            Build::Rust(_) => "rust",
        };
        self.tell(compile, |task| Event::Phase { task, phase: Phase::Building { builder } });
        let folder = self.machine.store.root().join("tmp");
        let into = tempfile::tempdir_in(&folder).map_err(IoError::of("create a directory in", &folder))?;
        let values = self.values(compile.platform);
        let tool = compile.tool.as_ref().ok_or_else(|| Error::bug("a builder runs without its tool"))?;
        let request = BuildRequest {
            build: &compile.build,
            platform: compile.platform,
            values: &values,
            project: &compile.project,
            everything: &compile.everything,
            tool,
            jobs,
            fresh: self.fresh,
            into: into.path(),
        };
        let output = |line: Line| {
            let event = match (line.source, compile.tasks.first()) {
                (builder::Source::Note, _) => Event::Note(line.text),
                (_, Some(task)) => Event::Output { task: task.clone(), text: line.text },
                (_, None) => return,
            };
            self.machine.observer.event(event);
        };
        let artefacts = builder::build(&request, &self.host, &self.caches, &output, self.machine.cancel)?;
        let mut made = Vec::new();
        for artefact in artefacts {
            let mut file = crate::system::fs::open(&artefact.path)?;
            let (digest, size) = self.machine.store.put_reader(&mut file, None)?;
            let digest = ContentDigest(digest.0);
            made.push(Made { name: artefact.name, digest, size, executable: artefact.executable });
        }
        InputList::keep(&compile.project, self.machine.store)?;
        let source_root = builder::source_root_id(&compile.build, &compile.project).ok();
        let record = CompileRecord { artefacts: made, key: compile.key.clone(), source_root };
        self.machine.store.put_record(&compile.key.digest(), &record)?;
        Ok(record)
    }

    fn tell(&self, compile: &Compile, event: impl Fn(Task) -> Event) {
        compile.tasks.iter().for_each(|task| self.machine.observer.event(event(task.clone())));
    }
}
