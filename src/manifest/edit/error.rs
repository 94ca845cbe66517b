//! Why a field is not set, in sentences for the author of the edit. Names stand in them, values never: one may be a secret.

use crate::manifest::{FieldPath, Step};
use crate::types::{ErrorClass, listed, nearest};

/// Candidates that are listed, at most.
pub(super) const LISTED: usize = 20;

/// Why a field is not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EditError {
    /// Which kind of reason.
    pub reason: EditFault,
    /// What is wrong, with the candidates there are.
    pub message: String,
}

/// The kinds of reasons why a field is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditFault {
    /// No object, no element, or no list is there under this address.
    Missing,
    /// Several are.
    Ambiguous,
    /// Another kind of value stands there, or on the way.
    Kind,
    /// The value is brought in by an alias or a merge key, or others share it by one.
    Shared,
    /// It is written in a form that is not edited.
    Form,
}

impl EditError {
    pub(super) fn new(reason: EditFault, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// Always the author's to mend.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::User
    }

    pub(super) fn shared(steps: &[Step], line: u32) -> Self {
        let path = FieldPath::prefix(steps);
        Self::new(
            EditFault::Shared,
            format!("`{path}` has an anchor (line {line}), or stands below one, and is used elsewhere by its alias; write it out there first"),
        )
    }

    pub(super) fn unsound(steps: &[Step]) -> Self {
        let path = FieldPath::prefix(steps);
        Self::new(EditFault::Form, format!("`{path}` cannot be set without changing something else; write it as a plain `key: value` first"))
    }

    pub(super) fn form(steps: &[Step], what: &str) -> Self {
        let path = FieldPath::prefix(steps);
        Self::new(EditFault::Form, format!("`{path}` {what}; write it as a plain `key: value` first"))
    }
}

/// `there is no ...`, with what there is.
pub(super) fn candidates(wanted: &str, found: &[String]) -> String {
    if let Some(near) = nearest(wanted, found.iter().map(String::as_str)).filter(|_| found.len() > 3) {
        return format!("did you mean {near}? There are: {}", listed(found, LISTED));
    }
    match found.is_empty() {
        true => "there is none".to_owned(),
        false => format!("there are: {}", listed(found, LISTED)),
    }
}
