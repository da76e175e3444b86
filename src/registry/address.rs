//! Which of the addresses that a registry names are followed.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::Url;

use super::error::HTTP_ADDRESS;
use super::resolver::Floors;
use super::runtime;

/// How near an address is. A registry may send us outward, never nearer than it is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// This machine.
    Loopback,
    /// This cable, and the clouds' metadata services.
    Link,
    /// This site's network.
    Private,
    /// Anywhere.
    Public,
}

pub(super) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return reach_v4(v4);
            }
            if v6.is_loopback() || v6.is_unspecified() {
                Reach::Loopback
            } else if v6.is_unicast_link_local() {
                Reach::Link
            } else if v6.is_unique_local() {
                Reach::Private
            } else {
                Reach::Public
            }
        }
    }
}

fn reach_v4(v4: Ipv4Addr) -> Reach {
    let [a, b, ..] = v4.octets();
    if v4.is_loopback() || a == 0 {
        Reach::Loopback
    } else if v4.is_link_local() {
        Reach::Link
    } else if v4.is_private() || (a == 100 && (64..128).contains(&b)) {
        Reach::Private
    } else {
        Reach::Public
    }
}

/// How near the nearest of a host's addresses is; a host without any is taken for public, and cannot be reached.
fn nearest(addresses: &[IpAddr]) -> Reach {
    addresses.iter().map(|address| reach(*address)).min().unwrap_or(Reach::Public)
}

/// Whether two addresses are of one origin (RFC 6454): only there do credentials go.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

fn joined(base: &Url, text: &str) -> Result<Url, (String, &'static str)> {
    let mut url = base.join(text).map_err(|_| ("a text".to_owned(), "which is no address"))?;
    url.set_fragment(None);
    Ok(url)
}

/// The address that `text`, found in an answer from `base`, stands for; or the rule that it breaks, with the address.
pub(super) async fn follow(
    registry: &Url,
    base: &Url,
    text: &str,
    floors: &Floors,
) -> Result<Url, (String, &'static str)> {
    let url = joined(base, text)?;
    match check(registry, &url, floors).await {
        Ok(()) => Ok(url),
        Err(reason) => Err((super::error::redacted(&url), reason)),
    }
}

/// The same for a file whose content is known or signed: from one host without TLS to another as well, and never from one
/// with TLS to one without.
pub(super) async fn follow_content(
    first: &Url,
    base: &Url,
    text: &str,
    floors: &Floors,
) -> Result<Url, (String, &'static str)> {
    let url = joined(base, text)?;
    let checked = async {
        check_content(&url)?;
        if base.scheme() == "https" && url.scheme() != "https" {
            return Err("which is without TLS");
        }
        far_enough(first, &url, floors).await
    };
    checked.await.map_err(|reason| (super::error::redacted(&url), reason))?;
    Ok(url)
}

/// Whether `url`, named by `registry`, may be followed. The verdict binds the host: connections to it are made to no
/// nearer address, whatever its name stands for by then.
pub(super) async fn check(registry: &Url, url: &Url, floors: &Floors) -> Result<(), &'static str> {
    // A registry that is spoken to without TLS is so all the way.
    if same_origin(registry, url) && registry.scheme() == "http" && has_no_user(url) {
        return Ok(());
    }
    check_alone(url)?;
    far_enough(registry, url, floors).await
}

async fn far_enough(registry: &Url, url: &Url, floors: &Floors) -> Result<(), &'static str> {
    if same_origin(registry, url) {
        return Ok(());
    }
    let (Some(from), Some(to)) = (host_of(registry), host_of(url)) else {
        return Err("which has no host");
    };
    let host = to;
    let to = nearest(&addresses(&host).await);
    // Only a near address needs to know how near the registry is.
    if to < Reach::Public && to < nearest(&addresses(&from).await) {
        return Err("which is nearer to this machine than the registry is");
    }
    floors.set(&host, to);
    Ok(())
}

/// Whether an address that nobody but the user named may be asked.
pub(super) fn check_alone(url: &Url) -> Result<(), &'static str> {
    if !has_no_user(url) {
        return Err("which carries a user or a password");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_local(url) => Ok(()),
        "http" => Err(HTTP_ADDRESS),
        _ => Err("which is neither https nor http"),
    }
}

/// Whether an address may be asked for a file whose content is checked whatever way it came.
pub(super) fn check_content(url: &Url) -> Result<(), &'static str> {
    if !has_no_user(url) {
        return Err("which carries a user or a password");
    }
    if matches!(url.scheme(), "https" | "http") { Ok(()) } else { Err("which is neither https nor http") }
}

fn has_no_user(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

fn host_of(url: &Url) -> Option<String> {
    url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned())
}

/// Whether an address is one of this machine.
pub(super) fn is_local(url: &Url) -> bool {
    host_of(url).is_some_and(|host| is_this_machine(&host))
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn addresses(host: &str) -> Vec<IpAddr> {
    match host.parse() {
        Ok(address) => vec![address],
        Err(_) if host == "localhost" => vec![Ipv4Addr::LOCALHOST.into()],
        Err(_) => runtime::addresses(host).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::runtime::Runtime;
    use crate::system::Cancel;

    #[test]
    fn addresses_are_as_near_as_they_are() {
        for (address, expected) in [
            ("127.0.0.1", Reach::Loopback),
            ("0.0.0.0", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::", Reach::Loopback),
            ("::ffff:127.0.0.1", Reach::Loopback),
            ("169.254.169.254", Reach::Link),
            ("fe80::1", Reach::Link),
            ("10.1.2.3", Reach::Private),
            ("172.16.0.1", Reach::Private),
            ("192.168.1.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("fd00::1", Reach::Private),
            ("::ffff:10.0.0.1", Reach::Private),
            ("172.32.0.1", Reach::Public),
            ("100.128.0.1", Reach::Public),
            ("8.8.8.8", Reach::Public),
            ("2606:4700::1", Reach::Public),
        ] {
            assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_registry_never_sends_us_nearer() {
        const NEARER: &str = "which is nearer to this machine than the registry is";
        let runtime = Runtime::default();
        for (registry, location, expected) in [
            (
                "https://8.8.8.8/v2/",
                "/v2/x/blobs/uploads/1?_state=a",
                Ok("https://8.8.8.8/v2/x/blobs/uploads/1?_state=a"),
            ),
            ("https://8.8.8.8/v2/", "https://9.9.9.9/b?sig=1", Ok("https://9.9.9.9/b?sig=1")),
            ("https://8.8.8.8/v2/", "https://10.0.0.1/", Err(NEARER)),
            ("https://8.8.8.8/v2/", "https://127.0.0.1/", Err(NEARER)),
            ("https://8.8.8.8/v2/", "https://localhost/", Err(NEARER)),
            ("https://8.8.8.8/v2/", "https://[::1]/", Err(NEARER)),
            ("https://8.8.8.8/v2/", "https://[::ffff:a00:1]/", Err(NEARER)),
            ("https://8.8.8.8/v2/", "https://2130706433/", Err(NEARER)),
            ("https://8.8.8.8/v2/", "http://127.0.0.1/", Err(NEARER)),
            ("https://8.8.8.8/v2/", "http://9.9.9.9/", Err(HTTP_ADDRESS)),
            ("https://8.8.8.8/v2/", "http://8.8.8.8/v2/", Err(HTTP_ADDRESS)),
            ("https://8.8.8.8/v2/", "//9.9.9.9/x", Ok("https://9.9.9.9/x")),
            ("https://8.8.8.8/v2/", "ftp://9.9.9.9/", Err("which is neither https nor http")),
            ("https://8.8.8.8/v2/", "https://u:p@9.9.9.9/", Err("which carries a user or a password")),
            ("https://8.8.8.8/v2/", "https://[", Err("which is no address")),
            ("https://10.0.0.9/v2/", "https://10.0.0.1/", Ok("https://10.0.0.1/")),
            ("https://10.0.0.9/v2/", "https://169.254.169.254/latest", Err(NEARER)),
            ("https://10.0.0.9/v2/", "https://127.0.0.1/", Err(NEARER)),
            ("http://10.0.0.9:5000/v2/", "/v2/x?y=z", Ok("http://10.0.0.9:5000/v2/x?y=z")),
            ("http://10.0.0.9:5000/v2/", "http://10.0.0.9:6000/x", Err(HTTP_ADDRESS)),
            ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:6000/x", Ok("http://127.0.0.1:6000/x")),
            ("http://127.0.0.1:5000/v2/", "http://[::1]:6000/x", Ok("http://[::1]:6000/x")),
            ("http://127.0.0.1:5000/v2/", "http://10.0.0.1/x", Err(HTTP_ADDRESS)),
            ("http://127.0.0.1:5000/v2/", "https://10.0.0.1/x", Ok("https://10.0.0.1/x")),
        ] {
            let base = Url::parse(registry).unwrap();
            let followed = runtime
                .run(&Cancel::new(), async { Ok(follow(&base, &base, location, &Floors::default()).await) })
                .unwrap();
            let followed = followed.as_ref().map(Url::as_str).map_err(|(_, reason)| *reason);
            assert_eq!(followed, expected, "{registry} → {location}");
        }
    }

    #[test]
    fn a_refused_address_is_shown_without_secrets() {
        let base = Url::parse("https://8.8.8.8/").unwrap();
        for text in ["ftp://u:geheim@x/?geheim", "https://u:geheim@["] {
            let (shown, _) = Runtime::default()
                .run(&Cancel::new(), async { Ok(follow(&base, &base, text, &Floors::default()).await) })
                .unwrap()
                .unwrap_err();
            assert!(!shown.contains("geheim"), "{shown}");
        }
    }
}
