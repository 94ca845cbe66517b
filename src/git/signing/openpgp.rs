//! OpenPGP signatures as `gpg --detach-sign` makes them: version 4, binary, SHA-512 (RFC 9580, section 5.2), without salt.
//! A key that expired, was revoked or may not sign is refused, and so is RSA: its private-key operations leak time (RUSTSEC-2023-0071).

use super::{Wrong, no_key};
use crate::inventory::SigningFormat;
use crate::types::Timestamp;
use pgp::composed::{ArmorOptions, Deserializable, DetachedSignature, SignedSecretKey, SignedSecretSubKey};
use pgp::crypto::{hash::HashAlgorithm, public_key::PublicKeyAlgorithm};
use pgp::packet::{PublicKey, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{
    EcdsaPublicParams, KeyDetails, KeyVersion, Password, PublicParams, S2kParams, SecretParams, SigningKey, StringToKey, Tag, Timestamp as Seconds,
};
use secrecy::{ExposeSecret, SecretString};
use std::io::{Cursor, Write};

/// A key that may sign now.
struct Signer<'k> {
    key: &'k dyn SigningKey,
    secret: &'k SecretParams,
    /// From when on its signatures count.
    since: u32,
}

pub(super) fn sign(key: &SecretString, passphrase: Option<&SecretString>, now: Timestamp, time: Timestamp, content: &[u8]) -> Result<String, Wrong> {
    let key = read(key.expose_secret())?;
    let signer = signer(&key, seconds(now))?;
    // A signature older than its key is none; the event may be older.
    let created = seconds(time).max(signer.since);
    let password = passphrase.map_or_else(Password::empty, |passphrase| Password::from(passphrase.expose_secret()));
    made(&signer, &password, created, content).map_err(|_| match signer.secret {
        SecretParams::Encrypted(_) => Wrong::locked(passphrase),
        SecretParams::Plain(_) => Wrong::key("a signature could not be made with the key; try another one, as `gpg --quick-generate-key` makes"),
    })
}

fn made(signer: &Signer<'_>, password: &Password, created: u32, content: &[u8]) -> pgp::errors::Result<String> {
    let mut config = SignatureConfig::v4(SignatureType::Binary, signer.key.algorithm(), HashAlgorithm::Sha512);
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(Seconds::from_secs(created)))?,
        Subpacket::regular(SubpacketData::IssuerFingerprint(signer.key.fingerprint()))?,
    ];
    config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(signer.key.legacy_key_id()))?];
    let mut hasher = config.into_hasher()?;
    hasher.write_all(content)?;
    DetachedSignature::new(hasher.sign(signer.key, password)?).to_armored_string(ArmorOptions::default())
}

/// The one private key in an armoured text.
fn read(text: &str) -> Result<SignedSecretKey, Wrong> {
    let broken = || no_key(text, SigningFormat::Openpgp);
    if !text.trim_start().starts_with("-----BEGIN PGP PRIVATE KEY BLOCK-----") {
        return Err(broken());
    }
    let (keys, _) = SignedSecretKey::from_armor_many(Cursor::new(text.trim_start())).map_err(|_| broken())?;
    let mut keys = keys.collect::<pgp::errors::Result<Vec<_>>>().map_err(|_| broken())?;
    match (keys.pop(), keys.len()) {
        (Some(key), 0) if key.primary_key.version() == KeyVersion::V4 => Ok(key),
        (Some(_), 0) => Err(Wrong::key("the key is not of version 4, which is what git's programs verify; make one with `gpg --quick-generate-key`")),
        (Some(_), more) => Err(Wrong::Key(format!("it holds {} keys; export the one that is to sign alone", more + 1))),
        (None, _) => Err(broken()),
    }
}

/// The key that signs, as gpg chooses: the newest subkey that may, else the primary key if it may.
fn signer(key: &SignedSecretKey, now: u32) -> Result<Signer<'_>, Wrong> {
    let primary = key.primary_key.public_key();
    let own = own_signature(key, now).ok_or_else(|| Wrong::key("no user id of the key is signed by the key itself; export it anew"))?;
    let revocations = key.details.revocation_signatures.iter();
    if revocations.clone().any(|signature| signature.verify_key(primary).is_ok()) {
        return Err(Wrong::Key(format!("the key {} was revoked; put another one there", named(primary))));
    }
    let born = primary.created_at().as_secs();
    if is_over(born, own, now) {
        return Err(Wrong::Key(format!("the key {} has expired; prolong it with `gpg --quick-set-expire` and export it anew", named(primary))));
    }
    let mut refused = Vec::new();
    let mut best: Option<Signer<'_>> = None;
    for subkey in &key.secret_subkeys {
        match judged(subkey, primary, now) {
            Ok(Some(signer)) if best.as_ref().is_none_or(|best| best.key.created_at() < signer.key.created_at()) => best = Some(signer),
            Ok(_) => {}
            Err(why) => refused.push(why),
        }
    }
    if best.is_none() && may_sign(own) {
        match usable(&key.primary_key, key.primary_key.secret_params()) {
            Ok(()) => best = Some(Signer { key: &key.primary_key, secret: key.primary_key.secret_params(), since: born }),
            Err(why) => refused.push(why),
        }
    }
    best.ok_or_else(|| match refused.as_slice() {
        [] => Wrong::Key(format!("neither the key {} nor a subkey of it may sign; add a signing subkey with `gpg --quick-add-key`", named(primary))),
        reasons => Wrong::Key(reasons.join("; ")),
    })
}

/// The newest statement of the key about itself that holds now: it says what the key may do and for how long.
fn own_signature(key: &SignedSecretKey, now: u32) -> Option<&Signature> {
    let primary = key.primary_key.public_key();
    let direct =
        key.details.direct_signatures.iter().filter(|signature| signature.typ() == Some(SignatureType::Key) && signature.verify_key(primary).is_ok());
    let of_users = key.details.users.iter().flat_map(|user| {
        user.signatures
            .iter()
            .filter(|signature| signature.is_certification() && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok())
    });
    direct.chain(of_users).filter(|signature| holds(signature, now)).max_by_key(|signature| made_at(signature))
}

/// A subkey as a signer; none when it is not for signing.
fn judged<'k>(subkey: &'k SignedSecretSubKey, primary: &PublicKey, now: u32) -> Result<Option<Signer<'k>>, String> {
    let public = subkey.key.public_key();
    let of = |kind: SignatureType| {
        subkey.signatures.iter().filter(move |one| one.typ() == Some(kind) && one.verify_subkey_binding(primary, public).is_ok())
    };
    let Some(binding) = of(SignatureType::SubkeyBinding).filter(|one| holds(one, now)).max_by_key(|one| made_at(one)) else { return Ok(None) };
    if !may_sign(binding) {
        return Ok(None);
    }
    // A signing subkey has to agree to be one (RFC 9580, section 10.1.5).
    if binding.embedded_signature().is_none_or(|back| back.verify_primary_key_binding(public, primary).is_err()) {
        return Err(format!("the signing subkey {} is not bound to its key; export it anew", named(public)));
    }
    if of(SignatureType::SubkeyRevocation).next().is_some() {
        return Err(format!("the signing subkey {} was revoked; add another with `gpg --quick-add-key`", named(public)));
    }
    let born = public.created_at().as_secs();
    if is_over(born, binding, now) {
        return Err(format!("the signing subkey {} has expired; prolong it with `gpg --quick-set-expire` and export it anew", named(public)));
    }
    usable(&subkey.key, subkey.key.secret_params())?;
    let since = born.max(made_at(binding)).max(primary.created_at().as_secs());
    Ok(Some(Signer { key: &subkey.key, secret: subkey.key.secret_params(), since }))
}

/// Whether we sign with a key of this kind, and its private part is here.
fn usable(key: &dyn SigningKey, secret: &SecretParams) -> Result<(), String> {
    let add = "add a signing subkey: `gpg --quick-add-key <fingerprint> ed25519 sign`";
    match (key.algorithm(), key.public_params()) {
        (PublicKeyAlgorithm::EdDSALegacy | PublicKeyAlgorithm::Ed25519, _) => {}
        // The nonces of RFC 6979; on other curves the library takes random ones.
        (PublicKeyAlgorithm::ECDSA, PublicParams::ECDSA(EcdsaPublicParams::P256 { .. } | EcdsaPublicParams::P384 { .. })) => {}
        (PublicKeyAlgorithm::ECDSA, _) => return Err(format!("{} is on a curve that does not sign here; {add}", named(key))),
        (PublicKeyAlgorithm::RSA | PublicKeyAlgorithm::RSASign, _) => {
            return Err(format!("{} is an RSA key, which does not sign here; {add}", named(key)));
        }
        _ => return Err(format!("{} is of a kind that does not sign here; {add}", named(key))),
    }
    // GnuPG exports a stub where the private part stays elsewhere (its S2K extension, type 101).
    let stub = match secret {
        SecretParams::Plain(_) => false,
        SecretParams::Encrypted(secret) => match secret.string_to_key_params() {
            S2kParams::Cfb { s2k, .. } | S2kParams::MalleableCfb { s2k, .. } | S2kParams::Aead { s2k, .. } => {
                matches!(s2k, StringToKey::Private { .. })
            }
            _ => false,
        },
    };
    if stub { Err(format!("the private part of {} is not in it; export it with `gpg --export-secret-subkeys`", named(key))) } else { Ok(()) }
}

fn may_sign(signature: &Signature) -> bool {
    let stated = signature.config().is_some_and(|config| config.hashed_subpackets().any(|one| matches!(one.data, SubpacketData::KeyFlags(_))));
    !stated || signature.key_flags().sign()
}

/// Whether the signature was made by now and has not run out.
fn holds(signature: &Signature, now: u32) -> bool {
    let made = made_at(signature);
    made <= now && signature.signature_expiration_time().is_none_or(|lasts| lasts.as_secs() == 0 || made.saturating_add(lasts.as_secs()) > now)
}

fn is_over(born: u32, signature: &Signature, now: u32) -> bool {
    signature.key_expiration_time().is_some_and(|lasts| lasts.as_secs() != 0 && born.saturating_add(lasts.as_secs()) <= now)
}

fn made_at(signature: &Signature) -> u32 {
    signature.created().map_or(0, Seconds::as_secs)
}

fn named(key: &(impl KeyDetails + ?Sized)) -> String {
    format!("{:X}", key.fingerprint())
}

fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.unix_seconds().max(0)).unwrap_or(u32::MAX)
}
