use std::collections::BTreeMap;

use super::{Place, Resolver};
use crate::model::{Class, ImagePath};
use crate::spec::language::{self, BuildMap, Go, Libc, Rust};
use crate::spec::service::{Build, GoBuild, RustBuild, RustTarget};
use crate::spec::shape::{Field, Items, Late, Set, Table, Template};
use crate::spec::sources::Span;
use crate::spec::template::Template as Resolved;

impl Resolver<'_> {
    pub(super) fn build(&mut self, field: &Field<BuildMap>) -> Option<Build> {
        let set = field.get()?;
        match (set.value.go.get(), set.value.rust.get()) {
            (Some(_), Some(rust)) => {
                self.reader
                    .say(rust.span, "two builders, go and rust: a service has one")
                    .hint("make two services of it, or put the files of one in with `files`");
                None
            }
            (Some(go), None) => self.go(go),
            (None, Some(rust)) => Some(self.rust(&rust.value)),
            (None, None) => None,
        }
    }

    fn go(&mut self, set: &Set<Go>) -> Option<Build> {
        let go = &set.value;
        let package = go.package.get().map(|package| {
            let text = self.late(&package.value)?;
            self.go_package(&text, package.span)
        });
        if let Some(cgo) = go.cgo.get().filter(|cgo| cgo.value) {
            self.reader
                .say(cgo.span, "`cgo: true` (C in Go programs) is not in this version of imgpack yet")
                .hint("programs are built with CGO_ENABLED=0");
        }
        let to = self.word(&go.to);
        let tags = self.option_words(&go.tags, "a build tag");
        let ldflags = self.word(&go.ldflags).unwrap_or_else(|| "-s -w".to_owned());
        let mut stamp = BTreeMap::new();
        for (variable, row) in go.stamp.rows() {
            let template = row.field.value().and_then(|template| self.template(template, Place::GoStamp));
            stamp.extend(template.map(|template| (variable.clone(), template)));
        }
        let env = self.build_env(&go.env);
        let package = package.unwrap_or_else(|| Some(".".to_owned()))?;
        let to = match to {
            Some(to) => to,
            None => self.go_binary(&package, set.span)?,
        };
        Some(Build::Go(GoBuild { package, to, tags, ldflags, stamp, env, class: Class::App }))
    }

    /// `/app/` and the last component of the package, or the service's name.
    fn go_binary(&mut self, package: &str, span: Span) -> Option<ImagePath> {
        let name = package.rsplit('/').next().filter(|name| *name != ".");
        let name = name.unwrap_or(&self.subject.identity.service);
        match ImagePath::parse(&format!("/app/{name}")) {
            Ok(path) => Some(path),
            Err(error) => {
                self.reader.say(span, error.to_string()).hint("say `to:`");
                None
            }
        }
    }

    /// `.` or `./…`, normalised, never out of the module.
    fn go_package(&mut self, text: &str, span: Span) -> Option<String> {
        let (message, hint) = if text.contains("...") {
            (format!("`{text}` names several packages: a program is one"), "name one".to_owned())
        } else if text != "." && !text.starts_with("./") {
            let path = text.trim_start_matches(['.', '/']);
            (format!("`{text}` is not a path of the source"), format!("write ./{path}"))
        } else {
            match language::resolve("", text) {
                Ok(path) if path == "." => return Some(path),
                Ok(path) => return Some(format!("./{path}")),
                Err(_) => (
                    format!("`{text}` is not below `source`"),
                    "`source` is the directory of the module, `package` a path below it".to_owned(),
                ),
            }
        };
        self.reader.say(span, message).hint(hint);
        None
    }

    fn rust(&mut self, rust: &Rust) -> Build {
        let target = self.word(&rust.target).map_or(RustTarget::Musl, |word| match word {
            Libc::Musl => RustTarget::Musl,
        });
        Build::Rust(RustBuild {
            package: self.option_word(&rust.package, "a Cargo package"),
            bin: self.option_word(&rust.bin, "a binary target"),
            to: self.word(&rust.to),
            profile: self
                .option_word(&rust.profile, "a Cargo profile")
                .unwrap_or_else(|| "release".to_owned()),
            features: self.option_words(&rust.features, "a feature"),
            default_features: rust.default_features.value().copied().unwrap_or(true),
            target,
            env: self.build_env(&rust.env),
        })
    }

    /// A word for a tool's command line: one word, and no option.
    fn check_word(&mut self, text: String, span: Span, what: &str) -> Option<String> {
        let good = !text.is_empty()
            && !text.starts_with('-')
            && !text
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || matches!(c, ',' | '\'' | '"' | '='));
        if good {
            return Some(text);
        }
        self.reader.say(span, format!("`{text}` is not {what}"));
        None
    }

    fn option_word(&mut self, field: &Field<Late<String>>, what: &str) -> Option<String> {
        let set = field.get()?;
        let text = self.late(&set.value)?;
        self.check_word(text, set.span, what)
    }

    fn option_words(&mut self, field: &Field<Items<Late<String>>>, what: &str) -> Vec<String> {
        let words = self.items(field);
        words.into_iter().filter_map(|(text, span)| self.check_word(text, span, what)).collect()
    }

    fn build_env<K>(&mut self, field: &Field<Table<K, Template>>) -> BTreeMap<String, Resolved> {
        let mut env = BTreeMap::new();
        for (name, row) in field.rows() {
            if let Some(template) = row.field.value().and_then(|value| self.template(value, Place::Layer)) {
                env.insert(name.clone(), template);
            }
        }
        env
    }
}
