use super::*;
use serde_json::json;

fn scope(event: &serde_json::Value) -> Scope {
    Scope::new([("event", event)])
}

fn compile(source: &str) -> Expression {
    Expression::compile(source, &["event", "parameters"]).unwrap_or_else(|error| panic!("{source}: {error}"))
}

#[test]
fn a_missing_field_is_false_and_named() {
    let event = json!({"data": {"issue": {"key": "OPS-1"}}});
    let when = compile(r#"event.data.issue.fields.priority.name == "High" && event.data.issue.key == "OPS-1""#);
    assert!(!when.holds(&scope(&event)));
    let explanation = when.explain(&scope(&event));
    assert_eq!(explanation.predicates.len(), 2);
    assert_eq!(explanation.predicates[1].value, Some(true));
    let reason = explanation.reason().expect("a reason");
    assert!(reason.contains("event.data.issue.fields.priority.name is missing"), "{reason}");
}

#[test]
fn an_explanation_shows_each_part_as_written_with_its_values() {
    let event = json!({"type": "alert.firing", "data": {"labels": {"severity": "warning"}}});
    let when =
        compile(r#"event.type == "alert.firing" && (event.data.labels.severity in ["critical", "page"] || event.data.labels["team"] == "a || b")"#);
    let explanation = when.explain(&scope(&event));
    let texts: Vec<&str> = explanation.predicates.iter().map(|p| p.text.as_str()).collect();
    assert_eq!(
        texts,
        [r#"event.type == "alert.firing""#, r#"event.data.labels.severity in ["critical", "page"]"#, r#"event.data.labels["team"] == "a || b""#]
    );
    assert_eq!(explanation.predicates[1].operands[0].value, Some(json!("warning")));
    assert_eq!(explanation.predicates[2].operands[0], Operand { path: r#"event.data.labels["team"]"#.into(), value: None });
}

#[test]
fn an_unknown_variable_is_refused_with_those_there_are() {
    let error = Expression::compile("evnt.type == 'x'", &["event", "parameters"]).expect_err("unknown");
    assert_eq!(error.message, "there is no variable `evnt` here; known are: event, parameters");
}

#[test]
fn a_syntax_error_has_its_place() {
    let error = Expression::compile("event.type ==\n  && true", &["event"]).expect_err("syntax");
    assert_eq!((error.line, error.column), (2, 3), "{error}");
}

#[test]
fn nested_macros_over_long_lists_are_refused_before_they_run() {
    let long: Vec<u32> = (0..20_000).collect();
    let event = json!({"data": {"list": long}});
    let when = compile("event.data.list.all(x, event.data.list.exists(y, y == x))");
    let begun = std::time::Instant::now();
    assert!(matches!(when.evaluate(&scope(&event)), Err(EvaluationError::TooCostly { .. })));
    assert!(begun.elapsed().as_millis() < 1000);
    assert!(Expression::compile("[1].all(a, [1].all(b, [1].all(c, true)))", &[]).is_err());
}

#[test]
fn text_cannot_be_multiplied_by_the_event() {
    assert!(Expression::compile("event.a.replace(event.b, event.c)", &["event"]).is_err());
    assert!(Expression::compile("event.a.replace('-', '_')", &["event"]).is_ok());
    assert!(Expression::compile("event.a.matches(event.b)", &["event"]).is_err());
    assert!(Expression::compile("event.a.matches('^[a-z]+$')", &["event"]).is_ok());
}

#[test]
fn values_keep_their_types() {
    let event = json!({"data": {"count": 3, "ratio": 0.5, "name": "x", "list": [1, "a", null], "on": true}});
    for (source, value) in [
        ("event.data.count + 1", json!(4)),
        ("event.data.ratio", json!(0.5)),
        ("event.data.name + '-1'", json!("x-1")),
        ("event.data.list", json!([1, "a", null])),
        ("event.data.on ? 'yes' : 'no'", json!("yes")),
        ("has(event.data.missing) ? event.data.missing : 'default'", json!("default")),
    ] {
        assert_eq!(compile(source).evaluate(&scope(&event)), Ok(value), "{source}");
    }
}

#[test]
fn a_map_has_its_keys_in_the_same_order_every_time() {
    let keys: Vec<String> = (0..40).map(|n| format!("\"k{n:02}\": {n}")).collect();
    let expression = compile(&format!("{{{}}}", keys.join(", ")));
    let event = json!({});
    let first = expression.evaluate(&scope(&event)).expect("a map").to_string();
    assert!(first.starts_with(r#"{"k00":0,"k01":1,"#), "{first}");
    for _ in 0..20 {
        assert_eq!(expression.evaluate(&scope(&event)).expect("a map").to_string(), first);
    }
}
