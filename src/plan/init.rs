use crate::component::INIT;
use crate::spec::Init;

/// The entrypoint under init: `[init, options…, --, entrypoint…]`. What `cmd` says follows as before, also where there is no
/// entrypoint. One that a base already put under its init gets this one in its place.
pub fn under_init(init: &Init, entrypoint: Option<Vec<String>>) -> Vec<String> {
    let mut words = vec![INIT.to_owned()];
    for render in &init.render {
        words.extend(["--render".to_owned(), render.from.to_string(), render.to.to_string()]);
        if !render.only.is_empty() {
            words.extend(["--only".to_owned(), render.only.join(",")]);
        }
    }
    for address in &init.wait {
        words.extend(["--wait".to_owned(), address.clone()]);
    }
    for command in &init.before {
        words.extend(["--before".to_owned(), command.len().to_string()]);
        words.extend(command.iter().cloned());
    }
    words.extend(init.expand.then(|| "--expand".to_owned()));
    words.push("--".to_owned());
    words.extend(without_init(entrypoint.unwrap_or_default()));
    words
}

/// What stands behind init and its options; all of an entrypoint that is not under init.
pub fn without_init(entrypoint: Vec<String>) -> Vec<String> {
    if entrypoint.first().is_none_or(|first| first != INIT) {
        return entrypoint;
    }
    let mut words = entrypoint.into_iter().skip(1);
    while let Some(word) = words.next() {
        let more = match word.as_str() {
            "--" => break,
            "--render" => 2,
            "--wait" | "--wait-timeout" | "--only" => 1,
            "--before" => words.next().and_then(|count| count.parse().ok()).unwrap_or(0),
            _ => 0,
        };
        words.by_ref().take(more).for_each(drop);
    }
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Render;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_entrypoint_stands_behind_init() {
        let render = |only: &[&str]| Render {
            from: "/a.in".parse().unwrap(),
            to: "/run/a".parse().unwrap(),
            only: texts(only),
        };
        let init = Init {
            expand: true,
            wait: texts(&["db:1"]),
            before: vec![texts(&["x", "--", "y"])],
            render: vec![render(&["A", "B"]), render(&[])],
        };
        let words = under_init(&init, Some(texts(&["/app", "-x"])));
        assert_eq!(
            words.join(" "),
            "/usr/bin/imgpack-init --render /a.in /run/a --only A,B --render /a.in /run/a --wait db:1 --before 3 x -- y \
             --expand -- /app -x"
        );
        // Over a base that has one.
        assert_eq!(under_init(&Init::default(), Some(words)), texts(&[INIT, "--", "/app", "-x"]));
        assert_eq!(under_init(&Init::default(), None), texts(&[INIT, "--"]));
    }
}
