//! Which tables and columns there are to copy, read off the databases themselves: none is forgotten when one is added.
//! What only one of the two has is named here, and nothing else.

use crate::store::StoreError;
use crate::store::sql::migrating::{APPLIED, UNFINISHED};
use crate::store::sql::query::{Connection, Row, Value, statement};
use crate::store::sql::rows::Columns;
use sqlx::Row as _;

/// The table of a backup that says what it is.
pub(super) const BACKUP: &str = "backup";
/// Tables that are not copied: what one database keeps otherwise (bodies in a SQLite file), what tells ours from another's, and what is
/// said of the copy itself. What is written in `probe` says that it can be written, and nothing else; who reads what waits, and what it died
/// of, is of the processes at work on a store.
pub(super) const OWN: [&str; 11] =
    ["arrivals", "arrivals_filed", "kubeops", "probe", "reaches", "readers", "readings_alone", "reading_deaths", APPLIED, UNFINISHED, BACKUP];
/// Tables that a server fills by merely running: they say nothing of whether anything is kept.
const NEVER_EMPTY: [&str; 4] = ["duties", "turns", "affinity", "set_back"];
/// Columns of a SQLite file's deliveries that say where the body is, which stands there.
const PLACE: [&str; 2] = ["arrival", "start"];

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    Bytes,
}

/// A table as both databases have it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    /// In the order of their names. Those that are computed of others are left out.
    pub(super) columns: Vec<(String, Kind)>,
    /// Columns that PostgreSQL counts by itself.
    pub(super) counted: Vec<String>,
    /// The tables its rows need.
    parents: Vec<String>,
}

impl Table {
    /// The names of its columns, for a statement.
    pub(super) fn columns(&self) -> String {
        self.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    }

    /// A row of [`Self::columns`].
    pub(super) fn values(&self, row: &Row) -> Result<Vec<Value>, StoreError> {
        self.columns.iter().enumerate().map(|(place, (_, kind))| value(row, place, *kind)).collect()
    }

    /// Whether the other database has the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.name == other.name && self.columns == other.columns
    }
}

fn value(row: &Row, place: usize, kind: Kind) -> Result<Value, StoreError> {
    Ok(match (row, kind) {
        (Row::Sqlite(row), Kind::Number) => Value::Number(row.try_get(place)?),
        (Row::Sqlite(row), Kind::Text) => Value::Text(row.try_get(place)?),
        (Row::Sqlite(row), Kind::Bytes) => Value::Bytes(row.try_get(place)?),
        (Row::Postgres(row), Kind::Number) => Value::Number(row.try_get(place)?),
        (Row::Postgres(row), Kind::Text) => Value::Text(row.try_get(place)?),
        (Row::Postgres(row), Kind::Bytes) => Value::Bytes(row.try_get(place)?),
    })
}

/// The names of all tables.
pub(in crate::store) async fn all(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let names = if connection.is_sqlite() {
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    } else {
        "SELECT c.relname::text AS name FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' ORDER BY 1"
    };
    statement(names).fetch_all(connection).await?.iter().map(|row| row.text("name")).collect()
}

/// The names of the tables that are copied.
pub(in crate::store) async fn names(connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let mut names = all(connection).await?;
    names.retain(|name| !OWN.contains(&name.as_str()));
    Ok(names)
}

/// The tables that are copied, each after those its rows need.
pub(super) async fn tables(connection: &mut Connection) -> Result<Vec<Table>, StoreError> {
    let mut waiting = Vec::new();
    for name in names(connection).await? {
        waiting.push(table(connection, name).await?);
    }
    let mut ordered: Vec<Table> = Vec::new();
    while !waiting.is_empty() {
        let is_ready = |table: &Table| {
            table
                .parents
                .iter()
                .all(|parent| *parent == table.name || OWN.contains(&parent.as_str()) || ordered.iter().any(|done| done.name == *parent))
        };
        let next = waiting.iter().position(is_ready).ok_or_else(|| StoreError::Broken("tables that need one another".to_owned()))?;
        ordered.push(waiting.remove(next));
    }
    Ok(ordered)
}

async fn table(connection: &mut Connection, name: String) -> Result<Table, StoreError> {
    let is_sqlite = connection.is_sqlite();
    let (columns, parents) = if is_sqlite {
        (
            "SELECT name, type AS kind, 0 AS counted FROM pragma_table_xinfo(?) WHERE hidden = 0",
            "SELECT DISTINCT \"table\" AS parent FROM pragma_foreign_key_list(?)",
        )
    } else {
        (
            "SELECT column_name::text AS name, data_type::text AS kind, is_identity = 'YES' AS counted FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = ? AND is_generated = 'NEVER'",
            "SELECT DISTINCT p.relname::text AS parent FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid \
             WHERE k.contype = 'f' AND c.relnamespace = current_schema()::regnamespace AND c.relname = ?",
        )
    };
    let mut table = Table { name, columns: Vec::new(), counted: Vec::new(), parents: Vec::new() };
    for row in statement(columns).bind(table.name.as_str()).fetch_all(connection).await? {
        let column = row.text("name")?;
        let kind = match row.text("kind")?.as_str() {
            "INTEGER" | "bigint" => Kind::Number,
            "TEXT" | "text" => Kind::Text,
            "BLOB" | "bytea" => Kind::Bytes,
            other => return Err(StoreError::Broken(format!("column {column} of {} is of type {other}, which nobody copies", table.name))),
        };
        if row.number("counted")? == 1 {
            table.counted.push(column.clone());
        }
        table.columns.push((column, kind));
    }
    if is_sqlite && table.name == "deliveries" {
        table.columns.retain(|(column, _)| !PLACE.contains(&column.as_str()));
        table.columns.push(("body".to_owned(), Kind::Bytes));
    }
    table.columns.sort_by(|one, other| one.0.cmp(&other.0));
    for row in statement(parents).bind(table.name.as_str()).fetch_all(connection).await? {
        table.parents.push(row.text("parent")?);
    }
    Ok(table)
}

/// Whether nothing was ever kept there.
pub(super) async fn is_empty(connection: &mut Connection) -> Result<bool, StoreError> {
    let mut names = names(connection).await?;
    names.retain(|name| !NEVER_EMPTY.contains(&name.as_str()));
    if connection.is_sqlite() {
        // What is not filed stands only there.
        names.push("arrivals".to_owned());
    }
    for name in names {
        if statement(format!("SELECT EXISTS (SELECT 1 FROM \"{name}\") AS found")).fetch_one(connection).await?.number("found")? == 1 {
            return Ok(false);
        }
    }
    Ok(true)
}
