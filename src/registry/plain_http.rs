use std::collections::BTreeSet;

use crate::model::Repository;

/// Registries that are spoken to without TLS: those of this machine, and those that somebody said, each as `host[:port]`.
#[derive(Debug, Clone, Default)]
pub struct PlainHttp(BTreeSet<String>);

impl PlainHttp {
    /// These beside this machine's.
    pub fn new(registries: impl IntoIterator<Item = String>) -> Self {
        Self(registries.into_iter().map(|registry| registry.to_ascii_lowercase()).collect())
    }

    /// How a repository's registry is spoken to: `http` or `https`.
    pub fn scheme(&self, repository: &Repository) -> &'static str {
        let said = || self.0.contains(&repository.authority().to_ascii_lowercase());
        if repository.is_loopback() || said() { "http" } else { "https" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_what_is_said_is_spoken_to_without_tls() {
        let said = PlainHttp::new(["Registry:5000".to_owned(), "10.0.0.2".to_owned()]);
        for (repository, scheme) in [
            ("localhost:5000/x", "http"),
            ("[::1]:5000/x", "http"),
            ("10.0.0.1:5000/x", "https"),
            ("nginx", "https"),
            ("registry:5000/x", "http"),
            ("registry:5001/x", "https"),
            ("10.0.0.2/x", "http"),
            ("10.0.0.2:5000/x", "https"),
        ] {
            assert_eq!(said.scheme(&repository.parse().unwrap()), scheme, "{repository}");
        }
    }
}
