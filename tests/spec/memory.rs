use std::collections::BTreeMap;

use imgpack::spec::{Files, ImageSpec, Problems, ReadError, Workspace, load};

/// Spec files that are no files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<String, String>);

impl Memory {
    /// A workspace of `imgpack.yaml` and buildspecs, by path.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let mut memory =
            Self(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect());
        memory.0.entry("imgpack.yaml".to_owned()).or_insert_with(|| "apiVersion: imgpack/v1\n".to_owned());
        memory
    }

    pub(crate) fn load(&self) -> Result<Workspace, Problems> {
        load(self, &[])
    }

    pub(crate) fn load_with(&self, sets: &[&str]) -> Result<Workspace, Problems> {
        load(self, &sets.iter().map(|set| set.parse().unwrap()).collect::<Vec<_>>())
    }
}

impl Files for Memory {
    fn read(&self, path: &str) -> Result<String, ReadError> {
        if path.contains("linked") {
            return Err(ReadError::Outside);
        }
        self.0.get(path).cloned().ok_or(ReadError::NotFound)
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, ReadError> {
        let below = format!("{dir}/");
        let paths: Vec<String> =
            self.0.keys().filter(|path| dir == "." || path.starts_with(&below)).cloned().collect();
        if paths.is_empty() { Err(ReadError::NotFound) } else { Ok(paths) }
    }
}

/// The plain spec of one buildspec, `buildspecs/app.yaml`.
pub(crate) fn one(text: &str) -> ImageSpec {
    try_one(text).unwrap_or_else(|message| panic!("{text}\n{message}"))
}

/// The same, or the message.
pub(crate) fn try_one(text: &str) -> Result<ImageSpec, String> {
    let workspace = Memory::new(&[("buildspecs/app.yaml", text)]).load().map_err(|p| p.to_string())?;
    workspace
        .select(&["app".parse().unwrap()], None)
        .map_err(|e| e.to_string())
        .map(|mut specs| specs.remove(0))
}
