use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::service::Site;
use super::sources::{Sources, Span};

/// Columns that a rendered problem keeps to.
const COLUMNS: usize = 96;
/// Problems that are shown; more are counted.
const SHOWN: usize = 50;
/// Problems that are kept: a hostile file has one in each of its bytes.
const KEPT: usize = 1_000;
/// Longest message and hint in characters; names in them may be as long as a file.
const LONGEST: usize = 600;
/// Longest name for which near names are looked for.
const NAME: usize = 64;

/// One mistake in a spec.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it is.
    pub site: Site,
    /// What is wrong.
    pub message: String,
    /// A way out, where one is known.
    pub hint: Option<String>,
    /// The line it stands in, where there is such a line.
    pub excerpt: Option<Excerpt>,
}

/// A line of a spec, or as much of it as fits on a screen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Excerpt {
    /// The text, harmless to a terminal.
    pub text: String,
    /// Characters before what is meant.
    pub from: usize,
    /// Characters that are meant, at least one.
    pub width: usize,
}

/// Every mistake that was found, in the order of files and lines; never empty where it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    all: Vec<Problem>,
    /// There were more than are kept.
    more: bool,
}

impl Problems {
    /// The mistakes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.all.iter()
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
    /// The line may hold a secret and is not shown.
    secret: bool,
}

/// Where mistakes are gathered.
#[derive(Debug, Default)]
pub(in crate::spec) struct Drafts {
    kept: Vec<Draft>,
    /// Those that are not kept, and the last of them.
    more: usize,
    last: Option<Draft>,
}

impl Drafts {
    /// Says that something is wrong at `span`.
    pub(in crate::spec) fn say(&mut self, span: Span, message: impl Into<String>) -> &mut Draft {
        let draft = Draft { span, needle: None, message: message.into(), hint: None, secret: false };
        if self.kept.len() < KEPT {
            self.kept.push(draft);
            let last = self.kept.len() - 1;
            &mut self.kept[last]
        } else {
            self.more += 1;
            self.last.insert(draft)
        }
    }

    /// How many there are, also those that are not kept.
    pub(in crate::spec) fn len(&self) -> usize {
        self.kept.len() + self.more
    }

    pub(in crate::spec) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The mistakes with their places; one that was found more than once (in what is extended, once for each
    /// service that does) is said once.
    pub(in crate::spec) fn finish(self, sources: &Sources) -> Problems {
        let mut problems: BTreeMap<(Site, String), Problem> = BTreeMap::new();
        let at = |draft: &Draft| (draft.span.file(), draft.span.line());
        let hidden: BTreeSet<_> = self.kept.iter().filter(|draft| draft.secret).map(at).collect();
        for draft in self.kept {
            let needle = draft.needle.as_deref();
            let span = needle.and_then(|text| sources.find(draft.span, text)).unwrap_or(draft.span);
            let line = sources.line(span.file(), span.line()).filter(|line| !line.trim().is_empty());
            let line = line.filter(|_| !hidden.contains(&(span.file(), span.line())));
            let site = sources.site(span);
            let message = clipped(&draft.message);
            problems.entry((site.clone(), message.clone())).or_insert_with(|| Problem {
                excerpt: line.map(|line| Excerpt::new(line, &site, span.width())),
                site,
                message,
                hint: draft.hint.as_deref().map(clipped),
            });
        }
        Problems { all: problems.into_values().collect(), more: self.more > 0 }
    }

    /// Takes over the mistakes of `other`.
    pub(in crate::spec) fn append(&mut self, mut other: Self) {
        self.kept.append(&mut other.kept);
        self.more += other.more;
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

    /// Does not show the line, which may hold a secret.
    pub(in crate::spec) fn secret(&mut self, secret: bool) -> &mut Self {
        self.secret = secret;
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
    // The distance takes time and room of the product of both lengths.
    let lower = if name.len() <= NAME { name.to_lowercase() } else { return None };
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

/// A character that does nothing to a terminal but being shown.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// `text` without what acts on a terminal, and not longer than can be read.
fn clipped(text: &str) -> String {
    let mut clipped: String = text.chars().take(LONGEST).map(printable).collect();
    if clipped.len() < text.len() && text.chars().nth(LONGEST).is_some() {
        clipped.push('…');
    }
    clipped
}

impl Excerpt {
    /// The line of `site`; a long one from shortly before the place.
    fn new(line: &str, site: &Site, width: usize) -> Self {
        let room = COLUMNS.saturating_sub(site.line.to_string().len() + 5);
        let column = site.column.saturating_sub(1);
        let is_long = line.chars().nth(room).is_some();
        let skipped = if is_long { column.saturating_sub(room / 3) } else { 0 };
        let text: String = line.chars().skip(skipped).take(room).map(printable).collect();
        let from = (column - skipped).min(text.chars().count());
        let width = width.clamp(1, (text.chars().count() - from).max(1));
        Self { text: text.trim_end().to_owned(), from, width }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        wrapped(f, &format!("{}: {}", self.site, self.message))?;
        if let Some(excerpt) = &self.excerpt {
            let number = self.site.line.to_string();
            let (blank, carets) = (" ".repeat(excerpt.from), "^".repeat(excerpt.width));
            write!(f, "\n  {number} | {}", excerpt.text)?;
            write!(f, "\n  {:1$} | {blank}{carets}", "", number.len())?;
        }
        if let Some(hint) = &self.hint {
            f.write_str("\n")?;
            wrapped(f, &format!("hint: {hint}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.all.iter().take(SHOWN).enumerate() {
            if at > 0 {
                f.write_str("\n\n")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        if self.all.len() > 1 {
            let files: BTreeSet<_> = self.all.iter().map(|problem| &problem.site.file).collect();
            let plural = if files.len() == 1 { "file" } else { "files" };
            let more = if self.more { "more than " } else { "" };
            write!(f, "\n\n{more}{} mistakes in {} {plural}", self.all.len(), files.len())?;
            if self.all.len() > SHOWN {
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
        (sources, Span::new(file, line, column, width))
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
