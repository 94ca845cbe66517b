//! Pull requests of the local forge: one JSON record each, with the columns that are searched beside it.

use super::deliveries::page_of;
use super::query::{Connection, statement};
use super::rows::{Columns, page_limit, to_json, to_number};
use crate::store::cursor::Listing;
use crate::store::{Page, PageQuery, PullFilter, PullRecord, PullState, StoreError};
use crate::types::RepositoryName;

fn word(state: PullState) -> &'static str {
    match state {
        PullState::Open => "open",
        PullState::Closed => "closed",
        PullState::Merged => "merged",
    }
}

/// See [`crate::store::Store::insert_pull`].
pub(super) async fn insert(connection: &mut Connection, pull: &PullRecord) -> Result<u64, StoreError> {
    let open = statement("SELECT number FROM pulls WHERE repository = ? AND head = ? AND state = 'open'");
    let open = open.bind(pull.repository.as_str()).bind(pull.head.as_str()).fetch_optional(connection).await?;
    if let Some(open) = open {
        return open.count("number");
    }
    let next = statement("SELECT coalesce(max(number), 0) + 1 AS number FROM pulls WHERE repository = ?");
    let number = next.bind(pull.repository.as_str()).fetch_one(connection).await?.count("number")?;
    let record = PullRecord { number, ..pull.clone() };
    statement("INSERT INTO pulls (repository, number, head, state, version, record) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(record.repository.as_str())
        .bind(to_number(number))
        .bind(record.head.as_str())
        .bind(word(record.state))
        .bind(to_number(record.version))
        .bind(to_json(&record)?)
        .execute(connection)
        .await?;
    Ok(number)
}

/// See [`crate::store::Store::update_pull`].
pub(super) async fn update(connection: &mut Connection, pull: &PullRecord) -> Result<(), StoreError> {
    let record = PullRecord { version: pull.version + 1, ..pull.clone() };
    let done = statement("UPDATE pulls SET head = ?, state = ?, version = ?, record = ? WHERE repository = ? AND number = ? AND version = ?")
        .bind(record.head.as_str())
        .bind(word(record.state))
        .bind(to_number(record.version))
        .bind(to_json(&record)?)
        .bind(record.repository.as_str())
        .bind(to_number(record.number))
        .bind(to_number(pull.version))
        .execute(&mut *connection)
        .await?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    match one(connection, &pull.repository, pull.number).await? {
        Some(_) => Err(StoreError::Conflict(format!("pull request {}#{} is no longer at version {}", pull.repository, pull.number, pull.version))),
        None => Err(StoreError::NotFound(format!("pull request {}#{}", pull.repository, pull.number))),
    }
}

/// See [`crate::store::Store::pull`].
pub(super) async fn one(connection: &mut Connection, repository: &RepositoryName, number: u64) -> Result<Option<PullRecord>, StoreError> {
    let row = statement("SELECT record FROM pulls WHERE repository = ? AND number = ?")
        .bind(repository.as_str())
        .bind(to_number(number))
        .fetch_optional(connection)
        .await?;
    row.map(|row| row.json("record")).transpose()
}

/// See [`crate::store::Store::pulls`].
pub(super) async fn list(connection: &mut Connection, filter: &PullFilter, page: &PageQuery) -> Result<Page<PullRecord>, StoreError> {
    let limit = page_limit(page);
    let mut query = statement("SELECT seq, record FROM pulls WHERE seq < ");
    query.push_bind(Listing::Pulls.before(page.after.as_deref())?);
    let conditions = [
        (" AND repository = ", filter.repository.as_ref().map(|name| name.as_str())),
        (" AND head = ", filter.head.as_ref().map(|name| name.as_str())),
        (" AND state = ", filter.state.map(word)),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            query.push(condition).push_bind(value);
        }
    }
    query.push(" ORDER BY seq DESC LIMIT ").push_bind(i64::try_from(limit + 1).unwrap_or(i64::MAX));
    let rows = query.fetch_all(connection).await?;
    page_of(&rows, limit, Listing::Pulls, |row| row.json("record"))
}
