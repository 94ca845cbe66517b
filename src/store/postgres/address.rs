//! What an address says: nothing in it is passed over, because whoever wrote it believes that it counts. It is read, and never told on: it may
//! hold a password.

use crate::store::StoreError;
use sqlx::postgres::PgConnectOptions;
use std::str::FromStr;
use url::Url;

/// What an address looks like.
const FORM: &str = "postgres://user@host:5432/database?sslmode=verify-full";
/// What may stand behind its `?`, as libpq names it.
const PARAMETERS: [&str; 10] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "host", "hostaddr", "port", "dbname", "user", "options"];
/// Other names of these, and what is set by this program whatever stands there; a password is told of where settings are read.
const ALSO: [&str; 8] = ["ssl-mode", "ssl-root-cert", "ssl-ca", "ssl-cert", "ssl-key", "password", "application_name", "statement-cache-capacity"];
/// How the way to the database may be protected.
const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// How to connect. What an address leaves out is taken from the `PG*` variables of the environment.
///
/// # Errors
/// [`StoreError::Unusable`] with what is wrong with it.
pub(super) fn read(address: &str) -> Result<PgConnectOptions, StoreError> {
    let refused = |why: String| StoreError::Unusable(why);
    if !["postgres://", "postgresql://"].iter().any(|scheme| address.starts_with(scheme)) {
        return Err(refused(format!("the address is none of PostgreSQL's: {FORM}")));
    }
    if names_many(address) {
        return Err(refused(
            "the address has several hosts, and one is meant: a name or an address that leads to whichever server takes writes".to_owned(),
        ));
    }
    let url = Url::parse(address).map_err(|error| refused(format!("the address cannot be read ({error}): {FORM}")))?;
    for (name, value) in url.query_pairs() {
        let is_known = PARAMETERS.iter().chain(&ALSO).any(|known| *known == name) || (name.starts_with("options[") && name.ends_with(']'));
        if !is_known {
            return Err(refused(format!("`{name}` in the address is not known; it may have {}", PARAMETERS.join(", "))));
        }
        if matches!(&*name, "sslmode" | "ssl-mode") && !MODES.contains(&value.to_ascii_lowercase().as_str()) {
            return Err(refused(format!("{name}={value:?} in the address is none of {}", MODES.join(", "))));
        }
    }
    PgConnectOptions::from_str(address).map_err(|_| refused(format!("the address cannot be read: {FORM}")))
}

/// Whether it names hosts beside one another, as libpq has it.
fn names_many(address: &str) -> bool {
    let (before, query) = address.split_once('?').unwrap_or((address, ""));
    let authority = before.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let host = authority.rsplit('@').next().unwrap_or_default();
    let mut hosts = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| matches!(&**name, "host" | "hostaddr" | "port"));
    host.contains(',') || hosts.any(|(_, value)| value.contains(','))
}

/// The address without what need not be told.
pub(in crate::store) fn shown(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else { return "the database".to_owned() };
    url.set_query(None);
    if url.set_password(None).is_err() {
        return "the database".to_owned();
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_in_an_address_is_refused_by_name_and_no_password_is_shown() {
        for (query, told) in [
            ("foo=bar", "`foo` in the address is not known"),
            ("sslmodes=verify-full", "`sslmodes` in the address is not known; it may have sslmode,"),
            ("sslmode=bogus", "sslmode=\"bogus\" in the address is none of disable, allow, prefer, require, verify-ca, verify-full"),
            ("sslmode=", "sslmode=\"\""),
            ("ssl-mode=verify_full", "ssl-mode=\"verify_full\""),
            ("port=many", "postgres://user@host:5432/database"),
        ] {
            let refused = read(&format!("postgres://k:s3cret@db.example/k?{query}")).expect_err(query).to_string();
            assert!(refused.contains(told) && !refused.contains("s3cret") && !refused.contains("password"), "{refused}");
        }
        for address in [
            "postgres://k:s3cret@a.example,b.example/k",
            "postgres://k:s3cret@a.example:5432,b.example:5432/k",
            "postgres://k:s3cret@/k?host=a.example%2Cb.example",
        ] {
            let refused = read(address).expect_err(address).to_string();
            assert!(refused.contains("has several hosts") && !refused.contains("s3cret"), "{refused}");
        }
        read("postgres://k:a,b@db.example/k").expect("a password may have what it likes");
        let refused = read("mysql://k:s3cret@db.example/k").expect_err("another's").to_string();
        assert!(refused.contains("none of PostgreSQL's") && !refused.contains("s3cret"), "{refused}");
        for query in
            ["sslmode=Verify-Full&sslrootcert=/ca.pem", "ssl-ca=/ca.pem", "host=/run/postgresql", "options[search_path]=k", "options=-c%20a%3Db"]
        {
            read(&format!("postgres://k@db.example/k?{query}")).unwrap_or_else(|error| panic!("{query}: {error}"));
        }
    }

    #[test]
    fn an_address_is_shown_without_password_and_parameters() {
        assert_eq!(shown("postgres://k:s3cret@db.example:5433/k?sslkey=/k"), "postgres://k@db.example:5433/k");
    }
}
