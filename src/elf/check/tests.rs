use super::*;
use crate::elf::elf_file::ElfFile;
use crate::model::{BaseFacts, Entries, Fact, FactKind, Owner};

const GLIBC: &str = "/lib64/ld-linux-x86-64.so.2";
const MUSL: &str = "/lib/ld-musl-x86_64.so.1";

/// What is put at a path.
enum Put<'a> {
    Elf(ElfFile<'a>),
    Text(&'a str),
    Link(&'a str),
    Remove,
}

use Put::{Link, Remove, Text};

fn base(rows: &[(&str, Put<'_>)]) -> BaseFacts {
    let mut facts = BaseFacts::default();
    for (path, put) in rows {
        let path: ImagePath = path.parse().unwrap();
        let kind = match put {
            Put::Elf(elf) => {
                let elf = crate::elf::read_elf(&mut &elf.bytes()[..]).unwrap().unwrap();
                facts.elf.insert(path.clone(), elf);
                FactKind::File
            }
            Text(text) => {
                facts.contents.insert(path.clone(), (*text).to_owned());
                FactKind::File
            }
            Link(target) => FactKind::Symlink((*target).to_owned()),
            Remove => FactKind::Directory,
        };
        facts.tree.insert(path, Fact { kind, mode: 0o755, uid: 0, gid: 0, size: 1 });
    }
    facts
}

fn own(rows: &[(&str, Put<'_>)]) -> Entries {
    let mut entries = Entries::new();
    for (path, put) in rows {
        let kind = match put {
            Put::Elf(elf) => EntryKind::bytes(elf.bytes()),
            Text(text) => EntryKind::bytes(text.as_bytes()),
            Link(target) => EntryKind::Symlink { target: (*target).to_owned() },
            Remove => EntryKind::Whiteout,
        };
        let (path, owner) = (path.parse().unwrap(), Owner::default());
        entries.insert(Entry { path, kind, mode: 0o755, owner, origin: Arc::from("files[0]") }).unwrap();
    }
    entries
}

/// Debian's libc, libm and loader, Debian's way.
fn debian() -> Vec<(&'static str, Put<'static>)> {
    let library =
        |soname, versions| Put::Elf(ElfFile { soname: Some(soname), versions, ..ElfFile::default() });
    vec![
        ("/lib", Link("usr/lib")),
        ("/lib64", Link("usr/lib64")),
        ("/usr/lib64/ld-linux-x86-64.so.2", Link("../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")),
        ("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", library("ld-linux-x86-64.so.2", &["GLIBC_2.2.5"])),
        (
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            library("libc.so.6", &["GLIBC_2.2.5", "GLIBC_2.9", "GLIBC_2.36"]),
        ),
        ("/usr/lib/x86_64-linux-gnu/libm.so.6", library("libm.so.6", &["GLIBC_2.29"])),
        (
            "/usr/bin/python3",
            Put::Elf(ElfFile { interpreter: Some(GLIBC), needed: &["libc.so.6"], ..ElfFile::default() }),
        ),
        (
            "/usr/bin/env",
            Put::Elf(ElfFile { interpreter: Some(GLIBC), needed: &["libc.so.6"], ..ElfFile::default() }),
        ),
        (
            "/usr/lib/x86_64-linux-gnu/libpq.so.5",
            Put::Elf(ElfFile {
                soname: Some("libpq.so.5"),
                needed: &["libc.so.6", "libkrb5.so.3"],
                ..ElfFile::default()
            }),
        ),
        ("/etc/os-release", Text("ID=debian\nVERSION_CODENAME=bookworm\n")),
    ]
}

fn alpine() -> Vec<(&'static str, Put<'static>)> {
    vec![
        (MUSL, Put::Elf(ElfFile { soname: Some("libc.so"), ..ElfFile::default() })),
        ("/lib/libc.musl-x86_64.so.1", Link("ld-musl-x86_64.so.1")),
        (
            "/bin/busybox",
            Put::Elf(ElfFile {
                interpreter: Some(MUSL),
                needed: &["libc.musl-x86_64.so.1"],
                ..ElfFile::default()
            }),
        ),
        ("/bin/sh", Link("/bin/busybox")),
        ("/etc/os-release", Text("ID=alpine\n")),
    ]
}

struct Image<'a> {
    base: BaseFacts,
    layers: Vec<Entries>,
    env: &'a [&'a str],
    allow: &'a [&'a str],
    ignore: &'a [&'a str],
    programs: &'a [&'a str],
    machine: &'a str,
    inherited: bool,
}

impl<'a> Image<'a> {
    fn new(base_rows: &[(&str, Put<'_>)], rows: &[(&str, Put<'_>)], programs: &'a [&'a str]) -> Self {
        let (base, layers) = (base(base_rows), vec![own(rows)]);
        Self {
            base,
            layers,
            env: &[],
            allow: &[],
            ignore: &[],
            programs,
            machine: "x86_64",
            inherited: false,
        }
    }

    fn checked(&self) -> Checked {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let programs = [Program {
            role: "the entrypoint",
            words: list(self.programs),
            arguments: false,
            inherited: self.inherited,
        }];
        let text = self.base.text("/etc/os-release");
        check(
            &View::new(&self.base, &self.layers),
            &Check {
                machine: self.machine,
                env: &list(self.env),
                workdir: Some("/app"),
                volumes: &BTreeSet::from(["/data".parse().unwrap()]),
                programs: &programs,
                allow: &list(self.allow),
                ignore: &list(self.ignore),
                look: &|entry| {
                    let EntryKind::File { content: Content::Bytes(bytes), .. } = &entry.kind else {
                        unreachable!()
                    };
                    Arc::new(Executable::read(&mut &bytes[..]).unwrap())
                },
                distribution: text.and_then(Distribution::of_os_release),
            },
        )
    }

    fn errors(&self) -> Vec<String> {
        self.checked().errors.iter().map(ToString::to_string).collect()
    }
}

fn program<'a>(needed: &'a [&'a str]) -> Put<'a> {
    Put::Elf(ElfFile { interpreter: Some(GLIBC), needed, ..ElfFile::default() })
}

fn library<'a>(soname: &'a str, needed: &'a [&'a str]) -> Put<'a> {
    Put::Elf(ElfFile { soname: Some(soname), needed, ..ElfFile::default() })
}

#[test]
fn what_runs_passes() {
    let relative = ElfFile {
        interpreter: Some(GLIBC),
        needed: &["libx.so.1", "libc.so.6"],
        runpath: Some("$ORIGIN/../lib"),
        ..ElfFile::default()
    };
    let musl = ElfFile { interpreter: Some(MUSL), needed: &["libc.so", "libm.so.6"], ..ElfFile::default() };
    for (name, base, rows, words, env) in [
        ("static", vec![], vec![("/app/x", Put::Elf(ElfFile::default()))], &["/app/x"][..], &[][..]),
        ("by PATH", debian(), vec![("/opt/x", program(&["libc.so.6"]))], &["x"], &["PATH=/none:/opt"]),
        ("relative", debian(), vec![("/app/x", program(&["libm.so.6"]))], &["./x"], &[]),
        (
            "RUNPATH",
            debian(),
            vec![
                ("/app/bin/x", Put::Elf(relative.clone())),
                ("/app/lib/libx.so.1", Link("libx.so.1.2")),
                ("/app/lib/libx.so.1.2", library("libx.so.1", &["libm.so.6"])),
                ("/bin/x", Link("/app/bin/x")),
            ],
            &["/bin/x"],
            &[],
        ),
        (
            "LD_LIBRARY_PATH",
            debian(),
            vec![("/x", program(&["liby.so"])), ("/opt/liby.so", library("liby.so", &[]))],
            &["/x"],
            &["LD_LIBRARY_PATH=/none:/opt"],
        ),
        (
            "loaded under its soname",
            debian(),
            vec![
                ("/x", program(&["/opt/libz.so.1.9", "liby.so"])),
                ("/opt/libz.so.1.9", library("libz.so.1", &[])),
                ("/usr/lib/liby.so", library("liby.so", &["libz.so.1"])),
            ],
            &["/x"],
            &[],
        ),
        (
            "RPATH of who needs it",
            debian(),
            vec![
                (
                    "/x",
                    Put::Elf(ElfFile {
                        interpreter: Some(GLIBC),
                        needed: &["liba.so"],
                        rpath: Some("/opt"),
                        ..ElfFile::default()
                    }),
                ),
                ("/opt/liba.so", library("liba.so", &["libb.so"])),
                ("/opt/libb.so", library("libb.so", &[])),
            ],
            &["/x"],
            &[],
        ),
        ("musl", alpine(), vec![("/x", Put::Elf(musl))], &["/x"], &[]),
        ("an argument that is not there", debian(), vec![], &["python3", "/none"], &[]),
        ("the base's own", debian(), vec![("/x", program(&["libpq.so.5"]))], &["/x"], &[]),
        (
            "a script",
            debian(),
            vec![("/app/run", Text("#!/usr/bin/env -S python3 -u\n"))],
            &["/app/run"],
            &[],
        ),
        ("nothing starts it", debian(), vec![("/x", program(&["libnone.so"]))], &["python3", "/y"], &[]),
    ] {
        let image = Image { env, ..Image::new(&base, &rows, words) };
        assert_eq!(image.errors(), [""; 0], "{name}");
    }
}

#[test]
fn what_is_missing_is_told() {
    let versions = ElfFile {
        interpreter: Some(GLIBC),
        needed: &["libc.so.6"],
        versions_needed: &[("libc.so.6", &["GLIBC_2.34", "GLIBC_2.38", "GLIBC_2.2.5"])],
        ..ElfFile::default()
    };
    let arm = ElfFile { machine: 183, ..ElfFile::default() };
    let aarch64 = |soname| Put::Elf(ElfFile { machine: 183, soname: Some(soname), ..ElfFile::default() });
    for (base, rows, words, expected) in [
        (
            vec![],
            vec![("/app/x", program(&["libc.so.6"]))],
            &["/app/x"][..],
            "/app/x from files[0] asks for the loader /lib64/ld-linux-x86-64.so.2, which the image does not have: it is \
             linked against glibc, and the image has no C library (the entrypoint)",
        ),
        (
            alpine(),
            vec![("/app/x", program(&["libc.so.6"]))],
            &["/app/x"],
            "/app/x from files[0] asks for the loader /lib64/ld-linux-x86-64.so.2, which the image does not have: it is \
             linked against glibc, and the image has musl (the entrypoint)",
        ),
        (
            debian(),
            vec![("/app/x", Put::Elf(arm))],
            &["/app/x"],
            "/app/x from files[0] is made for aarch64, and the image is for x86_64 (the entrypoint)",
        ),
        (
            debian(),
            vec![("/x", program(&["libfoo.so.1", "libc.so.6"]))],
            &["python3", "/x"],
            "/x from files[0] needs libfoo.so.1, which the loader does not find in the image (the entrypoint)",
        ),
        (
            debian(),
            vec![
                ("/x", program(&["liba.so"])),
                ("/usr/lib/liba.so", library("liba.so", &["libb.so.2"])),
                ("/bin/tini", Put::Elf(ElfFile::default())),
            ],
            &["tini", "--", "/x"],
            "/usr/lib/liba.so from files[0] needs libb.so.2, which the loader does not find in the image (the entrypoint: /x)",
        ),
        (
            debian(),
            vec![("/x", program(&["liba.so"])), ("/usr/lib/liba.so", aarch64("liba.so"))],
            &["/x"],
            "/x from files[0] needs liba.so, and /usr/lib/liba.so is made for aarch64 (the entrypoint)",
        ),
        (
            debian(),
            vec![("/x", Put::Elf(versions))],
            &["/x"],
            "/x from files[0] needs GLIBC_2.38, and the image's /usr/lib/x86_64-linux-gnu/libc.so.6 has GLIBC_2.36 at most \
             (the entrypoint)",
        ),
        (
            debian(),
            vec![("/app/run", Text("#!/bin/bash\n"))],
            &["/app/run"],
            "/app/run from files[0] is a script for /bin/bash (`#!/bin/bash`), which is not in the image (the entrypoint)",
        ),
        (
            debian(),
            vec![("/app/run", Text("#!/usr/bin/env ruby\n"))],
            &["/app/run"],
            "/app/run from files[0] is a script for ruby (`#!/usr/bin/env ruby`), which is not in the image (the entrypoint)",
        ),
        (
            debian(),
            vec![("/usr/lib/x86_64-linux-gnu/libc.so.6", Remove)],
            &["python3"],
            "/usr/bin/python3 needs libc.so.6, which the loader does not find in the image (the entrypoint)",
        ),
    ] {
        assert_eq!(Image::new(&base, &rows, words).errors(), [expected]);
    }
}

#[test]
fn programs_have_to_be_there() {
    let link = || vec![("/app/x", Link("/opt/x"))];
    for (rows, words, expected) in [
        (vec![], &["/app/x"][..], &["/app/x is in neither the base nor the image (the entrypoint)"][..]),
        (vec![], &["./x", "/none"], &["/app/x is in neither the base nor the image (the entrypoint)"]),
        (vec![], &["x"], &["x is in none of the folders of PATH (/bin:/usr/bin) (the entrypoint)"]),
        (
            link(),
            &["/app/x"],
            &["/app/x is no program, but a directory or a link that leads nowhere (the entrypoint)"],
        ),
        (
            vec![("/usr/bin/python3", Remove)],
            &["python3"],
            &["python3 is in none of the folders of PATH (/bin:/usr/bin) (the entrypoint)"],
        ),
        (vec![], &["/data/x"], &[]),
        (
            vec![],
            &["/data/../app/x"],
            &["/data/../app/x is in neither the base nor the image (the entrypoint)"],
        ),
        (vec![], &["${PROGRAM:-/app/x}"], &[]),
        (vec![], &["python3"], &[]),
    ] {
        let image = Image { env: &["PATH=/bin:/usr/bin"], ..Image::new(&debian(), &rows, words) };
        assert_eq!(image.errors(), expected, "{words:?}");
        if !expected.is_empty() {
            let inherited = Image { inherited: true, ..image };
            // What the base never had is its own matter.
            assert_eq!(inherited.errors().is_empty(), words[0] != "python3", "{words:?}");
            let name = expected[0].split(' ').next().unwrap();
            let place = if name.starts_with('/') { name.to_owned() } else { format!("/usr/bin/{name}") };
            assert!(Image { ignore: &[&place], inherited: false, ..inherited }.errors().is_empty());
        }
    }
    let mut image = Image::new(&debian(), &[], &["/app/x"]);
    image.layers.push(own(&[("/app/x", Text("#!/usr/bin/python3\n"))]).into_iter().fold(
        Entries::new(),
        |mut entries, entry| {
            entries.insert(Entry { mode: 0o644, ..entry }).unwrap();
            entries
        },
    ));
    assert_eq!(image.errors(), ["/app/x from files[0] is not executable (mode 0644) (the entrypoint)"]);
}

#[test]
fn libraries_in_configured_folders_are_found_by_the_cache_alone() {
    let mut base = debian();
    base.extend([
        ("/etc/ld.so.conf.d/libc.conf", Text("# local\n/usr/local/lib\n")),
        ("/etc/ld.so.cache", Text("")),
        ("/usr/local/lib/libold.so", library("libold.so", &[])),
    ]);
    let rows = [
        ("/x", program(&["libold.so", "libnew.so"])),
        ("/usr/local/lib/libnew.so", library("libnew.so", &[])),
    ];
    let errors = Image::new(&base, &rows, &["/x"]).errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("libnew.so"), "nobody runs ldconfig: {errors:?}");
}

#[test]
fn extensions_find_what_their_interpreter_loaded() {
    let extension = |needed| Put::Elf(ElfFile { needed, ..ElfFile::default() });
    let packages = "/app/lib/python3.11/site-packages";
    let (one, two, three, bundled, unused) = (
        format!("{packages}/a.cpython-311-x86_64-linux-gnu.so"),
        format!("{packages}/b/b.so"),
        format!("{packages}/c.so"),
        format!("{packages}/x.libs/libx-1.so"),
        "/opt/unused.so".to_owned(),
    );
    let of = |rows: &[(&str, Put<'_>)]| Image::new(&debian(), rows, &["python3"]).errors();
    let found =
        Put::Elf(ElfFile { needed: &["libx-1.so"], rpath: Some("$ORIGIN/x.libs"), ..ElfFile::default() });
    assert_eq!(of(&[(&one, found), (&bundled, library("libx-1.so", &["libc.so.6"]))]), [""; 0]);
    let rows = [
        (one.as_str(), extension(&["libc.so.6", "libq.so.1"])),
        (&two, extension(&["libq.so.1"])),
        (&three, Put::Elf(ElfFile { machine: 183, needed: &["libc.so.6"], ..ElfFile::default() })),
        (&unused, extension(&["libnone.so"])),
    ];
    assert_eq!(
        of(&rows),
        [
            format!(
                "{one} from files[0] needs libq.so.1, which the loader does not find in the image (a Python extension); the same of another file"
            ),
            format!(
                "{three} from files[0] is made for aarch64, and the image is for x86_64 (a Python extension)"
            ),
        ]
    );
    let glibc = Put::Elf(ElfFile {
        needed: &["libc.so.6"],
        versions_needed: &[("libc.so.6", &["GLIBC_2.14"])],
        ..ElfFile::default()
    });
    assert_eq!(
        Image::new(&alpine(), &[(&one, glibc)], &["sh"]).errors(),
        [format!("{one} from files[0] is linked against glibc, and the image has musl (a Python extension)")]
    );
    // An image without any loader starts neither Python nor Node.
    assert_eq!(Image::new(&[], &[(&one, extension(&["libc.so.6"]))], &[]).errors(), [""; 0]);
}

#[test]
fn files_for_other_platforms_are_told_and_no_errors() {
    let addon = |machine| Put::Elf(ElfFile { machine, needed: &["libc.so.6"], ..ElfFile::default() });
    let musl = || Put::Elf(ElfFile { needed: &["libc.musl-x86_64.so.1"], ..ElfFile::default() });
    let modules = "/app/node_modules";
    let path = |name: &str| format!("{modules}/{name}");
    let rows: Vec<(String, Put<'_>)> = vec![
        (path("bcrypt/prebuilds/linux-x64/bcrypt.glibc.node"), addon(62)),
        (path("bcrypt/prebuilds/linux-x64/bcrypt.musl.node"), musl()),
        (path("bcrypt/prebuilds/linux-arm64/bcrypt.glibc.node"), addon(183)),
        (path("bcrypt/prebuilds/darwin-x64+arm64/bcrypt.node"), Text("Mach-O")),
        (path("bcrypt/prebuilds/win32-x64/bcrypt.node"), Text("PE")),
        (path("@next/swc-linux-x64-musl/next-swc.linux-x64-musl.node"), musl()),
        (path("@next/swc-linux-x64-gnu/next-swc.linux-x64-gnu.node"), addon(62)),
        (path("x/bin/helper"), Put::Elf(ElfFile { machine: 183, ..ElfFile::default() })),
    ];
    let rows: Vec<(&str, Put<'_>)> = rows
        .iter()
        .map(|(path, put)| {
            (
                path.as_str(),
                match put {
                    Put::Elf(elf) => Put::Elf(elf.clone()),
                    Text(text) => Text(text),
                    _ => Remove,
                },
            )
        })
        .collect();
    let checked = Image::new(&debian(), &rows, &["python3"]).checked();
    assert!(checked.errors.is_empty(), "{:?}", checked.errors);
    let foreign: Vec<&str> =
        checked.foreign.iter().map(|file| &file.path.as_str()[modules.len() + 1..]).collect();
    assert_eq!(
        foreign,
        [
            "@next/swc-linux-x64-musl/next-swc.linux-x64-musl.node",
            "bcrypt/prebuilds/darwin-x64+arm64/bcrypt.node",
            "bcrypt/prebuilds/linux-arm64/bcrypt.glibc.node",
            "bcrypt/prebuilds/linux-x64/bcrypt.musl.node",
            "bcrypt/prebuilds/win32-x64/bcrypt.node",
            "x/bin/helper",
        ]
    );
    let sharp = |libc: &str| format!("{modules}/@img/sharp-{libc}-x64/lib/sharp-{libc}-x64.node");
    let (glibc, both) = (sharp("linux"), sharp("linuxmusl"));
    let rows = [
        (glibc.as_str(), Put::Elf(ElfFile { needed: &["ld-linux-x86-64.so.2"], ..ElfFile::default() })),
        (&both, musl()),
    ];
    let of = |rows: &[(&str, Put<'_>)]| Image::new(&alpine(), rows, &["sh"]).checked();
    assert_eq!(of(&rows).foreign.len(), 1);
    assert!(of(&rows).errors.is_empty());
    assert_eq!(of(&rows[..1]).errors.len(), 1);
    let lone = [("/app/node_modules/y/build/Release/y.node", addon(183))];
    assert_eq!(
        Image::new(&debian(), &lone, &["python3"]).errors(),
        [
            "/app/node_modules/y/build/Release/y.node from files[0] is made for aarch64, and the image is for x86_64 (a Node addon)"
        ]
    );
}

#[test]
fn arguments_are_no_programs() {
    let rows = [("/app/server", Text("#!/usr/bin/env node\n")), ("/app/x", program(&["libnone.so"]))];
    let of = |words: &[&str], arguments| {
        let view = base(&debian());
        let layers = [own(&rows)];
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let programs = [Program { role: "the command", words, arguments, inherited: false }];
        let check_of = Check {
            machine: "x86_64",
            env: &[],
            workdir: Some("/app"),
            volumes: &BTreeSet::new(),
            programs: &programs,
            allow: &[],
            ignore: &[],
            look: &|entry| match &entry.kind {
                EntryKind::File { content: Content::Bytes(bytes), .. } => {
                    Arc::new(Executable::read(&mut &bytes[..]).unwrap())
                }
                _ => unreachable!(),
            },
            distribution: None,
        };
        check(&View::new(&view, &layers), &check_of).errors.len()
    };
    for (words, arguments, errors) in [
        (&["./server"][..], false, 1),
        (&["./server"], true, 0),
        (&["python3", "/app/server"], false, 0),
        (&["python3", "--", "/app/server"], false, 1),
        (&["python3", "/app/x"], false, 1),
        (&["/app/x"], true, 1),
    ] {
        assert_eq!(of(words, arguments), errors, "{words:?} {arguments}");
    }
}

#[test]
fn gcompat_stands_in_for_glibc() {
    let mut rows = alpine();
    let compat = || Put::Elf(ElfFile { soname: Some("libgcompat.so.0"), ..ElfFile::default() });
    rows.extend([(GLIBC, compat()), ("/lib/libgcompat.so.0", compat())]);
    let versions = [("libc.so.6", &["GLIBC_2.34"][..])];
    let x = ElfFile {
        interpreter: Some(GLIBC),
        needed: &["libc.so.6", "libpthread.so.0"],
        versions_needed: &versions,
        ..ElfFile::default()
    };
    assert_eq!(Image::new(&rows, &[("/x", Put::Elf(x))], &["/x"]).errors(), [""; 0]);
}

#[test]
fn rules_let_pass() {
    let rows = [
        ("/x", program(&["libcuda.so.1", "libnone.so.2"])),
        ("/usr/lib/libb.so", library("libb.so", &["libz.so"])),
    ];
    let image = || Image::new(&debian(), &rows, &["/x"]);
    assert_eq!(image().errors().len(), 2);
    let rest = Image { allow: &["libcuda.so.*"], ..image() }.errors();
    assert!(rest.len() == 1 && rest[0].contains("libnone.so.2"), "{rest:?}");
    assert_eq!(Image { allow: &["lib*"], ..image() }.errors(), [""; 0]);
    assert_eq!(Image { ignore: &["/x"], ..image() }.errors(), [""; 0]);
    let script = [("/app/run", Text("#!/bin/none\n"))];
    let script = Image { ignore: &["/app/*"], ..Image::new(&debian(), &script, &["/app/run"]) };
    assert_eq!(script.errors(), [""; 0]);
    // What is let pass as a file still provides itself to others.
    let rows = [("/x", program(&["libb.so"])), ("/usr/lib/libb.so", library("libb.so", &["libz.so.1"]))];
    let image = Image::new(&debian(), &rows, &["/x"]);
    assert_eq!(image.errors().len(), 1);
    assert_eq!(Image { ignore: &["/usr/lib/lib*"], ..image }.errors(), [""; 0]);
}

#[test]
fn ways_out_are_told() {
    let hint = |base: &[(&str, Put<'_>)], rows: &[(&str, Put<'_>)]| {
        let errors = Image::new(base, rows, &["/x"]).checked().errors;
        errors[0].hint().unwrap()
    };
    for (base, needed, expected) in [
        (
            debian(),
            "libssl.so.3",
            "`packages: { debian: { suite: bookworm, install: [libssl3] } }` brings it; `elf: { allow: [libssl.so.3] }` lets it pass",
        ),
        (
            debian(),
            "libnone.so.2",
            "by its name it is in the package libnone2: `packages: { debian: { suite: bookworm, install: [libnone2] } }`; `elf: { allow: [libnone.so.2] }` lets it pass",
        ),
        (
            debian(),
            "plugin.so",
            "put it into the image, or say that it comes at run time: `elf: { allow: [plugin.so] }` lets it pass",
        ),
    ] {
        assert_eq!(hint(&base, &[("/x", program(&[needed]))]), expected);
    }
    let musl = [(
        "/x",
        Put::Elf(ElfFile { interpreter: Some(MUSL), needed: &["libpq.so.5"], ..ElfFile::default() }),
    )];
    assert_eq!(
        hint(&alpine(), &musl),
        "`packages: { apk: { install: [so:libpq.so.5] } }` brings it; `elf: { allow: [libpq.so.5] }` lets it pass"
    );
}
