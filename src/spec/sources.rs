use super::service::Site;

/// How spec files are read; paths are relative to the workspace root, with `/`, and already normalised.
///
/// The one door of this module: it is implemented over the disk by those who may open files, and over a map in tests.
pub trait Files {
    /// The text of a file. Must refuse what lies out of the workspace, also where a symbolic link leads there.
    fn read(&self, path: &str) -> Result<String, ReadError>;
    /// Every `*.yaml` and `*.yml` file below `dir` (`.` is the root), as paths relative to the root.
    fn list(&self, dir: &str) -> Result<Vec<String>, ReadError>;
}

/// Why a spec file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is nothing at that path.
    #[error("it is not there")]
    NotFound,
    /// It is, or leads through, a link out of the workspace.
    #[error("a symbolic link leads out of the workspace")]
    Outside,
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// A piece of one line of a text: where a node begins, and how many characters of that line it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::spec) struct Span {
    // Small: every key and value of every file has one.
    file: u32,
    line: u32,
    column: u32,
    width: u32,
}

impl Span {
    /// `file` is an index in [`Sources`]; `line` and `column` are from 1, `column` and `width` in characters.
    pub(in crate::spec) fn new(file: usize, line: usize, column: usize, width: usize) -> Self {
        let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self { file: small(file), line: small(line), column: small(column), width: small(width) }
    }

    /// The beginning of a file.
    pub(in crate::spec) fn begin(file: usize) -> Self {
        Self::new(file, 1, 1, 1)
    }

    pub(in crate::spec) fn file(self) -> usize {
        self.file as usize
    }

    pub(in crate::spec) fn line(self) -> usize {
        self.line as usize
    }

    pub(in crate::spec) fn column(self) -> usize {
        self.column as usize
    }

    pub(in crate::spec) fn width(self) -> usize {
        self.width as usize
    }
}

/// Every text that was read in one load, so that a span can be shown.
#[derive(Debug, Clone, Default)]
pub(in crate::spec) struct Sources(Vec<Text>);

#[derive(Debug, Clone)]
struct Text {
    name: String,
    content: String,
    /// Directory that relative paths in it are relative to.
    dir: String,
    /// Byte offset of the beginning of each line.
    lines: Vec<usize>,
}

impl Sources {
    /// Keeps a text; its paths are relative to the directory part of `name`.
    pub(in crate::spec) fn add(&mut self, name: &str, text: String) -> usize {
        let dir = name.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned();
        self.insert(name, text, dir)
    }

    /// Keeps the text of a command-line argument; its paths are relative to the workspace root.
    pub(in crate::spec) fn add_argument(&mut self, name: &str, text: String) -> usize {
        self.insert(name, text, String::new())
    }

    fn insert(&mut self, name: &str, text: String, dir: String) -> usize {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.0.push(Text { name: name.to_owned(), content: text, dir, lines });
        self.0.len() - 1
    }

    /// The directory that paths written in `file` are relative to; empty for the root.
    pub(in crate::spec) fn dir(&self, file: usize) -> &str {
        self.0.get(file).map_or("", |text| &text.dir)
    }

    /// The name of `file`.
    pub(in crate::spec) fn name(&self, file: usize) -> &str {
        self.0.get(file).map_or("", |text| &text.name)
    }

    /// Where `span` begins, for messages.
    pub(in crate::spec) fn site(&self, span: Span) -> Site {
        Site { file: self.name(span.file()).to_owned(), line: span.line(), column: span.column() }
    }

    /// The text of `file`.
    pub(in crate::spec) fn text(&self, file: usize) -> &str {
        self.0.get(file).map_or("", |text| &text.content)
    }

    /// Line `line` of `file`, without its end.
    pub(in crate::spec) fn line(&self, file: usize, line: usize) -> Option<&str> {
        let text = self.0.get(file)?;
        let from = *text.lines.get(line.checked_sub(1)?)?;
        let to = text.lines.get(line).map_or(text.content.len(), |next| next - 1);
        text.content.get(from..to).map(|line| line.strip_suffix('\r').unwrap_or(line))
    }

    /// The first place of `needle` at or after the beginning of `span`, within the next hundred lines.
    pub(in crate::spec) fn find(&self, span: Span, needle: &str) -> Option<Span> {
        (span.line()..span.line() + 100).find_map(|number| {
            let line = self.line(span.file(), number)?;
            let skip = if number == span.line() {
                line.char_indices().nth(span.column() - 1).map_or(line.len(), |(at, _)| at)
            } else {
                0
            };
            let at = skip + line.get(skip..)?.find(needle)?;
            let column = line[..at].chars().count() + 1;
            Some(Span::new(span.file(), number, column, needle.chars().count()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_lines_and_what_is_in_them() {
        let mut sources = Sources::default();
        let file = sources.add("a/b.yaml", "één: x\r\n  y: ${z}\n".to_owned());
        assert_eq!(sources.dir(file), "a");
        assert_eq!(sources.line(file, 1), Some("één: x"));
        assert_eq!(sources.line(file, 2), Some("  y: ${z}"));
        assert_eq!(sources.line(file, 3), Some(""));
        assert_eq!(sources.line(file, 4), None);
        assert_eq!(sources.line(file, 0), None);
        let span = Span::new(file, 1, 6, 1);
        assert_eq!(sources.find(span, "${z}"), Some(Span::new(file, 2, 6, 4)));
        assert_eq!(sources.find(span, "één"), None);
    }
}
