//! The forge for a machine without accounts: a pull request is a record and a branch in a bare repository.
//! Records lie behind [`PullRecords`]; merges happen in the bare repository itself. It never merges a commit that was not
//! the one looked at, and never runs a hook.

mod records;
mod repository;
mod review;

pub use records::{Comment, LocalPull, PullRecords, RecordError};
pub use repository::{Merged, Tools};
pub use review::{Person, Review};

use super::{CheckSpec, Forge, ForgeError, HELD_LABEL, Look, Mark, Pull, PullSpec, PullState, Reaction, Remark, WindowSpec, cut, signed};
use crate::automation::Milestone;
use crate::clock::Clock;
use crate::lease;
use crate::request::RemarkAddress;
use crate::types::{BranchName, RepositoryName};
use repository::Upstream;
use std::{path::PathBuf, sync::Arc};

/// Titles are cut to this many characters.
const TITLE_LIMIT: usize = 256;
/// Bodies and comments are cut to this many characters.
const BODY_LIMIT: usize = 65_536;

/// The local forge of one repository.
pub struct LocalForge {
    name: RepositoryName,
    upstream: Upstream,
    records: Arc<dyn PullRecords>,
    clock: Arc<dyn Clock>,
    pages: String,
}

impl LocalForge {
    /// The forge of the bare repository at `path`. `pages` is the address under which people see pull requests, without a
    /// slash at its end: `<pages>/<repository>/<number>`.
    pub fn new(
        name: RepositoryName,
        path: PathBuf,
        tools: Tools,
        records: Arc<dyn PullRecords>,
        clock: Arc<dyn Clock>,
        pages: impl Into<String>,
    ) -> Self {
        let upstream = Upstream { forge: format!("the local forge of {name}"), path, tools };
        Self { name, upstream, records, clock, pages: pages.into() }
    }

    async fn record(&self, number: u64) -> Result<LocalPull, ForgeError> {
        let found = self.records.get(&self.name, number).await.map_err(|error| self.failed(number, error))?;
        found.ok_or_else(|| ForgeError::NoPull { forge: self.upstream.forge.clone(), number })
    }

    async fn update(&self, mut record: LocalPull) -> Result<LocalPull, ForgeError> {
        record.pull.updated_at = self.clock.now();
        let number = record.pull.number;
        self.records.update(&record).await.map_err(|error| self.failed(number, error))
    }

    /// Writes a change of a record. Where another wrote first, it is made again on what stands there now, as long as that is still what was
    /// looked at: in the same state, with the same head.
    ///
    /// # Errors
    /// [`ForgeError::Outdated`] when it is something else by now, or others never cease to write.
    async fn edit(&self, mut record: LocalPull, change: impl Fn(&mut LocalPull) + Send + Sync) -> Result<LocalPull, ForgeError> {
        let mut tries = 1;
        loop {
            let mut wanted = record.clone();
            change(&mut wanted);
            let written = self.update(wanted).await;
            if tries == EDIT_TRIES || !matches!(written, Err(ForgeError::Outdated { .. })) {
                return written;
            }
            let now = self.record(record.pull.number).await?;
            if (now.pull.state, &now.pull.head_commit) != (record.pull.state, &record.pull.head_commit) {
                return written;
            }
            record = now;
            tries += 1;
        }
    }

    fn failed(&self, number: u64, error: RecordError) -> ForgeError {
        let forge = self.upstream.forge.clone();
        match error {
            RecordError::Outdated | RecordError::Exists => ForgeError::Outdated { forge, number },
            RecordError::Storage { message, class } => ForgeError::Storage { forge, message, class },
        }
    }

    /// Runs work on the bare repository on a blocking thread, under the lease of whoever calls.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Upstream) -> Result<T, ForgeError> + Send + 'static) -> Result<T, ForgeError> {
        let upstream = self.upstream.clone();
        let forge = upstream.forge.clone();
        let bug =
            move |error: tokio::task::JoinError| ForgeError::Storage { forge, message: error.to_string(), class: crate::types::ErrorClass::Bug };
        tokio::task::spawn_blocking(lease::handed_on(move || work(&upstream))).await.map_err(bug)?
    }

    /// The record of an open pull request whose branch is where the record says; else why not. A branch that has other
    /// commits by now loses its approvals.
    async fn reviewable(&self, number: u64) -> Result<LocalPull, ForgeError> {
        let mut record = self.record(number).await?;
        let forge = self.upstream.forge.clone();
        if record.pull.state != PullState::Open {
            return Err(ForgeError::NotOpen { forge, number });
        }
        let head = record.pull.head.clone();
        let tip = self.blocking(move |upstream| upstream.tip(&head)).await?;
        if tip == record.pull.head_commit {
            return Ok(record);
        }
        if tip.is_some() {
            record.pull.head_commit = tip;
            record.pull.approved_by.clear();
            self.update(record).await?;
        }
        Err(ForgeError::Changed { forge, number })
    }

    /// The merge of an open pull request's head, where its base holds it already.
    async fn merged(&self, pull: &Pull) -> Result<Option<Merged>, ForgeError> {
        let Some(head) = pull.head_commit.clone() else { return Ok(None) };
        let base = pull.base.clone();
        self.blocking(move |upstream| upstream.merged_already(&base, &head)).await
    }

    /// Notes a merge; its branch goes with it. Before the note, so that a crash in between leaves no branch behind.
    async fn record_merge(&self, record: LocalPull, merged: Merged, who: &str) -> Result<Pull, ForgeError> {
        if let Some(head) = record.pull.head_commit.clone() {
            let branch = record.pull.head.clone();
            if let Err(error) = self.blocking(move |upstream| upstream.delete_merged(&branch, &head)).await {
                tracing::warn!(pull = record.pull.number, branch = record.pull.head, %error, "the merged branch could not be deleted");
            }
        }
        let noted = |record: &mut LocalPull| {
            record.pull.state = PullState::Merged;
            record.pull.merge_commit = Some(merged.commit.clone());
            record.pull.closed_by = Some(who.to_owned());
        };
        Ok(self.edit(record, noted).await?.pull)
    }

    async fn end(&self, record: LocalPull, who: &str, comment: Option<&str>) -> Result<Pull, ForgeError> {
        if record.pull.state != PullState::Open {
            return Ok(record.pull);
        }
        let comment = comment.map(|comment| Comment { at: self.clock.now(), author: who.to_owned(), body: cut(comment, BODY_LIMIT) });
        let closed = |record: &mut LocalPull| {
            record.comments.extend(comment.clone());
            record.pull.state = PullState::Closed;
            record.pull.closed_by = Some(who.to_owned());
        };
        Ok(self.edit(record, closed).await?.pull)
    }

    /// The record with what `spec` asks for; none when it is so already.
    fn brought_up(record: &LocalPull, spec: &PullSpec) -> Option<LocalPull> {
        let mut wanted = record.clone();
        let pull = &mut wanted.pull;
        pull.title = cut(&spec.title, TITLE_LIMIT);
        pull.body = cut(&spec.body, BODY_LIMIT);
        pull.base = spec.base.to_string();
        pull.labels.retain(|label| spec.held || label != HELD_LABEL);
        for label in spec.all_labels() {
            if !pull.labels.contains(&label) {
                pull.labels.push(label);
            }
        }
        for assignee in &spec.assignees {
            if !pull.assignees.contains(assignee) {
                pull.assignees.push(assignee.clone());
            }
        }
        // What a person marked ready stays so; nothing that is there becomes a draft again.
        pull.draft &= spec.draft;
        pull.auto_merge = spec.auto_merge.is_some() && !spec.draft;
        if let Some(milestone) = &spec.milestone {
            pull.milestone = Some(match milestone {
                Milestone::Number(number) => number.to_string(),
                Milestone::Title(title) => title.clone(),
            });
        }
        for reviewer in &spec.reviewers {
            if !pull.reviewers.contains(reviewer) {
                pull.reviewers.push(reviewer.clone());
            }
        }
        if pull.head_commit.as_ref() != Some(&spec.head_commit) {
            pull.head_commit = Some(spec.head_commit.clone());
            // What was approved is not what stands there now.
            pull.approved_by.clear();
        }
        (wanted != *record).then_some(wanted)
    }

    fn opened(&self, spec: &PullSpec) -> LocalPull {
        let now = self.clock.now();
        let pull = Pull {
            number: 0,
            url: format!("{}/{}", self.pages, self.name),
            state: PullState::Open,
            title: String::new(),
            body: String::new(),
            labels: Vec::new(),
            reviewers: Vec::new(),
            assignees: Vec::new(),
            milestone: None,
            draft: spec.draft,
            auto_merge: false,
            queued: false,
            head: spec.head.to_string(),
            base: spec.base.to_string(),
            head_commit: None,
            merge_commit: None,
            approved_by: Vec::new(),
            author: KUBEOPS.to_owned(),
            closed_by: None,
            created_at: now,
            updated_at: now,
            notes: Vec::new(),
        };
        let empty = LocalPull { repository: self.name.clone(), pull, comments: Vec::new(), version: 0 };
        Self::brought_up(&empty, spec).unwrap_or(empty)
    }
}

/// How often a change of a record is made where others write at the same time.
const EDIT_TRIES: u32 = 5;
/// The name of what we do ourselves.
const KUBEOPS: &str = "kubeops";

#[async_trait::async_trait]
impl Forge for LocalForge {
    async fn ensure_pull(&self, spec: &PullSpec) -> Result<Pull, ForgeError> {
        // The search costs nothing here, so it is never spared.
        let found = self.records.find(&self.name, &spec.head).await.map_err(|error| self.failed(0, error))?;
        let record = match found {
            // What a person closed stays closed, unless the request was asked for again since.
            Some(record) if record.pull.state == PullState::Open => record,
            Some(record) if record.pull.is_of(spec) => return Ok(record.pull),
            _ => match self.records.insert(&self.opened(spec)).await {
                Ok(record) => return Ok(record.pull),
                Err(RecordError::Exists) => {
                    let found = self.records.find(&self.name, &spec.head).await.map_err(|error| self.failed(0, error))?;
                    found.ok_or_else(|| ForgeError::Outdated { forge: self.upstream.forge.clone(), number: 0 })?
                }
                Err(error) => return Err(self.failed(0, error)),
            },
        };
        let record = match Self::brought_up(&record, spec) {
            None => record,
            Some(wanted) => self.update(wanted).await?,
        };
        self.merge_itself(record.pull).await
    }

    async fn get(&self, number: u64) -> Result<Pull, ForgeError> {
        let record = self.record(number).await?;
        if record.pull.state == PullState::Open
            && let Some(merged) = self.merged(&record.pull).await?
        {
            // Merged with git alone, without a word to us.
            return self.record_merge(record, merged, "git").await;
        }
        let mut pull = record.pull;
        if pull.state == PullState::Open {
            // Somebody may have pushed to it.
            let head = pull.head.clone();
            pull.head_commit = self.blocking(move |upstream| upstream.tip(&head)).await?.or(pull.head_commit);
        }
        Ok(pull)
    }

    async fn find(&self, head: &BranchName) -> Result<Option<Pull>, ForgeError> {
        let found = self.records.find(&self.name, head).await.map_err(|error| self.failed(0, error))?;
        Ok(found.map(|record| record.pull))
    }

    async fn close(&self, number: u64, comment: Option<&str>) -> Result<Pull, ForgeError> {
        // It may have been merged with git alone.
        let pull = self.get(number).await?;
        if pull.state != PullState::Open {
            return Ok(pull);
        }
        let record = self.record(number).await?;
        self.end(record, KUBEOPS, comment).await
    }

    /// The record holds the commit that reviewers look at.
    fn follows_branches(&self) -> bool {
        false
    }

    /// The search costs nothing here, so it is never spared.
    async fn comment_once(&self, number: u64, body: &str, marker: &str, _: bool) -> Result<(), ForgeError> {
        let body = signed(body, Some(marker), BODY_LIMIT);
        let record = self.record(number).await?;
        let is_there = |record: &LocalPull| record.comments.iter().any(|comment| comment.author == KUBEOPS && comment.body == body);
        if is_there(&record) {
            return Ok(());
        }
        let at = self.clock.now();
        let told = |record: &mut LocalPull| {
            if !is_there(record) {
                record.comments.push(Comment { at, author: KUBEOPS.to_owned(), body: body.clone() });
            }
        };
        self.edit(record, told).await.map(drop)
    }

    /// There is one conversation and nothing else here.
    async fn answer_once(&self, remark: &RemarkAddress, body: &str, marker: &str, asked_before: bool) -> Result<(), ForgeError> {
        self.comment_once(remark.pull, body, marker, asked_before).await
    }

    /// Comments have no ids here: whoever may use the API steers a request there.
    async fn remark(&self, _: &RemarkAddress) -> Result<Option<Remark>, ForgeError> {
        Ok(None)
    }

    async fn may_write(&self, _: &str) -> Result<bool, ForgeError> {
        Ok(false)
    }

    async fn react(&self, _: &RemarkAddress, _: Reaction) -> Result<(), ForgeError> {
        Ok(())
    }

    async fn look(&self, numbers: &[u64], _: Option<&Mark>) -> Result<Look, ForgeError> {
        let mut look = Look::default();
        for number in numbers {
            let looked = match self.get(*number).await {
                // Approved a moment before a death, or what stood in the way is gone.
                Ok(pull) => self.merge_itself(pull).await,
                error => error,
            };
            match looked {
                Ok(pull) => look.pulls.push(pull),
                Err(ForgeError::NoPull { .. }) => {}
                // One that cannot be read must not hide the others.
                Err(error) => tracing::warn!(pull = number, %error, "a pull request could not be looked at"),
            }
        }
        Ok(look)
    }

    /// What stands in git's way is in the repository's own directory, and git tells it.
    async fn why_refused(&self) -> Result<(), ForgeError> {
        Ok(())
    }

    /// What a reviewer needs stands in the body; there is nothing beside a commit here.
    async fn report(&self, _: &CheckSpec) -> Result<bool, ForgeError> {
        Ok(false)
    }

    /// Whoever merges here is asked whether it is held.
    async fn show_window(&self, _: &WindowSpec) -> Result<bool, ForgeError> {
        Ok(false)
    }
}
