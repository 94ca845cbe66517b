//! Reads columns into the store's types, and writes them the same way. A column that does not parse is the database's fault
//! (or an older program's), never the caller's: [`StoreError::Broken`] with the column's name and without its value.

use crate::store::{PageQuery, StoreError};
use crate::types::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::str::FromStr;

/// Columns by name.
pub(super) trait Columns {
    /// A number.
    fn number(&self, name: &str) -> Result<i64, StoreError>;
    /// A count, never negative.
    fn count(&self, name: &str) -> Result<u64, StoreError>;
    /// A text.
    fn text(&self, name: &str) -> Result<String, StoreError>;
    /// A text that may be missing.
    fn optional_text(&self, name: &str) -> Result<Option<String>, StoreError>;
    /// A text type.
    fn parsed<T: FromStr>(&self, name: &str) -> Result<T, StoreError>;
    /// A text type that may be missing.
    fn optional<T: FromStr>(&self, name: &str) -> Result<Option<T>, StoreError>;
    /// A number that may be missing.
    fn optional_number(&self, name: &str) -> Result<Option<i64>, StoreError>;
    /// A moment.
    fn moment(&self, name: &str) -> Result<Timestamp, StoreError>;
    /// A moment that may be missing.
    fn optional_moment(&self, name: &str) -> Result<Option<Timestamp>, StoreError>;
    /// JSON.
    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError>;
}

impl Columns for SqliteRow {
    fn number(&self, name: &str) -> Result<i64, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn count(&self, name: &str) -> Result<u64, StoreError> {
        u64::try_from(self.number(name)?).map_err(|_| broken(name))
    }

    fn text(&self, name: &str) -> Result<String, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn optional_text(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn parsed<T: FromStr>(&self, name: &str) -> Result<T, StoreError> {
        self.try_get::<&str, _>(name)?.parse().map_err(|_| broken(name))
    }

    fn optional<T: FromStr>(&self, name: &str) -> Result<Option<T>, StoreError> {
        self.try_get::<Option<&str>, _>(name)?.map(|text| text.parse().map_err(|_| broken(name))).transpose()
    }

    fn optional_number(&self, name: &str) -> Result<Option<i64>, StoreError> {
        Ok(self.try_get(name)?)
    }

    fn moment(&self, name: &str) -> Result<Timestamp, StoreError> {
        self.number(name).map(Timestamp::from_unix_millis)
    }

    fn optional_moment(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional_number(name)?.map(Timestamp::from_unix_millis))
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        serde_json::from_str(self.try_get::<&str, _>(name)?).map_err(|_| broken(name))
    }
}

/// The error of a column that does not parse.
pub(super) fn broken(column: &str) -> StoreError {
    StoreError::Broken(format!("the column `{column}` holds what this version of kubeops cannot read"))
}

/// A value as JSON text.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Broken(format!("a value cannot be written as JSON: {error}")))
}

/// A count as SQLite keeps it.
pub(super) fn to_number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What is unique per source, short and of one length; see the schema.
pub(super) fn digest(source: &str, key: &str) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update(source.as_bytes());
    hasher.update([0]);
    hasher.update(key.as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize()[..16]);
    short
}

/// How many rows a page has.
pub(super) fn page_limit(page: &PageQuery) -> usize {
    page.limit.clamp(1, 500) as usize
}
