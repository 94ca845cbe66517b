//! What a step writes before its settlement is its holder's alone: whoever lost the lease writes nothing, at whatever line it stood still.
//! Asked in the transaction that writes, before anything else there.

use super::query::{Connection, statement};
use super::tasks::{fence, lost};
use crate::store::{ClaimedTask, StoreError};

/// The row of a claimed task for as long as that claim lasts: its id, fence and owner. The fence alone would not do: a database that lost its last
/// commits, as a standby may that takes over, gives the same one again, to whoever claims first.
pub(super) const HELD: &str = "id = ? AND state = 'leased' AND fence = ? AND owner = ?";

/// Sees to it that the task is held under this claim until the transaction ends.
///
/// # Errors
/// [`StoreError::Conflict`] when its lease was lost.
pub(super) async fn hold(connection: &mut Connection, task: &ClaimedTask) -> Result<(), StoreError> {
    // Where claims are made beside: who claims passes over a row that is held here, and who was first has raised the fence.
    let held = format!("SELECT seq FROM outbox WHERE {HELD}{}", if connection.is_sqlite() { "" } else { " FOR UPDATE" });
    let held = statement(held).bind(task.task.id.as_str()).bind(fence(task)).bind(task.owner.as_str());
    let row = held.fetch_optional(connection).await?;
    row.map(drop).ok_or_else(|| lost(task))
}
