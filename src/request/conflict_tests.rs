//! Conflicts between two requests, from the manifests each would leave.

use super::*;
use crate::manifest::{Limits, ObjectChange, diff, parse};
use crate::types::ManifestPath;
use crate::validate::Evidence;

const FILE: &str = "apps/web/api.yaml";
const BASE: &str = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: api, namespace: web}\nspec: {replicas: 2, template: {spec: {containers: [{name: api, image: a:1}, {name: side, image: s:1}]}}}\n";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(seconds * 1000)
}

fn from(before: &str, after: &str) -> Changes {
    let read = |text: &str| parse(text, Limits::default()).expect("YAML");
    let file: ManifestPath = FILE.parse().expect("a path");
    let objects = diff(&read(before), &read(after)).into_iter().map(|change| ObjectChange { file: Some(file.clone()), ..change }).collect();
    Changes {
        drafted: None,
        files: vec![file],
        objects,
        cut: false,
        evidence: Evidence::default(),
        first: None,
        expiry: None,
        rule: None,
        applied_within: None,
        place: None,
        clusters: Default::default(),
    }
}

fn with(from: &str, to: &str) -> String {
    let text = BASE.replace(from, to);
    assert_ne!(text, BASE);
    text
}

/// A request planned for the first time.
fn first(before: &str, after: &str) -> Changes {
    let mut changes = from(before, after);
    changes.follow(None, at(1));
    changes
}

/// The same request planned again on another base.
fn again(before: &Changes, base: &str, after: &str) -> Changes {
    let mut changes = from(base, after);
    changes.follow(Some(before), at(2));
    changes
}

fn rival(changes: Changes, merged: bool) -> Rival {
    let id = RequestId::from_parts(at(0), 7);
    let pull = Some(PullRef { number: 12, url: "https://forge.example/12".to_owned() });
    Rival { request: id, state: if merged { State::Merged } else { State::Proposed }, pull, changes, merged }
}

fn told(mine: &Changes, rival: Rival) -> Vec<String> {
    findings(&conflicts(mine, &[rival])).into_iter().map(|finding| finding.message).collect()
}

#[test]
fn the_same_field_of_an_open_request_is_named_with_both_values() {
    let six = rival(first(BASE, &with("replicas: 2", "replicas: 6")), false);
    let id = six.request.clone();
    let mine = first(BASE, &with("replicas: 2", "replicas: 4"));
    let found = findings(&conflicts(&mine, std::slice::from_ref(&six)));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, format!("spec.replicas of Deployment web/api is also changed by request {id} (pull request #12, open): 2 -> 6"));
    assert_eq!((found[0].rule.as_str(), found[0].path.as_str(), found[0].severity), (CONFLICT, FILE, crate::validate::Severity::Warning));
    let unpublished = Rival { pull: None, state: State::Planned, ..six };
    assert!(told(&mine, unpublished)[0].ends_with(&format!("request {id} (planned): 2 -> 6")));
}

#[test]
fn different_fields_of_one_file_are_no_conflict_and_neither_is_the_same_wish() {
    let mine = first(BASE, &with("replicas: 2", "replicas: 4"));
    for other in [
        with("image: a:1", "image: a:2"),
        with("replicas: 2", "replicas: 4"),
        with("{name: api, namespace: web}", "{name: api, namespace: web, labels: {a: b}}"),
        format!("{BASE}---\nkind: Service\napiVersion: v1\nmetadata: {{name: api, namespace: web}}\n"),
    ] {
        assert_eq!(told(&mine, rival(first(BASE, &other), false)), Vec::<String>::new(), "{other}");
    }
    // One image each; one annotation each, where there were none at all.
    let images = (with("image: a:1", "image: a:2"), with("image: s:1", "image: s:2"));
    assert!(told(&first(BASE, &images.0), rival(first(BASE, &images.1), false)).is_empty());
    let annotated = |annotation: &str| with("namespace: web}", &format!("namespace: web, annotations: {{{annotation}}}}}"));
    assert!(told(&first(BASE, &annotated("x: '1'")), rival(first(BASE, &annotated("y: '1'")), false)).is_empty());
    let same = told(&first(BASE, &annotated("x: '1', y: '1'")), rival(first(BASE, &annotated("x: '2', y: '1'")), false));
    assert!(same.len() == 1 && same[0].starts_with("metadata.annotations.x of Deployment web/api") && same[0].ends_with("added: \"2\""), "{same:?}");
    // The same object of another file is another.
    let mut elsewhere = first(BASE, &with("replicas: 2", "replicas: 6"));
    elsewhere.objects[0].file = "other.yaml".parse().ok();
    assert!(told(&mine, rival(elsewhere, false)).is_empty());
}

#[test]
fn a_field_and_a_part_of_it_are_a_conflict() {
    let mine = first(BASE, &with("image: a:1", "image: a:2"));
    let gone = with("{name: api, image: a:1}, ", "");
    let found = told(&mine, rival(first(BASE, &gone), false));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("containers[name=api].image of Deployment web/api is also changed") && found[0].ends_with("removed, was a:1"),
        "{found:?}"
    );
    let found = told(&mine, rival(first(BASE, &with("{spec: {containers: [{name: api, image: a:1}, {name: side, image: s:1}]}}", "x")), false));
    assert!(found.len() == 1 && found[0].contains("open): spec.template "), "{found:?}");
    // A key that only begins with the other is another field.
    let short = first("a: {b: 1, bc: 1}\n", "a: {b: 2, bc: 1}\n");
    assert!(told(&short, rival(first("a: {b: 1, bc: 1}\n", "a: {b: 1, bc: 2}\n"), false)).is_empty());
}

#[test]
fn what_was_merged_since_is_a_conflict_when_it_changed_what_was_asked_against() {
    let (four, six) = (with("replicas: 2", "replicas: 4"), with("replicas: 2", "replicas: 6"));
    let asked = first(BASE, &four);
    let now = again(&asked, &six, &four);
    let found = told(&now, rival(first(BASE, &six), true));
    assert!(found.len() == 1 && found[0].ends_with("(pull request #12, merged): 2 -> 6"), "{found:?}");
    // It stays one however often the request is planned again.
    assert_eq!(told(&again(&now, &six, &four), rival(first(BASE, &six), true)), found);
    // Another field was merged: planned again, the request is what it was.
    let image = with("image: a:1", "image: a:2");
    let now = again(&asked, &image, &image.replace("replicas: 2", "replicas: 4"));
    assert!(told(&now, rival(first(BASE, &image), true)).is_empty());
    // It was merged before this request was first planned, though that was told later: the request was asked against it.
    assert!(told(&first(&six, &four), rival(first(BASE, &six), true)).is_empty());
    assert!(told(&first(&six, &four), rival(first(BASE, &six), false)).is_empty());
    // It was as wanted when it was first planned, beside another field; the merge changed it.
    let both = first(BASE, &image);
    let now = again(&both, &six, &image);
    let found = told(&now, rival(first(BASE, &six), true));
    assert!(found.len() == 1 && found[0].contains("spec.replicas"), "{found:?}");
}

#[test]
fn whole_objects_conflict_when_they_come_to_something_else() {
    let service = |port: u32| {
        format!("{BASE}---\nkind: Service\napiVersion: v1\nmetadata: {{name: api, namespace: web}}\nspec: {{ports: [{{port: {port}}}]}}\n")
    };
    let added = first(BASE, &service(80));
    assert!(told(&added, rival(first(BASE, &service(80)), false)).is_empty(), "both add the same");
    let found = told(&added, rival(first(BASE, &service(81)), false));
    assert!(found.len() == 1 && found[0].starts_with("Service web/api is also added by request"), "{found:?}");
    let found = told(&first(&service(80), &service(81)), rival(first(&service(80), BASE), false));
    assert!(found.len() == 1 && found[0].starts_with("Service web/api is removed by request"), "{found:?}");
    let found = told(&first(&service(80), BASE), rival(first(&service(80), &service(81)), false));
    assert!(found.len() == 1 && found[0].starts_with("Service web/api is also changed by request"), "{found:?}");
    assert!(told(&first(&service(80), BASE), rival(first(&service(80), BASE), false)).is_empty(), "both remove it");
    // The other one added it and was merged meanwhile: what was to be added is now to be changed.
    let now = again(&added, &service(81), &service(80));
    let found = told(&now, rival(first(BASE, &service(81)), true));
    assert!(found.len() == 1 && found[0].starts_with("Service web/api is also added by request"), "{found:?}");
}

#[test]
fn what_a_secret_holds_cannot_be_compared_so_it_is_told() {
    let secret = |value: &str| format!("kind: Secret\napiVersion: v1\nmetadata: {{name: s}}\nstringData: {{a: {value}}}\n");
    let found = told(&first(&secret("x"), &secret("y")), rival(first(&secret("x"), &secret("y")), false));
    assert!(found.len() == 1 && found[0].ends_with("*** -> ***"), "{found:?}");
    let found = told(&first("{}", &secret("y")), rival(first("{}", &secret("y")), false));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn many_conflicts_are_counted() {
    let file = |n: u32| (0..40).map(|field| format!("f{field}: {n}\n")).collect::<String>();
    let found = told(&first(&file(1), &file(2)), rival(first(&file(1), &file(3)), false));
    assert_eq!(found.len(), 21);
    assert_eq!(found[20], "20 more fields or objects are also changed by other requests");
}

#[test]
fn the_first_plan_is_kept_only_while_it_differs() {
    let (four, six) = (with("replicas: 2", "replicas: 4"), with("replicas: 2", "replicas: 6"));
    let asked = first(BASE, &four);
    assert_eq!(asked.first, Some(FirstPlan { at: at(1), objects: None }));
    let moved = again(&asked, &six, &four);
    assert_eq!(moved.first, Some(FirstPlan { at: at(1), objects: Some(asked.objects.clone()) }));
    assert_eq!(again(&moved, BASE, &four).first, Some(FirstPlan { at: at(1), objects: None }), "the base moved back");
}
