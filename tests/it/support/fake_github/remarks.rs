//! What is written about pull requests at the fake: in the conversation, on lines, in reviews; shown as GitHub's own examples with our values.

use super::error;
use super::pulls::{Repository, given, moment, page};
use crate::support::github_openapi::example_with;
use crate::support::loopback::Answer;
use kubeops::clock::{Clock as _, SystemClock};
use kubeops::request::RemarkPlace;
use kubeops::types::Timestamp;
use serde_json::{Value, json};

/// A comment that somebody else wrote on a pull request, a review with words, or what we answered in a thread.
#[derive(Debug, Clone)]
pub struct FakeRemark {
    pub place: RemarkPlace,
    /// Its id among those in such places.
    pub id: u64,
    pub pull: u64,
    /// The first comment of the thread that it answers in.
    pub thread: Option<u64>,
    pub author: String,
    /// What GitHub calls its author: `User`, `Bot`.
    pub kind: &'static str,
    pub body: String,
    /// Seconds since the epoch.
    pub created: i64,
    pub updated: i64,
    /// When its words were changed last, which GraphQL tells.
    pub edited: Option<i64>,
    /// The signs that we put on it.
    pub reactions: Vec<String>,
}

impl FakeRemark {
    /// A comment that a person writes now.
    pub fn new(id: u64, pull: u64, author: &str, body: &str) -> Self {
        let now = SystemClock.now().unix_seconds();
        let (author, body) = (author.to_owned(), body.to_owned());
        let (place, thread) = (RemarkPlace::Conversation, None);
        Self { place, id, pull, thread, author, kind: "User", body, created: now, updated: now, edited: None, reactions: Vec::new() }
    }

    /// What GraphQL knows it by.
    pub(super) fn node(&self) -> String {
        format!("R_{}_{}", self.place.as_str(), self.id)
    }

    /// As GraphQL shows it, with everything that may be asked for.
    pub(super) fn graph_view(&self) -> Value {
        let author = match self.kind {
            "User" => json!({ "__typename": "User", "login": self.author, "databaseId": 1 }),
            kind => json!({ "__typename": kind, "login": self.author.trim_end_matches("[bot]") }),
        };
        json!({
            "__typename": if self.place == RemarkPlace::Review { "PullRequestReview" } else { "PullRequestReviewComment" },
            "id": self.node(), "fullDatabaseId": self.id.to_string(), "state": "COMMENTED", "body": self.body,
            "url": format!("https://github.com/acme/gitops/pull/{}#pullrequestreview-{}", self.pull, self.id),
            // What was drafted is published when the review is submitted, which changes it.
            "submittedAt": moment(self.updated), "publishedAt": moment(self.updated), "lastEditedAt": self.edited.map(moment),
            "authorAssociation": "MEMBER", "commit": { "oid": "1".repeat(40) }, "author": author,
        })
    }
}

impl Repository {
    /// Somebody writes a comment on a pull request; tells its id.
    pub fn comment(&mut self, pull: u64, author: &str, body: &str) -> u64 {
        self.write(RemarkPlace::Conversation, pull, None, author, body)
    }

    /// Somebody writes something on a pull request, which changes it; tells the id. Each place counts its ids by itself.
    pub fn write(&mut self, place: RemarkPlace, pull: u64, thread: Option<u64>, author: &str, body: &str) -> u64 {
        let id = 9_000 + self.remarks.iter().filter(|remark| remark.place == place).count() as u64;
        self.remarks.push(FakeRemark { place, thread, ..FakeRemark::new(id, pull, author, body) });
        if let Some(pull) = self.pulls.iter_mut().find(|known| known.number == pull) {
            pull.updated += 1;
        }
        id
    }

    pub(super) fn remark(&mut self, place: RemarkPlace, id: &str, act: impl FnOnce(&mut FakeRemark, &str) -> Answer) -> Answer {
        match self.remarks.iter_mut().find(|remark| remark.place == place && remark.id.to_string() == id) {
            Some(remark) => act(remark, &self.slug),
            None => error(404, "Not Found", json!([])),
        }
    }

    /// The comments in such places of all issues that were changed since a moment, the oldest first.
    pub(super) fn all_comments(&self, place: RemarkPlace, query: &str) -> Answer {
        let since = given(query, "since").map(|since| since.replace("%3A", ":").parse::<Timestamp>().expect("a time"));
        let there = self.remarks.iter().filter(|remark| remark.place == place);
        let fresh = there.filter(|remark| since.is_none_or(|since| Timestamp::from_unix_millis(remark.updated * 1000) >= since));
        let shown = fresh.map(|remark| shown(remark, &self.slug));
        page(query, shown)
    }
}

/// Where comments of a kind stand.
pub(super) fn place_of(kind: &str) -> RemarkPlace {
    if kind == "issues" { RemarkPlace::Conversation } else { RemarkPlace::Thread }
}

/// A comment or a review as GitHub shows it.
pub(super) fn shown(remark: &FakeRemark, slug: &str) -> Value {
    let (api, page) = (format!("https://api.github.com/repos/{slug}"), format!("https://github.com/{slug}/pull/{}", remark.pull));
    let mut fields = json!({
        "id": remark.id, "node_id": remark.node(), "body": remark.body, "user": { "login": remark.author, "type": remark.kind },
    });
    let (name, more) = match remark.place {
        RemarkPlace::Conversation => {
            let urls = json!({
                "issue_url": format!("{api}/issues/{}", remark.pull), "url": format!("{api}/issues/comments/{}", remark.id),
                "created_at": moment(remark.created), "updated_at": moment(remark.updated),
            });
            ("issue-comment", urls)
        }
        RemarkPlace::Thread => {
            let urls = json!({
                "pull_request_url": format!("{api}/pulls/{}", remark.pull), "url": format!("{api}/pulls/comments/{}", remark.id),
                "html_url": format!("{page}#discussion_r{}", remark.id), "in_reply_to_id": remark.thread,
                "created_at": moment(remark.created), "updated_at": moment(remark.updated),
            });
            ("pull-request-review-comment", urls)
        }
        RemarkPlace::Review => {
            let urls = json!({
                "pull_request_url": format!("{api}/pulls/{}", remark.pull), "html_url": format!("{page}#pullrequestreview-{}", remark.id),
                "state": "COMMENTED", "submitted_at": moment(remark.updated),
            });
            ("pull-request-review", urls)
        }
    };
    fields.as_object_mut().expect("fields").extend(more.as_object().cloned().unwrap_or_default());
    let mut whole = example_with(name, fields);
    if remark.place == RemarkPlace::Thread && remark.thread.is_none() {
        whole.as_object_mut().expect("an object").remove("in_reply_to_id");
    }
    whole
}
