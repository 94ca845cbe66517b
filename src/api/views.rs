//! What the API shows, as it shows it. A change here changes the interface: fields are added, never renamed or removed.

mod changes;
mod copilot;
mod drafts;
mod events;
mod forges;
mod members;
mod pulls;
mod requests;
mod resources;
mod trace;

pub use changes::{ChangesView, EvidenceView, FieldChangeView, ObjectChangeView};
pub use copilot::{AlreadyOpenView, CopilotModelView, CopilotView, FilledView, SuggestionView};
pub use drafts::{DigestsView, DraftLineView, DraftView, JobView, ReplayView};
pub use events::{DecisionView, DeliveryView, EventHead, EventView, ExplanationView, OperandView, PredicateView};
pub use forges::{ForgeBudgetView, ForgeCallsView, ForgeRepositoryView, ForgeView};
pub use members::MemberView;
pub use pulls::{CommentView, PullView};
pub use requests::{FindingView, HeldView, PullRefView, RequestDetail, RequestView, RunView, TaskView, TimelineView, UndoneView};
pub use resources::{AutomationView, CalendarView, ChannelView, ClusterView, McpServerView, RepositoryView, SourceView, StreamView, TemplateView};
pub use trace::{ToldView, TraceView, TracedDelivery, TracedRequest};

use crate::store::{Role, TokenRecord};
use crate::types::{Timestamp, TokenId};
use serde::Serialize;
use utoipa::ToSchema;

/// A token, without the token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    #[schema(value_type = String, pattern = "^tok_[0-9a-hjkmnp-tv-z]{26}$")]
    pub id: TokenId,
    /// What a person calls it.
    pub name: String,
    /// viewer, operator or admin.
    #[schema(value_type = String, example = "operator")]
    pub role: Role,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it stops working; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

impl From<TokenRecord> for TokenView {
    fn from(token: TokenRecord) -> Self {
        let TokenRecord { id, name, role, created_at, expires_at, revoked_at, .. } = token;
        Self { id, name, role, created_at, expires_at, revoked_at }
    }
}
