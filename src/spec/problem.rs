use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::service::Site;
use super::sources::{Sources, Span};

/// Columns that a rendered problem keeps to.
const COLUMNS: usize = 96;
/// Problems that are shown; more are counted.
const SHOWN: usize = 50;

/// One mistake in a spec.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it is.
    pub site: Site,
    /// What is wrong.
    pub message: String,
    /// A way out, where one is known.
    pub hint: Option<String>,
    /// The line it stands in and how many characters of it are meant, where there is such a line.
    pub excerpt: Option<(String, usize)>,
}

/// Every mistake that was found, in the order of files and lines; never empty where it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The mistakes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

impl std::error::Error for Problems {}

/// A mistake before its place is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::spec) struct Draft {
    span: Span,
    needle: Option<String>,
    message: String,
    hint: Option<String>,
}

/// Where mistakes are gathered.
#[derive(Debug, Default)]
pub(in crate::spec) struct Drafts(Vec<Draft>);

impl Drafts {
    /// Says that something is wrong at `span`.
    pub(in crate::spec) fn say(&mut self, span: Span, message: impl Into<String>) -> &mut Draft {
        self.0.push(Draft { span, needle: None, message: message.into(), hint: None });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    pub(in crate::spec) fn len(&self) -> usize {
        self.0.len()
    }

    pub(in crate::spec) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mistakes with their places; one that was found more than once (in what is extended, once for each
    /// service that does) is said once.
    pub(in crate::spec) fn finish(self, sources: &Sources) -> Problems {
        let mut problems: BTreeMap<(Site, String), Problem> = BTreeMap::new();
        for draft in self.0 {
            let needle = draft.needle.as_deref();
            let span = needle.and_then(|text| sources.find(draft.span, text)).unwrap_or(draft.span);
            let line = sources.line(span.file, span.line).filter(|line| !line.trim().is_empty());
            let site = sources.site(span);
            problems.entry((site.clone(), draft.message.clone())).or_insert(Problem {
                site,
                message: draft.message,
                hint: draft.hint,
                excerpt: line.map(|line| (line.to_owned(), span.width)),
            });
        }
        Problems(problems.into_values().collect())
    }

    /// Takes over the mistakes of `other`.
    pub(in crate::spec) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

impl Draft {
    /// Adds a way out.
    pub(in crate::spec) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a way out where there is one.
    pub(in crate::spec) fn maybe_hint(&mut self, hint: Option<String>) -> &mut Self {
        self.hint = hint;
        self
    }

    /// Points at `text`, which stands at or after the beginning of the span.
    pub(in crate::spec) fn at_text(&mut self, text: impl Into<String>) -> &mut Self {
        self.needle = Some(text.into());
        self
    }
}

/// The name of `known` that was most likely meant by `name`, if any is near enough.
pub(in crate::spec) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .filter_map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            let near = distance <= candidate.chars().count().max(lower.chars().count()) / 3;
            near.then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?` where a near name is known.
pub(in crate::spec) fn did_you_mean<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(name, known).map(|near| format!("did you mean `{near}`?"))
}

/// Breaks `text` at spaces, so that no line is longer than [`COLUMNS`] where that can be; later lines are indented.
fn wrapped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let mut column = 0;
    for (at, word) in text.split(' ').enumerate() {
        let width = word.chars().count();
        if at > 0 && column + 1 + width > COLUMNS {
            write!(f, "\n  {word}")?;
            column = 2 + width;
        } else if at > 0 {
            write!(f, " {word}")?;
            column += 1 + width;
        } else {
            f.write_str(word)?;
            column = width;
        }
    }
    Ok(())
}

/// Whether a character would move the cursor or act on the terminal.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
        {
            '\u{fffd}'
        }
        c => c,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message: String = self.message.chars().map(printable).collect();
        wrapped(f, &format!("{}: {message}", self.site))?;
        if let Some((line, width)) = &self.excerpt {
            let number = self.site.line.to_string();
            let room = COLUMNS.saturating_sub(number.len() + 5);
            let chars: Vec<char> = line.chars().map(printable).collect();
            let column = (self.site.column - 1).min(chars.len());
            // A long line is shown from shortly before the place.
            let from = if chars.len() > room { column.saturating_sub(room / 3) } else { 0 };
            let to = chars.len().min(from + room);
            let shown: String = chars[from..to].iter().collect();
            let carets = (*width).clamp(1, (to - column).max(1));
            write!(f, "\n  {number} | {}", shown.trim_end())?;
            write!(f, "\n  {:1$} | {2:3$}{4}", "", number.len(), "", column - from, "^".repeat(carets))?;
        }
        if let Some(hint) = &self.hint {
            f.write_str("\n")?;
            wrapped(f, &format!("hint: {}", hint.chars().map(printable).collect::<String>()))?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().take(SHOWN).enumerate() {
            if at > 0 {
                f.write_str("\n\n")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        if self.0.len() > 1 {
            let files: BTreeSet<_> = self.0.iter().map(|problem| &problem.site.file).collect();
            let plural = if files.len() == 1 { "file" } else { "files" };
            write!(f, "\n\n{} mistakes in {} {plural}", self.0.len(), files.len())?;
            if self.0.len() > SHOWN {
                write!(f, ", the first {SHOWN} are shown")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, line: usize, column: usize, width: usize) -> (Sources, Span) {
        let mut sources = Sources::default();
        let file = sources.add("a.yaml", text.to_owned());
        (sources, Span { file, line, column, width })
    }

    #[test]
    fn shows_the_line_and_the_place() {
        let (sources, span) = at("image:\n  prots: [1]\n", 2, 3, 5);
        let mut drafts = Drafts::default();
        drafts.say(span, "unknown field `prots`").hint("did you mean `ports`?");
        drafts.say(span, "unknown field `prots`").hint("did you mean `ports`?");
        assert_eq!(
            drafts.finish(&sources).to_string(),
            "a.yaml:2:3: unknown field `prots`\n  2 |   prots: [1]\n    |   ^^^^^\nhint: did you mean `ports`?"
        );
    }

    #[test]
    fn keeps_to_the_columns_and_to_harmless_characters() {
        let text = format!("{}\u{1b}[31m wrong {}", "x".repeat(300), "y".repeat(300));
        let (sources, span) = at(&text, 1, 307, 5);
        let mut drafts = Drafts::default();
        drafts.say(span, "word ".repeat(60)).hint("word ".repeat(60));
        let shown = drafts.finish(&sources).to_string();
        assert!(shown.lines().all(|line| line.chars().count() <= COLUMNS), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        let lines: Vec<_> = shown.lines().collect();
        let carets = lines.iter().position(|line| line.contains("^^^^^")).unwrap();
        let column = lines[carets].find('^').unwrap();
        assert_eq!(lines[carets - 1].chars().skip(column).take(5).collect::<String>(), "wrong");
    }

    #[test]
    fn near_names_only() {
        for (name, expected) in
            [("prots", Some("ports")), ("PORTS", Some("ports")), ("x", None), ("environment", None)]
        {
            assert_eq!(nearest(name, ["ports", "env", "user"]), expected, "{name}");
        }
    }
}
