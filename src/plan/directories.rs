use std::collections::BTreeSet;
use std::sync::Arc;

use super::layers::LayerPart;
use crate::model::{BaseFacts, Class, Entries, EntriesError, Entry, EntryKind, FactKind, ImagePath, Owner};

/// The last layer of an image: declared directories, volumes and the working directory. It alone knows the user.
///
/// `declared` are the `dir: true` rows with their mode and owner; a volume that the base or another layer has already is
/// left as it is unless it is declared, and so is the working directory.
pub fn last_directories(
    declared: Vec<(ImagePath, u32, Owner, Arc<str>)>,
    volumes: &BTreeSet<ImagePath>,
    workdir: Option<&ImagePath>,
    user: Owner,
    facts: &BaseFacts,
    present: &[&Entries],
) -> Result<LayerPart, EntriesError> {
    let mut entries = Entries::new();
    let mut put = |path: ImagePath, mode, owner, origin| {
        entries.insert(Entry { path, kind: EntryKind::Directory, mode, owner, origin })
    };
    let declared_paths: BTreeSet<ImagePath> = declared.iter().map(|(path, ..)| path.clone()).collect();
    for (path, mode, owner, origin) in declared {
        put(path, mode, owner, origin)?;
    }
    let exists = |path: &ImagePath| {
        facts
            .resolve(path)
            .and_then(|path| facts.tree.get(&path))
            .is_some_and(|fact| fact.kind == FactKind::Directory)
            || present.iter().any(|entries| {
                // An entry below makes it a directory as well.
                entries.iter().any(|entry| entry.path.is_within(path))
            })
    };
    for path in volumes.iter().filter(|path| !declared_paths.contains(*path)) {
        put(path.clone(), 0o755, user, Arc::from("image.volumes"))?;
    }
    if let Some(path) = workdir
        && !declared_paths.contains(path)
        && !volumes.contains(path)
        && !exists(path)
    {
        put(path.clone(), 0o755, Owner::default(), Arc::from("image.workdir"))?;
    }
    let title = "directories".to_owned();
    Ok(LayerPart { class: Class::Config, title, entries, replace: BTreeSet::new() })
}
