use url::{Host, Url};

/// Whether an address leads to this machine, by its name `localhost` or by a loopback address (RFC 1122 section 3.2.1.3, RFC 4291 section
/// 2.5.3): what is sent there in the clear passes no wire. Names are not looked up.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
