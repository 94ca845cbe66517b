use super::*;

fn alertmanager() -> Source {
    source(json!({"kind": "alertmanager", "authentication": {"bearer": {"secrets": ["ALERTS"]}}}))
}

fn received(body: &[u8]) -> Received {
    read(&alertmanager(), &[], body).expect("a notification")
}

#[test]
fn every_alert_of_a_group_is_an_occurrence_of_its_own() {
    let received = received(&fixture("alertmanager-changed"));
    let told: Vec<(&str, &str, String)> =
        received.occurrences.iter().map(|told| (told.kind.as_str(), told.subject.as_str(), told.time.to_string())).collect();
    assert_eq!(
        told,
        [
            ("alert.firing", "4a7f3c2b1d0e9f88", "2026-11-20T12:00:15.123Z".to_owned()),
            ("alert.resolved", "0c1d2e3f4a5b6c7d", "2026-11-20T12:30:00.000Z".to_owned()),
        ]
    );
    let data = &received.occurrences[0].data;
    assert_eq!(data["labels"]["horizontalpodautoscaler"], "checkout");
    assert_eq!(data["status"], "firing");
    assert_eq!(data["groupLabels"], json!({"namespace": "payments"}));
    assert_eq!(data["externalURL"], "http://alertmanager.acme.example:9093");
    assert_eq!((&data["receiver"], &data["truncatedAlerts"]), (&json!("kubeops"), &json!(0)));
    assert_eq!((data.get("alerts"), data.get("version")), (None, None));
}

#[test]
fn a_repeat_is_a_duplicate_and_news_is_not() {
    let first = received(&fixture("alertmanager-firing"));
    assert_eq!(first.dedup_key, received(&fixture("alertmanager-firing")).dedup_key);
    let reordered = changed("alertmanager-firing", |body| body["alerts"].as_array_mut().expect("a list").reverse());
    assert_eq!(first.dedup_key, received(&reordered).dedup_key);
    let respelled = changed("alertmanager-firing", |body| body["alerts"][1]["startsAt"] = json!("2026-11-20T13:01:15+01:00"));
    assert_eq!(first.dedup_key, received(&respelled).dedup_key);
    let changes: [fn(&mut Value); 4] = [
        |body| body["alerts"][1]["status"] = json!("resolved"),
        |body| body["alerts"][1]["startsAt"] = json!("2026-11-20T12:01:16Z"),
        |body| body["alerts"][1]["fingerprint"] = json!("0c1d2e3f4a5b6c7e"),
        |body| drop(body["alerts"].as_array_mut().expect("a list").pop()),
    ];
    for change in changes {
        assert_ne!(first.dedup_key, received(&changed("alertmanager-firing", change)).dedup_key);
    }
    let elsewhere =
        Source::compile("other".parse().expect("a name"), spec(json!({"kind": "alertmanager", "authentication": {"bearer": {"secrets": ["A"]}}})));
    let elsewhere = read(&elsewhere.expect("a source"), &[], &fixture("alertmanager-firing")).expect("a notification");
    assert_ne!(first.dedup_key, elsewhere.dedup_key);
    assert_ne!(first.occurrence_keys, elsewhere.occurrence_keys);
}

#[test]
fn an_alert_that_goes_on_firing_while_its_group_changes_keeps_its_key() {
    let before = received(&fixture("alertmanager-firing"));
    let after = received(&fixture("alertmanager-changed"));
    assert_ne!(before.dedup_key, after.dedup_key);
    assert_eq!(before.occurrence_keys[0], after.occurrence_keys[0]);
    assert_ne!(before.occurrence_keys[1], after.occurrence_keys[1], "firing and resolved are two things");
}

#[test]
fn a_resolved_alert_without_an_end_ended_when_it_was_told() {
    let body = changed("alertmanager-firing", |body| body["alerts"][0]["status"] = json!("resolved"));
    assert_eq!(received(&body).occurrences[0].time, noon());
}

#[test]
fn an_empty_group_says_nothing() {
    let received = received(&changed("alertmanager-firing", |body| body["alerts"] = json!([])));
    assert!(!received.handled && received.occurrences.is_empty());
}

#[test]
fn what_is_no_notification_is_refused_with_its_place() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 12] = [
        ("", |body| *body = json!([])),
        ("/version", |body| body["version"] = json!("3")),
        ("/version", |body| body["version"] = json!(4)),
        ("", |body| body["alerts"] = json!({})),
        ("/alerts/1", |body| body["alerts"][1] = json!("x")),
        ("/alerts/1/status", |body| body["alerts"][1]["status"] = json!("pending")),
        ("/alerts/1/startsAt", |body| body["alerts"][1]["startsAt"] = json!("today")),
        ("/alerts/0/startsAt", |body| body["alerts"][0]["startsAt"] = json!(7)),
        ("/alerts/0/fingerprint", |body| body["alerts"][0]["fingerprint"] = json!("4A7F3C2B1D0E9F88")),
        ("/alerts/0/fingerprint", |body| body["alerts"][0]["fingerprint"] = json!("../../etc/passwd")),
        ("/alerts/0/fingerprint", |body| body["alerts"][0]["fingerprint"] = json!(null)),
        ("/alerts/0/endsAt", |body| {
            body["alerts"][0]["status"] = json!("resolved");
            body["alerts"][0]["endsAt"] = json!("");
        }),
    ];
    for (at, change) in cases {
        match read(&alertmanager(), &[], &changed("alertmanager-firing", change)) {
            Err(IngressError::Malformed { pointer, .. }) => assert_eq!(pointer, at),
            other => panic!("{at}: {other:?}"),
        }
    }
}

#[test]
fn a_large_group_cannot_multiply_what_it_repeats() {
    let alert = |n: usize| json!({"status": "firing", "fingerprint": format!("{n:016x}"), "startsAt": "2026-11-20T12:00:00Z"});
    let group = |count: usize, annotation: usize| {
        let alerts: Vec<Value> = (0..count).map(alert).collect();
        json!({"version": "4", "commonAnnotations": {"a": "x".repeat(annotation)}, "alerts": alerts}).to_string().into_bytes()
    };
    assert_eq!(received(&group(2_000, 100)).occurrences.len(), 2_000);
    for (count, annotation) in [(2_001, 0), (1_000, 100_000)] {
        let error = read(&alertmanager(), &[], &group(count, annotation)).expect_err("too much");
        assert!(matches!(&error, IngressError::Malformed { pointer, .. } if pointer == "/alerts"), "{error}");
    }
}
