/// Whether a pattern matches the path or one of the directories above it, component by component: `*`, `?`, `[…]`, `\x` as
/// in Go's `path.Match`, and `**` for any number of components. A `[…]` matches any character, which is never too little.
pub(in super::super) fn matches(pattern: &str, path: &str) -> bool {
    let pattern_parts: Vec<&str> = pattern.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let path_parts: Vec<&str> = path.split('/').collect();
    components(&pattern_parts, &path_parts)
}

fn components(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], _) => true,
        (["**", rest @ ..], _) => (0..=path.len()).any(|skipped| components(rest, &path[skipped..])),
        (_, []) => false,
        ([first, pattern @ ..], [name, path @ ..]) => {
            let (first, name): (Vec<char>, Vec<char>) = (first.chars().collect(), name.chars().collect());
            component(&first, &name) && components(pattern, path)
        }
    }
}

fn component(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], name) => name.is_empty(),
        (['*', pattern @ ..], _) => (0..=name.len()).any(|skipped| component(pattern, &name[skipped..])),
        (_, []) => false,
        (['?', pattern @ ..], [_, name @ ..]) => component(pattern, name),
        (['[', pattern @ ..], [_, name @ ..]) => {
            let end = pattern.iter().skip(1).position(|character| *character == ']').map(|at| at + 2);
            end.is_some_and(|end| component(&pattern[end..], name))
        }
        (['\\', first, pattern @ ..], [character, name @ ..]) if first == character => {
            component(pattern, name)
        }
        ([first, pattern @ ..], [character, name @ ..]) => first == character && component(pattern, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_embeds_and_of_workspace_members() {
        let cases = [
            ("static", "static/deep/a.css", true),
            ("static", "statics/a.css", false),
            ("*.html", "a.html", true),
            ("*.html", "pages/a.html", false),
            ("*.html", "old.html/a", true),
            ("pages/*.html", "pages/a.html", true),
            ("pages/[a-c]?.html", "pages/b1.html", true),
            ("pages/[", "pages/b", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("crates/*", "crates/one", true),
            ("crates/**", "crates/one/two", true),
            ("./crates/**/x", "crates/x", true),
            ("crates/*", "other/one", false),
            ("*", "a/b", true),
            ("", "a", true),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
