//! Members of a request that stands for a group, as the API shows them.

use super::{EventHead, FindingView};
use crate::request::{Member, MemberState};
use crate::types::{CommitSha, Timestamp};
use crate::validate::Finding;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// One member of a group: an event's change, with a commit of its own.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberView {
    /// Its number within the request, in order of arrival, from 1.
    #[schema(example = 3)]
    pub number: u32,
    /// What makes two events the same member.
    #[schema(example = "prod-eu/web/storefront")]
    pub correlation: String,
    /// `active`, `withdrawn` (it was taken out), or `refused` (its change was refused, the others go on).
    #[schema(value_type = String, example = "active")]
    pub state: MemberState,
    /// A sentence about where it stands.
    pub message: Option<String>,
    /// Whether the last plan took it into account; one that was not waits for the next.
    pub planned: bool,
    /// Whether its commit is on the branch of the pull request.
    pub proposed: bool,
    /// Its commit; null when it changes nothing, was refused or waits.
    #[schema(value_type = Option<String>)]
    pub commit: Option<CommitSha>,
    /// Its commit's subject.
    pub title: Option<String>,
    /// What it changes, a line for each object.
    pub summary: Vec<String>,
    /// Why it was refused, or what a reviewer is warned of.
    #[schema(value_type = Vec<FindingView>)]
    pub findings: Vec<Finding>,
    /// The event that asked for it.
    pub event: EventHead,
    /// Its parameters, once they were found valid.
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Map<String, Value>>,
    /// When it joined.
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        let Member {
            number,
            correlation,
            state,
            event,
            parameters,
            planned,
            proposed,
            commit,
            title,
            summary,
            findings,
            message,
            joined_at,
            updated_at,
        } = member;
        let message = message.or_else(|| (!planned && state == MemberState::Active).then(|| "waits to be planned".to_owned()));
        let event = event.into();
        Self { number, correlation, state, message, planned, proposed, commit, title, summary, findings, event, parameters, joined_at, updated_at }
    }
}
