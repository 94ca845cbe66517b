//! Reads columns into the store's types, and writes them the same way. A column that does not parse is the database's fault
//! (or an older program's), never the caller's: [`StoreError::Broken`] with the column's name and without its value.

use super::query::Row;
use crate::store::{PageQuery, StoreError};
use crate::types::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use sqlx::{Row as _, TypeInfo, ValueRef};
use std::str::FromStr;

/// Columns by name.
pub(in crate::store) trait Columns {
    /// A number.
    fn number(&self, name: &str) -> Result<i64, StoreError>;
    /// A count, never negative.
    fn count(&self, name: &str) -> Result<u64, StoreError>;
    /// Bytes.
    fn bytes(&self, name: &str) -> Result<&[u8], StoreError>;
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

impl Row {
    fn words(&self, name: &str) -> Result<Option<&str>, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(name)?),
            Self::Postgres(row) => Ok(row.try_get(name)?),
        }
    }
}

impl Columns for Row {
    fn number(&self, name: &str) -> Result<i64, StoreError> {
        self.optional_number(name)?.ok_or_else(|| broken(name))
    }

    fn count(&self, name: &str) -> Result<u64, StoreError> {
        u64::try_from(self.number(name)?).map_err(|_| broken(name))
    }

    fn bytes(&self, name: &str) -> Result<&[u8], StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(name)?),
            Self::Postgres(row) => Ok(row.try_get(name)?),
        }
    }

    fn text(&self, name: &str) -> Result<String, StoreError> {
        self.optional_text(name)?.ok_or_else(|| broken(name))
    }

    fn optional_text(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.words(name)?.map(str::to_owned))
    }

    fn parsed<T: FromStr>(&self, name: &str) -> Result<T, StoreError> {
        self.optional(name)?.ok_or_else(|| broken(name))
    }

    fn optional<T: FromStr>(&self, name: &str) -> Result<Option<T>, StoreError> {
        self.words(name)?.map(|text| text.parse().map_err(|_| broken(name))).transpose()
    }

    fn optional_number(&self, name: &str) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.try_get(name)?),
            Self::Postgres(row) => {
                // What SQLite has as 0 and 1 is a truth here, where it is the result of a comparison.
                if row.try_get_raw(name)?.type_info().name() == "BOOL" {
                    return Ok(row.try_get::<Option<bool>, _>(name)?.map(i64::from));
                }
                Ok(row.try_get(name)?)
            }
        }
    }

    fn moment(&self, name: &str) -> Result<Timestamp, StoreError> {
        self.number(name).map(Timestamp::from_unix_millis)
    }

    fn optional_moment(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional_number(name)?.map(Timestamp::from_unix_millis))
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, StoreError> {
        let text = self.words(name)?.ok_or_else(|| broken(name))?;
        serde_json::from_str(text).map_err(|_| broken(name))
    }
}

/// The error of a column that does not parse.
pub(in crate::store) fn broken(column: &str) -> StoreError {
    StoreError::Broken(format!("the column `{column}` holds what this version of kubeops cannot read"))
}

/// A value as JSON text.
pub(in crate::store) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Broken(format!("a value cannot be written as JSON: {error}")))
}

/// A count as the databases keep it.
pub(in crate::store) fn to_number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The first 16 bytes of SHA-256 over source and deduplication key; see the schema.
pub(in crate::store) type Key = [u8; 16];

/// What is unique per source, short and of one length; see the schema.
pub(in crate::store) fn digest(source: &str, key: &str) -> Key {
    let mut hasher = Sha256::new();
    hasher.update(source.as_bytes());
    hasher.update([0]);
    hasher.update(key.as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize()[..16]);
    short
}

/// How many rows a page has.
pub(in crate::store) fn page_limit(page: &PageQuery) -> usize {
    page.limit.clamp(1, 500) as usize
}
