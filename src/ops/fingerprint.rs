//! Whether two runners that built different platforms built the same image.

use std::sync::Arc;

use super::bases::Bases;
use super::error::Error;
use super::inputs::INPUTS;
use super::prepare::{Prepared, Session};
use crate::key::Key;
use crate::model::{KeyDigest, Platform};
use crate::spec::{Base, Build, FileKind, ImageSpec, Inherit, Template, Value};

/// What an image is made from, without what belongs to one platform: equal wherever its platforms are built from the same
/// workspace by the same version of imgpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Everything that its spec says but repository and tags, with `--set` and the volatile values that reach the image, and
    /// `SOURCE_DATE_EPOCH`.
    pub spec: KeyDigest,
    /// Contents: copied files, those of other images and of addresses, certificates, the sources of the builder, and the base. Not the tools of builders, which
    /// may differ between hosts and are the lock's matter, and not the files of a `rootfs` base, one for each platform.
    pub inputs: KeyDigest,
}

impl Session<'_> {
    /// The fingerprint of an image that was built.
    pub(super) fn fingerprint(
        &self,
        spec: &Arc<ImageSpec>,
        prepared: &Prepared,
        bases: &Bases<'_>,
    ) -> Result<Fingerprint, Error> {
        let mut key = Key::new("spec");
        let unnamed = ImageSpec {
            tags: Vec::new(),
            repository: String::new(),
            needs: Vec::new(),
            ..ImageSpec::clone(spec)
        };
        key.secret("spec", format!("{unnamed:?}").as_bytes());
        key.secret("created", format!("{:?}", self.created).as_bytes());
        for value in volatile_values(spec) {
            let answer = self.volatile(value);
            key.secret(format!("value {value}"), format!("{answer:?}").as_bytes());
        }
        let mut inputs = Key::new("inputs");
        self.add_contents(spec, None, &mut inputs)?;
        for need in &spec.needs {
            let of = |platform| self.images.find(&need.identity, platform);
            if let Some(image) = spec.platforms.iter().find_map(|platform| of(*platform)) {
                let Fingerprint { spec, inputs: contents } = image.fingerprint;
                inputs.clear(format!("spec:{}", need.identity), format!("{} {}", spec.hex(), contents.hex()));
            }
        }
        let target = prepared.targets.iter().find(|target| Arc::ptr_eq(&target.spec, spec));
        if let Some(target) = target {
            let sources = target.key.as_ref().and_then(|key| key.fields.get(INPUTS));
            if let Some(sources) = sources {
                inputs.clear("build", sources.digest.clone());
            }
            // Each platform has a file of its own, and a runner may have only its own; another image of the workspace is
            // among those that are needed.
            if !matches!(spec.base, Base::Rootfs(_) | Base::Spec(_)) {
                let base = bases.identity(spec, target.task.platform);
                inputs.secret("base", format!("{base:?}").as_bytes());
            }
        }
        Ok(Fingerprint { spec: key.digest(), inputs: inputs.digest() })
    }

    /// The fields for what `files` and `certificates` of a spec bring, for one platform or whatever the platform.
    pub(super) fn add_contents(
        &self,
        spec: &ImageSpec,
        platform: Option<Platform>,
        key: &mut Key,
    ) -> Result<(), Error> {
        for (index, rule) in spec.files.iter().enumerate() {
            let digest = match &rule.kind {
                FileKind::Copy { from, include, exclude } => {
                    Some(self.sources.copied(from, include, exclude)?.digest)
                }
                // With the path, the platform and the globs, which are fields of the spec, it decides the files.
                FileKind::Image { .. } | FileKind::Address(_) => {
                    self.remote_digest(rule)?.map(|found| found.0)
                }
                FileKind::Spec { identity, .. } => match platform {
                    Some(platform) => {
                        Some(self.images.get(identity, platform)?.image.manifest.descriptor.digest.0)
                    }
                    None => None,
                },
                FileKind::Directory | FileKind::Link(_) | FileKind::Text(_) => None,
            };
            if let Some(digest) = digest {
                key.digest_of(format!("files {index}"), &digest);
            }
        }
        for (index, path) in spec.certificates.iter().enumerate() {
            key.digest_of(format!("certificate {index}"), &self.sources.digest(path)?.0);
        }
        Ok(())
    }
}

/// The volatile values that documents or programs of the image hold.
fn volatile_values(spec: &ImageSpec) -> impl Iterator<Item = &Value> {
    let image = &spec.image;
    let inherited = image.env.values().chain(image.labels.values()).filter_map(|value| match value {
        Inherit::Set(template) => Some(template),
        _ => None,
    });
    let stamp = spec.build.iter().flat_map(|build| match build {
        Build::Go(go) => go.stamp.values().collect(),
        Build::Rust(_) => Vec::new(),
    });
    let templates = inherited.chain(stamp).chain(image.annotations.values()).chain(image.info.values());
    templates.flat_map(Template::values).filter(|value| value.is_volatile())
}
