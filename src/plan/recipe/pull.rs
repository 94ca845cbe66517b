//! How an automation's pull request looks.

use super::texts::{compile_text, text, variables};
use crate::automation::PullRequestSpec;
use crate::plan::{Inputs, PlanError};
use crate::render::{TextKind, TextTemplate};
use crate::types::SpecError;
use serde::{Deserialize, Serialize};

pub(super) struct PullTexts {
    title: TextTemplate,
    body: Option<TextTemplate>,
    labels: Vec<String>,
    reviewers: Vec<String>,
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
}

impl PullTexts {
    /// The texts for these inputs.
    pub(super) fn fill(&self, inputs: Inputs<'_>) -> Result<PullText, PlanError> {
        let context = variables(inputs);
        Ok(PullText {
            title: text(&self.title, &context, "pullRequest.title")?,
            body: self.body.as_ref().map(|body| text(body, &context, "pullRequest.body")).transpose()?,
            labels: self.labels.clone(),
            reviewers: self.reviewers.clone(),
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
    for (at, reviewer) in spec.reviewers.iter().enumerate() {
        let part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if reviewer.split('/').count() > 2 || !reviewer.split('/').all(part) {
            errors.push(SpecError::new(format!("/pullRequest/reviewers/{at}"), "a reviewer is a user's name or `organisation/team`"));
        }
    }
    Some(PullTexts { title: title?, body: body.flatten(), labels: spec.labels.clone(), reviewers: spec.reviewers.clone() })
}
