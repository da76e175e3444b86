use std::path::PathBuf;

use crate::system::{Cancelled, IoError};

/// Why the sources cannot be taken. Paths are relative to the workspace root unless they are absolute.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Nothing there.
    #[error("`{path}` does not exist in the workspace")]
    Missing {
        /// The path that was named.
        path: String,
        /// The existing path most like it.
        nearest: Option<String>,
    },
    /// A file where a directory is needed.
    #[error("`{path}` is not a directory")]
    NotDirectory {
        /// The path that was named.
        path: String,
    },
    /// A path or link that leads out of the workspace.
    #[error("`{path}` is a symbolic link to `{target}`, which is outside of the workspace")]
    LinkOutside {
        /// The link.
        path: String,
        /// Its text.
        target: String,
    },
    /// A link by an absolute path.
    #[error(
        "`{path}` is a symbolic link to the absolute path `{target}`, which means another place on every machine"
    )]
    LinkAbsolute {
        /// The link.
        path: String,
        /// Its text.
        target: String,
    },
    /// A named path that is a link to nothing.
    #[error("`{path}` is a symbolic link to `{target}`, which does not exist")]
    LinkDangling {
        /// The link.
        path: String,
        /// Its text.
        target: String,
    },
    /// A path named in a list that lies behind a link.
    #[error("`{path}` lies behind the symbolic link `{link}`, which is taken as a link")]
    ThroughLink {
        /// The path that was named.
        path: String,
        /// The link.
        link: String,
    },
    /// A path with `..` or a leading slash reached this module.
    #[error("`{path}` is not a path inside the workspace")]
    Outside {
        /// The path.
        path: String,
    },
    /// `.git` or something in it was named.
    #[error("`{path}` is in a .git directory, which never enters an image")]
    Git {
        /// The path that was named.
        path: String,
    },
    /// A name that is not UTF-8, or a link's text.
    #[error("the {what} of `{path}` is not UTF-8")]
    NotUtf8 {
        /// `name` or `link target`.
        what: &'static str,
        /// The path, with replacement characters.
        path: String,
    },
    /// A name that would remove something in an image (design §4).
    #[error("the name of `{path}` begins with .wh., which marks a removal in a layer")]
    Whiteout {
        /// The path.
        path: String,
    },
    /// Neither file nor directory nor link.
    #[error("`{path}` is a {noun}, which cannot be put into an image")]
    Special {
        /// The path.
        path: String,
        /// `socket`, `named pipe`, `device`.
        noun: &'static str,
    },
    /// A Git LFS pointer where a file is wanted.
    #[error("{} is a Git LFS pointer, not the file itself", path.display())]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// A submodule without content.
    #[error("the git submodule `{path}` is not checked out")]
    Submodule {
        /// The submodule's path.
        path: String,
    },
    /// A glob of `include` or `exclude` that cannot be read.
    #[error("`{glob}` is not a glob: {reason}")]
    Glob {
        /// The glob.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of an `.imgpackignore` that cannot be read.
    #[error("{file}:{line}: `{pattern}` is not an ignore pattern: {reason}")]
    Pattern {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The line's text.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// This machine would not.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl TreeError {
    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::LfsPointer { .. } => Some("git lfs pull".to_owned()),
            Self::Submodule { path } => Some(format!("git submodule update --init {path}")),
            Self::ThroughLink { .. } => Some("name the file where it really is".to_owned()),
            Self::LinkAbsolute { .. } => Some("make the link relative".to_owned()),
            _ => None,
        }
    }
}
