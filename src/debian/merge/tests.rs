use super::*;
use crate::debian::Paragraph;
use crate::model::ContentDigest;

/// `PATH` is a file with its own path as content, `PATH=TEXT` one with another, `PATH/` a directory, `PATH -> X` a link,
/// `PATH == X` a hard link; `MODE PATH` gives a mode in octal.
fn file(row: &str, offset: u64) -> PackageFile {
    let (mode, row) = match row.split_once(' ') {
        Some((mode, rest)) if !mode.starts_with('/') => (u32::from_str_radix(mode, 8).unwrap(), rest),
        _ => (0o755, row),
    };
    let (path, kind) = if let Some((path, target)) = row.split_once(" -> ") {
        (path, PackageFileKind::Symlink { target: target.into() })
    } else if let Some((path, target)) = row.split_once(" == ") {
        (path, PackageFileKind::Hardlink { target: target.parse().unwrap() })
    } else if let Some(path) = row.strip_suffix('/') {
        (path, PackageFileKind::Directory)
    } else {
        let (path, text) = row.split_once('=').unwrap_or((row, row));
        let digest = ContentDigest::of(text.as_bytes());
        (path, PackageFileKind::File { digest, size: text.len() as u64, offset })
    };
    PackageFile { path: path.parse().unwrap(), kind, mode, owner: Owner::default(), elf: None }
}

fn package(fields: &[(&str, &str)], rows: &[&str]) -> DebFacts {
    let mut files: Vec<PackageFile> =
        rows.iter().enumerate().map(|(index, row)| file(row, index as u64 * 1000)).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let control = Paragraph(fields.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect());
    DebFacts { control, files, ..DebFacts::default() }
}

fn base(rows: &[&str]) -> BaseFacts {
    let mut facts = BaseFacts::default();
    for row in rows {
        let file = file(row, 0);
        let kind = match file.kind {
            PackageFileKind::Directory => FactKind::Directory,
            PackageFileKind::Symlink { target } => FactKind::Symlink(target),
            _ => FactKind::File,
        };
        facts.tree.insert(file.path, Fact { kind, mode: file.mode, uid: 0, gid: 0, size: 0 });
    }
    facts
}

/// Each package as `name: rows`, then the links.
fn merge(packages: &[(&str, &DebFacts)], base: &BaseFacts) -> Result<Vec<String>, Vec<String>> {
    let found = merge_packages(packages, base, &|_| false)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let row = |file: &PackageFile| {
        let mode = if file.mode == 0o755 { String::new() } else { format!("{:o} ", file.mode) };
        match &file.kind {
            PackageFileKind::Directory => format!("{mode}{}/", file.path),
            PackageFileKind::File { .. } => format!("{mode}{}", file.path),
            PackageFileKind::Symlink { target } => format!("{} -> {target}", file.path),
            PackageFileKind::Hardlink { target } => format!("{} == {target}", file.path),
        }
    };
    let mut rows: Vec<String> = packages
        .iter()
        .zip(&found.files)
        .map(|((name, _), files)| format!("{name}: {}", files.iter().map(row).collect::<Vec<_>>().join(", ")))
        .collect();
    let links = found.links.iter().map(|(path, target)| format!("{path} -> {target}"));
    rows.push(links.collect::<Vec<_>>().join(", "));
    Ok(rows)
}

#[test]
fn usr_is_merged_unless_the_base_has_it_otherwise() {
    let libc = package(
        &[("Package", "libc6")],
        &["/lib/", "/lib/x/", "/lib/x/ld.so", "/lib64/", "/lib64/ld.so -> /lib/x/ld.so", "/etc/ld.so.conf"],
    );
    let shell = package(
        &[("Package", "dash")],
        &["/bin/", "/bin/dash", "/bin/sh -> dash", "/bin/again == /bin/dash"],
    );
    let both = [("libc6", &libc), ("dash", &shell)];
    assert_eq!(
        merge(&both, &BaseFacts::default()).unwrap(),
        [
            "libc6: /etc/ld.so.conf, /usr/lib/, /usr/lib/x/, /usr/lib/x/ld.so, /usr/lib64/, /usr/lib64/ld.so -> /lib/x/ld.so",
            "dash: /usr/bin/, /usr/bin/again, /usr/bin/dash == /usr/bin/again, /usr/bin/sh -> dash",
            "/bin -> usr/bin, /lib -> usr/lib, /lib64 -> usr/lib64",
        ]
    );
    // A base that has them brings them; one that is not merged stays so, and what it has not is made.
    let merged = base(&["/bin -> usr/bin", "/lib -> usr/lib", "/lib64 -> usr/lib64"]);
    assert_eq!(merge(&both, &merged).unwrap()[2], "");
    let split = base(&["/bin/", "/lib/"]);
    assert_eq!(
        merge(&both, &split).unwrap(),
        [
            "libc6: /etc/ld.so.conf, /lib/, /lib/x/, /lib/x/ld.so, /usr/lib64/, /usr/lib64/ld.so -> /lib/x/ld.so",
            "dash: /bin/, /bin/again, /bin/dash == /bin/again, /bin/sh -> dash",
            "/lib64 -> usr/lib64",
        ]
    );
    // trixie's base-files brings the links itself.
    let files = package(
        &[("Package", "base-files")],
        &["/bin -> usr/bin", "/usr/", "/usr/bin/", "/etc/debian_version"],
    );
    assert_eq!(
        merge(&[("base-files", &files), ("dash", &shell)], &BaseFacts::default()).unwrap(),
        [
            "base-files: /bin -> usr/bin, /etc/debian_version, /usr/, /usr/bin/",
            "dash: /usr/bin/, /usr/bin/again, /usr/bin/dash == /usr/bin/again, /usr/bin/sh -> dash",
            "",
        ]
    );
}

#[test]
fn what_nobody_reads_stays_out() {
    let docs = package(
        &[("Package", "a")],
        &[
            "/usr/share/doc/",
            "/usr/share/doc/a/",
            "/usr/share/doc/a/copyright",
            "/usr/share/doc/a/changelog.gz",
            "/usr/share/doc/b -> a",
            "/usr/share/man/man1/a.1.gz",
            "/usr/share/locale/",
            "/usr/share/twin == /usr/share/man/man1/a.1.gz",
        ],
    );
    assert_eq!(
        merge(&[("a", &docs)], &BaseFacts::default()).unwrap()[0],
        "a: /usr/share/doc/a/copyright, /usr/share/doc/b -> a, /usr/share/twin"
    );
    let found =
        merge_packages(&[("a", &docs)], &BaseFacts::default(), &|kind| kind == Documentation::Man).unwrap();
    assert_eq!(found.files[0].len(), 4);
}

#[test]
fn one_path_has_one_package() {
    let plain = |name: &str, rows: &[&str]| package(&[("Package", name), ("Version", "1.0-1")], rows);
    let (a, b) = (plain("a", &["/usr/x=1"]), plain("b", &["/usr/x=2"]));
    let newer = package(&[("Package", "c"), ("Replaces", "b (<< 2), d")], &["/usr/x=3"]);
    let same = plain("d", &["/usr/x=1"]);
    let none = BaseFacts::default();
    assert_eq!(
        merge(&[("a", &a), ("b", &b)], &none).unwrap_err(),
        ["/usr/x is in package a and in package b, and neither says that it replaces the other"]
    );
    // In either order.
    for (packages, owner) in [([("b", &b), ("c", &newer)], 1), ([("c", &newer), ("b", &b)], 0)] {
        let found = merge(&packages, &none).unwrap();
        assert_eq!(found[owner], "c: /usr/x");
        assert_eq!(found[1 - owner], "b: ");
    }
    let not_this_one = package(&[("Package", "c"), ("Replaces", "b (<< 1.0)")], &["/usr/x=3"]);
    assert_eq!(merge(&[("b", &b), ("c", &not_this_one)], &none).unwrap_err().len(), 1);
    assert_eq!(merge(&[("a", &a), ("d", &same)], &none).unwrap()[..2], ["a: /usr/x", "d: "]);
    // The same path by way of the merged /usr.
    let (lib, usr) = (plain("a", &["/lib/x=1"]), plain("b", &["/usr/lib/x=2"]));
    assert_eq!(merge(&[("a", &lib), ("b", &usr)], &none).unwrap_err().len(), 1);
    let (directory, file) = (plain("a", &["/usr/x/"]), plain("b", &["/usr/x"]));
    assert_eq!(merge(&[("a", &directory), ("b", &file)], &none).unwrap_err().len(), 1);
}

#[test]
fn directories_belong_to_all_and_the_first_says_how_they_are() {
    let (a, b) =
        (package(&[], &["1777 /tmp/", "/var/", "/var/a"]), package(&[], &["/tmp/", "2775 /var/", "/var/b"]));
    assert_eq!(
        merge(&[("a", &a), ("b", &b)], &BaseFacts::default()).unwrap()[..2],
        ["a: 1777 /tmp/, /var/, /var/a", "b: 1777 /tmp/, /var/, /var/b"]
    );
    let below = base(&["700 /tmp/", "/data/", "/var -> data"]);
    assert_eq!(merge(&[("a", &a)], &below).unwrap()[0], "a: 700 /tmp/, /var/, /var/a");
}

#[test]
fn a_way_through_links_of_others_goes_where_they_lead() {
    let link = package(&[], &["/usr/share/doc/b -> a", "/usr/opt -> /lib/opt"]);
    let user =
        package(&[], &["/usr/share/doc/b/", "/usr/share/doc/b/copyright", "/usr/opt/", "/usr/opt/deep/x"]);
    assert_eq!(
        merge(&[("user", &user), ("link", &link)], &BaseFacts::default()).unwrap()[..2],
        [
            "user: /usr/lib/opt/, /usr/lib/opt/deep/x, /usr/share/doc/a/copyright",
            "link: /usr/opt -> /lib/opt, /usr/share/doc/b -> a",
        ]
    );
    // Where the base has a directory, that stays, and so do the ways through it.
    assert_eq!(
        merge(&[("user", &user), ("link", &link)], &base(&["/usr/share/doc/b/", "/usr/opt/"])).unwrap()[..2],
        ["user: /usr/opt/, /usr/opt/deep/x, /usr/share/doc/b/copyright", "link: "]
    );
    let circle = package(&[], &["/usr/a -> b", "/usr/b -> a"]);
    let lost = package(&[], &["/usr/a/x"]);
    assert_eq!(
        merge(&[("circle", &circle), ("lost", &lost)], &BaseFacts::default()).unwrap_err(),
        ["/usr/a/x of package lost cannot be reached: links of other packages lead in a circle"]
    );
}
