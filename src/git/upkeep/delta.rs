//! The difference between two objects as packs hold it (`gitformat-pack`, "Deltified representation").
//! Pure. Applied to the one it gives the other, byte for byte; it is not always the shortest.

use std::collections::HashMap;

/// Stretches of so many bytes are looked for.
const BLOCK: usize = 16;
/// The longest stretch one instruction copies, and the most bytes one instruction inserts.
const MOST_COPIED: usize = 0x1_0000;
const MOST_INSERTED: usize = 0x7f;

/// How `target` comes out of `base`; none when that takes `limit` bytes or more.
pub(super) fn delta(base: &[u8], target: &[u8], limit: usize) -> Option<Vec<u8>> {
    let blocks: HashMap<&[u8], usize> = (0..base.len() / BLOCK).rev().map(|nth| (&base[nth * BLOCK..(nth + 1) * BLOCK], nth * BLOCK)).collect();
    let mut out = size(base.len());
    out.extend(size(target.len()));
    // What was not found in the base begins here.
    let (mut unknown, mut at) = (0, 0);
    while at + BLOCK <= target.len() {
        let Some(found) = blocks.get(&target[at..at + BLOCK]).copied() else {
            at += 1;
            continue;
        };
        let back = base[..found].iter().rev().zip(target[unknown..at].iter().rev()).take_while(|(a, b)| a == b).count();
        let ahead = base[found..].iter().zip(&target[at..]).take_while(|(a, b)| a == b).count();
        insert(&target[unknown..at - back], &mut out);
        copy(found - back, back + ahead, &mut out);
        at += ahead;
        unknown = at;
        if out.len() >= limit {
            return None;
        }
    }
    insert(&target[unknown..], &mut out);
    (out.len() < limit).then_some(out)
}

fn size(bytes: usize) -> Vec<u8> {
    let (mut out, mut left) = (Vec::new(), bytes);
    while left >= 0x80 {
        out.push(low(left) | 0x80);
        left >>= 7;
    }
    out.push(low(left));
    out
}

fn low(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

fn insert(bytes: &[u8], out: &mut Vec<u8>) {
    for part in bytes.chunks(MOST_INSERTED) {
        out.push(low(part.len()));
        out.extend_from_slice(part);
    }
}

fn copy(mut from: usize, mut length: usize, out: &mut Vec<u8>) {
    while length > 0 {
        let part = length.min(MOST_COPIED);
        let (place, mut what) = (out.len(), 0x80);
        out.push(0);
        for (nth, byte) in from.to_le_bytes()[..4].iter().enumerate().filter(|(_, byte)| **byte != 0) {
            what |= 1 << nth;
            out.push(*byte);
        }
        // The longest is written as no length at all.
        let written = if part == MOST_COPIED { 0 } else { part };
        for (nth, byte) in written.to_le_bytes()[..2].iter().enumerate().filter(|(_, byte)| **byte != 0) {
            what |= 0x10 << nth;
            out.push(*byte);
        }
        out[place] = what;
        (from, length) = (from + part, length - part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What git does with a difference.
    fn applied(base: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
        let mut rest = delta.iter().copied();
        let mut size = || {
            let (mut size, mut shift) = (0usize, 0);
            loop {
                let byte = rest.next()?;
                size |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    return Some(size);
                }
            }
        };
        let (of_base, of_target) = (size()?, size()?);
        assert_eq!(of_base, base.len());
        let mut out = Vec::new();
        while let Some(what) = rest.next() {
            if what & 0x80 == 0 {
                assert!(what > 0);
                out.extend((0..what).map(|_| rest.next().expect("bytes")));
                continue;
            }
            let mut number = |bits: std::ops::Range<u32>| {
                let start = bits.start;
                bits.filter(|bit| what & (1 << bit) != 0)
                    .fold(0, |number, bit| number | usize::from(rest.next().expect("a byte")) << (8 * (bit - start)))
            };
            let (from, length) = (number(0..4), number(4..7));
            out.extend_from_slice(base.get(from..from + if length == 0 { 0x1_0000 } else { length })?);
        }
        assert_eq!(of_target, out.len());
        Some(out)
    }

    #[test]
    fn what_is_alike_is_named_and_not_repeated() {
        let base: Vec<u8> = (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let mut target = base.clone();
        target[700_000] ^= 1;
        let delta = delta(&base, &target, usize::MAX).expect("a difference");
        assert!(delta.len() < 200, "{}", delta.len());
        assert_eq!(applied(&base, &delta).as_deref(), Some(target.as_slice()));
        assert_eq!(super::delta(&base, &target, 50), None);
        assert_eq!(applied(b"", &super::delta(b"", b"abc", 100).expect("a difference")).as_deref(), Some(b"abc".as_slice()));
        assert_eq!(applied(b"abc", &super::delta(b"abc", b"", 100).expect("a difference")).as_deref(), Some(b"".as_slice()));
    }

    proptest! {
        #[test]
        fn a_difference_gives_back_what_it_was_made_of(base in prop::collection::vec(0u8..3, 0..400), edits in prop::collection::vec((0usize..400, prop::collection::vec(any::<u8>(), 0..150), 0usize..60), 0..6)) {
            let mut target = base.clone();
            for (at, with, gone) in edits {
                let from = at.min(target.len());
                let to = (from + gone).min(target.len());
                target.splice(from..to, with);
            }
            let delta = delta(&base, &target, usize::MAX).expect("a difference");
            prop_assert_eq!(applied(&base, &delta), Some(target));
        }
    }
}
