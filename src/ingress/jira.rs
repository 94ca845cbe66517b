//! Jira: Cloud webhooks, the Data Center form, and bodies without an event name (the service desk's legacy automation webhook,
//! workflow post functions). It never takes an id from an unsigned header as proof that two deliveries are the same.
//! <https://developer.atlassian.com/cloud/jira/platform/webhooks/>

use super::identity::Identity;
use super::json::Part;
use super::kinds::{Document, Kind, MappingUse, Reading, Sighting, event_type};
use super::{IngressError, SourceKind};
use crate::event::Occurrence;
use crate::types::Timestamp;
use serde_json::{Map, Value};

/// Jira's row in the table of kinds.
pub(super) static KIND: Kind = Kind {
    kind: SourceKind::Jira,
    signature_header: "x-hub-signature",
    max_body_bytes: 1024 * 1024,
    form_field: None,
    // The legacy automation webhook cannot sign: the token is all the proof there is.
    least_token_bytes: 32,
    keep: &[
        "content-type",
        "content-encoding",
        "user-agent",
        IDENTIFIER,
        "x-atlassian-webhook-retry",
        "x-atlassian-webhook-flow",
        "x-atlassian-webhook-trace",
    ],
    mapping: MappingUse::Optional,
    types: &[CREATED, UPDATED, TRANSITIONED, "jira.issue.deleted", "jira.comment.created", "jira.comment.updated", "jira.comment.deleted"],
    read,
    judged_by: Part::Fields(&[
        ("timestamp", Part::Whole),
        ("webhookEvent", Part::Whole),
        ("issue", Part::Fields(&[("key", Part::Whole), ("fields", Part::Fields(&[("status", Part::Whole)]))])),
        ("changelog", Part::Fields(&[("id", Part::Whole), ("items", Part::Whole)])),
        ("transition", Part::Whole),
    ]),
    keep_prefix: None,
    identity: None,
    check_subject: check_key,
};

/// Stable across retries, unique within one tenant, outside the signature.
const IDENTIFIER: &str = "x-atlassian-webhook-identifier";

const CREATED: &str = "jira.issue.created";
const UPDATED: &str = "jira.issue.updated";
const TRANSITIONED: &str = "jira.issue.transitioned";

/// `webhookEvent` and the event type it becomes. Anything else that is well-formed is a type nobody handles.
const EVENTS: [(&str, &str); 6] = [
    ("jira:issue_created", CREATED),
    ("jira:issue_updated", UPDATED),
    ("jira:issue_deleted", "jira.issue.deleted"),
    ("comment_created", "jira.comment.created"),
    ("comment_updated", "jira.comment.updated"),
    ("comment_deleted", "jira.comment.deleted"),
];

/// One delivery is one event, whose `data` is the body.
///
/// An update whose changelog moves `status` is one `jira.issue.transitioned`, whatever else it changes, with
/// `data.transition = {from, to, fromId, toId}`; it is not an `updated` as well. A body without an event name is a
/// `transitioned` too, with `transition.to` = the status the issue is in, so that one automation serves both; there
/// `from` is known only when a workflow post function says it.
fn read(document: Document<'_>) -> Result<Reading, IngressError> {
    let identity = Identity::WithBody(document.attributes.get(IDENTIFIER).cloned().into_iter().collect());
    let Value::Object(mut body) = document.body else { return Err(IngressError::malformed("", "a Jira webhook is an object")) };
    let time = moment(&body, document.received_at)?;
    let kind = match body.get("webhookEvent") {
        None => None,
        Some(Value::String(name)) => match EVENTS.iter().find(|(known, _)| known == name) {
            Some((_, kind)) => Some(*kind),
            None if well_formed(name) => return Ok(Reading::unhandled(identity)),
            None => return Err(IngressError::malformed("/webhookEvent", "this is not the name of an event")),
        },
        Some(_) => return Err(IngressError::malformed("/webhookEvent", "the name of an event is a text")),
    };
    let subject = match (subject(&body)?, kind) {
        (Some(subject), _) => subject,
        // Comment events may come without their issue; there is nothing an automation could act on.
        (None, Some(kind)) if kind.starts_with("jira.comment.") => return Ok(Reading::unhandled(identity)),
        (None, Some(_)) => return Err(IngressError::malformed("", "an issue event needs `issue`")),
        (None, None) => {
            let message =
                "there is neither `webhookEvent` nor `issue`; a \"Send web request\" action with a body of its own needs `mapping` in the source";
            return Err(IngressError::malformed("", message));
        }
    };
    let transition = match kind {
        Some(UPDATED) => changed_status(&body)?,
        Some(_) => None,
        None => reached_status(&body),
    };
    let kind = match (kind, &transition) {
        (_, Some(_)) => TRANSITIONED,
        (Some(kind), None) => kind,
        (None, None) => UPDATED,
    };
    let key = key(kind, &subject, &body, transition.as_ref());
    if let Some(transition) = transition {
        body.insert("transition".to_owned(), Value::Object(transition));
    }
    let occurrence = Occurrence { kind: event_type(kind)?, subject, time, data: Value::Object(body) };
    Ok(Reading { sightings: vec![Sighting { occurrence, key }], identity, handled: true })
}

/// What a transition is known by, whoever tells of it: two hooks, or a search that finds the ticket where no hook told. It is the
/// change's id in the issue's history, with where it led. An issue is created once.
fn key(kind: &str, subject: &str, body: &Map<String, Value>, transition: Option<&Map<String, Value>>) -> Option<Vec<String>> {
    let own = match transition {
        Some(transition) => {
            // Cloud's webhooks write it as a number or as a text, its history as a text.
            let id = match body.get("changelog")?.get("id")? {
                Value::String(id) => id.clone(),
                Value::Number(id) => id.to_string(),
                _ => return None,
            };
            let to = transition.get("to").and_then(Value::as_str).unwrap_or_default();
            vec![id, to.to_owned()]
        }
        None if kind == CREATED => vec![body.get("issue")?.get("id")?.as_str()?.to_owned()],
        None => return None,
    };
    Some([kind.to_owned(), subject.to_owned()].into_iter().chain(own).collect())
}

/// `timestamp`, in milliseconds.
fn moment(body: &Map<String, Value>, received_at: Timestamp) -> Result<Timestamp, IngressError> {
    match body.get("timestamp") {
        None | Some(Value::Null) => Ok(received_at),
        Some(value) => match value.as_i64() {
            Some(millis) => Ok(Timestamp::from_unix_millis(millis)),
            None => Err(IngressError::malformed("/timestamp", "a time is a whole number of milliseconds since 1970")),
        },
    }
}

fn well_formed(name: &str) -> bool {
    (1..=120).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_.-".contains(&byte))
}

/// The key of the issue; none when there is no issue.
fn subject(body: &Map<String, Value>) -> Result<Option<String>, IngressError> {
    match body.get("issue") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(issue)) => match issue.get("key").and_then(Value::as_str) {
            Some(key) => {
                check_key(key).map(|()| Some(key.to_owned())).map_err(|rule| IngressError::malformed("/issue/key", format!("the key {rule}")))
            }
            None => Err(IngressError::malformed("/issue", "an issue needs `key`, a text")),
        },
        Some(_) => Err(IngressError::malformed("/issue", "an issue is an object")),
    }
}

/// `^[A-Z][A-Z0-9_]+-[0-9]+$`, at most 255 characters.
fn check_key(key: &str) -> Result<(), &'static str> {
    let shaped = key.split_once('-').is_some_and(|(project, number)| {
        project.len() >= 2
            && project.starts_with(|c: char| c.is_ascii_uppercase())
            && project.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    if shaped && key.len() <= 255 { Ok(()) } else { Err("is not an issue key such as OPS-123") }
}

/// The change of status in the changelog, if there is one.
fn changed_status(body: &Map<String, Value>) -> Result<Option<Map<String, Value>>, IngressError> {
    let changelog = match body.get("changelog") {
        None | Some(Value::Null) => return Ok(None),
        Some(changelog) => changelog,
    };
    let Some(items) = changelog.get("items").and_then(Value::as_array) else {
        return Err(IngressError::malformed("/changelog", "a changelog needs `items`, a list"));
    };
    // The last one, should there be several: it is where the issue is now.
    let Some(item) = items.iter().rev().find(|item| moves_status(item)) else { return Ok(None) };
    Ok(Some(texts([("from", item.get("fromString")), ("to", item.get("toString")), ("fromId", item.get("from")), ("toId", item.get("to"))])))
}

/// Whether a changelog item is about the issue's own status: a custom field may be called "status" as well.
fn moves_status(item: &Value) -> bool {
    match item.get("fieldId").and_then(Value::as_str) {
        Some(id) => id == "status",
        // Data Center has no `fieldId`.
        None => item.get("field").and_then(Value::as_str) == Some("status") && item.get("fieldtype").and_then(Value::as_str) != Some("custom"),
    }
}

/// The status an issue is in, for bodies that do not say what changed.
fn reached_status(body: &Map<String, Value>) -> Option<Map<String, Value>> {
    let at = |path: [&str; 3]| body.get(path[0])?.get(path[1])?.get(path[2]);
    let said = |name: &str| body.get("transition")?.get(name);
    let status = |name: &str| at(["issue", "fields", "status"])?.get(name);
    let to = said("to_status").or_else(|| status("name"));
    to.is_some_and(Value::is_string).then(|| texts([("from", said("from_status")), ("to", to), ("toId", status("id"))]))
}

/// The fields that are texts.
fn texts<const N: usize>(fields: [(&str, Option<&Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| value.filter(|value| value.is_string()).map(|value| (name.to_owned(), value.clone()))).collect()
}
