//! A new pack out of others: entries are copied as they stand, differences and all, so that it is as small as what the server sent,
//! and costs little; what came whole since becomes the difference to what was there before. The sum of each entry is held
//! against its index on the way, so damage is found and never spread.

use super::delta::delta;
use super::pack::{Form, ID, Pack};
use super::reach::Reach;
use flate2::{Compression, Crc, write::ZlibEncoder};
use git2::{ObjectType, Odb, Oid};
use sha1::{Digest, Sha1};
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes copied at once.
const CHUNK: usize = 64 * 1024;
/// The longest row of differences that has to be walked to an object, as git has it.
const DEEPEST: u8 = 50;
/// Larger objects are not compared.
const MOST_COMPARED: usize = 1024 * 1024;

/// An object of the new pack. There may be hundreds of thousands.
#[derive(Debug, Clone, Copy)]
struct Item {
    id: Oid,
    /// The pack and the entry in it whose bytes are copied. None where the object is in no pack, or there as a difference to
    /// what is not wanted: then it is made anew.
    source: Option<(u32, u32)>,
    /// Where it stands in the new pack, and its sum there; 0 as long as it is not written.
    at: u64,
    crc: u32,
    /// How many differences have to be walked to it.
    depth: u8,
    /// Whether it came whole, and after what stays.
    is_new: bool,
}

/// What becomes a pack.
pub(super) struct Selection<'a> {
    packs: &'a [Pack],
    odb: &'a Odb<'a>,
    live: &'a Reach,
    items: Vec<Item>,
    by_id: HashMap<Oid, u32>,
}

impl<'a> Selection<'a> {
    /// The objects of `live` that are not in the first `skip` of `packs`, of which the first is the largest; each is taken from the
    /// first pack that has it.
    pub(super) fn new(packs: &'a [Pack], skip: usize, odb: &'a Odb<'a>, live: &'a Reach) -> Self {
        let mut selection = Self { packs, odb, live, items: Vec::new(), by_id: HashMap::new() };
        let there: HashSet<Oid> = packs.iter().take(skip).flat_map(|pack| pack.entries.iter().map(|entry| entry.id)).collect();
        let wanted = |id: &Oid| live.order.contains_key(id) && !there.contains(id);
        for (nth, pack) in packs.iter().enumerate().skip(skip) {
            for (at, entry) in pack.entries.iter().enumerate().filter(|(_, entry)| wanted(&entry.id)) {
                selection.add(entry.id, Some((number(nth), number(at))));
            }
        }
        for id in live.order.keys().filter(|id| wanted(id)) {
            selection.add(*id, None);
        }
        // The largest as it is, then what came since, in the order in which it came.
        let since = selection.items.partition_point(|item| item.source.is_some_and(|(nth, _)| nth == 0));
        selection.items[since..].sort_unstable_by_key(|item| live.order.get(&item.id));
        for (nth, item) in selection.items.iter_mut().enumerate().skip(since) {
            item.is_new = true;
            selection.by_id.insert(item.id, number(nth));
        }
        selection
    }

    fn add(&mut self, id: Oid, source: Option<(u32, u32)>) -> usize {
        let next = self.items.len();
        let nth = *self.by_id.entry(id).or_insert(number(next)) as usize;
        if nth == next {
            self.items.push(Item { id, source, at: 0, crc: 0, depth: 0, is_new: false });
        }
        nth
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Writes pack and index into a directory, and tells the index.
    pub(super) fn write(mut self, directory: &Path) -> std::io::Result<PathBuf> {
        let path = directory.join("new.pack");
        let mut out = Out::create(&path)?;
        // How many there are is known at the end.
        out.write_all(b"PACK\x00\x00\x00\x02\x00\x00\x00\x00")?;
        let mut next = 0;
        while next < self.items.len() {
            self.write_with_bases(next, &mut out)?;
            next += 1;
        }
        let mut file = out.buffer.into_inner().map_err(|error| error.into_error())?;
        file.write_all_at(&u32::try_from(self.items.len()).map_err(Error::other)?.to_be_bytes(), 8)?;
        let sum = sum_of(&mut file)?;
        file.write_all(&sum)?;
        file.sync_all()?;
        let name = format!("pack-{}", hex::encode(sum));
        let index = directory.join(&name).with_extension("idx");
        self.write_index(&index, &sum)?;
        std::fs::rename(&path, index.with_extension("pack"))?;
        Ok(index)
    }

    /// Writes an item after what it is a difference to.
    fn write_with_bases(&mut self, item: usize, out: &mut Out) -> std::io::Result<()> {
        let mut waiting = vec![item];
        while let Some(item) = waiting.last().copied() {
            if self.items[item].at != 0 {
                waiting.pop();
                continue;
            }
            match self.base(item)? {
                Some(base) if self.items[base].at == 0 => {
                    // Each is taken from the first pack that has it, so this ends; a damaged pack may go round in a circle.
                    if waiting.contains(&base) {
                        return Err(Error::new(ErrorKind::InvalidData, "a pack holds differences in a circle"));
                    }
                    waiting.push(base);
                }
                base => {
                    waiting.pop();
                    self.write_one(item, base, out)?;
                }
            }
        }
        Ok(())
    }

    /// The item that this one is a difference to. Where that is no longer wanted, this one becomes whole.
    fn base(&mut self, item: usize) -> std::io::Result<Option<usize>> {
        let Some((nth, at)) = self.items[item].source else { return Ok(None) };
        let pack = &self.packs[nth as usize];
        let Form::Delta(base) = pack.head(&pack.entries[at as usize])?.form else { return Ok(None) };
        if let Some(known) = self.by_id.get(&base) {
            return Ok(Some(*known as usize));
        }
        // In a pack that stays: a pack has no differences to another, so the base is copied along.
        let beside = self.live.order.contains_key(&base).then(|| pack.entries.iter().position(|entry| entry.id == base)).flatten();
        if let Some(at) = beside {
            return Ok(Some(self.add(base, Some((nth, number(at))))));
        }
        self.items[item].source = None;
        Ok(None)
    }

    fn write_one(&mut self, item: usize, base: Option<usize>, out: &mut Out) -> std::io::Result<()> {
        let at = out.begin();
        let depth = match (self.difference(item, base)?, self.items[item].source) {
            (Some((base, size, packed)), _) => {
                out.write_all(&head(6, size as u64))?;
                out.write_all(&distance(at - self.items[base].at))?;
                out.write_all(&packed)?;
                self.items[base].depth + 1
            }
            (None, Some((pack, entry))) => {
                self.copy(&self.packs[pack as usize], entry as usize, base, out)?;
                base.map_or(0, |base| self.items[base].depth.saturating_add(1))
            }
            (None, None) => {
                let object = self.odb.read(self.items[item].id).map_err(unread)?;
                out.write_all(&head(kind(object.kind())?, object.len() as u64))?;
                out.write_all(&packed(object.data())?)?;
                0
            }
        };
        let crc = out.crc.sum();
        let item = &mut self.items[item];
        (item.at, item.crc, item.depth) = (at, crc, depth);
        Ok(())
    }

    /// What came whole as the difference to what was there before, where that stands in the new pack already and it is smaller: its
    /// base, its size, and its bytes. Because the base stands there, no row of differences ends where it began.
    fn difference(&self, item: usize, base: Option<usize>) -> std::io::Result<Option<(usize, usize, Vec<u8>)>> {
        let Item { id, source, is_new, .. } = self.items[item];
        let before = self.live.before.get(&id).and_then(|before| self.by_id.get(before)).map(|before| *before as usize);
        let Some(before) = before.filter(|before| is_new && base.is_none() && self.items[*before].at != 0 && self.items[*before].depth < DEEPEST)
        else {
            return Ok(None);
        };
        if self.odb.read_header(id).map_err(unread)?.0.max(self.odb.read_header(self.items[before].id).map_err(unread)?.0) > MOST_COMPARED {
            return Ok(None);
        }
        let (target, former) = (self.odb.read(id).map_err(unread)?, self.odb.read(self.items[before].id).map_err(unread)?);
        let Some(delta) = delta(former.data(), target.data(), target.len()).filter(|_| former.kind() == target.kind()) else { return Ok(None) };
        let packed = packed(&delta)?;
        let as_it_is = source.map(|(pack, entry)| self.packs[pack as usize].entries[entry as usize]).map_or(u64::MAX, |entry| entry.end - entry.at);
        Ok((packed.len() as u64 <= as_it_is).then_some((before, delta.len(), packed)))
    }

    /// Copies an entry with a head of its own, because its base stands elsewhere.
    fn copy(&self, pack: &Pack, entry: usize, base: Option<usize>, out: &mut Out) -> std::io::Result<()> {
        let entry = &pack.entries[entry];
        let old = pack.head(entry)?;
        match (old.form, base) {
            (Form::Whole(kind), _) => out.write_all(&head(kind, old.size))?,
            (Form::Delta(_), Some(base)) => {
                let back = out.begun - self.items[base].at;
                out.write_all(&head(6, old.size))?;
                out.write_all(&distance(back))?;
            }
            (Form::Delta(_), None) => return Err(pack.damaged()),
        }
        let (mut found, mut at, mut skip) = (Crc::new(), entry.at, old.bytes);
        let mut chunk = vec![0; CHUNK.min(usize::try_from(entry.end - entry.at).unwrap_or(CHUNK))];
        while at < entry.end {
            let length = usize::try_from(entry.end - at).unwrap_or(CHUNK).min(CHUNK);
            pack.read(at, &mut chunk[..length])?;
            found.update(&chunk[..length]);
            out.write_all(&chunk[skip.min(length)..length])?;
            (at, skip) = (at + length as u64, 0);
        }
        if found.sum() == entry.crc { Ok(()) } else { Err(pack.damaged()) }
    }

    /// Writes the index, version 2.
    fn write_index(&mut self, path: &Path, sum: &[u8; ID]) -> std::io::Result<()> {
        self.items.sort_unstable_by_key(|item| item.id);
        let mut bytes = b"\xfftOc\x00\x00\x00\x02".to_vec();
        for first in 0..=u8::MAX {
            let upto = self.items.partition_point(|item| item.id.as_bytes()[0] <= first);
            bytes.extend(u32::try_from(upto).map_err(Error::other)?.to_be_bytes());
        }
        self.items.iter().for_each(|item| bytes.extend(item.id.as_bytes()));
        self.items.iter().for_each(|item| bytes.extend(item.crc.to_be_bytes()));
        let mut far = Vec::new();
        for item in &self.items {
            let near = u32::try_from(item.at).ok().filter(|at| at & 0x8000_0000 == 0);
            let word = near.unwrap_or_else(|| {
                far.push(item.at);
                0x8000_0000 | u32::try_from(far.len() - 1).unwrap_or(0x7fff_ffff)
            });
            bytes.extend(word.to_be_bytes());
        }
        far.iter().for_each(|at| bytes.extend(at.to_be_bytes()));
        bytes.extend(sum);
        bytes.extend(Sha1::digest(&bytes).as_slice());
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o444).open(path)?;
        file.write_all(&bytes)?;
        file.sync_all()
    }
}

/// The new pack while it is written.
struct Out {
    buffer: BufWriter<File>,
    at: u64,
    /// Where the present entry begins, and the sum of its bytes.
    begun: u64,
    crc: Crc,
}

impl Out {
    fn create(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o444).open(path)?;
        Ok(Self { buffer: BufWriter::with_capacity(CHUNK, file), at: 0, begun: 0, crc: Crc::new() })
    }

    fn begin(&mut self) -> u64 {
        self.crc.reset();
        self.begun = self.at;
        self.at
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.buffer.write(bytes)?;
        self.crc.update(&bytes[..written]);
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.buffer.flush()
    }
}

/// The SHA-1 of all bytes of a file, which stands at its end afterwards.
fn sum_of(file: &mut File) -> std::io::Result<[u8; ID]> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(CHUNK, &mut *file);
    let (mut sum, mut chunk) = (Sha1::new(), vec![0; CHUNK]);
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok(sum.finalize().into()),
            length => sum.update(&chunk[..length]),
        }
    }
}

/// A place in a list. No pack has more objects than its index can count, in 32 bits.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn packed(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packed = ZlibEncoder::new(Vec::with_capacity(bytes.len() / 2 + 64), Compression::default());
    packed.write_all(bytes)?;
    packed.finish()
}

fn unread(error: git2::Error) -> Error {
    Error::new(ErrorKind::InvalidData, error.message().to_owned())
}

fn kind(of: ObjectType) -> std::io::Result<u8> {
    match of {
        ObjectType::Commit => Ok(1),
        ObjectType::Tree => Ok(2),
        ObjectType::Blob => Ok(3),
        ObjectType::Tag => Ok(4),
        ObjectType::Any => Err(Error::other("an object has no type")),
    }
}

/// The head of an entry: its type, and how many bytes it has unpacked.
fn head(kind: u8, size: u64) -> Vec<u8> {
    let (mut byte, mut left) = (kind << 4 | low(size, 15), size >> 4);
    let mut head = Vec::with_capacity(10);
    while left > 0 {
        head.push(byte | 0x80);
        (byte, left) = (low(left, 127), left >> 7);
    }
    head.push(byte);
    head
}

/// How far back a base stands.
fn distance(back: u64) -> Vec<u8> {
    let mut bytes = vec![low(back, 127)];
    let mut left = back >> 7;
    while left > 0 {
        left -= 1;
        bytes.push(low(left, 127) | 0x80);
        left >>= 7;
    }
    bytes.reverse();
    bytes
}

fn low(number: u64, mask: u8) -> u8 {
    number.to_le_bytes()[0] & mask
}
