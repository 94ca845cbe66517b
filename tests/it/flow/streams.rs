//! Messages of a NATS JetStream: each opens what it should once, whatever dies, is away, or cannot be read meanwhile.

use super::left_exactly_one;
use crate::support::collector::Collector;
use crate::support::nats::NatsServer;
use crate::support::postgres::{Database, OwnServer};
use crate::support::server::{Connection, TestServer, eventually};
use crate::support::skipped;
use crate::support::small_disk::{NEEDED, SmallDisk};
use serde_json::{Value, json};

/// The consumer of the source `ops` where no other is named.
pub(super) const CONSUMER: &str = "kubeops-ops";
pub(super) const SUBJECT: &str = "ops.clusters.prod-eu.namespaces.ops-system.taskruns.make-namespace.status";

/// A source that fetches from a stream, with more of its `nats:`.
fn source(name: &str, url: &str, more: &str) -> String {
    format!(
        "apiVersion: kubeops.dev/v1alpha1\nkind: Source\nmetadata: {{ name: {name} }}\nspec:\n  kind: nats\n  nats:\n    servers: [\"{url}\"]\n    stream: ops\n    deliver: all\n    ackWait: 5s\n{more}"
    )
}

/// An automation that listens to this source.
fn automation(source: &str) -> String {
    format!(
        r#"apiVersion: kubeops.dev/v1alpha1
kind: Automation
metadata: {{ name: namespace-by-{source} }}
spec:
  on: {{ source: {source} }}
  correlate: event.data.body.key
  parameters:
    team:
      from: event.data.body.team
      schema: {{ type: string, pattern: "^[a-z][a-z0-9-]{{1,40}}$" }}
    cpu:
      from: event.data.body.cpu
      default: "4"
      schema: {{ type: string, pattern: "^[1-9][0-9]{{0,2}}$" }}
  target: {{ cluster: prod-eu }}
  render:
    - template: namespace
      path: "namespaces/{{{{ parameters.team }}}}.yaml"
  pullRequest:
    title: "Namespace {{{{ parameters.team }}}}"
"#
    )
}

pub(super) fn wanted(key: &str, team: &str) -> Vec<u8> {
    json!({ "key": key, "team": team }).to_string().into_bytes()
}

/// A server that is to listen to this one, not yet running; the stream is there.
pub(super) fn prepared(nats: &NatsServer, more: &str) -> TestServer {
    nats.stream("ops", &["ops.>"]);
    listening_to(&nats.url(), more)
}

pub(super) fn listening_to(url: &str, more: &str) -> TestServer {
    let mut server = TestServer::prepare();
    server.edit_resource("stream.yaml", |_| source("ops", url, more));
    server.edit_resource("by-message.yaml", |_| automation("ops"));
    server.set("RESOURCES_RELOAD_SECONDS", "1");
    server
}

/// How the connection of a source stands.
fn connection(at: &Connection, name: &str) -> Value {
    let sources = at.get("/sources");
    let source = sources["items"].as_array().expect("items").iter().find(|source| source["name"] == name).cloned();
    source.map_or(Value::Null, |source| source["connection"].clone())
}

pub(super) fn connected(at: &Connection, name: &str) {
    eventually("messages are fetched", || (connection(at, name)["connected"] == true).then_some(()));
}

/// Why nothing is fetched.
pub(super) fn refused(at: &Connection, name: &str, why: &str) -> String {
    eventually(why, || connection(at, name)["error"].as_str().map(str::to_owned).filter(|error| error.contains(why)))
}

#[test]
fn a_message_opens_a_request_and_its_pull_request() {
    let nats = NatsServer::start();
    let mut server = prepared(&nats, "    subjects: [\"ops.clusters.*.namespaces.>\"]\n");
    server.run();
    connected(server.at(), "ops");
    let event = json!({ "specversion": "1.0", "id": "e-1", "source": "https://ops.example.com", "type": "TaskRun", "cluster": "prod-eu",
        "data": { "key": "OPS-1", "team": "payments" } });
    // What is published twice is one event, and what is not asked for does not come.
    nats.publish(SUBJECT, &[], event.to_string().as_bytes());
    nats.publish(SUBJECT, &[], event.to_string().as_bytes());
    nats.publish("ops.heartbeat", &[], b"{}");
    server.at().settled("OPS-1", "proposed");
    nats.all_acknowledged("ops", CONSUMER);
    left_exactly_one(&server, "OPS-1", "proposed");
    assert_eq!(server.at().all("/deliveries").len(), 1);
    let events = server.at().all("/events");
    assert_eq!((&events[0]["type"], &events[0]["subject"]), (&json!("ops.taskruns.status"), &json!("prod-eu/ops-system/taskruns/make-namespace")));
    assert_eq!(server.at().metric("kubeops_stream_connected", &["source=\"ops\""]), 1.0);
    // Nobody can send what is to be fetched.
    let answered = server.at().deliver("ops", &[("nats-subject", SUBJECT)], &wanted("OPS-2", "forged")).expect("an answer");
    assert_eq!(answered.status, 404, "{}", answered.text());
    assert_eq!(server.at().all("/deliveries").len(), 1);
}

#[test]
fn a_process_that_dies_after_the_commit_and_before_the_acknowledgement_leaves_one_of_everything() {
    let nats = NatsServer::start();
    let mut server = prepared(&nats, "");
    nats.publish(SUBJECT, &[], &wanted("OPS-1", "payments"));
    server.set("KUBEOPS_FAILPOINT", "stream.stored").run();
    assert!(!server.wait().success(), "it died, not ended");
    let consumer = nats.consumer("ops", CONSUMER).expect("a consumer");
    assert_eq!((consumer.num_ack_pending, consumer.ack_floor.stream_sequence), (1, 0), "it was not acknowledged");

    server.set("KUBEOPS_FAILPOINT", "").run();
    server.at().settled("OPS-1", "proposed");
    nats.all_acknowledged("ops", CONSUMER);
    left_exactly_one(&server, "OPS-1", "proposed");
    assert_eq!(server.at().all("/deliveries").len(), 1);
    assert_eq!(server.at().metric("kubeops_stream_redelivered_total", &["source=\"ops\""]), 1.0);
    assert_eq!(server.at().metric("kubeops_deliveries_total", &["source=\"ops\"", "outcome=\"duplicate\""]), 1.0);
}

/// So many messages, each of which wants something else, from this number on.
fn many(from: usize, count: usize) -> Vec<(String, Vec<u8>)> {
    (from..from + count).map(|number| (SUBJECT.to_owned(), wanted(&format!("OPS-{number}"), &format!("team-{number}")))).collect()
}

/// Waits until so many deliveries came, each once, and all is acknowledged.
fn each_came_once(at: &Connection, nats: &NatsServer, count: usize) {
    eventually("every message came", || (at.all("/deliveries").len() >= count).then_some(()));
    nats.all_acknowledged("ops", CONSUMER);
    assert_eq!(at.all("/deliveries").len(), count);
}

#[test]
fn a_nats_server_that_dies_and_comes_back_loses_and_doubles_nothing() {
    let mut nats = NatsServer::start();
    let mut server = prepared(&nats, "");
    server.run();
    connected(server.at(), "ops");
    // The process stands still, so that what is sent to it is not acknowledged when the server dies.
    server.signal("STOP");
    nats.publish_all(&many(0, 60), &[]);
    eventually("some are on their way", || (nats.consumer("ops", CONSUMER)?.num_ack_pending > 0).then_some(()));
    nats.dies();
    server.signal("CONT");
    eventually("it is told", || (connection(server.at(), "ops")["connected"] == false).then_some(()));
    assert_eq!(server.at().metric("kubeops_stream_connected", &["source=\"ops\""]), 0.0);
    assert_eq!(server.at().plain("/ready").status, 200, "webhooks are taken all the same");
    nats.run();
    nats.publish_all(&many(60, 60), &[]);
    each_came_once(server.at(), &nats, 120);
}

#[test]
fn a_process_that_is_asked_to_end_acknowledges_what_it_stored() {
    let nats = NatsServer::start();
    let mut server = prepared(&nats, "");
    server.run();
    connected(server.at(), "ops");
    nats.publish_all(&many(0, 100), &[]);
    assert!(server.terminate().success());
    server.run();
    each_came_once(server.at(), &nats, 100);
    assert!(!server.log().contains("did not end in order"));
}

#[test]
fn while_the_store_is_away_nothing_is_acknowledged_and_it_comes_afterwards() {
    let nats = NatsServer::start();
    let mut database = OwnServer::start();
    let mut server = prepared(&nats, "");
    let address = database.address();
    server.set("STORE_URL", &format!("postgres://kubeops@{address}/postgres")).run();
    connected(server.at(), "ops");
    database.dies();
    nats.publish_all(&many(0, 5), &[]);
    eventually("a message was tried", || {
        (server.at().metric("kubeops_deliveries_total", &["source=\"ops\"", "outcome=\"busy\""]) >= 1.0).then_some(())
    });
    assert_eq!(nats.consumer("ops", CONSUMER).expect("a consumer").ack_floor.stream_sequence, 0, "none was acknowledged");
    database.run();
    eventually("the store is found again", || (server.at().api("GET", "/status", None).status == 200).then_some(()));
    each_came_once(server.at(), &nats, 5);
}

#[test]
fn processes_share_a_consumer_and_each_message_is_taken_once() {
    let nats = NatsServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let database = runtime.block_on(Database::new());
    let mut server = prepared(&nats, "");
    server.set("STORE_URL", database.address()).run();
    let other = server.replica("second");
    connected(server.at(), "ops");
    connected(other.at(), "ops");
    nats.publish_all(&many(0, 80), &[]);
    each_came_once(other.at(), &nats, 80);
    let taken = |at: &Connection| at.metric("kubeops_deliveries_total", &["source=\"ops\"", "outcome=\"accepted\""]);
    assert_eq!(taken(server.at()) + taken(other.at()), 80.0);
}

#[test]
fn a_message_that_cannot_be_read_is_kept_with_the_reason_and_holds_nothing_up() {
    let nats = NatsServer::start();
    let mut server = prepared(&nats, "");
    server.edit_resource("stream.yaml", |text| text.replace("  kind: nats\n", "  kind: nats\n  maxBodyBytes: 4096\n"));
    server.run();
    connected(server.at(), "ops");
    nats.publish("ops.broken", &[], b"{ no JSON");
    nats.publish("ops.large", &[], &vec![b' '; 900 * 1024]);
    nats.publish(SUBJECT, &[], &wanted("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    nats.all_acknowledged("ops", CONSUMER);
    server.at().nothing_owed();
    let deliveries = server.at().all("/deliveries");
    assert_eq!(deliveries.len(), 3);
    let failed: Vec<&Value> = deliveries.iter().filter(|delivery| delivery["error"].is_string()).collect();
    assert_eq!(failed.len(), 2, "{deliveries:#?}");
    assert_eq!(server.at().metric("kubeops_deliveries_total", &["source=\"ops\"", "outcome=\"unreadable\""]), 2.0);
    assert!(server.log().contains("a message cannot be read"));
}

#[test]
fn a_stream_that_is_not_there_is_told_and_listened_to_once_it_is() {
    let nats = NatsServer::start();
    let mut server = listening_to(&nats.url(), "");
    server.run();
    refused(server.at(), "ops", "there is no stream ops");
    nats.stream("ops", &["ops.>"]);
    nats.publish(SUBJECT, &[], &wanted("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
}

#[test]
fn a_consumer_that_is_only_bound_to_has_to_be_there() {
    let nats = NatsServer::start();
    nats.stream("ops", &["ops.>"]);
    let mut server = listening_to(&nats.url(), "");
    server.edit_resource("stream.yaml", |text| text.replace("    deliver: all\n    ackWait: 5s\n", "    create: false\n"));
    server.run();
    refused(server.at(), "ops", "there is no consumer kubeops-ops");
    assert!(nats.consumer("ops", CONSUMER).is_none());
}

#[test]
fn a_consumer_is_given_other_subjects_only_where_nats_passes_over_nothing_then() {
    let nats = NatsServer::start();
    let mut server = prepared(&nats, "");
    server.run();
    connected(server.at(), "ops");
    nats.publish(SUBJECT, &[], &wanted("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    let subjects = |subjects: &str| source("ops", &nats.url(), &format!("    subjects: {subjects}\n"));
    server.edit_resource("stream.yaml", |_| subjects("[\"ops.clusters.>\"]"));
    if nats.is_at_least(2, 10) {
        eventually("the consumer is changed", || {
            nats.consumer("ops", CONSUMER).filter(|consumer| consumer.config.filter_subject == "ops.clusters.>").map(drop)
        });
    } else {
        refused(server.at(), "ops", "NATS before 2.10 passes over messages");
        assert_eq!(nats.consumer("ops", CONSUMER).expect("a consumer").config.filter_subject, "");
        // Two subjects, it would take for none.
        server.edit_resource("stream.yaml", |_| subjects("[\"ops.clusters.>\", \"ops.other\"]\n    consumer: two"));
        refused(server.at(), "ops", "several subjects, which needs NATS 2.10");
        assert!(nats.consumer("ops", "two").is_none());
        // Another consumer begins at the beginning, and what was there before is known.
        server.edit_resource("stream.yaml", |_| subjects("[\"ops.clusters.>\"]\n    consumer: another"));
    }
    connected(server.at(), "ops");
    nats.publish("ops.other", &[], &wanted("OPS-2", "other"));
    nats.publish(SUBJECT, &[], &wanted("OPS-3", "ledger"));
    server.at().settled("OPS-3", "proposed");
    assert_eq!(server.at().all("/deliveries").len(), 2, "what is not asked for does not come, and what came is not told again");
}

#[test]
fn a_full_disk_loses_no_message() {
    let nats = NatsServer::start();
    let mut server = prepared(&nats, "");
    let Some(disk) = SmallDisk::mount(server.place("disk"), 8) else {
        return skipped(NEEDED);
    };
    let data = disk.path().join("data");
    server.set("DATA_DIR", data.to_str().expect("UTF-8")).run();
    connected(server.at(), "ops");
    disk.fill();
    // Some still find room in the log of the store; then there is none.
    let large = |number: usize| json!({ "key": "none", "number": number, "pad": "x".repeat(20_000) }).to_string().into_bytes();
    let messages: Vec<(String, Vec<u8>)> = (0..100).map(|number| ("ops.large".to_owned(), large(number))).collect();
    nats.publish_all(&messages, &[]);
    eventually("a message found no room", || {
        (server.at().metric("kubeops_deliveries_total", &["source=\"ops\"", "outcome=\"busy\""]) >= 1.0).then_some(())
    });
    let consumer = nats.consumer("ops", CONSUMER).expect("a consumer");
    assert!(consumer.num_pending > 0 || consumer.num_ack_pending > 0, "what was not stored is not acknowledged: {consumer:?}");
    assert!(!server.has_ended(), "it bears a full disk");
    disk.make_room();
    each_came_once(server.at(), &nats, 100);
    // It must let go of the disk before that is taken away.
    server.terminate();
}

#[test]
fn a_message_goes_on_in_its_publishers_trace() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PUBLISHERS_SPAN: &str = "00f067aa0ba902b7";
    let (nats, collector) = (NatsServer::start(), Collector::start());
    let mut server = prepared(&nats, "");
    server.set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()).set("OTEL_BSP_SCHEDULE_DELAY", "20").run();
    nats.publish(SUBJECT, &[("Traceparent", &format!("00-{TRACE}-{PUBLISHERS_SPAN}-01"))], &wanted("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    let spans = eventually("the proposal is in the trace", || {
        Some(collector.trace(TRACE)).filter(|spans| ["receive", "dispatch", "propose"].iter().all(|name| spans.iter().any(|span| span.name == *name)))
    });
    let received = spans.iter().find(|span| span.name == "receive").expect("a span");
    assert_eq!((received.kind, received.parent.as_str(), received.failed), (5, PUBLISHERS_SPAN, false));
    let delivery = &server.at().all("/deliveries")[0];
    assert_eq!(received.attributes["kubeops.delivery.id"], delivery["id"].as_str().expect("an id"));
    assert_eq!((received.attributes["kubeops.source"].as_str(), received.attributes["messaging.system"].as_str()), ("ops", "nats"));
    assert_eq!(spans.iter().find(|span| span.name == "dispatch").expect("a span").parent, PUBLISHERS_SPAN);
    assert!(!collector.holds("make-namespace"), "no subject of a publisher's is in a span");
}

#[test]
fn two_clusters_are_two_sources_that_come_change_and_go_while_the_server_runs() {
    let (one, two) = (NatsServer::start(), NatsServer::start());
    two.stream("ops", &["ops.>"]);
    let mut server = prepared(&one, "");
    server.run();
    connected(server.at(), "ops");
    let second = |more: &str| format!("{}---\n{}", source("ops-two", &two.url(), more), automation("ops-two"));
    server.edit_resource("second.yaml", |_| second(""));
    connected(server.at(), "ops-two");
    // The same message in two clusters is two messages.
    one.publish(SUBJECT, &[("Nats-Msg-Id", "m-1")], &wanted("OPS-1", "payments"));
    two.publish(SUBJECT, &[("Nats-Msg-Id", "m-1")], &wanted("OPS-2", "checkout"));
    server.at().settled("OPS-1", "proposed");
    server.at().settled("OPS-2", "proposed");
    one.all_acknowledged("ops", CONSUMER);
    two.all_acknowledged("ops", "kubeops-ops-two");
    // A consumer that is there is changed, and what it had is not told again.
    let changed = "    maxAckPending: 7\n";
    server.edit_resource("second.yaml", |_| second(changed));
    eventually("the consumer is changed", || {
        two.consumer("ops", "kubeops-ops-two").filter(|consumer| consumer.config.max_ack_pending == 7).map(drop)
    });
    two.publish(SUBJECT, &[], &wanted("OPS-4", "ledger"));
    server.at().settled("OPS-4", "proposed");
    // One that goes takes nothing more, and what comes meanwhile waits for it.
    std::fs::remove_file(server.place("resources/second.yaml")).expect("removed");
    eventually("it is gone", || connection(server.at(), "ops-two").is_null().then_some(()));
    two.publish(SUBJECT, &[], &wanted("OPS-5", "waits"));
    server.edit_resource("second.yaml", |_| second(changed));
    server.at().settled("OPS-5", "proposed");
    assert_eq!(server.at().all("/deliveries").len(), 4);
}
