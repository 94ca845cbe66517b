use super::*;
use crate::event::Event;
use crate::types::{EventId, Timestamp};
use serde_json::json;

fn scope(event: &serde_json::Value) -> Scope<'static> {
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
    let error = Expression::compile("event.a == 'ä' &&\n  (true || [1].all(x, x == evnt.b))", &["event"]).expect_err("unknown");
    assert_eq!((error.line, error.column), (2, 28));
}

#[test]
fn a_syntax_error_has_its_place() {
    let error = Expression::compile("event.type ==\n  && true", &["event"]).expect_err("syntax");
    assert_eq!((error.line, error.column), (2, 3), "{error}");
}

#[test]
fn slips_that_everybody_makes_once_are_told_with_what_is_written_instead() {
    for (source, says) in [
        ("event.data.x = 'a'", "compared with `==`"),
        ("event.data.x == 1 and event.data.y == 2", "CEL writes `&&`"),
        ("event.data.x == 1 or event.data.y == 2", "CEL writes `||`"),
        ("not event.data.x", "CEL writes `!`"),
        ("10 GB", "'2Gi'"),
        ("10Gi", "'2Gi'"),
        ("registry.example.com/shop:1.2", "quoted once more, because the first quotes are YAML's: \"'registry.example.com/shop:1.2'\""),
        ("Asked for by a ticket", "quoted once more"),
        ("event.type ==", "ends too early"),
        ("(event.type", "`)` is missing"),
    ] {
        let error = Expression::compile(source, &["event", "parameters"]).expect_err(source);
        assert!(error.message.contains(says) && !error.message.contains("expecting"), "{source}: {error}");
    }
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
    assert!(Expression::compile("event.data.a.replace(event.data.b, event.data.c)", &["event"]).is_err());
    assert!(Expression::compile("event.data.a.replace('-', '_')", &["event"]).is_ok());
    assert!(Expression::compile("event.data.a.matches(event.data.b)", &["event"]).is_err());
    assert!(Expression::compile("event.data.a.matches('^[a-z]+$')", &["event"]).is_ok());
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

#[test]
fn a_function_there_is_not_is_refused_where_it_stands_with_the_nearest_there_is() {
    for (source, message, place) in [
        ("event.name.lowerAsci() == 'x'", "there is no function lowerAsci(); did you mean lowerAscii()?", (1, 12)),
        ("true &&\n  event.name .startswith('x')", "there is no function startswith(); did you mean startsWith()?", (2, 15)),
        ("frobnicate(event.a)", "there is no function frobnicate()", (1, 1)),
        ("[1].map(x, sise(x))", "there is no function sise(); did you mean size()?", (1, 12)),
        ("{'ä': math.flor(1.5)}", "there is no function math.flor(); did you mean math.floor()?", (1, 12)),
        ("event.a.int()", "int() is not called on a value: write int(...)", (1, 9)),
        ("contains(event.a, 'b')", "contains() is called on a value: write value.contains(...)", (1, 1)),
    ] {
        let error = Expression::compile(source, &["event"]).expect_err(source);
        assert_eq!((error.message.as_str(), (error.line, error.column)), (message, place), "{source}");
    }
}

#[test]
fn a_function_with_a_wrong_number_of_arguments_is_refused_where_it_stands() {
    for (source, message, column) in [
        ("event.name.contains()", "contains() takes 1 argument; here it has 0", 12),
        ("event.a.trim().split(',', 2, 3)[0]", "split() takes 1 or 2 arguments; here it has 3", 16),
        ("event.a.trim('x')", "trim() takes no arguments; here it has 1", 9),
        ("int(event.a, 10)", "int() takes 1 argument; here it has 2", 1),
        ("event.list.exists(x)", "exists() takes 2 arguments; here it has 1", 12),
        ("has(event.a, event.b)", "has() takes 1 argument; here it has 2", 1),
        ("math.sqrt()", "math.sqrt() takes 1 argument; here it has 0", 6),
    ] {
        let error = Expression::compile(source, &["event"]).expect_err(source);
        assert_eq!((error.message.as_str(), error.line, error.column), (message, 1, column), "{source}");
    }
}

#[test]
fn every_function_there_is_can_be_called() {
    let event = json!({});
    for source in [
        "size('ab') + 'ab'.size() == 4 && matches('ab', 'a') && 'ab'.matches('b')",
        "bool('true') && bytes('a') == b'a' && double('1') == 1.0 && duration('1h') < duration('2h') && dyn(1) == 1",
        "int('1') == 1 && string(1) == '1' && uint(1) == 1u && timestamp('2024-01-02T03:04:05Z').getFullYear() == 2024 && type(1) == type(2)",
        "has({'a': 1}.a) && [1].all(x, x == 1) && [1].exists(x, x == 1) && [1].exists_one(x, x == 1) && [1].existsOne(x, x == 1)",
        "[1].filter(x, x > 1) == [] && [1].map(x, x) == [1] && [1].map(x, x > 1, x) == []",
        "optional.of(1).optMap(x, x + 1).value() == 2 && optional.of(1).optFlatMap(x, optional.of(x)).hasValue()",
        "optional.none().or(optional.of(2)).orValue(3) == 2 && !optional.ofNonZeroValue(0).hasValue()",
        "'abc'.contains('b') && 'abc'.endsWith('c') && 'abc'.startsWith('a') && 'abc'.charAt(0) == 'a' && '%d'.format([1]) == '1'",
        "'abc'.indexOf('b') == 1 && 'abc'.indexOf('b', 1) == 1 && 'abc'.lastIndexOf('b') == 1 && 'abc'.lastIndexOf('b', 2) == 1",
        "['a'].join() == 'a' && ['a', 'b'].join('-') == 'a-b' && 'A'.lowerAscii() == 'a' && 'a'.upperAscii() == 'A' && ' a '.trim() == 'a'",
        "'aa'.replace('a', 'b') == 'bb' && 'aa'.replace('a', 'b', 1) == 'ba' && 'ab'.reverse() == 'ba'",
        "'a,b'.split(',') == ['a', 'b'] && 'a,b'.split(',', 1) == ['a,b'] && 'abc'.substring(1) == 'bc' && 'abc'.substring(1, 2) == 'b'",
        "strings.quote('a') == '\"a\"' && timestamp(0).getMonth('UTC') == 0 && duration('90m').getMinutes() == 90",
        "[timestamp(0)].all(t, t.getDate() == 1 && t.getDayOfMonth() == 0 && t.getDayOfWeek() == 4 && t.getDayOfYear() == 0)",
        "[timestamp(0)].all(t, t.getHours('UTC') == 0 && t.getMilliseconds() == 0 && t.getMinutes() == 0 && t.getSeconds() == 0)",
        "math.abs(-1) == 1 && math.bitAnd(3, 1) == 1 && math.bitNot(0) == -1 && math.bitOr(1, 2) == 3 && math.bitXor(1, 1) == 0",
        "math.bitShiftLeft(1, 2) == 4 && math.bitShiftRight(4, 2) == 1 && math.ceil(0.5) == 1.0 && math.floor(1.5) == 1.0",
        "math.greatest(1, 2, 3) == 3 && math.least([1, 2]) == 1 && math.greatest(1, 2) == 2 && math.isFinite(1.0) && !math.isInf(1.0)",
        "!math.isNaN(1.0) && math.round(1.4) == 1.0 && math.sign(-2) == -1 && math.sqrt(4) == 2.0 && math.trunc(1.9) == 1.0",
    ] {
        assert_eq!(compile(source).evaluate(&scope(&event)), Ok(json!(true)), "{source}");
    }
}

/// An event whose payload has every type, and keys that look like paths.
fn told() -> Event {
    Event {
        id: EventId::from_parts(Timestamp::from_unix_millis(1), 1),
        delivery: None,
        source: None,
        traceparent: None,
        kind: "jira.issue.transitioned".parse().expect("a type"),
        subject: "OPS-42".to_owned(),
        time: Timestamp::from_unix_millis(1_795_262_400_250),
        data: json!({
            "a": {"b": 1, "list": [1, 2, 3], "text": "x", "none": null, "on": true, "ratio": 0.5, "large": u64::MAX},
            "a.b": {"c": "dotted"},
            "list": [{"name": "one", "on": true}, {"name": "two", "on": false}],
            "event": "inner",
            "empty": {},
        }),
    }
}

#[test]
fn what_is_lent_has_the_value_it_would_have_converted_beforehand() {
    let (event, parameters) = (told(), json!({"a": {"b": "c"}, "size": 7}));
    let whole = Variable::Event(&event).to_value();
    let beforehand = Scope::new([("event", &whole), ("parameters", &parameters)]);
    let fields = parameters.as_object().expect("an object");
    let lent = || Scope::lending(Variables::new([("event", Variable::Event(&event)), ("parameters", Variable::Fields(fields))]));
    // One scope for all of them as well: an earlier expression may have had a variable converted as a whole.
    let shared = lent();
    for source in [
        "event.data.a.b",
        "event.data.a.b + parameters.size",
        "event.data.a.text + event.subject + event.type + event.id + event.time",
        "event.source",
        "event.source.x",
        "event.source == null",
        "event.subject.x",
        "event.data.a.none",
        "event.data.a.none.x",
        "event.data.a.large",
        "event.data.a.ratio",
        "event.data.a.on ? 'yes' : 'no'",
        "event.data.a.b.c",
        "event.data.missing.deeper",
        "event.data.empty",
        "event.data.empty.x",
        "has(event.subject)",
        "has(event.data.a.b)",
        "has(event.data.a.c)",
        "has(event.data.a.text.x)",
        "has(parameters.a.b) && parameters.a.b == 'c'",
        "event.data['a.b'].c",
        "event.data['a'].b",
        "event['data'].a.b",
        "event.data.a.list[1]",
        "event.data.a.list",
        "event.data.list.b",
        "event.data.list[0].name",
        "event.data.list.exists(x, x.name == event.data.event + '')",
        "event.data.list.filter(x, x.on).map(x, x.name)",
        "event.data.list.map(event, event.name)",
        "event.data.list.all(x, has(x.name) && x.name != event.subject)",
        "event.data",
        "event",
        "event == event",
        "event.data.a == {'b': 1}",
        "'b' in event.data.a",
        "size(event.data.a)",
        "size(event)",
        "{'x': event.data.a, 'y': parameters}",
        "parameters",
        "parameters.gone",
        "event.data.a.b == 2 && event.data.gone == 3",
        "event.data.a.text.startsWith('x')",
    ] {
        let expression = compile(source);
        let wanted = (expression.evaluate(&beforehand), expression.explain(&beforehand));
        assert_eq!((expression.evaluate(&lent()), expression.explain(&lent())), wanted, "{source}");
        assert_eq!((expression.evaluate(&shared), expression.explain(&shared)), wanted, "{source}, one scope for all");
    }
    assert_eq!(compile("event.data.a.b + parameters.size").evaluate(&lent()), Ok(json!(8)));
    assert_eq!(compile("event.data['a.b'].c").evaluate(&lent()), Ok(json!("dotted")));
    assert_eq!(lent().widest(), beforehand.widest());
}

#[test]
fn a_long_list_that_is_lent_is_refused_as_well() {
    let event = Event { data: json!({"list": (0..20_000).collect::<Vec<u32>>()}), ..told() };
    let scope = Scope::lending(Variables::new([("event", Variable::Event(&event))]));
    let when = compile("event.data.list.all(x, event.data.list.exists(y, y == x))");
    assert!(matches!(when.evaluate(&scope), Err(EvaluationError::TooCostly { .. })));
}

#[test]
fn a_field_whose_name_has_a_dot_is_reached_in_brackets_only() {
    // A scope is asked for `event.data.a.b` and takes every dot for a step; a name in backquotes would be taken for two.
    for source in ["event.data.`a.b`", "event.`data.a`", "has(event.data.`a.b`)"] {
        assert!(Expression::compile(source, &["event"]).is_err(), "{source}");
    }
}

#[test]
fn a_field_no_event_has_is_refused_at_its_place_with_the_nearest() {
    let refused = |source: &str| Expression::compile(source, &["event"]).expect_err(source);
    let error = refused("event.type == 'a' &&\n  event.dta.approved == true");
    assert_eq!((error.line, error.column), (2, 9), "{error}");
    assert!(error.message.contains("no field `dta`") && error.message.contains("did you mean event.data?"), "{error}");
    assert!(refused("event.labels.severity == 'page'").message.contains("below event.data"));
    for source in ["has(event.dta)", "event['dta'] == 1", "[1].exists(x, event.dta == x)", "event.dta.all(x, x > 1)"] {
        assert!(refused(source).message.contains("no field `dta`"), "{source}");
    }
    // What is below `data` is the sender's, and a name that is bound here is no event.
    for source in ["event.data.dta", "event.data['dta']", "event['data'].x", "event[event.type] == 1", "event.data.list.exists(event, event.dta)"] {
        assert!(Expression::compile(source, &["event"]).is_ok(), "{source}");
    }
}

#[test]
fn a_pattern_that_is_no_regular_expression_is_refused_at_load() {
    for source in ["event.subject.matches('(')", "matches(event.subject, '(')", "event.data.all(x, x.matches('a{2,1}'))"] {
        let error = Expression::compile(source, &["event"]).expect_err(source);
        assert!(error.message.contains("and this is none: ") && !error.message.contains('\n'), "{error}");
    }
    let error = Expression::compile("event.subject.matches('(')", &["event"]).expect_err("no pattern");
    assert_eq!(error.column, 15);
    assert!(error.message.ends_with("unclosed group"), "{error}");
    assert!(Expression::compile("event.subject.matches('^OPS-[0-9]+$')", &["event"]).is_ok());
}
