//! The limits of `draft`, compiled.

use super::{Answer, Violation};
use crate::automation::DraftSpec;
use crate::inventory::Target;
use crate::plan::{BaseTree, ChangeSet, TreeError};
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

    /// The change an answer makes on `base`.
    ///
    /// # Errors
    /// Everything the answer does that it may not do, or cannot; or the base's own error.
    pub fn change(&self, _answer: &Answer, _target: &Target, _base: &dyn BaseTree) -> Result<Result<ChangeSet, Vec<Violation>>, TreeError> {
        Ok(Err(Vec::new()))
    }
}
