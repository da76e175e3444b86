//! `imgpack outdated`: holds every row of the lock file against what there is now, and changes none.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::Error;
use super::lock;
use super::machine::Machine;
use super::pins::{QUESTIONS, data_sets};
use super::prepare::{BuildOptions, Session, Target};
use super::workspace_images::stages;
use crate::builder;
use crate::lock::{DIGEST, Kind, LOCK_FILE, Row, VERSION_FIELD, differences};
use crate::model::ImageRef;
use crate::registry::RegistryError;
use crate::spec::{Base, ImageSpec, Packages};
use crate::system::parallel;

/// A row that was held against what there is.
#[derive(Debug)]
pub struct Standing {
    /// What the row is about.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The pinned digest or version.
    pub pinned: String,
    /// What there is.
    pub now: Now,
}

/// What there is now.
#[derive(Debug, PartialEq, Eq)]
pub enum Now {
    /// What is pinned.
    Same,
    /// Another digest or version.
    Other(String),
    /// Nothing: the registry has no such tag.
    Gone,
}

/// Every row that can be asked about, in the order of the file, and why others could not be.
pub fn outdated(machine: &Machine<'_>, specs: Vec<ImageSpec>) -> Result<(Vec<Standing>, Vec<Error>), Error> {
    let Some(lock) = lock::read(&machine.root)? else {
        return Err(Error::usage_with_hint(
            format!("the workspace has no {LOCK_FILE}"),
            "`imgpack lock` makes it",
        ));
    };
    let options = BuildOptions::default();
    let session = Session::new(machine, &options)?;
    let specs: Vec<Arc<ImageSpec>> = specs.into_iter().map(Arc::new).collect();
    let (mut targets, mut not_built) = (Vec::new(), Vec::new());
    for stage in stages(&specs) {
        targets.extend(session.stage_targets(&stage)?);
        // Which rows are those of Alpine packages on an image of the workspace, hangs on what that image holds.
        let on_others = |spec: &&Arc<ImageSpec>| {
            matches!(spec.packages, Some(Packages::Apk(_))) && matches!(spec.base, Base::Spec(_))
        };
        let specs: Vec<_> =
            stage.iter().map(|wanted| &wanted.spec).filter(on_others).map(Arc::clone).collect();
        not_built.extend(session.build_needed(&specs)?);
    }
    if !not_built.is_empty() {
        return Ok((Vec::new(), not_built));
    }
    let toolchains = installed(&session, &targets)?;
    let rows: Vec<(Kind, &str, &Row)> = lock.rows().collect();
    let asked = parallel(QUESTIONS, &rows, |(kind, name, row)| -> Result<Option<(String, Now)>, Error> {
        machine.cancel.check()?;
        let said = |field| row.get(field).cloned().unwrap_or_default();
        Ok(match kind {
            // Of a file nothing is known before it is there; packages are asked together, below.
            Kind::File | Kind::Package | Kind::Packages => None,
            Kind::Image => {
                let pinned = said(DIGEST);
                let now = image(machine, name, &pinned)?;
                Some((pinned, now))
            }
            Kind::BuiltIn => {
                let set = data_sets().find(|set| set.name == *name);
                set.map(|set| (said(VERSION_FIELD), other(&said(VERSION_FIELD), &set.version)))
            }
            Kind::Toolchain => {
                let installed = toolchains.get(*name);
                installed.map(|installed| (said(VERSION_FIELD), toolchain(row, installed)))
            }
        })
    });
    let mut standings = Vec::new();
    let mut errors = Vec::new();
    for ((kind, name, _), answer) in rows.into_iter().zip(asked) {
        match answer {
            Ok(Some((pinned, now))) => standings.push(Standing { kind, name: name.to_owned(), pinned, now }),
            Ok(None) => {}
            Err(error) => errors.push(error.about(format!("{kind} {name}"))),
        }
    }
    let (packages, not_asked) = session.newer_packages(&targets);
    standings.extend(packages);
    errors.extend(not_asked);
    // As in the file; the sort keeps the order of equals.
    standings.sort_by_key(|standing| standing.kind);
    Ok((standings, errors))
}

fn image(machine: &Machine<'_>, name: &str, pinned: &str) -> Result<Now, Error> {
    let reference: ImageRef = name.parse()?;
    match machine.registry.resolve_at_source(&reference) {
        Ok(found) => Ok(other(pinned, &found.digest.to_string())),
        Err(RegistryError::NotFound { .. }) => Ok(Now::Gone),
        Err(error) => Err(error.into()),
    }
}

fn other(pinned: &str, now: &str) -> Now {
    if pinned == now { Now::Same } else { Now::Other(now.to_owned()) }
}

/// How an installed toolchain stands to its row.
fn toolchain(pinned: &Row, installed: &Row) -> Now {
    let version = installed.get(VERSION_FIELD).map_or("", String::as_str);
    if pinned == installed {
        Now::Same
    } else if pinned.get(VERSION_FIELD).is_some_and(|pinned| pinned == version) {
        Now::Other(format!("{version} ({})", differences(pinned, installed)))
    } else {
        Now::Other(version.to_owned())
    }
}

/// The toolchains that the images would be built with here. One that is missing is not newer than a pinned one.
fn installed(session: &Session<'_>, targets: &[Target]) -> Result<BTreeMap<String, Row>, Error> {
    let mut found = BTreeMap::new();
    for target in targets {
        session.machine.cancel.check()?;
        let Some(build) = &target.spec.build else { continue };
        let platform = target.task.platform;
        let project = session.sources.project(&target.spec, build).map_err(|error| error.of(&target.task))?;
        let name = builder::toolchain(build, platform, &project)
            .map_err(|error| Error::from(error).of(&target.task))?;
        let (host, caches, cancel) = (&session.host, &session.caches, session.machine.cancel);
        if let Ok(tool) = builder::identify(build, platform, &project, host, caches, cancel) {
            found.insert(name, tool.identity.fields);
        }
    }
    Ok(found)
}
