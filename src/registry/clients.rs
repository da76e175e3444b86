use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;
use rustls::pki_types::CertificateDer;

use super::certificates::{HostCertificates, read_certificates, unusable};
use super::error::{Cause, RegistryError};
use super::resolver::Floors;

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

/// The network clients, made when first needed: one for http, which reads no certificates and asks no proxy (this machine
/// and its site need none), one for TLS, and one for each host with certificates of its own.
pub(super) struct Clients {
    patience: Patience,
    ca_files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
    /// What was judged of the hosts that registries named.
    pub(super) floors: Floors,
    plain: OnceLock<reqwest::Client>,
    /// Clients for archives without TLS, by the proxy that is said for them.
    archives: Mutex<BTreeMap<Option<String>, reqwest::Client>>,
    tls: OnceLock<reqwest::Client>,
    hosts: Mutex<BTreeMap<String, Option<reqwest::Client>>>,
}

impl Clients {
    pub(super) fn new(patience: Patience, ca_files: Vec<PathBuf>, directories: Vec<PathBuf>) -> Self {
        Self {
            patience,
            ca_files,
            directories,
            floors: Floors::default(),
            plain: OnceLock::new(),
            archives: Mutex::default(),
            tls: OnceLock::new(),
            hosts: Mutex::default(),
        }
    }

    /// The client for an address; no client follows redirects by itself.
    pub(super) fn for_url(&self, url: &Url) -> Result<reqwest::Client, RegistryError> {
        if url.scheme() == "https" {
            return match self.for_host(url)? {
                Some(client) => Ok(client),
                None => self.tls().cloned(),
            };
        }
        if let Some(client) = self.plain.get() {
            return Ok(client.clone());
        }
        let made = self.builder().no_proxy().tls_certs_only([]).build().map_err(|e| setup(&e))?;
        Ok(self.plain.get_or_init(|| made).clone())
    }

    /// The client for a file of an archive: without TLS by way of `proxy`, else of the environment's.
    pub(super) fn for_archive(
        &self,
        url: &Url,
        proxy: Option<&str>,
    ) -> Result<reqwest::Client, RegistryError> {
        if url.scheme() == "https" || super::address::is_local(url) {
            return self.for_url(url);
        }
        let mut archives = self.archives.lock().unwrap_or_else(PoisonError::into_inner);
        let proxy = proxy.map(str::to_owned);
        if let Some(client) = archives.get(&proxy) {
            return Ok(client.clone());
        }
        let mut builder = self.builder().tls_certs_only([]);
        if let Some(proxy) = &proxy {
            builder = builder.proxy(reqwest::Proxy::http(proxy).map_err(|error| setup(&error))?);
        }
        let made = builder.build().map_err(|error| setup(&error))?;
        Ok(archives.entry(proxy).or_insert(made).clone())
    }

    /// The client for a host with certificates of its own; the same one each time, as it keeps connections.
    fn for_host(&self, url: &Url) -> Result<Option<reqwest::Client>, RegistryError> {
        let host = url.host_str().unwrap_or_default();
        let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(&authority) {
            return Ok(known.clone());
        }
        let own = HostCertificates::read(&self.directories, url)?;
        let made = if own.is_empty() { None } else { Some(self.make_tls(&own)?) };
        hosts.insert(authority, made.clone());
        Ok(made)
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        // Another part of the process may have chosen a provider before; then that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .user_agent(USER_AGENT)
            .connect_timeout(self.patience.connect)
            .dns_resolver(Arc::new(self.floors.clone()))
    }

    fn tls(&self) -> Result<&reqwest::Client, RegistryError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let made = self.make_tls(&HostCertificates::default())?;
        Ok(self.tls.get_or_init(|| made))
    }

    fn make_tls(&self, own: &HostCertificates) -> Result<reqwest::Client, RegistryError> {
        let mut extra = own.authorities.clone();
        for path in &self.ca_files {
            extra.extend(read_certificates(path)?);
        }
        let builder = || match &own.identity {
            None => Ok(self.builder()),
            Some((path, pem)) => match reqwest::Identity::from_pem(pem) {
                Ok(identity) => Ok(self.builder().identity(identity)),
                Err(error) => Err(unusable(path, deepest(&error).to_string())),
            },
        };
        let platform = builder()?.tls_certs_merge(reqwest_certificates(&extra)?).build();
        let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| std::env::var_os(name).is_some());
        match platform {
            Ok(client) => Ok(client),
            // A machine without any CA certificates (a bare CI container) trusts Mozilla's.
            Err(_) if !named => {
                let mut only = webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec();
                only.append(&mut extra);
                builder()?.tls_certs_only(reqwest_certificates(&only)?).build().map_err(|e| setup(&e))
            }
            Err(error) => Err(setup(&error)),
        }
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

fn reqwest_certificates(
    certificates: &[CertificateDer<'static>],
) -> Result<Vec<reqwest::Certificate>, RegistryError> {
    certificates.iter().map(|der| reqwest::Certificate::from_der(der).map_err(|e| setup(&e))).collect()
}
