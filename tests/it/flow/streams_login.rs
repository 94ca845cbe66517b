//! Who KubeOps is at a NATS server, and which server it believes: every way there is, and what is told when it does not do.

use super::streams::{CONSUMER, SUBJECT, connected, listening_to, prepared, refused, wanted};
use crate::support::nats::NatsServer;
use crate::support::nats_operator::Operator;
use crate::support::server::TestServer;
use nkeys::KeyPair;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A message is fetched and becomes a proposal.
fn it_fetches(server: &TestServer, nats: &NatsServer) {
    nats.publish(SUBJECT, &[], &wanted("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    nats.all_acknowledged("ops", CONSUMER);
}

#[test]
fn credentials_that_are_refused_are_told_and_a_rotated_secret_is_taken_up() {
    let nats = NatsServer::start_with("authorization { token: \"the-right-token-of-the-test\" }", |options| {
        options.token("the-right-token-of-the-test".to_owned())
    });
    let mut server = prepared(&nats, "    authentication: { token: { secret: NATS_TOKEN } }\n");
    server.secret("NATS_TOKEN", "the-wrong-token-of-the-test");
    server.run();
    let told = refused(server.at(), "ops", "NATS cannot be logged in to");
    assert!(!told.contains("of-the-test"), "{told}");
    nats.publish(SUBJECT, &[], &wanted("OPS-1", "payments"));
    server.secret("NATS_TOKEN", "the-right-token-of-the-test");
    server.at().settled("OPS-1", "proposed");
    nats.all_acknowledged("ops", CONSUMER);
    assert!(!server.log().contains("of-the-test"), "no secret stands in the log");
}

#[test]
fn a_user_with_an_nkey_signs_and_its_seed_is_shown_nowhere() {
    let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
    let (seed, wrong) = (user.seed().expect("a seed"), other.seed().expect("a seed"));
    let tests_own = seed.clone();
    let configuration = format!("authorization {{ users: [{{ nkey: {} }}] }}", user.public_key());
    let nats = NatsServer::start_with(&configuration, move |options| options.nkey(tests_own.clone()));
    nats.stream("ops", &["ops.>"]);
    let mut server = listening_to(&nats.url(), "    authentication: { nkey: { secret: NATS_SEED } }\n");
    server.secret("NATS_SEED", "SUthis-is-no-seed");
    server.run();
    refused(server.at(), "ops", "the secret NATS_SEED does not serve: it is no seed of a user");
    server.secret("NATS_SEED", &wrong);
    refused(server.at(), "ops", "NATS cannot be logged in to");
    server.secret("NATS_SEED", &format!("{seed}\n"));
    connected(server.at(), "ops");
    it_fetches(&server, &nats);
    for shown in [seed.as_str(), wrong.as_str(), "this-is-no-seed"] {
        assert!(!server.log().contains(shown), "no secret stands in the log");
    }
}

#[test]
fn a_creds_file_is_shown_to_a_server_that_believes_its_operator() {
    let operator = Operator::new();
    let tests_own = operator.credentials();
    let nats = NatsServer::start_with(operator.configuration(), move |options| options.credentials(&tests_own).expect("credentials"));
    nats.stream("ops", &["ops.>"]);
    let mut server = listening_to(&nats.url(), "    authentication: { creds: { secret: NATS_CREDS } }\n");
    server.secret("NATS_CREDS", "-----BEGIN NATS USER JWT-----\nnothing-to-be-shown\n");
    server.run();
    refused(server.at(), "ops", "the secret NATS_CREDS does not serve: it is no .creds file");
    server.secret("NATS_CREDS", &Operator::strangers_credentials());
    refused(server.at(), "ops", "NATS cannot be logged in to");
    let credentials = operator.credentials();
    server.secret("NATS_CREDS", &credentials);
    connected(server.at(), "ops");
    it_fetches(&server, &nats);
    let seed = credentials.lines().find(|line| line.starts_with("SU")).expect("a seed");
    assert!(!server.log().contains(seed) && !server.log().contains("nothing-to-be-shown"), "no secret stands in the log");
}

/// An authority, and what it signed.
struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let authority = Self { directory: tempfile::tempdir().expect("a directory") };
        openssl(&["-addext", "basicConstraints=critical,CA:TRUE", "-subj", "/CN=authority"], &authority.place("ca.key"), &authority.place("ca.crt"));
        authority
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate of `name` and its key.
    fn signs(&self, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (self.place(&format!("{name}.crt")), self.place(&format!("{name}.key")));
        let (ca, ca_key, subject) = (self.place("ca.crt"), self.place("ca.key"), format!("/CN={name}"));
        let by = ["-CA", ca.to_str().expect("a path"), "-CAkey", ca_key.to_str().expect("a path"), "-subj", &subject];
        let for_what = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
        openssl(&[by.as_slice(), &for_what].concat(), &key, &certificate);
        (certificate, key)
    }

    /// Lines of `tls:` that believe it.
    fn believed(&self) -> String {
        format!("    tls:\n      ca: |\n{}", indented(&self.place("ca.crt")))
    }
}

/// Makes a key and a certificate of it.
fn openssl(more: &[&str], key: &Path, certificate: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout"])
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .args(more)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A file as a block of YAML below `tls:`.
fn indented(file: &Path) -> String {
    std::fs::read_to_string(file).expect("a text").lines().map(|line| format!("        {line}\n")).collect()
}

#[test]
fn a_server_with_a_certificate_of_ones_own_authority_is_believed_where_that_is_named() {
    let authority = Authority::new();
    let (certificate, key) = authority.signs("nats");
    let configuration = format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}\nallow_non_tls: true", certificate.display(), key.display());
    let nats = NatsServer::start_with(&configuration, |options| options);
    nats.stream("ops", &["ops.>"]);
    let mut server = listening_to(&nats.url().replace("nats://", "tls://"), "");
    server.run();
    refused(server.at(), "ops", "certificate");
    server.edit_resource("stream.yaml", |before| format!("{before}{}", authority.believed()));
    connected(server.at(), "ops");
    it_fetches(&server, &nats);
}

#[test]
fn a_server_that_wants_a_certificate_is_shown_ours_and_its_key_is_a_secret() {
    let authority = Authority::new();
    let ((certificate, key), (ours, our_key), (tests_own, tests_key)) =
        (authority.signs("nats"), authority.signs("kubeops"), authority.signs("test"));
    let ca = authority.place("ca.crt");
    let configuration =
        format!("tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}", certificate.display(), key.display(), ca.display());
    let nats = NatsServer::start_with(&configuration, move |options| {
        options.require_tls(true).add_root_certificates(ca.clone()).add_client_certificate(tests_own.clone(), tests_key.clone())
    });
    nats.stream("ops", &["ops.>"]);
    let mut server = listening_to(&nats.url().replace("nats://", "tls://"), &authority.believed());
    server.run();
    refused(server.at(), "ops", "ertificate");
    // A key of another certificate does not do.
    let secret = |path: &Path| std::fs::read_to_string(path).expect("a key");
    server.secret("NATS_KEY", &secret(&key));
    let shown = indented(&ours);
    server.edit_resource("stream.yaml", |before| format!("{before}      certificate: |\n{shown}      key: NATS_KEY\n"));
    refused(server.at(), "ops", "the secret NATS_KEY does not serve: it is not the key of `nats.tls.certificate`");
    server.secret("NATS_KEY", &secret(&our_key));
    connected(server.at(), "ops");
    it_fetches(&server, &nats);
    assert!(!server.log().contains("PRIVATE KEY"), "no secret stands in the log");
}
