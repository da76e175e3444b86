//! Text in columns of a terminal.

/// Columns that `text` takes; wide characters take two. Never less than what a terminal uses.
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// `text` in at most `room` columns, cut in its middle; control characters are shown as one sign each.
pub fn shorten(text: &str, room: usize) -> String {
    let clean: Vec<char> = printable(text);
    let whole: usize = clean.iter().copied().map(columns).sum();
    if whole <= room {
        return clean.into_iter().collect();
    }
    if room == 0 {
        return String::new();
    }
    let head_room = (room - 1) / 2;
    let head = take(clean.iter().copied(), head_room);
    let mut tail = take(clean.iter().rev().copied(), room - 1 - head_room);
    tail.reverse();
    head.into_iter().chain(['…']).chain(tail).collect()
}

/// `text` in at most `room` columns, cut at its end; control characters are shown as one sign each.
pub fn cut(text: &str, room: usize) -> String {
    let clean = printable(text);
    if clean.iter().copied().map(columns).sum::<usize>() <= room {
        return clean.into_iter().collect();
    }
    let mut kept = take(clean.into_iter(), room.saturating_sub(1));
    if room > 0 {
        kept.push('…');
    }
    kept.into_iter().collect()
}

/// `text`, shortened where needed, with spaces after it.
pub fn left(text: &str, room: usize) -> String {
    let text = shorten(text, room);
    let missing = room.saturating_sub(width(&text));
    format!("{text}{:missing$}", "")
}

/// `text` with spaces before it.
pub fn right(text: &str, room: usize) -> String {
    let missing = room.saturating_sub(width(text));
    format!("{:missing$}{text}", "")
}

fn printable(text: &str) -> Vec<char> {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn take(chars: impl Iterator<Item = char>, room: usize) -> Vec<char> {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += columns(*c);
            used <= room
        })
        .collect()
}

/// Two for what terminals show wide: East Asian scripts and pictures. What is in doubt counts as wide.
fn columns(c: char) -> usize {
    match u32::from(c) {
        0x1100..=0x115f
        | 0x231a..=0x231b
        | 0x23e9..=0x23f3
        | 0x25fd..=0x27bf
        | 0x2b1b..=0x2b55
        | 0x2e80..=0xa4cf
        | 0xa960..=0xa97f
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe10..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1_f000..=0x3_fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_in_its_middle_or_at_its_end() {
        for (text, room, middle, end) in [
            ("gateway", 7, "gateway", "gateway"),
            ("gateway", 6, "ga…way", "gatew…"),
            ("gateway", 1, "…", "…"),
            ("gateway", 0, "", ""),
            ("日本語テキスト", 6, "日…ト", "日本…"),
            ("a\x1b[31m\nb", 20, "a\u{fffd}[31m\u{fffd}b", "a\u{fffd}[31m\u{fffd}b"),
        ] {
            assert_eq!(shorten(text, room), middle);
            assert_eq!(cut(text, room), end);
            assert!(width(&shorten(text, room)) <= room && width(&cut(text, room)) <= room);
        }
    }

    #[test]
    fn columns_are_filled() {
        assert_eq!(left("ab", 4), "ab  ");
        assert_eq!(right("ab", 4), "  ab");
        assert_eq!(right("abcde", 4), "abcde");
        assert_eq!(left("日本", 5), "日本 ");
    }
}
