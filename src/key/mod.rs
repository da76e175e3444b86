//! Cache identity: what decides the bytes of a layer, as named fields.
