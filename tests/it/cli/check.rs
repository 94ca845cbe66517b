//! `kubeops check`.

use super::world::{Ran, World};
use serde_json::json;

#[test]
fn a_valid_set_is_counted_and_ends_with_0() {
    let world = World::new();
    assert_eq!(world.run(&["check"]).ok().trim(), "valid: 1 source, 1 repository, 1 cluster, 0 channels, 0 calendars, 1 automation; 0 warnings");
    let report = world.run(&["check", "-o", "json"]).json();
    assert_eq!(report, json!({ "valid": true, "diagnostics": [] }));
}

#[test]
fn the_shipped_resources_are_valid_even_strictly() {
    let world = World::new();
    world.run(&["check", "--strict", &super::world::project().join("config/resources").display().to_string()]).ok();
}

#[test]
fn everything_wrong_is_told_with_file_line_column_and_hint_and_ends_with_3() {
    let world = World::new();
    let file = world.write(
        "resources/wrong.yaml",
        "apiVersion: kubeops.dev/v1alpha1\nkind: Cluster\nmetadata: { name: dev }\nspec:\n  repository: gitobs\n---\napiVersion: kubeops.dev/v1alpha1\nkind: Automation\nmetadata: { name: broken }\nspec:\n  on: { source: portal }\n  when: event.data.approved ==\n  target: { cluster: prod }\n  render: [{ template: namespase, path: a.yaml }]\n  pullRequest: { title: x }\n",
    );
    let told = world.run(&["check"]).fails(3);
    let file = file.display();
    assert!(
        told.contains(&format!("{file}:5:3: error: Cluster/dev: there is no repository \"gitobs\"; known are: gitops (at /spec/repository)")),
        "{told}"
    );
    assert!(told.contains(&format!("{file}:12:")), "the expression's line: {told}");
    assert!(told.contains(&format!("{file}:14:14: error: Automation/broken: there is no template \"namespase\"")), "{told}");
    assert!(told.contains("\n  hint: did you mean namespace?"), "{told}");
    assert!(told.contains("not valid: 3 errors, 0 warnings"), "{told}");

    let ran = world.run(&["--output", "json", "check"]);
    assert_eq!(ran.code, 3);
    let report = ran.json();
    assert_eq!(report["valid"], false);
    let first = &report["diagnostics"][0];
    assert_eq!(first["level"], "error");
    assert_eq!((&first["line"], &first["column"]), (&json!(5), &json!(3)));
    assert_eq!((&first["resource"], &first["pointer"]), (&json!("Cluster/dev"), &json!("/spec/repository")));
    assert!(first["file"].as_str().is_some_and(|name| name.ends_with("wrong.yaml")), "{first}");
    assert!(first["hint"].is_string(), "{first}");
}

#[test]
fn a_function_that_there_is_not_is_refused_at_its_place_before_anything_runs() {
    let world = World::new();
    let text = std::fs::read_to_string(world.path("resources/portal.yaml")).expect("the resources");
    let line = 1 + text.lines().position(|line| line.contains("when:")).expect("a condition");
    let file = world.write("resources/portal.yaml", &text.replace("event.data.approved == true", "event.subject.startWith('V')"));
    let told = world.run(&["check"]).fails(3);
    let place = format!("{}:{line}:23: error: Automation/volume: ", file.display());
    assert!(told.contains(&format!("{place}not a valid CEL expression: there is no function startWith(); did you mean startsWith()?")), "{told}");
    world.write("resources/portal.yaml", &text.replace("id: body.ticket", "id: string(body.ticket, 10)"));
    let told = world.run(&["check"]).fails(3);
    assert!(told.contains("error: Source/portal: string() takes 1 argument; here it has 2 (at /spec/mapping/id)"), "{told}");
}

#[test]
fn a_program_of_an_mcp_server_is_refused_as_the_server_refuses_it_unless_it_is_allowed() {
    let world = World::new();
    let file = world.write(
        "resources/owners.yaml",
        "apiVersion: kubeops.dev/v1alpha1\nkind: McpServer\nmetadata: { name: owners }\nspec:\n  stdio: { command: /opt/owners }\n  tools: [{ name: owner_of }]\n",
    );
    let refused = format!("{}:5:12: error: McpServer/owners: this program is not among those that MCP_PROGRAMS allows", file.display());
    for programs in ["", "/opt/owner,/opt"] {
        let checked = Ran::of(world.kubeops(&["check"]).env("MCP_PROGRAMS", programs)).fails(3);
        let served = Ran::of(world.kubeops(&["serve"]).env("MCP_PROGRAMS", programs)).fails(1);
        assert!(checked.contains(&refused) && served.contains(&refused), "{programs:?}: {checked}\n{served}");
    }
    let told = Ran::of(world.kubeops(&["check"]).env("MCP_PROGRAMS", "/opt/owners")).ok();
    assert!(told.contains("1 MCP server"), "{told}");
}

#[test]
fn a_warning_is_let_through_unless_strict() {
    let world = World::new();
    world.write(
        "resources/open.yaml",
        "apiVersion: kubeops.dev/v1alpha1\nkind: Source\nmetadata: { name: open }\nspec: { kind: alertmanager, authentication: none }\n",
    );
    let told = world.run(&["check"]).ok();
    assert!(told.contains("warning: Source/open: every delivery is believed"), "{told}");
    world.run(&["check", "--strict"]).fails(3);
}

#[test]
fn a_directory_without_resources_says_so() {
    let world = World::new();
    let told = world.run(&["check", "home"]).fails(1);
    assert!(told.contains("there are no .yaml or .yml files in home"), "{told}");
    assert!(world.run(&["check", "nowhere"]).fails(1).contains("nowhere"));
}

#[test]
fn a_secret_that_is_not_there_is_told_where_it_is_named() {
    let world = World::new();
    let told = Ran::of(world.kubeops(&["serve"]).env_remove("PORTAL_SECRET")).fails(1);
    let file = world.path("resources/portal.yaml");
    let place = format!("{}:7:23: error: Source/portal: the secret PORTAL_SECRET is not there", file.display());
    assert!(told.contains(&place) && told.contains("set the environment variable PORTAL_SECRET"), "{told}");
}

const WIDGET: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: { name: widgets.example.com }\nspec:\n  group: example.com\n  names: { kind: Widget, plural: widgets }\n  scope: Namespaced\n  versions:\n    - name: v1\n      served: true\n      storage: true\n      schema:\n        openAPIV3Schema:\n          type: object\n          properties:\n            spec:\n              type: object\n              properties:\n                size: { type: integer }\n";

#[test]
fn a_definition_that_nobody_can_use_is_refused_with_its_place() {
    let world = World::new();
    std::fs::create_dir_all(world.path("schemas/example.com")).expect("a directory");
    let file = world.write("schemas/widget.yaml", WIDGET);
    world.run(&["check", "--schemas", "schemas"]).ok();
    for (from, to, place, says) in [
        ("size: { type: integer }", "size: { type: intger }", ":19:25: error: there is no type `intger`", "did you mean `integer`?"),
        ("  scope: Namespaced\n", "  scpe: Namespaced\n", ":7:3: error: ", "scope"),
        ("spec:\n  group", "specs:\n  group", ":1:1: error: `spec` is missing", ""),
        ("properties:\n            spec", "propertes:\n            spec", ":15:11: error: ", "properties"),
        ("      storage: true\n", "      storage: [\n", ":13:24: error: ", "did not find expected"),
    ] {
        world.write("schemas/widget.yaml", &WIDGET.replacen(from, to, 1));
        let told = world.run(&["check", "--schemas", "schemas"]).fails(3);
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(told.contains(&format!("{name}{place}")) && told.contains(says), "{to}: {told}");
    }
    world.write("schemas/widget.yaml", WIDGET);
    world
        .write("schemas/example.com/bolt_v1.json", "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"type\": \"obect\"\n}\n");
    let told = world.run(&["check", "--schemas", "schemas"]).fails(3);
    assert!(told.contains("bolt_v1.json:3:") && told.contains("did you mean `object`?"), "{told}");
}

#[test]
fn a_policy_about_a_resource_that_no_kind_has_is_warned_of() {
    let world = World::new();
    world.write(
        "resources/policy.yaml",
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: { name: sizes }\nspec:\n  matchConstraints: { resourceRules: [{ apiGroups: [''], apiVersions: [v1], operations: ['*'], resources: [configmap] }] }\n  validations: [{ expression: 'true' }]\n---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: { name: sizes }\nspec: { policyName: sizes, validationActions: [Deny] }\n",
    );
    let told = world.run(&["check"]).ok();
    assert!(
        told.contains("policy.yaml:5:") && told.contains("has the resource `configmap`") && told.contains("did you mean `configmaps`?"),
        "{told}"
    );
}

#[test]
fn slips_in_a_cluster_and_a_repository_are_told_at_the_field_with_the_mend() {
    let world = World::new();
    let cluster =
        |spec: &str| format!("apiVersion: kubeops.dev/v1alpha1\nkind: Cluster\nmetadata: {{ name: dev }}\nspec:\n  repository: gitops\n{spec}");
    for (text, place, says) in [
        (cluster("  kubernetes: 1.34\n"), ":6:15: error", "put it in quotes, because YAML reads it as a number: \"1.34\""),
        (cluster("  path: ../dev\n"), ":6:3: error", "is not a valid directory path"),
        (cluster("   path: dev\n"), ":6:8: error", "look at the indentation"),
        (cluster("  description: one: two\n"), ":6:", "in quotes"),
        (
            "apiVersion: kubeops.dev/v1alpha1\nkind: Repository\nmetadata: { name: other }\nspec:\n  branch: main\n  url: ftp://example.com/x.git\n"
                .to_owned(),
            ":6:3: error",
            "is not a valid repository address",
        ),
    ] {
        world.write("resources/slip.yaml", &text);
        let told = world.run(&["check"]).fails(3);
        assert!(told.contains(&format!("slip.yaml{place}")) && told.contains(says), "{text}: {told}");
    }
    let told = world.run(&["check", "resources/slip.yaml"]).fails(1);
    assert!(told.contains("resources/slip.yaml is a file, and a directory of resources is wanted") && told.contains("hint: "), "{told}");
}

#[test]
fn a_pattern_that_looks_around_is_named() {
    let world = World::new();
    let text = std::fs::read_to_string(world.path("resources/portal.yaml")).expect("the resources");
    world.write("resources/portal.yaml", &text.replace("^[a-z][a-z0-9-]{1,40}$", "^(?!kube-)[a-z]+$"));
    let told = world.run(&["check"]).fails(3);
    assert!(told.contains("looks around with `(?!`") && told.contains("`not: { pattern: ... }`"), "{told}");
}

const DRAFT: &str = "apiVersion: kubeops.dev/v1alpha1\nkind: Automation\nmetadata: { name: anything }\nspec:\n  target: { cluster: prod }\n  draft:\n    instructions: Do it.\n    jobs: true\n    write: ['apps/**/*.yaml']\n    allow: [{ kinds: [Deployment], fields: [spec.replicas] }]\n    budget: { cost: 1.5 }\n  pullRequest: { title: x }\n";
const LOCAL: [(&str, &str); 3] = [("LLM_PROVIDER", "local"), ("LLM_LOCAL_URL", "http://127.0.0.1:9/v1"), ("LLM_LOCAL_MODEL", "qwen3")];

#[test]
fn a_cost_that_nobody_can_reckon_is_refused_as_the_server_refuses_it() {
    let world = World::new();
    let file = world.write("resources/draft.yaml", DRAFT);
    let place = format!("{}:11:15: ", file.display());
    let checked = Ran::of(world.kubeops(&["check"]).envs(LOCAL)).fails(3);
    let served = Ran::of(world.kubeops(&["serve"]).envs(LOCAL)).fails(1);
    let refused = format!("{place}error: Automation/anything: what a draft costs is limited, and nobody says what its model costs");
    assert!(checked.contains(&refused) && served.contains(&refused), "{checked}\n{served}");

    let prices = [("LLM_INPUT_PRICE", "2"), ("LLM_OUTPUT_PRICE", "8")];
    let told = Ran::of(world.kubeops(&["check", "--strict"]).envs(LOCAL).envs(prices)).ok();
    assert!(told.contains("; 0 warnings"), "{told}");

    let unknown = world.run(&["check"]).ok();
    assert!(unknown.contains(&format!("{place}warning: ")) && unknown.contains("where the server knows no price"), "{unknown}");
    let broken = Ran::of(world.kubeops(&["check"]).env("LLM_PROVIDER", "ollama")).fails(1);
    assert!(broken.contains("LLM_PROVIDER=\"ollama\" cannot be used") && broken.contains("is `local`"), "{broken}");
}

#[test]
fn what_a_draft_may_touch_and_cannot_is_warned_of() {
    let world = World::new();
    let text = DRAFT.replace("'apps/", "'clusters/prod/apps/").replace("[Deployment]", "[Deploymnet]").replace("    budget: { cost: 1.5 }\n", "");
    world.write("resources/draft.yaml", &text);
    let told = Ran::of(world.kubeops(&["check"]).envs(LOCAL)).ok();
    assert!(told.contains("again (clusters/prod)") && told.contains("did you mean `Deployment`?") && told.contains("; 2 warnings"), "{told}");
    let without = Ran::of(world.kubeops(&["check"]).env("LLM_TIMEOUT", "60")).ok();
    assert!(without.contains("no language model is set, so nothing can be drafted"), "{without}");
}
