//! Messages of a NATS JetStream: CloudEvents, subjects of Ops, any other JSON. Who publishes was proven to the NATS server, not to us.
//! A message is known by what its publisher calls it, else by its place in the stream, so that one that is delivered again is the same.
//! It never takes a header of the publisher's for one of ours (`own_headers`).

mod cloudevent;
mod ops;
pub(super) mod spec;

use super::identity::Identity;
use super::json::Part;
use super::kinds::{self, Document, Kind, MappingUse, Reading, Sighting, event_type};
use super::{Attributes, IngressError, SourceKind, run};
use crate::event::{EventType, Occurrence};
use crate::types::Timestamp;
use serde_json::{Map, Value, json};

/// The subject a message was published to.
pub const SUBJECT: &str = "nats-subject";
/// The stream it was in.
pub const STREAM: &str = "nats-stream";
/// Its place there.
pub const SEQUENCE: &str = "nats-sequence";
/// When it was put there, as RFC 3339 with nanoseconds.
pub const TIME: &str = "nats-time-stamp";
/// The length of a body that was too large to be stored, in bytes; the stored one is empty.
pub const OVERSIZED: &str = "nats-oversized";
/// What is written beside a message by whoever pulls it: its publisher cannot write these.
pub const OWN_HEADERS: [&str; 5] = [SUBJECT, STREAM, SEQUENCE, TIME, OVERSIZED];
/// What a publisher calls a message.
const MESSAGE_ID: &str = "nats-msg-id";

/// The row of NATS in the table of kinds.
pub(super) static KIND: Kind = Kind {
    kind: SourceKind::Nats,
    signature_header: "x-signature",
    max_body_bytes: 1024 * 1024,
    form_field: None,
    least_token_bytes: 1,
    keep: &["content-type", "content-encoding", MESSAGE_ID, SUBJECT, STREAM, SEQUENCE, TIME, OVERSIZED],
    keep_prefix: Some(cloudevent::PREFIX),
    mapping: MappingUse::Optional,
    types: &[],
    read,
    judged_by: Part::Whole,
    identity: Some(identity),
    check_subject: |_| Ok(()),
};

/// What a message is known by. Beside the id stands the body: an id that is used again for something else hides nothing.
/// The time is part of a place, because a stream that is made anew counts from one again.
fn identity(headers: &Attributes, body: &Value) -> Identity {
    let given = |name: &str| headers.get(name).filter(|value| !value.is_empty()).cloned();
    let stream = given(STREAM).unwrap_or_default();
    let word = |word: &str| word.to_owned();
    if let Some(id) = given(MESSAGE_ID) {
        return Identity::WithBody(vec![word("message"), stream, id]);
    }
    if let Some([source, id]) = cloudevent::identity(headers, body) {
        return Identity::WithBody(vec![word("cloudevent"), source, id]);
    }
    let place = [SEQUENCE, TIME, SUBJECT].map(|name| given(name).unwrap_or_default());
    Identity::WithBody([word("place"), stream].into_iter().chain(place).collect())
}

/// One message is one event. Its `data` holds the subject and its tokens, the place in the stream, headers, the attributes of a CloudEvent,
/// what a subject of Ops says, and as `body` what the event carries.
fn read(document: Document<'_>) -> Result<Reading, IngressError> {
    let Document { body, attributes: headers, received_at, .. } = document;
    let identity = identity(headers, &body);
    let subject = headers.get(SUBJECT).map(String::as_str).unwrap_or_default();
    let told = ops::read(subject);
    let (event, body) = match cloudevent::read(headers, body)? {
        Ok(event) => {
            (Some((event.time()?, event.text("type").map(str::to_owned), event.text("subject").map(str::to_owned), event.attributes)), event.data)
        }
        Err(body) => (None, body),
    };
    let mut data = envelope(headers, subject);
    let (mut kind, mut about, mut time) = ("nats.message".to_owned(), subject.to_owned(), None);
    if let Some((happened, typed, named, attributes)) = event {
        time = happened;
        kind = typed.unwrap_or(kind);
        about = named.unwrap_or(about);
        data.insert("cloudevent".to_owned(), Value::Object(attributes));
    }
    if let Some(told) = told {
        (kind, about) = (told.kind, told.subject);
        data.insert("ops".to_owned(), told.data);
    }
    data.insert("body".to_owned(), body);
    let kind = type_of(&kind)?;
    kinds::check_subject(&about).map_err(|rule| IngressError::malformed("", format!("what the message is about {rule}")))?;
    let data = Value::Object(data);
    run::check(kind.as_str(), &data).map_err(|message| IngressError::malformed("", message))?;
    let published = headers.get(TIME).and_then(|text| text.parse::<Timestamp>().ok());
    let occurrence = Occurrence { kind, subject: about, time: time.or(published).unwrap_or(received_at), data };
    Ok(Reading { sightings: vec![Sighting { occurrence, key: None }], identity, handled: true })
}

/// What NATS itself says of a message.
fn envelope(headers: &Attributes, subject: &str) -> Map<String, Value> {
    let tokens: Vec<&str> = subject.split('.').filter(|token| !token.is_empty()).collect();
    let sequence = headers.get(SEQUENCE).and_then(|text| text.parse::<u64>().ok());
    let others = headers.iter().filter(|(name, _)| !OWN_HEADERS.contains(&name.as_str()) && !name.starts_with(cloudevent::PREFIX));
    let others: Map<String, Value> = others.map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let mut data = Map::new();
    for (name, value) in [
        ("subject", json!(subject)),
        ("tokens", json!(tokens)),
        ("stream", json!(headers.get(STREAM))),
        ("sequence", json!(sequence)),
        ("headers", Value::Object(others)),
    ] {
        data.insert(name.to_owned(), value);
    }
    data
}

/// An event type out of the words of others: in lower case, `-` for what none may hold, `x` before what does not begin with a letter.
/// `com.example.Order.2` becomes `com.example.order.x2`.
fn type_of(text: &str) -> Result<EventType, IngressError> {
    let word = |part: &str| {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c.to_ascii_lowercase() } else { '-' };
        let word: String = part.chars().map(plain).collect();
        if word.starts_with(|c: char| c.is_ascii_lowercase()) { word } else { format!("x{word}") }
    };
    let words: Vec<String> = text.split('.').filter(|part| !part.is_empty()).map(word).collect();
    event_type(&words.join("."))
}
