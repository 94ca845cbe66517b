use super::*;
use serde_json::json;

fn path(text: &str) -> FieldPath {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn edited(text: &str, object: Option<&str>, field: &str, value: &Value) -> Result<String, EditError> {
    let mut editor =
        Editor::open(text.to_owned(), text.starts_with("{\n") && !text.contains('#')).unwrap_or_else(|error| panic!("{error} in {text:?}"));
    let object = object.map(|object| object.parse::<ObjectAddress>().expect("an address"));
    let changed = editor.set(object.as_ref(), &path(field), value)?;
    assert_eq!(changed, editor.text() != text, "{text:?}");
    assert_eq!(editor.documents(), read(editor.text()), "what the editor goes on with is what the text says");
    Ok(editor.text().to_owned())
}

#[track_caller]
fn becomes(before: &str, field: &str, value: Value, after: &str) {
    let written = edited(before, None, field, &value).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(written, after);
    for documents in [&read(&written), &read(after)] {
        assert!(!documents.is_empty());
    }
    // A second reader sees the same.
    let by_libyaml: Vec<Value> = <serde_norway::Deserializer<'_> as Iterator>::map(serde_norway::Deserializer::from_str(&written), |document| {
        let value: serde_norway::Value = serde::Deserialize::deserialize(document).expect("libyaml reads it");
        serde_json::to_value(merged(value)).expect("JSON")
    })
    .collect();
    assert_eq!(by_libyaml, read(&written).into_iter().map(|document| document.value).collect::<Vec<_>>());
}

fn merged(mut value: serde_norway::Value) -> serde_norway::Value {
    value.apply_merge().expect("merge keys");
    value
}

#[track_caller]
fn refused(text: &str, object: Option<&str>, field: &str, value: Value, reason: EditFault, says: &[&str]) {
    let error = edited(text, object, field, &value).expect_err("refused");
    assert_eq!(error.reason, reason, "{error}");
    for part in says {
        assert!(error.message.contains(part), "{part:?} in {error}");
    }
}

const DEPLOYMENT: &str = "# The API.\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: api\n  namespace: web\n\nspec:\n  replicas: 2   # two are enough\n\n  template:\n    spec:\n      containers:\n      - name: sidecar\n        image: side:1.0\n      # the one that matters\n      - name: \"api\"\n        image: registry.example.com/api:1.4.2\n        args: [ --fast, \"--port=80\" ]\n";

#[test]
fn a_scalar_is_replaced_and_nothing_else_moves() {
    becomes(DEPLOYMENT, "spec.replicas", json!(6), &DEPLOYMENT.replace("replicas: 2 ", "replicas: 6 "));
    becomes(
        DEPLOYMENT,
        "spec.template.spec.containers[name=api].image",
        json!("registry.example.com/api:1.5.0"),
        &DEPLOYMENT.replace("1.4.2", "1.5.0"),
    );
    assert_eq!(edited(DEPLOYMENT, Some("Deployment/web/api"), "spec.replicas", &json!(2)).expect("unchanged"), DEPLOYMENT);
}

#[test]
fn a_value_is_written_as_the_one_before_it_was() {
    becomes("a: 'x' # c\n", "a", json!("it's"), "a: 'it''s' # c\n");
    becomes("a: \"x\"\n", "a", json!("y: z"), "a: \"y: z\"\n");
    becomes("a: 'x'\n", "a", json!("two\nlines"), "a: \"two\\nlines\"\n");
    becomes("tag: 1.2.3\n", "tag", json!("1.10.0"), "tag: 1.10.0\n");
    becomes("path: /healthz\n", "path", json!("/ready"), "path: /ready\n");
    becomes("on: x\n", "on", json!("yes"), "on: \"yes\"\n");
    becomes("a: web\n", "a", json!("8080"), "a: \"8080\"\n");
    becomes("a: some words\n", "a", json!("other words: here"), "a: \"other words: here\"\n");
    becomes("a: 2026-01-01\n", "a", json!("2026-01-02"), "a: \"2026-01-02\"\n");
    becomes("a: [b]\nc: {d: e:f}\n", "c.d", json!("g:h"), "a: [b]\nc: {d: g:h}\n");
    becomes("c: {d: e}\n", "c.d", json!("g h"), "c: {d: \"g h\"}\n");
    becomes("a: one\n   two # c\nb: 1\n", "a", json!(true), "a: true # c\nb: 1\n");
    becomes("a: ~\n", "a", json!(5), "a: 5\n");
    becomes("a: &x 1\nb: 2\n", "a", json!(5), "a: &x 5\nb: 2\n");
    becomes("a: !!str 1\n", "a", json!("2"), "a: !!str \"2\"\n");
}

#[test]
fn a_field_stands_behind_a_text_whose_last_line_is_blank() {
    becomes("a:\n  b: |-\n    x\n     \n", "a.c", json!(1), "a:\n  b: |-\n    x\n     \n  c: 1\n");
    becomes("a:\n  b: |-\n    x\n\nd: 2\n", "a.c", json!(1), "a:\n  b: |-\n    x\n  c: 1\n\nd: 2\n");
}

#[test]
fn a_block_of_text_is_replaced_and_blank_lines_behind_it_stay() {
    let text = "data:\n  script: |\n    set -e\n    run\n\n\n  # next\n  other: 1\n";
    becomes(text, "data.script", json!("set -e\n\n  go\n"), "data:\n  script: |\n    set -e\n\n      go\n\n\n  # next\n  other: 1\n");
    becomes(text, "data.script", json!("one\ntwo"), "data:\n  script: |-\n    one\n    two\n\n\n  # next\n  other: 1\n");
    becomes(text, "data.script", json!("one"), "data:\n  script: one\n\n\n  # next\n  other: 1\n");
    becomes("a: >- # why\n  b\n  c\nd: 1\n", "a", json!("x\ny\n"), "a: \"x\\ny\\n\" # why\nd: 1\n");
    becomes("a: |+\n  b\n\nc: 1\n", "a", json!(1), "a: 1\n\nc: 1\n");
    becomes("a: |\n  b", "a", json!("c"), "a: c\n");
    becomes("a: |\nb: 1\n", "a", json!("c"), "a: c\nb: 1\n");
    becomes("a:\n  |\n  b\nc: 1\n", "a", json!("d\ne\n"), "a:\n  |\n  d\n  e\nc: 1\n");
}

#[test]
fn a_missing_field_stands_behind_its_siblings_as_they_do() {
    becomes("spec:\n    a: 1 # one\n    # tail\nz: 2\n", "spec.b", json!("x"), "spec:\n    a: 1 # one\n    b: x\n    # tail\nz: 2\n");
    becomes("spec:\n  a: |\n    x\n\n\nz: 2\n", "spec.b", json!(1), "spec:\n  a: |\n    x\n  b: 1\n\n\nz: 2\n");
    becomes("spec:\n  a: |+\n    x\n\n\nz: 2\n", "spec.b", json!(1), "spec:\n  a: |+\n    x\n\n\n  b: 1\nz: 2\n");
    becomes("a: 1", "b.c", json!(2), "a: 1\nb:\n  c: 2");
    becomes("a: 1\r\nb:\r\n    c: 2\r\n", "b.d.e", json!(true), "a: 1\r\nb:\r\n    c: 2\r\n    d:\r\n        e: true\r\n");
    becomes("l:\n- name: x\n  a: 1\n- name: q\n", "l[name=x].b", json!(2), "l:\n- name: x\n  a: 1\n  b: 2\n- name: q\n");
    becomes("l:\n-   name: x\n", "l[name=x].b", json!(2), "l:\n-   name: x\n    b: 2\n");
    becomes("a:\n- b\n-\nc: 1\n", "d", json!(2), "a:\n- b\n-\nc: 1\nd: 2\n");
    becomes("a:\n  b:\n  - c\n  -\n", "a.d", json!(2), "a:\n  b:\n  - c\n  -\n  d: 2\n");
    becomes("m:\n  labels:\n  name: x\n", "m.labels[\"a.b/c\"]", json!("d"), "m:\n  labels:\n    a.b/c: d\n  name: x\n");
    becomes("m:\n  labels: null # none\n  name: x\n", "m.labels.a", json!("d"), "m:\n  labels: # none\n    a: d\n  name: x\n");
    becomes(
        "m:\n  labels: # none\n",
        "m.labels",
        json!({"a": "b", "c": ["d", {"e": 1, "f": []}]}),
        "m:\n  labels: # none\n    a: b\n    c:\n    - d\n    - e: 1\n      f: []\n",
    );
    becomes("a:\n  b:\n    - c\n", "d", json!([1, [2, 3]]), "a:\n  b:\n    - c\nd:\n  - 1\n  - - 2\n    - 3\n");
    becomes("data:\n  a: 1\n", "data.b", json!("x\ny\n"), "data:\n  a: 1\n  b: |\n    x\n    y\n");
    becomes("a: 1\n---\nb: 1\n".split_once("---").expect("two").0, "c", json!(1), "a: 1\nc: 1\n");
}

#[test]
fn braces_take_a_field_on_one_line_or_on_its_own() {
    becomes("m: {a: 1}\n", "m.b", json!("x"), "m: {a: 1, b: x}\n");
    becomes("m: { a: 1, } # c\n", "m.b.c", json!("x"), "m: { a: 1, b: {c: x} } # c\n");
    becomes("m: {}\n", "m.b", json!(1), "m: {b: 1}\n");
    becomes("m: { }\n", "m.b", json!(1), "m: { b: 1 }\n");
    becomes("m: {a: , b}\n", "m.a", json!(1), "m: {a: 1 , b}\n");
    becomes("m: {a: , b}\n", "m.b", json!(1), "m: {a: , b: 1}\n");
    becomes("m: {a: , b}\n", "m.c", json!(1), "m: {a: , b, c: 1}\n");
    becomes("m: {\n  a: 1, # one\n  b: 2 # two\n}\n", "m.c", json!(3), "m: {\n  a: 1, # one\n  b: 2, # two\n  c: 3\n}\n");
    becomes("m: {\n  a: 1,\n}\n", "m.c", json!(3), "m: {\n  a: 1,\n  c: 3,\n}\n");
    becomes("m: {\n  a: 1 }\n", "m.c", json!(3), "m: {\n  a: 1,\n  c: 3 }\n");
    becomes("m: {a: null}\n", "m.a.b", json!(3), "m: {a: {b: 3}}\n");
    becomes("l: [{name: x}, {name: q}]\n", "l[name=q].z", json!(3), "l: [{name: x}, {name: q, z: 3}]\n");
}

#[test]
fn json_stays_json() {
    becomes(
        "{\n  \"a\": \"x\",\n  \"l\": [\n    {\"name\": \"p\"}\n  ]\n}\n",
        "a",
        json!("y"),
        "{\n  \"a\": \"y\",\n  \"l\": [\n    {\"name\": \"p\"}\n  ]\n}\n",
    );
    becomes("{\n  \"a\": 1\n}\n", "b.c", json!(["x\u{200b}"]), "{\n  \"a\": 1,\n  \"b\": {\"c\": [\"x\\u200b\"]}\n}\n");
    becomes("{\n  \"l\": [{\"name\": \"p\"}]\n}\n", "l[name=p].q", json!(true), "{\n  \"l\": [{\"name\": \"p\", \"q\": true}]\n}\n");
}

#[test]
fn a_mapping_or_list_takes_the_place_of_another() {
    becomes("l:\n- a # x\n- b\n\n# tail\nz: 1\n", "l", json!(["c", {"d": 1}]), "l:\n- c\n- d: 1\n\n# tail\nz: 1\n");
    becomes("l: [a, b] # c\n", "l", json!(["c"]), "l: [c] # c\n");
    becomes("m:\n  a: 1 # keeps\n  b: 2\n", "m", json!({"a": 1, "b": 3, "c": 4}), "m:\n  a: 1 # keeps\n  b: 3\n  c: 4\n");
    becomes("m:\n  a: 1\n  b: 2\nz: 1\n", "m", json!({"b": 3}), "m:\n  b: 3\nz: 1\n");
    becomes("m:\n  a: 1\n", "m", json!({}), "m:\n  {}\n");
    becomes("l:\n- name: x\n  a: 1\n- name: q\n", "l[name=x]", json!({"name": "z"}), "l:\n- name: z\n- name: q\n");
    becomes("m: {}\n", "m", json!({"a": [1]}), "m: {a: [1]}\n");
}

#[test]
fn an_address_that_means_nothing_or_too_much_lists_what_there_is() {
    let two = format!("{DEPLOYMENT}---\nkind: Service\napiVersion: v1\nmetadata: {{ name: api, namespace: web }}\nspec: {{ type: ClusterIP }}\n");
    refused(&two, None, "spec.type", json!("x"), EditFault::Ambiguous, &["2 documents", "Deployment/web/api, Service/web/api"]);
    refused(&two, Some("Service//api"), "spec.type", json!("x"), EditFault::Missing, &["no Service//api", "Service/web/api"]);
    refused(DEPLOYMENT, None, "spec.template.spec.containers[name=web].image", json!("x"), EditFault::Missing, &["name=sidecar, name=api"]);
    refused(DEPLOYMENT, None, "spec.template.spec.containers[id=3].image", json!("x"), EditFault::Missing, &["elements with `name`"]);
    refused(DEPLOYMENT, None, "spec.template.spec.containers.image", json!("x"), EditFault::Kind, &["is a list", "name=api"]);
    refused(DEPLOYMENT, None, "spec.replicas.min", json!(1), EditFault::Kind, &["`spec.replicas` is a number, not a mapping"]);
    refused(DEPLOYMENT, None, "spec[name=x]", json!(1), EditFault::Kind, &["is a mapping, not a list", "replicas, template"]);
    refused(DEPLOYMENT, None, "spec.volumes[name=x].y", json!(1), EditFault::Missing, &["no list `spec.volumes`"]);
    refused(DEPLOYMENT, None, "spec.template", json!("x"), EditFault::Kind, &["is a mapping, and text cannot take its place"]);
    refused(DEPLOYMENT, None, "spec.replicas", json!({"a": 1}), EditFault::Kind, &["is a number, and a mapping"]);
    refused("l:\n- {name: a}\n- {name: a}\n", None, "l[name=a].b", json!(1), EditFault::Ambiguous, &["2 elements with name=a"]);
    let twice = "kind: A\napiVersion: v1\nmetadata: {name: x}\n---\nkind: A\napiVersion: g/v1\nmetadata: {name: x}\n";
    refused(twice, Some("A//x"), "spec", json!(1), EditFault::Ambiguous, &["2 times", "A.core//x, A.g//x"]);
    assert!(edited(twice, Some("A.g//x"), "spec", &json!(1)).expect("one of the two").ends_with("metadata: {name: x}\nspec: 1\n"));
    assert!(edited(&two, Some("Service/web/api"), "spec.type", &json!("LoadBalancer")).expect("set").ends_with("spec: { type: LoadBalancer }\n"));
}

#[test]
fn an_object_within_a_list_is_found() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- kind: A\n  apiVersion: v1\n  metadata: {name: x}\n- kind: A\n  apiVersion: v1\n  metadata: {name: q}\n  n: 1\n";
    assert_eq!(edited(list, Some("A//q"), "n", &json!(2)).expect("set"), list.replace("n: 1", "n: 2"));
}

#[test]
fn what_an_alias_or_a_merge_key_brings_in_is_left_alone() {
    let text = "base: &base\n  image: a\n  deep: {x: 1}\none:\n  <<: *base\n  own: 1\ntwo: *base\n";
    refused(text, None, "two.image", json!("b"), EditFault::Shared, &["alias in line 7"]);
    refused(text, None, "two", json!({"image": "b"}), EditFault::Shared, &["alias in line 7"]);
    refused(text, None, "one.image", json!("b"), EditFault::Shared, &["merge key `<<` in line 5"]);
    refused(text, None, "one.deep.x", json!(2), EditFault::Shared, &["merge key"]);
    refused(text, None, "base.image", json!("b"), EditFault::Shared, &["anchor"]);
    refused(text, None, "base.new", json!("b"), EditFault::Shared, &["anchor"]);
    // What is equal is no change, however it came there; what is the mapping's own is set.
    assert_eq!(edited(text, None, "two.image", &json!("a")).expect("equal"), text);
    becomes(text, "one.own", json!(2), &text.replace("own: 1", "own: 2"));
    becomes(text, "one.more", json!(2), &text.replace("  own: 1\n", "  own: 1\n  more: 2\n"));
    refused("# one\na: &x v\nb: *x\n", None, "a", json!("w"), EditFault::Shared, &["`a` has an anchor (line 2)"]);
}

#[test]
fn a_form_that_cannot_be_edited_is_refused_with_the_mend() {
    refused("? a\n", None, "a", json!(1), EditFault::Form, &["plain `key: value`"]);
    refused("a: !!str 1\n", None, "a", json!(2), EditFault::Form, &["tag"]);
    refused("a: &x\nb: 1\n", None, "a", json!(2), EditFault::Form, &["anchor"]);
    // The text of a block that ends with the file would get another line break.
    refused("a: |\n  x", None, "b", json!(2), EditFault::Form, &["without changing something else"]);
}

#[test]
fn no_value_of_the_file_stands_in_an_error() {
    let secret = "kind: Secret\napiVersion: v1\nmetadata: {name: s}\nstringData:\n  password: hunter2\n  list: hunter3\n";
    for (field, value) in
        [("stringData.password.x", json!(1)), ("stringData.list[a=b]", json!(1)), ("stringData", json!("x")), ("data[name=x]", json!(1))]
    {
        let error = edited(secret, None, field, &value).expect_err("refused");
        assert!(!format!("{error} {error:?}").contains("hunter"), "{error}");
    }
}

#[test]
fn a_path_is_read_as_the_diff_writes_it_and_says_where_it_is_wrong() {
    for text in
        ["spec.replicas", "metadata.annotations[\"a.b/c\"]", "a[name=api].image", "[\"x y\"][\"\"][k=\"a b]\\\"\"].z", "a[name=\"registry/api:1\"]"]
    {
        assert_eq!(path(text).to_string(), text);
    }
    assert_eq!(path("a[port=8080]").steps()[1], Step::Element { key: "port".into(), value: "8080".into() });
    assert_eq!(path("images[name=registry/api]"), path("images[name=\"registry/api\"]"));
    for (text, column, says) in [
        ("", 1, "a key is missing"),
        ("spec.", 6, "a key is missing"),
        (".spec", 1, "a key is missing"),
        ("spec..x", 6, "a key is missing"),
        ("metadata.annotations.a/b", 23, "[\"a.b/c\"]"),
        ("l[0].x", 3, "not by its place"),
        ("l[x]", 3, "in double quotes"),
        ("l[\"x]", 3, "not closed"),
        ("l[name=x", 9, "`]` is missing"),
        ("l[name=]", 8, "is missing"),
        ("l[name~x]", 7, "[name=api]"),
        ("ä", 1, "a key is missing"),
    ] {
        let error = text.parse::<FieldPath>().expect_err(text);
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.message.contains(says), "{text}: {error}");
    }
    assert!(path("a.b").overlaps(&path("a.b[name=x]")) && path("a.b.c").overlaps(&path("a.b")) && !path("a.b").overlaps(&path("a.bc")));
    for wrong in ["Deployment", "Deployment/api", "//x", "A/b/", "A/b/c/d", "A/b c/d", ""] {
        assert!(wrong.parse::<ObjectAddress>().is_err(), "{wrong}");
    }
    assert_eq!("A.g.io//x".parse::<ObjectAddress>().expect("an address").to_string(), "A.g.io//x");
}

#[test]
fn a_document_among_others_is_edited_and_the_others_are_found_where_they_are_then() {
    let text = format!(
        "{DEPLOYMENT}--- # next\n# two\nkind: A\napiVersion: v1\nmetadata: {{name: x}}\nn: 1\nt: |\n  --- no marker\n...\n---\nkind: B\napiVersion: v1\nmetadata:\n  name: why\non: yes\n"
    );
    let mut editor = Editor::open(text.clone(), false).expect("read");
    for (object, field, value) in [
        ("A//x", "added.deep", json!("one\ntwo\n")),
        ("B//why", "metadata.labels", json!({"a": "b"})),
        ("Deployment/web/api", "spec.template.spec.containers[name=api].args", json!(["--slow"])),
        ("A//x", "n", json!("---\n")),
        ("B//why", "metadata.labels.a", json!("c")),
        ("Deployment/web/api", "spec.replicas", json!(100)),
    ] {
        let object: ObjectAddress = object.parse().expect("an address");
        assert!(editor.set(Some(&object), &path(field), &value).expect("set"), "{field}");
        assert_eq!(editor.documents(), read(editor.text()), "{field}");
    }
    let expected = text
        .replace("replicas: 2 ", "replicas: 100 ")
        .replace("[ --fast, \"--port=80\" ]", "[\"--slow\"]")
        .replace("n: 1\n", "n: \"---\\n\"\n")
        .replace("  --- no marker\n...", "  --- no marker\nadded:\n  deep: |\n    one\n    two\n...")
        .replace("name: why\n", "name: why\n  labels:\n    a: c\n");
    assert_eq!(editor.text(), expected);
}
