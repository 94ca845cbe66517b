//! A reviewer steers a request from where the eyes are: commands on a line of the change, and in the words of a review. The rules are
//! those of comments in the conversation.

use super::commands::{ADA, EVE, died_before_the_number_was_noted, manifest, messages, pull, ready, start};
use super::github::World;
use super::heard::{tell, try_to_tell};
use crate::support::fake_github::{FakeRemark, SLUG};
use crate::support::server::eventually;
use kubeops::request::RemarkPlace::{self, Conversation, Review, Thread};
use serde_json::{Value, json};

const OURSELVES: &str = "kubeops-bot";

pub(super) fn write(world: &World, place: RemarkPlace, number: u64, thread: Option<u64>, author: &str, body: &str) -> u64 {
    let mut id = 0;
    world.github.repository(SLUG, |repository| id = repository.write(place, number, thread, author, body));
    id
}

/// What GitHub's webhook says of it.
fn said(place: RemarkPlace, number: u64, id: u64, author: &str, body: &str) -> (&'static str, Value) {
    let (user, moment) = (json!({ "login": author, "type": "User" }), "2026-11-20T12:00:00Z");
    let comment = json!({ "id": id, "body": body, "user": user, "author_association": "OWNER", "created_at": moment, "updated_at": moment });
    let pull = json!({ "number": number, "updated_at": moment });
    let repository = json!({ "full_name": SLUG });
    match place {
        Conversation => {
            let issue = json!({ "number": number, "pull_request": { "url": "https://api.github.com" } });
            ("issue_comment", json!({ "action": "created", "issue": issue, "comment": comment, "repository": repository }))
        }
        Thread => ("pull_request_review_comment", json!({ "action": "created", "pull_request": pull, "comment": comment, "repository": repository })),
        Review => {
            let review = json!({ "id": id, "body": body, "user": user, "state": "commented", "submitted_at": moment });
            ("pull_request_review", json!({ "action": "submitted", "pull_request": pull, "review": review, "repository": repository }))
        }
    }
}

/// GitHub, or whoever has its secret, tells us that somebody wrote something.
pub(super) fn told(world: &World, place: RemarkPlace, number: u64, id: u64, author: &str, body: &str) {
    let (event, body) = said(place, number, id, author, body);
    assert_eq!(tell(world, event, &body), "202 accepted");
}

/// Somebody writes something, and GitHub tells us of it.
pub(super) fn ask(world: &World, place: RemarkPlace, number: u64, thread: Option<u64>, body: &str) -> u64 {
    let id = write(world, place, number, thread, ADA, body);
    told(world, place, number, id, ADA, body);
    id
}

/// The comment on a line, once it has this sign and nothing is owed.
fn signed(world: &World, id: u64, sign: &str) {
    eventually(&format!("line comment {id} has the sign {sign}"), || (world.github.written(Thread, id).reactions == [sign]).then_some(()));
    world.server.at().nothing_owed();
    assert_eq!(world.github.written(Thread, id).reactions, [sign], "one sign");
}

/// What we answered in a thread.
pub(super) fn replies(world: &World, first: u64) -> Vec<FakeRemark> {
    world.github.replies(first).into_iter().filter(|reply| reply.author == OURSELVES).collect()
}

/// What we answered to a review, once there is something.
fn answer(world: &World, number: u64, review: u64) -> String {
    let marker = format!("<!-- kubeops:command:review:{review} -->");
    let mut said = eventually(&format!("review {review} is answered"), || {
        let said: Vec<String> = pull(world, number).comments.into_iter().filter(|said| said.contains(&marker)).collect();
        (!said.is_empty()).then_some(said)
    });
    world.server.at().nothing_owed();
    assert_eq!(said.len(), 1, "once: {said:#?}");
    said.remove(0)
}

#[test]
fn a_command_on_a_line_is_answered_in_its_thread_with_a_sign_and_words() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    let first = ask(&world, Thread, number, None, "Too small.\n\n/kubeops set cpu=12");
    signed(&world, first, "+1");
    let answered = replies(&world, first);
    assert_eq!(answered.len(), 1, "{answered:#?}");
    assert!(answered[0].body.contains("`cpu` is `\"12\"`"), "{answered:#?}");
    let request = world.server.at().settled("OPS-1", "proposed");
    assert!(manifest(&world, &request).contains("12"), "{request:#}");
    assert!(messages(&request).contains(&format!("ada (line comment {first})")), "{request:#}");
    assert_eq!(pull(&world, number).comments, [] as [&str; 0], "nothing is said elsewhere");

    // In the same thread: of a thread only the first comment can be answered, so that is.
    let second = ask(&world, Thread, number, Some(first), "/kubeops rebsae");
    signed(&world, second, "confused");
    let answered = replies(&world, first);
    assert!(answered.len() == 2 && answered[1].body.contains("Did you mean `rebase`?"), "{answered:#?}");
    let third = ask(&world, Thread, number, Some(first), "/kubeops rebase");
    signed(&world, third, "+1");
    assert_eq!(replies(&world, first).len(), 2, "the sign says it all");

    // A comment of the conversation with the same id is another one.
    let elsewhere = ask(&world, Conversation, number, None, "/kubeops explain");
    assert_eq!(elsewhere, first);
    eventually("it is signed", || (world.github.remark(elsewhere).reactions == ["+1"]).then_some(()));
    world.server.at().nothing_owed();
    assert!(pull(&world, number).comments.iter().any(|said| said.contains("part by part")));
    assert_eq!(replies(&world, first).len(), 2);
}

#[test]
fn a_command_in_a_review_is_answered_in_the_conversation_which_names_the_review() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    let id = ask(&world, Review, number, None, "Almost.\n\n/kubeops rebase");
    let link = format!("[the review](<https://github.com/acme/gitops/pull/{number}#pullrequestreview-{id}>) of `ada`");
    assert!(answer(&world, number, id).starts_with(&format!("👍 What {link} asks for was done.\n\n<!--")), "{}", answer(&world, number, id));

    let id = ask(&world, Review, number, None, "/kubeops set cpu=lots");
    let refused = answer(&world, number, id);
    assert!(refused.starts_with("😕 What [the review]") && refused.contains("Nothing was changed") && refused.contains("`cpu`"), "{refused}");

    let id = ask(&world, Review, number, None, "/kubeops set cpu=6");
    assert!(answer(&world, number, id).contains("`cpu` is `\"6\"`"));
    // GitHub's other hook tells of the same review.
    let (event, mut again) = said(Review, number, id, ADA, "/kubeops set cpu=6");
    again["sender"] = json!({ "login": "another" });
    assert_eq!(tell(&world, event, &again), "202 accepted");
    answer(&world, number, id);
    let request = world.server.at().settled("OPS-1", "proposed");
    assert_eq!(request["parameters"]["cpu"], "6");
    assert_eq!(messages(&request).matches(&format!("ada (review {id})")).count(), 1, "{request:#}");
}

#[test]
fn on_lines_and_in_reviews_too_only_githubs_own_word_counts() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    let close = "/kubeops close";
    // Whoever may only read gets a sign where there are signs, and no words.
    for place in [Thread, Review] {
        let id = write(&world, place, number, None, EVE, close);
        // The webhook says that it was Ada's.
        told(&world, place, number, id, ADA, close);
        world.server.at().nothing_owed();
        let request = world.server.at().settled("OPS-1", "proposed");
        let what = if place == Thread { "line comment" } else { "review" };
        assert!(messages(&request).contains(&format!("the commands in {what} {id} were not heeded: eve may not write")), "{request:#}");
    }
    signed(&world, 9_000, "confused");

    // A webhook that says something else than what she wrote, or names what is nowhere, on another pull request or in another place.
    let other = world.proposed("OPS-2", "billing").number;
    for place in [Thread, Review] {
        let harmless = write(&world, place, number, None, ADA, "Looks good.");
        let elsewhere = write(&world, place, other, None, ADA, close);
        for id in [harmless, elsewhere, 77] {
            told(&world, place, number, id, ADA, close);
        }
    }
    // What was said in the conversation has an id that nothing on a line has.
    let spoken = [(); 9].map(|()| write(&world, Conversation, number, None, ADA, close))[8];
    told(&world, Thread, number, spoken, ADA, close);
    told(&world, Review, number, spoken, ADA, close);
    world.server.at().nothing_owed();
    assert_eq!(world.github.remark(spoken).reactions, [] as [&str; 0]);
    assert_eq!(pull(&world, number).comments, [] as [&str; 0]);
    world.server.at().settled("OPS-1", "proposed");
    world.server.at().settled("OPS-2", "proposed");
}

#[test]
fn what_is_no_command_of_a_person_is_ignored_on_lines_and_in_reviews_and_a_draft_is_none_before_it_is_submitted() {
    let world = start();
    let number = world.proposed("OPS-1", "payments").number;
    world.github.repository(SLUG, |repository| repository.allow(OURSELVES, "write"));
    let close = "/kubeops close";
    for place in [Thread, Review] {
        for body in ["```suggestion\n/kubeops close\n```", "> /kubeops close", "<!--\n/kubeops close\n-->", "    /kubeops close"] {
            ask(&world, place, number, None, body);
        }
        ask(&world, place, number, None, "Withdrawn:\n\n/kubeops close\n\n<!-- kubeops:command:thread:1 -->");
        for (kind, edited) in [("Bot", None), ("User", Some(1))] {
            let id = write(&world, place, number, None, ADA, close);
            world.github.repository(SLUG, |repository| {
                let remark = repository.remarks.iter_mut().find(|remark| remark.place == place && remark.id == id).expect("it was written");
                (remark.kind, remark.edited) = (kind, edited.map(|later| remark.updated + later));
            });
            told(&world, place, number, id, ADA, close);
        }
    }
    world.server.at().nothing_owed();
    let request = world.server.at().settled("OPS-1", "proposed");
    assert_eq!(messages(&request).matches("it was changed after it was written").count(), 2, "{request:#}");
    assert_eq!(pull(&world, number).comments, [] as [&str; 0]);

    // Where GitHub does not tell whether it was edited, nobody can know what was asked.
    world.github.repository(SLUG, |repository| repository.tells_edits = false);
    let untold = [Thread, Review].map(|place| ask(&world, place, number, None, close));
    world.server.at().nothing_owed();
    world.github.repository(SLUG, |repository| repository.tells_edits = true);
    let request = world.server.at().settled("OPS-1", "proposed");
    assert_eq!(messages(&request).matches("the forge does not tell whether it was changed since").count(), 2, "{untold:?}: {request:#}");

    // An edit, and a review that is dismissed, tell of nothing new.
    world.github.clear_ledger();
    for (place, action) in [(Thread, "edited"), (Thread, "deleted"), (Review, "edited"), (Review, "dismissed")] {
        let (event, mut body) = said(place, number, 9_000, ADA, close);
        body["action"] = json!(action);
        assert_eq!(tell(&world, event, &body), "202 accepted");
    }
    world.server.at().nothing_owed();
    assert!(!world.github.calls().iter().any(|call| call.contains("9000")), "{:#?}", world.github.calls());

    // Drafted a minute before the review was submitted, and written anew meanwhile: GitHub's times differ, and nobody edited anything.
    let id = write(&world, Thread, number, None, ADA, "/kubeops help");
    world.github.repository(SLUG, |repository| {
        let remark = repository.remarks.last_mut().expect("it was written");
        (remark.created, remark.edited) = (remark.created - 60, Some(remark.updated - 20));
    });
    told(&world, Thread, number, id, ADA, "/kubeops help");
    signed(&world, id, "+1");

    // Our own answer, which is full of commands, comes back as a webhook. Our account may write.
    let ours = replies(&world, id).remove(0);
    assert!(ours.body.contains("/kubeops close"), "{ours:#?}");
    told(&world, Thread, number, ours.id, OURSELVES, &ours.body);
    world.server.at().nothing_owed();
    assert_eq!((replies(&world, id).len(), world.github.written(Thread, ours.id).reactions.len()), (1, 0), "nobody answers himself");
}

#[test]
fn on_lines_and_in_reviews_too_what_is_told_before_the_pull_requests_number_is_noted_is_heeded() {
    let (mut world, number) = died_before_the_number_was_noted();
    let line = write(&world, Thread, number, None, ADA, "/kubeops explain");
    let review = write(&world, Review, number, None, ADA, "/kubeops explain");
    assert_eq!(line, review, "the ids of each place are its own");
    world.github.goes_away(true);
    world.server.set("KUBEOPS_FAILPOINT", "").run();
    told(&world, Thread, number, line, ADA, "/kubeops explain");
    told(&world, Review, number, review, ADA, "/kubeops explain");
    eventually("the webhooks are read", || (world.server.at().get("/status")["pending_deliveries"] == 0).then_some(()));
    assert_eq!(world.server.at().requests_of("OPS-1")[0]["pull"], json!(null), "its number is not noted yet");
    world.github.goes_away(false);
    signed(&world, line, "+1");
    assert_eq!(replies(&world, line).len(), 1);
    assert!(answer(&world, number, review).contains("`OPS-1`"));
}

#[test]
fn a_kill_between_an_effect_its_record_and_the_answer_leaves_one_of_each_in_a_thread_and_for_a_review() {
    let points = ["command.effect", "command.kept", "command.reacted", "command.answered"];
    for (place, point) in points.map(|point| (Thread, point)).into_iter().chain([(Review, "command.carried-out"), (Review, "command.answered")]) {
        let mut world = ready();
        world.server.set("KUBEOPS_FAILPOINT", point).run();
        let number = world.proposed("OPS-1", "payments").number;
        let id = write(&world, place, number, None, ADA, "/kubeops set cpu=8");
        let (event, body) = said(place, number, id, ADA, "/kubeops set cpu=8");
        let _ = try_to_tell(&world, event, &body);
        let status = world.server.wait();
        assert!(!status.success(), "{point}: it died, not ended: {status}");
        world.server.set("KUBEOPS_FAILPOINT", "").run();
        let said = match place {
            Review => answer(&world, number, id),
            Thread | Conversation => {
                eventually("it is answered", || (!replies(&world, id).is_empty()).then_some(()));
                signed(&world, id, "+1");
                let mut said = replies(&world, id);
                assert_eq!(said.len(), 1, "{point}: {said:#?}");
                said.remove(0).body
            }
        };
        assert!(said.contains("`cpu` is `\"8\"`"), "{point}: {said}");
        let request = world.server.at().settled("OPS-1", "proposed");
        assert_eq!(request["parameters"]["cpu"], "8", "{request:#}");
        assert_eq!(messages(&request).matches("to be planned again with").count(), 1, "{place:?} {point}: {request:#}");
    }
}
