//! What `spec:NAME` names: that there is such an image, for these platforms, and that none stands on itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::problem::{Drafts, did_you_mean};
use super::service::ImageSpec;
use super::sources::Span;
use super::workspace::Service;
use crate::model::Identity;

/// Most images that stand on each other.
const DEEPEST: usize = 8;

/// A `spec:NAME`, and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::spec) struct Reference {
    pub(in crate::spec) span: Span,
    pub(in crate::spec) identity: Identity,
}

/// Says what is wrong with the references of all images.
pub(in crate::spec) fn check_all(services: &BTreeMap<String, Service>, drafts: &mut Drafts) {
    for built in services.values().flat_map(|service| service.built.values()) {
        check(&built.spec, &built.references, services, drafts);
    }
    if !drafts.is_empty() {
        return;
    }
    let mut heights = BTreeMap::new();
    for identity in services.values().flat_map(|service| service.built.keys()) {
        height(identity, services, &mut Vec::new(), &mut heights, drafts);
    }
}

/// Says which of the `references` of one image name nothing, or nothing for its platforms.
pub(in crate::spec) fn check(
    spec: &ImageSpec,
    references: &[Reference],
    services: &BTreeMap<String, Service>,
    drafts: &mut Drafts,
) {
    for Reference { span, identity } in references {
        match find(identity, services) {
            Err((message, hint)) => {
                drafts.say(*span, message).maybe_hint(hint);
            }
            Ok(found) => {
                if let Some(platform) =
                    spec.platforms.iter().find(|platform| !found.platforms.contains(platform))
                {
                    drafts
                        .say(
                            *span,
                            format!(
                                "`spec:{identity}` is not built for {platform}, one of the platforms of {}",
                                spec.identity
                            ),
                        )
                        .hint(format!(
                            "add it to the `platforms` of {}, or say `platforms:` here",
                            identity.service
                        ));
                }
            }
        }
    }
}

/// Gives every image those that it names.
pub(in crate::spec) fn connect(services: &mut BTreeMap<String, Service>) {
    let mut done = BTreeMap::new();
    let mut found: Vec<(Identity, Vec<Arc<ImageSpec>>)> = Vec::new();
    for built in services.values().flat_map(|service| service.built.values()) {
        if !built.references.is_empty() {
            found.push((built.spec.identity.clone(), needs(&built.references, services, &mut done)));
        }
    }
    for (identity, needs) in found {
        if let Some(built) =
            services.get_mut(&identity.service).and_then(|service| service.built.get_mut(&identity))
        {
            built.spec.needs = needs;
        }
    }
}

/// The images that are named, each with those that it names itself. There is no circle among them.
pub(in crate::spec) fn needs(
    references: &[Reference],
    services: &BTreeMap<String, Service>,
    done: &mut BTreeMap<Identity, Arc<ImageSpec>>,
) -> Vec<Arc<ImageSpec>> {
    let identities: BTreeSet<&Identity> = references.iter().map(|reference| &reference.identity).collect();
    let mut found = Vec::new();
    for identity in identities {
        if let Some(known) = done.get(identity) {
            found.push(Arc::clone(known));
        } else if let Some(built) =
            services.get(&identity.service).and_then(|service| service.built.get(identity))
        {
            let needs = needs(&built.references, services, done);
            let whole = Arc::new(ImageSpec { needs, ..built.spec.clone() });
            done.insert(identity.clone(), Arc::clone(&whole));
            found.push(whole);
        }
    }
    found
}

/// The image that is named, or why there is none and a way out.
fn find<'a>(
    identity: &Identity,
    services: &'a BTreeMap<String, Service>,
) -> Result<&'a ImageSpec, (String, Option<String>)> {
    let name = &identity.service;
    let Some(service) = services.get(name) else {
        if name.starts_with('_') {
            let hint = "name a service that extends it".to_owned();
            return Err((format!("`{name}` is a template, of which no image is built"), Some(hint)));
        }
        let longer = services.keys().find(|known| known.starts_with(name.as_str()));
        let longer = longer.map(|known| format!("did you mean `{known}`?"));
        let near = did_you_mean(name, services.keys().map(String::as_str));
        let hint = near.or(longer).unwrap_or_else(|| {
            "a base of the workspace is a buildspec like any other: buildspecs/NAME.yaml".to_owned()
        });
        return Err((format!("there is no service `{name}`"), Some(hint)));
    };
    let unknown = |kind: &str, wanted: &str, known: Vec<&str>| {
        let hint = did_you_mean(wanted, known.iter().copied())
            .or_else(|| (!known.is_empty()).then(|| format!("known are {}", known.join(", "))));
        (format!("service `{name}` has no {kind} `{wanted}`"), hint)
    };
    match &identity.image {
        None if !service.images.is_empty() => {
            let hint = format!("say which: spec:{name}/{}", service.images[0]);
            return Err((format!("service `{name}` has several images"), Some(hint)));
        }
        Some(image) if !service.images.contains(image) => {
            return Err(unknown("image", image, service.images.iter().map(String::as_str).collect()));
        }
        _ => {}
    }
    if let Some(variant) =
        identity.variant.as_ref().filter(|variant| !service.variants.contains_key(*variant))
    {
        return Err(unknown("variant", variant, service.variants.keys().map(String::as_str).collect()));
    }
    // What is missing here has a mistake of its own.
    service
        .built
        .get(identity)
        .map(|built| &built.spec)
        .ok_or_else(|| (format!("{identity} has mistakes"), None))
}

/// How many images stand below `identity`; `open` are those that stand on it already.
fn height(
    identity: &Identity,
    services: &BTreeMap<String, Service>,
    open: &mut Vec<Identity>,
    heights: &mut BTreeMap<Identity, usize>,
    drafts: &mut Drafts,
) -> usize {
    if let Some(height) = heights.get(identity) {
        return *height;
    }
    let Some(built) = services.get(&identity.service).and_then(|service| service.built.get(identity)) else {
        return 0;
    };
    open.push(identity.clone());
    let mut below = 0;
    for reference in &built.references {
        if let Some(at) = open.iter().position(|on| *on == reference.identity) {
            let chain = open[at..].iter().chain([&reference.identity]).map(ToString::to_string);
            let chain = chain.collect::<Vec<_>>().join(" → ");
            drafts
                .say(reference.span, format!("`{}` stands on itself: {chain}", reference.identity))
                .hint("one of them needs another base, or other `files`");
            continue;
        }
        if open.len() > DEEPEST {
            drafts.say(
                reference.span,
                format!("{} stands on more than {DEEPEST} images, one on the other", open[0]),
            );
            break;
        }
        below = below.max(1 + height(&reference.identity, services, open, heights, drafts));
    }
    open.pop();
    heights.insert(identity.clone(), below);
    below
}
