//! Reads a table row by row, however long it is, and sums up what it holds in a form that both databases say alike.
//! It never holds more than a page of rows and the bodies of one arrival.

use super::deliveries;
use super::schema::Table;
use crate::store::StoreError;
use crate::store::sql::query::{Connection, Value, statement};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::fmt;

/// Whoever takes rows.
pub(super) trait Sink {
    /// One row, its values in the order of the table's columns.
    async fn take(&mut self, row: Vec<Value>) -> Result<(), StoreError>;
}

/// What a table holds: how many rows, and the sum of their digests. Each row says its key, so in which order they stand says nothing; the
/// databases could not agree on one where a text has the character that PostgreSQL does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) rows: u64,
    lanes: [u64; 4],
}

impl Sum {
    pub(super) fn add(&mut self, row: &[Value]) {
        let mut digest = Sha256::new();
        for value in row {
            let (kind, bytes): (u8, std::borrow::Cow<'_, [u8]>) = match value {
                Value::Number(Some(number)) => (1, number.to_be_bytes().to_vec().into()),
                Value::Text(Some(text)) if text.contains('\0') => (2, text.replace('\0', "\u{fffd}").into_bytes().into()),
                Value::Text(Some(text)) => (2, text.as_bytes().into()),
                Value::Bytes(Some(bytes)) => (3, bytes.as_slice().into()),
                // No table has a list.
                _ => (0, (&[][..]).into()),
            };
            digest.update([kind]);
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        }
        let digest: [u8; 32] = digest.finalize().into();
        for (lane, part) in self.lanes.iter_mut().zip(digest.as_chunks::<8>().0) {
            *lane = lane.wrapping_add(u64::from_be_bytes(*part));
        }
        self.rows += 1;
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lanes.iter().try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

impl Sink for Sum {
    async fn take(&mut self, row: Vec<Value>) -> Result<(), StoreError> {
        self.add(&row);
        Ok(())
    }
}

/// Hands every row of a table on.
pub(super) async fn each(connection: &mut Connection, table: &Table, sink: &mut impl Sink) -> Result<(), StoreError> {
    match table.name.as_str() {
        "deliveries" if connection.is_sqlite() => return deliveries::each(connection, table, sink).await,
        "deliveries_pending" if connection.is_sqlite() => return deliveries::each_pending(connection, table, sink).await,
        _ => {}
    }
    let mut rows = statement(format!("SELECT {} FROM \"{}\"", table.columns(), table.name)).fetch_each(connection)?;
    while let Some(row) = rows.next().await {
        sink.take(table.values(&row?)?).await?;
    }
    Ok(())
}

/// What a table holds.
pub(super) async fn sum(connection: &mut Connection, table: &Table) -> Result<Sum, StoreError> {
    let mut sum = Sum::default();
    each(connection, table, &mut sum).await?;
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&[Value]]) -> String {
        let mut sum = Sum::default();
        rows.iter().for_each(|row| sum.add(row));
        sum.to_string()
    }

    #[test]
    fn a_sum_tells_values_columns_and_kinds_apart_and_not_the_order_of_rows() {
        let text = |text: &str| Value::from(text);
        let (one, other) = ([text("a"), Value::from(1_i64)], [text("b"), Value::from(2_i64)]);
        assert_eq!(sum(&[&one, &other]), sum(&[&other, &one]));
        assert_eq!(sum(&[&[text("a\0b")]]), sum(&[&[text("a\u{fffd}b")]]));
        let different: [&[Value]; 8] = [
            &one,
            &[text("a"), Value::from(2_i64)],
            &[text("ab"), text("")],
            &[text("a"), text("b")],
            &[Value::Text(None), text("ab")],
            &[Value::Bytes(Some(b"a".to_vec())), Value::from(1_i64)],
            &[text(""), text("ab")],
            &[Value::Number(None), text("ab"), text("")],
        ];
        let mut sums: Vec<String> = different.iter().map(|row| sum(&[row])).collect();
        sums.sort();
        sums.dedup();
        assert_eq!(sums.len(), different.len());
        assert_ne!(sum(&[&one]), sum(&[&one, &one]));
    }
}
