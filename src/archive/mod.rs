//! Local forms of an image: OCI layout, OCI archive, Docker archive. Writing them; [`crate::base`] reads them.
