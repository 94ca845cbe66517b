//! How the way to the database is protected: what the address says of TLS, what is said where it protects little, and what to do when
//! the two do not agree. It never makes a way less safe than the address says, and tells of no password or key.

use crate::store::StoreError;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::net::IpAddr;
use url::Url;

/// How a certificate begins in a PEM file (RFC 7468).
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
/// How a private key does, of whatever kind.
const KEY: &str = "PRIVATE KEY-----";

/// What an address says of TLS, as libpq names it. <https://www.postgresql.org/docs/current/libpq-ssl.html>
#[derive(Debug, Default)]
struct Said {
    mode: bool,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Said {
    fn by(address: &str) -> Self {
        let mut said = Self::default();
        let Ok(url) = Url::parse(address) else { return said };
        for (name, value) in url.query_pairs() {
            match &*name {
                "sslmode" | "ssl-mode" => said.mode = true,
                "sslrootcert" | "ssl-root-cert" | "ssl-ca" => said.root = Some(value.into_owned()),
                "sslcert" | "ssl-cert" => said.certificate = Some(value.into_owned()),
                "sslkey" | "ssl-key" => said.key = Some(value.into_owned()),
                _ => {}
            }
        }
        said
    }
}

/// Connections as they are protected: to a database beyond this machine by `verify-full`, unless the address says otherwise. `require` with a
/// certificate of a CA is `verify-ca`, as with libpq: a file that is named is looked at.
///
/// # Errors
/// [`StoreError::Unusable`] when a file that the address names cannot be read or holds something else.
pub(super) fn protected(address: &str, connect: PgConnectOptions) -> Result<PgConnectOptions, StoreError> {
    let said = Said::by(address);
    for (name, path, holds) in [("sslrootcert", &said.root, CERTIFICATE), ("sslcert", &said.certificate, CERTIFICATE), ("sslkey", &said.key, KEY)] {
        path.iter().try_for_each(|path| readable(name, path, holds))?;
    }
    if said.certificate.is_some() != said.key.is_some() {
        return Err(StoreError::Unusable("sslcert and sslkey belong together: the address names one of them alone".to_owned()));
    }
    Ok(match connect.get_ssl_mode() {
        _ if !said.mode && !is_here(&connect) => connect.ssl_mode(PgSslMode::VerifyFull),
        PgSslMode::Require if said.root.is_some() => connect.ssl_mode(PgSslMode::VerifyCa),
        _ => connect,
    })
}

/// What an operator is warned of: what somebody on the way to a database beyond this machine could do.
pub(super) fn warning(connect: &PgConnectOptions) -> Option<&'static str> {
    if is_here(connect) {
        return None;
    }
    match connect.get_ssl_mode() {
        PgSslMode::VerifyFull => None,
        PgSslMode::Disable | PgSslMode::Allow => Some("nothing is encrypted: whoever is on the way reads and changes tickets, and the password"),
        PgSslMode::Prefer => Some("a server that offers no TLS is spoken to in plain text, and nobody looks at who answers"),
        PgSslMode::Require => Some("nobody looks at who answers: whoever is on the way may be the one"),
        PgSslMode::VerifyCa => Some("a certificate of any name is believed, also one that a public CA made for somebody else"),
    }
}

/// Whether the way to the database leaves this machine: names are not looked up.
fn is_here(connect: &PgConnectOptions) -> bool {
    let host = connect.get_host();
    connect.get_socket().is_some() || host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A file in PEM; sqlx takes one without a certificate for an empty list.
fn readable(name: &str, path: &str, holds: &str) -> Result<(), StoreError> {
    if path.contains("-----BEGIN") {
        return Err(StoreError::Unusable(format!("{name} holds what belongs in a file: write the path of the file")));
    }
    match std::fs::read(path) {
        Ok(text) if String::from_utf8_lossy(&text).contains(holds) => Ok(()),
        Ok(_) => Err(StoreError::Unusable(format!("{name}: {path} holds no {} in PEM", if holds == KEY { "private key" } else { "certificate" }))),
        Err(error) => Err(StoreError::Unusable(format!("{name}: {path}: {error}"))),
    }
}

/// Why no connection came about, where it is for TLS with what to do, else as the database says.
pub(super) fn explained(error: sqlx::Error, connect: &PgConnectOptions) -> StoreError {
    let told = match &error {
        sqlx::Error::Tls(why) if why.to_string().contains("does not support TLS") => {
            Some("the server offers no TLS: turn `ssl` on there, or write sslmode=disable into the address where nobody is on the way".to_owned())
        }
        sqlx::Error::Tls(why) => Some(format!("TLS with the server failed: {why}")),
        sqlx::Error::Io(why) => why.get_ref().and_then(|why| why.downcast_ref()).map(|why| of_handshake(why, connect.get_host())),
        sqlx::Error::Database(why) if why.message().contains("client certificate") => {
            Some(format!("{}: name its file and that of its key with sslcert=/path/cert.pem and sslkey=/path/key.pem", why.message()))
        }
        _ => None,
    };
    told.map_or_else(|| error.into(), StoreError::Unusable)
}

fn of_handshake(error: &rustls::Error, host: &str) -> String {
    use rustls::CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    match error {
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            format!("the server's certificate is not for {host}: write the name into the address that it is for, or have one made for {host}")
        }
        // The second is one of another CA with the same name, such as the one before it.
        rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => {
            "the server's certificate is of a CA that is not known: name the CA's certificate with sslrootcert=/path/ca.pem".to_owned()
        }
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }) => {
            "the server's certificate is not valid at this time: have it renewed, or set this machine's clock".to_owned()
        }
        rustls::Error::AlertReceived(alert) => {
            format!("the server broke TLS off ({alert:?}): see its log; it may know the CA of the certificate of sslcert not, or want another")
        }
        other => format!("TLS with the server failed: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn made(address: &str) -> Result<PgConnectOptions, StoreError> {
        protected(address, PgConnectOptions::from_str(address).expect("an address"))
    }

    #[test]
    fn beyond_this_machine_it_is_known_who_answers_unless_the_address_says_otherwise_and_then_it_is_warned_of() {
        for (address, mode, warned) in [
            ("postgres://k@db.example/k", "VerifyFull", None),
            // A word that stands somewhere else says nothing.
            ("postgres://k@db.example/sslmode=disable", "VerifyFull", None),
            ("postgres://k@db.example/k?options=sslmode%3Ddisable", "VerifyFull", None),
            ("postgres://k@127.1/k?host=db.example", "VerifyFull", None),
            ("postgres://k@db.example/k?sslmode=verify-full", "VerifyFull", None),
            ("postgres://k@db.example/k?ssl-mode=verify-ca", "VerifyCa", Some("any name")),
            ("postgres://k@db.example/k?sslmode=require", "Require", Some("who answers")),
            ("postgres://k@10.0.0.7/k?sslmode=prefer", "Prefer", Some("plain text")),
            ("postgres://k@db.example/k?sslmode=disable", "Disable", Some("nothing is encrypted")),
            ("postgres://k@db.example/k?sslmode=allow", "Allow", Some("nothing is encrypted")),
            ("postgres://k@localhost/k?sslmode=disable", "Disable", None),
            ("postgres://k@127.0.0.1/k?sslmode=disable", "Disable", None),
            ("postgres:///k?host=/run/postgresql", "Prefer", None),
        ] {
            let connect = made(address).expect("connections");
            assert_eq!(format!("{:?}", connect.get_ssl_mode()), mode, "{address}");
            assert_eq!(warning(&connect).is_some(), warned.is_some(), "{address}");
            assert!(warning(&connect).unwrap_or_default().contains(warned.unwrap_or_default()), "{address}");
        }
    }

    #[test]
    fn a_file_that_is_named_is_there_and_is_looked_at() {
        let directory = tempfile::tempdir().expect("a directory");
        let (ca, empty) = (directory.path().join("ca.pem"), directory.path().join("empty.pem"));
        std::fs::write(&ca, format!("{CERTIFICATE}\nAA==\n-----END CERTIFICATE-----\n")).expect("written");
        std::fs::write(&empty, "").expect("written");
        let (ca, empty) = (ca.display(), empty.display());
        let connect = made(&format!("postgres://k@db.example/k?sslmode=require&sslrootcert={ca}")).expect("connections");
        assert_eq!(format!("{:?}", connect.get_ssl_mode()), "VerifyCa", "as with libpq");
        for (query, told) in [
            ("sslrootcert=/nowhere/ca.pem".to_owned(), "sslrootcert: /nowhere/ca.pem: No such file"),
            (format!("sslrootcert={empty}"), "holds no certificate in PEM"),
            (format!("sslcert={ca}"), "belong together"),
            (format!("sslcert={ca}&sslkey={ca}"), "holds no private key"),
            ("sslkey=-----BEGIN+PRIVATE+KEY-----s3cret".to_owned(), "write the path of the file"),
        ] {
            let refused = made(&format!("postgres://k@db.example/k?{query}")).expect_err("refused").to_string();
            assert!(refused.contains(told) && !refused.contains("s3cret"), "{refused}");
        }
    }
}
