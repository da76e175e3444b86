use std::cell::Cell;

use tar::EntryType;

use super::*;

enum Make<'a> {
    Directory,
    File(u32, &'a str),
    Symlink(&'a str),
    Hardlink(&'a str),
    Pipe,
}
use Make::{Directory, File, Hardlink, Pipe, Symlink};

/// A layer of these members, in this order.
fn layer(members: &[(&str, Make<'_>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, make) in members {
        let mut header = tar::Header::new_gnu();
        let (kind, mode, content) = match make {
            Directory => (EntryType::Directory, 0o700, ""),
            File(mode, content) => (EntryType::Regular, *mode, *content),
            Symlink(_) => (EntryType::Symlink, 0o777, ""),
            Hardlink(_) => (EntryType::Link, 0o644, ""),
            Pipe => (EntryType::Fifo, 0o644, ""),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(77);
        header.set_gid(78);
        header.set_size(content.len() as u64);
        match make {
            Symlink(target) | Hardlink(target) => builder.append_link(&mut header, path, target).unwrap(),
            _ => builder.append_data(&mut header, path, content.as_bytes()).unwrap(),
        }
    }
    builder.into_inner().unwrap()
}

struct Image {
    blobs: Blobs,
    manifest: Descriptor,
}

impl Image {
    fn of(layers: &[Vec<u8>]) -> Self {
        let mut blobs = Blobs::default();
        let tars: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
        let rows: Vec<Descriptor> =
            tars.iter().map(|tar| blobs.add(MediaType::OciLayerGzip, &gzip(tar))).collect();
        let config = blobs.add_json(MediaType::OciConfig, &config("amd64", &tars));
        let manifest = blobs.manifest(MediaType::OciManifest, &config, &rows);
        Self { blobs, manifest }
    }

    /// The files below `path`, a line each: path, what it is, content or target.
    fn files(&self, path: &str, takes: impl Fn(&str) -> bool) -> Result<Vec<String>, String> {
        let store = Memory::default();
        let path = ImagePath::parse(path).ok();
        let cancel = Cancel::new();
        let import = Import {
            base: "image:r/i",
            platform: Platform::AMD64,
            store: &store,
            layers: true,
            cancel: &cancel,
        };
        let document = Document { bytes: self.blobs.bytes(&self.manifest), name: None };
        let wanted = Wanted { path: path.as_ref(), takes: &takes };
        let found = image_files(&import, &document, &wanted, &|blob, writer| self.blobs.fetch(blob, writer))
            .map_err(|error| format!("{error}; {}", error.hint().unwrap_or_default()))?;
        let line = |file: ImageFile| match file.kind {
            ImageFileKind::Empty => format!("{}/", file.path),
            ImageFileKind::Symlink { target } => format!("{} -> {target}", file.path),
            ImageFileKind::File { executable, size, digest } => {
                let mut text = String::new();
                store.open(&BlobDigest(digest.0)).unwrap().read_to_string(&mut text).unwrap();
                assert_eq!(text.len() as u64, size);
                format!("{}{} {text}", file.path, if executable { "*" } else { "" })
            }
        };
        let mark = if found.single { "one: " } else { "" };
        Ok(found.files.into_iter().map(|file| format!("{mark}{}", line(file))).collect())
    }
}

#[test]
fn the_last_layer_has_the_last_word() {
    let image = Image::of(&[
        layer(&[
            ("opt/x/", Directory),
            ("opt/x/a", File(0o644, "old a")),
            ("opt/x/b", File(0o4755, "b")),
            ("opt/x/gone", File(0o644, "gone")),
            ("opt/x/d/inner", File(0o644, "inner")),
            ("opt/x/full/1", File(0o644, "1")),
            ("opt/x/empty/", Directory),
            ("usr/lib/so", File(0o600, "so")),
            ("lib", Symlink("usr/lib")),
        ]),
        layer(&[
            ("opt/x/.wh.gone", File(0o644, "")),
            ("opt/x/a", File(0o644, "new a")),
            ("opt/x/same", Hardlink("opt/x/a")),
            ("opt/x/link", Symlink("d/inner")),
            ("opt/x/deep/absolute", Symlink("/opt/x/b")),
            ("opt/x/full/.wh..wh..opq", File(0o644, "")),
            // Written by way of the link of the layer below.
            ("lib/so2", File(0o644, "so2")),
            ("opt/xy", File(0o644, "beside")),
        ]),
        // The other name keeps the content when the first one changes.
        layer(&[("opt/x/a", File(0o644, "newest a"))]),
    ]);
    let all = |_: &str| true;
    assert_eq!(
        image.files("/opt/x", all).unwrap(),
        [
            "a newest a",
            "b* b",
            "d/inner inner",
            "deep/absolute -> ../b",
            "empty/",
            "full/",
            "link -> d/inner",
            "same new a",
        ]
    );
    assert_eq!(image.files("/opt/x/link", all).unwrap(), ["one: link inner"]);
    assert_eq!(image.files("/lib", all).unwrap(), ["so so", "so2 so2"]);
    assert_eq!(image.files("/lib/so2", all).unwrap(), ["one: so2 so2"]);
    let some = |path: &str| !path.starts_with("full") && path.contains('e');
    assert_eq!(
        image.files("/opt/x", some).unwrap(),
        ["d/inner inner", "deep/absolute -> ../b", "empty/", "same new a"]
    );
    let whole = image.files("/", all).unwrap();
    assert!(
        whole.contains(&"lib -> usr/lib".to_owned()) && whole.contains(&"opt/xy beside".to_owned()),
        "{whole:#?}"
    );
}

#[test]
fn what_cannot_be_copied_is_named() {
    let image = Image::of(&[layer(&[
        ("opt/x/out", Symlink("../y")),
        ("opt/x/a", File(0o644, "a")),
        ("opt/p/pipe", Pipe),
        ("opt/loop", Symlink("loop")),
    ])]);
    let all = |_: &str| true;
    for (path, said) in [
        (
            "/opt/x",
            "/opt/x/out of image:r/i is a link to ../y, which is not below /opt/x; \
             leave it out with `exclude`, or copy a directory that holds both",
        ),
        ("/opt/p", "/opt/p/pipe of image:r/i is a device, a pipe or a socket; leave it out with `exclude`"),
        (
            "/opt/p/pipe",
            "/opt/p/pipe of image:r/i is a device, a pipe or a socket; leave it out with `exclude`",
        ),
        ("/opt/z/y", "image:r/i has no /opt/z/y; of that path it has /opt"),
        ("/none", "image:r/i has no /none; nothing of that path is in it"),
        ("/opt/loop", "image:r/i has no /opt/loop; of that path it has /opt"),
        ("/opt/x/a/b", "image:r/i has no /opt/x/a/b; of that path it has /opt/x/a"),
    ] {
        assert_eq!(image.files(path, all).unwrap_err(), said);
    }
    assert_eq!(image.files("/opt/x", |path| path != "out").unwrap(), ["a a"]);
}

#[test]
fn contents_are_read_from_the_layers_that_have_them() {
    let image = Image::of(&[layer(&[("a", File(0o644, "a"))]), layer(&[("b", File(0o644, "b"))])]);
    let store = Memory::default();
    let (cancel, fetched) = (Cancel::new(), std::sync::atomic::AtomicUsize::new(0));
    let import =
        Import { base: "image:r/i", platform: Platform::AMD64, store: &store, layers: true, cancel: &cancel };
    let document = Document { bytes: image.blobs.bytes(&image.manifest), name: None };
    let path = ImagePath::parse("/b").unwrap();
    let asked = Cell::new(0);
    let takes = |_: &str| {
        asked.set(asked.get() + 1);
        true
    };
    let fetch = |blob: &Descriptor, writer: &mut dyn Write| {
        fetched.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        image.blobs.fetch(blob, writer)
    };
    let wanted = Wanted { path: Some(&path), takes: &takes };
    for _ in 0..2 {
        image_files(&import, &document, &wanted, &fetch).unwrap();
    }
    // The config and two layers, of which the second time only the config is not in the store.
    assert_eq!(fetched.into_inner(), 4);
    assert_eq!(asked.get(), 0, "globs are for directories");
    assert_eq!(store.puts(), 4, "two layers, and twice one content");
}
