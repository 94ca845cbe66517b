//! What parent and worker say to each other over one socket: frames of a length (32 bits, little endian) and bytes.
//! It trusts neither side with more memory than the frame limit.

use crate::render::RenderError;
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// The largest frame, in bytes: a context with a 25 MiB payload in it fits.
pub(super) const MAX_FRAME: usize = 32 * 1024 * 1024;

/// The first frame a worker gets.
#[derive(Serialize, Deserialize)]
pub(super) struct Hello {
    /// Translated templates by name.
    pub sources: Vec<(String, String)>,
    /// Data it may allocate, in bytes.
    pub memory: u64,
    /// CPU seconds it may use in its life.
    pub cpu_seconds: u64,
    /// How long it waits for the next request before it ends, in milliseconds.
    pub idle_millis: u64,
}

/// Every further frame a worker gets.
#[derive(Serialize, Deserialize)]
pub(super) struct Request<'r> {
    pub template: std::borrow::Cow<'r, str>,
    pub file: std::borrow::Cow<'r, str>,
    pub context: std::borrow::Cow<'r, serde_json::Value>,
}

/// The first byte of an answer: what the rest is.
const OUTPUT: u8 = 0;
const FAILURE: u8 = 1;

/// Bytes of a frame's length.
const HEADER: usize = 4;
/// What is read at once: most frames are smaller, so that a frame is one call of the system.
const CHUNK: usize = 16 * 1024;

/// A frame that holds `payload` as JSON. Header and payload are one piece, to be written at once: two writes would cost a second wake-up
/// of the other side.
pub(super) fn json_frame(payload: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, payload)?;
    seal(frame)
}

/// Writes the length into a frame whose first bytes were left free for it.
fn seal(mut frame: Vec<u8>) -> io::Result<Vec<u8>> {
    let length = frame.len() - HEADER;
    let header = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME).ok_or_else(|| io::Error::other("the frame is too large"))?;
    frame[..HEADER].copy_from_slice(&header.to_le_bytes());
    Ok(frame)
}

/// The payload of the next frame; none at the end of the stream. The other side sends nothing more until it was answered, so what is
/// read belongs to this frame; more than it says is an error.
pub(super) fn read_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut frame = vec![0; CHUNK];
    let mut got = 0;
    while got < HEADER {
        match from.read(&mut frame[got..]) {
            Ok(0) if got == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => got += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = usize::try_from(u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]])).map_err(io::Error::other)?;
    if length > MAX_FRAME {
        return Err(io::Error::other("the frame is too large"));
    }
    let end = HEADER + length;
    if got > end {
        return Err(io::Error::other("more than one frame"));
    }
    frame.resize(end, 0);
    from.read_exact(&mut frame[got..])?;
    frame.drain(..HEADER);
    Ok(Some(frame))
}

/// An empty frame: what a worker says when it is ready.
pub(super) fn ready_frame() -> [u8; HEADER] {
    0_u32.to_le_bytes()
}

/// The frame of an answer.
pub(super) fn answer_frame(answer: &Result<Vec<u8>, RenderError>) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER];
    match answer {
        Ok(output) => {
            frame.reserve_exact(output.len() + 1);
            frame.push(OUTPUT);
            frame.extend_from_slice(output);
        }
        Err(error) => {
            frame.push(FAILURE);
            serde_json::to_writer(&mut frame, error)?;
        }
    }
    seal(frame)
}

pub(super) fn decode_answer(mut frame: Vec<u8>) -> Result<Vec<u8>, RenderError> {
    match frame.first() {
        Some(&OUTPUT) => {
            frame.remove(0);
            Ok(frame)
        }
        Some(&FAILURE) => Err(serde_json::from_slice(&frame[1..]).unwrap_or_else(|error| RenderError::Protocol(error.to_string()))),
        _ => Err(RenderError::Protocol("an empty answer".to_owned())),
    }
}
