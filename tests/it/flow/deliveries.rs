//! What is taken, what is taken once, and what is refused without a trace.

use crate::support::server::{Answered, TestServer, call, eventually, ticket};
use flate2::{Compression, write::GzEncoder};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::Write;
use std::sync::Barrier;

fn code(answered: &Answered) -> Value {
    answered.json()["error"]["code"].clone()
}

#[test]
fn one_delivery_sent_twenty_times_at_once_is_taken_once() {
    let server = TestServer::start();
    let body = ticket("OPS-1", "payments").to_string();
    let (together, at) = (Barrier::new(20), server.at());
    let answers: Vec<Answered> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    at.jira(body.as_bytes()).expect("an answer")
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().expect("a sender")).collect()
    });
    let accepted: Vec<&Answered> = answers.iter().filter(|answer| answer.word() == "202 accepted").collect();
    assert_eq!(accepted.len(), 1, "{answers:?}");
    let first = accepted[0].id();
    assert_eq!(answers.iter().filter(|answer| answer.word() == "200 duplicate" && answer.id() == first).count(), 19, "{answers:?}");
    server.at().settled("OPS-1", "proposed");
    super::left_exactly_one(&server, "OPS-1", "proposed");
    assert_eq!(server.at().all("/deliveries").len(), 1);
}

#[test]
fn ten_webhooks_about_one_ticket_are_one_request() {
    let server = TestServer::start();
    for number in 0..10 {
        let mut told = ticket("OPS-2", "payments");
        told["timestamp"] = (1_795_176_000_000_i64 + number).into();
        assert_eq!(server.at().ticket(&told).word(), "202 accepted");
    }
    server.at().settled("OPS-2", "proposed");
    super::left_exactly_one(&server, "OPS-2", "proposed");
    assert_eq!(server.at().all("/deliveries").len(), 10);
}

#[test]
fn what_is_refused_is_told_why_and_leaves_nothing() {
    let server = TestServer::start();
    let at = server.at();
    let good = ticket("OPS-3", "payments").to_string();
    let send = |headers: &[(&str, &str)], body: &[u8]| at.deliver("service-desk", headers, body).expect("an answer");
    let signed = |body: &[u8], more: &[(&str, &str)]| {
        let signature = at.signature(body);
        let mut headers = vec![("x-hub-signature", signature.as_str())];
        headers.extend_from_slice(more);
        send(&headers, body)
    };

    // Not authenticated: whatever the body, the answer says nothing about it.
    let wrong = format!("sha256={}", "0".repeat(64));
    let other = at.signature(b"another body");
    let signature = at.signature(good.as_bytes());
    let sha1 = signature.replace("sha256=", "sha1=");
    for headers in [&[("x-hub-signature", wrong.as_str())][..], &[("x-hub-signature", &other)], &[("x-hub-signature", &sha1)], &[]] {
        for body in [good.as_bytes(), b"{"] {
            let answered = send(headers, body);
            assert_eq!(answered.status, 401, "{headers:?}: {}", answered.text());
            assert!(answered.headers.contains_key("www-authenticate") || !answered.text().contains("OPS-3"));
        }
    }
    let bearer = at.deliver("alertmanager", &[("authorization", "Bearer wrong")], good.as_bytes()).expect("an answer");
    assert_eq!(bearer.status, 401);

    // Too large, whether it is announced or not and signed or not.
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1024 * 1024));
    assert_eq!(signed(large.as_bytes(), &[]).status, 413);
    assert_eq!(send(&[], large.as_bytes()).status, 413);

    // Not JSON: the place is told.
    let broken = signed(b"{\n  \"issue\": 1\n  \"key\": 2\n}", &[]);
    assert_eq!(broken.status, 400, "{}", broken.text());
    let details = &broken.json()["error"]["details"];
    assert_eq!((&details["line"], &details["column"]), (&json!(3), &json!(3)), "{}", broken.text());

    // A key that stands twice could be read in two ways.
    let twice = signed(br#"{"issue": {}, "issue": {"key": "OPS-3"}}"#, &[]);
    assert_eq!(twice.status, 400, "{}", twice.text());
    assert!(twice.text().contains("issue"), "{}", twice.text());

    // Gzip is not taken unless the source says so.
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(good.as_bytes()).expect("packed");
    let packed = packed.finish().expect("packed");
    assert_eq!(signed(&packed, &[("content-encoding", "gzip")]).status, 415);

    // No such source, and a method that is none.
    let unknown = at.deliver("nobody", &[], good.as_bytes()).expect("an answer");
    assert_eq!((unknown.status, code(&unknown)), (404, "not_found".into()), "{}", unknown.text());

    assert!(at.all("/deliveries").is_empty() && at.all("/requests").is_empty() && at.all("/events").is_empty());
    // And the server is as well as before.
    assert_eq!(at.ticket(&ticket("OPS-3", "payments")).word(), "202 accepted");
    at.settled("OPS-3", "proposed");
}

#[test]
fn what_github_signed_as_a_form_is_an_event_once_whatever_name_it_is_sent_under_again() {
    let mut server = TestServer::prepare();
    let source = "kind: Source\nmetadata: { name: github }\nspec: { kind: github, authentication: { hmac: { secrets: [GITHUB_WEBHOOK_SECRET] } } }\n";
    server.edit_resource("sources.yaml", |text| format!("{text}---\napiVersion: kubeops.dev/v1alpha1\n{source}"));
    server.secret("GITHUB_WEBHOOK_SECRET", "the secret of GitHub's webhook");
    server.run();
    let at = server.at();
    let sent = |event: &str, delivery: &str, body: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"the secret of GitHub's webhook").expect("a key");
        mac.update(body);
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let form = ("content-type", "application/x-www-form-urlencoded");
        let headers = [form, ("x-github-event", event), ("x-github-delivery", delivery), ("x-hub-signature-256", &signature)];
        call(at.address, "POST", "/api/v1/webhooks/github", &headers, body).expect("an answer")
    };
    let form = |body: &Value| {
        let encoded: String = url::form_urlencoded::byte_serialize(body.to_string().as_bytes()).collect();
        format!("payload={encoded}").into_bytes()
    };
    let pull = json!({ "number": 12, "merged": true, "updated_at": "2026-11-20T12:00:01Z" });
    let merged = form(&json!({ "action": "closed", "number": 12, "pull_request": pull, "repository": { "full_name": "acme/gitops" } }));
    assert_eq!(sent("ping", "1", &form(&json!({ "zen": "Design for failure." }))).word(), "200 ignored");
    assert_eq!(sent("pull_request", "2", &merged).word(), "202 accepted");
    assert_eq!(sent("pull_request", "3", &merged).word(), "200 duplicate");
    let refused = sent("installation", "4", &merged);
    assert_eq!((refused.status, code(&refused)), (400, "malformed".into()), "{}", refused.text());
    let events = eventually("the event is recorded", || Some(at.all("/events")).filter(|events| !events.is_empty()));
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["type"], &events[0]["subject"]), (&json!("pull_request.merged"), &json!("acme/gitops#12")));
}
