//! `kubeops check`.

use super::world::{Ran, World};
use serde_json::json;

#[test]
fn a_valid_set_is_counted_and_ends_with_0() {
    let world = World::new();
    assert_eq!(world.run(&["check"]).ok().trim(), "valid: 1 source, 1 repository, 1 cluster, 0 channels, 1 automation; 0 warnings");
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
