//! What happened, whoever said it: the CloudEvents 1.0 view of a delivery.
//! Pure. It knows no sender: what is particular to Jira or Alertmanager is read in `ingress`.
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>

use crate::types::{DeliveryId, EventId, ParseError, SourceName, Timestamp, TraceParent, text_type};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::str::FromStr;

text_type!(
    /// A dotted, lower-case event type: `jira.issue.transitioned`, `alert.firing`.
    EventType, "^[a-z][a-z0-9_-]*(\\.[a-z][a-z0-9_-]*)*$");

impl FromStr for EventType {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
        };
        if text.len() <= 120 && text.split('.').all(part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new(
                "event type",
                text,
                "it is dotted words of lower-case letters, digits, `_` and `-`, each starting with a letter, 120 characters at most",
            ))
        }
    }
}

impl EventType {
    /// Whether it is what a delivery tool says of a deployment.
    pub fn is_deployment(&self) -> bool {
        self.0.starts_with("deployment.")
    }

    /// Whether it is about an alert: then somebody is waiting for a fire to be put out.
    pub fn is_alert(&self) -> bool {
        self.0.starts_with("alert.")
    }
}

/// What a reader of one sender's bytes found, before it is an [`Event`] of a stored delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// What kind of thing happened.
    pub kind: EventType,
    /// What it happened to: an issue key, an alert's fingerprint, a pull request.
    pub subject: String,
    /// When it happened, by the sender's word; the time of receipt where the sender has none.
    pub time: Timestamp,
    /// The payload, as expressions see it under `event.data`.
    pub data: serde_json::Value,
}

/// One thing that happened, as automations see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Our id.
    pub id: EventId,
    /// The delivery it was read from; none when a person asked through the API.
    pub delivery: Option<DeliveryId>,
    /// The source that sent it; none when a person asked through the API.
    pub source: Option<SourceName>,
    /// What kind of thing happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// What it happened to.
    pub subject: String,
    /// When it happened, by the sender's word.
    pub time: Timestamp,
    /// The payload.
    pub data: serde_json::Value,
    /// The trace it belongs to: what is done for it, in whichever process, is done in that trace. Neither expressions nor templates see it.
    /// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md>
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
}

impl Event {
    /// The fields of the variable `event` in expressions and templates.
    pub const FIELDS: [&'static str; 6] = ["id", "source", "type", "subject", "time", "data"];

    /// One of [`Self::FIELDS`]; none of another name. The payload is lent: it is the large part.
    pub fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        let text = |text: &str| Cow::Owned(Value::from(text));
        Some(match name {
            "id" => text(self.id.as_str()),
            "source" => self.source.as_ref().map_or(Cow::Owned(Value::Null), |source| text(source.as_str())),
            "type" => text(self.kind.as_str()),
            "subject" => text(&self.subject),
            "time" => text(&self.time.to_string()),
            "data" => Cow::Borrowed(&self.data),
            _ => return None,
        })
    }
}
