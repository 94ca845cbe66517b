//! What a person wants otherwise of a change that a language model drafted.

use super::RemarkAddress;
use serde::{Deserialize, Serialize};

/// A wish of somebody who may write to the repository, said in a remark on the pull request or through the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// What is wanted, in their words.
    pub text: String,
    /// Who said it.
    pub by: String,
    /// Where it was said, and where the answer goes; none through the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<RemarkAddress>,
}
