//! One stateful GitHub: pull requests, labels, reviewers, comments, with switches for everything that goes wrong there.
//! It keeps a ledger of all requests, so that a test can count calls.

use super::loopback::{Answer, Delivery, Loopback, Request};
use super::upstream::{UpstreamRepo, command};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

pub const TOKEN: &str = "ghp_fakefakefakefake0123456789";

/// What goes wrong with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 502 with a proxy's page.
    BadGateway,
    /// 429, with `Retry-After` when given.
    TooMany(Option<u64>),
    /// 403 "secondary rate limit", with `Retry-After` when given.
    Secondary(Option<u64>),
    /// 403 with no calls left until `reset` (seconds since the epoch).
    Exhausted { reset: u64 },
    /// 403 for a lost permission.
    Forbidden,
    /// 403 because the repository is archived.
    Archived,
    /// 404 for everything.
    NotFound,
    /// 422 with nothing done.
    Unprocessable,
    /// Done, but the answer never arrives.
    DroppedAfter,
    /// Not done, and no answer.
    DroppedBefore,
    /// Done, but the answer is cut in the middle.
    Truncated,
    /// Not done; 200 with a login page.
    Html,
    /// Done, but no answer comes for as long as one waits.
    Silent,
}

#[derive(Debug, Clone)]
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
    pub labels: Vec<String>,
    pub reviewers: Vec<String>,
    pub teams: Vec<String>,
    pub reviews: Vec<(String, String)>,
    pub comments: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub body: Value,
}

#[derive(Default)]
struct State {
    pulls: Vec<FakePull>,
    ledger: Vec<Seen>,
    /// One entry per coming call; none for a call that goes well.
    faults: VecDeque<Option<Fault>>,
    remaining: u64,
    /// The repository whose branches the pull requests are of; without one every head is the same made-up commit.
    repository: Option<PathBuf>,
}

pub struct FakeGithub {
    server: Loopback,
    state: Arc<Mutex<State>>,
}

impl FakeGithub {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State { remaining: 5_000, ..State::default() }));
        let theirs = Arc::clone(&state);
        let server = Loopback::serve(move |request| theirs.lock().expect("the state").answer(&request));
        Self { server, state }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// From now on the pull requests are of this repository's branches.
    pub fn follow(&self, upstream: &UpstreamRepo) {
        self.state().repository = Some(upstream.path().to_path_buf());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the state")
    }

    /// Every request seen, oldest first.
    pub fn ledger(&self) -> Vec<Seen> {
        self.state().ledger.clone()
    }

    /// Forgets the requests seen.
    pub fn clear_ledger(&self) {
        self.state().ledger.clear();
    }

    /// The next call goes wrong.
    pub fn fail(&self, fault: Fault) {
        self.fail_after(0, fault);
    }

    /// The call after `skip` good ones goes wrong.
    pub fn fail_after(&self, skip: usize, fault: Fault) {
        let mut state = self.state();
        state.faults.extend(std::iter::repeat_n(None, skip));
        state.faults.push_back(Some(fault));
    }

    pub fn pulls(&self) -> Vec<FakePull> {
        self.state().pulls.clone()
    }

    /// A person closes or merges a pull request.
    pub fn end(&self, number: u64, merged: bool) {
        self.person(number, |pull| {
            pull.state = "closed";
            pull.merged = merged;
        });
    }

    /// What a person does to a pull request.
    pub fn person(&self, number: u64, act: impl FnOnce(&mut FakePull)) {
        let mut state = self.state();
        state.look_at_branches();
        act(state.pulls.iter_mut().find(|pull| pull.number == number).expect("a pull request"));
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        self.ledger.push(Seen { method: request.method.clone(), path: request.path.clone(), body: body.clone() });
        let fault = self.faults.pop_front().flatten();
        if let Some(answer) = fault.as_ref().and_then(Self::refusal) {
            return answer;
        }
        if request.headers.get("authorization").map(String::as_str) != Some(&format!("Bearer {TOKEN}")) {
            return error(401, "Bad credentials", json!([]));
        }
        let mut answer = self.act(request, &body);
        self.remaining -= 1;
        for (name, value) in [("x-ratelimit-limit", 5_000), ("x-ratelimit-remaining", self.remaining), ("x-ratelimit-reset", 2_000_000_000)] {
            answer.headers.push((name.to_owned(), value.to_string()));
        }
        answer.delivery = match fault {
            Some(Fault::DroppedAfter) => Delivery::Dropped,
            Some(Fault::Truncated) => Delivery::Truncated,
            Some(Fault::Silent) => Delivery::Silent,
            _ => Delivery::Whole,
        };
        answer
    }

    /// The answer of a fault that does nothing.
    fn refusal(fault: &Fault) -> Option<Answer> {
        let wait = |mut answer: Answer, seconds: &Option<u64>| {
            answer.headers.extend(seconds.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
            answer
        };
        Some(match fault {
            Fault::BadGateway => Answer::new(502, "text/html", "<html><body>Bad gateway</body></html>"),
            Fault::TooMany(seconds) => wait(error(429, "Too many requests", json!([])), seconds),
            Fault::Secondary(seconds) => {
                wait(error(403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.", json!([])), seconds)
            }
            Fault::Exhausted { reset } => {
                let mut answer = error(403, "API rate limit exceeded for user ID 1.", json!([]));
                for (name, value) in [("x-ratelimit-limit", 5_000), ("x-ratelimit-remaining", 0), ("x-ratelimit-reset", *reset)] {
                    answer.headers.push((name.to_owned(), value.to_string()));
                }
                answer
            }
            Fault::Forbidden => error(403, "Resource not accessible by personal access token", json!([])),
            Fault::Archived => error(403, "Repository was archived so is read-only.", json!([])),
            Fault::NotFound => error(404, "Not Found", json!([])),
            Fault::Unprocessable => {
                error(422, "Validation Failed", json!([{ "resource": "PullRequest", "code": "custom", "message": "No commits between main and x" }]))
            }
            Fault::DroppedBefore => Answer { delivery: Delivery::Dropped, ..error(500, "", json!([])) },
            Fault::Html => Answer::new(200, "text/html", "<html>Sign in</html>"),
            Fault::DroppedAfter | Fault::Truncated | Fault::Silent => return None,
        })
    }

    /// An open pull request follows its branch; one that is over, or whose branch is gone, keeps what it had.
    fn look_at_branches(&mut self) {
        let Some(repository) = &self.repository else { return };
        for pull in self.pulls.iter_mut().filter(|pull| pull.state == "open") {
            pull.commit = tip(repository, &pull.head).unwrap_or_else(|| pull.commit.clone());
        }
    }

    fn act(&mut self, request: &Request, body: &Value) -> Answer {
        self.look_at_branches();
        let path = request.path.strip_prefix("/api/v3").unwrap_or(&request.path);
        let Some(route) = path.strip_prefix("/repos/acme/gitops") else { return error(404, "Not Found", json!([])) };
        let parts: Vec<&str> = route.split('/').filter(|part| !part.is_empty()).collect();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["pulls"]) => self.list(&request.query),
            ("POST", ["pulls"]) => self.create(body),
            (method, [kind @ ("pulls" | "issues"), number, rest @ ..]) => {
                let Some(pull) = number.parse().ok().and_then(|number: u64| self.pulls.iter_mut().find(|pull| pull.number == number)) else {
                    return error(404, "Not Found", json!([]));
                };
                act_on(pull, method, kind, rest, body)
            }
            _ => error(404, "Not Found", json!([])),
        }
    }

    fn list(&self, query: &str) -> Answer {
        let find = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let (state, head) = (find("state").unwrap_or("open"), find("head"));
        let fits = |pull: &&FakePull| (state == "all" || pull.state == state) && head.is_none_or(|head| head == format!("acme:{}", pull.head));
        json_answer(200, &Value::Array(self.pulls.iter().rev().filter(fits).map(view).collect()))
    }

    fn create(&mut self, body: &Value) -> Answer {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (title, head) = (text("title"), text("head"));
        if title.is_empty() || title.chars().count() > 256 || text("body").chars().count() > 65_536 {
            return error(422, "Validation Failed", json!([{ "resource": "PullRequest", "field": "title", "code": "invalid" }]));
        }
        if self.pulls.iter().any(|pull| pull.head == head && pull.state == "open") {
            let message = format!("A pull request already exists for acme:{head}.");
            return error(422, "Validation Failed", json!([{ "resource": "PullRequest", "code": "custom", "message": message }]));
        }
        let number = self.pulls.len() as u64 + 1;
        let commit = match &self.repository {
            None => "1".repeat(40),
            Some(repository) => match tip(repository, &head) {
                Some(commit) => commit,
                None => return error(422, "Validation Failed", json!([{ "resource": "PullRequest", "field": "head", "code": "invalid" }])),
            },
        };
        self.pulls.push(FakePull {
            number,
            title,
            body: text("body"),
            head,
            commit,
            base: text("base"),
            state: "open",
            merged: false,
            labels: Vec::new(),
            reviewers: Vec::new(),
            teams: Vec::new(),
            reviews: Vec::new(),
            comments: Vec::new(),
        });
        json_answer(201, &view(self.pulls.last().expect("just added")))
    }
}

fn tip(repository: &Path, branch: &str) -> Option<String> {
    let output = command(repository, &["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")]).output().expect("git");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn act_on(pull: &mut FakePull, method: &str, kind: &str, rest: &[&str], body: &Value) -> Answer {
    let texts =
        |value: &Value| -> Vec<String> { value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect() };
    match (method, kind, rest) {
        ("GET", "pulls", []) => json_answer(200, &view(pull)),
        ("PATCH", "pulls", []) => {
            for (name, field) in [("title", &mut pull.title), ("body", &mut pull.body), ("base", &mut pull.base)] {
                if let Some(text) = body[name].as_str() {
                    text.clone_into(field);
                }
            }
            if body["state"] == "closed" {
                pull.state = "closed";
            }
            json_answer(200, &view(pull))
        }
        ("GET", "pulls", ["reviews"]) => {
            let reviews = pull.reviews.iter().map(|(login, state)| json!({ "id": 1, "user": { "login": login }, "state": state }));
            json_answer(200, &Value::Array(reviews.collect()))
        }
        ("POST", "pulls", ["requested_reviewers"]) => {
            let users = texts(&body["reviewers"]);
            if users.iter().any(|login| login == "nobody" || login == "kubeops-bot") {
                return error(422, "Reviews may only be requested from collaborators.", json!([]));
            }
            pull.reviewers.extend(users);
            pull.teams.extend(texts(&body["team_reviewers"]));
            json_answer(201, &view(pull))
        }
        ("POST", "issues", ["labels"]) => {
            pull.labels.extend(texts(&body["labels"]));
            json_answer(200, &json!(pull.labels.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>()))
        }
        ("POST", "issues", ["comments"]) => {
            pull.comments.push(body["body"].as_str().unwrap_or_default().to_owned());
            json_answer(201, &json!({ "id": 1 }))
        }
        _ => error(404, "Not Found", json!([])),
    }
}

fn view(pull: &FakePull) -> Value {
    let merged = pull.merged.then_some("2026-11-20T12:05:00Z");
    json!({
        "number": pull.number,
        "html_url": format!("https://github.com/acme/gitops/pull/{}", pull.number),
        "state": pull.state,
        "title": pull.title,
        "body": if pull.body.is_empty() { Value::Null } else { json!(pull.body) },
        "labels": pull.labels.iter().map(|name| json!({ "id": 1, "name": name })).collect::<Vec<_>>(),
        "requested_reviewers": pull.reviewers.iter().map(|login| json!({ "id": 1, "login": login })).collect::<Vec<_>>(),
        "requested_teams": pull.teams.iter().map(|slug| json!({ "id": 1, "slug": slug })).collect::<Vec<_>>(),
        "head": { "ref": pull.head, "sha": pull.commit },
        "base": { "ref": pull.base, "sha": "2".repeat(40) },
        "user": { "login": "kubeops-bot" },
        "merged_at": merged,
        "merge_commit_sha": "3".repeat(40),
        "created_at": "2026-11-20T12:00:00Z",
        "updated_at": "2026-11-20T12:01:00Z",
    })
}

fn json_answer(status: u16, body: &Value) -> Answer {
    Answer::new(status, "application/json; charset=utf-8", body.to_string())
}

fn error(status: u16, message: &str, errors: Value) -> Answer {
    json_answer(status, &json!({ "message": message, "errors": errors, "documentation_url": "https://docs.github.com/rest" }))
}
