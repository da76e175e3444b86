use std::sync::Arc;

use super::pattern::{Marked, UNKNOWN, matches, plain};
use super::run::{Run, Status};
use crate::debian::shell::{Document, Parameter, Piece, Word};

impl Run<'_, '_> {
    /// A word as one text, for assignments, patterns' subjects and here-documents.
    pub(super) fn text(&mut self, word: &Word, documents: &Arc<Vec<Document>>) -> String {
        plain(&self.marked(word, documents))
    }

    /// The value of an assignment, with the status of the last command in it.
    pub(super) fn assigned(
        &mut self,
        word: &Word,
        documents: &Arc<Vec<Document>>,
    ) -> (String, Option<Status>) {
        if let [Piece::Command { body, .. }] = word.0.as_slice() {
            let (text, status) = self.printed(body, documents);
            return (text, Some(status));
        }
        if let [Piece::Text { text, .. }, Piece::Command { body, .. }] = word.0.as_slice()
            && text.is_empty()
        {
            let (text, status) = self.printed(body, documents);
            return (text, Some(status));
        }
        (self.text(word, documents), None)
    }

    /// A word as one text with its quoted characters marked.
    pub(super) fn marked(&mut self, word: &Word, documents: &Arc<Vec<Document>>) -> Vec<Marked> {
        let mut found = Vec::new();
        for piece in &word.0 {
            let (text, quoted) = match piece {
                Piece::Text { text, quoted } => (text.clone(), *quoted),
                Piece::Parameter { parameter, quoted } => (self.parameter(parameter, documents), *quoted),
                Piece::Command { body, quoted } => (self.printed(body, documents).0, *quoted),
                Piece::Arithmetic(word) => {
                    self.marked(word, documents);
                    (UNKNOWN.to_string(), true)
                }
            };
            if !self.spend(text.len()) {
                return vec![(UNKNOWN, true)];
            }
            found.extend(text.chars().map(|char| (char, quoted)));
        }
        found
    }

    /// Words as the fields that a command gets: split at blanks, with patterns replaced by the paths they stand for.
    pub(super) fn fields(&mut self, words: &[Word], documents: &Arc<Vec<Document>>) -> Vec<String> {
        let separators = self.state.variables.get("IFS").cloned().unwrap_or_else(|| " \t\n".to_owned());
        let mut found: Vec<Vec<Marked>> = Vec::new();
        for word in words {
            let mut current: Option<Vec<Marked>> = None;
            for piece in &word.0 {
                let size = match piece {
                    Piece::Text { text, .. } => text.len(),
                    Piece::Parameter { parameter, .. } if parameter.name == "@" => {
                        self.state.arguments.iter().map(String::len).sum()
                    }
                    _ => 0,
                };
                if !self.spend(1 + size) {
                    return vec![UNKNOWN.to_string()];
                }
                match piece {
                    Piece::Text { text, quoted } => {
                        current.get_or_insert_default().extend(text.chars().map(|char| (char, *quoted)));
                    }
                    Piece::Parameter { parameter, quoted: true }
                        if parameter.name == "@" && parameter.operator.is_none() =>
                    {
                        for (index, argument) in self.state.arguments.clone().into_iter().enumerate() {
                            if index > 0 {
                                found.extend(current.take());
                            }
                            current.get_or_insert_default().extend(argument.chars().map(|char| (char, true)));
                        }
                    }
                    Piece::Parameter { quoted: true, .. }
                    | Piece::Command { quoted: true, .. }
                    | Piece::Arithmetic(_) => {
                        let marked = self.marked(&Word(vec![piece.clone()]), documents);
                        current.get_or_insert_default().extend(marked);
                    }
                    Piece::Parameter { .. } | Piece::Command { .. } => {
                        for (char, _) in self.marked(&Word(vec![piece.clone()]), documents) {
                            if separators.contains(char) {
                                found.extend(current.take());
                            } else {
                                current.get_or_insert_default().push((char, false));
                            }
                        }
                    }
                }
            }
            found.extend(current);
        }
        let mut fields = Vec::new();
        for marked in found {
            let pattern = marked.iter().any(|(char, quoted)| !quoted && "*?[".contains(*char));
            let paths = if pattern && marked.first().is_some_and(|(char, _)| *char == '/') {
                if marked.iter().any(|(char, _)| *char == UNKNOWN) {
                    vec![UNKNOWN.to_string()]
                } else {
                    let (paths, looked) = self.system.files.glob(&marked);
                    self.spend(looked);
                    paths
                }
            } else {
                Vec::new()
            };
            if paths.is_empty() {
                fields.push(plain(&marked));
            } else {
                fields.extend(paths);
            }
        }
        fields
    }

    fn parameter(&mut self, parameter: &Parameter, documents: &Arc<Vec<Document>>) -> String {
        let value = match parameter.name.as_str() {
            "@" | "*" => Some(self.state.arguments.join(" ")),
            "#" => {
                let known = self.state.arguments.iter().all(|argument| !argument.contains(UNKNOWN));
                Some(if known { self.state.arguments.len().to_string() } else { UNKNOWN.to_string() })
            }
            "$" | "!" | "-" => Some(UNKNOWN.to_string()),
            name => match name.parse::<usize>() {
                Ok(0) | Err(_) => self.state.variables.get(name).cloned(),
                Ok(index) => self.state.arguments.get(index - 1).cloned(),
            },
        };
        if !self.spend(value.as_ref().map_or(0, String::len)) {
            return UNKNOWN.to_string();
        }
        let unknown = value.as_ref().is_some_and(|value| value.contains(UNKNOWN));
        if parameter.length {
            return if unknown {
                UNKNOWN.to_string()
            } else {
                value.unwrap_or_default().chars().count().to_string()
            };
        }
        let Some((operator, word)) = &parameter.operator else { return value.unwrap_or_default() };
        // A text with anything known in it is not empty.
        let empty = match &value {
            None => Some(true),
            Some(value) if operator.starts_with(':') => match value.chars().all(|char| char == UNKNOWN) {
                true if value.is_empty() => Some(true),
                true => None,
                false => Some(false),
            },
            Some(_) => Some(false),
        };
        match operator.trim_start_matches(':') {
            "-" | "=" => match empty {
                Some(true) => {
                    let text = self.text(word, documents);
                    if operator.ends_with('=') {
                        self.state.variables.insert(parameter.name.clone(), text.clone());
                    }
                    text
                }
                Some(false) => value.unwrap_or_default(),
                None => UNKNOWN.to_string(),
            },
            "?" => value.unwrap_or_default(),
            "+" => match empty {
                Some(true) => String::new(),
                Some(false) => self.text(word, documents),
                None => UNKNOWN.to_string(),
            },
            _ if unknown => UNKNOWN.to_string(),
            cut => {
                let pattern = self.marked(word, documents);
                let size = value.as_ref().map_or(0, String::len);
                if !self.spend(size.saturating_mul(size).saturating_mul(pattern.len()) / 4) {
                    return UNKNOWN.to_string();
                }
                cut_off(&value.unwrap_or_default(), &pattern, cut)
            }
        }
    }
}

/// `${name%pattern}` and its like; `#` and `%` take the shortest that fits, `##` and `%%` the longest.
fn cut_off(text: &str, pattern: &[Marked], operator: &str) -> String {
    let front = operator.starts_with('#');
    let mut places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let shortest_first = operator.len() == 1;
    if front != shortest_first {
        places.reverse();
    }
    for at in places {
        let (before, behind) = text.split_at(at);
        let (part, rest) = if front { (before, behind) } else { (behind, before) };
        match matches(pattern, part) {
            Some(true) => return rest.to_owned(),
            Some(false) => {}
            None => return UNKNOWN.to_string(),
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_off() {
        let marked = |text: &str| -> Vec<Marked> { text.chars().map(|char| (char, false)).collect() };
        for (text, operator, pattern, expected) in [
            ("/usr/lib/x.so", "##", "*/", "x.so"),
            ("/usr/lib/x.so", "#", "*/", "usr/lib/x.so"),
            ("/usr/lib/x.so", "%", "/*", "/usr/lib"),
            ("/usr/lib/x.so", "%%", "/*", ""),
            ("abc", "%", "x", "abc"),
        ] {
            assert_eq!(cut_off(text, &marked(pattern), operator), expected, "{operator}{pattern}");
        }
    }
}
