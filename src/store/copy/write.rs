//! Writes the rows of a copy, in one transaction of the store they go to, with its triggers silent: what these would add is copied.
//! It never reads the store that the rows are of.

use super::CopyProgress;
use super::deliveries;
use super::read::{Sink, Sum};
use super::schema::Table;
use crate::failpoint;
use crate::store::StoreError;
use crate::store::postgres::take_your_time;
use crate::store::sql::query::{Connection, Value, statement};
use crate::store::sql::rows::Columns;

/// Rows and bytes written at once; a row that is larger stands alone.
const ROWS: usize = 256;
const BYTES: usize = 1024 * 1024;

/// Triggers that are there again when everything is written: the statements that make them.
pub(super) struct Silenced(Vec<String>);

/// Takes everything out of the tables, and silences their triggers.
pub(super) async fn begin(connection: &mut Connection, tables: &[Table]) -> Result<Silenced, StoreError> {
    if !connection.is_sqlite() {
        take_your_time(connection).await?;
        let names: Vec<String> = tables.iter().map(|table| format!("\"{}\"", table.name)).collect();
        statement(format!("TRUNCATE {}", names.join(", "))).execute(connection).await?;
        for name in names {
            statement(format!("ALTER TABLE {name} DISABLE TRIGGER USER")).execute(connection).await?;
        }
        return Ok(Silenced(Vec::new()));
    }
    let triggers = statement("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid").fetch_all(connection).await?;
    let mut silenced = Vec::new();
    for trigger in triggers {
        statement(format!("DROP TRIGGER \"{}\"", trigger.text("name")?)).execute(connection).await?;
        silenced.push(trigger.text("sql")?);
    }
    for table in tables.iter().rev() {
        statement(format!("DELETE FROM \"{}\"", table.name)).execute(connection).await?;
    }
    statement("DELETE FROM arrivals").execute(connection).await?;
    statement("UPDATE arrivals_filed SET upto = 0").execute(connection).await?;
    Ok(Silenced(silenced))
}

/// Brings the triggers back, and has new rows counted after those that were written.
pub(super) async fn end(connection: &mut Connection, tables: &[Table], silenced: Silenced) -> Result<(), StoreError> {
    for trigger in silenced.0 {
        statement(trigger).execute(connection).await?;
    }
    if connection.is_sqlite() {
        return Ok(());
    }
    for table in tables {
        statement(format!("ALTER TABLE \"{}\" ENABLE TRIGGER USER", table.name)).execute(connection).await?;
        for column in &table.counted {
            let next = format!(
                "SELECT setval(pg_get_serial_sequence(?, ?), (SELECT coalesce(max(\"{column}\"), 0) + 1 FROM \"{}\"), false) AS next",
                table.name
            );
            statement(next).bind(table.name.as_str()).bind(column.as_str()).fetch_one(connection).await?;
        }
    }
    Ok(())
}

/// A table that is written, and what it should hold then.
pub(super) struct Writing<'w> {
    connection: &'w mut Connection,
    table: &'w Table,
    pub(super) sum: Sum,
    rows: Vec<Vec<Value>>,
    bytes: usize,
    arrival: i64,
    progress: &'w mut CopyProgress<'w>,
}

impl<'w> Writing<'w> {
    pub(super) fn new(connection: &'w mut Connection, table: &'w Table, progress: &'w mut CopyProgress<'w>) -> Self {
        Self { connection, table, sum: Sum::default(), rows: Vec::new(), bytes: 0, arrival: 0, progress }
    }

    /// Writes what was taken.
    pub(super) async fn flush(&mut self) -> Result<(), StoreError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if rows.is_empty() {
            return Ok(());
        }
        if self.connection.is_sqlite() && self.table.name == "deliveries" {
            self.arrival += 1;
            deliveries::write(self.connection, self.table, self.arrival, rows).await?;
        } else {
            let places = format!("({})", vec!["?"; self.table.columns.len()].join(","));
            let places = vec![places; rows.len()].join(",");
            let mut insert = statement(format!("INSERT INTO \"{}\" ({}) VALUES {places}", self.table.name, self.table.columns()));
            for value in rows.into_iter().flatten() {
                insert = insert.bind(value);
            }
            insert.execute(self.connection).await?;
        }
        failpoint::hit("store.copying");
        (self.progress)(&self.table.name, self.sum.rows);
        Ok(())
    }
}

impl Sink for Writing<'_> {
    async fn take(&mut self, row: Vec<Value>) -> Result<(), StoreError> {
        self.sum.add(&row);
        self.bytes += row.iter().map(size).sum::<usize>();
        self.rows.push(row);
        if self.rows.len() >= ROWS || self.bytes >= BYTES { self.flush().await } else { Ok(()) }
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Text(Some(text)) => text.len(),
        Value::Bytes(Some(bytes)) => bytes.len(),
        _ => 8,
    }
}
