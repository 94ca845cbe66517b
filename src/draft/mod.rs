//! Language models: a trait of our own over the providers, what is said to a model and how it answers.
//! It decides nothing about a change: `plan::drafted` and `validate` do. No error and no log line above debug holds what was said.

mod error;
mod exchange;
mod redact;
mod runbooks;
mod tools;

pub use error::ModelError;
pub use exchange::{Arguments, Call, CallResult, End, Exchange, Message, ModelId, Reply, Tool, Usage};
pub use redact::{Redactor, TextKind, holds_placeholder};
pub use runbooks::{Passage, Passages, Question, RunbookError, Runbooks};
pub use tools::Tools;

/// A language model at a provider.
#[async_trait::async_trait]
pub trait Model: Send + Sync {
    /// Which one it is.
    fn id(&self) -> &ModelId;

    /// Has it answer once. One call of the provider, no attempt more: whoever asks decides about the next.
    ///
    /// # Errors
    /// See [`ModelError`].
    async fn answer(&self, exchange: &Exchange) -> Result<Reply, ModelError>;
}
