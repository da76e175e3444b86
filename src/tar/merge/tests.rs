use std::sync::atomic::Ordering;

use super::super::members::Budget;
use super::super::read::tests::member;
use super::*;

/// `d path`, `f path content`, `l path target`, `h path target`, `c path`.
fn tar(rows: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        let mut words = row.splitn(3, ' ');
        let (kind, path) = (words.next().unwrap(), words.next().unwrap().as_bytes());
        let rest = words.next().unwrap_or_default().as_bytes();
        bytes.extend(match kind {
            "d" => member(b'5', path, b"", b""),
            "f" => member(b'0', path, b"", rest),
            "l" => member(b'2', path, rest, b""),
            "h" => member(b'1', path, rest, b""),
            _ => member(b'3', path, b"", b""),
        });
    }
    bytes.extend([0; 1024]);
    bytes
}

fn add(merge: &mut Merge, layer: &[u8]) -> Result<LayerFacts, TarError> {
    merge.add(&LayerMembers::read(layer, &Budget::default())?)
}

fn merge(layers: &[&[&str]]) -> Result<BaseFacts, TarError> {
    let mut merge = Merge::new();
    let layers: Vec<_> = layers.iter().map(|rows| tar(rows)).collect();
    for layer in &layers {
        add(&mut merge, layer)?;
    }
    for number in merge.wanted_again() {
        merge.again(number, &layers[number][..])?;
    }
    assert!(merge.wanted_again().is_empty());
    Ok(merge.finish())
}

fn tree(layers: &[&[&str]]) -> Vec<String> {
    let facts = merge(layers).unwrap();
    let row = |(path, fact): (&ImagePath, &Fact)| match &fact.kind {
        FactKind::Directory => format!("{path}/"),
        FactKind::File => format!("{path} {}", fact.size),
        FactKind::Symlink(target) => format!("{path} -> {target}"),
        FactKind::Special => format!("{path} !"),
    };
    facts.tree.iter().map(row).collect()
}

#[test]
fn layers_are_merged_as_engines_do() {
    type Case<'a> = (&'a str, &'a [&'a [&'a str]], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        ("parents are made", &[&["f ./usr/bin/x 123"]], &["/usr/", "/usr/bin/", "/usr/bin/x 3"]),
        ("the root is passed over", &[&["d ./", "d /", "f a"]], &["/a 0"]),
        ("later wins", &[&["f a 1", "f a 22"], &["f a 333"]], &["/a 3"]),
        (
            "removal",
            &[&["f d/a", "f d/ /x", "f d-b", "f d.c", "f e"], &["f .wh.d"]],
            &["/d-b 0", "/d.c 0", "/e 0"],
        ),
        ("removal of nothing", &[&["f a"], &["f .wh.b", "f x/.wh.y"]], &["/a 0"]),
        (
            "opaque, whatever the order",
            &[&["f d/a", "f d/s/b"], &["f d/new", "f d/.wh..wh..opq", "f d/later"]],
            &["/d/", "/d/later 0", "/d/new 0"],
        ),
        ("opaque root", &[&["f a"], &["f .wh..wh..opq", "f b"]], &["/b 0"]),
        ("aufs", &[&["f .wh..wh.plnk/1", "f .wh..wh.aufs", "f a"]], &["/a 0"]),
        ("file over directory", &[&["f d/a"], &["f d 1"]], &["/d 1"]),
        ("directory over file", &[&["f d 1"], &["d d", "f d/a"]], &["/d/", "/d/a 0"]),
        ("directory over directory", &[&["f d/a"], &["d d"]], &["/d/", "/d/a 0"]),
        ("link over directory", &[&["f bin/a"], &["l bin usr/bin"]], &["/bin -> usr/bin"]),
        (
            "through a link",
            &[&["l lib usr/lib", "d usr/lib"], &["f lib/x 1", "f lib/.wh.y"]],
            &["/lib -> usr/lib", "/usr/", "/usr/lib/", "/usr/lib/x 1"],
        ),
        (
            "a removal through a link",
            &[&["l lib usr/lib", "f usr/lib/y", "d usr/lib"], &["f lib/.wh.y"]],
            &["/lib -> usr/lib", "/usr/", "/usr/lib/"],
        ),
        ("a link to the root", &[&["l up ../.."], &["f up/x"]], &["/up -> ../..", "/x 0"]),
        (
            "the link is new",
            &[&["f a/x"], &["f .wh.a", "d b", "l a b", "f a/y"]],
            &["/a -> b", "/b/", "/b/y 0"],
        ),
        ("hard links", &[&["f a 12", "h b ./a", "h d/c /b"], &["f .wh.a"]], &["/b 2", "/d/", "/d/c 2"]),
        ("special", &[&["c dev/null"]], &["/dev/", "/dev/null !"]),
        ("what no path of ours can meet", &[&["f a\u{1}b", "d c\u{7f}", "f c\u{7f}/x"]], &[]),
    ];
    for (name, layers, expected) in cases {
        assert_eq!(tree(layers), *expected, "{name}");
    }
}

#[test]
fn contents_follow_links_at_the_end() {
    type Case<'a> = (&'a [&'a [&'a str]], &'a [(&'a str, &'a str)]);
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    let cases: &[Case<'_>] = &[
        (&[&["f etc/passwd root", "f etc/shadow x"]], &[("/etc/passwd", "root")]),
        (&[&["f etc/passwd one"], &["f etc/passwd two"]], &[("/etc/passwd", "two")]),
        (&[&["f etc/passwd one"], &["f etc/.wh.passwd"]], &[]),
        (&[&["f usr/lib/passwd linked", "l etc/passwd ../usr/lib/passwd"]], &[("/usr/lib/passwd", "linked")]),
        (&[&["f real first", "f x"], &["l etc/group /real"], &["f other"]], &[("/real", "first")]),
        (
            &[&["f etc/passwd one", "h copy etc/passwd"], &["f .wh.etc", "l etc/passwd /copy"]],
            &[("/copy", "one")],
        ),
        (&[&["f data hard", "h etc/passwd data"]], &[("/etc/passwd", "hard")]),
        (
            &[&["f etc/ssl/certs/ca-certificates.crt pem", "l etc/ssl/cert.pem certs/ca-certificates.crt"]],
            &[(bundle, "pem")],
        ),
        (&[&["l etc/passwd passwd"], &["d etc/group"]], &[]),
    ];
    for (layers, expected) in cases {
        let facts = merge(layers).unwrap();
        let found: Vec<_> =
            facts.contents.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        assert_eq!(found, *expected, "{layers:?}");
    }
    let big = member(b'0', b"etc/passwd", b"", &vec![b'x'; 5 << 20]);
    let mut merge = Merge::new();
    add(&mut merge, &big).unwrap();
    assert!(merge.wanted_again().is_empty());
    let facts = merge.finish();
    assert!(facts.contents.is_empty() && facts.tree.len() == 2);
}

#[test]
fn databases_and_folders_are_kept() {
    let facts = merge(&[
        &[
            "l lib usr/lib",
            "f usr/lib/apk/db/installed P:musl",
            "f usr/lib/apk/db/scripts.tar \u{1}",
            "f db/triggers no",
        ],
        &[
            "f var/lib/dpkg/status.d/libc6 Package:libc6",
            "f var/lib/dpkg/status.d/libc6.md5sums abc",
            "f var/lib/dpkg/status.d/gone x",
            "f var/lib/dpkg/info/bash.list /bin",
            "f var/lib/dpkg/info/bash.postinst no",
            "f etc/apk/keys/a.pub key",
            "f elsewhere/world no",
            "f some/keys/b no",
        ],
        &["f var/lib/dpkg/status.d/.wh.gone", "f data text", "l etc/apk/world ../../data"],
    ])
    .unwrap();
    let found: Vec<_> = facts.contents.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let expected = [
        ("/data", "text"),
        ("/etc/apk/keys/a.pub", "key"),
        ("/usr/lib/apk/db/installed", "P:musl"),
        ("/var/lib/dpkg/info/bash.list", "/bin"),
        ("/var/lib/dpkg/status.d/libc6", "Package:libc6"),
        ("/var/lib/dpkg/status.d/libc6.md5sums", "abc"),
    ];
    assert_eq!(found, expected);
    assert_eq!(facts.binary("/lib/apk/db/scripts.tar"), Some(&b"\x01"[..]));
    assert_eq!(facts.text("/etc/apk/world"), Some("text"));
    assert_eq!(facts.names_in("/var/lib/dpkg/status.d").len(), 2);
}

#[test]
fn too_many_contents_are_left_out() {
    let large = |path: &str| member(b'0', path.as_bytes(), b"", &vec![b'x'; 4 << 20]);
    let layers: Vec<Vec<u8>> =
        (0..3).map(|n| (0..5).flat_map(|m| large(&format!("etc/apk/keys/{n}{m}"))).collect()).collect();
    let budget = Budget::default();
    let mut merged = Merge::new();
    for layer in &layers {
        merged.add(&LayerMembers::read(&layer[..], &budget).unwrap()).unwrap();
    }
    assert!(merged.wanted_again().is_empty(), "the first twelve were kept while they were read");
    let kept: Vec<_> = merged.finish().contents.into_keys().map(|path| path.name().to_owned()).collect();
    assert_eq!(kept, ["00", "01", "02", "03", "04", "10", "11", "12", "13", "14", "20", "21"]);
}

#[test]
fn programs_and_libraries_are_told_under_all_their_names() {
    use crate::elf::elf_file::ElfFile;
    let library = ElfFile { soname: Some("libx.so.1"), ..ElfFile::default() }.bytes();
    let other = ElfFile { machine: 183, ..ElfFile::default() }.bytes();
    let first =
        [member(b'0', b"lib/libx.so.1", b"", &library), member(b'1', b"lib/hard", b"lib/libx.so.1", b"")];
    let second = [tar(&["f lib/.wh.libx.so.1"]), member(b'0', b"bin/x", b"", &other)];
    let second = [&second[1][..], &second[0]].concat();
    let mut merged = Merge::new();
    add(&mut merged, &first.concat()).unwrap();
    add(&mut merged, &second).unwrap();
    let found: Vec<_> = merged.finish().elf.into_iter().map(|(path, elf)| (path.to_string(), elf)).collect();
    let [(bin, program), (hard, linked)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((bin.as_str(), program.machine.as_str()), ("/bin/x", "aarch64"));
    assert_eq!((hard.as_str(), linked.soname.as_deref()), ("/lib/hard", Some("libx.so.1")));
}

#[test]
fn layers_tell_their_numbers() {
    let bytes = tar(&["d d", "f d/a 12345", "f .wh.x", "h b d/a"]);
    let padded = [&bytes[..], &[0; 9000]].concat();
    let layer = add(&mut Merge::new(), &padded).unwrap();
    assert_eq!(layer, LayerFacts { diff_id: DiffId::of(&padded), unpacked: 5, entries: 4 });
}

#[test]
fn hostile_layers_are_refused() {
    let deep = "d/".repeat(300);
    for (rows, message) in [
        (&["f ../etc/passwd"][..], "the path `../etc/passwd` leads out of the archive"),
        (&["f a/../../b"], "the path `a/../../b` leads out of the archive"),
        (&["f a", "h b ../a"], "the path `../a` leads out of the archive"),
        (&["h b a"], "`b` is a hard link to `a`, which is not there"),
        (&["d a", "h b a"], "`b` is a hard link to `a`, which is not there"),
        (&["f .wh."], "`.wh.` marks the removal of nothing"),
        (&["f d/.wh..."], "`d/.wh...` marks the removal of nothing"),
        (&["f a", "f a/b"], "`a/b` is below something that is not a directory"),
        (&["l a b", "l b a", "f a/x"], "`a/x` is below something that is not a directory"),
    ] {
        assert_eq!(merge(&[rows]).unwrap_err().to_string(), message);
    }
    let bytes = [member(b'L', b"l", b"", deep.as_bytes()), member(b'5', b"d", b"", b"")].concat();
    let error = add(&mut Merge::new(), &bytes).unwrap_err().to_string();
    assert!(error.starts_with("a path is longer than 4096 bytes or deeper"), "{error}");
}

#[test]
fn what_may_be_wanted_by_its_name_is_kept_while_it_is_read() {
    let rows = ["l etc usr/etc", "f usr/etc/passwd root", "f store/x/ca-bundle.pem pem", "f usr/etc/other x"];
    let last = ["l usr/etc/ssl /store/x"];
    let mut merged = Merge::new();
    for rows in [&rows[..], &last] {
        add(&mut merged, &tar(rows)).unwrap();
    }
    assert!(merged.wanted_again().is_empty(), "nothing is read a second time");
    let contents: Vec<_> =
        merged.finish().contents.into_iter().map(|(path, text)| (path.to_string(), text)).collect();
    let expected = [("/store/x/ca-bundle.pem", "pem"), ("/usr/etc/passwd", "root")];
    assert_eq!(contents, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
}

#[test]
fn layers_that_are_read_at_once_share_one_budget() {
    let budget = Budget::default();
    budget.text.fetch_add(TEXT_LIMIT - 10, Ordering::Relaxed);
    LayerMembers::read(&tar(&["f four"])[..], &budget).unwrap();
    let error = LayerMembers::read(&tar(&["l four to/three"])[..], &budget).unwrap_err().to_string();
    assert_eq!(error, "it has more than 536870912 bytes of paths");
    budget.members.fetch_add(MEMBER_LIMIT, Ordering::Relaxed);
    let error = LayerMembers::read(&tar(&["f a"])[..], &budget).unwrap_err().to_string();
    assert_eq!(error, "it has more than 4000000 files");
}
