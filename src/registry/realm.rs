//! Which token servers get credentials.

use std::collections::BTreeMap;
use std::net::IpAddr;

use reqwest::Url;

use super::error::RegistryError;
use crate::model::Repository;

/// Registries whose tokens are given under another domain: a registry, or a domain with registries below it, and the one
/// host. Each is what the registry itself answers: NVIDIA's after a token expired (nvidia-container-toolkit, issue
/// 1945), Red Hat's and Scaleway's as their clients ask, LinuxServer's as it stands in front of GitHub's.
const KNOWN: [(&str, &str); 4] = [
    ("lscr.io", "ghcr.io"),
    ("nvcr.io", "authn.nvidia.com"),
    ("registry.redhat.io", "sso.redhat.com"),
    ("scw.cloud", "api.scaleway.com"),
];

/// Token servers that get credentials beside those of a registry's own domain: registry → hosts.
#[derive(Debug, Clone, Default)]
pub struct Realms(BTreeMap<String, Vec<String>>);

impl Realms {
    /// These hosts get the credentials for these registries.
    pub fn new(hosts: BTreeMap<String, Vec<String>>) -> Self {
        Self(hosts)
    }

    /// Whether the credentials for `repository` may be sent to `realm`, which its registry named.
    pub(super) fn may_have_credentials(&self, repository: &Repository, realm: &Url) -> bool {
        let Some(to) = host_of(realm) else { return false };
        let registry = repository.registry();
        is_of_one_owner(repository.host(), &to)
            || KNOWN.iter().any(|(domain, host)| is_or_is_below(repository.host(), domain) && to == *host)
            || self.0.iter().any(|(name, hosts)| {
                name.eq_ignore_ascii_case(registry) && hosts.iter().any(|host| host.eq_ignore_ascii_case(&to))
            })
    }
}

/// The error for credentials that stay here.
pub(super) fn refused(repository: &Repository, realm: &Url) -> RegistryError {
    RegistryError::Realm {
        registry: repository.registry().to_owned(),
        realm: host_of(realm).unwrap_or_default(),
    }
}

fn host_of(url: &Url) -> Option<String> {
    url.host_str().map(|host| host.trim_matches(['[', ']']).to_ascii_lowercase())
}

fn is_or_is_below(host: &str, domain: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether two hosts are one, or lie on one registrable domain (publicsuffix.org): whoever has the one could have the
/// other. Addresses have no domain, and all names of this machine are one.
fn is_of_one_owner(one: &str, other: &str) -> bool {
    let is_this_machine =
        |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let one = one.to_ascii_lowercase();
    if one == other || (is_this_machine(&one) && is_this_machine(other)) {
        return true;
    }
    if [one.as_str(), other].iter().any(|host| host.parse::<IpAddr>().is_ok()) {
        return false;
    }
    psl::domain_str(&one).is_some_and(|domain| psl::domain_str(other) == Some(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_with_their_owner() {
        let realms = Realms::new(BTreeMap::from([
            ("registry.example".to_owned(), vec!["login.other.example".to_owned()]),
            ("10.0.0.1:5000".to_owned(), vec!["10.0.0.2".to_owned()]),
        ]));
        for (repository, realm, expected) in [
            ("nginx", "https://auth.docker.io/token", true),
            ("ghcr.io/a/b", "https://ghcr.io/token", true),
            ("GHCR.io/a/b", "https://ghcr.IO/token", true),
            // The same name, written to its end.
            ("ghcr.io/a/b", "https://ghcr.io./token", true),
            ("registry.gitlab.com/a/b", "https://gitlab.com/jwt/auth", true),
            ("us-docker.pkg.dev/a/b", "https://us-docker.pkg.dev/v2/token", true),
            ("acme.azurecr.io/a", "https://acme.azurecr.io/oauth2/token", true),
            ("registry.corp.example.co.uk/a", "https://login.example.co.uk/t", true),
            ("nvcr.io/a/b", "https://authn.nvidia.com/token", true),
            ("registry.redhat.io/a/b", "https://sso.redhat.com/auth/realms/rhcc", true),
            ("rg.fr-par.scw.cloud/a/b", "https://api.scaleway.com/registry-internal/v1", true),
            ("lscr.io/a/b", "https://ghcr.io/token", true),
            ("registry.example/a", "https://LOGIN.other.example/t", true),
            ("10.0.0.1:5000/a", "https://10.0.0.2/t", true),
            ("10.0.0.1/a", "https://10.0.0.1:8443/t", true),
            ("127.0.0.1:5000/a", "http://localhost:5001/t", true),
            ("[::1]:5000/a", "http://[::1]:5001/t", true),
            ("registry:5000/a", "https://registry/t", true),
            // Look-alikes and neighbours.
            ("ghcr.io/a/b", "https://ghcr.io.evil.example/token", false),
            ("ghcr.io/a/b", "https://evil-ghcr.io/token", false),
            ("ghcr.io/a/b", "https://authn.nvidia.com/token", false),
            ("nginx", "https://docker.io.evil.example/token", false),
            ("registry.acme.co.uk/a", "https://evil.co.uk/t", false),
            ("acme.github.io/a", "https://evil.github.io/t", false),
            ("evil-scw.cloud/a", "https://api.scaleway.com/t", false),
            ("nvcr.io/a/b", "https://evil.nvidia.com/token", false),
            ("registry.example:5000/a", "https://login.other.example/t", false),
            ("registry.other/a", "https://login.other.example/t", false),
            ("10.0.0.1/a", "https://10.0.0.2/t", false),
            ("10.0.0.1/a", "https://1.0.0.10.example/t", false),
            ("127.0.0.1:5000/a", "https://10.0.0.1/t", false),
            ("registry:5000/a", "https://auth/t", false),
            ("co.uk/a", "https://evil.co.uk/t", false),
        ] {
            let found =
                realms.may_have_credentials(&repository.parse().unwrap(), &Url::parse(realm).unwrap());
            assert_eq!(found, expected, "{repository} → {realm}");
        }
    }

    #[test]
    fn a_refusal_names_both_and_the_setting() {
        let error =
            refused(&"ghcr.io/a".parse().unwrap(), &Url::parse("https://evil.example/t?x=geheim").unwrap());
        assert_eq!(
            format!("{error}\n{}", error.hint().unwrap()),
            "ghcr.io wants the credentials for it to be sent to evil.example, which is not known to belong to it\n\
             if ghcr.io gives its tokens there, write `auth: { realms: { \"ghcr.io\": [evil.example] } }` in imgpack.yaml"
        );
    }
}
