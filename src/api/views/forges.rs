//! Accounts at forges, as the API shows them.

use crate::types::{RepositoryName, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// An account at a forge: a token, or an installation of a GitHub App. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ForgeView {
    /// Who we are there.
    #[schema(example = "app 12, installation 34")]
    pub name: String,
    /// `local` or `github`.
    #[schema(example = "github")]
    pub kind: String,
    /// The address of its API; none for the local forge.
    #[schema(example = "https://api.github.com")]
    pub api: Option<String>,
    /// The repositories whose calls come from its budgets.
    pub repositories: Vec<ForgeRepositoryView>,
    /// What is left of its budgets, as far as the forge told.
    pub budgets: Vec<ForgeBudgetView>,
    /// Until when nothing is called at all, because the forge asked to wait; null when it did not.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub limited_until: Option<Timestamp>,
    /// Why, in the forge's words.
    pub limited_because: Option<String>,
    /// What became of the calls since the process started.
    pub calls: ForgeCallsView,
}

/// A repository and what waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ForgeRepositoryView {
    /// The repository.
    #[schema(value_type = String, example = "gitops")]
    pub name: RepositoryName,
    /// Tasks that wait or are worked on.
    pub queued_tasks: u64,
}

/// One of an account's budgets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ForgeBudgetView {
    /// What is counted.
    #[schema(example = "core")]
    pub resource: String,
    /// Calls allowed in the window.
    #[schema(example = 5000)]
    pub limit: u64,
    /// Calls left in it.
    #[schema(example = 4321)]
    pub remaining: u64,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub resets_at: Timestamp,
}

/// Calls by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ForgeCallsView {
    /// Done.
    pub done: u64,
    /// Answered, with a no.
    pub refused: u64,
    /// Without an answer, or with one that makes no sense.
    pub failed: u64,
    /// Answered with a limit.
    pub limited: u64,
    /// Not made, because of a limit known before.
    pub held: u64,
}
