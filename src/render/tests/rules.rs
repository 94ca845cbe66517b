//! What a template may say, and where a refusal points.

use super::*;

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
fn a_tag_has_its_line_to_itself_and_leaves_no_trace_of_it() {
    assert!(refused("x: {% if parameters.a %}1{% endif %}\n").hint.contains("if condition else"));
    let source = "a: 1\n  {% if parameters.a %}\nb: {{ parameters.b }}\n  {# note\n on two lines #}\n{% else %}\nc: 1\n{% endif %}\nd: 1\n";
    assert_eq!(render(source, json!({"a": true, "b": "x"})).expect("rendered"), "a: 1\nb: x\nd: 1\n");
    assert_eq!(render(source, json!({"a": false})).expect("rendered"), "a: 1\nc: 1\nd: 1\n");
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
fn syntax_errors_have_their_place_in_the_file_as_written() {
    let error = refused("a: 1\n{% if parameters.a %}\nb: {{ parameters. }}\n{% endif %}\n");
    assert_eq!((error.file.as_str(), error.line), ("t/manifest.yaml.tera", 3));
    assert_eq!(refused("a: 1\nb: [\n").file, "t/manifest.yaml.tera");
    assert_eq!(refused("a: {{ parameters.a\n").line, 1);
    assert!(load("a: 1\r\n", &[]).is_err());
    assert!(load("{% if parameters.a %}\na: 1\n", &[]).is_err());
}

#[test]
fn a_parameter_that_nobody_can_give_is_refused_with_the_nearest() {
    let error = refused("kind: X\nsize: {{ parameters.sze }}\n");
    assert_eq!((error.file.as_str(), error.line, error.column), ("t/manifest.yaml.tera", 2, 21), "{error}");
    assert!(error.message.contains("`sze`") && error.hint.contains("did you mean `size`?"), "{error} {}", error.hint);
    let error = refused("x: {{ parameters[\"nobody\"] }}\n");
    assert!(error.hint.contains("a, b, list, size"), "{}", error.hint);
    assert!(refused("{% if parameters.sze is defined %}\nx: 1\n{% endif %}\n").message.contains("`sze`"));
    // Names that are not the template's parameters, and schemas that allow more.
    for source in [
        "x: {{ event.parameters.sze }}\n",
        "{% for parameters in parameters.list %}\n- {{ parameters.sze }}\n{% endfor %}\n",
        "x: {{ parameters.size }}\n",
    ] {
        assert!(load(source, &[]).is_ok(), "{source}: {:?}", load(source, &[]).err());
    }
    let mut open = files("x: {{ parameters.sze }}\n", &[]);
    open[1].1 = SCHEMA.replacen("\"properties\"", "\"patternProperties\":{\"^s\":{}},\"properties\"", 1).into_bytes();
    assert!(Catalogue::from_files(open).is_ok());
}
