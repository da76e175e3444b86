//! Archives of Debian packages for tests: tiny packages, signed indexes, and a server that stands for every host of the network.
//! imgpack is sent to it as to a proxy, so that all addresses are the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use imgpack::model::BlobDigest;
use ring::digest;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::env::Env;
use crate::fake::{Fake, Reply};

/// A package.
#[derive(Debug, Clone)]
pub(crate) struct Deb {
    name: String,
    version: String,
    architecture: String,
    fields: String,
    files: Vec<(String, Vec<u8>, u32)>,
    scripts: Vec<(String, String)>,
}

impl Deb {
    /// A package of each architecture, with one file: `/usr/share/doc/NAME/copyright`.
    pub(crate) fn new(name: &str, version: &str) -> Self {
        let mut deb = Self {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "any".to_owned(),
            fields: String::new(),
            files: Vec::new(),
            scripts: Vec::new(),
        };
        deb = deb.file(&format!("/usr/share/doc/{name}/copyright"), format!("{name} {version}\n"));
        deb
    }

    /// The same for one architecture only, or for `all`.
    pub(crate) fn of(mut self, architecture: &str) -> Self {
        architecture.clone_into(&mut self.architecture);
        self
    }

    /// A field of its control file: `Depends`.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        writeln!(self.fields, "{name}: {value}").unwrap();
        self
    }

    pub(crate) fn depends(self, value: &str) -> Self {
        self.field("Depends", value)
    }

    /// A file of mode 0644.
    pub(crate) fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), content.into(), 0o644));
        self
    }

    /// A program, mode 0755.
    pub(crate) fn program(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), content.into(), 0o755));
        self
    }

    /// A file of any mode.
    pub(crate) fn file_with_mode(mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files.push((path.to_owned(), content.into(), mode));
        self
    }

    /// A maintainer script, or another file beside the control file.
    pub(crate) fn script(mut self, name: &str, text: &str) -> Self {
        self.scripts.push((name.to_owned(), text.to_owned()));
        self
    }

    fn is_for(&self, architecture: &str) -> bool {
        [architecture, "any", "all"].contains(&self.architecture.as_str())
    }

    /// The architecture that its file says, of a file for `architecture`.
    fn said<'d>(&'d self, architecture: &'d str) -> &'d str {
        if self.architecture == "all" { "all" } else { architecture }
    }

    fn control(&self, architecture: &str) -> String {
        format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: Test <test@example.org>\n{}Description: a test\n",
            self.name,
            self.version,
            self.said(architecture),
            self.fields
        )
    }

    /// Its file.
    pub(crate) fn bytes(&self, architecture: &str) -> Vec<u8> {
        let mut control = vec![("./control".to_owned(), self.control(architecture).into_bytes(), 0o644)];
        control.extend(
            self.scripts.iter().map(|(name, text)| (format!("./{name}"), text.clone().into_bytes(), 0o755)),
        );
        let data: Vec<_> =
            self.files.iter().map(|(path, bytes, mode)| (format!(".{path}"), bytes.clone(), *mode)).collect();
        ar(&[
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.gz", gzip(&tar(&control))),
            ("data.tar.gz", gzip(&tar(&data))),
        ])
    }
}

fn ar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, data) in members {
        let head = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, data.len());
        bytes.extend(head.bytes());
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

fn tar(files: &[(String, Vec<u8>, u32)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut directories = BTreeSet::from(["./".to_owned()]);
    for (path, ..) in files {
        directories.extend(path.match_indices('/').map(|(at, _)| path[..=at].to_owned()));
    }
    let mut put = |path: &str, bytes: &[u8], mode: u32, kind: tar::EntryType| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, bytes).unwrap();
    };
    directories.iter().for_each(|path| put(path, b"", 0o755, tar::EntryType::Directory));
    files.iter().for_each(|(path, bytes, mode)| put(path, bytes, *mode, tar::EntryType::Regular));
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An OpenPGP key (RFC 9580, version 4, Ed25519), the same for the same seed.
pub(crate) struct SigningKey {
    pair: Ed25519KeyPair,
    created: [u8; 4],
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[0xc0 | tag, 0xff], &u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

impl SigningKey {
    pub(crate) fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        // 2024-01-01
        Self { pair, created: 1_704_067_200_u32.to_be_bytes() }
    }

    fn body(&self) -> Vec<u8> {
        [&[4], &self.created[..], &[27], self.pair.public_key().as_ref()].concat()
    }

    fn framed(&self) -> Vec<u8> {
        let body = self.body();
        [&[0x99], &u16::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
    }

    /// As messages name it.
    pub(crate) fn id(&self) -> String {
        let fingerprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.framed());
        fingerprint.as_ref()[12..].iter().fold(String::new(), |text, byte| text + &format!("{byte:02X}"))
    }

    fn signature(&self, kind: u8, data: &[u8]) -> Vec<u8> {
        let fingerprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.framed());
        // A day after the key.
        let time = (u32::from_be_bytes(self.created) + 86400).to_be_bytes();
        let subpackets = [&[5, 2], &time[..], &[22, 33, 4], fingerprint.as_ref(), &[2, 27, 0x03]].concat();
        let head =
            [&[4, kind, 27, 8], &u16::try_from(subpackets.len()).unwrap().to_be_bytes()[..], &subpackets]
                .concat();
        let trailer = [&head[..], &[4, 0xff], &u32::try_from(head.len()).unwrap().to_be_bytes()].concat();
        let hash = digest::digest(&digest::SHA256, &[data, &trailer].concat());
        let value = self.pair.sign(hash.as_ref());
        packet(2, &[&head[..], &[0, 0], &hash.as_ref()[..2], value.as_ref()].concat())
    }

    /// The public key as a file.
    pub(crate) fn public(&self) -> Vec<u8> {
        let name = b"Test <test@example.org>";
        let length = u32::try_from(name.len()).unwrap().to_be_bytes();
        let certified = [&self.framed()[..], &[0xb4], &length, name].concat();
        [packet(6, &self.body()), packet(13, name), self.signature(0x13, &certified)].concat()
    }

    /// A clear-signed text.
    pub(crate) fn sign(&self, text: &str) -> String {
        use base64::Engine as _;
        let lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches([' ', '\t'])).collect();
        let signature = self.signature(0x01, lines.join("\r\n").as_bytes());
        let armor = base64::engine::general_purpose::STANDARD.encode(signature);
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{}\n-----BEGIN PGP SIGNATURE-----\n\n{armor}\n-----END PGP SIGNATURE-----\n",
            lines.join("\n")
        )
    }
}

/// The date of repositories, until a test sets another.
pub(crate) const DATE: &str = "Thu, 01 Oct 2026 12:00:00 UTC";
/// The same as locks have it.
pub(crate) const DAY: &str = "20261001T120000Z";

type Files = Arc<Mutex<BTreeMap<String, Reply>>>;

/// All archives.
pub(crate) struct Mirror {
    server: Fake,
    files: Files,
    /// Packages of each suite and component, by the archive's address.
    published: BTreeMap<(String, String), BTreeMap<String, Vec<Deb>>>,
    pub(crate) key: SigningKey,
    /// `Date` of what is published from now on.
    pub(crate) date: String,
    /// More lines of Release files.
    pub(crate) lines: String,
    by_hash: bool,
}

pub(crate) const DEBIAN: &str = "http://deb.debian.org/debian";
pub(crate) const SECURITY: &str = "http://deb.debian.org/debian-security";
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

impl Mirror {
    /// Empty suites of bookworm and trixie, to which imgpack is sent in `env`.
    pub(crate) fn start(env: &mut Env) -> Self {
        let files: Files = Arc::default();
        let known = Arc::clone(&files);
        let server = Fake::start(move |asked| {
            known.lock().unwrap().get(&asked.target).cloned().unwrap_or_else(|| Reply::status(404))
        });
        for name in ["http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"] {
            env.unset(name);
        }
        env.set("http_proxy", format!("http://{}", server.address));
        env.set("IMGPACK_APT_DIR", env.outside("apt"));
        let key = SigningKey::new(1);
        std::fs::write(env.outside("debian.pgp"), key.public()).unwrap();
        env.set("IMGPACK_DEBIAN_KEYS", env.outside("debian.pgp"));
        let (date, lines) = (DATE.to_owned(), String::new());
        let mut mirror = Self { server, files, published: BTreeMap::new(), key, date, lines, by_hash: true };
        for suite in ["bookworm", "trixie"] {
            mirror.publish(suite, &[]);
            mirror.publish(&format!("{suite}-updates"), &[]);
            mirror.publish(&format!("{suite}-security"), &[]);
        }
        mirror
    }

    /// Puts these packages into `main` of a suite, in place of all that were there.
    pub(crate) fn publish(&mut self, suite: &str, debs: &[Deb]) {
        let archive = if suite.ends_with("-security") { SECURITY } else { DEBIAN };
        let key = SigningKey::new(1);
        self.publish_at(archive, suite, "main", debs, &key);
    }

    /// The same of any archive, signed by `key`; without a component it is a flat repository, and `suite` its folder.
    pub(crate) fn publish_at(
        &mut self,
        archive: &str,
        suite: &str,
        component: &str,
        debs: &[Deb],
        key: &SigningKey,
    ) {
        let suites = self.published.entry((archive.to_owned(), suite.to_owned())).or_default();
        suites.insert(component.to_owned(), debs.to_vec());
        let components = suites.clone();
        let folder = if component.is_empty() {
            suite.trim_matches(['.', '/']).to_owned() + if suite == "./" { "" } else { "/" }
        } else {
            format!("dists/{suite}/")
        };
        let mut listed = String::new();
        let mut put = Vec::new();
        for (component, debs) in &components {
            for architecture in ARCHITECTURES {
                let mut index = String::new();
                for deb in debs.iter().filter(|deb| deb.is_for(architecture)) {
                    let bytes = deb.bytes(architecture);
                    let version =
                        deb.version.split_once(':').map_or(deb.version.as_str(), |(_, version)| version);
                    let file = format!("{}_{version}_{}.deb", deb.name, deb.said(architecture));
                    let path = match component.as_str() {
                        "" => format!("{folder}{file}"),
                        component => format!("pool/{component}/{}/{file}", deb.name),
                    };
                    let digest = BlobDigest::of(&bytes).hex();
                    let control = deb.control(architecture);
                    write!(index, "{control}Filename: {path}\nSize: {}\nSHA256: {digest}\n\n", bytes.len())
                        .unwrap();
                    put.push((path, bytes));
                }
                let (name, packed) = match component.as_str() {
                    "" => ("Packages.gz".to_owned(), gzip(index.as_bytes())),
                    component => {
                        (format!("{component}/binary-{architecture}/Packages.xz"), xz(index.as_bytes()))
                    }
                };
                let digest = BlobDigest::of(&packed).hex();
                writeln!(listed, " {digest} {} {name}", packed.len()).unwrap();
                let below = name.rsplit_once('/').map_or("", |(below, _)| below);
                put.push(match self.by_hash {
                    true if below.is_empty() => (format!("{folder}by-hash/SHA256/{digest}"), packed),
                    true => (format!("{folder}{below}/by-hash/SHA256/{digest}"), packed),
                    false => (format!("{folder}{name}"), packed),
                });
                // A flat repository has one index.
                if component.is_empty() {
                    break;
                }
            }
        }
        let release = format!(
            "Origin: Test\nSuite: {suite}-test\nCodename: {suite}\nDate: {}\n{}Acquire-By-Hash: {}\nArchitectures: all amd64 arm64\n\
             No-Support-for-Architecture-all: Packages\nSHA256:\n{listed}",
            self.date,
            self.lines,
            if self.by_hash { "yes" } else { "no" }
        );
        put.push((format!("{folder}InRelease"), key.sign(&release).into_bytes()));
        for (path, bytes) in put {
            self.put(&format!("{archive}/{path}"), Reply::body(bytes));
        }
    }

    /// What is answered at an address from now on.
    pub(crate) fn put(&self, address: &str, reply: Reply) {
        self.files.lock().unwrap().insert(address.to_owned(), reply);
    }

    /// Nothing is at any address that has this text in it any more.
    pub(crate) fn remove(&self, part: &str) {
        self.files.lock().unwrap().retain(|address, _| !address.contains(part));
    }

    /// Moves every address that begins so to others.
    pub(crate) fn rename(&self, from: &str, to: &str) {
        let mut files = self.files.lock().unwrap();
        let moved = files.iter().filter_map(|(address, reply)| {
            Some((format!("{to}{}", address.strip_prefix(from)?), reply.clone()))
        });
        let moved: Vec<_> = moved.collect();
        files.retain(|address, _| !address.starts_with(from));
        files.extend(moved);
    }

    /// Where it listens.
    pub(crate) fn proxy(&self) -> std::net::SocketAddr {
        self.server.address
    }

    /// The addresses that were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.server.requests().into_iter().map(|asked| asked.target).collect()
    }

    /// From now on indexes lie at their names alone.
    pub(crate) fn without_by_hash(mut self) -> Self {
        self.by_hash = false;
        self
    }
}
