//! What PostgreSQL's answers mean to a caller of the store. <https://www.postgresql.org/docs/current/errcodes-appendix.html>
//! It never passes a bound value on: messages hold PostgreSQL's first line only, not its detail, which quotes rows.

use crate::store::StoreError;
use sqlx::postgres::PgDatabaseError;

/// What is told of a server that takes no writes.
const READ_ONLY: &str = "it takes no writes, as a standby does not; it is asked anew where the address leads";

/// Whether this came of a server that takes no writes.
pub(super) fn is_read_only(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(told) if told.ends_with(READ_ONLY))
}

/// The store's error for one of the database.
pub(in crate::store) fn of(error: &PgDatabaseError) -> StoreError {
    from_code(error.code(), error.message())
}

/// For a SQLSTATE: five characters, of which the first two are the class.
fn from_code(code: &str, message: &str) -> StoreError {
    let message = message.to_owned();
    match (code.get(..2).unwrap_or_default(), code) {
        // A full disk, and what its administrator lets it use.
        ("53", "53100" | "53400") => StoreError::Full(message),
        ("25", "25006") => StoreError::Unavailable(format!("{message}: {READ_ONLY}")),
        // Out of memory or connections; a connection that broke; somebody shut it down, cancelled the statement or waited for a lock too
        // long; two that stood in each other's way.
        ("53" | "08" | "57" | "55" | "40" | "58", _) | ("25", "25P03") => StoreError::Unavailable(message),
        // A value that cannot be one, is missing, breaks a rule or is larger than an index takes.
        ("22" | "54", _) | ("23", "23502" | "23514") => StoreError::Refused(message),
        // What another wrote, or removed, first.
        ("23", _) => StoreError::Conflict(message),
        // A password, a role, a database that is not there; no right to a table.
        ("28" | "3D", _) | ("42", "42501") => StoreError::Unusable(message),
        _ => StoreError::Broken(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_whether_to_try_again() {
        for code in ["53100", "53400"] {
            assert!(matches!(from_code(code, "x"), StoreError::Full(_)), "{code}");
        }
        for code in ["53300", "08006", "57P01", "57014", "55P03", "40001", "40P01", "25006", "58030"] {
            assert!(matches!(from_code(code, "x"), StoreError::Unavailable(_)), "{code}");
        }
        assert!(is_read_only(&from_code("25006", "x")) && !is_read_only(&from_code("57P01", "x")));
        for code in ["23505", "23503"] {
            assert!(matches!(from_code(code, "x"), StoreError::Conflict(_)), "{code}");
        }
        for code in ["22001", "22P05", "23502", "23514", "54000"] {
            assert!(matches!(from_code(code, "x"), StoreError::Refused(_)), "{code}");
        }
        for code in ["28P01", "3D000", "42501"] {
            assert!(matches!(from_code(code, "x"), StoreError::Unusable(_)), "{code}");
        }
        assert!(matches!(from_code("42P01", "x"), StoreError::Broken(_)));
    }
}
