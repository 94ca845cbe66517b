//! What people write about a pull request, as a forge tells it: a comment in the conversation or on a line, or a review's words.

use crate::request::RemarkAddress;
use crate::types::Timestamp;
use serde_json::Value;

/// A comment on a pull request, or a review, as the forge tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Remark {
    /// What names it.
    pub at: RemarkAddress,
    /// Who wrote it.
    pub author: String,
    /// Whether that is a program.
    pub is_bot: bool,
    /// Whether we wrote it.
    pub is_ours: bool,
    /// Whether it was changed after everybody could read it. None where the forge does not tell: a listing of comments on lines or of
    /// reviews does not.
    pub edited: Option<bool>,
    /// What it says.
    pub body: String,
    /// Where a person reads it.
    pub url: String,
    /// When it last changed, as far as the forge tells; of a review, when it was submitted.
    pub updated_at: Timestamp,
    /// All of it, in the form that the forge's webhooks have.
    pub raw: Value,
}
