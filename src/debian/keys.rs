//! OpenPGP keys that sign archives, and whether a signature is by one of them (RFC 9580, sections 5.2 and 5.5).

use std::fmt;

use ring::{digest, signature as verify};

use super::packet::{Bytes, PacketError, packets, unarmored};
use super::signature::{Hash, Signature};

/// The keys of Debian's own archives.
const ARCHIVE_KEYS: &[u8] = include_bytes!("archive-keys.asc");

/// The last 64 bits of a key's fingerprint, by which signatures name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// What is wrong with a file of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Its form.
    #[error("it is no file of OpenPGP keys: {0}")]
    Packets(#[from] PacketError),
    /// It holds no key that can be used.
    #[error(
        "it has no OpenPGP public key of version 4, RSA of 2048 bits or more or Ed25519, that signed itself with \
         SHA-256 or better and is not revoked"
    )]
    None,
}

/// A key that signs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    id: KeyId,
    material: Material,
    /// Seconds since 1970 from which and before which it signs.
    created: u64,
    expires: Option<u64>,
}

/// Keys that are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyring(Vec<Key>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Ed25519([u8; 32]),
}

/// A public key as its packet has it.
struct PublicKey<'a> {
    body: &'a [u8],
    id: KeyId,
    created: u64,
    material: Material,
}

/// Bits that a signing key has among its flags (5.2.3.29).
const SIGNS: u8 = 0x02;

impl Keyring {
    /// The keys with which Debian signs bookworm and trixie, their updates and their security archive.
    pub fn debian() -> Result<Self, KeyError> {
        Self::read(ARCHIVE_KEYS)
    }

    /// The keys of a file, armoured or not; what is revoked, too weak or of another kind is left out.
    pub fn read(file: &[u8]) -> Result<Self, KeyError> {
        let bytes = unarmored(file)?;
        let packets = packets(&bytes)?;
        let starts: Vec<usize> =
            (0..packets.len()).filter(|index| packets[*index].tag == PUBLIC_KEY).collect();
        let mut keys = Vec::new();
        for (at, start) in starts.iter().enumerate() {
            let end = starts.get(at + 1).copied().unwrap_or(packets.len());
            if let Some(primary) = PublicKey::parse(packets[*start].body) {
                let parts: Vec<(u8, &[u8])> =
                    packets[start + 1..end].iter().map(|packet| (packet.tag, packet.body)).collect();
                keys.extend(primary.usable(&parts));
            }
        }
        if keys.is_empty() { Err(KeyError::None) } else { Ok(Self(keys)) }
    }

    /// Trusts these too.
    pub fn add(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// The ids of all keys.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.iter().map(|key| key.id)
    }

    /// What a key says of a signature over `data` (what is hashed before the signature's own fields); `None` where no key
    /// of this ring is meant.
    pub(super) fn judge(&self, signature: &Signature<'_>, data: &[u8]) -> Option<Verdict> {
        let Some(issuer) = signature.issuer() else {
            // Nobody is named: whoever it fits.
            let good = |verdict: &Verdict| matches!(verdict, Verdict::Good { .. });
            return self.0.iter().map(|key| key.judge(signature, data)).find(good);
        };
        self.0.iter().find(|key| key.id == issuer).map(|key| key.judge(signature, data))
    }
}

/// How a signature stands to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Good { key: KeyId },
    Bad { key: KeyId },
    Expired { key: KeyId },
    Weak { key: KeyId },
}

impl Key {
    fn judge(&self, signature: &Signature<'_>, data: &[u8]) -> Verdict {
        let key = self.id;
        if Hash::of(signature.hash).is_none() {
            return Verdict::Weak { key };
        }
        if !signature.understood || !self.material.signed(signature, data) {
            return Verdict::Bad { key };
        }
        let at = signature.created;
        if at < self.created || self.expires.is_some_and(|end| at >= end) {
            return Verdict::Expired { key };
        }
        Verdict::Good { key }
    }
}

/// Types of packets.
const SIGNATURE: u8 = 2;
const PUBLIC_KEY: u8 = 6;
const USER_ID: u8 = 13;
const SUBKEY: u8 = 14;

/// Types of signatures (5.2.1).
const CERTIFICATIONS: std::ops::RangeInclusive<u8> = 0x10..=0x13;
const BINDING: u8 = 0x18;
const BACK: u8 = 0x19;
const DIRECT: u8 = 0x1f;
const REVOKED: u8 = 0x20;
const SUBKEY_REVOKED: u8 = 0x28;

impl<'a> PublicKey<'a> {
    /// A key of version 4 with which signatures are checked here.
    fn parse(body: &'a [u8]) -> Option<Self> {
        let mut rest = Bytes(body);
        if rest.byte()? != 4 {
            return None;
        }
        let created = u64::from(rest.long()?);
        let material = match rest.byte()? {
            1 | 3 => {
                let (modulus, exponent) = (rest.number()?.to_vec(), rest.number()?.to_vec());
                // 2048 bits.
                (modulus.len() >= 256).then_some(Material::Rsa { modulus, exponent })?
            }
            // EdDSA with the curve's identifier, and the point behind a byte that says how it is written.
            22 if rest.byte()? == 9 && rest.take(9)? == ED25519 => match rest.number()?.split_first()? {
                (0x40, point) => Material::Ed25519(point.try_into().ok()?),
                _ => return None,
            },
            27 => Material::Ed25519(rest.take(32)?.try_into().ok()?),
            _ => return None,
        };
        let fingerprint = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &framed(body));
        let id = u64::from_be_bytes(fingerprint.as_ref()[12..].try_into().ok()?);
        Some(Self { body, id: KeyId(id), created, material })
    }

    /// The keys that sign, of this one and its subkeys, as the packets behind it say.
    fn usable(&self, parts: &[(u8, &[u8])]) -> Vec<Key> {
        let own = framed(self.body);
        let signed = |signature: &Signature<'_>, data: &[u8]| {
            Hash::of(signature.hash).is_some()
                && signature.understood
                && self.material.signed(signature, data)
        };
        // The newest signature of itself decides.
        let mut newest: Option<Signature<'_>> = None;
        let mut subject = own.clone();
        let mut subkeys: Vec<(PublicKey<'_>, Option<Signature<'_>>)> = Vec::new();
        let mut in_subkey = false;
        let mut revoked = Vec::new();
        for (tag, body) in parts {
            match *tag {
                USER_ID => {
                    let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
                    subject = [&own[..], &[0xb4], &length, body].concat();
                }
                SUBKEY => {
                    in_subkey = true;
                    let Some(key) = PublicKey::parse(body) else {
                        subject.clear();
                        continue;
                    };
                    subject = [own.clone(), framed(body)].concat();
                    subkeys.push((key, None));
                }
                SIGNATURE if !subject.is_empty() => {
                    let Some(signature) = Signature::parse(body) else { continue };
                    let subject = if matches!(signature.kind, DIRECT | REVOKED) { &own } else { &subject };
                    if !signed(&signature, subject) {
                        continue;
                    }
                    match (signature.kind, subkeys.last_mut()) {
                        (REVOKED, _) => return Vec::new(),
                        (SUBKEY_REVOKED, Some((key, _))) => revoked.push(key.id),
                        (BINDING, Some((key, binding))) if in_subkey => {
                            let is_back = signature
                                .embedded
                                .and_then(Signature::parse)
                                .filter(|back| back.kind == BACK && Hash::of(back.hash).is_some())
                                .is_some_and(|back| key.material.signed(&back, subject));
                            let newer =
                                binding.as_ref().is_none_or(|known| known.created <= signature.created);
                            if is_back && newer {
                                *binding = Some(signature);
                            }
                        }
                        (kind, _)
                            if !in_subkey
                                && (kind == DIRECT || CERTIFICATIONS.contains(&kind))
                                && newest.as_ref().is_none_or(|known| known.created <= signature.created) =>
                        {
                            newest = Some(signature);
                        }
                        _ => {}
                    }
                }
                // Pictures of people, and what else may be said of a key.
                _ => subject.clear(),
            }
        }
        let Some(newest) = newest else { return Vec::new() };
        let end = |key: &PublicKey<'_>, signature: &Signature<'_>| {
            signature.key_lives.filter(|seconds| *seconds > 0).map(|seconds| key.created + u64::from(seconds))
        };
        let own_end = end(self, &newest);
        let mut keys = Vec::new();
        if newest.flags.is_none_or(|flags| flags & SIGNS != 0) {
            let (id, created) = (self.id, self.created);
            keys.push(Key { id, material: self.material.clone(), created, expires: own_end });
        }
        for (key, binding) in subkeys {
            let Some(binding) = binding.filter(|_| !revoked.contains(&key.id)) else { continue };
            if binding.flags.is_some_and(|flags| flags & SIGNS != 0) {
                // It ends with the key that it belongs to.
                let expires = [end(&key, &binding), own_end].into_iter().flatten().min();
                keys.push(Key { id: key.id, material: key.material, created: key.created, expires });
            }
        }
        keys
    }
}

/// A key as it is hashed (5.2.4).
fn framed(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[0x99], &length[..], body].concat()
}

/// The object identifier of the curve (9.2).
const ED25519: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];

impl Material {
    /// Whether the signature is by this key, over `data` and its own fields.
    fn signed(&self, signature: &Signature<'_>, data: &[u8]) -> bool {
        let Some(hash) = Hash::of(signature.hash) else { return false };
        let message = [data, &signature.trailer].concat();
        let mut rest = Bytes(signature.value);
        match (self, signature.algorithm) {
            (Self::Rsa { modulus, exponent }, 1 | 3) => {
                let Some(value) = rest.number().filter(|value| value.len() <= modulus.len()) else {
                    return false;
                };
                let value = [vec![0; modulus.len() - value.len()], value.to_vec()].concat();
                let parameters = match hash {
                    Hash::Sha256 => &verify::RSA_PKCS1_2048_8192_SHA256,
                    Hash::Sha384 => &verify::RSA_PKCS1_2048_8192_SHA384,
                    Hash::Sha512 => &verify::RSA_PKCS1_2048_8192_SHA512,
                };
                let key = verify::RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(parameters, &message, &value).is_ok()
            }
            (Self::Ed25519(point), 22 | 27) => {
                let value = if signature.algorithm == 27 {
                    rest.take(64).map(<[u8]>::to_vec)
                } else {
                    let mut half = || {
                        let half = rest.number().filter(|half| half.len() <= 32)?;
                        Some([vec![0; 32 - half.len()], half.to_vec()].concat())
                    };
                    half().zip(half()).map(|(first, second)| [first, second].concat())
                };
                let Some(value) = value else { return false };
                // What is signed is the digest.
                let message = digest::digest(hash.algorithm(), &message);
                verify::UnparsedPublicKey::new(&verify::ED25519, point)
                    .verify(message.as_ref(), &value)
                    .is_ok()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_debian_are_those_that_are_meant() {
        let ids: Vec<String> = Keyring::debian().unwrap().ids().map(|id| id.to_string()).collect();
        assert_eq!(
            ids,
            [
                // bookworm: archive, security, release
                "B7C5D7D6350947F8",
                "6ED0E7B82643E131",
                "254CF3B5AEC0A8F0",
                "BDE6D2B9216EC7A8",
                "F8D2585B8783D481",
                // trixie
                "225629DF75B188BD",
                "78DBA3BC47EF2265",
                "9904613D4CCE68C6",
                "8E9F831205B4BA95",
                "762F67A0B2C39DE4",
            ]
        );
    }

    #[test]
    fn keys_end_when_they_say() {
        let ring = Keyring::debian().unwrap();
        let end = |id: u64| ring.0.iter().find(|key| key.id.0 == id).unwrap().expires.unwrap();
        // 2031-01-19, 2031-01-21 and 2033-03-22, as gpg says.
        for (id, day) in
            [(0x6ED0_E7B8_2643_E131, 22298), (0xF8D2_585B_8783_D481, 22300), (0x762F_67A0_B2C3_9DE4, 23091)]
        {
            assert_eq!(end(id) / 86400, day, "{id:X}");
        }
    }

    #[test]
    fn a_key_that_did_not_sign_itself_is_none() {
        let bytes = unarmored(ARCHIVE_KEYS).unwrap();
        let first = packets(&bytes).unwrap()[0].body.to_vec();
        let alone = [framed(&first)].concat();
        assert_eq!(Keyring::read(&alone), Err(KeyError::None));
        // Every byte of the parts of the first key that are signed counts.
        let mut known = bytes[..1200].to_vec();
        known[540] ^= 1;
        assert!(Keyring::read(&known).is_err());
        assert_eq!(Keyring::read(b"no key"), Err(KeyError::Packets(PacketError::Short)));
        assert_eq!(Keyring::read(b""), Err(KeyError::None));
    }
}
