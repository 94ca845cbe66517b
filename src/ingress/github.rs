//! GitHub's webhooks, of a repository, an organization or an App: one delivery is one event, named in GitHub's own words.
//! The event's name stands in a header outside the signature, so it never decides alone: a body that is not one of that event's is refused.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>

mod events;

use super::identity::Identity;
use super::kinds::{self, Document, Kind, MappingUse, Reading, Sighting, event_type};
use super::{IngressError, SourceKind};
use crate::event::Occurrence;
use crate::types::Timestamp;
use events::{About, EVENTS, HookEvent, JUDGED_BY, TYPES};
use serde_json::Value;

/// GitHub's row in the table of kinds.
pub(super) static KIND: Kind = Kind {
    kind: SourceKind::Github,
    // `X-Hub-Signature`, its SHA-1 sister, is not looked at.
    signature_header: "x-hub-signature-256",
    max_body_bytes: 25 * 1024 * 1024,
    form_field: Some("payload"),
    // GitHub signs; a token comes from something in between.
    least_token_bytes: 32,
    keep: &[
        "content-type",
        "content-encoding",
        "user-agent",
        EVENT,
        "x-github-delivery",
        "x-github-hook-id",
        "x-github-hook-installation-target-id",
        "x-github-hook-installation-target-type",
    ],
    mapping: MappingUse::Refused,
    types: TYPES,
    read,
    judged_by: JUDGED_BY,
    keep_prefix: None,
    identity: None,
    check_subject: |_| Ok(()),
};

/// The name of the event, outside the signature.
const EVENT: &str = "x-github-event";

/// One delivery is one event, whose `data` is the body.
///
/// It is known by its body alone. `X-GitHub-Delivery` and `X-GitHub-Event` are not signed: whoever caught a signed body could
/// send it again under another id, or as another event, and it has to be the same delivery still. GitHub's own redelivery has
/// the same bytes.
fn read(document: Document<'_>) -> Result<Reading, IngressError> {
    let identity = Identity::WithBody(Vec::new());
    let Some(name) = document.attributes.get(EVENT) else {
        return Err(IngressError::malformed("", "the header X-GitHub-Event, which says what the body is, is not there"));
    };
    if !is_word(name) {
        return Err(IngressError::malformed("", "the header X-GitHub-Event does not hold the name of an event"));
    }
    let body = document.body;
    if !body.is_object() {
        return Err(IngressError::malformed("", "a GitHub webhook is an object"));
    }
    let Some(event) = EVENTS.iter().find(|event| event.name == name) else { return Ok(Reading::unhandled(identity)) };
    check_fits(event, &body)?;
    let Some((kind, action)) = kind(event, &body)? else { return Ok(Reading::unhandled(identity)) };
    let subject = subject(event.about, &body)?;
    let time = moment(event.times, &body)?.unwrap_or(document.received_at);
    let key = key(event, kind, &action, &subject, &body);
    let occurrence = Occurrence { kind: event_type(kind)?, subject, time, data: body };
    Ok(Reading { sightings: vec![Sighting { occurrence, key }], identity, handled: true })
}

/// Refuses a body that is not one of the event's.
fn check_fits(event: &HookEvent, body: &Value) -> Result<(), IngressError> {
    let name = event.name;
    for (fields, is_right, what) in
        [(event.objects, Value::is_object as fn(&Value) -> bool, "an object"), (event.texts, Value::is_string as fn(&Value) -> bool, "a text")]
    {
        for field in fields {
            let pointer = format!("/{field}");
            match body.pointer(&pointer) {
                Some(value) if is_right(value) => {}
                None | Some(Value::Null) => return Err(IngressError::malformed("", format!("a body of the event {name} needs `{field}`, {what}"))),
                Some(_) => return Err(IngressError::malformed(pointer, format!("`{field}` is {what}"))),
            }
        }
    }
    match event.never.iter().find(|field| body.get(**field).is_some_and(|value| !value.is_null())) {
        Some(field) => {
            Err(IngressError::malformed(format!("/{field}"), format!("a body of the event {name} has no `{field}`: this is another event's")))
        }
        None => Ok(()),
    }
}

/// The type, and the action it was read from; none for an action GitHub did not document when this was written.
fn kind(event: &HookEvent, body: &Value) -> Result<Option<(&'static str, String)>, IngressError> {
    if let Some(kind) = TYPES.iter().find(|kind| **kind == event.name) {
        return Ok(Some((kind, String::new())));
    }
    let action = match body.get("action") {
        Some(Value::String(action)) if is_word(action) => action.as_str(),
        None | Some(Value::Null) => return Err(IngressError::malformed("", format!("a body of the event {} needs `action`, a text", event.name))),
        Some(_) => return Err(IngressError::malformed("/action", "an action is a word in lower case")),
    };
    let word = match (event.name, action) {
        ("pull_request", "closed") => match body.pointer("/pull_request/merged") {
            Some(Value::Bool(merged)) => {
                if *merged {
                    "merged"
                } else {
                    "closed"
                }
            }
            _ => return Err(IngressError::malformed("/pull_request", "a closed pull request needs `merged`, true or false")),
        },
        // It is our word: GitHub says `closed`.
        ("pull_request", "merged") => return Ok(None),
        (_, action) => action,
    };
    let kind = TYPES.iter().find(|kind| kind.split_once('.') == Some((event.name, word)));
    Ok(kind.map(|kind| (*kind, action.to_owned())))
}

/// What it happened to.
fn subject(about: About, body: &Value) -> Result<String, IngressError> {
    let (place, subject) = match about {
        About::Installation => ("/installation/id", format!("installation/{}", number(body, "/installation/id")?)),
        About::Number(place) => (place, format!("{}#{}", repository(body)?, number(body, place)?)),
        About::Commit(place) => {
            let hexadecimal = |sha: &&str| matches!(sha.len(), 40 | 64) && sha.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            let sha = body.pointer(place).and_then(Value::as_str).filter(hexadecimal);
            let sha = sha.ok_or_else(|| IngressError::malformed(place, "a commit is 40 or 64 lower-case hexadecimal digits"))?;
            (place, format!("{}@{sha}", repository(body)?))
        }
        About::Ref => {
            let full = body.get("ref").and_then(Value::as_str).unwrap_or_default();
            let name = full.strip_prefix("refs/heads/").or_else(|| full.strip_prefix("refs/tags/"));
            let name = name.or(Some(full).filter(|full| full.starts_with("refs/"))).filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| IngressError::malformed("/ref", "a ref begins with `refs/`"))?;
            ("/ref", format!("{}@{name}", repository(body)?))
        }
    };
    match kinds::check_subject(&subject) {
        Ok(()) => Ok(subject),
        Err(rule) => Err(IngressError::malformed(place, format!("what it is about {rule}"))),
    }
}

/// `owner/repo`.
fn repository(body: &Value) -> Result<&str, IngressError> {
    const PLACE: &str = "/repository/full_name";
    let shaped = |part: &str| (1..=100).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let fits = |name: &&str| name.split_once('/').is_some_and(|(owner, name)| shaped(owner) && shaped(name) && ![".", ".."].contains(&name));
    let name = body.pointer(PLACE).and_then(Value::as_str).filter(fits);
    name.ok_or_else(|| IngressError::malformed(PLACE, "a repository is named by its owner and its name, such as acme/gitops"))
}

fn number(body: &Value, place: &str) -> Result<u64, IngressError> {
    let number = body.pointer(place).and_then(Value::as_u64).filter(|number| *number > 0);
    number.ok_or_else(|| IngressError::malformed(place, "a number is whole and more than 0"))
}

/// When it happened, by the first of `places` that says so.
fn moment(places: &[&str], body: &Value) -> Result<Option<Timestamp>, IngressError> {
    let said = places.iter().find_map(|place| body.pointer(place).filter(|value| !value.is_null()).map(|value| (place, value)));
    let Some((place, value)) = said else { return Ok(None) };
    let moment = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64().map(|seconds| Timestamp::from_unix_millis(seconds.saturating_mul(1000))),
    };
    let message = "a time is written as RFC 3339, such as 2026-11-20T12:00:00Z, or in seconds since 1970";
    moment.map(Some).ok_or_else(|| IngressError::malformed(*place, message))
}

/// What it is known by in whatever delivery it comes, where it has an id of its own.
fn key(event: &HookEvent, kind: &str, action: &str, subject: &str, body: &Value) -> Option<Vec<String>> {
    let (actions, places) = event.known;
    let id = body.pointer(places.first()?)?.as_u64().filter(|_| actions.contains(&action))?;
    let said = |place: &&str| body.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some([kind.to_owned(), subject.to_owned(), id.to_string()].into_iter().chain(places[1..].iter().map(said)).collect())
}

/// Whether it is a word as GitHub writes events and actions.
fn is_word(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
