//! One stateful GitHub: repositories with pull requests, labels, reviewers, milestones, check runs; tokens and Apps; GraphQL;
//! with switches for everything that goes wrong there. Whatever it receives is held against what GitHub publishes about
//! itself, and a request GitHub would not take fails the test. It keeps a ledger of all requests, so that a test can count calls.

mod answers;
mod app;
mod faults;
mod graphql;
mod pulls;
mod remarks;

pub use app::{FakeApp, FakeDelivery, private_key};
pub use faults::Fault;
pub use pulls::{FakeCheck, FakePull, FakeStatus, Merging};
pub use remarks::FakeRemark;

use super::loopback::Loopback;
use super::upstream::UpstreamRepo;
use answers::{Call, error, json_answer};
use kubeops::request::RemarkPlace;
use pulls::Repository;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The login of the user the token is of.
pub const OURSELVES: &str = "kubeops-bot";
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

/// A change of a pull request that was carried out, whatever became of the reply.
#[derive(Debug, Clone)]
pub struct Effect {
    /// When, in milliseconds since the epoch.
    pub at: u64,
    /// Method and path, as [`Seen::call`].
    pub call: String,
    pub pull: u64,
    /// The pull request after it.
    pub after: FakePull,
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
    effects: Vec<Effect>,
    /// One entry per coming call; none for a call that goes well.
    faults: VecDeque<Option<Fault>>,
    /// Whether nobody answers but a proxy in front of it.
    away: bool,
    /// So many replies to calls that change something do not arrive.
    dropped_writes: usize,
    /// What is left of each account's budget.
    remaining: BTreeMap<String, u64>,
    limit: u64,
    time: Time,
    /// When the first call came.
    begun: Option<i64>,
    changes: i64,
    app: Option<FakeApp>,
    /// Whether it tells nobody whose a token is.
    hides_the_user: bool,
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
            effects: Vec::new(),
            faults: VecDeque::new(),
            away: false,
            dropped_writes: 0,
            remaining: BTreeMap::new(),
            limit: 5_000,
            time,
            begun: None,
            changes: 0,
            app: None,
            hides_the_user: false,
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

    /// It tells nobody whose a token is, as to tokens that are no user's.
    pub fn hide_the_user(&self) {
        self.state().hides_the_user = true;
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

    /// Every change of a pull request that we asked for and that was carried out, oldest first.
    pub fn effects(&self) -> Vec<Effect> {
        self.state().effects.clone()
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

    /// Goes away, or comes back.
    pub fn goes_away(&self, away: bool) {
        self.state().away = away;
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

    /// A comment that somebody wrote in the conversation.
    pub fn remark(&self, id: u64) -> FakeRemark {
        self.written(RemarkPlace::Conversation, id)
    }

    /// What somebody wrote in such a place.
    pub fn written(&self, place: RemarkPlace, id: u64) -> FakeRemark {
        self.state().repositories[SLUG].remarks.iter().find(|remark| remark.place == place && remark.id == id).expect("a remark").clone()
    }

    /// What was answered in the thread of a comment on a line.
    pub fn replies(&self, first: u64) -> Vec<FakeRemark> {
        self.state().repositories[SLUG].remarks.iter().filter(|remark| remark.thread == Some(first)).cloned().collect()
    }

    pub fn checks(&self) -> Vec<FakeCheck> {
        self.state().repositories[SLUG].checks.clone()
    }

    /// What counts of a context beside a commit.
    pub fn status(&self, commit: &str, context: &str) -> Option<FakeStatus> {
        let state = self.state();
        let statuses = state.repositories[SLUG].statuses.iter();
        statuses.rev().find(|status| status.commit == commit && status.context == context).cloned()
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
        repository.look_at_branches(updated);
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
