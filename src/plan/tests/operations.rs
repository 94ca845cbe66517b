//! Every operation of `edit`, on a file and on an object that is looked for.

use super::*;

const WEB: &str = "# web\nkind: Deployment\napiVersion: apps/v1\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  replicas: 2 # two\n  template:\n    spec:\n      containers:\n      - name: web\n        image: registry.example.com/web:1.4\n        args: [--fast]\n        resources:\n          limits: {memory: 512Mi, cpu: 500m}\n";
const PATH: &str = "clusters/prod/apps/web.yaml";

fn base() -> Files {
    Files::of(&[
        (PATH, WEB),
        ("clusters/prod/apps/api.yaml", "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: api, namespace: shop}\nspec: {replicas: 1}\n"),
        ("clusters/prod/README.md", "Deployment web shop"),
        ("clusters/prod/chart/templates/web.yaml", "kind: Deployment\nmetadata: {{ web }} shop\n"),
        ("clusters/test/apps/web.yaml", WEB),
    ])
}

fn on_web(operation: Value) -> Value {
    let mut edit = json!({"object": "Deployment/shop/{{ parameters.app }}"});
    edit.as_object_mut().expect("an object").extend(operation.as_object().cloned().expect("an object"));
    edit
}

#[test]
fn an_object_is_found_wherever_it_stands_below_the_target() {
    let changed = edited(on_web(json!({"set": {"spec.replicas": "parameters.replicas"}})), &base());
    only(&changed, PATH, &WEB.replace("replicas: 2", "replicas: 6"));
}

#[test]
fn every_operation_changes_its_own_lines() {
    let container = "spec.template.spec.containers[name=\"{{ parameters.app }}\"]";
    for (operation, after) in [
        (json!({"increase": {"spec.replicas": 2}}), WEB.replace("replicas: 2", "replicas: 4")),
        (json!({"increase": {"spec.replicas": {"by": 9, "max": "parameters.replicas"}}}), WEB.replace("replicas: 2", "replicas: 6")),
        (json!({"multiply": {format!("{container}.resources.limits.memory"): "1.5"}}), WEB.replace("512Mi", "768Mi")),
        (json!({"increase": {format!("{container}.resources.limits.cpu"): "50%"}}), WEB.replace("500m", "750m")),
        (json!({"append": {format!("{container}.args"): "'--slow'"}}), WEB.replace("[--fast]", "[--fast, \"--slow\"]")),
        (json!({"ensure": {format!("{container}.args"): "'--fast'"}}), WEB.to_owned()),
        (
            json!({"ensure": {format!("{container}.env"): {"value": "{'name': 'A', 'value': string(parameters.replicas)}", "key": "name"}}}),
            WEB.to_owned() + "        env:\n        - name: A\n          value: \"6\"\n",
        ),
        (
            json!({"merge": {"metadata": "{'labels': {'team': 'shop'}}"}}),
            WEB.replace("  namespace: shop\n", "  namespace: shop\n  labels:\n    team: shop\n"),
        ),
        (json!({"remove": [format!("{container}.args")]}), WEB.replace("        args: [--fast]\n", "")),
    ] {
        let changed = edited(on_web(operation.clone()), &base());
        match after == WEB {
            true => assert!(changed.is_empty(), "{operation}: {changed:?}"),
            false => only(&changed, PATH, &after),
        }
    }
}

#[test]
fn what_is_not_there_or_does_not_fit_is_told_with_what_there_is() {
    let several = Files::of(&[(PATH, WEB), ("clusters/prod/other/web.yaml", WEB)]);
    for (edit, base, says) in [
        (
            json!({"object": "Deployment/shop/wbe", "set": {"spec.replicas": "1"}}),
            base(),
            "there is no Deployment/shop/wbe below clusters/prod; did you mean Deployment/shop/web?; there are: Deployment/shop/api, Deployment/shop/web (clusters/prod/chart/templates/web.yaml could not be read as YAML)",
        ),
        (json!({"object": "StatefulSet/shop/web", "set": {"spec.replicas": "1"}}), base(), "there are: Deployment/shop/api, Deployment/shop/web"),
        (
            on_web(json!({"set": {"spec.replicas": "1"}})),
            several,
            "stands in more than one place: clusters/prod/apps/web.yaml, clusters/prod/other/web.yaml; name the `file`",
        ),
        (on_web(json!({"increase": {"spec.paused": 1}})), base(), "`spec.paused` is not there"),
        (on_web(json!({"increase": {"spec.template.spec.containers[name=web].image": 1}})), base(), "is no quantity"),
        (on_web(json!({"merge": {"metadata.labels": "'x'"}})), base(), "no mapping"),
        (on_web(json!({"append": {"spec.replicas": "1"}})), base(), "is a number, not a list"),
        (on_web(json!({"set": {"spec.template.spec.containers[name=wbe].image": "'x'"}})), base(), "no element with name=wbe"),
    ] {
        let told = refused(edit, &base);
        assert!(told.contains(says), "{told}");
    }
}

#[test]
fn a_mistake_in_an_operation_is_told_at_load() {
    let told = |edit: Value| -> Vec<String> { compile(spec(&json!([edit]))).err().expect("refused").iter().map(ToString::to_string).collect() };
    for (edit, pointer, says) in [
        (json!({"set": {"a": "1"}}), "/edit/0", "named by its `file`, its `object`, or both"),
        (on_web(json!({"increase": {"a": "x y"}})), "/edit/0/increase/a", "not a valid CEL expression"),
        (on_web(json!({"increase": {"a": {"by": "1", "max": "parameters.nap"}}})), "/edit/0/increase/a/max", "there is no `parameters.nap`"),
        (on_web(json!({"increase": {"a": {"by": 1, "max": "20%"}}})), "/edit/0/increase/a/max", "not a percentage"),
        (on_web(json!({"set": {"a": "1"}, "remove": ["a.b"]})), "/edit/0/remove/0", "the same field"),
        (
            on_web(json!({"set": {"a[name=\"{{ parameters.nap }}\"].b": "1"}})),
            "/edit/0/set/a[name=\"{{ parameters.nap }}\"].b",
            "there is no `parameters.nap`",
        ),
        (on_web(json!({"ensure": {"a": {"value": "nothing", "key": "name"}}})), "/edit/0/ensure/a/value", "there is no variable `nothing`"),
    ] {
        let errors = told(edit);
        assert!(errors.iter().any(|error| error.starts_with(pointer) && error.contains(says)), "{pointer}: {errors:?}");
    }
}

#[test]
fn a_value_in_a_path_is_a_value_and_never_another_step() {
    let edit = on_web(json!({"set": {"metadata.annotations[\"kubeops.dev/{{ parameters.app }}\"]": "'x'"}}));
    let changed = edited(edit, &base());
    assert!(changed[PATH].contains("kubeops.dev/web: x"), "{}", changed[PATH]);
    let error = change(
        &json!([{"file": "apps/web.yaml", "set": {"metadata.annotations[\"{{ parameters.app }}\"]": "'x'"}}]),
        json!({"app": "a\"].b", "replicas": 1}),
        &base(),
    );
    assert!(error.expect_err("refused").to_string().contains("cannot stand in a path"));
}

#[test]
fn a_json_file_and_helm_values_are_edited_as_they_are() {
    let base = Files::of(&[
        ("clusters/prod/dash.json", "{\n  \"panels\": [\n    {\"id\": 1}\n  ],\n  \"title\": \"x\"\n}\n"),
        ("clusters/prod/values.yaml", "image:\n  repository: web # ours\n  tag: \"1.4\"\nreplicaCount: 2\n"),
        (
            "clusters/prod/release.yaml",
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web, namespace: shop}\nspec:\n  values:\n    image: {tag: '1.4'} # here\n",
        ),
    ]);
    only(
        &edited(json!({"file": "dash.json", "append": {"panels": "{'id': 2}"}}), &base),
        "clusters/prod/dash.json",
        "{\n  \"panels\": [\n    {\"id\": 1},\n    {\"id\": 2}\n  ],\n  \"title\": \"x\"\n}\n",
    );
    only(
        &edited(json!({"file": "values.yaml", "set": {"image.tag": "'1.5'"}, "increase": {"replicaCount": 1}}), &base),
        "clusters/prod/values.yaml",
        "image:\n  repository: web # ours\n  tag: \"1.5\"\nreplicaCount: 3\n",
    );
    only(
        &edited(json!({"object": "HelmRelease/shop/web", "set": {"spec.values.image.tag": "'1.5'"}}), &base),
        "clusters/prod/release.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web, namespace: shop}\nspec:\n  values:\n    image: {tag: '1.5'} # here\n",
    );
}

#[test]
fn a_number_over_text_is_text_in_the_quotes_there_were() {
    let values = "image:\n  tag: \"1.0\" # ours\n  other: 'v1.4'\nport: http\nenabled: \"true\"\n";
    let base = Files::of(&[("clusters/prod/values.yaml", values), (PATH, WEB)]);
    let set = |operation: Value| {
        let mut edit = json!({"file": "values.yaml"});
        edit.as_object_mut().expect("an object").extend(operation.as_object().cloned().expect("an object"));
        edited(edit, &base)["clusters/prod/values.yaml"].clone()
    };
    assert_eq!(set(json!({"set": {"image.tag": "1.1"}})), values.replace("\"1.0\"", "\"1.1\""));
    assert_eq!(set(json!({"set": {"image.tag": "parameters.replicas"}})), values.replace("\"1.0\"", "\"6\""));
    assert_eq!(set(json!({"set": {"image": "{'tag': 1.1, 'other': 2}"}})), values.replace("\"1.0\"", "\"1.1\"").replace("'v1.4'", "'2'"));
    assert_eq!(set(json!({"merge": {"image": "{'tag': 1.1}"}})), values.replace("\"1.0\"", "\"1.1\""));
    assert_eq!(set(json!({"set": {"enabled": "false"}})), values.replace("\"true\"", "\"false\""));
    assert_eq!(set(json!({"set": {"port": "8080"}})), values.replace("http", "8080"));
    // Who wants another kind of value takes the text out first.
    let both = json!([{"file": "values.yaml", "remove": ["enabled"]}, {"file": "values.yaml", "set": {"enabled": "false"}}]);
    assert_eq!(change(&both, json!({}), &base).expect("a change")["clusters/prod/values.yaml"], values.replace("\"true\"", "false"));
}

#[test]
fn a_kind_of_two_groups_is_told_apart_also_where_one_has_no_name() {
    let core = "kind: Service\napiVersion: v1\nmetadata: {name: web, namespace: shop}\nspec: {a: 1}\n";
    let knative = core.replace("apiVersion: v1", "apiVersion: serving.knative.dev/v1");
    let both = format!("{core}---\n{knative}");
    let set = |object: &str| json!({"object": object, "set": {"spec.a": "2"}});
    for base in [Files::of(&[(PATH, &both)]), Files::of(&[(PATH, core), ("clusters/prod/knative.yaml", &knative)])] {
        let told = refused(set("Service/shop/web"), &base);
        assert!(told.contains("name it with its group (Service.core/shop/web, Service.serving.knative.dev/shop/web)"), "{told}");
        for (object, version) in [("Service.core/shop/web", "apiVersion: v1\n"), ("Service.serving.knative.dev/shop/web", "serving.knative.dev/v1\n")]
        {
            let changed = edited(set(object), &base);
            let [text] = changed.values().collect::<Vec<_>>()[..] else { panic!("one file: {changed:?}") };
            let document = text.split("---\n").find(|document| document.contains("a: 2")).expect("a change");
            assert!(document.contains(version), "{text}");
            assert_eq!(text.matches("a: 2").count(), 1);
        }
    }
    let mut in_file = set("Service/shop/web");
    in_file["file"] = json!("apps/web.yaml");
    let told = refused(in_file, &Files::of(&[(PATH, &both)]));
    assert!(told.contains("stands 2 times in the file; name one of them with its group: Service.core/shop/web, Service.serving"), "{told}");
}

#[test]
fn a_time_to_live_is_a_duration_or_an_expression_that_gives_one() {
    let told = |ttl: &Value| -> Vec<String> {
        let mut spec = spec(&json!([on_web(json!({"set": {"spec.replicas": "1"}}))]));
        spec["ttl"] = ttl.clone();
        compile(spec).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    };
    for (ttl, says) in [
        (json!("4h"), ""),
        (json!("parameters.app"), ""),
        (json!("4 hours"), "is no duration"),
        (json!("10s"), "a minute at least"),
        (json!("9999d"), "366 days at most"),
        (json!("parameters.nap"), "there is no `parameters.nap`"),
        (json!({"after": "4h", "from": "applied", "remind": "1h", "autoMerge": "squash"}), ""),
        (json!({"after": "parameters.app", "remind": "0s"}), ""),
        (json!({"after": "10s"}), "/ttl/after: a change lives for a minute at least"),
        (json!({"after": "4h", "remind": "4h"}), "reminded 4h before the end of a time that is 4h in all"),
    ] {
        let told = told(&ttl);
        assert!(if says.is_empty() { told.is_empty() } else { told.iter().any(|told| told.contains(says)) }, "{ttl}: {told:?}");
    }
}
