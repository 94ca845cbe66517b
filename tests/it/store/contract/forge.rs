//! Pull requests of the local forge, and tokens.

use crate::store::support::{at, parsed, pull, token_id};
use kubeops::store::{PageQuery, PullComment, PullFilter, PullRecord, PullState, Role, Store, StoreError, TokenRecord};
use kubeops::types::{RepositoryName, Timestamp};
use std::sync::Arc;

async fn read(store: &dyn Store, repository: &str, number: u64) -> PullRecord {
    store.pull(&parsed::<RepositoryName>(repository), number).await.expect("an answer").expect("the pull request")
}

pub async fn pull_requests_are_numbered_within_their_repository(store: Arc<dyn Store>) {
    for (repository, head, number) in [("a", "x", 1), ("a", "y", 2), ("b", "x", 1), ("a", "z", 3)] {
        assert_eq!(store.insert_pull(&pull(repository, head)).await.expect("inserted"), number);
        assert_eq!(read(&*store, repository, number).await, PullRecord { number, ..pull(repository, head) });
    }
    assert_eq!(store.pull(&parsed("a"), 4).await.expect("an answer"), None);
    assert_eq!(store.pull(&parsed("c"), 1).await.expect("an answer"), None);
}

pub async fn an_open_head_branch_has_one_pull_request(store: Arc<dyn Store>) {
    let writers = (0..6).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.insert_pull(&pull("a", "x")).await.expect("a number") })
    });
    for writer in writers.collect::<Vec<_>>() {
        assert_eq!(writer.await.expect("a writer"), 1);
    }
    let first = read(&*store, "a", 1).await;
    store.update_pull(&PullRecord { state: PullState::Closed, ..first.clone() }).await.expect("closed");
    assert_eq!(store.insert_pull(&pull("a", "x")).await.expect("a new one"), 2);
    let closed = read(&*store, "a", 1).await;
    let reopened = PullRecord { state: PullState::Open, ..closed };
    assert!(matches!(store.update_pull(&reopened).await, Err(StoreError::Conflict(_))));
}

pub async fn a_pull_request_is_replaced_by_the_version_read(store: Arc<dyn Store>) {
    store.insert_pull(&pull("a", "x")).await.expect("inserted");
    let mut record = read(&*store, "a", 1).await;
    record.approved_by = vec!["ann".to_owned()];
    record.comments = vec![PullComment { author: "ann".to_owned(), at: at(1), body: "good".to_owned() }];
    record.state = PullState::Merged;
    record.merge_commit = Some(parsed(&"c".repeat(40)));
    store.update_pull(&record).await.expect("replaced");
    assert!(matches!(store.update_pull(&record).await, Err(StoreError::Conflict(_))), "the version read is no longer the one there");
    record.version += 1;
    assert_eq!(read(&*store, "a", 1).await, record);
    assert!(matches!(store.update_pull(&PullRecord { number: 9, ..record }).await, Err(StoreError::NotFound(_))));
}

pub async fn pull_requests_filter_and_page_newest_first(store: Arc<dyn Store>) {
    for (repository, head) in [("a", "x"), ("b", "x"), ("a", "y"), ("a", "z")] {
        store.insert_pull(&pull(repository, head)).await.expect("inserted");
    }
    let closed = PullRecord { state: PullState::Closed, ..read(&*store, "a", 2).await };
    store.update_pull(&closed).await.expect("closed");
    let a = || Some(parsed("a"));
    for (filter, expected) in [
        (PullFilter::default(), vec![("a", "z"), ("a", "y"), ("b", "x"), ("a", "x")]),
        (PullFilter { repository: a(), ..Default::default() }, vec![("a", "z"), ("a", "y"), ("a", "x")]),
        (PullFilter { repository: a(), state: Some(PullState::Open), head: None }, vec![("a", "z"), ("a", "x")]),
        (PullFilter { head: Some(parsed("x")), ..Default::default() }, vec![("b", "x"), ("a", "x")]),
        (PullFilter { state: Some(PullState::Merged), ..Default::default() }, vec![]),
    ] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.pulls(&filter, &PageQuery { limit: 2, after }).await.expect("a page");
            seen.extend(page.items.into_iter().map(|pull| (pull.repository.to_string(), pull.head.to_string())));
            assert!(seen.len() < 100, "pages repeat");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = expected.into_iter().map(|(repository, head)| (repository.to_owned(), head.to_owned())).collect();
        assert_eq!(seen, expected, "{filter:?}");
    }
}

pub async fn a_token_is_found_by_its_hash_until_it_ends(store: Arc<dyn Store>) {
    let token = |name: &str, role, byte: u8, expires_at: Option<Timestamp>| TokenRecord {
        id: token_id(),
        name: name.to_owned(),
        role,
        hash: [byte; 32],
        created_at: at(0),
        expires_at,
        revoked_at: None,
    };
    let admin = token("ann", Role::Admin, 1, None);
    let short = token("ci", Role::Operator, 2, Some(at(10)));
    let viewer = token("wall", Role::Viewer, 3, None);
    for token in [&admin, &short, &viewer] {
        store.insert_token(token).await.expect("inserted");
    }
    assert!(matches!(store.insert_token(&token("again", Role::Admin, 1, None)).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.tokens().await.expect("tokens"), [viewer.clone(), short.clone(), admin.clone()]);
    assert_eq!(store.token_by_hash(&[1; 32], at(99)).await.expect("an answer"), Some(admin.clone()));
    assert_eq!(store.token_by_hash(&[2; 32], at(9)).await.expect("an answer"), Some(short));
    assert_eq!(store.token_by_hash(&[2; 32], at(10)).await.expect("an answer"), None);
    assert_eq!(store.token_by_hash(&[9; 32], at(0)).await.expect("an answer"), None);
    store.revoke_token(&admin.id, at(5)).await.expect("revoked");
    store.revoke_token(&admin.id, at(7)).await.expect("revoked again");
    assert_eq!(store.token_by_hash(&[1; 32], at(0)).await.expect("an answer"), None);
    assert_eq!(store.tokens().await.expect("tokens")[2].revoked_at, Some(at(5)));
    assert!(matches!(store.revoke_token(&token_id(), at(5)).await, Err(StoreError::NotFound(_))));
}
