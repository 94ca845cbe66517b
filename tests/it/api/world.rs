//! One small world for a test: the application with its stand-ins, three tokens, and a clock that moves when it is told to.

use super::store::FakeStore;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use async_trait::async_trait;
use kubeops::api::*;
use kubeops::automation::Provider;
use kubeops::clock::Clock;
use kubeops::event::Event;
use kubeops::pipeline::{AlreadyOpen, Copiloted, DraftDifference, Filled, ModelAsked, Origin, ReplayedDraft, Shown, Suggested};
use kubeops::request::{Hold, PullRef, Request, RequestKey, State, TimelineEntry};
use kubeops::store::*;
use kubeops::telemetry::{AccessLog, Metrics};
use kubeops::types::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct FakeClock {
    pub millis: AtomicI64,
    pub counter: AtomicU64,
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.millis.load(Ordering::SeqCst))
    }
    fn random(&self) -> u128 {
        u128::from(self.counter.fetch_add(1, Ordering::SeqCst)) << 1
    }
}

/// What a delivery looked like when it was received.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub source: String,
    pub query: String,
    pub client: Option<IpAddr>,
    pub body: Vec<u8>,
    pub signature: Option<String>,
}

#[derive(Default)]
pub struct FakeReceiver {
    pub seen: Mutex<Vec<Seen>>,
    /// What the next deliveries are answered with; `Accepted` when empty.
    pub answers: Mutex<Vec<Result<Receipt, Refusal>>>,
}

#[async_trait]
impl Receiver for FakeReceiver {
    fn body_limit(&self, source: &str) -> Option<usize> {
        match source {
            "service-desk" => Some(64 * 1024),
            "tiny" => Some(16),
            "big" => Some(1024 * 1024),
            _ => None,
        }
    }

    async fn receive(&self, incoming: Incoming<'_>) -> Result<Receipt, Refusal> {
        if self.body_limit(incoming.source).is_none() {
            return Err(Refusal::UnknownSource);
        }
        self.seen.lock().expect("a lock").push(Seen {
            source: incoming.source.to_owned(),
            query: incoming.query.to_owned(),
            client: incoming.client,
            body: incoming.body.to_vec(),
            signature: incoming.headers.get("x-hub-signature").and_then(|value| value.to_str().ok()).map(str::to_owned),
        });
        let mut answers = self.answers.lock().expect("a lock");
        if answers.is_empty() { Ok(Receipt::Accepted(delivery_id(1))) } else { answers.remove(0) }
    }
}

/// What was asked of the operations, in words.
#[derive(Default)]
pub struct FakeOperations {
    pub done: Mutex<Vec<String>>,
    pub asked: Mutex<Vec<Ask>>,
    /// What the next call fails with.
    pub failure: Mutex<Option<OperationError>>,
}

impl FakeOperations {
    fn note(&self, what: String) -> Result<(), OperationError> {
        self.done.lock().expect("a lock").push(what);
        self.failure.lock().expect("a lock").take().map_or(Ok(()), Err)
    }
}

/// The id of a suggestion.
pub fn suggestion_id() -> SuggestionId {
    "sug_01kajz0000000000000000000a".parse().expect("an id")
}

fn model_asked() -> ModelAsked {
    ModelAsked { provider: Provider::Local, model: "qwen3".to_owned(), reported: None, calls: 2, tokens: 1_234, micros: Some(5_000) }
}

fn suggested(sentence: &str) -> Suggested {
    Suggested {
        id: suggestion_id(),
        sentence: sentence.to_owned(),
        automation: "namespace-request".parse().expect("a name"),
        description: "Opens a namespace.".to_owned(),
        parameters: vec![Filled { name: "team".to_owned(), value: serde_json::json!("payments"), origin: Origin::Said }],
        preview: Shown { target: Some("gitops:clusters/prod".to_owned()), summary: vec!["Namespace payments".to_owned()], ..Shown::default() },
        already_open: vec![AlreadyOpen {
            request: request_id(2),
            state: State::Proposed,
            repository: Some("gitops".parse().expect("a name")),
            pull: Some(PullRef { number: 4, url: "https://git.example/pulls/4".to_owned() }),
        }],
        asked: model_asked(),
        expires_at: Timestamp::from_unix_millis(1_767_225_600_000),
    }
}

#[async_trait]
impl Operations for FakeOperations {
    async fn ask(&self, ask: Ask) -> Result<Asked, OperationError> {
        self.note(format!("ask {}", ask.automation))?;
        let mut asked = self.asked.lock().expect("a lock");
        let known = ask.idempotency_key.is_some() && asked.iter().any(|earlier| earlier.idempotency_key == ask.idempotency_key);
        asked.push(ask);
        Ok(Asked { request: request_id(1), opened: !known })
    }
    async fn ask_job(&self, ask: AskJob) -> Result<Asked, OperationError> {
        self.note(format!("job {:?}: {}", ask.automation.map(|name| name.to_string()), ask.goal))?;
        Ok(Asked { request: request_id(1), opened: true })
    }
    async fn copilot(&self, ask: AskCopilot) -> Result<Copiloted, OperationError> {
        self.note(format!("copilot {:?}: {} by {}", ask.automation.map(|name| name.to_string()), ask.sentence, ask.actor))?;
        let asked = model_asked();
        Ok(match ask.sentence.as_str() {
            "nothing" => Copiloted::Declined { reason: "no automation does that".to_owned(), asked },
            sentence => Copiloted::Suggested(Box::new(suggested(sentence))),
        })
    }
    async fn suggestion(&self, id: &SuggestionId) -> Result<Suggested, OperationError> {
        self.note(format!("suggestion {id}"))?;
        Ok(suggested("a namespace for payments"))
    }
    async fn confirm_suggestion(&self, id: &SuggestionId, actor: &str) -> Result<Asked, OperationError> {
        self.note(format!("confirm {id} by {actor}"))?;
        Ok(Asked { request: request_id(1), opened: true })
    }
    async fn retry(&self, id: &RequestId, actor: &str) -> Result<Request, OperationError> {
        self.note(format!("retry {id} by {actor}"))?;
        Ok(request(1, State::Accepted))
    }
    async fn replay_draft(&self, id: &RequestId, number: u32) -> Result<ReplayedDraft, OperationError> {
        self.note(format!("replay draft {number} of {id}"))?;
        let difference = Some(DraftDifference { turn: 2, then: "the model went on".to_owned(), now: "the answer was refused".to_owned() });
        let ended = "the answer 1f passed".to_owned();
        Ok(ReplayedDraft { draft: number, turns: 2, same: false, ended, answer: None, difference, begins: None })
    }
    async fn what_counts(&self, event: &EventRecord) -> Vec<String> {
        vec![format!("tells of {}", event.subject)]
    }

    async fn revert(&self, id: &RequestId, actor: &str, reason: Option<&str>) -> Result<Asked, OperationError> {
        self.note(format!("revert {id} by {actor}: {}", reason.unwrap_or("-")))?;
        Ok(Asked { request: request_id(9), opened: reason.is_some() })
    }

    async fn extend(&self, id: &RequestId, actor: &str, by: SpecDuration) -> Result<Request, OperationError> {
        self.note(format!("extend {id} by {by} by {actor}"))?;
        Ok(request(1, State::Merged))
    }

    async fn cancel(&self, id: &RequestId, actor: &str, reason: Option<&str>) -> Result<Request, OperationError> {
        self.note(format!("cancel {id} by {actor}: {}", reason.unwrap_or("-")))?;
        Ok(request(1, State::Withdrawn))
    }
    async fn hold(&self, id: &RequestId, actor: &str, reason: Option<&str>) -> Result<Request, OperationError> {
        self.note(format!("hold {id} by {actor}: {}", reason.unwrap_or("-")))?;
        let mut request = request(1, State::Proposed);
        request.steering.held = Some(Hold { by: actor.to_owned(), reason: reason.map(str::to_owned), since: at(5) });
        Ok(request)
    }
    async fn release(&self, id: &RequestId, actor: &str) -> Result<Request, OperationError> {
        self.note(format!("release {id} by {actor}"))?;
        Ok(request(1, State::Proposed))
    }
    async fn revise(&self, id: &RequestId, actor: &str, text: &str) -> Result<Revising, OperationError> {
        self.note(format!("revise {id} by {actor}: {text}"))?;
        Ok(Revising { request: request(1, State::Proposed), revision: 1 })
    }
    async fn withdraw_member(&self, id: &RequestId, member: &str, actor: &str, reason: Option<&str>) -> Result<Request, OperationError> {
        self.note(format!("withdraw {member} of {id} by {actor}: {}", reason.unwrap_or("-")))?;
        Ok(request(1, State::Proposed))
    }
    async fn replay(&self, id: &DeliveryId, actor: &str) -> Result<Vec<RequestId>, OperationError> {
        self.note(format!("replay {id} by {actor}"))?;
        Ok(vec![request_id(1)])
    }
    async fn request_diff(&self, id: &RequestId) -> Result<Diff, OperationError> {
        self.note(format!("diff {id}"))?;
        Ok(diff())
    }
    async fn pull_diff(&self, repository: &RepositoryName, number: u64) -> Result<Diff, OperationError> {
        self.note(format!("diff {repository}#{number}"))?;
        Ok(diff())
    }
    async fn act_on_pull(&self, repository: &RepositoryName, number: u64, action: PullAction, actor: &str) -> Result<PullRecord, OperationError> {
        self.note(format!("{action:?} {repository}#{number} by {actor}"))?;
        Ok(pull(number))
    }
    fn forges(&self) -> Vec<ForgeView> {
        let calls = ForgeCallsView { done: 40, refused: 3, failed: 2, limited: 1, held: 7 };
        vec![ForgeView {
            name: "app 12, installation 34".to_owned(),
            kind: "github".to_owned(),
            api: Some("https://api.github.com".to_owned()),
            repositories: vec![ForgeRepositoryView { name: "gitops".parse().expect("a name"), queued_tasks: 0 }],
            budgets: vec![ForgeBudgetView { resource: "core".to_owned(), limit: 5000, remaining: 4321, resets_at: at(3600) }],
            limited_until: Some(at(60)),
            limited_because: Some("slow down".to_owned()),
            calls,
        }]
    }
}

pub struct FakeInventory(pub Mutex<ResourcesStatus>);

impl Inventory for FakeInventory {
    fn automations(&self) -> Vec<AutomationView> {
        vec![AutomationView {
            name: "namespace-request".parse().expect("a name"),
            description: Some("A team asks for a namespace.".to_owned()),
            sources: vec!["service-desk".parse().expect("a name")],
            types: vec!["jira.issue.transitioned".to_owned()],
            when: None,
            parameters: json!({ "type": "object" }),
            templates: vec!["namespace".parse().expect("a name")],
            edits: Vec::new(),
            removes: vec![],
            document: json!({ "kind": "Automation" }),
        }]
    }
    fn sources(&self) -> Vec<SourceView> {
        vec![SourceView {
            name: "service-desk".parse().expect("a name"),
            kind: "jira".to_owned(),
            authentication: vec!["hmac-sha256".to_owned()],
            path: Some("/api/v1/webhooks/service-desk".to_owned()),
            max_body_bytes: 65_536,
            connection: None,
            warnings: Vec::new(),
        }]
    }
    fn clusters(&self) -> Vec<ClusterView> {
        vec![ClusterView {
            name: "prod".parse().expect("a name"),
            labels: BTreeMap::new(),
            repository: "gitops".parse().expect("a name"),
            path: "clusters/prod".to_owned(),
            kubernetes_version: "1.33".to_owned(),
        }]
    }
    fn channels(&self) -> Vec<ChannelView> {
        vec![ChannelView { name: "issues".parse().expect("a name"), kind: "jira".to_owned(), url: Some("https://acme.atlassian.net".to_owned()) }]
    }
    fn mcp_servers(&self) -> Vec<McpServerView> {
        vec![McpServerView {
            name: "prometheus".parse().expect("a name"),
            description: None,
            kind: "http".to_owned(),
            url: Some("https://mcp.example/mcp".to_owned()),
            tools: vec!["prometheus__query".to_owned()],
        }]
    }
    fn calendars(&self) -> Vec<CalendarView> {
        vec![CalendarView {
            name: "office-hours".parse().expect("a name"),
            description: None,
            time_zone: "Europe/Berlin".to_owned(),
            open: false,
            reason: Some("calendar office-hours: outside its windows".to_owned()),
            until: Some(at(3600)),
        }]
    }
    fn repositories(&self) -> Vec<RepositoryView> {
        vec![RepositoryView {
            name: "gitops".parse().expect("a name"),
            forge: "local".to_owned(),
            url: "file:///srv/gitops.git".to_owned(),
            base: "main".parse().expect("a branch"),
        }]
    }
    fn templates(&self) -> Vec<TemplateView> {
        vec![TemplateView {
            name: "namespace".parse().expect("a name"),
            purpose: "A namespace for a team.".to_owned(),
            parameters: json!({ "type": "object" }),
            digest: "00".repeat(32),
            examples: BTreeMap::new(),
        }]
    }
    fn status(&self) -> ResourcesStatus {
        self.0.lock().expect("a lock").clone()
    }
}

/// How a world differs from the usual one.
pub struct Wishes {
    pub metrics: bool,
    pub access_log: Option<AccessLog>,
    pub body_timeout: Duration,
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

impl Default for Wishes {
    fn default() -> Self {
        Self { metrics: false, access_log: None, body_timeout: Duration::from_secs(10), trusted_proxies: Vec::new() }
    }
}

pub struct World {
    pub state: Arc<AppState>,
    pub store: Arc<FakeStore>,
    pub receiver: Arc<FakeReceiver>,
    pub operations: Arc<FakeOperations>,
    pub inventory: Arc<FakeInventory>,
    pub clock: Arc<FakeClock>,
    /// The application, made when it is first called.
    handler: tokio::sync::OnceCell<Handler>,
}

type Handler = Box<dyn Fn(TestRequest) -> Pin<Box<dyn Future<Output = Answer>>>>;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", String::from_utf8_lossy(&self.body)))
    }
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
    /// The code of a failure, after its shape was looked at.
    pub fn error_code(&self) -> String {
        let error = self.json()["error"].clone();
        let mut keys: Vec<&String> = error.as_object().expect("an error").keys().collect();
        keys.sort();
        assert_eq!(keys, ["code", "details", "message", "timestamp", "trace_id"]);
        assert_eq!(error["trace_id"].as_str().map(str::len), Some(32));
        assert!(error["timestamp"].as_str().expect("a time").parse::<Timestamp>().is_ok());
        assert!(error["details"].is_object());
        assert!(!error["message"].as_str().expect("a message").is_empty());
        error["code"].as_str().expect("a code").to_owned()
    }
}

/// A token whose key is this byte, repeated.
pub fn token(of: u8) -> String {
    Token::from_key([of; 32]).expose().to_owned()
}
pub fn viewer() -> String {
    token(1)
}
pub fn operator() -> String {
    token(2)
}
pub fn admin() -> String {
    token(3)
}

impl World {
    pub fn new() -> Self {
        Self::with(Wishes::default())
    }

    pub fn with(wishes: Wishes) -> Self {
        let store = Arc::new(FakeStore::default());
        let clock = Arc::new(FakeClock { millis: AtomicI64::new(1_795_262_400_000), counter: AtomicU64::new(7) });
        let receiver = Arc::new(FakeReceiver::default());
        let operations = Arc::new(FakeOperations::default());
        let inventory = Arc::new(FakeInventory(Mutex::new(ResourcesStatus { loaded_at: Some(clock.now()), problems: Vec::new() })));
        for (of, name, role) in [(1, "a viewer", Role::Viewer), (2, "an operator", Role::Operator), (3, "an admin", Role::Admin)] {
            store.tokens.lock().expect("a lock").push(token_record(of, name, role));
        }
        let state = AppState::new(Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            receiver: Arc::clone(&receiver) as Arc<dyn Receiver>,
            operations: Arc::clone(&operations) as Arc<dyn Operations>,
            inventory: Arc::clone(&inventory) as Arc<dyn Inventory>,
            new_key: || [42; 32],
            metrics: Metrics::new("pytest", &BTreeMap::new()).expect("metrics"),
            metrics_enabled: wishes.metrics,
            access_log: wishes.access_log,
            trusted_proxies: wishes.trusted_proxies,
            calls_a_minute: CALLS_A_MINUTE,
            body_timeout: wishes.body_timeout,
            call_timeout: Duration::from_secs(10),
        });
        Self { state, store, receiver, operations, inventory, clock, handler: tokio::sync::OnceCell::new() }
    }

    pub async fn call(&self, request: TestRequest) -> Answer {
        let handler = self.handler.get_or_init(|| async {
            let app = Rc::new(init_service(app(Arc::clone(&self.state))).await);
            let handler: Handler = Box::new(move |request: TestRequest| {
                let app = Rc::clone(&app);
                Box::pin(async move {
                    let response = call_service(&*app, request.to_request()).await;
                    Answer { status: response.status(), headers: response.headers().clone(), body: read_body(response).await.to_vec() }
                })
            });
            handler
        });
        (handler.await)(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(TestRequest::get().uri(path).insert_header(("authorization", format!("Bearer {}", viewer())))).await
    }

    /// Everything that whoever follows this job is told.
    pub async fn follow(&self, job: &RequestId) -> Answer {
        let request = TestRequest::get().uri(&format!("/api/v1/jobs/{job}/logs")).insert_header(("authorization", format!("Bearer {}", viewer())));
        self.call(request.insert_header(("accept", "text/event-stream"))).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = TestRequest::post().uri(path).insert_header(("authorization", format!("Bearer {}", operator())));
        self.call(request.set_json(body)).await
    }

    pub fn advance(&self, by: Duration) {
        self.clock.millis.fetch_add(i64::try_from(by.as_millis()).expect("a span"), Ordering::SeqCst);
    }
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(1_795_000_000_000 + seconds * 1000)
}
pub fn request_id(n: u128) -> RequestId {
    RequestId::from_parts(at(0), n)
}
pub fn delivery_id(n: u128) -> DeliveryId {
    DeliveryId::from_parts(at(0), n)
}
pub fn event_id(n: u128) -> EventId {
    EventId::from_parts(at(0), n)
}
pub fn token_id(n: u128) -> TokenId {
    TokenId::from_parts(at(0), n)
}

pub fn token_record(of: u8, name: &str, role: Role) -> TokenRecord {
    let hash = Token::from_key([of; 32]).hash();
    TokenRecord { id: token_id(u128::from(of)), name: name.to_owned(), role, hash, created_at: at(0), expires_at: None, revoked_at: None }
}

pub fn request(n: u128, state: State) -> Request {
    Request {
        id: request_id(n),
        key: RequestKey { automation: "namespace-request".parse().expect("a name"), correlation: format!("OPS-{n}"), generation: 1 },
        state,
        event: Event {
            id: event_id(n),
            delivery: Some(delivery_id(n)),
            source: "service-desk".parse().ok(),
            traceparent: None,
            kind: "jira.issue.transitioned".parse().expect("a type"),
            subject: format!("OPS-{n}"),
            time: at(1),
            data: json!({ "issue": "kept out of listings" }),
        },
        parameters: None,
        repository: "gitops".parse().ok(),
        branch: None,
        base: None,
        checked: None,
        former_pull: None,
        steering: kubeops::request::Steering::default(),
        tells: false,
        merged: None,
        pushed: None,
        taken_over: false,
        urged: false,
        members: 0,
        summary: Vec::new(),
        changes: None,
        text: None,
        commit: None,
        written: None,
        pull: Some(PullRef { number: 1, url: "http://localhost:8080/pulls/gitops/1".to_owned() }),
        findings: Vec::new(),
        message: None,
        created_at: at(1),
        updated_at: at(2),
        version: 1,
    }
}

pub fn timeline_entry() -> TimelineEntry {
    TimelineEntry { at: at(1), from: None, to: State::Accepted, message: "an event matched".to_owned(), actor: "kubeops".to_owned() }
}

pub fn pull(number: u64) -> PullRecord {
    PullRecord {
        repository: "gitops".parse().expect("a name"),
        number,
        head: "kubeops/namespace-request/ops-1".parse().expect("a branch"),
        base: "main".parse().expect("a branch"),
        head_commit: "a".repeat(40).parse().expect("a commit"),
        state: PullState::Open,
        title: "Namespace payments (OPS-1)".to_owned(),
        body: String::new(),
        labels: vec!["namespace".to_owned()],
        reviewers: Vec::new(),
        assignees: Vec::new(),
        milestone: None,
        auto_merge: false,
        draft: false,
        approved_by: Vec::new(),
        merge_commit: None,
        closed_by: None,
        comments: Vec::new(),
        created_at: at(1),
        updated_at: at(1),
        version: 1,
    }
}

pub fn diff() -> Diff {
    Diff {
        truncated: false,
        base: "b".repeat(40).parse().ok(),
        head: "c".repeat(40).parse().ok(),
        files: vec![FileDiff {
            path: "namespaces/payments.yaml".to_owned(),
            change: FileChangeKind::Added,
            patch: "--- /dev/null\n+++ b/namespaces/payments.yaml\n@@ -0,0 +1 @@\n+kind: Namespace\n".to_owned(),
        }],
    }
}
