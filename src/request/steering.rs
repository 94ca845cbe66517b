//! What people and clocks decided about a request beside its plan. Kept whole with the request, and carried over when it is planned again.

use crate::types::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What was decided about a request since it was asked for. What is empty is not kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Steering {
    /// When it should be in force at the latest, once merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_by: Option<Timestamp>,
    /// Since when it is known not to be in force in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdue_since: Option<Timestamp>,
    /// The values that people gave its parameters since: they go before all others whenever it is planned.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub set: Map<String, Value>,
    /// Whether a person asked that its branch stand on the present base, also where the change is the same there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rebase: bool,
}
