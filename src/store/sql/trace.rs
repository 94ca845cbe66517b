//! Requests found by whatever a person has in hand.

use super::query::{Connection, statement};
use super::rows::Columns;
use crate::store::{Clue, StoreError};
use crate::types::RequestId;

/// See [`crate::store::Store::requests_about`].
pub(super) async fn requests_about(connection: &mut Connection, clue: &Clue, limit: u32) -> Result<Vec<RequestId>, StoreError> {
    let of_event = "SELECT l.request FROM events e JOIN event_requests l ON l.event = e.seq WHERE e.";
    let (found, values): (String, Vec<String>) = match clue {
        Clue::Request(id) => ("SELECT seq FROM requests WHERE id = ?1".to_owned(), vec![id.to_string()]),
        Clue::Delivery(id) => (format!("{of_event}delivery = ?1"), vec![id.to_string()]),
        Clue::Event(id) => (format!("{of_event}id = ?1"), vec![id.to_string()]),
        Clue::Pull { repository, address, number } => (
            // Its address before it was asked for again is known by that of its present one.
            "SELECT seq FROM requests WHERE pull_number = CAST(?1 AS BIGINT) AND (?2 = '' OR repository = ?2) \
             AND (?3 = '' OR substr(pull_url, length(pull_url) - length(?3) + 1) = ?3) \
             UNION SELECT seq FROM requests WHERE former_pull = CAST(?1 AS BIGINT) AND (?2 = '' OR repository = ?2) \
             AND (?3 = '' OR substr(rtrim(pull_url, '0123456789') || ?1, length(rtrim(pull_url, '0123456789') || ?1) - length(?3) + 1) = ?3)"
                .to_owned(),
            vec![number.to_string(), repository.as_ref().map(ToString::to_string).unwrap_or_default(), address.clone().unwrap_or_default()],
        ),
        Clue::Commit(begin) => (
            ["commit_sha", "pushed", "merged"]
                .map(|column| format!("SELECT seq FROM requests WHERE {column} BETWEEN ?1 AND ?1 || 'g'"))
                .join(" UNION "),
            vec![begin.clone()],
        ),
        Clue::Branch(branch) => ("SELECT seq FROM requests WHERE branch = ?1".to_owned(), vec![branch.to_string()]),
        Clue::Name(name) => (
            format!(
                "SELECT seq FROM requests WHERE correlation = ?1 UNION SELECT request FROM request_members WHERE correlation = ?1 UNION {of_event}subject = ?1"
            ),
            vec![name.clone()],
        ),
    };
    let sql = format!("SELECT id FROM requests WHERE seq IN ({found}) ORDER BY seq DESC LIMIT {limit}");
    let mut query = statement(sql);
    for value in &values {
        query = query.bind(value.as_str());
    }
    query.fetch_all(connection).await?.iter().map(|row| row.parsed("id")).collect()
}
