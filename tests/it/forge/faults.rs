//! Whatever goes wrong at GitHub, and whenever: one whole pull request in the end, or a sentence a person understands.

use super::*;
use crate::support::door::{Door, Ends};
use crate::support::fake_github::Fault;
use kubeops::automation::{MergeMethod, Milestone};
use kubeops::forge::{CheckSpec, Forge, ForgeError, Pull, PullState};
use kubeops::types::ErrorClass;
use rstest::rstest;

/// Everything a pull request can have.
fn everything() -> PullSpec {
    PullSpec { assignees: vec!["bob".to_owned()], milestone: Some(Milestone::Number(4)), auto_merge: Some(MergeMethod::Squash), ..spec() }
}

fn check(asked_before: bool) -> CheckSpec {
    CheckSpec {
        commit: spec().head_commit,
        key: "req_1".to_owned(),
        title: "Namespace web".to_owned(),
        summary: "All is well.".to_owned(),
        details: "http://kubeops.test/requests/req_1".to_owned(),
        warnings: false,
        asked_before,
    }
}

/// Tries until it is done, waiting as long as it is told to; tells the attempts it took.
async fn until_whole(github: &GitHub, clock: &Hand, spec: &PullSpec, with_check: bool) -> (Pull, u32) {
    for attempt in 1..20 {
        let wanted = PullSpec { asked_before: spec.asked_before || attempt > 1, ..spec.clone() };
        let done = match github.ensure_pull(&wanted).await {
            Ok(pull) if with_check => github.report(&check(attempt > 1)).await.map(|_| pull),
            done => done,
        };
        match done {
            Ok(pull) => return (pull, attempt),
            Err(error) => {
                assert_eq!(error.class(), ErrorClass::Transient, "{error}");
                clock.wait(error.retry_after().map_or(1, |wait| i64::try_from(wait.as_secs()).expect("seconds")));
            }
        }
    }
    panic!("it is never done");
}

/// Every fault in every call of a new pull request with everything, as an App: its installation, its token, the pull
/// request, labels with assignees and milestone, reviewers, automatic merge, check run.
#[rstest]
#[tokio::test]
async fn a_fault_in_any_call_ends_with_one_whole_pull_request(
    #[values(
        Fault::BadGateway,
        Fault::ServerError,
        Fault::TooMany(None),
        Fault::TooMany(Some(5)),
        Fault::Secondary(None),
        Fault::Secondary(Some(7)),
        Fault::Exhausted { reset: NOW.unsigned_abs() + 90 },
        Fault::DroppedAfter,
        Fault::DroppedBefore,
        Fault::Truncated,
        Fault::Html
    )]
    fault: Fault,
    #[values(0, 1, 2, 3, 4, 5, 6)] call: usize,
) {
    let fake = fake_with_app();
    let clock = Arc::default();
    let github = repository(&account(&fake.url(), as_app(None), &clock), SLUG);
    fake.fail_after(call, fault.clone());
    let (pull, attempts) = until_whole(&github, &clock, &everything(), true).await;
    assert!(attempts > 1 && fake.faults_are_over(), "the fault happened");
    assert_eq!(pull.notes, [] as [&str; 0]);
    let pulls = fake.pulls();
    assert_eq!(pulls.len(), 1);
    assert_eq!(pulls[0].labels, ["namespace", "kubeops"]);
    assert_eq!((pulls[0].reviewers.len(), pulls[0].teams.len()), (1, 1));
    assert_eq!((pulls[0].assignees.as_slice(), pulls[0].milestone), (["bob".to_owned()].as_slice(), Some(4)));
    assert_eq!(pulls[0].auto_merge.as_deref(), Some("SQUASH"));
    assert_eq!(fake.checks().len(), 1, "one check run");
}

#[tokio::test]
async fn of_500_writes_whose_replies_are_dropped_each_happens_once() {
    let fake = fake();
    let clock = Arc::default();
    let github = repository(&account(&fake.url(), with_token(TOKEN), &clock), SLUG);
    fake.drop_replies_to_writes(500);
    let mut made = 0;
    while fake.writes_to_drop() > 0 {
        made += 1;
        let new = PullSpec { head: format!("kubeops/a/{made}").parse().expect("a branch"), ..everything() };
        let (pull, _) = until_whole(&github, &clock, &new, false).await;
        let changed = PullSpec {
            title: format!("Another {made}"),
            labels: vec!["more".to_owned()],
            assignees: vec!["eve".to_owned()],
            ..written(&new, pull.number)
        };
        until_whole(&github, &clock, &changed, false).await;
    }
    assert!(made > 70, "{made} pull requests");
    let pulls = fake.pulls();
    assert_eq!(pulls.len(), made);
    for (pull, number) in pulls.iter().zip(1..) {
        assert_eq!((pull.head.as_str(), pull.title.as_str()), (format!("kubeops/a/{number}").as_str(), format!("Another {number}").as_str()));
        assert_eq!(pull.labels, ["namespace", "kubeops", "more"]);
        assert_eq!(pull.assignees, ["bob", "eve"]);
        assert_eq!((pull.reviewers.len(), pull.milestone, pull.auto_merge.as_deref()), (1, Some(4), Some("SQUASH")));
    }
}

#[rstest]
#[case(Fault::Secondary(Some(17)), Some(17))]
#[case(Fault::Secondary(None), Some(60))]
#[case(Fault::TooMany(Some(5)), Some(5))]
#[case(Fault::TooMany(None), Some(60))]
// Whatever it says, nothing waits longer than an hour.
#[case(Fault::TooMany(Some(u64::MAX)), Some(3600))]
#[case(Fault::Secondary(Some(86_400)), Some(3600))]
#[case(Fault::Exhausted { reset: u64::MAX }, Some(3600))]
#[case(Fault::Exhausted { reset: NOW as u64 + 90 }, Some(90))]
#[case(Fault::BadGateway, None)]
#[tokio::test]
async fn a_limit_says_how_long_to_wait_and_nobody_is_called_meanwhile(#[case] fault: Fault, #[case] seconds: Option<u64>) {
    let fake = fake();
    let clock = Arc::default();
    let github = repository(&account(&fake.url(), with_token(TOKEN), &clock), SLUG);
    fake.fail(fault);
    let error = github.find(&spec().head).await.expect_err("a limit");
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert_eq!(error.retry_after(), seconds.map(Duration::from_secs), "{error}");
    let Some(seconds) = seconds else { return };
    fake.clear_ledger();
    clock.wait(i64::try_from(seconds).expect("seconds") - 1);
    let held = github.ensure_pull(&spec()).await.expect_err("still limited");
    assert!(matches!(held, ForgeError::Limited { retry_after: Some(left), .. } if left == Duration::from_secs(1)), "{held}");
    assert_eq!(fake.calls(), [] as [&str; 0]);
    clock.wait(1);
    github.ensure_pull(&spec()).await.expect("it is over");
}

#[rstest]
#[case(Fault::Forbidden, "not accessible", "give the token")]
#[case(Fault::Archived, "is archived", "unarchive it")]
#[case(Fault::NotFound, "hides it from this token", "check the name")]
#[case(Fault::Gone, "gone for good", "name another repository")]
#[case(Fault::Blocked, "blocked for legal reasons", "settle that")]
#[case(Fault::NoBase, "has no branch main", "create it")]
#[case(Fault::Elsewhere, "another host", "")]
#[tokio::test]
async fn what_cannot_pass_is_final_and_says_what_to_do(#[case] fault: Fault, #[case] what: &str, #[case] advice: &str) {
    let fake = fake();
    let github = github(&fake);
    fake.fail(fault);
    let error = github.ensure_pull(&spec()).await.expect_err("refused");
    assert_eq!(error.class(), ErrorClass::Permanent, "{error}");
    let said = error.to_string();
    assert!(said.contains(what) && said.contains(advice) && said.contains("acme/gitops"), "{said}");
    assert!(fake.pulls().is_empty());
}

#[rstest]
#[case(
    Fault::Lacks(403, "Resource not accessible by personal access token", &[("x-accepted-github-permissions", "pull_requests=write; issues=write")]),
    "it wants pull_requests=write or issues=write"
)]
#[case(
    Fault::Lacks(404, "Not Found", &[("x-accepted-oauth-scopes", "public_repo, repo"), ("x-oauth-scopes", "gist, read:org")]),
    "it wants one of the scopes public_repo, repo, and the token has gist, read:org"
)]
#[tokio::test]
async fn the_right_that_is_missing_is_named(#[case] fault: Fault, #[case] words: &str) {
    let fake = fake();
    fake.fail(fault);
    let said = github(&fake).ensure_pull(&spec()).await.expect_err("refused").to_string();
    assert!(said.contains(words), "{said}");
}

#[rstest]
#[case::has_the_scope(Fault::Lacks(404, "Not Found", &[("x-accepted-oauth-scopes", "public_repo, repo"), ("x-oauth-scopes", "repo")]))]
#[case::another_reason(Fault::Lacks(403, "Resource protected by SAML", &[("x-accepted-github-permissions", "contents=read")]))]
#[case::nothing_named(Fault::Lacks(403, "Resource not accessible by integration", &[]))]
#[tokio::test]
async fn no_right_is_named_that_is_not_missing(#[case] fault: Fault) {
    let fake = fake();
    fake.fail(fault);
    let said = github(&fake).ensure_pull(&spec()).await.expect_err("refused").to_string();
    assert!(!said.contains("it wants"), "{said}");
}

#[rstest]
#[case(Fault::NoHead, "does not see the branch")]
#[case(Fault::TooQuick, "too quickly")]
#[tokio::test]
async fn what_may_pass_is_tried_again(#[case] fault: Fault, #[case] words: &str) {
    let fake = fake();
    let clock = Arc::default();
    let github = repository(&account(&fake.url(), with_token(TOKEN), &clock), SLUG);
    fake.fail(fault);
    let error = github.ensure_pull(&spec()).await.expect_err("not yet");
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    until_whole(&github, &clock, &spec(), false).await;
    assert_eq!(fake.pulls().len(), 1);
}

#[tokio::test]
async fn nothing_to_propose_is_told_as_such() {
    let fake = fake();
    fake.fail(Fault::NoCommits);
    let error = github(&fake).ensure_pull(&spec()).await.expect_err("nothing");
    assert!(matches!(&error, ForgeError::NothingToPropose { base, .. } if base.as_str() == "main"), "{error}");
}

#[tokio::test]
async fn a_renamed_repository_is_followed_and_its_new_name_is_told() {
    for (prefix, new) in [("", "acme/manifests"), ("/api/v3", "umbrella/manifests")] {
        let fake = fake();
        let github = github_at(&format!("{}{prefix}", fake.url()), TOKEN);
        fake.rename(SLUG, new);
        let pull = github.ensure_pull(&spec()).await.expect("a pull request");
        assert_eq!(fake.pulls_of(new).len(), 1);
        let [told] = pull.notes.as_slice() else { panic!("one note: {:?}", pull.notes) };
        assert!(told.contains(new) && told.contains("put that name"), "{told}");
        // From now on it is called by its present name, and a head branch is searched under its present owner.
        fake.clear_ledger();
        assert_eq!(github.find(&spec().head).await.expect("found").expect("a pull request").number, pull.number);
        assert_eq!(fake.calls(), [format!("GET {prefix}/repos/{new}/pulls")]);
    }
}

#[tokio::test]
async fn a_renamed_repository_shows_what_was_asked_for_before() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    fake.rename(SLUG, "umbrella/manifests");
    let same = github.ensure_pull(&again(&spec())).await.expect("found");
    assert_eq!((same.number, fake.pulls_of("umbrella/manifests").len()), (1, 1));
}

#[tokio::test]
async fn a_redirect_in_a_circle_ends() {
    let fake = fake();
    for _ in 0..20 {
        fake.fail(Fault::Circle);
    }
    let error = github(&fake).ensure_pull(&spec()).await.expect_err("a circle");
    assert!(error.to_string().contains("circle"), "{error}");
    assert!(fake.calls().len() < 8, "{:?}", fake.calls());
}

#[tokio::test]
async fn a_pull_request_that_is_not_there_is_told_apart_from_a_hidden_repository() {
    let fake = fake();
    let github = github(&fake);
    assert!(matches!(github.get(9).await, Err(ForgeError::NoPull { number: 9, .. })));
    fake.fail(Fault::NotFound);
    fake.fail(Fault::NotFound);
    assert!(matches!(github.get(9).await, Err(ForgeError::NotFound { .. })));
}

#[tokio::test]
async fn a_wrong_token_is_final_and_never_shown() {
    let fake = fake();
    let github = github_at(&fake.url(), "ghp_wrongwrong");
    let error = github.ensure_pull(&spec()).await.expect_err("refused");
    assert!(matches!(error, ForgeError::Unauthorised { .. }), "{error}");
    assert!(!format!("{error:?} {error}").contains("ghp_"), "{error:?}");
    let broken = github_at(&fake.url(), "ghp_with\nnewline");
    let error = broken.find(&spec().head).await.expect_err("no header");
    assert!(!format!("{error:?} {error}").contains("ghp_"), "{error:?}");
}

#[tokio::test]
async fn silence_ends_with_the_time_out_and_who_is_slow_is_waited_for() {
    let fake = fake();
    let settings = AccountSettings { api: fake.url(), identity: with_token(TOKEN), timeout: Duration::from_millis(1500), pause: Duration::ZERO };
    let account = Arc::new(Account::new(settings, Arc::new(Hand::default())).expect("an account"));
    let github = repository(&account, SLUG);
    fake.fail(Fault::Silent);
    let error = github.ensure_pull(&spec()).await.expect_err("silence");
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    fake.fail(Fault::Slow(200));
    assert_eq!(github.ensure_pull(&again(&spec())).await.expect("found").number, 1);
    let gone = github_at("http://127.0.0.1:1", TOKEN);
    assert_eq!(gone.find(&spec().head).await.expect_err("nobody").class(), ErrorClass::Transient);
}

#[tokio::test]
async fn what_a_person_closed_stays_closed_also_when_its_number_is_known() {
    for merged in [false, true] {
        let fake = fake();
        let github = github(&fake);
        github.ensure_pull(&spec()).await.expect("a pull request");
        fake.end(1, merged);
        let changed = PullSpec { title: "Another".to_owned(), head_commit: "5".repeat(40).parse().expect("a commit"), ..written(&spec(), 1) };
        let pull = github.ensure_pull(&changed).await.expect("told");
        assert_eq!(pull.state, if merged { PullState::Merged } else { PullState::Closed });
        assert_eq!((fake.pulls().len(), fake.pulls()[0].title.as_str()), (1, "Namespace web (OPS-42)"));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_connection_until_its_lease_is_over_is_not_sent(#[values(true, false)] lasts: bool) {
    let (door, ends) = (Door::shut(), Ends::default());
    let github = github_at(&door.url(), TOKEN);
    let find = tokio::spawn(ends.lease().over(async move { github.find(&spec().head).await }));
    // It has begun to wait for a connection.
    tokio::time::sleep(Duration::from_millis(300)).await;
    if !lasts {
        ends.now();
    }
    let opened = door.opens();
    let error = find.await.expect("an end").expect_err("it is not there");
    let said = opened.said();
    match lasts {
        true => assert!(said.starts_with("GET /repos/"), "{said}: {error}"),
        false => {
            assert_eq!(said, "", "nothing of it arrives");
            assert!(error.class() == ErrorClass::Transient && error.to_string().contains("stood still"), "{error}");
        }
    }
}
