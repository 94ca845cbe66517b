//! Fields and elements taken out, added, merged and ensured.

use super::edits_at_random::{document, habits, is_subsequence, path_of, pointer, put, texts, three_readers_agree, written};
use super::*;
use serde_json::json;

fn path(text: &str) -> FieldPath {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn becomes(before: &str, operation: impl Fn(&mut Editor) -> Result<bool, EditError>, after: &str) {
    let mut editor = Editor::open(before.to_owned(), before.starts_with('{') && !before.contains('#')).expect("read");
    let changed = operation(&mut editor).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(editor.text(), after);
    assert_eq!(changed, before != after);
    assert_eq!(editor.documents(), read(after));
}

#[track_caller]
fn without(before: &str, field: &str, after: &str) {
    becomes(before, |editor| editor.remove(None, &path(field)), after);
}

#[track_caller]
fn appended(before: &str, field: &str, value: Value, after: &str) {
    becomes(before, |editor| editor.append(None, &path(field), &value), after);
}

#[track_caller]
fn merged(before: &str, field: &str, value: Value, after: &str) {
    becomes(before, |editor| editor.merge(None, &path(field), &value), after);
}

#[track_caller]
fn ensured(before: &str, field: &str, value: Value, key: Option<&str>, after: &str) {
    becomes(before, |editor| editor.ensure(None, &path(field), &value, key), after);
}

#[test]
fn a_field_is_taken_out_with_its_own_lines() {
    without("a: 1\n# about b\nb: 2 # two\nc: 3\n", "b", "a: 1\n# about b\nc: 3\n");
    without("a: 1\nb:\n  c: 2\n  # within\n  d: 3\n\ne: 4\n", "b", "a: 1\n\ne: 4\n");
    without("a: 1\r\nb: 2\r\n", "a", "b: 2\r\n");
    without("a: 1\nb: 2", "b", "a: 1");
    without("a: |\n  x\n  y\n\nb: 2\n", "a", "\nb: 2\n");
    without("a: {b: 1, c: 2, d: 3}\n", "a.c", "a: {b: 1, d: 3}\n");
    without("a: {b: 1, c: 2}\n", "a.c", "a: {b: 1}\n");
    without("a: {b: 1, c: 2}\n", "a.b", "a: {c: 2}\n");
    without("{\n  \"a\": 1,\n  \"b\": [1, 2]\n}\n", "b", "{\n  \"a\": 1\n}\n");
    without("{\n  \"a\": 1,\n  \"b\": 2\n}\n", "a", "{\n  \"b\": 2\n}\n");
    without("a:\n  b:\nc: 1\n", "a.b", "a: {}\nc: 1\n");
    without("a: # why\n  b: 1\nc: 1\n", "a.b", "a: {} # why\nc: 1\n");
    without("a: &x\n  b: 1\nc: 1\n", "a.b", "a: &x {}\nc: 1\n");
    without("a: {b: 1}\n", "a.b", "a: {}\n");
    without("a: 1\n", "b", "a: 1\n");
}

#[test]
fn an_element_is_taken_out_by_what_it_is_called() {
    let list = "spec:\n  containers:\n  # first\n  - name: api\n    image: a:1\n  - name: debug\n    image: d:1 # only for a day\n";
    without(list, "spec.containers[name=debug]", "spec:\n  containers:\n  # first\n  - name: api\n    image: a:1\n");
    without(list, "spec.containers[name=api]", "spec:\n  containers:\n  # first\n  - name: debug\n    image: d:1 # only for a day\n");
    without(list, "spec.containers[name=other]", list);
    without("args:\n- --one\n- --two=2\n", "args[=--two=2]", "args:\n- --one\n");
    without("args: [a, b, \"c\"]\n", "args[=c]", "args: [a, b]\n");
    without("args: [a]\nb: 1\n", "args[=a]", "args: []\nb: 1\n");
    without("args:\n  - a\nb: 1\n", "args[=a]", "args: []\nb: 1\n");
    without("l:\n- name: x\n  image: y\n", "l[name=x].image", "l:\n- name: x\n");
    without("l:\n- id: 1\n  name: x\n", "l[name=x].id", "l:\n- name: x\n");
    without("l:\n- id: 1 # one\n  name: x\n", "l[name=x].id", "l:\n- # one\n  name: x\n");
}

#[test]
fn what_cannot_be_taken_out_says_why() {
    let mut editor = Editor::open("a: &x 1\nb: *x\nspec:\n  paused: true\n".to_owned(), false).expect("read");
    let error = editor.remove(None, &path("a")).expect_err("shared");
    assert_eq!(error.reason, EditFault::Shared, "{error}");
    let mut merging = Editor::open("a: &x {b: 1}\nc:\n  <<: *x\n  b: 2\n".to_owned(), false).expect("read");
    let error = merging.remove(None, &path("c.b")).expect_err("it comes back");
    assert!(error.reason == EditFault::Shared && error.message.contains("would come back through the merge key `<<` in line 3"), "{error}");
    let error = editor.remove(None, &path("spce.paused")).expect_err("missing");
    assert!(error.reason == EditFault::Missing && error.message.contains("no field `spce`; there are: a, b, spec"), "{error}");
    let error = editor.remove(None, &path("spec[name=x]")).expect_err("no list");
    assert_eq!(error.reason, EditFault::Kind, "{error}");
    assert_eq!(editor.text(), "a: &x 1\nb: *x\nspec:\n  paused: true\n");
}

#[test]
fn elements_are_edited_wherever_their_dash_stands() {
    let alone = "l:\n  - a: 1\n  -\n    # why\n    a: 2\n    b: 3\n";
    without(alone, "l[a=2]", "l:\n  - a: 1\n");
    appended(alone, "l", json!({"a": 4}), &format!("{alone}  - a: 4\n"));
    let place = |list: &str, number| FieldPath::from(vec![Step::Key(list.to_owned()), Step::Place(number)]);
    let set = |before: &str, number, value: Value, after: &str| becomes(before, |editor| editor.set(None, &place("l", number), &value), after);
    set("l:\n-\n- b\n", 0, json!("a"), "l:\n- a\n- b\n");
    set("l:\n- # why\n- b\n", 0, json!("a"), "l:\n- a # why\n- b\n");
    set("l:\n- ~\n", 0, json!({"a": 1, "b": 2}), "l:\n- a: 1\n  b: 2\n");
    set("l:\n  - sh\n  - | # a > b\n    one\n    two\n  - z\n", 1, json!("three\nfour\n"), "l:\n  - sh\n  - | # a > b\n    three\n    four\n  - z\n");
    set("l:\n- >-\n  one\n  two\n", 0, json!("three"), "l:\n- three\n");
    becomes("l: [a: 1, b: 2]\n", |editor| editor.remove(None, &place("l", 0).with(Step::Key("a".to_owned()))), "l: [{}, b: 2]\n");
}

#[test]
fn an_element_is_added_as_its_siblings_are_written() {
    appended("a:\n- x # c\nb: 1\n", "a", json!("w"), "a:\n- x # c\n- w\nb: 1\n");
    appended("a:\n    - x\n# end\n", "a", json!({"k": 1, "l": [2]}), "a:\n    - x\n    - k: 1\n      l:\n          - 2\n# end\n");
    appended("a: [x, y]\n", "a", json!("z"), "a: [x, y, z]\n");
    appended("{\n  \"a\": [\n    1,\n    2\n  ]\n}\n", "a", json!(3), "{\n  \"a\": [\n    1,\n    2,\n    3\n  ]\n}\n");
    appended("a: []\n", "a", json!("z"), "a: [z]\n");
    appended("a:\nb: 1\n", "a", json!("z"), "a:\n- z\nb: 1\n");
    appended("b: 1\n", "a", json!("z"), "b: 1\na:\n- z\n");
    appended("a:\n- x", "a", json!("w"), "a:\n- x\n- w");
    appended("a:\n- - x\n", "a", json!("w"), "a:\n- - x\n- w\n");
    appended("a:\n- |\n  text\n", "a", json!("w"), "a:\n- |\n  text\n- w\n");
    let mut editor = Editor::open("a: 1\n".to_owned(), false).expect("read");
    assert_eq!(editor.append(None, &path("a"), &json!(1)).expect_err("no list").reason, EditFault::Kind);
}

#[test]
fn a_mapping_is_merged_field_by_field() {
    let before = "metadata:\n  labels: # of it\n    a: \"1\" # one\n    b: x\n";
    merged(before, "metadata.labels", json!({"b": "w", "c": "z"}), "metadata:\n  labels: # of it\n    a: \"1\" # one\n    b: w\n    c: z\n");
    merged(before, "metadata.labels", json!({"a": null}), "metadata:\n  labels: # of it\n    b: x\n");
    merged(before, "metadata.annotations", json!({"n": null, "m": "1"}), &format!("{before}  annotations:\n    m: \"1\"\n"));
    merged(before, "metadata", json!({"labels": {"a": "2"}}), &before.replace("\"1\"", "\"2\""));
    merged(before, "metadata.labels", json!({"a": "1"}), before);
    let mut editor = Editor::open("a: 1\nb: {c: 1}\n".to_owned(), false).expect("read");
    assert_eq!(editor.merge(None, &path("a"), &json!({"b": 1})).expect_err("no mapping").reason, EditFault::Kind);
    // All of it or nothing.
    let error = editor.merge(None, &path("b"), &json!({"c": 2, "d": {"e": 1}, "c": {"x": 1}})).expect_err("no mapping");
    assert!(error.reason == EditFault::Kind && editor.text() == "a: 1\nb: {c: 1}\n");
}

#[test]
fn a_list_has_an_element_once() {
    ensured("f: [a]\n", "f", json!("a"), None, "f: [a]\n");
    ensured("f: [a]\n", "f", json!("b"), None, "f: [a, b]\n");
    ensured("x: 1\n", "f", json!("b"), None, "x: 1\nf:\n- b\n");
    let env = "env:\n- name: A\n  value: \"1\" # one\n- name: B\n  value: x\n";
    ensured(env, "env", json!({"name": "A", "value": "2"}), Some("name"), &env.replace("\"1\"", "\"2\""));
    ensured(env, "env", json!({"name": "C", "value": "2"}), Some("name"), &format!("{env}- name: C\n  value: \"2\"\n"));
    ensured(env, "env", json!({"name": "B", "value": null}), Some("name"), "env:\n- name: A\n  value: \"1\" # one\n- name: B\n");
    let mut editor = Editor::open(env.to_owned(), false).expect("read");
    let error = editor.ensure(None, &path("env"), &json!({"value": "2"}), Some("name")).expect_err("nameless");
    assert!(error.message.contains("no field `name`"), "{error}");
}

fn taken(value: &mut Value, steps: &[Step]) {
    let (last, above) = steps.split_last().expect("a step");
    let parent = if above.is_empty() {
        value
    } else {
        let at = pointer(value, above);
        value.pointer_mut(&at).expect("there")
    };
    match (last, parent) {
        (Step::Key(key), Value::Object(fields)) => drop(fields.shift_remove(key)),
        (Step::Element { key, value }, Value::Array(items)) => items.retain(|item| item[key] != **value),
        _ => unreachable!("a path leads through mappings and lists"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_taken_out_at_random_leaves_every_other_byte(
        value in document(), habits in habits(), dice in prop::collection::vec(any::<u8>(), 40), which in any::<prop::sample::Index>(), element in any::<bool>(),
    ) {
        let writer = written(&value, &habits, dice);
        prop_assume!(read(&writer.out).len() == 1 && read_one(&writer.out) == value && !writer.scalars.is_empty());
        let mut steps = which.get(&writer.scalars).0.clone();
        if element && let Some(at) = steps.iter().rposition(|step| matches!(step, Step::Element { .. })) {
            steps.truncate(at + 1);
        }
        let mut expected = value.clone();
        taken(&mut expected, &steps);
        let mut editor = Editor::open(writer.out.clone(), false).expect("read");
        match editor.remove(None, &path_of(&steps)) {
            Ok(changed) => prop_assert!(changed),
            // Comments between the commas of one mapping, or a text whose comments would become a part of the value before.
            Err(error) if error.reason == EditFault::Form && habits.comments => prop_assume!(false, "a refusal"),
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{}", writer.out))),
        }
        three_readers_agree(editor.text(), &expected)?;
        prop_assert_eq!(editor.documents(), &read(editor.text())[..]);
        let emptied = expected.pointer(&pointer(&expected, &steps[..steps.len() - 1])).is_some_and(|parent| {
            parent.as_object().is_some_and(serde_json::Map::is_empty) || parent.as_array().is_some_and(Vec::is_empty)
        });
        prop_assert!(emptied || is_subsequence(editor.text(), &writer.out), "{}\n---\n{}", writer.out, editor.text());
    }

    #[test]
    fn an_edit_and_its_inverse_give_the_bytes_there_were(
        value in document(), habits in habits(), dice in prop::collection::vec(any::<u8>(), 40), which in any::<prop::sample::Index>(), new in super::scalars::value(&texts().boxed()),
    ) {
        let writer = written(&value, &habits, dice);
        prop_assume!(read(&writer.out).len() == 1 && read_one(&writer.out) == value);
        let mut steps = which.get(&writer.mappings).clone();
        prop_assume!(pointed(&value, &steps).as_object().is_some_and(|fields| !fields.is_empty()));
        steps.push(Step::Key("added".to_owned()));
        let mut editor = Editor::open(writer.out.clone(), false).expect("read");
        prop_assume!(editor.set(None, &path_of(&steps), &new).is_ok(), "a refusal");
        let mut expected = value.clone();
        put(&mut expected, &steps, &new);
        three_readers_agree(editor.text(), &expected)?;
        editor.remove(None, &path_of(&steps)).map_err(|error| TestCaseError::fail(format!("{error}\n{}", editor.text())))?;
        prop_assert_eq!(editor.text(), &writer.out[..]);
    }

    #[test]
    fn an_element_added_at_random_is_the_only_difference(
        value in document(), habits in habits(), dice in prop::collection::vec(any::<u8>(), 40), which in any::<prop::sample::Index>(), new in super::scalars::value(&texts().boxed()),
    ) {
        let writer = written(&value, &habits, dice);
        prop_assume!(read(&writer.out).len() == 1 && read_one(&writer.out) == value);
        let lists: Vec<Vec<Step>> = writer.scalars.iter().filter_map(|(steps, _)| {
            let at = steps.iter().rposition(|step| matches!(step, Step::Element { .. }))?;
            Some(steps[..at].to_vec())
        }).collect();
        prop_assume!(!lists.is_empty());
        let steps = which.get(&lists).clone();
        let mut editor = Editor::open(writer.out.clone(), false).expect("read");
        match editor.append(None, &path_of(&steps), &new) {
            Ok(changed) => prop_assert!(changed),
            Err(error) if error.reason == EditFault::Form && !writer.out.ends_with('\n') => prop_assume!(false, "a refusal"),
            Err(error) => return Err(TestCaseError::fail(format!("{error}\n{}", writer.out))),
        }
        let mut expected = value.clone();
        let at = pointer(&value, &steps);
        expected.pointer_mut(&at).and_then(Value::as_array_mut).expect("a list").push(new);
        three_readers_agree(editor.text(), &expected)?;
        prop_assert!(is_subsequence(&writer.out, editor.text()), "{}\n---\n{}", writer.out, editor.text());
    }
}

fn pointed<'v>(value: &'v Value, steps: &[Step]) -> &'v Value {
    value.pointer(&pointer(value, steps)).expect("there")
}

#[test]
fn a_document_is_added_at_the_end_unless_that_changes_the_one_before_it() {
    let added = |before: &str, document: &str, after: &str| becomes(before, |editor| editor.add_document(document), after);
    added("a: 1\n", "b: 2\n", "a: 1\n---\nb: 2\n");
    added("a: 1", "b: 2\n", "a: 1\n---\nb: 2\n");
    added("a: 1\r\n", "b: 2\nc: 3\n", "a: 1\r\n---\r\nb: 2\r\nc: 3\r\n");
    // A block that keeps its last lines: with one more, or one less, it says something else.
    added("a: |+\n  x", "b: 2\n", "b: 2\n---\na: |+\n  x");
    added("---\na: |+\n  x", "b: 2\n", "b: 2\n---\na: |+\n  x");
    added("a: 1\n", "b: |+\n  x", "a: 1\n---\nb: |+\n  x");
    let mut both = Editor::open("a: |+\n  x".to_owned(), false).expect("read");
    let error = both.add_document("b: |+\n  x").expect_err("refused").to_string();
    assert!(error.contains("without changing another one") && both.text() == "a: |+\n  x", "{error}");
}
