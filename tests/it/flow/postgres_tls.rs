//! PostgreSQL behind TLS, with certificates of a CA of one's own: everything goes that way, and who shows the wrong one is not worked with.

use crate::support::controller::openssl;
use crate::support::postgres::{Database, OwnServer, give};
use crate::support::server::{TestServer, eventually, ticket};
use kubeops::store::{PostgresOptions, Replicas as _, SqlStore};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PASSWORD: &str = "correct-horse-battery";

/// A CA, and what it signed.
struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    /// One of this name.
    fn named(name: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("kubeops-tls").tempdir_in("/tmp").expect("a directory");
        let subject = format!("/CN={name}");
        let made = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", &subject, "-days", "2"];
        openssl(directory.path(), &[&["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"][..], &made].concat());
        give(directory.path());
        Self { directory }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.place(name).display().to_string()
    }

    /// A certificate `name.pem` with its key `name.key`, for a common name, and for an address of this machine.
    fn signs(&self, name: &str, common_name: &str) {
        let here: &Path = self.directory.path();
        let [key, request, certificate] = ["key", "csr", "pem"].map(|kind| format!("{name}.{kind}"));
        let subject = format!("/CN={common_name}");
        let made = ["-keyout", &key, "-out", &request, "-subj", &subject, "-addext", "subjectAltName=IP:127.0.0.1"];
        openssl(here, &[&["req", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"][..], &made].concat());
        let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-copy_extensions", "copy"];
        openssl(here, &[&["x509", "-req", "-in", &request, "-out", &certificate][..], &signed].concat());
        give(&self.place(&key));
    }
}

/// A server with a certificate for 127.0.0.1, which lets in as this line of `pg_hba.conf` says.
fn server_of(authority: &Authority, hba: &str) -> OwnServer {
    authority.signs("server", "db");
    let mut database = OwnServer::prepare(&[]);
    let files = [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key"), ("ssl_ca_file", "ca.pem")];
    let files = files.map(|(setting, file)| format!("{setting}={}", authority.path(file)));
    database.set(&["ssl=on", &files[0], &files[1], &files[2]]);
    database.let_in(hba);
    database.run();
    database.psql("postgres", &format!("ALTER USER kubeops PASSWORD '{PASSWORD}'"));
    database
}

/// What the program says that does not start with this store.
fn refusal(server: &mut TestServer, address: &str) -> String {
    let refused = server.set("STORE_URL", address).run_refused();
    let said = format!("{}{}", String::from_utf8_lossy(&refused.stdout), String::from_utf8_lossy(&refused.stderr));
    assert!(!refused.status.success() && !said.contains(PASSWORD), "{said}");
    said
}

#[test]
fn replicas_work_with_a_database_behind_tls_and_nothing_goes_another_way() {
    let authority = Authority::named("ours");
    let database = server_of(&authority, "hostssl all all 127.0.0.1/32 scram-sha-256");
    let address = format!("postgres://kubeops@{}/postgres?sslmode=verify-full&sslrootcert={}", database.address(), authority.path("ca.pem"));
    let mut server = TestServer::prepare();
    server.secret("STORE_PASSWORD", PASSWORD);
    server.set("STORE_URL", &address).run();
    let second = server.replica("second");
    // Somebody who does nothing but listen hears of the work that a delivery brings.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let options = PostgresOptions { password: Some(PASSWORD.to_owned().into()), ..PostgresOptions::default() };
    let listener = runtime.block_on(SqlStore::postgres(&address, options)).expect("a store");
    let hears = || runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), listener.woken()).await }).expect("it is told");
    hears();
    server.at().ticket(&ticket("OPS-1", "payments"));
    hears();
    second.at().settled("OPS-1", "proposed");
    second.at().nothing_owed();

    let sessions = "FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.application_name = 'kubeops'";
    let listening = format!("SELECT count(*) {sessions} AND a.query LIKE 'LISTEN%' AND s.version LIKE 'TLSv1%'");
    eventually("all three listen over TLS", || (database.psql("postgres", &listening) == "3").then_some(()));
    assert_eq!(database.psql("postgres", &format!("SELECT count(*) {sessions} AND NOT s.ssl")), "0");
    assert!(!server.log().contains(PASSWORD) && !server.log().contains("is not safe"), "{}", server.log());
    runtime.block_on(kubeops::store::Store::close(&listener));
}

#[test]
fn a_server_that_does_not_show_the_right_certificate_is_refused_at_start_with_what_to_do() {
    let [authority, other, namesake] = ["ours", "another", "ours"].map(Authority::named);
    let database = server_of(&authority, "hostssl all all 127.0.0.1/32 scram-sha-256\nhostssl all all ::1/128 scram-sha-256");
    let mut server = TestServer::prepare();
    server.secret("STORE_PASSWORD", PASSWORD);
    let (here, port) = (database.address(), database.address().port());
    let [ours, theirs, same_name] = [&authority, &other, &namesake].map(|authority| authority.path("ca.pem"));
    let at = |host: &str, query: &str| format!("postgres://kubeops@{host}:{port}/postgres?{query}");
    let unknown = "is of a CA that is not known: name the CA's certificate with sslrootcert=";
    for (host, query, told) in [
        ("127.0.0.1", "sslmode=verify-full".to_owned(), unknown),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={theirs}"), unknown),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={same_name}"), unknown),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={theirs}"), unknown),
        ("localhost", format!("sslmode=verify-full&sslrootcert={ours}"), "certificate is not for localhost: write the name"),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert=/nowhere/ca.pem".to_owned(), "sslrootcert: /nowhere/ca.pem: No such file"),
        // In plain text it does not let anybody in.
        ("127.0.0.1", "sslmode=disable".to_owned(), "no encryption"),
    ] {
        let said = refusal(&mut server, &at(host, &query));
        assert!(said.contains(told) && said.contains("the store postgres://"), "{query}: {said}");
    }
    // A server without TLS: what was asked for is not left out.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let plain = runtime.block_on(Database::new());
    for mode in ["require", "verify-full"] {
        let said = refusal(&mut server, &format!("{}?sslmode={mode}", plain.address()));
        assert!(said.contains("offers no TLS: turn `ssl` on there"), "{said}");
    }
    // What is unsafe is worked with when the address says so, and warned of.
    server.set("STORE_URL", &format!("{}?sslmode=disable", plain.address().replace("127.0.0.1", "127.1"))).run();
    assert!(server.log().contains("the way to the database is not safe: nothing is encrypted"), "{}", server.log());
    server.terminate();
    // A password that is wrong is told of without it.
    server.secret("STORE_PASSWORD", &format!("{PASSWORD}!"));
    let said = refusal(&mut server, &format!("postgres://kubeops@{here}/postgres?sslmode=verify-full&sslrootcert={ours}"));
    assert!(said.contains("password authentication failed"), "{said}");
}

#[test]
fn a_database_that_wants_a_certificate_is_shown_the_one_that_the_address_names() {
    let [authority, other] = ["ours", "another"].map(Authority::named);
    let database = server_of(&authority, "hostssl all all 127.0.0.1/32 cert");
    authority.signs("client", "kubeops");
    other.signs("client", "kubeops");
    let root = format!("postgres://kubeops@{}/postgres?sslmode=verify-full&sslrootcert={}", database.address(), authority.path("ca.pem"));
    let with = |of: &Authority| format!("{root}&sslcert={}&sslkey={}", of.path("client.pem"), of.path("client.key"));
    let mut server = TestServer::prepare();
    let said = refusal(&mut server, &root);
    assert!(said.contains("name its file and that of its key with sslcert="), "{said}");
    let said = refusal(&mut server, &with(&other));
    assert!(said.contains("the server broke TLS off"), "{said}");
    server.set("STORE_URL", &with(&authority)).run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    let shown = "SELECT DISTINCT client_dn FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE application_name = 'kubeops'";
    assert_eq!(database.psql("postgres", shown), "/CN=kubeops");
    server.terminate();
}
