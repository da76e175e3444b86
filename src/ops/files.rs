//! `imgpack plan --files`: for every file that a spec could take, which rule takes it or leaves it out.

use std::path::Path;

use super::error::Error;
use crate::spec::{FileKind, ImageSpec, SourcePath};
use crate::system::Cancel;
use crate::tree::{self, Decision, Found, ScanRequest};

/// The decisions about one directory of a spec.
#[derive(Debug)]
pub struct DirectoryDecisions {
    /// Which field names it: `source`, `files`.
    pub field: &'static str,
    /// Where that was written.
    pub from: SourcePath,
    /// Every file, and every directory that is left out.
    pub decisions: Vec<Decision>,
}

/// The decisions about every directory that `spec` names.
pub fn decisions(root: &Path, spec: &ImageSpec, cancel: &Cancel) -> Result<Vec<DirectoryDecisions>, Error> {
    let mut found = Vec::new();
    let mut scan = |field, from: &SourcePath, include: &[String], exclude: &[String]| {
        let at = |error: Error| error.at(&from.site);
        match tree::find(root, &from.path).map_err(|error| at(error.into()))? {
            Found::File(_) => {}
            Found::Directory => {
                let request =
                    ScanRequest { root, dir: &from.path, include, exclude, named: &[], explain: true };
                let scan = tree::scan(&request, cancel).map_err(|error| at(error.into()))?;
                found.push(DirectoryDecisions { field, from: from.clone(), decisions: scan.decisions });
            }
        }
        Ok::<_, Error>(())
    };
    if spec.build.is_some() {
        scan("source", &spec.source.dir, &spec.source.include, &spec.source.exclude)?;
        for addition in &spec.source.add {
            scan("source.add", &addition.from, &[], &[])?;
        }
    }
    for rule in &spec.files {
        if let FileKind::Copy { from, include, exclude } = &rule.kind {
            scan("files", from, include, exclude)?;
        }
    }
    Ok(found)
}
