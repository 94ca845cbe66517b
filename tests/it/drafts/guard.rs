//! The guard against answers that were made to get past it, against answers that are wanted, and against answers at random, judged by an
//! oracle that shares no code with it.

use super::fixture::{Outcome, Tree, WITHIN, draft, guard, guard_of, play, target};
use crate::support::drafts_oracle::escapes;
use kubeops::plan::Answer;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

fn answers(text: &str) -> Vec<Value> {
    serde_json::from_str(text).expect("a list of answers")
}

#[test]
fn every_adversarial_answer_is_refused_for_the_rule_it_breaks() {
    let (tree, guard) = (Tree::new(), guard());
    let answers = answers(include_str!("adversarial.json"));
    assert!(answers.len() >= 200, "{}", answers.len());
    let mut wrong = Vec::new();
    for case in &answers {
        let (name, rule) = (&case["name"], case["rule"].as_str());
        match play(&guard, &tree, &case["answer"]) {
            Outcome::Unread(_) if rule == Some("unread") => {}
            Outcome::Unread(error) => wrong.push(format!("{name}: unread: {error}")),
            Outcome::Refused(violations) => {
                if rule.is_some_and(|rule| violations.iter().all(|violation| violation.rule != rule)) {
                    let rules: Vec<String> = violations.iter().map(|violation| format!("{} ({})", violation.rule, violation.message)).collect();
                    wrong.push(format!("{name}: wanted {rule:?}, refused for {rules:?}"));
                }
            }
            Outcome::Change(change) => wrong.push(format!("{name}: let through: {:?}", change.files.keys())),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), answers.len(), wrong.join("\n"));
}

#[test]
fn benign_answers_pass_and_the_oracle_agrees() {
    let (tree, guard) = (Tree::new(), guard());
    let answers = answers(include_str!("benign.json"));
    assert!(answers.len() >= 100, "{}", answers.len());
    let mut wrong = Vec::new();
    for case in &answers {
        let name = &case["name"];
        match play(&guard, &tree, &case["answer"]) {
            Outcome::Unread(error) => wrong.push(format!("{name}: unread: {error}")),
            Outcome::Refused(violations) => wrong.push(format!("{name}: {violations:?}")),
            Outcome::Change(change) => {
                wrong.extend(escapes(&draft(), WITHIN, &tree.files(), &tree.after(&change)).into_iter().map(|escape| format!("{name}: {escape}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), answers.len(), wrong.join("\n"));
}

#[test]
fn an_answer_that_changes_nothing_in_the_end_is_no_change() {
    let tree = Tree::new();
    for operations in [
        json!([]),
        json!([{"edit": {"object": "Deployment/shop/web", "set": {"spec.replicas": 2}}}]),
        json!([
            {"file": {"file": "clusters/prod/apps/web/new.yaml", "content": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: new\n"}},
            {"remove": {"file": "clusters/prod/apps/web/new.yaml"}}
        ]),
    ] {
        match play(&guard(), &tree, &json!({"operations": operations, "explanation": ""})) {
            Outcome::Change(change) => assert!(change.files.is_empty(), "{change:?}"),
            Outcome::Unread(error) => panic!("{error}"),
            Outcome::Refused(violations) => panic!("{violations:?}"),
        }
    }
}

#[test]
fn what_a_revision_takes_back_is_no_change_and_answers_are_judged_together() {
    let (tree, guard) = (Tree::new(), guard());
    let answer = |operation: Value| Answer::parse(&json!({"operations": [operation], "explanation": ""})).expect("an answer");
    let replicas = |count: u32| answer(json!({"edit": {"object": "Deployment/shop/web", "set": {"spec.replicas": count}}}));
    let together = |answers: &[Answer]| guard.change_of_all(answers, &target(), &tree).expect("the tree can be read");
    assert!(together(&[replicas(4), replicas(2)]).expect("a change").files.is_empty());
    assert_eq!(together(&[replicas(4), replicas(5)]).expect("a change").files.len(), 1);
    let privileged = answer(json!({"edit": {"object": "Deployment/shop/web", "set": {"spec.template.spec.hostNetwork": true}}}));
    assert!(together(&[replicas(4), privileged]).is_err());
}

/// A ConfigMap's text; without a namespace where that is empty.
fn config_map(namespace: &str, name: &str) -> String {
    let namespace = if namespace.is_empty() { String::new() } else { format!("\n  namespace: {namespace}") };
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}{namespace}\ndata:\n  a: b\n")
}

#[test]
fn what_is_added_stands_nowhere_else_as_overlays_build_it() {
    let kustomization = |rest: &str| format!("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n{rest}");
    let (plain, named) = (config_map("", "flags"), config_map("shop", "flags"));
    let (base, prod, eu) = (
        kustomization("resources: [settings.yaml]\n"),
        kustomization("resources: [../base, flags.yaml]\nnamespace: shop\nnamePrefix: a-\n"),
        kustomization("resources: [../base]\nnamespace: shop\nnamePrefix: a-\n"),
    );
    let alone = kustomization("resources: [other.yaml]\nnamespace: shop\nnamePrefix: a-\n");
    let generators = kustomization(
        "namespace: shop\nnamePrefix: a-\nconfigMapGenerator: [{name: hashed, literals: [a=b]}, {name: merged, behavior: merge, literals: [a=b]}]\n",
    );
    let tree = Tree::with(&[
        ("clusters/prod/apps/base/kustomization.yaml", &base),
        ("clusters/prod/apps/base/settings.yaml", &config_map("", "settings")),
        ("clusters/prod/apps/one/kustomization.yaml", &prod),
        ("clusters/prod/apps/one/flags.yaml", &plain),
        ("clusters/prod/apps/two/kustomization.yaml", &eu),
        ("clusters/prod/apps/three/kustomization.yaml", &alone),
        ("clusters/prod/apps/three/other.yaml", &config_map("", "other")),
        ("clusters/prod/apps/four/kustomization.yaml", &generators),
    ]);
    let written = |file: &str, content: &str| json!({"file": {"file": format!("clusters/prod/apps/{file}"), "content": content}});
    let patched = json!({"edit": {"file": "clusters/prod/apps/three/kustomization.yaml", "set": {"patches": [{"path": "patch.yaml"}]}}});
    let shared = |overlay: &str| json!({"edit": {"file": format!("clusters/prod/apps/{overlay}/kustomization.yaml"), "append": {"resources": "../web/both.yaml"}}});
    let generates = |name: &str| {
        let generator = json!([{"name": name, "literals": ["a=b"]}]);
        json!({"edit": {"file": "clusters/prod/apps/three/kustomization.yaml", "set": {"configMapGenerator": generator}}})
    };
    let mut draft = draft();
    draft["allow"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"kinds": ["Kustomization.kustomize.config.k8s.io"], "fields": ["configMapGenerator"]}));
    let guard = guard_of(&draft);
    for (operations, stands) in [
        // As it is built, it is called otherwise.
        (vec![written("web/x.yaml", &config_map("shop", "a-flags"))], Some("clusters/prod/apps/one/flags.yaml")),
        (vec![written("web/x.yaml", &config_map("", "a-flags"))], Some("clusters/prod/apps/one/flags.yaml")),
        (vec![written("web/x.yaml", &named)], None),
        (vec![written("web/x.yaml", &config_map("elsewhere", "a-flags"))], None),
        // What is new is called otherwise as well.
        (vec![written("one/x.yaml", &config_map("", "settings"))], Some("clusters/prod/apps/base/settings.yaml")),
        (vec![written("three/x.yaml", &plain)], Some("clusters/prod/apps/one/flags.yaml")),
        // Overlays of one base are for several clusters.
        (vec![written("two/x.yaml", &plain)], None),
        // Which a change does not decide.
        (
            vec![written("web/both.yaml", &config_map("", "both")), shared("one"), shared("three"), written("three/x.yaml", &plain)],
            Some("clusters/prod/apps/one/flags.yaml"),
        ),
        // Made by a generator, whatever hash is put behind its name; one that adds to another's makes none.
        (vec![written("web/x.yaml", &config_map("shop", "a-hashed"))], Some("clusters/prod/apps/four/kustomization.yaml")),
        (vec![written("three/x.yaml", &config_map("", "hashed"))], Some("clusters/prod/apps/four/kustomization.yaml")),
        (vec![written("web/x.yaml", &config_map("shop", "hashed"))], None),
        (vec![written("web/x.yaml", &config_map("shop", "a-merged"))], None),
        (vec![generates("flags")], Some("clusters/prod/apps/one/flags.yaml")),
        (vec![generates("hashed")], Some("clusters/prod/apps/four/kustomization.yaml")),
        (vec![generates("fresh")], None),
        // A part of an object is no object.
        (vec![patched, written("three/patch.yaml", &config_map("", "other"))], None),
    ] {
        let answer = json!({"operations": operations, "explanation": ""});
        match (play(&guard, &tree, &answer), stands) {
            (Outcome::Change(change), None) => assert!(!change.files.is_empty()),
            (Outcome::Refused(violations), Some(place)) => {
                let [violation] = violations.as_slice() else { panic!("{answer:#}: {violations:?}") };
                assert!(violation.rule == "draft.kind" && violation.security, "{violation:?}");
                assert!(violation.message.contains(&format!("stands already in {place};")), "{violation:?}");
            }
            (Outcome::Refused(violations), None) => panic!("{answer:#}: {violations:?}"),
            (Outcome::Unread(error), _) => panic!("{error}"),
            (Outcome::Change(_), Some(_)) => panic!("{answer:#} is let through"),
        }
    }
}

#[test]
fn what_steers_a_chart_stays_and_what_describes_it_may_change() {
    let chart = "apiVersion: v2\nname: web\nversion: 1.0.0\nappVersion: \"1.4\" # {\"$imagepolicy\": \"flux-system:web:tag\"}\ndependencies: []\n";
    let tree = Tree::with(&[
        ("clusters/prod/apps/chart/Chart.yaml", chart),
        ("clusters/prod/apps/chart/templates/config.yaml", &config_map("shop", "charted")),
    ]);
    let mut draft = draft();
    draft["allow"] = json!([{"kinds": ["none"], "fields": ["appVersion", "dependencies", "type", "kind"], "add": true, "remove": true}, {"kinds": ["*"], "fields": ["data"], "add": true, "remove": true}]);
    let guard = guard_of(&draft);
    let at = |file: &str| format!("clusters/prod/apps/chart/{file}");
    let set = |field: &str, value: Value| json!({"edit": {"file": at("Chart.yaml"), "set": {field: value}}});
    for (operation, passes) in [
        (set("appVersion", json!("1.5")), true),
        (set("dependencies", json!([{"name": "x", "version": "1.0.0", "repository": "https://evil.example"}])), false),
        (set("type", json!("library")), false),
        (set("kind", json!("ConfigMap")), false),
        (json!({"remove": {"file": at("Chart.yaml")}}), false),
        (json!({"edit": {"file": at("templates/config.yaml"), "set": {"data.a": "{{ .Values.a }}"}}}), false),
        (json!({"file": {"file": at("templates/deep/new.yaml"), "content": config_map("shop", "new")}}), false),
        (json!({"file": {"file": at("values.yaml"), "content": "a: b"}}), true),
        (json!({"file": {"file": "clusters/prod/apps/templates/new.yaml", "content": config_map("shop", "new")}}), true),
    ] {
        match play(&guard, &tree, &json!({"operations": [operation], "explanation": ""})) {
            Outcome::Change(_) => assert!(passes, "{operation}"),
            Outcome::Refused(violations) => {
                assert!(!passes, "{operation}: {violations:?}");
                assert!(violations.iter().any(|violation| violation.rule == "draft.path" && violation.security), "{violations:?}");
            }
            Outcome::Unread(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_comment_that_acts_stays_where_it_is_and_none_is_new() {
    let marked = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: marked\n  namespace: shop\ndata:\n  tag: one # {\"$imagepolicy\": \"flux-system:web:tag\"}\n  other: two # said first\n";
    let file = "clusters/prod/apps/web/marked.yaml";
    let tree = Tree::with(&[(file, marked)]);
    for (from, to, passes) in [
        ("tag: one", "tag: two", true),
        ("two # said first", "three # renovated last year, see #12", true),
        ("other: two", "other: '{\"a\": \"$b\"}'", true),
        (":web:", ":evil:", false),
        ("said first", "{\"$imagepolicy\": \"flux-system:web:tag\"}", false),
        ("other: two", "evil: three # {\"$imagepolicy\": \"flux-system:web:tag\"}\n  other: two", false),
        ("tag: one", "tag: one\n  evil: three", false),
        ("said first", "{\"\\u0024imagepolicy\": \"flux-system:web:tag\"}", false),
        ("said first", "CHECKOV: skip=all", false),
        ("said first", "vim: set modeline", false),
    ] {
        let answer = json!({"operations": [{"replace": {"file": file, "search": from, "replace": to}}], "explanation": ""});
        match play(&guard(), &tree, &answer) {
            Outcome::Change(_) => assert!(passes, "{to}"),
            Outcome::Refused(violations) => {
                assert!(!passes, "{to}: {violations:?}");
                assert!(violations.iter().any(|violation| violation.rule == "draft.comment" && violation.security), "{to}: {violations:?}");
            }
            Outcome::Unread(error) => panic!("{error}"),
        }
    }
}

#[test]
fn more_objects_than_are_looked_for_are_not_added() {
    let of = |many: usize| (0..many).map(|number| config_map("shop", &format!("new-{number}"))).collect::<Vec<_>>().join("---\n");
    let answer = |many: usize| json!({"operations": [{"file": {"file": "clusters/prod/apps/web/new.yaml", "content": of(many)}}], "explanation": ""});
    assert!(matches!(play(&guard(), &Tree::new(), &answer(200)), Outcome::Change(_)));
    let Outcome::Refused(violations) = play(&guard(), &Tree::new(), &answer(201)) else { panic!("refused") };
    assert_eq!(violations.iter().map(|violation| (violation.rule, violation.security)).collect::<Vec<_>>(), [("draft.large", false)]);
}

#[test]
fn an_answer_beyond_its_bounds_is_not_read() {
    let tree = Tree::new();
    let large = "x".repeat(300_000);
    for (answer, says) in [
        (json!({"operations": [], "explanation": large}), "262144 bytes"),
        (
            json!({"operations": [{"file": {"file": "clusters/prod/apps/x.yaml", "content": &large[..70_000]}}], "explanation": ""}),
            "65536 are allowed",
        ),
        (
            json!({"operations": [{"edit": {"object": "a/b/c", "set": {"a": 1}, "force": true}}], "explanation": ""}),
            "/operations/0/edit: unknown field `force`",
        ),
        (json!({"operations": [{"remove": {"file": 7}}], "explanation": ""}), "/operations/0/remove: invalid type"),
    ] {
        let Outcome::Unread(error) = play(&guard(), &tree, &answer) else { panic!("it was read") };
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_what_is_for_safety_first() {
    let operations: Vec<Value> = (0..30)
        .map(|number| json!({"edit": {"object": "Deployment/shop/web", "set": {format!("spec.x{number}"): number}}}))
        .chain([json!({"replace": {"file": "clusters/prod/apps/web/config.yaml", "search": "colour: blue", "replace": "x"}})])
        .chain([json!({"file": {"file": "../x.yaml", "content": "a: b"}})])
        .chain((0..30).map(|number| json!({"replace": {"file": format!("clusters/prod/apps/none-{number}.yaml"), "search": "a", "replace": "b"}})))
        .take(50)
        .collect();
    let Outcome::Refused(violations) = play(&guard(), &Tree::new(), &json!({"operations": operations, "explanation": ""})) else { panic!("refused") };
    assert_eq!(violations.len(), 20);
    assert!(violations[0].security && violations[0].rule == "draft.path", "{violations:?}");
    let near = violations.iter().find(|violation| violation.rule == "draft.match").expect("a match");
    assert!(near.message.contains("the nearest is line 8: `color: blue`"), "{}", near.message);
    assert!(violations[19].message.ends_with("more are not listed"), "{violations:?}");
}

#[test]
fn a_new_file_below_a_kustomization_that_may_not_be_written_is_refused_with_what_its_author_has_to_do() {
    let mut draft = draft();
    draft["write"] = json!(["apps/kustom/new*.yaml"]);
    let content = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new, namespace: shop}\ndata: {a: b}\n";
    let answer = json!({"operations": [{"file": {"file": "clusters/prod/apps/kustom/new.yaml", "content": content}}], "explanation": ""});
    let Outcome::Refused(violations) = play(&guard_of(&draft), &Tree::new(), &answer) else { panic!("refused") };
    let violation = violations.iter().find(|violation| violation.rule == "draft.path").expect("a path");
    assert_eq!(violation.path.as_deref(), Some("clusters/prod/apps/kustom/kustomization.yaml"), "{violations:?}");
    assert!(violation.message.contains("`draft.write` reaches it where that is to be possible"), "{}", violation.message);
}

#[test]
fn a_format_that_is_not_wanted_is_refused_and_not_in_the_schema() {
    let mut draft = draft();
    draft["formats"] = json!(["edit"]);
    let guard = guard_of(&draft);
    let answer = json!({"operations": [{"replace": {"file": "clusters/prod/apps/web/config.yaml", "search": "color: blue", "replace": "color: red"}}], "explanation": ""});
    let Outcome::Refused(violations) = play(&guard, &Tree::new(), &answer) else { panic!("refused") };
    assert_eq!(violations.iter().map(|violation| (violation.rule, violation.security)).collect::<Vec<_>>(), [("draft.format", false)]);
    let schema = kubeops::plan::Answer::schema(guard.formats());
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    assert!(!validator.is_valid(&answer), "{schema:#}");
    assert!(
        validator
            .is_valid(&json!({"operations": [{"edit": {"object": "a/b/c", "set": {"a": 1}}}, {"remove": {"file": "x.yaml"}}], "explanation": ""}))
    );
}

#[test]
fn the_oracle_sees_what_would_have_escaped() {
    let tree = Tree::new();
    let before = tree.files();
    for (path, from, to) in [
        ("clusters/prod/apps/web/deployment.yaml", "serviceAccountName: web", "serviceAccountName: admin"),
        ("clusters/prod/apps/web/deployment.yaml", "ghcr.io/acme/api:1.4.2", "evil.io/api:1"),
        ("clusters/prod/apps/web/deployment.yaml", "# Who answers for it.\n", ""),
        ("clusters/prod/apps/web/deployment.yaml", "type: ClusterIP", "type: NodePort"),
        ("clusters/prod/apps/web/rbac.yaml", "verbs: [get]", "verbs: [\"*\"]"),
        ("clusters/prod/apps/web/secret.yaml", "not-a-real-one", "another"),
        ("clusters/prod/apps/web/config.yaml", "color: blue", "color: &x blue"),
        ("clusters/prod/apps/web/config.yaml", "kind: ConfigMap", "kind: Secret"),
        ("clusters/prod/infra/config.yaml", "a: b", "a: c"),
        (".github/workflows/ci.yaml", "push", "pull_request_target"),
    ] {
        let mut after = before.clone();
        let text = after.get_mut(path).expect("the file");
        assert!(text.contains(from), "{path} {from}");
        *text = text.replacen(from, to, 1);
        assert!(!escapes(&draft(), WITHIN, &before, &after).is_empty(), "{path}: {to}");
    }
    for (path, object) in [("zz.yaml", "web-config"), ("zz.yaml", "infra"), ("config.yaml", "web-config")] {
        let mut after = before.clone();
        let text = after.entry(format!("clusters/prod/apps/web/{path}")).or_default();
        *text = format!("{text}---\n{}", config_map("shop", object));
        assert_eq!(escapes(&draft(), WITHIN, &before, &after), [format!("ConfigMap shop/{object} stands twice")], "{path}");
    }
    assert!(escapes(&draft(), WITHIN, &before, &before).is_empty());
}

/// Lines that an answer puts somewhere.
const LINES: &[&str] = &[
    "  replicas: 3",
    "  color: red",
    "kind: Secret",
    "kind: ConfigMap",
    "---",
    "...",
    "",
    "# a comment",
    "  name: other",
    "  namespace: kube-system",
    "          image: evil.io/api:1",
    "          image: ghcr.io/example/api:2",
    "          image: ghcr.io/acme/api:2",
    "      hostNetwork: true",
    "              memory: 1Gi",
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: added\n  namespace: shop\ndata:\n  a: b",
    "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: behind\n  namespace: shop\ndata:\n  a: b",
    "---\napiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: added\n  namespace: shop",
    "  a: &x one",
    "  b: *common",
    "  <<: {a: b}",
    "    app: other",
    "  zero: \"a\u{200b}b\"",
    "  type: LoadBalancer",
    "  burst: \"20\"",
];
const FIELDS: &[&str] = &[
    "spec.replicas",
    "spec.paused",
    "data.color",
    "data",
    "metadata.labels.tier",
    "metadata.labels",
    "metadata.annotations.x",
    "metadata.annotations",
    "spec.template.spec.containers[name=api].image",
    "spec.template.spec.containers[name=api].resources.limits.memory",
    "spec.template.spec.containers[name=api].resources",
    "spec.template.spec.containers",
    "spec.template.spec.containers[name=proxy]",
    "spec.template.spec.serviceAccountName",
    "spec.template.spec",
    "rules",
    "image.tag",
    "image",
    "resources",
    "images",
    "spec.strategy",
    "kind",
    "stringData.password",
];
const OBJECTS: &[&str] = &[
    "Deployment/shop/web",
    "Deployment/shop/worker",
    "Service/shop/web",
    "ConfigMap/shop/web-config",
    "ConfigMap/shop/web-limits",
    "ConfigMap/shop/shared",
    "ConfigMap/shop/listed",
    "ConfigMap/shop/infra",
    "Role/shop/web",
    "Role/shop/listed",
    "Secret/shop/web",
    "Namespace//shop",
    "Application/argocd/web",
    "PodDisruptionBudget/shop/web",
];

fn values() -> impl Strategy<Value = Value> {
    let values = [
        json!(3),
        json!("red"),
        json!("ghcr.io/acme/api:9"),
        json!("ghcr.io/example/new:1"),
        json!("evil.io/x:1"),
        json!({"a": "b"}),
        json!({"limits": {"memory": "1Gi"}}),
        json!({"name": "extra", "image": "ghcr.io/example/x:1"}),
        json!([{"name": "api", "image": "ghcr.io/acme/api:2"}]),
        json!({"hostNetwork": true}),
        json!([]),
        json!({}),
        json!(true),
    ];
    proptest::sample::select(values.to_vec())
}

/// A file's text with lines of it taken out, doubled, moved or replaced.
fn mangled(text: String) -> impl Strategy<Value = String> {
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let edits = proptest::collection::vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), 0..6u8, 0..LINES.len()), 0..4);
    edits.prop_map(move |edits| {
        let mut lines = lines.clone();
        for (at, other, what, line) in edits {
            if lines.is_empty() {
                break;
            }
            let (at, other) = (at.index(lines.len()), other.index(lines.len()));
            match what {
                0 => drop(lines.remove(at)),
                1 => lines.insert(other, lines[at].clone()),
                2 => lines.swap(at, other),
                3 => lines[at] = LINES[line].to_owned(),
                4 => lines.insert(at, LINES[line].to_owned()),
                _ => lines.push(LINES[line].to_owned()),
            }
        }
        lines.join("\n") + "\n"
    })
}

fn operation(files: Vec<(String, String)>) -> impl Strategy<Value = Value> {
    let file = proptest::sample::select(files);
    let place = (file.clone(), proptest::sample::select(OBJECTS), 0..3u8).prop_map(|((path, _), object, which)| match which {
        0 => json!({"file": path}),
        1 => json!({"object": object}),
        _ => json!({"file": path, "object": object}),
    });
    let edit = (place.clone(), proptest::sample::select(FIELDS), values(), 0..4u8).prop_map(|(mut edit, field, value, how)| {
        match how {
            0 => edit["remove"] = json!([field]),
            1 => edit["merge"] = json!({field: value}),
            2 => edit["append"] = json!({field: value}),
            _ => edit["set"] = json!({field: value}),
        }
        json!({"edit": edit})
    });
    let replace = (file.clone(), any::<proptest::sample::Index>(), proptest::sample::select(LINES), any::<bool>()).prop_map(
        |((path, text), at, line, keep)| {
            let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
            let search = if lines.is_empty() { "x" } else { lines[at.index(lines.len())] };
            let replace = if keep { format!("{search}\n{line}") } else { line.to_owned() };
            json!({"replace": {"file": path, "search": search, "replace": replace}})
        },
    );
    let whole = (file.clone(), file.clone()).prop_flat_map(|((path, _), (_, text))| mangled(text).prop_map(move |content| (path.clone(), content)));
    let own = file.prop_flat_map(|(path, text)| mangled(text).prop_map(move |content| (path.clone(), content)));
    let written = prop_oneof![1 => whole, 4 => own].prop_map(|(path, content)| json!({"file": {"file": path, "content": content}}));
    let remove = place.prop_map(|place| json!({"remove": place}));
    prop_oneof![4 => edit, 4 => replace, 4 => written, 1 => remove]
}

#[test]
fn nothing_escapes_whatever_is_answered() {
    let (tree, guard, draft) = (Tree::new(), guard(), draft());
    let before = tree.files();
    let below = |(path, text): (&String, &String)| path.starts_with("clusters/prod/").then(|| (path.clone(), text.clone()));
    let mut files: Vec<(String, String)> = before.iter().filter_map(below).filter(|(_, text)| text.len() < 4_000).collect();
    files.extend(
        ["clusters/prod/apps/web/new.yaml", "clusters/prod/apps/kustom/new.yaml", "clusters/dev/apps/web/config.yaml"]
            .map(|path| (path.to_owned(), LINES[15].to_owned())),
    );
    let answers = proptest::collection::vec(operation(files), 1..3);
    let mut runner = TestRunner::deterministic();
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..4_000 {
        let operations = answers.new_tree(&mut runner).expect("an answer").current();
        let answer = json!({"operations": operations, "explanation": "As asked."});
        match play(&guard, &tree, &answer) {
            Outcome::Change(change) => {
                passed += 1;
                let escaped = escapes(&draft, WITHIN, &before, &tree.after(&change));
                assert!(escaped.is_empty(), "{answer:#}\n{escaped:#?}");
            }
            Outcome::Unread(_) | Outcome::Refused(_) => refused += 1,
        }
    }
    assert!(passed >= 120 && refused >= 1_000, "{passed} passed, {refused} were refused: nothing was tried");
}
