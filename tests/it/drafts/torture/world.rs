//! What is tortured: the real program, with a repository at GitHub, and a model that plays scripts.

use super::canaries;
use super::generator::{Channel, Echo, Play, Script};
use crate::drafts::fixture::{Entry, Tree, draft};
use crate::support::fake_github::{FakeGithub, TOKEN};
use crate::support::fake_llm::{Asked, FakeLlm, Fault, Said};
use crate::support::server::{TestServer, ticket};
use crate::support::upstream::HttpUpstream;
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Tokens one request may use.
pub const BUDGET: u64 = 150_000;
/// How long all conversations of one world may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// What was played, and what the model was told that it should not have been.
#[derive(Default)]
pub struct Ledger {
    /// Completions of each script.
    pub played: BTreeMap<usize, usize>,
    /// Where each script is: in its first draft, and in the revision of it.
    at: BTreeMap<(usize, bool), usize>,
    pub leaks: Vec<String>,
    /// Times it was shown that something was withheld.
    pub withheld: usize,
}

pub struct World {
    pub server: TestServer,
    pub github: FakeGithub,
    pub ledger: Arc<Mutex<Ledger>>,
    /// Requests by their script's number.
    pub requests: BTreeMap<usize, Value>,
    _git: HttpUpstream,
    _llm: FakeLlm,
}

impl World {
    /// Plays these scripts, all at once.
    pub fn play(scripts: &[Script]) -> Self {
        let mut server = TestServer::prepare();
        server.upstream.fast_import(&base());
        server.secret("GITHUB_TOKEN", TOKEN);
        let git = server.upstream.serve(Some(TOKEN));
        let github = FakeGithub::start();
        github.allow(1_000_000, 1_000_000);
        github.follow(&server.upstream);
        let (local, remote) = (format!("file://{}", server.upstream.path().display()), git.url.clone());
        let forge = format!(
            "  credentials: {{ username: bot, secret: GITHUB_TOKEN }}\n  forge: {{ kind: github, repository: acme/gitops, apiUrl: \"{}\", token: GITHUB_TOKEN }}\n",
            github.url()
        );
        server.edit_resource("inventory.yaml", |text| text.replace(&local, &remote).replace("  forge:\n    kind: local\n", &forge));
        for channel in [Channel::Job, Channel::Ticket, Channel::Alert] {
            server.edit_resource(&format!("torture-{channel:?}.yaml").to_lowercase(), |_| automation(channel).to_string());
        }
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let llm = FakeLlm::start();
        llm.plays(model(scripts, Arc::clone(&ledger)));
        server.set("LLM_PROVIDER", "local").set("LLM_LOCAL_URL", &format!("{}/v1", llm.url())).set("LLM_LOCAL_MODEL", "qwen3-coder");
        server.set("API_CALLS_PER_MINUTE", "1000000").set("FORGE_WRITE_PAUSE_MS", "0").set("LOG_LEVEL", "TRACE").set("WORKER_CONCURRENCY", "8");
        server.run();
        let mut world = Self { server, github, ledger, requests: BTreeMap::new(), _git: git, _llm: llm };
        world.settle(scripts);
        world.revise(scripts);
        world
    }

    /// Asks for everything, and waits until all of it has come to an end.
    fn settle(&mut self, scripts: &[Script]) {
        let mut of_request = BTreeMap::new();
        for script in scripts {
            let text = format!("torture-{:06}: {}", script.number, script.asks);
            match script.channel {
                Channel::Job => {
                    let filed = self.server.at().api("POST", "/jobs", Some(&json!({ "goal": text, "automation": "torture-job" })));
                    assert_eq!(filed.status, 201, "{}", filed.text());
                    of_request.insert(filed.json()["job_id"].as_str().expect("an id").to_owned(), script.number);
                }
                Channel::Ticket => {
                    let mut ticket = ticket(&format!("OPS-{}", script.number), &format!("torture-{:06}", script.number));
                    ticket["issue"]["fields"]["issuetype"]["name"] = json!("Change");
                    ticket["issue"]["fields"]["summary"] = json!(text);
                    ticket["issue"]["fields"]["description"] = json!(script.asks);
                    assert_eq!(self.server.at().ticket(&ticket).word(), "202 accepted");
                }
                Channel::Alert => {
                    let labels =
                        json!({ "alertname": "Torture", "namespace": "shop", "job": format!("torture-{:06}", script.number), "note": script.asks });
                    let alert = json!({ "status": "firing", "labels": labels, "annotations": { "summary": text }, "startsAt": "2026-11-20T12:00:15Z",
                        "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus.example/graph", "fingerprint": format!("{:016x}", script.number + 1) });
                    let told = json!({ "receiver": "kubeops", "status": "firing", "alerts": [alert], "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
                        "externalURL": "http://alertmanager.example", "version": "4", "groupKey": format!("{{}}:{}", script.number), "truncatedAlerts": 0 });
                    assert_eq!(self.server.at().alert(&told).word(), "202 accepted");
                }
            }
        }
        let begun = Instant::now();
        let number = Regex::new(r"torture-(\d{6})").expect("a pattern");
        loop {
            let requests = self.server.at().all("/requests");
            let open = requests.iter().filter(|request| !over(request)).count();
            if open == 0 && requests.len() == scripts.len() {
                for request in requests {
                    let id = request["id"].as_str().expect("an id").to_owned();
                    let of_event = || number.captures(request["correlation"].as_str()?)?[1].parse().ok();
                    let number = of_request.get(&id).copied().or_else(of_event).unwrap_or_else(|| panic!("whose is {request:#}"));
                    self.requests.insert(number, request);
                }
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{open} of {} do not end:\n{requests:#?}\n{}", requests.len(), self.server.log());
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Has what is proposed revised where a script says so, and waits until all of it has come to an end.
    fn revise(&mut self, scripts: &[Script]) {
        let at = self.server.at().clone();
        let mut revised = Vec::new();
        for script in scripts {
            let wish = script.plays.iter().find_map(|play| if let Play::Revised(wish) = play { Some(wish) } else { None });
            let request = &self.requests[&script.number];
            let Some(wish) = wish.filter(|_| request["state"] == "proposed") else { continue };
            let id = request["id"].as_str().expect("an id").to_owned();
            let asked = at.api("POST", &format!("/requests/{id}/revise"), Some(&json!({ "text": wish })));
            assert_eq!(asked.status, 202, "{}", asked.text());
            revised.push((script.number, id));
        }
        let begun = Instant::now();
        for (number, id) in revised {
            let is_owed = |task: &Value| task["kind"] != "clock" && task["state"] != "dead";
            let request = loop {
                let request = at.get(&format!("/requests/{id}"));
                if !request["tasks"].as_array().expect("tasks").iter().any(is_owed) {
                    break request;
                }
                assert!(begun.elapsed() < PATIENCE, "it does not end: {request:#}\n{}", self.server.log());
                std::thread::sleep(Duration::from_millis(100));
            };
            self.requests.insert(number, request);
        }
    }

    /// Everything is done and it has ended: what it keeps is whole on the disk.
    pub fn end(&mut self) {
        self.server.terminate();
    }
}

fn over(request: &Value) -> bool {
    matches!(request["state"].as_str(), Some("proposed" | "rejected" | "unchanged" | "failed" | "withdrawn"))
}

fn automation(channel: Channel) -> Value {
    let mut draft = draft();
    draft["maxTurns"] = json!(6);
    draft["budget"] = json!({ "tokens": BUDGET });
    let mut spec = json!({ "target": { "repository": "gitops", "path": "clusters/prod" }, "pullRequest": { "title": "A draft" } });
    match channel {
        Channel::Job => draft["jobs"] = json!(true),
        Channel::Ticket => {
            spec["on"] = json!({ "source": "service-desk", "types": ["jira.issue.transitioned"] });
            spec["when"] = json!("event.data.issue.fields.issuetype.name == \"Change\"");
            spec["correlate"] = json!("event.data.issue.fields.customfield_10050");
        }
        Channel::Alert => {
            spec["on"] = json!({ "source": "alertmanager", "types": ["alert.firing"] });
            spec["when"] = json!("event.data.labels.alertname == \"Torture\"");
            spec["correlate"] = json!("event.data.labels.job");
        }
    }
    spec["draft"] = draft;
    let name = format!("torture-{channel:?}").to_lowercase();
    json!({ "apiVersion": "kubeops.dev/v1alpha1", "kind": "Automation", "metadata": { "name": name }, "spec": spec })
}

/// The repository as a stream for `git fast-import`.
fn base() -> String {
    let mut stream =
        String::from("commit refs/heads/main\ncommitter Seed <seed@example.com> 1700000001 +0000\ndata 4\nbase\nfrom refs/heads/main^0\ndeleteall\n");
    let tree = Tree::new();
    let mut add = |mode: &str, path: &str, text: &str| stream.push_str(&format!("M {mode} inline {path}\ndata {}\n{text}\n", text.len()));
    for (path, entry) in tree.entries() {
        match entry {
            Entry::File(text) => add("100644", path, text),
            Entry::Link => add("120000", path, "../../../.github"),
            Entry::Module => {}
        }
    }
    for (path, text) in canaries::files() {
        add("100644", path, &text);
    }
    stream.push_str("M 160000 0123456789012345678901234567890123456789 clusters/prod/apps/module\n\n");
    stream
}

/// The model: it knows by the number which script it plays.
fn model(scripts: &[Script], ledger: Arc<Mutex<Ledger>>) -> impl FnMut(&Asked) -> Result<Said, Fault> + Send + 'static {
    let scripts: BTreeMap<usize, Vec<Play>> = scripts.iter().map(|script| (script.number, script.plays.clone())).collect();
    let number = Regex::new(r"torture-(\d{6})").expect("a pattern");
    let leak = canaries::pattern();
    move |asked| {
        let told = asked.body["messages"].to_string();
        let which: usize = number.captures(&told).unwrap_or_else(|| panic!("no number in {told}"))[1].parse().expect("a number");
        let mut ledger = ledger.lock().expect("the ledger");
        ledger.withheld += usize::from(told.contains("⟦withheld:"));
        if let Some(found) = leak.find(&asked.body.to_string()) {
            ledger.leaks.push(format!("script {which}: the model was shown {:?}", found.as_str()));
        }
        let revised = told.contains("There is a draft already, and the files are as it left them");
        let plays = scripts.get(&which).map(Vec::as_slice).unwrap_or_default();
        let (first, second) = plays.split_at(plays.iter().position(|play| matches!(play, Play::Revised(_))).unwrap_or(plays.len()));
        let at = ledger.at.entry((which, revised)).or_default();
        let play = if revised { second.get(*at + 1) } else { first.get(*at) }.cloned();
        *at += usize::from(play.is_some());
        *ledger.played.entry(which).or_default() += usize::from(play.is_some());
        match play {
            Some(Play::Says(said)) => Ok(said),
            Some(Play::Fails(fault)) => Err(fault),
            Some(Play::Echoes(echo)) => Ok(echoed(echo, &asked.body["messages"])),
            Some(Play::Revised(_)) | None => Ok(Said::calls("no_change", json!({ "reason": "I have nothing more to propose." }))),
        }
    }
}

/// An answer that repeats what the model was shown.
fn echoed(echo: Echo, messages: &Value) -> Said {
    use base64::Engine as _;
    let shown: Vec<&str> = messages
        .as_array()
        .into_iter()
        .flatten()
        .filter(|message| message["role"] != "assistant")
        .filter_map(|message| message["content"].as_str())
        .collect();
    let shown: String = shown.join("\n").chars().rev().take(8_000).collect::<Vec<_>>().into_iter().rev().collect();
    let marks = Regex::new("⟦withheld:([0-9a-f]{12})⟧").expect("a pattern");
    let (text, explanation) = match echo {
        Echo::AsItIs => (shown, String::new()),
        Echo::Unmarked => (marks.replace_all(&shown, "$1").into_owned(), String::new()),
        Echo::Encoded => (base64::engine::general_purpose::STANDARD.encode(shown), String::new()),
        Echo::Explained => ("nothing".to_owned(), format!("It says: {shown}")),
    };
    let content = super::attacks::config_map("echo", &format!("  text: {}\n", json!(text)));
    let change = json!({ "operations": [super::attacks::write("clusters/prod/apps/web/echo.yaml", &content)], "explanation": explanation });
    Said::calls("propose_change", change)
}
