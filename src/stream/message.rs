//! One message that was pulled: what it says, and how it is settled.

use super::StreamError;
use crate::ingress::{Headers, OVERSIZED, OWN_HEADERS, SEQUENCE, STREAM, SUBJECT, TIME};
use async_nats::jetstream::{self, AckKind};
use std::time::Duration;
use time::format_description::well_known::Rfc3339;

/// What is said to NATS of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// It is ours: it is not delivered again.
    Done,
    /// It is stored, and nothing can be made of it: it is not delivered again, and NATS publishes an advisory of it.
    Ended,
    /// Not now: it is delivered again after that time.
    Later(Duration),
}

/// A message, not yet settled. One that is dropped is delivered again.
pub struct Message {
    inner: jetstream::Message,
}

impl Message {
    pub(super) fn new(inner: jetstream::Message) -> Self {
        Self { inner }
    }

    /// What it carries, byte for byte.
    pub fn body(&self) -> &[u8] {
        &self.inner.payload
    }

    /// The subject it was published to.
    pub fn subject(&self) -> &str {
        self.inner.subject.as_str()
    }

    /// Its place in the stream; 0 where NATS does not say.
    pub fn sequence(&self) -> u64 {
        self.inner.info().map_or(0, |info| info.stream_sequence)
    }

    /// Whether it was delivered before.
    pub fn is_redelivered(&self) -> bool {
        self.inner.info().is_ok_and(|info| info.delivered > 1)
    }

    /// Its headers, with ours; `too_large` says that the body is not stored with them.
    pub fn headers(&self, too_large: bool) -> MessageHeaders<'_> {
        let mut own = vec![(SUBJECT, self.subject().to_owned())];
        if let Ok(info) = self.inner.info() {
            own.push((STREAM, info.stream.to_owned()));
            own.push((SEQUENCE, info.stream_sequence.to_string()));
            own.extend(info.published.format(&Rfc3339).ok().map(|time| (TIME, time)));
        }
        if too_large {
            own.push((OVERSIZED, self.body().len().to_string()));
        }
        MessageHeaders { own, published: self.inner.headers.as_ref() }
    }

    /// Tells NATS what became of it, and waits until NATS has it.
    ///
    /// # Errors
    /// When NATS does not say so in time: the message may be delivered again.
    pub async fn settle(&self, settlement: Settlement) -> Result<(), StreamError> {
        let kind = match settlement {
            Settlement::Done => AckKind::Ack,
            Settlement::Ended => AckKind::Term,
            Settlement::Later(delay) => AckKind::Nak(Some(delay)),
        };
        self.inner.double_ack_with(kind).await.map_err(|error| StreamError::Away(error.to_string()))
    }
}

/// The headers of a message: ours, which its publisher cannot write, then its own.
pub struct MessageHeaders<'a> {
    own: Vec<(&'static str, String)>,
    published: Option<&'a async_nats::HeaderMap>,
}

impl MessageHeaders<'_> {
    fn published(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let all = self.published.into_iter().flat_map(async_nats::HeaderMap::iter);
        let told = all.flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            values.iter().map(move |value| (name, value.as_str().as_bytes()))
        });
        told.filter(|(name, _)| !OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)))
    }
}

impl Headers for MessageHeaders<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let own = self.own.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_bytes());
        own.or_else(|| self.published().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value))
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        self.own.iter().for_each(|(name, value)| visit(name, value.as_bytes()));
        self.published().for_each(|(name, value)| visit(name, value));
    }
}
