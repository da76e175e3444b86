//! Names become addresses: where a registry sent us, only such as were judged.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{Reach, reach};
use super::runtime::look_up;

/// How near the addresses of a host may be that a registry named. A name can stand for another address from one question
/// to the next (DNS rebinding), so that a verdict holds for the connection too.
#[derive(Clone, Default)]
pub(super) struct Floors(Arc<Mutex<BTreeMap<String, Reach>>>);

impl Floors {
    /// From now on `host` is reached at addresses that are as far as `reach`, or farther. Of several verdicts the nearest
    /// holds: each was given.
    pub(super) fn set(&self, host: &str, reach: Reach) {
        let mut floors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let floor = floors.entry(host.to_ascii_lowercase()).or_insert(reach);
        *floor = reach.min(*floor);
    }

    /// Those of the addresses that may be connected to.
    fn allowed(&self, host: &str, addresses: Vec<IpAddr>) -> io::Result<Vec<IpAddr>> {
        let floors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(floor) = floors.get(&host.to_ascii_lowercase()) else { return Ok(addresses) };
        let some = !addresses.is_empty();
        let allowed: Vec<IpAddr> =
            addresses.into_iter().filter(|address| reach(*address) >= *floor).collect();
        if some && allowed.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "its name stands for a nearer address than before",
            ));
        }
        Ok(allowed)
    }
}

impl Resolve for Floors {
    fn resolve(&self, name: Name) -> Resolving {
        let floors = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            let allowed = floors.allowed(host, look_up(host).await?)?;
            let addresses: Addrs = Box::new(allowed.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::runtime::Runtime;
    use crate::system::Cancel;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_name_that_turned_inward_is_not_connected_to() {
        let floors = Floors::default();
        floors.set("CDN.example", Reach::Public);
        floors.set("near.example", Reach::Public);
        floors.set("near.example", Reach::Private);
        for (host, found, expected) in [
            ("cdn.example", vec!["9.9.9.9", "10.0.0.1"], Some(vec!["9.9.9.9"])),
            ("cdn.EXAMPLE", vec!["127.0.0.1"], None),
            ("cdn.example", vec!["169.254.169.254", "::1", "::ffff:10.0.0.1"], None),
            ("cdn.example", vec![], Some(vec![])),
            ("near.example", vec!["10.0.0.1", "127.0.0.1"], Some(vec!["10.0.0.1"])),
            // Nobody but the user named it.
            ("registry.example", vec!["127.0.0.1"], Some(vec!["127.0.0.1"])),
        ] {
            let allowed = floors.allowed(host, addresses(&found)).ok();
            assert_eq!(allowed, expected.map(|texts| addresses(&texts)), "{host} {found:?}");
        }
    }

    #[test]
    fn the_client_asks_it() {
        let floors = Floors::default();
        floors.set("localhost", Reach::Public);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().dns_resolver(Arc::new(floors)).build().unwrap();
        let error = Runtime::default()
            .run(&Cancel::new(), async { Ok(client.get("http://localhost:1/").send().await.unwrap_err()) })
            .unwrap();
        let cause = crate::registry::clients::deepest(&error);
        assert_eq!(cause.to_string(), "its name stands for a nearer address than before");
    }
}
