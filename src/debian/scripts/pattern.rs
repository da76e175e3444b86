/// Stands in texts for what is not known before a script runs.
pub(super) const UNKNOWN: char = '\u{1a}';

/// A text of which nothing is known.
pub(super) const UNKNOWN_TEXT: &str = "\u{1a}";

/// Patterns and texts that are compared at most: characters of one times characters of the other.
const LARGEST: usize = 1 << 20;

/// A character of a word and whether it was quoted.
pub(super) type Marked = (char, bool);

/// The text of marked characters.
pub(super) fn plain(marked: &[Marked]) -> String {
    marked.iter().map(|(char, _)| char).collect()
}

/// Whether `text` has the form of a shell pattern (POSIX.1-2024, XCU 2.14); `None` where that is not known.
pub(super) fn matches(pattern: &[Marked], text: &str) -> Option<bool> {
    if pattern.iter().all(|(char, quoted)| *char == '*' && !quoted) && !pattern.is_empty() {
        return Some(true);
    }
    if pattern.iter().any(|(char, _)| *char == UNKNOWN) {
        return None;
    }
    let text: Vec<char> = text.chars().collect();
    if text.contains(&UNKNOWN) || pattern.len().saturating_mul(text.len()) > LARGEST {
        return None;
    }
    Some(matched(pattern, &text))
}

/// Whether `text` has the form of `pattern`, in which `*` stands for anything, also for what is not known, and nothing else
/// is special.
pub(super) fn covers(pattern: &str, text: &str) -> bool {
    let begin = pattern.split('*').next().unwrap_or_default();
    if !text.starts_with(begin) || text.len() > 1 << 16 {
        return false;
    }
    let pattern: Vec<Marked> = pattern.chars().map(|char| (char, char != '*')).collect();
    matched(&pattern, &text.chars().collect::<Vec<_>>())
}

/// Backtracks to the last star only, so that no pattern takes more than quadratic time.
fn matched(pattern: &[Marked], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&('*', false)) {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        if let Some(length) = one(&pattern[p..], text[t]) {
            p += length;
            t += 1;
            continue;
        }
        let Some((behind, at)) = star else { return false };
        star = Some((behind, at + 1));
        p = behind;
        t = at + 1;
    }
    pattern[p..].iter().all(|marked| *marked == ('*', false))
}

/// How much of the pattern stands for this one character.
fn one(pattern: &[Marked], char: char) -> Option<usize> {
    match pattern.first()? {
        ('?', false) => Some(1),
        ('[', false) => {
            let end = 2 + pattern.get(2..)?.iter().position(|marked| *marked == (']', false))?;
            let mut set = &pattern[1..end];
            let negated = matches!(set.first(), Some(('!' | '^', false)));
            if negated {
                set = &set[1..];
            }
            let mut found = false;
            let mut at = 0;
            while at < set.len() {
                if at + 2 < set.len() && set[at + 1] == ('-', false) {
                    found |= (set[at].0..=set[at + 2].0).contains(&char);
                    at += 3;
                } else {
                    found |= set[at].0 == char;
                    at += 1;
                }
            }
            (found != negated).then_some(end + 1)
        }
        (known, _) => (*known == char).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let marked = |text: &str| -> Vec<Marked> { text.chars().map(|char| (char, false)).collect() };
        for (pattern, text, expected) in [
            ("*", "\u{1a}", Some(true)),
            ("a*", "abc", Some(true)),
            ("a*c", "abcd", Some(false)),
            ("[a-c]?", "bx", Some(true)),
            ("[!a-c]", "b", Some(false)),
            ("a", "\u{1a}", None),
            ("*a*b", "xaab", Some(true)),
            ("", "", Some(true)),
        ] {
            assert_eq!(matches(&marked(pattern), text), expected, "{pattern} {text}");
        }
        assert_eq!(matches(&[('*', true)], "x"), Some(false));
        assert!(covers("rm -f *", "rm -f /tmp/\u{1a}"));
        assert!(!covers("rm [a]", "rm a"));
    }
}
