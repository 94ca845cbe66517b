//! Secrets on the way of a ticket: what goes into git can be opened by the cluster's controller alone, and the value is nowhere else.

use super::{objects_with, plan_again};
use crate::support::controller::Controller;
use crate::support::server::{TestServer, eventually, files_with, ticket};
use serde_json::{Value, json};

const VALUE: &str = "correct-horse-battery-staple-4711";
const ROTATED: &str = "tr0ub4dor-and-3-later-rotated-42";
const FILE: &str = "clusters/prod-eu/secrets/payments.yaml";

const AUTOMATION: &str = r#"apiVersion: kubeops.dev/v1alpha1
kind: Automation
metadata: { name: credentials }
spec:
  on: { source: service-desk, types: [jira.issue.transitioned] }
  when: event.data.issue.fields.issuetype.name == "Credentials request"
  parameters:
    namespace: { from: event.data.issue.fields.customfield_10050, schema: { type: string } }
    secret: { from: event.data.issue.fields.summary, schema: { type: string } }
  target: { cluster: prod-eu }
  render:
    - template: sealed-secret
      path: "secrets/{{ parameters.namespace }}.yaml"
      with: { name: "'ledger'" }
      seal:
        data: { password: LEDGER_PASSWORD }
  pullRequest: { title: "Credentials for {{ parameters.namespace }}" }
"#;

fn credentials(key: &str) -> Value {
    let mut asked = ticket(key, "payments");
    asked["issue"]["fields"]["issuetype"]["name"] = json!("Credentials request");
    // Who writes the ticket would rather have another one.
    asked["issue"]["fields"]["summary"] = json!("JIRA_WEBHOOK_SECRET");
    asked
}

/// A server whose production cluster has this controller.
fn server(controller: &Controller) -> TestServer {
    let mut server = TestServer::prepare();
    let certificate = controller.pem().trim_end().replace('\n', "\n      ");
    let sealing = format!("path: clusters/prod-eu\n  sealing:\n    key: SEALING_KEY\n    certificate: |\n      {certificate}\n");
    server.edit_resource("inventory.yaml", |text| text.replace("path: clusters/prod-eu\n", &sealing));
    server.edit_resource("credentials.yaml", |_| AUTOMATION.to_owned());
    server.secret("SEALING_KEY", &sealing_key());
    server.secret("LEDGER_PASSWORD", VALUE);
    server.set("RESOURCES_RELOAD_SECONDS", "1").set("LOG_LEVEL", "TRACE").run();
    server
}

fn sealing_key() -> String {
    "0123456789abcdef".repeat(4)
}

fn controller() -> Controller {
    Controller::new(&["-newkey", "rsa:2048"]).expect("a controller")
}

/// The sealed password in this revision.
fn sealed(server: &TestServer, revision: &str) -> String {
    let text = server.upstream.show(FILE, revision);
    let document: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).expect("YAML");
    assert_eq!((document["kind"].as_str(), document["metadata"]["name"].as_str()), (Some("SealedSecret"), Some("ledger")), "{text}");
    document["spec"]["encryptedData"]["password"].as_str().unwrap_or_else(|| panic!("a sealed value: {text}")).to_owned()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("a text at {field}: {value:#}"))
}

#[test]
fn a_ticket_has_a_secret_sealed_which_the_controller_opens_and_nobody_else() {
    let controller = controller();
    let server = server(&controller);
    assert_eq!(server.at().ticket(&credentials("OPS-1")).word(), "202 accepted");
    let proposed = server.at().settled("OPS-1", "proposed");
    let (branch, commit) = (text(&proposed, "branch"), text(&proposed, "commit"));
    let first = sealed(&server, branch);
    assert_eq!(controller.open(&first, "payments/ledger").as_deref(), Some(VALUE.as_bytes()));
    assert!(controller.open(&first, "payments/other").is_none() && controller.open(&first, "").is_none());

    // The same step again finds the same commit.
    plan_again(&server, "OPS-1");
    eventually("the request is proposed again", || {
        let requests = server.at().requests_of("OPS-1");
        let timeline = server.at().get(&format!("/requests/{}", text(&requests[0], "id")));
        let planned = timeline["timeline"].as_array()?.iter().filter(|entry| entry["to"] == "planned").count();
        (planned == 2 && requests[0]["state"] == "proposed").then_some(())
    });
    assert_eq!(server.upstream.git(&["rev-parse", branch]).trim(), commit);

    // Merged, the same wish differs in nothing; rotated, it does.
    assert!(server.cli(&["pulls", "merge", "gitops#1"]).status.success());
    server.at().settled("OPS-1", "merged");
    server.at().ticket(&credentials("OPS-2"));
    server.at().settled("OPS-2", "unchanged");
    let since = server.at().get("/status")["resources"]["loaded_at"].clone();
    server.secret("LEDGER_PASSWORD", ROTATED);
    eventually("the rotated secret is in force", || (server.at().get("/status")["resources"]["loaded_at"] != since).then_some(()));
    server.at().ticket(&credentials("OPS-3"));
    let rotated = server.at().settled("OPS-3", "proposed");
    let second = sealed(&server, text(&rotated, "branch"));
    assert_eq!(controller.open(&second, "payments/ledger").as_deref(), Some(ROTATED.as_bytes()));
    let body = server.at().get(&format!("/pulls/gitops/{}", rotated["pull"]["number"]));
    let body = text(&body, "body");
    assert!(body.contains("spec.encryptedData.password") && !body.contains(&second) && !body.contains(&first[..100]), "{body}");

    nothing_is_told(server);
}

/// Neither values nor sealing key are in git, the store, the log or an answer.
fn nothing_is_told(mut server: TestServer) {
    let key = sealing_key();
    let secrets = [VALUE, ROTATED, &key];
    let encoded: Vec<String> = secrets.iter().map(|secret| base64(secret)).collect();
    let texts: Vec<&str> = secrets.iter().copied().chain(encoded.iter().map(String::as_str)).collect();
    let at = server.at();
    let mut answers: Vec<String> = ["/status", "/automations/credentials", "/clusters", "/repositories", "/pulls/gitops/2", "/pulls/gitops/2/diff"]
        .map(|path| at.api("GET", path, None).text())
        .into();
    for request in at.all("/requests") {
        answers.extend(["", "/diff"].map(|part| at.api("GET", &format!("/requests/{}{part}", text(&request, "id")), None).text()));
    }
    assert!(answers.len() > 9 && answers.iter().any(|answer| answer.contains("LEDGER_PASSWORD")), "names are told");
    for answer in &answers {
        assert!(!answer.is_empty() && !texts.iter().any(|secret| answer.contains(secret)), "{answer}");
    }
    assert_eq!(server.terminate().code(), Some(0));
    assert_eq!(files_with(&server.data(), &texts), [] as [std::path::PathBuf; 0]);
    assert!(!files_with(&server.data(), &["customfield_10050"]).is_empty(), "the search finds what is there");
    let log = server.log();
    assert!(log.lines().count() > 20 && !texts.iter().any(|secret| log.contains(secret)), "{log}");
    for repository in [server.data().join("mirrors"), server.upstream.path().to_owned()] {
        assert_eq!(objects_with(&repository, &texts), [] as [String; 0]);
        assert!(!objects_with(&repository, &["kind: SealedSecret"]).is_empty(), "the search finds what is there");
    }
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text).trim_end_matches('=').to_owned()
}

#[test]
fn a_set_with_a_secret_that_is_missing_too_short_or_the_servers_own_is_refused_and_the_old_one_stays() {
    let server = server(&controller());
    let problems = || server.at().get("/status")["resources"]["problems"].as_array().cloned().unwrap_or_default();
    let refused = |place: &str, says: &str| {
        eventually(says, || problems().iter().filter_map(Value::as_str).any(|told| told.contains(place) && told.contains(says)).then_some(()));
        assert_eq!(problems().len(), 1, "{:#?}", problems());
        assert!(server.log().contains(place), "the log says where");
    };
    for (name, says) in [
        ("LEDGER_PASSWORT", "the secret LEDGER_PASSWORT is not there"),
        ("JIRA_WEBHOOK_SECRET", "the server's own"),
        ("SEALING_KEY", "the server's own"),
    ] {
        server.edit_resource("credentials.yaml", |_| AUTOMATION.replace("LEDGER_PASSWORD", name));
        refused("credentials.yaml:16:17:", says);
    }
    // What was in force seals on.
    server.at().ticket(&credentials("OPS-1"));
    server.at().settled("OPS-1", "proposed");
    server.edit_resource("credentials.yaml", |_| AUTOMATION.to_owned());
    eventually("the mended set is in force", || problems().is_empty().then_some(()));
    server.secret("SEALING_KEY", "short");
    refused("inventory.yaml:", "the sealing key has 5 bytes; it must have at least 32");
}

#[test]
fn a_ticket_for_a_cluster_without_a_controller_is_told_so() {
    let server = server(&controller());
    server.edit_resource("credentials.yaml", |text| text.replace("cluster: prod-eu", "cluster: \"{{ parameters.secret }}\""));
    let digest = server.at().get("/status")["resources"]["loaded_at"].clone();
    eventually("it is in force", || (server.at().get("/status")["resources"]["loaded_at"] != digest).then_some(()));
    let mut asked = credentials("OPS-1");
    asked["issue"]["fields"]["summary"] = json!("staging-eu");
    server.at().ticket(&asked);
    let rejected = server.at().settled("OPS-1", "rejected");
    assert!(text(&rejected, "message").contains("the cluster staging-eu does not say how they are sealed"), "{rejected:#}");
}
