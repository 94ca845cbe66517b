//! The limits of `draft`, compiled.

use super::apply::Application;
use super::judge::judge;
use super::limits::Limits;
use super::reach::Reach;
use super::{Answer, Violation, comments, hidden};
use crate::automation::{AnswerFormat, DraftSpec};
use crate::inventory::Target;
use crate::plan::staged::Staged;
use crate::plan::{BaseTree, ChangeSet, Changed, FileChange, TreeError};
use crate::types::{ManifestPath, SpecError};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a model may read and change for an automation.
#[derive(Debug)]
pub struct Guard {
    reach: Reach,
    limits: Limits,
    formats: Vec<AnswerFormat>,
}

impl Guard {
    /// Compiles the limits.
    ///
    /// # Errors
    /// Everything that is wrong with them, with pointers into the automation.
    pub fn compile(spec: &DraftSpec) -> Result<Self, Vec<SpecError>> {
        let mut errors = Vec::new();
        let reach = Reach::compile(&spec.write, &spec.read, &spec.runbooks, &mut errors);
        let limits = Limits::compile(&spec.allow, &spec.images, &mut errors);
        for (number, example) in spec.examples.iter().enumerate() {
            if let Err(error) = Answer::parse(&example.answer) {
                let message = format!("not an answer that a model may give: {error}");
                errors.push(SpecError::new(format!("/draft/examples/{number}/answer"), message).hint("docs/drafts.md, Answers"));
            }
        }
        let formats = if spec.formats.is_empty() { AnswerFormat::ALL.to_vec() } else { spec.formats.clone() };
        if errors.is_empty() { Ok(Self { reach, limits, formats }) } else { Err(errors) }
    }

    /// Whether the model may read the file, named from the repository's root.
    pub fn may_read(&self, target: &Target, path: &str) -> bool {
        self.reach.may_read(target, path)
    }

    /// Whether the model may write the file.
    pub fn may_write(&self, target: &Target, path: &ManifestPath) -> bool {
        self.reach.may_write(target, path)
    }

    /// Whether the file is a runbook that the model may search, named from the repository's root.
    pub fn may_search(&self, target: &Target, path: &str) -> bool {
        self.reach.may_search(target, path)
    }

    /// The ways in which the model may answer.
    pub fn formats(&self) -> &[AnswerFormat] {
        &self.formats
    }

    /// The change an answer makes on `base`.
    ///
    /// # Errors
    /// Everything the answer does that it may not do, or cannot; or the base's own error.
    pub fn change(&self, answer: &Answer, target: &Target, base: &dyn BaseTree) -> Result<Result<ChangeSet, Vec<Violation>>, TreeError> {
        let mut violations = self.said(answer);
        let mut application = Application { guard: self, target, base, staged: Staged::new(base, &target.path) };
        application.all(answer, &mut violations)?;
        let mut staged = application.staged;
        let notes = staged.notes();
        let files = differing(staged.finish(), base)?;
        violations.extend(self.judge(&files, target, base)?);
        if violations.is_empty() {
            return Ok(Ok(ChangeSet { files, templates: BTreeMap::new(), notes }));
        }
        Ok(Err(Violation::bounded(violations)))
    }

    /// The change that answers make one after the other, each on what those before left: a draft and its revisions. Each is judged on
    /// what it found, and all together on the base.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub fn change_of_all(&self, answers: &[Answer], target: &Target, base: &dyn BaseTree) -> Result<Result<ChangeSet, Vec<Violation>>, TreeError> {
        let mut whole = ChangeSet::default();
        for answer in answers {
            let next = match self.change(answer, target, &Changed::new(base, &whole))? {
                Ok(next) => next,
                Err(violations) => return Ok(Err(violations)),
            };
            whole.files.extend(next.files);
            whole.notes.extend(next.notes);
        }
        whole.files = differing(whole.files, base)?;
        let violations = if answers.len() > 1 { self.judge(&whole.files, target, base)? } else { Vec::new() };
        whole.notes.extend(comments::changed(&whole.files, base)?);
        Ok(if violations.is_empty() { Ok(whole) } else { Err(violations) })
    }

    /// Everything that these files do on `base` and may not, whatever made them.
    ///
    /// # Errors
    /// When the base cannot be read.
    pub fn judge(&self, files: &BTreeMap<ManifestPath, FileChange>, target: &Target, base: &dyn BaseTree) -> Result<Vec<Violation>, TreeError> {
        Ok(Violation::bounded(judge(self, files, target, base)?))
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What is wrong with the answer itself.
    fn said(&self, answer: &Answer) -> Vec<Violation> {
        let mut violations = Vec::new();
        for format in answer.operations.iter().filter_map(super::Operation::format).filter(|format| !self.formats.contains(format)) {
            let allowed: Vec<&str> = self.formats.iter().map(|format| format.as_str()).collect();
            let message = format!("an answer by `{}` is not wanted here; wanted are {}", format.as_str(), allowed.join(", "));
            violations.push(Violation::of("draft.format", None, message));
        }
        if hidden::value_holds_placeholder(&serde_json::to_value(answer).unwrap_or(Value::Null)) {
            let message = "the answer holds a placeholder for what was withheld from the model";
            violations.push(Violation::grave("draft.placeholder", None, message));
        }
        violations
    }
}

/// The files that are not on the base what they are in the change.
fn differing(files: BTreeMap<ManifestPath, FileChange>, base: &dyn BaseTree) -> Result<BTreeMap<ManifestPath, FileChange>, TreeError> {
    let mut differing = BTreeMap::new();
    for (path, change) in files {
        let differs = match &change {
            FileChange::Write(bytes) => base.read(&path)?.as_ref() != Some(bytes),
            FileChange::Remove => base.entry(path.as_str())?.is_some(),
        };
        if differs {
            differing.insert(path, change);
        }
    }
    Ok(differing)
}
