//! Indexes and packages that others made and signed, and ones that unpack to far more than they are.

use std::io::{self, Read as _, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use imgpack::apk::{PublicKey, read_apk, read_index};

use crate::alpine_packages::{KEY, base, merged, refused, small, tool};
use crate::apk_repository::{Key, Part, Recipe, control};
use crate::program::{alpine, apk_file, installed};
use crate::workspace::Workspace;

/// Who signed Alpine's index.
const SIGNED: &str = "alpine-devel@lists.alpinelinux.org-616ae350.rsa.pub";

/// The keys of Alpine's root file system.
fn keys(machine: &str) -> Option<Vec<PublicKey>> {
    let file = std::fs::File::open(alpine(machine)?).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut keys = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        if let Some((_, name)) = path.split_once("etc/apk/keys/").filter(|(_, name)| !name.is_empty()) {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            keys.push(PublicKey::parse(name, &text).unwrap());
        }
    }
    assert!(keys.len() >= 3, "{keys:?}");
    Some(keys)
}

#[test]
fn an_index_of_alpine_is_believed_by_its_key_alone() {
    let Some(index) = apk_file("APKINDEX.tar.gz") else { return };
    let (Some(arm), Some(intel)) = (keys("aarch64"), keys("x86_64")) else { return };
    let packages = read_index(&index, &arm).unwrap();
    assert_eq!(packages.len(), 5_004);
    let zlib = packages.iter().find(|package| package.name == "zlib").unwrap();
    assert_eq!((zlib.version.as_str(), zlib.architecture.as_str()), ("1.2.13-r0", "aarch64"));
    assert!(zlib.provides.iter().any(|provided| provided.name == "so:libz.so.1"));
    assert!(packages.iter().all(|package| imgpack::apk::is_version(&package.version)));

    let said = |bytes: &[u8], keys: &[PublicKey]| read_index(bytes, keys).unwrap_err().to_string();
    assert_eq!(said(&index, &intel), format!("it is signed with {SIGNED}, which is no trusted key"));
    let mut changed = index.clone();
    let at = changed.len() / 2;
    changed[at] ^= 1;
    let wrong = format!("its signature with {SIGNED} is wrong: it was changed after it was signed");
    assert_eq!(said(&changed, &arm), wrong);
    assert_eq!(said(&index[..at], &arm), wrong);
}

#[test]
fn an_index_of_another_architecture_is_refused() {
    let (Some(index), Some(root)) = (apk_file("APKINDEX.tar.gz"), alpine("x86_64")) else { return };
    let workspace = Workspace::new(
        "services: { a: { base: { rootfs: { linux/amd64: base.tar.gz } }, platforms: [linux/amd64], \
         packages: { apk: { install: [curl], repositories: [{ dir: repo }] } } } }\n",
    );
    workspace.write("base.tar.gz", without_repositories(&std::fs::read(root).unwrap()));
    workspace.write("repo/x86_64/APKINDEX.tar.gz", index);
    let told = refused(&workspace, 4);
    assert!(told.contains("the index repo/x86_64/APKINDEX.tar.gz ("), "{told}");
    assert!(told.contains(&format!("it is signed with {SIGNED}, which is no trusted key")), "{told}");
    assert!(
        told.contains("hint: `key:` beside the repository's `url` or `dir` names the public key"),
        "{told}"
    );
}

/// The same root file system with an empty `/etc/apk/repositories`: tests reach none.
fn without_repositories(packed: &[u8]) -> Vec<u8> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut header = entry.header().clone();
        if entry.path().unwrap().ends_with("etc/apk/repositories") {
            header.set_size(0);
            header.set_cksum();
            builder.append(&header, io::empty()).unwrap();
        } else {
            builder.append(&header, &mut entry).unwrap();
        }
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// A signed index that names one package, whatever its file says of itself.
fn index_of(key: &Key, name: &str, version: &str, architecture: &str, package: &[u8]) -> Vec<u8> {
    let identity = read_apk(package, &mut io::sink()).unwrap().identity;
    let text = format!("C:{identity}\nP:{name}\nV:{version}\nA:{architecture}\nS:{}\nI:1\n\n", package.len());
    key.signed(&packed(&[("APKINDEX", text.as_bytes())]))
}

fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn packages_of_others_are_what_they_say() {
    let (Some(layout), Some(hello)) =
        (apk_file("alpine-baselayout-3.4.0-r0.apk"), apk_file("hello-wolfi-2.12.1-r0.apk"))
    else {
        return;
    };
    let facts = read_apk(&*hello, &mut io::sink()).unwrap();
    assert_eq!((facts.get("pkgname"), facts.get("pkgver")), (Some("hello-wolfi"), Some("2.12.1-r0")));
    assert!(facts.files.iter().any(|file| file.file.path.as_str() == "/usr/bin/hello"));
    let facts = read_apk(&*layout, &mut io::sink()).unwrap();
    assert_eq!((facts.get("pkgver"), facts.get("arch")), (Some("3.2.0-r23"), Some("aarch64")));

    // One that is good, and has another version than its name says.
    let Some((workspace, key)) = small("alpine-baselayout", &[]) else { return };
    let folder = workspace.root.join("repo/x86_64");
    let (name, index) = ("alpine-baselayout", folder.join("APKINDEX.tar.gz"));
    std::fs::write(folder.join("alpine-baselayout-3.4.0-r0.apk"), &layout).unwrap();
    std::fs::write(&index, index_of(&key, name, "3.4.0-r0", "x86_64", &layout)).unwrap();
    let told = refused(&workspace, 4);
    let said = "package alpine-baselayout-3.4.0-r0 has in itself the version `3.2.0-r23`, not `3.4.0-r0`";
    assert!(told.contains(said), "{told}");
    // The same under its own name is of another architecture.
    std::fs::write(folder.join("alpine-baselayout-3.2.0-r23.apk"), &layout).unwrap();
    std::fs::write(&index, index_of(&key, name, "3.2.0-r23", "x86_64", &layout)).unwrap();
    let told = refused(&workspace, 4);
    let said = "package alpine-baselayout-3.2.0-r23 has in itself the architecture `aarch64`, not `x86_64`";
    assert!(told.contains(said), "{told}");

    // One whose repository is signed with a key that nobody named.
    let Some((workspace, _)) = small("hello-wolfi", &[]) else { return };
    let stranger = Key::new(&workspace.beside("keys"), "melange.rsa.pub");
    let folder = workspace.root.join("repo/x86_64");
    std::fs::write(folder.join("hello-wolfi-2.12.1-r0.apk"), &hello).unwrap();
    let index = index_of(&stranger, "hello-wolfi", "2.12.1-r0", "x86_64", &hello);
    std::fs::write(folder.join("APKINDEX.tar.gz"), index).unwrap();
    let told = refused(&workspace, 4);
    assert!(told.contains("it is signed with melange.rsa.pub, which is no trusted key"), "{told}");
}

/// Counts what is written.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A packed file of 10 GiB of zeros, of which only the first 200 MiB are there.
fn bomb(name: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_size(10 << 30);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..200).for_each(|_| packed.write_all(&zeros).unwrap());
    packed.finish().unwrap()
}

#[test]
fn what_unpacks_to_far_too_much_ends_early() {
    let data = bomb("usr/holes");
    let package = [control(&tool(), "x86_64", &data), data.clone()].concat();
    assert!(package.len() < 250_000);
    let mut count = Count(0);
    let said = read_apk(&*package, &mut count).unwrap_err().to_string();
    let wanted = "its files unpack to more than 256 times their length, or to more than 8 GiB, which no real package does";
    assert_eq!(said, wanted);
    assert!(count.0 <= data.len() as u64 * 256 + (64 << 20), "{} bytes were written", count.0);

    let control = bomb(".PKGINFO");
    let said = read_apk(&*control, &mut io::sink()).unwrap_err().to_string();
    assert_eq!(said, "its control segment is longer than 16 MiB");

    // Before a signature is read nothing is believed.
    let said = |bytes: &[u8], keys: &[PublicKey]| read_index(bytes, keys).unwrap_err().to_string();
    assert_eq!(said(&bomb(".SIGN.RSA.x"), &[]), "its segment of signatures is longer than 1 MiB");
    assert_eq!(said(&bomb("APKINDEX"), &[]), "it is not signed");
    if installed(&["openssl"]) {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::new(folder.path(), KEY);
        let keys = [PublicKey::parse(KEY, &key.public).unwrap()];
        assert_eq!(said(&key.signed(&bomb("APKINDEX")), &keys), "its index is longer than 48 MiB");
    }
}

#[test]
fn hard_links_stay_what_they_were() {
    let usr = || vec![Part::Directory("usr", 0o755)];
    let first = |name| {
        Recipe::new(name, "1-r0").parts(&usr()).parts(&[
            Part::File("usr/a", 0o755, "first"),
            Part::HardLink("usr/b", 0o755, "usr/a"),
            Part::HardLink("usr/c", 0o755, "usr/a"),
        ])
    };
    let over = Recipe::new("over", "1-r0").info("replaces", "first").info("replaces_priority", "5");
    // As apk has it: what comes later takes the place of one name, and the others are the file.
    let later =
        over.clone().info("depend", "first").parts(&usr()).parts(&[Part::File("usr/a", 0o644, "over")]);
    let Some((workspace, _)) = small("over", &[first("first"), later]) else { return };
    let (out, result) = crate::alpine_packages::build(&workspace, "a");
    let into = workspace.beside("merged");
    merged(&out, "a", &result, "linux/amd64", &into);
    let text = |name: &str| std::fs::read_to_string(into.join("usr").join(name)).unwrap();
    assert_eq!(
        (text("a"), text("b"), text("c")),
        ("over".to_owned(), "first".to_owned(), "first".to_owned())
    );

    // What was there before and is more important stays; apk cannot make the links either.
    let before = over.parts(&usr()).parts(&[Part::File("usr/a", 0o644, "over")]);
    let second = first("first").info("depend", "over");
    let Some((workspace, _)) = small("first", &[second, before]) else { return };
    let told = refused(&workspace, 2);
    let said = "/usr/b of package first is a hard link to /usr/a, which stays that of package over";
    assert!(told.contains(said), "{told}");

    // Where somebody wrote a file, the package's gets another name, and its links follow.
    let conf = Recipe::new("conf", "1-r0").parts(&[
        Part::Directory("etc", 0o755),
        Part::File("etc/mine", 0o644, "of the package"),
        Part::HardLink("etc/second", 0o644, "etc/mine"),
    ]);
    let Some((workspace, _)) = small("conf", &[conf]) else { return };
    workspace.write("base.tar.gz", base(&[("etc/mine", "own")]));
    let (out, result) = crate::alpine_packages::build(&workspace, "a");
    let into = workspace.beside("merged");
    merged(&out, "a", &result, "linux/amd64", &into);
    let text = |name: &str| std::fs::read_to_string(into.join("etc").join(name)).unwrap();
    assert_eq!((text("mine").as_str(), text("mine.apk-new").as_str()), ("own", "of the package"));
    assert_eq!(text("second"), "of the package");
}
