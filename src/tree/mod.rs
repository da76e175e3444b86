//! The sources on disk: which files, by which rule, with which content.
//!
//! Knows the workspace root and never leaves it, links included. Knows nothing of images, layers or stores.
//!
//! Which files of a directory are taken (design §3, "Ignore rules"), the first rule that speaks:
//! 1. `.git` never;
//! 2. what an `exclude` glob matches is dropped, with everything below it;
//! 3. a path named literally (an `include` without glob characters, or [`ScanRequest::named`]) is taken, whatever ignore
//!    files say of it or of the directories above it; rules for what lies below it still hold;
//! 4. the workspace's own `imgpack.lock` is dropped: a build that writes a row of it would be another build the next time;
//! 5. with `include` globs, what none of them matches is dropped;
//! 6. `.imgpackignore`, then `.gitignore`, each from the file's own directory up to the workspace root: the first
//!    pattern that matches decides. A dropped directory is not looked into. Files above the root, the user's global
//!    excludes and `.git/info/exclude` are never read, and no `.git` is needed;
//! 7. secret files by name (`.env`, `.npmrc`, private SSH keys …) are dropped: only a literal name takes them.
//!
//! Globs are relative to the scanned directory and anchored there: `docs` is its own `docs`, `**/docs` every one. `*`
//! and `?` stay inside a component, `**` crosses; a glob that matches a directory matches everything below it; one that
//! ends in `/` matches directories only. Empty directories are not sources, as in git.

mod error;
mod globs;
mod hash;
mod locate;
mod rules;
mod scan;
mod secret;
mod selection;
mod source;
mod submodules;
mod worklist;

pub use error::TreeError;
pub use hash::{FileDigest, HashedFile, HashedKind, KnownDigests, hash, read_digest};
pub use locate::{Found, find};
pub use scan::{Decision, Rule, Scan, ScanRequest, scan};
pub use selection::Selection;
pub use source::{SourceFile, SourceKind};
