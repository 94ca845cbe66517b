//! Templates that run away in the running server: their own requests fail, with the reason, and nobody else notices.

use crate::support::server::{TestServer, eventually, ticket};
use std::time::{Duration, Instant};

/// What it makes depends on the team: three teams ask for more than a template may do.
const SOURCE: &str = r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ parameters.team }}
  namespace: web
{% if parameters.team == "endless" %}
{% for i in range(end=1000) %}
{% for j in range(end=1000) %}
{% for k in range(end=1000) %}
{% set x = i * j * k %}
{% endfor %}
{% endfor %}
{% endfor %}
{% endif %}
{% if parameters.team == "hog" %}
{% set s = "0123456789abcdef" %}
{% for i in range(end=1000) %}
{% set_global s = s ~ s %}
{% endfor %}
{% endif %}
data:
  team: {{ parameters.team }}
{% if parameters.team == "huge" %}
{% for i in range(end=1000) %}
{% for j in range(end=1000) %}
  {{ "key-" ~ i ~ "-" ~ j }}: abcdefghijklmnopqrstuvwxyz
{% endfor %}
{% endfor %}
{% endif %}
"#;
const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"title":"Unruly","description":"For a test.","required":["team"],
"properties":{"team":{"title":"Team","description":"A team.","type":"string"}}}"#;

/// A server whose namespaces are made by the template `unruly` of its own directory.
fn with_unruly() -> TestServer {
    let mut server = TestServer::prepare();
    let folder = server.place("templates").join("unruly");
    std::fs::create_dir_all(&folder).expect("a directory");
    for (file, text) in [("manifest.yaml.tera", SOURCE), ("params.schema.json", SCHEMA), ("README.md", "# unruly\n\nFor a test.\n")] {
        std::fs::write(folder.join(file), text).expect("written");
    }
    let templates = server.place("templates").display().to_string();
    server.edit_resource("namespace-request.yaml", |text| text.replace("template: namespace", "template: unruly"));
    server.set("TEMPLATES_DIR", &templates).set("RESOURCES_RELOAD_SECONDS", "1").run();
    server
}

#[test]
fn a_template_that_runs_away_fails_its_own_request_while_the_service_answers_and_works() {
    let server = with_unruly();
    for (key, team) in [("OPS-1", "endless"), ("OPS-2", "hog"), ("OPS-3", "huge"), ("OPS-4", "good")] {
        assert_eq!(server.at().ticket(&ticket(key, team)).word(), "202 accepted");
    }
    // The endless one takes seconds until it is stopped: in all that time the service answers.
    let mut slowest = Duration::ZERO;
    let refused = eventually("the endless template's request is refused", || {
        let begun = Instant::now();
        assert_eq!(server.at().plain("/healthz").status, 200);
        slowest = slowest.max(begun.elapsed());
        server.at().requests_of("OPS-1").into_iter().find(|request| request["state"] == "rejected")
    });
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(refused["message"].as_str().is_some_and(|why| why.contains("took longer than")), "{refused:#}");
    for (key, why) in [("OPS-2", "memory"), ("OPS-3", "writes more than")] {
        let refused = server.at().settled(key, "rejected");
        assert!(refused["message"].as_str().is_some_and(|message| message.contains(why)), "{refused:#}");
    }
    server.at().settled("OPS-4", "proposed");
    // The next one finds a worker that is whole.
    assert_eq!(server.at().ticket(&ticket("OPS-5", "better")).word(), "202 accepted");
    server.at().settled("OPS-5", "proposed");
}

#[test]
fn a_template_that_reaches_for_the_environment_or_a_file_or_calls_itself_is_refused_with_its_set() {
    let server = with_unruly();
    let file = server.place("templates").join("unruly/manifest.yaml.tera");
    let problems = || server.at().get("/status")["resources"]["problems"].as_array().cloned().unwrap_or_default();
    let refused = |why: &str| eventually(why, || problems().iter().any(|problem| problem.to_string().contains(why)).then_some(()));
    for (source, why) in [
        ("x: {{ get_env(name=\"HOME\") }}\n", "unruly/manifest.yaml.tera:1:7: there is no function `get_env`"),
        ("x:\n  {% include \"/etc/passwd\" %}\n", "is not in the catalogue"),
    ] {
        std::fs::write(&file, source).expect("written");
        refused(why);
    }
    let shared = server.place("templates").join("_shared");
    std::fs::create_dir(&shared).expect("a directory");
    std::fs::write(shared.join("again.tera"), "{% component again() %}\n{{ <again /> }}\n{% endcomponent %}\n").expect("written");
    std::fs::write(&file, "x:\n  {{ <again /> }}\n").expect("written");
    refused("a cycle");
    // What was in force stays in force.
    assert_eq!(server.at().ticket(&ticket("OPS-1", "good")).word(), "202 accepted");
    server.at().settled("OPS-1", "proposed");
    std::fs::remove_dir_all(shared).expect("removed");
    std::fs::write(&file, SOURCE).expect("written");
    eventually("the mended template is taken", || problems().is_empty().then_some(()));
}
