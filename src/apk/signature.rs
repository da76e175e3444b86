use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
    RsaParameters, UnparsedPublicKey,
};

/// A public key that repositories are signed with, as `/etc/apk/keys` has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The name of its file, by which signatures name it.
    pub name: String,
    /// `RSAPublicKey` (RFC 8017, A.1.1).
    rsa: Vec<u8>,
}

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is no RSA public key in PEM form (`-----BEGIN PUBLIC KEY-----`)")]
pub struct KeyError {
    /// The file's name.
    pub name: String,
}

/// The OID `rsaEncryption` with its empty parameters (RFC 8017, A.1).
const RSA_ENCRYPTION: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

impl PublicKey {
    /// Reads a key out of the text of its file.
    pub fn parse(name: &str, pem: &str) -> Result<Self, KeyError> {
        let rsa = spki(pem).ok_or_else(|| KeyError { name: name.to_owned() })?;
        Ok(Self { name: name.to_owned(), rsa })
    }

    fn verifies(&self, algorithm: &'static RsaParameters, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(algorithm, &self.rsa).verify(message, signature).is_ok()
    }
}

/// `RSAPublicKey` out of a `SubjectPublicKeyInfo` in PEM (RFC 7468, 13; RFC 5280, 4.1).
fn spki(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (body, _) = rest.split_once("-----END PUBLIC KEY-----")?;
    let der = STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()?;
    let (info, rest) = element(0x30, &der)?;
    let bits = info.strip_prefix(&RSA_ENCRYPTION)?;
    let (bits, after) = element(0x03, bits)?;
    let (unused, key) = bits.split_first()?;
    (rest.is_empty() && after.is_empty() && *unused == 0).then(|| key.to_vec())
}

/// The content of a DER element of this kind, and what stands behind it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, content) = match *der.strip_prefix(&[tag])? {
        [0x81, length, ..] => (usize::from(length), &der[3..]),
        [0x82, high, low, ..] => (usize::from(high) << 8 | usize::from(low), &der[4..]),
        [short, ..] if short < 0x80 => (usize::from(short), &der[2..]),
        _ => return None,
    };
    content.split_at_checked(length)
}

/// One signature: which key made it, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) key: String,
    pub(super) algorithm: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// What is known of a file's signatures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("it is not signed")]
    Unsigned,
    /// None by a key that is trusted.
    #[error("it is signed with {keys}, which is no trusted key")]
    Untrusted {
        /// The names of the keys.
        keys: String,
    },
    /// One by a trusted key that does not fit.
    #[error("its signature with {key} is wrong: it was changed after it was signed")]
    Wrong {
        /// The key's name.
        key: String,
    },
}

impl Signature {
    /// The signature in a member of the first segment, `.SIGN.RSA.<key>`, `.SIGN.RSA256.<key>`, `.SIGN.RSA512.<key>`.
    pub(super) fn of(name: &str, bytes: Vec<u8>) -> Option<Self> {
        let rest = name.strip_prefix(".SIGN.")?;
        let (algorithm, key) = rest.split_once('.')?;
        let algorithm = ["RSA", "RSA256", "RSA512"].into_iter().find(|known| *known == algorithm)?;
        Some(Self { key: key.to_owned(), algorithm, bytes })
    }

    fn parameters(&self) -> &'static RsaParameters {
        match self.algorithm {
            "RSA512" => &RSA_PKCS1_2048_8192_SHA512,
            "RSA256" => &RSA_PKCS1_2048_8192_SHA256,
            _ => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        }
    }
}

/// Whether one of `keys` signed `message`.
pub(super) fn verify(
    signatures: &[Signature],
    message: &[u8],
    keys: &[PublicKey],
) -> Result<(), SignatureError> {
    let mut wrong = None;
    for signature in signatures {
        for key in keys.iter().filter(|key| key.name == signature.key) {
            if key.verifies(signature.parameters(), message, &signature.bytes) {
                return Ok(());
            }
            wrong = Some(key.name.clone());
        }
    }
    if let Some(key) = wrong {
        return Err(SignatureError::Wrong { key });
    }
    if signatures.is_empty() {
        return Err(SignatureError::Unsigned);
    }
    let keys: Vec<&str> = signatures.iter().map(|signature| signature.key.as_str()).collect();
    Err(SignatureError::Untrusted { keys: keys.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl genrsa 2048`; the private half is nowhere.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAqdlYCXhQqBhxPr09t5Bw\n\
        kvtmXr9+mfyiafglXIrQUZNICyeusMwUehBMZp+ywjbSBHjkcXrfJ/t54g+wgDWU\n\
        LInFCk1s+fHYKKs0FUT1yLuuu7lp2JTk3uvkiPvXER8uyucEuPZR1kZ3mz/m4BQo\n\
        Az8czJj2rrgtSnO+TD/CcE+pPhs3tFGwbt31PGHWqEFyiTR3s3gOTP/TM6McxcAH\n\
        TYvLpEev0/YC63+M64qyCNqeqmF7JMcn6e5GPQ94sxZ8/keHYgGQDHONDZmsCpED\n\
        +qRaq+iwwpN+82OAFkCVxrXxpODohbg2xo2eair7sSE/+p82LNmZhB9/bsSEB0vv\n\
        jQIDAQAB\n\
        -----END PUBLIC KEY-----\n";
    /// By `openssl dgst -sign` over `signed text` and a newline.
    const SIGNED: [(&str, &str); 3] = [
        (
            "RSA",
            "oBxrzQuOiyRCMqsZOrwsatMZdA1UvEFnk3oeDFCCOPEqKWef1h9Tq8eqtyVJCZxTgmMW/kh2CpfHfHhx38r+vFf/kZbqWMHTmB7asy6p0OhZy2Xhj8rIfmX7vr00YbYHCyZXAxntkRlSxlRRmftKQQLMp1QhxlBn4PNtXeXUKfWUwmdfR3lhbak0+Lf84d4piCf1MLrMVgTk5e7Yuo4SJxgX1ouPNA4uJaw1lEnfLi0vCoC9RuqhqGEuvuxsDSNhjqlD4TLOd2jULNyTUL6//datlLQRy3FhFSvGdD8tdfBsqXFOrAr8zXjzQCCL0qzkpUNjJCripZtz69wWjbC5tQ==",
        ),
        (
            "RSA256",
            "lptam5hMhJzNTRQ5WIEQawYowWNeLhHGe+UXtrpLVt+jGa+VtbKkg0tFEOaI492PvB6MtvLvM2c+Ew6omIp0ERRCYCtyC2Ebltrq5Zg1bUo9vY91AgjuRRIiCoXow+MSbe/uZoXL62cFAA090f2V5zReTfvhweASaDsmIZ1t2mKNUebepcV7TU7CNtd958yoLA3v7wGI1vebx6zWf0yQYJIMQZFsb0jt4d2QFkCtlBV6aRjPViN+QChZwSEnmahPVsecM7BTDnZmn0KOvhGVWx5Hhlmk1vx0wsDMbcMNvGVLOV9SyJaYU8XABADwsOG3+g0WcjhmD55Rl9so4lLZ4g==",
        ),
        (
            "RSA512",
            "bNI1MdNpG7PVQWAhIkIN4rTpqKUxxIkMXv4ut+eteKNyjwzW9k+lUAkd3AzxZg1ZUm6o1U2cCd8E9tCFyXu+YMc7mzFVZAGcuUuMcO+fzn6nuYwdpY2umas3Yrrbbo9Mk5niEcSuuQMvaH0PfKhuY5DMH5W3v5dPcvcawwj0En1xwkYN+xI02RdwNgop64KD2movd6OQaC6+8tzlJ4qiHEsxOlNR1CfCcZaAaSTOTyreLyqtTQBPfphJ2jQKfAPq4B0GE1gE+IkFU3c2phj3eqQIw2bSjh+xqJcue9ubegwGruZiTwCA+NW/1RU+Tmvimlt1mlDlXh+lF94ampsbRA==",
        ),
    ];

    fn signature(algorithm: &str, text: &str) -> Signature {
        Signature::of(&format!(".SIGN.{algorithm}.a.rsa.pub"), STANDARD.decode(text).unwrap()).unwrap()
    }

    #[test]
    fn what_a_trusted_key_signed_is_believed() {
        let keys = [PublicKey::parse("a.rsa.pub", KEY).unwrap()];
        for (algorithm, text) in SIGNED {
            let signed = [signature(algorithm, text)];
            assert_eq!(verify(&signed, b"signed text\n", &keys), Ok(()), "{algorithm}");
            let wrong = verify(&signed, b"other text\n", &keys).unwrap_err().to_string();
            assert_eq!(wrong, "its signature with a.rsa.pub is wrong: it was changed after it was signed");
            let untrusted = verify(&signed, b"signed text\n", &[]).unwrap_err().to_string();
            assert_eq!(untrusted, "it is signed with a.rsa.pub, which is no trusted key");
        }
        let mixed = [signature("RSA256", SIGNED[0].1)];
        assert!(verify(&mixed, b"signed text\n", &keys).is_err(), "another algorithm");
        assert_eq!(verify(&[], b"x", &keys).unwrap_err().to_string(), "it is not signed");
        assert_eq!(Signature::of(".SIGN.DSA.x", Vec::new()), None);
        assert_eq!(Signature::of(".PKGINFO", Vec::new()), None);
    }

    #[test]
    fn keys_that_are_none() {
        let cut: String = KEY.replace("IDAQAB", "IDAQA=");
        for text in ["", "-----BEGIN PUBLIC KEY-----\nQQ==\n-----END PUBLIC KEY-----", &cut, &KEY[..200]] {
            let said = PublicKey::parse("k.pub", text).unwrap_err().to_string();
            assert_eq!(said, "k.pub is no RSA public key in PEM form (`-----BEGIN PUBLIC KEY-----`)");
        }
    }
}
