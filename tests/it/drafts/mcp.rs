//! MCP servers of every kind, good and hostile, over HTTP and as programs: what is read of them, and what it is bounded by.

use crate::support::door::Ends;
use crate::support::fake_mcp::{FakeMcp, text, tool};
use crate::support::loopback::{Answer, Delivery};
use kubeops::draft::{Given, McpServer, ToolError};
use kubeops::inventory;
use kubeops::types::ErrorClass;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOKEN: &str = "canary-of-the-token-31ce";
const SAID: &str = "canary-of-what-it-says-8d20";

fn server(spec: Value) -> McpServer {
    let spec = serde_json::from_value(spec).expect("a spec");
    let settings = Arc::new(inventory::McpServer { name: "prometheus".parse().expect("a name"), spec });
    McpServer::new(settings, Arc::new(|_| Ok(TOKEN.into()))).expect("a server")
}

fn at(fake: &FakeMcp) -> McpServer {
    let http = json!({ "url": fake.url(), "token": "PROMETHEUS_TOKEN", "headers": { "X-Scope-OrgID": { "value": "shop" } } });
    server(json!({ "http": http, "tools": [{ "name": "query" }], "timeout": "1s" }))
}

fn program(script: &str, directory: &Path) -> McpServer {
    let file = directory.join("server.py");
    std::fs::write(&file, script).expect("a script");
    let env = json!({ "GREETING": { "value": "hello" }, "SECRET": { "secret": "PROMETHEUS_TOKEN" } });
    let stdio = json!({ "command": "/usr/bin/python3", "args": ["-I", file], "env": env });
    server(json!({ "stdio": stdio, "tools": [{ "name": "query" }], "timeout": "20s" }))
}

fn arguments(query: &str) -> Map<String, Value> {
    Map::from_iter([("query".to_owned(), json!(query))])
}

async fn asked(server: &McpServer) -> Result<Given, ToolError> {
    server.open().await?.call("query", &arguments("up"), Duration::from_secs(30)).await
}

/// What goes wrong when `method` is answered so, which tells neither what was said nor the token.
async fn failure(method: &str, answer: Answer) -> ToolError {
    let fake = FakeMcp::start();
    fake.fails(method, answer);
    let error = asked(&at(&fake)).await.expect_err("an error");
    for told in [error.to_string(), format!("{error:?}")] {
        assert!(!told.contains(SAID) && !told.contains(TOKEN), "{told}");
    }
    error
}

fn said(status: u16, kind: &str) -> Answer {
    Answer::new(status, kind, format!("{{\"error\":\"{SAID}\"}}"))
}

#[tokio::test]
async fn a_server_is_greeted_asked_and_left_in_one_session_with_its_token() {
    for streams in [false, true] {
        let fake = FakeMcp::start();
        if streams {
            fake.streams();
        }
        fake.offers(vec![tool("query", "Asks."), json!({ "name": "bare", "inputSchema": { "type": "object" } })]);
        let session = at(&fake).open().await.expect("a session");
        let tools = session.tools().await.expect("tools");
        assert_eq!(tools.iter().map(|tool| (tool.name.as_str(), tool.reads_only)).collect::<Vec<_>>(), [("query", Some(true)), ("bare", None)]);
        let given = session.call("query", &arguments("up"), Duration::from_secs(30)).await.expect("an answer");
        assert_eq!(given, Given { text: "query: {\"query\":\"up\"}".to_owned(), failed: false }, "streams: {streams}");
        drop(session);
        let heard = fake.ledger();
        let methods: Vec<&str> = heard.iter().map(|heard| heard.method.as_str()).collect();
        assert_eq!(methods[..4], ["initialize", "notifications/initialized", "tools/list", "tools/call"]);
        for heard in &heard {
            assert_eq!(heard.headers["authorization"], format!("Bearer {TOKEN}"));
            assert_eq!(heard.headers["x-scope-orgid"], "shop");
        }
        assert!(!heard[0].headers.contains_key("mcp-session-id"));
        assert_eq!(
            (heard[3].headers["mcp-session-id"].as_str(), &heard[3].headers["mcp-protocol-version"]),
            ("session-1", &version(&heard[0].params))
        );
        assert_eq!(heard[0].params["capabilities"], json!({}), "a server can ask nothing of us");
    }
}

#[tokio::test]
async fn a_session_says_nothing_more_when_the_lease_it_was_opened_under_is_over() {
    let (fake, ends) = (FakeMcp::start(), Ends::default());
    let (server, end) = (at(&fake), ends.clone());
    let work = async move {
        let session = server.open().await.expect("a session");
        session.tools().await.expect("tools");
        end.now();
        session.tools().await.expect_err("it is not asked")
    };
    let error = ends.lease().over(work).await;
    assert!(matches!(&error, ToolError::Unreachable { reason, .. } if reason.contains("stood still")), "{error}");
    assert_eq!(fake.ledger().iter().filter(|heard| heard.method == "tools/list").count(), 1);
}

fn version(params: &Value) -> String {
    params["protocolVersion"].as_str().expect("a version").to_owned()
}

#[tokio::test]
async fn what_is_no_text_is_not_shown_and_an_error_of_the_tool_is_its_answer() {
    let fake = FakeMcp::start();
    let server = at(&fake);
    let session = server.open().await.expect("a session");
    let image = json!({ "type": "image", "data": "aGVsbG8=", "mimeType": "image/png" });
    let resource = json!({ "type": "resource", "resource": { "uri": "file:///etc/passwd", "text": "root:x" } });
    for (result, given, failed) in [
        (json!({ "content": [image, { "type": "text", "text": "7" }] }), "(an image, which is not shown)\n7", false),
        (json!({ "content": [resource] }), "(a resource, which is not shown)", false),
        (json!({ "content": [], "structuredContent": { "value": 7 } }), "{\n  \"value\": 7\n}", false),
        (json!({ "content": [{ "type": "text", "text": "no such metric" }], "isError": true }), "no such metric", true),
    ] {
        fake.gives(move |_, _| result.clone());
        let told = session.call("query", &arguments("up"), Duration::from_secs(30)).await.expect("an answer");
        assert_eq!((told.text.as_str(), told.failed), (given, failed));
    }
    let refusal = json!({ "jsonrpc": "2.0", "id": 5, "error": { "code": -32602, "message": "no such tool" } });
    fake.fails("tools/call", Answer::new(200, "application/json", refusal.to_string()));
    let told = session.call("query", &arguments("up"), Duration::from_secs(30)).await.expect("an answer");
    assert_eq!((told.text.as_str(), told.failed), ("no such tool", true));
    let large = session.call("query", &arguments(&"x".repeat(40_000)), Duration::from_secs(30)).await.expect("an answer");
    assert!(large.failed && large.text.contains("at most"), "{large:?}");
    assert_eq!(fake.calls().len(), 5, "what is too large is not sent");
}

#[tokio::test]
async fn a_server_that_refuses_leads_away_or_is_not_to_be_had_is_told_apart() {
    for method in ["initialize", "tools/call"] {
        for (status, class, says) in [
            (401, ErrorClass::Permanent, "look at its token"),
            (403, ErrorClass::Permanent, "look at its token"),
            (400, ErrorClass::Permanent, "HTTP 400"),
            (429, ErrorClass::Transient, "HTTP 429"),
            (503, ErrorClass::Transient, "HTTP 503"),
        ] {
            let error = failure(method, said(status, "application/json")).await;
            assert_eq!(error.class(), class, "{method} {status}: {error}");
            assert!(error.to_string().contains(says), "{method} {status}: {error}");
        }
        let elsewhere = FakeMcp::start();
        let mut redirect = said(307, "text/plain");
        redirect.headers.push(("location".to_owned(), elsewhere.url()));
        let error = failure(method, redirect).await;
        assert!(error.class() == ErrorClass::Permanent && error.to_string().contains("which is not followed"), "{error}");
        assert_eq!(elsewhere.ledger().len(), 0, "nothing, and no token, goes there");
        let error = failure(method, Answer { delivery: Delivery::Dropped, ..said(200, "application/json") }).await;
        assert!(matches!(error, ToolError::Unreachable { .. }), "{error:?}");
    }
    let gone = format!("{}/mcp", crate::support::loopback::Loopback::serve(|_| Answer::new(200, "text/plain", "")).url());
    let error = asked(&server(json!({ "http": { "url": gone }, "tools": [{ "name": "query" }] }))).await.expect_err("nobody is there");
    assert!(matches!(error, ToolError::Unreachable { .. }) && error.class() == ErrorClass::Transient, "{error:?}");
}

#[tokio::test]
async fn an_answer_is_bounded_in_bytes_and_time_and_is_of_the_protocol() {
    let large = json!({ "jsonrpc": "2.0", "id": 1, "result": text(&SAID.repeat(40_000)) }).to_string();
    let flood = format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": SAID } }));
    let endless = Answer { delivery: Delivery::Silent, ..said(200, "application/json") };
    for method in ["initialize", "tools/call"] {
        for (answer, says) in [
            (Answer::new(200, "application/json", large.clone()), "more than 524288 bytes"),
            (Answer::new(200, "text/event-stream", flood.repeat(6_000)), "more than 524288 bytes"),
            (Answer::new(200, "text/event-stream", flood.clone()), "ended without an answer"),
            (Answer::new(200, "text/html", SAID), "neither JSON nor a stream of events"),
            (Answer::new(200, "application/json", SAID), "it is no JSON"),
            (Answer::new(200, "application/json", format!("[\"{SAID}\"]")), "no message of the protocol"),
            (Answer { delivery: Delivery::Truncated, ..Answer::new(200, "application/json", large.clone()) }, ""),
        ] {
            let error = failure(method, answer).await;
            assert!(error.class() == ErrorClass::Transient && error.to_string().contains(says), "{method}: {error} ({says})");
        }
        let begun = Instant::now();
        let error = failure(method, endless.clone()).await;
        assert!(matches!(error, ToolError::TimedOut { .. }) && begun.elapsed() < Duration::from_secs(10), "{error:?}");
    }
}

#[tokio::test]
async fn a_list_that_has_no_end_is_not_read_to_its_end() {
    let fake = FakeMcp::start();
    for _ in 0..20 {
        let page = json!({ "jsonrpc": "2.0", "id": 0, "result": { "tools": [], "nextCursor": "more" } });
        fake.fails("tools/list", Answer::new(200, "application/json", page.to_string()));
    }
    let session = at(&fake).open().await.expect("a session");
    let error = session.tools().await.expect_err("an error");
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert!(fake.ledger().iter().filter(|heard| heard.method == "tools/list").count() <= 10);
}

/// A server in Python that tells what it sees of its environment, and starts a child that would outlive it.
const PROGRAM: &str = r#"
import json, os, subprocess, sys
child = subprocess.Popen(["/bin/sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print("not for anybody", file=sys.stderr)
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    if message["method"] == "initialize":
        result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "p", "version": "1"}}
    elif message["method"] == "tools/list":
        result = {"tools": [{"name": "query", "inputSchema": {"type": "object"}}]}
    else:
        seen = {"environment": sorted(os.environ.items()), "pids": [os.getpid(), child.pid], "directory": os.getcwd()}
        result = {"content": [{"type": "text", "text": json.dumps(seen)}]}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"#;

#[tokio::test]
async fn a_program_sees_its_own_environment_alone_and_ends_with_its_session_and_all_it_started() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = program(PROGRAM, directory.path());
    let session = server.open().await.expect("a session");
    assert_eq!(session.tools().await.expect("tools")[0].name, "query");
    let given = session.call("query", &arguments("up"), Duration::from_secs(20)).await.expect("an answer");
    let seen: Value = serde_json::from_str(&given.text).expect("JSON");
    let environment: Vec<(String, String)> = serde_json::from_value(seen["environment"].clone()).expect("pairs");
    let ours: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).filter(|(name, _)| *name != "LC_CTYPE").collect();
    assert_eq!(ours, [("GREETING", "hello"), ("SECRET", TOKEN)]);
    assert_eq!(seen["directory"], "/");
    drop(session);
    for pid in seen["pids"].as_array().expect("processes") {
        let stat = format!("/proc/{pid}/stat");
        let gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        crate::support::server::eventually("the process is gone", || gone().then_some(()));
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_says_nothing_or_says_too_much_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = server(json!({ "stdio": { "command": "/nonexistent/mcp" }, "tools": [{ "name": "query" }] }));
    let error = asked(&missing).await.expect_err("an error");
    assert!(error.class() == ErrorClass::Permanent && error.to_string().contains("/nonexistent/mcp cannot be started"), "{error}");
    for (script, says) in [
        ("raise SystemExit(1)", "does not greet"),
        ("print('hello', flush=True)", "does not greet"),
        ("import sys\nwhile True: sys.stdout.write('x' * 100000)", "does not greet"),
    ] {
        let begun = Instant::now();
        let error = asked(&program(script, directory.path())).await.expect_err(says);
        assert!(error.class() == ErrorClass::Transient && error.to_string().contains(says), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{says}");
    }
}
