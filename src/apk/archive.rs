use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use flate2::bufread::MultiGzDecoder;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::segment::{SegmentError, Tap, Tapped, q1, q1_of, small_files};
use crate::model::{
    ContentDigest, Digest, Hasher, ImagePath, ImagePathError, Owner, PackageFile, PackageFileKind,
};
use crate::tar::{MemberKind, TarError, TarReader};

/// Longest control segment in MiB, unpacked: what describes the package and its scripts.
const CONTROL_LIMIT: u64 = 16;
/// Most files of a package.
const FILES_LIMIT: u64 = 1_000_000;
/// Most bytes of the unpacked files of one package: five times the largest of Alpine.
const DATA_LIMIT: u64 = 8 << 30;
/// Most bytes that one byte of them may become, beyond [`DATA_FREE`]: packages of text reach 20.
const DATA_RATIO: u64 = 256;
/// Bytes that they may become however short the package is.
const DATA_FREE: u64 = 64 << 20;
/// Most bytes of paths and links.
const TEXT_LIMIT: usize = 128 << 20;

/// What an .apk holds, without the bytes of its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ApkFacts {
    /// Its identity: `Q1` and the SHA-1 digest of its control segment in base64.
    pub identity: String,
    /// The lines of its `.PKGINFO`, in their order.
    pub info: Vec<(String, String)>,
    /// Its scripts by name, without the dot: `pre-install`, `post-install`, `trigger`.
    pub scripts: BTreeMap<String, String>,
    /// Its files, in the order of its archive: parents before what is in them.
    pub files: Vec<ApkFile>,
}

/// One path of an .apk.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ApkFile {
    /// The path, as other packages have it; its owner is the one that stands in the archive as numbers.
    #[serde(flatten)]
    pub file: PackageFile,
    /// The owner's name.
    pub user: String,
    /// The group's name.
    pub group: String,
    /// `Q1` and the SHA-1 digest of its content or of its link's text, in base64; directories have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

impl ApkFacts {
    /// The first value of a line of `.PKGINFO`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.info.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// All values of a line of `.PKGINFO`.
    pub fn all<'f>(&'f self, key: &'f str) -> impl Iterator<Item = &'f str> {
        self.info.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }
}

/// What is wrong with an .apk.
#[derive(Debug, thiserror::Error)]
pub enum ApkError {
    /// Its packing.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The tar of its files.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// It ends before its files, or says nothing of itself.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// Its files are not those that were signed.
    #[error("its files were changed: their digest is {found}, and it says {said}")]
    Data {
        /// What it says.
        said: String,
        /// What they are.
        found: String,
    },
    /// A path that no image has.
    #[error(transparent)]
    Path(#[from] ImagePathError),
    /// A path or link that is no text.
    #[error("the path `{0}` is not UTF-8")]
    Utf8(String),
    /// A device or pipe.
    #[error("{0} is a device or a pipe, which no package brings")]
    Special(ImagePath),
    /// The same path twice.
    #[error("{0} is in it twice")]
    Twice(ImagePath),
    /// Something below a file or link.
    #[error("{path} is below {above}, which is no directory")]
    Below {
        /// The path.
        path: ImagePath,
        /// What is above it.
        above: ImagePath,
    },
    /// A hard link to something else than a file before it.
    #[error("{path} is a hard link to {target}, which is no file before it")]
    Hardlink {
        /// The link.
        path: ImagePath,
        /// Its target.
        target: String,
    },
    /// Extended attributes.
    #[error("{path} has the extended attribute {name}, which is not supported")]
    Attribute {
        /// The file.
        path: ImagePath,
        /// Its name.
        name: String,
    },
    /// A content that is not what the archive says.
    #[error("{0} has another checksum than the package says")]
    Checksum(ImagePath),
    /// A bomb.
    #[error(
        "its files unpack to more than {DATA_RATIO} times their length, or to more than 8 GiB, which no real package does"
    )]
    Bomb,
    /// More than any real package.
    #[error("it has more than {0}")]
    TooMuch(&'static str),
    /// It cannot be read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// Its contents cannot be kept.
    #[error("cannot keep its contents")]
    Write(#[source] io::Error),
}

/// Reads an .apk (version 2) from end to end. The contents of its files go to `contents`, one behind the other, where
/// [`PackageFileKind::File`] finds them. What was written before an error is not to be used.
///
/// Its files are those that its control segment names (`datahash`); that this is the right one, its identity says.
pub fn read_apk(apk: impl Read, contents: &mut dyn Write) -> Result<ApkFacts, ApkError> {
    let mut packed = Tapped::new(apk);
    let mut facts = loop {
        packed.tap = Tap::Keep(Vec::new());
        if !packed.has_stream()? {
            return Err(ApkError::Missing(".PKGINFO"));
        }
        let files = small_files(packed.stream(), "control segment", CONTROL_LIMIT)?;
        if files.iter().any(|file| file.name == ".PKGINFO") {
            let Tap::Keep(raw) = std::mem::take(&mut packed.tap) else {
                return Err(ApkError::Missing(".PKGINFO"));
            };
            let mut facts = ApkFacts { identity: q1(&raw), ..ApkFacts::default() };
            for file in files {
                let text = String::from_utf8_lossy(&file.bytes).into_owned();
                match file.name.strip_prefix('.') {
                    Some("PKGINFO") => facts.info = info(&text),
                    Some(name) => drop(facts.scripts.insert(name.to_owned(), text)),
                    None => {}
                }
            }
            break facts;
        }
        if !files.iter().all(|file| file.name.starts_with(".SIGN.")) {
            return Err(ApkError::Missing(".PKGINFO"));
        }
    };
    let said =
        facts.get("datahash").map(str::to_owned).ok_or(ApkError::Missing("datahash in its .PKGINFO"))?;
    packed.tap = Tap::Hash(Hasher::new());
    if !packed.has_stream()? {
        return Err(ApkError::Missing("files segment"));
    }
    let begin = packed.passed;
    let mut stream = Plausible { stream: MultiGzDecoder::new(&mut packed), begin, unpacked: 0, bomb: false };
    let found = files(&mut stream, contents);
    if stream.bomb {
        return Err(ApkError::Bomb);
    }
    facts.files = found?;
    let Tap::Hash(hasher) = std::mem::take(&mut packed.tap) else {
        return Err(ApkError::Missing("files segment"));
    };
    let found = Digest::from_bytes(*hasher.finish().as_bytes()).hex();
    if found == said { Ok(facts) } else { Err(ApkError::Data { said, found }) }
}

/// Ends where more comes out than real files have.
struct Plausible<'t, R: Read> {
    stream: MultiGzDecoder<&'t mut Tapped<R>>,
    /// How many packed bytes had passed before.
    begin: u64,
    unpacked: u64,
    bomb: bool,
}

impl<R: Read> Read for Plausible<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.unpacked += count as u64;
        let packed = self.stream.get_ref().passed - self.begin;
        if self.unpacked > packed.saturating_mul(DATA_RATIO).saturating_add(DATA_FREE).min(DATA_LIMIT) {
            self.bomb = true;
            return Err(io::Error::other("it unpacks to too much"));
        }
        Ok(count)
    }
}

/// The lines `key = value` of `.PKGINFO`.
fn info(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = ").or_else(|| Some((line.strip_suffix(" =")?, ""))))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn files(stream: &mut dyn Read, contents: &mut dyn Write) -> Result<Vec<ApkFile>, ApkError> {
    let mut reader = TarReader::new(stream);
    let mut found: Vec<ApkFile> = Vec::new();
    let mut places: BTreeMap<ImagePath, usize> = BTreeMap::new();
    let (mut written, mut texts) = (0, 0);
    while let Some(member) = reader.next_member()? {
        // Files in the root whose names begin with a point are the package's own (apk-package(5)).
        if member.path.first() == Some(&b'.') && !member.path.starts_with(b"./") {
            continue;
        }
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).map_err(|_| ApkError::Utf8(crate::tar::lossy(bytes)))
        };
        let parts = crate::tar::components(&member.path)?;
        if parts.is_empty() {
            continue;
        }
        let path = ImagePath::parse(&format!("/{}", text(&parts.join(&b'/'))?))?;
        let blocks = |above: &ImagePath| {
            places.get(above).is_some_and(|at| found[*at].file.kind != PackageFileKind::Directory)
        };
        let above = path.ancestors().find(blocks);
        if let Some(above) = above {
            return Err(ApkError::Below { path, above });
        }
        let attributes = reader.attributes();
        if let Some(name) = attributes.extended() {
            return Err(ApkError::Attribute { path, name });
        }
        let (user, group) = (text(&attributes.user)?, text(&attributes.group)?);
        let checksum = attributes.record("APK-TOOLS.checksum.SHA1").map(<[u8]>::to_vec);
        let (mut mode, mut owner) = (member.mode, Owner { uid: member.uid, gid: member.gid });
        let (kind, digest) = match &member.kind {
            MemberKind::Directory => (PackageFileKind::Directory, None),
            MemberKind::File => {
                let offset = written;
                let (digest, sha1, length) = copy(&mut reader, contents)?;
                written += length;
                (PackageFileKind::File { digest, size: length, offset }, Some(q1_of(sha1)))
            }
            MemberKind::Symlink(target) => {
                (PackageFileKind::Symlink { target: text(target)? }, Some(q1(target)))
            }
            MemberKind::Hardlink(target) => {
                let wrong = || ApkError::Hardlink { path: path.clone(), target: crate::tar::lossy(target) };
                let target = text(&crate::tar::components(target)?.join(&b'/'))?;
                let target = ImagePath::parse(&format!("/{target}")).map_err(|_| wrong())?;
                let first = places.get(&target).map(|at| &found[*at]).ok_or_else(wrong)?;
                if !matches!(first.file.kind, PackageFileKind::File { .. }) {
                    return Err(wrong());
                }
                (mode, owner) = (member.mode, first.file.owner);
                (PackageFileKind::Hardlink { target }, first.checksum.clone())
            }
            MemberKind::Special => return Err(ApkError::Special(path)),
        };
        if let (Some(said), Some(digest)) = (&checksum, &digest)
            && !matches!(kind, PackageFileKind::Hardlink { .. })
            && sha1_hex(digest).as_deref() != Some(&*String::from_utf8_lossy(said))
        {
            return Err(ApkError::Checksum(path));
        }
        texts += path.as_str().len() + user.len() + group.len();
        if let PackageFileKind::Symlink { target } = &kind {
            texts += target.len();
        }
        if texts > TEXT_LIMIT {
            return Err(ApkError::TooMuch("128 MiB of paths and links"));
        }
        if found.len() as u64 >= FILES_LIMIT {
            return Err(ApkError::TooMuch("1000000 files"));
        }
        // A directory may be written again; it is the first one that counts.
        match places.get(&path) {
            Some(at) if kind == PackageFileKind::Directory && found[*at].file.kind == kind => continue,
            Some(_) => return Err(ApkError::Twice(path)),
            None => drop(places.insert(path.clone(), found.len())),
        }
        let file = PackageFile { path, kind, mode, owner, elf: None };
        found.push(ApkFile { file, user, group, checksum: digest });
    }
    reader.finish()?;
    Ok(found)
}

/// The hex digits of the SHA-1 digest in `Q1…`.
fn sha1_hex(checksum: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(checksum.strip_prefix("Q1")?).ok()?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

/// Copies a member's data; its digests and length.
fn copy<R: Read>(
    reader: &mut TarReader<R>,
    contents: &mut dyn Write,
) -> Result<(ContentDigest, Context, u64), ApkError> {
    let (mut sha256, mut sha1, mut length) = (Hasher::new(), Context::new(&SHA1_FOR_LEGACY_USE_ONLY), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = reader.data().read(&mut buffer);
        let count = match read {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(reader.failed(error).into()),
        };
        let read = &buffer[..count];
        sha256.update(read);
        sha1.update(read);
        length += count as u64;
        contents.write_all(read).map_err(ApkError::Write)?;
    }
    Ok((ContentDigest(sha256.finish()), sha1, length))
}
