//! What parent and worker say to each other over one socket: frames of a length (32 bits, little endian) and bytes.
//! It trusts neither side with more memory than the frame limit.

use crate::render::RenderError;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

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

pub(super) fn write_frame(to: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    let length =
        u32::try_from(payload.len()).ok().filter(|_| payload.len() <= MAX_FRAME).ok_or_else(|| io::Error::other("the frame is too large"))?;
    // One write for the whole frame: two would cost a second wake-up of the other side.
    let mut frame = Vec::with_capacity(payload.len() + 4);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(payload);
    to.write_all(&frame)
}

/// The next frame; none at the end of the stream.
pub(super) fn read_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; 4];
    match from.read(&mut header)? {
        0 => return Ok(None),
        read => from.read_exact(&mut header[read..])?,
    }
    let length = usize::try_from(u32::from_le_bytes(header)).map_err(io::Error::other)?;
    if length > MAX_FRAME {
        return Err(io::Error::other("the frame is too large"));
    }
    let mut payload = vec![0; length];
    from.read_exact(&mut payload)?;
    Ok(Some(payload))
}

pub(super) fn encode_answer(answer: &Result<Vec<u8>, RenderError>) -> Vec<u8> {
    match answer {
        Ok(output) => [&[OUTPUT], output.as_slice()].concat(),
        Err(error) => {
            let mut bytes = vec![FAILURE];
            bytes.extend(serde_json::to_vec(error).unwrap_or_default());
            bytes
        }
    }
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
