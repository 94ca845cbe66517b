//! Language models: a trait of our own over the providers, what is said to a model and how it answers, and the tools it may use.
//! It decides nothing about a change: `plan::drafted` and `validate` do. No error and no log line above debug holds what was said.

mod brief;
mod cassette;
mod conversation;
mod copilot;
mod error;
mod exchange;
mod http;
mod mcp;
mod measure;
mod provider;
mod redact;
mod runbooks;
mod tools;
mod wire;
mod words;

pub use brief::{Beginning, brief, fenced};
pub use cassette::{Recording, Replaying, Scrub, Tape};
pub use conversation::{Bench, Brief, Conversation, MOST_REPAIRS, NO_CHANGE, Next, PROPOSE, Refused, Response, Verdict, digest, listed};
pub use copilot::{MOST_TRIES, Offer, Picked, choosing, chosen, filled, filling};
pub use error::ModelError;
pub use exchange::{Arguments, Call, CallResult, End, Exchange, Message, ModelId, Reply, Tool, Usage};
pub use mcp::{Given, McpServer, McpSession, OfferedTool, SecretSource, ToolError, fit};
pub use provider::{KeySource, ModelSettings, provider};
pub use redact::{Redactor, TextKind};
pub use runbooks::{Passage, Passages, Question, RunbookError, Runbooks};
pub use tools::Tools;
pub use words::plain;

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
