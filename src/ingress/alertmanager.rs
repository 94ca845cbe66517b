//! Alertmanager's webhook, payload version 4: one occurrence per alert of the group.
//! It has neither signature nor delivery id, so what an alert states is what it is known by. It never trusts a fingerprint's shape.
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>

use super::identity::Identity;
use super::json::Part;
use super::kinds::{Document, Kind, MappingUse, Reading, Sighting, check_count, count_bytes, event_type, weight};
use super::{IngressError, SourceKind};
use crate::event::Occurrence;
use crate::types::Timestamp;
use serde_json::{Map, Value};

/// Alertmanager's row in the table of kinds.
pub(super) static KIND: Kind = Kind {
    kind: SourceKind::Alertmanager,
    signature_header: "x-signature",
    max_body_bytes: 1024 * 1024,
    form_field: None,
    least_token_bytes: 1,
    keep: &["content-type", "content-encoding", "user-agent"],
    mapping: MappingUse::Refused,
    types: &["alert.firing", "alert.resolved"],
    read,
    judged_by: Part::Whole,
    keep_prefix: None,
    identity: None,
    check_subject: check_fingerprint,
};

/// What is said once for the group and repeated in each alert's data.
const CONTEXT: [&str; 7] = ["groupLabels", "commonLabels", "commonAnnotations", "receiver", "externalURL", "groupKey", "truncatedAlerts"];

/// Each alert is an `alert.firing` or `alert.resolved` about its fingerprint; `data` is the alert with the group's context.
///
/// A delivery is known by the (fingerprint, start, status) of its alerts in any order, so that a notification repeated after
/// `repeat_interval` is a duplicate and one that adds or resolves an alert is not. An occurrence is known by the same three,
/// so that an alert which goes on firing while its group changes is recognised.
fn read(document: Document<'_>) -> Result<Reading, IngressError> {
    let Value::Object(mut body) = document.body else { return Err(IngressError::malformed("", "an Alertmanager notification is an object")) };
    if body.get("version").and_then(Value::as_str) != Some("4") {
        return Err(IngressError::malformed("/version", "the version of the payload is \"4\""));
    }
    let Some(Value::Array(alerts)) = body.shift_remove("alerts") else {
        return Err(IngressError::malformed("", "a notification needs `alerts`, a list"));
    };
    check_count(alerts.len(), "/alerts")?;
    let context: Map<String, Value> = CONTEXT.iter().filter_map(|name| body.shift_remove_entry(*name)).collect();
    let repeated: usize = context.iter().map(|(name, value)| name.len() + weight(value)).sum();
    let mut bytes = 0;
    let mut sightings = Vec::with_capacity(alerts.len());
    for (index, alert) in alerts.into_iter().enumerate() {
        count_bytes(&mut bytes, repeated, "/alerts")?;
        sightings.push(sighting(alert, &context, document.received_at).map_err(|(field, message)| {
            let pointer = if field.is_empty() { format!("/alerts/{index}") } else { format!("/alerts/{index}/{field}") };
            IngressError::malformed(pointer, message)
        })?);
    }
    let mut keys: Vec<String> = sightings.iter().filter_map(|sighting| sighting.key.as_ref()).map(|key| key.join(" ")).collect();
    keys.sort_unstable();
    keys.dedup();
    let handled = !sightings.is_empty();
    Ok(Reading { sightings, identity: Identity::Alone(keys), handled })
}

/// One alert; an error is the field and what is wrong with it.
fn sighting(alert: Value, context: &Map<String, Value>, received_at: Timestamp) -> Result<Sighting, (&'static str, String)> {
    let Value::Object(mut alert) = alert else { return Err(("", "an alert is an object".to_owned())) };
    let text = |field: &'static str| alert.get(field).and_then(Value::as_str).ok_or((field, format!("an alert needs `{field}`, a text")));
    let moment = |field: &'static str| {
        text(field)?.parse::<Timestamp>().map_err(|_| (field, "a time is written as RFC 3339, such as 2026-11-20T12:00:00Z".to_owned()))
    };
    let fingerprint = text("fingerprint")?.to_owned();
    check_fingerprint(&fingerprint).map_err(|rule| ("fingerprint", format!("the fingerprint {rule}")))?;
    let starts_at = moment("startsAt")?;
    let (status, kind, time) = match text("status")? {
        "firing" => ("firing", "alert.firing", starts_at),
        "resolved" => {
            // An alert without an end carries year one; then it ended some time before we heard of it.
            let ended = moment("endsAt")?;
            ("resolved", "alert.resolved", if ended < starts_at { received_at } else { ended })
        }
        _ => return Err(("status", "the status is \"firing\" or \"resolved\"".to_owned())),
    };
    let key = vec![fingerprint.clone(), starts_at.to_string(), status.to_owned()];
    alert.extend(context.iter().map(|(name, value)| (name.clone(), value.clone())));
    let kind = event_type(kind).map_err(|error| ("status", error.to_string()))?;
    Ok(Sighting { occurrence: Occurrence { kind, subject: fingerprint, time, data: Value::Object(alert) }, key: Some(key) })
}

/// Sixteen lower-case hexadecimal digits, as Prometheus prints a fingerprint.
fn check_fingerprint(text: &str) -> Result<(), &'static str> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() == 16 && text.bytes().all(hex) { Ok(()) } else { Err("is not 16 lower-case hexadecimal digits") }
}
