//! What no delivery brought: asked for at the start and from time to time, filed as a delivery that says so, and known again when it
//! comes after all.

use super::alert::{Alertmanager, alert};
use super::github::World;
use super::storms::merge;
use crate::support::fake_github::{FakeDelivery, FakeGithub, FakeRemark, SLUG};
use crate::support::fake_jira::{EMAIL, FakeJira, Fault, Step, TOKEN};
use crate::support::postgres::Database;
use crate::support::server::{Connection, TestServer, eventually};
use kubeops::clock::{Clock as _, SystemClock};
use kubeops::request::RemarkPlace;
use kubeops::types::Timestamp;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// Where nobody listens.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

/// A server that asks the fake every second for tickets in this status; not running yet.
fn prepare(jira: &FakeJira) -> TestServer {
    let mut server = TestServer::prepare();
    server.secret("JIRA_TOKEN", TOKEN);
    let (url, user) = (jira.url(), if jira.is_cloud() { EMAIL } else { crate::support::fake_jira::NAME });
    let deployment = if jira.is_cloud() { "cloud" } else { "dataCenter" };
    reconcile(&server, "service-desk", "{ channel: desk, jql: 'project = OPS AND status = \"Approved\"', every: 1s, lookBack: 3650d }");
    server.edit_resource("channels.yaml", |_| {
        format!(
            "apiVersion: kubeops.dev/v1alpha1\nkind: Channel\nmetadata:\n  name: desk\nspec:\n  jira:\n    url: {url}\n    \
             deployment: {deployment}\n    authentication: {{ basic: {{ user: {user}, secret: JIRA_TOKEN }} }}\n"
        )
    });
    // The fake lives in the past.
    server.set("OBSERVE_SECONDS", "1").set("RETENTION_DAYS", "36500");
    server
}

/// Has a shipped source reconcile like this.
fn reconcile(server: &TestServer, source: &str, how: &str) {
    server.edit_resource("sources.yaml", |text| {
        let documents = text.split("---\n").map(|document| match document.contains(&format!("name: {source}\n")) {
            true => format!("{}\n  reconcile: {how}\n", document.trim_end()),
            false => document.to_owned(),
        });
        documents.collect::<Vec<_>>().join("---\n")
    });
}

/// A ticket in which a team asks for a namespace, still to be approved.
fn asked(jira: &FakeJira, key: &str, team: &str) {
    jira.add(key, "Waiting for approval");
    jira.person(key, |issue| {
        let fields = json!({
            "issuetype": { "name": "Namespace request" }, "customfield_10050": team, "customfield_10051": "8",
            "customfield_10052": { "value": "prod-eu" }, "created": "2025-11-20T12:00:00.000+0000",
        });
        issue.fields.extend(fields.as_object().expect("fields").clone());
    });
}

fn rounds(server: &TestServer, source: &str, outcome: &str) -> f64 {
    server.at().metric("kubeops_reconcile_rounds_total", &[&format!("source=\"{source}\""), &format!("outcome=\"{outcome}\"")])
}

/// Waits until the source's sender was asked some more times.
fn asked_again(server: &TestServer, source: &str) {
    let before = rounds(server, source, "done");
    eventually("two more looks", || (rounds(server, source, "done") >= before + 2.0).then_some(()));
}

fn reconciled(server: &TestServer) -> Vec<Value> {
    server.at().all("/deliveries").into_iter().filter(|delivery| delivery["attributes"]["reconciled"] == "true").collect()
}

/// The event that opened a request.
fn event_of(server: &TestServer, request: &Value) -> Value {
    let events = server.at().all("/events");
    events.into_iter().find(|event| event["id"] == request["event"]["id"]).expect("its event")
}

fn nothing_waits(server: &TestServer) {
    eventually("nothing waits", || (server.at().get("/status")["pending_deliveries"] == 0).then_some(()));
}

#[test]
fn a_ticket_approved_while_nobody_listened_opens_one_request_and_its_webhook_opens_nothing_more() {
    for jira in [FakeJira::cloud(), FakeJira::data_center()] {
        let mut server = prepare(&jira);
        asked(&jira, "OPS-7", "payments");
        let late = jira.move_status("OPS-7", "Approved");
        server.run();
        let proposed = server.at().settled("OPS-7", "proposed");
        let event = event_of(&server, &proposed);
        let at = Timestamp::from_unix_millis(jira.issue("OPS-7").history[0].at * 1000).to_string();
        assert_eq!((&event["type"], &event["time"]), (&json!("jira.issue.transitioned"), &json!(at)), "when it really happened");
        let filed = reconciled(&server);
        assert_eq!((filed.len(), &filed[0]["source"], &filed[0]["state"]), (1, &json!("service-desk"), &json!("dispatched")));
        assert_eq!(filed[0]["id"], event["delivery"]);

        assert_eq!(server.at().ticket(&late).word(), "202 accepted");
        let told_again = eventually("the webhook is read", || server.at().all("/events").into_iter().find(|event| !event["repeats"].is_null()));
        assert_eq!(told_again["subject"], "OPS-7");
        asked_again(&server, "service-desk");
        assert_eq!(reconciled(&server).len(), 1, "it is filed once");
        super::left_exactly_one(&server, "OPS-7", "proposed");
        assert_eq!(server.at().requests_of("OPS-7")[0]["timeline"].to_string().matches("joined by").count(), 0, "nobody joined");
    }
}

#[test]
fn of_two_processes_one_asks_what_no_delivery_brought_and_the_other_once_that_one_died() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (jira, database) = (FakeJira::cloud(), runtime.block_on(Database::new()));
    let mut server = prepare(&jira);
    server.set("STORE_URL", database.address()).set("LEASE_SECONDS", "3").run();
    let asked_by = |at: &Connection| at.metric("kubeops_reconcile_rounds_total", &["source=\"service-desk\"", "outcome=\"done\""]);
    eventually("the first asks", || (asked_by(server.at()) > 0.0).then_some(()));
    let second = server.replica("second");
    let before = asked_by(server.at());
    asked(&jira, "OPS-7", "payments");
    jira.move_status("OPS-7", "Approved");
    second.at().settled("OPS-7", "proposed");
    eventually("the first asked three times more", || (asked_by(server.at()) >= before + 3.0).then_some(()));
    assert_eq!(asked_by(second.at()), 0.0, "the second asked as well");

    server.kill();
    asked(&jira, "OPS-8", "billing");
    jira.move_status("OPS-8", "Approved");
    second.at().settled("OPS-8", "proposed");
    assert!(asked_by(second.at()) > 0.0);
    let filed = second.at().all("/deliveries").into_iter().filter(|delivery| delivery["attributes"]["reconciled"] == "true").count();
    assert_eq!((filed, second.at().all("/requests").len()), (2, 2), "each is filed once");
}

#[test]
fn what_a_webhook_brought_is_not_filed_whatever_became_of_its_request() {
    let jira = FakeJira::cloud();
    let mut server = prepare(&jira);
    server.run();
    asked(&jira, "OPS-7", "payments");
    // Told before the search can find it.
    let body = jira.move_status("OPS-7", "Approved");
    server.at().ticket(&body);
    let proposed = server.at().settled("OPS-7", "proposed");
    merge(&server, &proposed);
    server.at().settled("OPS-7", "merged");
    let filed = reconciled(&server).len();
    asked_again(&server, "service-desk");
    assert_eq!(reconciled(&server).len(), filed, "what is known is not filed");
    assert_eq!(server.at().requests_of("OPS-7").len(), 1);
}

#[test]
fn a_ticket_that_moved_on_while_nobody_listened_takes_its_request_back() {
    let jira = FakeJira::cloud();
    let mut server = prepare(&jira);
    server.edit_resource("namespace-request.yaml", |text| format!("{text}  withdraw: {{ when: event.data.transition.to == \"Cancelled\" }}\n"));
    server.run();
    asked(&jira, "OPS-7", "payments");
    asked(&jira, "OPS-8", "billing");
    for key in ["OPS-7", "OPS-8"] {
        jira.move_status(key, "Approved");
        server.at().settled(key, "proposed");
    }
    server.terminate();
    jira.move_status("OPS-7", "Cancelled");
    // A ticket that was deleted hides no other.
    jira.delete("OPS-8");
    server.run();
    let withdrawn = server.at().settled("OPS-7", "withdrawn");
    assert_eq!(withdrawn["message"], "withdrawn: OPS-7 moved to \"Cancelled\"");
    assert_eq!(server.at().requests_of("OPS-8")[0]["state"], "proposed");
}

#[test]
fn what_kubeops_does_to_a_ticket_sets_nothing_off_however_it_is_told() {
    for jira in [FakeJira::cloud(), FakeJira::data_center()] {
        its_own_move_sets_nothing_off(&jira);
    }
}

fn its_own_move_sets_nothing_off(jira: &FakeJira) {
    // A loop, were it not ours: a request is told by moving its ticket to where requests come from.
    jira.workflow(vec![Step::new("11", "Again", &["Approved", "Asked"], "Planned", json!({}))]);
    let mut server = prepare(jira);
    reconcile(&server, "service-desk", "{ channel: desk, jql: 'project = OPS AND status in (Approved, Planned)', every: 1s, lookBack: 3650d }");
    server.edit_resource("sources.yaml", |text| {
        text.lines().filter(|line| !line.contains("status = \"Approved\"")).map(|line| format!("{line}\n")).collect()
    });
    server.edit_resource("namespace-request.yaml", |text| {
        let text = text.replace("event.data.transition.to == \"Approved\"", "event.data.transition.to in [\"Approved\", \"Planned\"]");
        format!("{text}  feedback:\n    - channel: desk\n      on:\n        proposed: {{ transition: Planned }}\n")
    });
    server.run();
    asked(jira, "OPS-7", "payments");
    jira.move_status("OPS-7", "Approved");
    let proposed = server.at().settled("OPS-7", "proposed");
    eventually("it moved along", || (jira.issue("OPS-7").status == "Planned").then_some(()));
    merge(&server, &proposed);
    server.at().settled("OPS-7", "merged");

    // The search finds it where it was moved to, and Jira's webhook tells of it.
    let ours = jira.webhooks().into_iter().find(|body| body["changelog"]["items"][0]["field"] == "status").expect("our move");
    assert_eq!(server.at().ticket(&ours).word(), "202 accepted");
    nothing_waits(&server);
    asked_again(&server, "service-desk");
    nothing_waits(&server);
    assert_eq!(server.at().requests_of("OPS-7").len(), 1, "nothing was set off");
    let event = server.at().all("/events").into_iter().find(|event| event["decisions"].to_string().contains("itself")).expect("an explanation");
    assert_eq!(event["decisions"][0]["message"], "no request was opened: KubeOps itself made this change, as KubeOps");

    // Told without a user, of which a comment's author is ours.
    let mut unnamed = ours.clone();
    (unnamed["user"], unnamed["comment"]) = (Value::Null, json!({ "author": ours["user"] }));
    unnamed["changelog"]["id"] = json!("76");
    unnamed["timestamp"] = json!(unnamed["timestamp"].as_i64().expect("a time") + 500);
    assert_eq!(server.at().ticket(&unnamed).word(), "202 accepted");
    nothing_waits(&server);
    assert_eq!(server.at().requests_of("OPS-7").len(), 1, "nothing was set off");

    // Of a move that no feedback makes, a person is the author, even with our account.
    let mut theirs = ours.clone();
    theirs["changelog"] = json!({ "id": "77", "items": [{ "field": "status", "fieldtype": "jira", "fieldId": "status", "fromString": "Planned", "toString": "Approved" }] });
    theirs["timestamp"] = json!(theirs["timestamp"].as_i64().expect("a time") + 1_000);
    server.at().ticket(&theirs);
    eventually("it is another request", || (server.at().requests_of("OPS-7").len() == 2).then_some(()));
}

#[test]
fn a_jira_that_is_away_is_asked_again_and_told_of_once() {
    let jira = FakeJira::cloud();
    let mut server = prepare(&jira);
    asked(&jira, "OPS-7", "payments");
    jira.move_status("OPS-7", "Approved");
    for _ in 0..4 {
        jira.fail(Fault::BadGateway);
    }
    server.run();
    server.at().settled("OPS-7", "proposed");
    assert!(jira.faults_are_over() && rounds(&server, "service-desk", "failed") >= 1.0);
    assert_eq!(server.at().plain("/ready").status, 200);
    let log = server.log();
    assert_eq!(log.matches("could not be asked for").count(), 1, "{log}");
    assert!(!log.contains(TOKEN));
}

#[test]
fn an_alert_that_fired_while_nobody_listened_is_acted_on_and_taken_back_when_it_is_gone() {
    let mut server = TestServer::prepare();
    let alertmanager = Alertmanager::sending_to(&server, NOBODY);
    let how = format!("{{ url: 'http://{}', receiver: kubeops, every: 1s, goneFor: 1s }}", alertmanager.address);
    reconcile(&server, "alertmanager", &how);
    let starts_at = SystemClock.now().minus(Duration::from_secs(900)).to_string();
    alertmanager.post(&alert(&starts_at, None));
    server.run();
    let key = "prod-eu/web/storefront";
    let proposed = server.at().settled(key, "proposed");
    let event = event_of(&server, &proposed);
    assert_eq!((&event["type"], &event["time"]), (&json!("alert.firing"), &json!(starts_at)));
    let filed = reconciled(&server);
    assert_eq!((filed.len(), &filed[0]["id"]), (1, &event["delivery"]));

    // A notification of the same alert, as Alertmanager writes it, says nothing new.
    let known = server.at().all("/events").len();
    let mut notified = alert(&starts_at.replace('Z', "456789Z"), Some("0001-01-01T00:00:00Z"));
    (notified["status"], notified["fingerprint"]) = (json!("firing"), event["subject"].clone());
    let context = json!({ "version": "4", "receiver": "kubeops", "groupLabels": {}, "alerts": [notified] });
    assert_eq!(server.at().alert(&context).word(), "200 duplicate");
    asked_again(&server, "alertmanager");
    assert_eq!((server.at().all("/events").len(), reconciled(&server).len()), (known, 1));

    // It ends while nobody listens.
    server.terminate();
    alertmanager.post(&alert(&starts_at, Some(&SystemClock.now().to_string())));
    server.run();
    let withdrawn = server.at().settled(key, "withdrawn");
    assert_eq!(withdrawn["message"], "withdrawn: the alert \"KubeHpaMaxedOut\" resolved");
    eventually("its pull request is closed", || (server.at().get("/pulls/gitops/1")["state"] == "closed").then_some(()));
    assert_eq!(reconciled(&server).len(), 2);
}

#[test]
fn an_alertmanager_that_is_away_takes_nothing_back() {
    let mut server = TestServer::prepare();
    let alertmanager = Alertmanager::sending_to(&server, NOBODY);
    let how = format!("{{ url: 'http://{}', receiver: kubeops, every: 1s, goneFor: 1s }}", alertmanager.address);
    reconcile(&server, "alertmanager", &how);
    alertmanager.post(&alert(&SystemClock.now().minus(Duration::from_secs(900)).to_string(), None));
    server.run();
    let key = "prod-eu/web/storefront";
    server.at().settled(key, "proposed");
    drop(alertmanager);
    eventually("three looks come to nothing", || (rounds(&server, "alertmanager", "failed") >= 3.0).then_some(()));
    super::left_exactly_one(&server, key, "proposed");
}

#[test]
fn what_cannot_be_asked_is_refused_at_load_with_its_place() {
    for (source, how, wanted) in [
        ("service-desk", "{ channel: dsek, jql: 'project = OPS' }", "there is no channel \"dsek\""),
        ("service-desk", "{ channel: desk }", "a Jira is asked on a `channel` with a `jql`"),
        ("service-desk", "{ channel: desk, jql: x, url: 'http://a' }", "this goes with a source of kind alertmanager"),
        ("service-desk", "{ channel: desk, jql: x, every: 10ms }", "looks are at least 1s apart"),
        ("alertmanager", "{ url: 'http://ada:hunter2@am', receiver: kubeops }", "an address holds no user name"),
        ("alertmanager", "{ url: 'http://am', receiver: k, authentication: { bearer: { secret: T } } }", "only https:// will do"),
        ("alertmanager", "{ url: 'http://am' }", "for the alerts of a `receiver`"),
    ] {
        let jira = FakeJira::cloud();
        let server = prepare(&jira);
        server.edit_resource("sources.yaml", |text| text.lines().filter(|line| !line.contains("reconcile:")).collect::<Vec<_>>().join("\n") + "\n");
        reconcile(&server, source, how);
        let refused = server.cli(&["check"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
        assert!(!refused.status.success() && said.contains(wanted) && said.contains("sources.yaml:"), "{how}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// A source for GitHub's webhooks that asks every second.
fn asks_github(server: &TestServer) {
    server.secret("GITHUB_WEBHOOK_SECRET", &"0123456789abcdef".repeat(4));
    server.edit_resource("github.yaml", |_| {
        "apiVersion: kubeops.dev/v1alpha1\nkind: Source\nmetadata:\n  name: github\nspec:\n  kind: github\n  \
         authentication: { hmac: { secrets: [GITHUB_WEBHOOK_SECRET] } }\n  reconcile: { every: 1s }\n"
            .to_owned()
    });
}

#[test]
fn a_merge_while_nobody_listened_is_seen_at_the_next_start() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.run();
    let pull = world.proposed("OPS-1", "payments");
    world.server.terminate();
    world.github.end(pull.number, true);
    world.server.run();
    world.server.at().settled("OPS-1", "merged");
}

#[test]
fn a_command_nobody_told_of_is_filed_once_and_what_is_none_is_left_alone() {
    let mut world = World::prepare(FakeGithub::start());
    asks_github(&world.server);
    world.server.run();
    let pull = world.proposed("OPS-1", "payments");
    world.server.terminate();
    let said = |id: u64, number: u64, body: &str, edited: i64| {
        let remark = FakeRemark::new(id, number, "ada", body);
        FakeRemark { updated: remark.created + edited, ..remark }
    };
    world.github.repository(SLUG, |repository| {
        repository.allow("ada", "write");
        repository.remarks = vec![
            said(1, pull.number, "Looks good to me.", 0),
            said(2, pull.number, "/kubeops explain", 0),
            said(3, pull.number, "/kubeops close", 5),
            said(4, 99, "/kubeops close", 0),
        ];
    });
    world.server.run();
    let filed = eventually("it is filed", || Some(reconciled(&world.server)).filter(|filed| !filed.is_empty()));
    assert_eq!((&filed[0]["source"], &filed[0]["attributes"]["x-github-event"]), (&json!("github"), &json!("issue_comment")));
    let event = eventually("it is read", || world.server.at().all("/events").into_iter().find(|event| event["type"] == "issue_comment.created"));
    assert_eq!((&event["subject"], &event["delivery"]), (&json!("acme/gitops#1"), &filed[0]["id"]));
    asked_again(&world.server, "github");
    assert_eq!(reconciled(&world.server).len(), 1);
    eventually("it is answered", || world.github.remark(2).reactions.contains(&"+1".to_owned()).then_some(()));
}

/// What GitHub's webhook says of a new comment.
fn told_of(remark: &FakeRemark) -> Value {
    let written = Timestamp::from_unix_millis(remark.created * 1000).to_string().replace(".000Z", "Z");
    json!({
        "action": "created", "issue": { "number": remark.pull, "pull_request": { "url": "https://api.github.com" } },
        "comment": {
            "id": remark.id, "body": remark.body, "user": { "login": remark.author, "type": "User" }, "created_at": written, "updated_at": written,
        },
        "repository": { "full_name": SLUG }, "sender": { "login": remark.author },
    })
}

#[test]
fn with_two_sources_of_github_a_missed_comment_is_filed_by_one_and_one_that_came_by_the_other_by_none() {
    let mut world = super::heard::prepare();
    let source = |name: &str| {
        format!(
            "apiVersion: kubeops.dev/v1alpha1\nkind: Source\nmetadata:\n  name: {name}\nspec:\n  kind: github\n  \
             authentication: {{ hmac: {{ secrets: [GITHUB_WEBHOOK_SECRET] }} }}\n  reconcile: {{ every: 1s }}\n"
        )
    };
    world.server.edit_resource("github.yaml", |_| source("a-github") + "---\n" + &source("b-github"));
    world.server.run();
    let pull = world.proposed("OPS-1", "payments");
    world.server.terminate();
    let remark = |id: u64| FakeRemark::new(id, pull.number, "ada", "/kubeops explain");
    world.github.repository(SLUG, |repository| {
        repository.allow("ada", "write");
        repository.remarks = vec![remark(2)];
    });
    world.server.run();
    let filed = eventually("it is filed", || Some(reconciled(&world.server)).filter(|filed| !filed.is_empty()));
    assert_eq!(filed[0]["source"], "a-github");
    eventually("it is answered", || world.github.remark(2).reactions.contains(&"+1".to_owned()).then_some(()));
    for source in ["b-github", "a-github"] {
        asked_again(&world.server, source);
    }
    assert_eq!(reconciled(&world.server).len(), 1);

    // The next one comes by a webhook of a third source.
    let second = remark(3);
    assert_eq!(super::heard::tell(&world, "issue_comment", &told_of(&second)), "202 accepted");
    nothing_waits(&world.server);
    world.github.repository(SLUG, |repository| repository.remarks.push(second.clone()));
    asked_again(&world.server, "a-github");
    assert_eq!(reconciled(&world.server).len(), 1, "it is known by the other source's webhook");
}

#[test]
fn of_a_repository_the_first_source_that_may_speak_of_it_asks() {
    let mut world = super::heard::prepare();
    let source = |name: &str, more: &str| {
        format!(
            "apiVersion: kubeops.dev/v1alpha1\nkind: Source\nmetadata:\n  name: {name}\nspec:\n  kind: github\n{more}  \
             authentication: {{ hmac: {{ secrets: [GITHUB_WEBHOOK_SECRET] }} }}\n  reconcile: {{ every: 1s }}\n"
        )
    };
    let other = "apiVersion: kubeops.dev/v1alpha1\nkind: Repository\nmetadata: { name: other }\n\
                 spec: { url: \"file:///srv/git/other.git\", forge: { kind: local } }\n";
    world
        .server
        .edit_resource("github.yaml", |_| [other.to_owned(), source("a-github", "  repositories: [other]\n"), source("b-github", "")].join("---\n"));
    world.server.run();
    let pull = world.proposed("OPS-1", "payments");
    world.github.repository(SLUG, |repository| {
        repository.allow("ada", "write");
        repository.remarks = vec![FakeRemark::new(2, pull.number, "ada", "/kubeops explain")];
    });
    eventually("it is answered", || world.github.remark(2).reactions.contains(&"+1".to_owned()).then_some(()));
    let filed = reconciled(&world.server);
    assert_eq!(filed.iter().map(|filed| &filed["source"]).collect::<Vec<_>>(), ["b-github"]);
}

#[test]
fn a_comment_that_came_by_a_source_that_may_not_speak_of_its_repository_is_filed_by_one_that_may() {
    let mut world = super::heard::prepare();
    let source = "apiVersion: kubeops.dev/v1alpha1\nkind: Source\nmetadata:\n  name: b-github\nspec:\n  kind: github\n  \
                  authentication: { hmac: { secrets: [GITHUB_WEBHOOK_SECRET] } }\n  reconcile: { every: 1s }\n";
    let other = "apiVersion: kubeops.dev/v1alpha1\nkind: Repository\nmetadata: { name: other }\n\
                 spec: { url: \"file:///srv/git/other.git\", forge: { kind: local } }\n";
    world.server.edit_resource("b-github.yaml", |_| [other, source].join("---\n"));
    world.server.edit_resource("sources.yaml", |text| text.replace("{ kind: github,", "{ kind: github, repositories: [other],"));
    world.server.run();
    let pull = world.proposed("OPS-1", "payments");
    let remark = FakeRemark::new(2, pull.number, "ada", "/kubeops explain");
    let body = told_of(&remark);
    assert_eq!(super::heard::tell(&world, "issue_comment", &body), "202 accepted");
    nothing_waits(&world.server);
    assert_eq!(world.server.at().all("/events").iter().filter(|event| event["type"] == "issue_comment.created").count(), 1, "it was heard");
    world.github.repository(SLUG, |repository| {
        repository.allow("ada", "write");
        repository.remarks = vec![remark];
    });
    eventually("it is answered", || world.github.remark(2).reactions.contains(&"+1".to_owned()).then_some(()));
    let filed = reconciled(&world.server);
    assert_eq!(filed.iter().map(|filed| &filed["source"]).collect::<Vec<_>>(), ["b-github"]);
}

#[test]
fn commands_an_app_was_not_told_of_are_filed_as_well() {
    let mut world = World::prepare_app(FakeGithub::start());
    asks_github(&world.server);
    world.server.run();
    let pull = world.proposed("OPS-1", "payments");
    world.github.repository(SLUG, |repository| {
        repository.allow("ada", "write");
        repository.remarks = vec![FakeRemark::new(2, pull.number, "ada", "/kubeops explain")];
        repository.write(RemarkPlace::Thread, pull.number, None, "ada", "/kubeops explain");
        repository.write(RemarkPlace::Review, pull.number, None, "ada", "/kubeops explain");
    });
    eventually("they are answered", || {
        let comment = world.github.remark(2).reactions.contains(&"+1".to_owned());
        let in_thread = world.github.replies(9_000).iter().any(|reply| reply.body.contains("part by part"));
        let of_review = world.github.pulls().remove(0).comments.iter().any(|said| said.contains("#pullrequestreview-9000"));
        (comment && in_thread && of_review).then_some(())
    });
    asked_again(&world.server, "github");
    assert_eq!(reconciled(&world.server).len(), 3, "each once");
}

#[test]
fn a_command_on_a_line_and_one_in_a_review_that_nobody_told_of_are_filed_once() {
    let mut world = World::prepare(FakeGithub::start());
    asks_github(&world.server);
    world.server.run();
    let pull = world.proposed("OPS-1", "payments");
    asked_again(&world.server, "github");
    world.server.terminate();
    world.github.repository(SLUG, |repository| {
        repository.allow("ada", "write");
        for place in [RemarkPlace::Thread, RemarkPlace::Review] {
            repository.write(place, pull.number, None, "ada", "Looks good to me.");
            repository.write(place, pull.number, None, "ada", "/kubeops explain");
            repository.write(place, 99, None, "ada", "/kubeops close");
        }
    });
    world.server.run();
    let filed = eventually("they are filed", || Some(reconciled(&world.server)).filter(|filed| filed.len() == 2));
    let mut events: Vec<_> = filed.iter().map(|filed| filed["attributes"]["x-github-event"].as_str().expect("an event")).collect();
    events.sort_unstable();
    assert_eq!(events, ["pull_request_review", "pull_request_review_comment"]);
    eventually("they are answered", || {
        let in_thread = world.github.replies(9_001).iter().any(|reply| reply.body.contains("part by part"));
        let said = world.github.pulls().remove(0).comments;
        (in_thread && said.iter().any(|said| said.contains("#pullrequestreview-9001") && said.contains("part by part"))).then_some(())
    });
    asked_again(&world.server, "github");
    assert_eq!(reconciled(&world.server).len(), 2, "what is known is not filed again");
    // The webhook comes after all: it tells of the same review.
    let review = world.github.written(RemarkPlace::Review, 9_001);
    let moment = Timestamp::from_unix_millis(review.updated * 1000).to_string().replace(".000Z", "Z");
    let late = json!({
        "action": "submitted", "pull_request": { "number": pull.number, "updated_at": moment }, "repository": { "full_name": SLUG },
        "review": { "id": 9_001, "body": review.body, "state": "commented", "submitted_at": moment, "user": { "login": "ada", "type": "User" } },
    });
    assert_eq!(super::heard::tell_with(&world, &"0123456789abcdef".repeat(4), "pull_request_review", &late), "202 accepted");
    let again = eventually("it is read", || world.server.at().all("/events").into_iter().find(|event| !event["repeats"].is_null()));
    assert_eq!(again["type"], "pull_request_review.submitted");
    nothing_waits(&world.server);
    assert_eq!(world.github.pulls().remove(0).comments.len(), 1, "it is answered once");
}

#[test]
fn what_an_apps_webhook_did_not_take_is_sent_again_three_times_at_most() {
    let mut world = World::prepare_app(FakeGithub::start());
    asks_github(&world.server);
    let now = SystemClock.now().unix_seconds();
    world.github.app(|app| {
        let delivery = |id: u64, status: u16| FakeDelivery { id, guid: format!("guid-{id}"), at: now - 60, status, redelivery: false };
        app.deliveries = vec![delivery(3, 202), delivery(2, 503), delivery(1, 202)];
    });
    world.server.run();
    let asked = |world: &World| world.github.calls().iter().filter(|call| call.ends_with("/attempts")).count();
    eventually("it is asked for, and fails each time", || (asked(&world) == 3).then_some(()));
    asked_again(&world.server, "github");
    assert_eq!(asked(&world), 3);
    assert_eq!(world.server.at().metric("kubeops_reconcile_found_total", &["source=\"github\""]), 3.0);
}
