//! What makes two deliveries the same delivery, and two occurrences the same occurrence.
//! An id from an unsigned header never decides alone: the digest of the body is then part of the key.

use crate::types::SourceName;
use sha2::{Digest, Sha256};

/// What a delivery is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// These texts and the digest of the body: any difference in the body makes another delivery.
    WithBody(Vec<String>),
    /// These texts alone: they are signed, or they are the facts the body states.
    Alone(Vec<String>),
}

/// The key of a delivery: 64 hexadecimal characters.
pub(super) fn delivery_key(source: &SourceName, identity: &Identity, body: &[u8]) -> String {
    let (tag, parts, digest) = match identity {
        Identity::WithBody(parts) => ("with-body", parts, Some(Sha256::digest(body))),
        Identity::Alone(parts) => ("alone", parts, None),
    };
    let texts = ["kubeops.delivery.v1", source.as_str(), tag].into_iter().chain(parts.iter().map(String::as_str));
    digest_of(texts.map(str::as_bytes).chain(digest.as_ref().map(|digest| digest.as_slice())))
}

/// The key of an occurrence that is known by texts of its own, whatever delivery brings it: 64 hexadecimal characters.
pub(super) fn occurrence_key(source: &SourceName, parts: &[String]) -> String {
    let texts = ["kubeops.occurrence.v1", source.as_str(), "own"].into_iter().chain(parts.iter().map(String::as_str));
    digest_of(texts.map(str::as_bytes))
}

/// The key of an occurrence that is known only by its place in a delivery: 64 hexadecimal characters.
pub(super) fn occurrence_key_in(source: &SourceName, delivery_key: &str, index: usize) -> String {
    digest_of(["kubeops.occurrence.v1", source.as_str(), "in", delivery_key, &index.to_string()].map(str::as_bytes))
}

/// Each part goes in with its length, so that no two lists of parts give the same bytes.
fn digest_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(source: &str, identity: &Identity, body: &[u8]) -> String {
        delivery_key(&source.parse().expect("a name"), identity, body)
    }

    #[test]
    fn every_part_of_an_identity_matters() {
        let parts = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        let base = key("a", &Identity::WithBody(parts(&["x"])), b"body");
        assert_eq!(base, key("a", &Identity::WithBody(parts(&["x"])), b"body"));
        for other in [
            key("b", &Identity::WithBody(parts(&["x"])), b"body"),
            key("a", &Identity::WithBody(parts(&["y"])), b"body"),
            key("a", &Identity::WithBody(parts(&["x", ""])), b"body"),
            key("a", &Identity::WithBody(parts(&["x"])), b"Body"),
            key("a", &Identity::Alone(parts(&["x"])), b"body"),
        ] {
            assert_ne!(base, other);
        }
        assert_eq!(key("a", &Identity::Alone(parts(&["x"])), b"1"), key("a", &Identity::Alone(parts(&["x"])), b"2"));
        assert_ne!(key("a", &Identity::Alone(parts(&["ab", "c"])), b""), key("a", &Identity::Alone(parts(&["a", "bc"])), b""));
    }

    #[test]
    fn a_known_key_stays_the_same_across_releases() {
        // A changed digest would make every stored delivery look new after an upgrade.
        let identity = Identity::WithBody(vec!["id-1".to_owned()]);
        assert_eq!(key("service-desk", &identity, b"{}"), "7fdf5c290fe704792cdf39fadc8f7ec86b7a94954fd9ea9918136e9251bf218d");
    }
}
