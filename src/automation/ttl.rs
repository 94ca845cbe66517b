//! How long an automation's changes are wanted, as its author writes it.

use super::MergeMethod;
use crate::types::SpecDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a change is wanted: the time alone, or the time with how it begins and ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TtlSpec {
    /// The time, from the merge on: `4h`, or CEL over `event` and `parameters` that gives that (`null`: for good).
    After(String),
    /// With how it begins and ends.
    With(TtlWithSpec),
}

/// A time to live, and how it begins and ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TtlWithSpec {
    /// The time: `4h`, or CEL over `event` and `parameters` that gives that (`null`: for good). From `finished` on it may be `0s`.
    pub after: String,
    /// What the time begins with.
    #[serde(default)]
    pub from: TtlBegin,
    /// How long before the end people are reminded, in the merged pull request and where it is told what becomes of requests; `0s` is not
    /// at all. By default a tenth of the time, at least 10 minutes and at most a day; of less than half an hour nobody is reminded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind: Option<SpecDuration>,
    /// Has the forge merge the pull request that takes the change back by itself, this way, once reviews and checks allow it (at the local
    /// forge: once a person has approved it). Without it a person merges it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MergeMethod")]
    pub auto_merge: Option<MergeMethod>,
}

/// What a time to live begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TtlBegin {
    /// The merge.
    #[default]
    Merged,
    /// The first word of a delivery tool that the change is in force.
    Applied,
    /// The end of every run (a Job, a PipelineRun) that the change added.
    Finished,
}

impl TtlSpec {
    /// The time as it is written.
    pub fn after(&self) -> &str {
        match self {
            Self::After(after) => after,
            Self::With(with) => &with.after,
        }
    }
}
