//! Root file systems that tests make.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// What a root file system may have.
pub(crate) enum Item {
    /// Mode and owner.
    Directory(u32, u64),
    Link(&'static str),
    File(&'static str),
}

/// A `tar.gz` of these.
pub(crate) fn rootfs(items: &[(&str, Item)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, item) in items {
        let mut header = tar::Header::new_ustar();
        header.set_mtime(1_700_000_000);
        let (kind, mode, owner, content) = match item {
            Item::Directory(mode, owner) => (tar::EntryType::Directory, *mode, *owner, ""),
            Item::Link(_) => (tar::EntryType::Symlink, 0o777, 0, ""),
            Item::File(content) => (tar::EntryType::Regular, 0o644, 0, *content),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_size(content.len() as u64);
        match item {
            Item::Link(target) => builder.append_link(&mut header, path, target).unwrap(),
            _ => builder.append_data(&mut header, path, content.as_bytes()).unwrap(),
        }
    }
    let mut gzip = builder.into_inner().unwrap();
    gzip.flush().unwrap();
    gzip.finish().unwrap()
}

/// One whose /bin, /sbin and /lib are links into /usr, as Debian's are.
pub(crate) fn merged() -> Vec<u8> {
    rootfs(&[
        ("usr", Item::Directory(0o755, 0)),
        ("usr/bin", Item::Directory(0o755, 0)),
        ("usr/sbin", Item::Directory(0o755, 0)),
        ("usr/lib", Item::Directory(0o755, 0)),
        ("usr/local", Item::Directory(0o755, 0)),
        ("usr/local/bin", Item::Directory(0o755, 0)),
        ("bin", Item::Link("usr/bin")),
        ("sbin", Item::Link("usr/sbin")),
        ("lib", Item::Link("usr/lib")),
        ("usr/bin/sh", Item::File("#!/bin/true\n")),
    ])
}

/// One whose /usr/local is not as others have it.
pub(crate) fn local(mode: u32, owner: u64) -> Vec<u8> {
    rootfs(&[("usr", Item::Directory(0o755, 0)), ("usr/local", Item::Directory(mode, owner))])
}
