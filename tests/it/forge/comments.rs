//! Comments and reviews as people write them at GitHub: whose they are, who may ask, signs and answers; each once.

use super::{fake, fake_with_app, github, spec};
use crate::support::fake_github::{Fault, SLUG};
use kubeops::forge::{Forge, ForgeError, GitHub, Reaction, Remark};
use kubeops::request::{RemarkAddress, RemarkPlace};

/// A comment in the conversation.
fn comment(pull: u64, id: u64) -> RemarkAddress {
    RemarkAddress { pull, place: RemarkPlace::Conversation, id }
}

fn at(place: RemarkPlace, pull: u64, id: u64) -> RemarkAddress {
    RemarkAddress { pull, place, id }
}

async fn told(github: &GitHub, remark: RemarkAddress) -> Remark {
    github.remark(&remark).await.expect("told").expect("there")
}

#[tokio::test]
async fn a_comment_is_told_as_github_knows_it_and_one_that_is_gone_is_none() {
    let fake = fake();
    let github = github(&fake);
    let (mut plain, mut edited, mut bot, mut ours) = (0, 0, 0, 0);
    fake.repository(SLUG, |repository| {
        plain = repository.comment(4, "ada", "/kubeops help");
        edited = repository.comment(4, "ada", "x");
        bot = repository.comment(4, "robot[bot]", "x");
        ours = repository.comment(4, "ada", "x\n\n<!-- kubeops:command:7 -->");
        repository.remarks[1].updated += 1;
        repository.remarks[2].kind = "Bot";
    });
    let remark = told(&github, comment(4, plain)).await;
    assert_eq!((remark.at, remark.author.as_str(), remark.body.as_str()), (comment(4, plain), "ada", "/kubeops help"));
    assert_eq!((remark.is_bot, remark.is_ours, remark.edited, &remark.raw["id"]), (false, false, Some(false), &serde_json::json!(plain)));
    assert_eq!(told(&github, comment(4, edited)).await.edited, Some(true));
    assert!(told(&github, comment(4, bot)).await.is_bot);
    assert!(told(&github, comment(4, ours)).await.is_ours);
    assert_eq!(github.remark(&comment(4, 77)).await, Ok(None));
    assert_eq!(github.remark(&comment(5, plain)).await, Ok(None), "it stands on another pull request");
    // A repository that is hidden is another matter.
    fake.fail(Fault::NotFound);
    fake.fail(Fault::NotFound);
    assert!(matches!(github.remark(&comment(4, plain)).await, Err(ForgeError::NotFound { .. })));
}

#[tokio::test]
async fn a_comment_on_a_line_and_a_review_are_edited_only_where_they_were_changed_after_they_were_submitted() {
    let fake = fake();
    let github = github(&fake);
    for place in [RemarkPlace::Thread, RemarkPlace::Review] {
        let mut ids = [0; 3];
        fake.repository(SLUG, |repository| {
            ids = [(); 3].map(|()| repository.write(place, 4, None, "ada", "/kubeops help"));
            // All were drafted a minute before; one was changed while it was a draft, one after it was submitted.
            for (remark, edited) in repository.remarks.iter_mut().filter(|remark| remark.place == place).zip([None, Some(-30), Some(1)]) {
                remark.created -= 60;
                remark.edited = edited.map(|edited| remark.updated + edited);
            }
        });
        for (id, edited) in ids.into_iter().zip([false, false, true]) {
            let remark = told(&github, at(place, 4, id)).await;
            assert_eq!((remark.edited, remark.author.as_str(), remark.at.place), (Some(edited), "ada", place), "{place:?} {id}");
        }
        assert_eq!(github.remark(&at(place, 4, 77)).await, Ok(None));
        assert_eq!(github.remark(&at(place, 5, ids[0])).await, Ok(None), "it stands on another pull request");
        // Where GraphQL may not tell, nobody knows.
        fake.fail_after(1, Fault::Forbidden);
        assert_eq!(told(&github, at(place, 4, ids[0])).await.edited, None);
    }
    let review = told(&github, at(RemarkPlace::Review, 4, 9_000)).await;
    assert_eq!(review.raw["state"], "commented", "as webhooks write it");
    assert!(review.url.ends_with("/pull/4#pullrequestreview-9000"), "{}", review.url);
}

#[tokio::test]
async fn who_may_write_is_githubs_to_say() {
    let fake = fake_with_app();
    let github = github(&fake);
    for (role, may) in [("admin", true), ("maintain", true), ("write", true), ("triage", false), ("read", false), ("none", false)] {
        fake.repository(SLUG, |repository| repository.allow("ada", role));
        assert_eq!(github.may_write("ada").await, Ok(may), "{role}");
    }
    fake.clear_ledger();
    for login in ["", "ada/../bob", "robot[bot]", "a b", "%2e%2e"] {
        assert_eq!(github.may_write(login).await, Ok(false), "{login}");
    }
    assert_eq!(fake.calls(), Vec::<String>::new(), "nothing odd becomes part of an address");
    fake.fail(Fault::Forbidden);
    assert!(github.may_write("ada").await.is_err(), "whoever cannot be asked about is not allowed");
}

#[tokio::test]
async fn a_sign_and_an_answer_are_there_once_however_often_replies_are_lost() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    let mut id = 0;
    fake.repository(SLUG, |repository| id = repository.comment(1, "ada", "/kubeops help"));
    fake.drop_replies_to_writes(2);
    github.react(&comment(1, id), Reaction::Done).await.expect_err("dropped");
    github.comment_once(1, "Yes.", "command:7", false).await.expect_err("dropped");
    for _ in 0..2 {
        github.react(&comment(1, id), Reaction::Done).await.expect("there");
        github.comment_once(1, "Yes.", "command:7", true).await.expect("there");
    }
    assert_eq!(fake.remark(id).reactions, ["+1"]);
    // Somebody who copies the mark does not speak for us.
    github.comment_once(1, "No.", "command:7", true).await.expect("another text");
    assert_eq!(fake.pulls()[0].comments, ["Yes.\n\n<!-- kubeops:command:7 -->", "No.\n\n<!-- kubeops:command:7 -->"]);
    github.react(&comment(1, 77), Reaction::Refused).await.expect("a comment that is gone needs no sign");
}

#[tokio::test]
async fn a_thread_is_answered_in_its_thread_once_and_a_review_in_the_conversation() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    let (mut first, mut second, mut other) = (0, 0, 0);
    fake.repository(SLUG, |repository| {
        first = repository.write(RemarkPlace::Thread, 1, None, "bob", "Why 4?");
        second = repository.write(RemarkPlace::Thread, 1, Some(first), "ada", "/kubeops set cpu=8");
        other = repository.write(RemarkPlace::Thread, 1, None, "ada", "/kubeops help");
    });
    let asked = at(RemarkPlace::Thread, 1, second);
    fake.drop_replies_to_writes(2);
    github.react(&asked, Reaction::Refused).await.expect_err("dropped");
    github.answer_once(&asked, "No.", "command:thread:7", false).await.expect_err("dropped");
    for _ in 0..2 {
        github.react(&asked, Reaction::Refused).await.expect("there");
        github.answer_once(&asked, "No.", "command:thread:7", true).await.expect("there");
    }
    assert_eq!(fake.written(RemarkPlace::Thread, second).reactions, ["confused"]);
    let replies = |first| fake.replies(first).into_iter().filter(|reply| reply.author != "ada").map(|reply| reply.body).collect::<Vec<_>>();
    assert_eq!(replies(first), ["No.\n\n<!-- kubeops:command:thread:7 -->"], "the first of the thread is answered: GitHub takes no other");
    // The same words in another thread are another answer.
    github.answer_once(&at(RemarkPlace::Thread, 1, other), "No.", "command:thread:7", true).await.expect("said");
    assert_eq!((replies(first).len(), replies(other).len()), (1, 1));
    // Whoever took the comment away is answered by nobody, and it is no mistake.
    github.answer_once(&at(RemarkPlace::Thread, 1, 77), "No.", "command:thread:77", false).await.expect("nothing");
    github.react(&at(RemarkPlace::Thread, 1, 77), Reaction::Done).await.expect("nothing");

    fake.clear_ledger();
    let review = at(RemarkPlace::Review, 1, 3);
    github.react(&review, Reaction::Done).await.expect("there are no signs");
    github.answer_once(&review, "Done.", "command:review:3", false).await.expect("said");
    assert_eq!(fake.calls(), ["POST /repos/acme/gitops/issues/1/comments"]);
}
