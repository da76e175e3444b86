use super::Resolver;
use crate::spec::language::{self, BaseForm, BaseText, Patch};
use crate::spec::references::Reference;
use crate::spec::service::Base;
use crate::spec::shape::Field;

impl Resolver<'_> {
    pub(super) fn base(&mut self, field: &Field<BaseForm>) -> Option<Base> {
        let map = match field.value() {
            None => return Some(Base::Static),
            Some(BaseForm::Text(text)) => {
                let span = field.get().map_or(self.subject.span, |set| set.span);
                return Some(match self.late(text)? {
                    BaseText::Static => Base::Static,
                    BaseText::Scratch => Base::Scratch,
                    BaseText::Registry(reference) => Base::Registry(reference),
                    BaseText::OciLayout(path) => Base::OciLayout(path),
                    BaseText::OciArchive(path) => Base::OciArchive(path),
                    BaseText::DockerArchive(path) => Base::DockerArchive(path),
                    BaseText::Spec(identity) => {
                        self.references.push(Reference { span, identity: identity.clone() });
                        Base::Spec(identity)
                    }
                });
            }
            Some(BaseForm::Map(map)) => map,
        };
        let mut files = std::collections::BTreeMap::new();
        for (platform, row) in map.rootfs.rows() {
            // The key was checked when it was read.
            let Ok(platform) = platform.parse() else { continue };
            let Some(file) = row.field.value() else { continue };
            if let Some(path) = self.late(file)
                && files.insert(platform, path).is_some()
            {
                self.reader.say(row.key, format!("platform `{platform}` twice"));
            }
        }
        Some(Base::Rootfs(files))
    }

    /// `<registry>/<service>`, with `-<image>` for every image but the one named like the service.
    pub(super) fn repository(&mut self, patch: &Patch) -> Option<String> {
        let subject = self.subject;
        let identity = &subject.identity;
        let (mut name, span) = match patch.repository.get() {
            Some(set) => (self.late(&set.value)?.0, set.span),
            None => (identity.service.clone(), subject.span),
        };
        if let Some(image) = identity.image.as_ref().filter(|image| **image != identity.service)
            && !(subject.own_repository && patch.repository.is_said())
        {
            name.push('-');
            name.push_str(image);
        }
        let full = match &subject.registry {
            Some(registry) if !language::names_registry(&name) => format!("{registry}/{name}"),
            _ => name,
        };
        match language::check_repository(&full) {
            Ok(()) => Some(full),
            Err(message) => {
                self.reader
                    .say(span, message)
                    .hint("say `repository:`, with small letters, digits, `.`, `_`, `-` and `/`");
                None
            }
        }
    }
}
