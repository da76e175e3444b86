use std::cmp::Ordering;

/// How a version is written: `digits[.digits…][letter][_suffix[number]…][-rN]` (apk-package(5), "pkgver"). The parts stand
/// in this order; what comes later ends a version sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Invalid,
    DigitOrZero,
    Digit,
    Letter,
    Suffix,
    SuffixNumber,
    Revision,
    End,
}

/// Suffixes of what comes before a version, the earliest first.
const BEFORE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
/// Suffixes of what comes after it.
const AFTER: [&str; 5] = ["cvs", "svn", "git", "hg", "p"];

/// Longest run of digits: it fits in 64 bits.
const DIGITS: usize = 18;

struct Parts<'a> {
    rest: &'a [u8],
    next: Part,
}

impl<'a> Parts<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.as_bytes(), next: Part::Digit }
    }

    /// The value of the next part; afterwards `next` says what comes behind it.
    fn take(&mut self) -> i64 {
        let Some(first) = self.rest.first().copied() else {
            self.next = Part::End;
            return 0;
        };
        let mut after = None;
        let (value, length) = match self.next {
            // Digits behind a point that begin with zeros are a fraction: 1.01 is older than 1.1.
            Part::DigitOrZero if first == b'0' => {
                let zeros = self.rest.iter().take_while(|byte| **byte == b'0').count();
                after = Some(Part::Digit);
                (-i64::try_from(zeros).unwrap_or(i64::MAX), zeros)
            }
            Part::DigitOrZero | Part::Digit | Part::SuffixNumber | Part::Revision => {
                let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                if digits >= DIGITS {
                    self.next = Part::Invalid;
                    return -1;
                }
                let number = |value: i64, byte: &u8| value * 10 + i64::from(byte - b'0');
                (self.rest[..digits].iter().fold(0, number), digits)
            }
            Part::Letter => (i64::from(first), 1),
            Part::Suffix => {
                let find =
                    |words: &[&str]| words.iter().position(|word| self.rest.starts_with(word.as_bytes()));
                let place = |at: usize| i64::try_from(at).unwrap_or(0);
                match (find(&BEFORE), find(&AFTER)) {
                    (Some(at), _) => (place(at) - place(BEFORE.len()), BEFORE[at].len()),
                    (None, Some(at)) => (place(at), AFTER[at].len()),
                    (None, None) => {
                        self.next = Part::Invalid;
                        return -1;
                    }
                }
            }
            Part::Invalid | Part::End => {
                self.next = Part::Invalid;
                return -1;
            }
        };
        self.rest = &self.rest[length..];
        match after {
            _ if self.rest.is_empty() => self.next = Part::End,
            Some(part) => self.next = part,
            None => self.step(),
        }
        value
    }

    /// What comes behind a part, its mark taken off.
    fn step(&mut self) {
        let was = self.next;
        let first = self.rest[0];
        let next = if matches!(was, Part::Digit | Part::DigitOrZero) && first.is_ascii_lowercase() {
            Part::Letter
        } else if was == Part::Letter && first.is_ascii_digit() {
            Part::Digit
        } else if was == Part::Suffix && first.is_ascii_digit() {
            Part::SuffixNumber
        } else {
            let (next, mark) = match first {
                b'.' => (Part::DigitOrZero, 1),
                b'_' => (Part::Suffix, 1),
                b'-' if self.rest.get(1) == Some(&b'r') => (Part::Revision, 2),
                _ => (Part::Invalid, 1),
            };
            self.rest = &self.rest[mark..];
            next
        };
        let back = matches!(
            (next, was),
            (Part::DigitOrZero, Part::Digit)
                | (Part::Suffix, Part::SuffixNumber)
                | (Part::Digit, Part::Letter)
        );
        self.next = if next < was && !back { Part::Invalid } else { next };
    }
}

/// Whether `text` is a version.
pub fn is_version(text: &str) -> bool {
    let mut parts = Parts::new(text);
    if !text.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    while !matches!(parts.next, Part::End | Part::Invalid) {
        parts.take();
    }
    parts.next == Part::End
}

/// The order of two versions, as `apk version -t` says it.
pub fn compare_versions(first: &str, second: &str) -> Ordering {
    compare(first, second, false)
}

/// Whether `version` begins with the parts of `wanted`: what `~` asks for.
pub fn is_like(version: &str, wanted: &str) -> bool {
    compare(version, wanted, true) == Ordering::Equal
}

fn compare(first: &str, second: &str, fuzzy: bool) -> Ordering {
    let (mut a, mut b) = (Parts::new(first), Parts::new(second));
    let (mut left, mut right) = (0, 0);
    while a.next == b.next && !matches!(a.next, Part::End | Part::Invalid) && left == right {
        left = a.take();
        right = b.take();
    }
    if left != right {
        return left.cmp(&right);
    }
    if a.next == b.next || (fuzzy && b.next == Part::End) {
        return Ordering::Equal;
    }
    let (at, bt) = (a.next, b.next);
    // The longer one is newer, unless it goes on with the mark of what comes before.
    if at == Part::Suffix && a.take() < 0 {
        return Ordering::Less;
    }
    if bt == Part::Suffix && b.take() < 0 {
        return Ordering::Greater;
    }
    bt.cmp(&at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Said by `apk version -t` of apk-tools 2.14.4.
    const SAID: &str = include_str!("version.table");

    #[test]
    fn versions_are_ordered_as_apk_orders_them() {
        let mut rows = 0;
        for line in SAID.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let &[first, said, second] = words.as_slice() else { panic!("{line}") };
            let order = match compare_versions(first, second) {
                Ordering::Less => "<",
                Ordering::Equal => "=",
                Ordering::Greater => ">",
            };
            assert_eq!(order, said, "{first} {second}");
            rows += 1;
        }
        assert!(rows > 300, "{rows}");
    }

    #[test]
    fn what_is_a_version() {
        for text in ["1", "1.2.3a_alpha1_p2-r3", "0.1_git20210101-r0", "1.0a", "2024b-r1", "1.01", "12.3_rc1"]
        {
            assert!(is_version(text), "{text}");
        }
        for text in [
            "",
            "abc",
            "1_foo",
            "1A",
            "1ab",
            "1.foo",
            "1-rc1",
            "1-x",
            "1.2-1",
            "1.2-r1_p",
            "999999999999999999999",
        ] {
            assert!(!is_version(text), "{text}");
        }
    }

    #[test]
    fn like() {
        for (version, wanted, said) in [
            ("1.2.3-r4", "1.2", true),
            ("1.20-r0", "1.2", false),
            ("1.2-r0", "1.2.3", false),
            ("1.2_rc1-r0", "1.2", true),
            ("1.2-r3", "1.2-r3", true),
        ] {
            assert_eq!(is_like(version, wanted), said, "{version} ~ {wanted}");
        }
    }
}
