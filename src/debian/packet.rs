//! Packets of OpenPGP (RFC 9580, sections 4 to 6): what keys and signatures are made of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longer files of keys and signatures are refused (bytes).
const LONGEST: usize = 4 << 20;

/// What is wrong with packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// An armour without its end, or with other characters.
    #[error("its armour is broken")]
    Armor,
    /// Lengths that lead out of the file.
    #[error("it ends in the middle of a packet")]
    Short,
    /// Lengths that only streams have.
    #[error("it has packets of unknown length")]
    Partial,
    /// More than any key needs.
    #[error("it is larger than {LONGEST} bytes")]
    Large,
}

/// A packet: its type (RFC 9580, 5) and its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
}

/// Reads from the front of bytes; `None` where there are too few.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn short(&mut self) -> Option<usize> {
        self.take(2).map(|bytes| usize::from(bytes[0]) << 8 | usize::from(bytes[1]))
    }

    pub(super) fn long(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A number, without leading zeros (3.2).
    pub(super) fn number(&mut self) -> Option<&'a [u8]> {
        let bits = self.short()?;
        let bytes = self.take(bits.div_ceil(8))?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(&bytes[zeros..])
    }

    /// The length of a packet in its new form, and of a subpacket (4.2.1, 5.2.3.7).
    fn length(&mut self, subpacket: bool) -> Result<usize, PacketError> {
        let first = usize::from(self.byte().ok_or(PacketError::Short)?);
        match first {
            0..192 => Ok(first),
            255 => self.long().and_then(|long| usize::try_from(long).ok()).ok_or(PacketError::Short),
            224.. if !subpacket => Err(PacketError::Partial),
            _ => {
                let second = usize::from(self.byte().ok_or(PacketError::Short)?);
                Ok(((first - 192) << 8) + second + 192)
            }
        }
    }
}

/// The packets of a file.
pub(super) fn packets(bytes: &[u8]) -> Result<Vec<Packet<'_>>, PacketError> {
    let mut rest = Bytes(bytes);
    let mut found = Vec::new();
    while let Some(first) = rest.byte() {
        let (tag, length) = if first & 0x40 != 0 {
            (first & 0x3f, rest.length(false)?)
        } else {
            let length = match first & 3 {
                0 => rest.byte().map(usize::from),
                1 => rest.short(),
                2 => rest.long().and_then(|long| usize::try_from(long).ok()),
                _ => return Err(PacketError::Partial),
            };
            (first >> 2 & 0xf, length.ok_or(PacketError::Short)?)
        };
        found.push(Packet { tag, body: rest.take(length).ok_or(PacketError::Short)? });
    }
    Ok(found)
}

/// A part of a signature: whether it has to be understood, its type, and its body (5.2.3.7).
pub(super) type Subpacket<'a> = (bool, u8, &'a [u8]);

/// The subpackets of a signature.
pub(super) fn subpackets(bytes: &[u8]) -> Result<Vec<Subpacket<'_>>, PacketError> {
    let mut rest = Bytes(bytes);
    let mut found = Vec::new();
    while !rest.0.is_empty() {
        let length = rest.length(true)?;
        let mut body = Bytes(rest.take(length).ok_or(PacketError::Short)?);
        let kind = body.byte().ok_or(PacketError::Short)?;
        found.push((kind & 0x80 != 0, kind & 0x7f, body.0));
    }
    Ok(found)
}

/// The bytes of a file of OpenPGP packets: those of every armoured block one behind the other, or the file itself where it
/// has no armour (RFC 9580, 6.2). The checksum of an armour is not looked at; signatures say more.
pub(super) fn unarmored(bytes: &[u8]) -> Result<Vec<u8>, PacketError> {
    if bytes.len() > LONGEST {
        return Err(PacketError::Large);
    }
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.contains("-----BEGIN PGP ")) else {
        return Ok(bytes.to_vec());
    };
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        if !line.starts_with("-----BEGIN PGP ") {
            continue;
        }
        // Headers end with an empty line.
        lines.by_ref().find(|line| line.is_empty()).ok_or(PacketError::Armor)?;
        let mut block = String::new();
        loop {
            let line = lines.next().ok_or(PacketError::Armor)?;
            if line.starts_with("-----END PGP ") {
                break;
            }
            // The checksum.
            if !line.starts_with('=') {
                block.push_str(line);
            }
        }
        found.extend(STANDARD.decode(block).map_err(|_| PacketError::Armor)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_in_all_their_forms() {
        let long = [vec![0xc2, 0xc0, 0x01], vec![7; 193]].concat();
        let longer = [vec![0xc2, 0xff, 0, 0, 1, 0], vec![7; 256]].concat();
        let old = [vec![0x89, 1, 0], vec![7; 256]].concat();
        for (bytes, expected) in [
            (&[0xc2, 2, 1, 2][..], Ok((2, 2))),
            (&long, Ok((2, 193))),
            (&longer, Ok((2, 256))),
            (&[0x88, 1, 9], Ok((2, 1))),
            (&old, Ok((2, 256))),
            (&[0x9a, 0, 0, 0, 1, 9], Ok((6, 1))),
            (&[0xc2, 3, 1, 2], Err(PacketError::Short)),
            (&[0xc2], Err(PacketError::Short)),
            (&[0xc2, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Err(PacketError::Short)),
            (&[0xc2, 0xe1, 1, 2], Err(PacketError::Partial)),
            (&[0x8b, 1, 2], Err(PacketError::Partial)),
        ] {
            let found = packets(bytes).map(|found| (found[0].tag, found[0].body.len()));
            assert_eq!(found, expected, "{:?}", &bytes[..bytes.len().min(8)]);
        }
    }

    #[test]
    fn armour_of_any_number_of_blocks() {
        let block = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\nAQID\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n";
        let two = format!("# first\n{block}\nsecond\n{}", block.replace('\n', "\r\n"));
        assert_eq!(unarmored(two.as_bytes()).unwrap(), [1, 2, 3, 1, 2, 3]);
        assert_eq!(unarmored(&[0x99, 0]).unwrap(), [0x99, 0]);
        for broken in [
            "-----BEGIN PGP X",
            "-----BEGIN PGP X-----\n\nAQID\n",
            "-----BEGIN PGP X-----\n\n*\n-----END PGP X",
        ] {
            assert_eq!(unarmored(broken.as_bytes()), Err(PacketError::Armor), "{broken}");
        }
    }
}
