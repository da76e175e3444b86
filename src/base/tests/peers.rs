//! Alpine's real root file systems, and what other tools make of them.

use std::process::Command;

use super::*;
use crate::model::{BaseFacts, FactKind, ImagePath};

const ROOTS: [(&str, Platform, &str); 2] = [
    ("alpine-minirootfs-3.20.3-x86_64.tar.gz", Platform::AMD64, "amd64"),
    ("alpine-minirootfs-3.20.3-aarch64.tar.gz", Platform::ARM64, "arm64"),
];

fn path(text: &str) -> ImagePath {
    text.parse().unwrap()
}

#[test]
fn alpine_is_read_as_it_is() {
    for (name, platform, _) in ROOTS {
        let Some(file) = fixture(name) else { return };
        let store = Memory::default();
        let base =
            import(&store, "rootfs", platform, |import| from_rootfs(import, &file, &COMPRESSOR)).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!(base.layers[0].layer.descriptor, Descriptor::of(MediaType::OciLayerGzip, &bytes));
        let facts = &base.facts;
        let listed = Command::new("tar").arg("-tzf").arg(&file).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let mut listed: Vec<_> = listed
            .lines()
            .map(|line| line.trim_start_matches('.').trim_end_matches('/'))
            .filter(|line| !line.is_empty())
            .collect();
        listed.sort_unstable();
        assert_eq!(facts.tree.keys().map(ImagePath::as_str).collect::<Vec<_>>(), listed);
        assert_eq!(facts.tree[&path("/bin/sh")].kind, FactKind::Symlink("/bin/busybox".to_owned()));
        assert_eq!(facts.tree[&path("/tmp")].mode, 0o1777);
        assert_eq!(facts.tree[&path("/etc/shadow")].gid, 42);
        assert_eq!(facts.resolve(&path("/etc/ssl/cert.pem")).unwrap().as_str(), BaseFacts::CA_BUNDLES[0]);
        assert!(facts.contents[&path("/etc/passwd")].starts_with("root:x:0:0:root:/root:/bin/sh\n"));
        assert!(facts.contents[&path(BaseFacts::CA_BUNDLES[0])].contains("-----BEGIN CERTIFICATE-----"));
        let kept = facts.contents.keys().map(ImagePath::as_str);
        let (keys, kept): (Vec<_>, Vec<_>) = kept.partition(|path| path.starts_with("/etc/apk/keys/"));
        assert_eq!(keys.len(), facts.names_in("/etc/apk/keys").len());
        assert!(!keys.is_empty());
        let expected = "/etc/apk/arch /etc/apk/repositories /etc/apk/world /etc/group /etc/nsswitch.conf /etc/os-release \
            /etc/passwd /etc/shells /etc/ssl/certs/ca-certificates.crt /lib/apk/db/installed /lib/apk/db/triggers";
        assert_eq!(kept.join(" "), expected);
        assert!(facts.text("/lib/apk/db/installed").unwrap().contains("\nP:musl\n"));
        let scripts = facts.binary("/lib/apk/db/scripts.tar").unwrap();
        assert_eq!(scripts.len() as u64, facts.tree[&path("/lib/apk/db/scripts.tar")].size);
        let machine = name.trim_end_matches(".tar.gz").rsplit('-').next().unwrap();
        assert!(facts.elf.values().all(|elf| elf.machine == machine));
        let loader = format!("/lib/ld-musl-{machine}.so.1");
        let (busybox, libz) = (&facts.elf[&path("/bin/busybox")], &facts.elf[&path("/lib/libz.so.1.3.1")]);
        assert_eq!(busybox.interpreter.as_ref(), Some(&loader));
        assert_eq!(busybox.needed, [format!("libc.musl-{machine}.so.1")]);
        assert_eq!(libz.soname.as_deref(), Some("libz.so.1"));
        assert!(facts.elf.contains_key(&path(&loader)));
        let mut tar = crate::tar::TarReader::new(crate::tar::open_packed(bytes.as_slice()).unwrap().1);
        let mut count = 0;
        while tar.next_member().unwrap().is_some() {
            let mut magic = Vec::new();
            tar.data().take(4).read_to_end(&mut magic).unwrap();
            count += usize::from(magic == *b"\x7fELF");
        }
        assert_eq!(facts.elf.len(), count);
        assert_eq!(base.config.cmd.as_deref(), Some(&["/bin/sh".to_owned()][..]));
    }
}

#[test]
fn what_skopeo_writes_is_read_the_same() {
    let skopeo = Command::new("skopeo").arg("--version").output().is_ok();
    if !skip_unless(skopeo, "skopeo is not installed") {
        return;
    }
    let mut blobs = Blobs::default();
    let mut entries = Vec::new();
    for (name, _, architecture) in ROOTS {
        let Some(file) = fixture(name) else { return };
        let bytes = std::fs::read(file).unwrap();
        let mut tar = Vec::new();
        crate::tar::open_packed(bytes.as_slice()).unwrap().1.read_to_end(&mut tar).unwrap();
        let layer = blobs.add(MediaType::OciLayerGzip, &bytes);
        let config = blobs.add_json(MediaType::OciConfig, &config(architecture, &[&tar]));
        entries.push((architecture, blobs.manifest(MediaType::OciManifest, &config, &[layer])));
    }
    let index = blobs.index(MediaType::OciIndex, &entries);
    let temporary = tempfile::tempdir().unwrap();
    let place = |name: &str| temporary.path().join(name);
    let text = |name: &str| place(name).to_str().unwrap().to_owned();
    blobs.layout(&place("layout"), &[("", index)]);
    for (name, platform, architecture) in ROOTS {
        let copy = |to: &str, more: &[&str]| {
            let done = Command::new("skopeo")
                .args(["copy", "--override-os", "linux", "--override-arch", architecture])
                .args(more)
                .args([format!("oci:{}", text("layout")), to.to_owned()])
                .output()
                .unwrap();
            assert!(done.status.success(), "{to}: {}", String::from_utf8_lossy(&done.stderr));
        };
        let archive = format!("{architecture}.tar");
        copy(&format!("oci-archive:{}", text(&archive)), &[]);
        copy(&format!("docker-archive:{}:x/y:1", text(&format!("docker-{archive}"))), &[]);
        let v2s2 = format!("{architecture}-v2s2");
        copy(&format!("dir:{}", text(&v2s2)), &["--format", "v2s2"]);
        let store = Memory::default();
        let load = |base: &str, load: &dyn Fn(&Import<'_>) -> Result<BaseImage, BaseError>| {
            import(&store, base, platform, load).unwrap()
        };
        let layout = load("oci:layout", &|import| from_oci_layout(import, &place("layout")));
        let oci = load("oci-archive", &|import| from_oci_archive(import, &place(&archive)));
        let docker = load("docker-archive", &|import| {
            from_docker_archive(import, &place(&format!("docker-{archive}")), &COMPRESSOR)
        });
        let manifest = std::fs::read(place(&v2s2).join("manifest.json")).unwrap();
        let list = load("v2s2", &|import| {
            let document = Document { bytes: &manifest, name: None };
            from_document(import, &document, &|descriptor, writer| {
                let mut blob = std::fs::File::open(place(&v2s2).join(descriptor.digest.hex()))?;
                io::copy(&mut blob, writer)?;
                Ok(())
            })
        });
        let file = fixture(name).unwrap();
        let root = load("rootfs", &|import| from_rootfs(import, &file, &COMPRESSOR));
        for other in [&oci, &docker, &list, &root] {
            assert_eq!(other.facts, layout.facts);
            assert_eq!(other.layers[0].layer.diff_id, layout.layers[0].layer.diff_id);
            assert_eq!(other.layers[0].layer.unpacked, layout.layers[0].layer.unpacked);
        }
        assert_eq!(oci.layers, layout.layers);
        assert_eq!(list.layers, layout.layers);
        assert_eq!(oci.digest, layout.digest);
        assert_eq!(docker.config.env, layout.config.env);
    }
}

#[test]
fn merging_is_what_umoci_unpacks() {
    let tools = ["skopeo", "umoci"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok());
    if !skip_unless(tools, "skopeo or umoci is not installed") {
        return;
    }
    let (name, platform, architecture) = ROOTS[0];
    let Some(file) = fixture(name) else { return };
    let bytes = std::fs::read(file).unwrap();
    let mut tar = Vec::new();
    crate::tar::open_packed(bytes.as_slice()).unwrap().1.read_to_end(&mut tar).unwrap();
    let mut blobs = Blobs::default();
    let layer = blobs.add(MediaType::OciLayerGzip, &bytes);
    let config = blobs.add_json(MediaType::OciConfig, &config(architecture, &[&tar]));
    let manifest = blobs.manifest(MediaType::OciManifest, &config, &[layer]);
    let temporary = tempfile::tempdir().unwrap();
    let text = |name: &str| temporary.path().join(name).to_str().unwrap().to_owned();
    blobs.layout(&temporary.path().join("made"), &[("", manifest)]);
    let script = "set -e
        skopeo copy oci:made oci:image:one >/dev/null
        umoci unpack --rootless --image image:one bundle
        cd bundle/rootfs
        rm -r etc/apk usr/share; rm bin/ls; rm -r opt; echo file > opt
        rm -r var/lib; mkdir -p var/lib/new; echo x > var/lib/new/x; ln -s lib/new var/link
        chmod 700 srv; mkdir -p usr/share/again; ln bin/busybox usr/hard
        cd ../..
        umoci repack --image image:two bundle
        umoci rm --image image:one
        umoci unpack --rootless --image image:two again";
    let run = Command::new("sh").args(["-c", script]).current_dir(temporary.path()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let load = |import: &Import<'_>| from_oci_layout(import, Path::new(&text("image")));
    let base = import(&Memory::default(), "oci:image", platform, load).unwrap();
    assert_eq!(base.layers.len(), 2);
    let root = temporary.path().join("again/rootfs");
    let mut unpacked = BTreeMap::new();
    for entry in walkdir::WalkDir::new(&root).min_depth(1) {
        use std::os::unix::fs::PermissionsExt as _;
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let kind = if metadata.is_dir() {
            FactKind::Directory
        } else if metadata.is_symlink() {
            FactKind::Symlink(std::fs::read_link(entry.path()).unwrap().to_str().unwrap().to_owned())
        } else {
            FactKind::File
        };
        let size = if kind == FactKind::File { metadata.len() } else { 0 };
        let mode = if metadata.is_symlink() { 0o777 } else { metadata.permissions().mode() & 0o7777 };
        let place = format!("/{}", entry.path().strip_prefix(&root).unwrap().display());
        unpacked.insert(place, (kind, mode, size));
    }
    let facts: BTreeMap<_, _> = base
        .facts
        .tree
        .iter()
        .map(|(path, fact)| (path.to_string(), (fact.kind.clone(), fact.mode, fact.size)))
        .collect();
    let differing: Vec<_> = facts
        .keys()
        .chain(unpacked.keys())
        .filter(|path| facts.get(*path) != unpacked.get(*path))
        .map(|path| (path, facts.get(path), unpacked.get(path)))
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert!(facts.contains_key("/var/lib/new/x") && !facts.contains_key("/etc/apk"));
}
