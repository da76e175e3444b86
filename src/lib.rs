//! imgpack: one buildspec per service in, small reproducible multi-arch OCI images out.
//!
//! Dependencies point one way, and `tests/tidy.rs` checks it:
//! [`cli`] → [`ops`] → machine ([`archive`], [`base`], [`builder`], [`engine`], [`registry`], [`store`], [`system`],
//! [`tree`]) → pure ([`apk`], [`component`], [`debian`], [`elf`], [`image`], [`key`], [`lock`], [`plan`], [`report`], [`spec`], [`tar`]) → [`model`].
pub mod apk;
pub mod archive;
pub mod base;
pub mod builder;
pub mod cli;
pub mod component;
pub mod debian;
pub mod elf;
pub mod engine;
pub mod image;
pub mod key;
pub mod lock;
pub mod model;
pub mod ops;
pub mod plan;
pub mod registry;
pub mod report;
pub mod spec;
pub mod store;
pub mod system;
pub mod tar;
pub mod tree;
