//! What holds for any policy on any object.

use super::*;
use crate::expression::{Activation, Budget, Converted, EvaluationError, Metered, Wanted};
use proptest::prelude::*;

/// Expressions of which many fail on many objects.
fn expressions() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec![
        "object.spec.replicas",
        "object.spec.name",
        "object.spec.list",
        "object.spec.none",
        "object.?spec.?replicas.orValue(1)",
        "params",
        "1",
        "'a'",
        "[1, 2]",
    ]);
    let leaf = (field.clone(), prop::sample::select(vec!["==", "<", ">=", "!=", "in"]), field)
        .prop_map(|(one, operator, other)| format!("{one} {operator} {other}"));
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} && {other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} || {other})")),
            inner.clone().prop_map(|inner| format!("!({inner})")),
            inner.prop_map(|inner| format!("object.spec.list.all(x, x > 0 || {inner})")),
        ]
    })
}

fn objects() -> impl Strategy<Value = Value> {
    let value = prop_oneof![Just(json!(null)), Just(json!(true)), (0..3_i64).prop_map(|n| json!(n)), Just(json!("a")), Just(json!([1, 0]))];
    prop::collection::btree_map(prop::sample::select(vec!["replicas", "name", "list"]), value, 0..3).prop_map(|fields| {
        let mut object = deployment(1);
        object["spec"] = json!(fields);
        object
    })
}

proptest! {
    #[test]
    fn what_is_not_known_to_hold_denies_unless_the_policy_fails_open(expression in expressions(), object in objects()) {
        // What can be seen never to work is refused when it is read, which is another test.
        let Ok(compiled) = Metered::compile(&expression, &["object", "params"], &[], Wanted::Bool) else { return Ok(()) };
        let (value, null) = (Converted::lend(&object), Converted::null());
        let held = Activation::new([("object", &value), ("params", &null)], [], &Budget::new(1_000_000)).holds(&compiled);
        let policy = |failure: &str| {
            about_deployments(&format!("  failurePolicy: {failure}\n  validations: [{{ expression: {}, message: denied }}]\n", serde_json::to_string(&expression).expect("a text")))
        };
        let (closed, open) = (said(&policies(&policy("Fail"), &[]), &object), said(&policies(&policy("Ignore"), &[]), &object));
        match held {
            Ok(true) => prop_assert!(closed.is_empty() && open.is_empty(), "{expression}: {closed:?}"),
            Ok(false) => prop_assert!(closed == ["denied"] && open == ["denied"], "{expression}: {closed:?} {open:?}"),
            Err(EvaluationError::Missing(_) | EvaluationError::Failed(_) | EvaluationError::TooCostly { .. }) => {
                prop_assert!(closed.len() == 1 && closed[0].contains("cannot be evaluated") && open.is_empty(), "{expression}: {closed:?} {open:?}");
            }
        }
    }

    #[test]
    fn no_text_makes_the_compiler_panic(text in "[a-z.()\\[\\]{}'\"?:!&|<>=+*/%,0-9 ]{0,60}") {
        let _ = Metered::compile(&text, &["object"], &["a"], Wanted::Any);
    }
}
