//! Colours and weights of text, where they are wanted.

use std::ffi::OsStr;

/// Paints text, or leaves it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// Text as it is.
    pub const PLAIN: Self = Self { colour: false };
    /// Text with colours.
    pub const COLOUR: Self = Self { colour: true };

    /// Colours on a terminal that can show them, unless `NO_COLOR` is set to anything (<https://no-color.org>).
    pub fn of(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Self {
        let refused =
            no_color.is_some_and(|value| !value.is_empty()) || term.is_some_and(|term| term == "dumb");
        Self { colour: terminal && !refused }
    }

    /// What is done.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }
    /// What failed.
    pub fn bad(self, text: &str) -> String {
        self.paint("31;1", text)
    }
    /// What deserves a look.
    pub fn warning(self, text: &str) -> String {
        self.paint("33", text)
    }
    /// What is going on.
    pub fn busy(self, text: &str) -> String {
        self.paint("36", text)
    }
    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
    /// What matters more.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_only_where_they_are_wanted() {
        let some = |text: &'static str| Some(OsStr::new(text));
        for (terminal, no_color, term, colour) in [
            (true, None, some("xterm"), true),
            (true, some(""), None, true),
            (true, some("0"), None, false),
            (true, None, some("dumb"), false),
            (false, None, some("xterm"), false),
        ] {
            let style = Style::of(terminal, no_color, term);
            assert_eq!(style, Style { colour }, "{terminal} {no_color:?} {term:?}");
        }
        assert_eq!(Style::COLOUR.good("✓"), "\x1b[32m✓\x1b[0m");
        assert_eq!(Style::PLAIN.bad("✗"), "✗");
    }
}
