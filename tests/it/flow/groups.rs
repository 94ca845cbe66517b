//! Groups: many events become one pull request with a commit for each, and each can be taken out again.

use super::github::World;
use super::storms::{alert_in, merge, prepare, tell};
use crate::support::fake_github::FakeGithub;
use crate::support::server::{TestServer, eventually};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Alerts of one namespace ask together.
pub(super) const BY_NAMESPACE: &str =
    "  group:\n    by: event.data.labels.namespace\n    most: 200\n    title: \"{{ group.count }} autoscalers of {{ group.key }}\"\n";

fn start() -> TestServer {
    let mut server = prepare(BY_NAMESPACE);
    server.run();
    server
}

/// Autoscalers `hpa-<from>` and so on, so many of them.
pub(super) fn alerts(namespace: &str, from: usize, count: usize) -> Vec<Value> {
    (from..from + count).map(|n| alert_in(namespace, &format!("hpa-{n}"), 6, 1)).collect()
}

/// The newest request of a group, with everything about it.
pub(super) fn group(server: &TestServer, key: &str) -> Value {
    let newest = server.at().requests_of(key).into_iter().next().unwrap_or_else(|| panic!("there is no request of {key}"));
    server.at().get(&format!("/requests/{}", field(&newest, "id")))
}

pub(super) fn field<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} of {value:#}"))
}

fn members(request: &Value) -> &Vec<Value> {
    request["members"].as_array().expect("members")
}

/// The members that have a commit on the branch, in order.
fn on_branch(request: &Value) -> Vec<&Value> {
    members(request).iter().filter(|member| member["proposed"] == true && member["state"] == "active").collect()
}

/// Waits until the group is proposed with so many commits and nothing is owed, and holds it against the branch: it has exactly
/// the commits of the members that say so, each changes one file, and names its event.
pub(super) fn proposed(server: &TestServer, key: &str, commits: usize) -> Value {
    let request = eventually(&format!("{key} is proposed with {commits} commits"), || {
        server.at().requests_of(key).first()?;
        let request = group(server, key);
        let done = request["state"] == "proposed" && request["tasks"] == json!([]) && on_branch(&request).len() == commits;
        // Looked at twice: it is read in parts, between which something may have been done.
        (done && group(server, key) == request).then_some(request)
    });
    let branch = field(&request, "branch");
    let log = server.upstream.git(&["log", "--reverse", "--format=%H %s", &format!("main..{branch}")]);
    let told: Vec<String> = on_branch(&request).iter().map(|member| format!("{} {}", field(member, "commit"), field(member, "title"))).collect();
    assert_eq!(log.lines().collect::<Vec<_>>(), told);
    for member in on_branch(&request) {
        let commit = field(member, "commit");
        let files = server.upstream.git(&["diff-tree", "--no-commit-id", "--name-only", "-r", commit]);
        assert_eq!(files.lines().count(), 1, "{files}");
        let trailers =
            server.upstream.git(&["log", "-1", "--format=%(trailers:key=Kubeops-Event,valueonly)%(trailers:key=Kubeops-Request,valueonly)", commit]);
        assert_eq!(trailers.split_whitespace().collect::<Vec<_>>(), [field(&member["event"], "id"), field(&request, "id")]);
    }
    assert_eq!(request["commit"], on_branch(&request).last().expect("one")["commit"]);
    request
}

/// The files of a branch with their contents' ids.
pub(super) fn tree(server: &TestServer, revision: &str) -> BTreeMap<String, String> {
    let listed = server.upstream.git(&["ls-tree", "-r", revision]);
    let entry = |line: &str| line.split_once('\t').map(|(id, path)| (path.to_owned(), id.to_owned()));
    listed.lines().filter_map(entry).collect()
}

fn pull(server: &TestServer, request: &Value) -> Value {
    server.at().get(&format!("/pulls/gitops/{}", request["pull"]["number"]))
}

fn withdraw(server: &TestServer, request: &Value, member: &str) {
    let path = format!("/requests/{}/members/{}/withdraw", field(request, "id"), member.replace('/', "%2F"));
    let answered = server.at().api("POST", &path, Some(&json!({ "reason": "the alert is over" })));
    assert_eq!(answered.status, 202, "{}", answered.text());
}

#[test]
fn three_hundred_alerts_in_three_groups_are_three_pull_requests_and_one_is_taken_out_again() {
    let server = start();
    let namespaces = ["web", "api", "jobs"];
    std::thread::scope(|scope| {
        for namespace in namespaces {
            let server = &server;
            scope.spawn(move || (0..100).step_by(20).for_each(|from| tell(server, &alerts(namespace, from, 20))));
        }
    });
    for namespace in namespaces {
        let request = proposed(&server, namespace, 100);
        assert_eq!((&request["member_count"], &request["correlation"]), (&json!(100), &json!(namespace)));
        let pull = pull(&server, &request);
        assert_eq!(field(&pull, "title"), format!("100 autoscalers of {namespace}"));
        assert_eq!(field(&pull, "body").matches("([`alert.firing`](<http://kubeops.test/").count(), 100);
    }
    assert_eq!((server.at().all("/requests").len(), server.at().all("/pulls").len()), (3, 3));
    assert_eq!(super::branches(&server.upstream).len(), 3);

    // A second wave joins; what was there stays as it was.
    let first = group(&server, "web");
    tell(&server, &alerts("web", 100, 20));
    let second = proposed(&server, "web", 120);
    assert_eq!((&second["id"], &second["pull"]["number"], &second["branch"]), (&first["id"], &first["pull"]["number"], &first["branch"]));
    let commits = |request: &Value| on_branch(request).iter().map(|member| field(member, "commit").to_owned()).collect::<Vec<_>>();
    assert_eq!(commits(&second)[..100], commits(&first), "the same members on the same base are the same commits");
    assert_eq!(field(&pull(&server, &second), "title"), "120 autoscalers of web");

    // One is over: its commit goes, and nothing else.
    let gone = on_branch(&second)[40].clone();
    withdraw(&server, &second, field(&gone, "correlation"));
    let third = proposed(&server, "web", 119);
    let path = server.upstream.git(&["diff-tree", "--no-commit-id", "--name-only", "-r", field(&gone, "commit")]);
    let mut expected = tree(&server, field(&second, "commit"));
    assert!(expected.remove(path.trim()).is_some(), "{path}");
    assert_eq!(tree(&server, field(&third, "commit")), expected);
    assert_eq!(commits(&third)[..40], commits(&second)[..40], "those below it did not move");
    let titles = |request: &Value| on_branch(request).iter().map(|member| field(member, "title").to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(titles(&second).difference(&titles(&third)).collect::<Vec<_>>(), [field(&gone, "title")]);
    let body = pull(&server, &third)["body"].as_str().expect("a body").to_owned();
    assert!(!body.contains(&format!("{}`", field(&gone, "correlation"))), "{body}");
    // Nobody else was touched.
    for namespace in ["api", "jobs"] {
        proposed(&server, namespace, 100);
    }
    server.upstream.fsck();
}

#[test]
fn a_member_that_is_refused_is_left_out_and_tries_anew_with_its_next_event() {
    let server = start();
    let mut bad = alert_in("web", "bad", 6, 1);
    bad["annotations"]["max_replicas"] = json!("many");
    tell(&server, &[alert_in("web", "a", 6, 1), bad, alert_in("web", "c", 6, 1)]);
    let request = proposed(&server, "web", 2);
    let left_out = &members(&request)[1];
    assert_eq!((&left_out["state"], &left_out["planned"], &left_out["commit"]), (&json!("refused"), &json!(true), &Value::Null));
    assert_eq!(left_out["findings"][0]["path"], "parameters.maxReplicas", "{left_out:#}");
    let body = field(&pull(&server, &request), "body").to_owned();
    assert!(body.contains("about `prod-eu/web/bad` is left out: `the parameters are not valid: maxReplicas`"), "{body}");
    assert!(request["findings"].to_string().contains("group.left-out"), "{request:#}");
    // The alert's rule is mended.
    tell(&server, &[alert_in("web", "bad", 6, 2)]);
    let mended = proposed(&server, "web", 3);
    let order: Vec<&str> = on_branch(&mended).iter().map(|member| field(member, "correlation")).collect();
    assert_eq!(order, ["prod-eu/web/a", "prod-eu/web/bad", "prod-eu/web/c"], "in order of arrival");
    assert!(!field(&pull(&server, &mended), "body").contains("is left out"));
    server.upstream.fsck();
}

#[test]
fn a_group_of_which_every_member_is_refused_is_rejected_and_a_person_asks_again() {
    let server = start();
    let mut bad = alert_in("web", "bad", 6, 1);
    bad["annotations"]["max_replicas"] = json!("many");
    tell(&server, &[bad]);
    let rejected = server.at().settled("web", "rejected");
    assert!(field(&rejected, "message").contains("maxReplicas"), "{rejected:#}");
    assert_eq!(rejected["findings"][0]["path"], "parameters.maxReplicas");
    tell(&server, &[alert_in("web", "good", 6, 1)]);
    let next = proposed(&server, "web", 1);
    assert_ne!(next["id"], rejected["id"]);
    // Members that change nothing make no commit, and where none is left the request ends.
    merge(&server, &next);
    server.at().settled("web", "merged");
    tell(&server, &[alert_in("web", "good", 6, 2)]);
    let unchanged = server.at().settled("web", "unchanged");
    assert!(field(&members(&unchanged)[0], "message").contains("holds all of it already"), "{unchanged:#}");
    assert_eq!(server.at().all("/pulls").len(), 1);
}

#[test]
fn the_whole_stack_is_planned_again_only_when_the_new_base_makes_a_difference() {
    let server = start();
    tell(&server, &alerts("web", 0, 4));
    let first = proposed(&server, "web", 4);
    server.upstream.write("main", "README.md", "something else\n");
    // Another request on the new base shows that it was looked at.
    tell(&server, &alerts("api", 0, 1));
    proposed(&server, "api", 1);
    assert_eq!(proposed(&server, "web", 4)["commit"], first["commit"]);
    let kept = std::fs::read_dir(server.data().join("mirrors/gitops.git/proposals")).expect("proposals").count();
    assert_eq!(kept, 5, "what was committed only to compare is gone");
    // Somebody merges what the second member asks for by hand: its commit is not needed any more, the others stay.
    let second = field(on_branch(&first)[1], "commit").to_owned();
    let path = server.upstream.git(&["diff-tree", "--no-commit-id", "--name-only", "-r", &second]).trim().to_owned();
    let base = server.upstream.write("main", &path, &server.upstream.show(&path, &second));
    let after = eventually("planned on the new base", || {
        let now = group(&server, "web");
        (now["base"] == base.as_str() && now["state"] == "proposed").then_some(now)
    });
    assert_eq!(on_branch(&after).len(), 3, "{after:#}");
    proposed(&server, "web", 3);
    assert_eq!(field(&pull(&server, &after), "title"), "3 autoscalers of web");
    server.upstream.fsck();
}

#[test]
fn the_last_member_taken_out_withdraws_the_request() {
    let server = start();
    tell(&server, &alerts("web", 0, 2));
    let request = proposed(&server, "web", 2);
    let id = field(&request, "id").to_owned();
    let told = server.cli(&["requests", "show", &id]);
    let shown = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(shown.contains("member 1") && shown.contains("prod-eu/web/hpa-1"), "{shown}");
    let taken_out = server.cli(&["requests", "withdraw", &id, "prod-eu/web/hpa-0", "--reason", "over"]);
    assert!(taken_out.status.success(), "{}", String::from_utf8_lossy(&taken_out.stderr));
    proposed(&server, "web", 1);
    let again = server.cli(&["requests", "withdraw", &id, "1"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("is withdrawn already"), "{}", String::from_utf8_lossy(&again.stderr));
    withdraw(&server, &request, "2");
    server.at().settled("web", "withdrawn");
    eventually("the pull request is closed and the branch gone", || {
        (pull(&server, &request)["state"] == "closed" && super::branches(&server.upstream).is_empty()).then_some(())
    });
    // It fires again: a request of its own.
    tell(&server, &[alert_in("web", "hpa-0", 6, 2)]);
    assert_ne!(proposed(&server, "web", 1)["id"], request["id"]);
    server.upstream.fsck();
}

#[test]
fn who_finds_no_place_goes_on_in_the_next_pull_request() {
    let mut server = prepare("  group: { by: event.data.labels.namespace, most: 3 }\n");
    server.run();
    tell(&server, &alerts("web", 0, 5));
    let first = proposed(&server, "web", 3);
    assert_eq!(field(&pull(&server, &first), "title"), "autoscaler-maxed-out: 3 changes for web");
    let waiting = &members(&first)[4];
    assert_eq!((&waiting["planned"], &waiting["message"]), (&json!(false), &json!("waits to be planned")));
    // A place is free.
    withdraw(&server, &first, "1");
    let moved_up = proposed(&server, "web", 3);
    assert_eq!(on_branch(&moved_up).iter().map(|member| member["number"].as_u64()).collect::<Vec<_>>(), [Some(2), Some(3), Some(4)]);
    merge(&server, &moved_up);
    let next = proposed(&server, "web", 1);
    assert_ne!(next["id"], first["id"]);
    assert_eq!(field(&members(&next)[0], "correlation"), "prod-eu/web/hpa-4");
    assert!(next["timeline"].to_string().contains("did not take along"), "{next:#}");
    let merged = server.at().get(&format!("/requests/{}", field(&first, "id")));
    assert_eq!((&merged["state"], members(&merged).len()), (&json!("merged"), 4));
    assert!(merged["timeline"].to_string().contains("goes on with them"), "{merged:#}");
    server.upstream.fsck();
}

#[test]
fn who_comes_after_a_person_pushed_waits_and_the_person_s_branch_stays() {
    let server = start();
    tell(&server, &alerts("web", 0, 2));
    let request = proposed(&server, "web", 2);
    let branch = field(&request, "branch").to_owned();
    let theirs = server.upstream.write(&branch, "notes.md", "a person's\n");
    tell(&server, &alerts("web", 2, 1));
    let held = eventually("it is said that a person pushed", || {
        let now = group(&server, "web");
        let body = pull(&server, &now)["body"].as_str().map(str::to_owned).unwrap_or_default();
        (body.contains("Somebody has pushed to this branch") && now["state"] == "proposed").then_some(now)
    });
    assert_eq!(server.upstream.tip(&branch).as_ref(), Some(&theirs));
    assert_eq!(on_branch(&held).len(), 2, "{held:#}");
    merge(&server, &held);
    let next = proposed(&server, "web", 1);
    assert_eq!(field(&members(&next)[0], "correlation"), "prod-eu/web/hpa-2");
    assert!(tree(&server, "main").contains_key("notes.md"));
    server.upstream.fsck();
}

#[test]
fn at_github_the_pull_request_follows_its_members() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.edit_resource("autoscaler-maxed-out.yaml", |text| text.replacen("\nspec:\n", &format!("\nspec:\n{BY_NAMESPACE}"), 1));
    world.server.run();
    tell(&world.server, &alerts("web", 0, 2));
    proposed(&world.server, "web", 2);
    let first = world.github.pulls();
    assert_eq!((first.len(), first[0].title.as_str()), (1, "2 autoscalers of web"));
    tell(&world.server, &alerts("web", 2, 1));
    let request = proposed(&world.server, "web", 3);
    let now = world.github.pulls();
    assert_eq!((now.len(), now[0].number, now[0].title.as_str()), (1, first[0].number, "3 autoscalers of web"));
    assert!(now[0].body.contains("about `prod-eu/web/hpa-2`)"), "{}", now[0].body);
    withdraw(&world.server, &request, "1");
    proposed(&world.server, "web", 2);
    assert_eq!(world.github.pulls()[0].title, "2 autoscalers of web");
    assert!(!world.github.pulls()[0].body.contains("hpa-0"), "{}", world.github.pulls()[0].body);
    world.github.end(first[0].number, true);
    world.server.at().settled("web", "merged");
    world.server.upstream.fsck();
}

#[test]
fn a_group_s_limit_counts_its_pull_request_once_and_a_loop_stops_only_the_member_it_is_in() {
    let mut server = prepare(&format!("{BY_NAMESPACE}  limits: {{ perHour: 4, loop: {{ changes: 2, within: 1h }} }}\n"));
    server.run();
    let round = |number: i64, replicas: u32, others: usize| {
        let mut all = vec![alert_in("web", "flapping", replicas, number)];
        all.extend((0..others).map(|n| alert_in("web", &format!("hpa-{number}-{n}"), 6, number)));
        tell(&server, &all);
    };
    // Made with 9, then 6, then 9: going back to 6 would be the third change back and forth.
    for (number, replicas) in [(1, 6), (2, 4), (3, 6)] {
        round(number, replicas, 1);
        let request = proposed(&server, "web", 2);
        merge(&server, &request);
        server.at().settled("web", "merged");
    }
    round(4, 4, 1);
    let request = proposed(&server, "web", 1);
    let stopped = &members(&request)[0];
    assert_eq!((&stopped["state"], &stopped["findings"][0]["rule"]), (&json!("refused"), &json!("loop")), "{stopped:#}");
    assert!(field(&stopped["findings"][0], "hint").contains("kubeops requests ask autoscaler-maxed-out"), "{stopped:#}");
    // The fifth pull request of the hour waits, however many members it has.
    merge(&server, &request);
    server.at().settled("web", "merged");
    tell(&server, &alerts("web", 50, 3));
    eventually("it waits for room", || group(&server, "web")["message"].as_str().filter(|said| said.starts_with("waits for room")).map(|_| ()));
    assert_eq!(group(&server, "web")["member_count"], 3);
}

/// A group of three dies at a point on its way, and is started again; then a fourth joins, and the process dies again.
fn dies_at(point: &str) {
    let mut server = prepare(BY_NAMESPACE);
    server.set("KUBEOPS_FAILPOINT", point).run();
    tell(&server, &alerts("web", 0, 3));
    assert!(!server.wait().success(), "{point}: it died");
    server.set("KUBEOPS_FAILPOINT", "").run();
    let first = proposed(&server, "web", 3);
    let joining = point.replace("plan.settling", "replan.settling");
    server.kill();
    server.set("KUBEOPS_FAILPOINT", &joining).run();
    let told = server.at().alert(&json!({ "version": "4", "status": "firing", "alerts": alerts("web", 3, 1) }));
    assert_eq!(told.status, 202, "{point}");
    assert!(!server.wait().success(), "{point}: it died");
    server.set("KUBEOPS_FAILPOINT", "").run();
    let second = proposed(&server, "web", 4);
    assert_eq!((&second["id"], &second["pull"]["number"]), (&first["id"], &first["pull"]["number"]), "{point}");
    assert_eq!(on_branch(&second)[0]["commit"], on_branch(&first)[0]["commit"], "{point}");
    // And while one is taken out.
    server.kill();
    server.set("KUBEOPS_FAILPOINT", &joining).run();
    withdraw(&server, &second, "2");
    assert!(!server.wait().success(), "{point}: it died");
    server.set("KUBEOPS_FAILPOINT", "").run();
    let third = proposed(&server, "web", 3);
    assert_eq!(on_branch(&third).iter().map(|member| member["number"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(3), Some(4)], "{point}");
    assert_eq!((server.at().all("/requests").len(), server.at().all("/pulls").len()), (1, 1), "{point}");
    assert_eq!(super::branches(&server.upstream).len(), 1, "{point}");
    assert_eq!(server.at().get("/status")["dead_tasks"], 0, "{point}");
    server.upstream.fsck();
}

#[test]
fn a_crash_while_a_group_is_planned_or_pushed_leaves_one_commit_for_each_member() {
    let points =
        ["plan.fetched", "plan.committed", "plan.committed:2", "plan.settling", "propose.pushed", "propose.opened", "propose.settling", "settled"];
    std::thread::scope(|scope| {
        for half in points.chunks(4) {
            scope.spawn(move || half.iter().for_each(|point| dies_at(point)));
        }
    });
}
