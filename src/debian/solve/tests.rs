use std::error::Error as _;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::debian::index::Package;
use crate::debian::paragraphs;

/// `a 1; Depends: b (>= 2); Priority: required`, a package a line.
fn control(packages: &str) -> String {
    let mut text = String::new();
    for line in packages.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut fields = line.split(';').map(str::trim);
        let (name, version) = fields.next().unwrap().split_once(' ').unwrap();
        writeln!(text, "Package: {name}\nVersion: {version}\nFilename: pool/{name}_{version}.deb").unwrap();
        writeln!(text, "Size: 1\nSHA256: {}", "0".repeat(64)).unwrap();
        if !line.contains("Architecture:") {
            text.push_str("Architecture: amd64\n");
        }
        fields.for_each(|field| writeln!(text, "{field}").unwrap());
        text.push('\n');
    }
    text
}

fn index(packages: &str) -> Index {
    Index::read(&mut control(packages).as_bytes()).unwrap()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The chosen packages in their order, or the error with its causes and its hint, a line each.
fn said(indexes: &[Index], base: &str, install: &str, exclude: &str) -> String {
    let base = paragraphs(&control(base)).unwrap().iter().filter_map(Installed::of).collect::<Vec<_>>();
    let request = Request { architecture: "amd64".into(), install: words(install), exclude: words(exclude) };
    match solve(&request, indexes, &base) {
        Ok(solution) => {
            let mut said = Vec::new();
            for Chosen { package, index, replaces, .. } in &solution.packages {
                let from = if *index > 0 { format!("@{index}") } else { String::new() };
                let instead = replaces.as_ref().map(|version| format!("<-{version}")).unwrap_or_default();
                said.push(format!("{}={}{from}{instead}", package.name, package.version));
            }
            said.extend(solution.left_out.iter().map(|(who, excluded)| format!("{who}!{excluded}")));
            said.join(" ")
        }
        Err(error) => {
            let mut lines = vec![error.to_string()];
            let mut cause = error.source();
            while let Some(error) = cause {
                lines.push(format!("because: {error}"));
                cause = error.source();
            }
            lines.extend(error.hint().map(|hint| format!("hint: {hint}")));
            lines.join("\n")
        }
    }
}

#[test]
fn what_is_chosen() {
    let cases = [
        (
            "nothing more than is needed",
            "a 1; Recommends: r; Suggests: s\nr 1\ns 1\nessential 1; Essential: yes",
            "a",
            "a=1",
        ),
        ("words in any order, twice", "a 1\nb 1", "b a b", "a=1 b=1"),
        (
            "needs first, in order",
            "a 1; Depends: c, b\nb 1\nc 1; Pre-Depends: d\nd 1",
            "a",
            "d=1 c=1 b=1 a=1",
        ),
        ("a circle", "a 1; Depends: b\nb 1; Depends: c, a\nc 1", "a", "c=1 b=1 a=1"),
        ("the highest version", "a 1\na 1.10\na 1.9", "a", "a=1.10"),
        ("a version that is asked for", "a 1\na 2", "a=1", "a=1"),
        ("an epoch of 0 is none", "a 0:1", "a=1", "a=0:1"),
        (
            "of all architectures, and of no other",
            "a 1; Architecture: all\nb 2; Architecture: arm64\nb 1",
            "a b",
            "a=1 b=1",
        ),
        ("the first alternative", "a 1; Depends: x | b | c\nb 1\nc 1", "a", "b=1 a=1"),
        ("one that is there already", "a 1; Depends: b | c\nb 1\nc 1", "a c", "c=1 a=1"),
        ("one that comes later is not there yet", "a 1; Depends: b | c, c\nb 1\nc 1", "a", "b=1 c=1 a=1"),
        ("not one that conflicts", "a 1; Depends: b | c, d\nb 1; Conflicts: d\nc 1\nd 1", "a", "c=1 d=1 a=1"),
        (
            "nor one that is broken",
            "a 1; Depends: b | c, d\nb 1\nc 1\nd 1; Breaks: b (<< 2)",
            "a",
            "c=1 d=1 a=1",
        ),
        ("nor one whose needs are not there", "a 1; Depends: b | c\nb 1; Depends: x\nc 1", "a", "c=1 a=1"),
        ("a name that is provided", "a 1; Depends: v\nb 1; Provides: v", "a", "b=1 a=1"),
        (
            "the package of that name before who provides it",
            "a 1; Depends: v\nb 1; Provides: v\nv 1; Priority: extra",
            "a",
            "v=1 a=1",
        ),
        (
            "who provides it by priority",
            "a 1; Depends: v\nb 1; Provides: v; Priority: optional\nc 1; Provides: v; Priority: important",
            "a",
            "c=1 a=1",
        ),
        (
            "a version needs one that is provided",
            "a 1; Depends: v (>= 2)\nb 1; Provides: v\nc 1; Provides: v (= 1)\nd 1; Provides: v (= 3)",
            "a",
            "d=1 a=1",
        ),
        ("what it provides itself is no conflict", "a 1; Provides: v; Conflicts: v; Depends: v", "a", "a=1"),
        ("an older one where the newest does not do", "a 1; Depends: b (<< 2)\nb 1\nb 2", "a", "b=1 a=1"),
        ("but rather another one", "a 1; Depends: b (<< 2) | c\nb 1\nb 2\nc 1", "a", "c=1 a=1"),
        ("an older one of what is wanted, if need be", "a 2; Depends: x\na 1", "a", "a=1"),
        (
            "of any architecture",
            "a 1; Depends: b:any, c:native, d:amd64\nb 1; Multi-Arch: allowed\nc 1\nd 1",
            "a",
            "b=1 c=1 d=1 a=1",
        ),
        (
            "conflicts far apart",
            "a 1; Depends: p | q\nb 1; Depends: r | s\np 1; Depends: t\nr 1; Depends: u\nq 1\ns 1\nt 1; Conflicts: u\nu 1",
            "a b",
            "t=1 p=1 a=1 s=1 b=1",
        ),
    ];
    for (name, packages, install, wanted) in cases {
        assert_eq!(said(&[index(packages)], "", install, ""), wanted, "{name}");
    }
}

#[test]
fn repositories_are_one() {
    let indexes = [
        index("a 1\nb 1\nc 2"),
        index("a 1; Depends: x\nb 2\nc 1"),
        index("b 2; Depends: x\nd 1; Depends: c"),
    ];
    assert_eq!(said(&indexes, "", "a b d", ""), "a=1 b=2@1 c=2 d=1@2");
}

#[test]
fn what_is_excluded_counts_as_there() {
    let packages = "a 1; Depends: b (>= 9), v, n\nb 1; Depends: x\nc 1; Provides: v\nd 1; Depends: b | c\ne 1; Depends: c | b\nf 1; Depends: c, c | b";
    let indexes = [index(packages)];
    for (install, exclude, wanted) in [
        ("a", "b c n", "a=1 a!b a!c a!n"),
        ("d", "b", "d=1 d!b"),
        // What would not have been chosen makes no difference.
        ("e", "b", "c=1 e=1"),
        ("f", "b", "c=1 f=1"),
        ("c", "nobody", "c=1"),
    ] {
        assert_eq!(said(&indexes, "", install, exclude), wanted, "{install} without {exclude}");
    }
}

#[test]
fn the_base_stays() {
    let packages = "
        a 2; Depends: b
        b 3
        c 2; Depends: b (>= 2)
        d 1; Depends: v
        e 1; Provides: v
        f 1; Depends: b (>= 2) | g
        g 1
        h 1; Conflicts: e
        k 2; Depends: b (>= 3)
        m 1; Breaks: b (<< 2)
        l 2";
    let indexes = [index(packages)];
    for (name, base, install, wanted) in [
        ("what is there is not put in again", "a 2\nb 3", "a", ""),
        ("even in another version", "a 1", "a", ""),
        ("it fulfils what is needed", "b 1", "a", "a=2"),
        ("and what it provides does", "z 1; Provides: v", "d", "d=1"),
        ("a version that is asked for takes its place", "a 1\nb 1", "a=2", "a=2<-1"),
        ("so does one that is needed", "b 1", "c", "b=3<-1 c=2"),
        ("another alternative is better", "b 1", "f", "g=1 f=1"),
        ("what depends on the old one follows", "b 1\nk 1; Depends: b (<< 2)", "c", "b=3<-1 c=2 k=2<-1"),
        ("also one that breaks the old one", "b 1", "m", "b=3<-1 m=1"),
        ("what the base lacks it lacks", "b 1; Depends: x, g\nn 1; Conflicts: b", "a", "a=2"),
        ("of other architectures it has nothing", "b 1; Architecture: arm64", "a", "b=3 a=2"),
        ("what is not installed is not there", "b 1; Status: deinstall ok config-files", "a", "b=3 a=2"),
        ("what is excluded and there", "b 1", "c", "b=3<-1 c=2"),
    ] {
        assert_eq!(said(&indexes, base, install, ""), wanted, "{name}");
    }
}

#[test]
fn why_there_is_none() {
    let packages = "
        libfoo1 1
        libfoo-dev 1
        libbar1 1
        many 1
        many 2
        mta 1; Provides: mail
        mua 1; Provides: mail
        a 1; Depends: b (>= 2), z
        z 1
        c 1; Provides: b (= 2); Conflicts: d
        d 1
        e 1; Depends: b (>= 3)
        f 1; Depends: many (>= 3) | x
        g 1; Depends: h | k
        h 1; Breaks: l
        k 1; Conflicts: mail
        l 1
        needs1 1; Depends: many (= 1)
        needs2 1; Depends: many (= 2)
        odd 1; Depends: ${misc:Depends}
        new 1; Depends: base (>= 2)
        old 1; Breaks: base (<< 5)";
    let indexes = [index(packages)];
    let hint = "hint: choose others, or leave out with `exclude` what the image can do without";
    for (base, install, exclude, wanted) in [
        ("", "libfo1", "", "no repository has a package libfo1\nhint: did you mean libfoo1?".to_owned()),
        ("", "libfoo", "", "no repository has a package libfoo\nhint: did you mean libfoo1 or libfoo-dev?".to_owned()),
        ("", "quite-another", "", "no repository has a package quite-another".to_owned()),
        ("", "many=3", "", "no repository has many in version 3\nhint: there is 2 and 1".to_owned()),
        ("", "mail", "", "mail is no package but a name that packages provide\nhint: name the one you want: mta or mua".to_owned()),
        ("", "d", "d", "d is both in `install` and in `exclude`".to_owned()),
        ("", "odd", "", "the repository's words about odd 1 cannot be read\nbecause: `${misc:Depends}` is no relation to a package".to_owned()),
        ("", "a d z", "", format!("a and d cannot be installed together\nbecause: a 1 needs b (>= 2), which only c provides\nbecause: c 1 conflicts with d\n{hint}")),
        ("", "e", "", format!("e cannot be installed\nbecause: e 1 needs b (>= 3), which no repository has\n{hint}")),
        ("", "f", "", format!("f cannot be installed\nbecause: f 1 needs many (>= 3) | x, and there is many 2 and many 1 only\n{hint}")),
        ("", "g l mta", "", format!("g and l and mta cannot be installed together\nbecause: g 1 needs h | k\nbecause: h 1 breaks l\nbecause: k 1 conflicts with mail, which mta 1 provides\n{hint}")),
        ("", "needs1 needs2", "", format!("needs1 and needs2 cannot be installed together\nbecause: needs1 1 needs many (= 1)\nbecause: needs2 1 needs many (= 2)\nbecause: there can be one version of many only: 1 or 2\n{hint}")),
        ("", "many=1 many=2", "", format!("many=1 and many=2 cannot be installed together\nbecause: there can be one version of many only: 1 or 2\n{hint}")),
        ("base 1", "new", "", format!("new cannot be installed\nbecause: new 1 needs base (>= 2), and there is base 1 of the base only\n{hint}")),
        ("base 1", "old", "", format!("old cannot be installed\nbecause: the base has base 1, which stays in one version or another\nbecause: old 1 breaks base (<< 5)\n{hint}")),
    ] {
        assert_eq!(said(&indexes, base, install, exclude), wanted, "{install} without {exclude}");
    }
}

/// All choices of three packages' alternatives are tried, which is a puzzle without an answer and no way to shorten it.
#[test]
fn it_ends() {
    let mut pigeons = String::new();
    for pigeon in 0..30 {
        let holes = (0..29).map(|hole| format!("p{pigeon}h{hole}")).collect::<Vec<_>>();
        writeln!(pigeons, "p{pigeon} 1; Depends: {}", holes.join(" | ")).unwrap();
        for hole in 0..29 {
            writeln!(pigeons, "p{pigeon}h{hole} 1; Provides: hole{hole}; Conflicts: hole{hole}").unwrap();
        }
    }
    let indexes = [index(&pigeons)];
    let install = (0..30).map(|pigeon| format!("p{pigeon}")).collect();
    let request = Request { architecture: "amd64".into(), install, exclude: Vec::new() };
    let error = Search::new(&request, &indexes, &[], 1_000_000).and_then(Search::solution).unwrap_err();
    assert_eq!(error, NoSolution::Exhausted { words: 30 });
    assert_eq!(error.hint().as_deref(), Some("name packages or versions where there is a choice"));
}

#[test]
fn long_chains_need_no_stack() {
    let mut chain = String::new();
    for link in 0..50_000 {
        writeln!(chain, "p{link} 1; Depends: p{} | q{link}", link + 1).unwrap();
    }
    chain.push_str("p50000 1\n");
    let said = said(&[index(&chain)], "", "p0", "");
    assert!(said.starts_with("p50000=1 p49999=1 "), "{}", &said[..80]);
}

fn world() -> impl Strategy<Value = (String, Vec<String>)> {
    let relation = "[a-h]( \\((>=|<<|=) [12]\\))?";
    let group = prop::collection::vec(relation, 1..3).prop_map(|names| names.join(" | "));
    let groups = prop::collection::vec(group, 0..3).prop_map(|groups| groups.join(", "));
    let package = (groups, prop::option::of(relation), prop::option::of("[d-h]"));
    let package = package.prop_map(|(depends, conflicts, provides)| {
        let field = |name: &str, value: Option<String>| {
            value
                .filter(|value| !value.is_empty())
                .map(|value| format!("; {name}: {value}"))
                .unwrap_or_default()
        };
        let depends = field("Depends", Some(depends));
        format!("{depends}{}{}", field("Conflicts", conflicts), field("Provides", provides))
    });
    (
        prop::collection::btree_map(("[a-f]", "[12]"), package, 1..12).prop_map(|packages| {
            let line =
                |((name, version), rest): (&(String, String), &String)| format!("{name} {version}{rest}");
            packages.iter().map(line).collect::<Vec<_>>().join("\n")
        }),
        prop::collection::vec("[a-f]", 1..3),
    )
}

/// Whether these packages go together, asked in the simplest way.
fn consistent(packages: &[Package<'_>], install: &[String]) -> bool {
    let fulfils = |package: &Package<'_>, relation: &Relation<'_>| {
        let provided = relations(package.provides, "amd64").unwrap();
        package.name == relation.name && relation.admits(Some(package.version))
            || provided.iter().flatten().any(|provided| {
                provided.name == relation.name
                    && relation.admits(provided.version.map(|(_, version)| version))
            })
    };
    install.iter().all(|name| packages.iter().any(|package| package.name == name))
        && packages.iter().enumerate().all(|(place, package)| {
            let needs = relations(package.depends[1], "amd64").unwrap();
            let conflicts = relations(package.conflicts[0], "amd64").unwrap();
            let others = |other: &&Package<'_>| other.name != package.name;
            packages[..place].iter().all(|other| other.name != package.name)
                && needs.iter().all(|group| {
                    packages.iter().any(|other| group.iter().any(|relation| fulfils(other, relation)))
                })
                && conflicts
                    .iter()
                    .flatten()
                    .all(|relation| !packages.iter().filter(others).any(|other| fulfils(other, relation)))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// An answer is one, and without one no choice of packages is.
    #[test]
    fn an_answer_is_found_where_there_is_one((packages, install) in world()) {
        let index = index(&packages);
        let all = (0..index.len()).map(|number| index.package(number)).collect::<Vec<_>>();
        prop_assume!(install.iter().all(|name| all.iter().any(|package| package.name == name)));
        let request = Request { architecture: "amd64".into(), install: install.clone(), exclude: Vec::new() };
        match solve(&request, std::slice::from_ref(&index), &[]) {
            Ok(solution) => {
                let chosen = solution.packages.iter().map(|chosen| &chosen.package);
                let chosen = chosen.map(|chosen| *all.iter().find(|package| (package.name, package.version) == (&*chosen.name, &*chosen.version)).unwrap());
                prop_assert!(consistent(&chosen.collect::<Vec<_>>(), &install));
            }
            Err(NoSolution::Unsatisfiable { wanted, .. }) => {
                prop_assert!(wanted.iter().all(|word| install.contains(word)));
                for choice in 0_u32..1 << all.len() {
                    let chosen = all.iter().enumerate().filter(|(place, _)| choice >> place & 1 == 1);
                    prop_assert!(!consistent(&chosen.map(|(_, package)| *package).collect::<Vec<_>>(), &install));
                }
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
