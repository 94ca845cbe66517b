use super::*;

const SHA: &str = "731f7eaddfb6af01cb2173e18f0f75b0ba780ef1";

fn flux() -> Source {
    source(json!({"kind": "flux", "authentication": {"hmac": {"secrets": ["FLUX_TOKEN"]}}}))
}

/// What notification-controller sends of a Kustomization that was reconciled.
fn event() -> Value {
    json!({
        "involvedObject": {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "name": "apps", "namespace": "flux-system",
            "uid": "7d0cdc51-ddcf-4743-b223-83ca5c699632",
        },
        "severity": "info", "timestamp": "2026-11-20T12:00:05Z", "message": "Reconciliation finished in 1.2s, next run in 10m0s",
        "reason": "ReconciliationSucceeded", "metadata": {"revision": format!("main@sha1:{SHA}"), "cluster": "prod-eu", "summary": "production"},
        "reportingController": "kustomize-controller", "reportingInstance": "kustomize-controller-7c7b47f5f-8bhrp",
    })
}

fn told(change: impl FnOnce(&mut Value)) -> Result<Received, IngressError> {
    let mut body = event();
    change(&mut body);
    read(&flux(), &[], body.to_string().as_bytes())
}

fn only(change: impl FnOnce(&mut Value)) -> (Occurrence, String) {
    let received = told(change).expect("an event");
    assert!(received.handled);
    let [occurrence] = <[Occurrence; 1]>::try_from(received.occurrences).expect("one occurrence");
    (occurrence, received.occurrence_keys[0].clone())
}

fn deployment(change: impl FnOnce(&mut Value)) -> Value {
    only(change).0.data["deployment"].clone()
}

#[test]
fn what_was_reconciled_was_applied() {
    let (occurrence, _) = only(|_| {});
    assert_eq!((occurrence.kind.as_str(), occurrence.subject.as_str()), ("deployment.applied", "Kustomization/flux-system/apps"));
    assert_eq!(occurrence.time.to_string(), "2026-11-20T12:00:05.000Z");
    let expected = json!({
        "revision": SHA, "revisions": [SHA], "cluster": "prod-eu", "server": null, "paths": [], "application": "apps",
        "message": "Reconciliation finished in 1.2s, next run in 10m0s", "url": [],
    });
    assert_eq!(occurrence.data["deployment"], expected);
    assert_eq!(occurrence.data["involvedObject"]["uid"], "7d0cdc51-ddcf-4743-b223-83ca5c699632", "the body is there as well");
}

#[test]
fn an_error_is_a_deployment_that_is_not_well_and_the_rest_says_nothing() {
    for reason in ["HealthCheckFailed", "ReconciliationFailed", "BuildFailed", "ArtifactFailed", "DependencyNotReady", "ValidationFailed", "Whatever"]
    {
        let (occurrence, _) = only(|body| {
            body["severity"] = json!("error");
            body["reason"] = json!(reason);
        });
        assert_eq!(occurrence.kind.as_str(), "deployment.degraded", "{reason}");
    }
    for (severity, reason) in [("info", "Progressing"), ("info", "DependencyNotReady"), ("info", "NewArtifact"), ("trace", "ReconciliationSucceeded")]
    {
        let received = told(|body| {
            body["severity"] = json!(severity);
            body["reason"] = json!(reason);
        });
        assert!(!received.expect("an event").handled, "{severity} {reason}");
    }
}

#[test]
fn the_revision_is_found_where_and_however_it_is_written() {
    let digest = format!("latest@sha256:{}", "b".repeat(64));
    for (metadata, revision) in [
        (json!({"revision": format!("main@sha1:{SHA}")}), json!(SHA)),
        (json!({"revision": format!("main/{SHA}")}), json!(SHA)),
        (json!({"kustomize.toolkit.fluxcd.io/revision": format!("main/{SHA}")}), json!(SHA)),
        (json!({"source.toolkit.fluxcd.io/revision": format!("main/{SHA}")}), json!(null)),
        (json!({"revision": digest, "originRevision": format!("main@sha1:{SHA}")}), json!(SHA)),
        (json!({"revision": digest}), json!(digest)),
        (json!({"revision": "6.5.0"}), json!("6.5.0")),
        (json!({"revision": ""}), json!(null)),
        (json!({}), json!(null)),
        (json!(null), json!(null)),
    ] {
        assert_eq!(deployment(|body| body["metadata"] = metadata.clone())["revision"], revision, "{metadata}");
    }
}

#[test]
fn the_repository_and_the_cluster_are_what_the_alert_says_they_are() {
    let said = deployment(|body| body["metadata"]["url"] = json!("https://github.com/acme/gitops.git"));
    assert_eq!((&said["url"], &said["cluster"]), (&json!(["https://github.com/acme/gitops.git"]), &json!("prod-eu")));
    assert_eq!(deployment(|body| body["metadata"] = json!({}))["cluster"], Value::Null);
}

#[test]
fn what_is_said_again_is_known_and_another_object_revision_or_cluster_is_not() {
    let (_, first) = only(|_| {});
    assert_eq!(first, only(|body| body["timestamp"] = json!("2026-11-20T12:10:05Z")).1);
    assert_eq!(first, only(|body| body["message"] = json!("Reconciliation finished in 2s")).1);
    let changes: [fn(&mut Value); 6] = [
        |body| body["involvedObject"]["name"] = json!("infra"),
        |body| body["involvedObject"]["kind"] = json!("HelmRelease"),
        |body| body["involvedObject"]["uid"] = json!("another"),
        |body| body["metadata"]["cluster"] = json!("prod-us"),
        |body| body["metadata"]["revision"] = json!("main@sha1:0d1c2b3a4f5e60718293a4b5c6d7e8f901234567"),
        |body| body["severity"] = json!("error"),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert_ne!(first, only(change).1, "{index}");
    }
}

#[test]
fn a_sender_cannot_bring_its_own_deployment_along() {
    assert_eq!(deployment(|body| body["deployment"] = json!({"revision": "x", "by": "hand"})).get("by"), None);
}

#[test]
fn what_is_no_event_of_flux_is_refused_with_its_place() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 17] = [
        ("", |body| *body = json!([])),
        ("", |body| *body = json!({})),
        ("", |body| body["involvedObject"] = json!("apps")),
        ("/involvedObject", |body| body["involvedObject"]["name"] = json!(null)),
        ("/involvedObject", |body| body["involvedObject"]["namespace"] = json!("")),
        ("/involvedObject/name", |body| body["involvedObject"]["name"] = json!("a/b")),
        ("/involvedObject/name", |body| body["involvedObject"]["name"] = json!("a\nb")),
        ("/involvedObject/name", |body| body["involvedObject"]["name"] = json!("x".repeat(254))),
        ("/involvedObject/namespace", |body| body["involvedObject"]["namespace"] = json!("../x")),
        ("/involvedObject/kind", |body| body["involvedObject"]["kind"] = json!("kustomization")),
        ("/involvedObject/kind", |body| body["involvedObject"]["kind"] = json!("Kustom\u{202e}ization")),
        ("", |body| body["reason"] = json!(null)),
        ("/reason", |body| body["reason"] = json!(7)),
        ("/severity", |body| body["severity"] = json!([])),
        ("/timestamp", |body| body["timestamp"] = json!("soon")),
        ("/metadata", |body| body["metadata"] = json!([])),
        ("/metadata", |body| body["metadata"]["revision"] = json!(7)),
    ];
    for (index, (at, change)) in cases.into_iter().enumerate() {
        match told(change) {
            Err(IngressError::Malformed { pointer, .. }) => assert_eq!(pointer, at, "{index}"),
            other => panic!("{index} {at}: {other:?}"),
        }
    }
}

#[test]
fn a_signed_event_is_proven_by_the_header_that_flux_sends() {
    use hmac::{KeyInit, Mac};
    let body = event().to_string();
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"a token of the provider").expect("any key");
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let secrets = Secrets::of(&[("FLUX_TOKEN", "a token of the provider")]);
    let headers = [("X-Signature", signature.as_str()), ("Gotk-Component", "kustomize-controller")];
    let received = receive(&flux(), &secrets, &headers, body.as_bytes()).expect("an event");
    assert_eq!(received.attributes["gotk-component"], "kustomize-controller");
    assert!(matches!(receive(&flux(), &secrets, &headers[1..], body.as_bytes()), Err(IngressError::Unauthorized(Unproven::Missing))));
    assert_eq!(source(json!({"kind": "flux", "authentication": "none"})).warnings().len(), 1);
}

#[test]
fn the_path_comes_with_the_metadata_of_the_alert_or_of_an_annotation_with_or_without_its_prefix() {
    for name in ["path", "event.toolkit.fluxcd.io/path", "kustomize.toolkit.fluxcd.io/path"] {
        let said = deployment(|body| body["metadata"][name] = json!("./clusters/prod-eu"));
        assert_eq!(said["paths"], json!(["./clusters/prod-eu"]), "{name}");
    }
}
