//! The rules of templates, each with what it refuses and what it lets through.

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
fn an_expression_is_a_whole_value_and_the_refusal_says_where_and_how_to_mend_it() {
    let error = refused("kind: X\nname: {{ parameters.a }}-quota\n");
    assert_eq!((error.line, error.column), (2, 7));
    assert!(error.hint.contains("{{ parameters.a ~ \"-quota\" }}"), "{}", error.hint);
    let error = refused("name: team-{{ parameters.a }}\n");
    assert!(error.hint.contains("{{ \"team-\" ~ parameters.a }}"), "{}", error.hint);
    for (source, column) in [
        ("name: \"{{ parameters.a }}\"\n", 8),
        ("name: '{{ parameters.a }}'\n", 8),
        ("name: \"x {{ parameters.a }} y\"\n", 10),
        ("name: \"a: {{ parameters.a }}\n  b\"\n", 11),
        ("# {{ parameters.a }}\nx: 1\n", 3),
        ("x: 1 # {{ parameters.a }}\n", 8),
        ("x: 1 # - {{ parameters.a }}\n", 10),
        ("x:{{ parameters.a }}\n", 3),
        ("x: {{ parameters.a }}{{ parameters.b }}\n", 4),
        ("x: {{ parameters.a }} {{ parameters.b }}\n", 4),
        ("x: {{ parameters.a }}#\n", 4),
        ("x: !!int {{ parameters.a }}\n", 10),
        ("x: &a {{ parameters.a }} y\n", 7),
        ("{{ parameters.a }} : x\n", 1),
        ("x:\n  {{ parameters.a }}\n", 3),
        ("*{{ parameters.a }}\n", 2),
    ] {
        let error = refused(source);
        assert_eq!(error.column, column, "{source}: {error}");
        assert!(!error.message.is_empty());
    }
    for source in ["x: |\n  a: {{ parameters.a }}\n", "x: >-\n  text\n  - {{ parameters.a }}\n"] {
        let error = refused(source);
        assert!(error.message.contains("block of text"), "{error}");
    }
    let error = refused("x: one\n  - {{ parameters.a }}\n");
    assert!(error.message.contains("longer text"), "{error}");
}

#[test]
fn nothing_switches_escaping_off() {
    for source in [
        "x: {{ parameters.a | safe }}\n",
        "x: {{ parameters.a | escape }}\n",
        "x: {{ parameters.a | escape_html }}\n",
        "x: {{ parameters.a | newlines_to_br }}\n",
        "x: {{ parameters.a | __block(width=0) }}\n",
        "x: {{ __tera_context }}\n",
        "{% set y %}\na: {{ parameters.a }}\n{% endset %}\nx: {{ y }}\n",
        "{% filter upper %}\na: {{ parameters.a }}\n{% endfilter %}\n",
        "{% raw %}\nx: 1\n{% endraw %}\n",
        "x: {{- parameters.a }}\n",
        "x: {{ parameters.a -}}\n",
        "{%- if parameters.a %}\nx: 1\n{% endif %}\n",
        "{% extends \"other\" %}\n",
        "{% block x %}\n{% endblock %}\n",
        "{% component x() %}\na: 1\n{% endcomponent %}\n",
        "x: {{ [parameters.a | safe] }}\n",
        "x: {{ parameters.a if parameters.b is containing(pat=parameters.a|safe) else 1 }}\n",
    ] {
        assert!(load(source, &[]).is_err(), "{source}");
    }
}

#[test]
fn braces_are_printed_as_a_string() {
    let text = render("x: {{ \"{{ $labels.pod }} is down: \" ~ '\"%}\"' }}\n", json!({}));
    assert_eq!(text.expect("rendered"), "x: \"{{ $labels.pod }} is down: \\\"%}\\\"\"\n");
}

#[test]
fn a_tag_has_its_line_to_itself_and_leaves_no_trace_of_it() {
    assert!(refused("x: {% if parameters.a %}1{% endif %}\n").hint.contains("if condition else"));
    let source = "a: 1\n  {% if parameters.a %}\nb: {{ parameters.b }}\n  {# note\n on two lines #}\n{% else %}\nc: 1\n{% endif %}\nd: 1\n";
    assert_eq!(render(source, json!({"a": true, "b": "x"})).expect("rendered"), "a: 1\nb: x\nd: 1\n");
    assert_eq!(render(source, json!({"a": false})).expect("rendered"), "a: 1\nc: 1\nd: 1\n");
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
fn there_is_no_environment_clock_or_random_source() {
    for call in ["get_env(name=\"HOME\")", "now()", "get_random(start=0, end=9)", "load_data(path=\"/etc/passwd\")"] {
        let error = refused(&format!("x: {{{{ {call} }}}}\n"));
        assert!(error.message.contains("there is no function"), "{error}");
    }
}

#[test]
fn only_shared_files_of_the_catalogue_can_be_included() {
    for path in ["/etc/passwd", "../secret.tera", "_shared/../t/manifest.yaml.tera", "_shared/none.tera", "t/manifest.yaml.tera"] {
        let error = refused(&format!("x: 1\n{{% include \"{path}\" %}}\n"));
        assert_eq!(error.line, 2);
        assert!(error.message.contains("not in the catalogue"), "{error}");
    }
    let catalogue = load("x:\n  {% include \"_shared/p.tera\" %}\nz: 1\n", &[("p.tera", "y: {{ parameters.a }}\nl:\n  - 1\n")]).expect("sound");
    let text = catalogue.render_direct(&job(json!({"parameters": {"a": "no"}}))).expect("rendered");
    assert_eq!(String::from_utf8_lossy(&text), "x:\n  y: \"no\"\n  l:\n    - 1\nz: 1\n");
}

#[test]
fn a_component_is_set_at_the_indentation_of_its_call() {
    let shared = [(
        "c.tera",
        "{% component pair(k: string, v) %}\n  {{ k }}: {{ v }}\n  {% if v %}\n  more:\n    - {{ v }}\n  {% endif %}\n{% endcomponent pair %}\n",
    )];
    let catalogue = load("x:\n    {{ <pair k=\"a: b\" v={parameters.a} /> }}\ny: 1\n", &shared).expect("sound");
    let text = catalogue.render_direct(&job(json!({"parameters": {"a": "- x"}}))).expect("rendered");
    assert_eq!(String::from_utf8_lossy(&text), "x:\n    \"a: b\": \"- x\"\n    more:\n      - \"- x\"\ny: 1\n");
    for source in
        ["x: {{ <pair k=\"a\" v=1 /> }}\n", "x: {{ [<pair k=\"a\" v=1 />] }}\n", "{{ <pair k=\"a\" v=1 /> ~ parameters.a }}\n", "{{ <gone /> }}\n"]
    {
        assert!(load(source, &shared).is_err(), "{source}");
    }
}

#[test]
fn cycles_recursion_and_deep_loops_are_refused() {
    let cycle = [("a.tera", "{% include \"_shared/b.tera\" %}\n"), ("b.tera", "{% include \"_shared/a.tera\" %}\n")];
    assert!(load("{% include \"_shared/a.tera\" %}\n", &cycle).expect_err("a cycle")[0].message.contains("a cycle"));
    let recursion = [("r.tera", "{% component r() %}\nx:\n  {{ <r /> }}\n{% endcomponent %}\n")];
    assert!(load("{{ <r /> }}\n", &recursion).expect_err("recursion")[0].message.contains("<r/> -> <r/>"));
    let mixed = [("r.tera", "{% component r() %}\n{% include \"_shared/p.tera\" %}\n{% endcomponent %}\n"), ("p.tera", "{{ <r /> }}\n")];
    assert!(load("{{ <r /> }}\n", &mixed).is_err());
    let nested = |depth: usize| {
        let open: String = (0..depth).map(|at| format!("{{% for i{at} in range(end=2) %}}\n")).collect();
        format!("{open}- 1\n{}", "{% endfor %}\n".repeat(depth))
    };
    assert!(load(&nested(3), &[]).is_ok());
    assert!(refused(&nested(4)).message.contains("at most 3"));
    assert!(refused(&nested(3).replace("- 1", "- {{ [x for x in parameters.list] }}")).message.contains("at most 3"));
    let inner = [(
        "l.tera",
        "{% component l() %}\n{% for i in range(end=2) %}\n{% for j in range(end=2) %}\n- 1\n{% endfor %}\n{% endfor %}\n{% endcomponent %}\n",
    )];
    assert!(load(&nested(1).replace("- 1", "{{ <l /> }}"), &inner).is_ok());
    assert!(load(&nested(2).replace("- 1", "{{ <l /> }}"), &inner).is_err());
}

#[test]
fn ranges_and_output_are_bounded() {
    assert!(render("x: {{ range(end=1001) }}\n", json!({})).is_err());
    assert!(render("x: {{ range(end=1000) | length }}\n", json!({})).is_ok());
    assert!(render("x: {{ range(start=-9223372036854775807, end=9223372036854775807) }}\n", json!({})).is_err());
    let source = "{% for i in range(end=1000) %}\n{% for j in range(end=1000) %}\n- 1\n{% endfor %}\n{% endfor %}\n";
    assert_eq!(render(source, json!({})), Err(RenderError::OutputTooLarge { template: "t".into(), limit: MAX_OUTPUT_BYTES }));
}

#[test]
fn every_violation_of_the_schema_is_listed_with_its_pointer() {
    let catalogue = load("x: 1\n", &[]).expect("sound");
    match catalogue.render_direct(&job(json!({"parameters": {"size": "big", "list": 1, "extra": true}}))) {
        Err(RenderError::Parameters { violations, .. }) => {
            let mut pointers: Vec<&str> = violations.iter().map(|v| v.pointer.as_str()).collect();
            pointers.sort_unstable();
            assert_eq!(pointers, ["", "/list", "/size"]);
        }
        other => panic!("{other:?}"),
    }
    let filled = catalogue.with_defaults(&"t".parse().expect("a name"), &serde_json::Map::new()).expect("known");
    assert_eq!(Value::Object(filled), json!({"size": 3}));
    let given = json!({"a": 1, "cluster": "prod"}).as_object().cloned().expect("an object");
    assert_eq!(Value::Object(catalogue.select(&"t".parse().expect("a name"), &given).expect("known")), json!({"a": 1, "size": 3}));
}

#[test]
fn a_schema_is_closed_described_and_fetches_nothing() {
    for (from, to) in [
        ("\"additionalProperties\":false,", ""),
        ("\"title\":\"t\",", ""),
        ("\"title\":\"a\",", ""),
        ("\"default\":3", "\"default\":\"three\""),
        ("\"type\":\"integer\"", "\"type\":\"int\""),
        ("\"description\":\"b\"", "\"description\":\"b\",\"$ref\":\"https://example.com/x.json\""),
        ("\"description\":\"b\"", "\"description\":\"b\",\"pattern\":\"(\""),
        ("}}}", "}}"),
    ] {
        let broken = SCHEMA.replacen(from, to, 1);
        assert_ne!(broken, SCHEMA);
        let mut all = files("x: 1\n", &[]);
        all[1].1 = broken.into_bytes();
        assert!(Catalogue::from_files(all).is_err(), "{to}");
    }
}

#[test]
fn a_folder_holds_what_a_template_needs_and_nothing_else() {
    for missing in 0..3 {
        let mut all = files("x: 1\n", &[]);
        all.remove(missing);
        assert!(Catalogue::from_files(all).is_err(), "{missing}");
    }
    for extra in ["t/param.schema.json", "stray.txt", "_shared/x.yaml", "Bad_Name/manifest.yaml.tera", "t/examples/one/expected.yaml"] {
        let mut all = files("x: 1\n", &[]);
        all.push((extra.to_owned(), b"x: 1\n".to_vec()));
        assert!(Catalogue::from_files(all).is_err(), "{extra}");
    }
}

#[test]
fn a_later_layer_replaces_a_template_and_the_digest_follows_what_it_is_made_of() {
    let name: crate::types::TemplateName = "t".parse().expect("a name");
    let shared = [("used.tera", "{% component c() %}\na: 1\n{% endcomponent %}\n"), ("other.tera", "b: 1\n")];
    let digest = |source: &str, shared: &[(&str, &str)]| load(source, shared).expect("sound").get(&name).expect("it").digest().to_owned();
    let base = digest("{{ <c /> }}\n", &shared);
    assert_eq!(base.len(), 64);
    assert_eq!(base, digest("{{ <c /> }}\n", &[shared[0], ("other.tera", "b: 2\n")]));
    assert_ne!(base, digest("{{ <c /> }}\n", &[("used.tera", "{% component c() %}\na: 2\n{% endcomponent %}\n"), shared[1]]));
    let layered =
        Catalogue::layered(vec![Catalogue::embedded().expect("shipped"), load("x: 1\n", &[]).expect("sound"), load("x: 2\n", &[]).expect("sound")]);
    let layered = layered.expect("they fit together");
    assert_eq!(layered.render_direct(&job(json!({}))).expect("rendered"), b"x: 2\n");
    assert_eq!(layered.templates().count(), 7);
}

#[test]
fn syntax_errors_have_their_place_in_the_file_as_written() {
    let error = refused("a: 1\n{% if parameters.a %}\nb: {{ parameters. }}\n{% endif %}\n");
    assert_eq!((error.file.as_str(), error.line), ("t/manifest.yaml.tera", 3));
    assert_eq!(refused("a: 1\nb: [\n").file, "t/manifest.yaml.tera");
    assert_eq!(refused("a: {{ parameters.a\n").line, 1);
    assert!(load("a: 1\r\n", &[]).is_err());
    assert!(load("{% if parameters.a %}\na: 1\n", &[]).is_err());
}

mod text {
    use super::super::*;
    use serde_json::json;

    fn render(source: &str, kind: TextKind, value: &str) -> Result<String, TextError> {
        TextTemplate::compile(source, kind)?.render(&json!({"parameters": {"a": value}, "event": {"subject": "OPS-42"}}))
    }

    #[test]
    fn a_title_is_one_line_of_250_characters() {
        let title = render("Namespace {{ parameters.a }} ({{ event.subject }})", TextKind::Line, "we\nb\u{202e}\u{0}").expect("a title");
        assert_eq!(title, "Namespace we b (OPS-42)");
        let long = render("{{ parameters.a }}", TextKind::Line, &"ä".repeat(300)).expect("a title");
        assert_eq!(long.chars().count(), 250);
    }

    #[test]
    fn a_value_in_a_path_is_one_part_of_a_name() {
        let path = |value| render("namespaces/{{ parameters.a }}.yaml", TextKind::Path, value);
        assert_eq!(path("web-1.2_x").expect("a path"), "namespaces/web-1.2_x.yaml");
        for bad in ["", ".", "..", "a/b", "../x", "a\\b", "a b", "a\n", "ä", "a\0", "~", "a:b"] {
            let error = path(bad).expect_err(bad);
            assert!(error.message.contains("parameters.a"), "{error}");
        }
        let template = TextTemplate::compile("{{ parameters.a }}", TextKind::Path).expect("sound");
        for bad in [json!(null), json!([]), json!(["a"]), json!({})] {
            assert!(template.render(&json!({"parameters": {"a": bad}})).is_err(), "{bad}");
        }
        assert_eq!(template.render(&json!({"parameters": {"a": 7}})).expect("a path"), "7");
    }

    #[test]
    fn words_stay_words_in_markdown_and_everything_else_is_code() {
        let markdown = |value| render("For {{ parameters.a }} now", TextKind::Markdown, value).expect("text");
        assert_eq!(markdown("a team, please!"), "For a team, please! now");
        for value in [
            "@octocat",
            "#123",
            "owner/repo#1",
            "GH-12",
            "[x](https://evil)",
            "![x](https://evil)",
            "<img src=x>",
            "# heading",
            "- item",
            "1. item",
            "---",
            "https://evil.example",
            "www.evil.example",
            "a@b.example",
            "*b*",
            "_b_",
            "~~x~~",
            "> quote",
            ":smile:",
            "deadbeef",
            "$x$",
            "\\@me",
            "&lt;",
            "a|b",
        ] {
            assert_eq!(markdown(value), format!("For `{value}` now"));
        }
        assert_eq!(markdown("a`@b"), "For ``a`@b`` now");
        assert_eq!(markdown("`@b``"), "For ``` `@b`` ``` now");
        assert_eq!(markdown("a\n\n# b\n```\n@c"), "For ````a # b ``` @c```` now");
    }

    #[test]
    fn a_value_wrapped_in_backticks_by_the_author_is_wrapped_once() {
        assert_eq!(render("Team `{{ parameters.a }}`!", TextKind::Markdown, "web").expect("text"), "Team `web`!");
        assert_eq!(render("Team `{{ parameters.a }}`!", TextKind::Markdown, "a`@b").expect("text"), "Team ``a`@b``!");
        assert_eq!(render("| a |\n|---|\n| {{ parameters.a }} |", TextKind::Markdown, "x|@y").expect("text"), "| a |\n|---|\n| `x\\|@y` |");
    }

    #[test]
    fn a_fence_is_longer_than_any_in_the_value() {
        let text = render("Says:\n{{ parameters.a | fence }}\nEnd", TextKind::Markdown, "one\n````\n@two\u{202e}").expect("text");
        assert_eq!(text, "Says:\n\n`````text\none\n````\n@two\n`````\n\nEnd");
    }

    #[test]
    fn markdown_around_a_value_must_be_closed() {
        for source in [
            "`{{ parameters.a }} x`",
            "` {{ parameters.a }}",
            "```yaml\nx: {{ parameters.a }}\n```",
            "<b>{{ parameters.a }}</b>",
            "<!-- {{ parameters.a }} -->",
            "<{{ parameters.a }}>",
            "[x](<{{ parameters.a }}>)",
            "\\{{ parameters.a }}",
            "${{ parameters.a }}$",
            "{{ parameters.a }}{{ parameters.a }}",
            "{{ parameters.a }}{% if parameters.a %} x {% endif %}",
            "`{{ parameters.a }}``{{ parameters.a }}`",
            "`{{ parameters.a }}`{{ parameters.a }}`",
            "{{ parameters.a }}`x`",
            "\\`{{ parameters.a }}\\`",
            "{{ parameters.a | fence | upper }}",
        ] {
            assert!(TextTemplate::compile(source, TextKind::Markdown).is_err(), "{source}");
        }
        for source in [
            "`code` {{ parameters.a }} `more`",
            "[{{ parameters.a }}](https://jira.example/browse/{{ parameters.a }})",
            "See <https://example.com>.",
            "a < b {{ parameters.a }}",
        ] {
            assert!(TextTemplate::compile(source, TextKind::Markdown).is_ok(), "{source}");
        }
    }

    #[test]
    fn a_text_has_conditions_and_nothing_that_loops_or_opens_files() {
        assert_eq!(render("{% if parameters.a == \"x\" %}yes{% else %}no{% endif %}", TextKind::Line, "x").expect("text"), "yes");
        assert_eq!(render("{{ event.subject | lower | replace(from=\"-\", to=\"_\") }}.yaml", TextKind::Path, "x").expect("text"), "ops_42.yaml");
        for source in [
            "{% for x in parameters.a %}{{ x }}{% endfor %}",
            "{% include \"x\" %}",
            "{{ <x /> }}",
            "{% set x = 1 %}",
            "{{ range(end=3) }}",
            "{{ [x for x in parameters.a] }}",
            "{{ get_env(name=\"HOME\") }}",
            "{{ parameters.a | safe }}",
            "{{ __tera_context }}",
            "{% raw %}x{% endraw %}",
            "{% extends \"x\" %}",
            "{{ parameters.a",
            "{% if x %}",
            "{{ parameters.a | fence }}",
        ] {
            assert!(TextTemplate::compile(source, TextKind::Line).is_err(), "{source}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_its_line() {
        let template = TextTemplate::compile("x\n{{ parameters.gone }}", TextKind::Markdown).expect("sound");
        let error = template.render(&json!({"parameters": {}})).expect_err("missing");
        assert_eq!(error.line, 2);
        assert!(error.message.contains("parameters.gone"), "{error}");
    }

    #[test]
    fn values_cannot_multiply_each_other() {
        let template = TextTemplate::compile("{{ parameters.a | replace(from=\"a\", to=parameters.a) }}", TextKind::Line).expect("sound");
        assert!(template.render(&json!({"parameters": {"a": "a".repeat(100_000)}})).is_err());
        let body = TextTemplate::compile("{{ parameters.a }}", TextKind::Markdown).expect("sound");
        assert!(body.render(&json!({"parameters": {"a": "@".repeat(70_000)}})).is_err());
    }
}
