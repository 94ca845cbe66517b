//! Requests: versions, listings, and what goes with a change.

use crate::store::support::{at, claimed, dispatch, end_request, of_another, open_request, open_request_from, opening, parsed, request_id, task};
use kubeops::automation::TtlBegin;
use kubeops::manifest::{Action, FieldChange, ObjectChange, ObjectRef};
use kubeops::plan::{Inverse, Lifetime};
use kubeops::request::{Changes, Expiry, FirstPlan, Place, PullRef, PullWritten, RemarkAddress, RemarkPlace, Request, State, TimelineEntry};
use kubeops::store::{
    CommandAnswer, CommandComment, CommandState, Debounce, Opening, PageQuery, RequestFilter, RequestUpdate, RivalQuery, Room, Settlement, Signal,
    Store, StoreError, TaskFilter, TaskKind,
};
use kubeops::types::{CommitSha, ManifestPath, RequestId, TaskId, Timestamp};
use kubeops::validate::{Evidence, Finding, Severity};
use std::sync::Arc;
use std::time::Duration;

async fn opened(store: &dyn Store, correlation: &str) -> Request {
    let (_, id) = open_request(store, correlation, None, at(0)).await;
    store.request(&id).await.expect("the request")
}

pub async fn every_field_of_a_request_reads_back(store: Arc<dyn Store>) {
    let mut request = opened(&*store, "OPS-1").await;
    request.state = State::Proposed;
    request.parameters = Some(serde_json::from_str(r#"{"z":1,"a":{"deep":[1.5,"ä"]}}"#).expect("a map"));
    request.repository = Some(parsed("gitops"));
    request.branch = Some(parsed("kubeops/namespace-request/ops-1"));
    request.base = Some(parsed(&"a".repeat(40)));
    request.commit = Some(parsed(&"b".repeat(40)));
    request.pull = Some(PullRef { number: 7, url: "https://forge.example/7".to_owned() });
    request.written = Some(PullWritten {
        number: 7,
        digest: "ab".repeat(32),
        draft: true,
        auto_merge: true,
        checked: Some(parsed(&"c".repeat(40))),
        window: Some((parsed(&"c".repeat(40)), "free".to_owned())),
    });
    request.findings = vec![Finding {
        severity: Severity::Warning,
        rule: "schema.unknown".to_owned(),
        path: "a.yaml".to_owned(),
        document: Some(1),
        pointer: Some("/spec".to_owned()),
        line: Some(3),
        message: "no schema".to_owned(),
        hint: None,
    }];
    request.changes = Some(changes(&["a.yaml", "b/c.yaml"]));
    request.message = Some("waiting for review".to_owned());
    request.event.data = serde_json::json!({ "changed": true });
    store.update_request(&request, &RequestUpdate::default(), at(9)).await.expect("written");
    request.version += 1;
    request.updated_at = at(9);
    assert_eq!(store.request(&request.id).await.expect("the request"), request);
    let cleared = Request {
        parameters: None,
        changes: None,
        repository: None,
        branch: None,
        base: None,
        commit: None,
        pull: None,
        written: None,
        message: None,
        ..request
    };
    store.update_request(&cleared, &RequestUpdate::default(), at(10)).await.expect("written");
    let read = store.request(&cleared.id).await.expect("the request");
    assert_eq!(read, Request { version: cleared.version + 1, updated_at: at(10), ..cleared });
}

fn changes(files: &[&str]) -> Changes {
    let object = ObjectRef { api_version: "apps/v1".to_owned(), kind: "Deployment".to_owned(), namespace: None, name: "api".to_owned() };
    let field = FieldChange { path: "spec.replicas".to_owned(), old: Some(2.into()), new: Some(serde_json::json!({"ä": [null, 1.5]})) };
    let changed = |file: &&str| ObjectChange {
        file: Some(parsed(file)),
        document: 1,
        object: Some(object.clone()),
        action: Action::Changed,
        fields: vec![field.clone()],
        content: Some("0f".to_owned()),
    };
    let objects: Vec<ObjectChange> = files.iter().map(changed).collect();
    let evidence = Evidence { kubernetes: "1.34".to_owned(), schemas: ["apps/v1 Deployment".to_owned()].into(), ..Evidence::default() };
    Changes {
        files: files.iter().map(|file| parsed(file)).collect(),
        first: Some(FirstPlan { at: at(3), objects: Some(objects.clone()) }),
        objects,
        cut: true,
        evidence,
        expiry: Some(Expiry {
            lifetime: Lifetime {
                after: "4h".parse().expect("a duration"),
                from: TtlBegin::Applied,
                remind: Some("24m".parse().expect("a duration")),
                auto_merge: None,
            },
            inverse: Inverse::default(),
        }),
        rule: Some("ab".repeat(32)),
        applied_within: Some("30m".parse().expect("a duration")),
        drafted: None,
        place: Some(Place { cluster: Some(parsed("prod")), path: parsed("clusters/prod") }),
        clusters: [parsed("prod-eu")].into(),
    }
}

/// Plans an open request in a repository, or moves one that was.
async fn planned(store: &dyn Store, id: &RequestId, repository: &str, files: &[&str], state: State, now: Timestamp) {
    let request = store.request(id).await.expect("the request");
    let request = Request { repository: Some(parsed(repository)), changes: Some(changes(files)), state, ..request };
    store.update_request(&request, &RequestUpdate::default(), now).await.expect("written");
}

/// The requests that change one of the files, beside a request that is nobody.
async fn rivals(store: &dyn Store, files: &[&str], since: Option<Timestamp>) -> Vec<RequestId> {
    let files: Vec<ManifestPath> = files.iter().map(|file| parsed(file)).collect();
    let nobody = request_id();
    let query = RivalQuery { repository: &parsed("gitops"), files: &files, except: &nobody, merged_since: since };
    store.rivals(&query, 100).await.expect("an answer").into_iter().map(|rival| rival.request).collect()
}

pub async fn requests_that_change_the_same_files_are_found_while_they_may_matter(store: Arc<dyn Store>) {
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(opened(&*store, &format!("OPS-{n}")).await.id);
    }
    planned(&*store, &ids[0], "gitops", &["a.yaml", "b.yaml"], State::Planned, at(10)).await;
    planned(&*store, &ids[1], "gitops", &["b.yaml", "c.yaml"], State::Planned, at(11)).await;
    planned(&*store, &ids[2], "other", &["a.yaml", "b.yaml"], State::Planned, at(12)).await;
    let both = [ids[1].clone(), ids[0].clone()];
    assert_eq!(rivals(&*store, &["b.yaml"], None).await, both);
    assert_eq!(rivals(&*store, &["a.yaml", "b.yaml", "x.yaml"], None).await, both, "each once, newest first");
    assert_eq!(rivals(&*store, &["c.yaml"], None).await, both[..1]);
    assert_eq!(rivals(&*store, &["x.yaml"], None).await, []);
    assert_eq!(rivals(&*store, &[], None).await, []);
    let of_first = RivalQuery { repository: &parsed("gitops"), files: &[parsed("b.yaml")], except: &ids[0], merged_since: None };
    let found = store.rivals(&of_first, 100).await.expect("an answer");
    assert_eq!((found.len(), &found[0].request, found[0].state, found[0].merged), (1, &ids[1], State::Planned, false));
    assert_eq!((&found[0].changes, &found[0].pull), (&changes(&["b.yaml", "c.yaml"]), &None));
    assert_eq!(store.rivals(&RivalQuery { except: &ids[4], ..of_first }, 1).await.expect("an answer").len(), 1, "as many as asked for");

    // What was merged is found from the moment of its merge on, which what comes after does not move; what ended otherwise is not.
    planned(&*store, &ids[0], "gitops", &["a.yaml", "b.yaml"], State::Proposed, at(20)).await;
    planned(&*store, &ids[0], "gitops", &["a.yaml", "b.yaml"], State::Merged, at(30)).await;
    planned(&*store, &ids[0], "gitops", &["a.yaml", "b.yaml"], State::Applied, at(40)).await;
    assert_eq!(rivals(&*store, &["a.yaml"], None).await, []);
    assert_eq!(rivals(&*store, &["a.yaml"], Some(at(30))).await, both[1..]);
    assert_eq!(rivals(&*store, &["a.yaml"], Some(at(31))).await, []);
    assert_eq!(rivals(&*store, &["b.yaml"], Some(at(0))).await, both);
    let found = store.rivals(&RivalQuery { merged_since: Some(at(0)), except: &ids[4], ..of_first }, 100).await.expect("an answer");
    assert_eq!(found.iter().map(|rival| rival.merged).collect::<Vec<_>>(), [false, true]);
    end_request(&*store, &ids[1], State::Declined, at(50)).await;
    assert_eq!(rivals(&*store, &["b.yaml"], None).await, []);
}

pub async fn the_files_of_a_request_follow_its_plan_and_go_with_it(store: Arc<dyn Store>) {
    let id = opened(&*store, "OPS-1").await.id;
    planned(&*store, &id, "gitops", &["a.yaml"], State::Planned, at(10)).await;
    planned(&*store, &id, "gitops", &["b.yaml"], State::Planned, at(11)).await;
    assert_eq!(rivals(&*store, &["a.yaml"], None).await, []);
    assert_eq!(rivals(&*store, &["b.yaml"], None).await, std::slice::from_ref(&id));
    // It failed, and is asked for again: the plan it had counts again.
    end_request(&*store, &id, State::Failed, at(12)).await;
    assert_eq!(rivals(&*store, &["b.yaml"], None).await, []);
    end_request(&*store, &id, State::Accepted, at(13)).await;
    assert_eq!(rivals(&*store, &["b.yaml"], None).await, std::slice::from_ref(&id));
    planned(&*store, &id, "gitops", &["b.yaml"], State::Merged, at(14)).await;
    while store.prune(at(1_000), 100).await.expect("pruned").requests > 0 {}
    assert!(matches!(store.request(&id).await, Err(StoreError::NotFound(_))));
    assert_eq!(rivals(&*store, &["b.yaml"], Some(at(0))).await, []);
}

pub async fn of_two_writers_the_second_loses(store: Arc<dyn Store>) {
    let request = opened(&*store, "OPS-1").await;
    let note = |message: &str| RequestUpdate {
        timeline: vec![TimelineEntry {
            at: at(1),
            from: Some(State::Accepted),
            to: State::Accepted,
            message: message.to_owned(),
            actor: "ann".to_owned(),
        }],
        tasks: vec![task(&request.id, TaskKind::Withdraw, "", at(1))],
        drop_tasks: true,
        ..Default::default()
    };
    let writers = (0..6).map(|n| {
        let (store, request, update) = (store.clone(), request.clone(), note(&n.to_string()));
        tokio::spawn(async move { store.update_request(&request, &update, at(1)).await })
    });
    let mut won = 0;
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.expect("a writer") {
            Ok(()) => won += 1,
            Err(error) => assert!(matches!(error, StoreError::Conflict(_)), "{error}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(store.request(&request.id).await.expect("the request").version, 2);
    assert_eq!(store.timeline(&request.id).await.expect("the timeline").len(), 2);
}

pub async fn a_request_is_not_revived_beside_a_live_one_with_its_key(store: Arc<dyn Store>) {
    let first = opened(&*store, "OPS-1").await;
    end_request(&*store, &first.id, State::Failed, at(1)).await;
    let second = opened(&*store, "OPS-1").await;
    let mut revived = store.request(&first.id).await.expect("the request");
    revived.state = State::Accepted;
    assert!(matches!(store.update_request(&revived, &RequestUpdate::default(), at(2)).await, Err(StoreError::Conflict(_))));
    end_request(&*store, &second.id, State::Withdrawn, at(3)).await;
    store.update_request(&revived, &RequestUpdate::default(), at(4)).await.expect("now it may live");
}

pub async fn an_update_drops_and_adds_tasks(store: Arc<dyn Store>) {
    let request = opened(&*store, "OPS-1").await;
    let other = opened(&*store, "OPS-2").await;
    let update = RequestUpdate { tasks: vec![task(&request.id, TaskKind::Withdraw, "gitops", at(1))], drop_tasks: true, ..Default::default() };
    store.update_request(&request, &update, at(1)).await.expect("written");
    let kinds = |id: &RequestId| {
        let (store, filter) = (store.clone(), TaskFilter { request: Some(id.clone()), state: None });
        async move { store.tasks(&filter, 9).await.expect("tasks").iter().map(|task| task.kind).collect::<Vec<_>>() }
    };
    assert_eq!(kinds(&request.id).await, [TaskKind::Withdraw]);
    assert_eq!(kinds(&other.id).await, [TaskKind::Plan]);
}

pub async fn an_update_that_fails_half_way_leaves_nothing(store: Arc<dyn Store>) {
    let request = opened(&*store, "OPS-1").await;
    let moved = Request { state: State::Withdrawn, ..request.clone() };
    let update = RequestUpdate { tasks: vec![task(&request_id(), TaskKind::Plan, "", at(1))], drop_tasks: true, ..Default::default() };
    assert!(matches!(store.update_request(&moved, &update, at(1)).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.request(&request.id).await.expect("the request"), request);
    assert_eq!(store.tasks(&TaskFilter::default(), 9).await.expect("tasks").len(), 1);
}

pub async fn listings_filter_and_page_newest_first(store: Arc<dyn Store>) {
    let mut ids = Vec::new();
    for n in 0..12 {
        let (_, id) = open_request(&*store, &format!("OPS-{n}"), Some(if n % 2 == 0 { "even" } else { "odd" }), at(n)).await;
        ids.push(id);
    }
    for n in [0, 3, 4, 9] {
        end_request(&*store, &ids[n], if n < 4 { State::Merged } else { State::Declined }, at(20)).await;
    }
    let wanted = |of: &[usize]| of.iter().map(|n| ids[*n].clone()).collect::<Vec<_>>();
    let states = |states: &[State]| RequestFilter { states: states.to_vec(), ..Default::default() };
    for (filter, expected) in [
        (RequestFilter::default(), wanted(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0])),
        (states(&[State::Merged]), wanted(&[3, 0])),
        (states(&[State::Declined, State::Merged, State::Merged]), wanted(&[9, 4, 3, 0])),
        (states(&[State::Accepted, State::Declined]), wanted(&[11, 10, 9, 8, 7, 6, 5, 4, 2, 1])),
        (RequestFilter { repository: Some(parsed("odd")), ..states(&[State::Merged, State::Declined]) }, wanted(&[9, 3])),
        (RequestFilter { automation: Some(parsed("nothing")), ..Default::default() }, wanted(&[])),
        (RequestFilter { automation: Some(parsed("namespace-request")), ..states(&[State::Merged]) }, wanted(&[3, 0])),
        (RequestFilter { correlation: Some("OPS-7".to_owned()), ..Default::default() }, wanted(&[7])),
        (RequestFilter { correlation: Some("OPS".to_owned()), ..Default::default() }, wanted(&[])),
    ] {
        for limit in [1, 2, 5, 500] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = store.requests(&filter, &PageQuery { limit, after }).await.expect("a page");
                seen.extend(page.items.into_iter().map(|request| request.id));
                assert!(seen.len() < 100, "pages repeat");
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expected, "{filter:?} by {limit}");
        }
    }
}

pub async fn requests_are_found_by_the_source_of_their_event_and_groups_by_any(store: Arc<dyn Store>) {
    let mut ids = Vec::new();
    for (n, source) in ["a", "b", "a", "a"].into_iter().enumerate() {
        ids.push(open_request_from(source, "alert.firing", &*store, &format!("key-{n}"), None, at(0)).await.1);
    }
    end_request(&*store, &ids[2], State::Withdrawn, at(1)).await;
    let member = Opening { group: Some("prod".to_owned()), ..opening("key-4", None) };
    ids.push(store.dispatch(&[dispatch(None, "key-4", vec![member])], at(1)).await.expect("dispatched").remove(0).remove(0));
    // An event of another source that is planned instead makes it that one's.
    let waits = Debounce { quiet: Duration::from_secs(60), at_most: Duration::from_secs(600) };
    for source in ["a", "b"] {
        let mut told = dispatch(None, &format!("key-5-{source}"), vec![Opening { debounce: Some(waits), ..opening("key-5", None) }]);
        told.events[0].event.source = Some(parsed(source));
        ids.extend(store.dispatch(&[told], at(2)).await.expect("dispatched").remove(0));
    }
    assert_eq!(ids[5], ids[6], "it joined");
    let states = vec![State::Accepted, State::Planned, State::Proposed, State::Approved];
    for (source, wanted) in [("a", [4, 3, 0].as_slice()), ("b", &[5, 4, 1]), ("c", &[4])] {
        let filter = RequestFilter { states: states.clone(), source: Some(parsed(source)), ..RequestFilter::default() };
        let page = store.requests(&filter, &PageQuery { limit: 9, after: None }).await.expect("a page");
        let wanted: Vec<_> = wanted.iter().map(|n| ids[*n].clone()).collect();
        assert_eq!(page.items.into_iter().map(|request| request.id).collect::<Vec<_>>(), wanted, "{source}");
    }
}

pub async fn the_newest_request_of_a_pull_request_is_found(store: Arc<dyn Store>) {
    let mut last = None;
    for _ in 0..2 {
        let mut request = opened(&*store, "OPS-1").await;
        request.repository = Some(parsed("gitops"));
        request.pull = Some(PullRef { number: 7, url: "u".to_owned() });
        request.state = State::Merged;
        store.update_request(&request, &RequestUpdate::default(), at(1)).await.expect("written");
        last = Some(request.id);
    }
    let found = |repository: &str, number: u64| {
        let (store, repository) = (store.clone(), parsed(repository));
        async move { store.request_of_pull(&repository, number).await.expect("an answer").map(|request| request.id) }
    };
    assert_eq!(found("gitops", 7).await, last);
    assert_eq!(found("gitops", 8).await, None);
    assert_eq!(found("other", 7).await, None);
}

pub async fn what_is_not_there_is_not_found(store: Arc<dyn Store>) {
    let request = opened(&*store, "OPS-1").await;
    let stranger = Request { id: request_id(), ..request };
    assert!(matches!(store.request(&stranger.id).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.timeline(&stranger.id).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.update_request(&stranger, &RequestUpdate::default(), at(1)).await, Err(StoreError::NotFound(_))));
    assert!(store.tasks(&TaskFilter { request: Some(stranger.id), state: None }, 9).await.expect("none").is_empty());
}

pub async fn commits_are_known_by_the_requests_that_have_or_pushed_them(store: Arc<dyn Store>) {
    let commit = |digit: &str| parsed::<CommitSha>(&digit.repeat(40));
    for (key, commits, state) in [("live", ["1", "2"], State::Proposed), ("over", ["3", "1"], State::Merged), ("gone", ["4", "5"], State::Declined)] {
        let mut request = opened(&*store, key).await;
        request.repository = Some(parsed(if key == "gone" { "elsewhere" } else { "gitops" }));
        (request.commit, request.pushed) = (Some(commit(commits[0])), Some(commit(commits[1])));
        request.state = state;
        store.update_request(&request, &RequestUpdate::default(), at(1)).await.expect("written");
    }
    let among: Vec<CommitSha> = ["1", "2", "3", "4", "9"].map(commit).to_vec();
    let kept = store.commits_kept(&parsed("gitops"), &among).await.expect("read");
    // One that a live request has is live, whoever else has it.
    assert_eq!(kept, [(commit("1"), true), (commit("2"), true), (commit("3"), false)].into());
    assert_eq!(store.commits_kept(&parsed("gitops"), &[]).await.expect("read"), [].into());
}

pub async fn a_comment_that_comes_before_its_pull_requests_number_is_the_requests_once_it_is_noted(store: Arc<dyn Store>) {
    let (_, id) = open_request(&*store, "OPS-1", Some("gitops"), at(0)).await;
    let (_, other) = open_request(&*store, "OPS-2", Some("gitops"), at(0)).await;
    let (conversation, line) = (RemarkPlace::Conversation, RemarkPlace::Thread);
    let told = [
        ("first", 7, conversation, 70),
        ("again", 7, conversation, 70),
        ("second", 7, conversation, 71),
        ("stranger", 8, conversation, 72),
        // The ids of each place are its own.
        ("line", 7, line, 70),
        ("line again", 7, line, 70),
        ("review", 7, RemarkPlace::Review, 70),
    ];
    for (key, pull, place, id_there) in told {
        let mut entry = dispatch(None, key, Vec::new());
        let task = task(&id, TaskKind::Command, "", at(2)).id;
        entry.events[0].signals = vec![Signal::Command { repository: parsed("gitops"), at: RemarkAddress { pull, place, id: id_there }, task }];
        store.dispatch(&[entry], at(2)).await.expect("dispatched");
    }
    assert_eq!(store.commands(&id).await.expect("the comments"), []);
    let note = |id: RequestId, number: u64, now| {
        let store = Arc::clone(&store);
        async move {
            let mut request = store.request(&id).await.expect("the request");
            request.state = State::Proposed;
            request.pull = Some(PullRef { number, url: format!("https://example.com/{number}") });
            store.update_request(&request, &RequestUpdate { drop_tasks: true, ..Default::default() }, now).await.expect("written");
        }
    };
    note(other.clone(), 9, at(3)).await;
    note(id.clone(), 7, at(4)).await;
    let asked = store.commands(&id).await.expect("the comments");
    let seen: Vec<_> = asked.iter().map(|asked| (asked.at.pull, asked.at.to_string(), asked.state, asked.since)).collect();
    assert_eq!(seen, ["comment 70", "comment 71", "line comment 70", "review 70"].map(|told| (7, told.to_owned(), CommandState::Asked, at(4))));
    assert_eq!(store.commands(&other).await.expect("the comments"), []);
    let owed = store.tasks(&TaskFilter { request: Some(id.clone()), state: None }, 9).await.expect("tasks");
    assert_eq!((owed.len(), owed[0].kind, owed[0].lane.as_str(), owed[0].run_at), (1, TaskKind::Command, "gitops/pulls", at(4)));

    // What was taken over once is not taken over again.
    let held = claimed(&*store, "w", &id, at(4)).await;
    store.note_command(&held, &CommandComment { state: CommandState::Told, ..asked[0].clone() }, &[]).await.expect("kept");
    note(id.clone(), 7, at(5)).await;
    assert_eq!(store.commands(&id).await.expect("the comments").len(), 3);
}

pub async fn of_comments_on_strangers_pull_requests_the_newest_thousand_are_kept(store: Arc<dyn Store>) {
    let (_, id) = open_request(&*store, "OPS-1", Some("gitops"), at(0)).await;
    let comment = |comment: u64| {
        let mut entry = dispatch(None, &format!("comment {comment}"), Vec::new());
        let task = TaskId::from_parts(at(2), u128::from(comment));
        let at = RemarkAddress { pull: 7, place: RemarkPlace::Conversation, id: comment };
        entry.events[0].signals = vec![Signal::Command { repository: parsed("gitops"), at, task }];
        entry
    };
    let all: Vec<_> = (1..=1_003).map(comment).collect();
    store.dispatch(&all, at(2)).await.expect("dispatched");
    let mut request = store.request(&id).await.expect("the request");
    request.pull = Some(PullRef { number: 7, url: "https://example.com/7".to_owned() });
    store.update_request(&request, &RequestUpdate::default(), at(3)).await.expect("written");
    let kept: Vec<u64> = store.commands(&id).await.expect("the comments").iter().map(|asked| asked.at.id).collect();
    assert_eq!((kept.len(), kept.first(), kept.last()), (1_000, Some(&4), Some(&1_003)));
}

pub async fn a_comment_with_commands_is_heard_of_once_and_kept_until_it_is_answered(store: Arc<dyn Store>) {
    let (_, id) = open_request(&*store, "OPS-1", Some("gitops"), at(0)).await;
    let mut request = store.request(&id).await.expect("the request");
    request.state = State::Proposed;
    request.pull = Some(PullRef { number: 7, url: "https://example.com/7".to_owned() });
    store.update_request(&request, &RequestUpdate { drop_tasks: true, ..Default::default() }, at(1)).await.expect("written");
    let tell = |key: &'static str, pull: u64, place: RemarkPlace, id_there: u64| {
        let task = task(&id, TaskKind::Command, "", at(2)).id;
        let mut entry = dispatch(None, key, Vec::new());
        entry.events[0].signals = vec![Signal::Command { repository: parsed("gitops"), at: RemarkAddress { pull, place, id: id_there }, task }];
        let store = Arc::clone(&store);
        async move { store.dispatch(&[entry], at(2)).await.expect("dispatched") }
    };
    tell("first", 7, RemarkPlace::Conversation, 70).await;
    let owed = store.tasks(&TaskFilter { request: Some(id.clone()), state: None }, 9).await.expect("tasks");
    assert_eq!((owed.len(), owed[0].kind, owed[0].lane.as_str()), (1, TaskKind::Command, "gitops/pulls"));
    let held = store.claim("w", at(2), Duration::from_secs(9), Room::single(9)).await.expect("a claim").remove(0);
    // The same comment by another way, one on a pull request that is nobody's, and a second one.
    tell("again", 7, RemarkPlace::Conversation, 70).await;
    assert_eq!(store.tasks(&TaskFilter { request: Some(id.clone()), state: None }, 9).await.expect("tasks").len(), 1, "nothing more is owed");
    tell("stranger", 8, RemarkPlace::Conversation, 71).await;
    tell("second", 7, RemarkPlace::Conversation, 72).await;
    // The ids of each place are its own.
    tell("line", 7, RemarkPlace::Thread, 70).await;
    tell("review", 7, RemarkPlace::Review, 70).await;
    tell("line again", 7, RemarkPlace::Thread, 70).await;
    let asked = store.commands(&id).await.expect("the comments");
    assert_eq!(
        asked.iter().map(|asked| (asked.at.pull, asked.at.to_string(), asked.state)).collect::<Vec<_>>(),
        ["comment 70", "comment 72", "line comment 70", "review 70"].map(|at| (7, at.to_owned(), CommandState::Asked))
    );
    // Asked for again it has another pull request, or none yet, and who writes on the one before still means it.
    let mut again = store.request(&id).await.expect("the request");
    (again.pull, again.former_pull) = (None, again.pull.map(|pull| pull.number));
    store.update_request(&again, &RequestUpdate::default(), at(2)).await.expect("written");
    tell("former", 7, RemarkPlace::Conversation, 73).await;
    tell("former of a stranger", 8, RemarkPlace::Conversation, 74).await;
    let heard: Vec<_> = store.commands(&id).await.expect("the comments").iter().map(|asked| asked.at.to_string()).collect();
    assert_eq!(heard, ["comment 70", "comment 72", "line comment 70", "review 70", "comment 73"]);
    let answer = CommandAnswer { refused: true, text: Some("No.".to_owned()) };
    let done = CommandComment {
        state: CommandState::Done,
        what: Some("/kubeops close".to_owned()),
        by: Some("ada".to_owned()),
        answer: Some(answer),
        since: at(3),
        ..asked[0].clone()
    };
    let note = TimelineEntry { at: at(3), from: Some(State::Proposed), to: State::Proposed, message: "a note".to_owned(), actor: "ada".to_owned() };
    store.note_command(&held, &done, &[note]).await.expect("kept");
    assert_eq!(store.commands(&id).await.expect("the comments")[0], done);
    assert_eq!(store.timeline(&id).await.expect("the timeline").last().expect("an entry").message, "a note");
    store.note_command(&held, &CommandComment { state: CommandState::Told, ..done.clone() }, &[]).await.expect("kept");
    assert_eq!(store.commands(&id).await.expect("the comments").len(), 4);
    let nowhere = RemarkAddress { id: 99, ..done.at };
    assert!(matches!(store.note_command(&held, &CommandComment { at: nowhere, ..done }, &[]).await, Err(StoreError::NotFound(_))));
    store.settle(&held, &Settlement::default(), at(4)).await.expect("settled");
}

pub async fn where_a_comment_stands_is_noted_by_whoever_holds_the_task_alone(store: Arc<dyn Store>) {
    let (_, id) = open_request(&*store, "OPS-1", Some("gitops"), at(0)).await;
    let mut request = store.request(&id).await.expect("the request");
    request.state = State::Proposed;
    request.pull = Some(PullRef { number: 7, url: "https://example.com/7".to_owned() });
    store.update_request(&request, &RequestUpdate { drop_tasks: true, ..Default::default() }, at(1)).await.expect("written");
    let mut entry = dispatch(None, "a comment", Vec::new());
    let remark = RemarkAddress { pull: 7, place: RemarkPlace::Conversation, id: 70 };
    entry.events[0].signals = vec![Signal::Command { repository: parsed("gitops"), at: remark, task: task(&id, TaskKind::Command, "", at(2)).id }];
    store.dispatch(&[entry], at(2)).await.expect("dispatched");
    let old = claimed(&*store, "old", &id, at(2)).await;
    let new = claimed(&*store, "new", &id, at(32)).await;
    let asked = store.commands(&id).await.expect("the comments").remove(0);
    let answer = Some(CommandAnswer { refused: false, text: Some("Done.".to_owned()) });
    let done = CommandComment { state: CommandState::Done, what: Some("/kubeops close".to_owned()), answer, since: at(33), ..asked.clone() };
    store.note_command(&new, &done, &[]).await.expect("kept");
    let before = store.timeline(&id).await.expect("the timeline");
    let note = TimelineEntry { at: at(34), from: Some(State::Proposed), to: State::Proposed, message: "late".to_owned(), actor: "ada".to_owned() };
    for state in [CommandState::Ignored, CommandState::Done, CommandState::Told] {
        for old in [&old, &of_another(&new)] {
            let late = store.note_command(old, &CommandComment { state, ..asked.clone() }, std::slice::from_ref(&note)).await;
            assert!(matches!(&late, Err(StoreError::Conflict(why)) if why.contains("the lease") && why.contains("was lost")), "{state:?}: {late:?}");
        }
    }
    assert_eq!(store.commands(&id).await.expect("the comments"), [done]);
    assert_eq!(store.timeline(&id).await.expect("the timeline"), before);
}
