//! A pull request at GitHub: made once, found again, brought up to date, ended.

use super::*;
use crate::support::fake_github::Fault;
use kubeops::forge::{Forge, ForgeError, PullState};

#[tokio::test]
async fn a_new_pull_request_takes_three_calls_and_an_unchanged_one_a_single_look() {
    let fake = fake();
    let github = github(&fake);
    let pull = github.ensure_pull(&spec()).await.expect("a pull request");
    assert_eq!((pull.number, pull.state), (1, PullState::Open));
    assert_eq!(pull.url, "https://github.com/acme/gitops/pull/1");
    let kept = &fake.pulls()[0];
    assert_eq!((kept.title.as_str(), kept.body.as_str()), ("Namespace web (OPS-42)", "Asked for by Ada."));
    assert_eq!(kept.labels, ["namespace", "kubeops"]);
    assert_eq!((kept.reviewers.as_slice(), kept.teams.as_slice()), (["ada".to_owned()].as_slice(), ["platform".to_owned()].as_slice()));
    let calls = fake.calls();
    let route = "/repos/acme/gitops";
    assert_eq!(calls, [format!("POST {route}/pulls"), format!("POST {route}/issues/1/labels"), format!("POST {route}/pulls/1/requested_reviewers")]);
    assert_eq!(fake.ledger()[2].body, serde_json::json!({ "reviewers": ["ada"], "team_reviewers": ["platform"] }));
    fake.clear_ledger();
    let same = github.ensure_pull(&again(&spec())).await.expect("the pull request");
    assert_eq!((same.number, same.labels, same.reviewers), (pull.number, pull.labels, pull.reviewers));
    assert_eq!(fake.calls(), [format!("GET {route}/pulls")]);
    // What was written is known: it is looked at by its number.
    fake.clear_ledger();
    github.ensure_pull(&written(&spec(), 1)).await.expect("the pull request");
    assert_eq!(fake.calls(), [format!("GET {route}/pulls/1")]);
}

#[tokio::test]
async fn what_differs_is_brought_up_and_what_a_person_added_stays() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    fake.person(1, |pull| {
        pull.labels.push("urgent".to_owned());
        pull.body = "Asked for by Ada.\r\n".to_owned();
    });
    fake.clear_ledger();
    let wanted = PullSpec { title: "Namespace web-2".to_owned(), labels: vec!["Namespace".to_owned(), "new".to_owned()], ..again(&spec()) };
    let pull = github.ensure_pull(&wanted).await.expect("the pull request");
    assert_eq!(pull.title, "Namespace web-2");
    assert_eq!(fake.pulls()[0].labels, ["namespace", "kubeops", "urgent", "new"]);
    assert_eq!(fake.ledger().len(), 3, "look, change, label");
}

#[tokio::test]
async fn who_has_reviewed_is_not_asked_again() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    fake.person(1, |pull| {
        pull.reviewers.clear();
        pull.teams.clear();
        pull.reviews = vec![
            ("ada".to_owned(), "APPROVED".to_owned()),
            ("bob".to_owned(), "APPROVED".to_owned()),
            ("bob".to_owned(), "CHANGES_REQUESTED".to_owned()),
            ("ada".to_owned(), "COMMENTED".to_owned()),
        ];
    });
    github.ensure_pull(&again(&spec())).await.expect("the pull request");
    assert!(fake.pulls()[0].reviewers.is_empty());
    assert_eq!(approvals(&github).await, ["ada"]);
}

async fn approvals(github: &GitHub) -> Vec<String> {
    github.look(&[1], None).await.expect("looked").pulls.remove(0).approved_by
}

#[tokio::test]
async fn of_many_reviews_and_comments_the_newest_count_as_well() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    fake.person(1, |pull| {
        pull.reviews = (0..250).map(|_| ("bob".to_owned(), "COMMENTED".to_owned())).collect();
        pull.reviews.push(("ada".to_owned(), "APPROVED".to_owned()));
        pull.comments = (0..100).map(|number| format!("comment {number}")).collect();
    });
    assert_eq!(approvals(&github).await, ["ada"]);
    // The reply to closing is lost: the words that were written are the last of many.
    fake.drop_replies_to_writes(1);
    github.close(1, Some("Not needed.")).await.expect_err("dropped");
    github.close(1, Some("Not needed.")).await.expect("closed");
    let [kept] = fake.pulls().try_into().expect("one");
    assert_eq!((kept.comments.len(), kept.comments[100].as_str()), (101, "Not needed.\n\n<!-- kubeops -->"));
}

#[tokio::test]
async fn what_a_person_closed_or_merged_is_told_and_not_touched() {
    for (merged, state) in [(false, PullState::Closed), (true, PullState::Merged)] {
        let fake = fake();
        let github = github(&fake);
        github.ensure_pull(&spec()).await.expect("a pull request");
        fake.end(1, merged);
        fake.clear_ledger();
        let pull = github.ensure_pull(&PullSpec { title: "Another".to_owned(), ..again(&spec()) }).await.expect("the pull request");
        assert_eq!(pull.state, state);
        assert_eq!(pull.merge_commit.is_some(), merged);
        assert_eq!((fake.pulls().len(), fake.ledger().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_closed_pull_request_of_another_requests_commit_is_not_taken_for_ones_own() {
    let other = PullSpec { head_commit: "2".repeat(40).parse().expect("a commit"), ..again(&spec()) };
    for merged in [false, true] {
        let fake = fake();
        let github = github(&fake);
        github.ensure_pull(&spec()).await.expect("a pull request");
        fake.end(1, merged);
        // A commit of one's own that the branch was at before is what tells.
        let same = PullSpec { earlier: vec![spec().head_commit], ..other.clone() };
        assert_eq!(github.ensure_pull(&same).await.expect("the first").number, 1);
        let pull = github.ensure_pull(&other).await.expect("one of its own");
        assert_eq!((pull.number, pull.state), (2, PullState::Open));
    }
}

#[tokio::test]
async fn an_open_pull_request_counts_before_a_closed_one_of_the_same_branch() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    fake.end(1, false);
    github.ensure_pull(&spec()).await.expect("a second, because nothing is known of the first");
    let head = spec().head;
    assert_eq!(github.find(&head).await.expect("found").expect("a pull request").number, 2);
    fake.end(2, false);
    assert_eq!(github.find(&head).await.expect("found").expect("a pull request").number, 2);
    assert_eq!(github.find(&"other".parse().expect("a branch")).await.expect("looked"), None);
}

#[tokio::test]
async fn a_refusal_because_there_is_one_finds_it_even_when_nothing_was_recorded() {
    let fake = fake();
    let github = github(&fake);
    fake.fail(Fault::DroppedAfter);
    github.ensure_pull(&spec()).await.expect_err("dropped");
    // The caller's note of the first attempt was lost as well.
    let pull = github.ensure_pull(&spec()).await.expect("found");
    assert_eq!((pull.number, fake.pulls().len()), (1, 1));
    assert_eq!(fake.pulls()[0].labels, ["namespace", "kubeops"]);
}

#[tokio::test]
async fn a_refusal_because_it_is_merged_already_tells_the_merged_one() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    fake.person(1, |pull| {
        pull.merged = true;
        pull.state = "closed";
    });
    // Nothing was recorded, and the branch was deleted with the merge and pushed again.
    fake.fail(Fault::NoCommits);
    let pull = github.ensure_pull(&spec()).await.expect("found");
    assert_eq!((pull.number, pull.state), (1, PullState::Merged));
    // Another commit is not what was merged.
    fake.fail(Fault::NoCommits);
    let other = PullSpec { head_commit: "2".repeat(40).parse().expect("a commit"), ..spec() };
    assert!(matches!(github.ensure_pull(&other).await, Err(ForgeError::NothingToPropose { .. })));
}

#[tokio::test]
async fn a_reviewer_nobody_knows_is_a_note_and_the_pull_request_stands() {
    let fake = fake();
    let github = github(&fake);
    let reviewers = vec!["nobody".parse().expect("a reviewer"), "kubeops-bot".parse().expect("a reviewer")];
    let pull = github.ensure_pull(&PullSpec { reviewers, ..spec() }).await.expect("a pull request");
    assert_eq!(pull.notes.len(), 2, "{:?}", pull.notes);
    assert!(pull.notes[1].contains("collaborators"), "{:?}", pull.notes);
}

#[tokio::test]
async fn an_enterprise_address_has_a_path_and_long_texts_are_cut() {
    let fake = fake();
    let github = github_at(&format!("{}/api/v3/", fake.url()), TOKEN);
    let spec = PullSpec { title: "ä".repeat(400), body: "ö".repeat(70_000), ..spec() };
    github.ensure_pull(&spec).await.expect("a pull request");
    assert!(fake.ledger().iter().all(|seen| seen.path.starts_with("/api/v3/repos/acme/gitops/")));
    assert!(!github.get(1).await.expect("told").queued);
    assert_eq!(fake.calls().last().map(String::as_str), Some("POST /api/graphql"), "GraphQL stands beside it");
    fake.clear_ledger();
    github.ensure_pull(&again(&spec)).await.expect("the pull request");
    assert_eq!(fake.ledger().len(), 1, "the cut texts are the wanted ones");
}

#[tokio::test]
async fn closing_says_why_once() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    for _ in 0..2 {
        let pull = github.close(1, Some("The ticket was cancelled.")).await.expect("closed");
        assert_eq!(pull.state, PullState::Closed);
    }
    assert_eq!(fake.pulls()[0].comments, ["The ticket was cancelled.\n\n<!-- kubeops -->"]);
    // However often the replies are lost.
    github.ensure_pull(&PullSpec { head: "kubeops/b".parse().expect("a branch"), ..spec() }).await.expect("another");
    fake.drop_replies_to_writes(2);
    for _ in 0..2 {
        github.close(2, Some("Not needed.")).await.expect_err("dropped");
    }
    assert_eq!(github.close(2, Some("Not needed.")).await.expect("closed").state, PullState::Closed);
    assert_eq!(fake.pulls()[1].comments, ["Not needed.\n\n<!-- kubeops -->"]);
    assert!(matches!(github.close(9, None).await, Err(ForgeError::NoPull { number: 9, .. })));
    assert!(matches!(github.comment_once(9, "x", "x", false).await, Err(ForgeError::NoPull { number: 9, .. })));
}

#[test]
fn a_repository_is_owner_and_name_and_cannot_leave_its_route() {
    assert!(GitHubSettings::of("acme/git.ops_2").is_ok());
    for bad in ["", "acme", "acme/", "/x", "a/b/c", "acme/..", "acme/x?y", "acme/x y", "../x"] {
        assert!(GitHubSettings::of(bad).is_err(), "{bad:?}");
    }
}
