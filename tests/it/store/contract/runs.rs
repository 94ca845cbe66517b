//! What is said of the end of runs: kept once, heard by the requests that added such a run, and gone with its retention.

use crate::store::support::{at, end_request, event, open_request, parsed};
use kubeops::manifest::{Action, ObjectChange, ObjectRef};
use kubeops::request::{Changes, RunOutcome, State};
use kubeops::store::{Dispatch, DispatchedEvent, RequestUpdate, Room, RunEnd, Settlement, Signal, Store, TaskFilter, TaskKind};
use kubeops::types::RequestId;
use kubeops::validate::Evidence;
use std::sync::Arc;
use std::time::Duration;

fn job(namespace: Option<&str>, name: &str) -> ObjectRef {
    ObjectRef { api_version: "batch/v1".to_owned(), kind: "Job".to_owned(), namespace: namespace.map(str::to_owned), name: name.to_owned() }
}

/// The end of the Job `backup` in `ops`, at this second of the sender's clock.
fn backup(outcome: RunOutcome, second: i64) -> RunEnd {
    RunEnd {
        group: Some("batch".to_owned()),
        kind: "Job".to_owned(),
        namespace: Some("ops".to_owned()),
        name: "backup".to_owned(),
        cluster: None,
        outcome,
        message: None,
        at: at(second),
    }
}

/// An event that says so, heard at a second of ours.
async fn said(store: &dyn Store, end: &RunEnd, heard: i64) {
    let event = event(None, "run");
    let key = event.id.to_string();
    let told = DispatchedEvent { event, key, decisions: Vec::new(), openings: Vec::new(), signals: vec![Signal::Ran(end.clone())] };
    store.dispatch(&[Dispatch { delivery: None, error: None, events: vec![told] }], at(heard)).await.expect("dispatched");
}

/// A request whose change adds this object, planned at a second.
async fn adds(store: &dyn Store, correlation: &str, object: ObjectRef, second: i64) -> RequestId {
    let (_, id) = open_request(store, correlation, Some("gitops"), at(second)).await;
    let mut request = store.request(&id).await.expect("the request");
    let change =
        ObjectChange { file: Some(parsed("job.yaml")), document: 0, object: Some(object), action: Action::Added, fields: Vec::new(), content: None };
    request.changes = Some(Changes {
        files: vec![parsed("job.yaml")],
        objects: vec![change],
        cut: false,
        evidence: Evidence::default(),
        first: None,
        expiry: None,
        rule: None,
        applied_within: None,
        drafted: None,
        place: None,
        clusters: Default::default(),
    });
    store.update_request(&request, &RequestUpdate::default(), at(second)).await.expect("planned");
    id
}

async fn merged(store: &dyn Store, correlation: &str, second: i64) -> RequestId {
    let id = adds(store, correlation, job(Some("ops"), "backup"), second).await;
    end_request(store, &id, State::Merged, at(second)).await;
    id
}

async fn ends(store: &dyn Store, id: &RequestId) -> Vec<RunEnd> {
    store.run_ends(id, 100).await.expect("an answer")
}

async fn looks(store: &dyn Store, id: &RequestId) -> usize {
    let filter = TaskFilter { request: Some(id.clone()), state: None };
    store.tasks(&filter, 50).await.expect("tasks").iter().filter(|task| task.kind == TaskKind::Confirm).count()
}

/// Everything that is owed by then is done.
async fn done(store: &dyn Store, second: i64) {
    loop {
        let claimed = store.claim("one", at(second), Duration::from_secs(60), Room::of(8, 64)).await.expect("claimed");
        if claimed.is_empty() {
            return;
        }
        for task in claimed {
            store.settle(&task, &Settlement::default(), at(second)).await.expect("settled");
        }
    }
}

pub async fn an_end_is_kept_once_and_a_word_more_changes_nothing(store: Arc<dyn Store>) {
    let id = merged(&*store, "OPS-1", 0).await;
    let first = RunEnd { message: Some("done".to_owned()), ..backup(RunOutcome::Succeeded, 10) };
    said(&*store, &first, 11).await;
    assert_eq!((ends(&*store, &id).await, looks(&*store, &id).await), (vec![first.clone()], 1));
    // Once that is done the same is said again, in other words and later.
    done(&*store, 12).await;
    said(&*store, &RunEnd { message: Some("over".to_owned()), ..first.clone() }, 13).await;
    assert_eq!((ends(&*store, &id).await, looks(&*store, &id).await), (vec![first.clone()], 0), "the first word stays, and nobody looks again");
    // Another moment or outcome is another word: which of them counts is not for the store to say, and the earlier ones come first.
    let (failed, earlier) = (backup(RunOutcome::Failed, 10), backup(RunOutcome::Succeeded, 9));
    said(&*store, &failed, 14).await;
    said(&*store, &earlier, 15).await;
    assert_eq!((ends(&*store, &id).await, looks(&*store, &id).await), (vec![earlier.clone(), failed, first], 1));
    assert_eq!(store.run_ends(&id, 1).await.expect("an answer"), [earlier]);
}

pub async fn an_end_that_is_said_before_the_merge_is_known_is_the_requests(store: Arc<dyn Store>) {
    let id = adds(&*store, "OPS-1", job(Some("ops"), "backup"), 0).await;
    let end = backup(RunOutcome::Failed, 5);
    said(&*store, &end, 6).await;
    assert_eq!((ends(&*store, &id).await, looks(&*store, &id).await), (vec![end.clone()], 0), "it has its look when it is merged");
    end_request(&*store, &id, State::Merged, at(7)).await;
    assert_eq!(ends(&*store, &id).await, std::slice::from_ref(&end));
    // Planned again with the same run: what was said of it stays its own.
    let mut request = store.request(&id).await.expect("the request");
    request.changes.as_mut().expect("changes").files.push(parsed("more.yaml"));
    store.update_request(&request, &RequestUpdate::default(), at(8)).await.expect("planned again");
    assert_eq!(ends(&*store, &id).await, [end]);
}

pub async fn an_end_of_before_a_run_was_planned_is_none_of_its_own(store: Arc<dyn Store>) {
    let first = merged(&*store, "OPS-1", 0).await;
    let end = backup(RunOutcome::Succeeded, 5);
    said(&*store, &end, 6).await;
    done(&*store, 7).await;
    end_request(&*store, &first, State::Expired, at(7)).await;
    // The next run of the name.
    let second = merged(&*store, "OPS-1", 8).await;
    assert_eq!(ends(&*store, &second).await, []);
    assert_eq!(ends(&*store, &first).await, std::slice::from_ref(&end));
    // The old end said once more is still the old one's, whatever is said of it now.
    said(&*store, &end, 9).await;
    assert_eq!((ends(&*store, &second).await, looks(&*store, &second).await), (Vec::new(), 0));
    let own = backup(RunOutcome::Succeeded, 10);
    said(&*store, &own, 11).await;
    assert_eq!((ends(&*store, &second).await, looks(&*store, &second).await), (vec![own], 1));
    assert_eq!(looks(&*store, &first).await, 0, "it is over");
}

pub async fn an_end_is_heard_by_the_requests_that_add_such_a_run_and_are_merged(store: Arc<dyn Store>) {
    let there = merged(&*store, "OPS-1", 0).await;
    let anywhere = adds(&*store, "OPS-2", job(None, "backup"), 0).await;
    let elsewhere = adds(&*store, "OPS-3", job(Some("prod"), "backup"), 0).await;
    let another = adds(&*store, "OPS-4", job(Some("ops"), "restore"), 0).await;
    for id in [&anywhere, &elsewhere, &another] {
        end_request(&*store, id, State::Applied, at(1)).await;
    }
    let end = backup(RunOutcome::Succeeded, 5);
    said(&*store, &end, 6).await;
    for (id, heard) in [(&there, 1), (&anywhere, 1), (&elsewhere, 0), (&another, 0)] {
        assert_eq!((ends(&*store, id).await.len(), looks(&*store, id).await), (heard, heard));
    }
    // What nobody said of a run stays unsaid.
    let bare =
        RunEnd { group: None, namespace: None, cluster: Some("prod-eu".to_owned()), message: Some("so".to_owned()), ..backup(RunOutcome::Failed, 7) };
    said(&*store, &bare, 8).await;
    assert_eq!(ends(&*store, &anywhere).await, [end, bare]);
    assert_eq!(ends(&*store, &there).await.len(), 1, "one without a namespace is another object");
}

pub async fn ends_go_with_their_retention_and_may_be_said_again(store: Arc<dyn Store>) {
    let id = merged(&*store, "OPS-1", 0).await;
    let (old, young) = (backup(RunOutcome::Failed, 900), backup(RunOutcome::Succeeded, 5));
    said(&*store, &old, 10).await;
    said(&*store, &young, 50).await;
    done(&*store, 51).await;
    // By when they were heard: a sender's clock may say anything.
    end_request(&*store, &id, State::Merged, at(100)).await;
    store.prune(at(50), 100).await.expect("pruned");
    assert_eq!(ends(&*store, &id).await, std::slice::from_ref(&young));
    said(&*store, &old, 60).await;
    assert_eq!((ends(&*store, &id).await, looks(&*store, &id).await), (vec![young, old], 1), "nobody remembers that it was said before");
}

pub async fn an_object_with_a_name_that_none_can_have_stands_in_no_plans_way(store: Arc<dyn Store>) {
    // Digits that nothing makes shorter: PostgreSQL's indexes take rows of 2.7 KB.
    let endless: String = (0..4_000_u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40)).collect();
    for (key, object) in [("A", job(Some("ops"), &endless)), ("B", job(Some(&endless), "backup"))] {
        let id = adds(&*store, key, object, 1).await;
        assert_eq!(store.run_ends(&id, 9).await.expect("an answer"), []);
    }
    let longest = "a".repeat(253);
    let id = adds(&*store, "C", job(Some("ops"), &longest), 1).await;
    said(&*store, &RunEnd { name: longest, ..backup(RunOutcome::Succeeded, 20) }, 20).await;
    assert_eq!(store.run_ends(&id, 9).await.expect("an answer").len(), 1);
}
