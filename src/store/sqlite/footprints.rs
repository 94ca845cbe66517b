//! What requests change where, value by value, so that a place that goes back and forth is noticed. Written with the plan;
//! when its pull request was opened, merged or closed is kept by triggers. Of a request that never had one nothing stays.

use super::rows::{Columns, to_json};
use crate::request::{Footprint, PullRef, Touch};
use crate::store::StoreError;
use crate::types::{ManifestPath, RepositoryName, RequestId, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

/// Touches of the files asked for that are looked at: the newest.
const MOST: i64 = 500;

/// Keeps what a request changes, in place of what it changed before; `anew` when its pull request is still to be opened.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    request: i64,
    repository: &RepositoryName,
    footprint: &Footprint,
    anew: bool,
) -> Result<(), StoreError> {
    let paths: Vec<&str> = footprint.keys().map(ManifestPath::as_str).collect();
    let gone = "DELETE FROM footprints WHERE request = ?1 AND (?2 OR path NOT IN (SELECT value FROM json_each(?3)))";
    sqlx::query(gone).bind(request).bind(anew).bind(to_json(&paths)?).execute(&mut *connection).await?;
    for (path, writes) in footprint {
        sqlx::query(
            "INSERT INTO footprints (request, repository, path, writes) VALUES (?, ?, ?, ?) \
             ON CONFLICT (request, path) DO UPDATE SET repository = excluded.repository, writes = excluded.writes",
        )
        .bind(request)
        .bind(repository.as_str())
        .bind(path.as_str())
        .bind(to_json(writes)?)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// See [`crate::store::Store::touches`].
pub(super) async fn touches(
    connection: &mut SqliteConnection,
    repository: &RepositoryName,
    files: &[&ManifestPath],
    since: Timestamp,
    except: &RequestId,
) -> Result<Vec<Touch>, StoreError> {
    let paths: Vec<&str> = files.iter().map(|path| path.as_str()).collect();
    let rows = sqlx::query(
        "SELECT f.path, f.writes, f.opened_at, f.ended_at, f.merged, r.id, r.pull_number, r.pull_url \
         FROM json_each(?) j CROSS JOIN footprints f INDEXED BY footprints_place ON f.repository = ? AND f.path = j.value AND f.last_at >= ? \
         CROSS JOIN requests r ON r.seq = f.request WHERE r.id <> ? ORDER BY f.last_at DESC LIMIT ?",
    )
    .bind(to_json(&paths)?)
    .bind(repository.as_str())
    .bind(since.unix_millis())
    .bind(except.as_str())
    .bind(MOST)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<Touch, StoreError> {
    let pull = match row.optional_text("pull_url")? {
        Some(url) => Some(PullRef { number: row.count("pull_number")?, url }),
        None => None,
    };
    Ok(Touch {
        request: row.parsed("id")?,
        pull,
        file: row.parsed("path")?,
        writes: row.json("writes")?,
        opened_at: row.moment("opened_at")?,
        ended_at: row.optional_moment("ended_at")?,
        merged: row.number("merged")? != 0,
    })
}
