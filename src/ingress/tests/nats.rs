use super::*;

fn ops() -> Source {
    source(json!({"kind": "nats", "nats": {"servers": ["nats://127.0.0.1:4222"], "stream": "ops"}}))
}

/// Reads a message of the stream `ops` with this place in it.
fn message(source: &Source, subject: &str, sequence: &str, headers: &[(&str, &str)], body: &[u8]) -> Received {
    read(source, &place(subject, sequence, headers), body).expect("a message")
}

fn place<'a>(subject: &'a str, sequence: &'a str, headers: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = [("Nats-Subject", subject), ("Nats-Stream", "ops"), ("Nats-Sequence", sequence), ("Nats-Time-Stamp", "2026-11-20T12:00:00.123456789Z")];
    own.into_iter().chain(headers.iter().copied()).collect()
}

fn finished() -> Value {
    json!({"specversion": "1.0", "id": "e-1", "source": "https://ops.example.com", "type": "TaskRun", "time": "2026-11-20T11:59:00Z",
        "datacontenttype": "application/json", "cluster": "prod-eu", "data": {"status": "Failed", "name": "backup"}})
}

#[test]
fn a_subject_of_ops_is_data_and_the_cloudevent_in_it_is_read() {
    let subject = "ops.clusters.prod-eu.namespaces.ops-system.taskruns.backup.status";
    let received = message(&ops(), subject, "7", &[], finished().to_string().as_bytes());
    let told = &received.occurrences[0];
    assert_eq!((told.kind.as_str(), told.subject.as_str()), ("ops.taskruns.status", "prod-eu/ops-system/taskruns/backup"));
    assert_eq!(told.time.to_string(), "2026-11-20T11:59:00.000Z");
    let data = &told.data;
    assert_eq!(data["body"], json!({"status": "Failed", "name": "backup"}));
    assert_eq!(data["ops"], json!({"cluster": "prod-eu", "namespace": "ops-system", "resource": "taskruns", "name": "backup", "event": "status"}));
    assert_eq!((&data["cloudevent"]["cluster"], &data["cloudevent"]["type"]), (&json!("prod-eu"), &json!("TaskRun")));
    assert_eq!((&data["subject"], &data["stream"], &data["sequence"]), (&json!(subject), &json!("ops"), &json!(7)));
    assert_eq!(data["tokens"].as_array().map(Vec::len), Some(8));
    let notified = message(&ops(), "ops.notifications.providers.slack.channels.oncall.severities.critical", "8", &[], b"{}");
    assert_eq!((notified.occurrences[0].kind.as_str(), notified.occurrences[0].subject.as_str()), ("ops.notification", "slack/oncall"));
    assert_eq!(notified.occurrences[0].data["ops"]["severity"], "critical");
}

#[test]
fn a_binary_cloudevent_has_its_attributes_in_headers() {
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "a"),
        ("ce-source", "/shop"),
        ("ce-type", "com.example.Order.2"),
        ("ce-subject", "caf%C3%A9"),
        ("ce-authtoken", "s3cret"),
    ];
    let received = message(&ops(), "shop.orders", "1", &headers, br#"{"n":1}"#);
    let told = &received.occurrences[0];
    assert_eq!((told.kind.as_str(), told.subject.as_str()), ("com.example.order.x2", "café"));
    assert_eq!((&told.data["body"], &told.data["cloudevent"]["type"]), (&json!({"n": 1}), &json!("com.example.Order.2")));
    assert!(!format!("{received:?}").contains("s3cret"), "what may be a secret is not kept");
    // Read again from what was kept, it says the same.
    let again = ops().read(&received.attributes, br#"{"n":1}"#, noon()).expect("an event");
    assert_eq!((again.dedup_key, again.occurrences), (received.dedup_key, received.occurrences));
}

#[test]
fn any_other_json_is_a_message_about_its_subject() {
    let received = message(&ops(), "builds.done", "3", &[("X-Unkept", "1")], b"[1,2]");
    let told = &received.occurrences[0];
    assert_eq!((told.kind.as_str(), told.subject.as_str(), &told.data["body"]), ("nats.message", "builds.done", &json!([1, 2])));
    assert_eq!(told.time.to_string(), "2026-11-20T12:00:00.123Z");
    assert_eq!(told.data.get("cloudevent"), None);
    assert_eq!(told.data["headers"], json!({}));
    let mapped = source(json!({"kind": "nats", "nats": {"servers": ["tls://nats.example.com"], "stream": "ops"},
        "mapping": {"type": "'build.done'", "subject": "headers['nats-subject'] + '/' + string(body.number)"}}));
    assert!(mapped.warnings().is_empty(), "{:?}", mapped.warnings());
    let received = message(&mapped, "builds.done", "3", &[], br#"{"number":7}"#);
    assert_eq!((received.occurrences[0].kind.as_str(), received.occurrences[0].subject.as_str()), ("build.done", "builds.done/7"));
}

#[test]
fn a_message_is_known_by_its_id_else_by_its_event_else_by_its_place() {
    let key = |source: &Source, sequence: &str, headers: &[(&str, &str)], body: &Value| {
        message(source, "a.b", sequence, headers, body.to_string().as_bytes()).dedup_key
    };
    let plain = json!({"status": "failed"});
    let source = ops();
    assert_eq!(key(&source, "1", &[], &plain), key(&source, "1", &[], &plain), "delivered again");
    assert_ne!(key(&source, "1", &[], &plain), key(&source, "2", &[], &plain), "the same words said twice are two messages");
    assert_eq!(key(&source, "1", &[("Nats-Msg-Id", "m")], &plain), key(&source, "2", &[("Nats-Msg-Id", "m")], &plain));
    assert_ne!(key(&source, "1", &[("Nats-Msg-Id", "m")], &plain), key(&source, "1", &[("Nats-Msg-Id", "m")], &json!(1)), "an id that is used again");
    assert_eq!(key(&source, "1", &[], &finished()), key(&source, "2", &[], &finished()), "an event published twice");
    let mapped = super::source(json!({"kind": "nats", "nats": {"servers": ["nats://localhost"], "stream": "ops"},
        "mapping": {"type": "'a.b'", "subject": "body.status"}}));
    assert_ne!(key(&mapped, "1", &[], &plain), key(&mapped, "2", &[], &plain), "also through a mapping");
}

#[test]
fn what_cannot_be_read_is_filed_all_the_same() {
    let filed = |headers: &[(&str, &str)], body: &[u8]| {
        let headers: Vec<(&str, &str)> = place("a.b", "1", headers);
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        ops().file(&headers.as_slice(), body, noon())
    };
    let whole = filed(&[], b"{}");
    assert_eq!((whole.unreadable, whole.accepted.handled), (None, true));
    for (headers, body, reason) in [
        (&[][..], &b"{"[..], "the body cannot be read"),
        (&[("content-type", "application/protobuf")][..], &b"{}"[..], "the content type"),
        (&[("content-type", "application/cloudevents+json")][..], &b"{}"[..], "a CloudEvent needs `specversion`"),
        (&[("nats-oversized", "9000000")][..], &b""[..], "the message had 9000000 bytes"),
    ] {
        let filed = filed(headers, body);
        assert!(filed.accepted.handled, "whoever dispatches it tells why");
        assert_eq!(filed.accepted.dedup_key.len(), 64);
        let told = filed.unreadable.expect("a reason").to_string();
        assert!(told.contains(reason), "{told}");
    }
}

#[test]
fn nothing_that_is_sent_to_it_is_believed() {
    let refused = receive(&ops(), &Secrets::default(), &place("a.b", "1", &[]), b"{}");
    assert_eq!(refused, Err(IngressError::Unauthorized(Unproven::Mismatch)));
    assert_eq!(ops().authentication(), "connection");
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let told = |value: Value| -> Vec<String> { findings(value).into_iter().map(|found| format!("{} | {}", found.pointer, found.message)).collect() };
    assert_eq!(told(json!({"kind": "nats"})), [" | a source of kind nats needs `nats`"]);
    let places = |nats: Value| -> Vec<String> { findings(json!({"kind": "nats", "nats": nats})).into_iter().map(|found| found.pointer).collect() };
    assert_eq!(
        places(json!({"servers": ["nats://user:s3cret@host", "http://host", "nats://host/path"], "stream": "a.b"})),
        ["/nats/servers/0", "/nats/servers/1", "/nats/servers/2", "/nats/stream"]
    );
    assert_eq!(
        places(json!({"servers": [], "stream": "ops", "subjects": ["a..b", "a.>.b", "a.*", "a.*"], "ackWait": "1s", "maxAckPending": 0})),
        ["/nats/servers", "/nats/subjects/0", "/nats/subjects/1", "/nats/subjects/3", "/nats/ackWait", "/nats/maxAckPending"]
    );
    assert_eq!(places(json!({"servers": ["nats://h"], "stream": "ops", "create": false, "deliver": "all"})), ["/nats/deliver"]);
    let tls = json!({"ca": "no", "certificate": "-----BEGIN CERTIFICATE-----x-----END CERTIFICATE-----"});
    assert_eq!(places(json!({"servers": ["tls://h"], "stream": "ops", "tls": tls})), ["/nats/tls/ca", "/nats/tls"]);
    let sent = told(json!({"kind": "nats", "authentication": {"bearer": {"secrets": ["A"]}}, "allowFrom": ["10.0.0.0/8"],
        "nats": {"servers": ["nats://h"], "stream": "ops"}}));
    assert_eq!(sent.len(), 2, "{sent:?}");
    let other = told(
        json!({"kind": "generic", "authentication": "none", "mapping": {"type": "'a'", "subject": "'b'"}, "nats": {"servers": ["nats://h"], "stream": "ops"}}),
    );
    assert_eq!(other, ["/nats | this goes with a source of kind nats"]);
}

#[test]
fn what_is_left_out_has_its_default_and_what_is_risky_is_warned_about() {
    let source = ops();
    let from = source.subscription().expect("it fetches");
    let keeps = from.keeps.as_ref().expect("it is made");
    assert_eq!((from.consumer.as_str(), keeps.deliver, keeps.max_ack_pending, keeps.max_deliver), ("kubeops-service-desk", Deliver::New, 512, None));
    let risky = super::source(json!({"kind": "nats", "nats": {"servers": ["nats://nats.example.com"], "stream": "ops", "maxDeliver": 5,
        "authentication": {"token": {"secret": "NATS_TOKEN"}}}}));
    let warned: Vec<&str> = risky.warnings().iter().map(|warning| warning.pointer.as_str()).collect();
    assert_eq!(warned, ["/nats/servers/0", "/nats/maxDeliver"]);
    let named: Vec<&str> = risky.subscription().expect("it fetches").secret_names().map(|name| name.as_str()).collect();
    assert_eq!(named, ["NATS_TOKEN"]);
}
