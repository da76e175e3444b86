/// Whether a program that as a rule only reads and prints would write here, as far as its words say it.
pub(super) fn writes(name: &str, words: &[&str]) -> bool {
    match name {
        "sed" => {
            has_letter(words, 'i', "efl")
                || has_long(words, "--i")
                || words.iter().any(|word| writes_in_sed(word))
        }
        "sort" => has_letter(words, 'o', "kStT") || has_long(words, "--o"),
        "uniq" => words.iter().filter(|word| word.starts_with('/')).count() > 1,
        "awk" => {
            let marks = ["system(", "inplace", "> \"", ">\"", "| \"", "|\""];
            words.iter().any(|word| marks.iter().any(|mark| word.contains(mark)))
        }
        "find" => words.iter().any(|word| {
            let acts = ["-exec", "-ok", "-delete", "-fprint", "-fls"];
            acts.iter().any(|act| word.starts_with(act))
        }),
        _ => false,
    }
}

/// Whether one of the one-letter options is given; what stands behind a letter of `valued` in the same word is its value.
fn has_letter(words: &[&str], letter: char, valued: &str) -> bool {
    let short = words.iter().filter(|word| word.starts_with('-') && !word.starts_with("--"));
    short
        .map(|word| &word[1..])
        .any(|letters| letters.chars().take_while(|char| !valued.contains(*char)).any(|char| char == letter))
}

/// Whether a long option is given, also shortened.
fn has_long(words: &[&str], begin: &str) -> bool {
    words.iter().any(|word| word.starts_with(begin))
}

/// Whether a text has sed's command `w` with a path.
fn writes_in_sed(word: &str) -> bool {
    ["w /", "w\t/"].iter().any(|mark| word.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::writes;

    #[test]
    fn what_writes() {
        for (text, expected) in [
            ("sed -ri s/a/b/ /etc/x", true),
            ("sed -n -i p /etc/x", true),
            ("sed --in-pl s/a/b/ /etc/x", true),
            ("sed -es/i/o/ /etc/x", false),
            ("sed -e s/i/o/ /etc/x", false),
            ("sort -uo /etc/x /etc/y", true),
            ("sort -o /etc/x", true),
            ("sort -k2,2 -to /etc/x", false),
            ("uniq /etc/x /etc/y", true),
            ("uniq -f 1 /etc/x", false),
            ("awk {system(\"x\")}", true),
            ("awk {print>\"/etc/x\"}", true),
            ("awk $1>2{print}", false),
            ("find / -execdir x", true),
            ("find / -name exec", false),
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(writes(words[0], &words[1..]), expected, "{text}");
        }
        assert!(writes("sed", &["-n", "s/a/b/w /etc/x"]));
    }
}
