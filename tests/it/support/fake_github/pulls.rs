//! A repository at the fake: its pull requests, milestones and check runs, shown as GitHub's own examples with our values.

use super::remarks::{FakeRemark, place_of, shown};
use super::{Call, error, json_answer};
use crate::support::github_openapi::{example, example_with};
use crate::support::loopback::Answer;
use crate::support::upstream::command;
use kubeops::request::RemarkPlace;
use kubeops::types::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakePull {
    pub number: u64,
    pub title: String,
    pub body: String,
    pub head: String,
    /// The commit the head branch is at, as long as the pull request is open.
    pub commit: String,
    pub base: String,
    pub state: &'static str,
    pub merged: bool,
    /// The commit that brought it into the base, where a test made one.
    pub merged_as: Option<String>,
    pub labels: Vec<String>,
    pub reviewers: Vec<String>,
    pub teams: Vec<String>,
    pub assignees: Vec<String>,
    pub milestone: Option<u64>,
    pub draft: bool,
    pub auto_merge: Option<String>,
    pub queued: bool,
    pub reviews: Vec<(String, String)>,
    pub comments: Vec<String>,
    /// Seconds since the epoch.
    pub updated: i64,
}

#[derive(Debug, Clone)]
pub struct FakeCheck {
    pub name: String,
    pub commit: String,
    pub key: String,
    pub conclusion: String,
    pub title: String,
    pub summary: String,
}

/// A commit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeStatus {
    pub commit: String,
    pub context: String,
    pub state: String,
    pub description: String,
    pub target: String,
}

/// What GitHub says when it is asked to merge by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merging {
    /// Something stands in the way, so it waits.
    Waits,
    /// Nothing does.
    Clean,
    /// Nothing does, and the base has a merge queue.
    CleanQueue,
    /// The owner does not allow it.
    NotAllowed,
}

pub struct Repository {
    pub id: u64,
    pub slug: String,
    pub pulls: Vec<FakePull>,
    /// Numbers and titles.
    pub milestones: Vec<(u64, String)>,
    pub checks: Vec<FakeCheck>,
    /// What people said, the oldest first.
    pub remarks: Vec<FakeRemark>,
    /// What people may do, by login; of others everybody may read.
    pub permissions: BTreeMap<String, &'static str>,
    /// In the order they were made: of one commit and context the last counts.
    pub statuses: Vec<FakeStatus>,
    pub may_set_status: bool,
    /// Whether the token's owner may put signs on comments.
    pub may_react: bool,
    /// The repository whose branches the pull requests are of; without one every head is the same made-up commit.
    pub upstream: Option<PathBuf>,
    pub merging: Merging,
    pub has_drafts: bool,
    /// A team that CODEOWNERS asks for every review.
    pub code_owners: Option<String>,
    pub may_check: bool,
    pub archived: bool,
    /// Whether GraphQL tells of many pull requests at once.
    pub has_many: bool,
    /// Whether GraphQL tells when comments and reviews were changed.
    pub tells_edits: bool,
    /// Whether the token's owner may push.
    pub may_push: bool,
}

impl Repository {
    pub fn new(id: u64, slug: &str) -> Self {
        Self {
            id,
            slug: slug.to_owned(),
            pulls: Vec::new(),
            milestones: vec![(3, "Q3".to_owned()), (4, "Q4".to_owned())],
            checks: Vec::new(),
            remarks: Vec::new(),
            permissions: BTreeMap::new(),
            statuses: Vec::new(),
            may_set_status: true,
            may_react: true,
            upstream: None,
            merging: Merging::Waits,
            has_drafts: true,
            code_owners: None,
            may_check: true,
            archived: false,
            has_many: true,
            tells_edits: true,
            may_push: true,
        }
    }

    /// An open pull request follows its branch, and is closed when that is deleted; one that is over keeps what it had.
    pub(super) fn look_at_branches(&mut self, updated: i64) {
        let Some(repository) = &self.upstream else { return };
        if !self.pulls.iter().any(|pull| pull.state == "open") {
            return;
        }
        let tips = tips(repository);
        for pull in self.pulls.iter_mut().filter(|pull| pull.state == "open") {
            match tips.get(&pull.head) {
                Some(commit) => pull.commit.clone_from(commit),
                None => (pull.state, pull.updated) = ("closed", updated),
            }
        }
    }

    /// The repository itself.
    fn whole(&self) -> Value {
        let (owner, name) = self.slug.split_once('/').expect("owner and name");
        let fields = json!({
            "id": self.id,
            "name": name,
            "full_name": self.slug,
            "owner": { "login": owner },
            "archived": self.archived,
            "permissions": { "admin": false, "push": self.may_push, "pull": true },
            // What the example leaves out, and the description wants.
            "language": null,
            "source": { "language": null },
        });
        example_with("full-repository-default-response", fields)
    }

    fn owner(&self) -> &str {
        self.slug.split('/').next().unwrap_or_default()
    }

    pub(super) fn act(&mut self, call: &Call<'_>, route: &str, updated: i64) -> Answer {
        let parts: Vec<&str> = route.split('/').filter(|part| !part.is_empty()).collect();
        match (call.method, parts.as_slice()) {
            ("GET", []) => json_answer(200, &self.whole()),
            (method, _) if method != "GET" && self.archived => error(403, "Repository was archived so is read-only.", json!([])),
            ("GET", ["pulls"]) => self.list(call.query),
            ("POST", ["pulls"]) => self.create(call.body, updated),
            ("GET", [kind @ ("issues" | "pulls"), "comments"]) => self.all_comments(place_of(kind), call.query),
            ("GET", ["milestones"]) => {
                let shown = self.milestones.iter().map(|(number, title)| milestone(*number, title));
                json_answer(200, &Value::Array(shown.collect()))
            }
            ("POST", ["statuses", commit]) => self.status(commit, call.body),
            ("POST", ["check-runs"]) => self.check(call.body),
            ("GET", ["commits", commit, "check-runs"]) => self.checks_of(commit, given(call.query, "check_name")),
            ("PATCH", ["check-runs", id]) => self.change_check(id, call.body),
            ("GET", ["collaborators", login, "permission"]) => self.permission(login),
            ("GET", [kind @ ("issues" | "pulls"), "comments", id]) => {
                self.remark(place_of(kind), id, |remark, slug| json_answer(200, &shown(remark, slug)))
            }
            ("GET", ["pulls", number, "reviews", id]) => {
                self.remark(RemarkPlace::Review, id, |remark, slug| match remark.pull.to_string() == *number {
                    true => json_answer(200, &shown(remark, slug)),
                    false => error(404, "Not Found", json!([])),
                })
            }
            ("POST", [_, "comments", _, "reactions"]) if !self.may_react => error(403, "Resource not accessible by personal access token", json!([])),
            ("POST", [kind @ ("issues" | "pulls"), "comments", id, "reactions"]) => {
                let content = call.body["content"].as_str().unwrap_or_default().to_owned();
                self.remark(place_of(kind), id, |remark, _| {
                    let is_new = !remark.reactions.contains(&content);
                    let answer = json_answer(if is_new { 201 } else { 200 }, &example_with("reaction", json!({ "content": content })));
                    remark.reactions.extend(is_new.then_some(content));
                    answer
                })
            }
            (method, [kind @ ("pulls" | "issues"), number, rest @ ..]) => {
                let Some(at) = number.parse().ok().and_then(|number: u64| self.pulls.iter().position(|pull| pull.number == number)) else {
                    return error(404, "Not Found", json!([]));
                };
                if method != "GET" {
                    self.pulls[at].updated = updated;
                }
                self.act_on(at, method, kind, rest, call)
            }
            _ => error(404, "Not Found", json!([])),
        }
    }

    /// The owner gives somebody a role.
    pub fn allow(&mut self, login: &str, role: &'static str) {
        self.permissions.insert(login.to_owned(), role);
    }

    /// What the example leaves out, and the description wants, is who the role is of.
    fn permission(&self, login: &str) -> Answer {
        let role = *self.permissions.get(login).unwrap_or(&"read");
        // Beside the role GitHub tells what it comes to in the older words.
        let permission = match role {
            "maintain" => "write",
            "triage" => "read",
            role => role,
        };
        let fields = json!({ "permission": permission, "role_name": role, "user": { "login": login, "role_name": role } });
        json_answer(200, &example_with("repository-collaborator-permission-response-if-user-has-admin-permissions", fields))
    }

    fn list(&self, query: &str) -> Answer {
        let find = |name: &str| given(query, name);
        let (state, head) = (find("state").unwrap_or("open"), find("head"));
        let fits =
            |pull: &&FakePull| (state == "all" || pull.state == state) && head.is_none_or(|head| head == format!("{}:{}", self.owner(), pull.head));
        let mut found: Vec<&FakePull> = self.pulls.iter().filter(fits).collect();
        match find("sort") {
            Some("updated") => found.sort_by_key(|pull| std::cmp::Reverse((pull.updated, pull.number))),
            _ => found.reverse(),
        }
        page(query, found.into_iter().map(|pull| self.view(pull, true)))
    }

    fn create(&mut self, body: &Value, updated: i64) -> Answer {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (title, head) = (text("title"), text("head"));
        let custom = |message: String| error(422, "Validation Failed", json!([{ "resource": "PullRequest", "code": "custom", "message": message }]));
        if title.is_empty() || title.chars().count() > 256 || text("body").chars().count() > 65_536 {
            return error(422, "Validation Failed", json!([{ "resource": "PullRequest", "field": "title", "code": "invalid" }]));
        }
        if body["draft"] == true && !self.has_drafts {
            return error(422, "Draft pull requests are not supported in this repository.", json!([]));
        }
        if self.pulls.iter().any(|pull| pull.head == head && pull.state == "open") {
            return custom(format!("A pull request already exists for {}:{head}.", self.owner()));
        }
        let commit = match &self.upstream {
            None => "1".repeat(40),
            Some(repository) => match tip(repository, &head) {
                Some(commit) if holds(repository, &text("base"), &commit) => {
                    return custom(format!("No commits between {} and {head}", text("base")));
                }
                Some(commit) => commit,
                None => return error(422, "Validation Failed", json!([{ "resource": "PullRequest", "field": "head", "code": "invalid" }])),
            },
        };
        self.pulls.push(FakePull {
            number: self.pulls.len() as u64 + 1,
            title,
            body: text("body"),
            head,
            commit,
            base: text("base"),
            state: "open",
            merged: false,
            labels: Vec::new(),
            reviewers: Vec::new(),
            teams: self.code_owners.iter().cloned().collect(),
            assignees: Vec::new(),
            milestone: None,
            draft: body["draft"] == true,
            auto_merge: None,
            merged_as: None,
            queued: false,
            reviews: Vec::new(),
            comments: Vec::new(),
            updated,
        });
        json_answer(201, &self.view(self.pulls.last().expect("just added"), false))
    }

    fn act_on(&mut self, at: usize, method: &str, kind: &str, rest: &[&str], call: &Call<'_>) -> Answer {
        let (pull, body) = (&mut self.pulls[at], call.body);
        match (method, kind, rest) {
            ("GET", "pulls", []) => json_answer(200, &self.view(&self.pulls[at], false)),
            ("PATCH", "pulls", []) => {
                for (name, field) in [("title", &mut pull.title), ("body", &mut pull.body), ("base", &mut pull.base)] {
                    if let Some(text) = body[name].as_str() {
                        text.clone_into(field);
                    }
                }
                if body["state"] == "closed" {
                    pull.state = "closed";
                }
                json_answer(200, &self.view(&self.pulls[at], false))
            }
            ("PATCH", "issues", []) => self.change_issue(at, body),
            ("GET", "pulls", ["reviews"]) => {
                let (number, slug) = (pull.number, &self.slug);
                let opinions = pull.reviews.iter().map(|(login, state)| {
                    let mut review = example("pull-request-review-items")[0].clone();
                    review["user"]["login"] = json!(login);
                    review["state"] = json!(state);
                    review["pull_request_url"] = json!(format!("https://api.github.com/repos/{slug}/pulls/{number}"));
                    review
                });
                let said = self.remarks.iter().filter(|remark| remark.place == RemarkPlace::Review && remark.pull == number);
                page(call.query, opinions.chain(said.map(|remark| shown(remark, slug))))
            }
            ("GET", "pulls", ["comments"]) => {
                let (number, slug) = (pull.number, &self.slug);
                let said = self.remarks.iter().filter(|remark| remark.place == RemarkPlace::Thread && remark.pull == number);
                page(call.query, said.map(|remark| shown(remark, slug)))
            }
            ("POST", "pulls", ["comments", first, "replies"]) => {
                let number = pull.number;
                let is_first = |remark: &&FakeRemark| remark.place == RemarkPlace::Thread && remark.pull == number && remark.thread.is_none();
                let Some(first) = self.remarks.iter().filter(is_first).map(|remark| remark.id).find(|id| id.to_string() == *first) else {
                    return error(404, "Not Found", json!([]));
                };
                self.write(RemarkPlace::Thread, number, Some(first), "kubeops-bot", body["body"].as_str().unwrap_or_default());
                json_answer(201, &shown(self.remarks.last().expect("just written"), &self.slug))
            }
            ("POST", "pulls", ["requested_reviewers"]) => {
                let users = texts(&body["reviewers"]);
                if users.iter().any(|login| login == "nobody" || login == "kubeops-bot") {
                    return error(422, "Reviews may only be requested from collaborators.", json!([]));
                }
                add(&mut pull.reviewers, users);
                add(&mut pull.teams, texts(&body["team_reviewers"]));
                json_answer(201, &self.view(&self.pulls[at], true))
            }
            ("POST", "issues", ["labels"]) => {
                add(&mut pull.labels, texts(&body["labels"]));
                json_answer(200, &Value::Array(pull.labels.iter().map(|name| label(name)).collect()))
            }
            ("DELETE", "issues", ["labels", gone]) => {
                let gone = gone.replace("%2F", "/");
                if !pull.labels.contains(&gone) {
                    return error(404, "Label does not exist", json!([]));
                }
                pull.labels.retain(|label| *label != gone);
                json_answer(200, &Value::Array(pull.labels.iter().map(|name| label(name)).collect()))
            }
            ("POST", "issues", ["assignees"]) => {
                add(&mut pull.assignees, assignable(&body["assignees"]));
                json_answer(201, &self.issue(&self.pulls[at]))
            }
            ("GET", "issues", []) => json_answer(200, &self.issue(&self.pulls[at])),
            ("GET", "issues", ["comments"]) => {
                page(call.query, pull.comments.iter().map(|text| example_with("issue-comment", json!({ "body": text }))))
            }
            ("POST", "issues", ["comments"]) => {
                pull.comments.push(body["body"].as_str().unwrap_or_default().to_owned());
                json_answer(201, &example("issue-comment"))
            }
            _ => error(404, "Not Found", json!([])),
        }
    }

    fn change_issue(&mut self, at: usize, body: &Value) -> Answer {
        let milestone = body["milestone"].as_u64();
        if milestone.is_some_and(|number| !self.milestones.iter().any(|(known, _)| *known == number)) {
            return error(422, "Validation Failed", json!([{ "resource": "Issue", "field": "milestone", "code": "invalid" }]));
        }
        let pull = &mut self.pulls[at];
        pull.milestone = milestone.or(pull.milestone);
        // What is given takes the place of what was there.
        if body["labels"].is_array() {
            pull.labels = texts(&body["labels"]);
        }
        if body["assignees"].is_array() {
            pull.assignees = assignable(&body["assignees"]);
        }
        json_answer(200, &self.issue(&self.pulls[at]))
    }

    fn check(&mut self, body: &Value) -> Answer {
        if !self.may_check {
            return error(403, "Resource not accessible by integration", json!([]));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let check = FakeCheck {
            name: text(&body["name"]),
            commit: text(&body["head_sha"]),
            key: text(&body["external_id"]),
            conclusion: text(&body["conclusion"]),
            title: text(&body["output"]["title"]),
            summary: text(&body["output"]["summary"]),
        };
        let answer = json_answer(201, &check_run(self.checks.len(), &check));
        self.checks.push(check);
        answer
    }

    fn change_check(&mut self, id: &str, body: &Value) -> Answer {
        let place = id.parse::<usize>().ok().and_then(|id| id.checked_sub(1));
        let Some((place, check)) = place.and_then(|place| Some((place, self.checks.get_mut(place)?))) else {
            return error(404, "Not Found", json!([]));
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (check.conclusion, check.title, check.summary) =
            (text(&body["conclusion"]), text(&body["output"]["title"]), text(&body["output"]["summary"]));
        json_answer(200, &check_run(place, check))
    }

    fn status(&mut self, commit: &str, body: &Value) -> Answer {
        if !self.may_set_status {
            return error(403, "Resource not accessible by personal access token", json!([]));
        }
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        if text("description").chars().count() > 140 {
            return error(
                422,
                "Validation Failed",
                json!([{ "resource": "Status", "field": "description", "code": "custom", "message": "description is too long (maximum is 140 characters)" }]),
            );
        }
        let status = FakeStatus {
            commit: commit.to_owned(),
            context: text("context"),
            state: text("state"),
            description: text("description"),
            target: text("target_url"),
        };
        let fields = json!({ "state": status.state, "context": status.context, "description": status.description, "target_url": status.target });
        self.statuses.push(status);
        json_answer(201, &example_with("status", fields))
    }

    fn checks_of(&self, commit: &str, name: Option<&str>) -> Answer {
        let name = name.map(|name| name.replace("%2F", "/"));
        let of_commit =
            self.checks.iter().enumerate().filter(|(_, check)| check.commit == commit && name.as_ref().is_none_or(|name| *name == check.name));
        let runs: Vec<Value> = of_commit.map(|(place, check)| check_run(place, check)).collect();
        json_answer(200, &json!({ "total_count": runs.len(), "check_runs": runs }))
    }

    fn view(&self, pull: &FakePull, simple: bool) -> Value {
        let (owner, name) = self.slug.split_once('/').expect("owner and name");
        let repository = json!({ "full_name": self.slug, "name": name });
        let fields = json!({
            "number": pull.number,
            "node_id": format!("PR_{}_{}", self.id, pull.number),
            "html_url": format!("https://github.com/{}/pull/{}", self.slug, pull.number),
            "state": pull.state,
            "title": pull.title,
            "body": if pull.body.is_empty() { Value::Null } else { json!(pull.body) },
            "labels": pull.labels.iter().map(|name| label(name)).collect::<Vec<_>>(),
            "milestone": self.milestone(pull),
            "assignee": null,
            "assignees": pull.assignees.iter().map(|login| person(login)).collect::<Vec<_>>(),
            "requested_reviewers": pull.reviewers.iter().map(|login| person(login)).collect::<Vec<_>>(),
            "requested_teams": pull.teams.iter().map(|slug| team(slug)).collect::<Vec<_>>(),
            "head": { "label": format!("{owner}:{}", pull.head), "ref": pull.head, "sha": pull.commit, "repo": repository },
            "base": { "label": format!("{owner}:{}", pull.base), "ref": pull.base, "sha": "2".repeat(40), "repo": repository },
            "user": { "login": "kubeops-bot" },
            "draft": pull.draft,
            "auto_merge": pull.auto_merge.as_ref().map(|method| json!({
                "enabled_by": person("kubeops-bot"), "merge_method": method.to_lowercase(), "commit_title": "", "commit_message": "",
            })),
            "closed_at": (pull.state == "closed").then(|| moment(pull.updated)),
            "merged_at": pull.merged.then(|| moment(pull.updated)),
            "merge_commit_sha": pull.merged_as.clone().unwrap_or_else(|| "3".repeat(40)),
            "created_at": "2026-11-20T12:00:00Z",
            "updated_at": moment(pull.updated),
        });
        if simple {
            let mut whole = example_with("pull-request", fields);
            let detailed = ["merged", "mergeable", "rebaseable", "mergeable_state", "merged_by", "comments", "review_comments"];
            let fields = whole.as_object_mut().expect("an object");
            detailed.iter().chain(&["maintainer_can_modify", "commits", "additions", "deletions", "changed_files"]).for_each(|name| {
                fields.remove(*name);
            });
            return whole;
        }
        example_with("pull-request", fields)
    }

    /// As GraphQL shows it, with everything that may be asked for.
    pub(super) fn graph_view(&self, pull: &FakePull) -> Value {
        let state = match (pull.merged, pull.state) {
            (true, _) => "MERGED",
            (false, "open") => "OPEN",
            (false, _) => "CLOSED",
        };
        let said = self.remarks.iter().filter(|remark| remark.place == RemarkPlace::Review && remark.pull == pull.number);
        let logins = |people: &[String]| json!({ "nodes": people.iter().map(|login| json!({ "login": login })).collect::<Vec<_>>() });
        let users = pull.reviewers.iter().map(|login| json!({ "requestedReviewer": { "__typename": "User", "login": login } }));
        let teams = pull.teams.iter().map(|slug| json!({ "requestedReviewer": { "__typename": "Team", "slug": slug } }));
        // The last word of each: comments are none.
        let mut last: Vec<(&String, &String)> = Vec::new();
        for (login, state) in pull.reviews.iter().filter(|(_, state)| state != "COMMENTED") {
            last.retain(|(known, _)| *known != login);
            last.push((login, state));
        }
        json!({
            "__typename": "PullRequest",
            "number": pull.number,
            "url": format!("https://github.com/{}/pull/{}", self.slug, pull.number),
            "state": state,
            "title": pull.title,
            "body": pull.body,
            "isDraft": pull.draft,
            "isInMergeQueue": pull.queued,
            "headRefName": pull.head,
            "headRefOid": pull.commit,
            "baseRefName": pull.base,
            "createdAt": "2026-11-20T12:00:00Z",
            "updatedAt": moment(pull.updated),
            "mergeCommit": pull.merged.then(|| json!({ "oid": "3".repeat(40) })),
            "author": { "login": "kubeops-bot" },
            "milestone": pull.milestone.and_then(|number| self.milestones.iter().find(|(known, _)| *known == number)).map(|(_, title)| json!({ "title": title })),
            "autoMergeRequest": pull.auto_merge.as_ref().map(|_| json!({ "enabledAt": "2026-11-20T12:00:00Z" })),
            "labels": { "nodes": pull.labels.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() },
            "assignees": logins(&pull.assignees),
            "reviews": { "nodes": said.map(FakeRemark::graph_view).collect::<Vec<_>>() },
            "reviewRequests": { "nodes": users.chain(teams).collect::<Vec<_>>() },
            "latestOpinionatedReviews": { "nodes": last.iter().map(|(login, state)| json!({ "state": state, "author": { "login": login } })).collect::<Vec<_>>() },
        })
    }

    fn milestone(&self, pull: &FakePull) -> Value {
        let found = pull.milestone.and_then(|number| self.milestones.iter().find(|(known, _)| *known == number));
        found.map_or(Value::Null, |(number, title)| milestone(*number, title))
    }

    fn issue(&self, pull: &FakePull) -> Value {
        let fields = json!({
            "number": pull.number,
            "labels": pull.labels.iter().map(|name| label(name)).collect::<Vec<_>>(),
            "assignees": pull.assignees.iter().map(|login| person(login)).collect::<Vec<_>>(),
            "milestone": self.milestone(pull),
        });
        example_with("issue", fields)
    }
}

/// What a query gives a parameter.
pub(super) fn given<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// The page of a listing that a query asks for.
pub(super) fn page(query: &str, all: impl Iterator<Item = Value>) -> Answer {
    let number = |name: &str, otherwise: usize| given(query, name).and_then(|value| value.parse().ok()).unwrap_or(otherwise);
    let (size, page) = (number("per_page", 30), number("page", 1));
    json_answer(200, &Value::Array(all.skip(size * (page - 1)).take(size).collect()))
}

fn tip(repository: &Path, branch: &str) -> Option<String> {
    let output = command(repository, &["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")]).output().expect("git");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Every branch and its commit.
fn tips(repository: &Path) -> BTreeMap<String, String> {
    let listed = command(repository, &["for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads"]).output().expect("git");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    text.lines().filter_map(|line| line.split_once(' ')).map(|(commit, name)| (name.to_owned(), commit.to_owned())).collect()
}

/// Whether a branch holds a commit.
fn holds(repository: &Path, branch: &str, commit: &str) -> bool {
    command(repository, &["merge-base", "--is-ancestor", commit, &format!("refs/heads/{branch}")]).output().expect("git").status.success()
}

pub(super) fn moment(seconds: i64) -> String {
    Timestamp::from_unix_millis(seconds * 1000).to_string().replace(".000Z", "Z")
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// GitHub leaves out, without a word, who cannot be assigned.
fn assignable(value: &Value) -> Vec<String> {
    texts(value).into_iter().filter(|login| login != "nobody").collect()
}

fn add(there: &mut Vec<String>, more: Vec<String>) {
    for one in more {
        if !there.contains(&one) {
            there.push(one);
        }
    }
}

fn label(name: &str) -> Value {
    let mut label = example("label-items")[0].clone();
    label["name"] = json!(name);
    label
}

fn milestone(number: u64, title: &str) -> Value {
    let mut milestone = example("milestone-items")[0].clone();
    milestone["number"] = json!(number);
    milestone["title"] = json!(title);
    milestone
}

fn person(login: &str) -> Value {
    let mut person = example("pull-request")["user"].clone();
    person["login"] = json!(login);
    person
}

fn team(slug: &str) -> Value {
    let mut team = example("pull-request")["requested_teams"][0].clone();
    team["slug"] = json!(slug);
    // What the example leaves out, and the description wants.
    team["type"] = json!("organization");
    team["parent"] = Value::Null;
    team
}

fn check_run(place: usize, check: &FakeCheck) -> Value {
    let output =
        json!({ "title": check.title, "summary": check.summary, "text": null, "annotations_count": 0, "annotations_url": "https://api.github.com" });
    let fields = json!({
        "id": place + 1, "name": check.name, "head_sha": check.commit, "external_id": check.key, "conclusion": check.conclusion,
        "status": "completed", "output": output,
    });
    example_with("check-run-example-of-completed-conclusion", fields)
}
