use super::*;
use crate::apk::record::packages;

/// `name-version: field=…; field=…` with the fields D, p, i, k; each line a package.
fn index(text: &str) -> Vec<Package> {
    let record = |line: &str| {
        let (head, fields) = line.split_once(':').unwrap_or((line, ""));
        let (name, version) = head.trim().rsplit_once(' ').unwrap();
        let fields: Vec<String> = fields
            .split(';')
            .filter(|field| !field.trim().is_empty())
            .map(|field| {
                let (key, value) = field.trim().split_once(' ').unwrap();
                format!("{key}:{value}\n")
            })
            .collect();
        format!("C:Q1{name}-{version}\nP:{name}\nV:{version}\nS:1\n{}\n", fields.concat())
    };
    let text: String = text.lines().filter(|line| !line.trim().is_empty()).map(record).collect();
    packages(&text).unwrap()
}

fn answer(installed: &str, available: &str, world: &str) -> String {
    let (installed, available) = (index(installed), index(available));
    let installed: Vec<&Package> = installed.iter().collect();
    let world = Dependency::list(world).unwrap();
    match solve(&Question { installed: &installed, repositories: &[&available], world: &world }) {
        Ok(changes) => {
            let mut words = Vec::new();
            for install in &changes.install {
                let name = install.package.full_name();
                words.push(match &install.replaces {
                    Some(old) => format!("{}>{name}", old.version),
                    None => name,
                });
            }
            words.extend(changes.remove.iter().map(|package| format!("-{}", package.full_name())));
            words.join(" ")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_comes_and_in_which_order() {
    for (installed, available, world, said) in [
        ("", "a 1", "a", "a-1"),
        ("", "a 1\na 2\na 1.5", "a", "a-2"),
        ("", "a 1: D b\nb 1: D c\nc 1", "a", "c-1 b-1 a-1"),
        ("", "a 1: D b\nb 1: D a", "a", "b-1 a-1"),
        ("a 1", "a 2\nb 1: D a", "a b", "b-1"),
        ("a 1", "a 2\nb 1: D a>1", "a b", "1>a-2 b-1"),
        ("", "a 2\na 1\nb 1: D a<2", "b", "a-1 b-1"),
        ("", "a 2\na 1", "a<2", "a-1"),
        ("", "a 1: D so:x.so.1\nb 1: p so:x.so.1=1", "a", "b-1 a-1"),
        ("", "a 1\na-doc 1: i a docs\ndocs 1", "a docs", "a-1 docs-1 a-doc-1"),
        ("", "a 1: D v\nb 1: p v; k 1\nc 1: p v; k 2", "a", "c-1 a-1"),
        ("", "a 1: D v\nb 1: p v\nc 1: p v", "a c", "c-1 a-1"),
        ("a 1\nb 1: D a", "c 1", "b c", "c-1"),
        ("a 1", "c 1", "c", "c-1 -a-1"),
    ] {
        assert_eq!(answer(installed, available, world), said, "{installed} | {available} | {world}");
    }
}

#[test]
fn no_solution_is_explained() {
    for (available, world, said) in [
        ("a 1", "b", "the image wants b, which no repository has"),
        ("a 1: D so:x.so.1", "a", "a-1 wants so:x.so.1, which no repository has"),
        ("a 1: D b\nb 1: D c>2\nc 1", "a", "b-1 wants c>2, and c-1 is not that"),
        ("a 1: D !b\nb 1", "a b", "a-1 conflicts with b, and b-1 is that"),
        ("a 1: p x=1\nb 1: p x=1", "a b", "a-1 and b-1 both provide x, which only one may"),
        ("a 1: D v\nb 1: p v\nc 1: p v", "a", "a-1 wants v: one of b-1, c-1 has to be named for that"),
    ] {
        let whole = format!("no set of packages has everything that is wanted\n  {said}");
        assert_eq!(answer("", available, world), whole, "{available} | {world}");
    }
}

#[test]
fn long_chains_need_no_stack() {
    let rows: Vec<String> = (0..20_000).map(|n| format!("p{n} 1: D p{}", n + 1)).collect();
    let said = answer("", &format!("{}\np20000 1", rows.join("\n")), "p0");
    assert!(said.starts_with("p20000-1 p19999-1 "));
}
