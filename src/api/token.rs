//! API tokens as text: `kops_`, 43 characters that hold 256 random bits, 6 that hold a checksum, all in base 62.
//! The prefix and the checksum let secret scanners find one, and let a mistyped one be refused without asking the store.
//! Only the SHA-256 is ever kept. A token has all its bits from a random source, so it needs no slow hash.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const PREFIX: &str = "kops_";
const KEY_CHARACTERS: usize = 43;
const CHECK_CHARACTERS: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The longest name of a token, in characters.
const NAME_LIMIT: usize = 100;

/// A name for a token: the actor in timelines.
///
/// # Errors
/// The rule it breaks, as the rest of a sentence about it.
pub fn token_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().count() > NAME_LIMIT || text.chars().any(char::is_control) {
        return Err(format!("has 1 to {NAME_LIMIT} characters and no control characters"));
    }
    Ok(text.to_owned())
}

/// A token in clear, as its owner has it. Its `Debug` shows nothing.
#[derive(Debug, Clone)]
pub struct Token(SecretString);

impl Token {
    /// The token for 256 random bits. They must come from a generator fit for keys.
    pub fn from_key(key: [u8; 32]) -> Self {
        let mut text = String::with_capacity(PREFIX.len() + KEY_CHARACTERS + CHECK_CHARACTERS);
        text.push_str(PREFIX);
        push_base62(&mut text, key, KEY_CHARACTERS);
        let check = checksum(&text);
        text.push_str(&check);
        Self(text.into())
    }

    /// Reads a token; none when it is not one, by its form or its checksum.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != PREFIX.len() + KEY_CHARACTERS + CHECK_CHARACTERS || !text.starts_with(PREFIX) || !text.is_ascii() {
            return None;
        }
        let (token, check) = text.split_at(text.len() - CHECK_CHARACTERS);
        bool::from(checksum(token).as_bytes().ct_eq(check.as_bytes())).then(|| Self(text.into()))
    }

    /// SHA-256 of the token: what the store keeps.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.expose_secret()).into()
    }

    /// The text, to be shown to its owner once.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// The first 32 bits of the text's SHA-256.
fn checksum(text: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let mut key = [0; 32];
    key[28..].copy_from_slice(&digest[..4]);
    let mut check = String::with_capacity(CHECK_CHARACTERS);
    push_base62(&mut check, key, CHECK_CHARACTERS);
    check
}

/// Appends the big-endian number in base 62, most significant digit first, in exactly `width` characters.
fn push_base62(text: &mut String, mut number: [u8; 32], width: usize) {
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    text.extend(digits.into_iter().map(char::from));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_has_a_prefix_a_fixed_length_and_shows_nothing() {
        for key in [[0; 32], [255; 32]] {
            let token = Token::from_key(key);
            assert_eq!(token.expose().len(), 54);
            assert!(token.expose().starts_with("kops_"));
            assert!(!format!("{token:?}").contains(token.expose()));
        }
    }

    #[test]
    fn a_mistyped_token_is_known_by_its_checksum() {
        let token = Token::from_key([7; 32]);
        let mut text = token.expose().to_owned();
        let wrong = if text.as_bytes()[10] == b'x' { "y" } else { "x" };
        text.replace_range(10..11, wrong);
        assert!(Token::parse(&text).is_none());
        for bad in ["", "kops_", "Bearer x", &token.expose()[1..], &format!("{}0", token.expose())] {
            assert!(Token::parse(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_key_makes_its_own_token_that_reads_back(key in any::<[u8; 32]>(), other in any::<[u8; 32]>()) {
            let token = Token::from_key(key);
            prop_assert_eq!(Token::parse(token.expose()).map(|t| t.hash()), Some(token.hash()));
            prop_assert_eq!(key == other, token.expose() == Token::from_key(other).expose());
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(kops_)?\\PC{0,60}") {
            prop_assert!(Token::parse(&text).is_none());
        }
    }
}
