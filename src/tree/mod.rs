//! The sources on disk: which files, by which rule, with which content.
