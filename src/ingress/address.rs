//! Who may send, by address: the allow-list of a source.

use ipnet::IpNet;
use std::net::IpAddr;

/// Whether one of `networks` holds `address`; an IPv4 address written as IPv6 is the IPv4 address.
pub(super) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// `192.0.2.1/32`, `192.0.2.0/24`, or a single address.
pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

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
