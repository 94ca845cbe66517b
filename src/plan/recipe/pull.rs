//! How an automation's pull request looks.

use super::texts::{compile_text, text, variables};
use crate::automation::{MergeMethod, Milestone, PullRequestSpec};
use crate::plan::{Inputs, PlanError};
use crate::render::{TextKind, TextTemplate};
use crate::types::SpecError;
use serde::{Deserialize, Serialize};

pub(super) struct PullTexts {
    title: TextTemplate,
    body: Option<TextTemplate>,
    /// What of it is the same for every request.
    fixed: PullRequestSpec,
}

/// How the pull request looks, without what KubeOps adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullText {
    /// The title, one line.
    pub title: String,
    /// The author's paragraphs, in Markdown.
    pub body: Option<String>,
    /// Labels.
    pub labels: Vec<String>,
    /// Reviewers.
    pub reviewers: Vec<String>,
    /// Assignees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignees: Vec<String>,
    /// The milestone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milestone: Option<Milestone>,
    /// Whether it is opened as a draft.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draft: bool,
    /// How the forge merges it by itself, where it shall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_merge: Option<MergeMethod>,
}

impl PullTexts {
    /// The texts for these inputs.
    pub(super) fn fill(&self, inputs: Inputs<'_>) -> Result<PullText, PlanError> {
        let context = variables(inputs);
        Ok(PullText {
            title: text(&self.title, &context, "pullRequest.title")?,
            body: self.body.as_ref().map(|body| text(body, &context, "pullRequest.body")).transpose()?,
            labels: self.fixed.labels.clone(),
            reviewers: self.fixed.reviewers.clone(),
            assignees: self.fixed.assignees.clone(),
            milestone: self.fixed.milestone.clone(),
            draft: self.fixed.draft,
            auto_merge: self.fixed.auto_merge,
        })
    }
}

pub(super) fn compile(spec: &PullRequestSpec, names: &[&str], errors: &mut Vec<SpecError>) -> Option<PullTexts> {
    let title = compile_text(&spec.title, TextKind::Line, "/pullRequest/title", names, errors);
    let body = spec.body.as_deref().map(|body| compile_text(body, TextKind::Markdown, "/pullRequest/body", names, errors));
    for (at, label) in spec.labels.iter().enumerate() {
        if label.is_empty() || label.chars().count() > 50 || label.chars().any(char::is_control) {
            errors.push(SpecError::new(format!("/pullRequest/labels/{at}"), "a label has 1 to 50 characters"));
        }
    }
    check_people(spec, errors);
    Some(PullTexts { title: title?, body: body.flatten(), fixed: spec.clone() })
}

/// Whom the pull request names, and what cannot be together.
fn check_people(spec: &PullRequestSpec, errors: &mut Vec<SpecError>) {
    for (at, reviewer) in spec.reviewers.iter().enumerate() {
        let part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if reviewer.split('/').count() > 2 || !reviewer.split('/').all(part) {
            errors.push(SpecError::new(format!("/pullRequest/reviewers/{at}"), "a reviewer is a user's name or `organisation/team`"));
        }
    }
    for (at, assignee) in spec.assignees.iter().enumerate() {
        if assignee.is_empty() || !assignee.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            errors.push(SpecError::new(format!("/pullRequest/assignees/{at}"), "an assignee is a user's name; a team cannot be assigned"));
        }
    }
    // GitHub assigns ten at most.
    if spec.assignees.len() > 10 {
        errors.push(SpecError::new("/pullRequest/assignees", "a pull request has at most 10 assignees"));
    }
    if matches!(&spec.milestone, Some(Milestone::Title(title)) if title.trim().is_empty()) || spec.milestone == Some(Milestone::Number(0)) {
        errors.push(SpecError::new("/pullRequest/milestone", "a milestone is its number, from 1, or its title"));
    }
    if spec.draft && spec.auto_merge.is_some() {
        let message = "a draft cannot be merged by itself";
        errors.push(SpecError::new("/pullRequest/autoMerge", message).hint("leave out `draft` or `autoMerge`"));
    }
}
