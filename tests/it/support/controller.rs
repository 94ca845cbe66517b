//! A sealed-secrets controller: another implementation than the one that seals.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kubeops::seal::{Certificate, SealError};
use std::path::Path;
use std::process::Command;

/// A controller: its certificate, and the private key it never gives away.
pub struct Controller {
    pub directory: tempfile::TempDir,
    pub certificate: Certificate,
    private: OaepPrivateDecryptingKey,
}

/// What `openssl` prints.
pub fn openssl(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().expect("openssl");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

impl Controller {
    pub fn new(kind: &[&str]) -> Result<Self, SealError> {
        let directory = tempfile::tempdir().expect("a directory");
        let common = ["-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=sealed-secret", "-days", "3650"];
        let arguments: Vec<&str> = ["req", "-x509"].into_iter().chain(kind.iter().copied()).chain(common).collect();
        openssl(directory.path(), &arguments);
        let pem = std::fs::read_to_string(directory.path().join("cert.pem")).expect("a certificate");
        let certificate = Certificate::from_pem(&pem)?;
        let der = openssl(directory.path(), &["pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER"]);
        let private = PrivateDecryptingKey::from_pkcs8(&der).expect("a private key");
        Ok(Self { directory, certificate, private: OaepPrivateDecryptingKey::new(private).expect("a private key") })
    }

    /// Its certificate, as `kubeseal --fetch-cert` prints it.
    pub fn pem(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("cert.pem")).expect("a certificate")
    }

    /// Opens a sealed value as the controller does; none when it is not for this label.
    pub fn open(&self, sealed: &str, label: &str) -> Option<Vec<u8>> {
        let bytes = STANDARD.decode(sealed).expect("base64");
        let (length, rest) = bytes.split_at(2);
        let (wrapped, encrypted) = rest.split_at(usize::from(u16::from_be_bytes([length[0], length[1]])));
        let mut room = vec![0; self.private.min_output_size()];
        let label = (!label.is_empty()).then_some(label.as_bytes());
        let session_key = self.private.decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut room, label).ok()?;
        assert_eq!(session_key.len(), 32);
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, session_key).expect("a key"));
        let mut text = encrypted.to_vec();
        key.open_in_place(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut text).ok().map(|open| open.to_vec())
    }
}
