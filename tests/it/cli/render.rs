//! `kubeops render` and `kubeops explain`: no server, no store.

use super::world::{World, project, ticket};
use serde_json::json;

#[test]
fn a_template_is_rendered_from_parameters_alone() {
    let world = World::new();
    let example = project().join("templates/manifests/namespace/examples");
    for case in std::fs::read_dir(example).expect("the examples") {
        let case = case.expect("an example").path();
        let parameters = case.join("parameters.yaml").display().to_string();
        let rendered = world.run(&["render", "--template", "namespace", "--parameters", &parameters]).ok();
        assert_eq!(rendered, std::fs::read_to_string(case.join("expected.yaml")).expect("what is expected"), "{}", case.display());
    }
}

#[test]
fn an_unknown_template_names_those_there_are_and_wrong_parameters_are_refused() {
    let world = World::new();
    world.write("values.yaml", "team: Not A Name\nsurplus: 1\n");
    assert!(
        world
            .run(&["render", "--template", "namespaces", "--parameters", "values.yaml"])
            .fails(1)
            .contains("there is no template namespaces; did you mean namespace?")
    );
    let told = world.run(&["render", "--template", "namespace", "--parameters", "values.yaml"]).fails(3);
    assert!(told.contains("team") && told.contains("surplus"), "both are told: {told}");
}

#[test]
fn a_payload_becomes_files_and_a_diff_against_the_repository() {
    let world = World::new();
    world.upstream.write("main", "clusters/prod/volumes/ledger.yaml", "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: ledger\n  namespace: payments\n  labels:\n    app.kubernetes.io/managed-by: kubeops\nspec:\n  accessModes: [ReadWriteOnce]\n  volumeMode: Filesystem\n  resources:\n    requests:\n      storage: 10Gi\n");
    world.write("ticket.json", &ticket("OPS-1", "ledger").to_string());
    let told = world.run(&["render", "--automation", "volume", "--payload", "ticket.json"]).ok();
    assert!(told.contains("volume OPS-1 -> gitops:clusters/prod"), "{told}");
    assert!(told.contains("# clusters/prod/volumes/ledger.yaml\napiVersion: v1\n"), "{told}");
    assert!(told.contains("-      storage: 10Gi\n+      storage: 50Gi"), "the base was read: {told}");

    let preview = world.run(&["--output", "json", "render", "--payload", "ticket.json"]).json();
    assert_eq!(preview[0]["title"], "Volume ledger (OPS-1)");
    assert_eq!(preview[0]["parameters"], json!({ "name": "ledger", "namespace": "payments", "size": "50Gi" }));
    assert!(world.path("data").metadata().is_err(), "nothing was written where a server would");
}

#[test]
fn what_is_in_the_repository_already_differs_in_nothing() {
    let world = World::new();
    let payload = ticket("OPS-1", "ledger").to_string();
    world.write("ticket.json", &payload);
    let preview = world.run(&["--output", "json", "render", "--payload", "ticket.json"]).json();
    let text = preview[0]["files"]["clusters/prod/volumes/ledger.yaml"].as_str().expect("a file").to_owned();
    world.upstream.write("main", "clusters/prod/volumes/ledger.yaml", &text);
    assert!(world.run(&["render", "--payload", "ticket.json"]).ok().contains("nothing differs from the base"));
}

#[test]
fn refused_parameters_are_all_named_and_end_with_3() {
    let world = World::new();
    world.write("ticket.json", &json!({ "ticket": "OPS-2", "approved": true, "name": "No Name", "size": "1Ti" }).to_string());
    let told = world.run(&["render", "--payload", "ticket.json"]).fails(3);
    assert!(told.contains("parameters.name: \"No Name\" does not match"), "{told}");
    assert!(told.contains("parameters.size: \"1Ti\" is not one of \"10Gi\" or \"50Gi\""), "{told}");
}

#[test]
fn parameters_of_a_file_take_the_place_of_a_payload() {
    let world = World::new();
    world.write("values.yaml", "name: ledger\nsize: 10Gi\n");
    let told = world.run(&["render", "--automation", "volume", "--parameters", "values.yaml", "--no-diff"]).ok();
    assert!(told.contains("storage: 10Gi") && told.contains("not compared with the repository"), "{told}");
    world.write("values.yaml", "name: ledger\n");
    assert!(world.run(&["render", "--automation", "volume", "--parameters", "values.yaml"]).fails(3).contains("size"));
}

#[test]
fn a_payload_nobody_takes_ends_with_3_and_points_to_explain() {
    let world = World::new();
    let refused = json!({ "ticket": "OPS-3", "approved": false, "name": "ledger", "size": "10Gi" }).to_string();
    world.write("ticket.json", &refused);
    assert!(world.run(&["render", "--payload", "ticket.json"]).fails(3).contains("kubeops explain"));
}

#[test]
fn explain_says_why_and_why_not() {
    let world = World::new();
    world.write("ticket.json", &ticket("OPS-4", "ledger").to_string());
    let told = world.run(&["explain", "--payload", "ticket.json"]).ok();
    assert!(told.contains("event volume.requested about OPS-4\n  volume matches"), "{told}");
    assert!(told.contains("asks for a request with the key \"OPS-4\""), "{told}");

    let mut command = world.kubeops(&["explain", "--payload", "-", "--source", "portal"]);
    let told = super::world::Ran::of(command.write_stdin(r#"{"ticket": "OPS-5", "approved": false}"#)).ok();
    assert!(told.contains("volume does not match"), "{told}");
    assert!(told.contains("✗ `event.data.approved == true` is false: event.data.approved is false"), "{told}");
    assert!(told.contains("there is no field `size`"), "{told}");

    let report = world.run(&["--output", "json", "explain", "--payload", "ticket.json"]).json();
    assert_eq!(report[0]["decisions"][0]["automation"], "volume");
    assert_eq!(report[0]["decisions"][0]["matched"], true);
    let yaml = world.run(&["--output", "yaml", "explain", "--payload", "ticket.json"]).ok();
    let read: serde_json::Value = serde_yaml_ng::from_str(&yaml).expect("YAML");
    assert_eq!(read[0]["decisions"], report[0]["decisions"]);
}

#[test]
fn where_nothing_listens_to_the_type_explain_names_who_listens_to_the_source_and_what_they_want() {
    let world = World::new();
    let text = std::fs::read_to_string(world.path("resources/portal.yaml")).expect("a file");
    world.write("resources/portal.yaml", &text.replacen("\"'volume.requested'\"", "body.kind", 1));
    world.write("ticket.json", "{\"ticket\": \"OPS-1\", \"kind\": \"volume.removed\"}");
    let told = world.run(&["explain", "--payload", "ticket.json"]).ok();
    assert!(told.contains("no automation listens") && told.contains("volume on this source wants volume.requested"), "{told}");
}

#[test]
fn a_payload_that_cannot_be_read_is_named_with_its_place() {
    let world = World::new();
    world.write("ticket.json", "{\"ticket\": 1,\n \"ticket\": 2}");
    let told = world.run(&["explain", "--payload", "ticket.json"]).fails(1);
    assert!(told.contains("ticket.json: ") && told.contains("line 2"), "{told}");
    assert!(world.run(&["explain", "--payload", "nowhere.json"]).fails(1).contains("nowhere.json cannot be read"));
    let mut command = world.kubeops(&["explain", "--payload", "-"]);
    assert!(super::world::Ran::of(command.write_stdin("no")).fails(1).contains("standard input: "));
    assert!(world.run(&["explain", "--payload", "ticket.json", "--source", "nobody"]).fails(1).contains("nobody"));
}

#[test]
fn a_message_of_a_stream_that_cannot_be_read_without_its_subject_is_told_with_how_to_give_it() {
    let world = World::new();
    let kind = "apiVersion: kubeops.dev/v1alpha1\nkind: Source\nmetadata: { name: ops }\n";
    world.write("resources/ops.yaml", &format!("{kind}spec: {{ kind: nats, nats: {{ servers: [\"nats://127.0.0.1:4222\"], stream: ops }} }}\n"));
    world.write("event.json", "{\"team\": \"payments\"}");
    let explain = ["explain", "--payload", "event.json", "--source", "ops"];
    let told = world.run(&explain).fails(1);
    assert!(told.contains("hint: say which subject it was published to: --header 'Nats-Subject: "), "{told}");
    let subject = ["--header", "Nats-Subject: orders.created"];
    let told = world.run(&[&explain[..], &subject].concat()).ok();
    assert!(told.contains("nats.message about orders.created"), "{told}");
}

/// An automation that makes a claim larger where it is.
const EDIT: &str = r#"apiVersion: kubeops.dev/v1alpha1
kind: Automation
metadata: { name: resize }
spec:
  on: { source: portal, types: [volume.requested] }
  parameters:
    name: { from: event.data.name, schema: { type: string } }
    size: { from: event.data.size, schema: { type: string } }
  target: { cluster: prod }
  edit:
    - file: "volumes/{{ parameters.name }}.yaml"
      set:
        spec.resources.requests.storage: parameters.size
  pullRequest: { title: "{{ parameters.name }}: {{ parameters.size }}" }
"#;

#[test]
fn an_edit_is_shown_as_the_line_it_changes_and_needs_the_repository() {
    let world = World::new();
    world.write("resources/resize.yaml", EDIT);
    world.upstream.write("main", "clusters/prod/volumes/ledger.yaml", "# ours\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: ledger, namespace: payments}\nspec:\n  accessModes: [ReadWriteOnce] # one node\n  resources: {requests: {storage: 10Gi}}\n");
    world.write("values.yaml", "name: ledger\nsize: 50Gi\n");
    let preview = world.run(&["--output", "json", "render", "--automation", "resize", "--parameters", "values.yaml"]).json();
    let diff = preview[0]["diff"].as_str().expect("a diff");
    let lines: Vec<&str> = diff.lines().filter(|line| line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---")).collect();
    assert_eq!(lines, ["-  resources: {requests: {storage: 10Gi}}", "+  resources: {requests: {storage: 50Gi}}"]);
    assert_eq!(preview[0]["summary"], json!(["PersistentVolumeClaim payments/ledger: spec.resources.requests.storage 10Gi -> 50Gi"]));

    let told = world.run(&["render", "--automation", "resize", "--parameters", "values.yaml", "--no-diff"]).fails(1);
    assert!(told.contains("edits change files of the repository, and without them nothing can be shown: not compared with the repository"), "{told}");
    world.write("values.yaml", "name: ledgers\nsize: 50Gi\n");
    let told = world.run(&["render", "--automation", "resize", "--parameters", "values.yaml"]).fails(3);
    assert!(told.contains("clusters/prod/volumes/ledgers.yaml cannot be edited: there is no such file; did you mean ledger.yaml?"), "{told}");
}

#[test]
fn a_mistake_in_an_edit_is_found_with_its_line() {
    let world = World::new();
    world.write("resources/resize.yaml", &EDIT.replace("spec.resources.requests.storage:", "spec.resources.requests[0].storage:"));
    let told = world.run(&["check"]).fails(3);
    assert!(told.contains("resize.yaml:13:9") && told.contains("at character 25: an element is named by one of its fields"), "{told}");
}

#[test]
fn sealed_values_are_placeholders_which_need_no_secret_and_are_said_to_be_none() {
    let world = World::new();
    let text = std::fs::read_to_string(world.path("resources/portal.yaml")).expect("the resources");
    let certificate = include_str!("../../../src/seal/fixtures/certificate.pem").trim_end().replace('\n', "\n      ");
    let sealing =
        format!("spec:\n  repository: gitops\n  path: clusters/prod\n  sealing:\n    key: SEALING_KEY\n    certificate: |\n      {certificate}\n");
    let automation = "---\napiVersion: kubeops.dev/v1alpha1\nkind: Automation\nmetadata: { name: credentials }\nspec:\n  on: { source: portal, types: [volume.requested] }\n  parameters:\n    name: { from: event.data.name, schema: { type: string } }\n  target: { cluster: prod }\n  render:\n    - template: sealed-secret\n      path: \"secrets/{{ parameters.name }}.yaml\"\n      with: { namespace: \"'payments'\" }\n      seal: { data: { password: LEDGER_PASSWORD } }\n  pullRequest: { title: Credentials }\n";
    world.write("resources/portal.yaml", &(text.replace("spec: { repository: gitops, path: clusters/prod }\n", &sealing) + automation));
    world.write("ticket.json", &ticket("OPS-1", "ledger").to_string());
    assert!(world.run(&["check", "--strict"]).ok().contains("2 automations"));
    let told = world.run(&["render", "--automation", "credentials", "--payload", "ticket.json"]).ok();
    assert!(told.contains("password: \"AQA/PLACEHOLDER/NOT+SEALED/"), "{told}");
    assert!(told.contains("sealed values are placeholders: no secret is read here, the server alone seals"), "{told}");
    let other = world.run(&["render", "--automation", "volume", "--payload", "ticket.json"]).ok();
    assert!(!other.contains("placeholders"), "{other}");
}

#[test]
fn an_automation_that_is_not_there_is_answered_with_the_one_that_was_meant() {
    let world = World::new();
    world.write("ticket.json", &ticket("OPS-1", "ledger").to_string());
    for command in ["render", "explain"] {
        let told = world.run(&[command, "-a", "volum", "-p", "ticket.json"]).fails(1);
        assert!(told.contains("there is no automation volum; did you mean volume?"), "{told}");
        assert!(world.run(&[command, "-a", "nope", "-p", "ticket.json"]).fails(1).contains("there is no automation nope; there are: "));
    }
}

#[test]
fn what_a_rejected_change_is_refused_for_is_told_once_with_its_rule() {
    let world = World::new();
    let text = std::fs::read_to_string(world.path("resources/portal.yaml")).expect("the resources");
    world.write("resources/portal.yaml", &text.replace("  render:\n", "  ttl: 2h\n  render:\n"));
    world.write("ticket.json", &ticket("OPS-1", "ledger").to_string());
    assert!(world.run(&["render", "-p", "ticket.json"]).ok().contains("wanted for 2h; then the pull request that takes it back is opened"));
    world.write(
        "resources/policy.yaml",
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: { name: no-claims }\nspec:\n  matchConstraints: { resourceRules: [{ apiGroups: [''], apiVersions: [v1], operations: ['*'], resources: [persistentvolumeclaims] }] }\n  validations: [{ expression: object.kind == '', message: claims are made by hand here }]\n---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: { name: no-claims }\nspec: { policyName: no-claims, validationActions: [Deny] }\n",
    );
    let told = world.run(&["render", "-p", "ticket.json"]).fails(3);
    assert!(told.contains("rejected\n  error policy.no-claims clusters/prod/volumes/ledger.yaml"), "{told}");
    assert_eq!(told.matches("claims are made by hand here").count(), 1, "{told}");
}

#[test]
fn what_a_model_would_draft_is_said_to_be_drafted_and_is_no_refusal() {
    let world = World::new();
    world.write(
        "resources/scale.yaml",
        "apiVersion: kubeops.dev/v1alpha1\nkind: Automation\nmetadata: { name: scale }\nspec:\n  target: { cluster: prod }\n  draft:\n    instructions: Do it.\n    jobs: true\n    write: ['**']\n    allow: [{ kinds: [Deployment], fields: [spec.replicas] }]\n  pullRequest: { title: \"Scale ({{ event.data.goal | default(value=event.subject) }})\" }\n",
    );
    world.write("none.yaml", "{}\n");
    let told = world.run(&["render", "--automation", "scale", "--parameters", "none.yaml"]).ok();
    assert!(told.contains("drafted: by a language model") && !told.contains("rejected"), "{told}");
    let shown = world.run(&["render", "--automation", "scale", "--parameters", "none.yaml", "--output", "json"]).json();
    assert!(shown[0]["title"].as_str().is_some_and(|title| title.starts_with("Scale (evt_")), "no goal, no failure: {shown:#}");
}
