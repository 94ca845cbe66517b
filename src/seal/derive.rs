//! Where seed and session key come from: HMAC-SHA256 under a secret of the server over everything that is sealed.
//!
//! Sealing draws them at random elsewhere. Here a request that is planned again has to give the same bytes, or every plan would
//! be a new commit and no request could find that nothing differs. So they are a function of the value and its place:
//!
//! - To whoever lacks the sealing key the function's results look random (HMAC is a pseudorandom function), so a derived session
//!   key is as good as a drawn one. Another value, place or certificate has a session key of its own, so the controller's nonce of
//!   zeros never meets one key twice.
//! - What does show: two commits with the same ciphertext hold the same value in the same place. That is what is wanted.
//! - Whoever has the sealing key and a ciphertext can check guesses of the value. It is to be kept as the values are. Changing
//!   it makes new ciphertexts for old values, once, and needs nothing else.

use super::Scope;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;

/// Says what the bytes are derived for, and in which way; another way gets another text.
const PURPOSE: &[u8] = b"kubeops sealed-secret v1";

/// Where a value goes.
pub(super) struct Place<'a> {
    /// SHA-256 of the certificate.
    pub certificate: &'a [u8; 32],
    pub scope: Scope<'a>,
    /// The key of the Secret.
    pub key: &'a str,
}

/// What sealing would draw at random.
pub(super) struct Derived {
    /// The AES-256 key.
    pub session_key: Zeroizing<[u8; 32]>,
    /// OAEP's seed.
    pub seed: Zeroizing<[u8; 32]>,
}

pub(super) fn derive(sealing_key: &[u8], place: &Place<'_>, value: &[u8]) -> Derived {
    let (scope, namespace, name) = match place.scope {
        Scope::Strict { namespace, name } => ("strict", namespace, name),
        Scope::NamespaceWide { namespace } => ("namespace-wide", namespace, ""),
        Scope::ClusterWide => ("cluster-wide", "", ""),
    };
    let parts = [PURPOSE, &place.certificate[..], scope.as_bytes(), namespace.as_bytes(), name.as_bytes(), place.key.as_bytes(), value];
    let inner = Zeroizing::new(mac(sealing_key, &parts));
    Derived { session_key: Zeroizing::new(mac(&*inner, &[b"session key"])), seed: Zeroizing::new(mac(&*inner, &[b"oaep seed"])) }
}

/// HMAC-SHA256 (RFC 2104) over the parts, each behind its length, so that no two lists run together to the same bytes.
fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes a key of any length"),
    };
    for part in parts {
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_part_of_the_place_and_the_value_changes_both() {
        let strict = |namespace, name| Scope::Strict { namespace, name };
        let place = |certificate: &'static [u8; 32], scope, key| Place { certificate, scope, key };
        let cases: Vec<(&[u8], Place<'_>, &[u8])> = vec![
            (b"key", place(&[0; 32], strict("a", "b"), "k"), b"v"),
            (b"key", place(&[0; 32], strict("a", "b"), "k"), b"w"),
            (b"key", place(&[0; 32], strict("a", "b"), "l"), b"v"),
            (b"key", place(&[0; 32], strict("a", "c"), "k"), b"v"),
            (b"key", place(&[0; 32], strict("ab", ""), "k"), b"v"),
            (b"key", place(&[0; 32], Scope::NamespaceWide { namespace: "ab" }, "k"), b"v"),
            (b"key", place(&[0; 32], Scope::ClusterWide, "k"), b"v"),
            (b"key", place(&[0; 32], Scope::ClusterWide, ""), b"kv"),
            (b"key", place(&[1; 32], strict("a", "b"), "k"), b"v"),
            (b"kez", place(&[0; 32], strict("a", "b"), "k"), b"v"),
        ];
        let mut seen = BTreeSet::new();
        for (key, place, value) in &cases {
            let derived = derive(key, place, value);
            assert!(seen.insert(*derived.session_key) && seen.insert(*derived.seed));
            let again = derive(key, place, value);
            assert_eq!((*again.session_key, *again.seed), (*derived.session_key, *derived.seed));
        }
        assert_eq!(seen.len(), 2 * cases.len());
    }

    /// RFC 4231, test case 2, by way of one part: the length comes first.
    #[test]
    fn it_is_hmac_sha256() {
        let mut expected = Hmac::<Sha256>::new_from_slice(b"Jefe").expect("a key");
        expected.update(&[0, 0, 0, 0, 0, 0, 0, 28]);
        expected.update(b"what do ya want for nothing?");
        let expected: [u8; 32] = expected.finalize().into_bytes().into();
        assert_eq!(mac(b"Jefe", &[b"what do ya want for nothing?"]), expected);
    }
}
