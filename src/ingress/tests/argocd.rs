use super::*;

const SHA: &str = "731f7eaddfb6af01cb2173e18f0f75b0ba780ef1";
const OLD: &str = "0d1c2b3a4f5e60718293a4b5c6d7e8f901234567";

fn argocd() -> Source {
    source(json!({"kind": "argocd", "authentication": {"bearer": {"secrets": ["ARGOCD_TOKEN"]}}}))
}

/// What the template of docs/sources.md writes of an application that was just synced.
fn notification() -> Value {
    json!({
        "application": "checkout", "namespace": "argocd", "uid": "7d0cdc51-ddcf-4743-b223-83ca5c699632", "project": "payments",
        "destination": {"server": "https://kubernetes.default.svc", "name": null, "namespace": "checkout"},
        "repositories": ["https://github.com/acme/gitops.git"],
        "sync": {"status": "Synced", "revision": SHA, "revisions": null},
        "health": {"status": "Healthy", "since": null},
        "operation": {"phase": "Succeeded", "message": "successfully synced (all tasks run)", "revision": SHA, "revisions": null, "finishedAt": "2026-11-20T12:00:05Z"},
    })
}

fn told(change: impl FnOnce(&mut Value)) -> Result<Received, IngressError> {
    let mut body = notification();
    change(&mut body);
    read(&argocd(), &[], body.to_string().as_bytes())
}

fn only(change: impl FnOnce(&mut Value)) -> (Occurrence, String) {
    let received = told(change).expect("a notification");
    assert!(received.handled);
    let [occurrence] = <[Occurrence; 1]>::try_from(received.occurrences).expect("one occurrence");
    (occurrence, received.occurrence_keys[0].clone())
}

#[test]
fn a_synced_and_healthy_application_was_applied() {
    let (occurrence, _) = only(|_| {});
    assert_eq!((occurrence.kind.as_str(), occurrence.subject.as_str()), ("deployment.applied", "checkout"));
    assert_eq!(occurrence.time.to_string(), "2026-11-20T12:00:05.000Z");
    let expected = json!({
        "revision": SHA, "revisions": [SHA], "cluster": "https://kubernetes.default.svc", "server": "https://kubernetes.default.svc",
        "paths": [], "application": "checkout",
        "message": "successfully synced (all tasks run)", "url": ["https://github.com/acme/gitops.git"],
    });
    assert_eq!(occurrence.data["deployment"], expected);
    assert_eq!(occurrence.data["project"], "payments", "the body is there as well");
}

#[test]
fn the_state_says_what_happened_whichever_trigger_fired() {
    let of = |phase: Value, health: Value, sync: Value| {
        let received = told(|body| {
            body["operation"]["phase"] = phase.clone();
            body["health"]["status"] = health.clone();
            body["sync"]["status"] = sync.clone();
        });
        received.expect("a notification").occurrences.first().map(|told| told.kind.as_str().to_owned())
    };
    for (phase, health, sync, kind) in [
        (json!("Succeeded"), json!("Healthy"), json!("Synced"), Some("deployment.applied")),
        (json!("Succeeded"), json!("Healthy"), json!("OutOfSync"), Some("deployment.applied")),
        (json!(null), json!("Healthy"), json!("Synced"), Some("deployment.applied")),
        (json!(null), json!("Healthy"), json!("OutOfSync"), None),
        (json!("Succeeded"), json!("Degraded"), json!("Synced"), Some("deployment.degraded")),
        (json!("Running"), json!("Degraded"), json!("Synced"), Some("deployment.degraded")),
        (json!("Failed"), json!("Healthy"), json!("OutOfSync"), Some("deployment.failed")),
        (json!("Error"), json!("Degraded"), json!("OutOfSync"), Some("deployment.failed")),
        (json!("Succeeded"), json!("Progressing"), json!("Synced"), None),
        (json!("Running"), json!("Healthy"), json!("Synced"), None),
        (json!("Succeeded"), json!("Suspended"), json!("Synced"), None),
        (json!("Succeeded"), json!("Of tomorrow"), json!("Synced"), None),
        (json!("Succeeded"), json!(null), json!("Synced"), None),
    ] {
        assert_eq!(of(phase.clone(), health.clone(), sync.clone()).as_deref(), kind, "{phase} {health} {sync}");
    }
}

#[test]
fn the_revision_is_of_what_is_there_and_not_of_what_is_wanted() {
    let revision = |change: fn(&mut Value)| only(change).0.data["deployment"]["revision"].clone();
    // A commit that changes nothing for the application moves it on without an operation.
    assert_eq!(revision(|body| body["operation"]["revision"] = json!(OLD)), SHA);
    // A newer commit is known, and not yet there.
    assert_eq!(
        revision(|body| {
            body["sync"]["status"] = json!("OutOfSync");
            body["operation"]["revision"] = json!(OLD);
        }),
        OLD
    );
    assert_eq!(
        revision(|body| {
            body["operation"]["phase"] = json!("Failed");
            body["operation"]["revision"] = json!(OLD);
        }),
        OLD,
        "what failed is the operation"
    );
    assert_eq!(revision(|body| body["sync"] = json!({"status": "Synced"})), SHA);
    assert_eq!(
        revision(|body| {
            body["sync"] = json!({"status": "Synced", "revision": "6.5.0"});
            body["operation"] = json!(null);
        }),
        "6.5.0"
    );
}

#[test]
fn of_several_sources_every_revision_is_told_and_the_commit_counts() {
    let (occurrence, _) = only(|body| {
        body["sync"] = json!({"status": "Synced", "revision": "", "revisions": ["6.5.0", SHA]});
        body["repositories"] = json!(["https://charts.acme.example", "https://github.com/acme/gitops.git"]);
    });
    let deployment = &occurrence.data["deployment"];
    assert_eq!((&deployment["revision"], &deployment["revisions"]), (&json!(SHA), &json!(["6.5.0", SHA])));
    assert_eq!(deployment["url"], json!(["https://charts.acme.example", "https://github.com/acme/gitops.git"]));
}

#[test]
fn a_cluster_is_called_by_its_name_where_it_has_one() {
    let cluster = |destination: Value| only(|body| body["destination"] = destination).0.data["deployment"]["cluster"].clone();
    assert_eq!(cluster(json!({"name": "prod-eu", "server": "https://192.0.2.9"})), "prod-eu");
    assert_eq!(cluster(json!({"name": "", "server": "https://192.0.2.9"})), "https://192.0.2.9");
    assert_eq!(cluster(json!({"name": null})), Value::Null);
    assert_eq!(cluster(json!(null)), Value::Null);
}

#[test]
fn what_degrades_did_so_when_its_health_changed_and_the_last_operation_is_not_why() {
    let (occurrence, _) = only(|body| body["health"] = json!({"status": "Degraded", "since": "2026-11-20T12:30:00Z"}));
    assert_eq!((occurrence.time.to_string().as_str(), &occurrence.data["deployment"]["message"]), ("2026-11-20T12:30:00.000Z", &Value::Null));
    assert_eq!(only(|body| body["health"] = json!({"status": "Degraded"})).0.time, noon());
}

#[test]
fn a_trigger_that_fires_again_says_nothing_new_and_another_state_revision_or_cluster_does() {
    let (_, first) = only(|_| {});
    assert_eq!(first, only(|body| body["operation"]["finishedAt"] = json!("2026-11-20T12:09:05Z")).1);
    let changes: [fn(&mut Value); 6] = [
        |body| body["health"]["status"] = json!("Degraded"),
        |body| body["operation"]["phase"] = json!("Failed"),
        |body| body["sync"]["revision"] = json!(OLD),
        |body| body["uid"] = json!("another"),
        |body| body["destination"]["server"] = json!("https://192.0.2.9"),
        |body| body["application"] = json!("ledger"),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert_ne!(first, only(change).1, "{index}");
    }
}

#[test]
fn a_sender_cannot_bring_its_own_deployment_along() {
    let (occurrence, _) = only(|body| body["deployment"] = json!({"revision": OLD, "by": "hand"}));
    assert_eq!((&occurrence.data["deployment"]["revision"], occurrence.data["deployment"].get("by")), (&json!(SHA), None));
}

#[test]
fn what_is_no_notification_is_refused_with_its_place() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 15] = [
        ("", |body| *body = json!([])),
        ("", |body| *body = json!({})),
        ("", |body| body["application"] = json!(null)),
        ("/application", |body| body["application"] = json!(7)),
        ("/application", |body| body["application"] = json!("check\nout")),
        ("/application", |body| body["application"] = json!("-checkout")),
        ("/application", |body| body["application"] = json!("x".repeat(254))),
        ("/health", |body| body["health"] = json!("Healthy")),
        ("/health/status", |body| body["health"]["status"] = json!({})),
        ("/operation", |body| body["operation"] = json!([])),
        ("/operation/finishedAt", |body| body["operation"]["finishedAt"] = json!("<no value>")),
        ("/sync/revision", |body| body["sync"]["revision"] = json!(7)),
        ("/sync/revisions", |body| body["sync"]["revisions"] = json!([7])),
        ("/repositories", |body| body["repositories"] = json!("https://github.com/acme/gitops.git")),
        ("/destination/name", |body| body["destination"]["name"] = json!([])),
    ];
    for (index, (at, change)) in cases.into_iter().enumerate() {
        match told(change) {
            Err(IngressError::Malformed { pointer, .. }) => assert_eq!(pointer, at, "{index}"),
            other => panic!("{index} {at}: {other:?}"),
        }
    }
    let neither = told(|body| {
        body["health"] = json!(null);
        body["operation"] = json!(null);
    });
    assert!(matches!(neither, Err(IngressError::Malformed { pointer, .. }) if pointer.is_empty()));
}

#[test]
fn a_token_that_is_all_the_proof_has_to_be_long() {
    let body = notification().to_string();
    let with = |secret: &str| {
        let secrets = Secrets::of(&[("ARGOCD_TOKEN", secret)]);
        receive(&argocd(), &secrets, &[("Authorization", &format!("Bearer {secret}"))], body.as_bytes()).map(|received| received.handled)
    };
    assert_eq!(with(&"t".repeat(32)), Ok(true));
    assert!(matches!(with(&"t".repeat(31)), Err(IngressError::SecretUnavailable { .. })));
    assert!(matches!(
        receive(&argocd(), &Secrets::of(&[("ARGOCD_TOKEN", &"t".repeat(32))]), &[], body.as_bytes()),
        Err(IngressError::Unauthorized(_))
    ));
}

#[test]
fn the_paths_of_its_sources_are_told_and_part_of_what_it_is_known_by() {
    let paths = |paths: Value| only(|body| body["paths"] = paths).0.data["deployment"]["paths"].clone();
    assert_eq!(paths(json!(["clusters/prod-eu/apps"])), json!(["clusters/prod-eu/apps"]));
    // A chart has no path.
    assert_eq!(paths(json!([null, "clusters/prod-eu/values", ""])), json!(["clusters/prod-eu/values"]));
    assert_eq!((paths(json!([null])), paths(Value::Null)), (json!([]), json!([])));
    assert!(matches!(told(|body| body["paths"] = json!([1])), Err(IngressError::Malformed { .. })));
    let (one, other) = (only(|body| body["paths"] = json!(["a"])), only(|body| body["paths"] = json!(["b"])));
    assert_ne!(one.1, other.1);
    let both = only(|body| body["destination"]["name"] = json!("prod-eu")).0.data["deployment"].clone();
    assert_eq!((&both["cluster"], &both["server"]), (&json!("prod-eu"), &json!("https://kubernetes.default.svc")));
}
