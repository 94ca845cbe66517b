//! The shipped policies hold their own tests.

use super::*;
use crate::manifest::Document;

fn tests() -> Vec<(String, PolicyTest)> {
    let mut all = Vec::new();
    for (path, text) in shipped_tests() {
        for Document { value, .. } in parse(&text, Limits::default()).unwrap_or_else(|error| panic!("{path}: {error:?}")) {
            all.push((path.clone(), serde_json::from_value(value["spec"].clone()).unwrap_or_else(|error| panic!("{path}: {error}"))));
        }
    }
    all
}

#[test]
fn the_shipped_policies_compile() {
    let shipped = shipped().expect("the shipped policies");
    assert!(shipped.policies.iter().all(|policy| !policy.compiled().validations.is_empty()));
}

#[test]
fn every_shipped_policy_passes_its_tests() {
    let mut failed = Vec::new();
    for (path, test) in tests() {
        for case in &test.cases {
            let outcome = run_case(TestedPolicies::shipped().expect("the shipped policies"), case, None, test.policy.as_deref());
            if !outcome.passed {
                failed.push(format!("{path}: {}: wanted {:?} {:?}, said {:#?}", case.name, case.expect, case.message, outcome.said));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_shipped_policy_is_bound_and_tested_both_ways_and_says_how_to_mend() {
    let shipped = super::super::shipped().expect("the shipped policies");
    assert!(shipped.policies.len() >= 6, "{}", shipped.policies.len());
    for policy in &shipped.policies {
        assert_eq!(shipped.bindings.iter().filter(|binding| binding.spec.policy_name == policy.name).count(), 1, "{}", policy.name);
        let tests = tests();
        let expected: Vec<Expectation> = tests
            .iter()
            .filter(|(_, test)| test.policy.as_deref() == Some(&policy.name))
            .flat_map(|(_, test)| test.cases.iter().map(|case| case.expect))
            .collect();
        assert!(
            expected.contains(&Expectation::Allow) && expected.len() > expected.iter().filter(|expect| **expect == Expectation::Allow).count(),
            "{}: {expected:?}",
            policy.name
        );
        for validation in &policy.spec.validations {
            let message = validation.message.as_deref().unwrap_or_default();
            assert!(message.contains(';'), "{}: what is wrong; how to mend it: {message:?}", policy.name);
        }
    }
}
