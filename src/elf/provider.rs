use crate::model::BaseFacts;

/// What a library's package is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distribution {
    /// Debian, with its suite where that is known.
    Debian(Option<String>),
    /// Alpine.
    Alpine,
}

/// A package that has a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Provider {
    /// Its name.
    pub(super) package: String,
    /// Whether that is known, and not only made of the library's name.
    pub(super) sure: bool,
}

/// Rows `SONAME PACKAGE`, and `suite=PACKAGE` where it has another name from that suite on.
const PACKAGES: &str = include_str!("debian-packages.txt");

impl Distribution {
    /// The one that a base says it is.
    pub fn of_base(facts: &BaseFacts) -> Option<Self> {
        let said = facts.text("/etc/os-release").or_else(|| facts.text("/usr/lib/os-release"));
        let by_name = said.and_then(Self::of_os_release);
        by_name.or_else(|| facts.text("/lib/apk/db/installed").map(|_| Self::Alpine))
    }

    /// The one that an /etc/os-release tells of (os-release(5)).
    pub(super) fn of_os_release(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let row = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
            Some(row.trim().trim_matches(['"', '\'']).to_owned())
        };
        match field("ID")?.as_str() {
            "debian" => Some(Self::Debian(field("VERSION_CODENAME"))),
            "alpine" => Some(Self::Alpine),
            _ => None,
        }
    }

    /// What a spec says to have a package.
    pub(super) fn packages(&self, package: &str) -> String {
        match self {
            Self::Debian(Some(suite)) => {
                format!("`packages: {{ debian: {{ suite: {suite}, install: [{package}] }} }}`")
            }
            Self::Debian(None) => format!("`packages: {{ debian: {{ suite: …, install: [{package}] }} }}`"),
            Self::Alpine => format!("`packages: {{ apk: {{ install: [{package}] }} }}`"),
        }
    }

    /// The package that has a library.
    pub(super) fn provider(&self, soname: &str) -> Option<Provider> {
        match self {
            Self::Debian(suite) => {
                let known = PACKAGES.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
                    let mut words = line.split_whitespace();
                    (words.next() == Some(soname)).then_some(())?;
                    let package = words.next()?;
                    let own = words.find_map(|word| word.strip_prefix(suite.as_deref()?)?.strip_prefix('='));
                    Some(own.unwrap_or(package).to_owned())
                });
                let sure = known.is_some();
                let package = known.or_else(|| by_rule(soname))?;
                Some(Provider { package, sure })
            }
            // What stands there is what apk takes for a package's name.
            Self::Alpine => Some(Provider { package: format!("so:{soname}"), sure: true }),
        }
    }
}

/// The name that a library's package has by Debian's policy, 8.1.
fn by_rule(soname: &str) -> Option<String> {
    let (name, version) = match soname.split_once(".so.") {
        Some((name, version)) => (name, version),
        // `libdb-5.3.so`
        None => soname.strip_suffix(".so")?.rsplit_once('-')?,
    };
    let name = name.to_ascii_lowercase().replace('_', "-");
    let dash = if name.ends_with(|c: char| c.is_ascii_digit()) { "-" } else { "" };
    let package = format!("{name}{dash}{}", version.to_ascii_lowercase());
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    (name.starts_with("lib") && package.chars().all(plain)).then_some(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_found_by_the_names_of_libraries() {
        let bookworm = Distribution::Debian(Some("bookworm".to_owned()));
        let trixie = Distribution::Debian(Some("trixie".to_owned()));
        for (distribution, soname, package, sure) in [
            (&bookworm, "libpq.so.5", "libpq5", true),
            (&bookworm, "libssl.so.3", "libssl3", true),
            (&trixie, "libssl.so.3", "libssl3t64", true),
            (&bookworm, "libz.so.1", "zlib1g", true),
            (&bookworm, "libgcc_s.so.1", "libgcc-s1", true),
            (&bookworm, "libfoo2.so.5", "libfoo2-5", false),
            (&bookworm, "libX11.so.6", "libx11-6", false),
            (&bookworm, "libdb-4.8.so", "libdb4.8", false),
            (&Distribution::Alpine, "libpq.so.5", "so:libpq.so.5", true),
        ] {
            let provider = distribution.provider(soname).unwrap();
            assert_eq!((provider.package.as_str(), provider.sure), (package, sure), "{soname}");
        }
        for soname in ["plugin.so.1", "libx", "lib$.so.1"] {
            assert_eq!(bookworm.provider(soname), None, "{soname}");
        }
    }

    #[test]
    fn the_table_has_rows() {
        let mut names = Vec::new();
        for line in PACKAGES.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split(' ').collect();
            assert!(words.len() >= 2 && words[0].contains(".so"), "{line}");
            assert!(words[2..].iter().all(|word| word.contains('=')), "{line}");
            names.push(words[0]);
        }
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    }

    #[test]
    fn distributions_are_known_by_their_own_words() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_CODENAME=bookworm\n";
        let known = Distribution::of_os_release;
        assert_eq!(known(debian), Some(Distribution::Debian(Some("bookworm".to_owned()))));
        assert_eq!(known("NAME='Alpine Linux'\nID=alpine\n"), Some(Distribution::Alpine));
        assert_eq!(known("ID=\"wolfi\"\n"), None);
    }
}
