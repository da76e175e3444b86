//! What other programs read in every form of output.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program;
use crate::rootfs;
use crate::workspace::{Workspace, output};

/// One image in all forms.
struct Forms {
    workspace: Workspace,
    layout: PathBuf,
    archive: PathBuf,
    docker: PathBuf,
    /// Digest of the index.
    root: String,
}

/// Its layers have links, owners, modes, removals, long names and names that are not ASCII.
fn forms() -> Forms {
    let workspace = Workspace::new(
        "services:\n\
         \x20 app:\n\
         \x20   base: { rootfs: { linux/amd64: root.tar.gz, linux/arm64: root.tar.gz } }\n\
         \x20   components: [tzdata]\n\
         \x20   remove: [/usr/bin/sh]\n\
         \x20   files:\n\
         \x20     - { from: tree, to: /srv }\n\
         \x20     - { to: /bin/app, link: /srv/run.sh }\n\
         \x20     - { from: large.bin, to: /opt/large.bin, class: shared }\n\
         \x20     - { to: /etc/arch, text: \"${target.arch}\", mode: \"0640\", owner: app, class: config }\n\
         \x20   elf: { ignore: [/srv/run.sh] }\n\
         \x20   image: { user: { name: app, uid: 1001 }, volumes: [/data], entrypoint: [/srv/run.sh] }\n",
    );
    workspace.write("root.tar.gz", rootfs::merged());
    workspace.write_program("tree/run.sh", "#!/bin/sh\n");
    workspace.write(&format!("tree/ünï 日本/{}/{}", "d".repeat(90), "f".repeat(120)), "long\n");
    workspace.write("large.bin", "0123456789abcdef".repeat(300_000));
    let [layout, archive, docker] = ["layout", "image.tar", "docker.tar"].map(|name| workspace.beside(name));
    let (oci, tar) = (output("oci", &layout), output("oci-archive", &archive));
    let built = workspace.build(&["--output", &oci, "--output", &tar, "--tag=1"]);
    let docker_form = output("docker-archive", &docker);
    workspace.build(&["--platform=linux/amd64", "--tag=1", "--output", &docker_form]);
    Forms { root: built.root("app").to_owned(), workspace, layout, archive, docker }
}

#[test]
fn every_layer_is_what_documents_say_and_every_reader_reads_it() {
    if !program::installed(&["python3", "tar", "gzip"]) {
        return;
    }
    let forms = forms();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/judge.py");
    for (form, path) in
        [("oci", &forms.layout), ("oci-archive", &forms.archive), ("docker-archive", &forms.docker)]
    {
        let said = program::call("python3", &[script, form, &path.display().to_string()]);
        assert!(said.contains("layers are right"), "{said}");
    }
    let mut layers = 0;
    for entry in fs::read_dir(forms.layout.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        if !fs::read(&path).unwrap().starts_with(&[0x1f, 0x8b]) {
            continue;
        }
        layers += 1;
        let place = path.display().to_string();
        let gz = forms.workspace.beside("layer.tar.gz");
        fs::copy(&path, &gz).unwrap();
        program::call("gzip", &["--test", &gz.display().to_string()]);
        let listed = program::call("tar", &["--list", "--verbose", "--gzip", "--file", &place]);
        assert!(!listed.is_empty(), "{place}");
    }
    assert!(layers >= 7, "{layers}");
}

#[test]
fn skopeo_copies_from_form_to_form() {
    if !program::installed(&["skopeo"]) {
        return;
    }
    let forms = forms();
    let copy = |from: &str, to: &str, more: &[&str]| {
        program::call("skopeo", &[&["copy", "--quiet"], more, &[from, to]].concat());
    };
    let all = ["--all", "--preserve-digests"];
    let place = |form: &str, path: &Path| format!("{form}:{}", path.display());
    let beside = |name: &str| forms.workspace.beside(name);
    let digest = |place: &str| {
        let raw = program::call("skopeo", &["inspect", "--raw", place]);
        crate::layout::sha256(raw.as_bytes())
    };
    let (layout, archive) = (place("oci", &forms.layout), place("oci-archive", &forms.archive));
    assert_eq!(digest(&layout), forms.root);
    assert_eq!(digest(&archive), forms.root);
    copy(&layout, &place("oci-archive", &beside("a.tar")), &all);
    copy(&archive, &place("oci", &beside("b")), &all);
    assert_eq!(digest(&place("oci-archive", &beside("a.tar"))), forms.root);
    assert_eq!(digest(&place("oci", &beside("b"))), forms.root);
    // From and to what holds one platform.
    let one = ["--override-arch=amd64", "--override-os=linux"];
    copy(&archive, &format!("{}:team/app:1", place("docker-archive", &beside("c.tar"))), &one);
    copy(&place("docker-archive", &forms.docker), &format!("{}:1", place("oci", &beside("d"))), &[]);
    copy(&place("docker-archive", &forms.docker), &place("dir", &beside("e")), &[]);
}

#[test]
fn umoci_unpacks_what_was_meant() {
    if !program::installed(&["umoci"]) {
        return;
    }
    let forms = forms();
    // umoci takes the one platform of a name: a layout with one.
    let dir = forms.workspace.beside("one");
    forms.workspace.build(&["--platform=linux/arm64", "--tag=1", "--output", &output("oci", &dir)]);
    let names = program::call("umoci", &["list", "--layout", &dir.display().to_string()]);
    let name = names.trim();
    let bundle = forms.workspace.beside("bundle");
    let image = format!("{}:{name}", dir.display());
    program::call("umoci", &["unpack", "--rootless", "--image", &image, &bundle.display().to_string()]);
    let root = bundle.join("rootfs");
    assert_eq!(fs::read_to_string(root.join("etc/arch")).unwrap(), "arm64");
    assert_eq!(fs::read_link(root.join("bin")).unwrap(), Path::new("usr/bin"));
    assert_eq!(fs::read_link(root.join("usr/bin/app")).unwrap(), Path::new("/srv/run.sh"));
    assert!(!root.join("usr/bin/sh").exists());
    let long = root.join(format!("srv/ünï 日本/{}/{}", "d".repeat(90), "f".repeat(120)));
    assert_eq!(fs::read_to_string(long).unwrap(), "long\n");
    assert!(root.join("usr/share/zoneinfo/Europe/Rome").is_file());
}

#[test]
fn crane_validates_the_archive() {
    if !program::installed(&["crane"]) {
        return;
    }
    let forms = forms();
    let said = program::call("crane", &["validate", "--tarball", &forms.docker.display().to_string()]);
    assert!(said.contains("PASS"), "{said}");
}
