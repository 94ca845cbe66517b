//! Comments as people write them at GitHub: whose they are, who may ask, signs and answers; each once.

use super::{fake, fake_with_app, github, spec};
use crate::support::fake_github::{Fault, SLUG};
use kubeops::forge::{Forge, ForgeError, Reaction, Remark};

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
    let remark = |id| github.remark(id);
    let expected = Remark { pull: Some(4), author: "ada".to_owned(), is_bot: false, is_ours: false, edited: false, body: "/kubeops help".to_owned() };
    assert_eq!(remark(plain).await.expect("told"), Some(expected));
    assert!(remark(edited).await.expect("told").expect("there").edited);
    assert!(remark(bot).await.expect("told").expect("there").is_bot);
    assert!(remark(ours).await.expect("told").expect("there").is_ours);
    assert_eq!(remark(77).await.expect("told"), None);
    // A repository that is hidden is another matter.
    fake.fail(Fault::NotFound);
    fake.fail(Fault::NotFound);
    assert!(matches!(remark(plain).await, Err(ForgeError::NotFound { .. })));
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
    github.react(id, Reaction::Done).await.expect_err("dropped");
    github.comment_once(1, "Yes.", "command:7", false).await.expect_err("dropped");
    for _ in 0..2 {
        github.react(id, Reaction::Done).await.expect("there");
        github.comment_once(1, "Yes.", "command:7", true).await.expect("there");
    }
    assert_eq!(fake.remark(id).reactions, ["+1"]);
    // Somebody who copies the mark does not speak for us.
    github.comment_once(1, "No.", "command:7", true).await.expect("another text");
    assert_eq!(fake.pulls()[0].comments, ["Yes.\n\n<!-- kubeops:command:7 -->", "No.\n\n<!-- kubeops:command:7 -->"]);
    github.react(77, Reaction::Refused).await.expect("a comment that is gone needs no sign");
}
