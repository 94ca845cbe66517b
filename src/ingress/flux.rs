//! Flux's notification-controller, providers `generic` and `generic-hmac`: one event of a Flux controller a delivery.
//! It never takes one cluster's object for another's: `uid` and the alert's `cluster` are part of what an event is known by.
//! <https://fluxcd.io/flux/components/notification/events/>, <https://fluxcd.io/flux/components/notification/providers/#generic-webhook-with-hmac>

use super::deployment::{APPLIED, DEGRADED, Deployment, check_name, commit_in, text};
use super::identity::Identity;
use super::json::Part;
use super::kinds::{Document, Kind, MappingUse, Reading, Sighting, event_type};
use super::{IngressError, SourceKind};
use crate::event::Occurrence;
use serde_json::{Map, Value};

/// Flux's row in the table of kinds.
pub(super) static KIND: Kind = Kind {
    kind: SourceKind::Flux,
    signature_header: "x-signature",
    max_body_bytes: 1024 * 1024,
    form_field: None,
    // The provider `generic` cannot sign: the token is all the proof there is.
    least_token_bytes: 32,
    keep: &["content-type", "content-encoding", "user-agent", "gotk-component"],
    mapping: MappingUse::Refused,
    types: &[APPLIED, DEGRADED],
    read,
    judged_by: Part::Whole,
    keep_prefix: None,
    identity: None,
    check_subject: |_| Ok(()),
};

/// What says that an object was reconciled, its health checks included.
/// <https://github.com/fluxcd/kustomize-controller/blob/main/api/v1beta2/condition_types.go>
const SUCCEEDED: &str = "ReconciliationSucceeded";

/// What the annotations of an object begin with that go into the metadata of its events.
const ANNOTATED: &str = "event.toolkit.fluxcd.io";

/// One event is one event about the object, whose `data` is the body with `deployment`.
///
/// An occurrence is known by the object, its revision and path, the reason and the severity: the controllers say the same again at every
/// reconciliation that goes wrong.
fn read(document: Document<'_>) -> Result<Reading, IngressError> {
    let identity = Identity::WithBody(Vec::new());
    let Value::Object(body) = document.body else { return Err(IngressError::malformed("", "an event of Flux is an object")) };
    let (subject, name) = object(&body)?;
    let [reason, severity] = ["reason", "severity"].map(|field| match text(&body, &format!("/{field}")) {
        Ok(None) => Err(IngressError::malformed("", format!("an event of Flux needs `{field}`, a text"))),
        other => other.map(Option::unwrap_or_default),
    });
    let (reason, severity) = (reason?, severity?);
    let time = match text(&body, "/timestamp")? {
        None => document.received_at,
        Some(text) => {
            text.parse().map_err(|_| IngressError::malformed("/timestamp", "a time is written as RFC 3339, such as 2026-11-20T12:00:00Z"))?
        }
    };
    let deployment = deployment(&body, name)?;
    let kind = match (severity.as_str(), reason.as_str()) {
        ("error", _) => DEGRADED,
        ("info", SUCCEEDED) => APPLIED,
        _ => return Ok(Reading::unhandled(identity)),
    };
    let uid = text(&body, "/involvedObject/uid")?.unwrap_or_default();
    let mut key = vec![kind.to_owned(), subject.clone(), uid, deployment.cluster.clone().unwrap_or_default(), reason, severity];
    key.extend(deployment.revisions.iter().chain(&deployment.paths).cloned());
    let occurrence = Occurrence { kind: event_type(kind)?, subject, time, data: deployment.within(body) };
    Ok(Reading { sightings: vec![Sighting { occurrence, key: Some(key) }], identity, handled: true })
}

/// The object an event is about, as `Kustomization/flux-system/apps`, and its name.
fn object(body: &Map<String, Value>) -> Result<(String, String), IngressError> {
    if !body.get("involvedObject").is_some_and(Value::is_object) {
        return Err(IngressError::malformed("", "an event of Flux needs `involvedObject`, an object"));
    }
    let part = |field: &str| {
        let missing = || IngressError::malformed("/involvedObject", format!("the object of an event needs `{field}`, a text"));
        text(body, &format!("/involvedObject/{field}"))?.ok_or_else(missing)
    };
    let (kind, namespace, name) = (part("kind")?, part("namespace")?, part("name")?);
    if kind.len() > 63 || !kind.starts_with(|c: char| c.is_ascii_uppercase()) || !kind.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(IngressError::malformed("/involvedObject/kind", "a kind is a word such as Kustomization"));
    }
    check_name(&namespace, "/involvedObject/namespace")?;
    check_name(&name, "/involvedObject/name")?;
    Ok((format!("{kind}/{namespace}/{name}"), name))
}

/// What it says of the deployment.
///
/// The controller takes the prefix from the keys of metadata that have the object's own group as one, and from the object's annotations
/// that have [`ANNOTATED`], and adds the alert's `eventMetadata`; older ones leave the prefix. An object made from an OCI artifact has the artifact's digest as `revision` and
/// the commit it was made from as `originRevision`.
fn deployment(body: &Map<String, Value>, application: String) -> Result<Deployment, IngressError> {
    let none = Map::new();
    let metadata = match body.get("metadata") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(metadata)) => metadata,
        Some(_) => return Err(IngressError::malformed("/metadata", "metadata is an object")),
    };
    let group = text(body, "/involvedObject/apiVersion")?.and_then(|version| version.split_once('/').map(|(group, _)| group.to_owned()));
    let said = |name: &str| {
        let prefixed = [group.as_deref(), Some(ANNOTATED)].into_iter().flatten().find_map(|prefix| metadata.get(&format!("{prefix}/{name}")));
        match metadata.get(name).or(prefixed) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(IngressError::malformed("/metadata", format!("`{name}` is a text"))),
        }
    };
    let (revision, origin) = (said("revision")?, said("originRevision")?);
    let revision = match (revision, origin) {
        (Some(revision), Some(origin)) if commit_in(&revision).is_none() && commit_in(&origin).is_some() => Some(origin),
        (revision, origin) => revision.or(origin),
    };
    Ok(Deployment {
        revisions: revision.into_iter().collect(),
        cluster: said("cluster")?,
        server: None,
        paths: said("path")?.into_iter().collect(),
        application,
        message: text(body, "/message")?,
        urls: said("url")?.into_iter().collect(),
    })
}
