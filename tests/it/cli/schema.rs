//! `kubeops schema`: what editors get.

use super::world::{World, project};
use serde_json::Value;

fn shipped() -> Vec<Value> {
    let directory = project().join("config/resources");
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the shipped resources") {
        let text = std::fs::read_to_string(entry.expect("a file").path()).expect("a text");
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            documents.push(serde::Deserialize::deserialize(document).expect("YAML"));
        }
    }
    documents
}

#[test]
fn each_kind_has_a_schema_that_takes_what_is_shipped_and_refuses_a_typing_error() {
    let world = World::new();
    let documents = shipped();
    for kind in ["Source", "Repository", "Cluster", "Automation"] {
        let schema = world.run(&["schema", kind]).json();
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let of_kind: Vec<&Value> = documents.iter().filter(|document| document["kind"] == kind).collect();
        assert!(!of_kind.is_empty(), "{kind} is shipped");
        for document in of_kind {
            assert!(validator.is_valid(document), "{:?}", validator.iter_errors(document).map(|e| e.to_string()).collect::<Vec<_>>());
            let mut wrong = document.clone();
            wrong["spec"]["descripton"] = "x".into();
            assert!(!validator.is_valid(&wrong), "{kind} refuses an unknown field");
            let mut wrong = document.clone();
            wrong["kind"] = "Other".into();
            assert!(!validator.is_valid(&wrong), "{kind} is no other kind");
        }
    }
}

#[test]
fn one_schema_takes_them_all_and_kinds_are_read_in_any_case() {
    let world = World::new();
    let schema = world.run(&["schema"]).json();
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for document in shipped() {
        assert!(validator.is_valid(&document), "{document}");
    }
    assert_eq!(world.run(&["schema", "automation"]).json(), world.run(&["schema", "Automation"]).json());
    assert!(world.run(&["schema", "Pod"]).fails(2).contains("one of Source, Repository, Cluster, Channel, Calendar, McpServer, Automation"));
}

#[test]
fn tests_and_parameters_of_policies_have_schemas_too() {
    let world = World::new();
    for (kind, directory) in [("AutomationTest", "config/tests"), ("PolicyTest", "policies/baseline/tests")] {
        let schema = world.run(&["schema", kind]).json();
        let validator = jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let mut seen = 0;
        for entry in std::fs::read_dir(project().join(directory)).expect("the shipped tests").map(|entry| entry.expect("a file").path()) {
            if entry.extension().is_none_or(|end| end != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&entry).expect("a text");
            let document: Value = serde_yaml_ng::from_str(&text).expect("YAML");
            let found: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
            assert!(found.is_empty(), "{}: {found:?}", entry.display());
            seen += 1;
        }
        assert!(seen > 0, "{kind} is shipped");
    }
    assert_eq!(world.run(&["schema", "PolicyParameters"]).json()["properties"]["kind"]["const"], "PolicyParameters");
}
