use super::*;

/// A header block with this type byte, name, link and size, checksum right.
pub(in crate::tar) fn header(kind: u8, name: &[u8], link: &[u8], size: u64) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000755\0");
    block[108..116].copy_from_slice(b"0000007\0");
    block[116..124].copy_from_slice(b"0000011\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    sum(&mut block);
    block
}

fn sum(block: &mut [u8; 512]) {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A header and its data, padded.
pub(in crate::tar) fn member(kind: u8, name: &[u8], link: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = header(kind, name, link, data.len() as u64).to_vec();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest..rest + 9).find(|length| length - rest == length.to_string().len()).unwrap();
        data.extend(format!("{length} {key}=").bytes());
        data.extend(*value);
        data.push(b'\n');
    }
    member(b'x', b"pax", b"", &data)
}

fn members(bytes: &[u8]) -> Result<Vec<(String, MemberKind, Vec<u8>)>, TarError> {
    let mut reader = TarReader::new(bytes);
    let mut found = Vec::new();
    while let Some(member) = reader.next_member()? {
        let mut data = Vec::new();
        let read = reader.data().read_to_end(&mut data);
        read.map_err(|error| reader.failed(error))?;
        assert_eq!(data.len() as u64, member.size);
        found.push((String::from_utf8(member.path).unwrap(), member.kind, data));
    }
    reader.finish()?;
    Ok(found)
}

fn end() -> Vec<u8> {
    vec![0; 1024]
}

#[test]
fn every_dialect_is_read() {
    let long = "d/".repeat(90) + "file";
    let mut prefixed = header(b'0', b"name", b"", 0);
    prefixed[345..351].copy_from_slice(b"prefix");
    sum(&mut prefixed);
    let mut blank = header(b'0', b"blank", b"", 0);
    blank[108..136].fill(0);
    sum(&mut blank);
    let bytes = [
        member(b'0', b"a", b"", b"content"),
        prefixed.to_vec(),
        blank.to_vec(),
        member(b'L', b"././@LongLink", b"", format!("{long}\0").as_bytes()),
        member(b'K', b"././@LongLink", b"", b"target\0"),
        member(b'2', b"cut", b"cut", b""),
        member(b'g', b"global", b"", b"13 path=evil\n"),
        pax(&[("path", b"p\xc3\xa4th"), ("SCHILY.xattr.x", b"1\n2=3\n"), ("uid", b"70000")]),
        member(b'0', b"cut", b"", &[9; 513]),
        pax(&[("linkpath", b"a")]),
        member(b'1', b"hard", b"cut", b""),
        member(0, b"old/", b"", b""),
        member(b'5', b"dir/", b"", b""),
        member(b'3', b"dev", b"", b""),
        end(),
    ]
    .concat();
    let file = || MemberKind::File;
    assert_eq!(
        members(&bytes).unwrap(),
        [
            ("a".to_owned(), file(), b"content".to_vec()),
            ("prefix/name".to_owned(), file(), vec![]),
            ("blank".to_owned(), file(), vec![]),
            (long, MemberKind::Symlink(b"target".to_vec()), vec![]),
            ("päth".to_owned(), file(), vec![9; 513]),
            ("hard".to_owned(), MemberKind::Hardlink(b"a".to_vec()), vec![]),
            ("old/".to_owned(), MemberKind::Directory, vec![]),
            ("dir/".to_owned(), MemberKind::Directory, vec![]),
            ("dev".to_owned(), MemberKind::Special, vec![]),
        ]
    );
}

#[test]
fn numbers_and_positions_are_told() {
    let bytes = [pax(&[("uid", b"70000"), ("size", b"3")]), member(b'0', b"a", b"", b"abc"), end()].concat();
    let mut reader = TarReader::new(&bytes[..]);
    let member = reader.next_member().unwrap().unwrap();
    assert_eq!((member.mode, member.uid, member.gid, member.size), (0o755, 70_000, 9, 3));
    assert_eq!(&bytes[usize::try_from(member.position).unwrap()..][..3], b"abc");
    assert!(reader.next_member().unwrap().is_none());
    assert!(reader.next_member().unwrap().is_none());
    reader.finish().unwrap();
}

#[test]
fn broken_archives_are_refused_by_name() {
    let good = || member(b'0', b"a", b"", b"x");
    let mut bad_sum = good();
    bad_sum[0] = b'b';
    let mut huge = header(b'0', b"a", b"", 0);
    huge[124..136].copy_from_slice(&[0xff; 12]);
    sum(&mut huge);
    let mut owner = header(b'0', b"a", b"", 0);
    owner[108..116].copy_from_slice(b"zzzzzzz\0");
    sum(&mut owner);
    let long_name = vec![b'n'; 5000];
    for (bytes, message) in [
        (b"#!/bin/sh\n".to_vec(), "it is not a tar archive"),
        (vec![b'x'; 2000], "it is not a tar archive"),
        (vec![], "it is not a tar archive"),
        ([good(), bad_sum].concat(), "the header at byte 1024 is broken: its checksum is wrong"),
        (good()[..513].to_vec(), "it ends at byte 513, in the middle of a file"),
        (header(b'0', b"a", b"", 2000).to_vec(), "it ends at byte 512, in the middle of a file"),
        ([good(), vec![0; 100]].concat(), "it ends at byte 1124, in the middle of a file"),
        (
            [good(), vec![0; 512], good()].concat(),
            "the header at byte 1024 is broken: a lone block of zeros stands before it",
        ),
        (huge.to_vec(), "the header at byte 0 is broken: its size is no size"),
        (owner.to_vec(), "the header at byte 0 is broken: a number in it is no number"),
        (
            header(b'L', b"l", b"", 1 << 30).to_vec(),
            "the header at byte 0 is broken: its extended header is longer than 1 MiB",
        ),
        (
            member(b'x', b"p", b"", b"9999 path=x\n"),
            "the header at byte 0 is broken: its PAX records are no records",
        ),
        (member(b'x', b"p", b"", b"0 =\n"), "the header at byte 0 is broken: its PAX records are no records"),
        (
            [pax(&[("size", b"-1")]), good()].concat(),
            "the header at byte 0 is broken: its PAX records are no records",
        ),
        (member(b'S', b"hole", b"", b""), "`hole` is a sparse file, which is not supported"),
        (
            [pax(&[("GNU.sparse.major", b"1")]), good()].concat(),
            "`a` is a sparse file, which is not supported",
        ),
        (member(b'Z', b"z", b"", b""), "the header at byte 0 is broken: its type is unknown"),
        (
            [member(b'L', b"l", b"", &long_name), good()].concat(),
            "a path is longer than 4096 bytes or deeper than any real one: `nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…`",
        ),
    ] {
        assert_eq!(members(&bytes).unwrap_err().to_string(), message);
    }
}

#[test]
fn paths_are_split_and_refused() {
    let split = |path: &'static str| components(path.as_bytes()).map(|parts| parts.concat());
    assert_eq!(split("./a//b/./c/").unwrap(), b"abc");
    assert_eq!(split("/abs").unwrap(), b"abs");
    assert_eq!(split("./").unwrap(), b"");
    for path in ["../a", "a/../b", "/..", "a/.."] {
        assert_eq!(
            split(path).unwrap_err().to_string(),
            format!("the path `{path}` leads out of the archive")
        );
    }
    assert_eq!(lossy(b"a\nb\x1b\xff"), "a\\nb\\u{1b}\u{fffd}");
}

#[test]
fn a_failing_reader_is_not_an_end() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let start = member(b'0', b"a", b"", b"x");
    let error = TarReader::new((&start[..512]).chain(Fails)).finish().unwrap_err();
    assert_eq!(error.to_string(), "cannot read it at byte 512");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the disk is gone");
}
