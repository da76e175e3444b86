//! What Debian packages become in an image, and what is said of those that cannot become anything.

use std::collections::BTreeMap;
use std::fs::{self, File};

use flate2::read::MultiGzDecoder;
use insta::assert_snapshot;
use serde_json::Value;

use crate::env::{Env, files_below};
use crate::mirror::{Deb, Mirror};

/// The service `web` with these packages on an empty base, for one platform.
fn web(env: &Env, more: &str) {
    env.spec(
        "web",
        &format!(
            "base: scratch\nplatforms: [linux/amd64]\npackages: {{ debian: {{ suite: bookworm, install: [tool] }} }}\n{more}"
        ),
    );
}

fn large() -> Vec<u8> {
    (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn tool(version: &str) -> Deb {
    Deb::new("tool", version)
        .depends("libtool, tool-data")
        .program("/bin/tool", format!("tool {version}"))
        .file("/etc/tool.conf", "port = 1\n")
        .file("/usr/share/man/man1/tool.1", "read me")
        .file("/usr/share/doc/tool/README", "read me")
}

fn debs(version: &str) -> Vec<Deb> {
    vec![
        tool(version),
        Deb::new("libtool", "1").file("/lib/libtool.so.1", large()),
        Deb::new("tool-data", "7").of("all").file("/usr/share/tool/table", "table"),
    ]
}

fn started(debs: &[Deb]) -> (Env, Mirror) {
    let mut env = Env::new();
    let mut mirror = Mirror::start(&mut env);
    mirror.publish("bookworm", debs);
    web(&env, "");
    (env, mirror)
}

/// Title, digest and paths (with mode and link) of each layer of the layout `name`.
fn layers(env: &Env, name: &str) -> Vec<(String, String, Vec<String>)> {
    let read = |digest: &Value| {
        env.path(name).join("blobs/sha256").join(&digest.as_str().unwrap()["sha256:".len()..])
    };
    let json = |path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let manifest = json(read(&json(env.path(name).join("index.json"))["manifests"][0]["digest"]));
    let config = json(read(&manifest["config"]["digest"]));
    let titles = config["history"].as_array().unwrap().iter().map(|row| row["created_by"].as_str().unwrap());
    titles
        .zip(manifest["layers"].as_array().unwrap())
        .map(|(title, layer)| {
            let mut archive =
                tar::Archive::new(MultiGzDecoder::new(File::open(read(&layer["digest"])).unwrap()));
            let row = |entry: tar::Entry<'_, _>| {
                let link = entry
                    .link_name()
                    .unwrap()
                    .map_or_else(String::new, |link| format!(" -> {}", link.display()));
                format!("{:o} {}{link}", entry.header().mode().unwrap(), entry.path().unwrap().display())
            };
            let rows = archive.entries().unwrap().map(|entry| row(entry.unwrap())).collect();
            (title.to_owned(), layer["digest"].to_string(), rows)
        })
        .collect()
}

fn without_database(rows: &[(String, String, Vec<String>)]) -> String {
    let mut text = String::new();
    for (title, _, paths) in rows {
        text.push_str(&format!("{title}\n"));
        paths
            .iter()
            .filter(|path| !path.contains("var"))
            .for_each(|path| text.push_str(&format!("  {path}\n")));
    }
    text
}

#[test]
fn packages_are_layers_of_files_in_a_merged_usr() {
    let (env, _mirror) = started(&debs("1.0"));
    web(&env, "files:\n  - { text: hi, to: /bin/hello }\n");
    env.succeeds(&["build", "--output", "oci:out"]);
    assert_snapshot!(without_database(&layers(&env, "out")), @r"
    imgpack system: libtool
      755 usr/
      755 usr/lib/
      644 usr/lib/libtool.so.1
      755 usr/share/
      755 usr/share/doc/
      755 usr/share/doc/libtool/
      644 usr/share/doc/libtool/copyright
    imgpack system: tool
      755 etc/
      644 etc/tool.conf
      755 usr/
      755 usr/bin/
      755 usr/bin/tool
      755 usr/share/
      755 usr/share/doc/
      755 usr/share/doc/tool/
      644 usr/share/doc/tool/copyright
    imgpack system: tool-data
      755 usr/
      755 usr/share/
      755 usr/share/doc/
      755 usr/share/doc/tool-data/
      644 usr/share/doc/tool-data/copyright
      755 usr/share/tool/
      644 usr/share/tool/table
    imgpack system: package database
      777 bin -> usr/bin
      777 lib -> usr/lib
    imgpack app: /bin/hello
      755 usr/
      755 usr/bin/
      644 usr/bin/hello
    ");
    assert_snapshot!(env.succeeds(&["plan"]).stdout, @r"
    web (linux/amd64)
      base          0 B  scratch
      system    93.7 kB  libtool
      system      271 B  tool
      system      228 B  tool-data
      system      389 B  package database
      app         132 B  /bin/hello
    ");
}

#[test]
fn an_upgrade_changes_the_layer_of_its_package_and_the_composed_one() {
    let (env, mut mirror) = started(&debs("1.0"));
    env.succeeds(&["lock"]);
    env.succeeds(&["build", "--output", "oci:one"]);
    mirror.date = "Fri, 02 Oct 2026 12:00:00 UTC".to_owned();
    mirror.publish("bookworm", &debs("1.1"));
    env.succeeds(&["lock", "--upgrade", "all"]);
    env.succeeds(&["build", "--output", "oci:two"]);
    let digests = |name| -> BTreeMap<String, String> {
        layers(&env, name).into_iter().map(|(title, digest, _)| (title, digest)).collect()
    };
    let (one, two) = (digests("one"), digests("two"));
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
    let changed: Vec<&String> = one.keys().filter(|title| one[*title] != two[*title]).collect();
    assert_eq!(changed, ["imgpack system: package database", "imgpack system: tool"]);
}

/// The file of a package is wanted once to say what it holds, and again only where a layer is made of it.
#[test]
fn planning_needs_no_package() {
    let (env, mirror) = started(&debs("1.0"));
    env.succeeds(&["lock"]);
    env.succeeds(&["build"]);
    let fetched = |mirror: &Mirror| {
        let asked = mirror.asked();
        asked
            .iter()
            .filter(|address| address.rsplit('.').next() == Some("deb"))
            .map(|address| address.rsplit('/').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(fetched(&mirror).len(), 3);
    for path in files_below(&env.cache().join("v1/blobs")) {
        if path.is_file() && fs::read(&path).unwrap().starts_with(b"!<arch>") {
            fs::remove_file(path).unwrap();
        }
    }
    web(&env, "files:\n  - { text: hi, to: /usr/bin/hello }\n");
    env.succeeds(&["build", "--locked"]);
    assert_eq!(fetched(&mirror).len(), 3);
    // Documentation is in other layers; the large package has none and stays.
    web(&env, "");
    let spec = fs::read_to_string(env.path("buildspecs/web.yaml")).unwrap();
    env.file("buildspecs/web.yaml", spec.replace("install: [tool]", "install: [tool], keep: [man]"));
    env.succeeds(&["build", "--locked"]);
    assert_eq!(fetched(&mirror)[3..], ["tool_1.0_amd64.deb"]);
    env.succeeds(&["build", "--locked", "--no-cache"]);
    assert_eq!(fetched(&mirror).len(), 6);
}

#[test]
fn packages_that_cannot_be_are_named() {
    let mut text = String::new();
    for debs in [
        vec![Deb::new("tool", "1").file("/../../etc/passwd", "x")],
        vec![Deb::new("tool", "1").file("/etc/.wh.passwd", "x")],
        vec![Deb::new("tool", "1").file("/usr/a", "x").file("/usr/a/b", "x")],
        vec![
            Deb::new("tool", "1").depends("other").file("/usr/bin/x", "1").file("/usr/bin/y", "1"),
            Deb::new("other", "2").file("/bin/x", "2").file("/usr/bin/y", "2"),
        ],
    ] {
        let (env, _mirror) = started(&debs);
        let blobs = |env: &Env| {
            let found = files_below(&env.cache().join("v1/blobs"));
            found.iter().filter(|path| path.is_file()).map(|path| path.metadata().unwrap().len()).sum::<u64>()
        };
        text += &env.fails(2, &["build", "--quiet"]);
        assert!(blobs(&env) < 200_000, "only packages and indexes are there");
    }
    assert_snapshot!(text, @r"
    error: web (linux/amd64): package tool 1: it holds a path that is not for an image
      because: `/./../` has a .. component
    hint: the file is what its archive publishes: take another version, or leave the package out with `exclude`
    error: web (linux/amd64): package tool 1: it holds a path that is not for an image
      because: `/./etc/.wh.passwd` has a name that begins with .wh., which marks a removal in a layer
    hint: the file is what its archive publishes: take another version, or leave the package out with `exclude`
    error: web (linux/amd64): package tool 1: /usr/a comes twice
    hint: the file is what its archive publishes: take another version, or leave the package out with `exclude`
    error: web (linux/amd64): buildspecs/web.yaml:3:21: /usr/bin/x is in package other and in package tool, and neither says that it replaces the other
    /usr/bin/y is in package other and in package tool, and neither says that it replaces the other
    hint: leave one of the two packages out, with `exclude` where another one depends on it, or take another base
    ");
}

#[test]
fn files_that_run_as_others_are_told() {
    let (env, _mirror) = started(&[Deb::new("tool", "1").file_with_mode("/usr/bin/su", "x", 0o4755)]);
    let told = env.succeeds(&["build"]).stderr;
    let notes: Vec<&str> = told.lines().filter(|line| line.starts_with("note: packages")).collect();
    assert_eq!(notes, ["note: packages bring files that run as their owner or group: /usr/bin/su (4755)"]);
}

/// The service `web` on a base with dpkg's database, in which `tool` 0 is, and `other` with `/usr/bin/other`.
fn on_base(env: &Env, base: &str, install: &str) {
    let row = |name: &str, more: &str| {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 0\n{more}\n")
    };
    let conffile = "Conffiles:\n /etc/old.conf 00\n";
    let mut files = vec![
        ("./usr/bin/tool", "tool 0".to_owned()),
        ("./usr/bin/old-tool", "old".to_owned()),
        ("./usr/share/doc/tool/old", "old".to_owned()),
        ("./usr/bin/other", "other".to_owned()),
        ("./etc/old.conf", "mine".to_owned()),
    ];
    if base == "dpkg" {
        files.extend([
            ("./var/lib/dpkg/status", row("tool", conffile) + &row("other", "")),
            (
                "./var/lib/dpkg/info/tool.list",
                "/.\n/usr\n/usr/bin\n/bin/tool\n/usr/bin/old-tool\n/etc/old.conf\n/usr/share/doc/tool/old\n"
                    .to_owned(),
            ),
            ("./var/lib/dpkg/info/tool.prerm", "#!/bin/sh\n".to_owned()),
            ("./var/lib/dpkg/info/other.list", "/.\n/usr/bin/other\n".to_owned()),
        ]);
    } else {
        files.extend([
            ("./var/lib/dpkg/status.d/tool", row("tool", "")),
            ("./var/lib/dpkg/status.d/tool.md5sums", "00  bin/tool\n00  usr/bin/old-tool\n".to_owned()),
            ("./var/lib/dpkg/status.d/other", row("other", "")),
            ("./var/lib/dpkg/status.d/other.md5sums", "00  usr/bin/other\n".to_owned()),
        ]);
    }
    let rows: Vec<_> =
        files.into_iter().map(|(path, text)| (path.to_owned(), text.into_bytes(), 0o644)).collect();
    env.file("base.tar", crate::mirror::tar(&rows));
    env.spec(
        "web",
        &format!(
            "base: {{ rootfs: {{ linux/amd64: ../base.tar }} }}\nplatforms: [linux/amd64]\n\
             packages: {{ debian: {{ suite: bookworm, install: [{install}] }} }}\n"
        ),
    );
}

fn whiteouts(env: &Env, name: &str) -> Vec<String> {
    let layers = layers(env, name);
    let rows = layers.iter().flat_map(|(_, _, rows)| rows);
    rows.filter_map(|row| Some(row.split_once(' ')?.1.to_owned()))
        .filter(|row| row.contains("/.wh."))
        .collect()
}

#[test]
fn an_upgrade_takes_away_what_the_new_version_has_not() {
    let (env, _mirror) = started(&debs("1"));
    on_base(&env, "dpkg", "tool=1");
    env.succeeds(&["lock"]);
    env.succeeds(&["build", "--locked", "--output", "oci:image"]);
    // The conffile stays, as with dpkg.
    assert_eq!(
        whiteouts(&env, "image"),
        ["usr/bin/.wh.old-tool", "usr/share/doc/tool/.wh.old", "var/lib/dpkg/info/.wh.tool.prerm"]
    );
    on_base(&env, "status.d", "tool=1");
    env.succeeds(&["lock"]);
    env.succeeds(&["build", "--locked", "--output", "oci:image"]);
    let gone = whiteouts(&env, "image");
    assert_eq!(
        gone.iter().filter(|path| path.starts_with("usr/")).collect::<Vec<_>>(),
        ["usr/bin/.wh.old-tool"]
    );
}

#[test]
fn a_file_of_a_package_that_the_base_keeps() {
    for base in ["dpkg", "status.d"] {
        let other = |fields: &[(&str, &str)]| {
            let deb = Deb::new("new", "1").program("/bin/other", "new");
            fields.iter().fold(deb, |deb, (name, value)| deb.field(name, value))
        };
        let (env, mut mirror) = started(&[other(&[])]);
        on_base(&env, base, "new");
        let said = env.fails(2, &["build", "--quiet"]);
        let expected = "/usr/bin/other is in package new and in the base's package other, which it does not say \
                        that it replaces";
        assert!(said.contains(expected), "{said}");
        mirror.publish("bookworm", &[other(&[("Replaces", "other (<< 1)")])]);
        env.succeeds(&["build", "--quiet"]);
    }
}

#[test]
fn an_own_file_takes_the_place_of_a_packages_one_where_that_is_meant() {
    let mut debs = debs("1.0");
    let made = "#!/bin/sh\nmkdir -p /etc/made /var/tool\nln -s /nowhere /etc/made/link\nrm -f /etc/gone\n";
    debs[0] = tool("1.0").file("/etc/gone", "package").script("postinst", made);
    let (env, _mirror) = started(&debs);
    web(&env, "files:\n  - { text: port = 2, to: /etc/tool.conf }\n");
    assert_snapshot!(env.run(&["plan"]).stderr, @r"
    error: web (linux/amd64): /etc/tool.conf comes from package tool and from buildspecs/web.yaml:5:5
    hint: `replace: true` at the files entry takes the place of a package's file, in any class but `system`
    ");
    web(&env, "files:\n  - { text: a, to: /etc/made/link }\n  - { text: b, to: /etc/gone }\n");
    assert_snapshot!(env.run(&["plan"]).stderr, @r"
    error: web (linux/amd64): /etc/made/link comes from package tool and from buildspecs/web.yaml:5:5
    hint: `replace: true` at the files entry takes the place of a package's file, in any class but `system`
    ");
    let rows = [
        "{ text: port = 2, to: /etc/tool.conf, class: config, replace: true }",
        "{ text: a, to: /etc/made/link, replace: true }",
        "{ text: b, to: /etc/gone }",
        "{ link: /tmp, to: /var/tool, replace: true }",
        "{ dir: true, to: /bin/tool, replace: true }",
    ];
    web(&env, &format!("files:\n  - {}\n", rows.join("\n  - ")));
    assert_snapshot!(env.succeeds(&["plan"]).stdout, @r"
    web (linux/amd64)
      base          0 B  scratch
      system    to make  libtool
      system    to make  tool
      system    to make  tool-data
      system    to make  package database
      app       to make  3 files in /
      config    to make  /etc/tool.conf
      config    to make  directories
      replace            /etc/made/link of package tool
      replace            /etc/tool.conf of package tool
      replace            /usr/bin/tool of package tool
      replace            /var/tool of package tool
    ");
    let told = env.succeeds(&["build", "--output", "oci:out"]).stderr;
    let note = "note: replaced in the image: /etc/made/link of package tool, /etc/tool.conf of package tool, /usr/bin/tool of \
        package tool, /var/tool of package tool\n";
    assert!(told.contains(note), "{told}");
    let rows = layers(&env, "out");
    let own = rows.iter().position(|(title, ..)| title.starts_with("imgpack app")).unwrap();
    assert!(rows[1].2.contains(&"644 etc/tool.conf".to_owned()), "the package's layer is as without");
    assert_snapshot!(without_database(&rows[own..]), @r"
    imgpack app: 3 files in /
      755 etc/
      644 etc/gone
      755 etc/made/
      644 etc/made/link
    imgpack config: /etc/tool.conf
      755 etc/
      644 etc/tool.conf
    imgpack config: directories
      755 usr/
      755 usr/bin/
      755 usr/bin/tool/
    ");
}
