//! `imgpack merge`: images whose platforms were built by different runners, put together from the runners' results alone.
//!
//! No tag is read: what is merged is what the files name by digest. All is checked before the first request, all
//! manifests are asked for before the first index is sent, and tags move last, for all images in one job.

mod error;
mod part;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

pub use error::MergeError;

use self::part::{Part, PartImage};
use super::assemble::index_over;
use super::deliver::UPLOADS;
use super::error::Error;
use super::machine::Machine;
use super::result::{BuildResult, ResultImage, ResultPlatform};
use super::tags::TagRules;
use crate::model::{Identity, MediaType, Platform, Repository};
use crate::registry::{self, ImagePush, Manifest, PushJob};
use crate::system::parallel;

/// How results are merged.
#[derive(Debug, Clone, Default)]
pub struct MergeOptions {
    /// Tags instead of those that were asked for when building.
    pub tags: Vec<String>,
    /// Tag images of which not every platform is there.
    pub allow_partial: bool,
}

/// What a merge came to.
#[derive(Debug)]
pub struct Merged {
    /// The images as they are now.
    pub result: BuildResult,
    /// Whether each of them was there before, all its tags included.
    pub unchanged: Vec<bool>,
}

/// An image with the parts of all its platforms.
struct Whole<'p> {
    identity: Identity,
    repository: Repository,
    /// The first part's; the others say the same.
    like: &'p ResultImage,
    /// The platforms in index order, each with the file that names it.
    platforms: Vec<(&'p str, &'p ResultPlatform)>,
    tags: &'p [String],
}

/// Merges the results in `files`, and pushes the images that they make.
pub fn merge(machine: &Machine<'_>, files: &[PathBuf], options: &MergeOptions) -> Result<Merged, Vec<Error>> {
    let one = |error: Error| vec![error];
    let mut parts = Vec::new();
    let mut errors = Vec::new();
    for file in files {
        match Part::read(file) {
            Ok(part) => parts.push(part),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let wholes = wholes(&parts, options).map_err(one)?;
    let Some(first) = parts.first() else { return Err(one(Error::usage("no file to merge"))) };
    let immutable: BTreeSet<&String> = parts.iter().flat_map(|part| &part.result.immutable_tags).collect();
    let immutable: Vec<String> = immutable.into_iter().cloned().collect();
    let rules = TagRules::new(&immutable, options.allow_partial).map_err(one)?;

    let roots = roots(machine, &wholes)?;
    let mut images = Vec::new();
    let mut pushes = Vec::new();
    let mut stored = BTreeSet::new();
    for (whole, root) in wholes.iter().zip(roots) {
        if !root.media_type.is_index() {
            stored.insert((whole.repository.clone(), root.digest()));
        }
        images.push(whole.image(&root));
        pushes.push(ImagePush {
            repository: whole.repository.clone(),
            tags: whole.tags.to_vec(),
            root,
            children: Vec::new(),
            blobs: Vec::new(),
        });
    }
    let immutable_tags = rules.fixed(&pushes).map_err(one)?;
    let job = PushJob { stored, immutable: immutable_tags, ..PushJob::new(pushes, UPLOADS) };
    let summary = registry::push(machine.registry, &job, &()).map_err(|error| one(error.into()))?;
    let result = BuildResult { immutable_tags: immutable, images, ..first.result.clone() };
    Ok(Merged { result, unchanged: summary.images.iter().map(|image| image.unchanged).collect() })
}

/// The images of all parts, in the order of their identities, with every check that needs no registry.
fn wholes<'p>(parts: &'p [Part], options: &'p MergeOptions) -> Result<Vec<Whole<'p>>, Error> {
    if let Some((first, others)) = parts.split_first() {
        others.iter().try_for_each(|other| same_command(first, other))?;
    }
    let mut groups: BTreeMap<Identity, Vec<PartImage<'p>>> = BTreeMap::new();
    for part in parts {
        for image in part.images()? {
            groups.entry(image.identity.clone()).or_default().push(image);
        }
    }
    let wholes: Vec<Whole<'p>> = groups
        .into_values()
        .filter_map(|group| whole(&group, options).transpose())
        .collect::<Result<_, _>>()?;
    let mut missing: BTreeMap<Vec<Platform>, Vec<String>> = BTreeMap::new();
    for whole in &wholes {
        let absent: Vec<Platform> = whole.absent().collect();
        if !absent.is_empty() && !options.allow_partial {
            missing.entry(absent).or_default().push(whole.identity.to_string());
        }
    }
    if missing.is_empty() {
        return Ok(wholes);
    }
    let what = missing.into_iter().map(|(platforms, images)| {
        let platforms: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        format!("{} for {}", images.join(", "), platforms.join(", "))
    });
    Err(MergeError::Missing { what: what.collect::<Vec<_>>().join(", or ") }.into())
}

/// Refuses results of different programs, bytes and pins.
fn same_command(first: &Part, second: &Part) -> Result<(), Error> {
    let (one, other) = (&first.result, &second.result);
    let differ = |what: String, hint| {
        let (first, second) = (first.file.clone(), second.file.clone());
        Err(MergeError::Differ { first, second, what, hint }.into())
    };
    if one.imgpack != other.imgpack {
        let what = format!("they are of imgpack {} and {}", one.imgpack, other.imgpack);
        return differ(what, "let all runners use one version");
    }
    if one.format != other.format {
        let what = format!("their layers have format {} and {}", one.format, other.format);
        return differ(what, "let all runners use one version and one `format`");
    }
    if one.lock_digest != other.lock_digest {
        let short =
            |result: &BuildResult| result.lock_digest.map_or_else(|| "none".to_owned(), |d| d.0.short());
        let what = format!("imgpack.lock differs ({} and {})", short(one), short(other));
        return differ(
            what,
            "build all platforms of one commit, with a lock file in it: `imgpack lock` fills it for all of them",
        );
    }
    Ok(())
}

/// Puts the parts of one image together.
fn whole<'p>(group: &[PartImage<'p>], options: &'p MergeOptions) -> Result<Option<Whole<'p>>, Error> {
    let Some((first, others)) = group.split_first() else { return Ok(None) };
    for other in others {
        same_image(first, other, options.tags.is_empty())?;
    }
    let mut platforms: BTreeMap<Platform, (&'p str, &'p ResultPlatform)> = BTreeMap::new();
    for part in group {
        for platform in &part.image.platforms {
            let (file, known) = *platforms.entry(platform.platform).or_insert((part.file, platform));
            if known.manifest != platform.manifest {
                return Err(MergeError::Twice {
                    first: file.to_owned(),
                    second: part.file.to_owned(),
                    identity: part.identity.to_string(),
                    platform: platform.platform,
                    one: known.manifest.digest,
                    other: platform.manifest.digest,
                }
                .into());
            }
        }
    }
    Ok(Some(Whole {
        identity: first.identity.clone(),
        repository: first.repository.clone(),
        like: first.image,
        // Platforms are ordered as an index lists them.
        platforms: platforms.into_values().collect(),
        tags: if options.tags.is_empty() { &first.image.tags } else { &options.tags },
    }))
}

const ONE_COMMIT: &str =
    "build all platforms of one commit, with the same --set, SOURCE_DATE_EPOCH and environment";
const ONE_BASE: &str =
    "build all platforms of one commit; a base that imgpack.lock does not pin may have moved meanwhile";

/// Refuses parts of different images that have one name.
fn same_image(first: &PartImage<'_>, second: &PartImage<'_>, tags: bool) -> Result<(), Error> {
    let (one, other, name) = (first.image, second.image, &first.identity);
    let differ = |what: String, hint| {
        let (first, second) = (first.file.to_owned(), second.file.to_owned());
        Err(MergeError::Differ { first, second, what, hint }.into())
    };
    if first.repository != second.repository {
        let what = format!("{name} was pushed to {} and {}", first.repository, second.repository);
        return differ(what, "push all platforms to one repository");
    }
    if one.spec_digest != other.spec_digest {
        let (one, other) = (one.spec_digest.0.short(), other.spec_digest.0.short());
        return differ(format!("the spec of {name} differs ({one} and {other})"), ONE_COMMIT);
    }
    if one.spec_platforms != other.spec_platforms || one.index != other.index {
        return differ(format!("the index of {name} differs"), ONE_COMMIT);
    }
    if one.inputs_digest != other.inputs_digest {
        let (one, other) = (one.inputs_digest.0.short(), other.inputs_digest.0.short());
        return differ(format!("the sources or the base of {name} differ ({one} and {other})"), ONE_BASE);
    }
    if tags && one.tags != other.tags {
        let said = |tags: &[String]| if tags.is_empty() { "none".to_owned() } else { tags.join(", ") };
        let what = format!("the tags of {name} differ ({}; {})", said(&one.tags), said(&other.tags));
        return differ(what, "say the tags with --tag");
    }
    Ok(())
}

impl Whole<'_> {
    /// Platforms of the spec that no part has.
    fn absent(&self) -> impl Iterator<Item = Platform> {
        let is_there =
            |platform: &Platform| self.platforms.iter().any(|(_, there)| there.platform == *platform);
        self.like.spec_platforms.iter().copied().filter(move |platform| !is_there(platform))
    }

    /// The index, byte for byte that of a build of all these platforms; `None` where a build makes none.
    fn index(&self) -> Result<Option<Manifest>, Error> {
        let rows: Vec<_> =
            self.platforms.iter().map(|(_, platform)| (platform.platform, platform.manifest)).collect();
        let index = &self.like.index;
        let docker = index.media_type == MediaType::DockerIndex;
        let document = index_over(&rows, index.always, &index.annotations, docker)?;
        Ok(document.map(|index| Manifest { media_type: index.descriptor.media_type, bytes: index.bytes }))
    }

    fn image(&self, root: &Manifest) -> ResultImage {
        let descriptor = crate::model::Descriptor::of(root.media_type, &root.bytes);
        ResultImage {
            tags: self.tags.to_vec(),
            reference: format!("{}@{}", self.like.repository, descriptor.digest),
            root: descriptor,
            pushed: true,
            tagged: !self.tags.is_empty(),
            platforms: self.platforms.iter().map(|(_, platform)| (*platform).clone()).collect(),
            ..self.like.clone()
        }
    }
}

/// What the tags of each image will name. Every manifest is asked for by its digest.
fn roots(machine: &Machine<'_>, wholes: &[Whole<'_>]) -> Result<Vec<Manifest>, Vec<Error>> {
    let mut wanted = Vec::new();
    for whole in wholes {
        wanted.extend(whole.platforms.iter().map(|(file, platform)| (whole, *file, *platform)));
    }
    let indexes =
        wholes.iter().map(Whole::index).collect::<Result<Vec<_>, _>>().map_err(|error| vec![error])?;
    let has_index: BTreeMap<&Identity, bool> =
        wholes.iter().zip(&indexes).map(|(whole, index)| (&whole.identity, index.is_some())).collect();
    // A manifest without an index over it gets the tags itself, and its bytes are in no file.
    let found = parallel(UPLOADS, &wanted, |(whole, file, platform)| {
        machine.cancel.check()?;
        let is_root = !has_index[&whole.identity];
        found(machine, whole, file, platform, is_root)
    });
    let mut errors = Vec::new();
    let mut plain: BTreeMap<&Identity, Manifest> = BTreeMap::new();
    for ((whole, ..), found) in wanted.iter().zip(found) {
        match found {
            Ok(Some(manifest)) => drop(plain.insert(&whole.identity, manifest)),
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let root = |(whole, index): (&Whole<'_>, Option<Manifest>)| {
        index
            .or_else(|| plain.remove(&whole.identity))
            .ok_or_else(|| vec![Error::bug(format!("{} has neither index nor manifest", whole.identity))])
    };
    wholes.iter().zip(indexes).map(root).collect()
}

/// Makes sure that a platform's manifest is where it was pushed, and what the file says of it; with `read` its bytes.
fn found(
    machine: &Machine<'_>,
    whole: &Whole<'_>,
    file: &str,
    platform: &ResultPlatform,
    read: bool,
) -> Result<Option<Manifest>, Error> {
    let wanted = platform.manifest;
    let reference = whole.repository.at(wanted.digest);
    let asked = if read {
        machine.registry.manifest(&reference).map(|raw| (raw.descriptor(), Some(raw)))
    } else {
        machine.registry.resolve_at_source(&reference).map(|there| (there, None))
    };
    let (there, raw) = match asked {
        Ok(found) => found,
        Err(error) if error.is_not_found() => {
            return Err(MergeError::Gone {
                identity: whole.identity.to_string(),
                platform: platform.platform,
                digest: wanted.digest,
                file: file.to_owned(),
                repository: whole.repository.to_string(),
            }
            .into());
        }
        Err(error) => return Err(error.into()),
    };
    // The index repeats what the file says of it, and with another size nobody could pull it.
    if there != wanted {
        let reason = format!(
            "image {}: {} is {} of {} bytes in {}, not {} of {} bytes",
            whole.identity,
            wanted.digest,
            there.media_type,
            there.size,
            whole.repository,
            wanted.media_type,
            wanted.size
        );
        return Err(MergeError::NoResult { file: file.to_owned(), reason }.into());
    }
    Ok(raw.map(|raw| Manifest { media_type: raw.media_type, bytes: raw.bytes.into() }))
}
