//! What a pull request shows while it is held, and when it no longer is.

use crate::types::CommitSha;

/// The label of a pull request that is held.
pub const HELD_LABEL: &str = "kubeops/held";
/// What the status beside a commit is called: required, it keeps people from merging what is held.
pub const WINDOW_CONTEXT: &str = "kubeops/window";

/// Whether a commit may be merged now, to be shown beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowSpec {
    /// The commit.
    pub commit: CommitSha,
    /// What makes it the same when it is put there again: the request's id.
    pub key: String,
    /// Why it may not, in a line; none when it may.
    pub held: Option<String>,
    /// Where a person reads more.
    pub details: String,
    /// Whether it may stand there already; then it is looked for first.
    pub asked_before: bool,
}

impl WindowSpec {
    /// The line that is shown.
    pub fn line(&self) -> String {
        self.held.as_ref().map_or_else(|| "free to be merged".to_owned(), |why| format!("held {why}"))
    }
}
