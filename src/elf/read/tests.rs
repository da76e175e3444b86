use super::*;
use crate::elf::elf_file::ElfFile;

fn read(bytes: &[u8]) -> Option<Elf> {
    read_elf(&mut &bytes[..]).unwrap()
}

fn whole() -> ElfFile<'static> {
    ElfFile {
        interpreter: Some("/lib64/ld-linux-x86-64.so.2"),
        soname: Some("libx.so.1"),
        needed: &["libc.so.6", "libm.so.6"],
        runpath: Some("$ORIGIN/../lib::/opt/lib"),
        versions_needed: &[("libc.so.6", &["GLIBC_2.34", "?GLIBC_9"]), ("libm.so.6", &["GLIBC_2.29"])],
        versions: &["X_1", "X_2"],
        ..ElfFile::default()
    }
}

fn expected() -> Elf {
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    Elf {
        machine: "x86_64".to_owned(),
        interpreter: Some("/lib64/ld-linux-x86-64.so.2".to_owned()),
        soname: Some("libx.so.1".to_owned()),
        needed: list(&["libc.so.6", "libm.so.6"]),
        runpath: list(&["$ORIGIN/../lib", "/opt/lib"]),
        rpath: Vec::new(),
        versions_needed: vec![pair("libc.so.6", "GLIBC_2.34"), pair("libm.so.6", "GLIBC_2.29")],
        versions: list(&["X_1", "X_2"]),
    }
}

#[test]
fn what_the_loader_reads_is_read() {
    assert_eq!(read(&whole().bytes()), Some(expected()));
    for (bytes, elf) in [
        (ElfFile::default().bytes(), Elf { machine: "x86_64".to_owned(), ..Elf::default() }),
        (
            ElfFile { machine: 183, needed: &["libc.so"], rpath: Some("/a"), ..ElfFile::default() }.bytes(),
            Elf {
                machine: "aarch64".to_owned(),
                needed: vec!["libc.so".to_owned()],
                rpath: vec!["/a".to_owned()],
                ..Elf::default()
            },
        ),
        (
            ElfFile { machine: 8, ..whole() }.bytes(),
            Elf { machine: "machine-8".to_owned(), ..Elf::default() },
        ),
        (
            ElfFile { machine: 243, ..whole() }.bytes(),
            Elf { machine: "riscv64".to_owned(), ..Elf::default() },
        ),
    ] {
        assert_eq!(read(&bytes), Some(elf));
    }
    let mut object = whole().bytes();
    object[16] = 1;
    for other in [&object[..], b"#!/bin/sh\n", b"", b"\x7fELF"] {
        assert_eq!(read(other), None);
    }
}

#[test]
fn names_behind_a_long_program_are_found() {
    let moved = ElfFile { code: Some(6 << 20), ..whole() };
    assert_eq!(read(&moved.bytes()), Some(expected()));
    // The data of the segment between are not kept.
    let segment = |offset, length, written, executed| Segment {
        kind: Kind::Load { written, executed },
        offset,
        address: offset,
        length,
    };
    let huge = 1 << 40;
    let segments =
        [segment(0, 5000, false, false), segment(8192, huge, false, true), segment(huge, huge, true, false)];
    assert_eq!(ranges(&segments, 300), [0..5000, huge..huge + CHANGED_NAMES]);
    assert_eq!(
        ranges(&[segment(0, huge, false, true), segment(huge, huge, false, false)], 300),
        [0..NAMES, huge..huge + TOTAL - NAMES]
    );
}

#[test]
fn broken_files_are_no_elf_files_and_take_no_time() {
    let bytes = whole().bytes();
    for length in 0..bytes.len() {
        let _ = read(&bytes[..length]);
    }
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            let _ = read(&bytes);
        }
    }
    // A list of versions that leads to itself.
    let names: Vec<&str> = vec!["?WEAK"; 3];
    let list = [("libc.so.6", names.as_slice())];
    let mut bytes = ElfFile { needed: &["libc.so.6"], versions_needed: &list, ..ElfFile::default() }.bytes();
    let count = bytes.windows(8).position(|window| window == 0x6fff_ffff_u64.to_le_bytes()).unwrap() + 8;
    bytes[count..count + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(read(&bytes), None);
}

#[test]
fn files_of_this_machine_are_read() {
    // The tests' own program.
    let mut own = std::fs::File::open("/proc/self/exe").unwrap();
    let elf = read_elf(&mut own).unwrap().unwrap();
    let dynamic = elf.interpreter.is_some();
    assert_eq!(dynamic, elf.needed.iter().any(|name| name.starts_with("libc.")), "{elf:?}");
    assert_eq!(elf.machine, std::env::consts::ARCH);
}
