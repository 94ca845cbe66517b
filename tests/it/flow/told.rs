//! The ticket hears what became of it: words, links, moves; each once, whatever happens in between.

use super::storms::merge;
use crate::support::fake_jira::{ACCOUNT, EMAIL, FakeJira, Fault, Step, TOKEN};
use crate::support::server::{TestServer, eventually, ticket};
use serde_json::Value;

const KEY: &str = "OPS-42";

/// The call that writes a comment at the ticket.
pub(super) const COMMENT: &str = "POST /rest/api/3/issue/OPS-42/comment";

/// What is done at the ticket beside the usual words.
const FEEDBACK: &str = "  feedback:
    - channel: service-desk
      on:
        proposed: { transition: In Progress, labels: { add: [kubeops] }, fields: { customfield_10060: \"{{ pull.url }}\" } }
        merged: { transition: { to: Done, resolution: Done } }
";

/// A server that tells the fake what became of tickets; not running yet.
pub(super) fn prepare(jira: &FakeJira, feedback: &str) -> TestServer {
    let mut server = TestServer::prepare();
    tells(&server, jira, feedback);
    server.set("OBSERVE_SECONDS", "1").set("LOG_LEVEL", "TRACE");
    server
}

/// The automation of tickets tells the fake what becomes of them.
pub(super) fn tells(server: &TestServer, jira: &FakeJira, feedback: &str) {
    server.secret("JIRA_TOKEN", TOKEN);
    server.edit_resource("namespace-request.yaml", |text| format!("{text}{feedback}"));
    let (url, user) = (jira.url(), EMAIL);
    server.edit_resource("sources.yaml", |text| {
        format!(
            "{text}\n---\napiVersion: kubeops.dev/v1alpha1\nkind: Channel\nmetadata:\n  name: service-desk\nspec:\n  jira:\n    url: {url}\n    \
             deployment: cloud\n    authentication: {{ basic: {{ user: {user}, secret: JIRA_TOKEN }} }}\n"
        )
    });
}

fn start(jira: &FakeJira, feedback: &str) -> TestServer {
    let mut server = prepare(jira, feedback);
    server.run();
    server
}

fn comments(jira: &FakeJira) -> Vec<String> {
    jira.issue(KEY).comments.iter().map(|comment| format!("{comment:?}")).collect()
}

/// Waits until so many comments are there and nothing is owed.
pub(super) fn told(server: &TestServer, jira: &FakeJira, many: usize) -> Vec<String> {
    eventually(&format!("{many} comments"), || (comments(jira).len() == many).then_some(()));
    server.at().nothing_owed();
    let comments = comments(jira);
    assert_eq!(comments.len(), many, "{comments:#?}");
    comments
}

#[test]
fn a_ticket_hears_of_its_pull_request_and_of_the_merge_and_moves_along() {
    let jira = FakeJira::cloud();
    let server = start(&jira, FEEDBACK);
    server.at().ticket(&ticket(KEY, "payments"));
    let proposed = server.at().settled(KEY, "proposed");
    let said = told(&server, &jira, 1);
    assert!(said[0].contains("A change is proposed") && said[0].contains("Pull request #1"), "{said:?}");
    let issue = eventually("it moved along", || Some(jira.issue(KEY)).filter(|issue| issue.status == "In Progress"));
    assert_eq!(issue.labels, ["kubeops"]);
    assert_eq!(issue.fields["customfield_10060"], proposed["pull"]["url"], "{issue:?}");
    assert_eq!(issue.links.len(), 1);
    assert_eq!(issue.links[0].1["object"]["status"]["resolved"], false, "{issue:?}");

    merge(&server, &proposed);
    server.at().settled(KEY, "merged");
    let said = told(&server, &jira, 3);
    assert!(said[1].contains("is approved") && said[2].contains("The change is merged"), "{said:?}");
    let issue = eventually("it moved along", || Some(jira.issue(KEY)).filter(|issue| issue.status == "Done"));
    assert_eq!(issue.resolution.as_deref(), Some("Done"));
    assert_eq!((issue.links.len(), &issue.links[0].1["object"]["status"]["resolved"]), (1, &Value::Bool(true)), "one link, brought up to date");
    assert_eq!(jira.take_violations(), Vec::<String>::new());
    assert!(!server.log().contains(TOKEN), "no secret in the log");
}

#[test]
fn a_rejected_ticket_hears_every_reason_and_a_declined_one_that_a_person_closed_it() {
    let jira = FakeJira::cloud();
    let server = start(&jira, FEEDBACK);
    server.at().ticket(&ticket(KEY, "NOT A NAME [~admin] {color:red}x{color}"));
    server.at().settled(KEY, "rejected");
    let said = told(&server, &jira, 1);
    assert!(said[0].contains("was rejected") && said[0].contains("team"), "{said:?}");
    assert_eq!(jira.issue(KEY).links.len(), 0, "there is no pull request to link");

    jira.add("OPS-43", "To Do");
    server.at().ticket(&ticket("OPS-43", "payments"));
    let request = server.at().settled("OPS-43", "proposed");
    let close = format!("/pulls/gitops/{}/close", request["pull"]["number"]);
    assert!(server.at().api("POST", &close, None).status < 300);
    server.at().settled("OPS-43", "declined");
    eventually("the ticket hears it", || {
        let issue = jira.issue("OPS-43");
        issue.comments.iter().any(|comment| format!("{comment:?}").contains("was declined")).then_some(())
    });
}

#[test]
fn however_often_the_base_moves_and_the_change_is_planned_again_it_is_told_once() {
    let jira = FakeJira::cloud();
    let server = start(&jira, FEEDBACK);
    server.at().ticket(&ticket(KEY, "payments"));
    server.at().settled(KEY, "proposed");
    told(&server, &jira, 1);
    for round in 1..=3 {
        super::plan_again(&server, KEY);
        server.upstream.write("main", &format!("round-{round}.md"), "x\n");
    }
    server.at().nothing_owed();
    server.at().settled(KEY, "proposed");
    told(&server, &jira, 1);
}

#[test]
fn a_kill_between_an_effect_and_its_record_costs_a_look_and_no_second_comment() {
    for point in ["tell.begun", "tell.begun:2", "tell.acted", "tell.acted:2", "tell.acted:3", "tell.acted:5", "tell.settling"] {
        let jira = FakeJira::cloud();
        let mut server = prepare(&jira, FEEDBACK);
        server.set("KUBEOPS_FAILPOINT", point).run();
        let _ = server.at().jira(ticket(KEY, "payments").to_string().as_bytes());
        let status = server.wait();
        assert!(!status.success(), "{point}: it died, not ended: {status}");
        server.set("KUBEOPS_FAILPOINT", "").run();
        server.at().settled(KEY, "proposed");
        let said = told(&server, &jira, 1);
        assert!(said[0].contains("A change is proposed"), "{point}: {said:?}");
        let issue = eventually("it moved along", || Some(jira.issue(KEY)).filter(|issue| issue.status == "In Progress"));
        assert_eq!(issue.links.len(), 1, "{point}");
        assert_eq!(jira.changes().iter().filter(|change| change.field == "comment").count(), 1, "{point}");
        assert_eq!(jira.changes().iter().filter(|change| change.field == "status").count(), 1, "{point}");
    }
}

#[test]
fn jira_being_away_limited_or_dropping_replies_changes_nothing_in_the_end_and_holds_up_no_request() {
    let jira = FakeJira::cloud();
    let mut server = prepare(&jira, FEEDBACK);
    server.set("TASK_MAX_ATTEMPTS", "20").run();
    for fault in [Fault::DroppedAfter, Fault::TooMany(Some("1")), Fault::BadGateway, Fault::DroppedBefore] {
        jira.fail_after(1, fault);
    }
    server.at().ticket(&ticket(KEY, "payments"));
    let proposed = server.at().settled(KEY, "proposed");
    merge(&server, &proposed);
    server.at().settled(KEY, "merged");
    told(&server, &jira, 3);
    eventually("it moved along", || (jira.issue(KEY).status == "Done").then_some(()));
    assert!(jira.faults_are_over());
}

#[test]
fn what_jira_would_not_take_from_us_is_told_once_more_when_a_person_has_mended_it() {
    let jira = FakeJira::cloud();
    let mut server = prepare(&jira, FEEDBACK);
    server.secret("JIRA_TOKEN", "an old one");
    server.run();
    server.at().ticket(&ticket(KEY, "payments"));
    let request = server.at().settled(KEY, "proposed");
    eventually("a dead letter", || (server.at().get("/status")["dead_tasks"] == 1).then_some(()));
    assert_eq!(jira.issue(KEY).comments.len(), 0);

    server.secret("JIRA_TOKEN", TOKEN);
    let retry = format!("/requests/{}/retry", request["id"].as_str().expect("an id"));
    assert!(server.at().api("POST", &retry, None).status < 300);
    told(&server, &jira, 1);
    eventually("no dead letter", || (server.at().get("/status")["dead_tasks"] == 0).then_some(()));
    server.at().settled(KEY, "proposed");
}

#[test]
fn a_move_that_is_not_there_is_explained_with_those_that_are_and_the_rest_is_told() {
    let jira = FakeJira::cloud();
    let server = start(&jira, &FEEDBACK.replace("transition: In Progress", "transition: Shipped"));
    server.at().ticket(&ticket(KEY, "payments"));
    server.at().settled(KEY, "proposed");
    told(&server, &jira, 1);
    let request = eventually("the note", || {
        let request = server.at().settled(KEY, "proposed");
        request["timeline"].to_string().contains("(transition)").then_some(request)
    });
    let notes = request["timeline"].to_string();
    assert!(notes.contains("Shipped") && notes.contains("In Progress"), "{notes}");
    assert_eq!(jira.issue(KEY).status, "To Do");
}

#[test]
fn a_move_that_was_refused_is_made_when_it_is_asked_for_again() {
    let jira = FakeJira::cloud();
    let server = start(&jira, FEEDBACK);
    jira.workflow(Vec::new());
    server.at().ticket(&ticket(KEY, "payments"));
    server.at().settled(KEY, "proposed");
    told(&server, &jira, 1);
    let request = eventually("the note", || {
        let request = server.at().settled(KEY, "proposed");
        request["timeline"].to_string().contains("(transition)").then_some(request)
    });
    jira.workflow(vec![Step::new("11", "Start", &["To Do"], "In Progress", serde_json::json!({}))]);
    let retried = server.cli(&["requests", "retry", request["id"].as_str().expect("an id")]);
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    eventually("it moved along", || (jira.issue(KEY).status == "In Progress").then_some(()));
    told(&server, &jira, 1);
    let again = server.cli(&["requests", "retry", request["id"].as_str().expect("an id")]);
    assert!(!again.status.success(), "nothing is owed any more");
}

#[test]
fn words_of_one_s_own_and_what_went_wrong_arrive_at_the_ticket() {
    let jira = FakeJira::cloud();
    let feedback = &"  feedback:
    - channel: service-desk
      tell: [proposed, rejected, withdrawn, unchanged]
      on:
        proposed: { say: \"Number {{ pull.number }} for {{ parameters.team }}\", assignee: ACCOUNT }
        rejected: { say: \"This cannot be done: {{ message }}\", assignee: \"\" }
"
    .replace("ACCOUNT", ACCOUNT);
    let server = start(&jira, feedback);
    server.at().ticket(&ticket(KEY, "payments"));
    let request = server.at().settled(KEY, "proposed");
    let said = told(&server, &jira, 1);
    assert!(said[0].contains("Number 1 for payments") && said[0].contains("Pull request #1"), "{said:?}");
    assert_eq!(jira.issue(KEY).assignee.as_deref(), Some(ACCOUNT));
    assert!(!jira.issue(KEY).comments[0].is_public(), "only agents see it");
    let cancel = format!("/requests/{}/cancel", request["id"].as_str().expect("an id"));
    assert!(server.at().api("POST", &cancel, None).status < 300);
    let said = told(&server, &jira, 2);
    assert!(said[1].contains("What was asked for is no longer wanted"), "{said:?}");

    jira.add("OPS-43", "To Do");
    jira.person("OPS-43", |issue| issue.assignee = Some("ada".to_owned()));
    server.at().ticket(&ticket("OPS-43", "NOT A NAME"));
    server.at().settled("OPS-43", "rejected");
    eventually("the reasons, and nobody's", || {
        let issue = jira.issue("OPS-43");
        (issue.assignee.is_none() && issue.comments.iter().any(|comment| comment.body.to_string().contains("This cannot be done: "))).then_some(())
    });

    // The same is there already.
    jira.add("OPS-44", "To Do");
    jira.add("OPS-45", "To Do");
    server.at().ticket(&ticket("OPS-44", "shop"));
    let request = server.at().settled("OPS-44", "proposed");
    merge(&server, &request);
    server.at().settled("OPS-44", "merged");
    server.at().ticket(&ticket("OPS-45", "shop"));
    server.at().settled("OPS-45", "unchanged");
    eventually("it is told", || {
        jira.issue("OPS-45").comments.iter().any(|comment| comment.body.to_string().contains("There is nothing to change")).then_some(())
    });
}

#[test]
fn customers_of_a_service_desk_read_what_is_said_in_public() {
    let jira = FakeJira::cloud();
    let server = start(&jira, "  feedback: [{ channel: service-desk, public: true }]\n");
    server.at().ticket(&ticket(KEY, "payments"));
    server.at().settled(KEY, "proposed");
    told(&server, &jira, 1);
    assert!(jira.issue(KEY).comments[0].is_public());
}

#[test]
fn a_data_center_is_told_with_a_token_of_its_own() {
    let jira = FakeJira::data_center();
    let mut server = prepare(&jira, FEEDBACK);
    server.edit_resource("sources.yaml", |text| {
        let basic = format!("basic: {{ user: {EMAIL}, secret: JIRA_TOKEN }}");
        text.replace("deployment: cloud", "deployment: dataCenter").replace(&basic, "bearer: { secret: JIRA_TOKEN }")
    });
    server.run();
    server.at().ticket(&ticket(KEY, "payments"));
    server.at().settled(KEY, "proposed");
    let said = told(&server, &jira, 1);
    assert!(said[0].contains("A change is proposed"), "{said:?}");
    eventually("it moved along", || (jira.issue(KEY).status == "In Progress").then_some(()));
}

#[test]
fn a_kill_while_the_merge_is_told_moves_the_ticket_and_comments_once() {
    for point in ["tell.acted", "tell.acted:2", "tell.acted:3"] {
        let jira = FakeJira::cloud();
        let mut server = prepare(&jira, FEEDBACK);
        server.run();
        server.at().ticket(&ticket(KEY, "payments"));
        server.at().settled(KEY, "proposed");
        assert!(server.cli(&["pulls", "approve", "gitops#1"]).status.success());
        server.at().settled(KEY, "approved");
        told(&server, &jira, 2);
        server.terminate();
        // What is owed of the merge: link, comment, move.
        server.set("KUBEOPS_FAILPOINT", point).run();
        let _ = server.cli(&["pulls", "merge", "gitops#1"]);
        assert!(!server.wait().success(), "{point}: it died, not ended");
        server.set("KUBEOPS_FAILPOINT", "").run();
        server.at().settled(KEY, "merged");
        told(&server, &jira, 3);
        let issue = eventually("it moved along", || Some(jira.issue(KEY)).filter(|issue| issue.status == "Done"));
        assert_eq!((issue.links.len(), issue.resolution.as_deref()), (1, Some("Done")), "{point}");
        let count = |field: &str| jira.changes().iter().filter(|change| change.field == field).count();
        assert_eq!((count("comment"), count("status")), (3, 2), "{point}");
    }
}

#[test]
fn what_cannot_work_is_refused_at_load_with_its_place() {
    for (feedback, wanted) in [
        ("  feedback: [{ channel: servce-desk }]\n", "did you mean \"service-desk\"?"),
        ("  feedback: [{ channel: service-desk, on: { proposed: { say: \"{{ pul.number }}\" } } }]\n", "pul"),
        ("  feedback: [{ channel: service-desk, on: { proposed: { say: \"{{ pull.numbr }}\" } } }]\n", "there is no `pull.numbr`"),
        ("  feedback: [{ channel: service-desk, issue: \"event.\" }]\n", "not a valid CEL expression"),
        ("  feedback: [{ channel: service-desk }, { channel: service-desk }]\n", "write both into one entry"),
        ("  feedback: [{ channel: service-desk, tell: [propsed] }]\n", "feedback"),
    ] {
        let server = prepare(&FakeJira::cloud(), feedback);
        let refused = server.cli(&["check"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
        assert!(!refused.status.success() && said.contains(wanted) && said.contains("namespace-request.yaml:"), "{feedback}: {said}");
    }
}
