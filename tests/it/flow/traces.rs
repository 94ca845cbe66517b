//! One trace from a ticket to what its sender hears, whichever process did which part; and a collector that does harm to nobody.

use super::told::{prepare, told};
use crate::support::collector::{Collector, Fault, Seen};
use crate::support::fake_github::FakeGithub;
use crate::support::fake_jira::FakeJira;
use crate::support::postgres::Database;
use crate::support::server::{Answered, Connection, TestServer, eventually, ticket};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDERS_SPAN: &str = "00f067aa0ba902b7";
/// Stands for whatever a collector wants to be shown.
const COLLECTORS_KEY: &str = "canary-9Qw8Er7Ty6Ui5Op4";

fn traced(server: &mut TestServer, collector: &Collector) {
    server.secret("OTEL_EXPORTER_OTLP_HEADERS", &format!("x-scope=team%20a,authorization=Bearer {COLLECTORS_KEY}"));
    server.set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()).set("OTEL_BSP_SCHEDULE_DELAY", "20");
}

/// Sends a ticket as a step of the sender's own trace.
fn send(at: &Connection, key: &str) -> std::io::Result<Answered> {
    let body = ticket(key, "payments").to_string();
    let parent = format!("00-{TRACE}-{SENDERS_SPAN}-01");
    at.deliver("service-desk", &[("x-hub-signature", &at.signature(body.as_bytes())), ("traceparent", &parent)], body.as_bytes())
}

/// Waits until spans of these names are in the trace, and until the parent of each is there: the sender's span is the only one elsewhere.
fn one_tree(collector: &Collector, names: &[&str]) -> Vec<Seen> {
    eventually("one whole tree", || whole(collector, names).ok())
}

/// The trace, as it is at present; an error when it is not whole.
fn whole(collector: &Collector, names: &[&str]) -> Result<Vec<Seen>, Vec<Seen>> {
    let spans = collector.trace(TRACE);
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let known = |span: &Seen| span.parent == SENDERS_SPAN || ids.contains(span.parent.as_str());
    let is_whole = names.iter().all(|name| spans.iter().any(|span| span.name == *name)) && spans.iter().all(known);
    if is_whole { Ok(spans) } else { Err(spans) }
}

/// The lines of the log that hold a text.
fn lines_with(server: &TestServer, text: &str) -> String {
    server.log().lines().filter(|line| line.contains(text)).map(|line| format!("{line}\n")).collect()
}

fn named<'s>(spans: &'s [Seen], name: &str) -> &'s Seen {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}: {spans:#?}"))
}

/// The calls of others' APIs that were made for steps of this kind.
fn calls_of<'s>(spans: &'s [Seen], step: &'s str) -> impl Iterator<Item = &'s Seen> {
    let steps: BTreeSet<&str> = spans.iter().filter(|span| span.name == step).map(|span| span.id.as_str()).collect();
    spans.iter().filter(move |span| span.kind == 3 && steps.contains(span.parent.as_str()))
}

/// What a trace from a ticket to its feedback consists of at least.
const WHOLE: [&str; 9] = ["POST /api/v1/webhooks/{source}", "dispatch", "plan", "validate", "git fetch", "git commit", "propose", "git push", "tell"];

#[test]
fn a_ticket_is_one_tree_from_its_delivery_to_what_it_hears_and_no_secret_and_no_word_of_it_is_in_a_span() {
    let (collector, jira) = (Collector::start(), FakeJira::cloud());
    let mut server = prepare(&jira, "  feedback:\n    - channel: service-desk\n");
    traced(&mut server, &collector);
    server.set("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test").set("JSON_LOGS", "1").run();
    assert_eq!(send(server.at(), "OPS-42").expect("an answer").word(), "202 accepted");
    let request = server.at().settled("OPS-42", "proposed");
    told(&server, &jira, 1);
    // Of the calls to the ticket's system too: a step is exported with all that was done for it.
    let spans = eventually("the whole tree", || whole(&collector, &WHOLE).ok().filter(|spans| calls_of(spans, "tell").next().is_some()));

    let id = request["id"].as_str().expect("an id");
    let arrived = named(&spans, "POST /api/v1/webhooks/{source}");
    assert_eq!((arrived.kind, arrived.parent.as_str()), (2, SENDERS_SPAN));
    let says = |span: &Seen, name: &str| span.attributes.get(name).cloned().unwrap_or_default();
    assert_eq!((says(arrived, "http.route").as_str(), says(arrived, "kubeops.source").as_str()), ("/api/v1/webhooks/{source}", "service-desk"));
    assert_eq!((says(arrived, "http.request.method").as_str(), says(arrived, "http.response.status_code").as_str()), ("POST", "202"));
    assert_eq!(says(named(&spans, "dispatch"), "kubeops.request.ids"), id);
    let plan = named(&spans, "plan");
    assert_eq!((says(plan, "kubeops.request.id").as_str(), says(plan, "kubeops.outcome").as_str()), (id, "done"));
    assert_eq!(says(plan, "kubeops.automation"), request["automation"].as_str().expect("an automation"));
    // A proposal has two turns: the push, and the pull request.
    let all = |name: &str| spans.iter().filter(|span| span.name == name).map(|span| span.id.clone()).collect::<BTreeSet<_>>();
    for (child, parent) in [("git fetch", "plan"), ("validate", "plan"), ("git commit", "plan"), ("git push", "propose")] {
        assert!(all(parent).contains(&named(&spans, child).parent), "{child} is done for {parent}: {spans:#?}");
    }
    assert!(calls_of(&spans, "tell").all(|span| says(span, "server.address") == "127.0.0.1"), "{spans:#?}");
    assert_eq!(arrived.resource["service.name"], "kubeops");
    assert_eq!(arrived.resource["deployment.environment.name"], "test");
    let written = eventually("the commit that wrote it", || collector.spans().into_iter().find(|span| span.name == "inbox commit"));
    assert_eq!(written.links, [TRACE], "it serves many and is in no trace of theirs");

    // The log has the same trace, in the words of the same span.
    let line = server.log().lines().find(|line| line.contains("\"to\":\"proposed\"")).map(str::to_owned).expect("a line about the proposal");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["trace_id"], TRACE, "{line}");
    assert!(line["time"].is_string(), "{line}");
    assert!(all("propose").contains(line["span_id"].as_str().expect("a span")), "{line}");

    let headers = collector.headers();
    let shown = headers.first().expect("an export");
    assert_eq!((shown["x-scope"].as_str(), shown["authorization"].as_str()), ("team a", format!("Bearer {COLLECTORS_KEY}").as_str()));
    let [hook, alerts, token] = server.secrets().map(str::to_owned);
    for secret in [hook.as_str(), alerts.as_str(), token.as_str(), COLLECTORS_KEY, crate::support::fake_jira::TOKEN, "Namespace for"] {
        assert!(!collector.holds(secret), "{secret} left");
    }
    assert!(!server.log().contains(COLLECTORS_KEY));
    server.terminate();
}

#[test]
fn without_export_the_log_still_tells_the_trace_and_an_invalid_one_is_ignored() {
    let mut server = TestServer::start();
    assert_eq!(send(server.at(), "OPS-1").expect("an answer").word(), "202 accepted");
    let proposed = server.at().settled("OPS-1", "proposed");
    let id = proposed["id"].as_str().expect("an id");
    let lines = lines_with(&server, &format!("request={id}"));
    assert!(lines.contains("to=proposed") && lines.lines().all(|line| line.contains(&format!("trace_id={TRACE} span_id="))), "{lines}");

    let body = ticket("OPS-2", "search").to_string();
    let bad = format!("00-{}-{SENDERS_SPAN}-01", "0".repeat(32));
    let headers = [("x-hub-signature", server.at().signature(body.as_bytes())), ("traceparent", bad)];
    let headers = headers.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>();
    assert_eq!(server.at().deliver("service-desk", &headers, body.as_bytes()).expect("an answer").word(), "202 accepted");
    let other = server.at().settled("OPS-2", "proposed");
    let lines = lines_with(&server, &format!("request={}", other["id"].as_str().expect("an id")));
    let traces: BTreeSet<&str> = lines.split_whitespace().filter_map(|word| word.strip_prefix("trace_id=")).collect();
    assert_eq!(traces.len(), 1, "its steps are in one trace: {lines}");
    assert!(!traces.contains(TRACE) && !traces.contains("0".repeat(32).as_str()), "{lines}");
    server.terminate();
}

#[test]
fn a_kill_in_the_middle_leaves_the_tree_whole() {
    for point in ["dispatch.recorded", "plan.committed", "propose.pushed"] {
        let collector = Collector::start();
        let mut server = TestServer::prepare();
        traced(&mut server, &collector);
        server.set("KUBEOPS_FAILPOINT", point).run();
        let _ = send(server.at(), "OPS-1");
        assert!(!server.wait().success(), "{point}: it died");
        server.set("KUBEOPS_FAILPOINT", "").run();
        server.at().settled("OPS-1", "proposed");
        server.at().nothing_owed();
        server.terminate();
        // What was done for a step that was killed is not told, and what is done for its next attempt is.
        let spans = whole(&collector, &["propose", "git push"]).unwrap_or_else(|spans| panic!("{point}: {spans:#?}"));
        let proposed: Vec<&Seen> = spans.iter().filter(|span| span.name == "propose" && span.attributes["kubeops.outcome"] == "done").collect();
        assert_eq!(proposed.len(), 1, "{point}: {spans:#?}");
    }
}

#[test]
fn a_replica_goes_on_in_the_trace_of_the_one_that_took_the_ticket() {
    let collector = Collector::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let database = runtime.block_on(Database::new());
    let mut world = super::github::World::prepare(FakeGithub::start());
    traced(&mut world.server, &collector);
    // The first takes the ticket and dies with its request; the second does all the rest.
    world.server.set("STORE_URL", database.address()).set("KUBEOPS_FAILPOINT", "dispatch.recorded").run();
    let _ = send(world.server.at(), "OPS-1");
    assert!(!world.server.wait().success(), "it died");
    world.server.set("KUBEOPS_FAILPOINT", "");
    let second = world.server.replica("second");
    second.at().settled("OPS-1", "proposed");
    second.at().nothing_owed();
    let spans = one_tree(&collector, &["plan", "propose", "git push", "forge ensure_pull"]);
    let forge = named(&spans, "forge ensure_pull");
    assert!(spans.iter().any(|span| span.kind == 3 && span.parent == forge.id && span.name == "POST"), "{spans:#?}");
}

#[test]
fn a_collector_that_is_away_slow_or_refuses_harms_nothing_and_what_is_dropped_is_counted() {
    for fault in [Fault::Away, Fault::Silent, Fault::Status(429), Fault::Status(503), Fault::Status(400)] {
        let collector = Collector::start();
        collector.misbehave(fault);
        let mut server = TestServer::prepare();
        traced(&mut server, &collector);
        server.set("OTEL_BSP_MAX_QUEUE_SIZE", "4").set("OTEL_EXPORTER_OTLP_TIMEOUT", "60000").run();
        for number in 0..6 {
            assert_eq!(server.at().ticket(&ticket(&format!("OPS-{number}"), &format!("team-{number}"))).word(), "202 accepted");
        }
        for number in 0..6 {
            server.at().settled(&format!("OPS-{number}"), "proposed");
        }
        eventually("something was dropped, and is counted", || {
            let dropped = |why: &str| server.at().metric("kubeops_trace_spans_total", &[&format!("outcome=\"{why}\"")]);
            (dropped("queue_full") + dropped("refused") > 0.0).then_some(())
        });
        assert!(server.at().metric("kubeops_trace_spans_waiting", &[]) <= 4.0, "what waits is bounded");
        assert!(server.log().contains("traces cannot be exported") || fault != Fault::Status(400), "{fault:?} is told");
        // The collector has not a word in how long a shutdown takes.
        let asked = Instant::now();
        assert!(server.terminate().success(), "{fault:?}");
        assert!(asked.elapsed() < Duration::from_secs(15), "{fault:?}: {:?}", asked.elapsed());
    }
}

#[test]
fn what_waits_is_exported_at_the_end_and_after_an_outage() {
    let collector = Collector::start();
    let mut server = TestServer::prepare();
    traced(&mut server, &collector);
    // Nothing goes by itself before the end.
    server.set("OTEL_BSP_SCHEDULE_DELAY", "60000").run();
    send(server.at(), "OPS-1").expect("an answer");
    server.at().settled("OPS-1", "proposed");
    assert_eq!(collector.trace(TRACE), []);
    assert!(server.terminate().success());
    one_tree(&collector, &["POST /api/v1/webhooks/{source}", "plan", "propose"]);

    collector.misbehave(Fault::Status(503));
    server.set("OTEL_BSP_SCHEDULE_DELAY", "20").run();
    let before = collector.spans().len();
    server.at().get("/requests");
    eventually("it was refused", || (collector.refused() > 0).then_some(()));
    collector.misbehave(None);
    eventually("and taken later", || (collector.spans().len() > before).then_some(()));
    let span = collector.spans().into_iter().rfind(|span| span.name == "GET /api/v1/requests").expect("the call");
    assert_eq!((span.kind, span.attributes["actor"].as_str()), (2, "flow"));
    server.terminate();
}

#[test]
fn what_the_sender_does_not_keep_is_not_kept_and_disabled_means_off() {
    let collector = Collector::start();
    let mut server = TestServer::prepare();
    traced(&mut server, &collector);
    server.run();
    let body = ticket("OPS-1", "payments").to_string();
    let parent = format!("00-{TRACE}-{SENDERS_SPAN}-00");
    let signature = server.at().signature(body.as_bytes());
    server.at().deliver("service-desk", &[("x-hub-signature", &signature), ("traceparent", &parent)], body.as_bytes()).expect("an answer");
    server.at().settled("OPS-1", "proposed");
    server.terminate();
    assert_eq!(collector.trace(TRACE), []);

    let seen = collector.headers().len();
    server.set("OTEL_SDK_DISABLED", "true").run();
    send(server.at(), "OPS-2").expect("an answer");
    server.at().settled("OPS-2", "proposed");
    server.terminate();
    assert_eq!(collector.headers().len(), seen, "nothing is exported");
}
