use std::collections::BTreeMap;

use super::{Place, Resolver};
use crate::model::ImagePath;
use crate::spec::language::{Image, PortForm, PortsForm, UserForm};
use crate::spec::service::{ImageSettings, Inherit, PortList, User};
use crate::spec::shape::{Field, FromText, Items, Late, Table, Template};
use crate::spec::sources::Span;
use crate::spec::template::Template as Resolved;

impl Resolver<'_> {
    pub(super) fn image(&mut self, field: &Field<Image>) -> ImageSettings {
        let Some(image) = field.value() else { return ImageSettings::default() };
        self.check_info(image);
        ImageSettings {
            user: self.user(&image.user),
            entrypoint: self.command(&image.entrypoint),
            cmd: self.command(&image.cmd),
            env: self.inherited(&image.env),
            env_removed: image.env.clears(),
            workdir: self.inherit(&image.workdir, |workdir| workdir.0),
            ports: self.ports(&image.ports),
            ports_removed: image.ports.clears(),
            volumes: self.volumes(&image.volumes),
            volumes_removed: image.volumes.clears(),
            stop_signal: self.inherit(&image.stop_signal, |signal| signal.0),
            labels: self.inherited(&image.labels),
            labels_removed: image.labels.clears(),
            annotations: self.documents(&image.annotations),
            info: self.documents(&image.info),
            healthcheck: self.healthcheck(&image.healthcheck),
        }
    }

    /// A field that the base may have too.
    fn inherit<T: FromText, U>(&mut self, field: &Field<Late<T>>, value: impl Fn(T) -> U) -> Inherit<U> {
        match field {
            Field::Removed => Inherit::Removed,
            Field::Set(set) => self.late(&set.value).map_or(Inherit::Base, |text| Inherit::Set(value(text))),
            Field::Absent | Field::Broken => Inherit::Base,
        }
    }

    fn user(&mut self, field: &Field<UserForm>) -> Inherit<User> {
        let set = match field {
            Field::Removed => return Inherit::Removed,
            Field::Absent | Field::Broken => return Inherit::Base,
            Field::Set(set) => set,
        };
        match &set.value {
            UserForm::Numbers(numbers) => self.late(numbers).map_or(Inherit::Base, |numbers| {
                Inherit::Set(User { name: None, uid: numbers.uid, group: None, gid: numbers.gid })
            }),
            UserForm::Map(map) => {
                let Some(uid) = map.uid.value() else {
                    if !map.uid.is_said() {
                        self.reader
                            .say(set.span, "`user` without `uid`: the user of an image is always numeric")
                            .hint("write it like { name: app, uid: 1001 }");
                    }
                    return Inherit::Base;
                };
                let name = self.word(&map.name).map(|name| name.0);
                let group = self.word(&map.group).map(|group| group.0).or_else(|| name.clone());
                Inherit::Set(User { name, uid: uid.0, group, gid: map.gid.value().unwrap_or(uid).0 })
            }
        }
    }

    fn command(&mut self, field: &Field<Items<Template>>) -> Inherit<Vec<Resolved>> {
        match field {
            Field::Removed => Inherit::Removed,
            Field::Absent | Field::Broken => Inherit::Base,
            Field::Set(set) => Inherit::Set(
                set.value.0.iter().filter_map(|(item, _)| self.template(item, Place::Config)).collect(),
            ),
        }
    }

    /// Rows that are added to the base's, or take one away.
    fn inherited<K>(&mut self, field: &Field<Table<K, Template>>) -> BTreeMap<String, Inherit<Resolved>> {
        let mut rows = BTreeMap::new();
        for (key, row) in field.rows() {
            let value = match &row.field {
                Field::Removed => Some(Inherit::Removed),
                field => {
                    field.value().and_then(|value| self.template(value, Place::Stamped)).map(Inherit::Set)
                }
            };
            rows.extend(value.map(|value| (key.clone(), value)));
        }
        rows
    }

    /// Rows of which the base's are never taken over.
    fn documents<K>(&mut self, field: &Field<Table<K, Template>>) -> BTreeMap<String, Resolved> {
        let mut rows = BTreeMap::new();
        for (key, row) in field.rows() {
            let value = row.field.value().and_then(|value| self.template(value, Place::Document));
            rows.extend(value.map(|value| (key.clone(), value)));
        }
        rows
    }

    /// `info` goes to labels and annotations: the same key there would be a second answer.
    fn check_info(&mut self, image: &Image) {
        for (key, row) in image.info.rows() {
            let full = format!("org.opencontainers.image.{key}");
            let labels =
                image.labels.rows().filter(|(_, row)| row.field.is_said()).map(|(key, row)| (key, row.key));
            let annotations = image
                .annotations
                .rows()
                .filter(|(_, row)| row.field.is_said())
                .map(|(key, row)| (key, row.key));
            let other = labels.chain(annotations).find(|(other, _)| **other == full).map(|(_, span)| span);
            if let Some(span) = other.filter(|_| row.field.is_said()) {
                self.reader
                    .say(span, format!("`{full}` is given twice: here and by `info: {{ {key}: … }}`"))
                    .hint("`info` alone is enough: it goes to labels and annotations");
            }
        }
    }

    fn ports(&mut self, field: &Field<PortsForm>) -> PortList {
        let rows: Vec<(Option<&String>, &PortForm, Span)> = match field {
            Field::Removed => return Inherit::Removed,
            Field::Absent | Field::Broken => return Inherit::Base,
            Field::Set(set) => match &set.value {
                PortsForm::List(items) => items.0.iter().map(|(port, span)| (None, port, *span)).collect(),
                PortsForm::Map(table) => table
                    .rows
                    .iter()
                    .filter_map(|(name, row)| row.field.get().map(|set| (Some(name), &set.value, set.span)))
                    .collect(),
            },
        };
        let mut ports: BTreeMap<String, String> = BTreeMap::new();
        let mut taken = std::collections::BTreeSet::new();
        for (name, port, span) in rows {
            let Some(port) = self.late(&port.0) else { continue };
            let text = port.text();
            if !taken.insert(text.clone()) {
                self.reader.say(span, format!("port {text} twice"));
                continue;
            }
            let number = if port.protocol == "tcp" { port.number.to_string() } else { text.clone() };
            ports.insert(name.cloned().unwrap_or(number), text);
        }
        Inherit::Set(ports)
    }

    fn volumes(
        &mut self,
        field: &Field<Items<Late<ImagePath>>>,
    ) -> Inherit<std::collections::BTreeSet<ImagePath>> {
        match field {
            Field::Removed => Inherit::Removed,
            Field::Absent | Field::Broken => Inherit::Base,
            Field::Set(_) => Inherit::Set(self.items(field).into_iter().map(|(path, _)| path).collect()),
        }
    }
}
