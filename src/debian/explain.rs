/// Why there are no packages that fulfil a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSolution {
    /// No index has it.
    #[error("there is no package {name}")]
    Unknown {
        /// What is wanted.
        name: String,
    },
}

impl NoSolution {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        None
    }
}
