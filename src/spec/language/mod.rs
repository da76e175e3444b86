//! The language as it is written: every field of `imgpack.yaml` and of a buildspec, with its type.

mod address;
mod auth;
mod base;
mod build;
mod cache;
mod elf;
mod files;
mod health;
mod image;
mod init;
mod keys;
mod mirrors;
mod packages;
mod path;
mod reference;
mod service;
mod tags;
mod text;
mod workspace;

pub(in crate::spec) use address::ArchiveAddress;
pub(in crate::spec) use auth::AuthSettings;
pub(in crate::spec) use base::{BaseForm, BaseText};
pub(in crate::spec) use build::{BuildMap, Go, Libc, Rust};
pub(in crate::spec) use elf::ElfMap;
pub(in crate::spec) use files::{FileRow, FilesForm, FromForm, OwnerText, Place, RowClass};
pub(in crate::spec) use health::{Health, HealthForm};
pub(in crate::spec) use image::{Image, PortForm, PortsForm, UserForm};
pub(in crate::spec) use init::{InitForm, InitMap};
pub(in crate::spec) use packages::{Apk, ApkRow, Debian, DebianRow, KeepWord, PackagesMap};
pub(in crate::spec) use path::resolve;
pub(in crate::spec) use reference::{TAG_RULE, check_repository, check_tag, names_registry};
pub(in crate::spec) use service::{
    ComponentWord, CompressionText, Index, MediaTypes, Patch, Service, SourceForm,
};
pub(in crate::spec) use workspace::{Requirement, Workspace};

use super::shape::Record;

/// The record in which `name` is a field, where it is one in exactly one of them.
pub(in crate::spec) fn home_of(name: &str) -> Option<&'static str> {
    fn has<R: Record>(name: &str) -> Option<&'static str> {
        R::names().iter().any(|field| field.name == name).then_some(R::LABEL)
    }
    let mut homes = [
        has::<Image>(name),
        has::<Patch>(name).map(|_| "a service"),
        has::<Workspace>(name),
        has::<BuildMap>(name),
        has::<Go>(name),
        has::<Rust>(name),
        has::<Debian>(name).or_else(|| has::<Apk>(name).map(|_| "packages")),
        has::<InitMap>(name),
        has::<Health>(name),
    ]
    .into_iter()
    .flatten();
    homes.next().filter(|_| homes.next().is_none())
}
