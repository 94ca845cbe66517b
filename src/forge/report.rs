//! How an account at a forge stands, for people and metrics. It never holds a token.

use crate::types::Timestamp;

/// What is left of an account's budget, and what it was spent on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountReport {
    /// Who we are there: `token GITHUB_TOKEN`, `app 12, installation 34`.
    pub name: String,
    /// The address of the API.
    pub api: String,
    /// The primary limits the forge told of.
    pub windows: Vec<WindowReport>,
    /// Until when nothing is called at all, because the forge asked to wait; none when it did not.
    pub limited_until: Option<Timestamp>,
    /// In the forge's words.
    pub limited_because: Option<String>,
    /// What became of the calls since the process started.
    pub calls: Calls,
}

/// One primary limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowReport {
    /// What is counted: `core`, `graphql`.
    pub resource: String,
    /// Calls allowed in the window.
    pub limit: u64,
    /// Calls left in it.
    pub remaining: u64,
    /// When it ends, by our clock.
    pub resets_at: Timestamp,
}

/// Calls by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// Done.
    pub done: u64,
    /// Answered, with a no.
    pub refused: u64,
    /// No answer, or none that makes sense.
    pub failed: u64,
    /// Answered with a limit.
    pub limited: u64,
    /// Not made, because of a limit known before.
    pub held: u64,
}
