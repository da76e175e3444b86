//! A layer does not depend on the base but where the base has one of its parents as a link or with another mode or
//! owner. The same of a compiled program: [`crate::reproducible`].

use std::collections::{BTreeMap, BTreeSet};

use crate::built::Built;
use crate::rootfs;
use crate::workspace::Workspace;

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// One file at `to` on every base: the services are named like them.
fn matrix(to: &str) -> Option<Workspace> {
    let roots = [
        ("merged", rootfs::merged()),
        ("closed", rootfs::local(0o750, 0)),
        ("foreign", rootfs::local(0o755, 7)),
    ];
    let mut text = format!("services:\n  _file: {{ files: {{ {to}: x }} }}\n");
    for base in ["static", "scratch"] {
        text += &format!("  {base}: {{ extends: [_file], base: {base} }}\n");
    }
    let alpine = ("alpine", "bases/x86_64.tar.gz", "bases/aarch64.tar.gz");
    let others = roots.iter().map(|(name, _)| (*name, "bases/NAME.tar.gz", "bases/NAME.tar.gz"));
    for (name, amd64, arm64) in [alpine].into_iter().chain(others) {
        let (amd64, arm64) = (amd64.replace("NAME", name), arm64.replace("NAME", name));
        text += &format!(
            "  {name}: {{ extends: [_file], base: {{ rootfs: {{ linux/amd64: {amd64}, linux/arm64: {arm64} }} }} }}\n"
        );
    }
    let workspace = Workspace::new(&text).with_alpine()?;
    for (name, bytes) in roots {
        workspace.write(&format!("bases/{name}.tar.gz"), bytes);
    }
    workspace.write_program("x", "a static program\n");
    Some(workspace)
}

/// The digests of the layer, each with the services that have it.
fn digests(built: &Built, to: &str) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut digests: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for service in ["static", "scratch", "alpine", "merged", "closed", "foreign"] {
        for platform in PLATFORMS {
            let layer = built.layer(service, platform, to);
            assert_eq!(layer.class, "app");
            digests.entry(layer.digest).or_default().insert(service);
        }
    }
    digests
}

/// `explain`'s words for one service.
fn explained(workspace: &Workspace, service: &str) -> String {
    workspace.imgpack(&["explain", "--quiet", service])
}

#[test]
fn a_layer_is_one_on_all_bases_that_have_nothing_special_on_its_way() {
    let Some(workspace) = matrix("/usr/local/bin/x") else { return };
    let (built, layout) = workspace.layout("layout", &[]);
    let digests = digests(&built, "/usr/local/bin/x");
    let groups: BTreeSet<Vec<&str>> = digests.values().map(|group| group.iter().copied().collect()).collect();
    let want = [vec!["alpine", "merged", "scratch", "static"], vec!["closed"], vec!["foreign"]];
    assert_eq!(groups, want.into_iter().collect());

    for (digest, services) in &digests {
        let lines: Vec<String> = layout.entries(digest).iter().map(crate::layout::Entry::line).collect();
        let local = match services.first().copied() {
            Some("closed") => "5 0750 0:0 usr/local/",
            Some("foreign") => "5 0755 7:7 usr/local/",
            _ => "5 0755 0:0 usr/local/",
        };
        let file = "0 0755 0:0 17 92506b009082190c usr/local/bin/x";
        assert_eq!(lines, ["5 0755 0:0 usr/", local, "5 0755 0:0 usr/local/bin/", file], "{services:?}");
    }
    assert!(!explained(&workspace, "merged").contains("the base has"), "{}", explained(&workspace, "merged"));
    let closed = explained(&workspace, "closed");
    assert!(closed.contains("the base has /usr/local as a directory 0750 0:0"), "{closed}");
    let foreign = explained(&workspace, "foreign");
    assert!(foreign.contains("the base has /usr/local as a directory 0755 7:7"), "{foreign}");
}

#[test]
fn a_layer_goes_through_a_link_of_its_base_and_explain_names_it() {
    let Some(workspace) = matrix("/bin/x") else { return };
    let (built, layout) = workspace.layout("layout", &[]);
    let digests = digests(&built, "/bin/x");
    let groups: BTreeSet<Vec<&str>> = digests.values().map(|group| group.iter().copied().collect()).collect();
    let want = [vec!["alpine", "closed", "foreign", "scratch", "static"], vec!["merged"]];
    assert_eq!(groups, want.into_iter().collect());

    let paths = |service: &str| {
        let digest = built.layer(service, "linux/amd64", "/bin/x").digest;
        layout.entries(&digest).into_iter().map(|entry| entry.path).collect::<Vec<_>>()
    };
    assert_eq!(paths("static"), ["bin/", "bin/x"]);
    assert_eq!(paths("merged"), ["usr/", "usr/bin/", "usr/bin/x"]);

    let merged = explained(&workspace, "merged");
    assert!(merged.contains("the base has /bin as a link to usr/bin"), "{merged}");
    assert!(!explained(&workspace, "alpine").contains("the base has"));
}
