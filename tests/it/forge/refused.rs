//! Why git was refused, as GitHub's API tells it: asked with one call, and silent where it knows no reason.

use super::*;
use crate::support::fake_github::Fault;
use kubeops::forge::{Forge, ForgeError};
use kubeops::types::ErrorClass;
use rstest::rstest;

const CALL: &str = "GET /repos/acme/gitops";

#[tokio::test]
async fn where_all_is_well_it_knows_no_reason_and_makes_one_call() {
    let fake = fake();
    assert_eq!(github(&fake).why_refused().await, Ok(()));
    assert_eq!(fake.calls(), [CALL]);
}

#[tokio::test]
async fn a_name_in_other_letters_is_the_same_name() {
    let fake = fake();
    fake.rename(SLUG, "Acme/GitOps");
    assert_eq!(github(&fake).why_refused().await, Ok(()));
}

#[tokio::test]
async fn an_archived_repository_is_told() {
    let fake = fake();
    fake.repository(SLUG, |repository| (repository.archived, repository.may_push) = (true, false));
    let error = github(&fake).why_refused().await.expect_err("archived");
    assert!(matches!(error, ForgeError::Archived { .. }), "{error}");
}

#[tokio::test]
async fn a_right_that_was_taken_away_is_told() {
    let fake = fake();
    fake.repository(SLUG, |repository| repository.may_push = false);
    let error = github(&fake).why_refused().await.expect_err("no right");
    assert_eq!(error.class(), ErrorClass::Permanent);
    assert!(error.to_string().contains("may be read but not written by this token"), "{error}");
}

#[tokio::test]
async fn an_apps_right_is_read_from_its_token_alone() {
    let fake = fake_with_app();
    // Of the people who may push, an App is none.
    fake.repository(SLUG, |repository| repository.may_push = false);
    let clock = Arc::default();
    let app = repository(&account(&fake.url(), as_app(Some(34)), &clock), SLUG);
    assert_eq!(app.why_refused().await, Ok(()));
    fake.app(|app| app.contents = "read");
    // Git was refused: the next token says what it may do.
    app.git_refused().await;
    let error = app.why_refused().await.expect_err("no right");
    assert!(error.to_string().contains("not written by GitHub App 12"), "{error}");
}

#[tokio::test]
async fn a_renamed_repository_is_told_with_its_name_also_when_calls_follow_it_already() {
    let fake = fake();
    let github = github(&fake);
    fake.rename(SLUG, "umbrella/manifests");
    for _ in 0..2 {
        let error = github.why_refused().await.expect_err("renamed");
        assert_eq!(error.class(), ErrorClass::Permanent);
        let said = error.to_string();
        for part in ["acme/gitops is called umbrella/manifests now", "`url`", "`forge.repository`"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[rstest]
#[case(Fault::NotFound, "hides it from this token")]
#[case(Fault::Forbidden, "does not allow it")]
#[case(Fault::Gone, "gone for good")]
#[case(Fault::Blocked, "blocked for legal reasons")]
#[tokio::test]
async fn what_refuses_the_call_itself_is_the_reason(#[case] fault: Fault, #[case] words: &str) {
    let fake = fake();
    fake.fail(fault);
    let error = github(&fake).why_refused().await.expect_err("refused");
    assert_eq!(error.class(), ErrorClass::Permanent);
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn a_token_that_is_taken_nowhere_may_be_replaced_in_time() {
    let fake = fake();
    fake.fail(Fault::Unauthorised);
    assert_eq!(github(&fake).why_refused().await, Ok(()));
    fake.fail(Fault::BadGateway);
    let error = github(&fake).why_refused().await.expect_err("not told");
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
}
