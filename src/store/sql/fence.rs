//! What a step writes before its settlement is its holder's alone: whoever lost the lease writes nothing, at whatever line it stood still.
//! Asked in the transaction that writes, before anything else there.

use super::query::{Connection, statement};
use super::tasks::{fence, lost};
use crate::store::{ClaimedTask, StoreError};

/// The task, as long as it is held under this fence.
const HELD: &str = "SELECT seq FROM outbox WHERE id = ? AND state = 'leased' AND fence = ?";

/// Sees to it that the task is held under this claim until the transaction ends.
///
/// # Errors
/// [`StoreError::Conflict`] when its lease was lost.
pub(super) async fn hold(connection: &mut Connection, task: &ClaimedTask) -> Result<(), StoreError> {
    // Where claims are made beside: who claims passes over a row that is held here, and who was first has raised the fence.
    let held = if connection.is_sqlite() { HELD.to_owned() } else { format!("{HELD} FOR UPDATE") };
    let row = statement(held).bind(task.task.id.as_str()).bind(fence(task)).fetch_optional(connection).await?;
    row.map(drop).ok_or_else(|| lost(task))
}
