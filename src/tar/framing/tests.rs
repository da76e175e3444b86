use std::io::Read as _;

use super::*;
use crate::model::Digest;

/// Every compression of format 1 that has a golden digest.
const ALL: [Compression; 5] =
    [Compression::None, Compression::GZIP, Compression::Gzip(9), Compression::ZSTD, Compression::Zstd(19)];

/// Bytes that compress a little, the same on every machine.
fn sample(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"abcdefghijklmnop"[(state >> 28) as usize]
    })
    .take(length)
    .collect()
}

fn unpack(compression: Compression, packed: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match compression {
        Compression::None => out.extend_from_slice(packed),
        Compression::Gzip(_) => {
            let _ = flate2::read::MultiGzDecoder::new(packed).read_to_end(&mut out).unwrap();
        }
        Compression::Zstd(_) => out = zstd::decode_all(packed).unwrap(),
    }
    out
}

/// Golden: a change of one of these digests is another format and needs `format: 2`, with this one beside it.
#[test]
fn bytes_are_fixed() {
    let expected = [
        "d70bce7fded8ceed4de2730ee9ffecdb6cd149ee0be0fd5d722c46a5d89f34b7",
        "8a224fcbf17339d055a4ef700c9620f7293d27c3634c174ab41bea58cc40b94c",
        "a5e4b6f3be072c3e2b771a7ab74d86c950ce4ed83ef9e7e3d20253c0a6c4c3c1",
        "929891cb74d9e1c601a82046bba60200953da1ec9fabb2b894b31c1b76d6ad8f",
        "487568cd783e198081e7207d4021249b65c905d9c0579091c865e5c955f20820",
    ];
    let found = ALL.map(|compression| {
        let packed = [1_usize, 300_000, 1_048_576 + 512]
            .map(|length| Framing::new(compression).compress(&sample(length)).unwrap())
            .concat();
        Digest::of(&packed).hex()
    });
    assert_eq!(found, expected);
}

/// The versions in the names are those that are linked. Others make other bytes: see `bytes_are_fixed`.
#[test]
fn the_compressors_are_those_of_the_format() {
    let lock = include_str!("../../../Cargo.lock");
    for compression in [Compression::GZIP, Compression::ZSTD] {
        let (name, version) = compression.compressor().split_once(' ').unwrap();
        let row = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&row), "Cargo.lock has no {row}");
        assert_eq!(lock.matches(&format!("name = \"{name}\"\n")).count(), 1);
    }
    // Not a library of the system, which zstd-sys takes where it is told to.
    assert_eq!(zstd::zstd_safe::version_string(), "1.5.7");
}

#[test]
fn groups_one_after_another_are_one_content() {
    for compression in ALL {
        let framing = Framing::new(compression);
        let groups = [sample(0), sample(1), sample(100_000), vec![0; 2 << 20]];
        let packed: Vec<u8> = groups.iter().flat_map(|group| framing.compress(group).unwrap()).collect();
        assert!(unpack(compression, &packed) == groups.concat(), "{compression}");
    }
}

#[test]
fn what_came_before_changes_nothing() {
    for compression in ALL {
        let framing = Framing::new(compression);
        let first = framing.compress(&sample(200_000)).unwrap();
        framing.compress(&vec![7; 2 << 20]).unwrap();
        assert!(framing.compress(&sample(200_000)).unwrap() == first, "{compression}");
    }
}

#[test]
fn headers_say_nothing_of_this_machine() {
    // RFC 1952: magic, deflate, no flags, no time, how hard was tried, unknown system.
    for (level, tried) in [(1, 4), (6, 0), (9, 2), (12, 2)] {
        let packed = Framing::new(Compression::Gzip(level)).compress(b"hello").unwrap();
        assert_eq!(packed[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, tried, 0xff], "level {level}");
    }
    // RFC 8878: magic; one segment, a checksum, one byte of length, no dictionary.
    let packed = Framing::new(Compression::ZSTD).compress(b"hello").unwrap();
    assert_eq!(packed[..6], [0x28, 0xb5, 0x2f, 0xfd, 0b0010_0100, 5]);
}

#[test]
fn incompressible_bytes_are_within_the_bound() {
    let mut state = 7_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(1_000_001)
    .collect();
    for compression in ALL {
        for length in [0, 1, 4_999, 5_001, 1_000_001] {
            let framing = Framing::new(compression);
            let packed = framing.compress(&noise[..length]).unwrap();
            assert!(packed.len() <= framing.bound(length), "{compression}: {length} became {}", packed.len());
            assert!(unpack(compression, &packed) == noise[..length]);
        }
    }
}

#[test]
fn a_group_holds_its_own_content_only() {
    for compression in ALL {
        let framing = Framing::new(compression);
        let plain = sample(5000);
        let packed = framing.compress(&plain).unwrap();
        assert!(framing.holds(&packed, &plain), "{compression}");
        for other in [&plain[..4999], &sample(5001), b"", &vec![b'a'; 5000]] {
            assert!(!framing.holds(&packed, other), "{compression}, {} bytes", other.len());
        }
        assert!(!framing.holds(&packed[..packed.len() - 1], &plain), "{compression}, a byte less");
        assert!(!framing.holds(b"", &plain), "{compression}, nothing");
    }
}
