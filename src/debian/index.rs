use std::io::{self, BufRead};

/// The packages of one repository for one architecture: a `Packages` file, of which only those fields are kept that solving
/// and fetching need.
#[derive(Debug, Default)]
pub struct Index {}

/// What is wrong with a `Packages` file.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It cannot be read to its end.
    #[error("the index cannot be read")]
    Read(#[source] io::Error),
}

impl Index {
    /// Reads a `Packages` file, not compressed.
    pub fn read(_text: &mut dyn BufRead) -> Result<Self, IndexError> {
        Ok(Self::default())
    }
}
