use std::collections::BTreeMap;
use std::io::{Read, Write};

use super::paragraph::Paragraph;
use crate::model::PackageFile;

/// What a .deb holds, without the bytes of its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DebFacts {
    /// Its control file.
    pub control: Paragraph,
    /// The other files of its control archive by name, as text: `postinst`, `conffiles`, `md5sums`, `triggers`, `shlibs`.
    pub scripts: BTreeMap<String, String>,
    /// Its files, in bytewise order of their paths.
    pub files: Vec<PackageFile>,
}

/// What is wrong with a .deb.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// It is no .deb.
    #[error("it is no Debian package")]
    NotDeb,
}

/// Reads a .deb from end to end. The contents of its files go to `contents`, one behind the other, where
/// [`crate::model::PackageFileKind::File`] finds them.
pub fn read_deb(_deb: &mut dyn Read, _contents: &mut dyn Write) -> Result<DebFacts, DebError> {
    Err(DebError::NotDeb)
}
