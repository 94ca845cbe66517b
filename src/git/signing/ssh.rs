//! SSH signatures as `ssh-keygen -Y sign -n git` makes them (OpenSSH's PROTOCOL.sshsig), with the hash SHA-512.
//! Ed25519, and ECDSA with the nonces of RFC 6979: both give the same signature each time.

use super::{Wrong, no_key};
use crate::inventory::SigningFormat;
use secrecy::{ExposeSecret, SecretString};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey, SshSig};

pub(super) fn sign(key: &SecretString, passphrase: Option<&SecretString>, content: &[u8]) -> Result<String, Wrong> {
    let key = unlocked(key.expose_secret(), passphrase)?;
    let failed = || Wrong::key("a signature could not be made with the key; try another one, as `ssh-keygen -t ed25519` makes");
    let signature = SshSig::sign(&key, "git", HashAlg::Sha512, content).map_err(|_| failed())?;
    signature.to_pem(LineEnding::LF).map_err(|_| failed())
}

fn unlocked(text: &str, passphrase: Option<&SecretString>) -> Result<PrivateKey, Wrong> {
    // A file of secrets gives its text without the newline that ends it.
    let key = PrivateKey::from_openssh(format!("{}\n", text.trim())).map_err(|_| no_key(text, SigningFormat::Ssh))?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 | EcdsaCurve::NistP384 } => {}
        Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256 => {
            return Err(Wrong::key("the key lives in a hardware token, which is not here; make one with `ssh-keygen -t ed25519`"));
        }
        other => {
            let message = format!("keys of the type {} do not sign here; make one with `ssh-keygen -t ed25519`", other.as_str());
            return Err(Wrong::Key(message));
        }
    }
    if !key.is_encrypted() {
        return Ok(key);
    }
    let locked = || Wrong::locked(passphrase);
    passphrase.and_then(|passphrase| key.decrypt(passphrase.expose_secret()).ok()).ok_or_else(locked)
}
