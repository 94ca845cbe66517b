//! The table of kinds: everything that differs from sender to sender stands in one row.
//! A new kind is a variant of `SourceKind`, a file with its row and its reader, and a line in [`row`]; nothing else knows kinds.

use super::identity::Identity;
use super::json::Part;
use super::{Attributes, IngressError, SourceKind, alertmanager, argocd, flux, github, jira, mapping, nats};
use crate::event::{EventType, Occurrence};
use crate::types::Timestamp;
use serde_json::Value;

/// The most occurrences one delivery may hold.
pub(super) const MOST_OCCURRENCES: usize = 2_000;
/// The most bytes, roughly, that the occurrences of one delivery may hold together: what they share is repeated in each.
pub(super) const MOST_DATA_BYTES: usize = 16 * 1024 * 1024;
/// The longest subject, in characters.
const LONGEST_SUBJECT: usize = 512;

/// What differs from sender to sender.
pub(super) struct Kind {
    /// Which sender.
    pub(super) kind: SourceKind,
    /// The header a signature stands in unless the author names another.
    pub(super) signature_header: &'static str,
    /// The body limit unless the author gives one, in bytes.
    pub(super) max_body_bytes: u64,
    /// The field of an HTML form that may hold the JSON; none where a body is JSON itself.
    pub(super) form_field: Option<&'static str>,
    /// The shortest secret a token header may hold, in bytes: for senders whose only proof it is.
    pub(super) least_token_bytes: usize,
    /// The headers kept with a delivery, in lower case. Never one that carries a proof.
    pub(super) keep: &'static [&'static str],
    /// What headers begin with that are kept beside those, whatever follows.
    pub(super) keep_prefix: Option<&'static str>,
    /// Whether a source of this kind may, or must, have a mapping.
    pub(super) mapping: MappingUse,
    /// Every event type `read` gives; none listed where the body decides.
    pub(super) types: &'static [&'static str],
    /// Reads a delivery without a mapping.
    pub(super) read: fn(Document<'_>) -> Result<Reading, IngressError>,
    /// What of a body tells whether a delivery can be read, is handled and was there before: `read` comes to the same from this
    /// part alone, but for the data of what happened.
    pub(super) judged_by: Part,
    /// What a delivery is known by out of its kept headers and its body, whether a mapping reads it or it cannot be read at all; none where
    /// whoever reads it says so.
    pub(super) identity: Option<fn(&Attributes, &Value) -> Identity>,
    /// Whether a subject given by a mapping is one of this kind's; the error is the rule.
    pub(super) check_subject: fn(&str) -> Result<(), &'static str>,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kind({})", self.kind.as_str())
    }
}

/// Whether a mapping goes with a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MappingUse {
    /// The kind reads its bodies itself.
    Refused,
    /// A mapping takes the place of the kind's own reading.
    Optional,
    /// There is nothing to read without one.
    Required,
}

/// The row of a kind.
pub(super) fn row(kind: SourceKind) -> &'static Kind {
    match kind {
        SourceKind::Jira => &jira::KIND,
        SourceKind::Alertmanager => &alertmanager::KIND,
        SourceKind::Github => &github::KIND,
        SourceKind::Argocd => &argocd::KIND,
        SourceKind::Flux => &flux::KIND,
        SourceKind::Nats => &nats::KIND,
        SourceKind::Generic => &mapping::KIND,
    }
}

/// An authenticated delivery, parsed.
pub(super) struct Document<'a> {
    /// The JSON.
    pub(super) body: Value,
    /// The kept headers.
    pub(super) attributes: &'a Attributes,
    /// When it was received.
    pub(super) received_at: Timestamp,
    /// Whether the proof covers the body, so that an id inside it can be trusted to be the sender's.
    pub(super) signed: bool,
}

/// What a kind read from a delivery.
#[derive(Debug)]
pub(super) struct Reading {
    /// What happened, in the order told.
    pub(super) sightings: Vec<Sighting>,
    /// What the delivery is known by.
    pub(super) identity: Identity,
    /// False when nobody handles what it says.
    pub(super) handled: bool,
}

impl Reading {
    /// A well-formed delivery of a type nobody handles.
    pub(super) fn unhandled(identity: Identity) -> Self {
        Self { sightings: Vec::new(), identity, handled: false }
    }
}

/// One thing that happened, and what it is known by.
#[derive(Debug)]
pub(super) struct Sighting {
    pub(super) occurrence: Occurrence,
    /// What it is known by in whatever delivery it comes; none when it is known by its delivery alone.
    pub(super) key: Option<Vec<String>>,
}

/// An event type of this house's own tables.
pub(super) fn event_type(text: &str) -> Result<EventType, IngressError> {
    text.parse().map_err(|error: crate::types::ParseError| IngressError::malformed("", error.to_string()))
}

/// Refuses a subject that is empty, too long, or holds characters that could forge lines or reverse text where it is shown.
pub(super) fn check_subject(subject: &str) -> Result<(), &'static str> {
    let deceptive = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if subject.trim().is_empty() {
        Err("is empty")
    } else if subject.chars().count() > LONGEST_SUBJECT {
        Err("is longer than 512 characters")
    } else if subject.contains(deceptive) {
        Err("holds control characters")
    } else {
        Ok(())
    }
}

/// Roughly how many bytes a value takes.
pub(super) fn weight(value: &Value) -> usize {
    const NODE: usize = 32;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => NODE,
        Value::String(text) => NODE + text.len(),
        Value::Array(items) => NODE + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => NODE + fields.iter().map(|(key, value)| NODE + key.len() + weight(value)).sum::<usize>(),
    }
}

/// Adds `bytes` to `sum`, or refuses a delivery whose occurrences would repeat too much.
pub(super) fn count_bytes(sum: &mut usize, bytes: usize, pointer: &str) -> Result<(), IngressError> {
    *sum = sum.saturating_add(bytes);
    if *sum <= MOST_DATA_BYTES {
        return Ok(());
    }
    let message = format!("what the events of one delivery repeat comes to more than {MOST_DATA_BYTES} bytes; send fewer at a time");
    Err(IngressError::malformed(pointer, message))
}

/// Refuses a delivery of too many occurrences.
pub(super) fn check_count(count: usize, pointer: &str) -> Result<(), IngressError> {
    if count <= MOST_OCCURRENCES {
        return Ok(());
    }
    Err(IngressError::malformed(pointer, format!("there are {count} entries; one delivery may hold {MOST_OCCURRENCES}, so send fewer at a time")))
}
