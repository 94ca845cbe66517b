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

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of one size.
    struct Pieces<'b>(&'b [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let size = self.1.min(buffer.len());
            (&mut self.0).take(size as u64).read(buffer)
        }
    }

    #[test]
    fn a_frame_is_read_back_however_it_is_cut() {
        for length in [0, 1, 4, 100, CHUNK - HEADER - 1, CHUNK - HEADER, CHUNK, 3 * CHUNK] {
            let output: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).expect("small")).collect();
            let frame = answer_frame(&Ok(output.clone())).expect("a frame");
            for size in [1, 3, 4, 5, 1000, CHUNK, usize::MAX] {
                let payload = read_frame(&mut Pieces(&frame, size)).expect("read").expect("a frame");
                assert_eq!(decode_answer(payload).as_ref(), Ok(&output), "{length} bytes, {size} at a time");
            }
        }
        assert_eq!(read_frame(&mut Pieces(&ready_frame(), 4)).expect("read"), Some(Vec::new()));
    }

    #[test]
    fn a_frame_that_is_cut_off_too_large_or_followed_by_more_is_an_error() {
        assert!(read_frame(&mut Pieces(&[], 4)).expect("the end").is_none());
        let frame = answer_frame(&Ok(b"kind: Pod".to_vec())).expect("a frame");
        for end in 1..frame.len() {
            assert!(read_frame(&mut Pieces(&frame[..end], 100)).is_err(), "{end}");
        }
        assert!(read_frame(&mut Pieces(&u32::MAX.to_le_bytes(), 4)).is_err());
        assert!(read_frame(&mut Pieces(&[frame.as_slice(), b"x"].concat(), 100)).is_err());
        assert!(json_frame(&"x".repeat(MAX_FRAME)).is_err());
    }

    #[test]
    fn an_error_arrives_as_it_was_sent() {
        let error = RenderError::OutputTooLarge { template: "t".to_owned(), limit: 7 };
        let frame = answer_frame(&Err(error.clone())).expect("a frame");
        let payload = read_frame(&mut frame.as_slice()).expect("read").expect("a frame");
        assert_eq!(decode_answer(payload), Err(error));
    }
}
