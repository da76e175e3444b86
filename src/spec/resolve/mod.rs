//! From a merged part of the language to one [`ImageSpec`]: defaults, values, and what only the whole can show.

mod base;
mod build;
mod files;
mod health;
mod image;
mod init;
mod packages;

use std::collections::BTreeMap;

use super::language::{self, Index, MediaTypes, Patch, SourceForm};
use super::problem::{Drafts, did_you_mean};
use super::references::Reference;
use super::service::{Component, ImageSpec, Source, SourceAddition, SourcePath};
use super::shape::{Field, FromText, Items, Late, Origin, Reader, Shape as _, Template};
use super::sources::{Sources, Span};
use super::template::{Part, Template as Resolved, Value};
use super::yaml::Node;
use crate::model::{Compression, Identity, Platform};

/// What is known of an image beside its merged spec.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Subject {
    pub(in crate::spec) identity: Identity,
    /// Where its service's spec begins.
    pub(in crate::spec) span: Span,
    /// The workspace's registry.
    pub(in crate::spec) registry: Option<String>,
    /// `repository` was said for this image alone, and gets no suffix.
    pub(in crate::spec) own_repository: bool,
}

/// Where a template stands, which decides what may be put in (§3, "Values").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::spec) enum Place {
    /// The config of one platform: stable values, and the base's variables.
    Config,
    /// The same where `stamp: true` allows volatile values: env and labels.
    Stamped,
    /// On the index too, which has no platform: annotations and info.
    Document,
    /// The bytes of a layer, or the environment of a builder.
    Layer,
    /// `build.go.stamp`, the one way of volatile values into a layer.
    GoStamp,
    /// A tag.
    Tag,
}

/// Resolves one image, and says which others of the workspace it names; `None` after a mistake, which is said.
pub(in crate::spec) fn resolve(
    node: &Node,
    subject: &Subject,
    sources: &Sources,
    drafts: &mut Drafts,
) -> Option<(ImageSpec, Vec<Reference>)> {
    // Every part was read where it was written: what is wrong with one was said there.
    let mut again = Drafts::default();
    let patch = Patch::read(node, &mut Reader::new(sources, &mut again));
    let broken = !again.is_empty();
    if broken && drafts.is_empty() {
        drafts.append(again);
    }
    let patch = patch?;
    let before = drafts.len();
    let reader = Reader::new(sources, drafts);
    let args = patch
        .args
        .rows()
        .filter_map(|(name, row)| Some((name.clone(), row.field.value()?.0.clone())))
        .collect();
    let stamp = patch.stamp.value().copied().unwrap_or(false);
    let spec = Resolver { reader, args, stamp, subject, references: Vec::new() }.image_spec(&patch);
    (!broken && drafts.len() == before).then_some(spec).flatten()
}

struct Resolver<'a> {
    reader: Reader<'a>,
    args: BTreeMap<String, String>,
    stamp: bool,
    subject: &'a Subject,
    references: Vec<Reference>,
}

impl Resolver<'_> {
    fn image_spec(mut self, patch: &Patch) -> Option<(ImageSpec, Vec<Reference>)> {
        let source = self.source(&patch.source);
        let build = self.build(&patch.build);
        let base = self.base(&patch.base);
        let platforms = self.platforms(patch, base.as_ref());
        let components = self
            .items(&patch.components)
            .into_iter()
            .map(|(word, _)| match word {
                language::ComponentWord::CaCertificates => Component::CaCertificates,
                language::ComponentWord::Tzdata => Component::Tzdata,
                language::ComponentWord::Probe => Component::Probe,
                language::ComponentWord::Init => Component::Init,
            })
            .collect();
        let packages = self.packages(&patch.packages);
        let init = self.init(&patch.init);
        let elf = self.elf(&patch.elf);
        let files = self.files(patch);
        let remove = self.items(&patch.remove).into_iter().map(|(path, _)| path).collect();
        let certificates = self.items(&patch.certificates).into_iter().map(|(path, _)| path).collect();
        let image = self.image(&patch.image);
        let repository = self.repository(patch);
        let tags = self.tags(patch);
        let media_types = self.word(&patch.media_types);
        let index = self.word(&patch.index);
        let compression = self.compression(patch, media_types);
        let spec = ImageSpec {
            identity: self.subject.identity.clone(),
            site: self.reader.sources.site(self.subject.span),
            source: source?,
            build,
            args: self.args,
            base: base?,
            packages,
            components,
            init,
            elf,
            files,
            remove,
            certificates,
            image,
            platforms,
            repository: repository?,
            tags,
            stamp: self.stamp,
            compression: compression?,
            docker_media_types: media_types == Some(MediaTypes::Docker),
            index_always: index == Some(Index::Always),
            needs: Vec::new(),
        };
        Some((spec, self.references))
    }

    fn compression(&mut self, patch: &Patch, media_types: Option<MediaTypes>) -> Option<Compression> {
        let Some(set) = patch.compression.get() else { return Some(Compression::default()) };
        let language::CompressionText(compression) = self.late(&set.value)?;
        if media_types == Some(MediaTypes::Docker) && compression.media_type().to_docker().is_none() {
            self.reader
                .say(set.span, "`compression`: Docker has no media type for layers compressed with zstd")
                .hint("say `mediaTypes: oci`, or `compression: gzip`");
            return None;
        }
        Some(compression)
    }

    /// The value of a text in which arguments may stand.
    fn late<T: FromText>(&mut self, late: &Late<T>) -> Option<T> {
        let template = match late {
            Late::Now(value) => return Some(value.clone()),
            Late::Later(template) => template,
        };
        let resolved = self.put_args(template)?;
        let mut text = String::new();
        for part in &resolved.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Value(value) => {
                    let hint = if value.is_volatile() {
                        "it would differ between two builds of the same sources; see `tags`, `stamp` and `build.go.stamp`"
                    } else {
                        "only arguments, `${arg.NAME}`, can be put in here"
                    };
                    self.reader
                        .say(template.span, format!("`{value}` cannot be put in here"))
                        .at_text(value.to_string())
                        .hint(hint);
                    return None;
                }
            }
        }
        match T::from_text(&text, &Origin::new(template.span, self.reader.sources)) {
            Ok(value) => Some(value),
            Err(wrong) => {
                wrong.say(template.span, &mut self.reader);
                None
            }
        }
    }

    /// The value of a field, if it was said and is right.
    fn word<T: FromText>(&mut self, field: &Field<Late<T>>) -> Option<T> {
        self.late(field.value()?)
    }

    /// The values of a list, each with its place.
    fn items<T: FromText>(&mut self, field: &Field<Items<Late<T>>>) -> Vec<(T, Span)> {
        field.items().iter().filter_map(|(item, span)| Some((self.late(item)?, *span))).collect()
    }

    fn texts<T: FromText, U>(&mut self, field: &Field<Items<Late<T>>>, text: impl Fn(T) -> U) -> Vec<U> {
        self.items(field).into_iter().map(|(item, _)| text(item)).collect()
    }

    fn put_args(&mut self, template: &Template) -> Option<Resolved> {
        match template.expression.put_args(|name| self.args.get(name).map(String::as_str)) {
            Ok(resolved) => Some(resolved),
            Err(unknown) => {
                for name in unknown {
                    let hint = did_you_mean(&name, self.args.keys().map(String::as_str))
                        .unwrap_or_else(|| format!("declare it: `args: {{ {name}: VALUE }}`"));
                    self.reader
                        .say(template.span, format!("there is no argument `{name}`"))
                        .at_text(format!("${{arg.{name}}}"))
                        .hint(hint);
                }
                None
            }
        }
    }

    /// A template with its arguments, every other value of which may stand in `place`.
    fn template(&mut self, template: &Template, place: Place) -> Option<Resolved> {
        let resolved = self.put_args(template)?;
        let mut good = true;
        for value in resolved.values() {
            if let Some((message, hint)) = self.refusal(value, place) {
                self.reader.say(template.span, message).at_text(value.to_string()).hint(hint);
                good = false;
            }
        }
        good.then_some(resolved)
    }

    /// Why `value` may not stand in `place`, and where it may.
    fn refusal(&self, value: &Value, place: Place) -> Option<(String, &'static str)> {
        let volatile =
            |what| format!("`{value}` differs between two builds of the same sources, and so would {what}");
        match value {
            Value::Target(_) => match place {
                Place::Document => Some((
                    format!("`{value}` in what stands on the index too, which has no platform"),
                    "labels and env belong to one platform",
                )),
                Place::Tag => Some((
                    format!("`{value}` in a tag, which is one for all platforms"),
                    "the index holds every platform",
                )),
                _ => None,
            },
            Value::Base(_) => match place {
                Place::Config | Place::Stamped => None,
                _ => Some((
                    format!("`{value}` is known only to the config of the image"),
                    "it may stand in image.env, entrypoint, cmd and labels",
                )),
            },
            _ => match place {
                Place::Tag | Place::GoStamp => None,
                Place::Stamped | Place::Document if self.stamp => None,
                Place::Layer => Some((
                    volatile("the layer"),
                    "tags may have it, `build.go.stamp`, and with `stamp: true` labels, annotations, info and env",
                )),
                _ => Some((
                    volatile("the image"),
                    "tags may have it, and with `stamp: true` labels, annotations, info and env",
                )),
            },
        }
    }

    fn source(&mut self, field: &Field<SourceForm>) -> Option<Source> {
        let root = SourcePath { path: ".".to_owned(), site: self.reader.sources.site(self.subject.span) };
        let plain = |dir| Source { dir, include: Vec::new(), exclude: Vec::new(), add: Vec::new() };
        let map = match field.value() {
            None => return Some(plain(root)),
            Some(SourceForm::Dir(dir)) => return self.late(dir).map(plain),
            Some(SourceForm::Map(map)) => map,
        };
        let dir = match map.dir.value() {
            Some(dir) => self.late(dir)?,
            None => root,
        };
        let mut add = Vec::new();
        for (row, span) in map.add.items() {
            let Some(from) = self.word(&row.from) else {
                if !row.from.is_said() {
                    self.reader.say(*span, "a row of `source.add` without `from`");
                }
                continue;
            };
            let to = match self.word(&row.to) {
                Some(to) => to.0,
                None if row.to.is_said() => continue,
                None if from.path == "." => {
                    self.reader
                        .say(*span, "the workspace root is added without a place")
                        .hint("say `to:`, or name what is needed");
                    continue;
                }
                None => from.path.rsplit('/').next().unwrap_or_default().to_owned(),
            };
            add.push(SourceAddition { from, to });
        }
        Some(Source {
            dir,
            include: self.texts(&map.include, |glob| glob.0),
            exclude: self.texts(&map.exclude, |glob| glob.0),
            add,
        })
    }

    fn tags(&mut self, patch: &Patch) -> Vec<Resolved> {
        let suffix =
            self.subject.identity.variant.as_ref().map(|variant| format!("-{variant}")).unwrap_or_default();
        let mut tags = Vec::new();
        if !patch.tags.is_said() {
            tags.push((Resolved::text("latest"), self.subject.span));
        }
        for (tag, span) in patch.tags.items() {
            tags.extend(self.template(tag, Place::Tag).map(|tag| (tag, *span)));
        }
        let mut done: Vec<Resolved> = Vec::new();
        for (mut tag, span) in tags {
            let constant = |tag: &Resolved| match tag.0.as_slice() {
                [] => Some(String::new()),
                [Part::Text(text)] => Some(text.clone()),
                _ => None,
            };
            let written = constant(&tag);
            match tag.0.last_mut() {
                Some(Part::Text(last)) => last.push_str(&suffix),
                _ if suffix.is_empty() => {}
                _ => tag.0.push(Part::Text(suffix.clone())),
            }
            let checked = written.map_or(Ok(()), |text| language::check_tag(&text));
            let whole = || constant(&tag).map_or(Ok(()), |text| language::check_tag(&text));
            if let Err(message) = checked.and_then(|()| whole()) {
                self.reader.say(span, message).hint(language::TAG_RULE);
            } else if !done.contains(&tag) {
                done.push(tag);
            }
        }
        done
    }

    fn platforms(&mut self, patch: &Patch, base: Option<&super::Base>) -> Vec<Platform> {
        let mut platforms = Vec::new();
        for (platform, span) in self.items(&patch.platforms) {
            if platforms.contains(&platform) {
                self.reader.say(span, format!("platform `{platform}` twice"));
            } else {
                platforms.push(platform);
            }
        }
        if let Some(set) = patch.platforms.get().filter(|set| set.value.0.is_empty() && !set.value.1) {
            self.reader.say(set.span, "no platforms: an image is for one at least");
        } else if !patch.platforms.is_said() {
            platforms.extend(Platform::ALL);
        }
        if let (Some(super::Base::Rootfs(files)), Some(set)) = (base, patch.base.get())
            && let Some(missing) = platforms.iter().find(|platform| !files.contains_key(platform))
        {
            self.reader
                .say(set.span, format!("`rootfs` has no file for {missing}, one of the platforms"))
                .hint("add it, or say `platforms:`");
        }
        platforms.sort();
        platforms
    }
}
