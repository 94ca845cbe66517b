//! Pull requests of the local forge, as the API shows them.

use crate::store::{PullComment, PullRecord, PullState};
use crate::types::{BranchName, CommitSha, RepositoryName, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// A pull request of the local forge.
#[derive(Debug, Serialize, ToSchema)]
pub struct PullView {
    /// The repository.
    #[schema(value_type = String, example = "gitops")]
    pub repository: RepositoryName,
    /// Its number, from 1.
    pub number: u64,
    /// open, closed or merged.
    #[schema(value_type = String, example = "open")]
    pub state: PullState,
    /// Whether it is a draft, which is not merged before somebody marks it ready.
    pub draft: bool,
    /// The title.
    pub title: String,
    /// The body, in Markdown.
    pub body: String,
    /// The head branch.
    #[schema(value_type = String)]
    pub head: BranchName,
    /// The commit at the head.
    #[schema(value_type = String)]
    pub head_commit: CommitSha,
    /// The base branch.
    #[schema(value_type = String)]
    pub base: BranchName,
    /// The merge commit.
    #[schema(value_type = Option<String>)]
    pub merge_commit: Option<CommitSha>,
    /// Labels, sorted.
    pub labels: Vec<String>,
    /// Reviewers asked for, sorted.
    pub reviewers: Vec<String>,
    /// Who it is assigned to.
    pub assignees: Vec<String>,
    /// Its milestone.
    pub milestone: Option<String>,
    /// Who approved it.
    pub approved_by: Vec<String>,
    /// Comments, oldest first.
    #[schema(value_type = Vec<CommentView>)]
    pub comments: Vec<PullComment>,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A comment on a pull request.
#[derive(Debug, Serialize, ToSchema)]
pub struct CommentView {
    /// Who.
    pub author: String,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// What, in Markdown.
    pub body: String,
}

impl From<PullRecord> for PullView {
    fn from(pull: PullRecord) -> Self {
        let PullRecord { repository, number, head, base, head_commit, state, title, body, labels, reviewers, assignees, milestone, .. } = pull;
        let PullRecord { draft, approved_by, merge_commit, comments, created_at, updated_at, .. } = pull;
        Self {
            repository,
            number,
            state,
            draft,
            title,
            body,
            head,
            head_commit,
            base,
            merge_commit,
            labels,
            reviewers,
            assignees,
            milestone,
            approved_by,
            comments,
            created_at,
            updated_at,
        }
    }
}
