/// Whether a file of this name holds secrets by convention (design §4, "Secret files"). Judged by name alone: what a
/// file with another name holds is found by content where layers are checked.
pub(super) fn is_secret(name: &str) -> bool {
    match name {
        ".env" | ".npmrc" | ".netrc" | ".pypirc" | ".git-credentials" | "privkey.pem" | "id_rsa"
        | "id_dsa" | "id_ecdsa" | "id_ed25519" | "id_ecdsa_sk" | "id_ed25519_sk" => true,
        ".env.example" | ".env.sample" | ".env.template" => false,
        _ => name.starts_with(".env."),
    }
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn names_are_judged() {
        for name in [
            ".env",
            ".env.local",
            ".env.production",
            ".npmrc",
            ".netrc",
            "id_rsa",
            "id_ed25519",
            "privkey.pem",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in
            [".env.example", ".env.sample", ".envrc", "env", "id_rsa.pub", "ca.pem", "npmrc", ".environment"]
        {
            assert!(!is_secret(name), "{name}");
        }
    }
}
