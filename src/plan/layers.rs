use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::key::Key;
use crate::model::{
    BaseFacts, Class, Compression, Entries, EntriesError, Entry, EntryKind, Fact, FactKind, ImagePath, Owner,
};

/// Entries of one source for one layer, as if there were no base.
#[derive(Debug, Clone)]
pub struct LayerPart {
    /// Class of the layer.
    pub class: Class,
    /// What the layer is, for people: `time zones`, `/app/gateway`.
    pub title: String,
    /// The entries; parents may be missing.
    pub entries: Entries,
    /// Paths that may take the place of something of another kind in the base, and of what an earlier class has there.
    pub replace: BTreeSet<ImagePath>,
}

/// One layer with everything that decides its bytes.
#[derive(Debug, Clone)]
pub struct PlannedLayer {
    /// Class of the layer.
    pub class: Class,
    /// What the layer is, for people.
    pub title: String,
    /// Every entry, parents included, where the base wants it.
    pub entries: Entries,
    /// What decides its bytes.
    pub key: Key,
    /// Its entries that may take the place of others.
    pub replacing: BTreeSet<ImagePath>,
}

/// Why entries cannot become layers.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LayerError {
    /// Two sources want one place.
    #[error(transparent)]
    Entries(#[from] EntriesError),
    /// The base has something else there.
    #[error("{path} from {origin} is a {noun}, but the base has a {base_noun} there")]
    Kind {
        /// The place.
        path: ImagePath,
        /// Who brought the entry.
        origin: Arc<str>,
        /// What it is.
        noun: &'static str,
        /// What the base has.
        base_noun: &'static str,
    },
    /// The way to it leads through something that is no directory, or round in a circle.
    #[error("{path} from {origin} cannot be reached: the base has no directory on the way to it")]
    Unreachable {
        /// The place.
        path: ImagePath,
        /// Who brought the entry.
        origin: Arc<str>,
    },
    /// A removal of nothing.
    #[error("remove: {path} is not in the base")]
    NotInBase {
        /// The place.
        path: ImagePath,
    },
}

impl LayerError {
    /// A way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Kind { .. } => {
                Some("say `replace: true` at the files entry if it is meant to take its place".to_owned())
            }
            Self::Entries(EntriesError::Duplicate { first, .. }) if first.starts_with("package ") => Some(
                "`replace: true` at the files entry takes the place of a package's file, in any class but `system`"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Layers out of `parts`, in the order of their classes and within a class in the order given; parts without entries
/// make no layer. Every conflict is reported, none is guessed away.
///
/// A layer does not depend on the base but where the base has one of its parents as a symbolic link (the path goes
/// through it) or as a directory of another mode or owner; exactly these facts are fields of its key. What the system's
/// own layers bring of such links and directories counts the same for every layer.
pub fn plan_layers(
    parts: Vec<LayerPart>,
    facts: &BaseFacts,
    compression: Compression,
) -> Result<Vec<PlannedLayer>, Vec<LayerError>> {
    let mut errors = Vec::new();
    let mut everything = Entries::new();
    // Those that the system's layers bring, with what is in them or without.
    let mut directories = Entries::new();
    let mut layers = Vec::new();
    let mut parts = parts;
    parts.sort_by_key(|part| part.class);
    let below = Below::of(&parts, facts);
    for part in parts.into_iter().filter(|part| !part.entries.is_empty()) {
        let mut placed = Placed::default();
        for entry in part.entries {
            let may_replace = part.replace.contains(&entry.path);
            match placed.put(entry, &below, may_replace) {
                Ok(()) => {}
                Err(error) => errors.push(error),
            }
        }
        // Across layers a directory may come again with another mode: the later layer has the last word.
        for entry in placed.entries.iter() {
            let is_directory = entry.kind == EntryKind::Directory;
            let earlier = || layers.iter().rev().filter(|layer: &&PlannedLayer| layer.class < part.class);
            if placed.replacing.contains(&entry.path)
                && earlier().any(|layer| layer.entries.get(&entry.path).is_some())
            {
                everything.replace(entry.clone());
                continue;
            }
            let known = if is_directory { &everything } else { &directories };
            let known = known.get(&entry.path).filter(|_| part.class != Class::System);
            if let Some(known) = known {
                let (path, second) = (entry.path.clone(), Arc::clone(&entry.origin));
                errors
                    .push(EntriesError::Duplicate { path, first: Arc::clone(&known.origin), second }.into());
            } else if !is_directory {
                errors.extend(everything.insert(entry.clone()).err().map(LayerError::from));
            } else if part.class == Class::System && directories.get(&entry.path).is_none() {
                directories.replace(entry.clone());
            }
        }
        placed.add_parents(&below);
        errors.extend(placed.entries.conflicts().into_iter().map(LayerError::from));
        let key = layer_key(&placed, compression);
        layers.push(PlannedLayer {
            class: part.class,
            title: part.title,
            entries: placed.entries,
            key,
            replacing: placed.replacing,
        });
    }
    for conflict in everything.conflicts().into_iter().map(LayerError::from) {
        if !errors.contains(&conflict) {
            errors.push(conflict);
        }
    }
    if errors.is_empty() { Ok(layers) } else { Err(errors) }
}

/// What a layer's paths lead through: the base, with the links and unusual directories of the system's layers.
struct Below<'f> {
    base: &'f BaseFacts,
    /// The base with them; `None` where there are none.
    with_system: Option<BaseFacts>,
}

impl<'f> Below<'f> {
    fn of(parts: &[LayerPart], base: &'f BaseFacts) -> Self {
        let mut with_system = None;
        for entry in
            parts.iter().filter(|part| part.class == Class::System).flat_map(|part| part.entries.iter())
        {
            let kind = match &entry.kind {
                EntryKind::Symlink { target } => FactKind::Symlink(target.clone()),
                EntryKind::Directory if (entry.mode, entry.owner) != (0o755, Owner::default()) => {
                    FactKind::Directory
                }
                _ => continue,
            };
            // A package's directory may be a link of the base, which stays.
            let Some(path) = base.resolve_parents(&entry.path) else { continue };
            let is_link = || matches!(base.tree.get(&path), Some(Fact { kind: FactKind::Symlink(_), .. }));
            if kind == FactKind::Directory && is_link() {
                continue;
            }
            let Owner { uid, gid } = entry.owner;
            let fact = Fact { kind, mode: entry.mode, uid, gid, size: 0 };
            with_system.get_or_insert_with(|| base.clone()).tree.insert(path, fact);
        }
        Self { base, with_system }
    }

    fn facts(&self) -> &BaseFacts {
        self.with_system.as_ref().unwrap_or(self.base)
    }

    /// The name of a key's field for a fact: whether it is the base's or the system's.
    fn field(&self, path: &ImagePath) -> String {
        let said = |facts: &BaseFacts| {
            facts.tree.get(path).map(|fact| match &fact.kind {
                FactKind::Directory => (FactKind::Directory, fact.mode, fact.uid, fact.gid),
                kind => (kind.clone(), 0, 0, 0),
            })
        };
        let is_base = said(self.base) == said(self.facts());
        format!("{} {path}", if is_base { "base" } else { "system" })
    }
}

#[derive(Default)]
struct Placed {
    entries: Entries,
    /// Facts of what is below by the names of their fields: why this layer is not the one of another base.
    deviations: BTreeMap<String, String>,
    /// Entries that may take the place of others, where they are in the image.
    replacing: BTreeSet<ImagePath>,
}

impl Placed {
    fn put(&mut self, mut entry: Entry, below: &Below<'_>, may_replace: bool) -> Result<(), LayerError> {
        let facts = below.facts();
        let written = entry.path.clone();
        let unreachable =
            || LayerError::Unreachable { path: written.clone(), origin: Arc::clone(&entry.origin) };
        // A directory that the base has as a link to a directory is that directory.
        let resolved = if entry.kind == EntryKind::Directory {
            facts.resolve(&entry.path)
        } else {
            facts.resolve_parents(&entry.path)
        };
        let resolved = resolved.ok_or_else(unreachable)?;
        if resolved != entry.path {
            self.note_links(&entry.path, below);
            entry.path = resolved;
        }
        if let EntryKind::Hardlink { target } = &mut entry.kind
            && let Some(resolved) = facts.resolve_parents(target)
        {
            *target = resolved;
        }
        let tree = if entry.kind == EntryKind::Directory { &facts.tree } else { &below.base.tree };
        let base = tree.get(&entry.path);
        match (&entry.kind, base.map(|fact| &fact.kind)) {
            (EntryKind::Whiteout, None) => return Err(LayerError::NotInBase { path: written }),
            (EntryKind::Whiteout, Some(_))
            | (_, None)
            | (EntryKind::Directory, Some(FactKind::Directory)) => {}
            (EntryKind::Directory, Some(kind))
            | (_, Some(kind @ (FactKind::Directory | FactKind::Special)))
                if !may_replace =>
            {
                return Err(LayerError::Kind {
                    path: written,
                    origin: Arc::clone(&entry.origin),
                    noun: entry.kind.noun(),
                    base_noun: fact_noun(kind),
                });
            }
            _ => {}
        }
        if may_replace {
            self.replacing.insert(entry.path.clone());
        }
        self.entries.insert(entry).map_err(LayerError::from)
    }

    fn note_links(&mut self, path: &ImagePath, below: &Below<'_>) {
        // Every link on the way, also those that links lead through.
        let mut waiting: Vec<ImagePath> = path.ancestors().chain([path.clone()]).collect();
        while let Some(path) = waiting.pop() {
            if let Some(FactKind::Symlink(target)) = below.facts().tree.get(&path).map(|fact| &fact.kind)
                && self.deviations.insert(below.field(&path), format!("link to {target}")).is_none()
            {
                let absolute = if target.starts_with('/') {
                    target.clone()
                } else {
                    let parent = path.parent().map_or_else(String::new, |parent| parent.to_string());
                    format!("{parent}/{target}")
                };
                // A target with `..` is followed by `resolve`; its own links are rare and only missing in the key's words.
                if let Ok(next) = ImagePath::parse(&absolute) {
                    waiting.extend(next.ancestors().chain([next.clone()]));
                }
            }
        }
    }

    fn add_parents(&mut self, below: &Below<'_>) {
        let mut wanted = BTreeSet::new();
        for entry in self.entries.iter() {
            // With a directory, those above it are there.
            let mut above = entry.path.parent();
            while let Some(path) = above {
                above = path.parent();
                if !wanted.insert(path) {
                    break;
                }
            }
        }
        for path in wanted {
            if self.entries.get(&path).is_some() {
                continue;
            }
            let (mut mode, mut owner) = (0o755, Owner::default());
            if let Some(fact) = below.facts().tree.get(&path)
                && fact.kind == FactKind::Directory
            {
                let base_owner = Owner { uid: fact.uid, gid: fact.gid };
                if (fact.mode, base_owner) != (mode, owner) {
                    let text = format!("directory {:04o} {}:{}", fact.mode, fact.uid, fact.gid);
                    self.deviations.insert(below.field(&path), text);
                    (mode, owner) = (fact.mode, base_owner);
                }
            }
            let entry = Entry {
                path,
                kind: EntryKind::Directory,
                mode,
                owner,
                origin: Arc::from("a parent directory"),
            };
            // Not there yet, so this cannot be a duplicate.
            let _ = self.entries.insert(entry);
        }
    }
}

fn fact_noun(kind: &FactKind) -> &'static str {
    match kind {
        FactKind::Directory => "directory",
        FactKind::File => "file",
        FactKind::Symlink(_) => "symbolic link",
        FactKind::Special => "device, pipe or socket",
    }
}

fn layer_key(placed: &Placed, compression: Compression) -> Key {
    let mut key = Key::new("layer");
    key.clear("compression", compression.to_string());
    key.clear("compressor", compression.compressor());
    for (field, fact) in &placed.deviations {
        key.clear(field.clone(), fact.clone());
    }
    for entry in placed.entries.iter() {
        let kind = match &entry.kind {
            EntryKind::Directory => "directory".to_owned(),
            EntryKind::File { digest, size, .. } => format!("file {} {size}", digest.hex()),
            EntryKind::Symlink { target } => format!("symlink {target}"),
            EntryKind::Hardlink { target } => format!("hardlink {target}"),
            EntryKind::Whiteout => "removal".to_owned(),
        };
        let value = format!("{:04o} {}:{} {kind}", entry.mode, entry.owner.uid, entry.owner.gid);
        key.secret(format!("entry {}", entry.path), value.as_bytes());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(class: Class, paths: &[(&str, EntryKind)]) -> LayerPart {
        let mut entries = Entries::new();
        for (path, kind) in paths {
            let entry = Entry {
                path: path.parse().unwrap(),
                kind: kind.clone(),
                mode: 0o755,
                owner: Owner::default(),
                origin: Arc::from(format!("test {class}")),
            };
            entries.insert(entry).unwrap();
        }
        LayerPart { class, title: "test".into(), entries, replace: BTreeSet::new() }
    }

    fn base(rows: &[(&str, FactKind, u32)]) -> BaseFacts {
        let fact = |(path, kind, mode): &(&str, FactKind, u32)| {
            (path.parse().unwrap(), Fact { kind: kind.clone(), mode: *mode, uid: 0, gid: 0, size: 0 })
        };
        BaseFacts { tree: rows.iter().map(fact).collect(), ..BaseFacts::default() }
    }

    fn file() -> EntryKind {
        EntryKind::bytes(&b"x"[..])
    }

    fn plan(parts: Vec<LayerPart>, facts: &BaseFacts) -> Result<Vec<PlannedLayer>, Vec<String>> {
        plan_layers(parts, facts, Compression::default())
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    fn paths(layer: &PlannedLayer) -> Vec<String> {
        layer.entries.iter().map(|entry| entry.path.to_string()).collect()
    }

    #[test]
    fn the_base_is_not_in_a_layer_but_where_it_deviates() {
        let merged = base(&[
            ("/bin", FactKind::Symlink("usr/bin".into()), 0o777),
            ("/usr", FactKind::Directory, 0o755),
            ("/usr/bin", FactKind::Directory, 0o755),
        ]);
        let plain = base(&[("/bin", FactKind::Directory, 0o755)]);
        let key = |path: &str, facts: &BaseFacts| {
            plan(vec![part(Class::App, &[(path, file())])], facts).unwrap()[0].key.clone()
        };
        let local = "/usr/local/bin/x";
        assert_eq!(key(local, &merged).digest(), key(local, &plain).digest());
        assert_eq!(key(local, &merged).digest(), key(local, &BaseFacts::default()).digest());
        assert_eq!(key("/bin/x", &plain).digest(), key("/bin/x", &BaseFacts::default()).digest());
        assert_ne!(key("/bin/x", &plain).digest(), key("/bin/x", &merged).digest());
        assert_eq!(key("/bin/x", &merged).fields["base /bin"].value.as_deref(), Some("link to usr/bin"));

        let layers = plan(vec![part(Class::App, &[("/bin/x", file())])], &merged).unwrap();
        assert_eq!(paths(&layers[0]), ["/usr", "/usr/bin", "/usr/bin/x"]);
    }

    #[test]
    fn parents_keep_the_mode_that_the_base_gave_them() {
        let facts = base(&[("/tmp", FactKind::Directory, 0o1777)]);
        let layers = plan(vec![part(Class::App, &[("/tmp/a/x", file())])], &facts).unwrap();
        let modes: Vec<String> =
            layers[0].entries.iter().map(|entry| format!("{} {:o}", entry.path, entry.mode)).collect();
        assert_eq!(modes, ["/tmp 1777", "/tmp/a 755", "/tmp/a/x 755"]);
        assert_eq!(layers[0].key.fields["base /tmp"].value.as_deref(), Some("directory 1777 0:0"));
    }

    #[test]
    fn a_directory_over_a_link_is_the_linked_directory() {
        let facts = base(&[
            ("/lib", FactKind::Symlink("usr/lib".into()), 0o777),
            ("/usr/lib", FactKind::Directory, 0o755),
        ]);
        let wanted = part(Class::App, &[("/lib", EntryKind::Directory), ("/lib/a", file())]);
        let layers = plan(vec![wanted], &facts).unwrap();
        assert_eq!(paths(&layers[0]), ["/usr", "/usr/lib", "/usr/lib/a"]);
    }

    /// What packages bring is for the layers above what a base would be.
    #[test]
    fn links_and_directories_of_the_system_count_as_those_of_the_base() {
        let link = |path, target: &str| (path, EntryKind::Symlink { target: target.into() });
        let mut system = part(
            Class::System,
            &[
                link("/bin", "usr/bin"),
                link("/usr/lib/x", "../share"),
                ("/usr/sbin/y", file()),
                ("/tmp", EntryKind::Directory),
            ],
        );
        let mut entries = Entries::new();
        for mut entry in system.entries {
            if entry.path.as_str() == "/tmp" {
                (entry.mode, entry.owner) = (0o1777, Owner { uid: 0, gid: 7 });
            }
            entries.insert(entry).unwrap();
        }
        system.entries = entries;
        let app = part(Class::App, &[("/bin/x", file()), ("/usr/lib/x/y", file()), ("/tmp/z", file())]);
        let plain = part(Class::Config, &[("/usr/bin/z", file())]);
        let parts = || vec![system.clone(), app.clone(), plain.clone()];
        let layers = plan(parts(), &BaseFacts::default()).unwrap();
        assert_eq!(
            paths(&layers[1]),
            ["/tmp", "/tmp/z", "/usr", "/usr/bin", "/usr/bin/x", "/usr/share", "/usr/share/y"]
        );
        assert_eq!(layers[1].entries.iter().next().unwrap().mode, 0o1777);
        let fields: Vec<&str> = layers[1]
            .key
            .fields
            .keys()
            .filter(|name| name.starts_with("system") || name.starts_with("base"))
            .map(String::as_str)
            .collect();
        assert_eq!(fields, ["system /bin", "system /tmp", "system /usr/lib/x"]);
        assert_eq!(layers[1].key.fields["system /tmp"].value.as_deref(), Some("directory 1777 0:7"));
        // A layer that meets none of them is the same without.
        let alone = plan(vec![plain.clone()], &BaseFacts::default()).unwrap();
        assert_eq!(layers[2].key.digest(), alone[0].key.digest());
        // Where the base has the same, it is the base's.
        let merged = base(&[("/bin", FactKind::Symlink("usr/bin".into()), 0o777)]);
        assert!(plan(parts(), &merged).unwrap()[1].key.fields.contains_key("base /bin"));
    }

    #[test]
    fn a_hard_link_goes_where_its_file_goes() {
        let merged = base(&[("/bin", FactKind::Symlink("usr/bin".into()), 0o777)]);
        let target = || "/bin/a".parse().unwrap();
        let both =
            part(Class::System, &[("/bin/a", file()), ("/bin/b", EntryKind::Hardlink { target: target() })]);
        let layers = plan(vec![both], &merged).unwrap();
        let last = layers[0].entries.iter().last().unwrap();
        assert_eq!(last.kind, EntryKind::Hardlink { target: "/usr/bin/a".parse().unwrap() });
    }

    #[test]
    fn layers_stand_in_class_order_and_empty_ones_do_not() {
        let parts = vec![
            part(Class::Config, &[("/etc/c", file())]),
            part(Class::Shared, &[]),
            part(Class::App, &[("/a", file())]),
            part(Class::System, &[("/s", file())]),
        ];
        let classes: Vec<Class> =
            plan(parts, &BaseFacts::default()).unwrap().iter().map(|layer| layer.class).collect();
        assert_eq!(classes, [Class::System, Class::App, Class::Config]);
    }

    #[test]
    fn conflicts_name_both_sides() {
        let facts = base(&[
            ("/etc", FactKind::Directory, 0o755),
            ("/etc/passwd", FactKind::File, 0o644),
            ("/loop", FactKind::Symlink("loop".into()), 0o777),
        ]);
        let cases: Vec<(Vec<LayerPart>, &str)> = vec![
            (
                vec![part(Class::App, &[("/a", file())]), part(Class::Config, &[("/a", file())])],
                "/a comes from test app and from test config",
            ),
            (
                vec![part(Class::App, &[("/a", file())]), part(Class::Config, &[("/a/b", file())])],
                "/a is a file from test app, but test config puts /a/b below it",
            ),
            (
                vec![part(Class::App, &[("/etc", file())])],
                "/etc from test app is a file, but the base has a directory there",
            ),
            (
                vec![part(Class::App, &[("/etc/passwd", EntryKind::Directory)])],
                "/etc/passwd from test app is a directory, but the base has a file there",
            ),
            (
                vec![part(Class::App, &[("/etc/passwd/x", file())])],
                "/etc/passwd/x from test app cannot be reached: the base has no directory on the way to it",
            ),
            (
                vec![part(Class::App, &[("/loop/x", file())])],
                "/loop/x from test app cannot be reached: the base has no directory on the way to it",
            ),
            (vec![part(Class::System, &[("/no", EntryKind::Whiteout)])], "remove: /no is not in the base"),
            (
                vec![part(Class::App, &[("/e\u{301}", file()), ("/\u{e9}", file())])],
                "/e\u{301} (from test app) and /\u{e9} (from test app) are the same name in Unicode form C",
            ),
        ];
        for (parts, message) in cases {
            assert_eq!(plan(parts, &facts).unwrap_err(), [message]);
        }
        let mut meant = part(Class::App, &[("/etc", file())]);
        meant.replace.insert("/etc".parse().unwrap());
        assert!(plan(vec![meant], &facts).is_ok());
    }

    #[test]
    fn a_later_class_takes_the_place_of_an_earlier_one_where_that_is_meant() {
        let package = || {
            part(
                Class::System,
                &[
                    ("/bin", EntryKind::Symlink { target: "usr/bin".into() }),
                    ("/usr/bin/a", file()),
                    ("/d", EntryKind::Directory),
                ],
            )
        };
        let own = |class, path: &str, kind: EntryKind, meant: bool| {
            let mut own = part(class, &[(path, kind)]);
            own.replace.extend(meant.then(|| path.parse().unwrap()));
            own
        };
        let both = |own: LayerPart| plan(vec![package(), own], &BaseFacts::default());
        let link = || EntryKind::Symlink { target: "/x".into() };
        let said = |path: &str, class| vec![format!("{path} comes from test system and from test {class}")];
        for (path, place, kind) in [
            ("/bin/a", "/usr/bin/a", file()),
            ("/d", "/d", link()),
            ("/usr/bin/a", "/usr/bin/a", EntryKind::Directory),
        ] {
            assert_eq!(both(own(Class::App, path, kind.clone(), false)).unwrap_err(), said(place, "app"));
            let layers = both(own(Class::App, path, kind, true)).unwrap();
            // The package's layer is as without: other images have the same.
            assert_eq!(
                layers[0].key.digest(),
                plan(vec![package()], &BaseFacts::default()).unwrap()[0].key.digest()
            );
            assert!(layers[1].entries.get(&place.parse().unwrap()).is_some());
        }
        // Within a class nobody is later.
        assert_eq!(
            both(own(Class::System, "/usr/bin/a", file(), true)).unwrap_err(),
            said("/usr/bin/a", "system")
        );
        // A directory with something in it is not hidden.
        let full = both(own(Class::App, "/usr/bin", link(), true)).unwrap_err();
        assert!(
            full[0].starts_with("/usr/bin is a symbolic link from test app, but test system puts"),
            "{full:?}"
        );
        let error = EntriesError::Duplicate {
            path: "/a".parse().unwrap(),
            first: "package a".into(),
            second: "x".into(),
        };
        assert!(LayerError::from(error).hint().unwrap().starts_with("`replace: true`"));
    }
}
