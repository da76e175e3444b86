use super::*;

/// An ar archive of these members.
fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, data) in members {
        bytes.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, data.len()).bytes(),
        );
        bytes.extend_from_slice(data);
        if data.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

enum Row<'a> {
    Dir,
    File(&'a [u8]),
    Link(&'a str),
    Hard(&'a str),
    Pipe,
}

fn tar(rows: &[(&str, Row<'_>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, row) in rows {
        let mut header = tar::Header::new_gnu();
        let (kind, link, data): (_, &str, &[u8]) = match row {
            Row::Dir => (tar::EntryType::Directory, "", b""),
            Row::File(data) => (tar::EntryType::Regular, "", *data),
            Row::Link(link) => (tar::EntryType::Symlink, *link, b""),
            Row::Hard(link) => (tar::EntryType::Link, *link, b""),
            Row::Pipe => (tar::EntryType::Fifo, "", b""),
        };
        // As a hostile writer would, who asks no library.
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(if path.ends_with("su") { 0o4755 } else { 0o755 });
        header.set_uid(0);
        header.set_gid(if path.ends_with("su") { 42 } else { 0 });
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn control() -> Vec<u8> {
    tar(&[
        ("./", Row::Dir),
        ("./control", Row::File(b"Package: a\nVersion: 1\n")),
        ("./postinst", Row::File(b"#!")),
    ])
}

fn deb(data: &[u8]) -> Vec<u8> {
    ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control()), ("data.tar", data)])
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

fn read(bytes: &[u8]) -> Result<(DebFacts, Vec<u8>), String> {
    let mut contents = Vec::new();
    let facts = read_deb(&mut &*bytes, &mut contents).map_err(|error| {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text.push_str(&format!(" / {error}"));
            cause = error.source();
        }
        text
    });
    facts.map(|facts| (facts, contents))
}

#[test]
fn a_package_is_read_from_end_to_end() {
    let data = tar(&[
        ("./", Row::Dir),
        ("./bin/", Row::Dir),
        ("./bin/su", Row::File(b"one")),
        ("./bin/again", Row::Hard("./bin/su")),
        ("./bin/third", Row::Hard("./bin/again")),
        ("bin/link", Row::Link("../etc/x")),
        ("/etc/x", Row::File(b"")),
        ("./bin/", Row::Dir),
        ("./etc/y", Row::File(b"two")),
    ]);
    let plain = deb(&data);
    let (facts, contents) = read(&plain).unwrap();
    assert_eq!(contents, b"onetwo");
    assert_eq!(facts.control.get("version"), Some("1"));
    assert_eq!(facts.scripts, BTreeMap::from([("postinst".to_owned(), "#!".to_owned())]));
    let rows: Vec<String> = facts
        .files
        .iter()
        .map(|file| {
            let what = match &file.kind {
                PackageFileKind::Directory => "directory".to_owned(),
                PackageFileKind::File { size, offset, .. } => format!("{size} at {offset}"),
                PackageFileKind::Symlink { target } => format!("-> {target}"),
                PackageFileKind::Hardlink { target } => format!("= {target}"),
            };
            format!("{} {:o} {} {what}", file.path, file.mode, file.owner.gid)
        })
        .collect();
    assert_eq!(
        rows,
        [
            "/bin 755 0 directory",
            "/bin/again 755 0 = /bin/su",
            "/bin/link 755 0 -> ../etc/x",
            "/bin/su 4755 42 3 at 0",
            "/bin/third 755 0 = /bin/su",
            "/etc/x 755 0 0 at 3",
            "/etc/y 755 0 3 at 3",
        ]
    );

    let xz = |bytes: &[u8]| {
        use lzma_rust2::{XzOptions, XzWriter};
        let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    let gzip = |bytes: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    };
    for (end, packed) in [("gz", gzip(&data)), ("xz", xz(&data)), ("zst", zstd_of(&data))] {
        let control = match end {
            "gz" => gzip(&control()),
            "xz" => xz(&control()),
            _ => zstd_of(&control()),
        };
        let bytes = ar(&[
            ("debian-binary/", b"2.1\nmore"),
            ("_ours", b"odd"),
            (&format!("control.tar.{end}"), &control),
            ("_theirs", b""),
            (&format!("data.tar.{end}"), &packed),
            ("signature", b"what dpkg does not look at"),
        ]);
        assert_eq!(read(&bytes).unwrap(), (facts.clone(), contents.clone()), "{end}");
    }
}

#[test]
fn every_shorter_package_is_an_error() {
    let whole = deb(&zstd_of(&tar(&[("./a", Row::File(&[7; 2000]))])));
    let whole = {
        // With the right name for what is inside.
        let at = whole.windows(8).position(|bytes| bytes == b"data.tar").unwrap();
        let mut bytes = whole;
        bytes[at..at + 12].copy_from_slice(b"data.tar.zst");
        bytes
    };
    assert!(read(&whole).is_ok());
    let padding = usize::from(whole.last() == Some(&b'\n'));
    for length in 0..whole.len() - padding {
        assert!(read(&whole[..length]).is_err(), "the first {length} bytes");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let good = tar(&[("./a", Row::File(b"x"))]);
    let binary: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    let control = control();
    let huge_control = zstd_of(&tar(&[("./control", Row::File(&vec![b' '; 17 << 20]))]));
    let empty_control = tar(&[("./postinst", Row::File(b""))]);
    let broken_control = tar(&[("./control", Row::File(b"what\n"))]);
    let mut odd_size = deb(&good);
    odd_size[8 + 48..8 + 58].copy_from_slice(b"+4        ");
    let mut long = ar(&[binary]);
    long[8 + 48..8 + 58].copy_from_slice(b"9999999999");
    for (bytes, message) in [
        (b"".to_vec(), "it is no Debian package"),
        (b"!<arch>\n".to_vec(), "it has no debian-binary"),
        (ar(&[("hello", b"")]), "it is no Debian package"),
        (ar(&[("debian-binary", b"3.0\n")]), "it is a Debian package of format 3.0; only format 2 is read"),
        (odd_size, "the header at byte 8 is broken"),
        (long, "it ends in the middle of a member"),
        (ar(&[binary]), "it has no control.tar"),
        (ar(&[binary, ("data.tar", &good)]), "it has `data.tar` where control.tar has to be"),
        (ar(&[binary, ("control.tar", &control)]), "it has no data.tar"),
        (ar(&[binary, ("control.tar", &control), ("other", b"")]), "it has `other` where data.tar has to be"),
        (
            ar(&[binary, ("control.tar.bz2", b"")]),
            "its `control.tar.bz2` is compressed in a way that is not read; gz, xz and zst are",
        ),
        (
            ar(&[binary, ("control.tar.gz", &control)]),
            "its control.tar cannot be read / it is not a tar archive",
        ),
        (ar(&[binary, ("control.tar", &empty_control)]), "it has no control file"),
        (
            ar(&[binary, ("control.tar", &broken_control)]),
            "its control file cannot be read / line 1 is neither a field nor the continuation of one",
        ),
        (
            ar(&[binary, ("control.tar.zst", &huge_control)]),
            "its control.tar unpacks to more than 16777216 bytes, which no real package of its length does",
        ),
    ] {
        assert_eq!(read(&bytes).unwrap_err(), message);
    }
    for (rows, message) in [
        (
            vec![("./../x", Row::File(b""))],
            "it holds a path that is not for an image / `/./../x` has a .. component",
        ),
        (
            vec![("./a/.wh.b", Row::File(b""))],
            "it holds a path that is not for an image / `/./a/.wh.b` has a name that begins with .wh., which marks a removal in a layer",
        ),
        (
            vec![("./pipe", Row::Pipe)],
            "/pipe is a device or a pipe, which packages do not bring into an image",
        ),
        (vec![("./a", Row::File(b"")), ("a", Row::File(b""))], "/a comes twice"),
        (vec![("./a", Row::Dir), ("a", Row::Link("b"))], "/a comes twice"),
        (
            vec![("./a", Row::Link("/etc")), ("./a/passwd", Row::File(b""))],
            "/a/passwd lies below /a, which is no directory",
        ),
        (
            vec![("./b", Row::Hard("./a")), ("./a", Row::File(b""))],
            "/b is a hard link to `./a`, which is no file that comes before it",
        ),
        (
            vec![("./a", Row::Link("/etc/shadow")), ("./b", Row::Hard("./a"))],
            "/b is a hard link to `./a`, which is no file that comes before it",
        ),
        (
            vec![("./b", Row::Hard("../a"))],
            "it holds a path that is not for an image / `/../a` has a .. component",
        ),
    ] {
        assert_eq!(read(&deb(&tar(&rows))).unwrap_err(), message);
    }
    let mut name = tar(&[("./xx", Row::File(b""))]);
    name[2] = 0xff;
    let sum: u32 =
        name[..148].iter().chain(&name[156..512]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    name[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(read(&deb(&name)).unwrap_err(), "`./\u{fffd}x` is not UTF-8");
}

/// What a small file says it is, is not taken into memory or onto the disk.
#[test]
fn a_file_that_unpacks_to_much_more_is_refused() {
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
    let mut header = tar::Header::new_gnu();
    header.set_path("./holes").unwrap();
    header.set_size(10 << 30);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    let mut packed = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    packed.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..200 {
        packed.write_all(&zeros).unwrap();
    }
    let packed = packed.finish().unwrap();
    let bytes = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control()), ("data.tar.zst", &packed)]);
    assert!(bytes.len() < 100_000);
    let mut count = Count(0);
    let error = read_deb(&mut &*bytes, &mut count).unwrap_err();
    let limit = packed.len() as u64 * 256 + (64 << 20);
    assert_eq!(
        error.to_string(),
        format!("its data.tar unpacks to more than {limit} bytes, which no real package of its length does")
    );
    assert!(count.0 <= limit, "{} bytes were written", count.0);

    // Nothing is behind the end of an archive but zeros, and not many.
    let zeros = zstd_of(&vec![0; 80 << 20]);
    let bytes = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control()), ("data.tar.zst", &zeros)]);
    assert!(read(&bytes).unwrap_err().starts_with("its data.tar unpacks to more than "));
}

struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_without_space_is_told_as_such() {
    let whole = deb(&tar(&[("./a", Row::File(b"x"))]));
    let error = read_deb(&mut &*whole, &mut Full).unwrap_err();
    assert!(
        matches!(&error, DebError::Write(error) if error.kind() == io::ErrorKind::StorageFull),
        "{error}"
    );
}
