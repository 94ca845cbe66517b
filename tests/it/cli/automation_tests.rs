//! `kubeops test`: payload in, expected files out.

use super::world::{World, project, ticket};
use serde_json::json;

fn shipped() -> (String, String) {
    let path = |name: &str| project().join("config").join(name).display().to_string();
    (path("tests"), path("resources"))
}

#[test]
fn the_shipped_automations_pass_their_shipped_tests() {
    let (tests, resources) = shipped();
    let world = World::new();
    let told = world.run(&["test", &tests, "--resources", &resources]).ok();
    assert!(told.contains("one line of the deployment changes") && told.trim_end().ends_with("7 passed, 0 failed"), "{told}");
    let told = world.run(&["test", &tests, "--resources", &resources, "--only", "a firing"]).ok();
    assert!(told.trim_end().ends_with("1 passed, 0 failed"), "{told}");
}

fn suite(case: &serde_json::Value) -> String {
    json!({ "apiVersion": "kubeops.dev/v1alpha1", "kind": "AutomationTest", "spec": { "cases": [case] } }).to_string()
}

#[test]
fn what_is_not_as_expected_is_told_one_by_one() {
    let world = World::new();
    world.write("ticket.json", &ticket("OPS-1", "ledger").to_string());
    let expect = json!([{ "automation": "volume", "outcome": "unchanged", "title": "Volume x", "parameters": { "size": "10Gi" }, "target": "gitops:clusters/prod",
        "files": { "clusters/prod/volumes/ledger.yaml": "kind: X\n", "more.yaml": "" }, "removed": ["gone.yaml"], "findings": ["schema.type"], "message": "no reason" }]);
    world.write("case.yaml", &suite(&json!({ "name": "wrong in everything", "payload": "ticket.json", "expect": expect })));
    let told = world.run(&["test", "case.yaml"]).fails(3);
    for part in [
        "FAILED wrong in everything",
        "outcome: expected unchanged, found proposed",
        "title: expected Volume x, found Volume ledger (OPS-1)",
        "parameter size: expected \"10Gi\", found \"50Gi\"",
        "clusters/prod/volumes/ledger.yaml differs:",
        "-kind: X",
        "more.yaml is expected, and not written",
        "removed: expected [gone.yaml], found []",
        "the finding schema.type is not among []",
        "\"no reason\" is no part of",
        "0 passed, 1 failed",
    ] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    world.write("case.yaml", &suite(&json!({ "name": "nobody", "payload": "ticket.json", "expect": [] })));
    assert!(world.run(&["test", "case.yaml"]).fails(3).contains("volume takes it, which is not expected"));
    world.write(
        "case.yaml",
        &suite(&json!({ "name": "two", "payload": { "ticket": "OPS-1", "approved": false }, "expect": [{ "automation": "volume" }] })),
    );
    assert!(world.run(&["test", "case.yaml"]).fails(3).contains("nothing came of volume, which is expected"));
}

#[test]
fn expected_files_are_written_on_request_and_hold_from_then_on() {
    let world = World::new();
    world.write("ticket.json", &ticket("OPS-1", "ledger").to_string());
    world.write("case.yaml", &suite(&json!({ "name": "a volume", "payload": "ticket.json", "expect": [{ "files": "expected" }] })));
    assert!(world.run(&["test", "case.yaml"]).fails(1).contains("there is no directory"));
    world.run(&["test", "case.yaml", "--update"]).ok();
    assert!(std::fs::read_to_string(world.path("expected/clusters/prod/volumes/ledger.yaml")).expect("written").contains("storage: 50Gi"));
    world.run(&["test", "case.yaml"]).ok();
}

#[test]
fn a_test_that_cannot_be_run_is_told_with_its_place() {
    let world = World::new();
    for (text, says) in [
        (suite(&json!({ "name": "x", "expect": [] })), "either a `payload`, or `automation` and `parameters`"),
        (suite(&json!({ "name": "x", "payload": "none.json", "expect": [] })), "none.json cannot be read"),
        (suite(&json!({ "name": "x", "payload": {}, "expects": [] })), "expects"),
        ("kind: AutomationTest\n a: b\n".to_owned(), "case.yaml:2:"),
        ("kind: Other\n".to_owned(), "there is no case to test"),
    ] {
        world.write("case.yaml", &text);
        let told = world.run(&["test", "case.yaml"]).fails(1);
        assert!(told.contains(says), "{says:?} in {told}");
    }
}

#[test]
fn what_is_asked_for_directly_says_the_same_every_time_so_that_a_title_can_be_expected() {
    let world = World::new();
    let parameters = json!({ "name": "ledger", "size": "10Gi" });
    for (correlation, title) in [(None, "Volume ledger (test)"), (Some("OPS-7"), "Volume ledger (OPS-7)")] {
        let expect = json!([{ "automation": "volume", "outcome": "proposed", "title": title }]);
        let mut case = json!({ "name": "asked", "automation": "volume", "parameters": parameters, "expect": expect });
        if let Some(correlation) = correlation {
            case["correlation"] = json!(correlation);
        }
        world.write("case.yaml", &suite(&case));
        world.run(&["test", "case.yaml"]).ok();
    }
    world.write(
        "case.yaml",
        &suite(&json!({ "name": "files", "automation": "volume", "parameters": parameters, "expect": [{ "files": "nowhere" }] })),
    );
    assert!(world.run(&["test", "case.yaml"]).fails(1).contains("`kubeops test --update` writes"));
}
