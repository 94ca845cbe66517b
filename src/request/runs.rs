//! Objects that run and come to an end (a Job, a PipelineRun), which of them a change added, and which are finished.
//! Nobody asks a cluster: that a run is finished is known when somebody says so.

use super::Request;
use crate::manifest::{Action, ObjectChange, ObjectRef};
use crate::types::{ParseError, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Group and kind of what is known to run and to come to an end. Of these a change waits for every one it added, also before anybody
/// has said anything of its kind.
const RUNS: [(&str, &str); 6] = [
    ("batch", "Job"),
    ("tekton.dev", "TaskRun"),
    ("tekton.dev", "PipelineRun"),
    ("argoproj.io", "Workflow"),
    ("crd.chenshaowen.com", "TaskRun"),
    ("crd.chenshaowen.com", "PipelineRun"),
];

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// It did not do what it was for.
    Failed,
    /// It did.
    Succeeded,
}

impl RunOutcome {
    /// The word used in the store and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
        }
    }
}

impl std::str::FromStr for RunOutcome {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let found = [Self::Failed, Self::Succeeded].into_iter().find(|outcome| outcome.as_str() == text);
        found.ok_or_else(|| ParseError::new("outcome of a run", text, "known are succeeded, failed".to_owned()))
    }
}

/// A run that a change added, and that is finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedRun {
    /// The object, as the change added it.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// How it ended.
    pub outcome: RunOutcome,
    /// What was said about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When, by the word of whoever said it.
    pub at: Timestamp,
}

impl FinishedRun {
    /// A line about it: `PipelineRun ops-system/backup-ops-42 failed: the disk is full`.
    pub fn line(&self) -> String {
        let mut line = format!("{} {}", self.object, self.outcome.as_str());
        if let Some(message) = &self.message {
            let _ = write!(line, ": {message}");
        }
        line
    }
}

impl Request {
    /// The objects its change added, as far as they are kept.
    pub fn added(&self) -> impl Iterator<Item = (&ObjectChange, &ObjectRef)> {
        let objects = self.changes.iter().flat_map(|changes| &changes.objects).filter(|change| change.action == Action::Added);
        objects.filter_map(|change| Some((change, change.object.as_ref()?)))
    }

    /// The runs it added that nobody has said to be finished: those of kinds that are known to run, and of kinds that somebody spoke of.
    pub fn unfinished_runs(&self) -> impl Iterator<Item = &ObjectRef> {
        let finished = &self.steering.runs;
        let kind = |object: &ObjectRef| (object.group().to_owned(), object.kind.clone());
        let heard: Vec<_> = finished.iter().map(|run| kind(&run.object)).collect();
        self.added().map(|(_, object)| object).filter(move |object| {
            let runs = RUNS.contains(&(object.group(), object.kind.as_str())) || heard.contains(&kind(object));
            runs && !finished.iter().any(|run| run.object == **object)
        })
    }

    /// Whether every run it added is finished, and there was one.
    pub fn has_run(&self) -> bool {
        !self.steering.runs.is_empty() && self.unfinished_runs().next().is_none()
    }
}
