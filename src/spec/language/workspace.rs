use super::auth::AuthSettings;
use super::cache::CacheSettings;
use super::keys::NameKey;
use super::mirrors::Mirrors;
use super::reference::Registry;
use super::service::{Patch, Service};
use super::tags::TagRules;
use crate::spec::service::SourcePath;
use crate::spec::shape::{Checked, FromText, Int, Items, Origin, Plain, Table, Wrong, record, words};

record! {
    /// The workspace: imgpack.yaml, at its root.
    #[free(true)]
    struct Workspace("imgpack.yaml") {
        /// Version of the language: `imgpack/v1`.
        "apiVersion" => api_version: Plain<ApiVersion>,
        /// Versions of imgpack that can read it, like `">=0.1"`.
        "requires" => requires: Plain<Requirement>,
        /// Version of the layers' bytes: `1`.
        "format" => format: Int<1000>,
        /// Registry, and path in it, that repositories are below: `ghcr.io/acme`.
        "registry" => registry: Plain<Registry>,
        /// Folders with buildspecs. Default: `buildspecs`, where there is one.
        "specs" => specs: Items<Plain<SourcePath>>,
        /// What every service begins with.
        "defaults" => defaults: Checked<Patch>,
        /// Where images of a registry, or of a part of one, are read from first: `docker.io: [mirror.example/dockerhub]`; and
        /// packages of `debian` and `apk`: `debian: [https://mirror.example/debian]`.
        "mirrors" => mirrors: Mirrors,
        /// Which servers get the credentials for registries.
        "auth" => auth: AuthSettings,
        /// This machine's cache.
        "cache" => cache: CacheSettings,
        /// Rules for the tags of all images.
        "tags" => tags: TagRules,
        /// Services that need no file of their own.
        "services" => services: Table<NameKey, Checked<Service>>,
    }
    later {
        "fleets" => "fleets",
    }
}

words! {
    /// `apiVersion`
    enum ApiVersion { "imgpack/v1" => V1, }
}

/// `requires`: comparisons of versions, all of which hold.
#[derive(Debug, Clone)]
pub(in crate::spec) struct Requirement {
    pub(in crate::spec) text: String,
    comparisons: Vec<(Operator, [u64; 3], usize)>,
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    AtLeast,
    Above,
    AtMost,
    Below,
    Equal,
}

impl FromText for Requirement {
    const WANTED: &'static str = "versions like \">=0.1\"";
    fn from_text(text: &str, _: &Origin<'_>) -> Result<Self, Wrong> {
        Self::parse(text).ok_or_else(|| {
            Wrong::new(format!("`{text}` does not say versions"))
                .hint("write it like \">=0.1\" or \">=0.1, <2\"")
        })
    }
}

impl Requirement {
    fn parse(text: &str) -> Option<Self> {
        let mut comparisons = Vec::new();
        for part in text.split(',') {
            let part = part.trim();
            let (operator, version) = [
                (">=", Operator::AtLeast),
                ("<=", Operator::AtMost),
                (">", Operator::Above),
                ("<", Operator::Below),
                ("=", Operator::Equal),
            ]
            .into_iter()
            .find_map(|(sign, operator)| part.strip_prefix(sign).map(|version| (operator, version.trim())))?;
            let (version, given) = version_of(version)?;
            comparisons.push((operator, version, given));
        }
        Some(Self { text: text.to_owned(), comparisons })
    }

    /// Whether this version of imgpack may read it; a version of this program that is no version may.
    pub(in crate::spec) fn is_met_by(&self, version: &str) -> bool {
        let release = version.split(['-', '+']).next().unwrap_or_default();
        let Some((own, _)) = version_of(release) else { return true };
        self.comparisons.iter().all(|(operator, wanted, given)| match operator {
            Operator::AtLeast => own >= *wanted,
            Operator::Above => own[..*given] > wanted[..*given],
            Operator::AtMost => own[..*given] <= wanted[..*given],
            Operator::Below => own < *wanted,
            Operator::Equal => own[..*given] == wanted[..*given],
        })
    }
}

/// One to three numbers, and how many there are.
fn version_of(text: &str) -> Option<([u64; 3], usize)> {
    let mut version = [0; 3];
    let mut given = 0;
    for part in text.split('.') {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        *version.get_mut(given)? = part.parse().ok().filter(|_| digits)?;
        given += 1;
    }
    Some((version, given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared() {
        for (text, version, expected) in [
            (">=0.1", "0.1.0", true),
            (">=0.1", "0.0.9", false),
            (">=0.1, <1", "0.9.0", true),
            (">=0.1,<1", "1.0.0", false),
            (">0.1", "0.1.7", false),
            (">0.1", "0.2.0", true),
            ("<=0.1", "0.1.7", true),
            ("=0.1", "0.1.7", true),
            ("=0.1.2", "0.1.7", false),
            (">=0.2", "0.2.0-dev", true),
        ] {
            assert_eq!(Requirement::parse(text).unwrap().is_met_by(version), expected, "{text} {version}");
        }
        for text in ["", "0.1", ">=", ">=x", ">=1.2.3.4", "^1", ">=1,", ">=1.+2"] {
            assert!(Requirement::parse(text).is_none(), "{text}");
        }
    }
}
