//! `imgpack plan --files`: for every file that a spec could take, which rule takes it or leaves it out.

use super::error::Error;
use super::machine::Machine;
use super::sources::{Sources, joined};
use crate::builder::{self, InputKind, Project};
use crate::spec::{Build, FileKind, ImageSpec, SourcePath};

use crate::tree::{self, Found, ScanRequest};

/// Whether one path is taken, and why.
#[derive(Debug)]
pub struct FileDecision {
    /// Relative to the directory; of a directory with a final `/`.
    pub path: String,
    /// Whether it is taken.
    pub taken: bool,
    /// By which rule, in words.
    pub rule: String,
}

/// The decisions about one directory of a spec.
#[derive(Debug)]
pub struct DirectoryDecisions {
    /// Which field names it: `source`, `files`.
    pub field: &'static str,
    /// Where that was written.
    pub from: SourcePath,
    /// Every file, and every directory that is left out.
    pub decisions: Vec<FileDecision>,
}

/// What the closure of a builder makes of files that the rules of the sources take.
struct Reached<'a> {
    build: &'a Build,
    project: Project,
}

impl Reached<'_> {
    fn decide(&self, decision: &mut FileDecision, path: &str) {
        if !decision.taken {
            return;
        }
        let found = self.project.inputs.binary_search_by(|input| input.path.as_str().cmp(path));
        match found.ok().map(|index| &self.project.inputs[index].kind) {
            Some(InputKind::StandIn) => {
                "by its name alone: cargo looks for it".clone_into(&mut decision.rule);
            }
            Some(_) => {}
            None => {
                decision.taken = false;
                decision.rule = builder::outside_closure(self.build);
            }
        }
    }
}

/// The decisions about every directory that `spec` names.
pub fn decisions(machine: &Machine<'_>, spec: &ImageSpec) -> Result<Vec<DirectoryDecisions>, Error> {
    let (root, cancel) = (machine.root.as_path(), machine.cancel);
    let mut found = Vec::new();
    let mut scan = |field,
                    from: &SourcePath,
                    include: &[String],
                    exclude: &[String],
                    reached: Option<(&Reached<'_>, &str)>| {
        let at = |error: Error| error.at(&from.site);
        match tree::find(root, &from.path).map_err(|error| at(error.into()))? {
            Found::File(_) => {}
            Found::Directory => {
                let request =
                    ScanRequest { root, dir: &from.path, include, exclude, named: &[], explain: true };
                let scan = tree::scan(&request, cancel).map_err(|error| at(error.into()))?;
                let mut decisions: Vec<FileDecision> = scan
                    .decisions
                    .into_iter()
                    .map(|one| FileDecision { path: one.path, taken: one.taken, rule: one.rule.to_string() })
                    .collect();
                if field == "source root" {
                    // The directory of the sources has a list of its own.
                    decisions.retain(|one| !exclude.iter().any(|own| one.path.trim_end_matches('/') == own));
                }
                if let Some((reached, below)) = reached {
                    for decision in &mut decisions {
                        let path = joined(below, &decision.path);
                        reached.decide(decision, &path);
                    }
                }
                found.push(DirectoryDecisions { field, from: from.clone(), decisions });
            }
        }
        Ok::<_, Error>(())
    };
    if let Some(build) = &spec.build {
        let everything = Sources::new(root, machine.store, machine.jobs, cancel).project(spec, build)?;
        let source = &spec.source;
        let at = |error: builder::BuilderError| Error::from(error).at(&source.dir.site);
        let closure = builder::closure(build, &everything).map_err(at)?;
        let reached = Reached { build, project: everything.within(&closure) };
        let below = everything.dir.as_str();
        scan("source", &source.dir, &source.include, &source.exclude, Some((&reached, below)))?;
        if below != "." {
            let whole = SourcePath { path: everything.root.clone(), ..source.dir.clone() };
            scan("source root", &whole, &[], &[below.to_owned()], Some((&reached, ".")))?;
        }
        for addition in &source.add {
            scan("source.add", &addition.from, &[], &[], None)?;
        }
    }
    for rule in &spec.files {
        if let FileKind::Copy { from, include, exclude } = &rule.kind {
            scan("files", from, include, exclude, None)?;
        }
    }
    Ok(found)
}
