//! Addresses that something secret is sent to, as authors write them.

use crate::types::is_loopback;
use url::Url;

/// An address a secret may be sent to: `https://`, but on this machine, and nothing in it besides host and path.
///
/// # Errors
/// What is wrong, in a sentence without the address: it may hold a password.
pub(super) fn safe(given: &str, what: &str) -> Result<Url, String> {
    endpoint(given, what, false)
}

/// The same; with `plain_http` in the clear as well, because its author says so.
///
/// # Errors
/// As [`safe`].
pub(super) fn endpoint(given: &str, what: &str, plain_http: bool) -> Result<Url, String> {
    let parsed = Url::parse(given).map_err(|error| format!("this is no URL: {error}"))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("an address holds no user name and no password".to_owned());
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(format!("{what} has no `?` and no `#`"));
    }
    match parsed.scheme() {
        "https" => Ok(parsed),
        "http" if plain_http || is_loopback(&parsed) => Ok(parsed),
        _ => Err("the token would be sent in the clear; only https:// will do, but on this machine".to_owned()),
    }
}

/// Headers that are ours to set, or that hold secrets, whoever is spoken to.
const HEADERS_NOT_SAID: [&str; 9] =
    ["authorization", "connection", "content-length", "content-type", "cookie", "host", "proxy-authorization", "transfer-encoding", "user-agent"];

/// What is wrong with a header an author sets; those of `ours`, of the protocol that is spoken, are not for authors to set either.
pub(super) fn wrong_header(name: &str, value: &str, ours: &[&str]) -> Option<&'static str> {
    let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let visible = value.bytes().all(|b| (b' '..=b'~').contains(&b)) && value.len() <= 1000;
    match name.to_ascii_lowercase().as_str() {
        _ if !token => Some("a header's name has letters, digits and `-`"),
        own if HEADERS_NOT_SAID.contains(&own) || ours.contains(&own) => {
            Some("this header cannot be set here: it is KubeOps' own to set, or holds a secret")
        }
        _ if !visible => Some("a header's value is printable ASCII, 1000 characters at most"),
        _ => None,
    }
}
