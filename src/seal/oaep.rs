//! RSAES-OAEP with SHA-256 (RFC 8017, section 7.1) under a given seed: encryption alone, there is no private key here.
//! The public operation takes the same time whatever is encrypted. Decryption, where OAEP is delicate, happens in the cluster.

use super::certificate::{Bits, PublicKey};
use crypto_bigint::modular::runtime_mod::{DynResidue, DynResidueParams};
use crypto_bigint::{U2048, U3072, U4096, Uint, Word};
use secrecy::zeroize::Zeroizing;
use sha2::{Digest, Sha256};

const HASH: usize = 32;

/// Encrypts a session key. The result is as long as the modulus.
pub(super) fn encrypt(key: &PublicKey, label: &[u8], message: &[u8; 32], seed: &[u8; HASH]) -> Vec<u8> {
    let padded = pad(key.modulus.len(), label, message, seed);
    match key.bits {
        Bits::B2048 => power::<{ U2048::LIMBS }>(&padded, key),
        Bits::B3072 => power::<{ U3072::LIMBS }>(&padded, key),
        Bits::B4096 => power::<{ U4096::LIMBS }>(&padded, key),
    }
}

/// EME-OAEP: `00 || seed masked || (hash of the label || zeros || 01 || message) masked`.
fn pad(length: usize, label: &[u8], message: &[u8], seed: &[u8; HASH]) -> Zeroizing<Vec<u8>> {
    let mut padded = Zeroizing::new(vec![0; length]);
    let (head, block) = padded.split_at_mut(1 + HASH);
    let masked_seed = &mut head[1..];
    block[..HASH].copy_from_slice(&Sha256::digest(label));
    let begin = block.len() - message.len();
    block[begin - 1] = 1;
    block[begin..].copy_from_slice(message);
    mask(block, seed);
    masked_seed.copy_from_slice(seed);
    mask(masked_seed, block);
    padded
}

/// XORs MGF1 (RFC 8017, appendix B.2.1) of `seed` onto `target`.
fn mask(target: &mut [u8], seed: &[u8]) {
    for (counter, chunk) in (0_u32..).zip(target.chunks_mut(HASH)) {
        let block = Zeroizing::new(<[u8; HASH]>::from(Sha256::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize()));
        chunk.iter_mut().zip(block.iter()).for_each(|(byte, with)| *byte ^= with);
    }
}

/// `padded ^ exponent mod modulus` (RSAEP), in constant time but for the exponent, which is public.
fn power<const LIMBS: usize>(padded: &[u8], key: &PublicKey) -> Vec<u8> {
    let parameters = DynResidueParams::new(&Uint::<LIMBS>::from_be_slice(&key.modulus));
    let base = DynResidue::new(&Uint::<LIMBS>::from_be_slice(padded), parameters);
    let exponent = Uint::<LIMBS>::from_u32(key.exponent);
    let words: [Word; LIMBS] = base.pow_bounded_exp(&exponent, 32).retrieve().to_words();
    words.iter().rev().flat_map(|word| word.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mask of a seed, as the first bytes of what zeros become.
    #[test]
    fn a_mask_taken_twice_is_none() {
        let mut target = *b"a text of more bytes than one hash has, so that the counter counts";
        mask(&mut target, b"seed");
        assert_ne!(&target[..6], b"a text");
        mask(&mut target, b"seed");
        assert_eq!(&target[..6], b"a text");
    }

    #[test]
    fn small_powers_are_those_of_arithmetic() {
        let mut modulus = vec![0; 256];
        modulus[0] = 0x80;
        modulus[255] = 1;
        let key = PublicKey { modulus, exponent: 5, bits: Bits::B2048 };
        let mut base = vec![0; 256];
        base[255] = 7;
        let power = power::<{ U2048::LIMBS }>(&base, &key);
        assert_eq!(power.len(), 256);
        assert_eq!(power[254..], 16_807_u16.to_be_bytes(), "7^5");
    }
}
