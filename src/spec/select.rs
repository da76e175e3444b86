use std::collections::{BTreeMap, BTreeSet};

use super::merge::overlay;
use super::problem::{Drafts, Problems, nearest};
use super::references;
use super::resolve::resolve;
use super::service::ImageSpec;
use super::workspace::{Built, Service, Workspace};
use crate::model::Identity;

/// Why nothing can be selected (exit 2).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SelectError {
    /// No service, image or variant of that name.
    #[error("there is no {kind} `{name}`{of}")]
    Unknown {
        /// `service`, `image` or `variant`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// ` in service …`, where that is meant.
        of: String,
        /// The name that was most likely meant.
        nearest: Option<String>,
        /// All names there are.
        known: Vec<String>,
    },
    /// A template was named.
    #[error("`{0}` is a template: templates are extended, never built")]
    Template(String),
    /// `@` in an identity and `--variant`.
    #[error("`{identity}` names a variant, and so does --variant {variant}")]
    TwoVariants {
        /// The identity with `@`.
        identity: String,
        /// The value of `--variant`.
        variant: String,
    },
    /// Two images would be pushed to one place.
    #[error("{first} and {second} have one repository and tag, {reference}")]
    Collision {
        /// The first.
        first: String,
        /// The second.
        second: String,
        /// Repository and tag.
        reference: String,
    },
    /// The workspace has no service.
    #[error("the workspace has no service")]
    NoServices,
    /// A `--set` does not fit what was selected.
    #[error(transparent)]
    Set(#[from] Problems),
}

impl SelectError {
    /// A way out.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Self::Unknown { kind, known, .. } if known.is_empty() => Some(format!("there are no {kind}s")),
            Self::Unknown { known, .. } => {
                let more = if known.len() > 10 { ", …" } else { "" };
                Some(format!("known are {}{more}", known[..known.len().min(10)].join(", ")))
            }
            Self::Template(_) => Some("name a service that extends it".to_owned()),
            Self::TwoVariants { .. } => Some("leave one of them out".to_owned()),
            Self::Collision { .. } => {
                Some("give one of them another `repository:` or other `tags:`".to_owned())
            }
            Self::NoServices => {
                Some("add buildspecs/NAME.yaml, or a row of `services` in imgpack.yaml".to_owned())
            }
            Self::Set(_) => None,
        }
    }
}

impl Workspace {
    /// The images of one command, in the order of their identities (§3): all services where `identities` is empty, a
    /// service alone means all its images, `--variant` takes that variant of every service that has it.
    pub fn select(
        &self,
        identities: &[Identity],
        variant: Option<&str>,
    ) -> Result<Vec<ImageSpec>, SelectError> {
        let specs = self.selected(identities, variant)?;
        check_references(&specs)?;
        Ok(specs)
    }

    /// The same images, but in every variant where none is named: for what is asked about them all.
    pub fn select_every(&self, identities: &[Identity]) -> Result<Vec<ImageSpec>, SelectError> {
        let plain = |service: &String| Identity { service: service.clone(), image: None, variant: None };
        let named = match identities {
            [] => self.services.keys().map(plain).collect(),
            identities => identities.to_vec(),
        };
        let mut wanted = Vec::new();
        for identity in named {
            if let (None, Some(service)) = (&identity.variant, self.services.get(&identity.service)) {
                let of = |variant: &String| Identity { variant: Some(variant.clone()), ..identity.clone() };
                wanted.extend(service.variants.keys().map(of));
            }
            wanted.push(identity);
        }
        self.selected(&wanted, None)
    }

    fn selected(
        &self,
        identities: &[Identity],
        variant: Option<&str>,
    ) -> Result<Vec<ImageSpec>, SelectError> {
        if let (Some(variant), Some(named)) = (variant, identities.iter().find(|i| i.variant.is_some())) {
            return Err(SelectError::TwoVariants {
                identity: named.to_string(),
                variant: variant.to_owned(),
            });
        }
        let wanted = if identities.is_empty() {
            if self.services.is_empty() {
                return Err(SelectError::NoServices);
            }
            self.services
                .keys()
                .map(|name| Identity { service: name.clone(), image: None, variant: None })
                .collect()
        } else {
            identities.to_vec()
        };
        let mut selected: BTreeMap<&Identity, &Built> = BTreeMap::new();
        let mut has_variant = variant.is_none();
        let mut variants = BTreeSet::new();
        for identity in &wanted {
            let service = self.service(&identity.service)?;
            if let Some(image) = &identity.image
                && !service.images.contains(image)
            {
                return Err(unknown("image", image, Some(&identity.service), service.images.iter()));
            }
            if let Some(variant) = &identity.variant
                && !service.variants.contains_key(variant)
            {
                return Err(unknown("variant", variant, Some(&identity.service), service.variants.keys()));
            }
            variants.extend(service.variants.keys());
            has_variant |= variant.is_some_and(|variant| service.variants.contains_key(variant));
            let takes = |of: &Option<String>| match (&identity.variant, variant) {
                (Some(named), _) => of.as_ref() == Some(named),
                (None, Some(asked)) if service.variants.contains_key(asked) => of.as_deref() == Some(asked),
                (None, Some(_)) => of.is_none(),
                (None, None) => of.as_ref().is_none_or(|of| service.variants.get(of) == Some(&true)),
            };
            selected.extend(service.built.iter().filter(|(built, _)| {
                takes(&built.variant) && (identity.image.is_none() || identity.image == built.image)
            }));
        }
        if let Some(variant) = variant.filter(|_| !has_variant) {
            return Err(unknown("variant", variant, None, variants.iter().copied()));
        }
        self.with_settings(&selected)
    }

    fn service(&self, name: &str) -> Result<&Service, SelectError> {
        if let Some(service) = self.services.get(name) {
            return Ok(service);
        }
        if name.starts_with('_') {
            return Err(SelectError::Template(name.to_owned()));
        }
        Err(unknown("service", name, None, self.services.keys()))
    }

    /// What was selected, with every `--set` laid over what it is for.
    fn with_settings(&self, selected: &BTreeMap<&Identity, &Built>) -> Result<Vec<ImageSpec>, SelectError> {
        if self.settings.is_empty() {
            return Ok(selected.values().map(|built| built.spec.clone()).collect());
        }
        let mut drafts = Drafts::default();
        for setting in &self.settings {
            setting.check_use(selected.values().map(|built| &built.node), "that is selected", &mut drafts);
        }
        let mut specs = Vec::new();
        for built in selected.values() {
            let mut subject = built.subject.clone();
            let mut node = built.node.clone();
            // Decided by what is written, not by an earlier `--set` of the same command.
            for setting in self.settings.iter().filter(|setting| setting.is_for(&built.node)) {
                node = overlay(&node, &setting.node, &mut drafts);
                subject.own_repository &= !setting.sets_repository();
            }
            if let Some((mut spec, references)) = resolve(&node, &subject, &self.sources, &mut drafts) {
                references::check(&spec, &references, &self.services, &mut drafts);
                spec.needs = references::needs(&references, &self.services, &mut BTreeMap::new());
                specs.push(spec);
            }
        }
        if drafts.is_empty() { Ok(specs) } else { Err(drafts.finish(&self.sources).into()) }
    }
}

fn unknown<'a>(
    kind: &'static str,
    name: &str,
    service: Option<&str>,
    known: impl Iterator<Item = &'a String> + Clone,
) -> SelectError {
    SelectError::Unknown {
        kind,
        name: name.to_owned(),
        of: service.map(|service| format!(" in service `{service}`")).unwrap_or_default(),
        nearest: nearest(name, known.clone().map(String::as_str)).map(str::to_owned),
        known: known.cloned().collect(),
    }
}

/// Two images with one repository and tag would take each other's place.
fn check_references(specs: &[ImageSpec]) -> Result<(), SelectError> {
    let mut taken: BTreeMap<String, &Identity> = BTreeMap::new();
    for spec in specs {
        for tag in &spec.tags {
            let reference = format!("{}:{tag}", spec.repository);
            if let Some(first) = taken.insert(reference.clone(), &spec.identity) {
                return Err(SelectError::Collision {
                    first: first.to_string(),
                    second: spec.identity.to_string(),
                    reference,
                });
            }
        }
    }
    Ok(())
}
