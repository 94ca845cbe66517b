//! The rules of templates, each with what it refuses and what it lets through.

mod catalogue;
mod rules;
mod text;

use super::*;
use serde_json::{Value, json};

const SCHEMA: &str = r#"{"type":"object","additionalProperties":false,"title":"t","description":"d","properties":{
  "a":{"title":"a","description":"a"},"b":{"title":"b","description":"b"},
  "list":{"title":"l","description":"l","type":"array"},"size":{"title":"s","description":"s","type":"integer","default":3}}}"#;

fn files(source: &str, shared: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![
        ("t/manifest.yaml.tera".to_owned(), source.as_bytes().to_vec()),
        ("t/params.schema.json".to_owned(), SCHEMA.as_bytes().to_vec()),
        ("t/README.md".to_owned(), b"# t\n\nFor tests.\n".to_vec()),
    ];
    files.extend(shared.iter().map(|(name, text)| (format!("_shared/{name}"), text.as_bytes().to_vec())));
    files
}

fn job(context: Value) -> RenderJob {
    RenderJob { template: "t".parse().expect("a template name"), context }
}

fn load(source: &str, shared: &[(&str, &str)]) -> Result<Catalogue, Vec<TemplateError>> {
    Catalogue::from_files(files(source, shared))
}

fn render(source: &str, parameters: Value) -> Result<String, RenderError> {
    let catalogue = load(source, &[]).expect("a sound template");
    catalogue.render_direct(&job(json!({ "parameters": parameters }))).map(|bytes| String::from_utf8(bytes).expect("text"))
}

/// The first error of a template of one line: its column and message.
fn refused(source: &str) -> TemplateError {
    load(source, &[]).err().and_then(|errors| errors.into_iter().next()).unwrap_or_else(|| panic!("accepted: {source}"))
}

#[test]
fn a_value_keeps_its_type_and_never_becomes_structure() {
    let text = render(
        "a: {{ parameters.a }}\nb: [{{ parameters.b }}, {{ parameters.b }}]\n{{ parameters.b }}: {x: {{ parameters.a }}}\n",
        json!({"a": "x\ny: z", "b": 7}),
    );
    assert_eq!(text.expect("rendered"), "a: \"x\\ny: z\"\nb: [7, 7]\n\"7\": {x: \"x\\ny: z\"}\n");
}

#[test]
fn lists_maps_null_and_floats_are_written_in_flow_style() {
    let parameters = json!({"a": {"k: 1": [null, true, "yes", 1e21, 1.5, -0.0], "e": {}, "l": []}, "b": null});
    let text = render("a: {{ parameters.a }}\nb: {{ parameters.b }}\n", parameters).expect("rendered");
    assert_eq!(text, "a: {\"k: 1\": [null, true, \"yes\", 1.0e+21, 1.5, -0.0], e: {}, l: []}\nb: null\n");
}

#[test]
fn a_list_cannot_be_a_key_and_a_key_cannot_be_endless() {
    assert!(render("{{ parameters.a }}: 1\n", json!({"a": []})).is_err());
    assert!(render("{{ parameters.a }}: 1\n", json!({"a": "k".repeat(1001)})).is_err());
    assert_eq!(render("{{ parameters.a }}: 1\n", json!({"a": true})).expect("rendered"), "\"true\": 1\n");
}

#[test]
fn braces_are_printed_as_a_string() {
    let text = render("x: {{ \"{{ $labels.pod }} is down: \" ~ '\"%}\"' }}\n", json!({}));
    assert_eq!(text.expect("rendered"), "x: \"{{ $labels.pod }} is down: \\\"%}\\\"\"\n");
}

#[test]
fn a_missing_variable_is_an_error_that_names_it_and_its_line() {
    for (source, name) in [
        ("x: 1\n{# a\n comment #}\n{% if true %}\ny: {{ parameters.b }}\n{% endif %}\n", "parameters.b"),
        ("x: 1\n\n\n\ny: {{ parameters.b.c }}\n", "b"),
        ("x: 1\n\n\n\ny: {{ nothing }}\n", "nothing"),
        ("x: 1\n\n\n\ny: {{ parameters.b | upper }}\n", ""),
        ("x: 1\n\n\n\ny: {{ \"a-\" ~ parameters.b }}\n", "`parameters.b` is not defined"),
        ("x: 1\n\n\n\ny: {{ parameters.b ~ \"-a\" }}\n", "`parameters.b` is not defined"),
        ("x: 1\n\n\n\ny: {{ (parameters.a ~ parameters.b) if parameters[\"a\"] ~ \"\" == \"1\" else \"\" }}\n", "`parameters.b` is not defined"),
        ("x: 1\n\n\n\n{% set z = \"a\" ~ parameters.list | default(value=none) %}\ny: {{ z }}\n", "cannot be joined"),
    ] {
        match render(source, json!({"a": 1})) {
            Err(RenderError::Template { line, message, .. }) => {
                assert_eq!(line, 5, "{source}: {message}");
                assert!(message.contains(name), "{message}");
            }
            other => panic!("{source}: {other:?}"),
        }
    }
}

#[test]
fn ranges_and_output_are_bounded() {
    assert!(render("x: {{ range(end=1001) }}\n", json!({})).is_err());
    assert!(render("x: {{ range(end=1000) | length }}\n", json!({})).is_ok());
    assert!(render("x: {{ range(start=-9223372036854775807, end=9223372036854775807) }}\n", json!({})).is_err());
    let source = "{% for i in range(end=1000) %}\n{% for j in range(end=1000) %}\n- 1\n{% endfor %}\n{% endfor %}\n";
    assert_eq!(render(source, json!({})), Err(RenderError::OutputTooLarge { template: "t".into(), limit: MAX_OUTPUT_BYTES }));
}
