//! GitHub's JSON as we read it, and what it means in our words. Only the fields we use, so that additions harm nothing.
//! <https://docs.github.com/en/rest/pulls/pulls?apiVersion=2022-11-28>

use crate::forge::{Pull, PullState, Reviewer};
use crate::types::{CommitSha, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
pub(super) struct WirePull {
    number: u64,
    html_url: String,
    state: String,
    title: String,
    body: Option<String>,
    #[serde(default)]
    labels: Vec<Label>,
    #[serde(default)]
    requested_reviewers: Vec<Login>,
    #[serde(default)]
    requested_teams: Vec<Team>,
    #[serde(default)]
    assignees: Option<Vec<Login>>,
    pub(super) milestone: Option<WireMilestone>,
    #[serde(default)]
    draft: Option<bool>,
    #[serde(default)]
    auto_merge: Option<Value>,
    /// What GraphQL knows it by.
    #[serde(default)]
    pub(super) node_id: Option<String>,
    head: Side,
    base: Side,
    user: Option<Login>,
    merged_at: Option<Timestamp>,
    merge_commit_sha: Option<CommitSha>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

#[derive(Debug, Deserialize)]
struct Label {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Login {
    login: String,
}

#[derive(Debug, Deserialize)]
struct Team {
    slug: String,
}

#[derive(Debug, Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    name: String,
    sha: CommitSha,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireMilestone {
    pub(super) number: u64,
    pub(super) title: String,
}

/// An issue, which every pull request is as well: what of it labels, assignees and milestones are.
#[derive(Debug, Deserialize)]
pub(super) struct WireIssue {
    #[serde(default)]
    labels: Vec<WireLabel>,
    #[serde(default)]
    assignees: Option<Vec<Login>>,
    milestone: Option<WireMilestone>,
}

/// An issue's label is an object, or only its name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum WireLabel {
    Name(String),
    Label { name: Option<String> },
}

/// A comment of the conversation or on a line, or a review.
#[derive(Debug, Deserialize)]
pub(super) struct WireRemark {
    pub(super) id: u64,
    /// What GraphQL knows it by.
    #[serde(default)]
    pub(super) node_id: Option<String>,
    pub(super) body: Option<String>,
    pub(super) user: Option<WireUser>,
    pub(super) html_url: String,
    /// The address of its pull request, which to the conversation is an issue.
    #[serde(alias = "pull_request_url")]
    issue_url: String,
    /// A review has neither of these two, but that after them.
    pub(super) created_at: Option<Timestamp>,
    pub(super) updated_at: Option<Timestamp>,
    /// A review that is not submitted yet is nobody's but its author's.
    pub(super) submitted_at: Option<Timestamp>,
    /// The first comment of the thread, where it is not itself that.
    #[serde(default)]
    pub(super) in_reply_to_id: Option<u64>,
    /// What a review says of the change.
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    pub(super) performed_via_github_app: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireUser {
    pub(super) login: String,
    #[serde(default)]
    pub(super) id: Option<u64>,
    /// `User`, `Bot`, `Organization`, ...
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// What a person may do in a repository.
#[derive(Debug, Deserialize)]
pub(super) struct WirePermission {
    pub(super) permission: String,
}

/// An App, as it is told of itself.
#[derive(Debug, Deserialize)]
pub(super) struct WireApp {
    /// Its name in addresses, and in its bot's login.
    pub(super) slug: String,
}

/// A delivery of an App's webhook, as GitHub remembers it.
#[derive(Debug, Deserialize)]
pub(super) struct WireHookDelivery {
    pub(super) id: u64,
    /// The same for every attempt.
    pub(super) guid: String,
    pub(super) delivered_at: Timestamp,
    pub(super) redelivery: bool,
    /// What the receiver answered; 0 where it did not.
    pub(super) status_code: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireRepository {
    pub(super) full_name: String,
    #[serde(default)]
    pub(super) archived: bool,
    pub(super) permissions: Option<WirePermissions>,
}

/// What whoever asks may do in a repository.
#[derive(Debug, Deserialize)]
pub(super) struct WirePermissions {
    pub(super) push: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireInstallation {
    pub(super) id: u64,
}

/// An installation's token. It has no `Debug`, so that nobody prints it.
#[derive(Deserialize)]
pub(super) struct WireToken {
    pub(super) token: String,
    pub(super) expires_at: Timestamp,
    pub(super) permissions: Option<WireRights>,
}

/// What an installation's token may do.
#[derive(Debug, Deserialize)]
pub(super) struct WireRights {
    pub(super) contents: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireCheckRuns {
    pub(super) check_runs: Vec<WireCheckRun>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireCheckRun {
    pub(super) id: u64,
    pub(super) external_id: Option<String>,
    pub(super) head_sha: CommitSha,
    pub(super) conclusion: Option<String>,
    pub(super) output: WireCheckOutput,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireCheckOutput {
    pub(super) title: Option<String>,
    pub(super) summary: Option<String>,
}

/// What GraphQL answers.
#[derive(Debug, Deserialize)]
pub(super) struct WireGraph {
    #[serde(default)]
    pub(super) data: Value,
    #[serde(default)]
    pub(super) errors: Vec<WireGraphError>,
}

#[derive(Debug, Deserialize)]
pub(super) struct WireGraphError {
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    extensions: WireExtensions,
}

#[derive(Debug, Default, Deserialize)]
struct WireExtensions {
    #[serde(default)]
    code: String,
}

/// What GitHub says when it refuses.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WireError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<Value>,
}

impl WireIssue {
    /// Brings `pull` to what the issue says.
    pub(super) fn onto(self, pull: &mut Pull) {
        pull.labels = self.labels.into_iter().filter_map(WireLabel::name).collect();
        pull.assignees = logins(self.assignees);
        pull.milestone = self.milestone.map(|milestone| milestone.title);
    }
}

impl WireLabel {
    pub(super) fn name(self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name),
            Self::Label { name } => name,
        }
    }
}

impl WireGraphError {
    /// Its words on one line.
    pub(super) fn words(&self) -> String {
        one_line(&self.message)
    }

    /// Whether this GitHub does not know a field that was asked for.
    pub(super) fn is_unknown_field(&self) -> bool {
        self.extensions.code == "undefinedField"
    }
}

fn logins(people: Option<Vec<Login>>) -> Vec<String> {
    people.into_iter().flatten().map(|person| person.login).collect()
}

impl WirePull {
    /// The pull request in our words; `organisation` owns the teams.
    pub(super) fn into_pull(self, organisation: &str) -> Pull {
        let merged = self.merged_at.is_some();
        let users = self.requested_reviewers.into_iter().map(|user| Reviewer::User(user.login));
        let teams = self.requested_teams.into_iter().map(|team| Reviewer::Team { organisation: organisation.to_owned(), team: team.slug });
        Pull {
            number: self.number,
            url: self.html_url,
            state: match (merged, self.state.as_str()) {
                (true, _) => PullState::Merged,
                (false, "open") => PullState::Open,
                (false, _) => PullState::Closed,
            },
            title: self.title,
            body: self.body.unwrap_or_default(),
            labels: self.labels.into_iter().map(|label| label.name).collect(),
            reviewers: users.chain(teams).collect(),
            assignees: logins(self.assignees),
            milestone: self.milestone.map(|milestone| milestone.title),
            draft: self.draft.unwrap_or(false),
            auto_merge: self.auto_merge.is_some_and(|how| !how.is_null()),
            queued: false,
            head: self.head.name,
            base: self.base.name,
            head_commit: Some(self.head.sha),
            // For an open one GitHub tells a merge it only tried.
            merge_commit: self.merge_commit_sha.filter(|_| merged),
            approved_by: Vec::new(),
            author: self.user.map(|user| user.login).unwrap_or_default(),
            closed_by: None,
            created_at: self.created_at,
            updated_at: self.updated_at,
            notes: Vec::new(),
        }
    }
}

impl WireRemark {
    /// The number of its pull request.
    pub(super) fn pull(&self) -> Option<u64> {
        self.issue_url.rsplit('/').next().and_then(|number| number.parse().ok())
    }
}

/// Who approves, by each person's last word. Comments are no word.
pub(super) fn approvals(reviews: &[WireRemark]) -> Vec<String> {
    let mut last = BTreeMap::new();
    for review in reviews {
        if let (Some(user), Some(state @ ("APPROVED" | "CHANGES_REQUESTED" | "DISMISSED"))) = (&review.user, review.state.as_deref()) {
            last.insert(user.login.clone(), state == "APPROVED");
        }
    }
    last.into_iter().filter(|(_, approves)| *approves).map(|(login, _)| login).collect()
}

impl WireError {
    /// Reads an answer's body; a body that is no JSON (a proxy's page) is not repeated.
    pub(super) fn read(body: &str) -> Self {
        serde_json::from_str(body).unwrap_or_default()
    }

    /// Its words on one line, at most 400 characters; empty when it said nothing.
    pub(super) fn words(&self) -> String {
        let details = self.errors.iter().filter_map(|error| match error {
            Value::String(text) => Some(text.clone()),
            error => match (error.get("message"), error.get("field"), error.get("code")) {
                (Some(message), ..) => message.as_str().map(str::to_owned),
                (None, Some(field), Some(code)) => Some(format!("{}: {}", field.as_str().unwrap_or("?"), code.as_str().unwrap_or("?"))),
                _ => None,
            },
        });
        let text = std::iter::once(self.message.clone()).chain(details).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        one_line(&text)
    }
}

/// Text on one line, at most 400 characters.
fn one_line(text: &str) -> String {
    crate::forge::cut(&text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "), 400)
}
