//! Files that are made once for an image: users, groups, the CA bundle.

use crate::built::Built;
use crate::layout::Layout;
use crate::workspace::Workspace;

const AMD64: &str = "linux/amd64";
const ALPINE: &str =
    "base: { rootfs: { linux/amd64: bases/x86_64.tar.gz, linux/arm64: bases/aarch64.tar.gz } }";
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/// The text of a file in the one layer of composed files.
fn composed(built: &Built, layout: &Layout, identity: &str, title: &str, path: &str) -> String {
    let layer = built.layer(identity, AMD64, title);
    assert_eq!(layer.class, "system");
    let entry = layout.entry(&layer.digest, path);
    assert_eq!((entry.mode, entry.owner), (0o644, (0, 0)), "{path}");
    String::from_utf8(entry.content).unwrap()
}

/// The text of a file of the base.
fn of_base(built: &Built, layout: &Layout, identity: &str, path: &str) -> String {
    let base = &built.layers(identity, AMD64)[0];
    assert_eq!(base.class, "base");
    let entries = layout.entries(&base.digest);
    let found = entries.iter().find(|entry| entry.path.trim_start_matches("./") == path);
    String::from_utf8(found.unwrap_or_else(|| panic!("the base has no {path}")).content.clone()).unwrap()
}

#[test]
fn a_named_user_gets_rows_after_those_of_the_base() {
    let user = "image: { user: { name: app, uid: 1001, group: staff-of-app, gid: 1002 } }";
    let text = format!(
        "services:\n  plain: {{ {user}, platforms: [linux/amd64] }}\n  empty: {{ {user}, base: scratch, platforms: [linux/amd64] }}\n  \
         alpine: {{ {user}, {ALPINE}, platforms: [linux/amd64] }}\n"
    );
    let Some(workspace) = Workspace::new(&text).with_alpine() else { return };
    let (built, layout) = workspace.layout("layout", &[]);
    let title = "user and group";
    for identity in ["plain", "alpine"] {
        let (passwd, group) = ("app:x:1001:1002::/nonexistent:/sbin/nologin\n", "staff-of-app:x:1002:\n");
        for (path, row) in [("etc/passwd", passwd), ("etc/group", group)] {
            let want = of_base(&built, &layout, identity, path) + row;
            assert_eq!(composed(&built, &layout, identity, title, path), want, "{identity} {path}");
        }
    }
    let passwd = composed(&built, &layout, "empty", title, "etc/passwd");
    assert_eq!(passwd, "root:x:0:0:root:/root:/sbin/nologin\napp:x:1001:1002::/nonexistent:/sbin/nologin\n");
    assert_eq!(composed(&built, &layout, "empty", title, "etc/group"), "root:x:0:\nstaff-of-app:x:1002:\n");
    for identity in ["plain", "alpine", "empty"] {
        let config = layout.json(built.config(identity, AMD64));
        assert_eq!(config["config"]["User"], "1001:1002", "{identity}");
    }
}

#[test]
fn a_user_of_the_base_is_that_user_or_a_mistake() {
    let workspace = Workspace::new(
        "services:\n  same: { image: { user: { name: nonroot, uid: 65532 } } }\n  \
         other: { image: { user: { name: nonroot, uid: 1 } } }\n",
    );
    let (built, layout) = workspace.layout("layout", &["same"]);
    let passwd = composed(&built, &layout, "same", "user and group", "etc/passwd");
    assert_eq!(passwd, of_base(&built, &layout, "same", "etc/passwd"));
    let said = workspace.refusal(&["build", "other"]);
    assert!(said.contains("image.user: the base has user `nonroot` with number 65532, not 1"), "{said}");
}

#[test]
fn certificates_come_after_those_of_the_base() {
    let text = format!(
        "defaults: {{ certificates: [ca.pem, dos.pem], platforms: [linux/amd64] }}\nservices:\n  plain: {{}}\n  empty: {{ base: scratch }}\n  \
         alpine: {{ {ALPINE} }}\n  full: {{ base: scratch, components: [ca-certificates] }}\n  \
         renewed: {{ {ALPINE}, components: [ca-certificates] }}\n"
    );
    let Some(workspace) = Workspace::new(&text).with_alpine() else { return };
    workspace.write("ca.pem", PEM.trim_end());
    workspace.write("dos.pem", PEM.replace("AAAA", "BBBB").replace('\n', "\r\n"));
    let added = PEM.to_owned() + &PEM.replace("AAAA", "BBBB");
    let (built, layout) = workspace.layout("layout", &[]);
    let bundle = |identity: &str| composed(&built, &layout, identity, "CA certificates", BUNDLE);
    for identity in ["plain", "alpine"] {
        let base = of_base(&built, &layout, identity, BUNDLE);
        assert!(base.matches("-----BEGIN CERTIFICATE-----").count() > 100, "{identity}");
        assert_eq!(bundle(identity), base + &added, "{identity}");
    }
    assert_eq!(bundle("empty"), added);
    // With the component Mozilla's own stand before them, on any base.
    let mozilla = of_base(&built, &layout, "plain", BUNDLE) + &added;
    assert_eq!(bundle("full"), mozilla);
    assert_eq!(bundle("renewed"), mozilla);
}

#[test]
fn another_file_at_a_composed_place_is_a_mistake_that_names_both() {
    let text = format!(
        "defaults: {{ platforms: [linux/amd64] }}\nservices:\n\
         \x20 passwd: {{ files: {{ /etc/passwd: mine }}, image: {{ user: {{ name: app, uid: 1001 }} }} }}\n\
         \x20 group: {{ {ALPINE}, files: {{ /etc/group: mine }}, image: {{ user: {{ name: app, uid: 1001, group: app }} }} }}\n\
         \x20 bundle: {{ files: {{ /{BUNDLE}: mine }}, certificates: [ca.pem] }}\n\
         \x20 below: {{ base: scratch, files: {{ /etc/passwd/x: mine }}, image: {{ user: {{ name: app, uid: 1001 }} }} }}\n\
         \x20 component: {{ files: {{ /{BUNDLE}: mine }}, components: [ca-certificates] }}\n\
         \x20 removed: {{ {ALPINE}, remove: [/etc/passwd], image: {{ user: {{ name: app, uid: 1001 }} }} }}\n"
    );
    let Some(workspace) = Workspace::new(&text).with_alpine() else { return };
    workspace.write("mine", "mine\n");
    workspace.write("ca.pem", PEM);
    for (service, places) in [
        ("passwd", ["/etc/passwd", "image.user", "imgpack.yaml:5:"]),
        ("group", ["/etc/group", "image.user", "imgpack.yaml:6:"]),
        ("bundle", ["/etc/ssl/certs/ca-certificates.crt", "certificates", "imgpack.yaml:7:"]),
        ("below", ["/etc/passwd", "image.user", "imgpack.yaml:8:"]),
        ("component", ["/etc/ssl/certs/ca-certificates.crt", "certificates", "imgpack.yaml:9:"]),
        ("removed", ["/etc/passwd", "image.user", "remove"]),
    ] {
        let said = workspace.refusal(&["build", service]);
        for place in places {
            assert!(said.contains(place), "{service}: {place} is not in\n{said}");
        }
    }
}

#[test]
fn a_private_key_is_no_certificate() {
    let workspace =
        Workspace::new("services:\n  a: { certificates: [key.pem] }\n  b: { certificates: [text.pem] }\n");
    workspace
        .write("key.pem", format!("{PEM}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
    workspace.write("text.pem", "hello\n");
    let said = workspace.refusal(&["build", "a"]);
    assert!(said.contains("key.pem holds a private key") && !said.contains("AAAA"), "{said}");
    let said = workspace.refusal(&["build", "b"]);
    assert!(said.contains("text.pem is not a PEM file of certificates"), "{said}");
}
