//! What is wrong with a field of a configured spec, wherever the spec is read.

use super::ErrorClass;

/// Something wrong, or worth a word, in the `spec:` of a resource. The loader turns the pointer into a file, a line and a column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {message}")]
pub struct SpecError {
    /// The place within the `spec:` as a JSON pointer (RFC 6901). Where a field is missing: the object that lacks it.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Line and column within the text at the pointer, from 1, where that text is code.
    pub within: Option<(u32, u32)>,
}

impl SpecError {
    /// An error at `pointer`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into(), hint: None, within: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Configuration is its author's to mend.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}
