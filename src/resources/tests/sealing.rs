//! Sealed values: certificates, the secrets that are named, and where they may go.

use super::*;
use crate::types::Timestamp;

const CERTIFICATE: &str = include_str!("../../seal/fixtures/certificate.pem");

/// A cluster's `sealing`, from line 6 on.
fn cluster(certificate: &str) -> String {
    let certificate = certificate.trim_end().replace('\n', "\n      ");
    format!(
        "apiVersion: kubeops.dev/v1alpha1\nkind: Cluster\nmetadata: {{ name: live }}\nspec:\n  repository: gitops\n  sealing:\n    key: SEALING_KEY\n    certificate: |\n      {certificate}\n"
    )
}

const SEALED: &str = r#"apiVersion: kubeops.dev/v1alpha1
kind: Automation
metadata: { name: credentials }
spec:
  on: { source: service-desk }
  parameters:
    namespace: { from: event.data.namespace, schema: { type: string } }
  target: { cluster: live }
  render:
    - template: sealed-secret
      path: "secrets/{{ parameters.namespace }}.yaml"
      with: { name: "'ledger'" }
      seal:
        data: { password: LEDGER_PASSWORD }
  pullRequest: { title: Credentials }
"#;

fn with(automation: &str) -> Result<ResourceSet, Vec<Diagnostic>> {
    load(&[("a.yaml", BASICS), ("c.yaml", &cluster(CERTIFICATE)), ("s.yaml", automation)])
}

#[test]
fn the_secrets_that_are_sealed_are_the_sets_and_each_knows_its_place() {
    let set = with(SEALED).unwrap_or_else(|found| panic!("{found:#?}"));
    assert!(set.warnings.is_empty(), "{:?}", set.warnings);
    let told = |name: &str| {
        let problems = set.secret_problem(&name.parse().expect("a name"), "is not there");
        problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(told("SEALING_KEY"), ["c.yaml:7:5: error: Cluster/live: is not there (at /spec/sealing/key)"]);
    assert_eq!(told("LEDGER_PASSWORD"), ["s.yaml:14:17: error: Automation/credentials: is not there (at /spec/render/0/seal/data/password)"]);
    let (keys, sealed) = set.sealing_secrets();
    assert_eq!((keys.len(), sealed.len()), (1, 1));
}

#[test]
fn what_is_wrong_with_sealing_is_told_at_its_place() {
    for (from, to, place, says) in [
        ("data: { password: LEDGER_PASSWORD }", "data: {}", "s.yaml:14:15", "less than 1 property"),
        ("LEDGER_PASSWORD", "\"{{ parameters.namespace }}\"", "s.yaml:14:27", "a secret's name is wanted here"),
        ("LEDGER_PASSWORD", "JIRA_SECRET", "s.yaml:14:17", "the server's own"),
        ("LEDGER_PASSWORD", "SEALING_KEY", "s.yaml:14:17", "the server's own"),
        ("{ password:", "{ \"pass word\":", "s.yaml:14:17", "cannot be a key of a Secret"),
        ("      seal:\n", "      seal:\n        scope: everywhere\n", "s.yaml:14:", "everywhere"),
        ("cluster: live", "cluster: prod", "s.yaml:13:7", "values cannot be sealed for the cluster prod, which has no `sealing`"),
        ("cluster: live", "repository: gitops", "s.yaml:13:7", "values cannot be sealed for the repository gitops"),
        ("template: sealed-secret", "template: config-map", "s.yaml:13:7", "takes no sealed values"),
        ("name: \"'ledger'\"", "name: \"'ledger'\", scope: \"'strict'\"", "s.yaml:12:33", "`seal` gives the template its \"scope\" already"),
        ("name: \"'ledger'\"", "name: \"'ledger'\", encryptedData: \"{'a': 'b'}\"", "s.yaml:12:33", "its \"encryptedData\" already"),
        ("      with: { name: \"'ledger'\" }\n", "", "s.yaml:10:7", "needs \"name\""),
    ] {
        let text = SEALED.replacen(from, to, 1);
        assert_ne!(text, SEALED, "{from}");
        let found: Vec<String> = with(&text).err().unwrap_or_else(|| panic!("{to} is taken")).iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|error| error.starts_with(place) && error.contains(says)), "{to}: {found:#?}");
    }
    // Where the target is only known when a ticket comes, it is looked at then.
    let text = SEALED.replace("cluster: live", "cluster: \"{{ parameters.namespace }}\"");
    assert!(with(&text).is_ok());
}

#[test]
fn a_certificate_is_read_at_load_and_one_that_has_ended_is_a_warning() {
    let elliptic = include_str!("../../seal/fixtures/elliptic.pem");
    let private = "-----BEGIN PRIVATE KEY-----\nbm90IGZvciB5b3U=\n-----END PRIVATE KEY-----\n";
    for (certificate, says) in [("kubeseal\n", "no certificate in PEM"), (elliptic, "no RSA key"), (private, "this is a private key")] {
        // The automations of a cluster that is refused are not told that it is missing.
        let found = errors(&[("a.yaml", BASICS), ("c.yaml", &cluster(certificate)), ("s.yaml", SEALED)]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("c.yaml:8:5: error: Cluster/live: ") && found[0].contains(says), "{}", found[0]);
        assert!(!found[0].contains("bm90"), "{}", found[0]);
    }
    let repository = BASICS.replace(
        "spec: { url: /srv/git/gitops.git }",
        &format!("spec:\n  url: /srv/git/gitops.git\n  sealing:\n    key: K\n    certificate: {:?}", "nothing"),
    );
    assert!(errors(&[("a.yaml", &repository)])[0].starts_with("a.yaml:13:5: error: Repository/gitops: "));

    let set = with(SEALED).unwrap_or_else(|found| panic!("{found:#?}"));
    assert_eq!(set.ended_certificates(Timestamp::from_unix_millis(1_800_000_000_000)), []);
    let ended = set.ended_certificates(Timestamp::from_unix_millis(9_800_000_000_000));
    let told: Vec<String> = ended.iter().map(ToString::to_string).collect();
    assert!(told.len() == 1 && told[0].starts_with("c.yaml:8:5: warning: Cluster/live: ") && told[0].contains("has ended"), "{told:#?}");
}

#[test]
fn a_channels_secret_is_the_servers_own() {
    let channel = "apiVersion: kubeops.dev/v1alpha1\nkind: Channel\nmetadata: { name: chat }\nspec: { slack: { url: LEDGER_PASSWORD } }\n";
    let found = errors(&[("a.yaml", BASICS), ("b.yaml", channel), ("c.yaml", &cluster(CERTIFICATE)), ("s.yaml", SEALED)]);
    assert!(found.len() == 1 && found[0].contains("a Channel or an McpServer names it"), "{found:?}");
}
