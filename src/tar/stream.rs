use std::io::{self, Read};

use super::groups::{END, Group, Piece};
use super::header::header_blocks;
use crate::model::{Content, ContentDigest, EntryKind, Hasher, ImagePath};

/// Why a layer could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file is no longer what it was when its digest was taken.
    #[error("{source_name} changed while it was packed as {path}")]
    Changed {
        /// Its place in the image.
        path: ImagePath,
        /// Where it was read.
        source_name: String,
    },
    /// A file could not be read.
    #[error("cannot read {source_name} for {path}")]
    Read {
        /// Its place in the image.
        path: ImagePath,
        /// Where it was to be read.
        source_name: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The layer could not be written.
    #[error("cannot write the layer")]
    Write(#[source] io::Error),
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// Opens the content of a file.
pub type Open<'a> = dyn Fn(&Content) -> io::Result<Box<dyn Read>> + 'a;

/// Makes the bytes of a tar, group by group: every file is read through `open` and compared with its digest.
pub struct TarWriter<'a> {
    open: &'a Open<'a>,
    /// A large file of which the next piece is still to be read.
    file: Option<OpenFile>,
}

struct OpenFile {
    reader: Box<dyn Read>,
    hasher: Hasher,
}

impl<'a> TarWriter<'a> {
    /// A writer that opens files by `open`.
    pub fn new(open: &'a Open<'a>) -> Self {
        Self { open, file: None }
    }

    /// Appends the bytes of `group` to `out`. The groups of a tar are to come in their order, and all of them: a large
    /// file is compared with its digest when its last piece was read.
    pub fn append(&mut self, group: &Group<'_>, out: &mut Vec<u8>) -> Result<(), WriteError> {
        for piece in &group.pieces {
            if piece.from == 0 {
                out.extend_from_slice(&header_blocks(piece.entry));
            }
            if let EntryKind::File { digest, content, .. } = &piece.entry.kind {
                self.append_content(piece, content, digest, out)?;
            }
        }
        if group.last {
            out.resize(out.len() + END, 0);
        }
        Ok(())
    }

    fn append_content(
        &mut self,
        piece: &Piece<'_>,
        content: &Content,
        digest: &ContentDigest,
        out: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let source_name = || match content {
            Content::Path(path) => path.display().to_string(),
            Content::Bytes(_) => "a composed file".to_owned(),
            Content::Packed { .. } => piece.entry.origin.to_string(),
        };
        let path = &piece.entry.path;
        let failed = |source| WriteError::Read { path: path.clone(), source_name: source_name(), source };
        let changed = || WriteError::Changed { path: path.clone(), source_name: source_name() };
        let mut file = match self.file.take() {
            Some(file) if piece.from > 0 => file,
            _ => OpenFile { reader: (self.open)(content).map_err(failed)?, hasher: Hasher::new() },
        };
        let wanted = piece.to - piece.from;
        let start = out.len();
        let count = (&mut file.reader).take(wanted).read_to_end(out).map_err(failed)?;
        if count as u64 != wanted {
            return Err(changed());
        }
        file.hasher.update(&out[start..]);
        if !piece.is_last() {
            self.file = Some(file);
            return Ok(());
        }
        if !is_at_end(&mut *file.reader).map_err(failed)? || ContentDigest(file.hasher.finish()) != *digest {
            return Err(changed());
        }
        out.resize(start + count.next_multiple_of(512), 0);
        Ok(())
    }
}

fn is_at_end(reader: &mut dyn Read) -> io::Result<bool> {
    loop {
        match reader.read(&mut [0]) {
            Ok(count) => return Ok(count == 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Digest, Entries, Entry, Owner};
    use crate::tar::groups;

    fn entry(path: &str, kind: EntryKind, mode: u32) -> Entry {
        Entry { path: path.parse().unwrap(), kind, mode, owner: Owner::default(), origin: Arc::from("test") }
    }

    fn bytes_of(content: &Content) -> io::Result<Box<dyn Read>> {
        match content {
            Content::Bytes(bytes) => Ok(Box::new(io::Cursor::new(bytes.to_vec()))),
            Content::Path(_) | Content::Packed { .. } => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn write(entries: &Entries) -> Result<Vec<u8>, WriteError> {
        let mut out = Vec::new();
        let mut writer = TarWriter::new(&bytes_of);
        for group in groups(entries.iter()) {
            let before = out.len();
            writer.append(&group, &mut out)?;
            assert_eq!((out.len() - before) as u64, group.length());
        }
        Ok(out)
    }

    fn pack(entries: &Entries) -> Vec<u8> {
        write(entries).unwrap()
    }

    fn fixed_tree() -> Entries {
        let long = format!("/{}/{}", "d".repeat(90), "f".repeat(90));
        let mut entries = Entries::new();
        for entry in [
            entry("/app", EntryKind::Directory, 0o755),
            entry("/app/hello", EntryKind::bytes(&b"hello\n"[..]), 0o755),
            entry("/app/link", EntryKind::Symlink { target: "hello".into() }, 0o777),
            entry("/app/twin", EntryKind::Hardlink { target: "/app/hello".parse().unwrap() }, 0o755),
            entry("/app/ünï", EntryKind::bytes(&b""[..]), 0o644),
            entry("/etc/gone", EntryKind::Whiteout, 0o644),
            entry(&long, EntryKind::bytes(vec![7; 1000]), 0o4755),
        ] {
            entries.insert(entry).unwrap();
        }
        let mut owned = entry("/home", EntryKind::Directory, 0o700);
        owned.owner = Owner { uid: 3_000_000, gid: 65532 };
        entries.insert(owned).unwrap();
        entries
    }

    /// Golden: a change of this digest is a change of the format and needs a new one.
    #[test]
    fn bytes_are_fixed() {
        let packed = pack(&fixed_tree());
        assert_eq!(
            Digest::of(&packed).to_string(),
            "sha256:8edf64cb22519c544fc1eaf28b49da138725d21edf4624c36712aeb56b6260f2"
        );
    }

    #[test]
    fn another_reader_sees_what_was_meant() {
        let packed = pack(&fixed_tree());
        let mut seen = Vec::new();
        for entry in tar::Archive::new(&packed[..]).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(header.mtime().unwrap(), 318_211_200);
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let link = entry.link_name_bytes().map(|link| String::from_utf8(link.into_owned()).unwrap());
            let size = entry.size();
            seen.push(format!("{path} {:o} {size} {}", header.mode().unwrap(), link.unwrap_or_default()));
        }
        let long = format!("{}/{} 4755 1000 ", "d".repeat(90), "f".repeat(90));
        assert_eq!(
            seen,
            [
                "app/ 755 0 ",
                "app/hello 755 6 ",
                "app/link 777 0 hello",
                "app/twin 755 0 app/hello",
                "app/ünï 644 0 ",
                &long,
                "etc/.wh.gone 644 0 ",
                "home/ 700 0 ",
            ]
        );
    }

    #[test]
    fn a_file_that_changed_is_an_error() {
        for wrong in [&b"hell"[..], b"hello", b"hullo\n", b"hello\nx"] {
            let mut entries = Entries::new();
            let kind = EntryKind::File {
                digest: ContentDigest::of(b"hello\n"),
                size: 6,
                content: Content::Bytes(Arc::from(wrong)),
            };
            entries.insert(entry("/hello", kind, 0o644)).unwrap();
            let error = write(&entries).unwrap_err();
            assert_eq!(error.to_string(), "a composed file changed while it was packed as /hello");
        }
    }
}
