//! OCI registries: the only asynchronous place, behind a synchronous port.
