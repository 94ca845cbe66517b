//! The OpenAPI document held against the real server by a fuzzing client (schemathesis, put under `target/venv` by
//! `scripts/setup.sh test`): whatever is sent, no answer is a 5xx, and each is one that the document describes.

use crate::cli::world::{Server, World, project, ticket};
use serde_json::json;
use std::process::Command;

/// Seconds of fuzzing.
const SECONDS: &str = "40";
/// Every check of the client but one is made: `positive_data_acceptance`, because a schema cannot say that an automation takes
/// these parameters, or that a time lies ahead.
const CHECKS: &str = "[checks.positive_data_acceptance]\nenabled = false\n";

/// Sends whatever is not signed: the fuzzing client cannot sign.
const OPEN: &str = "apiVersion: kubeops.dev/v1alpha1\nkind: Source\nmetadata: { name: open }\nspec:\n  kind: generic\n  authentication: none\n  mapping: { type: \"'fuzz.sent'\", subject: \"'fuzz'\" }\n";

/// A server with requests in several states, and a configuration that makes the client use their ids half of the time.
fn configuration(server: &Server<'_>) -> String {
    for (id, name) in [("OPS-1", "one"), ("OPS-2", "two"), ("OPS-3", "three")] {
        server.deliver(&ticket(id, name));
    }
    server.deliver(&json!({ "ticket": "OPS-4", "approved": true, "name": "Wrong Name", "size": "50Gi" }));
    server.until("OPS-4", "rejected");
    let requests: Vec<String> = ["OPS-1", "OPS-2", "OPS-3"].map(|id| server.until(id, "proposed")["id"].as_str().expect("an id").to_owned()).to_vec();
    server.run(&["pulls", "merge", "gitops#1"]).ok();
    let ids = |arguments: &[&str]| -> Vec<String> {
        let page = server.json(arguments);
        page["items"].as_array().into_iter().flatten().filter_map(|item| item["id"].as_str()).map(str::to_owned).collect()
    };
    let events = ids(&["requests", "events"]);
    let deliveries: Vec<String> =
        events.iter().filter_map(|id| server.json(&["requests", "events", "--explain", id])["delivery"].as_str().map(str::to_owned)).collect();
    assert!(events.len() >= 4 && deliveries.len() >= 4, "{events:?} {deliveries:?}");
    let words = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>();
    let mut text = String::from(CHECKS);
    for (name, path, parameter, values) in [
        ("requests", "/requests/\\{id\\}", "id", requests),
        ("events", "/events/\\{id\\}", "id", events),
        ("deliveries", "/deliveries/\\{id\\}", "id", deliveries),
        ("sources", "/webhooks/\\{source\\}", "source", words(&["open", "portal"])),
        ("automations", "/automations/\\{name\\}", "name", words(&["volume"])),
        ("templates", "/templates/\\{name\\}", "name", words(&["namespace", "cron-job"])),
        ("repositories", "/pulls/\\{repository\\}", "repository", words(&["gitops"])),
    ] {
        text.push_str(&format!("[dictionaries.{name}]\nvalues = {}\n", json!(values)));
        text.push_str(&format!("[[operations]]\ninclude-path-regex = {}\n[operations.parameters]\n", json!(path)));
        text.push_str(&format!("\"path.{parameter}\" = {{ dictionary = \"{name}\", probability = 0.6 }}\n"));
        if name == "sources" {
            // The source `open` asks for no proof.
            text.push_str("[operations.checks.ignored_auth]\nenabled = false\n");
        }
        if name == "repositories" {
            text.push_str("\"path.number\" = { dictionary = \"numbers\", probability = 0.6 }\n");
        }
    }
    text.push_str("[dictionaries.numbers]\nvalues = [1, 2, 3]\n");
    text
}

#[test]
fn no_call_the_document_allows_or_forbids_ends_in_a_5xx_or_an_answer_it_does_not_describe() {
    let client = project().join("target/venv/bin/schemathesis");
    assert!(client.exists(), "the fuzzing client is not there: run `scripts/setup.sh test`");
    let world = World::new();
    world.write("resources/open.yaml", OPEN);
    let server = world.serve_with(&[("API_CALLS_PER_MINUTE", "1000000"), ("ENABLE_METRICS", "true"), ("ACCESS_LOG", "off")]);
    let configuration = world.write("schemathesis.toml", &configuration(&server));
    let output = Command::new(client)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("HOME", world.path("home"))
        .env("NO_COLOR", "1")
        .current_dir(world.path("home"))
        .arg("--config-file")
        .arg(configuration)
        .arg("run")
        .arg(format!("{}/api/v1/docs/openapi.json", server.url()))
        .args(["--header", &format!("Authorization: Bearer {}", server.token)])
        .args(["--phases", "examples,coverage,fuzzing", "--seed", "20261120", "--generation-database", "none"])
        .args(["--max-time", SECONDS, "--continue-on-failure", "--request-timeout", "20"])
        .output()
        .expect("schemathesis runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}\n{}", String::from_utf8_lossy(&output.stderr), server.log());
    let tested = regex::Regex::new(r"(\d+) generated").expect("a pattern").captures(&told).and_then(|found| found[1].parse::<u32>().ok());
    assert!(tested.is_some_and(|tested| tested > 500), "too little was tried: {told}");
    let count = |word: &str| regex::Regex::new(&format!(r"{word}: +(\d+)")).expect("a pattern").captures(&told).map(|found| found[1].to_owned());
    assert!(count("Selected").is_some() && count("Selected") == count("Tested"), "an operation was left out: {told}");
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    server.json(&["requests", "list"]);
}
