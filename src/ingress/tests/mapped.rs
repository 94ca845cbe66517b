use super::*;

fn generic(authentication: Value, mapping: Value) -> Source {
    source(json!({"kind": "generic", "authentication": authentication, "mapping": mapping, "headers": ["X-Event-Id", "X-Event-Type"]}))
}

fn hmac() -> Value {
    json!({"hmac": {"secrets": ["KEY"]}})
}

fn deploys(authentication: Value) -> Source {
    let mapping = json!({
        "each": "body.deploys", "id": "item.id", "type": "item.ok ? 'deploy.finished' : 'deploy.failed'", "subject": "item.service", "time": "item.finishedAt",
    });
    generic(authentication, mapping)
}

fn error_of(source: &Source, body: &Value) -> String {
    match read(source, &[], body.to_string().as_bytes()) {
        Err(error @ IngressError::Mapping { .. }) => error.to_string().replace("the body does not fit the source's mapping: ", ""),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_body_may_tell_several_events() {
    let received = read(&deploys(hmac()), &[], &fixture("generic-deploys")).expect("events");
    let told: Vec<(&str, &str, String)> =
        received.occurrences.iter().map(|told| (told.kind.as_str(), told.subject.as_str(), told.time.to_string())).collect();
    assert_eq!(
        told,
        [("deploy.finished", "checkout", "2026-11-20T12:00:00.000Z".to_owned()), ("deploy.failed", "ledger", "2026-11-20T12:00:05.000Z".to_owned()),]
    );
    assert_eq!(received.occurrences[1].data, json!({"id": "d-2", "service": "ledger", "finishedAt": "2026-11-20T12:00:05Z", "ok": false}));
    assert!(received.handled);
    let nothing = read(&deploys(hmac()), &[], br#"{"deploys":[]}"#).expect("nothing");
    assert!(!nothing.handled);
}

#[test]
fn numbers_headers_and_milliseconds_are_read_as_they_are() {
    let mapping =
        json!({"id": "body.id", "type": "headers['x-event-type']", "subject": "body.build", "time": "body.at", "data": "{'build': body.build}"});
    let source = generic(hmac(), mapping);
    let headers = [("X-Event-Type", "build.done"), ("Authorization", "Bearer x")];
    let received = read(&source, &headers, br#"{"id":7,"build":4711,"at":1795176000123}"#).expect("an event");
    let told = &received.occurrences[0];
    assert_eq!((told.kind.as_str(), told.subject.as_str(), told.time.to_string().as_str()), ("build.done", "4711", "2026-11-20T12:00:00.123Z"));
    assert_eq!(told.data, json!({"build": 4711}));
    assert_eq!(received.attributes.keys().collect::<Vec<_>>(), ["x-event-type"]);
}

#[test]
fn what_the_mapping_needs_and_the_body_lacks_is_named() {
    let source = generic(hmac(), json!({"type": "body.type", "subject": "body.subject", "id": "body.id", "time": "body.time"}));
    let whole = json!({"type": "a.b", "subject": "x", "id": "1", "time": null});
    let with = |field: &str, value: Value| {
        let mut body = whole.clone();
        body[field] = value;
        error_of(&source, &body)
    };
    assert_eq!(read(&source, &[], whole.to_string().as_bytes()).expect("an event").occurrences[0].time, noon());
    assert_eq!(error_of(&source, &json!({"type": "a.b", "id": 1})), "`subject` has no value: there is no field `subject`");
    assert_eq!(error_of(&source, &json!({"subject": "x", "id": 1})), "`type` has no value: there is no field `type`");
    assert!(with("type", json!("Not A Type")).starts_with("`type` gives \"Not A Type\", which is not a valid event type"));
    assert_eq!(with("subject", json!(null)), "`subject` gives neither a text nor a whole number");
    assert_eq!(with("subject", json!(1.5)), "`subject` gives neither a text nor a whole number");
    assert_eq!(with("subject", json!("")), "`subject` gives a text that is empty");
    assert_eq!(with("subject", json!("a\nb")), "`subject` gives a text that holds control characters");
    assert_eq!(with("subject", json!("a\u{202e}b")), "`subject` gives a text that holds control characters");
    assert_eq!(with("subject", json!("é".repeat(513))), "`subject` gives a text that is longer than 512 characters");
    assert_eq!(with("id", json!([])), "`id` gives neither a text nor a whole number");
    assert!(with("time", json!("soon")).starts_with("`time` gives \"soon\", which is not a valid timestamp"));
    assert_eq!(with("time", json!(1.5)), "`time` gives neither a text nor whole milliseconds");
    assert!(read(&source, &[], json!({"type": "a", "subject": "é".repeat(512), "id": null, "time": 0}).to_string().as_bytes()).is_ok());
}

#[test]
fn an_entry_that_does_not_fit_is_named_by_its_place() {
    assert_eq!(error_of(&deploys(hmac()), &json!({"deploys": {}})), "`each` does not give a list");
    let body = json!({"deploys": [{"id": 1, "service": "a", "ok": true, "finishedAt": 0}, {"id": 2, "ok": true, "finishedAt": 0}]});
    assert_eq!(error_of(&deploys(hmac()), &body), "`subject` has no value: there is no field `service` (entry 1 of `each`)");
}

#[test]
fn a_signed_id_decides_alone_and_any_other_only_with_the_body() {
    let of = |source: &Source, headers: &[(&str, &str)], body: Value| read(source, headers, body.to_string().as_bytes()).expect("an event");
    let mapping = |id: &str| json!({"id": id, "type": "'a.b'", "subject": "'s'"});
    let (one, other) = (json!({"id": "1", "n": 1}), json!({"id": "1", "n": 2}));

    let signed = generic(hmac(), mapping("body.id"));
    assert_eq!(of(&signed, &[], one.clone()).dedup_key, of(&signed, &[], other.clone()).dedup_key);
    assert_eq!(of(&signed, &[], one.clone()).occurrence_keys, of(&signed, &[], other.clone()).occurrence_keys);
    assert_ne!(of(&signed, &[], one.clone()).dedup_key, of(&signed, &[], json!({"id": "2", "n": 1})).dedup_key);

    let from_header = generic(hmac(), mapping("headers['x-event-id']"));
    let header = [("x-event-id", "1")];
    assert_ne!(of(&from_header, &header, one.clone()).dedup_key, of(&from_header, &header, other.clone()).dedup_key);
    assert_eq!(of(&from_header, &header, one.clone()).dedup_key, of(&from_header, &header, one.clone()).dedup_key);

    let unsigned = generic(json!({"bearer": {"secrets": ["KEY"]}}), mapping("body.id"));
    assert_ne!(of(&unsigned, &[], one.clone()).dedup_key, of(&unsigned, &[], other.clone()).dedup_key);

    let without = generic(hmac(), json!({"type": "'a.b'", "subject": "'s'"}));
    assert_eq!(of(&without, &[], one.clone()).dedup_key, of(&without, &[], one.clone()).dedup_key);
    assert_ne!(of(&without, &[], one).dedup_key, of(&without, &[], other).dedup_key);
}

#[test]
fn one_missing_id_among_several_lets_the_body_decide() {
    let source = generic(hmac(), json!({"each": "body.list", "id": "item.id", "type": "'a'", "subject": "'s'"}));
    let key = |body: Value| read(&source, &[], body.to_string().as_bytes()).expect("events").dedup_key;
    assert_eq!(key(json!({"list": [{"id": 1}, {"id": 2}], "n": 1})), key(json!({"list": [{"id": 1}, {"id": 2}], "n": 2})));
    assert_ne!(key(json!({"list": [{"id": 1}, {"id": null}], "n": 1})), key(json!({"list": [{"id": 1}, {"id": null}], "n": 2})));
}

#[test]
fn a_mapping_cannot_be_made_to_work_without_end() {
    let source = generic(hmac(), json!({"each": "body.list", "type": "'a'", "subject": "'s'", "data": "body"}));
    let list: Vec<u32> = (0..2_000).collect();
    let error = read(&source, &[], json!({"list": list, "pad": "x".repeat(20_000)}).to_string().as_bytes()).expect_err("too much");
    assert!(error.to_string().contains("send fewer at a time"), "{error}");
    let error = read(&source, &[], json!({"list": (0..2_001).collect::<Vec<u32>>()}).to_string().as_bytes()).expect_err("too many");
    assert!(error.to_string().contains("2001 entries"), "{error}");
    let nested = generic(hmac(), json!({"type": "'a'", "subject": "body.list.all(a, body.list.exists(b, a == b)) ? 'x' : 'y'"}));
    assert!(error_of(&nested, &json!({"list": list})).contains("steps on this event"));
}

#[test]
fn a_pipeline_can_say_what_argo_cd_and_flux_say_of_a_deployment() {
    let mapping = json!({
        "type": "body.status == 'success' ? 'deployment.applied' : 'deployment.failed'", "subject": "body.application",
        "id": "body.run + '/' + body.application + '/' + body.status",
        "data": "{'deployment': {'revision': body.commit, 'revisions': [body.commit], 'cluster': body.cluster, 'application': body.application, \
                 'message': has(body.message) ? body.message : null, 'url': [body.repository]}}",
    });
    let sha = "731f7eaddfb6af01cb2173e18f0f75b0ba780ef1";
    let body = json!({"application": "checkout", "cluster": "prod-eu", "commit": sha, "status": "success", "run": "4711", "repository": "https://github.com/acme/gitops.git"});
    let received = read(&generic(hmac(), mapping), &[], body.to_string().as_bytes()).expect("an event");
    let told = &received.occurrences[0];
    assert_eq!((told.kind.as_str(), told.subject.as_str()), ("deployment.applied", "checkout"));
    let expected = json!({"deployment": {
        "revision": sha, "revisions": [sha], "cluster": "prod-eu", "application": "checkout", "message": null, "url": ["https://github.com/acme/gitops.git"],
    }});
    assert_eq!(told.data, expected);
}
