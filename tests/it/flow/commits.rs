//! What a commit says and who signs it, as the repository's document decides; told by git, not by us.

use crate::support::server::{TestServer, eventually, files_with, ticket};
use crate::support::upstream::{command, run};
use serde_json::json;
use std::process::Command;

/// Writes the repository's commit settings. That the reporter is co-author stands in the shipped automation.
fn configure(server: &TestServer) {
    server.edit_resource("inventory.yaml", |text| {
        let with = "  branch: main\n  author: { name: KubeOps, email: kubeops@example.com }\n  committer: { name: Robot, email: robot@example.com }\n  \
                    signedOffBy: true\n  signing: { format: ssh, key: SIGNING_KEY }\n  commitMessage: |\n    \
                    {{ event.subject }}: {{ title }}\n\n    {{ summary }}\n\n    Asked for by {{ event.data.issue.fields.reporter.displayName }} as {{ request.id }}.\n";
        let edited = text.replacen("  branch: main\n", with, 1);
        assert_ne!(edited, text);
        edited
    });
}

/// A private key and its public part.
fn key(server: &TestServer, name: &str) -> (String, String) {
    let path = server.place(name);
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "robot", "-f"]).arg(&path).status();
    assert!(made.expect("ssh-keygen").success());
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("a key");
    (read(&path), read(&path.with_extension("pub")))
}

fn reported_by(key: &str, team: &str, name: &str, email: &str) -> serde_json::Value {
    let mut ticket = ticket(key, team);
    ticket["issue"]["fields"]["reporter"]["displayName"] = json!(name);
    ticket["issue"]["fields"]["reporter"]["emailAddress"] = json!(email);
    ticket
}

#[test]
fn a_commit_says_and_is_signed_as_its_repository_decides_and_a_ticket_forges_nothing() {
    let mut server = TestServer::prepare();
    configure(&server);
    let (private, public) = key(&server, "key");
    server.secret("SIGNING_KEY", &private);
    server.set("LOG_LEVEL", "TRACE").run();
    let hostile = "Cora\nSigned-off-by: Mallory <m@example.com>\n\nKubeops-Request: req_evil";
    server.at().ticket(&reported_by("OPS-1", "payments", hostile, "cora@example.com"));
    let request = server.at().settled("OPS-1", "proposed");
    let (id, commit) = (request["id"].as_str().expect("an id"), request["commit"].as_str().expect("a commit"));

    let message = server.upstream.git(&["show", "--no-patch", "--format=%B", commit]);
    assert!(message.starts_with("OPS-1: Namespace payments (OPS-1)\n\n"), "{message}");
    assert!(message.contains("Asked for by Cora Signed-off-by: Mallory <m@example.com> Kubeops-Request: req_evil as req_"), "{message}");
    let file = server.place("message");
    std::fs::write(&file, &message).expect("written");
    let trailers = run(&server.place(""), &["interpret-trailers", "--parse", "message"]);
    let names: Vec<&str> = trailers.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["Kubeops-Request", "Kubeops-Automation", "Kubeops-Event", "Kubeops-Template", "Co-authored-by", "Signed-off-by"],
        "{trailers}"
    );
    assert!(trailers.contains(&format!("Kubeops-Request: {id}\n")), "{trailers}");
    assert!(trailers.contains("Co-authored-by: Cora Signed-off-by: Mallory m@example.com Kubeops-Request: r <cora@example.com>\n"), "{trailers}");
    assert!(trailers.ends_with("Signed-off-by: Robot <robot@example.com>\n"), "{trailers}");
    let people = server.upstream.git(&["show", "--no-patch", "--format=%an <%ae>, %cn <%ce>", commit]);
    assert_eq!(people.trim(), "KubeOps <kubeops@example.com>, Robot <robot@example.com>");

    std::fs::write(server.place("allowed"), format!("robot@example.com {public}")).expect("written");
    let trust = format!("gpg.ssh.allowedSignersFile={}", server.place("allowed").display());
    let verified = command(server.upstream.path(), &["-c", &trust, "verify-commit", commit]).output().expect("git");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    server.upstream.fsck();

    // The key is nowhere but where it was put.
    let lines: Vec<&str> = private.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(lines.len() > 3);
    assert_eq!(files_with(&server.data(), &lines), [] as [std::path::PathBuf; 0]);
    assert_eq!(super::objects_with(server.upstream.path(), &lines), [] as [String; 0]);
    let log = server.log();
    assert!(!lines.iter().any(|line| log.contains(line)));
    for path in ["/repositories", "/status", &format!("/requests/{id}")] {
        let shown = server.at().api("GET", path, None).text();
        assert!(!lines.iter().any(|line| shown.contains(line)), "{path}");
    }
}

#[test]
fn who_cannot_be_named_is_left_out_and_a_reviewer_is_told() {
    let mut server = TestServer::prepare();
    configure(&server);
    server.secret("SIGNING_KEY", &key(&server, "key").0);
    server.run();
    server.at().ticket(&reported_by("OPS-1", "payments", "Cora Customer", "cora at example"));
    let request = server.at().settled("OPS-1", "proposed");
    let message = server.upstream.git(&["show", "--no-patch", "--format=%B", request["commit"].as_str().expect("a commit")]);
    assert!(!message.contains("Co-authored-by") && message.contains("Signed-off-by: Robot"), "{message}");
    let findings = request["findings"].as_array().expect("findings");
    assert!(findings.iter().any(|finding| finding["rule"] == "commit.co-author" && finding["severity"] == "warning"), "{findings:#?}");
    assert!(!request["findings"].to_string().contains("cora at example"));
    // Jira hides most addresses: that is no reason for a word.
    let mut hidden = ticket("OPS-2", "search");
    hidden["issue"]["fields"]["reporter"]["emailAddress"] = json!(null);
    server.at().ticket(&hidden);
    let request = server.at().settled("OPS-2", "proposed");
    assert_eq!(request["findings"], json!([]), "{request:#}");
}

#[test]
fn a_signing_key_that_does_not_serve_fails_the_request_until_it_is_mended() {
    let mut server = TestServer::prepare();
    configure(&server);
    let (private, public) = key(&server, "key");
    server.secret("SIGNING_KEY", &public);
    server.run();
    assert!(server.log().contains("commits to gitops cannot be signed with the secret SIGNING_KEY: it holds a public key"), "{}", server.log());
    server.at().ticket(&ticket("OPS-1", "payments"));
    let failed = server.at().settled("OPS-1", "failed");
    let message = failed["message"].as_str().expect("a message");
    assert!(message.contains("SIGNING_KEY") && message.contains("put the private one there"), "{message}");
    assert!(super::branches(&server.upstream).is_empty());
    server.secret("SIGNING_KEY", &private);
    let id = failed["id"].as_str().expect("an id");
    assert!(server.at().api("POST", &format!("/requests/{id}/retry"), None).status < 300);
    server.at().settled("OPS-1", "proposed");
    super::left_exactly_one(&server, "OPS-1", "proposed");
}

#[test]
fn what_an_ended_request_changed_is_shown_though_its_commit_is_kept_no_more() {
    let mut server = TestServer::prepare();
    configure(&server);
    server.secret("SIGNING_KEY", &key(&server, "key").0);
    server.run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    let request = server.at().settled("OPS-1", "proposed");
    let (id, commit) = (request["id"].as_str().expect("an id").to_owned(), request["commit"].as_str().expect("a commit").to_owned());
    let path = format!("/requests/{id}/diff");
    let shown = server.at().api("GET", &path, None);
    assert_eq!(shown.status, 200, "{}", shown.text());
    let kept = server.data().join("mirrors/gitops.git/proposals").join(&commit);
    assert!(kept.exists());
    assert!(server.at().api("POST", &format!("/requests/{id}/cancel"), Some(&json!({}))).status < 300);
    server.at().settled("OPS-1", "withdrawn");
    // The mirror is tidied when the server starts, and then from time to time.
    assert_eq!(server.terminate().code(), Some(0));
    server.run();
    eventually("the ended request's commit is not kept", || (!kept.exists()).then_some(()));
    assert_eq!(server.at().api("GET", &path, None).text(), shown.text());
    assert!(kept.exists(), "it was made again, and is the same");

    // Where something else would come of it by now, that is said, and nothing else is shown.
    assert_eq!(server.terminate().code(), Some(0));
    server.secret("SIGNING_KEY", &key(&server, "another").0);
    server.run();
    eventually("the ended request's commit is not kept", || (!kept.exists()).then_some(()));
    let refused = server.at().api("GET", &path, None);
    assert!(refused.status >= 400 && refused.text().contains("not kept any more"), "{} {}", refused.status, refused.text());
}
