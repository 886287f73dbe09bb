//! Keeps requests away from addresses that are not the internet's: a platform's endpoint must not
//! lead into our own network unless its settings say so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether an address belongs to the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => address
            .to_ipv4_mapped()
            .map_or_else(|| is_public_v6(address), is_public_v4),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let shared = first == 100 && (64..128).contains(&second);
    let protocol = first == 192 && second == 0 && third == 0;
    let benchmarking = first == 198 && (18..20).contains(&second);
    !(first == 0
        || first >= 240
        || shared
        || protocol
        || benchmarking
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Global unicast is 2000::/3; in it, 2001:db8::/32 is documentation, 2002::/16 (6to4) and
    // 2001:0::/32 (Teredo) hide an IPv4 address.
    (first & 0xe000) == 0x2000
        && first != 0x2002
        && !(first == 0x2001 && (second == 0x0db8 || second == 0))
}

/// Resolves names by the system and lets only public addresses through.
pub(super) struct PublicOnly;

/// A name that leads to nothing but private addresses.
#[derive(Debug, thiserror::Error)]
#[error("{name} is {address}, a private address")]
pub(super) struct PrivateAddress {
    name: String,
    address: IpAddr,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (public, private): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|found| is_public(found.ip()));
            match (public.is_empty(), private.first()) {
                (true, Some(address)) => Err(PrivateAddress {
                    name: name.as_str().to_owned(),
                    address: address.ip(),
                }
                .into()),
                _ => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internets_addresses_are_public() {
        for public in ["8.8.8.8", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }
}
