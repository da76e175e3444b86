use super::paragraph::Paragraph;

/// A package that the base has, out of its database (`/var/lib/dpkg/status`, `status.d/*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its whole version.
    pub version: String,
    /// Its architecture; `all` too.
    pub architecture: String,
    /// `Multi-Arch`, or nothing.
    pub multi_arch: String,
    /// `Pre-Depends` and `Depends`, as one list.
    pub depends: String,
    /// `Provides`
    pub provides: String,
    /// `Conflicts` and `Breaks`, as one list.
    pub conflicts: String,
}

impl Installed {
    /// Reads a paragraph of a database; `None` where the package is not there (removed, half installed) or has no name or
    /// version.
    pub fn of(paragraph: &Paragraph) -> Option<Self> {
        let field = |name: &str| paragraph.get(name).unwrap_or_default().to_owned();
        let joined = |names: [&str; 2]| {
            names.map(field).into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
        };
        // Databases of images without dpkg have no `Status`.
        let there = paragraph
            .get("Status")
            .is_none_or(|status| status.split_whitespace().next_back() == Some("installed"));
        let found = Self {
            name: field("Package"),
            version: field("Version"),
            architecture: field("Architecture"),
            multi_arch: field("Multi-Arch"),
            depends: joined(["Pre-Depends", "Depends"]),
            provides: field("Provides"),
            conflicts: joined(["Conflicts", "Breaks"]),
        };
        (there && !found.name.is_empty() && !found.version.is_empty()).then_some(found)
    }
}
