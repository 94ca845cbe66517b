use super::*;
use crate::types::{EventId, Timestamp};
use serde_json::{Value, json};

fn event(data: Value) -> Event {
    Event {
        id: EventId::from_parts(Timestamp::from_unix_millis(0), 1),
        delivery: None,
        source: Some("service-desk".parse().expect("a name")),
        traceparent: None,
        kind: "jira.issue.transitioned".parse().expect("a type"),
        subject: "OPS-42".into(),
        time: Timestamp::from_unix_millis(0),
        data,
    }
}

fn automation(name: &str, spec: Value) -> Result<Automation, Vec<SpecError>> {
    let mut whole = json!({
        "on": {"source": "service-desk", "types": ["jira.issue.transitioned"]},
        "target": {"cluster": "prod"},
        "render": [],
        "pullRequest": {"title": "t"}
    });
    for (key, value) in spec.as_object().expect("an object") {
        whole[key] = value.clone();
    }
    Automation::compile(name.parse().expect("a name"), serde_json::from_value(whole).expect("a spec"))
}

#[test]
fn every_parameter_failure_is_told_at_once() {
    let automation = automation(
        "namespace",
        json!({"parameters": {
            "team": {"from": "event.data.team", "schema": {"type": "string", "pattern": "^[a-z][a-z0-9-]{1,40}$"}},
            "cpu": {"from": "event.data.cpu", "default": "4", "schema": {"type": "string"}},
            "tier": {"from": "event.data.tier", "schema": {"enum": ["gold", "silver"]}},
            "owner": {"from": "event.data.owner", "schema": {"type": "string"}},
            "note": {"from": "event.data.note", "optional": true, "schema": {"type": "string"}},
        }}),
    )
    .expect("compiles");
    let event = event(json!({"team": "Web Team!", "cpu": null, "tier": "bronze"}));
    let errors = automation.parameters().read(&scope_of(&event)).expect_err("refused");
    let named: Vec<&str> = errors.iter().map(|error| error.parameter.as_str()).collect();
    assert_eq!(named, ["owner", "team", "tier"], "{errors:?}");
    assert!(errors[0].message.contains("`event.data.owner` finds nothing"), "{errors:?}");
}

#[test]
fn defaults_fill_what_the_ticket_left_empty() {
    let automation =
        automation("a", json!({"parameters": {"cpu": {"from": "event.data.cpu", "default": "4", "schema": {"type": "string"}}}})).expect("compiles");
    let read = automation.parameters().read(&scope_of(&event(json!({"cpu": null})))).expect("fits");
    assert_eq!(Value::Object(read), json!({"cpu": "4"}));
}

#[test]
fn a_person_cannot_give_parameters_the_automation_does_not_have() {
    let automation = automation("a", json!({"parameters": {"team": {"schema": {"type": "string"}}}})).expect("compiles");
    let given = json!({"team": "web", "admin": true});
    let errors = automation.parameters().complete(given.as_object().expect("an object").clone()).expect_err("refused");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].parameter, "admin");
}

#[test]
fn who_asks_is_told_what_is_required_and_what_was_meant_and_nothing_of_events() {
    let specs = json!({"parameters": {"name": {"from": "event.data.issue.fields.customfield_1", "schema": {"type": "string"}}}});
    let given = json!({"nam": "web"});
    let automation = automation("a", specs).expect("compiles");
    let errors = automation.parameters().complete(given.as_object().expect("an object").clone()).expect_err("refused");
    let told: Vec<String> = errors.iter().map(|error| format!("{} {}", error.parameter, error.message)).collect();
    assert_eq!(told, ["name is required", "nam there is no such parameter; did you mean name?"]);
}

#[test]
fn what_is_wrong_with_a_spec_has_its_place() {
    let errors = automation(
        "a",
        json!({"when": "event.type = 'x'", "correlate": "evnt.subject", "parameters": {
            "n": {"schema": {"type": "strin"}},
            "m": {"schema": {"type": "string"}, "default": 4},
        }}),
    )
    .expect_err("refused");
    let places: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(places, ["/when", "/correlate", "/parameters/m/default", "/parameters/n/schema"], "{errors:?}");
}

#[test]
fn what_the_copilot_is_offered_says_what_it_is_for_and_needs_no_event() {
    let offered = |description: Value| {
        let spec = serde_json::from_value(json!({
            "copilot": true, "description": description, "target": { "cluster": "prod" }, "pullRequest": { "title": "x" }
        }));
        Automation::compile("a".parse().expect("a name"), spec.expect("a spec"))
    };
    assert!(offered(json!("Opens a namespace.")).is_ok(), "who is asked by operators alone listens to no source");
    for nothing in [Value::Null, json!(" \n")] {
        let errors = offered(nothing).expect_err("refused");
        assert_eq!(errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(), ["/copilot"], "{errors:?}");
    }
}

#[test]
fn how_often_a_model_may_be_asked_is_bounded() {
    for (field, value, holds) in [
        ("maxRevisions", 15, true),
        ("maxRevisions", 0, true),
        ("maxRevisions", 16, false),
        ("maxTurns", 100, true),
        ("maxTurns", 0, false),
        ("maxTurns", 101, false),
    ] {
        let draft = json!({ "instructions": "x", "write": ["**"], "allow": [{ "kinds": ["ConfigMap"], "add": true }], field: value });
        let places: Vec<String> = automation("a", json!({ "draft": draft })).err().into_iter().flatten().map(|error| error.pointer).collect();
        assert_eq!(places, if holds { vec![] } else { vec![format!("/draft/{field}")] }, "{field}: {value}");
    }
}

#[test]
fn a_catastrophic_pattern_is_refused_or_linear() {
    let spec = json!({"parameters": {"x": {"from": "event.data.x", "schema": {"type": "string", "pattern": "^(a+)+$"}}}});
    let automation = automation("a", spec).expect("compiles");
    let event = event(json!({"x": format!("{}!", "a".repeat(50_000))}));
    let begun = std::time::Instant::now();
    assert!(automation.parameters().read(&scope_of(&event)).is_err());
    assert!(begun.elapsed().as_secs() < 2);
}

#[test]
fn the_index_finds_what_evaluating_every_condition_finds() {
    let rules: Vec<Automation> = (0..300)
        .map(|i| {
            let when = match i % 4 {
                0 => format!("event.data.kind == 'kind-{}'", i % 7),
                1 => format!("event.data.kind == 'kind-{}' && event.data.n > {i}", i % 7),
                2 => format!("event.data.kind == 'kind-1' || event.data.n == {i}"),
                _ => format!("'kind-{}' == event.data.kind && event.type == 'jira.issue.transitioned'", i % 5),
            };
            automation(&format!("a-{i}"), json!({ "when": when })).expect("compiles")
        })
        .collect();
    let all = Automations::new(rules);
    for n in [0, 2, 150, 1000] {
        for kind in ["kind-0", "kind-1", "kind-6", "other"] {
            let event = event(json!({"kind": kind, "n": n}));
            let (matched, scope) = all.matching(&event);
            let found: Vec<&str> = matched.iter().map(|a| a.name.as_str()).collect();
            let wanted: Vec<&str> = all.iter().filter(|a| a.listens_to(&event) && a.consider(&scope).matched).map(|a| a.name.as_str()).collect();
            assert_eq!(found, wanted, "{kind} {n}");
        }
    }
}

#[test]
fn an_event_of_another_source_or_type_is_not_looked_at() {
    let all = Automations::new([automation("a", json!({})).expect("compiles")]);
    let mut event = event(json!({}));
    assert_eq!(all.matching(&event).0.len(), 1);
    event.kind = "jira.issue.created".parse().expect("a type");
    assert_eq!(all.matching(&event).0.len(), 0);
    let (matched, scope) = all.matching(&event);
    assert!(all.explain(&event, &matched, &scope, 20).is_empty());
}

#[test]
fn a_group_s_key_is_a_text_or_a_number_and_anything_else_is_explained() {
    let key = |by: Value| {
        let mut spec = json!({});
        if !by.is_null() {
            spec["group"] = json!({ "by": by });
        }
        let event = event(json!({ "labels": { "cluster": "prod", "shard": 3, "empty": "" } }));
        automation("a", spec).expect("compiles").group_key(&scope_of(&event))
    };
    assert_eq!(key(Value::Null), Ok(None));
    assert_eq!(key(json!("event.data.labels.cluster")), Ok(Some("prod".to_owned())));
    assert_eq!(key(json!("event.data.labels.shard")), Ok(Some("3".to_owned())));
    for (by, word) in [
        ("event.data.labels", "neither text nor a number"),
        ("event.data.labels.empty", "an empty text"),
        ("event.data.labels.region", "has no value"),
    ] {
        let error = key(json!(by)).expect_err(by);
        assert!(error.starts_with(&format!("`group.by: {by}`")) && error.contains(word), "{error}");
    }
    let errors = automation("a", json!({ "group": { "by": "evnt.subject" } })).expect_err("refused");
    assert_eq!(errors[0].pointer, "/group/by");
}
