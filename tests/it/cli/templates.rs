//! `kubeops templates`: the catalogue as a person looks at it, and a directory of one's own.

use super::world::World;
use serde_json::{Value, json};

const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"title":"Team label","description":"A label.","required":["team"],
"properties":{"team":{"title":"Team","description":"The team's name.","type":"string","pattern":"^[a-z]+$"},
"size":{"title":"Size","description":"How large.","type":"string","enum":["s","m"],"default":"s"}}}"#;
const SOURCE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ parameters.team }}\n  labels:\n    {{ <labels /> }}\ndata:\n  size: {{ parameters.size }}\n";
const EXPECTED: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\n  labels:\n    app.kubernetes.io/managed-by: kubeops\ndata:\n  size: s\n";

/// A directory `own` with the template `team-label`, which uses what is shared in the shipped catalogue.
fn with_own(expected: Option<&str>) -> World {
    let world = World::new();
    std::fs::create_dir_all(world.path("own/team-label/examples/minimal")).expect("a directory");
    world.write("own/team-label/manifest.yaml.tera", SOURCE);
    world.write("own/team-label/params.schema.json", SCHEMA);
    world.write("own/team-label/README.md", "# team-label\n\nA label for a team.\n\n- Ours.\n");
    world.write("own/team-label/examples/minimal/parameters.yaml", "team: web\n");
    if let Some(expected) = expected {
        world.write("own/team-label/examples/minimal/expected.yaml", expected);
    }
    world
}

fn named<'l>(list: &'l Value, name: &str) -> &'l Value {
    list.as_array().and_then(|all| all.iter().find(|template| template["name"] == name)).unwrap_or_else(|| panic!("no {name} in {list}"))
}

#[test]
fn the_list_says_what_each_is_for_what_it_makes_and_where_it_comes_from() {
    let world = with_own(Some(EXPECTED));
    let told = world.run(&["templates", "list"]).ok();
    let line = told.lines().find(|line| line.starts_with("service-account-with-role ")).expect("a line");
    assert!(
        line.contains("  built in") && line.contains("  An account for a program, ") && line.ends_with("  ServiceAccount, Role, RoleBinding"),
        "{line}"
    );
    assert!(told.lines().count() > 30 && !told.contains("team-label"), "{told}");

    let list = world.run(&["templates", "list", "--templates", "own", "-o", "json"]).json();
    let own = named(&list, "team-label");
    assert_eq!((&own["catalogue"], &own["kinds"], &own["purpose"]), (&json!("own"), &json!(["ConfigMap"]), &json!("A label for a team.")));
    assert_eq!(named(&list, "deployment")["catalogue"], "built-in");
    assert_eq!(own["digest"].as_str().map(str::len), Some(64));
    // A folder of a shipped name takes its place.
    std::fs::rename(world.path("own/team-label"), world.path("own/deployment")).expect("renamed");
    let list = world.run(&["templates", "list", "--templates", "own", "-o", "json"]).json();
    assert_eq!(named(&list, "deployment")["catalogue"], "replaced");
    assert!(world.run(&["templates", "list", "--templates", "own"]).ok().contains("own, in place of the built-in one"));
}

#[test]
fn one_template_is_shown_with_its_parameters_examples_and_source() {
    let world = with_own(Some(EXPECTED));
    let own = |arguments: &[&str]| {
        let mut all = vec!["templates", "show", "team-label", "--templates", "own"];
        all.extend(arguments);
        world.run(&all)
    };
    let told = own(&[]).ok();
    assert!(told.starts_with("# team-label\n\nA label for a team.\n\n- Ours."), "{told}");
    assert!(told.contains("Catalogue: own\nMakes: ConfigMap"), "{told}");
    let rows: Vec<Vec<&str>> = told.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    assert!(rows.contains(&vec!["team", "string", "yes", "-", "The team's name. (matches ^[a-z]+$)"]), "{told}");
    assert!(rows.contains(&vec!["size", "s | m", "-", "\"s\"", "How large."]), "{told}");
    assert!(told.contains("Example: minimal\nteam: web"), "{told}");
    assert_eq!(own(&["--source"]).ok(), SOURCE);
    assert_eq!(own(&["--example", "minimal"]).ok(), EXPECTED);
    assert!(own(&["--example", "maximal"]).fails(1).contains("there is no example maximal; there are: minimal"));

    let shown = own(&["--json"]).json();
    assert_eq!(shown, own(&["--output", "json"]).json());
    assert_eq!(shown["schema"]["properties"]["size"]["default"], "s");
    assert_eq!(shown["examples"], json!([{ "name": "minimal", "parameters": { "team": "web" }, "expected": EXPECTED }]));
    assert_eq!(shown["source"], SOURCE);
    assert!(world.run(&["templates", "show", "deploiment"]).fails(1).contains("there is no template deploiment; did you mean deployment?"));
    assert!(world.run(&["templates", "show", "zzz"]).fails(1).contains("`kubeops templates list`"));
}

#[test]
fn every_shipped_template_says_what_it_makes_and_can_be_shown() {
    let world = World::new();
    let list = world.run(&["templates", "list", "-o", "json"]).json();
    for template in list.as_array().expect("a list") {
        assert!(template["kinds"].as_array().is_some_and(|kinds| !kinds.is_empty()), "{template}");
    }
    for (name, row) in [("ops-task", "\nsteps[].name "), ("network-policy", "\ningress[].peers[].cidr "), ("deployment", "\nsecretEnv.*.key ")] {
        let told = world.run(&["templates", "show", name]).ok();
        assert!(told.contains("Parameters\nNAME") && told.contains("Example: minimal") && told.contains(row), "{told}");
    }
}

#[test]
fn templates_render_is_render() {
    let world = with_own(Some(EXPECTED));
    world.write("values.yaml", "team: web\n");
    for command in [&["render"][..], &["templates", "render"]] {
        let mut arguments = command.to_vec();
        arguments.extend(["--templates", "own", "--template", "team-label", "--parameters", "values.yaml"]);
        assert_eq!(world.run(&arguments).ok(), EXPECTED);
    }
    world.write("values.yaml", "team: Web\n");
    let told = world.run(&["templates", "render", "--templates", "own", "--template", "team-label", "--parameters", "values.yaml"]).fails(3);
    assert!(told.contains("/team"), "{told}");
}

#[test]
fn the_shipped_examples_pass() {
    let world = World::new();
    let told = world.run(&["templates", "test"]).ok();
    assert!(told.contains(" passed, 0 failed") && !told.contains("not compared"), "{told}");
    let outcomes = world.run(&["templates", "test", "-o", "json"]).json();
    assert!(outcomes.as_array().is_some_and(|all| all.len() > 70 && all.iter().all(|one| one["result"] == "passed")), "{outcomes}");
}

#[test]
fn an_example_that_gives_something_else_is_shown_as_a_difference_and_ends_with_3() {
    let world = with_own(Some(&EXPECTED.replace("size: s", "size: m")));
    let ran = world.run(&["templates", "test", "own"]);
    let told = ran.fails(3);
    assert!(told.contains("team-label/minimal: gives something else\n--- expected\n+++ rendered\n"), "{told}");
    assert!(told.contains("-  size: m\n+  size: s\n") && told.contains(" 1 failed"), "{told}");
    let outcomes = world.run(&["templates", "test", "--templates", "own", "-o", "json"]);
    assert_eq!(outcomes.code, 3);
    let outcomes = outcomes.json();
    let own = outcomes.as_array().expect("a list").iter().find(|one| one["template"] == "team-label").expect("ours");
    assert_eq!((&own["example"], &own["result"]), (&json!("minimal"), &json!("differs")));
    assert!(own["why"].as_str().is_some_and(|why| why.contains("+  size: s")), "{own}");

    // `throw` and the like: no output at all.
    world.write("own/team-label/manifest.yaml.tera", "a: {{ parameters.team | split(pat=\"x\") | join(sep=parameters.size) | int }}\n");
    assert!(world.run(&["templates", "test", "own"]).fails(3).contains("team-label/minimal: fails: template `team-label`"));
}

#[test]
fn update_writes_the_expected_files_of_the_own_directory_alone() {
    let world = with_own(None);
    assert!(world.run(&["templates", "test", "own"]).fails(1).contains("`kubeops templates test DIR --update` writes expected.yaml"));
    let told = world.run(&["templates", "test", "own", "--update"]).ok();
    assert!(told.contains("team-label/minimal: written") && told.contains("1 written"), "{told}");
    let expected = || std::fs::read_to_string(world.path("own/team-label/examples/minimal/expected.yaml")).expect("the file");
    assert_eq!(expected(), EXPECTED);
    assert!(!world.run(&["templates", "test", "own", "--update"]).ok().contains("written"), "nothing is left to write");
    let files = std::fs::read_dir(world.path("own")).expect("a directory").flatten().count();
    assert_eq!(files, 1, "no shipped template was written there");
    assert!(world.run(&["templates", "test", "--update"]).fails(1).contains("which expected files"));
}

#[test]
fn shared_files_of_ones_own_change_shipped_templates_which_are_then_rendered_and_not_compared() {
    let world = with_own(None);
    std::fs::create_dir_all(world.path("own/_shared")).expect("a directory");
    world.write("own/_shared/metadata.tera", concat!(
        "{% component labels() %}\napp.kubernetes.io/managed-by: kubeops\nacme.example/owner: platform\n{% endcomponent labels %}\n",
        "{% component description(text: string) %}\n{% if text %}\nannotations:\n  kubernetes.io/description: {{ text }}\n{% endif %}\n{% endcomponent description %}\n",
    ));
    let told = world.run(&["templates", "test", "own", "--update"]).ok();
    assert!(told.contains("rendered and not compared, because shared files of your own change what they give"), "{told}");
    let expected = std::fs::read_to_string(world.path("own/team-label/examples/minimal/expected.yaml")).expect("the file");
    assert!(expected.contains("acme.example/owner: platform"), "{expected}");
    world.write("values.yaml", "name: x\nnamespace: web\nlabels: { app: x }\n");
    let told = world.run(&["render", "--templates", "own", "--template", "pod-disruption-budget", "--parameters", "values.yaml"]).ok();
    assert!(told.contains("acme.example/owner: platform"), "a shipped template has the new label: {told}");
    let list = world.run(&["templates", "list", "--templates", "own", "-o", "json"]).json();
    assert_eq!(named(&list, "pod-disruption-budget")["catalogue"], "affected");
}

#[test]
fn a_broken_template_of_ones_own_is_told_with_file_and_line() {
    let world = with_own(Some(EXPECTED));
    world.write("own/team-label/manifest.yaml.tera", "name: {{ parameters.taem }}\n");
    for command in [&["templates", "list"][..], &["templates", "show", "deployment"], &["templates", "test"]] {
        let mut arguments = command.to_vec();
        arguments.extend(["--templates", "own"]);
        let told = world.run(&arguments).fails(1);
        assert!(told.contains("team-label/manifest.yaml.tera:1:") && told.contains("there is no parameter `taem`"), "{told}");
        assert!(told.contains("\n  hint: did you mean `team`?"), "{told}");
    }
    assert!(world.run(&["templates", "list", "--templates", "nowhere"]).fails(1).contains("nowhere"));
}

#[test]
fn a_template_without_an_example_is_named_because_nothing_tests_it() {
    let world = with_own(None);
    std::fs::remove_dir_all(world.path("own/team-label/examples")).expect("removed");
    let told = world.run(&["templates", "test", "own"]).ok();
    assert!(
        told.contains("1 template has no example, and so no test: team-label\n  hint: write team-label/examples/minimal/parameters.yaml"),
        "{told}"
    );
    assert!(!world.run(&["templates", "test"]).ok().contains("no example"), "every shipped one has some");
}

#[test]
fn what_a_template_gives_is_held_against_the_schemas() {
    let world = with_own(None);
    world.write("values.yaml", "team: web\n");
    let render = ["render", "--templates", "own", "--template", "team-label", "--parameters", "values.yaml"];
    // A field that Kubernetes does not have.
    world.write("own/team-label/manifest.yaml.tera", &SOURCE.replace("\ndata:", "\ndta:"));
    let told = world.run(&["templates", "test", "own", "--update"]).fails(3);
    assert!(told.contains("team-label/minimal: gives what a change may not hold") && told.contains("error schema.unknown_field: line "), "{told}");
    assert!(told.contains("did you mean `data`?"), "{told}");
    let told = world.run(&render).fails(3);
    assert!(told.contains("  size: s") && told.contains("error schema.unknown_field: line 7"), "{told}");
    // A kind that nobody knows is worth a word, and no more.
    world.write("own/team-label/manifest.yaml.tera", &SOURCE.replace("apiVersion: v1", "apiVersion: example.com/v1"));
    let told = world.run(&["templates", "test", "own", "--update"]).ok();
    assert!(
        told.contains("team-label/minimal: warning schema.unknown_kind: line 2: there is no schema for `ConfigMap` of `example.com/v1`"),
        "{told}"
    );
}

#[test]
fn a_template_by_itself_is_told_to_programs_as_json_and_a_slip_in_its_name_is_answered() {
    let world = with_own(Some(EXPECTED));
    world.write("values.yaml", "team: web\n");
    let shown = world.run(&["render", "--templates", "own", "--template", "team-label", "--parameters", "values.yaml", "-o", "json"]).json();
    assert_eq!(shown, json!({ "template": "team-label", "manifest": EXPECTED, "findings": [] }));
    let told = world.run(&["render", "-t", "deplyment", "--parameters", "values.yaml"]).fails(1);
    assert!(told.contains("there is no template deplyment; did you mean deployment?"), "{told}");
}

#[test]
fn wrong_parameters_are_told_one_on_a_line_with_what_was_meant() {
    let world = World::new();
    world.write("values.yaml", "nam: x\nnamespace: Web\ntarget: { name: web }\nminReplicas: 0\nmaxReplicas: five\n");
    let told = world.run(&["render", "-t", "horizontal-pod-autoscaler", "--parameters", "values.yaml"]).fails(3);
    for line in [
        "\n  there is no parameter `nam`\n    hint: did you mean `name`?",
        "\n  /namespace: \"Web\" does not match the pattern ^[a-z0-9]",
        "\n    hint: The namespace it belongs to.",
        "\n  /minReplicas: 0 is less than 1, the least that is allowed\n",
        "\n  /maxReplicas: \"five\" is no integer\n    hint: The upper bound.",
        "\n`kubeops templates show horizontal-pod-autoscaler` shows its parameters",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let shown = world.run(&["templates", "show", "horizontal-pod-autoscaler"]).ok();
    assert!(shown.contains("The upper bound. (1 to 1000)") && shown.contains("(matches ^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$)"), "{shown}");
}

#[test]
fn parameters_that_contradict_each_other_are_refused_with_a_reason() {
    let world = World::new();
    for (template, values, says) in [
        (
            "horizontal-pod-autoscaler",
            "namespace: web\ntarget: { name: web }\nminReplicas: 5\nmaxReplicas: 3\n",
            "minReplicas is 5 and maxReplicas 3",
        ),
        ("pod-disruption-budget", "name: x\nnamespace: web\nlabels: { a: b }\nminAvailable: 1\nmaxUnavailable: 2\n", "Kubernetes takes one of them"),
        (
            "certificate",
            "name: x\nnamespace: web\nhosts: [a.example.com]\nissuer: { name: letsencrypt }\nhours: 24\nrenewBeforeHours: 48\n",
            "renewBeforeHours is 48 and hours 24",
        ),
    ] {
        world.write("values.yaml", values);
        let told = world.run(&["render", "-t", template, "--parameters", "values.yaml"]).fails(3);
        assert!(told.contains(says), "{template}: {told}");
    }
}

#[test]
fn a_template_is_written_into_a_directory_of_ones_own_and_changed_there() {
    let world = World::new();
    let told = world.run(&["templates", "show", "deployment", "--write", "own"]).ok();
    for file in ["own/deployment/manifest.yaml.tera", "own/deployment/examples/minimal/expected.yaml", "own/_shared/pod.tera"] {
        assert!(world.path(file).is_file() && told.contains(file), "{file}: {told}");
    }
    assert!(!world.path("own/_shared/opsmate.tera").exists(), "what it does not use stays where it is");
    world.run(&["templates", "test", "own"]).ok();
    assert!(world.run(&["templates", "show", "deployment", "--write", "own"]).fails(1).contains("is there already, and is not written over"));
    world.run(&["templates", "show", "job", "--write", "own"]).ok();
}
