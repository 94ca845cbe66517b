//! Argo CD's notifications: the body is a template's, so it is ours, and docs/sources.md has the template that writes it.
//! What the application's state is decides what happened, never which trigger sent it; its words are Argo CD's own.
//! <https://argo-cd.readthedocs.io/en/stable/operator-manual/notifications/services/webhook/>

use super::deployment::{APPLIED, DEGRADED, Deployment, FAILED, check_name, text};
use super::identity::Identity;
use super::json::Part;
use super::kinds::{Document, Kind, MappingUse, Reading, Sighting, event_type};
use super::{IngressError, SourceKind};
use crate::event::Occurrence;
use crate::types::Timestamp;
use serde_json::{Map, Value};

/// Argo CD's row in the table of kinds.
pub(super) static KIND: Kind = Kind {
    kind: SourceKind::Argocd,
    signature_header: "x-signature",
    max_body_bytes: 1024 * 1024,
    form_field: None,
    // It cannot sign: the token is all the proof there is.
    least_token_bytes: 32,
    keep: &["content-type", "content-encoding", "user-agent"],
    mapping: MappingUse::Refused,
    types: &[APPLIED, DEGRADED, FAILED],
    read,
    judged_by: Part::Whole,
    keep_prefix: None,
    identity: None,
    check_subject: |_| Ok(()),
};

/// What a notification says of an application.
struct State {
    application: String,
    /// `sync.status`, `health.status` and `operation.phase`.
    sync: Option<String>,
    health: Option<String>,
    phase: Option<String>,
}

/// One notification is one event about the application, whose `data` is the body with `deployment`.
///
/// An occurrence is known by the application, its revisions, its paths and the state, so that a trigger which fires again says nothing new.
/// The application's `uid` tells apart those of several Argo CDs that have one name.
fn read(document: Document<'_>) -> Result<Reading, IngressError> {
    let identity = Identity::WithBody(Vec::new());
    let Value::Object(mut body) = document.body else { return Err(IngressError::malformed("", "a notification is an object")) };
    let state = state(&body)?;
    let Some(kind) = kind(&state) else { return Ok(Reading::unhandled(identity)) };
    let revisions = revisions(&body, &state, kind)?;
    let (message, time) = if kind == DEGRADED {
        // What the last operation said is not why it is not well.
        (None, moment(&body, "/health/since")?)
    } else {
        (text(&body, "/operation/message")?, moment(&body, "/operation/finishedAt")?)
    };
    let server = text(&body, "/destination/server")?;
    let deployment = Deployment {
        revisions,
        cluster: text(&body, "/destination/name")?.or_else(|| server.clone()),
        server,
        paths: paths(&mut body)?,
        application: state.application.clone(),
        message,
        urls: texts(&body, &["repositories"])?.unwrap_or_default(),
    };
    let mut key = vec![kind.to_owned(), state.application.clone()];
    for place in ["/uid", "/namespace", "/destination/server", "/destination/name", "/destination/namespace"] {
        key.push(text(&body, place)?.unwrap_or_default());
    }
    key.extend([state.phase, state.health].map(Option::unwrap_or_default));
    key.extend(deployment.revisions.iter().chain(&deployment.paths).cloned());
    let occurrence =
        Occurrence { kind: event_type(kind)?, subject: state.application, time: time.unwrap_or(document.received_at), data: deployment.within(body) };
    Ok(Reading { sightings: vec![Sighting { occurrence, key: Some(key) }], identity, handled: true })
}

/// What everything else is decided by.
fn state(body: &Map<String, Value>) -> Result<State, IngressError> {
    for part in ["destination", "sync", "health", "operation"] {
        if body.get(part).is_some_and(|value| !value.is_object() && !value.is_null()) {
            return Err(IngressError::malformed(format!("/{part}"), format!("`{part}` is an object")));
        }
    }
    let Some(application) = text(body, "/application")? else {
        let message = "a notification needs `application`; the template that writes what is read here is in docs/sources.md";
        return Err(IngressError::malformed("", message));
    };
    check_name(&application, "/application")?;
    let (sync, health, phase) = (text(body, "/sync/status")?, text(body, "/health/status")?, text(body, "/operation/phase")?);
    if health.is_none() && phase.is_none() {
        return Err(IngressError::malformed("", "a notification needs `health.status` or `operation.phase`"));
    }
    Ok(State { application, sync, health, phase })
}

/// What happened; none while it is under way, suspended, or not known.
fn kind(state: &State) -> Option<&'static str> {
    match (state.phase.as_deref(), state.health.as_deref()) {
        (Some("Failed" | "Error"), _) => Some(FAILED),
        (_, Some("Degraded")) => Some(DEGRADED),
        // An application that is in sync already has no operation of its own.
        (Some("Succeeded"), Some("Healthy")) => Some(APPLIED),
        (None, Some("Healthy")) if state.sync.as_deref() == Some("Synced") => Some(APPLIED),
        _ => None,
    }
}

/// The revisions it is about: of the operation where that failed, or where the application is no longer what it made of it;
/// else those the application is in sync with, which move on without an operation when a commit changes nothing for it.
fn revisions(body: &Map<String, Value>, state: &State, kind: &str) -> Result<Vec<String>, IngressError> {
    let in_sync = kind != FAILED && state.sync.as_deref() == Some("Synced");
    for part in if in_sync { ["sync", "operation"] } else { ["operation", "sync"] } {
        // Of several sources Argo CD gives the list, and no single one.
        if let Some(several) = texts(body, &[part, "revisions"])? {
            return Ok(several);
        }
        if let Some(one) = text(body, &format!("/{part}/revision"))? {
            return Ok(vec![one]);
        }
    }
    Ok(Vec::new())
}

/// The paths of its sources. A source that is a chart has none, for which the template writes `null`.
fn paths(body: &mut Map<String, Value>) -> Result<Vec<String>, IngressError> {
    if let Some(Value::Array(paths)) = body.get_mut("paths") {
        paths.retain(|path| !path.is_null() && *path != "");
    }
    Ok(texts(body, &["paths"])?.unwrap_or_default())
}

fn moment(body: &Map<String, Value>, place: &str) -> Result<Option<Timestamp>, IngressError> {
    let Some(text) = text(body, place)? else { return Ok(None) };
    let moment = text.parse().map_err(|_| IngressError::malformed(place, "a time is written as RFC 3339, such as 2026-11-20T12:00:00Z"));
    moment.map(Some)
}

/// A list of texts; none where there is `null`, nothing in it, or nothing at all.
fn texts(body: &Map<String, Value>, path: &[&str]) -> Result<Option<Vec<String>>, IngressError> {
    let place = format!("/{}", path.join("/"));
    let first = path.first().and_then(|name| body.get(*name));
    let list = match path.iter().skip(1).try_fold(first, |value, name| Some(value?.get(*name))).flatten() {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(IngressError::malformed(place, "this is a list of texts")),
    };
    let texts: Option<Vec<String>> = list.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    match texts {
        Some(texts) => Ok(Some(texts).filter(|texts| !texts.is_empty())),
        None => Err(IngressError::malformed(place, "this is a list of texts")),
    }
}
