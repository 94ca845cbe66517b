//! What is no longer wanted: alerts that resolve, tickets that are cancelled or gone, in whatever order the news comes.

use super::github::World;
use super::storms::{alert_in, merge, prepare, tell};
use crate::support::fake_github::FakeGithub;
use crate::support::server::{TestServer, change_id, eventually, ticket};
use serde_json::{Value, json};

/// The end of an alert, in this round.
pub(super) fn resolved(namespace: &str, name: &str, round: i64) -> Value {
    let mut alert = alert_in(namespace, name, 6, round);
    alert["status"] = json!("resolved");
    alert["endsAt"] = alert["startsAt"].clone();
    alert
}

/// What Alertmanager sends of one alert.
fn said(alert: &Value) -> String {
    json!({ "version": "4", "status": "firing", "receiver": "kubeops", "groupKey": "{}", "alerts": [alert] }).to_string()
}

fn pull(server: &TestServer, request: &Value) -> Value {
    server.at().get(&format!("/pulls/gitops/{}", request["pull"]["number"]))
}

fn messages(request: &Value) -> Vec<&str> {
    request["timeline"].as_array().expect("a timeline").iter().filter_map(|entry| entry["message"].as_str()).collect()
}

/// A ticket that moved to another status than the one that asks.
pub(super) fn moved_to(key: &str, status: &str, later_by: i64) -> Value {
    let mut ticket = ticket(key, "payments");
    ticket["timestamp"] = json!(ticket["timestamp"].as_i64().expect("a time") + later_by);
    ticket["changelog"]["id"] = json!(change_id(&[key, status, &later_by.to_string()]));
    for item in ticket["changelog"]["items"].as_array_mut().expect("items") {
        if item["field"] == "status" {
            item["toString"] = json!(status);
        }
    }
    ticket["issue"]["fields"]["status"]["name"] = json!(status);
    ticket
}

fn settled_without_tasks(server: &TestServer, key: &str, state: &str) -> Value {
    eventually(&format!("{key} is {state} and nothing is owed"), || {
        let request = server.at().settled(key, state);
        (request["tasks"] == json!([])).then_some(request)
    })
}

#[test]
fn an_alert_that_resolves_takes_its_open_pull_request_along_and_one_that_fires_again_opens_another() {
    let mut server = prepare("");
    server.run();
    let key = "prod-eu/web/storefront";
    tell(&server, &[alert_in("web", "storefront", 6, 1)]);
    let proposed = server.at().settled(key, "proposed");
    tell(&server, &[resolved("web", "storefront", 2)]);
    let withdrawn = settled_without_tasks(&server, key, "withdrawn");
    assert_eq!(withdrawn["message"], "withdrawn: the alert \"KubeHpaMaxedOut\" resolved");
    let closed = pull(&server, &withdrawn);
    assert_eq!(closed["state"], "closed");
    assert!(closed["comments"].to_string().contains("the alert \\\"KubeHpaMaxedOut\\\" resolved"), "{closed:#}");
    let branch = proposed["branch"].as_str().expect("a branch");
    assert_eq!(server.upstream.git(&["branch", "--list", branch]), "", "its branch is gone");

    tell(&server, &[alert_in("web", "storefront", 6, 3)]);
    let again = server.at().settled(key, "proposed");
    assert_eq!(again["generation"], 2);
    assert_ne!(again["branch"], proposed["branch"]);
}

#[test]
fn a_kill_before_it_is_kept_that_something_is_no_longer_wanted_changes_nothing_in_the_end() {
    for (open, point) in [("close", "retract.settling"), ("comment", "retract.said"), ("comment", "retract.settling")] {
        let mut server = prepare(&format!("  withdraw: {{ types: [alert.resolved], open: {open} }}\n"));
        server.set("KUBEOPS_FAILPOINT", point).run();
        let key = "prod-eu/web/storefront";
        tell(&server, &[alert_in("web", "storefront", 6, 1)]);
        let proposed = server.at().settled(key, "proposed");
        let _ = server.at().deliver(
            "alertmanager",
            &[("authorization", &format!("Bearer {}", server.alertmanager_token()))],
            said(&resolved("web", "storefront", 2)).as_bytes(),
        );
        let status = server.wait();
        assert!(!status.success(), "{point}: it died, not ended: {status}");
        server.set("KUBEOPS_FAILPOINT", "").run();
        let state = if open == "close" { "withdrawn" } else { "proposed" };
        let after = settled_without_tasks(&server, key, state);
        let comments = pull(&server, &proposed)["comments"].as_array().map_or(0, Vec::len);
        assert_eq!(comments, 1, "{point}, {open}: the reason is told once: {after:#}");
    }
}

#[test]
fn in_whatever_order_and_however_often_the_news_comes_the_newest_counts() {
    let mut server = prepare("");
    server.run();
    // It fires, resolves, and fires again with the next round; of each order all is told twice.
    let story = |name: &str| [alert_in("web", name, 6, 1), resolved("web", name, 2), alert_in("web", name, 6, 3), resolved("web", name, 4)];
    let mut orders: Vec<Vec<usize>> = Vec::new();
    for count in [3_usize, 4] {
        permutations(count, &mut Vec::new(), &mut orders);
    }
    for (number, order) in orders.iter().enumerate() {
        let story = story(&format!("hpa-{number}"));
        for at in order.iter().chain(order) {
            let _ =
                server.at().alert(&json!({ "version": "4", "status": "firing", "receiver": "kubeops", "groupKey": "{}", "alerts": [story[*at]] }));
        }
    }
    for (number, order) in orders.iter().enumerate() {
        let (key, wanted) = (format!("prod-eu/web/hpa-{number}"), order.len() == 3);
        let what = format!("{order:?} of {key} ends as it should");
        eventually(&what, || {
            let requests = server.at().requests_of(&key);
            let newest = requests.first().map(|request| request["state"].as_str().unwrap_or_default());
            let live = requests.iter().filter(|request| request["state"] == "proposed").count();
            match wanted {
                true => (live == 1 && newest == Some("proposed")).then_some(()),
                false => requests.iter().all(|request| request["state"] == "withdrawn").then_some(()),
            }
        });
    }
    let pulls = server.at().all("/pulls").into_iter().filter(|pull| pull["state"] == "open").count();
    assert_eq!(pulls, orders.iter().filter(|order| order.len() == 3).count(), "one open pull request for each that still fires, and no other");
}

/// Every order of `count` things.
fn permutations(count: usize, begun: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
    if begun.len() == count {
        return all.push(begun.clone());
    }
    for next in 0..count {
        if !begun.contains(&next) {
            begun.push(next);
            permutations(count, begun, all);
            begun.pop();
        }
    }
}

#[test]
fn what_becomes_of_an_open_pull_request_is_the_authors_to_say() {
    let mut server = prepare("  withdraw: { types: [alert.resolved], open: comment }\n");
    server.run();
    let key = "prod-eu/web/storefront";
    tell(&server, &[alert_in("web", "storefront", 6, 1)]);
    server.at().settled(key, "proposed");
    tell(&server, &[resolved("web", "storefront", 2)]);
    let said = eventually("the comment, and the note of it", || {
        let request = server.at().settled(key, "proposed");
        let said = messages(&request).iter().any(|message| message.ends_with("resolved; the pull request stays open"));
        let commented = pull(&server, &request)["comments"].to_string().contains("resolved`; the pull request stays open");
        (said && commented).then_some(request)
    });
    assert_eq!(pull(&server, &said)["state"], "open");
}

#[test]
fn a_pull_request_that_stays_open_does_so_while_its_change_is_made_again() {
    let mut world = World::prepare(FakeGithub::start());
    let automation = "autoscaler-maxed-out.yaml";
    world.server.edit_resource(automation, |text| text.replacen("\nspec:\n", "\nspec:\n  withdraw: { types: [alert.resolved], open: comment }\n", 1));
    world.server.run();
    let (server, key) = (&world.server, "prod-eu/web/storefront");
    let pull = |number: &Value| world.github.pulls().into_iter().find(|pull| number == pull.number).expect("a pull request");
    tell(server, &[alert_in("web", "storefront", 6, 1)]);
    let first = server.at().settled(key, "proposed");
    let number = &first["pull"]["number"];
    // The base moves, and the new change does not come through for a while.
    let through = server.place("pushes-come-through");
    server.upstream.install_hook("pre-receive", &format!("[ -e {0} ] || {{ touch {0}.not; kill -9 $PPID; }}", through.display()));
    let file = server.upstream.git(&["diff", "--name-only", &format!("main...{}", pull(number).head)]);
    let base = server.upstream.write("main", file.trim(), "# replaced by hand\n");
    eventually("it is pushed again", || server.place("pushes-come-through.not").exists().then_some(()));
    tell(server, &[resolved("web", "storefront", 2)]);
    eventually("the comment", || pull(number).comments.iter().any(|said| said.contains("resolved`; the pull request stays open")).then_some(()));
    assert_eq!(server.at().settled(key, "planned")["base"], json!(base));
    std::fs::write(through, "").expect("a file");
    let again = settled_without_tasks(server, key, "proposed");
    assert_eq!((&again["base"], &again["pull"]["number"]), (&json!(base), number));
    assert_eq!((pull(number).state, pull(number).comments.len()), ("open", 1), "{:?}", pull(number).comments);
}

#[test]
fn an_author_may_keep_what_is_open_without_a_word() {
    let mut server = prepare("  withdraw: { types: [alert.resolved], open: keep }\n");
    server.run();
    let key = "prod-eu/web/storefront";
    tell(&server, &[alert_in("web", "storefront", 6, 1)]);
    server.at().settled(key, "proposed");
    tell(&server, &[resolved("web", "storefront", 2), alert_in("web", "checkout", 6, 2)]);
    // What was told with it is done.
    server.at().settled("prod-eu/web/checkout", "proposed");
    let kept = settled_without_tasks(&server, key, "proposed");
    assert_eq!((&pull(&server, &kept)["state"], &pull(&server, &kept)["comments"]), (&json!("open"), &json!([])));
}

#[test]
fn a_ticket_that_is_deleted_takes_its_request_back() {
    let mut server = TestServer::prepare();
    server.edit_resource("namespace-request.yaml", |text| {
        text.replacen("  correlate:", "  withdraw: { types: [jira.issue.deleted] }\n  correlate:", 1)
    });
    server.run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    let mut deleted = ticket("OPS-1", "payments");
    deleted["webhookEvent"] = json!("jira:issue_deleted");
    deleted["timestamp"] = json!(deleted["timestamp"].as_i64().expect("a time") + 1000);
    deleted.as_object_mut().expect("an object").remove("changelog");
    assert_eq!(server.at().ticket(&deleted).word(), "202 accepted");
    let withdrawn = settled_without_tasks(&server, "OPS-1", "withdrawn");
    assert_eq!(withdrawn["message"], "withdrawn: OPS-1 was deleted");
    assert_eq!(pull(&server, &withdrawn)["state"], "closed");
}

#[test]
fn a_kill_after_the_comment_was_written_costs_a_look_and_no_second_one() {
    let mut server = prepare("  withdraw: { types: [alert.resolved], open: comment }\n");
    server.set("KUBEOPS_FAILPOINT", "retract.said").run();
    let key = "prod-eu/web/storefront";
    tell(&server, &[alert_in("web", "storefront", 6, 1)]);
    server.at().settled(key, "proposed");
    let body = json!({ "version": "4", "status": "resolved", "receiver": "kubeops", "groupKey": "{}", "alerts": [resolved("web", "storefront", 2)] });
    let _ = server.at().alert(&body);
    let status = server.wait();
    assert!(!status.success(), "it died, not ended: {status}");
    server.set("KUBEOPS_FAILPOINT", "").run();
    let request = settled_without_tasks(&server, key, "proposed");
    assert_eq!(pull(&server, &request)["comments"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_merged_change_stays_and_the_timeline_says_that_its_alert_resolved() {
    let mut server = prepare("");
    server.run();
    let key = "prod-eu/web/storefront";
    tell(&server, &[alert_in("web", "storefront", 6, 1)]);
    merge(&server, &server.at().settled(key, "proposed"));
    server.at().settled(key, "merged");
    tell(&server, &[resolved("web", "storefront", 2)]);
    eventually("the note", || {
        let request = server.at().settled(key, "merged");
        messages(&request).iter().any(|message| message.ends_with("resolved; the change is merged and stays")).then_some(())
    });
}

#[test]
fn a_member_whose_alert_resolves_leaves_its_group_and_the_last_one_ends_it() {
    let mut server = prepare("  group: { by: event.data.labels.namespace, most: 50 }\n");
    server.run();
    tell(&server, &[alert_in("web", "one", 6, 1), alert_in("web", "two", 6, 1)]);
    server.at().settled("web", "proposed");
    tell(&server, &[resolved("web", "one", 2)]);
    eventually("one member is left", || {
        let request = server.at().settled("web", "proposed");
        let left: Vec<&Value> = request["members"].as_array()?.iter().filter(|member| member["state"] == "active").collect();
        (left.len() == 1 && left[0]["correlation"] == "prod-eu/web/two" && request["tasks"] == json!([])).then_some(())
    });
    tell(&server, &[resolved("web", "two", 2)]);
    let ended = settled_without_tasks(&server, "web", "withdrawn");
    assert_eq!(pull(&server, &ended)["state"], "closed");
}

#[test]
fn what_a_sender_wrote_is_no_markup_where_a_reviewer_reads_it() {
    const STATUS: &str = "@acme/everyone [free](https://evil.example) <img src=x> closes #1 ` _now_";
    for (lines, closed) in [("", true), ("    open: comment\n", false)] {
        let mut server = TestServer::prepare();
        server.edit_resource("namespace-request.yaml", |text| {
            text.replacen("  correlate:", &format!("  withdraw:\n    when: event.data.transition.to != \"Approved\"\n{lines}  correlate:"), 1)
        });
        server.run();
        server.at().ticket(&ticket("OPS-1", "payments"));
        let proposed = server.at().settled("OPS-1", "proposed");
        server.at().ticket(&moved_to("OPS-1", STATUS, 1000));
        let said = eventually("the comment", || pull(&server, &proposed)["comments"].as_array()?.first()?["body"].as_str().map(str::to_owned));
        // A code span that the text cannot end: with a backtick in it, it is fenced by two.
        let span = said.split("``").nth(1).unwrap_or_default();
        assert!(span.contains("@acme/everyone [free](https://evil.example) <img src=x> closes #1 ` _now_"), "{closed}: {said}");
    }
}

#[test]
fn a_cancelled_ticket_takes_its_request_back_and_an_approval_that_comes_late_opens_nothing() {
    let mut server = TestServer::prepare();
    server.edit_resource("namespace-request.yaml", |text| {
        text.replacen("  correlate:", "  withdraw:\n    when: event.data.transition.to in [\"Cancelled\", \"Waiting for approval\"]\n  correlate:", 1)
    });
    server.run();
    for (key, status) in [("OPS-1", "Cancelled"), ("OPS-2", "Waiting for approval")] {
        assert_eq!(server.at().ticket(&ticket(key, "payments")).word(), "202 accepted");
        server.at().settled(key, "proposed");
        assert_eq!(server.at().ticket(&moved_to(key, status, 1000)).word(), "202 accepted");
        let withdrawn = settled_without_tasks(&server, key, "withdrawn");
        assert_eq!(withdrawn["message"], format!("withdrawn: {key} moved to {status:?}"));
    }
    // The cancellation overtook the approval.
    assert_eq!(server.at().ticket(&moved_to("OPS-3", "Cancelled", 1000)).word(), "202 accepted");
    assert_eq!(server.at().ticket(&ticket("OPS-3", "payments")).word(), "202 accepted");
    let event = eventually("the approval is recorded", || {
        server.at().all("/events").into_iter().find(|event| event["subject"] == "OPS-3" && event["decisions"].to_string().contains("a newer event"))
    });
    assert!(event["decisions"].to_string().contains("no request was opened: a newer event about \\\"OPS-3\\\" came before this one"), "{event:#}");
    assert!(server.at().requests_of("OPS-3").is_empty());
}

#[test]
fn an_event_that_asks_cannot_take_back_by_itself() {
    let server = TestServer::prepare();
    server.edit_resource("namespace-request.yaml", |text| text.replacen("  correlate:", "  withdraw: {}\n  correlate:", 1));
    let refused = server.cli(&["check"]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(said.contains("neither `types` nor `when` tells them apart"), "{said}");
    assert!(said.contains("namespace-request.yaml:"), "{said}");
}
