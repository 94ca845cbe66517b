//! Packs as they stand on disk (`gitformat-pack`): their index, version 2, and the heads of their entries.
//! It reads; what it cannot make sense of is damage, and is said to be.

use git2::Oid;
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The bytes of an id, and of the sum at the end of a pack.
pub(super) const ID: usize = 20;
/// The longest head of an entry: ten bytes for the size, then a base's distance or id.
const MOST_HEAD: usize = 10 + ID;

/// An object in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: Oid,
    /// Where its bytes begin.
    pub(super) at: u64,
    /// Where they end.
    pub(super) end: u64,
    /// The sum of its bytes (CRC-32).
    pub(super) crc: u32,
}

/// What an entry's bytes are, after its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The object itself, of this type.
    Whole(u8),
    /// The difference to an object of the same pack.
    Delta(Oid),
}

/// An entry's head: what follows it, how many bytes that is unpacked, and how long the head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) form: Form,
    pub(super) size: u64,
    pub(super) bytes: usize,
}

/// A pack, open.
pub(super) struct Pack {
    file: File,
    path: PathBuf,
    /// In the order of their places.
    pub(super) entries: Vec<Entry>,
}

impl Pack {
    /// Opens a pack by the path of its index.
    pub(super) fn open(index: &Path) -> std::io::Result<Self> {
        let path = index.with_extension("pack");
        let file = File::open(&path)?;
        let end = file.metadata()?.len().saturating_sub(ID as u64);
        let bytes = std::fs::read(index)?;
        let entries = entries(&bytes, end).ok_or_else(|| damaged(index))?;
        Ok(Self { file, path, entries })
    }

    /// The object whose bytes begin at `at`.
    fn id_at(&self, at: u64) -> Option<Oid> {
        self.entries.binary_search_by_key(&at, |entry| entry.at).ok().map(|found| self.entries[found].id)
    }

    pub(super) fn read(&self, at: u64, into: &mut [u8]) -> std::io::Result<()> {
        self.file.read_exact_at(into, at)
    }

    pub(super) fn head(&self, entry: &Entry) -> std::io::Result<Head> {
        let mut bytes = [0; MOST_HEAD];
        let length = usize::try_from(entry.end.saturating_sub(entry.at)).unwrap_or(usize::MAX).min(MOST_HEAD);
        self.read(entry.at, &mut bytes[..length])?;
        self.parse(entry.at, &bytes[..length]).ok_or_else(|| self.damaged())
    }

    fn parse(&self, at: u64, bytes: &[u8]) -> Option<Head> {
        let mut rest = bytes.iter().copied();
        let mut byte = rest.next()?;
        let (kind, mut size, mut shift) = (byte >> 4 & 7, u64::from(byte & 15), 4);
        while byte & 0x80 != 0 {
            byte = rest.next()?;
            size |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
        }
        let form = match kind {
            1..=4 => Form::Whole(kind),
            6 => {
                byte = rest.next()?;
                let mut back = u64::from(byte & 0x7f);
                while byte & 0x80 != 0 {
                    byte = rest.next()?;
                    back = back.checked_add(1)?.checked_mul(128)? | u64::from(byte & 0x7f);
                }
                Form::Delta(self.id_at(at.checked_sub(back)?)?)
            }
            7 => {
                let from = bytes.len() - rest.len();
                rest.nth(ID - 1)?;
                Form::Delta(Oid::from_bytes(bytes.get(from..from + ID)?).ok()?)
            }
            _ => return None,
        };
        Some(Head { form, size, bytes: bytes.len() - rest.len() })
    }

    pub(super) fn damaged(&self) -> Error {
        damaged(&self.path)
    }
}

fn damaged(path: &Path) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{} is damaged", path.display()))
}

/// The entries of an index, in the order of their places; none when it is not one of version 2.
fn entries(index: &[u8], end: u64) -> Option<Vec<Entry>> {
    let number = |at: usize| Some(u32::from_be_bytes(index.get(at..at.checked_add(4)?)?.try_into().ok()?));
    const IDS: usize = 8 + 256 * 4;
    if index.get(..8)? != b"\xfftOc\x00\x00\x00\x02" {
        return None;
    }
    let count = usize::try_from(number(IDS - 4)?).ok()?;
    let crcs = IDS.checked_add(count.checked_mul(ID)?)?;
    let (offsets, far) = (crcs.checked_add(count * 4)?, crcs.checked_add(count * 8)?);
    let mut entries = Vec::with_capacity(count.min(index.len() / 28));
    for nth in 0..count {
        let id = Oid::from_bytes(index.get(IDS + nth * ID..IDS + (nth + 1) * ID)?).ok()?;
        let at = match number(offsets + nth * 4)? {
            near if near & 0x8000_0000 == 0 => u64::from(near),
            nth => {
                let place = far.checked_add(usize::try_from(nth & 0x7fff_ffff).ok()? * 8)?;
                u64::from(number(place)?) << 32 | u64::from(number(place + 4)?)
            }
        };
        entries.push(Entry { id, at, end, crc: number(crcs + nth * 4)? });
    }
    entries.sort_unstable_by_key(|entry| entry.at);
    for nth in 1..entries.len() {
        entries[nth - 1].end = entries[nth].at;
    }
    entries.iter().all(|entry| entry.at < entry.end).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_are_an_index_that_are_none() {
        let mut index = b"\xfftOc\x00\x00\x00\x02".to_vec();
        assert_eq!(entries(b"", 0), None);
        assert_eq!(entries(&index, 0), None);
        index.extend([0xff; 256 * 4]);
        assert_eq!(entries(&index, 1 << 40), None);
        // One entry that says its place is in a table which is not there.
        let mut one = index[..8].to_vec();
        one.extend(std::iter::repeat_n([0, 0, 0, 1], 256).flatten());
        one.extend([7; 20]);
        one.extend([0; 4]);
        one.extend([0x80, 0, 0, 0]);
        assert_eq!(entries(&one, 100), None);
        one.extend([0, 0, 0, 0, 0, 0, 0, 12]);
        assert_eq!(entries(&one, 100).map(|entries| (entries[0].at, entries[0].end)), Some((12, 100)));
        assert_eq!(entries(&one, 12), None, "an entry has bytes");
    }
}
