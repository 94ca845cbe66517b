//! The certificate of a sealed-secrets controller: its RSA key is all that is used of it.
//! Who signed it is not asked: the controller signs it itself, and an operator puts it where it is read.

use super::SealError;
use pkcs1::RsaPublicKey;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use x509_cert::der::{Decode, DecodePem, Encode};

/// RSA's object identifier (RFC 8017, appendix C).
const RSA: &str = "1.2.840.113549.1.1.1";

/// How many bits an RSA key of the controller may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bits {
    B2048,
    B3072,
    B4096,
}

/// An RSA public key.
#[derive(Debug, Clone)]
pub(super) struct PublicKey {
    /// Big endian, without leading zeros.
    pub modulus: Vec<u8>,
    pub exponent: u32,
    pub bits: Bits,
}

/// A controller's certificate. In a document it is its text in PEM.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Certificate {
    pem: String,
    key: PublicKey,
    digest: [u8; 32],
    not_after: u64,
}

impl Certificate {
    /// Reads a certificate in PEM (RFC 7468), as `kubeseal --fetch-cert` prints it.
    ///
    /// # Errors
    /// [`SealError::Certificate`]: it cannot be read, or its key is no RSA key of 2,048, 3,072 or 4,096 bits.
    pub fn from_pem(pem: &str) -> Result<Self, SealError> {
        let unusable = |why: &str| SealError::Certificate(why.to_owned());
        if pem.contains("PRIVATE KEY") {
            return Err(unusable("this is a private key, which the controller alone may have: take it away, and give the controller another"));
        }
        let certificate =
            x509_cert::Certificate::from_pem(pem.trim()).map_err(|error| SealError::Certificate(format!("it is no certificate in PEM: {error}")))?;
        let spki = &certificate.tbs_certificate.subject_public_key_info;
        if spki.algorithm.oid.to_string() != RSA {
            return Err(unusable("its key is no RSA key"));
        }
        let bytes = spki.subject_public_key.as_bytes().ok_or_else(|| unusable("its key cannot be read"))?;
        let key = RsaPublicKey::from_der(bytes).map_err(|_| unusable("its key cannot be read"))?;
        let encoded = certificate.to_der().map_err(|_| unusable("it cannot be read"))?;
        Ok(Self {
            pem: pem.to_owned(),
            key: PublicKey::new(key.modulus.as_bytes(), key.public_exponent.as_bytes()).map_err(|why| unusable(&why))?,
            digest: Sha256::digest(encoded).into(),
            not_after: certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs(),
        })
    }

    /// When it ends, in seconds since 1970. The controller opens what was sealed with an older one too; a newer one is to be fetched.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// SHA-256 over its DER encoding.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    pub(super) fn public_key(&self) -> &PublicKey {
        &self.key
    }
}

impl TryFrom<String> for Certificate {
    type Error = SealError;
    fn try_from(pem: String) -> Result<Self, SealError> {
        Self::from_pem(&pem)
    }
}

impl From<Certificate> for String {
    fn from(certificate: Certificate) -> String {
        certificate.pem
    }
}

impl JsonSchema for Certificate {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Certificate".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl PublicKey {
    fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, String> {
        let modulus: Vec<u8> = modulus.iter().copied().skip_while(|byte| *byte == 0).collect();
        let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
        let bits = match bits {
            2048 => Bits::B2048,
            3072 => Bits::B3072,
            4096 => Bits::B4096,
            other => return Err(format!("its RSA key has {other} bits; 2048, 3072 and 4096 can be used")),
        };
        let wide = exponent.iter().try_fold(0_u32, |sum, byte| sum.checked_mul(256)?.checked_add(u32::from(*byte)));
        // NIST SP 800-56B: odd, and above 2^16.
        let exponent = wide.filter(|exponent| *exponent > 65_536 && exponent % 2 == 1).ok_or("the exponent of its RSA key is none that is in use")?;
        if modulus.last().is_none_or(|last| last % 2 == 0) {
            return Err("its RSA key is even, so it is none".to_owned());
        }
        Ok(Self { modulus, exponent, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_sizes_even_ones_and_odd_exponents_are_refused() {
        let modulus = |bytes: usize, last: u8| {
            let mut modulus = vec![0xff; bytes];
            modulus[bytes - 1] = last;
            modulus
        };
        assert!(PublicKey::new(&modulus(256, 1), &[1, 0, 1]).is_ok_and(|key| key.bits == Bits::B2048 && key.exponent == 65_537));
        let mut leading = vec![0];
        leading.extend(modulus(512, 3));
        assert!(PublicKey::new(&leading, &[1, 0, 1]).is_ok_and(|key| key.bits == Bits::B4096 && key.modulus.len() == 512));
        for (modulus, exponent) in [
            (modulus(128, 1), &[1, 0, 1][..]),
            (modulus(255, 1), &[1, 0, 1]),
            (modulus(256, 2), &[1, 0, 1]),
            (modulus(256, 1), &[3]),
            (modulus(256, 1), &[1, 0, 0]),
            (modulus(256, 1), &[1, 0, 0, 0, 1]),
            (Vec::new(), &[1, 0, 1]),
        ] {
            assert!(PublicKey::new(&modulus, exponent).is_err(), "{} {exponent:?}", modulus.len());
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_the_next_step() {
        for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = Certificate::from_pem(text).expect_err("no certificate").to_string();
            assert!(error.contains("no certificate in PEM") && error.contains("kubeseal --fetch-cert"), "{error}");
        }
        let error =
            Certificate::from_pem("-----BEGIN PRIVATE KEY-----\nbm90IGZvciB5b3U=\n-----END PRIVATE KEY-----\n").expect_err("a key").to_string();
        assert!(error.contains("the controller alone") && !error.contains("bm90"), "{error}");
    }
}
