//! One server that speaks as OpenAI (and xAI, and servers of one's own), Anthropic and Google do, whichever it is asked as. It answers
//! what a script or a function of the conversation says, goes wrong when it is told to, and keeps a ledger of every request. A request
//! that the provider would not take is answered 400 and fails the test.

mod answers;
mod shape;

pub use answers::Said;

use super::loopback::{Answer, Delivery, Loopback, Request};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// As whom it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    OpenAi,
    Anthropic,
    Google,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub form: Form,
    pub path: String,
    pub query: String,
    /// Lower-case names.
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

/// What goes wrong with one answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A status, with a `Retry-After` or without.
    Status(u16, Option<String>),
    /// A status with this body.
    Body(u16, Value),
    /// No answer, and the connection stays open.
    Hang,
    /// The connection ends without an answer.
    Dropped,
    /// The connection ends in the middle of the answer.
    HalfBody,
    /// The answer's JSON ends in its middle.
    MalformedJson,
    /// More than 10 MB of text.
    Huge,
    /// Text that is no UTF-8.
    InvalidUtf8,
    /// An answer without a choice, a content or a candidate.
    NoChoices,
    /// A page for people, with status 200.
    Page,
    /// Another address.
    Redirect(String),
}

enum Step {
    Say(Said),
    Fail(Fault),
}

type Function = Box<dyn FnMut(&Asked) -> Result<Said, Fault> + Send>;

#[derive(Default)]
struct State {
    script: VecDeque<Step>,
    function: Option<Function>,
    ledger: Vec<Asked>,
    violations: Vec<String>,
}

pub struct FakeLlm {
    server: Loopback,
    state: Arc<Mutex<State>>,
}

impl FakeLlm {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let theirs = Arc::clone(&state);
        let server = Loopback::serve(move |request| lock(&theirs).answer(&request));
        Self { server, state }
    }

    /// Where it is, without the version.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What it answers next, after what was said so far.
    pub fn says(&self, said: Said) -> &Self {
        lock(&self.state).script.push_back(Step::Say(said));
        self
    }

    /// What goes wrong next, after what was said so far.
    pub fn fails(&self, fault: Fault) -> &Self {
        lock(&self.state).script.push_back(Step::Fail(fault));
        self
    }

    /// What it answers once the script is over.
    pub fn answers(&self, mut function: impl FnMut(&Asked) -> Said + Send + 'static) {
        self.plays(move |asked| Ok(function(asked)));
    }

    /// What it answers, or how it fails, once the script is over.
    pub fn plays(&self, function: impl FnMut(&Asked) -> Result<Said, Fault> + Send + 'static) {
        lock(&self.state).function = Some(Box::new(function));
    }

    /// Every request so far.
    pub fn ledger(&self) -> Vec<Asked> {
        lock(&self.state).ledger.clone()
    }

    /// When each call was broken off that hung.
    pub fn broken_off(&self) -> Vec<Instant> {
        self.server.abandoned()
    }

    /// The last request.
    pub fn asked(&self) -> Asked {
        self.ledger().pop().expect("a request")
    }
}

impl Drop for FakeLlm {
    fn drop(&mut self) {
        let violations = &lock(&self.state).violations;
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "no provider takes this: {violations:#?}");
        }
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let (form, body) = match shape::read(request) {
            Ok(read) => read,
            Err(problem) => {
                self.violations.push(problem.clone());
                return Answer::new(400, "application/json", json!({ "error": { "type": "invalid_request_error", "message": problem } }).to_string());
            }
        };
        let Request { path, query, headers, .. } = request.clone();
        let asked = Asked { form, path, query, headers, body };
        self.ledger.push(asked.clone());
        match self.script.pop_front() {
            Some(Step::Say(said)) => said.answer(&asked),
            Some(Step::Fail(fault)) => failed(&fault, &asked),
            None => match &mut self.function {
                Some(function) => match function(&asked) {
                    Ok(said) => said.answer(&asked),
                    Err(fault) => failed(&fault, &asked),
                },
                None => Said::text("I have nothing more to say.").answer(&asked),
            },
        }
    }
}

fn failed(fault: &Fault, asked: &Asked) -> Answer {
    let good = Said::text("Half of what I say is lost.").answer(asked);
    let json = |status, body: Value| Answer::new(status, "application/json", body.to_string());
    match fault {
        Fault::Status(status, retry_after) => {
            let mut answer = json(*status, json!({ "error": { "type": "overloaded_error", "message": "come back later" } }));
            answer.headers.extend(retry_after.iter().map(|wait| ("retry-after".to_owned(), wait.clone())));
            answer
        }
        Fault::Body(status, body) => json(*status, body.clone()),
        Fault::Hang => Answer { delivery: Delivery::Silent, ..good },
        Fault::Dropped => Answer { delivery: Delivery::Dropped, ..good },
        Fault::HalfBody => Answer { delivery: Delivery::Truncated, ..good },
        Fault::MalformedJson => Answer { body: good.body[..good.body.len() / 2].to_vec(), ..good },
        Fault::Huge => Said::text(&"a".repeat(10 * 1024 * 1024)).answer(asked),
        Fault::InvalidUtf8 => {
            let at = good.body.windows(4).position(|window| window == b"Half").expect("its text");
            let mut body = good.body.clone();
            body[at..at + 2].copy_from_slice(&[0xc3, 0x28]);
            Answer { body, ..good }
        }
        Fault::NoChoices => json(200, json!({ "model": "m", "choices": [], "candidates": [] })),
        Fault::Page => Answer::new(200, "text/html; charset=utf-8", "<html><title>Sign in</title></html>"),
        Fault::Redirect(to) => {
            let mut answer = Answer::new(307, "text/plain", "elsewhere");
            answer.headers.push(("location".to_owned(), to.clone()));
            answer
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
