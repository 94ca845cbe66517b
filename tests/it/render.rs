//! Any text in any parameter: documents, keys and types stay what they were, under two YAML readers and by the rules of YAML 1.1.

use kubeops::manifest::{Limits, parse};
use kubeops::render::{Catalogue, RenderJob};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Stands for the text in the manifest everything is held against.
const SENTINEL: &str = "sentinel-of-this-test";

static SHIPPED: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::embedded().expect("the shipped catalogue"));

/// Every place a value may stand.
static PLACES: LazyLock<Catalogue> = LazyLock::new(|| {
    let source = "\
a: {{ parameters.v }}
{{ parameters.v }}: x
b: # a comment
  {{ parameters.v }}: {{ parameters.v }} # another
  list:
    - {{ parameters.v }}
    - - {{ parameters.v }}
    - {{ parameters.v }}: {{ parameters.v }}
      more: [{{ parameters.v }}, {{ parameters.v }},{{ parameters.v }} ]
  flow: {a: {{ parameters.v }}, {{ parameters.v }}: 1, l: [{{ parameters.v }}]}
  whole: {{ [parameters.v, {\"k\": parameters.v, \"l\": [parameters.v]}] }}
  map: {{ {\"one\": parameters.v} }}
  joined: {{ \"x-\" ~ parameters.v ~ \"-y\" }}
  items:
{% for item in [parameters.v, parameters.v] %}
    - {{ item }}
    - {{ item ~ \"\" if loop.first else item }}
{% endfor %}
  component:
    {{ <pair key={parameters.v} value={parameters.v} /> }}
---
- {{ parameters.v }}
-   {{ parameters.v }}
--- # a whole document
{{ parameters.v }}: {}
";
    let shared = "{% component pair(key, value) %}\n{{ key }}:\n  deep: {{ value }}\n{% endcomponent %}\n";
    let schema = r#"{"type":"object","additionalProperties":false,"title":"t","description":"d","properties":{"v":{"title":"v","description":"v","type":"string"}}}"#;
    let files =
        [("t/manifest.yaml.tera", source), ("t/params.schema.json", schema), ("t/README.md", "# t\n\nTest.\n"), ("_shared/pair.tera", shared)];
    Catalogue::from_files(files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))).expect("a sound catalogue")
});

fn render(catalogue: &Catalogue, template: &str, parameters: &Value) -> String {
    let job = RenderJob { template: template.parse().expect("a name"), context: json!({ "parameters": parameters }) };
    String::from_utf8(catalogue.render_direct(&job).expect("rendered")).expect("text")
}

fn by_saphyr(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn by_libyaml(text: &str) -> Vec<Value> {
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{error}\n{text}")))
        .collect()
}

/// The sentinel replaced by `text` in every key and value.
fn replaced(value: &Value, text: &str) -> Value {
    match value {
        Value::String(s) => Value::String(s.replace(SENTINEL, text)),
        Value::Array(items) => Value::Array(items.iter().map(|item| replaced(item, text)).collect()),
        Value::Object(fields) => Value::Object(fields.iter().map(|(key, field)| (key.replace(SENTINEL, text), replaced(field, text))).collect()),
        other => other.clone(),
    }
}

fn unchanged(catalogue: &Catalogue, template: &str, with: impl Fn(&str) -> Value, text: &str) {
    let expected: Vec<Value> = by_saphyr(&render(catalogue, template, &with(SENTINEL))).iter().map(|document| replaced(document, text)).collect();
    let output = render(catalogue, template, &with(text));
    assert_eq!(by_saphyr(&output), expected, "{output}");
    assert_eq!(by_libyaml(&output), expected, "{output}");
}

fn nasty() -> impl Strategy<Value = String> {
    let bits = prop::sample::select(vec![
        "\n",
        "\r\n",
        "\r",
        "\t",
        " ",
        "  ",
        ":",
        ": ",
        " #",
        "#",
        "-",
        "- ",
        "---",
        "---\n",
        "...",
        "\n...\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a",
        "*a",
        "!",
        "!!int ",
        "!!binary ",
        "|",
        "|\n  ",
        ">",
        ">-\n",
        "%YAML 1.1\n",
        "@",
        "`",
        "'",
        "''",
        "\"",
        "\\",
        "\\\"",
        "\\u0041",
        "{{",
        "}}",
        "{{ parameters }}",
        "{%",
        "%}",
        "{#",
        "#}",
        "?",
        "? ",
        "<<",
        "=",
        "~",
        "null",
        "Null",
        "true",
        "True",
        "yes",
        "Yes",
        "no",
        "NO",
        "on",
        "off",
        "y",
        "n",
        "Y",
        "N",
        ".inf",
        "-.inf",
        ".nan",
        "0",
        "1",
        "07",
        "0o7",
        "0x1F",
        "0b1",
        "1_000",
        "1.5",
        "1e3",
        "1E5",
        ".5",
        "5.",
        "+1",
        "-1",
        "12:30:45",
        "190:20:30",
        "2026-11-20",
        "2026-11-20T12:00:00Z",
        "a",
        "web",
        "kind: Secret",
        "\u{0}",
        "\u{7}",
        "\u{1b}",
        "\u{7f}",
        "\u{85}",
        "\u{a0}",
        "\u{ad}",
        "\u{200b}",
        "\u{200e}",
        "\u{2028}",
        "\u{2029}",
        "\u{202e}",
        "\u{feff}",
        "\u{fffd}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{10ffff}",
        "ä",
        "漢",
        "🦀",
        "e\u{301}",
    ]);
    prop_oneof![3 => prop::collection::vec(bits.clone(), 1..6).prop_map(|parts| parts.concat()), 1 => bits.prop_map(str::to_owned), 1 => any::<String>(), 1 => "[ -~]{0,40}", 1 => "[-+.0-9a-fA-FxXoOeE_:]{1,12}"]
}

/// What YAML 1.1 takes for something other than a string: <https://yaml.org/type/>.
static OTHER_TYPES: LazyLock<regex::Regex> = LazyLock::new(|| {
    regex::Regex::new(concat!(
        r"^(?:y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF|~|null|Null|NULL|<<|=|",
        r"[-+]?0b[0-1_]+|[-+]?0o?[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+|",
        r"[-+]?(?:[0-9][0-9_]*)?\.[0-9_.]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|",
        r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*)?$"
    ))
    .expect("a regular expression")
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_in_any_place_stays_that_text(text in nasty()) {
        // A key that is already there is refused by every strict reader, ours too: that is not what is looked at here.
        prop_assume!(text.chars().count() < 500 && !["a", "b", "list", "more", "flow", "l", "whole", "map", "joined", "items", "component"].contains(&text.as_str()));
        unchanged(&PLACES, "t", |v| json!({ "v": v }), &text);
    }

    #[test]
    fn what_is_written_plain_is_a_string_in_yaml_1_1_too(text in nasty()) {
        let output = render(&PLACES, "t", &json!({ "v": text }));
        let first = output.lines().next().and_then(|line| line.strip_prefix("a: ")).expect("the first line");
        prop_assert!(first.starts_with('"') || !OTHER_TYPES.is_match(first), "{first}");
        prop_assert!(first.starts_with('"') || first.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b)), "{first}");
    }

}

/// Every shipped template with `text` in each parameter that takes any: the template, its parameters for a text, and the text it takes.
fn with_every_template(text: &str, mut each: impl FnMut(&str, &dyn Fn(&str) -> Value, &str)) {
    let text: String = text.chars().take(250).collect();
    let free = if text.is_empty() { "x".to_owned() } else { text.clone() };
    let full = |template: &str, parameters: Value| {
        let parameters = parameters.as_object().cloned().expect("an object");
        Value::Object(SHIPPED.with_defaults(&template.parse().expect("a name"), &parameters).expect("known"))
    };
    each("namespace", &|v: &str| full("namespace", json!({"team": "web", "group": v, "description": format!("{v}.")})), &free);
    each(
        "access-grant",
        &|v: &str| {
            full(
                "access-grant",
                json!({"name": "x", "namespace": "web", "role": "view", "reason": format!("{v}."),
        "subjects": [{"kind": "User", "name": v}, {"kind": "Group", "name": v}, {"kind": "ServiceAccount", "name": v}]}),
            )
        },
        &free,
    );
    each(
        "cron-job",
        &|v: &str| {
            full(
                "cron-job",
                json!({"name": "x", "namespace": "web", "schedule": "@daily", "image": "a/b:1", "description": format!("{v}."),
        "command": [v, "-c", v], "args": [v], "env": {"A": v, "B": format!("{v}{v}")}}),
            )
        },
        &text,
    );
    each("config-map", &|v: &str| full("config-map", json!({"name": "x", "namespace": "web", "data": {"a": v, "b": format!("{v}\n{v}")}})), &text);
    let container = |v: &str| {
        json!({"name": "x", "run": "y", "namespace": "web", "image": "a/b:1", "description": format!("{v}."),
        "command": [v, "-c"], "args": [v], "env": {"A": v}, "storage": {"size": "1Gi", "path": "/data"}})
    };
    for (template, others) in [("deployment", ["run", "storage"].as_slice()), ("stateful-set", &["run"]), ("job", &["storage"])] {
        each(
            template,
            &|v: &str| {
                let mut parameters = container(v);
                others.iter().for_each(|other| drop(parameters.as_object_mut().expect("an object").remove(*other)));
                full(template, parameters)
            },
            &text,
        );
    }
    each(
        "prometheus-rule",
        &|v: &str| {
            full(
                "prometheus-rule",
                json!({"name": "x", "namespace": "web", "description": format!("{v}."),
        "alerts": [{"name": "Alert", "expression": v, "summary": "s"}]}),
            )
        },
        &free,
    );
    each(
        "argo-cd-application",
        &|v: &str| {
            full(
                "argo-cd-application",
                json!({"name": "x", "project": "web", "repository": "https://git.example.com/a",
        "revision": "main", "path": "a", "destination": {"cluster": "c", "namespace": "web"}, "values": {v: [v, {"a": v}]}}),
            )
        },
        &text,
    );
    each(
        "flux-helm-release",
        &|v: &str| {
            full(
                "flux-helm-release",
                json!({"name": "x", "namespace": "web",
        "chart": {"name": "c", "version": "1", "source": {"name": "s"}}, "values": {v: [v, {"a": v}]}}),
            )
        },
        &text,
    );
    each(
        "opsmate-environment-build",
        &|v: &str| {
            full(
                "opsmate-environment-build",
                json!({"name": "x", "namespace": "web", "image": "a/b:1",
        "store": {"name": "s"}, "keys": {"GITHUB_TOKEN": {"key": "k"}}, "settings": {"A": v}, "description": format!("{v}.")}),
            )
        },
        &text,
    );
    each(
        "opsmate-task",
        &|v: &str| {
            full(
                "opsmate-task",
                json!({"name": "x", "run": "y", "namespace": "web", "user": "u", "environmentBuild": "e",
        "context": format!("{v}."), "domain": "a.example", "summary": format!("{v}."), "ingressAnnotations": {"a": v}}),
            )
        },
        &text,
    );
    each(
        "ops-task",
        &|v: &str| {
            full(
                "ops-task",
                json!({"name": "x", "summary": format!("{v}."),
        "steps": [{"name": "s", "content": v, "when": v}], "variables": {"a": {"display": v, "desc": v, "regex": v}}}),
            )
        },
        &free,
    );
    each(
        "ops-event-hooks",
        &|v: &str| {
            full(
                "ops-event-hooks",
                json!({"name": "x", "url": "https://k.example.com/api/v1/webhooks/ops",
        "include": [v], "exclude": [v, v]}),
            )
        },
        &free,
    );
    if !text.contains('$') {
        // A dollar is doubled there, for Kubernetes.
        each(
            "oats-agent-job",
            &|v: &str| {
                full(
                    "oats-agent-job",
                    json!({"run": "0a1b2c3d", "namespace": "web", "image": "a/b:1",
            "goal": v, "env": {"A": v}, "description": format!("{v}.")}),
                )
            },
            &free,
        );
    }
    for (template, mut parameters) in [
        ("resource-quota", json!({"namespace": "web", "hard": {"pods": 1}})),
        ("horizontal-pod-autoscaler", json!({"namespace": "web", "target": {"name": "x"}, "maxReplicas": 3})),
        ("persistent-volume-claim", json!({"name": "x", "namespace": "web", "size": "1Gi"})),
        ("pod-disruption-budget", json!({"name": "x", "namespace": "web", "labels": {"app": "shop"}})),
        ("limit-range", json!({"namespace": "web"})),
        ("service", json!({"name": "x", "namespace": "web", "labels": {"app": "shop"}, "ports": [{"name": "http", "port": 80}]})),
        ("network-policy", json!({"name": "x", "namespace": "web", "labels": {}})),
        ("ingress", json!({"name": "x", "namespace": "web", "hosts": ["a.example"], "service": "x", "port": 80})),
        ("openshift-route", json!({"name": "x", "namespace": "web", "host": "a.example", "service": "x"})),
        ("external-secret", json!({"name": "x", "namespace": "web", "store": {"name": "s"}, "data": {"a": {"key": "k"}}})),
        ("sealed-secret", json!({"name": "x", "namespace": "web", "encryptedData": {"a": format!("AQA{}", "A".repeat(365))}})),
        (
            "service-account-with-role",
            json!({"name": "x", "namespace": "web", "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        ),
        ("service-monitor", json!({"name": "x", "namespace": "web", "labels": {"app": "shop"}})),
        ("certificate", json!({"name": "x", "namespace": "web", "hosts": ["a.example"], "issuer": {"name": "i"}})),
        (
            "argo-cd-app-project",
            json!({"name": "x", "repositories": ["https://git.example.com/a"], "destinations": [{"cluster": "c", "namespace": "web"}]}),
        ),
        ("flux-kustomization", json!({"name": "x", "source": {"name": "s"}, "path": "./"})),
        ("ops-host", json!({"name": "x", "address": "a", "username": "ops", "secret": "s"})),
        ("ops-task-run", json!({"task": "x", "run": "y"})),
        ("ops-pipeline", json!({"name": "x", "tasks": [{"name": "t"}]})),
        ("ops-pipeline-run", json!({"pipeline": "x", "run": "y", "variables": {}})),
    ] {
        parameters["description"] = Value::Null;
        each(
            template,
            &|v: &str| {
                let mut parameters = parameters.clone();
                parameters["description"] = Value::String(format!("{v}."));
                full(template, parameters)
            },
            &text,
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_text_a_shipped_template_takes_stays_that_text(text in nasty()) {
        with_every_template(&text, |template, with, text| unchanged(&SHIPPED, template, with, text));
    }
}

/// What PyYAML makes of texts: a list of its documents for each. What JSON has no type for is told by its name, keys too.
const PYYAML: &str = "
import json, sys, yaml
def plain(value):
    if isinstance(value, dict):
        return {key if isinstance(key, str) else f'!{type(key).__name__} {key}': plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value if value is None or isinstance(value, (str, bool, int, float)) else f'!{type(value).__name__} {value}'
def read(text):
    try:
        return [plain(document) for document in yaml.safe_load_all(text)]
    except yaml.YAMLError as error:
        return f'!{error}'
json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)
";

/// Every text as a reader of YAML 1.1 has it, all in one process.
fn by_pyyaml(texts: &[String]) -> Vec<Value> {
    let ran = assert_cmd::Command::new("python3")
        .args(["-c", PYYAML])
        .env("PYTHONUTF8", "1")
        .write_stdin(serde_json::to_vec(texts).expect("JSON"))
        .output()
        .expect("python3 (scripts/setup.sh test)");
    assert!(ran.status.success(), "PyYAML (scripts/setup.sh test): {}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).expect("JSON")
}

/// Words that YAML 1.1 has other types for, and as many texts made at random, the same in each run.
fn hostile() -> Vec<String> {
    let words =
        ["yes", "NO", "y", "on", "~", "", "=", "<<", "12:30:45", "190:20:30.5", "2026-11-20", "2026-11-20T12:00:00Z", "0b1", "1_000", "07", ".inf"];
    let mut runner = TestRunner::deterministic();
    let mut random = || nasty().new_tree(&mut runner).expect("a text").current();
    words.into_iter().map(str::to_owned).chain((0..words.len()).map(|_| random())).filter(|text| text != "a").collect()
}

#[test]
fn a_yaml_1_1_reader_finds_the_same_structure_and_types_in_every_template() {
    let (mut texts, mut expected, mut templates) = (Vec::new(), Vec::new(), BTreeSet::new());
    for hostile in hostile() {
        let mut add = |catalogue: &Catalogue, template: &str, with: &dyn Fn(&str) -> Value, text: &str| {
            let output = render(catalogue, template, &with(text));
            let documents = parse(&output, Limits::default()).unwrap_or_else(|error| panic!("{error}\n{output}"));
            expected.push(Value::Array(documents.into_iter().map(|document| document.value).collect()));
            texts.push(output);
        };
        with_every_template(&hostile, |template, with, text| {
            templates.insert(template.to_owned());
            add(&SHIPPED, template, with, text);
        });
        add(&PLACES, "t", &|v| json!({ "v": v }), &hostile);
    }
    let read = by_pyyaml(&texts);
    for ((text, expected), read) in texts.iter().zip(&expected).zip(&read) {
        assert_eq!(read, expected, "{text}");
    }
    assert_eq!((read.len(), templates.len()), (texts.len(), SHIPPED.templates().count()));
}
