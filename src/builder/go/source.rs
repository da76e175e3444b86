//! What a Go file imports and embeds, read from its text: no more of the language than that needs.

/// Import paths and patterns of `//go:embed`, each maybe more than once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mentions {
    pub(super) imports: Vec<String>,
    pub(super) embeds: Vec<String>,
}

/// Reads a file. Of one that is not Go, what looks like it; the compiler will say what is wrong.
pub(super) fn mentions(text: &str) -> Mentions {
    Mentions { imports: imports(text), embeds: text.lines().flat_map(embeds).collect() }
}

/// The patterns of one line, without `all:`.
fn embeds(line: &str) -> Vec<String> {
    let Some(rest) = line.trim_start().strip_prefix("//go:embed") else { return Vec::new() };
    if !rest.starts_with([' ', '\t']) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut rest = rest.trim_start();
    while let Some(first) = rest.chars().next() {
        let (pattern, after) = match first {
            '"' | '`' => quoted(rest).unwrap_or((rest.to_owned(), "")),
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        found.push(pattern.strip_prefix("all:").map_or(pattern.clone(), str::to_owned));
        rest = after.trim_start();
    }
    found
}

/// A string at the beginning of a text, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next()?;
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if quote == '"' => value.push(characters.next()?.1),
            character if character == quote => return Some((value, &text[at + 1..])),
            character => value.push(character),
        }
    }
    None
}

/// The text after blanks, semicolons and comments.
fn code(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches(|c: char| c.is_whitespace() || c == ';' || c == '\u{feff}');
        if let Some(comment) = text.strip_prefix("//") {
            text = comment.find('\n').map_or("", |at| &comment[at..]);
        } else if let Some(comment) = text.strip_prefix("/*") {
            text = comment.find("*/").map_or("", |at| &comment[at + 2..]);
        } else {
            return text;
        }
    }
}

/// An identifier (`_` and `.` are names of imports too) at the beginning of a text, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

/// The imports, which stand before everything else.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (first, rest) = word(code(text));
    if first != "package" {
        return found;
    }
    let mut rest = code(word(code(rest)).1);
    while let ("import", after) = word(rest) {
        let after = code(after);
        let (group, mut specs) = match after.strip_prefix('(') {
            Some(specs) => (true, code(specs)),
            None => (false, after),
        };
        loop {
            if let Some(after) = specs.strip_prefix(')').filter(|_| group) {
                specs = after;
                break;
            }
            let Some((path, after)) = quoted(code(word(specs).1)) else { return found };
            found.push(path);
            specs = code(after);
            if !group {
                break;
            }
        }
        rest = code(specs);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_in_all_their_forms() {
        let text = "\u{feff}// Copyright\n//go:build linux && !cgo\n\n/* import \"no\" */ package main // p\n\
            import \"fmt\"; import a `m/a`\nimport (\n\t_ \"m/b\" // why\n\t. \"m/c\"; d \"m/d\"\n\t/* x */ \"C\"\n)\n\
            import()\nimport \"m/e\"\nconst x = `import \"no\"`\nimport \"no\"\n";
        assert_eq!(mentions(text).imports, ["fmt", "m/a", "m/b", "m/c", "m/d", "C", "m/e"]);
        for (text, expected) in [
            ("package p", vec![]),
            ("", vec![]),
            ("import \"a\"", vec![]),
            ("package p\nimport \"a\"\nimport (\"b", vec!["a"]),
            ("package p;import\"a\"", vec!["a"]),
            ("package p\nimport (\n\"a\"", vec!["a"]),
            ("package p /* open", vec![]),
            ("package ü\r\nimport \"a\"\r\n", vec!["a"]),
        ] {
            assert_eq!(mentions(text).imports, expected, "{text}");
        }
    }

    #[test]
    fn embeds_with_quotes_and_prefixes() {
        let text = "package p\n\nimport _ \"embed\"\n\n//go:embed a.txt all:static \"with space\" `raw*`\nvar x string\n\
            var (\n\t//go:embed\tb/*.html\n\ty string\n)\n// go:embed no\n//go:embedded no\n//go:embed \"open\n";
        assert_eq!(mentions(text).embeds, ["a.txt", "static", "with space", "raw*", "b/*.html", "\"open"]);
        assert_eq!(mentions("//go:embed \"all:x\"").embeds, ["x"]);
    }
}
