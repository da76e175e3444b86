use std::io::{self, Read, Write};

use super::header::header_blocks;
use crate::model::{Content, ContentDigest, Entries, EntryKind, Hasher, ImagePath};

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

/// Writes `entries` as a tar to `out`: every file is read through `open` and checked against its digest while it is
/// copied. `stop` is asked before every entry.
pub fn write_tar(
    entries: &Entries,
    out: &mut dyn Write,
    open: &dyn Fn(&Content) -> io::Result<Box<dyn Read>>,
    stop: &dyn Fn() -> bool,
) -> Result<(), WriteError> {
    let mut buffer = vec![0; 256 * 1024];
    for entry in entries.iter() {
        if stop() {
            return Err(WriteError::Cancelled);
        }
        out.write_all(&header_blocks(entry)).map_err(WriteError::Write)?;
        if let EntryKind::File { digest, size, content } = &entry.kind {
            copy_content(&entry.path, (content, digest, *size), out, open, &mut buffer)?;
            let padding = (512 - size % 512) % 512;
            out.write_all(&[0; 512][..padding as usize]).map_err(WriteError::Write)?;
        }
    }
    out.write_all(&[0; 1024]).map_err(WriteError::Write)
}

fn copy_content(
    path: &ImagePath,
    (content, digest, size): (&Content, &ContentDigest, u64),
    out: &mut dyn Write,
    open: &dyn Fn(&Content) -> io::Result<Box<dyn Read>>,
    buffer: &mut [u8],
) -> Result<(), WriteError> {
    let source_name = || match content {
        Content::Path(path) => path.display().to_string(),
        Content::Bytes(_) => "a composed file".to_owned(),
    };
    let failed = |source| WriteError::Read { path: path.clone(), source_name: source_name(), source };
    let changed = || WriteError::Changed { path: path.clone(), source_name: source_name() };
    let mut reader = open(content).map_err(failed)?;
    let mut hasher = Hasher::new();
    let mut left = size;
    loop {
        let count = match reader.read(buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        left = left.checked_sub(count as u64).ok_or_else(changed)?;
        hasher.update(&buffer[..count]);
        out.write_all(&buffer[..count]).map_err(WriteError::Write)?;
    }
    if left != 0 || ContentDigest(hasher.finish()) != *digest { Err(changed()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Digest, Entry, Owner};

    fn entry(path: &str, kind: EntryKind, mode: u32) -> Entry {
        Entry { path: path.parse().unwrap(), kind, mode, owner: Owner::default(), origin: Arc::from("test") }
    }

    fn bytes_of(content: &Content) -> io::Result<Box<dyn Read>> {
        match content {
            Content::Bytes(bytes) => Ok(Box::new(io::Cursor::new(bytes.to_vec()))),
            Content::Path(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn pack(entries: &Entries) -> Vec<u8> {
        let mut out = Vec::new();
        write_tar(entries, &mut out, &bytes_of, &|| false).unwrap();
        out
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
            let error = write_tar(&entries, &mut Vec::new(), &bytes_of, &|| false).unwrap_err();
            assert_eq!(error.to_string(), "a composed file changed while it was packed as /hello");
        }
    }
}
