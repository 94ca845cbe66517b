//! Sealed values in what is rendered: which secret goes where, and for which Secret.

use super::*;
use crate::inventory::{ClusterSpec, Inventory};
use crate::seal::{Scope, SealError};
use std::sync::Mutex;

const CERTIFICATE: &str = include_str!("../../seal/fixtures/certificate.pem");
/// A value of the right form.
const SEALED: &str = "AQB7";

/// Notes what it is to seal.
#[derive(Default)]
struct Noting(Mutex<Vec<String>>);

impl Sealer for Noting {
    fn seal(&self, order: SealOrder<'_>) -> Result<String, SealError> {
        let SealOrder { sealing, scope, key, secret } = order;
        self.0.lock().expect("the notes").push(format!("{key}={secret} with {} for {scope:?}", sealing.key));
        Ok(SEALED.repeat(92))
    }
}

fn spec(seal: Value, with: Value) -> Value {
    json!({
        "on": {"source": "service-desk"},
        "parameters": {
            "name": {"schema": {"type": "string"}},
            "namespace": {"schema": {"type": "string"}},
            "cluster": {"schema": {"type": "string"}, "default": "live"},
            "scope": {"schema": {"type": "string"}, "optional": true},
            "encryptedData": {"schema": {"type": "object"}, "optional": true}
        },
        "target": {"cluster": "{{ parameters.cluster }}"},
        "render": [{"template": "sealed-secret", "path": "{{ parameters.name }}.yaml", "with": with, "seal": seal}],
        "pullRequest": {"title": "t"}
    })
}

/// Two clusters: one with a controller of its own, one of a repository that knows none; and one where the repository speaks for it.
fn inventory() -> Inventory {
    let sealing = |key: &str| json!({"certificate": CERTIFICATE, "key": key});
    let repository = |name: &str, spec: Value| {
        let name: crate::types::RepositoryName = name.parse().expect("a name");
        (name.clone(), Arc::new(Repository { name, spec: serde_json::from_value(spec).expect("a spec") }))
    };
    let cluster = |name: &str, spec: Value| (name.parse().expect("a name"), Arc::new(serde_json::from_value::<ClusterSpec>(spec).expect("a spec")));
    Inventory {
        repositories: [repository("plain", json!({"url": "/a"})), repository("knows", json!({"url": "/b", "sealing": sealing("OF_REPOSITORY")}))]
            .into(),
        clusters: [
            cluster("live", json!({"repository": "knows", "sealing": sealing("OF_CLUSTER")})),
            cluster("other", json!({"repository": "knows"})),
            cluster("bare", json!({"repository": "plain"})),
        ]
        .into(),
        ..Inventory::default()
    }
}

fn plan(spec: Value, parameters: Value, sealer: &dyn Sealer) -> Result<String, PlanError> {
    let recipe = compile(spec).expect("compiles");
    assert!(recipe.seals());
    let event = Event {
        id: EventId::from_parts(Timestamp::from_unix_millis(0), 1),
        delivery: None,
        source: None,
        traceparent: None,
        kind: "jira.issue.created".parse().expect("a type"),
        subject: "OPS-42".into(),
        time: Timestamp::from_unix_millis(0),
        data: json!({}),
    };
    let parameters = parameters.as_object().cloned().expect("an object");
    let inputs = Inputs { event: &event, parameters: &parameters };
    let target = recipe.target(inputs, &inventory())?;
    let change = recipe.change(inputs, &target, &EmptyTree::default(), &Catalogue::embedded().expect("templates"), sealer)?;
    let Some(FileChange::Write(bytes)) = change.files.into_values().next() else { panic!("a file") };
    Ok(String::from_utf8(bytes).expect("UTF-8"))
}

fn asked() -> Value {
    json!({"name": "ledger", "namespace": "payments", "cluster": "live"})
}

#[test]
fn values_are_sealed_for_the_secret_the_template_makes() {
    for (scope, label) in [
        ("strict", "Strict { namespace: \"payments\", name: \"ledger-db\" }"),
        ("namespace-wide", "NamespaceWide { namespace: \"payments\" }"),
        ("cluster-wide", "ClusterWide"),
    ] {
        let sealer = Noting::default();
        let seal = json!({"scope": scope, "data": {"password": "LEDGER_PASSWORD", "user": "LEDGER_USER"}});
        let text = plan(spec(seal, json!({"name": "parameters.name + '-db'"})), asked(), &sealer).expect("a change");
        let noted = sealer.0.into_inner().expect("the notes");
        let expected = ["password=LEDGER_PASSWORD", "user=LEDGER_USER"].map(|order| format!("{order} with OF_CLUSTER for {label}"));
        assert_eq!(noted, expected);
        assert!(text.contains("name: ledger-db\n") && text.contains("    password: \"AQB7AQB7") && !text.contains("LEDGER"), "{text}");
        assert_eq!(text.contains(&format!("sealedsecrets.bitnami.com/{scope}: \"true\"")), scope != "strict", "{text}");
    }
    let sealer = Noting::default();
    let mut elsewhere = asked();
    elsewhere["cluster"] = json!("other");
    plan(spec(json!({"data": {"a": "S"}}), json!({})), elsewhere, &sealer).expect("a change");
    assert_eq!(sealer.0.into_inner().expect("the notes"), ["a=S with OF_REPOSITORY for Strict { namespace: \"payments\", name: \"ledger\" }"]);
}

#[test]
fn a_ticket_chooses_neither_scope_nor_values() {
    let mut parameters = asked();
    parameters["scope"] = json!("cluster-wide");
    parameters["encryptedData"] = json!({"password": "AQA".repeat(200), "more": "AQA".repeat(200)});
    let sealer = Noting::default();
    let text = plan(spec(json!({"data": {"password": "LEDGER_PASSWORD"}}), json!({})), parameters, &sealer).expect("a change");
    assert!(!text.contains("cluster-wide") && !text.contains("more") && !text.contains("AQAAQA"), "{text}");
    assert!(sealer.0.into_inner().expect("the notes")[0].ends_with("Strict { namespace: \"payments\", name: \"ledger\" }"));
}

#[test]
fn what_cannot_be_sealed_is_refused_before_a_secret_is_asked_for() {
    let sealer = Noting::default();
    let seal = || spec(json!({"data": {"a": "S"}}), json!({}));
    for (field, value, says) in [
        ("cluster", json!("bare"), "the cluster bare does not say how they are sealed: it has no `sealing`"),
        ("name", json!("a/b"), "no valid name"),
        ("namespace", json!("a.b"), "no valid namespace"),
        ("namespace", json!(7), "no valid namespace"),
        ("namespace", json!(""), "no valid namespace"),
    ] {
        let mut parameters = asked();
        parameters[field] = value;
        let mut spec = seal();
        spec["render"][0]["path"] = json!("a.yaml");
        let error = plan(spec, parameters, &sealer).expect_err("refused");
        assert!(error.class() == ErrorClass::User && error.to_string().contains(says), "{error}");
    }
    assert_eq!(sealer.0.into_inner().expect("the notes"), [] as [String; 0]);
}

#[test]
fn a_placeholder_passes_for_a_sealed_value_with_the_template_and_with_nobody_else() {
    let text = plan(spec(json!({"data": {"a": "S"}}), json!({})), asked(), &Placeholders).expect("a change");
    assert!(text.contains("    a: \"AQA/PLACEHOLDER/NOT+SEALED/ONLY+THE+SERVER+SEALS/PLACEHOLDER/"), "{text}");
    assert!(Placeholders.note().is_some_and(|note| note.contains("placeholders")));
    let scope = Scope::ClusterWide;
    let sealing = &*inventory().clusters.values().find_map(|cluster| cluster.sealing.clone()).expect("a controller");
    let secret = "S".parse().expect("a name");
    assert_eq!(Placeholders.seal(SealOrder { sealing, scope, key: "a", secret: &secret }).expect("a word").len() % 4, 0, "it is base64");
}
