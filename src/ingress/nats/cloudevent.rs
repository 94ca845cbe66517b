//! CloudEvents 1.0 in a message of NATS: structured (the body is the event) or binary (its attributes are headers).
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md>

use super::super::{Attributes, IngressError};
use crate::types::Timestamp;
use serde_json::{Map, Value};

/// What the headers of the binary form begin with.
pub(super) const PREFIX: &str = "ce-";
/// The content type of the structured form.
const STRUCTURED: &str = "application/cloudevents+json";
/// The attributes that an event must have. <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#required-attributes>
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// An event: its attributes, extensions included, and what it carries.
pub(super) struct CloudEvent {
    /// By name, in the order written.
    pub(super) attributes: Map<String, Value>,
    /// `data`; of the structured form with `data_base64` that text, and `null` where it carries nothing.
    pub(super) data: Value,
}

impl CloudEvent {
    /// An attribute that is a text and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// When it happened.
    ///
    /// # Errors
    /// When `time` is none (RFC 3339).
    pub(super) fn time(&self) -> Result<Option<Timestamp>, IngressError> {
        let wrong = |_| IngressError::malformed("/time", "a CloudEvent's `time` is written as RFC 3339, such as 2026-11-20T12:00:00Z");
        self.text("time").map(|text| text.parse().map_err(wrong)).transpose()
    }
}

/// Its `source` and `id`, which together name an event; none where the message is no whole event.
pub(super) fn identity(headers: &Attributes, body: &Value) -> Option<[String; 2]> {
    let parts = if is_binary(headers) {
        ["source", "id"].map(|name| headers.get(&format!("{PREFIX}{name}")).map(|value| decoded(value)))
    } else if is_structured(headers, body) {
        ["source", "id"].map(|name| body.get(name).and_then(Value::as_str).map(str::to_owned))
    } else {
        return None;
    };
    let [Some(source), Some(id)] = parts else { return None };
    (!source.is_empty() && !id.is_empty()).then_some([source, id])
}

/// The event of a message, or the body as it is where the message is none.
///
/// # Errors
/// When it says to be one and lacks what one has.
pub(super) fn read(headers: &Attributes, body: Value) -> Result<Result<CloudEvent, Value>, IngressError> {
    if is_binary(headers) {
        let named = headers.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_owned(), Value::from(decoded(value)))));
        return whole(CloudEvent { attributes: named.collect(), data: body }).map(Ok);
    }
    if !is_structured(headers, &body) {
        return Ok(Err(body));
    }
    let Value::Object(mut attributes) = body else { return Err(IngressError::malformed("", "a CloudEvent is an object")) };
    let carried = ["data", "data_base64"].map(|name| attributes.shift_remove(name));
    let data = carried.into_iter().flatten().next().unwrap_or(Value::Null);
    whole(CloudEvent { attributes, data }).map(Ok)
}

fn whole(event: CloudEvent) -> Result<CloudEvent, IngressError> {
    match REQUIRED.into_iter().find(|name| event.text(name).is_none()) {
        Some(missing) => Err(IngressError::malformed("", format!("a CloudEvent needs `{missing}`, a text"))),
        None if event.text("specversion").is_none_or(|version| !version.starts_with("1.")) => {
            Err(IngressError::malformed("/specversion", "CloudEvents of version 1 are read"))
        }
        None => Ok(event),
    }
}

fn is_binary(headers: &Attributes) -> bool {
    headers.contains_key("ce-specversion")
}

/// By its content type, or, where there is none that says so, by its shape: Ops sends without.
fn is_structured(headers: &Attributes, body: &Value) -> bool {
    let says_so =
        headers.get("content-type").is_some_and(|value| value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(STRUCTURED));
    says_so || REQUIRED.iter().all(|name| body.get(name).is_some_and(Value::is_string))
}

/// A header's value without its percent-encoding; what is none stays. <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values>
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let mut byte = [0];
        match after.get(..2) {
            Some(digits) if *first == b'%' && hex::decode_to_slice(digits, &mut byte).is_ok() => {
                bytes.push(byte[0]);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| value.to_owned())
}
