//! Merged changes that are taken back: at the end of their time, because what asked for them is over, or because somebody wants it.

use super::applied;
use super::edits::{DEPLOYMENT, PATH, body, replicas};
use super::github::World;
use super::replicas::{CLOCK_TO_BE_SET, database, psql};
use super::storms::{self, alert_in, merge};
use super::told;
use crate::support::fake_github::FakeGithub;
use crate::support::fake_jira::FakeJira;
use crate::support::server::{TestServer, eventually, ticket};
use crate::support::warp::Warp;
use serde_json::{Value, json};

const HOUR: i64 = 3600;
const KEY: &str = "OPS-42";

/// A server whose automation for replicas has these further lines in its spec; nothing runs yet.
fn prepare(lines: &str) -> TestServer {
    let mut server = TestServer::prepare();
    server.upstream.write("main", PATH, DEPLOYMENT);
    server.edit_resource("replicas-request.yaml", |text| text.replacen("\nspec:\n", &format!("\nspec:\n{lines}"), 1));
    server.set("OBSERVE_SECONDS", "1");
    server
}

/// The same, running, with a clock that can be moved.
fn start(lines: &str) -> (TestServer, Warp) {
    let mut server = prepare(lines);
    let warp = Warp::of(&mut server);
    server.run();
    (server, warp)
}

fn six() -> String {
    DEPLOYMENT.replace("replicas: 2", "replicas: 6")
}

/// A ticket for six replicas, merged.
fn merged(server: &TestServer) -> Value {
    server.at().ticket(&replicas(KEY, "web", 6.0));
    merge(server, &server.at().settled(KEY, "proposed"));
    let merged = server.at().settled(KEY, "merged");
    assert_eq!(server.upstream.show(PATH, "main"), six());
    merged
}

fn id(request: &Value) -> &str {
    request["id"].as_str().expect("an id")
}

/// The key of what takes a request back.
fn revert_of(request: &Value) -> String {
    format!("revert of {}", id(request))
}

fn messages(request: &Value) -> Vec<&str> {
    request["timeline"].as_array().expect("a timeline").iter().filter_map(|entry| entry["message"].as_str()).collect()
}

fn comments(server: &TestServer, request: &Value) -> Vec<String> {
    let pull = server.at().get(&format!("/pulls/gitops/{}", request["pull"]["number"]));
    pull["comments"].as_array().expect("comments").iter().filter_map(|comment| comment["body"].as_str().map(str::to_owned)).collect()
}

fn revert(server: &TestServer, request: &Value, reason: &str) -> Value {
    let answered = server.at().api("POST", &format!("/requests/{}/revert", id(request)), Some(&json!({ "reason": reason })));
    assert!([200, 201].contains(&answered.status), "{}", answered.text());
    answered.json()
}

/// What was asked for was refused with this sentence.
fn refused(server: &TestServer, path: &str, body: Option<&Value>) -> String {
    let answered = server.at().api("POST", path, body);
    assert_eq!(answered.status, 409, "{}", answered.text());
    answered.json()["error"]["message"].as_str().expect("a sentence").to_owned()
}

#[test]
fn at_the_end_of_its_time_a_change_is_proposed_to_be_taken_back_and_people_were_reminded() {
    let (mut server, warp) = start("  ttl: 4h\n");
    let request = merged(&server);
    assert!(
        body(&server, &request).contains("- Time to live: wanted for 4h after the merge. Then KubeOps opens the pull request that takes it back")
    );
    let end = request["expires_at"].as_str().expect("an end").to_owned();
    // What waits for its hour is nobody's work, and nothing happens before it.
    eventually("nothing is owed", || (server.at().get("/status")["queued_tasks"] == 0).then_some(()));
    assert_eq!(comments(&server, &request), [] as [&str; 0]);

    warp.to(3 * HOUR + 40 * 60);
    let said = eventually("the reminder", || Some(comments(&server, &request)).filter(|said| !said.is_empty()));
    assert!(said[0].contains(&format!("ends at {end}")) && said[0].contains(&format!("kubeops requests extend {} 2h", id(&request))), "{said:?}");

    // It survives a restart, and the clock being set back for a while.
    server.terminate();
    warp.to(2 * HOUR);
    server.run();
    assert_eq!(server.at().settled(KEY, "merged")["expires_at"], end.as_str());
    warp.to(4 * HOUR + 60);
    let expired = server.at().settled(KEY, "expired");
    let undo = server.at().settled(&revert_of(&request), "proposed");
    assert_eq!(expired["message"], format!("its time to live is over: request {} takes it back", id(&undo)));
    assert_eq!((&expired["reverted_by"], &undo["reverts"]), (&undo["id"], &request["id"]));
    let branch = undo["branch"].as_str().expect("a branch");
    assert_eq!(server.upstream.show(PATH, branch), DEPLOYMENT, "the very bytes there were");
    let pull = server.at().get(&format!("/pulls/gitops/{}", undo["pull"]["number"]));
    assert_eq!(pull["title"], "Revert \"shop/web: 6 replicas (OPS-42)\"");
    assert_eq!(pull["labels"], json!(["replicas"]));
    let text = pull["body"].as_str().expect("a body");
    for part in [id(&request), "pull request #1, merged as `", "Why: `its time to live is over`", "`spec.replicas`: `6 -> 2`"] {
        assert!(text.contains(part), "{part} in {text}");
    }

    merge(&server, &undo);
    server.at().settled(&revert_of(&request), "merged");
    assert_eq!(server.upstream.show(PATH, "main"), DEPLOYMENT);
    // Nothing is done twice when the clock goes on, or back and once more over the end.
    warp.to(3 * HOUR);
    warp.to(9 * HOUR);
    eventually("nothing is owed", || (server.at().get("/status")["queued_tasks"] == 0).then_some(()));
    assert_eq!(server.at().all("/requests").len(), 2);
    assert_eq!(comments(&server, &request).len(), 1, "reminded once");
    server.upstream.fsck();
}

#[test]
fn at_the_local_forge_what_takes_a_change_back_is_merged_by_itself_once_a_person_approved_it() {
    let (server, warp) = start("  ttl: { after: 2h, from: merged, remind: 30m, autoMerge: squash }\n");
    let request = merged(&server);
    let by_itself = "opens the pull request that takes it back, which is merged by itself once a person has approved it.";
    assert!(body(&server, &request).contains(by_itself), "{}", body(&server, &request));
    warp.to(100 * 60);
    let said = eventually("the reminder", || Some(comments(&server, &request)).filter(|said| !said.is_empty()));
    assert!(said[0].contains("and merges it once a person has approved it"), "{said:?}");

    warp.to(2 * HOUR + 60);
    let undo = server.at().settled(&revert_of(&request), "proposed");
    assert!(body(&server, &undo).contains("- Merge: it is merged by itself once a person has approved it."), "{}", body(&server, &undo));
    assert_eq!(server.upstream.show(PATH, "main"), six(), "nobody has approved it yet");
    let pull = format!("gitops#{}", undo["pull"]["number"]);
    let approved = server.cli(&["pulls", "approve", &pull]);
    let told = String::from_utf8_lossy(&approved.stdout);
    assert!(approved.status.success() && told.contains(&format!("{pull} is merged, approved by flow")), "{told}");
    let undone = server.at().settled(&revert_of(&request), "merged");
    assert!(undone["timeline"].as_array().expect("a timeline").iter().any(|entry| entry["actor"] == "flow" && entry["to"] == "merged"), "{undone:#}");
    server.at().settled(KEY, "expired");
    assert_eq!(server.upstream.show(PATH, "main"), DEPLOYMENT);
    assert_eq!(server.upstream.git(&["log", "-1", "--format=%an", "main"]).trim(), "flow");
    server.upstream.fsck();
}

#[test]
fn who_needs_it_for_longer_says_so_and_is_reminded_of_the_new_end() {
    let (server, warp) = start("  ttl: { after: 2h, remind: 30m }\n");
    let request = merged(&server);
    let extend = format!("/requests/{}/extend", id(&request));
    warp.to(100 * 60);
    eventually("the reminder", || (comments(&server, &request).len() == 1).then_some(()));
    let extended = server.cli(&["requests", "extend", id(&request), "3h"]);
    assert!(extended.status.success(), "{}", String::from_utf8_lossy(&extended.stderr));
    let later = server.at().settled(KEY, "merged");
    assert!(String::from_utf8_lossy(&extended.stdout).contains(later["expires_at"].as_str().expect("an end")));
    assert!(messages(&later).iter().any(|message| message.starts_with("its time to live was extended by 3h, until ")), "{later:#}");

    warp.to(3 * HOUR);
    eventually("nothing is owed", || (server.at().get("/status")["queued_tasks"] == 0).then_some(()));
    assert_eq!(server.at().settled(KEY, "merged")["reverted_by"], Value::Null);
    warp.to(4 * HOUR + 40 * 60);
    eventually("the second reminder", || (comments(&server, &request).len() == 2).then_some(()));
    assert!(refused(&server, &extend, Some(&json!({ "by": "366d" }))).contains("366 days at most"));
    warp.to(5 * HOUR + 60);
    let expired = server.at().settled(KEY, "expired");
    let undo = server.at().settled(&revert_of(&request), "proposed");
    let sentence = refused(&server, &extend, Some(&json!({ "by": "1h" })));
    assert!(sentence.contains(&format!("is over: request {} takes it back", id(&undo))), "{sentence}");
    assert_eq!(expired["reverted_by"], undo["id"]);
}

#[test]
fn a_death_between_opening_and_noting_opens_no_second_one() {
    for point in ["clock.reminded", "revert.opened", "clock.settling:2"] {
        let mut server = prepare("  ttl: 2h\n");
        let warp = Warp::of(&mut server);
        server.set("KUBEOPS_FAILPOINT", point).run();
        let request = merged(&server);
        warp.to(HOUR + 55 * 60);
        if point != "clock.reminded" {
            eventually("the reminder", || (comments(&server, &request).len() == 1).then_some(()));
            warp.to(2 * HOUR + 60);
        }
        let status = server.wait();
        assert!(!status.success(), "{point}: it died, not ended: {status}");
        server.set("KUBEOPS_FAILPOINT", "").run();
        eventually("the reminder", || (comments(&server, &request).len() == 1).then_some(()));
        warp.to(2 * HOUR + 60);
        let undo = server.at().settled(&revert_of(&request), "proposed");
        assert_eq!(server.at().settled(KEY, "expired")["reverted_by"], undo["id"], "{point}");
        eventually("nothing is owed", || (server.at().get("/status")["queued_tasks"] == 0).then_some(()));
        assert_eq!((server.at().all("/requests").len(), server.at().all("/pulls").len()), (2, 2), "{point}");
        assert_eq!(comments(&server, &request).len(), 1, "{point}: reminded once");
    }
}

#[test]
fn where_a_process_dies_over_the_end_of_a_time_to_live_another_goes_on_and_all_of_it_comes_once() {
    for point in ["clock.reminded", "revert.opened", "clock.settling:2"] {
        let database = database();
        psql(&database, CLOCK_TO_BE_SET);
        let minutes = |ahead: u32| psql(&database, &format!("UPDATE warped.clock SET ahead = '{ahead} minutes'"));
        let mut server = prepare("  ttl: 2h\n");
        server.set("STORE_URL", database.address()).set("LEASE_SECONDS", "3").set("KUBEOPS_FAILPOINT", point).run();
        let request = merged(&server);
        server.set("KUBEOPS_FAILPOINT", "");
        let second = server.replica("second");
        // It sleeps until the first has died over it.
        second.signal("STOP");
        minutes(115);
        if point != "clock.reminded" {
            eventually("the reminder", || (comments(&server, &request).len() == 1).then_some(()));
            minutes(121);
        }
        let status = server.wait();
        assert!(!status.success(), "{point}: it died, not ended: {status}");
        second.signal("CONT");
        minutes(121);
        let undo = second.at().settled(&revert_of(&request), "proposed");
        assert_eq!(second.at().settled(KEY, "expired")["reverted_by"], undo["id"], "{point}");
        // And with both there, nothing is done again.
        server.run();
        second.at().nothing_owed();
        assert_eq!((server.at().all("/requests").len(), server.at().all("/pulls").len()), (2, 2), "{point}");
        assert_eq!(comments(&server, &request).len(), 1, "{point}: reminded once");
    }
}

#[test]
fn what_the_clock_opened_before_an_extension_is_withdrawn_and_the_new_end_counts() {
    let mut server = prepare("  ttl: 2h\n");
    let warp = Warp::of(&mut server);
    server.set("KUBEOPS_FAILPOINT", "revert.opened").run();
    let request = merged(&server);
    warp.to(2 * HOUR + 60);
    assert!(!server.wait().success(), "it died once it had opened what takes the change back");
    // Its end is ahead once more, and what was opened for it is there.
    warp.to(HOUR);
    server.set("KUBEOPS_FAILPOINT", "").run();
    let early = server.at().settled(&revert_of(&request), "proposed");
    server.at().settled(KEY, "merged");
    let extended = server.cli(&["requests", "extend", id(&request), "10h"]);
    assert!(extended.status.success(), "{}", String::from_utf8_lossy(&extended.stderr));
    let withdrawn = server.at().settled(&revert_of(&request), "withdrawn");
    assert_eq!(withdrawn["id"], early["id"]);
    let end = server.at().settled(KEY, "merged")["expires_at"].as_str().expect("an end").to_owned();
    let said = withdrawn["message"].as_str().expect("a message");
    assert_eq!(said, format!("withdrawn by kubeops: extended: request {} is wanted until {end}", id(&request)));
    eventually("its pull request is closed", || {
        (server.at().get(&format!("/pulls/gitops/{}", early["pull"]["number"]))["state"] == "closed").then_some(())
    });
    warp.to(11 * HOUR);
    eventually("nothing is owed", || (server.at().get("/status")["queued_tasks"] == 0).then_some(()));
    assert_eq!(server.at().all("/requests").len(), 2, "nothing was opened for the former end");
    warp.to(13 * HOUR);
    server.at().settled(KEY, "expired");
    let undo = server.at().requests_of(&revert_of(&request)).remove(0);
    assert_ne!(undo["id"], early["id"]);
}

#[test]
fn what_a_person_wants_back_is_not_extended() {
    let (server, _warp) = start("  ttl: 2h\n");
    let request = merged(&server);
    revert(&server, &request, "it made things worse");
    let undo = server.at().settled(&revert_of(&request), "proposed");
    let extend = format!("/requests/{}/extend", id(&request));
    let sentence = refused(&server, &extend, Some(&json!({ "by": "1h" })));
    assert_eq!(
        sentence,
        format!("request {0} takes {1} back, and not for its time: `kubeops requests cancel {0}` keeps the change", id(&undo), id(&request))
    );
    merge(&server, &undo);
    server.at().settled(&revert_of(&request), "merged");
    let sentence = refused(&server, &extend, Some(&json!({ "by": "1h" })));
    assert!(sentence.contains("its change is in the base no longer"), "{sentence}");
}

#[test]
fn a_death_after_a_person_asked_leaves_one_and_it_is_noted_later() {
    let mut server = prepare("");
    server.set("KUBEOPS_FAILPOINT", "revert.opened").run();
    let request = merged(&server);
    let _ = server.cli(&["requests", "revert", id(&request)]);
    assert!(!server.wait().success());
    server.set("KUBEOPS_FAILPOINT", "").run();
    let undo = server.at().settled(&revert_of(&request), "proposed");
    assert_eq!(server.at().settled(KEY, "merged")["reverted_by"], undo["id"]);
    assert_eq!(revert(&server, &request, "again")["id"], undo["id"]);
    assert_eq!(server.at().all("/requests").len(), 2);
}

#[test]
fn a_person_takes_a_merged_change_back_and_nothing_else() {
    let mut server = prepare("");
    server.run();
    server.at().ticket(&replicas(KEY, "web", 6.0));
    let proposed = server.at().settled(KEY, "proposed");
    let sentence = refused(&server, &format!("/requests/{}/extend", id(&proposed)), Some(&json!({ "by": "1h" })));
    assert_eq!(sentence, format!("{} is proposed, and has no time to live: its change is wanted for good", id(&proposed)));
    let path = format!("/requests/{}/revert", id(&proposed));
    let sentence = refused(&server, &path, None);
    assert_eq!(sentence, format!("{0} is proposed, and not merged: `kubeops requests cancel {0}` withdraws it", id(&proposed)));
    merge(&server, &proposed);
    let request = server.at().settled(KEY, "merged");
    // Others went on, in the same file too.
    server.upstream.write("main", PATH, &six().replace("1.4.2", "1.5.0"));

    let asked = server.cli(&["requests", "revert", id(&request), "--reason", "it made things worse"]);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let undo = server.at().settled(&revert_of(&request), "proposed");
    assert!(String::from_utf8_lossy(&asked.stdout).contains(id(&undo)));
    assert!(body(&server, &undo).contains("Why: `flow asked for it: it made things worse`"), "{}", body(&server, &undo));
    assert_eq!(server.upstream.show(PATH, undo["branch"].as_str().expect("a branch")), DEPLOYMENT.replace("1.4.2", "1.5.0"));
    let noted = server.at().settled(KEY, "merged");
    assert_eq!(noted["reverted_by"], undo["id"]);
    assert!(messages(&noted).contains(&format!("request {} takes it back", id(&undo)).as_str()), "{noted:#}");

    // Once more it is the same one, also when it is merged; and that one can be taken back as well.
    assert_eq!(revert(&server, &request, "again"), json!({ "id": undo["id"], "status": "joined" }));
    merge(&server, &undo);
    let undone = server.at().settled(&revert_of(&request), "merged");
    assert_eq!(revert(&server, &request, "again"), json!({ "id": undo["id"], "status": "joined" }));
    revert(&server, &undone, "it was right");
    let redo = server.at().settled(&revert_of(&undone), "proposed");
    merge(&server, &redo);
    server.at().settled(&revert_of(&undone), "merged");
    assert_eq!(server.upstream.show(PATH, "main"), six().replace("1.4.2", "1.5.0"));
    // What is in force again may be taken back again.
    assert_eq!(revert(&server, &request, "after all")["status"], "opened");
}

#[test]
fn what_somebody_changed_since_is_left_and_told() {
    let mut server = prepare("");
    server.run();
    let request = merged(&server);
    server.upstream.write("main", PATH, &six().replace("replicas: 6", "replicas: 9"));
    revert(&server, &request, "no longer needed");
    let undo = server.at().settled(&revert_of(&request), "unchanged");
    assert_eq!(undo["message"], "there is nothing to take back: somebody else has changed since what it changed");
    let finding = &undo["findings"][0];
    assert_eq!((&finding["rule"], &finding["path"]), (&json!("revert.left"), &json!(PATH)), "{undo:#}");
    assert!(finding["message"].as_str().is_some_and(|message| message.contains("`spec.replicas` says something else by now: it stays")), "{finding}");
    // Put back by hand there is nothing to say.
    server.upstream.write("main", PATH, DEPLOYMENT);
    revert(&server, &request, "once more");
    let undo = eventually("the second one", || Some(server.at().settled(&revert_of(&request), "unchanged")).filter(|undo| undo["generation"] == 2));
    assert!(undo["message"].as_str().is_some_and(|message| message.contains("holds none of it any more")), "{undo:#}");
    assert_eq!(server.at().all("/pulls").len(), 1);
}

#[test]
fn it_is_taken_back_also_when_its_automation_is_gone() {
    let (server, warp) = start("  ttl: 4h\n");
    let request = merged(&server);
    server.edit_resource("replicas-request.yaml", |_| String::new());
    eventually("the automation is gone", || {
        let names = server.at().get("/automations");
        (!names.to_string().contains("replicas-request")).then_some(())
    });
    warp.to(5 * HOUR);
    let undo = server.at().settled(&revert_of(&request), "proposed");
    assert_eq!(server.upstream.show(PATH, undo["branch"].as_str().expect("a branch")), DEPLOYMENT);
    // It follows the base as any other.
    server.upstream.write("main", PATH, &six().replace("1.4.2", "1.5.0"));
    eventually("it is planned on the new base", || {
        let branch = undo["branch"].as_str()?;
        (server.upstream.show(PATH, branch) == DEPLOYMENT.replace("1.4.2", "1.5.0")).then_some(())
    });
}

#[test]
fn an_alert_that_resolves_takes_its_merged_change_back_where_its_author_says_so() {
    let mut server = storms::prepare("  withdraw: { types: [alert.resolved], merged: revert }\n");
    server.run();
    let key = "prod-eu/web/storefront";
    storms::tell(&server, &[alert_in("web", "storefront", 6, 1)]);
    let before = server.upstream.git(&["rev-parse", "main^{tree}"]);
    merge(&server, &server.at().settled(key, "proposed"));
    let request = server.at().settled(key, "merged");
    let mut resolved = alert_in("web", "storefront", 6, 2);
    resolved["status"] = json!("resolved");
    resolved["endsAt"] = resolved["startsAt"].clone();
    storms::tell(&server, &[resolved.clone()]);
    let undo = server.at().settled(&revert_of(&request), "proposed");
    assert!(body(&server, &undo).contains("Why: `the alert \"KubeHpaMaxedOut\" resolved`"), "{}", body(&server, &undo));
    merge(&server, &undo);
    server.at().settled(&revert_of(&request), "merged");
    assert_eq!(server.upstream.git(&["rev-parse", "main^{tree}"]), before, "everything is as it was");
    assert_eq!(server.at().settled(key, "merged")["reverted_by"], undo["id"]);
}

#[test]
fn a_merge_that_was_not_known_when_the_alert_resolved_is_taken_back_as_well() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.edit_resource("autoscaler-maxed-out.yaml", |text| {
        text.replacen("\nspec:\n", "\nspec:\n  withdraw: { types: [alert.resolved], merged: revert }\n", 1)
    });
    world.server.set("OBSERVE_SECONDS", "3600").set("RECONCILE_SECONDS", "0");
    world.server.run();
    let at = world.server.at();
    let key = "prod-eu/web/storefront";
    storms::tell(&world.server, &[alert_in("web", "storefront", 6, 1)]);
    let proposed = at.settled(key, "proposed");
    let tree = |revision: &str| world.server.upstream.git(&["rev-parse", &format!("{revision}^{{tree}}")]);
    let before = tree("main");
    world.server.upstream.git(&["update-ref", "refs/heads/main", proposed["branch"].as_str().expect("a branch")]);
    let merged = world.server.upstream.tip("main").expect("a commit");
    world.github.person(1, |pull| (pull.state, pull.merged, pull.merged_as) = ("closed", true, Some(merged.to_string())));
    let mut resolved = alert_in("web", "storefront", 6, 2);
    resolved["status"] = json!("resolved");
    resolved["endsAt"] = resolved["startsAt"].clone();
    storms::tell(&world.server, &[resolved]);
    let undo = at.settled(&format!("revert of {}", id(&proposed)), "proposed");
    assert_eq!(tree(undo["branch"].as_str().expect("a branch")), before);
    assert_eq!(at.settled(key, "merged")["reverted_by"], undo["id"]);
}

#[test]
fn a_branch_that_cannot_be_deleted_does_not_make_a_merged_change_fail() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.upstream.write("main", PATH, DEPLOYMENT);
    world.server.upstream.git(&["config", "receive.denyDeletes", "true"]);
    world.server.edit_resource("replicas-request.yaml", |text| text.replacen("\nspec:\n", "\nspec:\n  ttl: 2h\n", 1));
    world.server.set("OBSERVE_SECONDS", "1").set("API_CALLS_PER_MINUTE", "100000").run();
    let (at, upstream) = (world.server.at(), &world.server.upstream);
    at.ticket(&replicas(KEY, "web", 6.0));
    let proposed = at.settled(KEY, "proposed");
    let branch = proposed["branch"].as_str().expect("a branch");
    upstream.git(&["update-ref", "refs/heads/main", branch]);
    let merged = upstream.tip("main").expect("a commit");
    world.github.person(1, |pull| (pull.state, pull.merged, pull.merged_as) = ("closed", true, Some(merged.to_string())));
    let given_up = eventually("cleaning up gave up", || {
        let request = at.settled(KEY, "merged");
        messages(&request).iter().any(|message| message.starts_with("withdraw failed after")).then_some(request)
    });
    assert!(given_up["expires_at"].is_string() && given_up["tasks"].to_string().contains("dead"), "{given_up:#}");
    // Once the server allows it, a person has it done.
    upstream.git(&["config", "receive.denyDeletes", "false"]);
    assert!(at.api("POST", &format!("/requests/{}/retry", id(&given_up)), None).status < 300);
    eventually("the branch is gone", || upstream.tip(branch).is_none().then_some(()));
    assert!(messages(&at.settled(KEY, "merged")).contains(&"what gave up is tried again: withdraw"));
}

#[test]
fn a_time_that_a_parameter_gives_begins_with_the_word_that_the_change_is_in_force() {
    let mut server = prepare("  ttl: { after: \"string(int(parameters.replicas)) + 'h'\", from: applied }\n");
    applied::listen(&server);
    let warp = Warp::of(&mut server);
    server.run();
    let request = merged(&server);
    assert_eq!((&request["changes"]["ttl"], &request["expires_at"]), (&json!("6h"), &Value::Null));
    // However long that takes.
    warp.to(20 * HOUR);
    let refused = refused(&server, &format!("/requests/{}/extend", id(&request)), Some(&json!({ "by": "2h" })));
    assert!(refused.contains("begins once it is in force"), "{refused}");
    let tip = server.upstream.tip("main").expect("a tip").to_string();
    let says = |second: &str| {
        let body = applied::notification("web", &tip, "Healthy", &json!({ "name": "prod-eu" }), &json!([]), second);
        assert_eq!(applied::tell_argocd(&server, &body).expect("an answer").word(), "202 accepted");
    };
    says("1");
    assert!(server.at().settled(KEY, "applied")["expires_at"].is_string());
    warp.to(25 * HOUR);
    server.at().settled(KEY, "applied");
    warp.to(26 * HOUR + 120);
    let undo = server.at().settled(&revert_of(&request), "proposed");
    assert_eq!(server.upstream.show(PATH, undo["branch"].as_str().expect("a branch")), DEPLOYMENT);
    assert_eq!(server.at().settled(KEY, "expired")["reverted_by"], undo["id"]);
}

#[test]
fn an_alert_that_fires_again_keeps_its_change_and_the_last_word_counts() {
    let mut server = storms::prepare("  withdraw: { types: [alert.resolved], merged: revert }\n");
    server.run();
    let key = "prod-eu/web/storefront";
    let tree = |server: &TestServer| server.upstream.git(&["rev-parse", "main^{tree}"]);
    let before = tree(&server);
    storms::tell(&server, &[alert_in("web", "storefront", 6, 1)]);
    merge(&server, &server.at().settled(key, "proposed"));
    let request = server.at().settled(key, "merged");
    let changed = tree(&server);
    let resolved = |minute| {
        let mut alert = alert_in("web", "storefront", 6, minute);
        alert["status"] = json!("resolved");
        alert["endsAt"] = alert["startsAt"].clone();
        alert
    };
    storms::tell(&server, &[resolved(2)]);
    let undo = server.at().settled(&revert_of(&request), "proposed");
    // It fires again before anybody merged that.
    storms::tell(&server, &[alert_in("web", "storefront", 6, 3)]);
    let given_up = server.at().settled(&revert_of(&request), "withdrawn");
    assert_eq!(given_up["id"], undo["id"]);
    let again = server.at().settled(key, "unchanged");
    assert!(
        given_up["message"]
            .as_str()
            .is_some_and(|message| message.contains("wanted again") && message.contains(again["id"].as_str().expect("an id")))
    );
    eventually("its branch is gone", || server.upstream.tip(undo["branch"].as_str()?).is_none().then_some(()));
    assert_eq!(tree(&server), changed);
    // Over for good: that the first attempt was given up is nobody's decision.
    storms::tell(&server, &[resolved(4)]);
    let undo = eventually("it is taken back once more", || {
        let newest = server.at().requests_of(&revert_of(&request)).into_iter().next()?;
        (newest["id"] != undo["id"] && newest["state"] == "proposed").then_some(newest)
    });
    merge(&server, &undo);
    server.at().settled(&revert_of(&request), "merged");
    assert_eq!(tree(&server), before);
}

#[test]
fn what_the_same_alert_changed_twice_is_taken_back_to_the_beginning() {
    let mut server = storms::prepare("  withdraw: { types: [alert.resolved], merged: revert }\n");
    server.run();
    let key = "prod-eu/web/storefront";
    let tree = |server: &TestServer| server.upstream.git(&["rev-parse", "main^{tree}"]);
    let before = tree(&server);
    let resolved = |replicas, minute| {
        let mut alert = alert_in("web", "storefront", replicas, minute);
        alert["status"] = json!("resolved");
        alert["endsAt"] = alert["startsAt"].clone();
        alert
    };
    let newest = |number: usize, state: &str| {
        eventually(&format!("request {number} of the alert is {state}"), || {
            let requests = server.at().requests_of(key);
            (requests.len() == number && requests[0]["state"] == state).then(|| requests[0].clone())
        })
    };
    storms::tell(&server, &[alert_in("web", "storefront", 6, 1)]);
    merge(&server, &newest(1, "proposed"));
    let first = newest(1, "merged");
    // It is over, and fires again with a higher limit before anybody merged what takes the first change back.
    storms::tell(&server, &[resolved(6, 2)]);
    server.at().settled(&revert_of(&first), "proposed");
    storms::tell(&server, &[alert_in("web", "storefront", 9, 3)]);
    server.at().settled(&revert_of(&first), "withdrawn");
    merge(&server, &newest(2, "proposed"));
    let second = newest(2, "merged");
    storms::tell(&server, &[resolved(9, 4)]);
    merge(&server, &server.at().settled(&revert_of(&second), "proposed"));
    server.at().settled(&revert_of(&second), "merged");
    // What the first changed shows again, and goes as well.
    merge(&server, &server.at().settled(&revert_of(&first), "proposed"));
    server.at().settled(&revert_of(&first), "merged");
    assert_eq!(tree(&server), before, "everything is as it was");
}

#[test]
fn a_change_that_a_person_wants_back_is_not_kept_because_its_alert_fires_again() {
    let mut server = storms::prepare("  withdraw: { types: [alert.resolved], merged: revert }\n");
    server.run();
    let key = "prod-eu/web/storefront";
    storms::tell(&server, &[alert_in("web", "storefront", 6, 1)]);
    merge(&server, &server.at().settled(key, "proposed"));
    let request = server.at().settled(key, "merged");
    revert(&server, &request, "it made things worse");
    let undo = server.at().settled(&revert_of(&request), "proposed");
    storms::tell(&server, &[alert_in("web", "storefront", 6, 2)]);
    server.at().settled(key, "unchanged");
    assert_eq!(server.at().settled(&revert_of(&request), "proposed")["id"], undo["id"]);
}

#[test]
fn what_takes_a_change_back_merges_by_itself_at_github_where_its_time_to_live_says_so() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.upstream.write("main", PATH, DEPLOYMENT);
    world.server.edit_resource("replicas-request.yaml", |text| text.replacen("\nspec:\n", "\nspec:\n  ttl: { after: 2h, autoMerge: squash }\n", 1));
    let warp = Warp::of(&mut world.server);
    world.server.run();
    let at = world.server.at();
    at.ticket(&replicas(KEY, "web", 6.0));
    let proposed = at.settled(KEY, "proposed");
    // Squashed by a person over there: one commit with other words.
    let branch = proposed["branch"].as_str().expect("a branch");
    let squashed = world.server.upstream.write("main", PATH, &world.server.upstream.show(PATH, branch));
    world.github.person(1, |pull| (pull.state, pull.merged, pull.merged_as) = ("closed", true, Some(squashed.to_string())));
    let request = at.settled(KEY, "merged");
    warp.to(HOUR + 55 * 60);
    eventually("the reminder", || world.github.pulls()[0].comments.iter().any(|said| said.contains("merges it once reviews")).then_some(()));
    warp.to(2 * HOUR + 60);
    let undo = at.settled(&revert_of(&request), "proposed");
    let pulls = world.github.pulls();
    assert_eq!((pulls.len(), pulls[1].auto_merge.as_deref(), pulls[1].draft), (2, Some("SQUASH"), false), "{pulls:#?}");
    assert!(pulls[1].body.contains("pull request #1"), "{}", pulls[1].body);
    assert_eq!(world.server.upstream.show(PATH, undo["branch"].as_str().expect("a branch")), DEPLOYMENT);
    assert_eq!(pulls[0].comments.len(), 1, "{:?}", pulls[0].comments);
}

#[test]
fn a_squash_is_taken_back_by_what_the_history_says_and_where_it_says_nothing_a_sentence_says_so() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.upstream.write("main", PATH, DEPLOYMENT);
    world.server.run();
    let at = world.server.at();
    let ended = |key: &str, number: u64, wanted: f64, known: bool| {
        at.ticket(&replicas(key, "web", wanted));
        let proposed = at.settled(key, "proposed");
        let branch = proposed["branch"].as_str().expect("a branch");
        let squashed = world.server.upstream.write("main", PATH, &world.server.upstream.show(PATH, branch));
        let merged_as = known.then(|| squashed.to_string());
        world.github.person(number, |pull| (pull.state, pull.merged, pull.merged_as) = ("closed", true, merged_as));
        at.settled(key, "merged")
    };
    let request = ended(KEY, 1, 6.0, true);
    world.server.upstream.write("main", "somebody.md", "x\n");
    revert(&world.server, &request, "it made things worse");
    let undo = at.settled(&revert_of(&request), "proposed");
    assert_eq!(world.server.upstream.show(PATH, undo["branch"].as_str().expect("a branch")), DEPLOYMENT);
    let pull = &world.github.pulls()[1];
    assert_eq!((pull.title.as_str(), pull.auto_merge.clone()), ("Revert \"shop/web: 6 replicas (OPS-42)\"", None));

    // A commit that nobody has.
    let unknown = ended("OPS-43", 3, 9.0, false);
    let sentence = refused(&world.server, &format!("/requests/{}/revert", id(&unknown)), None);
    assert!(sentence.ends_with("the history does not reach back to where it was merged; take it back by hand, with `git revert`"), "{sentence}");
    assert_eq!(at.requests_of(&revert_of(&unknown)).len(), 0);
}

#[test]
fn a_file_with_a_secret_cannot_be_taken_back_and_a_sentence_says_so() {
    let mut server = prepare("");
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: { name: web, namespace: shop }\nstringData: { password: hunter2 }\n";
    server.upstream.write("main", PATH, &format!("{DEPLOYMENT}{secret}"));
    server.edit_resource("replicas-request.yaml", |text| {
        let (before, rest) = text.split_once("  edit:").expect("an edit");
        let (_, after) = rest.split_once("  pullRequest:").expect("a pull request");
        format!("{before}  remove:\n    - file: \"apps/{{{{ parameters.namespace }}}}/{{{{ parameters.name }}}}.yaml\"\n  pullRequest:{after}")
    });
    server.run();
    server.at().ticket(&replicas(KEY, "web", 6.0));
    merge(&server, &server.at().settled(KEY, "proposed"));
    let request = server.at().settled(KEY, "merged");
    let sentence = refused(&server, &format!("/requests/{}/revert", id(&request)), None);
    assert!(sentence.contains("it holds a Secret, and the values of Secrets are not kept; take it back by hand"), "{sentence}");
    assert!(!server.log().contains("hunter2"));
}

#[test]
fn the_ticket_hears_that_its_time_is_nearly_over_and_of_the_end_and_stays_where_it_is() {
    let jira = FakeJira::cloud();
    let feedback = "  ttl: 2h
  feedback:
    - channel: service-desk
      tell: [merged, expiring, expired]
      on:
        merged: { transition: { to: Done, resolution: Done }, say: Your replicas are there. }
        proposed: { transition: In Progress }
";
    let mut server = told::prepare(&jira, "");
    server.upstream.write("main", PATH, DEPLOYMENT);
    server.edit_resource("replicas-request.yaml", |text| format!("{text}{feedback}"));
    let warp = Warp::of(&mut server);
    server.run();
    server.at().ticket(&replicas(KEY, "web", 6.0));
    merge(&server, &server.at().settled(KEY, "proposed"));
    let request = server.at().settled(KEY, "merged");
    told::told(&server, &jira, 1);
    eventually("it is done", || Some(jira.issue(KEY)).filter(|issue| issue.status == "Done"));
    warp.to(HOUR + 55 * 60);
    let said = told::told(&server, &jira, 2);
    assert!(said[1].contains("The time for which this change is wanted ends at"), "{said:?}");
    warp.to(2 * HOUR + 60);
    let undo = server.at().settled(&revert_of(&request), "proposed");
    let said = told::told(&server, &jira, 3);
    assert!(said[2].contains("The time for which the change was wanted is over"), "{said:?}");
    merge(&server, &undo);
    let said = told::told(&server, &jira, 4);
    assert!(said[3].contains("The change is taken back."), "not its author's words about the change: {said:?}");
    let issue = jira.issue(KEY);
    assert_eq!((issue.status.as_str(), issue.links.len()), ("Done", 2), "a ticket that is done stays so, and has a link to each pull request");
    assert_eq!(jira.take_violations(), Vec::<String>::new());
}

#[test]
fn what_takes_a_change_back_passes_the_same_gate_and_the_ticket_hears_what_stands_in_its_way() {
    let jira = FakeJira::cloud();
    let mut server = told::prepare(&jira, "  ttl: 2h\n  feedback: [{ channel: service-desk, tell: [rejected] }]\n");
    let warp = Warp::of(&mut server);
    server.run();
    server.at().ticket(&ticket(KEY, "payments"));
    // Who reviews it is told before.
    let proposed = server.at().settled(KEY, "proposed");
    assert!(
        proposed["findings"].to_string().contains("taking it back is refused today") && body(&server, &proposed).contains("goes everything in it"),
        "{proposed:#}"
    );
    merge(&server, &proposed);
    let request = server.at().settled(KEY, "merged");
    warp.to(2 * HOUR + 60);
    // With a namespace goes everything in it: a policy has somebody look first.
    let undo = server.at().settled(&revert_of(&request), "rejected");
    let expired = server.at().settled(KEY, "expired");
    assert_eq!((&expired["reverted_by"], &expired["undone"]["state"]), (&undo["id"], &json!("rejected")));
    let said = told::told(&server, &jira, 1);
    assert!(said[0].contains("Taking the change back was rejected, so it stays") && said[0].contains("goes everything in it"), "{said:?}");
    let extended = refused(&server, &format!("/requests/{}/revert", id(&request)), None);
    assert!(extended.contains(&format!("`kubeops requests retry {}` asks for that again", id(&undo))), "{extended}");
}

#[test]
fn what_a_person_made_of_it_on_the_branch_is_taken_back_with_it() {
    let (server, warp) = start("  ttl: 2h\n");
    server.at().ticket(&replicas(KEY, "web", 6.0));
    let proposed = server.at().settled(KEY, "proposed");
    // Eight, says whoever reviews it, and everything is merged at once.
    let branch = proposed["branch"].as_str().expect("a branch");
    server.upstream.write(branch, PATH, &DEPLOYMENT.replace("replicas: 2", "replicas: 8"));
    eventually("the forge has looked at the branch again", || {
        let approved = server.at().api("POST", "/pulls/gitops/1/approve", None);
        (approved.status < 300).then_some(())
    });
    merge(&server, &proposed);
    let request = server.at().settled(KEY, "merged");
    assert_eq!(server.upstream.show(PATH, "main"), DEPLOYMENT.replace("replicas: 2", "replicas: 8"));
    warp.to(3 * HOUR);
    let undo = server.at().settled(&revert_of(&request), "proposed");
    assert_eq!(server.upstream.show(PATH, undo["branch"].as_str().expect("a branch")), DEPLOYMENT);
}
