//! Commands that do not go as usual: asking again for what failed or was rejected, values that a policy denies, and a GitHub that allows
//! no sign.

use super::commands::{ADA, EVE, answer, answers, comment, manifest, messages, pull, ready, said, signed, start, write};
use super::edits::{DEPLOYMENT, PATH, replicas};
use super::github::World;
use super::heard::{tell, try_to_tell};
use super::policies::POLICIES;
use crate::support::fake_github::{Fault, SLUG};
use crate::support::server::{TestServer, eventually, ticket};
use serde_json::{Value, json};

/// A world whose tickets set replicas, of which policies allow five at most.
fn with_policies() -> World {
    let mut world = ready();
    world.server.upstream.write("main", PATH, DEPLOYMENT);
    world.server.edit_resource("policies.yaml", |_| POLICIES.to_owned());
    world.server.set("RESOURCES_RELOAD_SECONDS", "1").run();
    world
}

/// From now on so many replicas are allowed.
fn allow(server: &TestServer, most: u32) {
    let loaded = || server.at().get("/status")["resources"]["loaded_at"].clone();
    let before = loaded();
    server.edit_resource("policies.yaml", |_| POLICIES.replace("most: 5", &format!("most: {most}")));
    eventually("the policy is in force", || (loaded() != before).then_some(()));
}

fn replicas_of(world: &World, key: &str, wanted: f64) -> Value {
    assert_eq!(world.server.at().ticket(&replicas(key, "web", wanted)).word(), "202 accepted");
    world.server.at().settled(key, "proposed")
}

fn open_pulls(world: &World) -> Vec<u64> {
    world.github.pulls().iter().filter(|pull| pull.state == "open").map(|pull| pull.number).collect()
}

#[test]
fn a_value_that_a_policy_denies_is_not_set_and_the_answer_names_the_policy() {
    let world = with_policies();
    let before = replicas_of(&world, "OPS-1", 3.0);
    let (number, branch) = (before["pull"]["number"].as_u64().expect("a number"), before["branch"].as_str().expect("a branch").to_owned());
    let (tip, shown) = (world.server.upstream.tip(&branch), pull(&world, number));
    // It fits the schema, which allows twenty.
    let id = comment(&world, number, ADA, "/kubeops set replicas=9");
    signed(&world, id, "confused");
    let denied = answer(&world, number, id);
    for part in ["Nothing was changed", "`policy.replica-limit`", "at most 5 replicas; ask for fewer", "to more than twice as many"] {
        assert!(denied.contains(part), "{part}: {denied}");
    }
    let after = world.server.at().settled("OPS-1", "proposed");
    let now = pull(&world, number);
    assert_eq!((&after["commit"], &after["parameters"], &after["findings"]), (&before["commit"], &before["parameters"], &before["findings"]));
    assert_eq!((world.server.upstream.tip(&branch), now.title, now.body), (tip, shown.title, shown.body), "nothing was pushed or written");
    assert!(!messages(&after).contains("to be planned again"), "{after:#}");

    // It can be steered as before.
    let id = comment(&world, number, ADA, "/kubeops set replicas=4");
    signed(&world, id, "+1");
    eventually("it is proposed with 4", || world.server.upstream.show(PATH, &branch).contains("replicas: 4").then_some(()));
    assert_eq!(world.server.at().settled("OPS-1", "proposed")["parameters"]["replicas"], 4);
    assert_eq!(open_pulls(&world), [number]);
}

#[test]
fn what_a_policy_has_rejected_meanwhile_is_asked_for_again_by_a_comment_once_it_is_allowed() {
    let world = with_policies();
    allow(&world.server, 6);
    let first = replicas_of(&world, "OPS-1", 4.0);
    let number = first["pull"]["number"].as_u64().expect("a number");
    allow(&world.server, 3);
    let id = comment(&world, number, ADA, "/kubeops rebase");
    signed(&world, id, "+1");
    let rejected = world.server.at().settled("OPS-1", "rejected");
    assert!(rejected["message"].as_str().is_some_and(|message| message.contains("at most 3 replicas")), "{rejected:#}");
    eventually("its pull request is closed", || (pull(&world, number).state == "closed").then_some(()));
    world.server.at().nothing_owed();

    // Still denied: it is rejected once more, and no pull request is opened.
    let id = comment(&world, number, ADA, "/kubeops retry");
    signed(&world, id, "+1");
    world.server.at().settled("OPS-1", "rejected");
    assert_eq!(open_pulls(&world), [] as [u64; 0]);
    allow(&world.server, 5);
    let id = comment(&world, number, ADA, "/kubeops retry");
    signed(&world, id, "+1");
    let again = world.server.at().settled("OPS-1", "proposed");
    assert_eq!(again["id"], first["id"]);
    assert!(answer(&world, number, id).contains("asked for again"));
    // The same comment told in another delivery is done once.
    let mut told = said(SLUG, number, id, ADA, "/kubeops retry");
    told["sender"] = json!({ "login": "another" });
    assert_eq!(tell(&world, "issue_comment", &told), "202 accepted");
    world.server.at().nothing_owed();
    assert_eq!(messages(&again).matches("asked for again").count(), 2, "{again:#}");
    let traced = world.server.at().get(&format!("/trace/gitops%23{number}"));
    assert_eq!(traced["requests"][0]["request"]["id"], first["id"], "the former pull request leads there as well");
    assert_eq!(open_pulls(&world), [again["pull"]["number"].as_u64().expect("a number")]);
    let late = comment(&world, number, ADA, "/kubeops retry");
    signed(&world, late, "confused");
    assert!(answer(&world, number, late).contains("only what failed, was rejected or declined"));
}

#[test]
fn what_github_refused_in_the_middle_is_asked_for_again_by_a_comment_on_its_pull_request() {
    let world = start();
    let first = world.proposed("OPS-1", "payments");
    let before = world.server.at().settled("OPS-1", "proposed");
    // Planned again with another value, and GitHub does not let us write any more.
    world.git.refuse(Some(crate::support::upstream::Refusal::Pushes("Permission to acme/gitops.git denied to kubeops-bot.")));
    world.github.repository(SLUG, |repository| repository.may_push = false);
    let id = comment(&world, first.number, ADA, "/kubeops set cpu=12");
    let failed = world.server.at().settled("OPS-1", "failed");
    assert!(failed["message"].as_str().is_some_and(|message| message.contains("may be read but not written by this token")), "{failed:#}");
    signed(&world, id, "+1");
    assert_eq!((open_pulls(&world), &failed["pull"]), (vec![first.number], &before["pull"]), "its pull request stays");

    world.git.refuse(None);
    world.github.repository(SLUG, |repository| repository.may_push = true);
    let id = comment(&world, first.number, ADA, "/kubeops retry");
    signed(&world, id, "+1");
    let again = world.server.at().settled("OPS-1", "proposed");
    assert!(manifest(&world, &again).contains("12"), "what was set is kept: {}", manifest(&world, &again));
    assert_eq!((open_pulls(&world), &again["pull"]["number"]), (vec![first.number], &json!(first.number)), "{again:#}");
    assert_eq!(messages(&again).matches("asked for again").count(), 1, "{again:#}");
    assert_eq!(world.github.pulls().len(), 1);
}

#[test]
fn what_was_rejected_or_failed_before_there_was_a_pull_request_is_asked_for_again_by_command_line_and_api_once() {
    let world = with_policies();
    world.server.at().ticket(&replicas("OPS-1", "web", 4.0));
    world.server.at().settled("OPS-1", "proposed");
    world.server.at().ticket(&replicas("OPS-2", "web", 6.0));
    let rejected = world.server.at().settled("OPS-2", "rejected");
    world.github.fail(Fault::Forbidden);
    assert_eq!(world.server.at().ticket(&ticket("OPS-3", "payments")).word(), "202 accepted");
    let failed = world.server.at().settled("OPS-3", "failed");
    assert_eq!((&rejected["pull"], &failed["pull"], open_pulls(&world).len()), (&Value::Null, &Value::Null, 1));
    let id = |request: &Value| request["id"].as_str().expect("an id").to_owned();
    // The denial still stands: asked for again, it is rejected again.
    allow(&world.server, 4);
    let asked = world.server.cli(&["requests", "retry", &id(&rejected)]);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let twice = eventually("it was looked at again", || {
        let request = world.server.at().settled("OPS-2", "rejected");
        (messages(&request).matches("\"to\":\"rejected\"").count() == 2).then_some(request)
    });
    assert!(messages(&twice).contains("at most 4 replicas"), "{twice:#}");

    let retry = format!("/requests/{}/retry", id(&failed));
    let answered = world.server.at().api("POST", &retry, None);
    assert!(answered.status < 300, "{}", answered.text());
    let proposed = world.server.at().settled("OPS-3", "proposed");
    world.server.at().nothing_owed();
    let late = world.server.at().api("POST", &retry, None);
    assert_eq!(late.status, 409, "{}", late.text());
    assert!(late.text().contains("only what failed, was rejected or declined is asked for again"), "{}", late.text());
    let told = world.server.cli(&["requests", "retry", &id(&failed)]);
    assert!(!told.status.success() && String::from_utf8_lossy(&told.stderr).contains("is proposed; only what failed"));
    assert_eq!((proposed["id"] == failed["id"], world.github.pulls().len()), (true, 2));
    assert_eq!(messages(&world.server.at().settled("OPS-3", "proposed")).matches("asked for again").count(), 1);
}

#[test]
fn where_github_allows_no_sign_the_answer_is_written_and_words_stand_for_the_sign() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    world.github.repository(SLUG, |repository| repository.may_react = false);
    let explain = comment(&world, number, ADA, "/kubeops explain");
    assert!(answer(&world, number, explain).contains("`OPS-1`"));
    let hold = comment(&world, number, ADA, "/kubeops hold not today\n/kubeops release");
    let in_words = answer(&world, number, hold);
    assert!(in_words.contains("👍 Done: `/kubeops hold not today`, `/kubeops release`."), "{in_words}");
    let refused = comment(&world, number, ADA, "/kubeops set cpu=lots");
    assert!(answer(&world, number, refused).contains("Nothing was changed"));
    let stranger = comment(&world, number, EVE, "/kubeops close");
    world.server.at().nothing_owed();

    let request = world.server.at().settled("OPS-1", "proposed");
    let lines: Vec<&str> = request["timeline"].as_array().expect("a timeline").iter().filter_map(|entry| entry["message"].as_str()).collect();
    for id in [explain, hold, refused] {
        let told = format!("comment {id} got no sign, because ");
        let noted: Vec<_> = lines.iter().filter(|line| line.starts_with(&told)).collect();
        assert!(noted.len() == 1 && noted[0].contains("Resource not accessible by personal access token"), "{lines:#?}");
    }
    let of_stranger: Vec<_> = lines.iter().filter(|line| line.contains(&format!("comment {stranger}"))).collect();
    assert!(of_stranger.len() == 1 && of_stranger[0].contains("eve may not write") && of_stranger[0].contains("got no sign"), "{lines:#?}");
    assert_eq!(answers(&world, number, stranger), [] as [&str; 0]);
    assert_eq!((world.server.at().get("/status")["dead_tasks"].clone(), &request["tasks"]), (json!(0), &json!([])));
    assert_eq!(pull(&world, number).comments.len(), 3, "{:?}", pull(&world, number).comments);

    // The right is given: signs are back, and nothing of before is said again.
    world.github.repository(SLUG, |repository| repository.may_react = true);
    let help = comment(&world, number, ADA, "/kubeops rebase");
    signed(&world, help, "+1");
    assert_eq!(pull(&world, number).comments.len(), 3);
}

#[test]
fn a_kill_around_a_sign_that_is_not_allowed_leaves_one_answer_and_one_line() {
    for point in ["command.kept", "command.reacted", "command.answered", "command.settling"] {
        let mut world = ready();
        world.github.repository(SLUG, |repository| repository.may_react = false);
        world.server.set("KUBEOPS_FAILPOINT", point).run();
        let number = world.proposed("OPS-1", "payments").number;
        let id = write(&world, number, ADA, "/kubeops hold");
        let _ = try_to_tell(&world, "issue_comment", &said(SLUG, number, id, ADA, "/kubeops hold"));
        let status = world.server.wait();
        assert!(!status.success(), "{point}: it died, not ended: {status}");
        world.server.set("KUBEOPS_FAILPOINT", "").run();
        assert!(answer(&world, number, id).contains("👍 Done: `/kubeops hold`."), "{point}");
        world.server.at().nothing_owed();
        let request = world.server.at().settled("OPS-1", "proposed");
        assert_eq!(messages(&request).matches(&format!("comment {id} got no sign")).count(), 1, "{point}: {request:#}");
        assert_eq!((answers(&world, number, id).len(), request["held"].is_object()), (1, true), "{point}");
    }
}
