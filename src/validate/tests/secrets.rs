//! No plaintext secret gets through, however it is wrapped.

use super::*;

#[test]
fn a_plaintext_secret_is_refused_wherever_it_stands() {
    let secret = "{ apiVersion: v1, kind: Secret, metadata: { name: s }, stringData: { password: hunter2 } }";
    let wraps = [
        secret.to_owned(),
        secret.replace("stringData", "data"),
        secret.replace("apiVersion: v1, ", ""),
        format!("apiVersion: v1\nkind: List\nitems: [{secret}]\n"),
        format!("apiVersion: template.openshift.io/v1\nkind: Template\nmetadata: {{ name: t }}\nobjects: [{secret}]\n"),
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: t }}\ndata:\n  s.yaml: |\n    {secret}\n"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: t }\ndata:\n  s.yaml: |\n    kind: Secret\n    data:\n      password: {{ .hunter2 }\n"
            .to_owned(),
        "x: &s { kind: Secret, stringData: { password: hunter2 } }\napiVersion: a.b/v1\nkind: X\nmetadata: { name: x }\nspec: { <<: *s }\n"
            .to_owned(),
        "apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ndata: { a: 'ENC[AES256_GCM,data:hunter2]' }\nsops: { mac: x }\n".to_owned(),
    ];
    for text in wraps {
        let all = findings(change(&[("a.yaml", &text)]), &FakeTree::new(), &rules());
        assert!(all.iter().any(|finding| finding.rule == "secret.plaintext" && finding.severity == Severity::Error), "{text}\n{all:#?}");
        assert!(!format!("{all:?}").contains("hunter2"), "{text}\n{all:#?}");
    }
    assert_eq!(broken_at("values.yaml", "extra:\n- kind: Secret\n  data: { a: b }\n"), ["secret.plaintext"]);
    assert_eq!(broken_at("kustomization.yaml", "secretGenerator:\n- name: a\n  literals: [a=b]\n"), ["secret.plaintext"]);
    assert_eq!(
        broken_at("kustomization.yaml", "patches:\n- target: { kind: Secret }\n  patch: |\n    - { op: add, path: /data/a, value: b }\n"),
        ["secret.plaintext"]
    );
}

#[test]
fn what_only_names_a_secret_or_encrypts_it_is_let_through() {
    for text in [
        "apiVersion: v1\nkind: Secret\nmetadata: { name: token, annotations: { kubernetes.io/service-account.name: x } }\ntype: kubernetes.io/service-account-token\n",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: x }\nsecrets: [{ kind: Secret, name: why }]\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\ndata: { README: 'The kind Secret holds data.' }\n",
    ] {
        assert_eq!(broken(text), Vec::<String>::new(), "{text}");
    }
    for text in [
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: { name: x }\nspec: { target: { template: { data: { a: '{{ .b }}' } } } }\n",
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: { name: x }\nspec: { encryptedData: { a: AgB } }\n",
    ] {
        assert_eq!(broken(text), ["schema.unknown_kind"], "{text}");
    }
    let encrypted = |text: &str| format!("ENC[AES256_GCM,data:{text},iv:{}=,tag:{}==,type:str]", "A".repeat(43), "B".repeat(22));
    let sops = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{ name: x }}\nstringData: {{ a: '{}' }}\nsops:\n  mac: '{}'\n  version: 3.9.0\n",
        encrypted("x1Y="),
        encrypted("zz==")
    );
    assert_eq!(broken(&sops), Vec::<String>::new());
    assert_eq!(broken(&sops.replace("stringData: {", "stringData: { b: plain,")), ["secret.plaintext", "schema.unknown_field"]);
    assert_eq!(broken(&sops.replace("mac:", "mic:")), ["secret.plaintext", "schema.unknown_field"]);
}

/// A value with a plaintext Secret somewhere in it: in lists, mappings and texts.
fn hidden_secret() -> impl Strategy<Value = serde_json::Value> {
    let field = prop_oneof![Just("data"), Just("stringData")];
    let version = prop_oneof![Just(Some("v1")), Just(None)];
    let secret = (field, version, "[a-z]{1,8}").prop_map(|(field, version, name)| {
        let mut secret = serde_json::json!({ "kind": "Secret", "metadata": { "name": name }, field: { name.clone(): "aHVudGVyMg==" } });
        if let Some(version) = version {
            secret["apiVersion"] = version.into();
        }
        secret
    });
    secret.prop_recursive(4, 8, 1, |inner| {
        prop_oneof![
            inner.clone().prop_map(|value| serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": [value] })),
            inner.clone().prop_map(|value| serde_json::json!([1, value, "x"])),
            ("[a-z/~.]{1,6}", inner.clone()).prop_map(|(key, value)| serde_json::json!({ "a": null, key: value })),
            inner
                .clone()
                .prop_map(|value| serde_json::json!({ "apiVersion": "a.b/v1", "kind": "Template", "metadata": { "name": "t" }, "spec": value })),
            inner.clone().prop_map(|value| serde_json::json!({ "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "data": value })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_document_with_a_plaintext_secret_gets_through(
        secret in hidden_secret(), text in any::<bool>(), json in any::<bool>(), name in prop::sample::select(vec!["a.yaml", "values.yaml", "kustomization.yaml", "Chart.yaml"]),
    ) {
        let secret = if text { serde_json::json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "x": secret.to_string() } }) } else { secret };
        let written = if json { serde_json::to_string_pretty(&secret).expect("JSON") } else { crate::manifest::write_value(&secret) };
        let document = format!("{NAMESPACE}---\n{written}\n");
        for text in [written, document] {
            match validate(change(&[(name, &text)]), &FakeTree::new(), &rules()) {
                Ok(_) => prop_assert!(false, "passed: {}", text),
                Err(ValidateError::Rejected(rejection)) => {
                    prop_assert!(rejection.findings.iter().any(|finding| finding.rule == "secret.plaintext"), "{} {:?}", text, rejection);
                    let shown = format!("{rejection:?} {rejection}");
                    prop_assert!(!shown.contains("aHVudGVyMg"));
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }
}
