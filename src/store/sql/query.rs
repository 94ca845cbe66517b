//! Statements that are written once and run on either database, and the rows they give.
//! They are written as SQLite reads them; `dialect` says the same to PostgreSQL. Values are bound, never written into the text.

use super::dialect;
use crate::store::StoreError;
use crate::store::postgres::Lent;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, Transaction};
use std::borrow::Cow;
use tokio::time::timeout;

/// A connection to one of the databases. Dropped in the middle of a transaction, nothing of that remains.
pub(in crate::store) enum Connection {
    /// The one connection that writes a SQLite file.
    SqliteWriter(SqliteConnection),
    /// One of those that read it.
    SqliteReader(PoolConnection<Sqlite>),
    /// One of them in a transaction: it sees one moment.
    SqliteView(Transaction<'static, Sqlite>),
    /// One of a pool, in a transaction or not.
    Postgres(Lent),
}

/// A row, of which `Columns` reads.
pub(in crate::store) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What is bound to a statement. Each kind knows its type also where there is none: PostgreSQL asks for it.
#[derive(Debug, Clone)]
pub(in crate::store) enum Value {
    Number(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    /// Lists, which only PostgreSQL knows.
    Numbers(Vec<i64>),
    Texts(Vec<String>),
    Many(Vec<Vec<u8>>),
}

/// A statement with what is bound to it.
#[derive(Debug, Clone)]
pub(in crate::store) struct Statement {
    text: Cow<'static, str>,
    values: Vec<Value>,
}

/// What a statement did.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Done {
    rows: u64,
}

impl Done {
    /// How many rows it wrote, changed or removed.
    pub(in crate::store) fn rows_affected(self) -> u64 {
        self.rows
    }
}

/// A statement in SQLite's words: `?` for the next value, `?1` for the first.
pub(in crate::store) fn statement(text: impl Into<Cow<'static, str>>) -> Statement {
    Statement { text: text.into(), values: Vec::new() }
}

impl Statement {
    /// Binds the next value.
    pub(in crate::store) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Goes on with more text.
    pub(in crate::store) fn push(&mut self, text: &str) -> &mut Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// Goes on with a value.
    pub(in crate::store) fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.text.to_mut().push('?');
        self.values.push(value.into());
        self
    }

    /// Binds nothing to what is left of `columns` times `rows` values, each of its column's type.
    pub(in crate::store) fn fill(mut self, columns: usize, rows: usize) -> Self {
        while self.values.len() < columns * rows {
            let nothing = self.values[self.values.len() % columns].nothing();
            self.values.push(nothing);
        }
        self
    }

    /// Runs it for what it does.
    pub(in crate::store) async fn execute(self, connection: &mut Connection) -> Result<Done, StoreError> {
        let rows = match connection.kind() {
            Kind::Sqlite(connection) => {
                let (text, arguments) = self.for_sqlite()?;
                sqlx::query_with(text, arguments).execute(connection).await?.rows_affected()
            }
            Kind::Postgres(lent) => {
                let (text, arguments) = self.for_postgres()?;
                let answer = timeout(lent.patience(), sqlx::query_with(text, arguments).execute(lent.wire()?)).await;
                lent.heard(answer)?.rows_affected()
            }
        };
        Ok(Done { rows })
    }

    /// All the rows it gives.
    pub(in crate::store) async fn fetch_all(self, connection: &mut Connection) -> Result<Vec<Row>, StoreError> {
        match connection.kind() {
            Kind::Sqlite(connection) => {
                let (text, arguments) = self.for_sqlite()?;
                Ok(sqlx::query_with(text, arguments).fetch_all(connection).await?.into_iter().map(Row::Sqlite).collect())
            }
            Kind::Postgres(lent) => {
                let (text, arguments) = self.for_postgres()?;
                lent.rows(sqlx::query_with(text, arguments))?.map_ok(Row::Postgres).try_collect().await
            }
        }
    }

    /// Each row as the database tells it: of a table that is too large to be held.
    pub(in crate::store) fn fetch_each(self, connection: &mut Connection) -> Result<BoxStream<'_, Result<Row, StoreError>>, StoreError> {
        Ok(match connection.kind() {
            Kind::Sqlite(connection) => {
                let (text, arguments) = self.for_sqlite()?;
                sqlx::query_with(text, arguments).fetch(connection).map(|row| Ok(Row::Sqlite(row?))).boxed()
            }
            Kind::Postgres(lent) => {
                let (text, arguments) = self.for_postgres()?;
                lent.rows(sqlx::query_with(text, arguments))?.map_ok(Row::Postgres).boxed()
            }
        })
    }

    /// The first row, if there is one.
    pub(in crate::store) async fn fetch_optional(self, connection: &mut Connection) -> Result<Option<Row>, StoreError> {
        match connection.kind() {
            Kind::Sqlite(connection) => {
                let (text, arguments) = self.for_sqlite()?;
                Ok(sqlx::query_with(text, arguments).fetch_optional(connection).await?.map(Row::Sqlite))
            }
            Kind::Postgres(lent) => {
                let (text, arguments) = self.for_postgres()?;
                let answer = timeout(lent.patience(), sqlx::query_with(text, arguments).fetch_optional(lent.wire()?)).await;
                Ok(lent.heard(answer)?.map(Row::Postgres))
            }
        }
    }

    /// The one row it gives.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when there is none.
    pub(in crate::store) async fn fetch_one(self, connection: &mut Connection) -> Result<Row, StoreError> {
        let row = self.fetch_optional(connection).await?;
        row.ok_or_else(|| StoreError::Broken("a statement that gives a row gave none".to_owned()))
    }

    fn for_sqlite(self) -> Result<(AssertSqlSafe<Cow<'static, str>>, SqliteArguments), StoreError> {
        let mut arguments = SqliteArguments::default();
        for value in self.values {
            let added = match value {
                Value::Number(number) => sqlx::Arguments::add(&mut arguments, number),
                Value::Text(text) => sqlx::Arguments::add(&mut arguments, text),
                Value::Bytes(bytes) => sqlx::Arguments::add(&mut arguments, bytes),
                Value::Numbers(_) | Value::Texts(_) | Value::Many(_) => return Err(StoreError::Broken("SQLite has no lists".to_owned())),
            };
            added.map_err(|error| StoreError::Broken(error.to_string()))?;
        }
        Ok((AssertSqlSafe(self.text), arguments))
    }

    fn for_postgres(self) -> Result<(AssertSqlSafe<String>, PgArguments), StoreError> {
        let mut arguments = PgArguments::default();
        for value in self.values {
            let added = match value {
                Value::Number(number) => sqlx::Arguments::add(&mut arguments, number),
                Value::Text(text) => sqlx::Arguments::add(&mut arguments, text.map(dialect::text)),
                Value::Bytes(bytes) => sqlx::Arguments::add(&mut arguments, bytes),
                Value::Numbers(numbers) => sqlx::Arguments::add(&mut arguments, numbers),
                Value::Texts(texts) => sqlx::Arguments::add(&mut arguments, texts.into_iter().map(dialect::text).collect::<Vec<_>>()),
                Value::Many(many) => sqlx::Arguments::add(&mut arguments, many),
            };
            added.map_err(|error| StoreError::Broken(error.to_string()))?;
        }
        Ok((AssertSqlSafe(dialect::to_postgres(&self.text)), arguments))
    }
}

enum Kind<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut Lent),
}

impl Connection {
    /// Whether it leads to a SQLite file.
    pub(in crate::store) fn is_sqlite(&self) -> bool {
        matches!(self, Self::SqliteWriter(_) | Self::SqliteReader(_) | Self::SqliteView(_))
    }

    /// It as one to a SQLite file.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when it is none.
    pub(in crate::store) fn sqlite(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        match self.kind() {
            Kind::Sqlite(connection) => Ok(connection),
            Kind::Postgres(_) => Err(StoreError::Broken("the connection is PostgreSQL's".to_owned())),
        }
    }

    /// It as one to PostgreSQL.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when it is none.
    pub(in crate::store) fn lent(&mut self) -> Result<&mut Lent, StoreError> {
        match self.kind() {
            Kind::Postgres(lent) => Ok(lent),
            Kind::Sqlite(_) => Err(StoreError::Broken("the connection is SQLite's".to_owned())),
        }
    }

    fn kind(&mut self) -> Kind<'_> {
        match self {
            Self::SqliteWriter(connection) => Kind::Sqlite(connection),
            Self::SqliteReader(connection) => Kind::Sqlite(connection),
            Self::SqliteView(connection) => Kind::Sqlite(connection),
            Self::Postgres(lent) => Kind::Postgres(lent),
        }
    }
}

impl Value {
    fn nothing(&self) -> Self {
        match self {
            Self::Number(_) => Self::Number(None),
            Self::Text(_) => Self::Text(None),
            Self::Bytes(_) => Self::Bytes(None),
            list => list.clone(),
        }
    }
}

impl From<Vec<i64>> for Value {
    fn from(numbers: Vec<i64>) -> Self {
        Self::Numbers(numbers)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl From<Vec<Vec<u8>>> for Value {
    fn from(many: Vec<Vec<u8>>) -> Self {
        Self::Many(many)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(Some(number.into()))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Number(Some(truth.into()))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl From<Option<&[u8]>> for Value {
    fn from(bytes: Option<&[u8]>) -> Self {
        Self::Bytes(bytes.map(<[u8]>::to_vec))
    }
}
