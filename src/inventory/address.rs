//! Addresses that something secret is sent to, as authors write them.

use crate::types::is_loopback;
use url::Url;

/// An address a secret may be sent to: `https://`, but on this machine, and nothing in it besides host and path.
///
/// # Errors
/// What is wrong, in a sentence without the address: it may hold a password.
pub(super) fn safe(given: &str, what: &str) -> Result<Url, String> {
    let parsed = Url::parse(given).map_err(|error| format!("this is no URL: {error}"))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("an address holds no user name and no password".to_owned());
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(format!("{what} has no `?` and no `#`"));
    }
    match parsed.scheme() {
        "https" => Ok(parsed),
        "http" if is_loopback(&parsed) => Ok(parsed),
        _ => Err("the token would be sent in the clear; only https:// will do, but on this machine".to_owned()),
    }
}
