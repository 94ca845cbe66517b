//! What was planned, held beside what other requests want of the same files. A conflict stops nothing: a person decides.

use super::step::Planned;
use super::{Pipeline, StepError};
use crate::request::{Request, conflicts, findings};
use crate::store::RivalQuery;

/// Other requests that are looked at, newest first.
const MAX_RIVALS: u32 = 100;

impl Pipeline {
    /// The plan with a warning for each field that another request leaves otherwise: one that is still open, or one that was
    /// merged since this request was first planned.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn beside_others(&self, request: &Request, mut planned: Planned) -> Result<Planned, StepError> {
        let Planned::Committed { repository, changes, warnings, .. } = &mut planned else { return Ok(planned) };
        let before = request.changes.as_ref();
        changes.follow(before, self.clock.now());
        // A first plan is made on a base that everything merged is in.
        let merged_since = before.and_then(|before| before.first.as_ref()).map(|first| first.at);
        let query = RivalQuery { repository, files: &changes.files, except: &request.id, merged_since };
        let rivals = self.store.rivals(&query, MAX_RIVALS).await?;
        warnings.extend(findings(&conflicts(changes, &rivals)));
        Ok(planned)
    }
}
