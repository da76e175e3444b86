//! What packages' maintainer scripts make of an image without being run, and what is said of those that are not known.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

use insta::assert_snapshot;
use serde_json::Value;

use crate::env::Env;
use crate::mirror::{Deb, Mirror};

/// A workspace with a mirror that has these packages.
fn with(packages: &[Deb]) -> (Env, Mirror) {
    let mut env = Env::new();
    let mut mirror = Mirror::start(&mut env);
    mirror.publish("bookworm", packages);
    (env, mirror)
}

fn app(env: &Env, packages: &str, more: &str) {
    env.spec(
        "app",
        &format!("base: scratch\npackages: {{ debian: {{ suite: bookworm, {packages} }} }}\nplatforms: [linux/amd64]\n{more}"),
    );
}

/// Path → mode, owner and content of what the image's layers hold, the last layer's word.
fn built(env: &Env) -> BTreeMap<String, String> {
    env.succeeds(&["build", "--quiet", "--output", "oci:out"]);
    let out = env.path("out");
    let json = |path: &str| -> Value { serde_json::from_slice(&fs::read(out.join(path)).unwrap()).unwrap() };
    let blob =
        |descriptor: &Value| format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"));
    let mut document = json("index.json");
    while document["layers"].is_null() {
        document = json(&blob(&document["manifests"][0]));
    }
    let mut found = BTreeMap::new();
    for layer in document["layers"].as_array().unwrap() {
        let bytes = fs::read(out.join(blob(layer))).unwrap();
        let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(&*bytes));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header().clone();
            let link = entry.link_name().unwrap().map(|link| format!("-> {}", link.display()));
            let path = format!("/{}", entry.path().unwrap().display()).trim_end_matches('/').to_owned();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let owner = format!("{}:{}", header.uid().unwrap(), header.gid().unwrap());
            found.insert(path, format!("{:o} {owner} {}", header.mode().unwrap(), link.unwrap_or(text)));
        }
    }
    fs::remove_dir_all(out).unwrap();
    found
}

const PASSWD: &str = "#!/bin/sh\nset -e\nif [ \"$1\" = install ] && [ ! -e \"$DPKG_ROOT/etc/passwd\" ]; then\n\
    cat > \"$DPKG_ROOT/etc/passwd\" <<'EOF'\nroot:*:0:0:root:/root:/bin/bash\nwww-data:*:33:33::/var/www:/usr/sbin/nologin\nEOF\n\
    cat > \"$DPKG_ROOT/etc/group\" <<'EOF'\nroot:*:0:\nadm:*:4:\nwww-data:*:33:\nEOF\nfi\n";

const SERVER: &str = "#!/bin/sh\nset -e\nif [ \"$1\" = configure ]; then\n\
    adduser --system --home /var/lib/server --quiet --group --gecos Server server || true\n\
    mkdir -p /var/log/server\nchown server:adm /var/log/server\nchmod 2750 /var/log/server\n\
    dpkg-statoverride --update --add server server 640 /etc/server.conf\n\
    update-alternatives --install /usr/bin/serve serve /usr/bin/server 10\n\
    invoke-rc.d server start || true\nfi\n";

fn server() -> Vec<Deb> {
    vec![
        Deb::new("base-passwd", "1").script("preinst", PASSWD),
        Deb::new("server", "2")
            .file("/etc/server.conf", "port = 1\n")
            .program("/usr/bin/server", "program")
            .script("postinst", SERVER)
            .script("md5sums", "00  usr/bin/server\n"),
    ]
}

#[test]
fn what_scripts_would_do_is_in_the_image() {
    let (env, _mirror) = with(&server());
    app(&env, "install: [base-passwd, server]", "");
    let image = built(&env);
    let uid = image["/etc/passwd"].lines().find_map(|line| line.strip_prefix("server:x:")).unwrap();
    let uid = uid.split(':').next().unwrap();
    assert_eq!(
        image["/etc/passwd"],
        format!(
            "644 0:0 root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n\
             server:x:{uid}:{uid}:Server:/var/lib/server:/usr/sbin/nologin\n"
        )
    );
    assert_eq!(
        image["/etc/group"],
        format!("644 0:0 root:x:0:\nadm:x:4:\nwww-data:x:33:\nserver:x:{uid}:\n")
    );
    assert_eq!(image["/var/lib/server"], format!("755 {uid}:{uid} "));
    assert_eq!(image["/var/log/server"], format!("2750 {uid}:4 "));
    assert_eq!(image["/etc/server.conf"], format!("640 {uid}:{uid} port = 1\n"));
    assert_eq!(image["/usr/bin/serve"], "777 0:0 -> /etc/alternatives/serve");
    assert_eq!(image["/etc/alternatives/serve"], "777 0:0 -> /usr/bin/server");
    assert!(
        image["/var/lib/dpkg/status.d/server"].starts_with(
            "644 0:0 Package: server\nStatus: install ok installed\nVersion: 2\nArchitecture: amd64\n"
        ),
        "{image:#?}"
    );
    assert_eq!(image["/var/lib/dpkg/status.d/server.md5sums"], "644 0:0 00  usr/bin/server\n");
    assert!(!image.contains_key("/var/lib/dpkg/status.d/base-passwd.md5sums"));
    // The spec's number goes before that of the package, and everything that is the user's follows.
    app(
        &env,
        "install: [base-passwd, server]",
        "image: { user: { name: server, uid: 26, group: server, gid: 27 } }\n",
    );
    let image = built(&env);
    assert!(image["/etc/passwd"].ends_with("\nserver:x:26:27:Server:/var/lib/server:/usr/sbin/nologin\n"));
    assert_eq!(image["/etc/server.conf"], "640 26:27 port = 1\n");
    assert_eq!(image["/var/log/server"], "2750 26:4 ");
}

#[test]
fn what_is_not_known_of_a_script_is_told_with_the_ways_out() {
    let (env, _mirror) = with(&[
        Deb::new("tool", "1")
            .depends("part")
            .script("postinst", "#!/bin/sh\nset -e\nif [ \"$1\" = configure ]; then\n\tmake-keys --size 4096\n\tdate > /etc/built\nfi\n"),
        Deb::new("part", "1").script("preinst", "#!/usr/bin/perl\nprint 1;\n"),
        Deb::new("old", "1").script("postinst", "#!/bin/sh\n[ -z \"$2\" ] || make-keys\n"),
    ]);
    app(&env, "install: [tool, old]", "");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: app (linux/amd64): buildspecs/app.yaml:2:21: imgpack runs no script of a package but follows what it says, and these say something that it does not know:
      preinst of part:
        it is no shell script
      postinst of tool:
        `make-keys --size 4096`
        `> /etc/built`, of which the text is not known before the script runs
    hint: `exclude: [part]` if nothing needs it, `scripts: { part: ignore }` if the image does without what the script does, or another base; please report it, so that imgpack learns the script
    ");
    app(&env, "install: [tool, old], exclude: [part]", "");
    assert_snapshot!(env.fails(2, &["build", "--quiet"]), @r"
    error: app (linux/amd64): buildspecs/app.yaml:2:21: imgpack runs no script of a package but follows what it says, and these say something that it does not know:
      postinst of tool:
        `make-keys --size 4096`
        `> /etc/built`, of which the text is not known before the script runs
    hint: `exclude: [tool]` if nothing needs it, `scripts: { tool: ignore }` if the image does without what the script does, or another base; please report it, so that imgpack learns the script
    ");
    app(&env, "install: [tool, old], scripts: { tool: ignore, part: ignore }", "");
    assert!(!built(&env).contains_key("/etc/built"));
}

#[test]
fn numbers_that_cannot_be() {
    let (env, _mirror) = with(&[
        server().remove(0),
        Deb::new("one", "1")
            .script("postinst", "#!/bin/sh\nadduser --system --group --uid 150 --no-create-home one\n"),
        Deb::new("two", "1")
            .script("postinst", "#!/bin/sh\nadduser --system --group --uid 150 --no-create-home two\n"),
        Deb::new("three", "1")
            .file("/etc/three", "")
            .script("postinst", "#!/bin/sh\nchown somebody /etc/three\n"),
    ]);
    let mut text = String::new();
    for (packages, user) in [
        ("base-passwd", "image: { user: { name: www-data, uid: 1001, group: www-data, gid: 33 } }\n"),
        ("base-passwd, one, two", ""),
        ("base-passwd, three", ""),
    ] {
        app(&env, &format!("install: [{packages}]"), user);
        text += &env.fails(2, &["build", "--quiet"]);
    }
    assert_snapshot!(text, @r"
    error: app (linux/amd64): image.user: package base-passwd has user `www-data` with number 33, not 1001
    error: app (linux/amd64): package two makes group `two` with number 150, which is group `one` already
    hint: give `two` another number with image.user, or take `two`'s package out
    error: app (linux/amd64): /etc/three wants user `somebody`, and neither the base nor a package nor image.user has it
    hint: take base-passwd among the packages, or give it a number with image.user
    ");
}
