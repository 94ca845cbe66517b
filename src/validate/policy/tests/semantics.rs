//! What Kubernetes says policies mean, case by case.

use super::*;

fn refused(text: &str) -> String {
    baseline::read("test.yaml", text, &mut Shipped::default()).expect_err("refused")
}

#[test]
fn an_expression_that_fails_denies_or_is_passed_over_as_the_policy_says() {
    for expression in
        ["object.spec.nothing == 1", "object.spec.replicas == 'x' + 1", "1 / 0 == 1", "object.spec.replicas.size() > 1", "object.spec.template"]
    {
        let policy = |failure: &str| {
            about_deployments(&format!("  failurePolicy: {failure}\n  validations: [{{ expression: \"{expression}\", message: m }}]\n"))
        };
        let all = policies(&policy("Fail"), &[]);
        let found = review(&all, Some(&deployment(1)), None, &Nowhere).decisions;
        assert!(found.len() == 1 && found[0].deny && found[0].error.is_some(), "{expression}: {found:?}");
        assert!(found[0].message.contains("cannot be evaluated"), "{found:?}");
        assert_eq!(said(&policies(&policy("Ignore"), &[]), &deployment(1)), Vec::<String>::new(), "{expression}");
    }
}

#[test]
fn conditions_are_all_wanted_and_one_that_does_not_hold_beats_one_that_fails() {
    let with = |conditions: &str, failure: &str| {
        let text =
            format!("  failurePolicy: {failure}\n  matchConditions: {conditions}\n  validations: [{{ expression: 'false', message: denied }}]\n");
        said(&policies(&about_deployments(&text), &[]), &deployment(1))
    };
    let (yes, no, fails) = (
        "{ name: holds, expression: 'object.spec.replicas == 1' }",
        "{ name: fails-not, expression: 'false' }",
        "{ name: f, expression: object.nothing }",
    );
    assert_eq!(with(&format!("[{yes}]"), "Fail"), ["denied"]);
    assert_eq!(with(&format!("[{yes}, {no}]"), "Fail"), Vec::<String>::new());
    assert_eq!(with(&format!("[{fails}, {no}]"), "Fail"), Vec::<String>::new());
    assert!(with(&format!("[{yes}, {fails}]"), "Fail")[0].contains("match condition \"f\""));
    assert_eq!(with(&format!("[{fails}]"), "Ignore"), Vec::<String>::new());
}

#[test]
fn messages_are_computed_or_written_or_the_expression_itself() {
    for (message, wanted) in [
        ("", "failed expression: object.spec.replicas > 5"),
        (", message: too few", "too few"),
        (", message: too few, messageExpression: \"'only ' + string(object.spec.replicas)\"", "only 1"),
        (", message: too few, messageExpression: object.nothing", "too few"),
        (", message: too few, messageExpression: \"' '\"", "too few"),
        (", messageExpression: \"'a\\\\nb'\"", "failed expression: object.spec.replicas > 5"),
    ] {
        let text = about_deployments(&format!("  validations: [{{ expression: object.spec.replicas > 5{message} }}]\n"));
        assert_eq!(said(&policies(&text, &[]), &deployment(1)), [wanted], "{message}");
    }
}

#[test]
fn the_operation_follows_from_what_stands_where() {
    let text = about_deployments(
        "  validations:\n    - expression: \"request.operation != 'CREATE' || oldObject == null && object != null\"\n    - expression: \"request.operation != 'UPDATE' || oldObject.spec.replicas == 1 && object.spec.replicas == 2\"\n    - expression: \"request.operation != 'DELETE' || object == null && oldObject.spec.replicas == 1\"\n    - expression: \"request.kind.kind == 'Deployment' && request.resource.resource == 'deployments' && request.kind.group == 'apps' && request.name == 'web'\"\n    - expression: \"request.namespace == 'shop' && request.userInfo.username == 'kubeops' && !request.dryRun && request.uid.size() == 36\"\n    - expression: \"namespaceObject.metadata.name == 'shop' && namespaceObject.metadata.labels['kubernetes.io/metadata.name'] == 'shop' && params == null\"\n",
    );
    let all = policies(&text, &[]);
    let (one, two) = (deployment(1), deployment(2));
    for (new, old) in [(Some(&one), None), (Some(&two), Some(&one)), (None, Some(&one))] {
        assert_eq!(review(&all, new, old, &Nowhere).decisions, [], "{new:?}");
    }
    let cluster_scoped = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: { name: p }\nspec:\n  matchConstraints: { resourceRules: [{ apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [namespaces] }] }\n  validations: [{ expression: \"namespaceObject == null && request.namespace == object.metadata.name\" }]\n";
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
    assert_eq!(said(&policies(&format!("{cluster_scoped}{BINDING}"), &[]), &namespace), Vec::<String>::new());
}

#[test]
fn rules_choose_by_group_version_operation_resource_scope_and_name() {
    let about = |constraints: &str| {
        let text = format!(
            "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{ name: p }}\nspec:\n  matchConstraints: {constraints}\n  validations: [{{ expression: 'false', message: denied }}]\n{BINDING}"
        );
        !said(&policies(&text, &[]), &deployment(1)).is_empty()
    };
    let rule = |group: &str, version: &str, operation: &str, resource: &str, more: &str| {
        format!("{{ apiGroups: ['{group}'], apiVersions: ['{version}'], operations: ['{operation}'], resources: ['{resource}']{more} }}")
    };
    for (constraints, wanted) in [
        ("{}".to_owned(), true),
        (format!("{{ resourceRules: [{}] }}", rule("*", "*", "*", "*", "")), true),
        (format!("{{ resourceRules: [{}] }}", rule("apps", "v1", "CREATE", "deployments", "")), true),
        (format!("{{ resourceRules: [{}] }}", rule("", "v1", "CREATE", "deployments", "")), false),
        (format!("{{ resourceRules: [{}] }}", rule("apps", "v1", "UPDATE", "deployments", "")), false),
        (format!("{{ resourceRules: [{}] }}", rule("apps", "v1", "CREATE", "deployments/scale", "")), false),
        (format!("{{ resourceRules: [{}] }}", rule("apps", "v1", "CREATE", "deployments/*", "")), true),
        (format!("{{ resourceRules: [{}] }}", rule("apps", "v1beta2", "CREATE", "deployments", "")), true),
        (format!("{{ matchPolicy: Exact, resourceRules: [{}] }}", rule("apps", "v1beta2", "CREATE", "deployments", "")), false),
        (format!("{{ resourceRules: [{}] }}", rule("apps", "v1", "CREATE", "*", ", scope: Cluster")), false),
        (format!("{{ resourceRules: [{}] }}", rule("apps", "v1", "CREATE", "*", ", scope: Namespaced")), true),
        (format!("{{ resourceRules: [{}] }}", rule("apps", "v1", "CREATE", "*", ", resourceNames: [other]")), false),
        (format!("{{ resourceRules: [{}] }}", rule("apps", "v1", "CREATE", "*", ", resourceNames: [web]")), true),
        (format!("{{ excludeResourceRules: [{}] }}", rule("apps", "v1", "CREATE", "deployments", "")), false),
        ("{ objectSelector: { matchLabels: { app: web } } }".to_owned(), true),
        ("{ objectSelector: { matchLabels: { app: other } } }".to_owned(), false),
        ("{ objectSelector: { matchExpressions: [{ key: app, operator: NotIn, values: [web] }] } }".to_owned(), false),
        (
            "{ objectSelector: { matchExpressions: [{ key: none, operator: DoesNotExist }, { key: app, operator: In, values: [web] }] } }".to_owned(),
            true,
        ),
        ("{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: shop } } }".to_owned(), true),
        ("{ namespaceSelector: { matchExpressions: [{ key: kubernetes.io/metadata.name, operator: NotIn, values: [shop] }] } }".to_owned(), false),
    ] {
        assert_eq!(about(&constraints), wanted, "{constraints}");
    }
}

#[test]
fn parameters_are_chosen_by_name_labels_and_namespace_and_each_counts() {
    let policy = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: { name: p }\nspec:\n  paramKind: { apiVersion: v1, kind: ConfigMap }\n  matchConstraints: { resourceRules: [{ apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments] }] }\n  validations: [{ expression: object.spec.replicas <= int(params.data.most), messageExpression: \"'at most ' + params.data.most\" }]\n---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: { name: b }\nspec: { policyName: p, validationActions: [Deny], paramRef: ";
    let most = |name: &str, namespace: Option<&str>, most: &str| {
        let mut value =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "labels": { "of": "limits" } }, "data": { "most": most } });
        if let Some(namespace) = namespace {
            value["metadata"]["namespace"] = json!(namespace);
        }
        value
    };
    let parameters = [most("a", Some("shop"), "3"), most("b", Some("shop"), "4"), most("a", Some("other"), "1"), most("c", None, "2")];
    let with = |reference: &str| said(&policies(&format!("{policy}{reference} }}\n"), &parameters), &deployment(5));
    assert_eq!(with("{ name: a, parameterNotFoundAction: Deny }"), ["at most 3"]);
    assert_eq!(with("{ name: a, namespace: other, parameterNotFoundAction: Deny }"), ["at most 1"]);
    assert_eq!(with("{ selector: { matchLabels: { of: limits } }, parameterNotFoundAction: Deny }"), ["at most 3", "at most 4", "at most 2"]);
    assert_eq!(with("{ name: none, parameterNotFoundAction: Allow }"), Vec::<String>::new());
    assert_eq!(with("{ name: none, parameterNotFoundAction: Deny }"), ["there are no parameters for it: the binding names \"none\""]);
}

#[test]
fn a_binding_narrows_and_says_what_follows_and_where() {
    let policy = about_deployments("  validations: [{ expression: 'false', message: denied }]\n").replace(BINDING, "");
    let bound = |spec: &str| {
        format!(
            "{policy}---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{ name: b, annotations: {{ kubeops.dev/clusters: 'prod-*, test' }} }}\nspec: {{ policyName: p, {spec} }}\n"
        )
    };
    let decided = |spec: &str| review(&policies(&bound(spec), &[]), Some(&deployment(1)), None, &Nowhere).decisions;
    let one = &decided("validationActions: [Warn, Audit]")[0];
    assert!(!one.deny && one.warn && one.audit);
    assert!(decided("validationActions: [Deny], matchResources: { objectSelector: { matchLabels: { app: x } } }").is_empty());
    assert!(refused(&bound("validationActions: [Deny, Warn]")).contains("twice"));
    let all = policies(&bound("validationActions: [Deny]"), &[]);
    let count = |cluster: Option<&str>| all.for_cluster(cluster.map(|name| name.parse().expect("a name")).as_ref()).iter().count();
    assert_eq!([Some("prod-eu"), Some("test"), Some("prod"), Some("dev"), None].map(count), [1, 1, 0, 0, 0]);
    for (pattern, name, wanted) in
        [("*", "a", true), ("a*c", "abc", true), ("a*c", "ab", false), ("a", "ab", false), ("*-eu", "prod-eu", true), ("p*-*u", "prod-eu", true)]
    {
        assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
    }
}

#[test]
fn annotations_are_noted_and_null_notes_nothing() {
    let text = about_deployments(
        "  auditAnnotations:\n    - { key: replicas, valueExpression: \"'has ' + string(object.spec.replicas)\" }\n    - { key: none, valueExpression: \"object.spec.replicas > 3 ? 'many' : null\" }\n",
    );
    let found = review(&policies(&text, &[]), Some(&deployment(1)), None, &Nowhere);
    assert_eq!((found.annotations, found.decisions), (vec!["p/replicas: has 1".to_owned()], vec![]));
}

#[test]
fn what_is_wrong_with_a_policy_is_told_when_it_is_loaded_with_its_place() {
    for (rest, pointer, says) in [
        ("  validations: [{ expression: object.spec.replicas > }]\n", "/spec/validations/0/expression", "ends too early"),
        ("  validations: [{ expression: 'true', messageExpression: objct.x }]\n", "/spec/validations/0/messageExpression", "did you mean object?"),
        (
            "  validations: [{ expression: 'true', messageExpression: 'object.x == 1' }]\n",
            "/spec/validations/0/messageExpression",
            "a text is wanted",
        ),
        ("  validations: [{ expression: variables.a }]\n", "/spec/validations/0/expression", "there is no variable `variables.a`"),
        (
            "  variables: [{ name: a, expression: variables.b }, { name: b, expression: '1' }]\n  validations: [{ expression: 'true' }]\n",
            "/spec/variables/0/expression",
            "only those declared before it",
        ),
        (
            "  variables: [{ name: a, expression: variables.a }]\n  validations: [{ expression: 'true' }]\n",
            "/spec/variables/0/expression",
            "there is no variable `variables.a`",
        ),
        ("  variables: [{ name: a-b, expression: '1' }]\n  validations: [{ expression: 'true' }]\n", "/spec/variables/0/name", "letters"),
        (
            "  variables: [{ name: a, expression: '1' }]\n  matchConditions: [{ name: m, expression: variables.a == 1 }]\n  validations: [{ expression: 'true' }]\n",
            "/spec/matchConditions/0/expression",
            "variables.a",
        ),
        (
            "  validations: [{ expression: \"authorizer.group('').resource('pods').check('create').allowed()\" }]\n",
            "/spec/validations/0/expression",
            "the cluster's own policy",
        ),
        ("  auditAnnotations: [{ key: k, valueExpression: '[1]' }]\n", "/spec/auditAnnotations/0/valueExpression", "a text is wanted"),
        ("  failurePolicy: Fail\n", "/spec", "demands nothing"),
        ("  validations: [{ expression: 'true', mesage: x }]\n", "/spec", "unknown field `mesage`"),
    ] {
        let error = refused(&about_deployments(rest));
        assert!(error.contains(pointer) && error.contains(says), "{rest}: {error}");
    }
}

#[test]
fn a_budget_that_is_spent_lets_nothing_through() {
    let text = about_deployments("  validations: [{ expression: \"object.metadata.labels.all(l, l != 'x')\", message: denied }]\n");
    let (all, object) = (policies(&text, &[]), deployment(1));
    let reference = ObjectRef::of(&object).expect("a name");
    let subject = Subject { object: &reference, new: Some(&object), old: None };
    let budget = Budget::new(30);
    let mut said = Vec::new();
    for _ in 0..10 {
        said.push(all.review(subject, &Nowhere, &budget).decisions.len());
    }
    assert!(said.first() == Some(&0) && said.last() == Some(&1), "{said:?}");
}
