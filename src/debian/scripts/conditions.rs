use super::files::Files;
use super::pattern::UNKNOWN;
use super::run::Status;
use crate::model::FactKind;

/// `test` and `[` (POSIX.1-2024, XCU test).
pub(super) fn test(files: &Files<'_>, words: &[&str]) -> Status {
    match words {
        [] => Some(false),
        [word] => filled(word),
        // `!` belongs to the nearest test: `! -d a -a ! -d b`.
        ["!", rest @ ..] if !(is_joined(rest) || rest.len() == 2 && is_binary(rest[0])) => {
            test(files, rest).map(|status| !status)
        }
        ["(", inner @ .., ")"] => test(files, inner),
        [operator, word] => unary(files, operator, word),
        [left, operator, right] if is_binary(operator) => binary(left, operator, right),
        _ => {
            // `-o` binds less than `-a`.
            for (joint, or) in [("-o", true), ("-a", false)] {
                if let Some(at) = words.iter().position(|word| *word == joint) {
                    let (left, right) = (test(files, &words[..at]), test(files, &words[at + 1..]));
                    return match (left, right) {
                        (Some(status), _) | (_, Some(status)) if status == or => Some(or),
                        (Some(_), Some(_)) => Some(!or),
                        _ => None,
                    };
                }
            }
            None
        }
    }
}

/// Whether tests follow that are joined by `-a` or `-o`.
fn is_joined(words: &[&str]) -> bool {
    words.len() > 3 && words[0] != "(" && words.iter().any(|word| matches!(*word, "-a" | "-o"))
}

fn is_binary(word: &str) -> bool {
    matches!(word, "=" | "==" | "!=" | "-eq" | "-ne" | "-gt" | "-lt" | "-ge" | "-le")
}

fn filled(word: &str) -> Status {
    if !word.is_empty() && word.chars().all(|char| char == UNKNOWN) {
        return None;
    }
    Some(!word.is_empty())
}

fn unary(files: &Files<'_>, operator: &str, word: &str) -> Status {
    match operator {
        "-n" => return filled(word),
        "-z" => return filled(word).map(|status| !status),
        "-t" => return Some(false),
        _ => {}
    }
    if word.contains(UNKNOWN) {
        return None;
    }
    if word.is_empty() {
        return Some(false);
    }
    // The kernel's own trees, and what scripts keep for themselves, are not in the image.
    if !word.starts_with('/')
        || word.starts_with("/proc/")
        || word.starts_with("/sys/")
        || word.starts_with(super::files::SCRATCH)
    {
        return None;
    }
    let target = files.target(word);
    match operator {
        "-e" | "-r" | "-w" | "-x" => Some(target.is_some()),
        "-f" => Some(target == Some(&FactKind::File)),
        "-d" => Some(target == Some(&FactKind::Directory)),
        "-L" | "-h" => Some(matches!(files.kind(word), Some(FactKind::Symlink(_)))),
        "-s" => (target.is_none()).then_some(false),
        _ => None,
    }
}

fn binary(left: &str, operator: &str, right: &str) -> Status {
    if left.contains(UNKNOWN) || right.contains(UNKNOWN) {
        return None;
    }
    if let "=" | "==" | "!=" = operator {
        return Some((left == right) == (operator != "!="));
    }
    let (left, right): (i64, i64) = (left.parse().ok()?, right.parse().ok()?);
    Some(match operator {
        "-eq" => left == right,
        "-ne" => left != right,
        "-gt" => left > right,
        "-lt" => left < right,
        "-ge" => left >= right,
        _ => left <= right,
    })
}
