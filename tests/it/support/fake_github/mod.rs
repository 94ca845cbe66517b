//! One stateful GitHub: repositories with pull requests, labels, reviewers, milestones, check runs; tokens and Apps; GraphQL;
//! with switches for everything that goes wrong there. Whatever it receives is held against what GitHub publishes about
//! itself, and a request GitHub would not take fails the test. It keeps a ledger of all requests, so that a test can count calls.

mod app;
mod faults;
mod graphql;
mod pulls;

pub use app::{FakeApp, private_key};
pub use faults::Fault;
pub use pulls::{FakeCheck, FakePull, Merging};

use super::loopback::{Answer, Delivery, Loopback, Request};
use super::upstream::UpstreamRepo;
use super::{github_graphql, github_openapi};
use pulls::Repository;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub const TOKEN: &str = "ghp_fakefakefakefake0123456789";
/// The repository there is from the beginning.
pub const SLUG: &str = "acme/gitops";

#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

impl Seen {
    /// Method and path, as a test names a call.
    pub fn call(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What time it is at GitHub.
#[derive(Debug, Clone, Copy)]
enum Time {
    /// Always this, in seconds since the epoch.
    Still(i64),
    /// The machine's time and so many seconds more.
    Running(i64),
}

struct State {
    url: String,
    repositories: BTreeMap<String, Repository>,
    /// The names repositories had before, and those they have now.
    former: BTreeMap<String, String>,
    ledger: Vec<Seen>,
    /// One entry per coming call; none for a call that goes well.
    faults: VecDeque<Option<Fault>>,
    /// So many replies to calls that change something do not arrive.
    dropped_writes: usize,
    /// What is left of each account's budget.
    remaining: BTreeMap<String, u64>,
    limit: u64,
    time: Time,
    changes: i64,
    app: Option<FakeApp>,
    /// What GitHub would not have taken.
    violations: Vec<String>,
    /// Until when the last call that changes something is under way, and how many were under way together at most.
    busy_until: Option<Instant>,
    most_at_once: u32,
}

pub struct FakeGithub {
    server: Loopback,
    state: Arc<Mutex<State>>,
}

impl FakeGithub {
    /// One whose clock is the machine's.
    pub fn start() -> Self {
        Self::at(Time::Running(0))
    }

    /// One whose clock stands still.
    pub fn start_at(seconds: i64) -> Self {
        Self::at(Time::Still(seconds))
    }

    /// One whose clock is off by so many seconds.
    pub fn start_skewed(seconds: i64) -> Self {
        Self::at(Time::Running(seconds))
    }

    fn at(time: Time) -> Self {
        let state = State {
            url: String::new(),
            repositories: BTreeMap::from([(SLUG.to_owned(), Repository::new(7, SLUG))]),
            former: BTreeMap::new(),
            ledger: Vec::new(),
            faults: VecDeque::new(),
            dropped_writes: 0,
            remaining: BTreeMap::new(),
            limit: 5_000,
            time,
            changes: 0,
            app: None,
            violations: Vec::new(),
            busy_until: None,
            most_at_once: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let theirs = Arc::clone(&state);
        let server = Loopback::serve(move |request| lock(&theirs).answer(&request));
        lock(&state).url = server.url();
        Self { server, state }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// From now on the pull requests are of this repository's branches.
    pub fn follow(&self, upstream: &UpstreamRepo) {
        self.repository(SLUG, |repository| repository.upstream = Some(upstream.path().to_path_buf()));
    }

    /// Another repository.
    pub fn add_repository(&self, slug: &str) {
        let mut state = self.state();
        let id = 7 + state.repositories.len() as u64;
        state.repositories.insert(slug.to_owned(), Repository::new(id, slug));
    }

    /// Its owner gives a repository another name: the old one leads on to it.
    pub fn rename(&self, from: &str, to: &str) {
        let mut state = self.state();
        let mut repository = state.repositories.remove(from).expect("a repository");
        repository.slug = to.to_owned();
        state.repositories.insert(to.to_owned(), repository);
        state.former.insert(from.to_owned(), to.to_owned());
    }

    /// What its owner does with a repository.
    pub fn repository(&self, slug: &str, act: impl FnOnce(&mut Repository)) {
        act(self.state().repositories.get_mut(slug).expect("a repository"));
    }

    /// From now on there is a GitHub App, installed at every repository.
    pub fn install(&self, app: FakeApp) {
        self.state().app = Some(app);
    }

    /// What an owner does with the App.
    pub fn app(&self, act: impl FnOnce(&mut FakeApp)) {
        act(self.state().app.as_mut().expect("an App"));
    }

    /// Tells whether git over HTTPS may come in with a password.
    pub fn doorkeeper(&self) -> impl Fn(&str, &str) -> bool + Send + Sync + use<> {
        let state = Arc::clone(&self.state);
        move |user, password| {
            let state = lock(&state);
            user == "x-access-token" && state.who(password).is_some()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Every request seen, oldest first.
    pub fn ledger(&self) -> Vec<Seen> {
        self.state().ledger.clone()
    }

    /// Method and path of every request seen.
    pub fn calls(&self) -> Vec<String> {
        self.state().ledger.iter().map(Seen::call).collect()
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

    /// Whether every fault that was ordered has happened.
    pub fn faults_are_over(&self) -> bool {
        self.state().faults.iter().all(Option::is_none)
    }

    /// The replies to the next so many calls that change something are dropped after their effect.
    pub fn drop_replies_to_writes(&self, many: usize) {
        self.state().dropped_writes = many;
    }

    /// Replies to writes that are still to be dropped.
    pub fn writes_to_drop(&self) -> usize {
        self.state().dropped_writes
    }

    /// What every account has left from now on, of so many an hour.
    pub fn allow(&self, remaining: u64, limit: u64) {
        let mut state = self.state();
        state.limit = limit;
        state.remaining.clear();
        for account in ["token", "34", "35"] {
            state.remaining.insert(account.to_owned(), remaining);
        }
    }

    /// How many calls that change something were under way together.
    pub fn most_at_once(&self) -> u32 {
        self.state().most_at_once
    }

    pub fn pulls(&self) -> Vec<FakePull> {
        self.pulls_of(SLUG)
    }

    pub fn pulls_of(&self, slug: &str) -> Vec<FakePull> {
        self.state().repositories[slug].pulls.clone()
    }

    pub fn checks(&self) -> Vec<FakeCheck> {
        self.state().repositories[SLUG].checks.clone()
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
        let updated = state.change();
        let repository = state.repositories.get_mut(SLUG).expect("the repository");
        repository.look_at_branches();
        let pull = repository.pulls.iter_mut().find(|pull| pull.number == number).expect("a pull request");
        act(pull);
        pull.updated = updated;
    }
}

/// A request that GitHub would not have taken fails the test, whether or not the test looked.
impl Drop for FakeGithub {
    fn drop(&mut self) {
        let violations = std::mem::take(&mut self.state().violations);
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "GitHub would not take this:\n{}", violations.join("\n"));
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call, read.
struct Call<'a> {
    method: &'a str,
    /// The path below the API's address.
    path: &'a str,
    query: &'a str,
    body: &'a Value,
}

impl State {
    fn now(&self) -> i64 {
        match self.time {
            Time::Still(seconds) => seconds,
            Time::Running(skew) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
                i64::try_from(now).expect("seconds") + skew
            }
        }
    }

    /// The time of one more change: later than the one before, so that the order can be seen.
    fn change(&mut self) -> i64 {
        self.changes = self.now().max(self.changes + 1);
        self.changes
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let (method, path, query, headers) = (request.method.clone(), request.path.clone(), request.query.clone(), request.headers.clone());
        self.ledger.push(Seen { method, path, query, headers, body: body.clone() });
        let below = request.path.strip_prefix("/api/v3").unwrap_or(&request.path);
        let below = if below == "/api/graphql" { "/graphql" } else { below };
        let wrong = self.violations_of(request, below, &body);
        if !wrong.is_empty() {
            let answer = error(400, &wrong.join("; "), json!([]));
            self.violations.extend(wrong);
            return answer;
        }
        let fault = self.faults.pop_front().flatten();
        let mut answer = match fault.as_ref().and_then(Fault::refusal) {
            Some(answer) => answer,
            None => {
                let call = Call { method: &request.method, path: below, query: &request.query, body: &body };
                self.authorised(request, &call)
            }
        };
        answer.headers.push(("date".to_owned(), date(self.now())));
        if request.method != "GET" {
            let overlaps = self.busy_until.is_some_and(|until| Instant::now() < until);
            self.most_at_once = self.most_at_once.max(1 + u32::from(overlaps));
            self.busy_until = match fault {
                Some(Fault::Slow(millis)) => Some(Instant::now() + Duration::from_millis(millis)),
                _ => None,
            };
        }
        if let Some(late) = fault.as_ref().and_then(Fault::delivery) {
            answer.delivery = late;
        } else if request.method != "GET" && self.dropped_writes > 0 && answer.status < 300 {
            self.dropped_writes -= 1;
            answer.delivery = Delivery::Dropped;
        }
        answer
    }

    fn violations_of(&self, request: &Request, below: &str, body: &Value) -> Vec<String> {
        if below == "/graphql" {
            let document = body["query"].as_str().unwrap_or_default();
            let wrong = github_graphql::violations(document, &body["variables"]).into_iter().map(|wrong| format!("{document}: {wrong}"));
            return github_openapi::header_violations(request).into_iter().chain(wrong).collect();
        }
        github_openapi::violations(request, &self.described(below))
    }

    /// The path as the description knows it: where GitHub led us, there are numbers instead of names.
    fn described(&self, below: &str) -> String {
        let Some(rest) = below.strip_prefix("/repositories/") else { return below.to_owned() };
        let (id, rest) = rest.split_once('/').map_or((rest, String::new()), |(id, rest)| (id, format!("/{rest}")));
        let repository = self.repositories.values().find(|repository| repository.id.to_string() == id);
        repository.map_or_else(|| below.to_owned(), |repository| format!("/repos/{}{rest}", repository.slug))
    }

    /// Whose token this is.
    fn who(&self, token: &str) -> Option<String> {
        if token == TOKEN {
            return Some("token".to_owned());
        }
        self.app.as_ref()?.installation_of(token, self.now()).map(|installation| installation.to_string())
    }

    fn authorised(&mut self, request: &Request, call: &Call<'_>) -> Answer {
        let shown = request.headers.get("authorization").and_then(|shown| shown.strip_prefix("Bearer ")).unwrap_or_default();
        let now = self.now();
        if call.path.starts_with("/app/") || call.path.ends_with("/installation") {
            let described = self.described(call.path);
            let Some(app) = &mut self.app else { return error(401, "A JSON web token could not be decoded", json!([])) };
            if let Err(refused) = app.admits(shown, now) {
                return error(401, &refused, json!([]));
            }
            return match self.led_on(call) {
                Some(answer) => answer,
                None => self.app.as_mut().expect("an App").act(call.method, &described, now),
            };
        }
        let Some(account) = self.who(shown) else { return error(401, "Bad credentials", json!([])) };
        let resource = if call.path == "/graphql" { "graphql" } else { "core" };
        let left = *self.remaining.get(&account).unwrap_or(&self.limit);
        let reset = now - now.rem_euclid(3600) + 3600;
        let mut answer = match () {
            () if left == 0 => error(403, "API rate limit exceeded for user ID 1.", json!([])),
            () if resource == "graphql" => self.graphql(call),
            () => self.led_on(call).unwrap_or_else(|| self.act(call)),
        };
        if let Some(known) = request.headers.get("if-none-match") {
            let same = answer.headers.iter().any(|(name, value)| name == "etag" && value == known);
            if same {
                answer = Answer { status: 304, body: Vec::new(), ..answer };
            }
        }
        // An answer that nothing changed is not counted.
        let left = if answer.status == 304 { left } else { left.saturating_sub(1) };
        self.remaining.insert(account, left);
        let numbers = [("x-ratelimit-limit", self.limit), ("x-ratelimit-remaining", left), ("x-ratelimit-reset", reset.unsigned_abs())];
        answer.headers.extend(numbers.map(|(name, value)| (name.to_owned(), value.to_string())));
        answer.headers.push(("x-ratelimit-resource".to_owned(), resource.to_owned()));
        answer
    }

    /// Leads on from a name that a repository had before: reading for good, all else for now, as GitHub does.
    fn led_on(&self, call: &Call<'_>) -> Option<Answer> {
        let (from, to) = self.former.iter().find(|(from, _)| call.path.starts_with(&format!("/repos/{from}")))?;
        let rest = call.path.strip_prefix(&format!("/repos/{from}"))?;
        if !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
        let prefix = if self.ledger.last().is_some_and(|seen| seen.path.starts_with("/api/v3")) { "/api/v3" } else { "" };
        let location = format!("{}{prefix}/repositories/{}{rest}{query}", self.url, self.repositories[to].id);
        let mut answer = error(if call.method == "GET" { 301 } else { 307 }, "Moved Permanently", json!([]));
        answer.headers.push(("location".to_owned(), location));
        Some(answer)
    }

    fn act(&mut self, call: &Call<'_>) -> Answer {
        let described = self.described(call.path);
        let updated = self.change();
        let found = self.repositories.iter_mut().find_map(|(slug, repository)| {
            let rest = described.strip_prefix(&format!("/repos/{slug}"))?;
            (rest.is_empty() || rest.starts_with('/')).then(|| (repository, rest.to_owned()))
        });
        let Some((repository, rest)) = found else { return error(404, "Not Found", json!([])) };
        repository.look_at_branches();
        let mut answer = repository.act(call, &rest, updated);
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let wrong = github_openapi::answer_violations(call.method, &described, answer.status, &body);
        self.violations.extend(wrong.into_iter().map(|wrong| format!("the fake answers what GitHub would not: {wrong}")));
        if call.method == "GET" {
            use sha2::Digest as _;
            let etag = format!("W/\"{}\"", hex::encode(&sha2::Sha256::digest(&answer.body)[..16]));
            answer.headers.push(("etag".to_owned(), etag));
        }
        answer
    }
}

fn date(seconds: i64) -> String {
    let moment = time::OffsetDateTime::from_unix_timestamp(seconds).expect("a time");
    moment.format(&time::format_description::well_known::Rfc2822).expect("a date").replace("+0000", "GMT")
}

fn json_answer(status: u16, body: &Value) -> Answer {
    Answer::new(status, "application/json; charset=utf-8", body.to_string())
}

fn error(status: u16, message: &str, errors: Value) -> Answer {
    json_answer(status, &json!({ "message": message, "errors": errors, "documentation_url": "https://docs.github.com/rest" }))
}
