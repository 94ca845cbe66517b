//! `kubeops drafts eval`: the suite that is shipped is sound, what a model does with tasks is told as it is, and a cassette stands for it.

use crate::cli::world::{Ran, World};
use crate::support::fake_llm::{Asked, FakeLlm, Fault, Said};
use serde_json::{Value, json};

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web, namespace: shop, labels: { app: web } }\nspec:\n  replicas: 2\n  selector: { matchLabels: { app: web } }\n  template:\n    metadata: { labels: { app: web } }\n    spec:\n      containers:\n        - name: web\n          image: ghcr.io/example/web:1.4.0\n          resources: { requests: { cpu: 100m, memory: 128Mi }, limits: { memory: 256Mi } }\n";
const RESOURCES: &str = "apiVersion: kubeops.dev/v1alpha1\nkind: Repository\nmetadata: { name: gitops }\nspec: { url: 'file:///srv/git/gitops.git' }\n---\napiVersion: kubeops.dev/v1alpha1\nkind: Automation\nmetadata: { name: anything }\nspec:\n  target: { repository: gitops, path: clusters/prod }\n  draft:\n    instructions: Do what is asked for.\n    jobs: true\n    write: ['**']\n    maxTurns: 3\n    allow: [{ kinds: [Deployment], fields: [spec.replicas, metadata.labels.*] }]\n  pullRequest: { title: Draft }\n";

/// A suite with a task for each end that a draft can have: the tasks' names say which.
fn suite() -> World {
    let world = World::new();
    world.write("evals/resources/all.yaml", RESOURCES);
    world.write("evals/shared/shop/clusters/prod/web.yaml", WEB);
    for (id, goal) in [("a-right", "four"), ("b-wrong", "five"), ("c-refused", "six"), ("d-declines", "seven"), ("e-endless", "eight")] {
        let expect = "expect: { objects: { Deployment/shop/web: { spec.replicas: 4 } } }";
        world.write(&format!("evals/{id}/task.yaml"), &task(&format!("Scale web to {goal}"), expect));
        world.write(&format!("evals/{id}/answer.yaml"), &scale(4).to_string());
    }
    world.write("evals/f-nothing/task.yaml", &task("Scale web to nine", "noChange: true"));
    world
}

fn task(goal: &str, expect: &str) -> String {
    format!("name: A task\nrepository: ../shared/shop\nautomation: anything\ngoal: {goal}\n{expect}\n")
}

fn scale(replicas: u32) -> Value {
    let edit = json!({ "object": "Deployment/shop/web", "set": { "spec.replicas": replicas } });
    json!({ "operations": [{ "edit": edit }], "explanation": "As it was asked for." })
}

/// What the model does, by what the task asks for.
fn played(asked: &Asked) -> Said {
    let told = asked.body["messages"].to_string();
    let asks = |word: &str| told.contains(&format!("Scale web to {word}"));
    let said = if asks("four") && !told.contains("\"tool\"") {
        Said::calls("read_file", json!({ "path": "clusters/prod/web.yaml" }))
    } else if asks("four") {
        Said::calls("propose_change", scale(4))
    } else if asks("five") {
        let mut answer = scale(4);
        answer["operations"][0]["edit"]["set"]["metadata.labels.team"] = json!("shop");
        Said::calls("propose_change", answer)
    } else if asks("six") {
        let edit = json!({ "object": "Deployment/shop/web", "set": { "spec.paused": true } });
        Said::calls("propose_change", json!({ "operations": [{ "edit": edit }], "explanation": "x" }))
    } else if asks("eight") {
        Said::calls("list_files", json!({}))
    } else {
        Said::calls("no_change", json!({ "reason": "It is not needed." }))
    };
    said.used(3_000, 50)
}

fn eval(world: &World, llm: &FakeLlm, arguments: &[&str]) -> Ran {
    let mut command = world.kubeops(&[&["drafts", "eval", "evals"], arguments].concat());
    command.env("LLM_PROVIDER", "local").env("LLM_LOCAL_URL", format!("{}/v1", llm.url())).env("LLM_LOCAL_MODEL", "qwen3-coder");
    Ran::of(command.env("LLM_INPUT_PRICE", "1").env("LLM_OUTPUT_PRICE", "10"))
}

#[test]
fn the_suite_that_is_shipped_is_sound() {
    let world = World::new();
    let evals = concat!(env!("CARGO_MANIFEST_DIR"), "/evals");
    let checked = world.run(&["drafts", "eval", evals, "--check", "--output", "json"]);
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.error);
    let checked = checked.json();
    assert_eq!(checked["problems"], json!([]));
    assert!(checked["tasks"].as_u64().is_some_and(|tasks| tasks >= 60), "{checked}");
    let declining = std::fs::read_dir(evals).expect("tasks").filter(|entry| {
        let task = entry.as_ref().expect("an entry").path().join("task.yaml");
        std::fs::read_to_string(task).is_ok_and(|text| text.contains("\nnoChange: true"))
    });
    assert!(declining.count() >= 8, "tasks in which it is right to propose nothing");
}

#[test]
fn a_run_is_told_as_what_it_is_and_the_rate_decides_the_exit_code() {
    let (world, llm) = (suite(), FakeLlm::start());
    llm.answers(played);
    let ran = eval(&world, &llm, &["--output", "json", "--at-least", "0.3"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.error);
    let report = ran.json();
    let verdicts: Vec<&str> = report["runs"].as_array().expect("runs").iter().filter_map(|run| run["verdict"].as_str()).collect();
    assert_eq!(verdicts, ["right", "wrong", "refused", "declined", "no_answer", "right"], "{report:#}");
    let [right, wrong, refused, .., endless, nothing] = report["runs"].as_array().expect("runs").as_slice() else { panic!("{report:#}") };
    assert_eq!((&right["turns"], &right["tokens"], &right["cost"]), (&json!(2), &json!(6_100), &json!(0.007)), "{right:#}");
    assert!(wrong["problems"][0].as_str().is_some_and(|problem| problem.contains("metadata.labels.team changed as well")), "{wrong:#}");
    assert_eq!(refused["broke"], json!(["draft.field"]));
    assert_eq!(endless["message"], "the model came to no answer within 3 turns");
    assert_eq!((&nothing["wants_change"], &nothing["well_formed"]), (&json!(false), &json!(true)));
    let totals = &report["totals"];
    assert_eq!((&totals["right"], &totals["runs"], &totals["passed_gate_rate"]), (&json!(2), &json!(6), &json!(0.4)), "{totals:#}");

    let told = eval(&world, &llm, &["--at-least", "0.5"]).fails(3);
    for part in
        ["b-wrong: passed the gate but wrong, 1 turn", "c-refused: refused, 2 turns", "6 runs: 2 right (33 %), 1 wrong, 1 declined, 1 refused"]
    {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    let told = eval(&world, &llm, &["--only", "right", "--runs", "2", "--at-least", "1"]).ok();
    assert!(told.contains("a-right (2): right") && told.contains("2 runs: 2 right (100 %)"), "{told}");
}

#[test]
fn a_cassette_answers_in_the_models_place_and_what_it_does_not_hold_is_an_error() {
    let (world, llm) = (suite(), FakeLlm::start());
    llm.answers(played);
    let recorded = eval(&world, &llm, &["--record", "said.jsonl"]).ok();
    let asked = llm.ledger().len();
    let again = world.run(&["drafts", "eval", "evals", "--cassette", "said.jsonl"]).ok();
    let plain = |told: &str| told.lines().map(|line| line.split(" tokens").next().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    assert_eq!(plain(&again), plain(&recorded));
    assert_eq!(llm.ledger().len(), asked, "nobody was asked");

    // What the model said in another run is no answer to this one.
    let told = world.run(&["drafts", "eval", "evals", "--cassette", "said.jsonl", "--only", "b-wrong", "--runs", "2"]).fails(1);
    assert!(told.contains("b-wrong: the cassette said.jsonl has no answer to the exchange") && told.contains(" in run 2"), "{told}");

    world.write("evals/a-right/task.yaml", &task("Scale web to four and a half", "noChange: true"));
    std::fs::remove_file(world.path("evals/a-right/answer.yaml")).expect("removed");
    let told = world.run(&["drafts", "eval", "evals", "--cassette", "said.jsonl"]).fails(1);
    assert!(told.contains("a-right: the cassette said.jsonl has no answer to the exchange"), "{told}");
}

#[test]
fn a_suite_that_is_not_sound_is_told_with_its_place() {
    let world = suite();
    let check = || world.run(&["drafts", "eval", "evals", "--check"]);
    assert!(check().ok().contains("6 tasks: sound"));
    world.write("evals/b-wrong/answer.yaml", &scale(5).to_string());
    world.write(
        "evals/c-refused/answer.yaml",
        "operations: [{ edit: { object: Deployment/shop/web, set: { spec.paused: true } } }]\nexplanation: x\n",
    );
    world.write("evals/d-declines/task.yaml", &task("Scale", "expect: { objects: { Deployment/shop/web: { spec.replicas: 2 } } }"));
    let told = check().fails(3);
    for part in [
        "evals/b-wrong/task.yaml: its answer.yaml is not right: Deployment/shop/web: spec.replicas is 5, and 4 is wanted",
        "evals/c-refused/task.yaml: its answer.yaml is refused: draft.field:",
        "evals/d-declines/task.yaml: nothing has to be done: what it expects is so already",
    ] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    world.write("evals/e-endless/task.yaml", &task("Scale", "expected: true"));
    let told = check().fails(1);
    assert!(told.contains("evals/e-endless/task.yaml") && told.contains("expected") && told.contains("line 5"), "{told}");
    world.write("evals/e-endless/task.yaml", &task("Scale", "expect: { objects: { Deployment/shop/web: { spec.replicas: { $least: 2 } } } }"));
    assert!(check().fails(1).contains("spec.replicas: $least is none of"), "a matcher that is none");
    world.write("evals/e-endless/task.yaml", "name: x\nautomation: anything\ngoal: x\nnoChange: true\nrepository: nowhere\n");
    assert!(check().fails(1).contains("the repository evals/e-endless/nowhere is no directory"));
}

#[test]
fn each_run_has_its_own_answers_in_a_cassette() {
    let (world, llm) = (suite(), FakeLlm::start());
    llm.says(Said::calls("no_change", json!({ "reason": "x" })).used(3_000, 50)).says(Said::calls("propose_change", scale(4)).used(3_000, 50));
    let runs = ["--only", "a-right", "--runs", "2"];
    let told = eval(&world, &llm, &[&runs[..], &["--record", "said.jsonl"]].concat()).ok();
    let again = world.run(&[&["drafts", "eval", "evals", "--cassette", "said.jsonl"][..], &runs].concat()).ok();
    for told in [told, again] {
        assert!(told.contains("a-right (1): declined") && told.contains("a-right (2): right"), "{told}");
    }
}

#[test]
fn a_model_that_is_not_to_be_had_is_measured_as_nothing() {
    let (world, llm) = (suite(), FakeLlm::start());
    // As often as it is asked for one answer.
    for _ in 0..4 {
        llm.fails(Fault::Status(503, Some("0".to_owned())));
    }
    let told = eval(&world, &llm, &["--only", "a-right"]).fails(1);
    assert!(told.contains("0 right (0 %)") && told.contains("1 without an answer"), "{told}");
}

#[test]
fn a_suite_may_name_programs_of_mcp_servers_and_starts_none_and_patterns_are_withheld_in_it_too() {
    let (world, llm) = (suite(), FakeLlm::start());
    llm.answers(played);
    let server = "apiVersion: kubeops.dev/v1alpha1\nkind: McpServer\nmetadata: { name: owners }\nspec:\n  stdio: { command: /nowhere/owners }\n  tools: [{ name: owner_of }]\n";
    world.write("evals/resources/owners.yaml", server);
    world.write(
        "evals/resources/all.yaml",
        &RESOURCES.replace("    jobs: true\n", "    jobs: true\n    mcp: [{ server: owners, tools: [owner_of] }]\n"),
    );
    let refused = eval(&world, &llm, &["--check"]);
    assert!(refused.code != 0 && refused.error.contains("MCP_PROGRAMS"), "{}", refused.error);
    let mut checks = world.kubeops(&["drafts", "eval", "evals", "--check"]);
    let checked = Ran::of(checks.env("MCP_PROGRAMS", "/nowhere/owners"));
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.error);
    let mut command = world.kubeops(&["drafts", "eval", "evals", "--only", "d-declines", "--mcp-programs", "/nowhere/owners"]);
    command.env("LLM_PROVIDER", "local").env("LLM_LOCAL_URL", format!("{}/v1", llm.url())).env("LLM_LOCAL_MODEL", "qwen3-coder");
    let ran = Ran::of(command.env("LLM_WITHHOLD", "to seven"));
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.error);
    let asked = llm.asked().body.to_string();
    assert!(asked.contains("Scale web ") && !asked.contains("seven") && !asked.contains("owners__"), "{asked}");
}
