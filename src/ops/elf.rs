//! Whether the programs of a planned image will find what they need when they are started.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::assemble::PlannedImage;
use super::error::{Error, ErrorKind};
use super::packages::Unpacked;
use super::prepare::Session;
use crate::elf::{Check, Distribution, Executable, Foreign, Program, View, check, may_be_elf};
use crate::model::{BaseConfig, Content, ContentDigest, Entry, EntryKind, KeyDigest, PackageFileKind, Size};
use crate::plan::{ImageConfig, without_init};
use crate::report::ForeignFiles;
use crate::spec::{ImageSpec, Packages};
use crate::system::{IoError, fs, parallel};

/// Raised when what is noted of files gains or changes a meaning.
const REVISION: u32 = 1;

/// What is known of contents.
type Known = Mutex<BTreeMap<ContentDigest, Arc<Executable>>>;

impl Session<'_> {
    /// Looks at a planned image as the kernel and the loader will; files for other platforms that nothing needs.
    pub(super) fn check_elf(
        &self,
        spec: &ImageSpec,
        plan: &PlannedImage,
    ) -> Result<Option<ForeignFiles>, Error> {
        let known: Known = Mutex::new(of_packages(&plan.packages));
        let view = View::new(&plan.base.facts, plan.layers.iter().map(|layer| &layer.entries));
        let is_unknown = |entry: &&Entry| match &entry.kind {
            EntryKind::File { digest, content: Content::Path(_) | Content::Bytes(_), .. } => {
                may_be_elf(entry) && !held(&known).contains_key(digest)
            }
            _ => false,
        };
        let unknown: Vec<&Entry> = view.own_files().filter(is_unknown).collect();
        let looked = parallel(self.machine.jobs, &unknown, |entry| {
            self.machine.cancel.check().map(|()| drop(self.look(&known, entry)))
        });
        looked.into_iter().collect::<Result<(), _>>()?;
        let programs = programs(&plan.config, &plan.base.config);
        let found = check(
            &view,
            &Check {
                machine: plan.platform.uname(),
                env: &plan.config.env,
                workdir: plan.config.workdir.as_deref(),
                volumes: &plan.config.volumes,
                programs: &programs,
                allow: &spec.elf.allow,
                ignore: &spec.elf.ignore,
                look: &|entry| self.look(&known, entry),
                distribution: distribution(spec, plan),
            },
        );
        if found.errors.is_empty() {
            Ok(sum(&found.foreign))
        } else {
            Err(ErrorKind::Elf(found.errors).into())
        }
    }

    /// What a file is: known, noted under the digest of its content, or read now. What cannot be read is told when it is
    /// packed.
    fn look(&self, known: &Known, entry: &Entry) -> Arc<Executable> {
        let EntryKind::File { digest, content, .. } = &entry.kind else { return Arc::new(Executable::Other) };
        if let Some(known) = held(known).get(digest) {
            return Arc::clone(known);
        }
        let found = match content {
            Content::Bytes(bytes) => Executable::read(&mut &bytes[..]),
            Content::Packed { contents, offset, length } => {
                contents.open(*offset, *length).and_then(|mut file| Executable::read(&mut file))
            }
            Content::Path(path) => {
                let key = KeyDigest::of(format!("imgpack executable {REVISION}\n{digest}").as_bytes());
                let noted = self.machine.store.record(&key);
                noted.map_or_else(|| self.read(path, digest, &key), Ok)
            }
        };
        let found = Arc::new(found.unwrap_or(Executable::Other));
        held(known).insert(*digest, Arc::clone(&found));
        found
    }

    /// Reads a file, and notes what it is where it surely still has that content.
    fn read(&self, path: &Path, digest: &ContentDigest, key: &KeyDigest) -> io::Result<Executable> {
        let Some(mut file) = fs::open_regular(path).map_err(|error| error.source)? else {
            return Ok(Executable::Other);
        };
        let sure = path.starts_with(self.machine.store.root()) || self.sources.is_known(&file, digest);
        let found = Executable::read(&mut file)?;
        if sure {
            // That it cannot be written costs the next build a look.
            let _: Result<(), IoError> = self.machine.store.put_record(key, &found);
        }
        Ok(found)
    }
}

fn sum(foreign: &[Foreign]) -> Option<ForeignFiles> {
    let largest = foreign.iter().rev().max_by_key(|file| file.size)?.path.clone();
    let unpacked = foreign.iter().map(|file| Size(file.size)).sum();
    Some(ForeignFiles { files: foreign.len(), unpacked, largest })
}

/// What is started in an image, and whether its base says so. What a shell would do with a command is not looked into.
fn programs(config: &ImageConfig, base: &BaseConfig) -> Vec<Program> {
    let mut programs = Vec::new();
    let mut add = |role, words: &[String], arguments: bool, inherited: bool| {
        if !words.is_empty() {
            programs.push(Program { role, words: words.to_vec(), arguments, inherited });
        }
    };
    let entrypoint = config.entrypoint.clone().unwrap_or_default();
    let own = without_init(entrypoint.clone());
    let inherited = base.entrypoint.clone().is_some_and(|words| without_init(words) == own);
    add("the entrypoint", &own, false, inherited);
    if own != entrypoint {
        add("the entrypoint", &entrypoint, false, false);
    }
    let cmd = config.cmd.clone().unwrap_or_default();
    add("the command", &cmd, !own.is_empty(), base.cmd.as_ref() == Some(&cmd));
    let test = config.healthcheck.as_ref().and_then(|check| check.get("Test")?.as_array());
    let test: Vec<String> =
        test.into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect();
    let inherited = base.healthcheck.as_ref().is_some_and(|check| check.test == test);
    match test.split_first() {
        Some((kind, words)) if kind == "CMD" => add("the health check", words, false, inherited),
        Some((kind, _)) if kind == "CMD-SHELL" => {
            add("the health check", &["/bin/sh".to_owned()], false, inherited);
        }
        _ => {}
    }
    programs
}

/// What is known of the files of packages.
fn of_packages(packages: &[Unpacked]) -> BTreeMap<ContentDigest, Arc<Executable>> {
    let files = packages.iter().flat_map(|package| package.facts.files());
    files
        .filter_map(|file| match (&file.kind, &file.elf) {
            (PackageFileKind::File { digest, .. }, Some(elf)) => {
                Some((*digest, Arc::new(Executable::Elf(elf.clone()))))
            }
            _ => None,
        })
        .collect()
}

fn distribution(spec: &ImageSpec, plan: &PlannedImage) -> Option<Distribution> {
    Distribution::of_base(&plan.base.facts).or_else(|| match &spec.packages {
        Some(Packages::Debian(debian)) => Some(Distribution::Debian(Some(debian.suite.clone()))),
        Some(Packages::Apk(_)) => Some(Distribution::Alpine),
        None => None,
    })
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
