/// Raised when [`secret_in`] judges otherwise than before: what was found clean is looked at again.
pub const SECRET_RULES: &str = "1";

/// What of `content` looks like a secret, in words: a private key or the token of a known service. Binary content
/// (a NUL in the first 8000 bytes) is not looked at: programs hold such words as constants.
pub fn secret_in(content: &[u8]) -> Option<&'static str> {
    if content.iter().take(8000).any(|byte| *byte == 0) {
        return None;
    }
    let text = String::from_utf8_lossy(content);
    for line in text.lines() {
        if line.contains("-----BEGIN ") && line.contains("PRIVATE KEY-----") {
            return Some("a private key");
        }
    }
    TOKENS
        .iter()
        .find(|(prefix, length, _)| {
            text.match_indices(prefix).any(|(at, _)| {
                let before = text[..at].chars().next_back();
                let rest = text[at + prefix.len()..].chars().take_while(|c| is_token(*c)).count();
                !before.is_some_and(is_token) && rest >= *length
            })
        })
        .map(|(_, _, words)| *words)
}

fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}

/// Prefix of a token, shortest length of what follows, and its name.
const TOKENS: &[(&str, usize, &str)] = &[
    ("AKIA", 16, "an AWS access key"),
    ("AIza", 35, "a Google API key"),
    ("ghp_", 36, "a GitHub token"),
    ("ghs_", 36, "a GitHub token"),
    ("github_pat_", 50, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("npm_", 36, "an npm token"),
    ("pypi-AgEIcHlwaS5vcmc", 20, "a PyPI token"),
    ("sk_live_", 24, "a Stripe key"),
    ("xoxb-", 24, "a Slack token"),
    ("xoxp-", 24, "a Slack token"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tokens_are_seen_and_words_are_not() {
        // Put together here so that no scanner of this repository stumbles over them.
        let key = ["-----BEGIN RSA PRIVATE", " KEY-----\nMIIE"].concat();
        let token = format!("token = \"{}{}\"", "ghp_", "a".repeat(36));
        let inside = format!("x{}{}", "ghp_", "a".repeat(36));
        for (text, expected) in [
            (key.as_str(), Some("a private key")),
            (token.as_str(), Some("a GitHub token")),
            (inside.as_str(), None),
            ("-----BEGIN CERTIFICATE-----", None),
            ("AKIA is a prefix", None),
            ("ghp_short", None),
            ("", None),
        ] {
            assert_eq!(secret_in(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(secret_in(format!("\0{key}").as_bytes()), None);
    }
}
