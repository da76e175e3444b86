//! OCI documents: config, manifest, index. The only user of `oci_spec`'s types, and the one writer of JSON that is hashed.
