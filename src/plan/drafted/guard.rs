//! The limits of `draft`, compiled.

use super::{Answer, Violation};
use crate::automation::DraftSpec;
use crate::inventory::Target;
use crate::plan::{BaseTree, ChangeSet, Changed, TreeError};
use crate::types::SpecError;

/// What a model may read and change for an automation.
#[derive(Debug)]
pub struct Guard {}

impl Guard {
    /// Compiles the limits.
    ///
    /// # Errors
    /// Everything that is wrong with them, with pointers into the automation.
    pub fn compile(_spec: &DraftSpec) -> Result<Self, Vec<SpecError>> {
        Ok(Self {})
    }

    /// Whether the model may read the file, named from the repository's root.
    pub fn may_read(&self, _target: &Target, _path: &str) -> bool {
        false
    }

    /// JSON Schema of an answer.
    pub fn answer_schema(&self) -> serde_json::Value {
        schemars::schema_for!(Answer).into()
    }

    /// The change that answers make one after the other, each on what those before left.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub fn change_of_all(&self, answers: &[Answer], target: &Target, base: &dyn BaseTree) -> Result<Result<ChangeSet, Vec<Violation>>, TreeError> {
        let mut whole = ChangeSet::default();
        for answer in answers {
            let tree = Changed::new(base, &whole);
            let next = match self.change(answer, target, &tree)? {
                Ok(next) => next,
                Err(violations) => return Ok(Err(violations)),
            };
            whole.files.extend(next.files);
            whole.notes.extend(next.notes);
        }
        Ok(Ok(whole))
    }

    /// The change an answer makes on `base`.
    ///
    /// # Errors
    /// Everything the answer does that it may not do, or cannot; or the base's own error.
    pub fn change(&self, _answer: &Answer, _target: &Target, _base: &dyn BaseTree) -> Result<Result<ChangeSet, Vec<Violation>>, TreeError> {
        Ok(Err(Vec::new()))
    }
}
