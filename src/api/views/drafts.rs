//! Drafts by a language model, and jobs.

use crate::pipeline::{DraftDifference, DraftLine, DraftReport, ReplayedDraft};
use crate::request::{PullRef, Request, State};
use crate::store::DraftState;
use crate::types::{AutomationName, CommitSha, RequestId, Timestamp};
use crate::validate::Finding;
use serde::Serialize;
use utoipa::ToSchema;

/// A draft of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct DraftView {
    /// Which of the request's drafts, from 1.
    pub number: u32,
    /// running, answered, declined, refused, failed or cancelled.
    #[schema(value_type = String, example = "answered")]
    pub state: DraftState,
    /// Which wish for a revision it is made for, from 1; null for the change as it was asked for.
    pub revision: Option<u32>,
    /// Who offers the model.
    #[schema(example = "local")]
    pub provider: String,
    /// The model that is asked.
    #[schema(example = "qwen3-coder")]
    pub model: String,
    /// The commit of the base it looks at.
    #[schema(value_type = String)]
    pub base: CommitSha,
    /// Answers of the model so far.
    pub turns: u64,
    /// Tokens used so far; of calls whose usage nobody told, the most they can have used.
    pub tokens: u64,
    /// What that cost, in the currency that prices are in; null where no price is known.
    pub cost: Option<f64>,
    /// Why there is no answer, once it is over without one.
    pub message: Option<String>,
    /// The model's own words, without markup and addresses.
    pub explanation: Option<String>,
    /// What was wrong with the last answer.
    #[schema(value_type = Vec<Object>)]
    pub findings: Vec<Finding>,
    /// SHA-256 in hex over what the model was told it is and may do, over what else was said to it, and over its answer.
    pub digests: Option<DigestsView>,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    pub begun_at: Timestamp,
    /// When it was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// Digests of what was said in a draft.
#[derive(Debug, Serialize, ToSchema)]
pub struct DigestsView {
    /// What the model was told it is and may do.
    pub prompt: String,
    /// Everything else that it was told at first.
    pub context: String,
    /// Its answer; empty where there is none.
    pub answer: String,
}

/// Millionths as what they are millionths of.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn whole(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}

impl From<DraftReport> for DraftView {
    fn from(report: DraftReport) -> Self {
        let DraftReport { draft, model, revision, turns, spent, drafted, message, findings } = report;
        let explanation = drafted.as_ref().map(|drafted| drafted.explanation.clone()).filter(|text| !text.is_empty());
        let cost = drafted.as_ref().and_then(|drafted| drafted.micros).map(whole);
        Self {
            number: draft.number,
            state: draft.state,
            revision,
            provider: model.provider.as_str().to_owned(),
            model: model.name,
            base: draft.base,
            turns,
            tokens: spent.tokens,
            cost,
            message,
            explanation,
            findings,
            digests: drafted.map(|drafted| DigestsView { prompt: drafted.prompt, context: drafted.context, answer: drafted.answer }),
            begun_at: draft.begun_at,
            ended_at: draft.ended_at,
        }
    }
}

/// A draft decided once more, with the model's kept replies.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReplayView {
    /// Which of the request's drafts.
    pub draft: u32,
    /// Replies of the model that were kept.
    pub turns: u32,
    /// Whether it takes the same course to the same end with the same answer.
    pub same: bool,
    /// How it ended then.
    #[schema(example = "the model declined: there is nothing to do")]
    pub ended: String,
    /// SHA-256 in hex over its answer, where there was one and it is the same.
    pub answer: Option<String>,
    /// Where it first takes another course.
    pub difference: Option<DifferenceView>,
    /// What the model would be told otherwise today before its first turn.
    pub begins: Option<DifferenceView>,
}

/// Where two courses of a draft part.
#[derive(Debug, Serialize, ToSchema)]
pub struct DifferenceView {
    /// The turn, from 1; 0 before the first.
    pub turn: u32,
    /// What was then.
    pub then: String,
    /// What is now.
    pub now: String,
}

impl From<DraftDifference> for DifferenceView {
    fn from(DraftDifference { turn, then, now }: DraftDifference) -> Self {
        Self { turn, then, now }
    }
}

impl From<ReplayedDraft> for ReplayView {
    fn from(replayed: ReplayedDraft) -> Self {
        let ReplayedDraft { draft, turns, same, ended, answer, difference, begins } = replayed;
        Self { draft, turns, same, ended, answer, difference: difference.map(Into::into), begins: begins.map(Into::into) }
    }
}

/// A line of what was said in a draft.
#[derive(Debug, Serialize, ToSchema)]
pub struct DraftLineView {
    /// Which of the request's drafts.
    pub draft: u32,
    /// Which turn of it, from 1; 0 before the first.
    pub turn: u32,
    /// Which attempt at it, from 1.
    pub attempt: u32,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// system, task, asked, said, called, gave, told or refused.
    #[schema(value_type = String, example = "called")]
    pub kind: crate::pipeline::DraftLineKind,
    /// The tool, of a call and its result.
    pub tool: Option<String>,
    /// What was said; secrets were withheld before anything was said.
    pub text: String,
}

impl DraftLineView {
    /// A line of a draft.
    pub fn of(draft: u32, line: DraftLine) -> Self {
        let DraftLine { turn, attempt, at, kind, tool, text } = line;
        Self { draft, turn, attempt, at, kind, tool, text }
    }
}

/// What an operator asked a language model for in their own words.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobView {
    /// Its id: that of its request.
    #[schema(value_type = String, pattern = "^req_[0-9a-hjkmnp-tv-z]{26}$", example = "req_01kajz0000000000000000000a")]
    pub job_id: RequestId,
    /// `created` until the model is asked, `running` while it is; then the request's state.
    #[schema(example = "running")]
    pub status: String,
    /// A sentence about where it stands.
    pub message: Option<String>,
    /// Why it does not go on just now and when it is tried again, such as a model that is not to be had; null in listings.
    pub waits: Option<String>,
    /// What was asked for.
    pub goal: String,
    /// Who asked.
    pub by: String,
    /// The automation it is done under.
    #[schema(value_type = String)]
    pub automation: AutomationName,
    /// Its pull request, once there is one.
    #[schema(value_type = Option<super::PullRefView>)]
    pub pull: Option<PullRef>,
    /// Its newest draft.
    pub draft: Option<DraftView>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl JobView {
    /// A request that is a job, with its newest draft; none where it is no job.
    pub fn of(request: Request, draft: Option<DraftReport>) -> Option<Self> {
        let job = *request.steering.job?;
        let status = match (request.state, &draft) {
            (State::Accepted, None) => "created",
            (State::Accepted, Some(_)) => "running",
            (state, _) => state.as_str(),
        };
        Some(Self {
            job_id: request.id,
            status: status.to_owned(),
            message: request.message,
            waits: None,
            goal: job.goal,
            by: job.by,
            automation: request.key.automation,
            pull: request.pull,
            draft: draft.map(Into::into),
            created_at: request.created_at,
            updated_at: request.updated_at,
        })
    }
}
