//! Texts: titles, paths and Markdown.

use crate::render::*;
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

#[test]
fn a_large_value_named_many_times_is_refused_before_it_is_joined_many_times() {
    let value = json!({"parameters": {"a": "a".repeat(256 * 1024)}});
    let time = |names: usize| {
        let template = TextTemplate::compile(&"{{ parameters.a }}".repeat(names), TextKind::Line).expect("sound");
        let started = std::time::Instant::now();
        assert!(template.render(&value).expect_err("it is too long").message.contains("longer than"));
        started.elapsed()
    };
    // Against itself, whatever the machine: joined to the end it would take hundreds of times as long.
    let (one, many) = (time(1), time(1_500));
    assert!(many < one * 50 + std::time::Duration::from_millis(50), "{one:?} for one, {many:?} for 1,500");
}
