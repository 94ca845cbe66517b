//! What was said in a draft, as lines for people: the same from the store at any time, while it runs and after.

use super::{Begun, read};
use crate::draft::{Arguments, Reply, Response};
use crate::pipeline::StepError;
use crate::store::{Draft, DraftState, Turn};
use crate::types::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest text of a line, in characters.
const MOST: usize = 16_000;

/// One thing that was said, or done, in a draft. Secrets were withheld before anything was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DraftLine {
    /// Which turn, from 1; 0 before the first.
    pub turn: u32,
    /// Which attempt at it, from 1.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: DraftLineKind,
    /// The tool, of a call and its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What was said.
    pub text: String,
}

/// What kind of thing was said or done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DraftLineKind {
    /// What the model is told it is and may do.
    System,
    /// The task, and what is known of it.
    Task,
    /// A call of the model of which no answer was kept.
    Asked,
    /// The model's words.
    Said,
    /// A tool it called.
    Called,
    /// What a tool gave.
    Gave,
    /// What the model was told besides.
    Told,
    /// An answer was refused: why, for people.
    Refused,
}

/// Everything that was said in a draft, in order.
///
/// # Errors
/// When what was kept cannot be read.
pub(super) fn lines(draft: &Draft, turns: &[Turn]) -> Result<Vec<DraftLine>, StepError> {
    let Begun { brief, .. } = read(&draft.brief)?;
    let line = |turn: &Turn, kind, text: &str| DraftLine {
        turn: turn.number,
        attempt: turn.attempt,
        at: turn.ended_at.unwrap_or(turn.begun_at),
        kind,
        tool: None,
        text: text.chars().take(MOST).collect(),
    };
    let first = |kind, text: &str| DraftLine { turn: 0, attempt: 1, at: draft.begun_at, kind, tool: None, text: text.chars().take(MOST).collect() };
    let mut lines = vec![first(DraftLineKind::System, &brief.system), first(DraftLineKind::Task, &brief.task)];
    for (at, turn) in turns.iter().enumerate() {
        let Some(reply) = &turn.reply else {
            // What was told stays told: of a call that is under way nobody knows yet what to say.
            if turn.ended_at.is_none() && at + 1 == turns.len() && draft.state == DraftState::Running {
                break;
            }
            // Once, however often it is tried.
            if at == 0 || turns[at - 1].number != turn.number {
                lines.push(line(turn, DraftLineKind::Asked, "the model was asked, and no answer was kept"));
            }
            continue;
        };
        let reply: Reply = read(reply)?;
        if !reply.text.trim().is_empty() {
            lines.push(line(turn, DraftLineKind::Said, &reply.text));
        }
        for call in &reply.calls {
            let arguments = match &call.arguments {
                Arguments::Read(arguments) => arguments.to_string(),
                Arguments::Unreadable { text, .. } => text.clone(),
            };
            lines.push(DraftLine { tool: Some(call.name.clone()), ..line(turn, DraftLineKind::Called, &arguments) });
        }
        let Some(response) = &turn.response else { continue };
        let response: Response = read(response)?;
        for result in &response.results {
            lines.push(DraftLine { tool: Some(result.name.clone()), ..line(turn, DraftLineKind::Gave, &result.content) });
        }
        lines.extend(response.say.iter().map(|say| line(turn, DraftLineKind::Told, say)));
        for finding in response.refused.iter().flat_map(|refused| &refused.findings) {
            lines.push(line(turn, DraftLineKind::Refused, &format!("{}: {finding}", finding.rule)));
        }
    }
    Ok(lines)
}
