//! Who is let in, who hears of a token, and what servers that do not answer well come to.

use super::child;
use super::world::{Server, Setting, TOKEN, Way, With, branch, mirrors, patient, remote};
use crate::support::loopback::{Answer, Delivery, Loopback};
use crate::support::server::{eventually, files_with};
use crate::support::upstream::UpstreamRepo;
use kubeops::git::{Credentials, Expected, GitError, Limits, RemoteSpec};
use kubeops::types::ErrorClass;
use rstest::rstest;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn at(url: &str, token: Option<&'static str>, with: With) -> RemoteSpec {
    RemoteSpec { git: with.spec(), ..remote(url, token) }
}

/// The error of a fetch from this address, by a mirror of its own.
fn refused(directory: &Path, limits: Limits, remote: &RemoteSpec) -> GitError {
    mirrors(directory, limits).get(remote).fetch().expect_err("refused")
}

#[rstest]
fn a_wrong_token_may_be_mended_in_time_and_is_never_shown(#[values(With::Libgit2, With::Git)] with: With) {
    let upstream = UpstreamRepo::new();
    let server = upstream.serve(Some(TOKEN));
    let missing = RemoteSpec { credentials: Some(Credentials::new("bot", || Err("the file is gone".to_owned()))), ..at(&server.url, None, with) };
    for (number, (remote, word)) in
        [(at(&server.url, Some("wr0ng-token"), with), "does not accept"), (at(&server.url, None, with), "names none"), (missing, "the file is gone")]
            .iter()
            .enumerate()
    {
        let mirrors = mirrors(&upstream.scratch(&number.to_string()), patient());
        let mirror = mirrors.get(remote);
        let errors = [
            mirror.fetch().expect_err("refused"),
            mirror.remote_tip(&branch("kubeops/x")).expect_err("refused"),
            mirror.delete_branch(&branch("kubeops/x"), Expected::Any).expect_err("refused"),
        ];
        for error in errors {
            assert!(matches!(error, GitError::Unauthorised { .. }), "{error:?}");
            assert_eq!(error.class(), ErrorClass::Transient, "{error}");
            assert!(error.to_string().contains(word), "{error}");
            assert!(!format!("{error:?} {error} {mirror:?}").contains("wr0ng"), "{error:?}");
        }
    }
}

#[rstest]
fn a_rotated_token_is_used_at_once_and_stands_nowhere_on_disk(#[values(With::Libgit2, With::Git)] with: With) {
    let upstream = UpstreamRepo::new();
    let server = upstream.serve(Some(TOKEN));
    let directory = upstream.scratch("here");
    let mirrors = mirrors(&directory, patient());
    assert!(mirrors.get(&at(&server.url, Some("old-token"), with)).fetch().is_err());
    mirrors.get(&at(&server.url, Some(TOKEN), with)).fetch().expect("the new token counts");
    assert_eq!(files_with(&directory, &[TOKEN]), [] as [PathBuf; 0]);
}

#[rstest]
fn what_a_broken_server_answers_has_its_meaning(#[values(With::Libgit2, With::Git)] with: With, #[values(503, 500, 429, 403, 404, 302)] status: u16) {
    let server = Loopback::serve(move |_| Answer::new(status, "text/html", "<html>sorry</html>"));
    let directory = tempfile::tempdir().expect("a directory");
    let error = refused(directory.path(), patient(), &at(&format!("{}/x.git", server.url()), Some(TOKEN), with));
    match status {
        403 => assert!(matches!(error, GitError::Unauthorised { .. }), "{error:?}"),
        404 => assert!(matches!(error, GitError::NoRepository { .. }), "{error:?}"),
        302 => assert!(matches!(error, GitError::Elsewhere { .. }), "{error:?}"),
        _ => assert!(matches!(error, GitError::Network { .. }), "{error:?}"),
    }
}

#[rstest]
fn an_answer_that_is_cut_or_no_gits_is_told_and_tried_again(
    #[values(With::Libgit2, With::Git)] with: With,
    #[values(Delivery::Whole, Delivery::Truncated, Delivery::Dropped)] delivery: Delivery,
) {
    let server = Loopback::serve(move |_| {
        let body = "001e# service=git-upload-pack\n0000000eversion 2\n";
        Answer { delivery, ..Answer::new(200, "application/x-git-upload-pack-advertisement", body) }
    });
    let directory = tempfile::tempdir().expect("a directory");
    let error = refused(directory.path(), patient(), &at(&format!("{}/x.git", server.url()), None, with));
    assert_eq!(error.class(), ErrorClass::Transient, "{error:?}");
}

#[rstest]
fn a_redirect_to_another_host_gets_no_token(#[values(With::Libgit2, With::Git)] with: With) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let thief = Loopback::serve(move |request| {
        record.lock().expect("a list").push(request.headers.get("authorization").cloned());
        let mut answer = Answer::new(401, "text/plain", "");
        answer.headers.push(("www-authenticate".to_owned(), "Basic realm=\"git\"".to_owned()));
        answer
    });
    let target = thief.url().replace("127.0.0.1", "localhost");
    let server = Loopback::serve(move |request| {
        let mut answer = Answer::new(302, "text/plain", "");
        answer.headers.push(("location".to_owned(), format!("{target}{}?{}", request.path, request.query)));
        answer
    });
    let directory = tempfile::tempdir().expect("a directory");
    let error = refused(directory.path(), patient(), &at(&format!("{}/x.git", server.url()), Some(TOKEN), with));
    assert!(matches!(error, GitError::Elsewhere { .. }) && error.to_string().contains("renamed or moved"), "{error:?}");
    assert!(seen.lock().expect("a list").iter().all(Option::is_none), "the token was sent on");
}

#[rstest]
fn a_redirect_after_the_token_was_accepted_takes_it_nowhere(#[values(With::Libgit2, With::Git)] with: With) {
    // The first look is answered; what is asked then is sent elsewhere.
    let seen = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&seen);
    let thief = Loopback::serve(move |_| {
        *counted.lock().expect("a number") += 1;
        Answer::new(404, "text/plain", "")
    });
    let upstream = UpstreamRepo::new();
    let behind = upstream.serve(None);
    let (target, real) = (thief.url().replace("127.0.0.1", "localhost"), behind.url.clone());
    let server = Loopback::serve(move |request| {
        if !request.headers.contains_key("authorization") {
            let mut answer = Answer::new(401, "text/plain", "");
            answer.headers.push(("www-authenticate".to_owned(), "Basic realm=\"git\"".to_owned()));
            return answer;
        }
        let to = if request.method == "POST" { &target } else { &real };
        let mut answer = Answer::new(307, "text/plain", "");
        answer.headers.push(("location".to_owned(), format!("{to}{}?{}", request.path, request.query)));
        answer
    });
    let directory = tempfile::tempdir().expect("a directory");
    refused(directory.path(), patient(), &at(&format!("{}/upstream.git", server.url()), Some(TOKEN), with));
    assert_eq!(*seen.lock().expect("a number"), 0);
}

#[rstest]
fn a_server_that_accepts_and_says_nothing_is_given_up(#[values(With::Libgit2, With::Git)] with: With, #[values(Way::Http, Way::Ssh)] way: Way) {
    // Connections are accepted by the kernel and never answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let url = if way == Way::Http { format!("http://{address}/x.git") } else { format!("ssh://git@{address}/x.git") };
    let directory = tempfile::tempdir().expect("a directory");
    let begun = Instant::now();
    let limits = Limits { idle: Duration::from_millis(300), total: Duration::from_secs(2) };
    let error = refused(directory.path(), limits, &at(&url, None, with));
    assert!(matches!(error, GitError::Timeout { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(std::fs::read_dir(directory.path().join("run")).into_iter().flatten().count(), 0, "nothing is left of the conversation");
}

#[rstest]
fn a_push_that_hangs_is_given_up_and_the_next_one_finds_all_in_order(#[values(With::Libgit2, With::Git)] with: With) {
    // The server takes the push, and does not answer until the test is done with it.
    let upstream = UpstreamRepo::new();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let server = upstream.serve_watched(Some(TOKEN), move |request| {
        if request.method == "POST" && request.path.ends_with("/git-receive-pack") {
            let _ = held.lock().expect("a channel").recv();
        }
    });
    let setting = Setting::behind(upstream, with.spec(), Server::Http(server));
    let (_, commit) = setting.commit("1");
    let impatient =
        super::world::transport(&setting.upstream.scratch("run"), Limits { idle: Duration::from_millis(500), total: Duration::from_secs(5) });
    let update = || vec![kubeops::git::RefUpdate { branch: branch("kubeops/x"), commit: Some(commit.clone()), expected: Expected::Absent }];
    let error = impatient.push(&setting.place(), update()).expect_err("given up");
    assert!(matches!(error, GitError::Timeout { .. }), "{error:?}");
    drop(release);
    // The push that was given up arrives now, perhaps between the next one's look and its own push.
    eventually("the branch is where it is wanted", || setting.mirror().push(&branch("kubeops/x"), &commit, Expected::Absent).ok());
    assert_eq!(setting.upstream.tip("kubeops/x"), Some(commit));
    setting.fsck();
}

#[rstest]
fn nobody_listens_is_transient(#[values(With::Libgit2, With::Git)] with: With) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let directory = tempfile::tempdir().expect("a directory");
    for url in [format!("http://127.0.0.1:{port}/x.git"), format!("ssh://git@127.0.0.1:{port}/x.git")] {
        let error = refused(directory.path(), patient(), &at(&url, None, with));
        assert!(matches!(error, GitError::Network { .. }), "{error:?}");
    }
    let error = refused(directory.path(), patient(), &at("/nowhere/at/all.git", None, with));
    assert!(matches!(error, GitError::NoRepository { .. }), "{error:?}");
    let empty = directory.path().join("empty");
    std::fs::create_dir(&empty).expect("made");
    let error = refused(directory.path(), patient(), &at(empty.to_str().expect("UTF-8"), None, with));
    assert!(matches!(error, GitError::NoRepository { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Transient, "{error:?}");
}

/// A server with a certificate that it made itself, which has nothing for git.
struct SelfSigned {
    process: std::process::Child,
    url: String,
    certificate: PathBuf,
}

impl SelfSigned {
    fn start(directory: &Path) -> Self {
        let (key, certificate) = (directory.join("tls.key"), directory.join("tls.crt"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output();
        assert!(made.expect("openssl").status.success());
        let mut process = Command::new("openssl")
            .args(["s_server", "-www", "-accept", "127.0.0.1:0", "-key"])
            .arg(&key)
            .arg("-cert")
            .arg(&certificate)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let mut said = BufReader::new(process.stdout.take().expect("stdout")).lines();
        let port =
            said.find_map(|line| line.expect("a line").strip_prefix("ACCEPT ").and_then(|at| at.rsplit_once(':').map(|(_, port)| port.to_owned())));
        // It goes on to tell of each connection.
        std::thread::spawn(move || said.for_each(drop));
        Self { process, url: format!("https://127.0.0.1:{}/x.git", port.expect("it listens")), certificate }
    }
}

impl Drop for SelfSigned {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[rstest]
fn a_certificate_is_trusted_when_whoever_runs_the_machine_says_so_and_never_else(#[values(With::Libgit2, With::Git)] with: With) {
    let directory = tempfile::tempdir().expect("a directory");
    let server = SelfSigned::start(directory.path());
    let error = refused(directory.path(), patient(), &at(&server.url, Some(TOKEN), with));
    assert!(matches!(error, GitError::Untrusted { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Permanent);
    let mut trusting = child::fetching(&server.url, with, directory.path());
    trusting.env("SSL_CERT_FILE", &server.certificate);
    let told = child::fetched(trusting);
    // It is spoken with, and is no git's server.
    assert!(told.starts_with("Err(") && !told.contains("Untrusted"), "{told}");
}

#[test]
fn a_machine_without_git_is_told_what_to_install() {
    let upstream = UpstreamRepo::new();
    let options = kubeops::git::GitCommandOptions {
        git: upstream.scratch("no-git"),
        ssh: "ssh".into(),
        askpass: env!("CARGO_BIN_EXE_kubeops").into(),
        runtime: upstream.scratch("run"),
        limits: patient(),
    };
    let transport = Arc::new(kubeops::git::GitCommand::new(options));
    let mirrors = kubeops::git::Mirrors::new(upstream.scratch("mirrors"), transport).expect("a directory");
    let error = mirrors.get(&at(upstream.path().to_str().expect("UTF-8"), None, With::Git)).fetch().expect_err("no git");
    assert!(matches!(error, GitError::Program { .. }), "{error:?}");
    assert!(error.to_string().contains("install git 2.39 or later") && error.to_string().contains("transport: libgit2"), "{error}");
}
