//! A partial mirror's missing file contents, fetched when they are needed: all that are known to be needed in one conversation.
//! Through the transport, with its credentials and limits; git itself is kept from fetching behind our back.

use super::{GitError, Mirror};
use crate::types::CommitSha;
use git2::{FileMode, Oid, Repository};

impl Mirror {
    /// Makes sure that the mirror holds these objects of a commit, or of those of ours it stands on. Does nothing where mirrors are
    /// whole.
    ///
    /// # Errors
    /// When the remote cannot be reached or does not have one of them any more.
    pub(super) fn bring(&self, of: &CommitSha, wanted: &[Oid]) -> Result<(), GitError> {
        if !self.is_partial() || wanted.is_empty() {
            return Ok(());
        }
        let missing = self.with_commit(of, |repository| missing(repository, wanted.to_vec()))?;
        if missing.is_empty() {
            return Ok(());
        }
        self.converse(|transport, place| transport.fetch_objects(place, &missing))
    }

    /// Makes sure that the mirror holds what differs between two commits.
    ///
    /// # Errors
    /// As [`Self::bring`], and when the mirror does not hold one of the commits.
    pub(super) fn bring_for_diff(&self, from: &CommitSha, to: &CommitSha) -> Result<(), GitError> {
        if !self.is_partial() {
            return Ok(());
        }
        let wanted = self.with_found(from, to, |repository, from, to| {
            let (from, to) = (repository.find_commit(from)?.tree()?, repository.find_commit(to)?.tree()?);
            let diff = repository.diff_tree_to_tree(Some(&from), Some(&to), None)?;
            let sides = diff.deltas().flat_map(|delta| [delta.old_file(), delta.new_file()].map(|file| (file.mode(), file.id())));
            Ok(sides.filter(|(mode, id)| *mode != FileMode::Commit && !id.is_zero()).map(|(_, id)| id).collect::<Vec<_>>())
        })?;
        self.bring(to, &wanted)
    }
}

/// Those that are not here, each once.
fn missing(repository: &Repository, mut wanted: Vec<Oid>) -> Result<Vec<Oid>, git2::Error> {
    let odb = repository.odb()?;
    wanted.retain(|id| !odb.exists(*id));
    wanted.sort_unstable();
    wanted.dedup();
    Ok(wanted)
}
