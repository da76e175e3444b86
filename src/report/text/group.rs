use crate::report::change::{Change, LayerChange};
use crate::report::image::{ImageReport, LayerReport};

/// The platforms of one identity.
pub(super) struct Group<'a> {
    pub(super) identity: String,
    pub(super) parts: Vec<Part<'a>>,
}

/// Platforms whose layers are the same.
pub(super) struct Part<'a> {
    pub(super) platforms: Vec<String>,
    /// The first of them.
    pub(super) image: &'a ImageReport,
    pub(super) change: Option<Change>,
}

impl Group<'_> {
    /// Whether something is new or changed in it.
    pub(super) fn is_news(&self) -> bool {
        self.parts.iter().any(|part| part.change.as_ref().is_none_or(|change| change.is_changed))
    }
}

impl<'a> Part<'a> {
    /// Each layer with how it stands to the build before; `None` in a first build.
    pub(super) fn layers(&self) -> impl Iterator<Item = (&'a LayerReport, Option<LayerChange>)> {
        self.image.layers.iter().enumerate().map(|(index, layer)| {
            (layer, self.change.as_ref().and_then(|change| change.layers.get(index).copied()))
        })
    }

    /// `linux/amd64`, `linux/amd64, linux/arm64`.
    pub(super) fn platforms(&self) -> String {
        self.platforms.join(", ")
    }

    fn looks_like(&self, image: &ImageReport, change: Option<&Change>) -> bool {
        let mine = self.change.as_ref();
        let outline = |change: &Change| (change.is_changed, change.transfer, change.layers.clone());
        self.image.layers == image.layers
            && self.image.transfer() == image.transfer()
            && self.image.unpacked == image.unpacked
            && mine.map(outline) == change.map(outline)
    }
}

/// Groups of sorted images.
pub(super) fn by_identity(images: &[ImageReport]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for image in images {
        let identity = image.identity.to_string();
        if groups.last().is_none_or(|group| group.identity != identity) {
            groups.push(Group { identity, parts: Vec::new() });
        }
        let Some(group) = groups.last_mut() else { continue };
        let change = image.change();
        match group.parts.iter_mut().find(|part| part.looks_like(image, change.as_ref())) {
            Some(part) => part.platforms.push(image.platform.to_string()),
            None => group.parts.push(Part { platforms: vec![image.platform.to_string()], image, change }),
        }
    }
    groups
}
