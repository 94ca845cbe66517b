//! A base with nothing in it: for a preview without a repository, and wherever a change is looked at for itself.

use super::{BaseTree, EntryKind, TreeError};
use crate::types::CommitSha;

/// A base with nothing in it. Its commit is git's null id.
#[derive(Debug, Clone)]
pub struct EmptyTree(CommitSha);

impl Default for EmptyTree {
    fn default() -> Self {
        Self(CommitSha::from_bytes(&[0; 20]))
    }
}

impl BaseTree for EmptyTree {
    fn commit(&self) -> &CommitSha {
        &self.0
    }

    fn entry(&self, _: &str) -> Result<Option<EntryKind>, TreeError> {
        Ok(None)
    }

    fn bytes(&self, _: &str) -> Result<Option<Vec<u8>>, TreeError> {
        Ok(None)
    }

    fn spellings(&self, _: &str) -> Result<Vec<String>, TreeError> {
        Ok(Vec::new())
    }

    fn names(&self, _: &str) -> Result<Vec<String>, TreeError> {
        Ok(Vec::new())
    }
}
