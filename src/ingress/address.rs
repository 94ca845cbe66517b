//! Who sent it, by address: the hop behind the trusted proxies, and the allow-list.
//! It believes no header that a trusted proxy did not add.

use super::{Headers, IngressError};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// The address a request came from: `peer`, unless `peer` is a trusted proxy; then the rightmost entry of
/// `X-Forwarded-For` that is not a trusted proxy itself (the leftmost entry when all are).
///
/// Everything left of that entry was written by the client and is not looked at.
///
/// # Errors
/// [`IngressError::Forwarded`] when an entry that must be looked at is not an address.
pub fn client_address(peer: IpAddr, headers: &dyn Headers, trusted: &[IpNet]) -> Result<IpAddr, IngressError> {
    let mut client = peer.to_canonical();
    if !contains(trusted, client) {
        return Ok(client);
    }
    let mut lines = Vec::new();
    headers.each(&mut |name, value| {
        if name.eq_ignore_ascii_case("x-forwarded-for") {
            lines.push(value.to_vec());
        }
    });
    for line in lines.iter().rev() {
        let line = std::str::from_utf8(line).map_err(|_| IngressError::Forwarded)?;
        for entry in line.rsplit(',') {
            client = parse_entry(entry.trim()).ok_or(IngressError::Forwarded)?;
            if !contains(trusted, client) {
                return Ok(client);
            }
        }
    }
    Ok(client)
}

/// Whether one of `networks` holds `address`; an IPv4 address written as IPv6 is the IPv4 address.
pub(super) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// `192.0.2.1/32`, `192.0.2.0/24`, or a single address.
pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// An address, with or without a port, IPv6 with or without brackets.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip())).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> Result<String, IngressError> {
        let headers: Vec<(&str, &[u8])> = forwarded.iter().map(|line| ("X-Forwarded-For", line.as_bytes())).collect();
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().expect("a network")).collect();
        client_address(peer.parse().expect("an address"), &headers.as_slice(), &trusted).map(|address| address.to_string())
    }

    #[test]
    fn an_untrusted_peer_is_believed_over_its_headers() {
        assert_eq!(client("192.0.2.7", &["10.0.0.1", "garbage"]).as_deref(), Ok("192.0.2.7"));
    }

    #[test]
    fn behind_trusted_proxies_the_rightmost_untrusted_hop_counts() {
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 192.0.2.7, 10.0.0.2"]).as_deref(), Ok("192.0.2.7"));
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "192.0.2.7", "10.0.0.2"]).as_deref(), Ok("192.0.2.7"));
        assert_eq!(client("fd00::1", &["[2001:db8::1]:4711"]).as_deref(), Ok("2001:db8::1"));
        assert_eq!(client("10.0.0.1", &["192.0.2.7:80"]).as_deref(), Ok("192.0.2.7"));
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:192.0.2.7"]).as_deref(), Ok("192.0.2.7"));
    }

    #[test]
    fn without_an_untrusted_hop_the_farthest_one_counts() {
        assert_eq!(client("10.0.0.1", &[]).as_deref(), Ok("10.0.0.1"));
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]).as_deref(), Ok("10.0.0.3"));
    }

    #[test]
    fn garbage_that_must_be_looked_at_is_refused_and_other_garbage_is_not() {
        for garbage in ["unknown", "_hidden", "", "192.0.2.7, ", "192.0.2.7, 10.0.0.2 x", "1.2.3", "192.0.2.7:99999"] {
            assert_eq!(client("10.0.0.1", &[garbage]), Err(IngressError::Forwarded), "{garbage:?}");
        }
        assert_eq!(client("10.0.0.1", &["<script>, 192.0.2.7"]).as_deref(), Ok("192.0.2.7"));
    }

    #[test]
    fn an_allow_list_knows_ipv4_inside_ipv6() {
        let networks = [parse_network("192.0.2.0/24").expect("a network"), parse_network("2001:db8::1").expect("an address")];
        for inside in ["192.0.2.255", "::ffff:192.0.2.1", "2001:db8::1"] {
            assert!(contains(&networks, inside.parse().expect("an address")), "{inside}");
        }
        for outside in ["192.0.3.0", "2001:db8::2", "::192.0.2.1"] {
            assert!(!contains(&networks, outside.parse().expect("an address")), "{outside}");
        }
        assert_eq!(parse_network("192.0.2.0/33"), None);
    }
}
