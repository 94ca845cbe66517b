use super::*;

fn cloud() -> Source {
    source(json!({"kind": "jira", "authentication": {"hmac": {"secrets": ["JIRA_WEBHOOK_SECRET"]}}}))
}

fn only(received: Received) -> Occurrence {
    assert!(received.handled);
    assert_eq!(received.occurrence_keys.len(), 1);
    let [occurrence] = <[Occurrence; 1]>::try_from(received.occurrences).expect("one occurrence");
    occurrence
}

fn read_fixture(name: &str) -> Occurrence {
    only(read(&cloud(), &[], &fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
}

fn pointer(body: &[u8]) -> String {
    match read(&cloud(), &[], body) {
        Err(IngressError::Malformed { pointer, .. }) => pointer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_update_that_moves_the_status_is_one_transition_with_its_ends() {
    let occurrence = read_fixture("jira-cloud-transitioned");
    assert_eq!((occurrence.kind.as_str(), occurrence.subject.as_str()), ("jira.issue.transitioned", "OPS-42"));
    assert_eq!(occurrence.time.to_string(), "2026-11-20T12:00:00.123Z");
    assert_eq!(occurrence.data["transition"], json!({"from": "Waiting for approval", "to": "Approved", "fromId": "10003", "toId": "10004"}));
    assert_eq!(occurrence.data["issue"]["fields"]["customfield_10052"]["value"], "prod-eu");
    assert_eq!(occurrence.data["issue"]["fields"]["reporter"]["accountType"], "customer");
    assert_eq!(occurrence.data["user"]["accountType"], "atlassian");
}

#[test]
fn a_custom_field_called_status_is_no_transition() {
    let occurrence = read_fixture("jira-cloud-updated");
    assert_eq!(occurrence.kind.as_str(), "jira.issue.updated");
    assert_eq!(occurrence.data.get("transition"), None);
    let datacenter = changed("jira-datacenter-transitioned", |body| body["changelog"]["items"][0]["fieldtype"] = json!("custom"));
    assert_eq!(only(read(&cloud(), &[], &datacenter).expect("a webhook")).kind.as_str(), "jira.issue.updated");
}

#[test]
fn a_sender_cannot_bring_its_own_transition_along() {
    let body = changed("jira-cloud-transitioned", |body| body["transition"] = json!({"to": "Done", "by": "hand"}));
    let occurrence = only(read(&cloud(), &[], &body).expect("a webhook"));
    assert_eq!(occurrence.data["transition"], json!({"from": "Waiting for approval", "to": "Approved", "fromId": "10003", "toId": "10004"}));
}

#[test]
fn other_issue_and_comment_events_have_their_own_types() {
    assert_eq!(read_fixture("jira-cloud-created").kind.as_str(), "jira.issue.created");
    let comment = read_fixture("jira-cloud-comment-created");
    assert_eq!((comment.kind.as_str(), comment.subject.as_str()), ("jira.comment.created", "OPS-42"));
    for (name, kind) in
        [("comment_updated", "jira.comment.updated"), ("comment_deleted", "jira.comment.deleted"), ("jira:issue_deleted", "jira.issue.deleted")]
    {
        let body = changed("jira-cloud-comment-created", |body| body["webhookEvent"] = json!(name));
        assert_eq!(only(read(&cloud(), &[], &body).expect("a webhook")).kind.as_str(), kind);
    }
}

#[test]
fn a_comment_without_its_issue_and_an_event_nobody_handles_are_taken_and_say_nothing() {
    let unknown = |name: &str| json!({"webhookEvent": name, "timestamp": 1}).to_string().into_bytes();
    for body in
        [fixture("jira-cloud-comment-without-issue"), unknown("jira:version_released"), unknown("sprint_started"), unknown("issuelink_created")]
    {
        let received = read(&cloud(), &[], &body).expect("a webhook");
        assert!(!received.handled && received.occurrences.is_empty() && received.occurrence_keys.is_empty());
        assert_eq!(received.dedup_key.len(), 64);
    }
}

#[test]
fn data_center_says_the_same_without_field_ids() {
    let occurrence = read_fixture("jira-datacenter-transitioned");
    assert_eq!((occurrence.kind.as_str(), occurrence.subject.as_str()), ("jira.issue.transitioned", "OPS-77"));
    assert_eq!(occurrence.data["transition"]["to"], "Approved");
}

#[test]
fn a_body_without_an_event_name_is_a_transition_to_the_status_the_issue_is_in() {
    let automation = read_fixture("jira-automation-webhook");
    assert_eq!((automation.kind.as_str(), automation.subject.as_str()), ("jira.issue.transitioned", "OPS-43"));
    assert_eq!(automation.data["transition"], json!({"to": "Approved", "toId": "10004"}));
    let post_function = read_fixture("jira-post-function");
    assert_eq!(post_function.data["transition"], json!({"from": "Waiting for approval", "to": "Approved", "toId": "10004"}));
    let bare = read(&cloud(), &[], br#"{"issue":{"key":"OPS-1"}}"#).expect("a webhook");
    let bare = only(bare);
    assert_eq!((bare.kind.as_str(), bare.time), ("jira.issue.updated", noon()));
}

#[test]
fn send_web_request_is_read_through_a_mapping_and_its_subject_is_still_an_issue_key() {
    let source = source(json!({
        "kind": "jira",
        "authentication": {"header": {"name": "X-Automation-Token", "secrets": ["TOKEN"]}},
        "mapping": {
            "type": "'jira.issue.transitioned'", "subject": "body.ticket", "time": "body.at",
            "data": "{'issue': {'key': body.ticket, 'fields': body.fields}, 'transition': {'to': body.action == 'approved' ? 'Approved' : body.action}}",
        },
    }));
    let occurrence = only(read(&source, &[], &fixture("jira-send-web-request")).expect("a webhook"));
    assert_eq!((occurrence.kind.as_str(), occurrence.subject.as_str()), ("jira.issue.transitioned", "OPS-45"));
    assert_eq!(occurrence.time.to_string(), "2026-11-20T12:00:00.123Z");
    assert_eq!(occurrence.data["transition"]["to"], "Approved");
    assert_eq!(occurrence.data["issue"]["fields"]["team"], "payments");
    let error = read(&source, &[], &changed("jira-send-web-request", |body| body["ticket"] = json!("ops"))).expect_err("no key");
    assert_eq!(error.to_string(), "the body does not fit the source's mapping: `subject` gives a text that is not an issue key such as OPS-123");
}

#[test]
fn what_is_no_jira_webhook_is_refused_with_its_place() {
    for (body, at) in [
        ("[]", ""),
        ("{}", ""),
        (r#"{"webhookEvent":7}"#, "/webhookEvent"),
        (r#"{"webhookEvent":"a b"}"#, "/webhookEvent"),
        (r#"{"webhookEvent":""}"#, "/webhookEvent"),
        (r#"{"webhookEvent":"jira:issue_updated"}"#, ""),
        (r#"{"webhookEvent":"jira:issue_updated","issue":[]}"#, "/issue"),
        (r#"{"webhookEvent":"jira:issue_updated","issue":{"id":"1"}}"#, "/issue"),
        (r#"{"webhookEvent":"jira:issue_updated","issue":{"key":"OPS-1"},"changelog":{"items":{}}}"#, "/changelog"),
        (r#"{"webhookEvent":"jira:issue_updated","issue":{"key":"OPS-1"},"changelog":[]}"#, "/changelog"),
        (r#"{"webhookEvent":"jira:issue_created","issue":{"key":"OPS-1"},"timestamp":"soon"}"#, "/timestamp"),
    ] {
        assert_eq!(pointer(body.as_bytes()), at, "{body}");
    }
    for key in
        ["", "OPS", "OPS-", "-1", "O-1", "ops-1", "OPS-1x", "OPS-1\n", "OPS-1-2", "../OPS-1", "1PS-1", "OPS-١", &format!("OPS-{}", "1".repeat(255))]
    {
        assert_eq!(pointer(json!({"issue": {"key": key}}).to_string().as_bytes()), "/issue/key", "{key:?}");
    }
}

#[test]
fn odd_changelog_items_and_odd_times_do_no_harm() {
    for (items, kind) in [
        (json!([null, 1, "status", [], {}, {"field": null}]), "jira.issue.updated"),
        (json!([{"fieldId": "status"}]), "jira.issue.transitioned"),
        (json!([{"fieldId": "status", "toString": 7, "from": {}}]), "jira.issue.transitioned"),
    ] {
        let body = json!({"webhookEvent": "jira:issue_updated", "issue": {"key": "OPS-1"}, "changelog": {"items": items}, "timestamp": i64::MAX});
        let occurrence = only(read(&cloud(), &[], body.to_string().as_bytes()).expect("a webhook"));
        assert_eq!(occurrence.kind.as_str(), kind);
        assert_eq!(occurrence.time.to_string(), "9999-12-31T23:59:59.999Z");
    }
}

#[test]
fn a_retry_is_the_same_delivery_and_an_id_alone_never_makes_one() {
    let key = |headers: &[(&str, &str)], body: &[u8]| read(&cloud(), headers, body).expect("a webhook").dedup_key;
    let body = fixture("jira-cloud-transitioned");
    let other = fixture("jira-cloud-updated");
    let id = ("X-Atlassian-Webhook-Identifier", "b1946ac9-4cc4-4a5b-9f43-0a2a4a4f9a01");
    let first = key(&[id], &body);
    assert_eq!(first, key(&[id, ("X-Atlassian-Webhook-Retry", "2")], &body));
    assert_eq!(first, key(&[id, ("X-Atlassian-Webhook-Flow", "Primary"), ("User-Agent", "another")], &body));
    assert_ne!(first, key(&[id], &other), "the id stands outside the signature");
    assert_ne!(first, key(&[("X-Atlassian-Webhook-Identifier", "another")], &body));
    assert_eq!(key(&[], &fixture("jira-automation-webhook")), key(&[], &fixture("jira-automation-webhook")));
    assert_ne!(key(&[], &body), key(&[], &other));
}

#[test]
fn a_transition_is_known_by_its_id_in_the_history_however_it_is_told() {
    let key = |fixture: &str, change: &dyn Fn(&mut Value)| {
        read(&cloud(), &[], &changed(fixture, change)).expect("a webhook").occurrence_keys.pop().expect("one")
    };
    let moved = "jira-cloud-transitioned";
    let first = key(moved, &|_| {});
    // By another hook, or found by a search: another time, another body, the id as a number.
    assert_eq!(first, key(moved, &|body| (body["timestamp"], body["issue"]["fields"]["summary"]) = (json!(1_795_176_000_200_i64), json!("x"))));
    assert_eq!(first, key(moved, &|body| body["changelog"]["id"] = json!(10342)));
    for other in [
        key(moved, &|body| body["changelog"]["id"] = json!("10343")),
        key(moved, &|body| body["issue"]["key"] = json!("OPS-43")),
        key(moved, &|body| body["changelog"]["items"][1]["toString"] = json!("Cancelled")),
    ] {
        assert_ne!(first, other);
    }
    // Without an id it is known by its delivery, as every other change is.
    let nameless = |millis: i64| key(moved, &|body| (body["changelog"]["id"], body["timestamp"]) = (Value::Null, json!(millis)));
    assert_ne!(nameless(1), nameless(2));
    let update = |millis: i64| key("jira-cloud-updated", &|body| body["timestamp"] = json!(millis));
    assert_ne!(update(1), update(2));
    let created = |millis: i64| key("jira-cloud-created", &|body| body["timestamp"] = json!(millis));
    assert_eq!(created(1), created(2), "an issue is created once");
}

#[test]
fn a_delivery_reads_the_same_from_what_is_stored_of_it() {
    let headers =
        [("X-Atlassian-Webhook-Identifier", "id-1"), ("Content-Type", "application/json; charset=UTF-8"), ("X-Atlassian-Webhook-Flow", "Primary")];
    let body = fixture("jira-cloud-transitioned");
    let received = read(&cloud(), &headers, &body).expect("a webhook");
    let again = cloud().read(&received.attributes, &body, noon()).expect("a webhook");
    assert_eq!(received, again);
    assert_eq!(
        serde_json::to_value(&received.attributes).expect("JSON"),
        json!({"content-type": "application/json; charset=UTF-8", "x-atlassian-webhook-flow": "Primary", "x-atlassian-webhook-identifier": "id-1"})
    );
}
