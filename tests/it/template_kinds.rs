//! What the shipped templates make, held against the kinds themselves: Kubernetes' own by every schema KubeOps has, those of
//! other systems by schemas made of their definitions. A field a kind does not have is an error.

use kubeops::plan::{ChangeSet, EmptyTree, FileChange};
use kubeops::render::{Catalogue, RenderJob};
use kubeops::types::{DirectoryPath, KubernetesVersion, UnknownKinds};
use kubeops::validate::{Rules, validate};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// Schemas made by `scripts/foreign-kinds.sh` of what packages say of the systems' definitions.
const MADE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/contracts/kinds");
/// Definitions that no package has, written here by their fields.
const OWN: [&str; 2] = [include_str!("../fixtures/crds/ops.yaml"), include_str!("../fixtures/crds/opsmate.yaml")];

static SHIPPED: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::embedded().expect("the shipped catalogue"));

/// Every expected document of the shipped examples, with the example it stands in.
fn documents() -> Vec<(String, Value)> {
    let of = |template: &str, case: &str, expected: &str| -> Vec<(String, Value)> {
        let parsed: Vec<Value> = serde_saphyr::from_multiple(expected).expect("YAML");
        parsed.into_iter().map(|document| (format!("{template}/{case}"), document)).collect()
    };
    SHIPPED.templates().flat_map(|t| t.examples().iter().flat_map(move |e| of(t.name().as_str(), &e.name, &e.expected))).collect()
}

fn text<'d>(document: &'d Value, pointer: &str) -> &'d str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a kind is of Kubernetes itself.
fn of_kubernetes(document: &Value) -> bool {
    let group = text(document, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
    !group.contains('.') || group.ends_with(".k8s.io")
}

/// A structural schema (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>),
/// closed: an object with named fields has no others.
fn closed(schema: &Value) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let mut closed: Map<String, Value> = fields.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for nested in ["items", "additionalProperties"] {
        if let Some(value) = closed.get_mut(nested) {
            *value = self::closed(value);
        }
    }
    if let Some(Value::Object(properties)) = closed.get_mut("properties") {
        properties.values_mut().for_each(|property| *property = self::closed(property));
        closed.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    Value::Object(closed)
}

/// The schemas of other systems' kinds by API version and kind.
fn schemas() -> BTreeMap<(String, String), Value> {
    let mut schemas = BTreeMap::new();
    let made = std::fs::read_dir(MADE).unwrap_or_else(|error| panic!("{MADE}: {error}; `make setup` makes it"));
    for file in made.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "json")) {
        let schema = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).expect("a schema");
        let stem = file.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let [group, version, kind] = stem.split('_').collect::<Vec<_>>()[..] else { panic!("{stem}: group_version_Kind") };
        schemas.insert((format!("{group}/{version}"), kind.to_owned()), schema);
    }
    for definition in OWN.iter().flat_map(|file| serde_saphyr::from_multiple::<Value>(file).expect("YAML")) {
        let (group, kind) = (text(&definition, "/spec/group"), text(&definition, "/spec/names/kind"));
        for version in definition.pointer("/spec/versions").and_then(Value::as_array).expect("versions") {
            let mut schema = closed(version.pointer("/schema/openAPIV3Schema").expect("a schema"));
            schema["properties"]["metadata"] = json!({"type": "object"});
            schemas.insert((format!("{group}/{}", text(version, "/name")), kind.to_owned()), schema);
        }
    }
    schemas
}

/// What is wrong with a document of another system's kind.
fn faults(schemas: &BTreeMap<(String, String), Value>, document: &Value) -> Vec<String> {
    let kind = (text(document, "/apiVersion").to_owned(), text(document, "/kind").to_owned());
    let Some(schema) = schemas.get(&kind) else { return vec![format!("there is no schema of {} {}", kind.0, kind.1)] };
    let validator = jsonschema::options().offline().build(schema).expect("a schema");
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn what_a_template_makes_of_other_systems_kinds_fits_their_definitions() {
    let schemas = schemas();
    let mut seen = BTreeSet::new();
    for (example, document) in documents().iter().filter(|(_, document)| !of_kubernetes(document)) {
        assert_eq!(faults(&schemas, document), Vec::<String>::new(), "{example}");
        seen.insert(text(document, "/kind").to_owned());
    }
    for kind in
        ["Application", "AppProject", "Certificate", "ExternalSecret", "HelmRelease", "Kustomization", "PrometheusRule", "Route", "SealedSecret"]
    {
        assert!(seen.contains(kind), "{kind} is not among {seen:?}");
    }
    // The credentials of Ops' clusters stand in the manifest itself.
    assert!(!seen.contains("Cluster"));
}

#[test]
fn a_field_too_many_and_a_value_of_another_type_are_found_in_every_kind() {
    let schemas = schemas();
    for (example, document) in documents().into_iter().filter(|(_, document)| !of_kubernetes(document)) {
        let mut more = document.clone();
        more["spec"]["noSuchField"] = json!("x");
        assert!(!faults(&schemas, &more).is_empty(), "{example}: a field too many");
        let mut other = document.clone();
        let field = other["spec"].as_object().and_then(|spec| spec.keys().next().cloned()).expect("a field");
        other["spec"][&field] = json!([[1]]);
        assert!(!faults(&schemas, &other).is_empty(), "{example}: {field} of another type");
    }
}

/// The objects an object of another system holds as a whole.
fn embedded(document: &Value) -> Vec<Value> {
    let (kind, name) = (text(document, "/kind"), json!({"name": "embedded", "namespace": "x"}));
    let Some((template, service)) = document.pointer("/spec/podTemplate").zip(document.pointer("/spec/service")) else { return Vec::new() };
    assert_eq!(kind, "EnvironmentBuild");
    let labels = template.pointer("/metadata/labels").expect("labels");
    vec![
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": name, "spec": {"selector": {"matchLabels": labels}, "template": template}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": name, "spec": service}),
    ]
}

#[test]
fn what_a_template_makes_of_kubernetes_kinds_fits_every_version_there_is_a_schema_of() {
    let mut files = BTreeMap::new();
    for (number, (example, document)) in documents().iter().enumerate() {
        let mut objects = embedded(document);
        objects.extend(of_kubernetes(document).then(|| document.clone()));
        for (part, mut object) in objects.into_iter().enumerate() {
            // Examples of different templates may name their objects alike.
            object["metadata"]["name"] = json!(format!("object-{number}-{part}"));
            let path = format!("{example}/{number}-{part}.yaml").parse().expect("a path");
            files.insert(path, FileChange::Write(serde_saphyr::to_string(&object).expect("YAML").into_bytes()));
        }
    }
    assert!(files.len() > 60, "{}", files.len());
    for kubernetes in KubernetesVersion::supported() {
        let rules = Rules::new(kubernetes, DirectoryPath::root(), UnknownKinds::Deny);
        let change = ChangeSet { files: files.clone(), templates: BTreeMap::new(), notes: Vec::new() };
        let valid = validate(change, &EmptyTree::default(), &rules).unwrap_or_else(|error| panic!("{kubernetes}: {error}"));
        // KubeOps' writer escapes invisible characters, the one used here does not.
        let warnings: Vec<_> = valid.warnings().iter().filter(|finding| finding.rule != "yaml.hidden").collect();
        assert!(warnings.is_empty(), "{kubernetes}: {warnings:?}");
    }
}

/// What a template says of parameters.
fn refused(template: &str, parameters: Value) -> String {
    let name = template.parse().expect("a name");
    let filled = SHIPPED.with_defaults(&name, parameters.as_object().expect("an object")).expect("a template");
    let job = RenderJob { template: name, context: json!({ "parameters": filled }) };
    SHIPPED.render_direct(&job).map(|output| String::from_utf8_lossy(&output).into_owned()).expect_err(template).to_string()
}

#[test]
fn what_a_shell_would_take_for_more_than_a_value_is_refused_for_ops() {
    for value in ["a b", "a;b", "$(id)", "`id`", "a|b", "a&b", "a>b", "'", "\"", "a\nb", "-rf", "*", "a\\b", "~", "#", "(", "!", "{a,b}", "ä"] {
        for (template, parameters) in [
            ("ops-task-run", json!({"task": "t", "run": "r", "variables": {"a": value}})),
            ("ops-pipeline-run", json!({"pipeline": "p", "run": "r", "variables": {"a": value}})),
            ("ops-task", json!({"name": "t", "steps": [{"name": "s", "content": "true"}], "variables": {"a": {"default": value}}})),
            ("ops-task", json!({"name": "t", "steps": [{"name": "s", "content": "true"}], "variables": {"a": {"enums": [value]}}})),
            ("ops-pipeline", json!({"name": "p", "tasks": [{"name": "t"}], "variables": {"a": {"value": value}}})),
        ] {
            assert!(refused(template, parameters).contains("does not match"), "{template} {value:?}");
        }
    }
    let variables = json!({"size": {"default": "xl", "enums": ["s", "m"]}});
    assert!(refused("ops-pipeline", json!({"name": "p", "tasks": [{"name": "t"}], "variables": variables})).contains("none of its enums"));
    assert!(refused("ops-pipeline-run", json!({"pipeline": "p", "run": "r", "cluster": "a", "variables": {"cluster": "b"}})).contains("twice"));
    assert!(refused("ops-pipeline-run", json!({"pipeline": "p", "run": "r"})).contains("variables"), "defaults are not merged");
}

#[test]
fn what_would_widen_rights_or_open_more_than_was_meant_is_refused() {
    let rule = |rule: Value| ("service-account-with-role", json!({"name": "a", "namespace": "web", "rules": [rule]}));
    let policy = |rule: Value| ("network-policy", json!({"name": "a", "namespace": "web", "labels": {}, "ingress": [rule]}));
    let alert = |summary: &str| {
        ("prometheus-rule", json!({"name": "a", "namespace": "web", "alerts": [{"name": "Alert", "expression": "1", "summary": summary}]}))
    };
    let application = |field: &str, value: Value| {
        let mut parameters = json!({"name": "a", "project": "web", "repository": "https://git.example.com/a/b", "revision": "main", "path": "a",
            "destination": {"cluster": "c", "namespace": "web"}});
        parameters[field] = value;
        ("argo-cd-application", parameters)
    };
    for (template, parameters) in [
        rule(json!({"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]})),
        rule(json!({"apiGroups": [""], "resources": ["*"], "verbs": ["get"]})),
        rule(json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]})),
        rule(json!({"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]})),
        rule(json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})),
        rule(json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"], "verbs": ["list"]})),
        rule(json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["get"]})),
        policy(json!({"peers": [], "ports": [{"port": 80}]})),
        policy(json!({"peers": [{}], "ports": [{"port": 80}]})),
        policy(json!({"peers": [{"namespace": "a"}], "ports": []})),
        policy(json!({"peers": [{"cidr": "10.0.0.0/8", "namespace": "a"}], "ports": [{"port": 80}]})),
        (
            "network-policy",
            json!({"name": "a", "namespace": "web", "labels": {}, "directions": ["Egress"],
            "ingress": [{"peers": [{"namespace": "a"}], "ports": [{"port": 80}]}]}),
        ),
        alert("{{ query \"up\" }}"),
        alert("{{{ $value }}"),
        alert("{{ $labels.a | reReplaceAll \"a\" \"b\" }}"),
        application("project", json!("default")),
        application("chart", json!("redis")),
        application("repository", json!("https://user:password@git.example.com/a/b")),
        application("path", json!("../other")),
        ("argo-cd-app-project", json!({"name": "a", "repositories": ["*"], "destinations": [{"cluster": "c", "namespace": "web"}]})),
        (
            "argo-cd-app-project",
            json!({"name": "a", "repositories": ["https://git.example.com/a/b"], "destinations": [{"cluster": "c", "namespace": "k*"}]}),
        ),
        (
            "openshift-route",
            json!({"name": "a", "namespace": "web", "host": "a.example", "service": "a", "termination": "passthrough", "path": "/a"}),
        ),
        ("ingress", json!({"name": "a", "namespace": "web", "hosts": [], "service": "a", "port": 80})),
        (
            "opsmate-task",
            json!({"name": "a", "run": "r", "namespace": "web", "user": "u", "environmentBuild": "e", "context": "cli", "domain": "a.example",
            "ingressAnnotations": {"nginx.ingress.kubernetes.io/configuration-snippet": "x"}}),
        ),
        ("ops-host", json!({"name": "a", "address": "a", "username": "ops", "secret": "s", "password": "hunter2"})),
        ("ops-event-hooks", json!({"name": "a", "url": "https://kubeops.example.com/api/v1/webhooks/ops?token=hunter2"})),
        ("sealed-secret", json!({"name": "a", "namespace": "web", "encryptedData": {"a": "aHVudGVyMg=="}})),
        ("sealed-secret", json!({"name": "a", "namespace": "web", "encryptedData": {"a": "x".repeat(400)}})),
        ("deployment", json!({"name": "a", "namespace": "web", "image": "a/b"})),
        ("deployment", json!({"name": "a", "namespace": "web", "image": "a/b:1", "podLabels": {"app.kubernetes.io/name": "other"}})),
        ("deployment", json!({"name": "a", "namespace": "kube-system", "image": "a/b:1"})),
        ("oats-agent-job", json!({"run": "ops-42", "namespace": "web", "image": "a/b:1", "goal": "x"})),
    ] {
        refused(template, parameters);
    }
}

#[test]
fn a_goal_cannot_ask_kubernetes_for_the_agents_keys() {
    let example = documents().into_iter().find(|(example, document)| example.starts_with("oats-agent-job/everything") && document["kind"] == "Job");
    let value = example.expect("the example").1.pointer("/spec/template/spec/containers/0/env/0/value").and_then(Value::as_str).map(str::to_owned);
    // `$$` is Kubernetes' way to write `$`: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#environment-variables
    assert!(value.is_some_and(|value| value.contains("$$(OPENAI_API_KEY) $$$$(A)")));
}

/// A pod's security by the Pod Security Standard `restricted` and what this house adds to it.
fn hardened(pod: &Value, example: &str) {
    assert_eq!(pod.pointer("/securityContext/runAsNonRoot"), Some(&json!(true)), "{example}");
    assert_eq!(text(pod, "/securityContext/seccompProfile/type"), "RuntimeDefault", "{example}");
    assert!(pod.get("automountServiceAccountToken").is_some_and(Value::is_boolean), "{example}");
    let containers = ["containers", "initContainers"].iter().filter_map(|list| pod.get(list)).filter_map(Value::as_array).flatten();
    for container in containers {
        assert_eq!(container.pointer("/securityContext/allowPrivilegeEscalation"), Some(&json!(false)), "{example}");
        assert_eq!(container.pointer("/securityContext/readOnlyRootFilesystem"), Some(&json!(true)), "{example}");
        assert_eq!(container.pointer("/securityContext/capabilities/drop"), Some(&json!(["ALL"])), "{example}");
        for amount in ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"] {
            assert!(!text(container, amount).is_empty(), "{example}: {amount}");
        }
    }
}

#[test]
fn every_pod_a_template_makes_is_hardened_and_no_template_makes_a_secret() {
    let mut pods = 0;
    for (example, document) in documents() {
        assert!(text(&document, "/kind") != "Secret", "{example}");
        for place in ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec", "/spec/podTemplate/spec"] {
            // Other systems have templates of other things.
            if let Some(pod) = document.pointer(place).filter(|pod| pod.get("containers").is_some()) {
                hardened(pod, &example);
                pods += 1;
            }
        }
    }
    assert!(pods >= 12, "{pods}");
}

#[test]
fn a_run_has_its_own_name_and_its_readme_says_how_it_goes_again() {
    let runs: Vec<_> = SHIPPED.templates().filter(|template| template.property_names().any(|name| name == "run")).collect();
    let names: Vec<&str> = runs.iter().map(|template| template.name().as_str()).collect();
    assert_eq!(names, ["job", "oats-agent-job", "ops-pipeline-run", "ops-task-run", "opsmate-task"]);
    for template in runs {
        assert!(template.required_names().any(|name| name == "run"), "{}", template.name());
        assert!(template.readme().contains("`ttl: {") && template.readme().contains("unique for each request"), "{}", template.name());
        for example in template.examples() {
            let run = example.parameters["run"].as_str().expect("a text");
            assert!(example.expected.contains(&format!("-{run}")), "{}", template.name());
        }
    }
}
