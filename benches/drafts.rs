//! What a draft by a language model costs beside the model: the time from a model's answer to the next question, by a model that answers at once.

use crate::Setting;
use crate::commit::git;
use crate::report::{Reference, Report, Sorted};
use crate::server::{self, Running, Scratch};
use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const MANIFESTS: usize = 2_000;
const SECRETS: usize = 100;
const RUNBOOKS: usize = 50;
const PATIENCE: Duration = Duration::from_secs(60);

/// What the model calls, a turn each; it proposes last.
const CALLS: [(&str, &str); 7] = [
    ("list_files", "{}"),
    ("find_object", r#"{"kind":"Deployment","name":"service-1200"}"#),
    ("read_file", r#"{"file":"clusters/prod-eu/apps/team-0/service-1200.yaml"}"#),
    ("search", r#"{"text":"service-1200","glob":"clusters/prod-eu/apps/team-0/**"}"#),
    ("search_runbooks", r#"{"query":"a service needs more replicas"}"#),
    ("search_runbooks", r#"{"query":"memory of a service"}"#),
    ("check", r#"{"operations":[{"edit":{"object":"Deployment/team-0/service-1200","set":{"spec.replicas":4}}}],"explanation":"Four."}"#),
];

const AUTOMATION: &str = "apiVersion: kubeops.dev/v1alpha1
kind: Automation
metadata: { name: drafted }
spec:
  on: { source: alertmanager, types: [alert.firing] }
  correlate: event.data.labels.horizontalpodautoscaler
  target: { repository: gitops, path: clusters/prod-eu }
  draft:
    instructions: Give the service that the alert names one replica more.
    write: ['apps/**/*.yaml']
    runbooks: ['/docs/**/*.md']
    allow: [{ kinds: [Deployment], fields: [spec.replicas] }]
  pullRequest: { title: Drafted }
";

/// When a question came, and when it was answered.
type Heard = Arc<Mutex<Vec<(usize, Instant, Instant)>>>;

/// Measures `draft.overhead_ms`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let place = Scratch::new(setting, "drafts")?;
    let upstream = repository(&place)?;
    server::write_resources(&place)?;
    let resources = place.join("resources");
    let inventory = resources.join("inventory.yaml");
    let text = std::fs::read_to_string(&inventory)?.replace("file:///srv/git/gitops.git", &format!("file://{}", upstream.display()));
    std::fs::write(&inventory, text)?;
    std::fs::write(resources.join("autoscaler-maxed-out.yaml"), AUTOMATION)?;
    let heard = Heard::default();
    let model = serve(Arc::clone(&heard))?;
    let url = format!("http://{model}/v1");
    let kubeops = server::kubeops_with(setting, &place, &[("LLM_PROVIDER", "local"), ("LLM_LOCAL_URL", &url), ("LLM_LOCAL_MODEL", "scripted")])?;
    let (warm_up, drafts) = setting.effort.pick((2, 20), (1, 2));
    let mut all = Vec::new();
    let mut by_turn: Vec<Vec<Duration>> = vec![Vec::new(); CALLS.len()];
    for number in 0..warm_up + drafts {
        heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        fire(&kubeops, number)?;
        let turns = answered(&heard)?;
        for pair in turns.windows(2).filter(|_| number >= warm_up) {
            let took = pair[1].1.duration_since(pair[0].2);
            all.push(took);
            by_turn[pair[0].0].push(took);
        }
    }
    let bare = (0..drafts).map(|_| bare(model)).collect::<anyhow::Result<Vec<_>>>()?;
    let all = Sorted::new(all);
    let reference = Reference { value: Sorted::new(bare).millis(50.0), what: "a bare question to the same model" };
    report.figure("draft.overhead_ms", all.millis(50.0), "ms", reference)?;
    report.note(&format!("of {} turns: p95 {:.1} ms, {}", drafts * CALLS.len(), all.millis(95.0), all.told()));
    for ((tool, _), times) in CALLS.iter().zip(by_turn) {
        report.note(&format!("after {tool:<16} {}", Sorted::new(times).told()));
    }
    kubeops.end()
}

/// Services of ten teams, Secrets among them, and runbooks.
fn repository(place: &Scratch) -> anyhow::Result<PathBuf> {
    let upstream = place.join("upstream.git");
    git(&["init", "--quiet", "--bare", "--initial-branch=main", &upstream.to_string_lossy()], place.join("").as_path(), None)?;
    let mut stream = "commit refs/heads/main\ncommitter KubeOps <kubeops@example.com> 1760000000 +0000\ndata 6\nBegin\n".to_owned();
    let mut file = |path: String, body: String| stream.push_str(&format!("M 100644 inline {path}\ndata {}\n{body}\n", body.len()));
    for number in 0..MANIFESTS {
        let (team, name) = (number % 10, format!("service-{number}"));
        file(
            format!("clusters/prod-eu/apps/team-{team}/{name}.yaml"),
            format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  namespace: team-{team}\nspec:\n  replicas: 3\n  selector:\n    matchLabels: {{ app: {name} }}\n  template:\n    \
                 metadata:\n      labels: {{ app: {name} }}\n    spec:\n      containers:\n        - name: main\n          image: ghcr.io/example/{name}:1.{number}.0\n          env:\n            - {{ name: LOG_LEVEL, value: info }}\n          \
                 resources:\n            requests: {{ cpu: 100m, memory: 128Mi }}\n            limits: {{ memory: 256Mi }}\n---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: team-{team}\nspec:\n  selector: {{ app: {name} }}\n  ports: [{{ port: 80 }}]\n"
            ),
        );
    }
    for number in 0..SECRETS {
        let team = number % 10;
        file(
            format!("clusters/prod-eu/apps/team-{team}/secret-{number}.yaml"),
            format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{ name: secret-{number}, namespace: team-{team} }}\nstringData:\n  password: Xq7{number}rT2xLm9Zp4K{number}\n"
            ),
        );
    }
    for number in 0..RUNBOOKS {
        let mut body = format!("# Runbook {number}\n\n");
        for section in 0..10 {
            body.push_str(&format!("## When service {number}.{section} misbehaves\n\nLook at its memory and its replicas. A service that needs more replicas gets one more, and its team is told. Step {section}: wait for ten minutes.\n\n"));
        }
        file(format!("docs/runbooks/{number}.md"), body);
    }
    git(&["fast-import", "--quiet", "--force"], &upstream, Some(&stream))?;
    Ok(upstream)
}

/// A model that answers at once with the next call of the script, told by how often it answered before.
fn serve(heard: Heard) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let heard = Arc::clone(&heard);
            std::thread::spawn(move || while converse(&stream, &heard).is_ok() {});
        }
    });
    Ok(address)
}

fn converse(mut stream: &TcpStream, heard: &Heard) -> anyhow::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        ensure!(reader.read_line(&mut line)? > 0, "it hung up");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let asked = Instant::now();
    let body: Value = serde_json::from_slice(&body)?;
    let turn = body["messages"].as_array().into_iter().flatten().filter(|message| message["role"] == "assistant").count();
    let propose = ("propose_change", CALLS[CALLS.len() - 1].1);
    let (name, arguments) = CALLS.get(turn).copied().unwrap_or(propose);
    let call = json!({ "id": format!("call_{turn}"), "type": "function", "function": { "name": name, "arguments": arguments } });
    let answer = json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": null, "tool_calls": [call] }, "finish_reason": "tool_calls" }],
        "usage": { "prompt_tokens": 9_000, "completion_tokens": 100, "total_tokens": 9_100 },
    })
    .to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
    stream.write_all(format!("{head}{answer}").as_bytes())?;
    heard.lock().unwrap_or_else(PoisonError::into_inner).push((turn, asked, Instant::now()));
    Ok(())
}

/// Every turn of one draft, once it has proposed.
fn answered(heard: &Heard) -> anyhow::Result<Vec<(usize, Instant, Instant)>> {
    let begun = Instant::now();
    loop {
        let turns = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if turns.len() > CALLS.len() {
            ensure!(turns.iter().map(|(turn, _, _)| *turn).eq(0..=CALLS.len()), "each turn is asked for once, in order");
            return Ok(turns);
        }
        if begun.elapsed() > PATIENCE {
            bail!("after {} s the model was asked {} times", PATIENCE.as_secs(), turns.len());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What one question costs without us.
fn bare(model: SocketAddr) -> anyhow::Result<Duration> {
    let body = json!({ "messages": [] }).to_string();
    let begun = Instant::now();
    let mut stream = TcpStream::connect(model)?;
    stream.write_all(format!("POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
    let mut first = [0];
    stream.read_exact(&mut first).context("an answer")?;
    Ok(begun.elapsed())
}

fn fire(kubeops: &Running, number: usize) -> anyhow::Result<()> {
    let alert = json!({
        "status": "firing",
        "labels": { "alertname": "KubeHpaMaxedOut", "severity": "warning", "cluster": "prod-eu", "namespace": "team-0", "horizontalpodautoscaler": format!("service-{}", number * 10) },
        "annotations": { "summary": "It has run at its maximum." },
        "startsAt": "2026-11-20T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": format!("{number:016x}"),
    });
    let body = json!({ "version": "4", "status": "firing", "receiver": "kubeops", "groupKey": "{}", "alerts": [alert] });
    server::post_alert(kubeops.address, &body)
}
