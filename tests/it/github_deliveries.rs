//! What GitHub publishes about its webhooks is what the source `github` reads: every example payload, every documented action.

use kubeops::event::Occurrence;
use kubeops::ingress::{IngressError, Received, Source};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/contracts/webhooks-examples.json");
const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/contracts/api.github.com.json");

/// The events that are handled, and where in a body of theirs is what makes their subject.
const HANDLED: [(&str, Subject); 11] = [
    ("pull_request", Subject::Number("/pull_request/number")),
    ("pull_request_review", Subject::Number("/pull_request/number")),
    ("pull_request_review_comment", Subject::Number("/pull_request/number")),
    ("issue_comment", Subject::Number("/issue/number")),
    ("push", Subject::Ref),
    ("check_suite", Subject::Commit("/check_suite/head_sha")),
    ("check_run", Subject::Commit("/check_run/head_sha")),
    ("status", Subject::Commit("/sha")),
    ("deployment_status", Subject::Commit("/deployment/sha")),
    ("merge_group", Subject::Commit("/merge_group/head_sha")),
    ("installation", Subject::Installation),
];

#[derive(Clone, Copy)]
enum Subject {
    Number(&'static str),
    Commit(&'static str),
    Ref,
    Installation,
}

impl Subject {
    fn of(self, body: &Value) -> String {
        let text = |place: &str| match body.pointer(place) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => panic!("{place}"),
        };
        let repository = || text("/repository/full_name");
        match self {
            Self::Number(place) => format!("{}#{}", repository(), text(place)),
            Self::Commit(place) => format!("{}@{}", repository(), text(place)),
            Self::Ref => format!("{}@{}", repository(), text("/ref").replace("refs/heads/", "").replace("refs/tags/", "")),
            Self::Installation => format!("installation/{}", text("/installation/id")),
        }
    }
}

fn published(file: &str) -> Value {
    let text = std::fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}; `make setup` fetches it"));
    serde_json::from_slice(&text).expect("JSON")
}

/// Every example, with the event it is one of.
fn examples() -> Vec<(String, Value)> {
    let published = published(EXAMPLES);
    let mut found = Vec::new();
    for event in published.as_array().expect("events") {
        let name = event["name"].as_str().expect("a name");
        found.extend(event["examples"].as_array().expect("examples").iter().map(|example| (name.to_owned(), example.clone())));
    }
    assert!(found.len() > 250, "there are {}", found.len());
    found
}

fn github() -> Source {
    let spec = serde_json::from_value(json!({ "kind": "github", "authentication": "none" })).expect("a spec");
    Source::compile("github".parse().expect("a name"), spec).expect("a source")
}

fn read(event: &str, content_type: &str, body: &[u8]) -> Result<Received, IngressError> {
    let headers: &[(&str, &[u8])] = &[("X-GitHub-Event", event.as_bytes()), ("Content-Type", content_type.as_bytes())];
    github().read(&headers, body, "2026-11-20T12:00:00Z".parse().expect("a moment"))
}

fn form(body: &[u8]) -> Vec<u8> {
    url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", std::str::from_utf8(body).expect("UTF-8")).finish().into_bytes()
}

fn expected_type(event: &str, body: &Value) -> String {
    match body.get("action").and_then(Value::as_str) {
        None => event.to_owned(),
        Some("closed") if body.pointer("/pull_request/merged") == Some(&json!(true)) => format!("{event}.merged"),
        Some(action) => format!("{event}.{action}"),
    }
}

#[test]
fn every_example_that_github_publishes_is_read_as_json_and_as_a_form() {
    let mut handled = BTreeSet::new();
    for (event, example) in examples() {
        let bytes = example.to_string().into_bytes();
        let received = read(&event, "application/json", &bytes).unwrap_or_else(|error| panic!("{event}: {error}\n{example}"));
        let of_form = read(&event, "application/x-www-form-urlencoded", &form(&bytes)).unwrap_or_else(|error| panic!("{event}: {error}"));
        assert_eq!((&received.occurrences, &received.dedup_key), (&of_form.occurrences, &of_form.dedup_key), "{event}");
        let Some((_, subject)) = HANDLED.iter().find(|(name, _)| *name == event) else {
            assert!(!received.handled && received.occurrences.is_empty(), "{event}");
            continue;
        };
        let [Occurrence { kind, subject: told, time, data }] = received.occurrences.as_slice() else { panic!("{event}: {received:?}") };
        assert_eq!((kind.as_str(), told.as_str()), (expected_type(&event, &example).as_str(), subject.of(&example).as_str()));
        assert_eq!(*data, example, "{event}");
        assert!(time.to_string().as_str() < "2026", "{event} states a time of its own, and not {time}");
        handled.insert(event);
    }
    assert_eq!(handled.len(), HANDLED.len(), "an example of each was read: {handled:?}");
}

#[test]
fn every_example_replayed_under_another_name_is_refused_or_says_nothing_and_is_the_same_delivery() {
    for (event, example) in examples() {
        let bytes = example.to_string().into_bytes();
        let key = read(&event, "application/json", &bytes).expect("an example").dedup_key;
        for (other, _) in HANDLED.iter().filter(|(other, _)| *other != event) {
            match read(other, "application/json", &bytes) {
                Err(IngressError::Malformed { .. }) => {}
                Ok(received) => assert!(!received.handled && received.dedup_key == key, "{event} as {other}: {received:?}"),
                Err(error) => panic!("{event} as {other}: {error}"),
            }
        }
    }
}

#[test]
fn the_types_are_the_actions_that_github_documents() {
    let description = published(DESCRIPTION);
    let resolve = |schema: &Value| {
        let mut schema = schema.clone();
        while let Some(reference) = schema["$ref"].as_str() {
            schema = description.pointer(reference.trim_start_matches('#')).expect("what is referred to").clone();
        }
        schema
    };
    let mut documented = BTreeSet::from(["pull_request.merged".to_owned()]);
    for webhook in description["x-webhooks"].as_object().expect("webhooks").values() {
        let post = &webhook["post"];
        let event = post["x-github"]["subcategory"].as_str().expect("an event");
        if !HANDLED.iter().any(|(name, _)| *name == event) {
            continue;
        }
        let body = resolve(&post["requestBody"]["content"]["application/json"]["schema"]);
        let bodies = body["oneOf"].as_array().map_or_else(|| vec![body.clone()], |bodies| bodies.iter().map(resolve).collect());
        for body in bodies {
            match body["properties"]["action"]["enum"].as_array() {
                Some(actions) => documented.extend(actions.iter().map(|action| format!("{event}.{}", action.as_str().expect("a word")))),
                None => drop(documented.insert(event.to_owned())),
            }
        }
    }
    // And whatever the examples say.
    let examples = examples();
    documented
        .extend(examples.iter().filter(|(event, _)| HANDLED.iter().any(|(name, _)| name == event)).map(|(event, body)| expected_type(event, body)));
    let ours: BTreeSet<String> = github().event_types().expect("types").into_iter().map(str::to_owned).collect();
    assert_eq!(ours, documented);
}
