//! Repositories of Alpine packages that tests make and sign.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

/// A path of a package: its owner is `user` and `group`, by name and number.
#[derive(Clone)]
pub(crate) enum Part {
    Directory(&'static str, u32),
    Owned(&'static str, u32, (&'static str, u64), (&'static str, u64)),
    File(&'static str, u32, &'static str),
    Link(&'static str, &'static str),
    HardLink(&'static str, u32, &'static str),
    Fifo(&'static str),
}

/// A package before it is packed.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Further lines of `.PKGINFO`.
    pub(crate) info: Vec<(&'static str, &'static str)>,
    pub(crate) parts: Vec<Part>,
    pub(crate) scripts: Vec<(&'static str, &'static str)>,
}

impl Recipe {
    pub(crate) fn new(name: &'static str, version: &'static str) -> Self {
        Self { name, version, info: Vec::new(), parts: Vec::new(), scripts: Vec::new() }
    }

    pub(crate) fn info(mut self, key: &'static str, value: &'static str) -> Self {
        self.info.push((key, value));
        self
    }

    pub(crate) fn parts(mut self, parts: &[Part]) -> Self {
        self.parts.extend_from_slice(parts);
        self
    }

    pub(crate) fn script(mut self, name: &'static str, text: &'static str) -> Self {
        self.scripts.push((name, text));
        self
    }

    pub(crate) fn file(&self) -> String {
        format!("{}-{}.apk", self.name, self.version)
    }
}

/// A key pair; the private half is gone with the folder.
pub(crate) struct Key {
    private: PathBuf,
    pub(crate) public: String,
    pub(crate) name: &'static str,
}

impl Key {
    /// Made by openssl, which has to be there.
    pub(crate) fn new(folder: &Path, name: &'static str) -> Self {
        let private = folder.join(format!("{name}.private"));
        let path = private.to_str().unwrap();
        crate::program::call("openssl", &["genrsa", "-out", path, "2048"]);
        let public = crate::program::call("openssl", &["rsa", "-in", path, "-pubout"]);
        Self { private, public, name }
    }

    /// `bytes` with a segment before them that says who signed them.
    pub(crate) fn signed(&self, bytes: &[u8]) -> Vec<u8> {
        let mut openssl = Command::new("openssl");
        openssl.args(["dgst", "-sha1", "-sign"]).arg(&self.private);
        let mut openssl = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        openssl.stdin.take().unwrap().write_all(bytes).unwrap();
        let signature = openssl.wait_with_output().unwrap();
        assert!(signature.status.success());
        let mut tar = tar::Builder::new(Vec::new());
        small(&mut tar, &format!(".SIGN.RSA.{}", self.name), &signature.stdout, 0o644);
        [segment(&tar.into_inner().unwrap(), false), bytes.to_vec()].concat()
    }
}

fn small(tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8], mode: u32) {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_mtime(1_700_000_000);
    tar.append_data(&mut header, name, bytes).unwrap();
}

/// A gzip stream of a tar; all but the last have no end.
fn segment(tar: &[u8], ended: bool) -> Vec<u8> {
    let end = tar.len() - if ended { 0 } else { 1024 };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar[..end]).unwrap();
    gzip.finish().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The segment of the files.
pub(crate) fn data(parts: &[Part]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for part in parts {
        let mut header = tar::Header::new_ustar();
        header.set_mtime(1_700_000_000);
        header.set_username("root").unwrap();
        header.set_groupname("root").unwrap();
        let mut set = |kind: tar::EntryType, mode: u32, size: usize| {
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(size as u64);
        };
        let checksum = |tar: &mut tar::Builder<Vec<u8>>, bytes: &[u8]| {
            let sum = hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
            // apk takes no extended header without a name.
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(tar::EntryType::XHeader);
            let record = format!("68 APK-TOOLS.checksum.SHA1={sum}\n");
            header.set_size(record.len() as u64);
            tar.append_data(&mut header, "PaxHeaders/x", record.as_bytes()).unwrap();
        };
        match part {
            Part::Directory(path, mode) => {
                set(tar::EntryType::Directory, *mode, 0);
                tar.append_data(&mut header, path, &[][..]).unwrap();
            }
            Part::Owned(path, mode, user, group) => {
                set(tar::EntryType::Directory, *mode, 0);
                header.set_username(user.0).unwrap();
                header.set_groupname(group.0).unwrap();
                header.set_uid(user.1);
                header.set_gid(group.1);
                tar.append_data(&mut header, path, &[][..]).unwrap();
            }
            Part::File(path, mode, text) => {
                set(tar::EntryType::Regular, *mode, text.len());
                checksum(&mut tar, text.as_bytes());
                // Also a path that the crate itself would refuse.
                header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
                header.set_cksum();
                tar.append(&header, text.as_bytes()).unwrap();
            }
            Part::Link(path, target) => {
                set(tar::EntryType::Symlink, 0o777, 0);
                checksum(&mut tar, target.as_bytes());
                tar.append_link(&mut header, path, target).unwrap();
            }
            Part::HardLink(path, mode, target) => {
                set(tar::EntryType::Link, *mode, 0);
                tar.append_link(&mut header, path, target).unwrap();
            }
            Part::Fifo(path) => {
                set(tar::EntryType::Fifo, 0o644, 0);
                tar.append_data(&mut header, path, &[][..]).unwrap();
            }
        }
    }
    segment(&tar.into_inner().unwrap(), true)
}

/// The control segment, for these files.
pub(crate) fn control(recipe: &Recipe, architecture: &str, data: &[u8]) -> Vec<u8> {
    let Recipe { name, version, .. } = recipe;
    let mut text = format!(
        "# Generated by a test\npkgname = {name}\npkgver = {version}\npkgdesc = Test {name}\n\
         url = https://example.org/{name}\nbuilddate = 1700000000\npackager = T <t@example.org>\nsize = 4096\n\
         arch = {architecture}\norigin = {name}\ncommit = 0123\nmaintainer = M <m@example.org>\nlicense = MIT\n"
    );
    for (key, value) in &recipe.info {
        let _ = writeln!(text, "{key} = {value}");
    }
    let _ = writeln!(text, "datahash = {}", hex(digest(&SHA256, data).as_ref()));
    let mut tar = tar::Builder::new(Vec::new());
    small(&mut tar, ".PKGINFO", text.as_bytes(), 0o644);
    for (name, script) in &recipe.scripts {
        small(&mut tar, &format!(".{name}"), script.as_bytes(), 0o755);
    }
    segment(&tar.into_inner().unwrap(), false)
}

/// The whole package.
pub(crate) fn apk(recipe: &Recipe, architecture: &str, key: &Key) -> Vec<u8> {
    let data = data(&recipe.parts);
    [key.signed(&control(recipe, architecture, &data)), data].concat()
}

/// An index of packages that is not signed, with what solving and fetching want.
pub(crate) fn index(recipes: &[(&Recipe, &[u8])], architecture: &str) -> Vec<u8> {
    let mut text = String::new();
    for (recipe, apk) in recipes {
        let control = control(recipe, architecture, &data(&recipe.parts));
        let sum = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &control));
        let Recipe { name, version, .. } = recipe;
        let _ = writeln!(text, "C:Q1{sum}\nP:{name}\nV:{version}\nA:{architecture}\nS:{}", apk.len());
        for (letter, field) in [('D', "depend"), ('p', "provides"), ('i', "install_if")] {
            let values: Vec<&str> =
                recipe.info.iter().filter(|(key, _)| *key == field).map(|(_, value)| *value).collect();
            if !values.is_empty() {
                let _ = writeln!(text, "{letter}:{}", values.join(" "));
            }
        }
        text.push('\n');
    }
    let mut tar = tar::Builder::new(Vec::new());
    small(&mut tar, "DESCRIPTION", b"test", 0o644);
    small(&mut tar, "APKINDEX", text.as_bytes(), 0o644);
    segment(&tar.into_inner().unwrap(), true)
}

/// Writes `DIR/<architecture>` with the packages and a signed index.
pub(crate) fn repository(dir: &Path, architecture: &str, recipes: &[Recipe], key: &Key) {
    let folder = dir.join(architecture);
    fs::create_dir_all(&folder).unwrap();
    let apks: Vec<Vec<u8>> = recipes.iter().map(|recipe| apk(recipe, architecture, key)).collect();
    for (recipe, apk) in recipes.iter().zip(&apks) {
        fs::write(folder.join(recipe.file()), apk).unwrap();
    }
    let rows: Vec<(&Recipe, &[u8])> = recipes.iter().zip(apks.iter().map(Vec::as_slice)).collect();
    fs::write(folder.join("APKINDEX.tar.gz"), key.signed(&index(&rows, architecture))).unwrap();
}
