use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Mozilla's roots for TLS servers as one PEM bundle, in an order of its own: by name, then by content. A comment names
/// each, as in other bundles.
pub(super) fn bundle() -> String {
    let mut certificates: Vec<(String, &[u8])> = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|certificate| (subject(certificate).unwrap_or_default(), certificate.as_ref()))
        .collect();
    certificates.sort_unstable();
    certificates.dedup();
    certificates.iter().fold(String::new(), |mut text, (name, certificate)| {
        let _ = writeln!(text, "# {name}");
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(certificate);
        for start in (0..encoded.len()).step_by(64) {
            text.push_str(&encoded[start..encoded.len().min(start + 64)]);
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
        text
    })
}

/// Attributes of a name that tell a root from others (RFC 5280, section 4.1.2.4): common name, else unit, organisation.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const UNIT: &[u8] = &[0x55, 4, 11];
const ORGANISATION: &[u8] = &[0x55, 4, 10];

/// The name that a certificate is known by, with its organisation.
fn subject(certificate: &[u8]) -> Option<String> {
    let (_, certificate, _) = element(certificate)?;
    let (_, fields, _) = element(certificate)?;
    // An explicit version, then serial number, algorithm, issuer, validity.
    let mut rest = fields;
    let (tag, _, after) = element(rest)?;
    if tag == 0xa0 {
        rest = after;
    }
    for _ in 0..4 {
        (_, _, rest) = element(rest)?;
    }
    let (_, mut sets, _) = element(rest)?;
    let (mut common, mut unit, mut organisation) = (None, None, None);
    while let Some((_, set, after)) = element(sets) {
        sets = after;
        let (_, attribute, _) = element(set)?;
        let (_, kind, value) = element(attribute)?;
        let (_, text, _) = element(value)?;
        let text: String = String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).collect();
        match kind {
            COMMON_NAME => common = Some(text),
            UNIT => unit = unit.or(Some(text)),
            ORGANISATION => organisation = Some(text),
            _ => {}
        }
    }
    match (common.or(unit), organisation) {
        (Some(name), Some(organisation)) => Some(format!("{name} ({organisation})")),
        (name, organisation) => name.or(organisation),
    }
}

/// Tag, content and what follows of the DER element at the start of `bytes`.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = digits
            .iter()
            .try_fold(0_usize, |length, digit| length.checked_mul(256)?.checked_add(usize::from(*digit)));
        (length?, rest)
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_root_is_in_the_bundle_once_by_name() {
        let bundle = bundle();
        let names: Vec<_> = bundle.lines().filter_map(|line| line.strip_prefix("# ")).collect();
        assert_eq!(names.len(), webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
        assert!(names.is_sorted() && names.iter().all(|name| !name.is_empty()));
        assert!(names.contains(&"ISRG Root X1 (Internet Security Research Group)"), "{names:?}");
        assert!(names.contains(&"Amazon Root CA 1 (Amazon)"));
        assert!(bundle.lines().all(|line| line.starts_with("# ") || line.len() <= 64));
        let mut decoded: Vec<Vec<u8>> = bundle
            .split("-----BEGIN CERTIFICATE-----\n")
            .skip(1)
            .map(|part| part.split("-----END").next().unwrap().replace('\n', ""))
            .map(|part| STANDARD.decode(part).unwrap())
            .collect();
        let mut roots: Vec<Vec<u8>> =
            webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| root.to_vec()).collect();
        decoded.sort();
        roots.sort();
        assert!(decoded == roots);
    }

    #[test]
    fn broken_der_is_no_name() {
        for bytes in
            [&b""[..], b"\x30", b"\x30\x05\x30", b"\x30\x89\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x30\x00"]
        {
            assert_eq!(subject(bytes), None);
        }
    }
}
