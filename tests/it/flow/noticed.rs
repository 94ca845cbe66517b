//! A receiver of signed webhooks and a Slack channel hear what became of a request: each state once, whatever happens in between.

use super::storms::merge;
use crate::support::loopback::{Answer, Delivery, Loopback, Request};
use crate::support::server::{TestServer, eventually, ticket};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

const KEY: &str = "OPS-42";
const KEY_BYTES: &[u8] = b"0123456789abcdef0123456789abcdef";

/// What answers a call: a status, or nothing at all.
#[derive(Clone, Copy)]
pub(super) enum Reply {
    Status(u16),
    Dropped,
}

/// A place that is notified: it answers as it is told to, and 204 after that.
pub(super) struct Receiver {
    pub(super) server: Loopback,
    seen: Arc<Mutex<Vec<Request>>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
}

impl Receiver {
    pub(super) fn answering(replies: &[Reply]) -> Self {
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let replies = Arc::new(Mutex::new(replies.iter().copied().collect::<VecDeque<_>>()));
        let (theirs, next) = (Arc::clone(&seen), Arc::clone(&replies));
        let server = Loopback::serve(move |request| {
            theirs.lock().expect("a lock").push(request);
            match next.lock().expect("a lock").pop_front() {
                None => Answer::new(204, "text/plain", ""),
                Some(Reply::Status(status)) => Answer::new(status, "text/plain", ""),
                Some(Reply::Dropped) => Answer { delivery: Delivery::Dropped, ..Answer::new(500, "text/plain", "") },
            }
        });
        Self { server, seen, replies }
    }

    pub(super) fn always(status: u16) -> Self {
        Self::answering(&[Reply::Status(status); 100])
    }

    pub(super) fn is_mended(&self) {
        self.replies.lock().expect("a lock").clear();
    }

    /// Every call so far, each with a signature that holds.
    pub(super) fn seen(&self) -> Vec<Notified> {
        self.seen.lock().expect("a lock").iter().map(Notified::of).collect()
    }
}

/// A signed webhook as its receiver reads it.
#[derive(Debug)]
pub(super) struct Notified {
    id: String,
    state: String,
    body: Value,
}

impl Notified {
    fn of(request: &Request) -> Self {
        let header = |name: &str| request.headers[name].clone();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(KEY_BYTES).expect("a key");
        mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
        mac.update(&request.body);
        assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())), "the signature of Standard Webhooks");
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let kind = body["type"].as_str().expect("a type");
        assert_eq!(body["id"], header("webhook-id"));
        Self { id: header("webhook-id"), state: kind.strip_prefix("dev.kubeops.request.").expect("a request's").to_owned(), body: body.clone() }
    }
}

pub(super) fn key() -> String {
    format!("whsec_{}", STANDARD.encode(KEY_BYTES))
}

/// A server whose tickets' requests are told of at the receiver; not running yet.
fn prepare(receiver: &Receiver, tell: &str) -> TestServer {
    let mut server = TestServer::prepare();
    server.secret("HOOK_KEY", &key());
    let spec = format!("webhook: {{ url: {}/hooks, secret: HOOK_KEY, headers: {{ X-Team: platform }} }}", receiver.server.url());
    add_channel(&server, &spec, tell);
    server.set("OBSERVE_SECONDS", "1").set("LOG_LEVEL", "TRACE");
    server
}

fn add_channel(server: &TestServer, spec: &str, tell: &str) {
    server.edit_resource("namespace-request.yaml", |text| format!("{text}  feedback: [{{ channel: operations{tell} }}]\n"));
    server.edit_resource("sources.yaml", |text| {
        format!("{text}\n---\napiVersion: kubeops.dev/v1alpha1\nkind: Channel\nmetadata:\n  name: operations\nspec:\n  {spec}\n")
    });
}

fn states(told: &[Notified]) -> Vec<&str> {
    told.iter().map(|told| told.state.as_str()).collect()
}

#[test]
fn a_receiver_hears_each_state_once_in_order_with_a_signature_that_holds() {
    let receiver = Receiver::answering(&[]);
    let mut server = prepare(&receiver, "");
    server.run();
    server.at().ticket(&ticket(KEY, "payments"));
    let proposed = server.at().settled(KEY, "proposed");
    merge(&server, &proposed);
    let merged = server.at().settled(KEY, "merged");
    eventually("the merge is told", || (states(&receiver.seen()).last() == Some(&"merged")).then_some(()));
    server.at().nothing_owed();
    let told = receiver.seen();
    assert_eq!(states(&told), ["proposed", "approved", "merged"]);
    let id = merged["id"].as_str().expect("an id");
    let ids: Vec<&str> = told.iter().map(|told| told.id.as_str()).collect();
    assert_eq!(ids, [format!("{id}/proposed/0"), format!("{id}/approved/0"), format!("{id}/merged/0")]);

    // As docs/feedback.md shows it.
    let body = &told[0].body;
    assert_eq!((&body["specversion"], &body["source"], &body["datacontenttype"]), (&json!("1.0"), &json!("kubeops"), &json!("application/json")));
    let fields = |value: &Value| {
        let mut names: Vec<String> = value.as_object().expect("an object").keys().cloned().collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(fields(&body["data"]), "details text title url");
    let details = &body["data"]["details"];
    assert_eq!(fields(details), "actor automation branch changes correlation message pull repository request state");
    assert_eq!((&details["request"], &details["state"], &details["correlation"]), (&json!(id), &json!("proposed"), &json!(KEY)));
    assert_eq!((&details["pull"], &details["branch"], &body["data"]["url"]), (&proposed["pull"], &proposed["branch"], &proposed["pull"]["url"]));
    assert!(!server.log().contains(key().trim_start_matches("whsec_")), "no secret in the log");
}

#[test]
fn a_receiver_hears_what_its_automation_tells_there_and_nothing_else() {
    let receiver = Receiver::answering(&[]);
    let mut server = prepare(&receiver, ", tell: [merged], on: { merged: { say: \"Hurrah: {{ pull.number }}\" } }");
    server.run();
    server.at().ticket(&ticket(KEY, "payments"));
    let proposed = server.at().settled(KEY, "proposed");
    merge(&server, &proposed);
    server.at().settled(KEY, "merged");
    eventually("the merge is told", || (!receiver.seen().is_empty()).then_some(()));
    server.at().nothing_owed();
    let told = receiver.seen();
    assert_eq!(states(&told), ["merged"]);
    let text = told[0].body["data"]["text"].as_str().expect("a text");
    assert!(text.starts_with("Hurrah: 1"), "{text}");
}

#[test]
fn a_receiver_that_fails_or_hangs_up_is_told_again_under_the_same_id() {
    let receiver = Receiver::answering(&[Reply::Status(500), Reply::Dropped]);
    let mut server = prepare(&receiver, ", tell: [proposed]");
    server.run();
    server.at().ticket(&ticket(KEY, "payments"));
    server.at().settled(KEY, "proposed");
    eventually("the third attempt", || (receiver.seen().len() == 3).then_some(()));
    server.at().nothing_owed();
    let told = receiver.seen();
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|again| again.id == told[0].id && again.body == told[0].body), "{told:#?}");
}

#[test]
fn a_receiver_that_refuses_leaves_a_dead_letter_and_a_line_and_retry_tells_it() {
    for status in [400, 404] {
        let receiver = Receiver::always(status);
        let mut server = prepare(&receiver, ", tell: [proposed]");
        server.run();
        server.at().ticket(&ticket(KEY, "payments"));
        eventually("a dead letter", || (server.at().get("/status")["dead_tasks"] == 1).then_some(()));
        let request = server.at().settled(KEY, "proposed");
        let timeline = request["timeline"].to_string();
        assert!(timeline.contains("tell failed after 1 attempt") && timeline.contains(&format!("status {status}")), "{timeline}");

        receiver.is_mended();
        let retried = server.cli(&["requests", "retry", request["id"].as_str().expect("an id")]);
        assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
        eventually("it is told", || (receiver.seen().len() == 2).then_some(()));
        eventually("no dead letter", || (server.at().get("/status")["dead_tasks"] == 0).then_some(()));
        server.at().nothing_owed();
        assert_eq!(receiver.seen().len(), 2, "{status}");
        assert_eq!(server.at().settled(KEY, "proposed")["state"], "proposed");
    }
}

#[test]
fn a_kill_around_a_notice_tells_it_under_the_same_id_and_never_a_third_time() {
    for (point, many) in [("tell.begun", 1), ("tell.acted", 2), ("tell.settling", 1)] {
        let receiver = Receiver::answering(&[]);
        let mut server = prepare(&receiver, ", tell: [proposed]");
        server.set("KUBEOPS_FAILPOINT", point).run();
        let _ = server.at().jira(ticket(KEY, "payments").to_string().as_bytes());
        assert!(!server.wait().success(), "{point}: it died, not ended");
        server.set("KUBEOPS_FAILPOINT", "").run();
        server.at().settled(KEY, "proposed");
        eventually("it is told", || (receiver.seen().len() == many).then_some(()));
        server.at().nothing_owed();
        let told = receiver.seen();
        assert_eq!(told.len(), many, "{point}");
        assert!(told.iter().all(|again| again.id == told[0].id), "{point}: {told:#?}");
    }
}

#[test]
fn a_slack_channel_gets_one_message_for_each_state_in_its_own_form() {
    let receiver = Receiver::answering(&[]);
    let mut server = TestServer::prepare();
    let address = format!("{}/services/T0/B0/s3cretpath", receiver.server.url());
    server.secret("CHAT_URL", &address);
    add_channel(&server, "slack: { url: CHAT_URL }", "");
    server.set("LOG_LEVEL", "TRACE").run();
    server.at().ticket(&ticket(KEY, "payments"));
    let proposed = server.at().settled(KEY, "proposed");
    eventually("it is told", || (!receiver.seen.lock().expect("a lock").is_empty()).then_some(()));
    server.at().nothing_owed();
    let seen = receiver.seen.lock().expect("a lock").clone();
    let [message] = &seen[..] else { panic!("one message: {seen:#?}") };
    assert_eq!(message.path, "/services/T0/B0/s3cretpath");
    let body: Value = serde_json::from_slice(&message.body).expect("JSON");
    let kinds: Vec<&str> = body["blocks"].as_array().expect("blocks").iter().filter_map(|block| block["type"].as_str()).collect();
    assert_eq!(kinds, ["header", "section", "context"]);
    assert!(body["text"].as_str().is_some_and(|text| text.starts_with("proposed: Namespace payments")), "{body:#}");
    assert!(body["blocks"][2].to_string().contains(proposed["pull"]["url"].as_str().expect("a URL")), "{body:#}");
    assert!(!server.log().contains("s3cretpath"), "no secret in the log");
}

#[test]
fn a_secret_that_cannot_serve_its_channel_keeps_the_server_from_starting_with_its_place() {
    let receiver = Receiver::answering(&[]);
    let server = prepare(&receiver, "");
    server.secret("HOOK_KEY", "whsec_tooshort");
    let refused = String::from_utf8_lossy(&server.run_refused().stderr).into_owned();
    assert!(refused.contains("sources.yaml:") && refused.contains("Channel/operations") && refused.contains("24 to 64 bytes in base64"), "{refused}");
    assert!(!refused.contains("whsec_tooshort"), "{refused}");
}

#[test]
fn an_automation_that_is_gone_is_said_once_and_what_is_owed_is_told_when_it_is_back() {
    let receiver = Receiver::answering(&[]);
    let mut server = prepare(&receiver, ", tell: [merged]");
    server.run();
    server.at().ticket(&ticket(KEY, "payments"));
    let proposed = server.at().settled(KEY, "proposed");
    server.at().nothing_owed();
    let file = server.place("resources").join("namespace-request.yaml");
    let rules = std::fs::read_to_string(&file).expect("the automation");
    std::fs::remove_file(&file).expect("taken away");
    server.terminate();
    server.run();
    merge(&server, &proposed);
    server.at().settled(KEY, "merged");
    let said = |server: &TestServer| {
        let timeline = server.at().settled(KEY, "merged")["timeline"].clone();
        timeline.as_array().expect("a timeline").iter().filter(|entry| entry["message"].to_string().contains("nobody is told")).count()
    };
    eventually("the silence is explained", || (said(&server) > 0).then_some(()));
    server.at().nothing_owed();
    assert_eq!((said(&server), receiver.seen().len()), (1, 0));

    std::fs::write(&file, rules).expect("put back");
    server.terminate();
    server.run();
    assert!(server.cli(&["requests", "retry", proposed["id"].as_str().expect("an id")]).status.success());
    eventually("it is told", || (states(&receiver.seen()) == ["merged"]).then_some(()));
}
