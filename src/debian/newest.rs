use super::index::Index;
use super::version::compare_versions;

/// The highest version that the indexes have of a package.
pub fn newest_version<'i>(indexes: &'i [Index], name: &str) -> Option<&'i str> {
    let versions =
        indexes.iter().flat_map(|index| index.named(name).map(|number| index.package(number).version));
    versions.max_by(|one, other| compare_versions(one, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_indexes() {
        let index = |versions: &[&str]| {
            let digest = "0".repeat(64);
            let package = |version: &&str| {
                format!(
                    "Package: a\nVersion: {version}\nArchitecture: all\nFilename: a\nSize: 1\nSHA256: {digest}\n\n"
                )
            };
            Index::read(&mut versions.iter().map(package).collect::<String>().as_bytes()).unwrap()
        };
        let indexes = [index(&["1.9", "1.10~rc1"]), index(&[]), index(&["1.10"])];
        assert_eq!(newest_version(&indexes, "a"), Some("1.10"));
        assert_eq!(newest_version(&indexes[..2], "a"), Some("1.10~rc1"));
        assert_eq!(newest_version(&indexes, "b"), None);
    }
}
