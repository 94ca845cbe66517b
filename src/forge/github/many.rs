//! Many pull requests in one call, each with its approvals, which the REST API tells one by one: GraphQL, a hundred and more at a time.
//! <https://docs.github.com/en/graphql/reference/objects#pullrequest>

use super::budget::Kind;
use super::{GitHub, remarks};
use crate::forge::{ForgeError, OURS, Pull, PullState, Remark, Reviewer};
use crate::request::{RemarkAddress, RemarkPlace};
use crate::types::{CommitSha, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;

/// Pull requests in one call: with five lists each it stays far below what GitHub takes (500,000 nodes).
const AT_ONCE: usize = 125;
/// Entries of each list of a pull request.
const ENTRIES: u32 = 50;
/// The newest reviews of a pull request whose words are told.
const REVIEWS: u32 = 20;
/// What is asked of each.
const SEEN: &str = "fragment Seen on PullRequest { number url state title body isDraft isInMergeQueue headRefName headRefOid baseRefName createdAt updatedAt \
    mergeCommit { oid } author { login } milestone { title } autoMergeRequest { enabledAt } \
    labels(first: $entries) { nodes { name } } assignees(first: $entries) { nodes { login } } \
    reviewRequests(first: $entries) { nodes { requestedReviewer { ... on User { login } ... on Team { slug } } } } \
    latestOpinionatedReviews(first: $entries) { nodes { state author { login } } } }";
/// What is asked of each where the words of its reviews are asked for.
const SAID: &str = " fragment Said on PullRequest { reviews(last: $reviews) { nodes { id fullDatabaseId url state body submittedAt publishedAt \
    lastEditedAt authorAssociation commit { oid } author { login ... on User { databaseId } } } } }";

/// Whether the words of reviews are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// They are: a few long texts for each pull request.
    Told,
    /// They are not.
    Left,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    number: u64,
    url: String,
    state: String,
    title: String,
    #[serde(default)]
    body: String,
    is_draft: bool,
    is_in_merge_queue: bool,
    head_ref_name: String,
    head_ref_oid: CommitSha,
    base_ref_name: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    merge_commit: Option<Commit>,
    author: Option<Person>,
    milestone: Option<Milestone>,
    auto_merge_request: Option<Value>,
    labels: Option<List<Label>>,
    assignees: Option<List<Person>>,
    review_requests: Option<List<Asked>>,
    latest_opinionated_reviews: Option<List<Review>>,
}

#[derive(Deserialize)]
struct List<T> {
    nodes: Option<Vec<Option<T>>>,
}

#[derive(Deserialize)]
struct Commit {
    oid: CommitSha,
}

#[derive(Deserialize)]
struct Person {
    login: String,
}

#[derive(Deserialize)]
struct Milestone {
    title: String,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    requested_reviewer: Option<Whoever>,
}

#[derive(Deserialize)]
struct Whoever {
    login: Option<String>,
    slug: Option<String>,
}

#[derive(Deserialize)]
struct Review {
    state: String,
    author: Option<Person>,
}

impl GitHub {
    /// The pull requests with these numbers, those that there are, with their approvals and, where they are asked for, their newest reviews;
    /// none where this GitHub does not tell so.
    pub(super) async fn many(&self, numbers: &[u64], words: Words) -> Result<Option<(Vec<Pull>, Vec<Remark>)>, ForgeError> {
        let repository = &self.client.repository;
        let (mut pulls, mut reviews) = (Vec::with_capacity(numbers.len()), Vec::new());
        for numbers in numbers.chunks(AT_ONCE) {
            if repository.without_many.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let (owner, name) = repository.place().parts();
            let mut variables = Map::from_iter([("owner".to_owned(), json!(owner)), ("name".to_owned(), json!(name))]);
            variables.insert("entries".to_owned(), json!(ENTRIES));
            if words == Words::Told {
                variables.insert("reviews".to_owned(), json!(REVIEWS));
            }
            variables.extend(numbers.iter().enumerate().map(|(place, number)| (format!("n{place}"), json!(number))));
            let data = match self.client.graphql_found(Kind::Read, &document(numbers.len(), words), Value::Object(variables)).await {
                Ok(data) => data,
                Err(ForgeError::Forbidden { message, .. } | ForgeError::Refused { message, .. } | ForgeError::NotFound { message, .. }) => {
                    tracing::info!(forge = self.client.forge(), message, "pull requests are looked at one by one");
                    Value::Null
                }
                Err(error) => return Err(error),
            };
            let Some(found) = data.get("repository").and_then(Value::as_object) else {
                repository.without_many.store(true, Ordering::Relaxed);
                return Ok(None);
            };
            for (place, number) in numbers.iter().enumerate() {
                match found.get(&format!("p{place}")).filter(|found| !found.is_null()) {
                    Some(found) => {
                        let seen =
                            Seen::deserialize(found).map_err(|_| self.client.unreachable(format!("what it tells of #{number} makes no sense")))?;
                        pulls.push(seen.into_pull(&owner));
                        reviews.extend(said(*number, found));
                    }
                    None => tracing::warn!(number, forge = self.client.forge(), "a pull request is not there any more"),
                }
            }
        }
        Ok(Some((pulls, reviews)))
    }
}

/// The document that asks for so many.
fn document(many: usize, words: Words) -> String {
    let (asked, more, variable) = match words {
        Words::Told => ("...Seen ...Said", SAID, ", $reviews: Int!"),
        Words::Left => ("...Seen", "", ""),
    };
    let variables: String = (0..many).map(|place| format!(", $n{place}: Int!")).collect();
    let fields: String = (0..many).map(|place| format!(" p{place}: pullRequest(number: $n{place}) {{ {asked} }}")).collect();
    let head = format!("query($owner: String!, $name: String!, $entries: Int!{variable}{variables})");
    format!("{head} {{ repository(owner: $owner, name: $name) {{{fields} }} }} {SEEN}{more}")
}

/// The reviews of a pull request that are submitted and told, in the form that webhooks have.
fn said(pull: u64, found: &Value) -> impl Iterator<Item = Remark> {
    found.pointer("/reviews/nodes").and_then(Value::as_array).into_iter().flatten().filter_map(move |node| {
        let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        // A number that may be larger than GraphQL's own is written as a text.
        let id = node.get("fullDatabaseId").and_then(|id| id.as_u64().or_else(|| id.as_str()?.parse().ok()))?;
        let (body, url, submitted_at) = (text("/body")?, text("/url")?, text("/submittedAt")?);
        let author = text("/author/login");
        let is_bot = !node.pointer("/author/databaseId").is_some_and(Value::is_number);
        let raw = json!({
            "id": id,
            "node_id": node["id"],
            "user": author.as_ref().map(|login| json!({ "login": login, "type": if is_bot { "Bot" } else { "User" } })),
            "body": body,
            "state": text("/state")?.to_ascii_lowercase(),
            "submitted_at": submitted_at,
            "commit_id": node.pointer("/commit/oid"),
            "html_url": url,
            "author_association": node["authorAssociation"],
        });
        Some(Remark {
            at: RemarkAddress { pull, place: RemarkPlace::Review, id },
            author: author.unwrap_or_default(),
            is_bot,
            is_ours: body.contains(OURS),
            edited: remarks::edited(node),
            updated_at: submitted_at.parse().ok()?,
            body,
            url,
            raw,
        })
    })
}

fn nodes<T>(list: Option<List<T>>) -> impl Iterator<Item = T> {
    list.and_then(|list| list.nodes).into_iter().flatten().flatten()
}

impl Seen {
    /// The pull request in our words; `organisation` owns the teams.
    fn into_pull(self, organisation: &str) -> Pull {
        let state = match self.state.as_str() {
            "MERGED" => PullState::Merged,
            "OPEN" => PullState::Open,
            _ => PullState::Closed,
        };
        let asked = nodes(self.review_requests).filter_map(|asked| asked.requested_reviewer);
        let reviewers = asked.filter_map(|who| match (who.login, who.slug) {
            (Some(login), _) => Some(Reviewer::User(login)),
            (None, Some(team)) => Some(Reviewer::Team { organisation: organisation.to_owned(), team }),
            (None, None) => None,
        });
        let approving = nodes(self.latest_opinionated_reviews).filter(|review| review.state == "APPROVED");
        let mut approved_by: Vec<String> = approving.filter_map(|review| review.author).map(|author| author.login).collect();
        approved_by.sort_unstable();
        approved_by.dedup();
        Pull {
            number: self.number,
            url: self.url,
            state,
            title: self.title,
            body: self.body,
            labels: nodes(self.labels).map(|label| label.name).collect(),
            assignees: nodes(self.assignees).map(|person| person.login).collect(),
            milestone: self.milestone.map(|milestone| milestone.title),
            draft: self.is_draft,
            auto_merge: self.auto_merge_request.is_some(),
            queued: self.is_in_merge_queue,
            reviewers: reviewers.collect(),
            head: self.head_ref_name,
            base: self.base_ref_name,
            head_commit: Some(self.head_ref_oid),
            merge_commit: self.merge_commit.map(|commit| commit.oid).filter(|_| state == PullState::Merged),
            approved_by,
            author: self.author.map(|author| author.login).unwrap_or_default(),
            closed_by: None,
            created_at: self.created_at,
            updated_at: self.updated_at,
            notes: Vec::new(),
        }
    }
}
