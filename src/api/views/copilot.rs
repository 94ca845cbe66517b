//! What the copilot makes of a sentence.

use crate::pipeline::{AlreadyOpen, Copiloted, Filled, ModelAsked, Origin, Shown, Suggested};
use crate::request::{PullRef, State};
use crate::types::{AutomationName, RepositoryName, RequestId, SuggestionId, Timestamp};
use crate::validate::Finding;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What came of a sentence.
#[derive(Debug, Serialize, ToSchema)]
pub struct CopilotView {
    /// `suggested`, or `declined` where there is nothing to confirm.
    #[schema(example = "suggested")]
    pub status: &'static str,
    /// Why it is declined, in plain words: the model's, which nobody has checked, or ours.
    pub reason: Option<String>,
    /// What may be confirmed.
    pub suggestion: Option<SuggestionView>,
    /// The model that was asked.
    pub model: CopilotModelView,
}

/// What may be confirmed.
#[derive(Debug, Serialize, ToSchema)]
pub struct SuggestionView {
    /// Its id.
    #[schema(value_type = String, pattern = "^sug_[0-9a-hjkmnp-tv-z]{26}$")]
    pub id: SuggestionId,
    /// The sentence, as a model was told it.
    pub sentence: String,
    /// The automation that is picked.
    #[schema(value_type = String, example = "namespace-request")]
    pub automation: AutomationName,
    /// What that is for.
    pub description: String,
    /// Its parameters.
    pub parameters: Vec<FilledView>,
    /// Where the change would go: `repository:path`.
    #[schema(example = "gitops:clusters/prod-eu")]
    pub target: Option<String>,
    /// The title of the pull request that would be opened.
    pub title: Option<String>,
    /// What would change, a line for each object.
    pub summary: Vec<String>,
    /// How long it would be wanted; null for good.
    pub ttl: Option<String>,
    /// The change as a unified diff against the base as it is now.
    pub diff: Option<String>,
    /// What was found.
    #[schema(value_type = Vec<super::FindingView>)]
    pub findings: Vec<Finding>,
    /// Why nothing would be proposed, where that is so.
    pub refused: Option<String>,
    /// What else there is to say.
    pub note: Option<String>,
    /// Open requests that do the same already: confirmed, this would be one more.
    pub already_open: Vec<AlreadyOpenView>,
    /// Until when it may be confirmed.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// An open request that does what a suggestion would.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlreadyOpenView {
    /// Its id.
    #[schema(value_type = String, pattern = "^req_[0-9a-hjkmnp-tv-z]{26}$")]
    pub request: RequestId,
    /// Where it stands.
    #[schema(value_type = String, example = "proposed")]
    pub state: State,
    /// The repository it goes to; null where that is not known yet.
    #[schema(value_type = Option<String>, example = "gitops")]
    pub repository: Option<RepositoryName>,
    /// Its pull request.
    #[schema(value_type = Option<super::PullRefView>)]
    pub pull: Option<PullRef>,
}

/// A parameter and its value.
#[derive(Debug, Serialize, ToSchema)]
pub struct FilledView {
    /// The parameter.
    #[schema(example = "team")]
    pub name: String,
    /// Its value.
    #[schema(value_type = Object)]
    pub value: Value,
    /// `said` where it stands in the sentence, `inferred` where the model made it of that, `default` where it is the automation's.
    #[schema(value_type = String, example = "said")]
    pub from: Origin,
}

/// The model that was asked, and what that cost.
#[derive(Debug, Serialize, ToSchema)]
pub struct CopilotModelView {
    /// Who offers it.
    #[schema(example = "local")]
    pub provider: String,
    /// The model that was asked.
    #[schema(example = "qwen3-coder")]
    pub name: String,
    /// What the provider says answered.
    pub reported: Option<String>,
    /// Calls.
    pub calls: u32,
    /// Tokens; of calls whose usage nobody told, the most they can have used.
    pub tokens: u64,
    /// What that cost, in the currency that prices are in; null where no price is known.
    pub cost: Option<f64>,
}

impl From<Copiloted> for CopilotView {
    fn from(copiloted: Copiloted) -> Self {
        match copiloted {
            Copiloted::Suggested(suggested) => {
                let model = suggested.asked.clone().into();
                Self { status: "suggested", reason: None, suggestion: Some((*suggested).into()), model }
            }
            Copiloted::Declined { reason, asked } => Self { status: "declined", reason: Some(reason), suggestion: None, model: asked.into() },
        }
    }
}

impl From<Suggested> for SuggestionView {
    fn from(suggested: Suggested) -> Self {
        let Suggested { id, sentence, automation, description, parameters, preview, already_open, expires_at, .. } = suggested;
        let Shown { target, title, summary, ttl, diff, findings, drafted, refused, note } = preview;
        let filled = |Filled { name, value, origin }| FilledView { name, value, from: origin };
        let parameters = parameters.into_iter().map(filled).collect();
        let open = |AlreadyOpen { request, state, repository, pull }| AlreadyOpenView { request, state, repository, pull };
        let already_open = already_open.into_iter().map(open).collect();
        Self {
            id,
            sentence,
            automation,
            description,
            parameters,
            target,
            title,
            summary,
            ttl,
            diff,
            findings,
            refused,
            note: note.or(drafted),
            already_open,
            expires_at,
        }
    }
}

impl From<ModelAsked> for CopilotModelView {
    fn from(asked: ModelAsked) -> Self {
        let ModelAsked { provider, model, reported, calls, tokens, micros } = asked;
        Self { provider: provider.as_str().to_owned(), name: model, reported, calls, tokens, cost: micros.map(super::drafts::whole) }
    }
}
