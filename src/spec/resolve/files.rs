use std::collections::BTreeMap;

use super::{Place, Resolver};
use crate::model::{Class, ImagePath, Owner};
use crate::spec::language::{
    FileRow, FilesForm, FromForm, OwnerText, Patch, Place as Spot, RowClass, UserForm,
};
use crate::spec::references::Reference;
use crate::spec::service::{FileKind, FileRule, Site};
use crate::spec::shape::{Field, Set};
use crate::spec::sources::Span;

/// The user whose name an owner may be.
struct Names {
    user: Option<(String, u32)>,
    group: Option<(String, u32)>,
}

impl Resolver<'_> {
    pub(super) fn files(&mut self, patch: &Patch) -> Vec<FileRule> {
        let names = self.names(patch);
        let mut rules = Vec::new();
        match patch.files.value() {
            None => {}
            Some(FilesForm::Short(table)) => {
                for (place, row) in &table.rows {
                    let Some(from) = row.field.value().and_then(|from| self.late(from)) else { continue };
                    // The key was checked when it was read: what is no path is the root.
                    let to = ImagePath::parse(place).ok();
                    let Some(kind) = self.short_kind(from, to.as_ref(), row.key) else { continue };
                    let rule = FileRule {
                        kind,
                        to,
                        mode: None,
                        owner: None,
                        class: Class::App,
                        replace: false,
                        site: self.reader.sources.site(row.key),
                    };
                    rules.push((rule, row.key));
                }
            }
            Some(FilesForm::Rows(rows)) => {
                for (row, span) in &rows.0 {
                    rules.extend(self.file_rule(row, *span, &names).map(|rule| (rule, *span)));
                }
            }
        }
        self.check_places(&rules);
        rules.into_iter().map(|(rule, _)| rule).collect()
    }

    fn names(&mut self, patch: &Patch) -> Names {
        let mut names = Names { user: None, group: None };
        if let Some(UserForm::Map(map)) = patch.image.value().and_then(|image| image.user.value())
            && let Some(uid) = map.uid.value()
        {
            let gid = map.gid.value().unwrap_or(uid);
            let user = self.word(&map.name);
            let group = self.word(&map.group).or_else(|| user.clone());
            names.user = user.map(|name| (name.0, uid.0));
            names.group = group.map(|name| (name.0, gid.0));
        }
        names
    }

    fn file_rule(&mut self, row: &FileRow, span: Span, names: &Names) -> Option<FileRule> {
        let dir = row.dir.get().filter(|dir| dir.value);
        let said = [
            ("from", row.from.is_said()),
            ("dir", dir.is_some()),
            ("link", row.link.is_said()),
            ("text", row.text.is_said()),
        ];
        let forms: Vec<&str> = said.iter().filter(|(_, said)| *said).map(|(name, _)| *name).collect();
        match forms.as_slice() {
            [_] => {}
            [] => {
                self.reader
                    .say(span, "a row of `files` that brings nothing")
                    .hint("say one of `from: PATH`, `dir: true`, `link: TARGET`, `text: CONTENT`");
                return None;
            }
            several => {
                self.reader.say(span, format!("a row of `files` has one of {}", several.join(" and ")));
                return None;
            }
        }
        if !row.to.is_said() {
            self.reader.say(span, "a row of `files` without `to`").hint("`to` is its place in the image");
        }
        let site = self.reader.sources.site(span);
        let from = self.word(&row.from);
        self.check_fields(row, forms[0], from.as_ref());
        let owner = self.owner(&row.owner, names);
        let mode = self.word(&row.mode).map(|mode| mode.0);
        let class = self.word(&row.class).map_or(Class::App, |class| match class {
            RowClass::System => Class::System,
            RowClass::Deps => Class::Deps,
            RowClass::Shared => Class::Shared,
            RowClass::App => Class::App,
            RowClass::Config => Class::Config,
        });
        let to_span = row.to.get().map_or(span, |set| set.span);
        let to = self.word(&row.to)?;
        let kind = if let Some(from) = from {
            self.copy_kind(row, from, &to, to_span)?
        } else if dir.is_some() {
            FileKind::Directory
        } else if let Some(link) = row.link.get() {
            let target = self.late(&link.value)?;
            if target.is_empty() || target.chars().any(char::is_control) {
                self.reader.say(link.span, "a link without a target, or one with a control character");
                return None;
            }
            FileKind::Link(target)
        } else {
            FileKind::Text(self.template(row.text.value()?, Place::Layer)?)
        };
        if to.path.is_none()
            && !matches!(kind, FileKind::Copy { .. } | FileKind::Image { .. } | FileKind::Spec { .. })
        {
            self.reader.say(to_span, "`/` is the root of the image: name a place below it");
            return None;
        }
        Some(FileRule {
            kind,
            to: to.path,
            mode,
            owner,
            class,
            replace: row.replace.value().copied().unwrap_or(false),
            site,
        })
    }

    /// What the short form `place: from` brings.
    fn short_kind(&mut self, from: FromForm, to: Option<&ImagePath>, span: Span) -> Option<FileKind> {
        match from {
            FromForm::Workspace { path, .. } => {
                Some(FileKind::Copy { from: path, include: Vec::new(), exclude: Vec::new() })
            }
            FromForm::Image(reference) => {
                let place = to.map_or("/", ImagePath::as_str);
                self.reader
                    .say(span, format!("`image:{reference}` needs the `path` of what is wanted"))
                    .hint(format!("write `- {{ from: \"image:…\", path: /…, to: {place} }}`"));
                None
            }
            FromForm::Spec(identity) => {
                let place = to.map_or("/", ImagePath::as_str);
                self.reader
                    .say(span, format!("`spec:{identity}` needs the `path` of what is wanted"))
                    .hint(format!("write `- {{ from: \"spec:…\", path: /…, to: {place} }}`"));
                None
            }
            FromForm::Address(address) if to.is_some() => Some(FileKind::Address(address.0)),
            FromForm::Address(_) => {
                self.reader.say(span, "`/` is the root of the image: name a place below it");
                None
            }
        }
    }

    /// What `from` brings to `to`.
    fn copy_kind(&mut self, row: &FileRow, from: FromForm, to: &Spot, to_span: Span) -> Option<FileKind> {
        let include = self.texts(&row.include, |glob| glob.0);
        let exclude = self.texts(&row.exclude, |glob| glob.0);
        // A slash behind `to` is for directories, which a slash behind what is copied says.
        let (name, is_directory, kind) = match from {
            FromForm::Workspace { path, is_directory } => {
                let name = path.path.rsplit('/').next().unwrap_or_default().to_owned();
                (name, is_directory, FileKind::Copy { from: path, include, exclude })
            }
            FromForm::Image(reference) => {
                let (path, name, is_directory) = self.other_path(row, "image", to_span)?;
                (name, is_directory, FileKind::Image { reference, path, include, exclude })
            }
            FromForm::Spec(identity) => {
                let span = row.from.get().map_or(to_span, |from| from.span);
                self.references.push(Reference { span, identity: identity.clone() });
                let (path, name, is_directory) = self.other_path(row, "spec", to_span)?;
                (name, is_directory, FileKind::Spec { identity, path, include, exclude })
            }
            FromForm::Address(address) => {
                let name = address.0.rsplit('/').next().unwrap_or_default().to_owned();
                (name, false, FileKind::Address(address.0))
            }
        };
        if let Some(path) = to.path.as_ref().filter(|_| to.ends_with_slash && !is_directory) {
            let both = match kind {
                FileKind::Copy { .. } => "; for a directory, `from` ends with a slash too",
                FileKind::Image { .. } | FileKind::Spec { .. } => {
                    "; for a directory, `path` ends with a slash too"
                }
                _ => "",
            };
            self.reader
                .say(to_span, format!("`to: {path}/` ends with a slash: `to` is the place itself"))
                .hint(format!("write `to: {path}/{name}`{both}"));
            return None;
        }
        Some(kind)
    }

    /// What is taken of another image: its path (`None` for all), its own name, and whether it is surely a directory.
    fn other_path(
        &mut self,
        row: &FileRow,
        scheme: &str,
        to_span: Span,
    ) -> Option<(Option<ImagePath>, String, bool)> {
        if !row.path.is_said() {
            let span = row.from.get().map_or(to_span, |from| from.span);
            self.reader
                .say(span, format!("`from: {scheme}:…` without `path`"))
                .hint("`path` is the file or directory of the image, `path: /` all of it");
            return None;
        }
        let path = self.word(&row.path)?;
        let name = path.path.as_ref().map_or_else(String::new, |path| path.name().to_owned());
        let is_directory = path.ends_with_slash || path.path.is_none();
        Some((path.path, name, is_directory))
    }

    /// Says which fields mean nothing for a row of this form.
    fn check_fields(&mut self, row: &FileRow, form: &str, from: Option<&FromForm>) {
        fn span<T>(field: &Field<T>) -> Option<Span> {
            field.get().map(|set: &Set<T>| set.span)
        }
        let address = matches!(from, Some(FromForm::Address(_)));
        // What is wrong with `from` is said already.
        let image = form == "from" && matches!(from, None | Some(FromForm::Image(_) | FromForm::Spec(_)));
        let form = if address { "an address" } else { form };
        let checks = [
            ("path", span(&row.path), image),
            ("include", span(&row.include), form == "from"),
            ("exclude", span(&row.exclude), form == "from"),
            ("mode", span(&row.mode), form != "link"),
            ("class", span(&row.class), form != "dir"),
        ];
        for (name, span, allowed) in checks {
            if let Some(span) = span.filter(|_| !allowed) {
                let hint = match name {
                    "class" => "declared directories are the last layer of the image",
                    "mode" => "a symbolic link has no permissions",
                    "path" if form == "an address" => "an address is one file",
                    "path" => "it belongs to `from: image:REF` and `from: spec:NAME`",
                    _ if form == "an address" => "an address is one file",
                    _ => "it belongs to a directory `from`",
                };
                let what = match (name, form) {
                    (_, "an address") => "`from: https://…`".to_owned(),
                    ("path", "from") => "a `from` of the workspace".to_owned(),
                    (_, form) => format!("`{form}`"),
                };
                self.reader.say(span, format!("`{name}` means nothing beside {what}")).hint(hint);
            }
        }
    }

    fn owner(&mut self, field: &Field<crate::spec::shape::Late<OwnerText>>, names: &Names) -> Option<Owner> {
        let set = field.get()?;
        let text = self.late(&set.value)?;
        let find = |text: &str, known: &Option<(String, u32)>| {
            OwnerText::number(text)
                .or_else(|| known.as_ref().filter(|(name, _)| name == text).map(|(_, id)| *id))
        };
        let uid = find(&text.user, &names.user);
        let gid = match &text.group {
            Some(group) => find(group, &names.group),
            // A name alone brings its group; a number alone does not say one.
            None if OwnerText::number(&text.user).is_some() => None,
            None => names.group.as_ref().map(|(_, gid)| *gid),
        };
        if let (Some(uid), Some(gid)) = (uid, gid) {
            return Some(Owner { uid, gid });
        }
        let hint = match (&names.user, OwnerText::number(&text.user)) {
            (_, Some(uid)) if text.group.is_none() => format!("write \"{uid}:{uid}\""),
            (Some((name, _)), _) => {
                format!("write `{name}`, the name of image.user, or numbers like \"1001:1001\"")
            }
            (None, _) => {
                "names are those of image.user, which has none; or numbers like \"1001:1001\"".to_owned()
            }
        };
        let shown = match &text.group {
            Some(group) => format!("{}:{group}", text.user),
            None => text.user,
        };
        self.reader.say(set.span, format!("`{shown}` is not an owner that is known")).hint(hint);
        None
    }

    /// Two rows with one place, unless both copy: directories may flow together, and files show when they are read.
    fn check_places(&mut self, rules: &[(FileRule, Span)]) {
        let mut places: BTreeMap<&ImagePath, (bool, &Site)> = BTreeMap::new();
        for (rule, span) in rules {
            let Some(to) = &rule.to else { continue };
            let copies =
                matches!(rule.kind, FileKind::Copy { .. } | FileKind::Image { .. } | FileKind::Spec { .. });
            match places.get(to) {
                Some((first, site)) if !(*first && copies) => {
                    self.reader
                        .say(
                            *span,
                            format!("two rows of `files` have one place, `{to}`: this one and {site}"),
                        )
                        .hint("remove one");
                }
                Some(_) => {}
                None => {
                    places.insert(to, (copies, &rule.site));
                }
            }
        }
    }
}
