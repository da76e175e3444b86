use crate::model::{ContentDigest, Digest};

/// What one image wants of Alpine, with all that decides which packages these are but the state of the repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApkRequest {
    /// apk's word.
    pub(super) architecture: String,
    /// In the order of the names.
    pub(super) install: Vec<String>,
    /// Location and the key's digest of each that the spec adds.
    pub(super) repositories: Vec<(String, Option<ContentDigest>)>,
    /// What stands for the base.
    pub(super) base: String,
}

impl ApkRequest {
    /// The name of its row: `apk/x86_64/1a2b3c4d5e6f`.
    pub(super) fn name(&self) -> String {
        let digest = Digest::of(format!("imgpack apk 1\n{self:?}").as_bytes()).hex();
        format!("apk/{}/{}", self.architecture, &digest[..12])
    }

    /// The name of the row of a package: `apk/x86_64/curl=8.9.1-r2`.
    pub(super) fn package_row(&self, word: &str) -> String {
        format!("apk/{}/{word}", self.architecture)
    }

    /// The same for people, in one line.
    pub(super) fn words(&self) -> String {
        let mut words = self.install.join(" ");
        if !self.repositories.is_empty() {
            let from: Vec<&str> = self.repositories.iter().map(|(location, _)| location.as_str()).collect();
            words.push_str(&format!(", also from {}", from.join(" ")));
        }
        words.push_str(&format!(", on a base with {}", self.base));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_decides_is_in_the_name() {
        let request = ApkRequest {
            architecture: "x86_64".to_owned(),
            install: vec!["curl".to_owned()],
            repositories: Vec::new(),
            base: "14 packages (1a2b)".to_owned(),
        };
        let others = [
            ApkRequest { architecture: "aarch64".to_owned(), ..request.clone() },
            ApkRequest { install: vec!["curl=1".to_owned()], ..request.clone() },
            ApkRequest { repositories: vec![("apk".to_owned(), None)], ..request.clone() },
            ApkRequest {
                repositories: vec![("apk".to_owned(), Some(ContentDigest::of(b"k")))],
                ..request.clone()
            },
            ApkRequest { base: "15 packages (1a2b)".to_owned(), ..request.clone() },
        ];
        let mut names: Vec<String> = others.iter().chain([&request]).map(ApkRequest::name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 6);
        assert_eq!(request.words(), "curl, on a base with 14 packages (1a2b)");
        assert_eq!(request.package_row("curl=1-r0"), "apk/x86_64/curl=1-r0");
    }
}
