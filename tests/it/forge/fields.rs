//! What a pull request at GitHub can have beside title and body: set with few calls, changed when it differs, never taken away.

use super::*;
use crate::support::fake_github::{Fault, Merging};
use kubeops::automation::{MergeMethod, Milestone};
use kubeops::forge::{Forge, ForgeError};
use kubeops::types::ErrorClass;
use rstest::rstest;

fn with_everything() -> PullSpec {
    PullSpec { assignees: vec!["bob".to_owned()], milestone: Some(Milestone::Number(4)), ..spec() }
}

const ROUTE: &str = "/repos/acme/gitops";

#[tokio::test]
async fn a_new_pull_request_with_everything_takes_three_calls_and_its_automatic_merge_a_fourth() {
    let fake = fake();
    let github = github(&fake);
    let pull = github.ensure_pull(&with_everything()).await.expect("a pull request");
    let three = [format!("POST {ROUTE}/pulls"), format!("PATCH {ROUTE}/issues/1"), format!("POST {ROUTE}/pulls/1/requested_reviewers")];
    assert_eq!(fake.calls(), three);
    assert_eq!((pull.assignees, pull.milestone.as_deref()), (vec!["bob".to_owned()], Some("Q4")));
    let kept = &fake.pulls()[0];
    assert_eq!((kept.labels.len(), kept.assignees.as_slice(), kept.milestone), (2, ["bob".to_owned()].as_slice(), Some(4)));
    fake.clear_ledger();
    let merging = PullSpec { head: "kubeops/b".parse().expect("a branch"), auto_merge: Some(MergeMethod::Squash), ..with_everything() };
    let pull = github.ensure_pull(&merging).await.expect("a pull request");
    assert_eq!(fake.calls().len(), 4);
    assert_eq!(fake.calls()[3], "POST /graphql");
    assert!(pull.auto_merge);
    assert_eq!(fake.pulls()[1].auto_merge.as_deref(), Some("SQUASH"));
    // Nothing differs: one look.
    fake.clear_ledger();
    github.ensure_pull(&written(&merging, 2)).await.expect("the pull request");
    assert_eq!(fake.calls(), [format!("GET {ROUTE}/pulls/2")]);
}

#[rstest]
#[case(PullSpec { labels: vec!["x".to_owned()], ..plain() }, "POST", "/issues/1/labels")]
#[case(PullSpec { assignees: vec!["bob".to_owned()], ..plain() }, "POST", "/issues/1/assignees")]
#[case(PullSpec { milestone: Some(Milestone::Number(4)), ..plain() }, "PATCH", "/issues/1")]
#[tokio::test]
async fn one_of_them_takes_the_call_that_only_adds(#[case] spec: PullSpec, #[case] method: &str, #[case] route: &str) {
    let fake = fake();
    github(&fake).ensure_pull(&spec).await.expect("a pull request");
    assert_eq!(fake.calls(), [format!("POST {ROUTE}/pulls"), format!("{method} {ROUTE}{route}")]);
}

fn plain() -> PullSpec {
    PullSpec { labels: Vec::new(), reviewers: Vec::new(), ..spec() }
}

#[tokio::test]
async fn what_differs_is_changed_and_what_a_person_added_stays() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&with_everything()).await.expect("a pull request");
    fake.person(1, |pull| {
        pull.labels.push("urgent".to_owned());
        pull.assignees.push("eve".to_owned());
        pull.milestone = Some(3);
    });
    fake.clear_ledger();
    let wanted = PullSpec {
        title: "Another".to_owned(),
        labels: vec!["new".to_owned()],
        assignees: vec!["Bob".to_owned(), "dan".to_owned()],
        ..with_everything()
    };
    github.ensure_pull(&written(&wanted, 1)).await.expect("brought up");
    let kept = &fake.pulls()[0];
    assert_eq!(kept.labels, ["namespace", "kubeops", "urgent", "new"]);
    assert_eq!((kept.assignees.join(" "), kept.milestone, kept.title.as_str()), ("bob eve dan".to_owned(), Some(4), "Another"));
    assert_eq!(fake.calls(), [format!("GET {ROUTE}/pulls/1"), format!("PATCH {ROUTE}/pulls/1"), format!("PATCH {ROUTE}/issues/1")]);
}

#[tokio::test]
async fn a_milestone_is_found_by_its_title_once() {
    let fake = fake();
    let github = github(&fake);
    let titled =
        |head: &str, title: &str| PullSpec { head: head.parse().expect("a branch"), milestone: Some(Milestone::Title(title.to_owned())), ..plain() };
    assert_eq!(github.ensure_pull(&titled("a", "Q4")).await.expect("a pull request").milestone.as_deref(), Some("Q4"));
    github.ensure_pull(&titled("b", "Q4")).await.expect("another");
    assert_eq!(fake.calls().iter().filter(|call| call.contains("milestones")).count(), 1);
    let pull = github.ensure_pull(&titled("c", "Never")).await.expect("it stands all the same");
    assert!(pull.notes[0].contains("no open milestone \"Never\""), "{:?}", pull.notes);
}

#[tokio::test]
async fn one_that_is_refused_does_not_keep_the_others_away() {
    let fake = fake();
    let wanted = PullSpec { milestone: Some(Milestone::Number(99)), assignees: vec!["bob".to_owned(), "nobody".to_owned()], ..spec() };
    let pull = github(&fake).ensure_pull(&wanted).await.expect("a pull request");
    let kept = &fake.pulls()[0];
    assert_eq!((kept.labels.len(), kept.assignees.as_slice(), kept.milestone), (2, ["bob".to_owned()].as_slice(), None));
    let notes = pull.notes.join("; ");
    assert!(notes.contains("milestone was not set") && notes.contains("does not assign nobody"), "{notes}");
}

#[tokio::test]
async fn code_owners_are_asked_by_github_and_stay_asked() {
    let fake = fake();
    fake.repository(SLUG, |repository| repository.code_owners = Some("owners".to_owned()));
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    let fewer = PullSpec { reviewers: vec!["eve".parse().expect("a reviewer")], title: "Another".to_owned(), ..written(&spec(), 1) };
    github.ensure_pull(&fewer).await.expect("brought up");
    let kept = &fake.pulls()[0];
    assert_eq!((kept.teams.join(" "), kept.reviewers.join(" ")), ("owners platform".to_owned(), "ada eve".to_owned()));
    assert!(fake.ledger().iter().all(|seen| seen.method != "DELETE"), "nobody is ever removed");
}

#[tokio::test]
async fn a_draft_is_marked_ready_when_it_is_asked_to_and_a_persons_draft_is_left() {
    let fake = fake();
    let github = github(&fake);
    let draft = PullSpec { draft: true, ..plain() };
    assert!(github.ensure_pull(&draft).await.expect("a draft").draft && fake.pulls()[0].draft);
    let known = written(&draft, 1).written;
    let ready = github.ensure_pull(&PullSpec { written: known, ..again(&plain()) }).await.expect("ready");
    assert!(!ready.draft && !fake.pulls()[0].draft);
    // A person makes it a draft again: it is theirs to mark ready.
    fake.person(1, |pull| pull.draft = true);
    assert!(github.ensure_pull(&written(&plain(), 1)).await.expect("left").draft);
    assert!(fake.pulls()[0].draft);
}

#[tokio::test]
async fn where_there_are_no_drafts_it_is_an_ordinary_one_and_says_so() {
    let fake = fake();
    fake.repository(SLUG, |repository| repository.has_drafts = false);
    let pull = github(&fake).ensure_pull(&PullSpec { draft: true, ..plain() }).await.expect("a pull request");
    assert!(!pull.draft && pull.notes[0].contains("no draft"), "{:?}", pull.notes);
    assert_eq!(fake.pulls().len(), 1);
}

#[rstest]
#[case(Merging::Waits, true, false, None)]
#[case(Merging::CleanQueue, true, true, None)]
#[case(Merging::Clean, false, false, Some("nothing stands in the way"))]
#[case(Merging::NotAllowed, false, false, Some("allow it in the repository's settings"))]
#[tokio::test]
async fn automatic_merge_is_switched_on_queued_or_explained(
    #[case] merging: Merging,
    #[case] on: bool,
    #[case] queued: bool,
    #[case] note: Option<&str>,
) {
    let fake = fake();
    fake.repository(SLUG, |repository| repository.merging = merging);
    let github = github(&fake);
    let wanted = PullSpec { auto_merge: Some(MergeMethod::Rebase), ..plain() };
    let pull = github.ensure_pull(&wanted).await.expect("a pull request");
    assert_eq!((pull.auto_merge, pull.queued), (on, queued), "{:?}", pull.notes);
    assert_eq!(pull.notes.len(), usize::from(note.is_some()), "{:?}", pull.notes);
    assert!(note.is_none_or(|note| pull.notes[0].contains(note)), "{:?}", pull.notes);
    fake.clear_ledger();
    assert_eq!(github.get(1).await.expect("the pull request").queued, queued, "a queued branch must not be pushed to");
    assert_eq!(fake.calls(), [format!("GET {ROUTE}/pulls/1"), "POST /graphql".to_owned()]);
    // A person who switches it off is not overruled, and what was refused is not asked for again.
    fake.person(1, |pull| pull.auto_merge = None);
    fake.clear_ledger();
    github.ensure_pull(&written(&wanted, 1)).await.expect("the pull request");
    assert_eq!(fake.calls(), [format!("GET {ROUTE}/pulls/1")]);
}

#[tokio::test]
async fn an_enterprise_server_without_graphql_has_no_queue_and_is_asked_once() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&plain()).await.expect("a pull request");
    fake.fail_after(1, Fault::NotFound);
    for _ in 0..2 {
        assert!(!github.get(1).await.expect("the pull request").queued);
    }
    assert_eq!(fake.calls().iter().filter(|call| call.contains("graphql")).count(), 1);
}

#[rstest]
#[case(Fault::Forbidden)]
#[case(Fault::Unprocessable)]
#[case(Fault::BadGateway)]
#[tokio::test]
async fn a_refusal_that_passes_does_not_hide_a_merge_queue(#[case] fault: Fault) {
    let fake = fake();
    fake.repository(SLUG, |repository| repository.merging = Merging::CleanQueue);
    let clock = Arc::default();
    let github = repository(&account(&fake.url(), with_token(TOKEN), &clock), SLUG);
    github.ensure_pull(&PullSpec { auto_merge: Some(MergeMethod::Rebase), ..plain() }).await.expect("a pull request");
    fake.fail_after(1, fault);
    let error = github.get(1).await.expect_err("whether it is queued is not known");
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert!(github.get(1).await.expect("the pull request").queued);
}

#[tokio::test]
async fn a_check_run_stands_beside_a_commit_once_and_only_an_app_writes_it() {
    let check = kubeops::forge::CheckSpec {
        commit: spec().head_commit,
        key: "req_1".to_owned(),
        title: "Namespace web".to_owned(),
        summary: "ä".repeat(70_000),
        details: "http://kubeops.test/requests/req_1".to_owned(),
        warnings: true,
        asked_before: false,
    };
    let fake = fake_with_app();
    let clock = Arc::default();
    assert!(!github(&fake).report(&check).await.expect("skipped"));
    assert_eq!(fake.calls(), [] as [&str; 0], "a token calls nobody");
    let app = repository(&account(&fake.url(), as_app(Some(34)), &clock), SLUG);
    assert!(app.report(&check).await.expect("written"));
    let again = kubeops::forge::CheckSpec { asked_before: true, ..check.clone() };
    assert!(app.report(&again).await.expect("found"));
    let [kept] = fake.checks().try_into().expect("one check run");
    assert_eq!((kept.name.as_str(), kept.key.as_str(), kept.conclusion.as_str()), ("kubeops", "req_1", "neutral"));
    assert_eq!(kept.summary.chars().count(), 65_535);
    // What it says has changed: the run there is changed, where nothing has it is left.
    let calls = fake.calls().len();
    let better = kubeops::forge::CheckSpec { warnings: false, summary: "no conflict any more".to_owned(), ..again.clone() };
    for _ in 0..2 {
        assert!(app.report(&better).await.expect("changed"));
    }
    let [changed] = fake.checks().try_into().expect("one check run");
    assert_eq!((changed.conclusion.as_str(), changed.summary.as_str()), ("success", "no conflict any more"));
    assert_eq!(fake.calls().len(), calls + 3, "a look and a change, then a look: {:?}", fake.calls());
    // Another request's run beside the same commit is another one.
    assert!(app.report(&kubeops::forge::CheckSpec { key: "req_2".to_owned(), ..again.clone() }).await.expect("written"));
    assert_eq!(fake.checks().len(), 2);
    fake.repository(SLUG, |repository| repository.may_check = false);
    assert!(!app.report(&check).await.expect("an App that may not write checks does all the rest"));
}

#[tokio::test]
async fn a_reviewer_nobody_knows_is_a_note_and_a_wrong_repository_is_none() {
    let fake = fake();
    let missing = repository(&account(&fake.url(), with_token(TOKEN), &Arc::default()), "acme/nothing");
    assert!(matches!(missing.ensure_pull(&spec()).await, Err(ForgeError::NotFound { .. })));
}
