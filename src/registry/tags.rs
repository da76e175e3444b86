//! The last step of a push: tags, and those that must not move.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::error::{RegistryError, TakenTag};
use super::port::Registry;
use super::push::{Manifest, PushObserver, in_parallel};
use crate::model::{BlobDigest, ImageRef};

/// The digest that an immutable tag points to, where [`Registry::present`] found nothing: here "the registry does not
/// say" must not pass for "there is none", nor a mirror's old word for the registry's.
pub(super) fn surely_present(
    registry: &dyn Registry,
    reference: &ImageRef,
) -> Result<Option<BlobDigest>, RegistryError> {
    match registry.resolve_at_source(reference) {
        Ok(found) => Ok(Some(found.digest)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses a push that would move tags that must not move.
pub(super) fn refuse(mut taken: Vec<TakenTag>) -> Result<(), RegistryError> {
    taken.sort();
    if taken.is_empty() { Ok(()) } else { Err(RegistryError::Immutable { tags: taken }) }
}

/// Points tags to their images, which are stored. A registry has no transaction: when one fails, the error says which
/// moved and which did not.
pub(super) fn move_tags(
    registry: &dyn Registry,
    parallel: usize,
    tags: &[(&ImageRef, &Manifest)],
    observer: &dyn PushObserver,
) -> Result<(), RegistryError> {
    let moved: Mutex<BTreeSet<&ImageRef>> = Mutex::default();
    let done = in_parallel(parallel, tags, |(reference, root)| {
        registry.push_manifest(reference, root.media_type, &root.bytes)?;
        moved.lock().unwrap_or_else(PoisonError::into_inner).insert(reference);
        observer.tagged(reference, false);
        Ok(())
    });
    let Err(error) = done else { return Ok(()) };
    let moved = moved.into_inner().unwrap_or_else(PoisonError::into_inner);
    if tags.len() < 2 || (moved.is_empty() && error.is_cancelled()) {
        return Err(error);
    }
    let (moved, left): (Vec<&ImageRef>, Vec<&ImageRef>) =
        tags.iter().map(|(reference, _)| *reference).partition(|reference| moved.contains(reference));
    let names = |references: Vec<&ImageRef>| references.into_iter().map(ToString::to_string).collect();
    Err(RegistryError::Tags { moved: names(moved), left: names(left), source: Box::new(error) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MediaType;
    use crate::registry::{ImagePush, Memory, PushJob, push};

    /// An image without layers, of its own for each word.
    fn image(word: &str, tags: &[&str]) -> ImagePush {
        let bytes = format!("{{\"schemaVersion\":2,\"manifests\":[],\"word\":\"{word}\"}}");
        ImagePush {
            repository: "r.example/a".parse().unwrap(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            root: Manifest { media_type: MediaType::OciIndex, bytes: bytes.into_bytes().into() },
            children: Vec::new(),
            blobs: Vec::new(),
        }
    }

    fn run(registry: &Memory, image: ImagePush, immutable: &[&str]) -> Result<(), RegistryError> {
        let job = PushJob {
            immutable: immutable.iter().map(|tag| format!("r.example/a:{tag}").parse().unwrap()).collect(),
            ..PushJob::new(vec![image], 2)
        };
        push(registry, &job, &()).map(drop)
    }

    #[test]
    fn an_immutable_tag_is_set_once() {
        let registry = Memory::new();
        let fixed = ["v1", "v2"];
        run(&registry, image("one", &["v1", "latest"]), &fixed).unwrap();
        run(&registry, image("one", &["v1", "latest"]), &fixed).unwrap();
        let before = registry.log().len();
        let error = run(&registry, image("two", &["v1", "v2", "latest"]), &fixed).unwrap_err();
        let digest = |word| image(word, &[]).root.digest();
        assert_eq!(
            error.to_string(),
            format!(
                "r.example/a:v1 must not move: it is {}, and this push would make it {}",
                digest("one"),
                digest("two")
            )
        );
        assert!(
            registry.log()[before..].iter().all(|line| line.starts_with("present")),
            "{:#?}",
            registry.log()
        );
        run(&registry, image("two", &["v2", "latest"]), &fixed).unwrap();
        let latest = "r.example/a:latest".parse().unwrap();
        assert_eq!(registry.present(&latest).unwrap(), Some(digest("two")));
    }

    #[test]
    fn a_manifest_that_is_known_to_be_there_is_not_sent_again() {
        let registry = Memory::new();
        run(&registry, image("one", &[]), &[]).unwrap();
        let before = registry.log().len();
        let image = image("one", &["v1"]);
        let job = PushJob {
            stored: BTreeSet::from([(image.repository.clone(), image.root.digest())]),
            ..PushJob::new(vec![image], 1)
        };
        push(&registry, &job, &()).unwrap();
        assert_eq!(registry.log()[before..], ["present r.example/a:v1", "index r.example/a:v1"]);
    }
}
