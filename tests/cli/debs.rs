//! Layers of Debian's own packages hold what `dpkg-deb` unpacks of them, but for what docs/packages.md declares.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use imgpack::debian::read_deb;
use imgpack::model::{BaseFacts, BlobDigest, Compression, Contents, PinnedPackage};
use imgpack::ops::pack::make_layer;
use imgpack::ops::packages::{PackageFacts, Unpacked, place_packages};
use imgpack::ops::press::Press;
use imgpack::plan::{LayerPart, plan_layers};
use imgpack::spec::{DebianPackages, Keep, Packages, Site};
use imgpack::store::Store;
use imgpack::system::Cancel;

use crate::env::{is_installed, skip};

/// What stands at a path: kind, mode, owner, and the content's digest or the link's text.
type Tree = BTreeMap<String, String>;

#[derive(Debug)]
struct InMemory(Arc<[u8]>);

impl Contents for InMemory {
    fn open(&self, offset: u64, length: u64) -> io::Result<Box<dyn Read + Send>> {
        let from = usize::try_from(offset).unwrap();
        let bytes = self.0[from..from + usize::try_from(length).unwrap()].to_vec();
        Ok(Box::new(Cursor::new(bytes)))
    }
}

fn unpacked(deb: &Path) -> Unpacked {
    let mut contents = Vec::new();
    let facts = read_deb(&mut File::open(deb).unwrap(), &mut contents).unwrap();
    let field = |name: &str| facts.control.get(name).unwrap().to_owned();
    let bytes = fs::read(deb).unwrap();
    Unpacked {
        pinned: PinnedPackage {
            name: field("Package"),
            version: field("Version"),
            architecture: field("Architecture"),
            digest: BlobDigest::of(&bytes),
            size: bytes.len() as u64,
        },
        facts: Arc::new(PackageFacts::Deb(facts)),
        contents: Arc::new(InMemory(contents.into())),
    }
}

fn debian(keep: Keep) -> Packages {
    Packages::Debian(DebianPackages {
        suite: "bookworm".into(),
        install: Vec::new(),
        exclude: Vec::new(),
        keep,
        scripts_ignored: BTreeSet::new(),
        repositories: Vec::new(),
        site: Site { file: "a.yaml".into(), line: 1, column: 1 },
    })
}

/// The members of a tar, hard links as what they are links to. The names of hard links come apart.
fn tree(tar: impl Read) -> (Tree, BTreeSet<BTreeSet<String>>) {
    let mut found = Tree::new();
    let mut same: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).unwrap();
            format!("/{}", text.trim_start_matches("./").trim_matches('/'))
        };
        let path = name(&entry.path_bytes());
        let header = entry.header().clone();
        let link = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        let what = match header.entry_type() {
            tar::EntryType::Directory => "directory".to_owned(),
            tar::EntryType::Symlink => format!("-> {}", String::from_utf8(link).unwrap()),
            tar::EntryType::Link => {
                let target = name(&link);
                same.entry(target.clone())
                    .or_insert_with(|| BTreeSet::from([target.clone()]))
                    .insert(path.clone());
                let row = found[&target].clone();
                found.insert(path, row);
                continue;
            }
            tar::EntryType::Regular => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                format!("{} bytes {}", bytes.len(), BlobDigest::of(&bytes))
            }
            other => panic!("{path}: {other:?}"),
        };
        let (mode, uid, gid) =
            (header.mode().unwrap() & 0o7777, header.uid().unwrap(), header.gid().unwrap());
        found.insert(path, format!("{mode:04o} {uid}:{gid} {what}"));
    }
    found.remove("/");
    (found, same.into_values().collect())
}

/// Where a path of a package is in an image whose `/usr` is merged.
fn merged(path: &str) -> String {
    let top = path.split('/').nth(1).unwrap();
    let moves = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"].contains(&top);
    if moves { format!("/usr{path}") } else { path.to_owned() }
}

/// Whether nobody reads it in a container.
fn is_documentation(path: &str, row: &str) -> bool {
    let below = |place: &str| path == place || path.starts_with(&format!("{place}/"));
    let depth = path.matches('/').count();
    let copyright = depth == 5 && path.ends_with("/copyright");
    let link_between = depth == 4 && row.contains("->");
    (below("/usr/share/doc") && !copyright && !link_between)
        || ["doc-base", "groff", "info", "lintian", "locale", "man"]
            .iter()
            .any(|name| below(&format!("/usr/share/{name}")))
}

fn compare(debs: &[PathBuf]) {
    let packages: Vec<Unpacked> = debs.iter().map(|deb| unpacked(deb)).collect();
    for keep in [Keep::default(), Keep { docs: true, man: true, locales: true }] {
        let mut expected = Tree::new();
        let mut links = BTreeSet::new();
        for deb in debs {
            let output = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(deb).output().unwrap();
            assert!(output.status.success());
            let (found, same) = tree(&*output.stdout);
            for (path, row) in found {
                if keep.docs || !is_documentation(&path, &row) {
                    expected.insert(merged(&path), row);
                }
            }
            links.extend(same.into_iter().map(|paths| paths.iter().map(|path| merged(path)).collect()));
        }
        // Every parent is there, and the links of the root to what there is.
        for path in expected.clone().into_keys() {
            for (at, _) in path.match_indices('/').skip(1) {
                expected.entry(path[..at].to_owned()).or_insert_with(|| "0755 0:0 directory".into());
            }
        }
        let top: BTreeSet<&str> = ["bin", "sbin", "lib", "lib64"].into();
        for name in
            top.into_iter().filter(|name| expected.contains_key(&format!("/usr/{name}"))).collect::<Vec<_>>()
        {
            expected.insert(format!("/{name}"), format!("0777 0:0 -> usr/{name}"));
        }

        let (found, same) = made(&packages, keep);
        let only = |one: &Tree, other: &Tree| {
            let rows = one.iter().filter(|(path, row)| other.get(*path) != Some(row));
            rows.map(|(path, row)| format!("{path} {row}")).collect::<Vec<_>>()
        };
        assert_eq!((only(&found, &expected), only(&expected, &found)), (Vec::new(), Vec::new()));
        assert_eq!(same, links);
    }
}

/// What the layers of packages hold one over the other.
fn made(packages: &[Unpacked], keep: Keep) -> (Tree, BTreeSet<BTreeSet<String>>) {
    let mut ignored = debian(keep);
    if let Packages::Debian(spec) = &mut ignored {
        spec.scripts_ignored = packages.iter().map(|package| package.pinned.name.clone()).collect();
    }
    let placed = place_packages(Some(&ignored), packages, &BaseFacts::default(), &|_| Ok(())).unwrap();
    let mut parts: Vec<LayerPart> = placed.parts;
    let mut last = parts[0].clone();
    last.entries = imgpack::model::Entries::new();
    for link in placed.composed {
        last.entries.insert(link).unwrap();
    }
    parts.push(last);
    let layers = plan_layers(parts, &BaseFacts::default(), Compression::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let press = Press::new(2);
    let (mut whole, mut same) = (Tree::new(), BTreeSet::new());
    for layer in &layers {
        let made = make_layer(&store, &press, &layer.entries, Compression::default(), false, &Cancel::new())
            .unwrap();
        let blob = store.open_blob(&made.layer.descriptor.digest).unwrap();
        let (found, links) = tree(flate2::read::MultiGzDecoder::new(blob));
        whole.extend(found);
        same.extend(links);
    }
    (whole, same)
}

#[test]
fn layers_hold_what_dpkg_deb_unpacks() {
    if !is_installed("dpkg-deb") {
        skip("dpkg-deb is not installed");
        return;
    }
    let folders: Vec<PathBuf> = match std::env::var_os("IMGPACK_TEST_DEBS") {
        Some(folder) => vec![folder.into()],
        None => ["amd64", "arm64"]
            .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/debs").join(name))
            .into(),
    };
    for folder in folders {
        let Ok(rows) = fs::read_dir(&folder) else {
            skip("tests/install has not fetched packages into target/tools/debs");
            return;
        };
        let mut debs: Vec<PathBuf> = rows.map(|row| row.unwrap().path()).collect();
        debs.retain(|path| path.extension().is_some_and(|end| end == "deb"));
        debs.sort();
        assert!(!debs.is_empty());
        compare(&debs);
    }
}

/// What dpkg-deb packs in every way that it can is the same package.
#[test]
fn every_compression_is_read() {
    if !is_installed("dpkg-deb") {
        skip("dpkg-deb is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    let control = "Package: hello\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: one\n two\n";
    fs::write(root.join("DEBIAN/control"), control).unwrap();
    fs::write(root.join("DEBIAN/conffiles"), "").unwrap();
    fs::write(root.join("usr/bin/hello"), vec![b'x'; 100_000]).unwrap();
    std::os::unix::fs::symlink("hello", root.join("usr/bin/again")).unwrap();
    fs::hard_link(root.join("usr/bin/hello"), root.join("usr/bin/twin")).unwrap();
    let mut found = Vec::new();
    for compression in ["none", "gzip", "xz", "zstd"] {
        let deb = folder.path().join(format!("{compression}.deb"));
        let ended = Command::new("dpkg-deb")
            .args(["--root-owner-group", "--uniform-compression", "-b", "-Z", compression])
            .args([&root, &deb])
            .output()
            .unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let mut contents = Vec::new();
        let facts = read_deb(&mut File::open(&deb).unwrap(), &mut contents).unwrap();
        assert_eq!(contents.len(), 100_000, "{compression}");
        assert_eq!(facts.files.len(), 5, "{compression}");
        assert_eq!(facts.control.get("description"), Some("one\n two"));
        found.push((facts, contents));
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
}
