//! What SQLite's answers mean to a caller of the store. <https://www.sqlite.org/rescode.html>
//! It never passes a bound value on: messages hold SQLite's words only.

use crate::store::StoreError;
use sqlx::error::DatabaseError;

/// Primary result codes: the low byte of the extended one.
mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const READONLY: i32 = 8;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const TOOBIG: i32 = 18;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const MISMATCH: i32 = 20;
    pub(super) const NOTADB: i32 = 26;
    /// Extended codes of writes the disk did not take: write, fsync, directory fsync, truncate, and growth of the shared index.
    pub(super) const FAILED_WRITES: [i32; 5] = [10 | (3 << 8), 10 | (4 << 8), 10 | (5 << 8), 10 | (6 << 8), 10 | (19 << 8)];
    /// Extended codes of rows that no other writer has to do with: a check, a value that is missing, what a trigger says, a type.
    pub(super) const BROKEN_RULES: [i32; 4] = [19 | (1 << 8), 19 | (5 << 8), 19 | (7 << 8), 19 | (12 << 8)];
}

/// The store's error for one of the database.
pub(in crate::store) fn of(error: &dyn DatabaseError) -> StoreError {
    from_code(error.code().and_then(|text| text.parse::<i32>().ok()).unwrap_or(1), error.message())
}

fn from_code(extended: i32, message: &str) -> StoreError {
    let message = message.to_owned();
    if code::FAILED_WRITES.contains(&extended) {
        return StoreError::Full(message);
    }
    if code::BROKEN_RULES.contains(&extended) {
        return StoreError::Refused(message);
    }
    match extended & 0xff {
        code::FULL => StoreError::Full(message),
        code::BUSY | code::LOCKED | code::NOMEM | code::INTERRUPT | code::IOERR | code::CANTOPEN | code::PROTOCOL | code::READONLY | code::PERM => {
            StoreError::Unavailable(message)
        }
        code::TOOBIG | code::MISMATCH => StoreError::Refused(message),
        code::CONSTRAINT => StoreError::Conflict(message),
        code::NOTADB => StoreError::Unusable(format!("{message}: name another file, or restore this one from a backup")),
        code::CORRUPT => StoreError::Broken(format!("{message}: restore the database from a backup")),
        _ => StoreError::Broken(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_the_disk_did_not_take_means_full() {
        for extended in [13, 778, 1034, 1546, 4874] {
            assert!(matches!(from_code(extended, "x"), StoreError::Full(_)), "{extended}");
        }
        for extended in [5, 517, 10, 266, 14] {
            assert!(matches!(from_code(extended, "x"), StoreError::Unavailable(_)), "{extended}");
        }
        for extended in [2067, 1555, 787] {
            assert!(matches!(from_code(extended, "x"), StoreError::Conflict(_)), "{extended}");
        }
        for extended in [18, 20, 275, 1299, 1811, 3091] {
            assert!(matches!(from_code(extended, "x"), StoreError::Refused(_)), "{extended}");
        }
        assert!(matches!(from_code(1, "x"), StoreError::Broken(_)));
    }
}
