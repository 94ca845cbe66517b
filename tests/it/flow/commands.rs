//! A reviewer steers a request from its pull request: commands in comments, believed only as GitHub itself tells them.

use super::edits;
use super::github::World;
use super::heard::{prepare, tell, try_to_tell};
use super::hurried::hold_while_the_repository_is_away;
use crate::support::fake_github::{FakePull, FakeRemark, SLUG};
use crate::support::server::{eventually, ticket};
use crate::support::warp::Warp;
use kubeops::types::Timestamp;
use serde_json::{Value, json};

/// Who may write, and who may not.
pub(super) const ADA: &str = "ada";
pub(super) const EVE: &str = "eve";

pub(super) fn start() -> World {
    let mut world = ready();
    world.server.run();
    world
}

pub(super) fn ready() -> World {
    let world = prepare();
    world.github.repository(SLUG, |repository| repository.allow(ADA, "maintain"));
    world
}

/// A world whose process died when the pull request was opened and its number not noted yet; and that number.
pub(super) fn died_before_the_number_was_noted() -> (World, u64) {
    let mut world = ready();
    world.server.set("KUBEOPS_FAILPOINT", "propose.opened").run();
    assert_eq!(world.server.at().ticket(&ticket("OPS-1", "payments")).word(), "202 accepted");
    let status = world.server.wait();
    assert!(!status.success(), "it died, not ended: {status}");
    let number = world.github.pulls()[0].number;
    (world, number)
}

/// What the webhook of a comment says.
pub(super) fn said(repository: &str, number: u64, id: u64, author: &str, body: &str) -> Value {
    json!({
        "action": "created",
        "issue": { "number": number, "pull_request": { "url": "https://api.github.com" } },
        "comment": {
            "id": id, "body": body, "user": { "login": author, "type": "User" }, "author_association": "OWNER",
            "created_at": "2026-11-20T12:00:00Z", "updated_at": "2026-11-20T12:00:00Z",
        },
        "repository": { "full_name": repository },
    })
}

/// Somebody writes a comment, and GitHub tells us of it.
pub(super) fn comment(world: &World, number: u64, author: &str, body: &str) -> u64 {
    let id = write(world, number, author, body);
    assert_eq!(tell(world, "issue_comment", &said(SLUG, number, id, author, body)), "202 accepted");
    id
}

pub(super) fn write(world: &World, number: u64, author: &str, body: &str) -> u64 {
    let mut id = 0;
    world.github.repository(SLUG, |repository| id = repository.comment(number, author, body));
    id
}

/// The comment, once it has this sign and nothing is owed.
pub(super) fn signed(world: &World, id: u64, sign: &str) -> FakeRemark {
    let remark = eventually(&format!("comment {id} has the sign {sign}"), || {
        Some(world.github.remark(id)).filter(|remark| remark.reactions.iter().any(|reaction| reaction == sign))
    });
    world.server.at().nothing_owed();
    assert_eq!(remark.reactions, [sign], "one sign");
    remark
}

pub(super) fn pull(world: &World, number: u64) -> FakePull {
    world.github.pulls().into_iter().find(|pull| pull.number == number).expect("a pull request")
}

/// What we said about a comment.
pub(super) fn answers(world: &World, number: u64, id: u64) -> Vec<String> {
    let marker = format!("<!-- kubeops:command:{id} -->");
    pull(world, number).comments.into_iter().filter(|said| said.contains(&marker)).collect()
}

pub(super) fn answer(world: &World, number: u64, id: u64) -> String {
    let said = eventually(&format!("comment {id} is answered"), || Some(answers(world, number, id)).filter(|said| !said.is_empty()));
    assert_eq!(said.len(), 1, "once: {said:#?}");
    said.into_iter().next().expect("one")
}

pub(super) fn manifest(world: &World, request: &Value) -> String {
    let branch = request["branch"].as_str().expect("a branch");
    let changed = world.server.upstream.git(&["diff", "--name-only", &format!("main...{branch}")]);
    changed.lines().map(|file| world.server.upstream.git(&["show", &format!("{branch}:{file}")])).collect()
}

pub(super) fn messages(request: &Value) -> String {
    request["timeline"].to_string()
}

#[test]
fn help_and_explain_answer_with_what_there_is_and_nothing_from_the_ticket_is_markup() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    let id = comment(&world, number, ADA, "Hm.\n/kubeops help");
    signed(&world, id, "+1");
    let help = answer(&world, number, id);
    for name in [
        "help",
        "explain",
        "retry",
        "rebase",
        "close [reason]",
        "set parameter=value ...",
        "hold [reason]",
        "release",
        "revert [reason]",
        "extend DURATION",
    ] {
        assert!(help.contains(&format!("`/kubeops {name}`")), "{help}");
    }

    let id = comment(&world, number, ADA, "/kubeops explain");
    signed(&world, id, "+1");
    let why = answer(&world, number, id);
    for part in ["`namespace-request`", "`OPS-1`", "part by part", "is true", "- `team` is `\"payments\"`", "What was planned", "It is proposed"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    world.server.at().settled("OPS-1", "proposed");
}

#[test]
fn set_plans_again_with_the_new_value_and_it_stays_when_the_base_moves() {
    let world = start();
    let first = world.proposed("OPS-1", "payments");
    let before = world.server.at().settled("OPS-1", "proposed");
    let id = comment(&world, first.number, ADA, "/kubeops set cpu=12");
    signed(&world, id, "+1");
    assert!(answer(&world, first.number, id).contains("`cpu` is `\"12\"`"));
    let after = eventually("it is proposed with 12 CPUs", || {
        let request = world.server.at().settled("OPS-1", "proposed");
        (request["commit"] != before["commit"] && manifest(&world, &request).contains("12")).then_some(request)
    });
    assert_eq!((&after["branch"], &after["pull"]["number"]), (&before["branch"], &before["pull"]["number"]));
    assert_eq!(after["parameters"]["cpu"], "12");
    assert!(
        messages(&after).contains("to be planned again with cpu = \\\"12\\\"") && messages(&after).contains("its parameters changed"),
        "{after:#}"
    );
    assert!(messages(&after).contains(&format!("ada (comment {id})")), "{after:#}");

    // Planned again on a base that moved, and by hand: the value stays.
    world.server.upstream.write("main", "unrelated.md", "x\n");
    let again = comment(&world, first.number, ADA, "/kubeops rebase");
    signed(&world, again, "+1");
    assert_eq!(answers(&world, first.number, again), [] as [&str; 0], "the sign says it all");
    let rebased = eventually("the branch stands on the new base", || {
        let request = world.server.at().settled("OPS-1", "proposed");
        let branch = request["branch"].as_str()?.to_owned();
        let base = world.server.upstream.git(&["merge-base", "main", &branch]);
        (base == world.server.upstream.git(&["rev-parse", "main"])).then_some(request)
    });
    assert!(manifest(&world, &rebased).contains("12"), "{rebased:#}");
}

#[test]
fn what_is_open_is_held_and_released_and_what_is_merged_is_taken_back_by_a_comment() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    let id = comment(&world, number, ADA, "/kubeops hold the database is being moved");
    signed(&world, id, "+1");
    eventually("it is held", || pull(&world, number).labels.contains(&"kubeops/held".to_owned()).then_some(()));
    let held = world.server.at().settled("OPS-1", "proposed");
    assert_eq!(held["held"]["by"], format!("ada (comment {id})"), "{held:#}");
    let id = comment(&world, number, ADA, "/kubeops release");
    signed(&world, id, "+1");
    eventually("it is held no longer", || (!pull(&world, number).labels.contains(&"kubeops/held".to_owned())).then_some(()));
    let id = comment(&world, number, ADA, "/kubeops extend 4h");
    signed(&world, id, "confused");
    assert!(answer(&world, number, id).contains("has no time to live: its change is wanted for good"));

    let request = world.server.at().settled("OPS-1", "proposed");
    let branch = request["branch"].as_str().expect("a branch").to_owned();
    world.server.upstream.git(&["update-ref", "refs/heads/main", &branch]);
    let tip = world.server.upstream.tip("main").expect("a tip").to_string();
    world.github.person(number, |pull| (pull.state, pull.merged, pull.merged_as) = ("closed", true, Some(tip.clone())));
    let merged = json!({ "action": "closed", "number": number, "pull_request": { "number": number, "merged": true, "updated_at": "2026-11-20T12:00:01Z" }, "repository": { "full_name": SLUG } });
    assert_eq!(tell(&world, "pull_request", &merged), "202 accepted");
    world.server.at().settled("OPS-1", "merged");
    let id = comment(&world, number, ADA, "/kubeops revert it made things worse");
    signed(&world, id, "+1");
    let request = world.server.at().settled("OPS-1", "merged");
    let by = request["reverted_by"].as_str().expect("a request").to_owned();
    assert!(answer(&world, number, id).contains(&by));
    // What takes it back passes the same gate, and a namespace is not removed just so.
    let taken_back = eventually("it was planned", || Some(world.server.at().get(&format!("/requests/{by}"))).filter(|by| by["state"] == "rejected"));
    assert_eq!(taken_back["reverts"], request["id"]);
    assert!(
        taken_back["message"].as_str().is_some_and(|message| message.contains("with the namespace payments goes everything in it")),
        "{taken_back:#}"
    );
}

#[test]
fn a_merged_change_is_extended_and_taken_back_by_comments_on_its_pull_request() {
    let mut world = ready();
    world.server.upstream.write("main", edits::PATH, edits::DEPLOYMENT);
    world.server.edit_resource("replicas-request.yaml", |text| text.replacen("\nspec:\n", "\nspec:\n  ttl: 2h\n", 1));
    world.server.run();
    world.server.at().ticket(&edits::replicas("OPS-1", "web", 6.0));
    let request = world.server.at().settled("OPS-1", "proposed");
    let upstream = &world.server.upstream;
    upstream.git(&["update-ref", "refs/heads/main", request["branch"].as_str().expect("a branch")]);
    let tip = upstream.tip("main").expect("a tip").to_string();
    world.github.person(1, |pull| (pull.state, pull.merged, pull.merged_as) = ("closed", true, Some(tip.clone())));
    let event = json!({ "action": "closed", "number": 1, "pull_request": { "number": 1, "merged": true, "updated_at": "2026-11-20T12:00:01Z" }, "repository": { "full_name": SLUG } });
    assert_eq!(tell(&world, "pull_request", &event), "202 accepted");
    let end = |request: &serde_json::Value| request["expires_at"].as_str().expect("an end").parse::<Timestamp>().expect("a moment");
    let before = end(&world.server.at().settled("OPS-1", "merged"));
    let id = comment(&world, 1, ADA, "/kubeops extend 4h");
    signed(&world, id, "+1");
    let extended = world.server.at().settled("OPS-1", "merged");
    assert_eq!(end(&extended), before.plus(std::time::Duration::from_secs(4 * 3600)));
    let id = comment(&world, 1, ADA, "/kubeops revert it made things worse");
    signed(&world, id, "+1");
    let undo = world.server.at().settled(&format!("revert of {}", request["id"].as_str().expect("an id")), "proposed");
    let number = undo["pull"]["number"].as_u64().expect("a number");
    assert_eq!(world.server.upstream.show(edits::PATH, undo["branch"].as_str().expect("a branch")), edits::DEPLOYMENT);
    let opened = pull(&world, number);
    assert!(opened.title.starts_with("Revert \"") && opened.body.contains("it made things worse"), "{opened:?}");
}

#[test]
fn a_value_that_does_not_fit_changes_nothing_and_the_answer_says_why() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    let before = world.server.at().settled("OPS-1", "proposed");
    for (command, wanted) in [
        ("/kubeops set cpu=lots team=\"NOT A NAME\"", vec!["`cpu`", "`team`", "it allows", "[1-9][0-9]{0,2}"]),
        ("/kubeops set cpus=8", vec!["did you mean cpu?"]),
        ("/kubeops set cpu", vec!["there is no `=`"]),
        ("/kubeops set cluster=nowhere", vec!["Nothing was changed", "nowhere"]),
        ("/kubeops rebsae", vec!["There is no command `rebsae`", "Did you mean `rebase`?", "`/kubeops help`"]),
        ("/kubeops merge", vec!["There is no command `merge`"]),
        ("/kubeops retry", vec!["only what failed, was rejected or declined"]),
    ] {
        let id = comment(&world, number, ADA, command);
        signed(&world, id, "confused");
        let said = answer(&world, number, id);
        assert!(wanted.iter().all(|part| said.contains(part)), "{command}: {said}");
    }
    let after = world.server.at().settled("OPS-1", "proposed");
    assert_eq!((&after["commit"], &after["parameters"]), (&before["commit"], &before["parameters"]));
}

#[test]
fn retry_hurries_the_step_that_waits_for_its_next_attempt() {
    let mut world = ready();
    let warp = Warp::of(&mut world.server);
    world.server.run();
    let number = world.proposed("OPS-1", "payments").number;
    let request = world.server.at().settled("OPS-1", "proposed");
    hold_while_the_repository_is_away(&world.server, &warp, request["id"].as_str().expect("an id"));
    let id = comment(&world, number, ADA, "/kubeops retry");
    signed(&world, id, "+1");
    assert!(pull(&world, number).labels.iter().any(|label| label == "kubeops/held"));
    let after = world.server.at().settled("OPS-1", "proposed");
    let hurried =
        |entry: &Value| entry["actor"] == format!("ada (comment {id})") && entry["message"] == "asked for in person: it waits no longer: propose";
    assert!(after["timeline"].as_array().expect("a timeline").iter().any(hurried), "{after:#}");
}

#[test]
fn close_withdraws_with_the_reason_and_retry_asks_again_for_what_a_person_closed() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    let id = comment(&world, number, ADA, "/kubeops close not this quarter");
    signed(&world, id, "+1");
    let withdrawn = world.server.at().settled("OPS-1", "withdrawn");
    assert_eq!(withdrawn["message"], format!("withdrawn by ada (comment {id}): not this quarter"));
    eventually("it is closed", || (pull(&world, number).state == "closed").then_some(()));
    assert!(pull(&world, number).comments.iter().any(|said| said.contains("not this quarter")));

    let second = world.proposed("OPS-2", "billing").number;
    world.github.end(second, false);
    let declined = json!({ "action": "closed", "number": second, "pull_request": { "number": second, "merged": false, "updated_at": "2026-11-20T12:00:01Z" }, "repository": { "full_name": SLUG } });
    assert_eq!(tell(&world, "pull_request", &declined), "202 accepted");
    world.server.at().settled("OPS-2", "declined");
    let id = comment(&world, second, ADA, "/kubeops retry");
    signed(&world, id, "+1");
    let again = world.server.at().settled("OPS-2", "proposed");
    assert_ne!(again["pull"]["number"], second);
    assert!(answer(&world, second, id).contains("asked for again"));
}

#[test]
fn what_a_person_has_taken_over_is_not_planned_again() {
    let world = start();
    let first = world.proposed("OPS-1", "payments");
    world.server.upstream.write(&first.head, "by-hand.md", "x\n");
    for command in ["/kubeops rebase", "/kubeops set cpu=8"] {
        let id = comment(&world, first.number, ADA, command);
        signed(&world, id, "confused");
        assert!(answer(&world, first.number, id).contains("somebody has pushed to its branch"));
    }
    assert!(world.server.upstream.git(&["ls-tree", "-r", "--name-only", &first.head]).contains("by-hand.md"));
}

#[test]
fn only_githubs_own_word_decides_who_may_and_what_was_written() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    // She may only read, whatever the webhook says of her.
    let eve = comment(&world, number, EVE, "/kubeops close");
    signed(&world, eve, "confused");
    // The webhook says that it was Ada's.
    let forged = write(&world, number, EVE, "/kubeops close ");
    assert_eq!(tell(&world, "issue_comment", &said(SLUG, number, forged, ADA, "/kubeops close ")), "202 accepted");
    signed(&world, forged, "confused");
    let request = world.server.at().settled("OPS-1", "proposed");
    assert!(messages(&request).contains(&format!("the commands in comment {eve} were not heeded: eve may not write")), "{request:#}");
    assert_eq!(pull(&world, number).comments, [] as [&str; 0], "no words for who may not ask");

    // The webhook says something else than what she wrote, or names a comment that is nowhere, or on another pull request.
    let harmless = write(&world, number, ADA, "Looks good.");
    let elsewhere = write(&world, number + 1, ADA, "/kubeops close");
    for id in [harmless, elsewhere, 77] {
        assert_eq!(tell(&world, "issue_comment", &said(SLUG, number, id, ADA, "/kubeops close")), "202 accepted");
    }
    world.server.at().nothing_owed();
    for id in [harmless, elsewhere] {
        assert_eq!(world.github.remark(id).reactions, [] as [&str; 0]);
    }
    world.server.at().settled("OPS-1", "proposed");
}

#[test]
fn what_is_no_command_of_a_person_is_ignored() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    let mut ids = Vec::new();
    for body in ["```\n/kubeops close\n```", "> /kubeops close", "`/kubeops close`", "<!-- \n/kubeops close\n-->", "    /kubeops close"] {
        ids.push(comment(&world, number, ADA, body));
    }
    // Ours, by a person's token; a program's; one that was changed since.
    ids.push(comment(&world, number, ADA, "withdrawn by x:\n\n/kubeops close\n\n<!-- kubeops -->"));
    for (author, kind, edited) in [("dependabot[bot]", "Bot", false), (ADA, "Bot", false), (ADA, "User", true)] {
        let id = write(&world, number, author, "/kubeops close");
        world.github.repository(SLUG, |repository| {
            let remark = repository.remarks.iter_mut().find(|remark| remark.id == id).expect("the comment");
            (remark.kind, remark.updated) = (kind, remark.created + i64::from(edited));
        });
        assert_eq!(tell(&world, "issue_comment", &said(SLUG, number, id, author, "/kubeops close")), "202 accepted");
        ids.push(id);
    }
    world.server.at().nothing_owed();
    assert!(ids.iter().all(|id| world.github.remark(*id).reactions.is_empty()));
    assert_eq!(pull(&world, number).comments, [] as [&str; 0]);
    let request = world.server.at().settled("OPS-1", "proposed");
    assert!(messages(&request).contains("it was changed after it was written"), "{request:#}");

    // Strangers' repositories and pull requests, an issue, an edit: nobody is even asked.
    world.github.clear_ledger();
    let id = write(&world, number, ADA, "/kubeops close");
    for body in [said("stranger/gitops", number, id, ADA, "/kubeops close"), said(SLUG, number + 100, id, ADA, "/kubeops close")] {
        assert_eq!(tell(&world, "issue_comment", &body), "202 accepted");
    }
    let mut issue = said(SLUG, number, id, ADA, "/kubeops close");
    issue["issue"].as_object_mut().expect("an issue").remove("pull_request");
    assert_eq!(tell(&world, "issue_comment", &issue), "202 accepted");
    world.server.at().nothing_owed();
    assert_eq!(world.github.calls(), Vec::<String>::new());
}

#[test]
fn a_comment_told_again_is_done_once_and_several_commands_are_done_in_order() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    let body = "/kubeops set cpu=8\n/kubeops set cpu=6\n/kubeops explain";
    let id = comment(&world, number, ADA, body);
    signed(&world, id, "+1");
    let mut again = said(SLUG, number, id, ADA, body);
    assert_eq!(tell(&world, "issue_comment", &again), "200 duplicate");
    again["sender"] = json!({ "login": "another" });
    // GitHub's other hook, say the App's beside the repository's: another delivery about the same comment.
    assert_eq!(tell(&world, "issue_comment", &again), "202 accepted");
    world.server.at().nothing_owed();
    assert!(answer(&world, number, id).contains("`cpu` is `\"6\"`, set by a comment"));
    let request = world.server.at().settled("OPS-1", "proposed");
    assert_eq!(request["parameters"]["cpu"], "6");
    assert_eq!(messages(&request).matches(&format!("(comment {id}")).count(), 2, "{request:#}");

    let many = comment(&world, number, ADA, &"/kubeops help\n".repeat(7));
    signed(&world, many, "confused");
    assert!(answer(&world, number, many).contains("Only the first 5 of 7 commands were looked at."));
}

#[test]
fn a_kill_anywhere_between_an_effect_its_record_and_the_answer_leaves_one_of_each() {
    for point in ["command.effect", "command.carried-out", "command.kept", "command.reacted", "command.answered", "command.settling"] {
        let mut world = ready();
        world.server.set("KUBEOPS_FAILPOINT", point).run();
        let number = world.proposed("OPS-1", "payments").number;
        let id = write(&world, number, ADA, "/kubeops set cpu=8");
        let _ = try_to_tell(&world, "issue_comment", &said(SLUG, number, id, ADA, "/kubeops set cpu=8"));
        let status = world.server.wait();
        assert!(!status.success(), "{point}: it died, not ended: {status}");
        world.server.set("KUBEOPS_FAILPOINT", "").run();
        signed(&world, id, "+1");
        assert!(answer(&world, number, id).contains("`cpu` is `\"8\"`"), "{point}");
        let request = eventually("it is proposed with 8 CPUs", || {
            let request = world.server.at().settled("OPS-1", "proposed");
            (request["parameters"]["cpu"] == "8").then_some(request)
        });
        assert_eq!(messages(&request).matches("to be planned again with").count(), 1, "{point}: {request:#}");
        assert_eq!(request["tasks"], json!([]), "{point}");
    }
}

#[test]
fn a_kill_after_a_stranger_was_refused_leaves_one_sign_and_one_line() {
    let mut world = ready();
    world.server.set("KUBEOPS_FAILPOINT", "command.refused").run();
    let number = world.proposed("OPS-1", "payments").number;
    let id = write(&world, number, EVE, "/kubeops close");
    let _ = try_to_tell(&world, "issue_comment", &said(SLUG, number, id, EVE, "/kubeops close"));
    let status = world.server.wait();
    assert!(!status.success(), "it died, not ended: {status}");
    world.server.set("KUBEOPS_FAILPOINT", "").run();
    signed(&world, id, "confused");
    let request = world.server.at().settled("OPS-1", "proposed");
    assert_eq!(messages(&request).matches("were not heeded").count(), 1, "{request:#}");
    assert_eq!(request["tasks"], json!([]));
}

#[test]
fn however_much_strangers_write_a_request_notes_twenty_and_a_persons_command_is_heeded() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    let strangers: Vec<u64> = (0..22).map(|at| comment(&world, number, EVE, &format!("/kubeops close {at}"))).collect();
    let id = comment(&world, number, ADA, "/kubeops help");
    signed(&world, id, "+1");
    let request = world.server.at().settled("OPS-1", "proposed");
    assert_eq!(messages(&request).matches("were not heeded").count(), 20, "{request:#}");
    assert_eq!(messages(&request).matches("further ones are not noted").count(), 1, "{request:#}");
    let refused = strangers.iter().filter(|id| !world.github.remark(**id).reactions.is_empty()).count();
    assert_eq!(refused, 20);
}

#[test]
fn a_comment_that_is_told_before_its_pull_requests_number_is_noted_is_heeded() {
    let (mut world, number) = died_before_the_number_was_noted();
    let id = write(&world, number, ADA, "/kubeops explain");
    // GitHub is slow to answer while the next process listens and finds the pull request.
    world.github.goes_away(true);
    world.server.set("KUBEOPS_FAILPOINT", "").run();
    assert_eq!(tell(&world, "issue_comment", &said(SLUG, number, id, ADA, "/kubeops explain")), "202 accepted");
    eventually("the webhook is read", || (world.server.at().get("/status")["pending_deliveries"] == 0).then_some(()));
    assert_eq!(world.server.at().requests_of("OPS-1")[0]["pull"], json!(null), "its number is not noted yet");
    world.github.goes_away(false);
    signed(&world, id, "+1");
    assert!(answer(&world, number, id).contains("`OPS-1`"));
    let trace = world.server.at().requests_of("OPS-1");
    assert_eq!(trace.len(), 1);
}

#[test]
fn a_github_that_limits_fails_and_drops_replies_is_answered_once_in_the_end() {
    use crate::support::fake_github::Fault;
    let mut world = ready();
    world.server.set("TASK_MAX_ATTEMPTS", "20").run();
    let number = world.proposed("OPS-1", "payments").number;
    // The first command's sign and answer are written, and no reply comes.
    world.github.drop_replies_to_writes(2);
    let id = comment(&world, number, ADA, "/kubeops help");
    signed(&world, id, "+1");
    assert_eq!(world.github.writes_to_drop(), 0);
    answer(&world, number, id);
    world.github.fail(Fault::BadGateway);
    let id = comment(&world, number, ADA, "/kubeops explain");
    signed(&world, id, "+1");
    answer(&world, number, id);
}
