//! GitHub's webhooks, of a repository, an organization or an App: one delivery is one event, named in GitHub's own words.
//! The event's name stands in a header outside the signature, so it never decides alone: a body that is not one of that event's is refused.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>

use super::identity::Identity;
use super::json::Part;
use super::kinds::{self, Document, Kind, MappingUse, Reading, Sighting, event_type};
use super::{IngressError, SourceKind};
use crate::event::Occurrence;
use crate::types::Timestamp;
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
    check_subject: |_| Ok(()),
};

/// The name of the event, outside the signature.
const EVENT: &str = "x-github-event";

/// Every action GitHub documents of the events in [`EVENTS`], and `merged`, which is ours.
const TYPES: &[&str] = &[
    "pull_request.assigned",
    "pull_request.auto_merge_disabled",
    "pull_request.auto_merge_enabled",
    "pull_request.closed",
    "pull_request.converted_to_draft",
    "pull_request.demilestoned",
    "pull_request.dequeued",
    "pull_request.edited",
    "pull_request.enqueued",
    "pull_request.labeled",
    "pull_request.locked",
    "pull_request.merged",
    "pull_request.milestoned",
    "pull_request.opened",
    "pull_request.ready_for_review",
    "pull_request.reopened",
    "pull_request.review_request_removed",
    "pull_request.review_requested",
    "pull_request.stacked",
    "pull_request.synchronize",
    "pull_request.unassigned",
    "pull_request.unlabeled",
    "pull_request.unlocked",
    "pull_request_review.dismissed",
    "pull_request_review.edited",
    "pull_request_review.submitted",
    "pull_request_review_comment.created",
    "pull_request_review_comment.deleted",
    "pull_request_review_comment.edited",
    "issue_comment.created",
    "issue_comment.deleted",
    "issue_comment.edited",
    "issue_comment.pinned",
    "issue_comment.unpinned",
    "push",
    "check_suite.completed",
    "check_suite.requested",
    "check_suite.rerequested",
    "check_run.completed",
    "check_run.created",
    "check_run.requested_action",
    "check_run.rerequested",
    "status",
    "deployment_status.created",
    "merge_group.checks_requested",
    "merge_group.destroyed",
    "installation.created",
    "installation.deleted",
    "installation.new_permissions_accepted",
    "installation.suspend",
    "installation.unsuspend",
];

/// An event that is handled.
struct Told {
    /// What the header calls it.
    name: &'static str,
    /// The objects and texts its bodies hold at the top and those of no other event do, but for `never`.
    objects: &'static [&'static str],
    texts: &'static [&'static str],
    /// What tells the bodies of other events from its own that hold all of these too.
    never: &'static [&'static str],
    about: About,
    /// Where its time stands, the first that is there; RFC 3339 or whole seconds since 1970.
    times: &'static [&'static str],
    /// The actions that happen to something with an id and a moment of its own, and where those stand, the id first: two hooks
    /// that tell of one comment tell one thing. Other actions are known by their delivery.
    known: (&'static [&'static str], &'static [&'static str]),
}

/// What an event happened to; the text is the place of a number or a commit.
#[derive(Clone, Copy)]
enum About {
    /// `owner/repo#12`
    Number(&'static str),
    /// `owner/repo@main`
    Ref,
    /// `owner/repo@<sha>`
    Commit(&'static str),
    /// `installation/7`
    Installation,
}

const COMMENT: (&[&str], &[&str]) = (&["created", "edited", "deleted"], &["/comment/id", "/comment/updated_at"]);
const NOTHING: (&[&str], &[&str]) = (&[], &[]);

/// The events that are handled; every other well-formed name is one that nobody handles.
static EVENTS: [Told; 11] = [
    Told {
        name: "pull_request",
        objects: &["pull_request"],
        texts: &[],
        never: &["review", "comment", "thread"],
        about: About::Number("/pull_request/number"),
        times: &["/pull_request/updated_at"],
        known: NOTHING,
    },
    Told {
        name: "pull_request_review",
        objects: &["pull_request", "review"],
        texts: &[],
        never: &[],
        about: About::Number("/pull_request/number"),
        times: &["/review/updated_at", "/review/submitted_at"],
        known: (&["submitted", "dismissed"], &["/review/id", "/review/state", "/review/submitted_at"]),
    },
    Told {
        name: "pull_request_review_comment",
        objects: &["pull_request", "comment"],
        texts: &[],
        never: &[],
        about: About::Number("/pull_request/number"),
        times: &["/comment/updated_at"],
        known: COMMENT,
    },
    Told {
        name: "issue_comment",
        objects: &["issue", "comment"],
        texts: &[],
        never: &[],
        about: About::Number("/issue/number"),
        times: &["/comment/updated_at"],
        known: COMMENT,
    },
    Told {
        name: "push",
        objects: &[],
        texts: &["ref", "before", "after"],
        never: &["action", "pull_request"],
        about: About::Ref,
        times: &["/repository/pushed_at", "/head_commit/timestamp"],
        known: NOTHING,
    },
    Told {
        name: "check_suite",
        objects: &["check_suite"],
        texts: &[],
        never: &[],
        about: About::Commit("/check_suite/head_sha"),
        times: &["/check_suite/updated_at"],
        known: NOTHING,
    },
    Told {
        name: "check_run",
        objects: &["check_run"],
        texts: &[],
        // A deployment's status may carry the run that made it.
        never: &["deployment_status", "deployment"],
        about: About::Commit("/check_run/head_sha"),
        times: &["/check_run/completed_at", "/check_run/started_at"],
        // What was asked for again (`rerequested`) can be asked for once more.
        known: (
            &["created", "completed"],
            &["/check_run/id", "/check_run/status", "/check_run/conclusion", "/check_run/started_at", "/check_run/completed_at"],
        ),
    },
    Told {
        name: "status",
        objects: &["commit"],
        texts: &["sha", "state", "context"],
        never: &["action"],
        about: About::Commit("/sha"),
        times: &["/updated_at", "/created_at"],
        known: (&[""], &["/id"]),
    },
    Told {
        name: "deployment_status",
        objects: &["deployment_status", "deployment"],
        texts: &[],
        never: &[],
        about: About::Commit("/deployment/sha"),
        times: &["/deployment_status/updated_at", "/deployment_status/created_at"],
        known: (&["created"], &["/deployment_status/id"]),
    },
    Told {
        name: "merge_group",
        objects: &["merge_group"],
        texts: &[],
        never: &[],
        about: About::Commit("/merge_group/head_sha"),
        times: &["/merge_group/head_commit/timestamp"],
        known: NOTHING,
    },
    Told {
        name: "installation",
        // Most bodies sent to an App name its installation, by id alone.
        objects: &["installation", "installation/account"],
        texts: &[],
        never: &["repositories_added", "repositories_removed"],
        about: About::Installation,
        times: &["/installation/updated_at"],
        known: NOTHING,
    },
];

const THERE: Part = Part::Fields(&[]);

/// Everything that [`EVENTS`] and [`kind`] name.
const JUDGED_BY: Part = Part::Fields(&[
    ("action", Part::Whole),
    ("ref", Part::Whole),
    ("before", Part::Whole),
    ("after", Part::Whole),
    ("sha", Part::Whole),
    ("state", Part::Whole),
    ("context", Part::Whole),
    ("id", Part::Whole),
    ("created_at", Part::Whole),
    ("updated_at", Part::Whole),
    ("repository", Part::Fields(&[("full_name", Part::Whole), ("pushed_at", Part::Whole)])),
    ("pull_request", Part::Fields(&[("number", Part::Whole), ("merged", Part::Whole), ("updated_at", Part::Whole)])),
    ("review", Part::Fields(&[("id", Part::Whole), ("state", Part::Whole), ("submitted_at", Part::Whole), ("updated_at", Part::Whole)])),
    ("comment", Part::Fields(&[("id", Part::Whole), ("updated_at", Part::Whole)])),
    ("thread", THERE),
    ("issue", Part::Fields(&[("number", Part::Whole)])),
    ("commit", THERE),
    ("head_commit", Part::Fields(&[("timestamp", Part::Whole)])),
    ("check_suite", Part::Fields(&[("head_sha", Part::Whole), ("updated_at", Part::Whole)])),
    (
        "check_run",
        Part::Fields(&[
            ("id", Part::Whole),
            ("status", Part::Whole),
            ("conclusion", Part::Whole),
            ("head_sha", Part::Whole),
            ("started_at", Part::Whole),
            ("completed_at", Part::Whole),
        ]),
    ),
    ("deployment", Part::Fields(&[("sha", Part::Whole)])),
    ("deployment_status", Part::Fields(&[("id", Part::Whole), ("created_at", Part::Whole), ("updated_at", Part::Whole)])),
    ("merge_group", Part::Fields(&[("head_sha", Part::Whole), ("head_commit", Part::Fields(&[("timestamp", Part::Whole)]))])),
    ("installation", Part::Fields(&[("id", Part::Whole), ("account", THERE), ("updated_at", Part::Whole)])),
    ("repositories_added", THERE),
    ("repositories_removed", THERE),
]);

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
    let Some(told) = EVENTS.iter().find(|told| told.name == name) else { return Ok(Reading::unhandled(identity)) };
    check_fits(told, &body)?;
    let Some((kind, action)) = kind(told, &body)? else { return Ok(Reading::unhandled(identity)) };
    let subject = subject(told.about, &body)?;
    let time = moment(told.times, &body)?.unwrap_or(document.received_at);
    let key = key(told, kind, &action, &subject, &body);
    let occurrence = Occurrence { kind: event_type(kind)?, subject, time, data: body };
    Ok(Reading { sightings: vec![Sighting { occurrence, key }], identity, handled: true })
}

/// Refuses a body that is not one of the event's.
fn check_fits(told: &Told, body: &Value) -> Result<(), IngressError> {
    let name = told.name;
    for (fields, is_right, what) in
        [(told.objects, Value::is_object as fn(&Value) -> bool, "an object"), (told.texts, Value::is_string as fn(&Value) -> bool, "a text")]
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
    match told.never.iter().find(|field| body.get(**field).is_some_and(|value| !value.is_null())) {
        Some(field) => {
            Err(IngressError::malformed(format!("/{field}"), format!("a body of the event {name} has no `{field}`: this is another event's")))
        }
        None => Ok(()),
    }
}

/// The type, and the action it was read from; none for an action GitHub did not document when this was written.
fn kind(told: &Told, body: &Value) -> Result<Option<(&'static str, String)>, IngressError> {
    if let Some(kind) = TYPES.iter().find(|kind| **kind == told.name) {
        return Ok(Some((kind, String::new())));
    }
    let action = match body.get("action") {
        Some(Value::String(action)) if is_word(action) => action.as_str(),
        None | Some(Value::Null) => return Err(IngressError::malformed("", format!("a body of the event {} needs `action`, a text", told.name))),
        Some(_) => return Err(IngressError::malformed("/action", "an action is a word in lower case")),
    };
    let word = match (told.name, action) {
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
    let kind = TYPES.iter().find(|kind| kind.split_once('.') == Some((told.name, word)));
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
fn key(told: &Told, kind: &str, action: &str, subject: &str, body: &Value) -> Option<Vec<String>> {
    let (actions, places) = told.known;
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
