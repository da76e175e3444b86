//! The local content-addressed store: blobs, records, locks.
