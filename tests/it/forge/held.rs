//! What is held at GitHub: the label that comes and goes, the merge that waits, and what stands beside the commit.

use super::*;
use crate::support::fake_github::Merging;
use kubeops::automation::MergeMethod;
use kubeops::forge::{Forge, HELD_LABEL, WINDOW_CONTEXT, WindowSpec};

const ROUTE: &str = "/repos/acme/gitops";

fn merging() -> PullSpec {
    PullSpec { auto_merge: Some(MergeMethod::Squash), labels: vec!["namespace".to_owned()], reviewers: Vec::new(), ..spec() }
}

fn held(spec: &PullSpec) -> PullSpec {
    PullSpec { held: true, ..spec.clone() }
}

/// The same, after it was made to look like `before`.
fn after(before: &PullSpec, spec: &PullSpec) -> PullSpec {
    PullSpec { written: written(before, 1).written, asked_before: true, ..spec.clone() }
}

fn window(held: Option<&str>, asked_before: bool) -> WindowSpec {
    WindowSpec {
        commit: spec().head_commit,
        key: "req_1".to_owned(),
        held: held.map(str::to_owned),
        details: "http://kubeops.test/requests/req_1".to_owned(),
        asked_before,
    }
}

#[tokio::test]
async fn what_is_held_gets_the_label_and_no_merge_by_itself_and_loses_the_label_alone() {
    let fake = fake();
    let github = github(&fake);
    let pull = github.ensure_pull(&held(&merging())).await.expect("held");
    assert!(!pull.auto_merge && pull.labels == ["namespace", HELD_LABEL], "{pull:?}");
    assert!(!fake.calls().contains(&"POST /graphql".to_owned()), "{:?}", fake.calls());
    fake.person(1, |pull| pull.labels.push("urgent".to_owned()));
    fake.clear_ledger();
    // Nothing differs: one look.
    github.ensure_pull(&after(&held(&merging()), &held(&merging()))).await.expect("the same");
    assert_eq!(fake.calls(), [format!("GET {ROUTE}/pulls/1")]);
    fake.clear_ledger();
    let free = github.ensure_pull(&after(&held(&merging()), &merging())).await.expect("free");
    assert!(free.auto_merge && free.labels == ["namespace", "urgent"], "{free:?}");
    assert_eq!(fake.calls(), [format!("GET {ROUTE}/pulls/1"), format!("DELETE {ROUTE}/issues/1/labels/kubeops%2Fheld"), "POST /graphql".to_owned()]);
    assert_eq!(fake.pulls()[0].labels, ["namespace", "urgent"]);
}

#[tokio::test]
async fn a_merge_that_was_asked_for_is_taken_back_whoever_asked() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&merging()).await.expect("a pull request");
    let pull = github.ensure_pull(&after(&merging(), &held(&merging()))).await.expect("held");
    assert!(!pull.auto_merge && fake.pulls()[0].auto_merge.is_none(), "{:?}", pull.notes);
    fake.person(1, |pull| pull.auto_merge = Some("MERGE".to_owned()));
    github.ensure_pull(&after(&held(&merging()), &held(&merging()))).await.expect("held");
    assert_eq!(fake.pulls()[0].auto_merge, None);
    // Once more asked for when it is free.
    github.ensure_pull(&after(&held(&merging()), &merging())).await.expect("free");
    assert_eq!(fake.pulls()[0].auto_merge.as_deref(), Some("SQUASH"));
}

#[tokio::test]
async fn what_we_queued_leaves_the_merge_queue_and_is_queued_again_when_it_is_free() {
    let fake = fake();
    fake.repository(SLUG, |repository| repository.merging = Merging::CleanQueue);
    let github = github(&fake);
    assert!(github.ensure_pull(&merging()).await.expect("a pull request").queued);
    let held_pull = github.ensure_pull(&after(&merging(), &held(&merging()))).await.expect("held");
    assert!(!fake.pulls()[0].queued, "{:?}", held_pull.notes);
    assert!(github.ensure_pull(&after(&held(&merging()), &merging())).await.expect("free").queued);
}

#[tokio::test]
async fn with_a_token_a_commit_status_says_whether_it_may_be_merged() {
    let fake = fake();
    let github = github(&fake);
    let why = format!("until Mon 2026-11-23 09:00 Europe/Berlin ({})", "ä".repeat(200));
    assert!(github.show_window(&window(Some(&why), false)).await.expect("shown"));
    let status = fake.status(spec().head_commit.as_str(), WINDOW_CONTEXT).expect("a status");
    assert_eq!((status.state.as_str(), status.target.as_str()), ("pending", "http://kubeops.test/requests/req_1"));
    assert!(status.description.starts_with("held until Mon 2026-11-23 09:00 Europe/Berlin"), "{}", status.description);
    assert!(github.show_window(&window(None, true)).await.expect("shown"));
    let status = fake.status(spec().head_commit.as_str(), WINDOW_CONTEXT).expect("a status");
    assert_eq!((status.state.as_str(), status.description.as_str()), ("success", "free to be merged"));
    assert_eq!(fake.calls(), vec![format!("POST {ROUTE}/statuses/{}", spec().head_commit); 2]);
    fake.repository(SLUG, |repository| repository.may_set_status = false);
    assert!(!github.show_window(&window(None, true)).await.expect("a token without the right does all the rest"));
}

#[tokio::test]
async fn an_app_writes_a_check_run_and_changes_it_and_a_status_where_it_may_not() {
    let fake = fake_with_app();
    let app = repository(&account(&fake.url(), as_app(Some(34)), &Arc::default()), SLUG);
    assert!(app.show_window(&window(Some("by ada"), false)).await.expect("shown"));
    for held in [Some("by ada"), None, None] {
        assert!(app.show_window(&window(held, true)).await.expect("shown"));
    }
    let [run] = fake.checks().try_into().expect("one check run");
    assert_eq!(
        (run.name.as_str(), run.key.as_str(), run.conclusion.as_str(), run.title.as_str()),
        (WINDOW_CONTEXT, "req_1", "success", "free to be merged")
    );
    app.show_window(&window(Some("by ada"), true)).await.expect("shown");
    assert_eq!((fake.checks()[0].conclusion.as_str(), fake.checks()[0].title.as_str()), ("action_required", "held by ada"));
    assert_eq!(fake.status(spec().head_commit.as_str(), WINDOW_CONTEXT), None);
    fake.repository(SLUG, |repository| repository.may_check = false);
    assert!(app.show_window(&WindowSpec { key: "req_2".to_owned(), ..window(Some("by ada"), false) }).await.expect("shown"));
    assert_eq!(fake.status(spec().head_commit.as_str(), WINDOW_CONTEXT).map(|status| status.state), Some("pending".to_owned()));
}
