use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Unpacked;
use crate::model::{
    Class, Content, Digest, Entries, EntriesError, Entry, EntryKind, PackageFile, PackageFileKind,
};
use crate::plan::LayerPart;

/// A package from this many bytes on, unpacked and without what is left out, is a layer of its own.
const OWN: u64 = 4 << 20;
/// The smaller ones share this many layers, by their names.
const SHARED: u8 = 4;
/// Most packages with layers of their own: an image has 127 layers at most, and other things want some.
const MOST_OWN: usize = 60;

/// The layers of packages, each package with the files that it puts on the base. In which layer a package is follows from
/// its name and its size alone; where there would be too many layers, only larger ones have their own.
pub(super) fn package_parts(
    packages: &[(&Unpacked, &[PackageFile])],
) -> Result<Vec<LayerPart>, EntriesError> {
    let mut own = OWN;
    while packages.iter().filter(|(_, files)| unpacked(files) >= own).count() > MOST_OWN {
        own *= 2;
    }
    let mut layers: BTreeMap<Layer<'_>, (Entries, Vec<&str>)> = BTreeMap::new();
    for (package, files) in packages {
        let name = package.pinned.name.as_str();
        let layer = if unpacked(files) >= own { Layer::Own(name) } else { Layer::Shared(shared_layer(name)) };
        let (entries, names) = layers.entry(layer).or_default();
        if !files.is_empty() {
            names.push(name);
        }
        let origin: Arc<str> = Arc::from(format!("package {name}"));
        for file in *files {
            entries.insert(entry(package, file, &origin))?;
        }
    }
    let part = |(entries, mut names): (Entries, Vec<&str>)| {
        names.sort_unstable();
        LayerPart { class: Class::System, title: title(&names), entries, replace: BTreeSet::new() }
    };
    Ok(layers.into_values().map(part).collect())
}

/// Which layer a package is in; the shared ones stand above.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer<'a> {
    Own(&'a str),
    Shared(u8),
}

fn shared_layer(name: &str) -> u8 {
    Digest::of(name.as_bytes()).as_bytes()[0] % SHARED
}

fn unpacked(files: &[PackageFile]) -> u64 {
    let size = |file: &PackageFile| match file.kind {
        PackageFileKind::File { size, .. } => size,
        _ => 0,
    };
    files.iter().map(size).sum()
}

fn entry(package: &Unpacked, file: &PackageFile, origin: &Arc<str>) -> Entry {
    let kind = match &file.kind {
        PackageFileKind::Directory => EntryKind::Directory,
        PackageFileKind::Symlink { target } => EntryKind::Symlink { target: target.clone() },
        PackageFileKind::Hardlink { target } => EntryKind::Hardlink { target: target.clone() },
        PackageFileKind::File { size: 0, .. } => EntryKind::bytes([]),
        PackageFileKind::File { digest, size, offset } => EntryKind::File {
            digest: *digest,
            size: *size,
            content: Content::Packed {
                contents: Arc::clone(&package.contents),
                offset: *offset,
                length: *size,
            },
        },
    };
    let (path, mode, owner) = (file.path.clone(), file.mode, file.owner);
    Entry { path, kind, mode, owner, origin: Arc::clone(origin) }
}

/// Longest list of names in a title, in bytes: it has to stand beside sizes in 80 columns.
const LONGEST: usize = 24;

/// `libc6`, `adduser, base-files`, `12 packages, adduser to zlib1g`
fn title(names: &[&str]) -> String {
    let list = names.join(", ");
    match names {
        [first, .., last] if list.len() > LONGEST => format!("{} packages, {first} to {last}", names.len()),
        _ => list,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::DebFacts;
    use crate::model::{BlobDigest, ContentDigest, Contents, Owner, PinnedPackage};
    use crate::ops::packages::PackageFacts;

    #[derive(Debug)]
    struct Nothing;

    impl Contents for Nothing {
        fn open(&self, _: u64, _: u64) -> std::io::Result<Box<dyn std::io::Read + Send>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }

    fn package(name: &str, size: u64) -> (Unpacked, Vec<PackageFile>) {
        let pinned = PinnedPackage {
            name: name.into(),
            version: "1".into(),
            architecture: "all".into(),
            digest: BlobDigest::of(name.as_bytes()),
            size: 1,
        };
        let facts = Arc::new(PackageFacts::Deb(DebFacts::default()));
        let kind = PackageFileKind::File { digest: ContentDigest::of(b"x"), size, offset: 0 };
        let path = format!("/usr/{name}").parse().unwrap();
        let file = PackageFile { path, kind, mode: 0o755, owner: Owner::default(), elf: None };
        (Unpacked { pinned, facts, contents: Arc::new(Nothing) }, vec![file])
    }

    fn titles(packages: &[(Unpacked, Vec<PackageFile>)]) -> Vec<String> {
        let rows: Vec<(&Unpacked, &[PackageFile])> =
            packages.iter().map(|(package, files)| (package, files.as_slice())).collect();
        package_parts(&rows).unwrap().into_iter().map(|part| part.title).collect()
    }

    /// Golden: where a package is, is part of the format.
    #[test]
    fn a_layer_follows_from_name_and_size() {
        let small = |name| package(name, (4 << 20) - 1);
        let names = ["adduser", "libssl3", "zlib1g", "tar", "dpkg", "bash", "base-files", "nginx"];
        let mut all: Vec<_> = names.map(small).into_iter().collect();
        all.push(package("libc6", 4 << 20));
        let whole = titles(&all);
        assert_eq!(whole, ["libc6", "dpkg, tar", "libssl3", "5 packages, adduser to zlib1g"]);
        // None of the others matters, nor their order.
        all.reverse();
        assert_eq!(titles(&all), whole);
    }

    #[test]
    fn there_are_never_too_many_layers() {
        let many: Vec<_> =
            (0..200).map(|n| package(&format!("p{n}"), if n < 50 { 9 << 20 } else { 5 << 20 })).collect();
        assert_eq!(titles(&many).len(), 50 + usize::from(SHARED));
    }

    #[test]
    fn titles_name_what_fits() {
        assert_eq!(title(&["libc6"]), "libc6");
        assert_eq!(title(&["a", "b", "c"]), "a, b, c");
        assert_eq!(title(&["a", "b", "c", "d"]), "a, b, c, d");
        assert_eq!(
            title(&["libgssapi-krb5-2", "libk5crypto3"]),
            "2 packages, libgssapi-krb5-2 to libk5crypto3"
        );
    }
}
