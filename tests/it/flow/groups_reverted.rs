//! A group is taken back whole: everything its members brought, once, and nothing of anybody else's.

use super::commands::{ADA, answer, comment, signed};
use super::github::World;
use super::groups::{BY_NAMESPACE, alerts, field, group, proposed, tree};
use super::heard::listening;
use super::storms::{merge, notification, prepare, tell};
use crate::support::fake_github::{FakeGithub, SLUG};
use crate::support::server::{TestServer, eventually};
use kubeops::types::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const REVERTED: &str = "  withdraw: { types: [alert.resolved], merged: revert }\n";

/// The word that these alerts are over; `round` tells one from the next.
fn resolved(alerts: &[Value], round: u32) -> Vec<Value> {
    let over = |alert: &Value| {
        let mut alert = alert.clone();
        alert["status"] = json!("resolved");
        let ended: Timestamp = alert["startsAt"].as_str().expect("a text").parse().expect("a time");
        alert["endsAt"] = json!(ended.plus(Duration::from_secs(round.into())).to_string());
        alert
    };
    alerts.iter().map(over).collect()
}

/// Says so, whether it was said before or not.
fn say(server: &TestServer, alerts: &[Value]) {
    let answered = server.at().alert(&notification(alerts));
    assert!(["202 accepted", "200 duplicate"].contains(&answered.word().as_str()), "{}", answered.text());
}

fn idle(server: &TestServer) {
    eventually("nothing is owed", || {
        let status = server.at().get("/status");
        (status["queued_tasks"] == 0 && status["pending_deliveries"] == 0).then_some(())
    });
}

fn messages(request: &Value) -> Vec<&str> {
    request["timeline"].as_array().expect("a timeline").iter().filter_map(|entry| entry["message"].as_str()).collect()
}

/// The files in which two trees differ.
fn differ(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    one.keys()
        .chain(other.keys())
        .filter(|path| one.get(*path) != other.get(*path))
        .cloned()
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// The request that takes this one back, the only one there is, once it is proposed.
fn undo(server: &TestServer, request: &Value) -> Value {
    let key = format!("revert of {}", field(request, "id"));
    let undo = server.at().settled(&key, "proposed");
    assert_eq!(server.at().requests_of(&key).len(), 1);
    assert_eq!(server.at().get(&format!("/requests/{}", field(request, "id")))["reverted_by"], undo["id"]);
    undo
}

#[test]
fn a_merged_group_is_taken_back_once_when_the_last_of_its_alerts_is_over_however_often_that_is_told() {
    let mut server = prepare(&format!("{BY_NAMESPACE}{REVERTED}"));
    server.run();
    let (web, api) = (alerts("web", 0, 3), alerts("api", 0, 2));
    tell(&server, &web);
    tell(&server, &api);
    let (request, other) = (proposed(&server, "web", 3), proposed(&server, "api", 2));
    merge(&server, &other);
    server.at().settled("api", "merged");
    let before = tree(&server, "main");
    // Its base moved: it is planned again before it is merged.
    let request = eventually("it stands on the new base", || {
        Some(group(&server, "web")).filter(|now| now["base"] != request["base"] || now["state"] == "proposed")
    });
    merge(&server, &request);
    server.at().settled("web", "merged");
    let with_it = tree(&server, "main");
    assert_eq!(differ(&before, &with_it).len(), 3);

    // Two of three are over, told twice and out of order: the group is still wanted.
    for round in [2, 1, 3] {
        say(&server, &resolved(&web[..2], round));
    }
    idle(&server);
    let merged = server.at().settled("web", "merged");
    assert_eq!((&merged["reverted_by"], server.at().all("/requests").len()), (&Value::Null, 2), "{merged:#}");
    assert!(messages(&merged).iter().any(|line| line.ends_with(": 1 others of its group are still wanted")), "{merged:#}");

    // The last one, by several senders at once.
    std::thread::scope(|scope| {
        for round in 4..8 {
            let (server, web) = (&server, &web);
            scope.spawn(move || say(server, &resolved(web, round)));
        }
    });
    let taken_back = undo(&server, &merged);
    idle(&server);
    let branch = field(&taken_back, "branch").to_owned();
    assert_eq!(tree(&server, &branch), before, "everything of its members, and nothing else");
    assert_eq!(server.upstream.git(&["rev-list", "--count", &format!("main..{branch}")]).trim(), "1");
    for again in 0..2 {
        let answered = server.at().api("POST", &format!("/requests/{}/revert", field(&merged, "id")), Some(&json!({ "reason": "once more" })));
        assert_eq!((answered.status, &answered.json()["id"]), (200, &taken_back["id"]), "{again}: {}", answered.text());
    }
    merge(&server, &taken_back);
    server.at().settled(&format!("revert of {}", field(&merged, "id")), "merged");
    say(&server, &resolved(&web, 9));
    idle(&server);
    assert_eq!(tree(&server, "main"), before);
    assert_eq!((server.at().all("/requests").len(), server.at().all("/pulls").len()), (3, 3));
    assert_eq!(server.at().settled("api", "merged")["reverted_by"], Value::Null, "the other group is nobody's business");
    server.upstream.fsck();
}

#[test]
fn a_reviewer_takes_a_merged_group_back_by_a_comment_and_says_so_twice() {
    let mut world = listening(World::prepare(FakeGithub::start()));
    world.github.repository(SLUG, |repository| repository.allow(ADA, "write"));
    world.server.edit_resource("autoscaler-maxed-out.yaml", |text| text.replacen("\nspec:\n", &format!("\nspec:\n{BY_NAMESPACE}"), 1));
    world.server.set("OBSERVE_SECONDS", "1").run();
    tell(&world.server, &alerts("web", 0, 3));
    let request = proposed(&world.server, "web", 3);
    let before = tree(&world.server, "main");
    // Merged over there with a merge commit, after somebody else's.
    let upstream = &world.server.upstream;
    upstream.git(&["update-ref", "refs/heads/main", field(&request, "branch")]);
    let tip = upstream.tip("main").expect("a tip").to_string();
    world.github.person(1, |pull| (pull.state, pull.merged, pull.merged_as) = ("closed", true, Some(tip.clone())));
    world.server.at().settled("web", "merged");
    let first = comment(&world, 1, ADA, "/kubeops revert the nodes are full");
    signed(&world, first, "+1");
    let taken_back = undo(&world.server, &request);
    let second = comment(&world, 1, ADA, "/kubeops revert the nodes are full, I said");
    signed(&world, second, "+1");
    for id in [first, second] {
        assert!(answer(&world, 1, id).contains(field(&taken_back, "id")));
    }
    world.server.at().nothing_owed();
    assert_eq!(undo(&world.server, &request)["id"], taken_back["id"]);
    assert_eq!(tree(&world.server, field(&taken_back, "branch")), before);
    let pulls = world.github.pulls();
    assert_eq!((pulls.len(), pulls[1].title.as_str()), (2, "Revert \"3 autoscalers of web\""));
    assert!(pulls[1].body.contains("the nodes are full"), "{}", pulls[1].body);
    world.server.upstream.fsck();
}
