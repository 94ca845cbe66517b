//! The tables of GitHub's webhooks: which events are handled, what their bodies hold, where subject, time and id stand in them.
//! Facts only: nothing is read here. What a body of one event has and those of all others have not keeps them apart.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>, and GitHub's OpenAPI description, against which a test holds them

use crate::ingress::json::Part;

/// Every action GitHub documents of the events in [`EVENTS`], and `merged`, which is ours.
pub(super) const TYPES: &[&str] = &[
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
pub(super) struct HookEvent {
    /// What the header calls it.
    pub(super) name: &'static str,
    /// The objects and texts its bodies hold at the top and those of no other event do, but for `never`.
    pub(super) objects: &'static [&'static str],
    pub(super) texts: &'static [&'static str],
    /// What tells the bodies of other events from its own that hold all of these too.
    pub(super) never: &'static [&'static str],
    pub(super) about: About,
    /// Where its time stands, the first that is there; RFC 3339 or whole seconds since 1970.
    pub(super) times: &'static [&'static str],
    /// The actions that happen to something with an id and a moment of its own, and where those stand, the id first: two hooks
    /// that tell of one comment tell one thing. Other actions are known by their delivery.
    pub(super) known: (&'static [&'static str], &'static [&'static str]),
}

/// What an event happened to; the text is the place of a number or a commit.
#[derive(Clone, Copy)]
pub(super) enum About {
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
pub(super) static EVENTS: [HookEvent; 11] = [
    HookEvent {
        name: "pull_request",
        objects: &["pull_request"],
        texts: &[],
        never: &["review", "comment", "thread"],
        about: About::Number("/pull_request/number"),
        times: &["/pull_request/updated_at"],
        known: NOTHING,
    },
    HookEvent {
        name: "pull_request_review",
        objects: &["pull_request", "review"],
        texts: &[],
        never: &[],
        about: About::Number("/pull_request/number"),
        times: &["/review/updated_at", "/review/submitted_at"],
        known: (&["submitted", "dismissed"], &["/review/id", "/review/state", "/review/submitted_at"]),
    },
    HookEvent {
        name: "pull_request_review_comment",
        objects: &["pull_request", "comment"],
        texts: &[],
        never: &[],
        about: About::Number("/pull_request/number"),
        times: &["/comment/updated_at"],
        known: COMMENT,
    },
    HookEvent {
        name: "issue_comment",
        objects: &["issue", "comment"],
        texts: &[],
        never: &[],
        about: About::Number("/issue/number"),
        times: &["/comment/updated_at"],
        known: COMMENT,
    },
    HookEvent {
        name: "push",
        objects: &[],
        texts: &["ref", "before", "after"],
        never: &["action", "pull_request"],
        about: About::Ref,
        times: &["/repository/pushed_at", "/head_commit/timestamp"],
        known: NOTHING,
    },
    HookEvent {
        name: "check_suite",
        objects: &["check_suite"],
        texts: &[],
        never: &[],
        about: About::Commit("/check_suite/head_sha"),
        times: &["/check_suite/updated_at"],
        known: NOTHING,
    },
    HookEvent {
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
    HookEvent {
        name: "status",
        objects: &["commit"],
        texts: &["sha", "state", "context"],
        never: &["action"],
        about: About::Commit("/sha"),
        times: &["/updated_at", "/created_at"],
        known: (&[""], &["/id"]),
    },
    HookEvent {
        name: "deployment_status",
        objects: &["deployment_status", "deployment"],
        texts: &[],
        never: &[],
        about: About::Commit("/deployment/sha"),
        times: &["/deployment_status/updated_at", "/deployment_status/created_at"],
        known: (&["created"], &["/deployment_status/id"]),
    },
    HookEvent {
        name: "merge_group",
        objects: &["merge_group"],
        texts: &[],
        never: &[],
        about: About::Commit("/merge_group/head_sha"),
        times: &["/merge_group/head_commit/timestamp"],
        known: NOTHING,
    },
    HookEvent {
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

/// Everything of a body that [`EVENTS`] and the reading of the type name.
pub(super) const JUDGED_BY: Part = Part::Fields(&[
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
