use super::Resolver;
use crate::spec::language::{ElfMap, InitForm, InitMap};
use crate::spec::service::{ElfRules, Init, Render};
use crate::spec::shape::Field;

impl Resolver<'_> {
    pub(super) fn init(&mut self, field: &Field<InitForm>) -> Option<Init> {
        match field.value()? {
            InitForm::Plain(wanted) => wanted.then(Init::default),
            InitForm::Map(map) => Some(self.init_map(map)),
        }
    }

    fn init_map(&mut self, map: &InitMap) -> Init {
        let wait = self.texts(&map.wait, |address| address.0);
        let mut before = Vec::new();
        for (command, span) in map.before.items() {
            let words: Vec<String> = command.0.iter().filter_map(|(word, _)| self.late(word)).collect();
            if command.0.is_empty() && !command.1 || words.first().is_some_and(String::is_empty) {
                self.reader
                    .say(*span, "a command without a program")
                    .hint("write it like [PROGRAM, ARGUMENT]");
            } else if !words.is_empty() {
                before.push(words);
            }
        }
        let mut render = Vec::new();
        for (row, span) in map.render.items() {
            for (name, said) in [("from", row.from.is_said()), ("to", row.to.is_said())] {
                if !said {
                    self.reader
                        .say(*span, format!("a row of `init.render` without `{name}`"))
                        .hint("`from` is the template in the image, `to` the file that is made of it");
                }
            }
            let only = self.texts(&row.only, |name| name.0);
            if let (Some(from), Some(to)) = (self.word(&row.from), self.word(&row.to)) {
                if from == to {
                    self.reader.say(*span, format!("`{from}` is both the template and what is made of it"));
                }
                render.push(Render { from, to, only });
            }
        }
        Init { expand: map.expand.value().copied().unwrap_or(false), wait, before, render }
    }

    pub(super) fn elf(&mut self, field: &Field<ElfMap>) -> ElfRules {
        let Some(map) = field.value() else { return ElfRules::default() };
        ElfRules {
            allow: self.texts(&map.allow, |glob| glob.0),
            ignore: self.texts(&map.ignore, |glob| glob.0),
        }
    }
}
