use super::*;

fn told(value: Value) -> Vec<String> {
    findings(value).iter().map(|finding| format!("{} | {}", finding.pointer, finding.message)).collect()
}

fn generic(mapping: Value) -> Value {
    json!({"kind": "generic", "authentication": "none", "mapping": mapping})
}

#[test]
fn a_spec_reads_as_an_author_writes_it_and_writes_back_the_same() {
    let yaml = r#"
kind: jira
description: The service desk.
authentication: { hmac: { secrets: [JIRA_WEBHOOK_SECRET] } }
allowFrom: [192.0.2.0/24, "2001:db8::1"]
maxBodyBytes: 1048576
gzip: { maxBytes: 4194304 }
"#;
    let read: SourceSpec = serde_saphyr::from_str(yaml).expect("a spec");
    assert_eq!(read.kind, SourceKind::Jira);
    let written = serde_json::to_value(&read).expect("JSON");
    assert_eq!(spec(written), read);
    let open: SourceSpec = serde_saphyr::from_str("{ kind: alertmanager, authentication: none }").expect("a spec");
    assert_eq!(open.authentication, Some(Authentication::None));
    assert_eq!(serde_json::to_value(&open).expect("JSON"), json!({"kind": "alertmanager", "authentication": "none"}));
}

#[test]
fn unknown_fields_words_and_two_proofs_at_once_do_not_read() {
    for bad in [
        json!({"kind": "jira", "authentification": "none"}),
        json!({"kind": "gitlab", "authentication": "none"}),
        json!({"kind": "jira", "authentication": "None"}),
        json!({"kind": "jira", "authentication": {"hmac": {"secrets": ["A"]}, "bearer": {"secrets": ["A"]}}}),
        json!({"kind": "jira", "authentication": {"hmac": {"secrets": ["A"], "algorithm": "sha1"}}}),
        json!({"kind": "jira", "authentication": {"hmac": {"secrets": ["A"], "secret": "B"}}}),
        json!({"kind": "jira", "authentication": {"hmac": {}}}),
        json!({"kind": "generic", "authentication": "none", "mapping": {"subject": "body.x"}}),
    ] {
        assert!(serde_json::from_value::<SourceSpec>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn the_schema_and_the_types_agree() {
    let schema = serde_json::to_value(schemars::schema_for!(SourceSpec)).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for good in [
        json!({"kind": "jira", "authentication": {"hmac": {"secrets": ["A"], "encoding": "base64", "timestampHeader": "X-Time"}}}),
        json!({"kind": "alertmanager", "authentication": "none", "allowFrom": ["10.0.0.0/8"]}),
        json!({"kind": "generic", "authentication": {"basic": {"username": "u", "secrets": ["A"]}}, "mapping": {"type": "'a'", "subject": "body.x"}}),
    ] {
        assert!(validator.is_valid(&good), "{good}");
        spec(good);
    }
    for bad in [
        json!({"kind": "jira"}),
        json!({"kind": "jira", "authentication": "off"}),
        json!({"kind": "jira", "authentication": null}),
        json!({"kind": "jira", "authentication": {"hmac": {"secrets": []}}}),
        json!({"kind": "jira", "authentication": {"hmac": {"secrets": ["../A"]}}}),
        json!({"kind": "jira", "authentication": "none", "maxBodyBytes": 0}),
        json!({"kind": "jira", "authentication": "none", "x": 1}),
    ] {
        assert!(!validator.is_valid(&bad), "{bad}");
    }
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let told = told(json!({
        "kind": "alertmanager",
        "authentication": {"hmac": {"secrets": [], "header": "X Signature", "prefix": "v1 ", "timestampToleranceSeconds": 5}},
        "allowFrom": ["10.0.0.0/8", "10.0.0.0/33", "somewhere"],
        "maxBodyBytes": 67_108_865, "maxDepth": 128, "gzip": {"maxBytes": 0},
        "mapping": {"type": "'a'", "subject": "body.x"},
        "headers": ["Authorization", "X-Ok", "X-Api-Token", ""],
    }));
    let pointers: Vec<&str> = told.iter().map(|line| line.split(" | ").next().unwrap_or_default()).collect();
    assert_eq!(
        pointers,
        [
            "/authentication/hmac/secrets",
            "/authentication/hmac/header",
            "/authentication/hmac/prefix",
            "/authentication/hmac",
            "/allowFrom/1",
            "/allowFrom/2",
            "/maxBodyBytes",
            "/maxDepth",
            "/gzip/maxBytes",
            "/mapping",
            "/headers/0",
            "/headers/2",
            "/headers/3",
        ],
        "{told:#?}"
    );
}

#[test]
fn a_source_without_proof_or_without_a_needed_mapping_says_what_it_lacks() {
    assert_eq!(told(json!({"kind": "jira"})), [" | a source needs `authentication`"]);
    assert_eq!(told(json!({"kind": "generic"})), [" | a source needs `authentication`", " | a source of kind generic needs `mapping`"]);
    assert_eq!(
        told(json!({"kind": "jira", "authentication": {"basic": {"username": "a:b", "secrets": ["A", "A"]}}})),
        ["/authentication/basic/secrets/1 | A stands here twice", "/authentication/basic/username | a user name is not empty and holds no colon"]
    );
    assert_eq!(told(json!({"kind": "jira", "authentication": {"bearer": {"secrets": []}}})).len(), 1);
    assert_eq!(told(json!({"kind": "jira", "authentication": {"header": {"name": "", "secrets": []}}})).len(), 2);
}

#[test]
fn a_source_without_proof_that_says_so_is_taken_with_a_warning() {
    let source = source(json!({"kind": "jira", "authentication": "none", "allowFrom": ["10.1.2.3/8"]}));
    let warnings: Vec<&str> = source.warnings().iter().map(|warning| warning.pointer.as_str()).collect();
    assert_eq!(warnings, ["/authentication", "/allowFrom/0"]);
    assert!(source.secret_names().is_empty());
    assert!(super::source(json!({"kind": "jira", "authentication": {"bearer": {"secrets": ["A"]}}})).warnings().is_empty());
}

#[test]
fn a_mapping_that_does_not_compile_has_line_and_column_within_its_text() {
    let found =
        findings(generic(json!({"type": "deploy.finished", "subject": "body.x ==\n  && true", "id": "item.id", "time": "body.t", "data": "1 +"})));
    let told: Vec<(&str, Option<(u32, u32)>)> = found.iter().map(|finding| (finding.pointer.as_str(), finding.within)).collect();
    assert_eq!(
        told.iter().map(|(pointer, _)| *pointer).collect::<Vec<_>>(),
        ["/mapping/id", "/mapping/type", "/mapping/subject", "/mapping/data"],
        "{found:#?}"
    );
    assert_eq!(found[1].hint.as_deref(), Some("a text is quoted within the expression: \"'deploy.finished'\""));
    assert_eq!(told[2].1, Some((2, 3)));
    assert_eq!(findings(generic(json!({"type": "'Deploy'", "subject": "body.x"})))[0].pointer, "/mapping/type");
    assert_eq!(findings(generic(json!({"type": "7", "subject": "body.x"})))[0].message, "an event type is a text");
}

#[test]
fn a_mapping_that_reads_headers_nobody_keeps_is_warned_about() {
    let mut value = generic(json!({"type": "'a'", "subject": "headers['x-subject']"}));
    assert_eq!(source(value.clone()).warnings()[1].pointer, "/mapping");
    value["headers"] = json!(["X-Subject"]);
    assert_eq!(source(value).warnings().len(), 1);
}

#[test]
fn a_source_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Source>();
}
