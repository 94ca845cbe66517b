//! What is asked of the store's listings: filters and pages.

use super::{DeliveryState, PullState, TaskState};
use crate::event::EventType;
use crate::request::State;
use crate::types::{AutomationName, BranchName, DeliveryId, ManifestPath, RepositoryName, RequestId, SourceName, Timestamp};

/// Which requests are wanted; an empty filter wants all.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// In one of these states; empty for any.
    pub states: Vec<State>,
    /// Of this automation.
    pub automation: Option<AutomationName>,
    /// For this repository.
    pub repository: Option<RepositoryName>,
    /// With exactly this correlation key.
    pub correlation: Option<String>,
    /// Only what an operator asked a language model for.
    pub jobs: bool,
    /// Whose event is of this source, and those that stand for a group, of whose members any may be of it.
    pub source: Option<SourceName>,
}

/// Which other requests are looked for that touch the same files.
#[derive(Debug, Clone, Copy)]
pub struct RivalQuery<'a> {
    /// In this repository.
    pub repository: &'a RepositoryName,
    /// Changing at least one of these files.
    pub files: &'a [ManifestPath],
    /// Other than this request.
    pub except: &'a RequestId,
    /// Also those that were merged at or after this moment; without it only those that still may be.
    pub merged_since: Option<Timestamp>,
}

/// Which requests are looked for that changed the same files and are over.
#[derive(Debug, Clone, Copy)]
pub struct TouchQuery<'a> {
    /// In this repository.
    pub repository: &'a RepositoryName,
    /// Changing at least one of these files.
    pub files: &'a [ManifestPath],
    /// Other than this request.
    pub except: &'a RequestId,
    /// Whose pull request ended at or after this moment.
    pub since: Timestamp,
}

/// Which deliveries are wanted.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// From this source.
    pub source: Option<SourceName>,
    /// In this state.
    pub state: Option<DeliveryState>,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// From this source.
    pub source: Option<SourceName>,
    /// Of this type.
    pub kind: Option<EventType>,
    /// About exactly this subject.
    pub subject: Option<String>,
    /// Read from this delivery.
    pub delivery: Option<DeliveryId>,
    /// That opened, joined or told of this request.
    pub request: Option<RequestId>,
}

/// Which pull requests are wanted.
#[derive(Debug, Clone, Default)]
pub struct PullFilter {
    /// Of this repository.
    pub repository: Option<RepositoryName>,
    /// In this state.
    pub state: Option<PullState>,
    /// With this head branch.
    pub head: Option<BranchName>,
}

/// Which tasks are wanted.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Of this request.
    pub request: Option<RequestId>,
    /// In this state.
    pub state: Option<TaskState>,
}

/// A stretch of a listing.
#[derive(Debug, Clone)]
pub struct PageQuery {
    /// Rows wanted, 1 to 500.
    pub limit: u32,
    /// Where the page before ended: an opaque text from [`Page::next`].
    pub after: Option<String>,
}

/// A stretch of a listing and where the next one begins.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to pass as `after` for the next page; none at the end.
    pub next: Option<String>,
}
