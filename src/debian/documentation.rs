use crate::model::ImagePath;

/// What nobody reads in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documentation {
    /// Documents, info pages, reports of lintian.
    Docs,
    /// Manual pages.
    Man,
    /// Translations.
    Locales,
}

/// Directories of documentation (Debian Policy Manual, 12; Filesystem Hierarchy Standard, 4.11).
const PLACES: [(&str, Documentation); 9] = [
    ("/usr/share/doc", Documentation::Docs),
    ("/usr/share/doc-base", Documentation::Docs),
    ("/usr/share/groff", Documentation::Docs),
    ("/usr/share/info", Documentation::Docs),
    ("/usr/share/linda", Documentation::Docs),
    ("/usr/share/lintian", Documentation::Docs),
    ("/usr/share/locale", Documentation::Locales),
    ("/usr/share/man", Documentation::Man),
    ("/usr/share/gnome/help", Documentation::Docs),
];

/// What kind of documentation `path` is; `None` for everything else and for what always stays: the copyright files, and
/// links in their place from one package's documents to another's.
pub fn documentation(path: &ImagePath, is_link: bool) -> Option<Documentation> {
    let is_below = |place: &str| {
        path.as_str().strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let (place, kind) = PLACES.iter().find(|(place, _)| is_below(place))?;
    if *place == "/usr/share/doc" {
        let depth = path.as_str()[place.len()..].matches('/').count();
        if (depth == 1 && is_link) || (depth == 2 && path.name() == "copyright") {
            return None;
        }
    }
    Some(*kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copyright_stays_and_what_is_read_by_people_is_told() {
        use Documentation::{Docs, Locales, Man};
        for (path, is_link, kind) in [
            ("/usr/share/doc", false, Some(Docs)),
            ("/usr/share/doc/libc6", false, Some(Docs)),
            ("/usr/share/doc/libc6/copyright", false, None),
            ("/usr/share/doc/libgcc-s1", true, None),
            ("/usr/share/doc/libc6/changelog.gz", true, Some(Docs)),
            ("/usr/share/doc/libc6/examples/copyright", false, Some(Docs)),
            ("/usr/share/documents/x", false, None),
            ("/usr/share/man/de/man1/ls.1.gz", false, Some(Man)),
            ("/usr/share/locale/de/LC_MESSAGES/libc.mo", false, Some(Locales)),
            ("/usr/share/locales", false, None),
            ("/usr/lib/locale/C.utf8/LC_CTYPE", false, None),
            ("/usr/share/common-licenses/GPL-3", false, None),
        ] {
            assert_eq!(documentation(&path.parse().unwrap(), is_link), kind, "{path}");
        }
    }
}
