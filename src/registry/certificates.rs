//! Certificates beside the machine's own: PEM files, and directories with some for each host (containers-certs.d(5)).

use std::io;
use std::path::{Path, PathBuf};

use reqwest::Url;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::error::{Cause, RegistryError};

/// What the directories say of one host.
#[derive(Default)]
pub(super) struct HostCertificates {
    /// Whom this host's certificate may be signed by (`*.crt`).
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// What shows this machine to it (`*.cert` with the `*.key` of the same name): PEM.
    pub(super) identity: Option<(PathBuf, Vec<u8>)>,
}

impl HostCertificates {
    pub(super) fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.identity.is_none()
    }

    /// Reads `directories/HOST[:PORT]` for the host of `url`. What is not there, or may not be looked into, says nothing;
    /// a certificate that cannot be used is an error.
    pub(super) fn read(directories: &[PathBuf], url: &Url) -> Result<Self, RegistryError> {
        let mut found = Self::default();
        let host = url.host_str().unwrap_or_default();
        let names = match url.port() {
            Some(port) => vec![format!("{host}:{port}")],
            None => vec![host.to_owned(), format!("{host}:443")],
        };
        for directory in directories {
            for name in &names {
                for path in files_of(&directory.join(name))? {
                    found.add(&path)?;
                }
            }
        }
        Ok(found)
    }

    fn add(&mut self, path: &Path) -> Result<(), RegistryError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => self.authorities.extend(read_certificates(path)?),
            Some("cert") if self.identity.is_none() => {
                read_certificates(path)?;
                let key = path.with_extension("key");
                let mut pem = read(path)?;
                pem.push(b'\n');
                pem.extend(read(&key)?);
                self.identity = Some((key, pem));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The files of a directory, sorted.
fn files_of(directory: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(unusable(directory, error.to_string())),
    };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(|error| unusable(directory, error.to_string()))?.path());
    }
    files.sort();
    Ok(files)
}

/// The error for a file of certificates.
pub(super) fn unusable(path: &Path, reason: String) -> RegistryError {
    RegistryError::CertificateFile { path: path.to_owned(), source: Cause(reason) }
}

fn read(path: &Path) -> Result<Vec<u8>, RegistryError> {
    std::fs::read(path).map_err(|error| unusable(path, error.to_string()))
}

/// Every certificate of a PEM file, at least one.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RegistryError> {
    let found = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(path, error.to_string()))?;
    if found.is_empty() {
        return Err(unusable(path, "it has no PEM certificate".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_directory_is_for_it_alone() {
        let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/registry/tls");
        let root = tempfile::tempdir().unwrap();
        let place = |name: &str, from: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::copy(tls.join(from), path).unwrap();
        };
        place("registry.example/ca.crt", "ca.pem");
        place("registry.example:5000/client.cert", "server.pem");
        place("registry.example:5000/client.key", "server.key");
        place("registry.example:5000/README", "README.md");
        place("lonely.example/client.cert", "server.pem");
        place("bad.example:443/x.crt", "README.md");
        let directories = [root.path().join("missing"), root.path().to_owned()];
        let read = |url: &str| HostCertificates::read(&directories, &Url::parse(url).unwrap());
        for (url, authorities, identity) in [
            ("https://registry.example/v2/", 1, false),
            ("https://registry.example:443/v2/", 1, false),
            ("https://registry.example:5000/v2/", 0, true),
            ("https://registry.example:5001/v2/", 0, false),
            ("https://other.example/v2/", 0, false),
        ] {
            let found = read(url).unwrap();
            assert_eq!((found.authorities.len(), found.identity.is_some()), (authorities, identity), "{url}");
        }
        for (url, file) in [
            ("https://lonely.example/", "lonely.example/client.key"),
            ("https://bad.example/", "bad.example:443/x.crt"),
        ] {
            let error = read(url).err().unwrap().to_string();
            assert!(error.starts_with("cannot use the certificates of ") && error.ends_with(file), "{error}");
        }
    }
}
