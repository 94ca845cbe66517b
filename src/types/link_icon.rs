//! The pictures beside links to pull requests.

use serde::{Deserialize, Serialize};

/// What stands for the state of what is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkIcon {
    /// A pull request that is open.
    Open,
    /// One that is merged.
    Merged,
    /// One that was closed without a merge.
    Closed,
    /// Something that failed.
    Failed,
}

impl LinkIcon {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Open, Self::Merged, Self::Closed, Self::Failed];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Merged => "merged",
            Self::Closed => "closed",
            Self::Failed => "failed",
        }
    }

    /// The name of its picture.
    pub fn file(self) -> String {
        format!("pull-{}.svg", self.as_str())
    }
}
