//! Outside of its windows, or because a person says so, a change is proposed and held: everybody sees why and until when, nothing merges
//! it by itself, and what opens the window or releases it lets it go on.

use super::edits::{DEPLOYMENT, PATH, replicas};
use super::github::World;
use super::plan_again;
use crate::support::fake_github::{FakeGithub, FakePull};
use crate::support::server::{TestServer, eventually, ticket};
use crate::support::warp::Warp;
use serde_json::{Value, json};
use std::process::Output;
use time::{Duration, OffsetDateTime};

const LABEL: &str = "kubeops/held";
const STATUS: &str = "kubeops/window";
/// Closed for as long as anybody will run this.
const STANDSTILL: &str = "blackouts: [{ from: 2020-01-01, to: 2099-12-31, reason: everything stands still }]";
const UNTIL: &str = "until Fri 2100-01-01 00:00 Europe/Berlin (calendar office: blackout 2020-01-01 to 2099-12-31: everything stands still)";
const ALWAYS: &str = "windows: [{ from: \"00:00\", to: \"24:00\" }]";

/// The calendar `office` with these rules.
fn calendar(server: &TestServer, rules: &str) {
    let text =
        format!("apiVersion: kubeops.dev/v1alpha1\nkind: Calendar\nmetadata: {{ name: office }}\nspec:\n  timeZone: Europe/Berlin\n  {rules}\n");
    server.edit_resource("calendars.yaml", |_| text);
}

/// The cluster's changes wait for the calendar `office`.
fn under_calendar(server: &TestServer, rules: &str) {
    calendar(server, rules);
    server.edit_resource("inventory.yaml", |text| text.replace("  path: clusters/prod-eu\n", "  path: clusters/prod-eu\n  calendar: office\n"));
}

/// At GitHub, merged by itself once nothing holds it.
fn at_github(rules: &str) -> World {
    let mut world = World::prepare(FakeGithub::start());
    under_calendar(&world.server, rules);
    merge_by_itself(&world.server);
    world.server.set("RESOURCES_RELOAD_SECONDS", "1");
    world
}

/// What tickets ask for is merged by itself.
fn merge_by_itself(server: &TestServer) {
    server.edit_resource("namespace-request.yaml", |text| {
        text.replace("    reviewers: [platform-team]\n", "    reviewers: [platform-team]\n    autoMerge: squash\n")
    });
}

fn is_held(world: &World, number: u64) -> bool {
    let pull = &world.github.pulls()[number as usize - 1];
    pull.labels.iter().any(|label| label == LABEL)
}

/// State and description of what stands beside the commit at the head.
fn status(world: &World, number: u64) -> (String, String) {
    let head = world.github.pulls()[number as usize - 1].commit.clone();
    world.github.status(&head, STATUS).map(|status| (status.state, status.description)).unwrap_or_default()
}

/// The pull request when it is held, or no longer, with everything that goes with that.
fn stands(world: &World, key: &str, number: u64, held: bool) -> FakePull {
    let state = if held { "pending" } else { "success" };
    eventually(&format!("{key}: held is {held}"), || {
        let request = world.server.at().requests_of(key).remove(0);
        let settled = request["state"] == "proposed" && request["held"].is_null() != held;
        (settled && is_held(world, number) == held && status(world, number).0 == state).then_some(())
    });
    let pull = world.github.pulls()[number as usize - 1].clone();
    assert_eq!(pull.auto_merge.is_some(), !held, "{pull:#?}");
    assert_eq!(pull.body.contains("> Held "), held, "{}", pull.body);
    assert!(pull.labels.contains(&"namespace".to_owned()), "the other labels stay: {pull:#?}");
    pull
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn id_of(server: &TestServer, key: &str) -> String {
    server.at().requests_of(key)[0]["id"].as_str().expect("an id").to_owned()
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

#[test]
fn outside_its_window_a_change_is_proposed_and_held_and_goes_on_when_the_window_opens() {
    let mut world = at_github(STANDSTILL);
    world.server.run();
    world.proposed("OPS-1", "payments");
    let held = stands(&world, "OPS-1", 1, true);
    assert!(held.body.contains(UNTIL) && held.body.contains("kubeops requests release req_"), "{}", held.body);
    assert!(status(&world, 1).1.starts_with("held until Fri 2100-01-01 00:00 Europe/Berlin"), "{:?}", status(&world, 1));
    assert!(!world.github.calls().iter().any(|call| call.contains("graphql")), "nobody asked for a merge: {:?}", world.github.calls());
    let request = world.server.at().requests_of("OPS-1").remove(0);
    assert_eq!(request["held"]["message"], UNTIL);
    assert_eq!(request["held"]["until"], "2099-12-31T23:00:00.000Z");
    assert!(request["message"].as_str().expect("a message").contains(&format!("it is held {UNTIL}")), "{request:#}");
    let told = &world.server.at().get("/calendars")["items"][0];
    assert_eq!((&told["name"], &told["open"], &told["time_zone"]), (&json!("office"), &json!(false), &json!("Europe/Berlin")), "{told:#}");

    // Its author changes the calendar: what is open follows, both ways.
    calendar(&world.server, ALWAYS);
    let free = stands(&world, "OPS-1", 1, false);
    assert_eq!((free.auto_merge.as_deref(), status(&world, 1).1.as_str()), (Some("SQUASH"), "free to be merged"));
    calendar(&world.server, STANDSTILL);
    stands(&world, "OPS-1", 1, true);
    assert_eq!(world.github.pulls().len(), 1);
}

#[test]
fn an_app_shows_beside_the_label_a_check_that_waits_and_passes_when_the_window_opens() {
    let mut world = World::prepare_app(FakeGithub::start());
    under_calendar(&world.server, STANDSTILL);
    merge_by_itself(&world.server);
    world.server.set("RESOURCES_RELOAD_SECONDS", "1").run();
    world.proposed("OPS-1", "payments");
    let id = id_of(&world.server, "OPS-1");
    // The one check of that name beside a commit: its conclusion and its title.
    let shown = |commit: &str| {
        let of_window: Vec<_> = world.github.checks().into_iter().filter(|check| check.name == STATUS && check.commit == commit).collect();
        assert!(of_window.len() <= 1 && of_window.iter().all(|check| check.key == id), "{of_window:#?}");
        of_window.into_iter().next().map(|check| (check.conclusion, check.title)).unwrap_or_default()
    };
    let is = |held: bool, conclusion: &str, title: &str| {
        eventually(&format!("held is {held}, and the check says {conclusion}"), || {
            let pull = world.github.pulls().remove(0);
            let (concluded, titled) = shown(&pull.commit);
            let told = concluded == conclusion && titled.starts_with(title) && is_held(&world, 1) == held && pull.auto_merge.is_some() != held;
            (told && world.server.at().requests_of("OPS-1")[0]["state"] == "proposed").then_some(pull)
        })
    };
    let held = is(true, "action_required", "held until Fri 2100-01-01 00:00 Europe/Berlin");
    assert!(!world.github.calls().iter().any(|call| call.contains("graphql")), "nobody asked for a merge: {:?}", world.github.calls());

    // Planned again outside of the window, the commit that is new waits as well.
    world.server.upstream.write("main", "README.md", "moved on");
    plan_again(&world.server, "OPS-1");
    let moved = eventually("it is proposed on the new base", || Some(world.github.pulls().remove(0)).filter(|pull| pull.commit != held.commit));
    assert_eq!(is(true, "action_required", "held until Fri 2100-01-01").commit, moved.commit);

    calendar(&world.server, ALWAYS);
    assert_eq!(is(false, "success", "free to be merged").auto_merge.as_deref(), Some("SQUASH"));
    calendar(&world.server, STANDSTILL);
    is(true, "action_required", "held until");
    assert_eq!(status(&world, 1), Default::default(), "a check, and no status beside it");
    assert_eq!(world.github.pulls().len(), 1);
}

#[test]
fn a_window_opens_by_the_clock_also_for_a_process_that_was_started_since() {
    // The next full minute that leaves time to propose.
    let opens = OffsetDateTime::now_utc() + Duration::seconds(75);
    let rules = format!("windows: [{{ cron: \"{} {} * * *\", duration: 20m }}]", opens.minute(), opens.hour());
    let mut world = at_github("windows: []");
    world.server.edit_resource("calendars.yaml", |text| text.replace("Europe/Berlin", "UTC").replace("windows: []", &rules));
    // Nothing but the clock brings it on.
    world.server.set("OBSERVE_SECONDS", "3600").set("RESOURCES_RELOAD_SECONDS", "3600").run();
    world.proposed("OPS-1", "payments");
    stands(&world, "OPS-1", 1, true);
    let until = format!("{:02}:{:02} UTC", opens.hour(), opens.minute());
    assert!(world.server.at().requests_of("OPS-1")[0]["held"]["message"].as_str().expect("why").contains(&until));
    world.server.kill();
    world.server.run();
    let free = stands(&world, "OPS-1", 1, false);
    assert_eq!(free.auto_merge.as_deref(), Some("SQUASH"));
    let request = world.server.at().settled("OPS-1", "proposed");
    let timeline = request["timeline"].as_array().expect("a timeline");
    assert!(timeline.iter().any(|entry| entry["message"].as_str().is_some_and(|text| text.contains("its window is open"))), "{timeline:#?}");
}

#[test]
fn a_person_holds_and_releases_and_both_may_be_said_twice() {
    let mut world = World::prepare(FakeGithub::start());
    merge_by_itself(&world.server);
    world.server.run();
    let pull = world.proposed("OPS-1", "payments");
    assert_eq!(pull.auto_merge.as_deref(), Some("SQUASH"));
    assert_eq!(status(&world, 1), Default::default(), "nothing is shown of what no calendar and nobody holds");
    let id = id_of(&world.server, "OPS-1");
    let told = ok(&world.server.cli(&["requests", "hold", &id, "--reason", "the database is being moved"]));
    assert!(told.contains("held by flow: the database is being moved"), "{told}");
    let body = stands(&world, "OPS-1", 1, true).body;
    assert!(body.contains("It is not to be merged until somebody releases it: `kubeops requests release req_"), "{body}");
    assert_eq!(status(&world, 1), ("pending".to_owned(), "held by flow: the database is being moved".to_owned()));
    // Again, for another reason: the first word stands, and GitHub is not called.
    world.github.clear_ledger();
    let again = ok(&world.server.cli(&["requests", "hold", &id, "--reason", "another"]));
    assert!(again.contains("held by flow: the database is being moved, since 20") && again.contains("that hold stands"), "{again}");
    assert_eq!(world.server.at().requests_of("OPS-1")[0]["held"]["reason"], "the database is being moved");
    // It stays held when it is planned again.
    world.server.upstream.write("main", "README.md", "moved on");
    let before = world.github.pulls()[0].commit.clone();
    plan_again(&world.server, "OPS-1");
    eventually("it is proposed on the new base", || (world.github.pulls()[0].commit != before).then_some(()));
    stands(&world, "OPS-1", 1, true);

    for said in ["released; it was held by flow", "nothing held it"] {
        let told = ok(&world.server.cli(&["requests", "release", &id]));
        assert!(told.contains(said), "{told}");
        stands(&world, "OPS-1", 1, false);
    }
    let request = world.server.at().settled("OPS-1", "proposed");
    let by_flow: Vec<&str> = request["timeline"]
        .as_array()
        .expect("a timeline")
        .iter()
        .filter(|entry| entry["actor"] == "flow")
        .filter_map(|entry| entry["message"].as_str())
        .collect();
    assert_eq!(by_flow, ["held by flow: the database is being moved", "released by flow; it was held by flow"]);
    ok(&world.server.cli(&["requests", "cancel", &id]));
    let late = world.server.cli(&["requests", "hold", &id]);
    assert!(!late.status.success() && said(&late).contains("is withdrawn already"), "{}", said(&late));
}

#[test]
fn what_is_held_is_not_merged_here_and_a_release_lets_it_through_until_it_is_planned_anew() {
    let mut server = TestServer::prepare();
    under_calendar(&server, STANDSTILL);
    server.run();
    for (key, team) in [("OPS-1", "payments"), ("OPS-2", "search")] {
        assert_eq!(server.at().ticket(&ticket(key, team)).word(), "202 accepted");
        server.at().settled(key, "proposed");
    }
    let pull = |key: &str| server.at().requests_of(key)[0]["pull"]["number"].as_u64().expect("a number");
    let labels = |key: &str| server.at().get(&format!("/pulls/gitops/{}", pull(key)))["labels"].clone();
    let merge = |key: &str| server.cli(&["pulls", "merge", &format!("gitops#{}", pull(key))]);
    assert_eq!(labels("OPS-1"), json!(["namespace", LABEL]));
    let refused = merge("OPS-1");
    let why = said(&refused);
    assert!(!refused.status.success() && why.contains(UNTIL) && why.contains("kubeops requests release req_"), "{why}");
    assert_eq!(server.at().requests_of("OPS-1")[0]["state"], "proposed");

    let released = |key: &str| {
        ok(&server.cli(&["requests", "release", &id_of(&server, key)]));
        eventually("the label is off", || (labels(key) == json!(["namespace"])).then_some(()));
        server.at().settled(key, "proposed")
    };
    let request = released("OPS-1");
    let timeline = request["timeline"].to_string();
    assert!(timeline.contains("released by flow; it does not wait for calendar office: blackout"), "{timeline}");
    ok(&merge("OPS-1"));
    server.at().settled("OPS-1", "merged");
    // The merge moved the base: what is the same on it stays released, what is planned anew is held again.
    released("OPS-2");
    plan_again(&server, "OPS-2");
    eventually("it is held again", || (labels("OPS-2") == json!(["namespace", LABEL])).then_some(()));
    server.at().settled("OPS-2", "proposed");
    assert!(!merge("OPS-2").status.success());
}

#[test]
fn what_is_approved_here_while_it_is_held_is_merged_by_itself_when_the_window_opens() {
    let mut server = TestServer::prepare();
    under_calendar(&server, STANDSTILL);
    merge_by_itself(&server);
    server.set("RESOURCES_RELOAD_SECONDS", "1").run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    let before = server.upstream.tip("main");
    let told = ok(&server.cli(&["pulls", "approve", "gitops#1"]));
    assert!(told.contains("gitops#1 is open, approved by flow"), "{told}");
    let request = server.at().settled("OPS-1", "approved");
    assert_eq!((&request["held"]["message"], server.upstream.tip("main")), (&json!(UNTIL), before), "{request:#}");
    calendar(&server, ALWAYS);
    server.at().settled("OPS-1", "merged");
    assert_eq!(server.upstream.git(&["log", "-1", "--format=%an", "main"]).trim(), "flow");

    // A person's hold counts from the moment on at which it is said, whatever the pull request shows by then.
    server.at().ticket(&ticket("OPS-2", "search"));
    server.at().settled("OPS-2", "proposed");
    let id = id_of(&server, "OPS-2");
    ok(&server.cli(&["requests", "hold", &id]));
    let before = server.upstream.tip("main");
    assert!(ok(&server.cli(&["pulls", "approve", "gitops#2"])).contains("gitops#2 is open, approved by flow"));
    server.at().settled("OPS-2", "approved");
    assert_eq!(server.upstream.tip("main"), before);
    ok(&server.cli(&["requests", "release", &id]));
    server.at().settled("OPS-2", "merged");
    server.upstream.fsck();
}

#[test]
fn an_automation_may_have_a_calendar_of_its_own_beside_the_clusters_or_none() {
    let mut server = TestServer::prepare();
    under_calendar(&server, ALWAYS);
    let own = |server: &TestServer, name: &str| {
        server.edit_resource("namespace-request.yaml", |text| {
            let kept: String = text.lines().filter(|line| !line.starts_with("  calendar:")).map(|line| format!("{line}\n")).collect();
            kept.replace("  target:\n", &format!("  calendar: {name}\n  target:\n"))
        });
    };
    let freeze = format!("apiVersion: kubeops.dev/v1alpha1\nkind: Calendar\nmetadata: {{ name: freeze }}\nspec:\n  timeZone: UTC\n  {STANDSTILL}\n");
    server.edit_resource("freeze.yaml", |_| freeze);
    own(&server, "freeze");
    server.set("RESOURCES_RELOAD_SECONDS", "1").set("OBSERVE_SECONDS", "1").run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    let request = server.at().settled("OPS-1", "proposed");
    assert!(request["held"]["reason"].as_str().expect("why").starts_with("calendar freeze: blackout"), "{request:#}");
    // The cluster's is closed as well, and the automation's word is that it does not matter.
    own(&server, "none");
    calendar(&server, STANDSTILL);
    eventually("nothing holds it", || server.at().requests_of("OPS-1")[0]["held"].is_null().then_some(()));
    // A name that stands for nothing is refused with its place and the nearest, and what was in force stays so.
    own(&server, "freze");
    let checked = server.cli(&["check"]);
    let told = said(&checked);
    assert!(!checked.status.success() && told.contains("there is no calendar \"freze\"") && told.contains("did you mean \"freeze\"?"), "{told}");
}

#[test]
fn a_commit_of_a_persons_on_the_branch_is_shown_as_held_too() {
    let mut world = at_github(STANDSTILL);
    world.server.run();
    let pull = world.proposed("OPS-1", "payments");
    stands(&world, "OPS-1", 1, true);
    world.server.upstream.write(&pull.head, "by-hand.md", "mine");
    world.github.person(1, |_| ());
    let theirs = world.server.upstream.tip(&pull.head).expect("the branch").to_string();
    let status = eventually("it stands beside the new commit", || world.github.status(&theirs, STATUS));
    assert_eq!(status.state, "pending");
    world.server.at().settled("OPS-1", "proposed");
}

/// Dies between what GitHub was told and its record, and is started again.
fn dies_at(point: &str) {
    let mut world = at_github(STANDSTILL);
    world.server.set("KUBEOPS_FAILPOINT", point).run();
    assert_eq!(world.server.at().ticket(&ticket("OPS-1", "payments")).word(), "202 accepted");
    assert!(!world.server.wait().success(), "{point}: it died");
    // It opens while nobody is there; somebody else's merge by itself is not taken back then.
    world.server.set("KUBEOPS_FAILPOINT", "").run();
    stands(&world, "OPS-1", 1, true);
    calendar(&world.server, ALWAYS);
    stands(&world, "OPS-1", 1, false);
    world.server.set("KUBEOPS_FAILPOINT", point);
    world.server.kill();
    world.server.run();
    calendar(&world.server, STANDSTILL);
    assert!(!world.server.wait().success(), "{point}: it died when it was held");
    world.server.set("KUBEOPS_FAILPOINT", "").run();
    let pull = stands(&world, "OPS-1", 1, true);
    assert_eq!(pull.labels.iter().filter(|label| *label == LABEL).count(), 1);
    assert_eq!(world.github.pulls().len(), 1);
    let dead: Value = world.server.at().get("/status")["dead_tasks"].clone();
    assert_eq!(dead, 0);
}

#[test]
fn a_kill_between_what_github_was_told_and_its_record_leaves_it_held_once() {
    for point in ["propose.opened", "propose.window"] {
        dies_at(point);
    }
}

#[test]
fn what_is_held_before_it_is_planned_shows_it_once_it_is_proposed() {
    let mut server = TestServer::prepare();
    server.edit_resource("namespace-request.yaml", |text| text.replace("  target:\n", "  debounce: { quiet: 1h, atMost: 2h }\n  target:\n"));
    server.run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    server.at().settled("OPS-1", "accepted");
    let id = id_of(&server, "OPS-1");
    let told = ok(&server.cli(&["requests", "hold", &id]));
    assert!(told.contains("accepted") && told.contains("held by flow"), "{told}");
    // A person is in a hurry, and still nothing is merged.
    ok(&server.cli(&["requests", "retry", &id]));
    let request = server.at().settled("OPS-1", "proposed");
    assert_eq!((&request["held"]["by"], &request["held"]["until"]), (&json!("flow"), &Value::Null), "{request:#}");
    assert_eq!(server.at().get("/pulls/gitops/1")["labels"], json!(["namespace", LABEL]));
    let why = said(&server.cli(&["pulls", "merge", "gitops#1"]));
    assert!(why.contains("it is held by flow"), "{why}");
}

#[test]
fn what_takes_a_change_back_does_not_wait_for_a_calendar_unless_that_says_so() {
    let mut server = TestServer::prepare();
    server.upstream.write("main", PATH, DEPLOYMENT);
    under_calendar(&server, ALWAYS);
    // Whatever follows a calendar here follows it because it was edited.
    server.set("RESOURCES_RELOAD_SECONDS", "1").set("OBSERVE_SECONDS", "3600").run();
    server.at().ticket(&replicas("OPS-1", "web", 6.0));
    let request = server.at().settled("OPS-1", "proposed");
    ok(&server.cli(&["pulls", "merge", &format!("gitops#{}", request["pull"]["number"])]));
    let merged = server.at().settled("OPS-1", "merged")["id"].as_str().expect("an id").to_owned();
    server.at().ticket(&ticket("OPS-2", "search"));
    server.at().settled("OPS-2", "proposed");
    calendar(&server, STANDSTILL);
    let held = |key: &str| server.at().requests_of(key)[0]["held"].clone();
    eventually("what is open is held", || (!held("OPS-2").is_null()).then_some(()));

    ok(&server.cli(&["requests", "revert", &merged, "--reason", "it made things worse"]));
    let undoing = format!("revert of {merged}");
    let undo = server.at().settled(&undoing, "proposed");
    assert_eq!(undo["held"], Value::Null, "{undo:#}");
    // A person may still have it wait, and so may the calendar's author.
    let id = undo["id"].as_str().expect("an id");
    ok(&server.cli(&["requests", "hold", id]));
    ok(&server.cli(&["requests", "release", id]));
    server.at().settled(&undoing, "proposed");
    calendar(&server, &format!("{STANDSTILL}\n  reverts: hold"));
    eventually("what takes it back is held", || held(&undoing)["message"].as_str().filter(|why| why.starts_with("until ")).map(|_| ()));
    calendar(&server, STANDSTILL);
    eventually("it is free again", || held(&undoing).is_null().then_some(()));
    server.at().settled(&undoing, "proposed");
    ok(&server.cli(&["pulls", "merge", &format!("gitops#{}", undo["pull"]["number"])]));
    server.at().settled(&undoing, "merged");
}

#[test]
fn a_kill_between_the_clocks_step_and_its_record_turns_the_window_once() {
    let mut server = TestServer::prepare();
    let warp = Warp::of(&mut server);
    let opens = OffsetDateTime::now_utc() + Duration::hours(2);
    let rules = format!("windows: [{{ cron: \"{} {} * * *\", duration: 2h }}]", opens.minute(), opens.hour());
    under_calendar(&server, &rules);
    server.edit_resource("calendars.yaml", |text| text.replace("Europe/Berlin", "UTC"));
    server.set("OBSERVE_SECONDS", "3600").set("KUBEOPS_FAILPOINT", "clock.settling").run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    let labels = |server: &TestServer| server.at().get("/pulls/gitops/1")["labels"].clone();
    assert_eq!(labels(&server), json!(["namespace", LABEL]));
    for (hours, shown) in [(3, json!(["namespace"])), (5, json!(["namespace", LABEL]))] {
        warp.to(hours * 3600);
        assert!(!server.wait().success(), "it died at hour {hours}");
        server.set("KUBEOPS_FAILPOINT", "").run();
        eventually("the pull request shows it", || (labels(&server) == shown).then_some(()));
        server.at().settled("OPS-1", "proposed");
        server.at().nothing_owed();
        server.kill();
        server.set("KUBEOPS_FAILPOINT", "clock.settling").run();
    }
    let request = server.at().settled("OPS-1", "proposed");
    let timeline = request["timeline"].as_array().expect("a timeline");
    let said = |text: &str| timeline.iter().filter(|entry| entry["message"].as_str().is_some_and(|message| message.starts_with(text))).count();
    assert_eq!((said("its window is open"), said("held until ")), (1, 1), "{timeline:#?}");
}
