//! Glue: the local forge's records, kept in the store.

use crate::forge::local::{Comment, LocalPull, PullRecords, RecordError};
use crate::forge::{Pull, PullState, Reviewer};
use crate::lease::{self, Lost};
use crate::store::{self, PageQuery, PullComment, PullFilter, PullRecord, Store, StoreError};
use crate::types::{BranchName, ErrorClass, RepositoryName};
use async_trait::async_trait;
use std::sync::Arc;

/// Keeps the local forge's pull requests in a store.
pub struct StoredPulls {
    store: Arc<dyn Store>,
    pages: String,
}

impl StoredPulls {
    /// Records in `store`; `pages` is the address under which people see them, without a slash at its end.
    pub fn new(store: Arc<dyn Store>, pages: String) -> Self {
        Self { store, pages }
    }

    async fn first(&self, filter: &PullFilter) -> Result<Option<PullRecord>, RecordError> {
        let page = self.store.pulls(filter, &PageQuery { limit: 1, after: None }).await.map_err(failed)?;
        Ok(page.items.into_iter().next())
    }

    fn told(&self, record: PullRecord) -> LocalPull {
        let pull = Pull {
            number: record.number,
            url: format!("{}/{}/{}", self.pages, record.repository, record.number),
            state: from_stored(record.state),
            title: record.title,
            body: record.body,
            labels: record.labels,
            reviewers: record.reviewers.iter().filter_map(|name| name.parse::<Reviewer>().ok()).collect(),
            assignees: record.assignees,
            milestone: record.milestone,
            draft: record.draft,
            auto_merge: record.auto_merge,
            queued: false,
            head: record.head.to_string(),
            base: record.base.to_string(),
            head_commit: Some(record.head_commit),
            merge_commit: record.merge_commit,
            approved_by: record.approved_by,
            author: "kubeops".to_owned(),
            closed_by: record.closed_by,
            created_at: record.created_at,
            updated_at: record.updated_at,
            notes: Vec::new(),
        };
        let comments = record.comments.into_iter().map(|comment| Comment { at: comment.at, author: comment.author, body: comment.body }).collect();
        LocalPull { repository: record.repository, pull, comments, version: record.version }
    }
}

#[async_trait]
impl PullRecords for StoredPulls {
    async fn insert(&self, local: &LocalPull) -> Result<LocalPull, RecordError> {
        lease::check().map_err(lost)?;
        let record = PullRecord { version: 1, ..stored(local)? };
        let number = self.store.insert_pull(&record).await.map_err(failed)?;
        let kept = self.store.pull(&local.repository, number).await.map_err(failed)?;
        match kept {
            // Another one with this head is open: the store keeps that one.
            Some(kept) if kept.created_at != record.created_at || kept.title != record.title || kept.version != 1 => Err(RecordError::Exists),
            Some(kept) => Ok(self.told(kept)),
            None => Err(RecordError::Storage { message: "the record was not kept".to_owned(), class: ErrorClass::Bug }),
        }
    }

    async fn update(&self, local: &LocalPull) -> Result<LocalPull, RecordError> {
        lease::check().map_err(lost)?;
        let record = stored(local)?;
        self.store.update_pull(&record).await.map_err(failed)?;
        Ok(LocalPull { version: local.version + 1, ..local.clone() })
    }

    async fn find(&self, repository: &RepositoryName, head: &BranchName) -> Result<Option<LocalPull>, RecordError> {
        let of = |state| PullFilter { repository: Some(repository.clone()), state, head: Some(head.clone()) };
        let found = match self.first(&of(Some(store::PullState::Open))).await? {
            Some(open) => Some(open),
            None => self.first(&of(None)).await?,
        };
        Ok(found.map(|record| self.told(record)))
    }

    async fn get(&self, repository: &RepositoryName, number: u64) -> Result<Option<LocalPull>, RecordError> {
        Ok(self.store.pull(repository, number).await.map_err(failed)?.map(|record| self.told(record)))
    }

    async fn list(&self, repository: &RepositoryName, state: Option<PullState>, limit: usize) -> Result<Vec<LocalPull>, RecordError> {
        let filter = PullFilter { repository: Some(repository.clone()), state: state.map(to_stored), head: None };
        let page =
            self.store.pulls(&filter, &PageQuery { limit: u32::try_from(limit.min(500)).unwrap_or(500), after: None }).await.map_err(failed)?;
        Ok(page.items.into_iter().map(|record| self.told(record)).collect())
    }
}

fn stored(local: &LocalPull) -> Result<PullRecord, RecordError> {
    let broken = |what: String| RecordError::Storage { message: what, class: ErrorClass::Bug };
    let branch = |name: &str| name.parse::<BranchName>().map_err(|error| broken(error.to_string()));
    let pull = &local.pull;
    let comments = local.comments.iter().map(|comment| PullComment { author: comment.author.clone(), at: comment.at, body: comment.body.clone() });
    Ok(PullRecord {
        repository: local.repository.clone(),
        number: pull.number,
        head: branch(&pull.head)?,
        base: branch(&pull.base)?,
        head_commit: pull.head_commit.clone().ok_or_else(|| broken("a pull request without a commit".to_owned()))?,
        state: to_stored(pull.state),
        title: pull.title.clone(),
        body: pull.body.clone(),
        labels: pull.labels.clone(),
        reviewers: pull.reviewers.iter().map(ToString::to_string).collect(),
        assignees: pull.assignees.clone(),
        milestone: pull.milestone.clone(),
        auto_merge: pull.auto_merge,
        draft: pull.draft,
        approved_by: pull.approved_by.clone(),
        merge_commit: pull.merge_commit.clone(),
        closed_by: pull.closed_by.clone(),
        comments: comments.collect(),
        created_at: pull.created_at,
        updated_at: pull.updated_at,
        version: local.version,
    })
}

fn to_stored(state: PullState) -> store::PullState {
    match state {
        PullState::Open => store::PullState::Open,
        PullState::Closed => store::PullState::Closed,
        PullState::Merged => store::PullState::Merged,
    }
}

fn from_stored(state: store::PullState) -> PullState {
    match state {
        store::PullState::Open => PullState::Open,
        store::PullState::Closed => PullState::Closed,
        store::PullState::Merged => PullState::Merged,
    }
}

fn lost(lost: Lost) -> RecordError {
    RecordError::Storage { message: lost.to_string(), class: ErrorClass::Transient }
}

fn failed(error: StoreError) -> RecordError {
    match error {
        StoreError::Conflict(_) => RecordError::Outdated,
        other => RecordError::Storage { message: other.to_string(), class: other.class() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::lease::Lease;
    use crate::store::{SqlStore, SqliteOptions};
    use crate::types::Timestamp;
    use std::time::Duration;

    /// A pull request that is not kept yet.
    fn opened() -> LocalPull {
        let at = Timestamp::from_unix_millis(0);
        let pull = Pull {
            number: 0,
            url: String::new(),
            state: PullState::Open,
            title: "A change".to_owned(),
            body: String::new(),
            labels: Vec::new(),
            reviewers: Vec::new(),
            assignees: Vec::new(),
            milestone: None,
            draft: false,
            auto_merge: false,
            queued: false,
            head: "kubeops/one".to_owned(),
            base: "main".to_owned(),
            head_commit: "a".repeat(40).parse().ok(),
            merge_commit: None,
            approved_by: Vec::new(),
            author: "kubeops".to_owned(),
            closed_by: None,
            created_at: at,
            updated_at: at,
            notes: Vec::new(),
        };
        LocalPull { repository: "gitops".parse().expect("a name"), pull, comments: Vec::new(), version: 0 }
    }

    #[tokio::test]
    async fn a_process_whose_lease_is_over_opens_no_pull_request_and_changes_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("kubeops.db");
        let store = SqlStore::sqlite(path.to_str().expect("UTF-8"), SqliteOptions::default()).await.expect("a store");
        let records = StoredPulls::new(Arc::new(store), "http://localhost/pulls".to_owned());
        let over = || Lease::new(Arc::new(SystemClock), Duration::ZERO, Duration::ZERO);
        let of = opened();
        let refused = over().over(records.insert(&of)).await;
        assert!(matches!(refused, Err(RecordError::Storage { class: ErrorClass::Transient, .. })), "{refused:?}");
        assert_eq!(records.list(&of.repository, None, 10).await.expect("a list"), []);
        // Under no lease, as a person is, it may.
        let kept = records.insert(&of).await.expect("kept");
        let mut closed = kept.clone();
        closed.pull.state = PullState::Closed;
        let refused = over().over(records.update(&closed)).await;
        assert!(matches!(refused, Err(RecordError::Storage { class: ErrorClass::Transient, .. })), "{refused:?}");
        assert_eq!(records.get(&of.repository, 1).await.expect("an answer"), Some(kept));
        records.update(&closed).await.expect("closed");
    }
}
