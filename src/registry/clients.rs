use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::error::{Cause, RegistryError};

/// How long imgpack waits for a registry that says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next byte, in either direction.
    pub stall: Duration,
    /// For the answer to a blob that was sent whole: the registry may be busy storing it.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_mins(1),
            answer: Duration::from_mins(5),
        }
    }
}

const USER_AGENT: &str = concat!("imgpack/", env!("CARGO_PKG_VERSION"));

/// The network clients, made when first needed: one for http with this machine, which reads no certificates and asks
/// no proxy, one for TLS.
pub(super) struct Clients {
    patience: Patience,
    ca_files: Vec<PathBuf>,
    plain: OnceLock<reqwest::Client>,
    tls: OnceLock<reqwest::Client>,
}

impl Clients {
    pub(super) fn new(patience: Patience, ca_files: Vec<PathBuf>) -> Self {
        Self { patience, ca_files, plain: OnceLock::new(), tls: OnceLock::new() }
    }

    /// The client for an address; no client follows redirects by itself.
    pub(super) fn for_url(&self, url: &Url) -> Result<&reqwest::Client, RegistryError> {
        if url.scheme() == "https" {
            return self.tls();
        }
        if let Some(client) = self.plain.get() {
            return Ok(client);
        }
        let made = self.builder().no_proxy().tls_certs_only([]).build().map_err(|e| setup(&e))?;
        Ok(self.plain.get_or_init(|| made))
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        // Another part of the process may have chosen a provider before; then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .user_agent(USER_AGENT)
            .connect_timeout(self.patience.connect)
    }

    fn tls(&self) -> Result<&reqwest::Client, RegistryError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let mut extra = Vec::new();
        for path in &self.ca_files {
            extra.extend(read_certificates(path)?);
        }
        let platform = self.builder().tls_certs_merge(reqwest_certificates(&extra)?).build();
        let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| std::env::var_os(name).is_some());
        let made = match platform {
            Ok(client) => client,
            // A machine without any CA certificates (a bare CI container) trusts Mozilla's.
            Err(_) if !named => {
                let mut only = webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec();
                only.append(&mut extra);
                self.builder().tls_certs_only(reqwest_certificates(&only)?).build().map_err(|e| setup(&e))?
            }
            Err(error) => return Err(setup(&error)),
        };
        Ok(self.tls.get_or_init(|| made))
    }
}

fn setup(error: &reqwest::Error) -> RegistryError {
    RegistryError::Setup { source: deepest(error) }
}

/// The deepest cause of an error: the one that says what happened.
pub(super) fn deepest(error: &dyn std::error::Error) -> Cause {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    Cause(super::error::one_line(&at.to_string()))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RegistryError> {
    let wrong =
        |reason: String| RegistryError::CertificateFile { path: path.to_owned(), source: Cause(reason) };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("it has no PEM certificate".to_owned()));
    }
    Ok(found)
}

fn reqwest_certificates(
    certificates: &[CertificateDer<'static>],
) -> Result<Vec<reqwest::Certificate>, RegistryError> {
    certificates.iter().map(|der| reqwest::Certificate::from_der(der).map_err(|e| setup(&e))).collect()
}
