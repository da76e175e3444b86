use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::debian::{Paragraph, paragraphs};
use crate::model::{Content, ContentDigest, EntryKind, ImagePath, Owner, PackageFileKind};

/// A package out of rows: `/dir/`, `/link -> target`, `/file`, `/file = content`.
fn package(name: &str, scripts: &[(&str, &str)], files: &[&str]) -> DebFacts {
    let row = |row: &&str| {
        let (path, kind) = match (row.split_once(" -> "), row.split_once(" = ")) {
            (Some((path, target)), _) => (path, PackageFileKind::Symlink { target: target.to_owned() }),
            (None, Some((path, content))) => (path, regular(content)),
            (None, None) if row.ends_with('/') => (*row, PackageFileKind::Directory),
            (None, None) => (*row, regular("")),
        };
        let mode = if kind == PackageFileKind::Directory { 0o755 } else { 0o644 };
        PackageFile { path: path.parse().unwrap(), kind, mode, owner: Owner::default(), elf: None }
    };
    let mut files: Vec<PackageFile> = files.iter().map(row).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    DebFacts {
        control: Paragraph(vec![field("Package", name), field("Architecture", "amd64")]),
        scripts: scripts.iter().map(|(name, text)| field(name, text)).collect(),
        files,
    }
}

fn regular(content: &str) -> PackageFileKind {
    let bytes = content.as_bytes();
    PackageFileKind::File { digest: ContentDigest::of(bytes), size: bytes.len() as u64, offset: 0 }
}

/// The effects of packages, whose contents are what `files` rows say.
fn of(packages: &[DebFacts], contents: &[(&str, &str)]) -> Result<Effects, Vec<ScriptError>> {
    let files: Vec<Vec<PackageFile>> = packages.iter().map(|facts| facts.files.clone()).collect();
    let packages: Vec<&DebFacts> = packages.iter().collect();
    let contents: BTreeMap<&str, &str> = contents.iter().copied().collect();
    let read = |_: usize, file: &PackageFile| {
        Ok(contents.get(file.path.as_str()).copied().unwrap_or_default().as_bytes().to_vec())
    };
    let (base, ignored) = (BaseFacts::default(), BTreeSet::new());
    effects(&Installed { packages: &packages, files: &files, base: &base, ignored: &ignored, read: &read })
}

/// The effects of one package `x` whose postinst is this text.
fn postinst(text: &str, files: &[&str]) -> Result<Effects, Vec<ScriptError>> {
    let text = format!("#!/bin/sh\nset -e\n{text}\n");
    of(&[package("x", &[("postinst", &text)], files)], &[])
}

/// Entries that scripts make, without those of the database: path, what it is, mode, owner.
fn made(effects: &Effects) -> Vec<String> {
    let row = |(path, entry): (&ImagePath, &crate::model::MadeEntry)| {
        let what = match &entry.kind {
            EntryKind::File { content: Content::Bytes(bytes), .. } => {
                format!("{:?}", String::from_utf8_lossy(bytes))
            }
            EntryKind::Symlink { target } => format!("-> {target}"),
            _ => "/".to_owned(),
        };
        format!("{path} {what} {:o} {}:{}", entry.mode, entry.user, entry.group)
    };
    let own = |(path, _): &(&ImagePath, _)| !path.as_str().starts_with("/var/lib/dpkg/");
    effects.made.iter().filter(own).map(row).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn words(errors: Vec<ScriptError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// What is wrong with a postinst of package `x`, without that.
fn wrong(text: &str) -> Vec<String> {
    let errors = postinst(text, &["/etc/", "/etc/x.conf", "/usr/bin/tool"]).err().unwrap_or_default();
    words(errors)
        .into_iter()
        .map(|error| {
            error.trim_start_matches("package x: postinst does what imgpack does not know: ").to_owned()
        })
        .collect()
}

#[test]
fn what_is_not_known_is_an_error() {
    for (text, expected) in [
        ("make-something --now", "`make-something --now`"),
        (
            "if [ -n \"$SOMETHING$(date)\" ]; then chmod 600 /etc/x.conf; fi\n[ \"$(date)\" = x ] && touch /etc/y",
            "`touch /etc/y`, under a condition that only running it could decide",
        ),
        ("chmod u+x /etc/x.conf", "`chmod u+x /etc/x.conf`"),
        ("chown nobody /etc/gone", "`chown nobody /etc/gone`: /etc/gone is not there"),
        ("date > /etc/built", "`> /etc/built`, of which the text is not known before the script runs"),
        ("eval \"$1\"", "`eval configure`"),
        ("sed -i s/a/b/ /etc/x.conf", "`sed -i s/a/b/ /etc/x.conf`"),
        ("adduser --system --made-up x", "`adduser --system --made-up x`"),
        ("rm -f \"/etc/$(date)\"", "`rm -f /etc/…`"),
        ("case \"$1\" in\n configure) ;;", "line 5: `case` has no pattern"),
        ("[[ -n $1 ]]", "line 3: `[[` is no POSIX shell"),
        ("sleep 1 &", "line 3: a command in the background"),
        ("f() { f; }; f", "functions call each other too deep to be followed"),
        ("cat <<EOF\nno end", "line 5: the here-document has no end `EOF`"),
        ("cp /etc/gone /etc/x2", "`cp /etc/gone /etc/x2`: /etc/gone is no file of the packages"),
        ("for i in $(ls /etc); do touch /etc/$i; done", "`touch /etc/…`"),
        (". /etc/gone", "`. /etc/gone`"),
    ] {
        let found = wrong(text);
        assert!(found.iter().any(|found| found == expected), "{text}: {found:?}");
    }
    let perl = package("x", &[("preinst", "#!/usr/bin/perl\nexit 0;\n")], &[]);
    assert_eq!(
        words(of(&[perl], &[]).unwrap_err()),
        ["package x: preinst does what imgpack does not know: it is no shell script"]
    );
    let hint = ScriptError { package: "x".into(), script: "postinst".into(), what: String::new() }.hint();
    assert!(hint.contains("exclude: [x]") && hint.contains("scripts: { x: ignore }"), "{hint}");
}

#[test]
fn a_package_whose_scripts_are_ignored_does_nothing() {
    let facts = package("x", &[("postinst", "#!/bin/sh\nmake-something\n")], &[]);
    let (base, ignored) = (BaseFacts::default(), BTreeSet::from(["x".to_owned()]));
    let read = |_: usize, _: &PackageFile| Ok(Vec::new());
    let installed =
        Installed { packages: &[&facts], files: &[Vec::new()], base: &base, ignored: &ignored, read: &read };
    assert!(made(&effects(&installed).unwrap()).is_empty());
}

/// Ways in which a script could pass although it does something that is not known.
#[test]
fn no_trick_makes_a_script_pass() {
    for text in [
        "sed -ri s/a/b/ /etc/x.conf",
        "sed -n 's/a/b/w /etc/y' /etc/x.conf",
        "sort -o /etc/x.conf /etc/x.conf",
        "awk 'BEGIN { system(\"touch /etc/y\") }'",
        "find /etc -fls /etc/y",
        "db_upgrade /var/lib/x.db",
        "cd /etc\nrm -f x.conf",
        "rm -f /etc/../etc/x.conf",
        "cd /etc\nchmod 600 .",
        "trap 'make-something' EXIT",
        "trap 'chmod 600 /etc/x.conf' INT TERM 0\n[ -n \"$(date)\" ] && trap 'make-something' EXIT",
        "PATH=/usr/lib/x:$PATH\ninstall -d /etc/x",
        "export PATH=/usr/lib/x\ninstall -d /etc/x",
        "if [ -n \"$(date)\" ]; then f() { touch /etc/a; }; else f() { :; }; fi\nf",
        "if [ -n \"$(date)\" ]; then chmod() { :; }; fi\nchmod 600 /etc/x.conf",
        "[ -e /usr/bin/other ] || exit 1\ntouch /etc/y",
        "usermod -s /bin/sh nobody",
        "mkdir \"$HOME/.x\"",
        "echo 'a\\nb' > /etc/y",
        "cat -n /etc/x.conf > /etc/y",
        "mkdir /etc/d\nmv /etc/d /etc/e",
        "break 2",
        ". /usr/lib/x/debconf/confmodule",
        "set -- make-something\n\"$@\"",
        "command make-something || true",
        "( make-something ) || :",
        "echo make-something | sh",
        "x=$(make-something)",
        "f() { make-something; }\nf > /dev/null 2>&1 || true",
        "eval make-something",
        "if make-something; then :; fi",
    ] {
        assert!(!wrong(text).is_empty(), "{text}");
    }
}

/// What is known is done as a shell does it.
#[test]
fn what_a_shell_does_is_followed() {
    for (text, expected) in [
        ("set a b c\nshift 2\ntouch \"/etc/$1\"", "/etc/c"),
        ("set -e -o pipefail -- a b\ntouch \"/etc/$2\"", "/etc/b"),
        ("f() { touch \"/etc/$NAME\"; }\nNAME=a f\n[ -z \"$NAME\" ] || touch /etc/b", "/etc/a"),
        ("( touch() { :; } )\ntouch /etc/a", "/etc/a"),
        ("trap 'touch /etc/a' EXIT\nexit 0", "/etc/a"),
        ("trap 'touch /etc/b' EXIT\ntrap - EXIT\ntouch /etc/a", "/etc/a"),
        ("if [ ! -e /etc/no -a ! -e /etc/x.conf ]; then touch /etc/b; fi\ntouch /etc/a", "/etc/a"),
        ("! ! true && touch /etc/a || touch /etc/b", "/etc/a"),
        ("false && touch /etc/b || touch /etc/a", "/etc/a"),
    ] {
        let found = made(&postinst(text, &["/etc/", "/etc/x.conf"]).unwrap());
        let paths: Vec<&str> = found.iter().filter_map(|row| row.split(' ').next()).collect();
        assert_eq!(paths, [expected], "{text}");
    }
    let found = postinst("echo a >&2 > /etc/a\necho b > /etc/b >&2", &["/etc/"]).unwrap();
    assert_eq!(made(&found), ["/etc/a \"a\\n\" 644 root:root", "/etc/b \"\" 644 root:root"]);
    let found = postinst("adduser --system --gid 50 x\nusermod -s /bin/sh x", &["/etc/"]).unwrap();
    assert_eq!((found.users["x"].group.as_str(), found.users["x"].shell.as_str()), ("50", "/bin/sh"));
}

#[test]
fn endless_and_deep_scripts_end() {
    let doubling = (0..60).fold(String::new(), |text, n| format!("{text}f{n}() {{ f{0}; f{0}; }}\n", n + 1));
    for text in [
        "while :; do :; done".to_owned(),
        format!("{doubling}f40"),
        format!("{}true{}", "( ".repeat(500), " )".repeat(500)),
        format!("echo {}x{}", "$(echo ".repeat(500), ")".repeat(500)),
        format!("echo {}", "${a:-".repeat(500)),
        "`".repeat(1001),
        "! ".repeat(200_000) + "true",
        "a() ".repeat(200_000) + "{ :; }",
        "x && ".repeat(200_000) + "x",
        format!("if date; then :;{} fi", " elif date; then :;".repeat(50_000)),
        format!("case $(date) in{} esac", " a) :;;".repeat(100_000)),
        format!("case x in{} esac", " a) :;;".repeat(100_000)),
        "a=aaaaaaaa\n".to_owned() + &"a=$a$a\n".repeat(60),
        "a=aaaaaaaa\n".to_owned() + &"a=$a$a\n".repeat(17) + &"b=${a%%*c*d}\n".repeat(1000),
        "a=aaaaaaaa\n".to_owned() + &"a=$a$a\n".repeat(16) + &"case $a in *b*c*d) ;; esac\n".repeat(1000),
        (0..20_000).fold(String::new(), |text, n| text + &format!("v{n}=1\n")) + &"( : )\n".repeat(20_000),
        format!(
            "for a in {0}; do for b in {0}; do for c in {0}; do echo \"{1}\"; done; done; done",
            "x ".repeat(100),
            "y".repeat(500_000)
        ),
        ": /*/* /*/*/* ".repeat(70_000),
        (0..100_000).fold(String::new(), |text, n| text + &format!("unknown{n}\n")),
        "cat <<A <<B\n".repeat(80_000),
        format!("cat <<A\n{}A\n", "$(echo x)\n".repeat(100_000)),
        format!("f() {{ {}f{} }}; f", "if :; then ".repeat(50), "; fi".repeat(50)),
        format!("set -- {}; while date; do shift; done", "x ".repeat(500_000)),
        "echo x >> /etc/x; ".repeat(60_000),
    ] {
        let begun = std::time::Instant::now();
        let _ = postinst(&text, &["/etc/"]);
        let took = begun.elapsed();
        let most = std::time::Duration::from_millis(if cfg!(debug_assertions) { 5000 } else { 1000 });
        assert!(took < most, "{} …: {took:?}", text.chars().take(60).collect::<String>());
    }
}

/// Any text is read or refused, and any script that is read is followed to its end.
#[test]
fn no_text_makes_it_fail() {
    let pieces = [
        "if", " ", "[", "]", "$(", ")", "`", "\"", "'", "${", "}", "x", ";", "\n", "case", "in", "esac",
        "<<E", "E", "|", "&&", "$1", "done", "do", "for", "while", "fi", "then", "{", "(", "=", "*", "#",
        "\\", "$((", ">", "/etc/x", "é",
    ];
    let mut seed = 1_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap()
    };
    for _ in 0..3000 {
        let text: String = (0..next() % 30).map(|_| pieces[next() % pieces.len()]).collect();
        let _ = postinst(&text, &[]);
    }
}

#[test]
fn conditions_that_are_known_decide() {
    let files = ["/etc/", "/etc/x.conf", "/usr/bin/tool"];
    for (text, expected) in [
        ("[ -e /etc/x.conf ] || touch /etc/y", &[][..]),
        ("[ -e /etc/gone ] || touch /etc/y", &["/etc/y \"\" 644 root:root"]),
        (
            "if [ \"$1\" = configure ] && [ -z \"$2\" ]; then touch /etc/y; else make-something; fi",
            &["/etc/y \"\" 644 root:root"],
        ),
        (
            "case \"$1\" in configure|reconfigure) touch /etc/y;; *) make-something;; esac",
            &["/etc/y \"\" 644 root:root"],
        ),
        ("dpkg --compare-versions \"$2\" lt-nl 1.2 && make-something; true", &[]),
        ("command -v tool >/dev/null && touch /etc/y", &["/etc/y \"\" 644 root:root"]),
        ("if [ -x \"$(command -v gone)\" ]; then make-something; fi", &[]),
        ("f() { local a=\"$1\"; echo \"$a\" > /etc/$2; }; f text y", &["/etc/y \"text\\n\" 644 root:root"]),
        ("for n in a b; do mkdir -p /etc/$n; done", &["/etc/a / 755 root:root", "/etc/b / 755 root:root"]),
        ("cat > /etc/y <<-EOF\n\tis $1\n\tEOF", &["/etc/y \"is configure\\n\" 644 root:root"]),
        (
            "x=a; (x=b); echo ${x}${none:-d}${x:+e} > /etc/y; echo more >> /etc/y",
            &["/etc/y \"ade\\nmore\\n\" 644 root:root"],
        ),
        ("getent passwd u >/dev/null || touch /etc/y", &["/etc/y \"\" 644 root:root"]),
        ("[ -d /run/systemd/system ] && make-something || true", &[]),
        ("t=$(mktemp); echo x > $t; rm -f $t", &[]),
        ("if invoke-rc.d x status; then make-something; fi", &[]),
        (
            "echo a:b | while read l; do :; done; n=$(echo a:b | cut -d: -f2); touch /etc/$n",
            &["/etc/b \"\" 644 root:root"],
        ),
        ("if [ \"$(date)\" = x ]; then exit 1; fi; touch /etc/y", &["/etc/y \"\" 644 root:root"]),
    ] {
        let found = postinst(text, &files).map_err(words);
        assert_eq!(
            found.as_ref().map(made).map_err(Clone::clone),
            Ok(expected.iter().map(|row| (*row).to_owned()).collect()),
            "{text}"
        );
    }
}

#[test]
fn files_are_made_and_changed() {
    let files = ["/bin/sh", "/etc/", "/etc/x.conf = content", "/usr/bin/one", "/usr/bin/two", "/var/run/"];
    let text = "
        install -d -m 2775 -o postgres -g postgres /var/lib/x/y
        ln -s /etc/x.conf /etc/link
        ln -nsf ../y /etc/link2.new && mv -f /etc/link2.new /etc/link2
        cp -p /etc/x.conf /etc/copy
        chown -R nobody:nogroup /var/lib/x
        chmod 0640 /etc/x.conf
        dpkg-statoverride --update --add root adm 4750 /usr/bin/one
        rmdir /var/run; ln -s /run /var/run
        update-alternatives --install /usr/bin/tool tool /usr/bin/one 10 --slave /usr/share/man/tool.1 tool.1 /usr/share/man/one.1
        update-alternatives --install /usr/bin/tool tool /usr/bin/two 20
        update-alternatives --install /usr/bin/tool tool /usr/bin/gone 30";
    let contents = [("/etc/x.conf", "content")];
    let script = format!("#!/bin/sh\n{text}\n");
    let found = of(&[package("x", &[("postinst", &script)], &files)], &contents).map_err(words).unwrap();
    assert_eq!(
        made(&found),
        [
            "/etc/alternatives/tool -> /usr/bin/two 777 root:root",
            "/etc/copy \"content\" 644 root:root",
            "/etc/link -> /etc/x.conf 777 root:root",
            "/etc/link2 -> ../y 777 root:root",
            "/usr/bin/tool -> /etc/alternatives/tool 777 root:root",
            "/var/lib / 755 root:root",
            "/var/lib/x / 755 nobody:nogroup",
            "/var/lib/x/y / 2775 nobody:nogroup",
            "/var/run -> /run 777 root:root",
        ]
    );
    let attributes: Vec<String> = found
        .attributes
        .iter()
        .map(|(path, a)| {
            format!("{path} {:?} {:?} {:?}", a.mode.map(|mode| format!("{mode:o}")), a.user, a.group)
        })
        .collect();
    assert_eq!(
        attributes,
        ["/etc/x.conf Some(\"640\") None None", "/usr/bin/one Some(\"4750\") Some(\"root\") Some(\"adm\")"]
    );
}

#[test]
fn accounts_have_numbers_that_do_not_move() {
    let text = "
        addgroup --system --quiet adm2
        adduser --system --home /var/lib/redis --quiet --group redis
        adduser --system --no-create-home --gecos 'A name' unheard-of
        useradd -r -g adm2 -d / -s /bin/sh other
        adduser redis adm2
        usermod -a -G adm2 other
        systemd-sysusers ${DPKG_ROOT:+--root=\"$DPKG_ROOT\"} x.conf";
    let script = format!("#!/bin/sh\n{text}\n");
    let sysusers = "u messagebus - \"System Message Bus\" /nonexistent\ng input 77\nm redis input\n";
    let facts = package("x", &[("postinst", &script)], &["/usr/lib/sysusers.d/x.conf = 1"]);
    let found = of(&[facts], &[("/usr/lib/sysusers.d/x.conf", sysusers)]).map_err(words).unwrap();
    let users: Vec<String> = found
        .users
        .iter()
        .map(|(name, row)| {
            format!("{name} {} {} {:?} {} {}", row.uid, row.group, row.comment, row.home, row.shell)
        })
        .collect();
    assert_eq!(
        users,
        [
            "messagebus 103 messagebus \"System Message Bus\" /nonexistent /usr/sbin/nologin",
            "other 637 adm2 \"\" / /bin/sh",
            "redis 102 redis \"\" /var/lib/redis /usr/sbin/nologin",
            "unheard-of 619 nogroup \"A name\" /nonexistent /usr/sbin/nologin",
        ]
    );
    let groups: Vec<String> = found
        .groups
        .iter()
        .map(|(name, row)| format!("{name} {} {:?}", row.gid, row.members.iter().collect::<Vec<_>>()))
        .collect();
    assert_eq!(
        groups,
        [
            "adm2 866 [\"other\", \"redis\"]",
            "input 77 [\"redis\"]",
            "messagebus 103 []",
            "nogroup 65534 []",
            "redis 102 []",
        ]
    );
    assert_eq!(made(&found)[2], "/var/lib/redis / 755 redis:redis");
}

#[test]
fn base_passwd_brings_the_tables() {
    let text = "#!/bin/sh\nif [ ! -e \"$DPKG_ROOT/etc/passwd\" ]; then cp \"$DPKG_ROOT/usr/share/base-passwd/passwd.master\" \"$DPKG_ROOT/etc/passwd\"; fi\n\
                if [ ! -e /etc/group ]; then\ncat > /etc/group <<'EOF'\nroot:*:0:\nwww-data:*:33:\nEOF\nfi\n\
                if [ ! -e /etc/passwd ]; then make-something; fi\n";
    let facts = package("base-passwd", &[("postinst", text)], &["/usr/share/base-passwd/passwd.master = 1"]);
    let passwd = "root:*:0:0:root:/root:/bin/bash\nwww-data:*:33:33:www-data:/var/www:/usr/sbin/nologin\n";
    let found = of(&[facts], &[("/usr/share/base-passwd/passwd.master", passwd)]).map_err(words).unwrap();
    assert!(found.users["www-data"].fixed && found.users["www-data"].uid == 33);
    assert_eq!(found.groups.keys().collect::<Vec<_>>(), ["root", "www-data"]);
    assert!(made(&found).is_empty());
}

#[test]
fn the_bundle_has_every_certificate_in_order() {
    let script =
        "#!/bin/sh\nupdate-ca-certificates --hooksdir \"\"\ndpkg-trigger --no-await update-ca-certificates\n";
    let files = [
        "/usr/share/ca-certificates/mozilla/b.crt = b",
        "/usr/share/ca-certificates/mozilla/a.crt = a",
        "/usr/share/ca-certificates/readme = r",
    ];
    let contents = [
        ("/usr/share/ca-certificates/mozilla/a.crt", "A"),
        ("/usr/share/ca-certificates/mozilla/b.crt", "B\n"),
    ];
    let found = of(&[package("ca-certificates", &[("postinst", script)], &files)], &contents).unwrap();
    assert_eq!(found.bundle.as_deref(), Some("A\nB\n"));
    assert!(
        made(&found)[0].ends_with("mozilla/a.crt\\nmozilla/b.crt\\n\" 644 root:root"),
        "{:?}",
        made(&found)
    );
}

/// A package that brings a certificate to a base that has ca-certificates.
#[test]
fn a_certificate_is_added_to_the_bundle_of_the_base() {
    let mut base = BaseFacts::default();
    let fact = |kind| crate::model::Fact { kind, mode: 0o644, uid: 0, gid: 0, size: 1 };
    for path in [
        "/usr/sbin/update-ca-certificates",
        "/usr/share/ca-certificates/mozilla/a.crt",
        "/etc/ssl/certs/ca-certificates.crt",
    ] {
        base.tree.insert(path.parse().unwrap(), fact(crate::model::FactKind::File));
    }
    base.contents.insert("/etc/ssl/certs/ca-certificates.crt".parse().unwrap(), "A\n".into());
    let bundle = |scripts: &[(&str, &str)]| {
        let facts = package("own", scripts, &["/usr/share/ca-certificates/own/b.crt = b"]);
        let read = |_: usize, _: &PackageFile| Ok(b"B\n".to_vec());
        let files = [facts.files.clone()];
        let ignored = BTreeSet::new();
        let packages = [&facts];
        let installed =
            Installed { packages: &packages, files: &files, base: &base, ignored: &ignored, read: &read };
        effects(&installed).unwrap().bundle
    };
    assert_eq!(bundle(&[]), None);
    for scripts in [
        ("triggers", "activate-noawait update-ca-certificates\n"),
        ("postinst", "#!/bin/sh\ndpkg-trigger --no-await update-ca-certificates\n"),
        ("postinst", "#!/bin/sh\nupdate-ca-certificates\n"),
    ] {
        assert_eq!(bundle(&[scripts]).as_deref(), Some("A\nB\n"), "{scripts:?}");
    }
}

/// Each rule's statements are met where they stand in a script, and only in its packages.
#[test]
fn every_rule_covers_what_it_says() {
    let rules = Rules::own().unwrap();
    for (packages, statement) in rules.statements() {
        let name = packages.first().map_or("x", String::as_str).replace('*', "1");
        let words: Vec<String> =
            statement.replace('*', "1").split(' ').map(|word| format!("'{word}'")).collect();
        let text = match statement.strip_prefix("> ") {
            Some(path) => format!("#!/bin/sh\ndate > '{}'\n", path.replace('*', "1")),
            None => format!("#!/bin/sh\n{}\n", words.join(" ")),
        };
        let script = |name: &str| [package(name, &[("postinst", &text)], &["/usr/", "/etc/"])];
        assert!(of(&script(&name), &[]).is_ok(), "{packages:?} {statement}: {:?}", of(&script(&name), &[]));
        // What the shell itself or a general rule knows is fine elsewhere as well.
        if !packages.is_empty() && statement.contains(['_', '/']) && !statement.starts_with("> ") {
            let general = ["python3", "dpkg-query", "stat", "grep", "sed", "cp"];
            if !general.iter().any(|name| statement.starts_with(name)) {
                assert!(of(&script("another"), &[]).is_err(), "{statement}");
            }
        }
    }
}

/// Follows the scripts of real packages: a folder for each, as `dpkg-deb --control` and `dpkg-deb --contents` (in the file
/// `files`) give them, in the order of the file `order` beside them. `tests/campaigns/scripts.sh` makes such folders.
#[test]
fn the_scripts_of_real_packages_are_covered() {
    // Only the campaign has them.
    let Ok(folders) = std::env::var("IMGPACK_SCRIPTS") else { return };
    let mut errors = BTreeSet::new();
    for root in folders.split(':').map(PathBuf::from) {
        let order = std::fs::read_to_string(root.join("order")).unwrap();
        let packages: Vec<DebFacts> =
            order.split_whitespace().map(|name| read_package(&root.join(name))).collect();
        assert!(!packages.is_empty());
        let found = of_real(&packages, &root);
        if std::env::var_os("IMGPACK_SCRIPTS_SHOW").is_some() {
            println!("{found:#?}");
        }
        errors.extend(found.err().unwrap_or_default().iter().map(ToString::to_string));
    }
    let lines: Vec<String> = errors.into_iter().collect();
    assert!(lines.is_empty(), "{} statements are not covered:\n{}", lines.len(), lines.join("\n"));
}

/// The effects of real packages; contents that they ask for lie below `root` in the package's folder.
fn of_real(packages: &[DebFacts], root: &Path) -> Result<Effects, Vec<ScriptError>> {
    let read = |index: usize, file: &PackageFile| {
        let name = packages[index].control.get("Package").unwrap_or_default();
        Ok(std::fs::read(root.join(name).join("root").join(file.path.relative())).unwrap_or_default())
    };
    let files: Vec<Vec<PackageFile>> = packages.iter().map(|facts| facts.files.clone()).collect();
    let packages: Vec<&DebFacts> = packages.iter().collect();
    let (base, ignored) = (BaseFacts::default(), BTreeSet::new());
    effects(&Installed { packages: &packages, files: &files, base: &base, ignored: &ignored, read: &read })
}

fn read_package(folder: &Path) -> DebFacts {
    let mut facts = DebFacts::default();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        match name.as_str() {
            "control" => facts.control = paragraphs(&text).unwrap().remove(0),
            "files" => facts.files = text.lines().filter_map(listed).collect(),
            _ => drop(facts.scripts.insert(name, text)),
        }
    }
    if facts.files.is_empty() {
        let sums = facts.scripts.get("md5sums").cloned().unwrap_or_default();
        let paths = sums.lines().filter_map(|line| line.split_once("  ").map(|(_, path)| format!("/{path}")));
        let conffiles = facts.scripts.get("conffiles").cloned().unwrap_or_default();
        let all: Vec<String> = paths.chain(conffiles.lines().map(str::to_owned)).collect();
        let rows: Vec<&str> = all.iter().map(String::as_str).filter(|row| row.starts_with('/')).collect();
        facts.files = package("x", &[], &rows).files;
    }
    facts
}

/// A row of `tar -tv`.
fn listed(line: &str) -> Option<PackageFile> {
    let at = line.find(" ./")?;
    let path = &line[at + 2..];
    let (path, target) = path.split_once(" -> ").map_or((path, None), |(path, target)| (path, Some(target)));
    let path: ImagePath = path.split_once(" link to ").map_or(path, |(path, _)| path).parse().ok()?;
    let kind = match (line.chars().next()?, target) {
        ('d', _) => PackageFileKind::Directory,
        (_, Some(target)) => PackageFileKind::Symlink { target: target.to_owned() },
        _ => regular(""),
    };
    Some(PackageFile { path, kind, mode: 0o644, owner: Owner::default(), elf: None })
}
