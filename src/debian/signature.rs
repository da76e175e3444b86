//! Signatures of OpenPGP, and texts that are signed in the clear (RFC 9580, sections 5.2 and 7).

use ring::digest;

use super::keys::{KeyId, Keyring, Verdict};
use super::packet::{Bytes, PacketError, packets, subpackets, unarmored};

/// Digests that are strong enough to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// By its number (9.5); `None` for MD5, SHA-1 and other weak or rare ones.
    pub(super) fn of(number: u8) -> Option<Self> {
        match number {
            8 => Some(Self::Sha256),
            9 => Some(Self::Sha384),
            10 => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(super) fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// A signature of version 4.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    pub(super) kind: u8,
    pub(super) algorithm: u8,
    pub(super) hash: u8,
    /// Seconds since 1970.
    pub(super) created: u64,
    /// Seconds after [`Self::created`] for which it holds.
    lives: Option<u32>,
    /// Seconds for which the key that it is about lives.
    pub(super) key_lives: Option<u32>,
    pub(super) flags: Option<u8>,
    /// The signature of a subkey about its key.
    pub(super) embedded: Option<&'a [u8]>,
    issuer: Option<KeyId>,
    /// Whether it demands nothing that is not known here.
    pub(super) understood: bool,
    /// What is hashed behind the data.
    pub(super) trailer: Vec<u8>,
    /// The numbers of the algorithm.
    pub(super) value: &'a [u8],
}

impl<'a> Signature<'a> {
    /// `None` for other versions, and for what is none.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut rest = Bytes(body);
        if rest.byte()? != 4 {
            return None;
        }
        let (kind, algorithm, hash) = (rest.byte()?, rest.byte()?, rest.byte()?);
        let length = rest.short()?;
        let hashed = rest.take(length)?;
        let signed = &body[..6 + length];
        let length = rest.short()?;
        let unhashed = rest.take(length)?;
        rest.take(2)?;
        let mut signature = Self {
            kind,
            algorithm,
            hash,
            created: 0,
            lives: None,
            key_lives: None,
            flags: None,
            embedded: None,
            issuer: None,
            understood: true,
            trailer: [signed, &[4, 0xff], &u32::try_from(signed.len()).ok()?.to_be_bytes()].concat(),
            value: rest.0,
        };
        for (hashed, (critical, kind, body)) in [(true, hashed), (false, unhashed)]
            .into_iter()
            .map(|(hashed, bytes)| subpackets(bytes).ok().map(|found| (hashed, found)))
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .flat_map(|(hashed, found)| found.into_iter().map(move |packet| (hashed, packet)))
        {
            let number = || Bytes(body).long();
            match kind {
                // Who signed is looked for among the known keys, so that it need not be signed itself; nor need the
                // signature of a subkey, which says for itself that it is right.
                16 => signature.issuer = signature.issuer.or(last_eight(body)),
                33 if body.first() == Some(&4) => signature.issuer = last_eight(body),
                32 => signature.embedded = Some(body),
                _ if !hashed => {}
                2 => signature.created = u64::from(number()?),
                3 => signature.lives = number(),
                9 => signature.key_lives = number(),
                27 => signature.flags = Some(body.first().copied().unwrap_or_default()),
                4 | 5 | 7 | 11 | 12 | 21..=26 | 28..=31 | 33..=35 | 39 => {}
                _ => signature.understood &= !critical,
            }
        }
        Some(signature)
    }

    /// Who signed, as it says; nobody may have said it.
    pub(super) fn issuer(&self) -> Option<KeyId> {
        self.issuer
    }

    fn has_ended(&self, now: u64) -> bool {
        self.lives.is_some_and(|seconds| seconds > 0 && self.created + u64::from(seconds) <= now)
    }
}

fn last_eight(body: &[u8]) -> Option<KeyId> {
    let (_, last) = body.split_last_chunk::<8>()?;
    Some(KeyId(u64::from_be_bytes(*last)))
}

/// Why a text is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("it is not signed")]
    Unsigned,
    /// It is signed, and there is more than what is signed.
    #[error("it has text outside of the part that is signed")]
    Outside,
    /// A form that is none.
    #[error("its signature cannot be read: {0}")]
    Broken(#[from] PacketError),
    /// No key is known.
    #[error("it is signed by {}, and known are {}", list(signed), list(known))]
    Unknown {
        /// Who signed.
        signed: Vec<KeyId>,
        /// Who may.
        known: Vec<KeyId>,
    },
    /// The text is not what was signed.
    #[error("the signature by {0} does not fit it: it was changed after it was signed")]
    Bad(KeyId),
    /// A digest that can be forged.
    #[error("the signature by {0} is over a weak digest (MD5, SHA-1 or the like)")]
    Weak(KeyId),
    /// The key was not valid at that time.
    #[error("the signature by {0} was made when that key was not valid")]
    Expired(KeyId),
    /// The signature was for a time that is over.
    #[error("the signature by {0} is no longer valid")]
    Ended(KeyId),
}

/// Keys that are named in one message.
const NAMED: usize = 4;

fn list(ids: &[KeyId]) -> String {
    match ids {
        [] => "nobody".to_owned(),
        ids => {
            let named = ids.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            match ids.len().saturating_sub(NAMED) {
                0 => named,
                more => format!("{named} and {more} more"),
            }
        }
    }
}

const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// A signature of a text whose line ends do not matter (5.2.1).
const TEXT: u8 = 0x01;

/// The text of a clear-signed file, that and nothing else, if one of the keys signed it. `now` in seconds since 1970.
pub fn signed_text(file: &[u8], keys: &Keyring, now: u64) -> Result<String, SignatureError> {
    let file = std::str::from_utf8(file).map_err(|_| SignatureError::Unsigned)?;
    let mut lines = file.lines().map(|line| line.trim_end_matches([' ', '\t', '\r']));
    if lines.next() != Some(SIGNED) {
        return Err(if file.contains(SIGNED) { SignatureError::Outside } else { SignatureError::Unsigned });
    }
    for header in lines.by_ref() {
        match header {
            "" => break,
            // Nothing else may stand there, or it would look like a part of the text.
            header if header.starts_with("Hash:") => {}
            _ => return Err(SignatureError::Outside),
        }
    }
    let mut text = Vec::new();
    loop {
        match lines.next() {
            None => return Err(SignatureError::Unsigned),
            Some(SIGNATURE) => break,
            Some(line) => match line.strip_prefix("- ") {
                Some(escaped) => text.push(escaped),
                None if line.starts_with('-') => return Err(SignatureError::Broken(PacketError::Armor)),
                None => text.push(line),
            },
        }
    }
    let mut armor = format!("{SIGNATURE}\n");
    loop {
        let line = lines.next().ok_or(SignatureError::Broken(PacketError::Armor))?;
        armor = armor + line + "\n";
        if line == END {
            break;
        }
    }
    if lines.any(|line| !line.is_empty()) {
        return Err(SignatureError::Outside);
    }
    let bytes = unarmored(armor.as_bytes())?;
    check(
        &packets(&bytes)?.iter().map(|packet| packet.body).collect::<Vec<_>>(),
        &text.join("\r\n"),
        keys,
        now,
    )?;
    Ok(text.join("\n") + "\n")
}

/// One good signature is enough: archives sign with the keys of two releases. Otherwise what says most is told.
fn check(signatures: &[&[u8]], data: &str, keys: &Keyring, now: u64) -> Result<(), SignatureError> {
    let mut worst = None;
    let mut signed = Vec::new();
    for signature in
        signatures.iter().filter_map(|body| Signature::parse(body)).filter(|found| found.kind == TEXT)
    {
        signed.extend(signature.issuer());
        match keys.judge(&signature, data.as_bytes()) {
            Some(Verdict::Good { key }) if signature.has_ended(now) => {
                worst = Some(SignatureError::Ended(key));
            }
            Some(Verdict::Good { .. }) => return Ok(()),
            Some(Verdict::Bad { key }) => worst = Some(SignatureError::Bad(key)),
            Some(Verdict::Expired { key }) => worst = Some(SignatureError::Expired(key)),
            Some(Verdict::Weak { key }) => worst = Some(SignatureError::Weak(key)),
            None => {}
        }
    }
    if signatures.is_empty() {
        return Err(SignatureError::Unsigned);
    }
    Err(worst.unwrap_or_else(|| SignatureError::Unknown { signed, known: keys.ids().collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    /// 2026-11-21
    const NOW: u64 = 1_795_285_000;

    fn sample(name: &str) -> Vec<u8> {
        let path = format!("{}/fixtures/openpgp/{name}", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        if !name.ends_with(".xz") {
            return bytes;
        }
        let mut plain = Vec::new();
        lzma_rust2::XzReader::new(&bytes[..], true).read_to_end(&mut plain).unwrap();
        plain
    }

    fn read(text: &[u8], key: &str) -> Result<String, String> {
        let keys = Keyring::read(&sample(key)).map_err(|error| error.to_string())?;
        signed_text(text, &keys, NOW).map_err(|error| error.to_string())
    }

    #[test]
    fn texts_are_judged_as_gpg_judges_them() {
        const TEXT: &str = "Origin: Test\n- dashed\n\n-----BEGIN\nlast\n";
        let unknown = "it is signed by 33BC71FE99CDD364, and known are ";
        for (text, key, expected) in [
            ("rsa.txt", "rsa.asc", Ok(TEXT)),
            ("ed25519.txt", "ed25519.asc", Ok(TEXT)),
            ("two.txt", "ed25519.asc", Ok(TEXT)),
            ("two.txt", "rsa.asc", Ok(TEXT)),
            ("then-valid.txt", "expired.pgp", Ok(TEXT)),
            ("ed25519.txt", "rsa.asc", Err(unknown)),
            ("sha1.txt", "rsa.asc", Err("is over a weak digest (MD5, SHA-1 or the like)")),
            ("expired.txt", "expired.pgp", Err("was made when that key was not valid")),
            (
                "small.txt",
                "small.asc",
                Err("it has no OpenPGP public key of version 4, RSA of 2048 bits or more"),
            ),
            ("revoked.txt", "revoked.asc", Err("and is not revoked")),
        ] {
            match (read(&sample(text), key), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                (found, _) => panic!("{text} with {key}: {found:?}"),
            }
        }
        assert_eq!(read(&sample("ending.txt"), "ed25519.asc").unwrap(), TEXT);
        let keys = Keyring::read(&sample("ed25519.asc")).unwrap();
        let later = signed_text(&sample("ending.txt"), &keys, NOW + 2 * 86400).unwrap_err();
        assert!(later.to_string().ends_with("is no longer valid"), "{later}");
    }

    #[test]
    fn what_is_changed_is_not_believed() {
        let good = String::from_utf8(sample("ed25519.txt")).unwrap();
        let changed = "does not fit it: it was changed after it was signed";
        for (text, expected) in [
            (good.replace("Test", "Best"), changed),
            (good.replace("last", "last\nmore"), changed),
            (good.replace("- - dashed", "- - dashed "), "Ok"),
            (good.replace('\n', "\r\n"), "Ok"),
            (good.replace("Hash: SHA256\n", ""), "Ok"),
            (good.clone() + "\n\n", "Ok"),
            (
                good.replace("Hash: SHA256", "Hash: SHA256\nOrigin: x"),
                "it has text outside of the part that is signed",
            ),
            (format!("Origin: x\n{good}"), "it has text outside of the part that is signed"),
            (format!("{good}\nOrigin: x"), "it has text outside of the part that is signed"),
            (format!("{good}\n{good}"), "it has text outside of the part that is signed"),
            (good.replace("- - dashed", "-dashed"), "its signature cannot be read: its armour is broken"),
            (
                good[..good.find("iIUE").unwrap()].to_owned(),
                "its signature cannot be read: its armour is broken",
            ),
            (good[..good.find("last").unwrap()].to_owned(), "it is not signed"),
            (good.replace("iIUEARYI", "iIUDARYI"), "it is signed by nobody, and known are 33BC71FE99CDD364"),
            ("Origin: Test\n".to_owned(), "it is not signed"),
            (String::new(), "it is not signed"),
        ] {
            let found = read(text.as_bytes(), "ed25519.asc").map_or_else(|error| error, |_| "Ok".to_owned());
            assert!(found.ends_with(expected), "{found}\n{text}");
        }
        // Every bit of the signature counts but those that say who signed, and the head of its hash.
        let mut believed = 0;
        let start = good.find("iIUE").unwrap();
        let armor: Vec<char> = good[start..].chars().collect();
        for index in (0..armor.len()).filter(|index| armor[*index].is_ascii_alphanumeric()) {
            let mut other = armor.clone();
            other[index] = if armor[index] == 'A' { 'B' } else { 'A' };
            let text = format!("{}{}", &good[..start], other.iter().collect::<String>());
            believed += usize::from(read(text.as_bytes(), "ed25519.asc").is_ok());
        }
        assert!(believed < 24, "{believed} of {}", armor.len());
    }

    #[test]
    fn the_archives_of_debian() {
        let keys = Keyring::debian().unwrap();
        for (name, codename) in [("trixie", "trixie"), ("bookworm-security", "bookworm-security")] {
            let file = sample(&format!("{name}.InRelease.xz"));
            let text = signed_text(&file, &keys, NOW).unwrap();
            let release = crate::debian::Release::parse(&text).unwrap();
            assert!(release.is_of(codename) && release.by_hash && !release.separate_all);
            assert!(release.files.contains_key("main/binary-arm64/Packages.xz"));
            let mut changed = file.clone();
            let at = changed.windows(5).position(|bytes| bytes == b"Date:").unwrap();
            changed[at + 20] ^= 1;
            assert!(matches!(signed_text(&changed, &keys, NOW), Err(SignatureError::Bad(_))));
        }
    }

    #[test]
    fn each_signature_of_a_release_is_enough() {
        // The keys of bookworm, of trixie, and Ed25519 ones of the release team.
        let text = sample("trixie.InRelease.xz");
        let all = String::from_utf8(include_bytes!("archive-keys.asc").to_vec()).unwrap();
        let blocks: Vec<&str> = all.split_inclusive("-----END PGP PUBLIC KEY BLOCK-----\n").collect();
        let judged = blocks[..6].iter().map(|block| {
            let keys = Keyring::read(block.as_bytes()).unwrap();
            signed_text(&text, &keys, NOW).is_ok()
        });
        // Not those of the security archive, nor the one of bookworm's release team.
        assert_eq!(judged.collect::<Vec<_>>(), [true, false, false, true, false, true]);
    }
}
