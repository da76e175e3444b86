use std::collections::{BTreeMap, BTreeSet};

use super::Installed;
use super::accounts::Accounts;
use super::alternatives::Alternatives;
use super::files::Files;
use super::pattern::UNKNOWN;
use super::rules::Rules;
use crate::debian::paragraphs;
use crate::model::{Content, Effects, EntryKind, FactKind, ImagePath, MadeEntry, PackageFileKind};

/// What scripts see and change: files, accounts, alternatives.
pub(super) struct System<'a> {
    pub installed: &'a Installed<'a>,
    pub rules: &'a Rules,
    pub files: Files<'a>,
    pub effects: Effects,
    pub accounts: Accounts,
    pub alternatives: Alternatives,
    /// Defaults of debconf's questions.
    defaults: BTreeMap<String, String>,
    /// Triggers that scripts set off.
    pub triggered: BTreeSet<String>,
    /// What following a script has taken so far: bytes and paths.
    pub work: usize,
    /// A file that could not be read.
    pub unreadable: Option<String>,
}

/// The largest file that is read for a script.
const LARGEST: u64 = 4 << 20;

impl<'a> System<'a> {
    pub(super) fn new(installed: &'a Installed<'a>, rules: &'a Rules) -> Self {
        Self {
            installed,
            rules,
            files: Files::new(installed.base),
            effects: Effects::default(),
            accounts: Accounts::new(installed.base),
            alternatives: Alternatives::default(),
            defaults: BTreeMap::new(),
            triggered: BTreeSet::new(),
            work: 0,
            unreadable: None,
        }
    }

    /// The architecture of the packages, as `dpkg --print-architecture` says it.
    pub(super) fn architecture(&self) -> String {
        let architectures =
            self.installed.packages.iter().filter_map(|facts| facts.control.get("Architecture"));
        let own = architectures.into_iter().find(|architecture| *architecture != "all");
        own.map_or_else(|| UNKNOWN.to_string(), str::to_owned)
    }

    /// What debconf answers: the rules' answer, else the default of the question's template.
    pub(super) fn answer(&self, question: &str) -> Option<String> {
        self.rules.answer(question).map(str::to_owned).or_else(|| self.defaults.get(question).cloned())
    }

    /// Learns the questions of a package (debconf-devel(7), "The Templates file").
    pub(super) fn learn(&mut self, templates: &str) {
        for template in paragraphs(templates).unwrap_or_default() {
            if let (Some(name), Some(default)) = (template.get("Template"), template.get("Default")) {
                self.defaults.insert(name.to_owned(), default.to_owned());
            }
        }
    }

    /// The content of a file, where it is known.
    pub(super) fn content(&mut self, path: &str) -> Option<Vec<u8>> {
        let place = self.files.followed(path)?;
        self.content_at(&place)
    }

    /// The content of the file at a place.
    pub(super) fn content_at(&mut self, place: &ImagePath) -> Option<Vec<u8>> {
        let bytes = self.bytes_at(place)?;
        self.work = self.work.saturating_add(bytes.len());
        Some(bytes)
    }

    fn bytes_at(&mut self, place: &ImagePath) -> Option<Vec<u8>> {
        if let Some(made) = self.effects.made.get(place) {
            return match &made.kind {
                EntryKind::File { content: Content::Bytes(bytes), .. } => Some(bytes.to_vec()),
                _ => None,
            };
        }
        let Some((package, mut file)) = self.files.packaged(place) else {
            return self.installed.base.contents.get(place).map(|text| text.as_bytes().to_vec());
        };
        if let PackageFileKind::Hardlink { target } = &file.kind {
            file = self.files.packaged(target)?.1;
        }
        match &file.kind {
            PackageFileKind::File { size, .. } if *size <= LARGEST => {
                match (self.installed.read)(package, file) {
                    Ok(bytes) => Some(bytes),
                    Err(error) => {
                        self.unreadable = Some(format!("{place} cannot be read: {error}"));
                        None
                    }
                }
            }
            _ => None,
        }
    }

    /// Makes a directory, and with `parents` those above it.
    pub(super) fn make_directory(&mut self, place: &ImagePath, mode: u32, origin: &std::sync::Arc<str>) {
        for above in place.ancestors().collect::<Vec<_>>() {
            if self.files.target(above.as_str()).is_none() {
                self.put(&above, EntryKind::Directory, 0o755, origin);
            }
        }
        if self.files.target(place.as_str()) != Some(&FactKind::Directory) {
            self.put(place, EntryKind::Directory, mode, origin);
        }
    }

    /// Puts an entry of root's.
    pub(super) fn put(
        &mut self,
        place: &ImagePath,
        kind: EntryKind,
        mode: u32,
        origin: &std::sync::Arc<str>,
    ) {
        let origin = std::sync::Arc::clone(origin);
        let entry = MadeEntry { kind, mode, user: "root".into(), group: "root".into(), origin };
        self.files.make(&mut self.effects, place.clone(), entry);
    }
}
