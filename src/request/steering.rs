//! What people and clocks decided about a request beside its plan. Kept whole with the request, and carried over when it is planned again.

use super::{Hold, Release, Window};
use crate::types::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// A person's word that it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
    /// A person's word that it does not wait for its calendars, until it is planned anew or they open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<Release>,
    /// How its calendars stood when they were last looked at; none where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}
