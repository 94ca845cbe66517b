//! One stateful Jira: issues with a workflow, comments with properties, remote links, labels, fields, assignees, a search; in the cloud
//! (versions 2 and 3) or a Data Center (version 2); with switches for everything that goes wrong there. Whatever it receives is held
//! against a strict shape, and a request Jira would not take fails the test. It keeps a ledger of all requests and a changelog of all effects.

mod answers;
mod faults;
mod issues;
mod jql;
mod shape;

pub use faults::Fault;
pub use issues::{Change, FakeComment, FakeIssue, Moved, Step};

use super::loopback::Loopback;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub const TOKEN: &str = "ATATT3xFakeFakeFake0123456789";
/// Who shows the token: an e-mail address in the cloud, a name in a Data Center.
pub const EMAIL: &str = "bot@acme.example";
pub const NAME: &str = "kubeops-bot";
/// The account id in the cloud.
pub const ACCOUNT: &str = "5b10a2844c20165700ede21g";
/// When the first issue was made, in seconds since the epoch.
pub const BEGIN: i64 = 1_763_640_000;

#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub body: Value,
}

impl Seen {
    /// Method and path, as a test names a call.
    pub fn call(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

struct State {
    cloud: bool,
    issues: BTreeMap<String, FakeIssue>,
    /// The keys issues had before, and those they have now.
    moved: BTreeMap<String, String>,
    workflow: Vec<Step>,
    ledger: Vec<Seen>,
    changes: Vec<Change>,
    /// One entry per coming call; none for a call that goes well.
    faults: VecDeque<Option<Fault>>,
    /// Whether nobody answers but a proxy in front of it.
    away: bool,
    dropped_writes: usize,
    /// The call whose answer is kept back, by a part of it, and those who wait to hear that it came and to let it go.
    held: Option<(&'static str, Sender<()>, Receiver<()>)>,
    /// The same of a call that is kept back itself.
    on_its_way: Option<(&'static str, Sender<()>, Receiver<()>)>,
    /// Whether a listing of comments leaves their properties out.
    hides_properties: bool,
    /// The most entries of one page, whatever is asked for.
    page: usize,
    seconds: i64,
    next_id: u64,
    violations: Vec<String>,
}

/// An answer, or a call, that is kept back until this is dropped.
pub struct Held {
    came: Receiver<()>,
    _let_go: Sender<()>,
}

impl Held {
    /// Whether the call has come.
    pub fn came(&self) -> bool {
        self.came.try_recv().is_ok()
    }
}

pub struct FakeJira {
    server: Loopback,
    state: Arc<Mutex<State>>,
}

impl FakeJira {
    /// A site in the cloud.
    pub fn cloud() -> Self {
        Self::start(true)
    }

    pub fn data_center() -> Self {
        Self::start(false)
    }

    /// With one issue, `OPS-42`, and a workflow: To Do -> In Progress -> Done, and Done asks for a resolution.
    pub fn start(cloud: bool) -> Self {
        let resolution = json!({ "required": true, "name": "Resolution", "hasDefaultValue": false, "allowedValues": [{ "name": "Done" }, { "name": "Declined" }] });
        let workflow = vec![
            Step::new("11", "Start", &["To Do"], "In Progress", json!({})),
            Step::new("21", "Finish", &["In Progress"], "Done", json!({ "resolution": resolution })),
            Step::new("31", "Reopen", &["Done"], "To Do", json!({})),
        ];
        let state = State {
            cloud,
            issues: BTreeMap::new(),
            moved: BTreeMap::new(),
            workflow,
            ledger: Vec::new(),
            changes: Vec::new(),
            faults: VecDeque::new(),
            away: false,
            dropped_writes: 0,
            held: None,
            on_its_way: None,
            hides_properties: false,
            page: 100,
            seconds: BEGIN,
            next_id: 10_000,
            violations: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let theirs = Arc::clone(&state);
        let server = Loopback::serve(move |request| {
            let call = format!("{} {}", request.method, request.path);
            let mut state = lock(&theirs);
            if let Some((_, came, let_go)) = state.on_its_way.take_if(|(part, ..)| call.contains(*part)) {
                drop(state);
                let _ = came.send(());
                let _ = let_go.recv();
                state = lock(&theirs);
            }
            let held = state.held.take_if(|(part, ..)| call.contains(*part));
            let answer = state.answer(&request);
            drop(state);
            if let Some((_, came, let_go)) = held {
                let _ = came.send(());
                let _ = let_go.recv();
            }
            answer
        });
        let fake = Self { server, state };
        fake.add("OPS-42", "To Do");
        fake
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn is_cloud(&self) -> bool {
        self.state().cloud
    }

    /// Another issue.
    pub fn add(&self, key: &str, status: &str) {
        let mut state = self.state();
        let (at, id) = (state.tick(), state.id());
        state.issues.insert(key.to_owned(), FakeIssue::new(id, key, status, at));
    }

    pub fn issue(&self, key: &str) -> FakeIssue {
        self.state().issues[key].clone()
    }

    /// Somebody deletes an issue.
    pub fn delete(&self, key: &str) {
        self.state().issues.remove(key);
    }

    /// Somebody moves an issue to another project: the old key leads to it.
    pub fn move_to(&self, from: &str, to: &str) {
        let mut state = self.state();
        let mut issue = state.issues.remove(from).expect("an issue");
        issue.key = to.to_owned();
        state.issues.insert(to.to_owned(), issue);
        state.moved.insert(from.to_owned(), to.to_owned());
    }

    /// What a person does to an issue.
    pub fn person(&self, key: &str, act: impl FnOnce(&mut FakeIssue)) {
        let mut state = self.state();
        let at = state.tick();
        let issue = state.issues.get_mut(key).expect("an issue");
        act(issue);
        issue.updated = at;
    }

    /// A person moves an issue to another status; tells what the webhook says of it.
    pub fn move_status(&self, key: &str, to: &str) -> Value {
        let mut state = self.state();
        let (at, id) = (state.tick(), state.id());
        let issue = state.issues.get_mut(key).expect("an issue");
        let from = std::mem::replace(&mut issue.status, to.to_owned());
        issue.history.push(Moved { id, at, by: "ada".to_owned(), from, to: to.to_owned() });
        issue.updated = at;
        state.webhook_of_move(key)
    }

    /// The workflow is another one.
    pub fn workflow(&self, steps: Vec<Step>) {
        self.state().workflow = steps;
    }

    /// From now on listings of comments do not show properties.
    pub fn hide_properties(&self) {
        self.state().hides_properties = true;
    }

    /// From now on a page has at most so many entries.
    pub fn page_of(&self, most: usize) {
        self.state().page = most;
    }

    /// Every effect so far, oldest first.
    pub fn changes(&self) -> Vec<Change> {
        self.state().changes.clone()
    }

    /// What Jira's webhooks say of every effect so far.
    pub fn webhooks(&self) -> Vec<Value> {
        let state = self.state();
        state.changes.iter().map(|change| state.webhook(change)).collect()
    }

    pub fn ledger(&self) -> Vec<Seen> {
        self.state().ledger.clone()
    }

    /// Method and path of every request seen.
    pub fn calls(&self) -> Vec<String> {
        self.state().ledger.iter().map(Seen::call).collect()
    }

    /// Requests that change something.
    pub fn writes(&self) -> Vec<String> {
        self.calls().into_iter().filter(|call| !call.starts_with("GET ") && !call.contains("/search")).collect()
    }

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

    /// Answers the next call that has this in method and path, as things are when it comes, but keeps the answer back.
    pub fn hold(&self, part: &'static str) -> Held {
        let ((came, heard), (go, let_go)) = (mpsc::channel(), mpsc::channel());
        self.state().held = Some((part, came, let_go));
        Held { came: heard, _let_go: go }
    }

    /// Keeps back the next call that has this in method and path, as if it were long on its way: until it is let go nothing of it is done.
    pub fn delay(&self, part: &'static str) -> Held {
        let ((came, heard), (go, let_go)) = (mpsc::channel(), mpsc::channel());
        self.state().on_its_way = Some((part, came, let_go));
        Held { came: heard, _let_go: go }
    }

    /// What it would not have taken so far; the test answers for it.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.state().violations)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// A request that Jira would not have taken fails the test, whether or not the test looked.
impl Drop for FakeJira {
    fn drop(&mut self) {
        let violations = self.take_violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "Jira would not take this:\n{}", violations.join("\n"));
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
