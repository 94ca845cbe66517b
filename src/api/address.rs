//! Who is calling: the nearest address on the way that is not one of our own proxies.

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;
use std::net::IpAddr;

/// Entries of `X-Forwarded-For` that are looked at, from its end.
const HOPS: usize = 16;

/// The caller's address. `X-Forwarded-For` is read from its end, only as far as each hop is trusted; what stands before the first
/// one that is not was written by that one and proves nothing. `peer` is none over a unix socket: who can open it is trusted.
pub fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut nearest = peer.map(|peer| peer.to_canonical());
    if nearest.is_some_and(|peer| !is_trusted(peer)) {
        return nearest;
    }
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')).take(HOPS) {
        let Some(address) = parse_hop(hop.trim()) else { return nearest };
        nearest = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    nearest
}

/// An address, or an address with a port as some proxies write it.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.split_once(']')).map_or(hop, |(address, _)| address);
    bare.parse().ok().or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|address| address.ip())).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn client(peer: Option<&str>, lines: &[&str], trusted: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_str(line).expect("a header"));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().expect("a network")).collect();
        client_address(peer.map(|peer| peer.parse().expect("an address")), &headers, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn a_stranger_cannot_name_its_own_address() {
        assert_eq!(client(Some("203.0.113.9"), &["10.0.0.1"], &["10.0.0.0/8"]).as_deref(), Some("203.0.113.9"));
        assert_eq!(client(Some("10.0.0.2"), &["198.51.100.1, 203.0.113.9"], &["10.0.0.0/8"]).as_deref(), Some("203.0.113.9"));
        assert_eq!(client(Some("10.0.0.2"), &["198.51.100.1", "203.0.113.9, 10.1.1.1"], &["10.0.0.0/8"]).as_deref(), Some("203.0.113.9"));
    }

    #[test]
    fn without_trusted_proxies_the_peer_is_the_caller() {
        assert_eq!(client(Some("10.0.0.2"), &["198.51.100.1"], &[]).as_deref(), Some("10.0.0.2"));
        assert_eq!(client(Some("10.0.0.2"), &[], &["10.0.0.0/8"]).as_deref(), Some("10.0.0.2"));
        assert_eq!(client(Some("::ffff:192.0.2.1"), &[], &[]).as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn over_a_unix_socket_the_proxy_in_front_is_believed() {
        assert_eq!(client(None, &["198.51.100.1, 203.0.113.9:4711"], &[]).as_deref(), Some("203.0.113.9"));
        assert_eq!(client(None, &["[2001:db8::1]:443"], &[]).as_deref(), Some("2001:db8::1"));
        assert_eq!(client(None, &["unknown"], &[]), None);
        assert_eq!(client(None, &[], &[]), None);
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(line in "[ -~]{0,80}") {
            let _ = client(None, &[&line], &["10.0.0.0/8"]);
        }
    }
}
