use std::collections::BTreeSet;
use std::sync::Arc;

use super::layers::LayerPart;
use crate::model::{BaseFacts, Class, Entries, EntriesError, Entry, EntryKind, FactKind, ImagePath, Owner};

/// The last layer of an image: declared directories, volumes and the working directory. It alone knows the user.
///
/// `declared` are the `dir: true` rows with their mode and owner. Of `volumes` those that the spec itself `asked` for
/// belong to the user; one of the base alone that is there already stays as the base has it, mode and owner, and so does
/// the working directory.
pub fn last_directories(
    declared: Vec<(ImagePath, u32, Owner, Arc<str>)>,
    volumes: &BTreeSet<ImagePath>,
    asked: &BTreeSet<ImagePath>,
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
    let made =
        |path: &&ImagePath| !declared_paths.contains(*path) && (asked.contains(*path) || !exists(path));
    for path in volumes.iter().filter(made) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fact;

    fn paths(paths: &[&str]) -> BTreeSet<ImagePath> {
        paths.iter().map(|path| path.parse().unwrap()).collect()
    }

    #[test]
    fn a_volume_that_the_base_brings_stays_as_it_is() {
        let fact = Fact { kind: FactKind::Directory, mode: 0o1777, uid: 999, gid: 999, size: 0 };
        let facts = BaseFacts {
            tree: [("/data".parse().unwrap(), fact)].into_iter().collect(),
            ..BaseFacts::default()
        };
        let user = Owner { uid: 7, gid: 8 };
        for (asked, made) in [(&[][..], &["/gone"][..]), (&["/data", "/own"], &["/data", "/gone", "/own"])] {
            let volumes = [&["/data", "/gone"][..], asked].concat();
            let part = last_directories(Vec::new(), &paths(&volumes), &paths(asked), None, user, &facts, &[])
                .unwrap();
            let found: Vec<String> = part.entries.iter().map(|entry| entry.path.to_string()).collect();
            assert_eq!(found, made);
            assert!(part.entries.iter().all(|entry| entry.owner == user));
        }
    }
}
