use super::*;
use proptest::prelude::*;

pub(super) const SECRET: &str = "the webhook's secret";
const SHA: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
pub(super) const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

pub(super) fn github() -> Source {
    source(json!({"kind": "github", "authentication": {"hmac": {"secrets": ["HOOK"]}}}))
}

pub(super) fn repository() -> Value {
    json!({"id": 1, "full_name": "acme/gitops", "pushed_at": 1_795_176_000})
}

/// A small body of each event that is handled.
pub(super) fn body_of(event: &str) -> Value {
    let pull = json!({"number": 12, "merged": false, "updated_at": "2026-11-20T12:00:01Z"});
    let comment = json!({"id": 7, "updated_at": "2026-11-20T12:00:02Z"});
    let mut body = match event {
        "pull_request" => json!({"action": "opened", "number": 12, "pull_request": pull}),
        "pull_request_review" => {
            json!({"action": "submitted", "pull_request": pull, "review": {"id": 8, "state": "approved", "submitted_at": "2026-11-20T12:00:03Z"}})
        }
        "pull_request_review_comment" => json!({"action": "created", "pull_request": pull, "comment": comment}),
        "issue_comment" => json!({"action": "created", "issue": {"number": 13}, "comment": comment}),
        "push" => json!({"ref": "refs/heads/main", "before": SHA, "after": SHA}),
        "check_suite" => json!({"action": "completed", "check_suite": {"head_sha": SHA, "updated_at": "2026-11-20T12:00:04Z"}}),
        "check_run" => json!({"action": "completed", "check_run": {
            "id": 9, "head_sha": SHA, "status": "completed", "conclusion": "success",
            "started_at": "2026-11-20T12:00:04Z", "completed_at": "2026-11-20T12:00:05Z",
        }}),
        "status" => json!({"id": 10, "sha": SHA, "state": "success", "context": "ci", "commit": {}, "updated_at": "2026-11-20T12:00:06Z"}),
        "deployment_status" => {
            json!({"action": "created", "deployment": {"sha": SHA}, "deployment_status": {"id": 11, "updated_at": "2026-11-20T12:00:07Z"}})
        }
        "merge_group" => json!({"action": "destroyed", "merge_group": {"head_sha": SHA, "head_commit": {"timestamp": "2026-11-20T12:00:08Z"}}}),
        "installation" => return json!({"action": "created", "installation": {"id": 14, "account": {"login": "acme"}, "updated_at": 1_795_176_009}}),
        other => panic!("{other}"),
    };
    body["repository"] = repository();
    body
}

const EVENTS: [&str; 11] = [
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "issue_comment",
    "push",
    "check_suite",
    "check_run",
    "status",
    "deployment_status",
    "merge_group",
    "installation",
];

fn told(event: &str, body: &Value) -> Result<Received, IngressError> {
    read(&github(), &[("X-GitHub-Event", event)], body.to_string().as_bytes())
}

fn only(event: &str, body: &Value) -> (Occurrence, String) {
    let received = told(event, body).unwrap_or_else(|error| panic!("{event}: {error}"));
    assert!(received.handled, "{event}");
    let [occurrence] = <[Occurrence; 1]>::try_from(received.occurrences).expect("one occurrence");
    (occurrence, received.occurrence_keys[0].clone())
}

fn place(event: &str, body: &Value) -> String {
    match told(event, body) {
        Err(IngressError::Malformed { pointer, .. }) => pointer,
        other => panic!("{event}: {other:?}"),
    }
}

pub(super) fn signed(body: &[u8]) -> String {
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

pub(super) fn form(json: &[u8]) -> Vec<u8> {
    let encoded: String = json.iter().map(|byte| if *byte == b' ' { "+".to_owned() } else { format!("%{byte:02X}") }).collect();
    format!("payload={encoded}").into_bytes()
}

#[test]
fn every_event_has_its_type_its_subject_and_the_time_it_states() {
    let expected = [
        ("pull_request.opened", "acme/gitops#12", 1),
        ("pull_request_review.submitted", "acme/gitops#12", 3),
        ("pull_request_review_comment.created", "acme/gitops#12", 2),
        ("issue_comment.created", "acme/gitops#13", 2),
        ("push", "acme/gitops@main", 0),
        ("check_suite.completed", &format!("acme/gitops@{SHA}"), 4),
        ("check_run.completed", &format!("acme/gitops@{SHA}"), 5),
        ("status", &format!("acme/gitops@{SHA}"), 6),
        ("deployment_status.created", &format!("acme/gitops@{SHA}"), 7),
        ("merge_group.destroyed", &format!("acme/gitops@{SHA}"), 8),
        ("installation.created", "installation/14", 9),
    ];
    for (event, (kind, subject, second)) in EVENTS.into_iter().zip(expected) {
        let body = body_of(event);
        let (occurrence, _) = only(event, &body);
        assert_eq!((occurrence.kind.as_str(), occurrence.subject.as_str()), (kind, subject));
        assert_eq!(occurrence.time.to_string(), format!("2026-11-20T12:00:0{second}.000Z"), "{event}");
        assert_eq!(occurrence.data, body, "the data is the body");
        assert!(github().event_types().expect("types").contains(&kind));
    }
}

#[test]
fn a_closed_pull_request_that_was_merged_is_merged_and_nothing_else_is() {
    let mut body = body_of("pull_request");
    body["action"] = json!("closed");
    assert_eq!(only("pull_request", &body).0.kind.as_str(), "pull_request.closed");
    body["pull_request"]["merged"] = json!(true);
    assert_eq!(only("pull_request", &body).0.kind.as_str(), "pull_request.merged");
    for odd in [json!(null), json!("true"), json!(1)] {
        body["pull_request"]["merged"] = odd;
        assert_eq!(place("pull_request", &body), "/pull_request");
    }
    body["pull_request"]["merged"] = json!(true);
    for action in ["edited", "labeled"] {
        body["action"] = json!(action);
        assert_eq!(only("pull_request", &body).0.kind.as_str(), format!("pull_request.{action}"));
    }
    body["action"] = json!("merged");
    assert!(!told("pull_request", &body).expect("a webhook").handled, "GitHub has no such action");
}

#[test]
fn an_event_or_an_action_nobody_handles_is_taken_and_says_nothing() {
    for event in ["ping", "issues", "star", "pull_request_review_thread", "an_event_of_next_year2"] {
        let received = told(event, &json!({"zen": "Keep it logically awesome."})).expect("a webhook");
        assert!(!received.handled && received.occurrences.is_empty(), "{event}");
    }
    let mut body = body_of("pull_request");
    body["action"] = json!("enchanted");
    assert!(!told("pull_request", &body).expect("a webhook").handled);
}

#[test]
fn a_name_of_an_event_that_is_none_is_refused() {
    let long = "a".repeat(65);
    for event in ["", "Push", "push ", "../push", "push\u{202e}", "pull-request", "_push", "1push", &long] {
        assert_eq!(place(event, &body_of("push")), "", "{event:?}");
    }
    let error = read(&github(), &[], body_of("push").to_string().as_bytes()).expect_err("no name");
    assert!(error.to_string().contains("X-GitHub-Event"), "{error}");
}

#[test]
fn a_body_replayed_under_another_name_is_the_same_delivery_and_is_refused_or_says_nothing() {
    for event in EVENTS {
        let body = body_of(event);
        let key = told(event, &body).expect("a webhook").dedup_key;
        for other in EVENTS.into_iter().filter(|other| *other != event) {
            assert!(matches!(told(other, &body), Err(IngressError::Malformed { .. })), "a body of {event} as {other}");
        }
        for other in ["ping", "issues"] {
            let received = told(other, &body).expect("a webhook");
            assert!(!received.handled && received.dedup_key == key, "{event} as {other}");
        }
        let bytes = body.to_string();
        for headers in [&[("X-GitHub-Event", event), ("X-GitHub-Delivery", "1")][..], &[("X-GitHub-Event", event), ("X-GitHub-Delivery", "2")]] {
            assert_eq!(read(&github(), headers, bytes.as_bytes()).expect("a webhook").dedup_key, key, "{event}");
        }
    }
}

#[test]
fn bodies_of_neighbouring_events_are_told_apart() {
    // A deployment's status may carry the run that made it; most bodies sent to an App name an installation.
    let mut body = body_of("deployment_status");
    body["check_run"] = body_of("check_run")["check_run"].clone();
    assert_eq!(only("deployment_status", &body).0.kind.as_str(), "deployment_status.created");
    assert_eq!(place("check_run", &body), "/deployment_status");
    let mut body = body_of("pull_request");
    body["installation"] = json!({"id": 14, "node_id": "x"});
    body["action"] = json!("created");
    assert_eq!(place("installation", &body), "");
    let mut body = body_of("installation");
    body["repositories_added"] = json!([]);
    assert_eq!(place("installation", &body), "/repositories_added");
    let mut body = body_of("pull_request");
    body["thread"] = json!({});
    assert_eq!(place("pull_request", &body), "/thread");
    body["thread"] = json!(null);
    assert_eq!(only("pull_request", &body).0.kind.as_str(), "pull_request.opened");
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    let with = |event: &str, pointer: &str, value: Value| {
        let mut body = body_of(event);
        *body.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        place(event, &body)
    };
    for event in EVENTS {
        for not_a_body in [json!([]), json!("x"), json!(null), json!({})] {
            assert_eq!(place(event, &not_a_body), "", "{event}");
        }
    }
    for odd in [json!(null), json!([]), json!("x"), json!(7)] {
        let at = if odd.is_null() { "" } else { "/pull_request" };
        assert_eq!(with("pull_request", "/pull_request", odd), at);
    }
    for odd in [json!(7), json!({}), json!("Opened"), json!("a.b"), json!("")] {
        assert_eq!(with("pull_request", "/action", odd), "/action");
    }
    assert_eq!(with("pull_request", "/action", json!(null)), "");
    for odd in [json!(0), json!(-1), json!(1.5), json!("12"), json!(null)] {
        assert_eq!(with("pull_request", "/pull_request/number", odd), "/pull_request/number");
    }
    for odd in [json!("soon"), json!(1.5), json!(true), json!([])] {
        assert_eq!(with("pull_request", "/pull_request/updated_at", odd), "/pull_request/updated_at");
    }
    for odd in ["", "main", "refs/heads/", "refs/heads/a\nb", "refs/heads/a\u{202e}b", "refs/heads/\u{7}", &format!("refs/heads/{}", "é".repeat(600))]
    {
        assert_eq!(with("push", "/ref", json!(odd)), "/ref", "{odd:?}");
    }
    for odd in [json!(7), json!([])] {
        assert_eq!(with("push", "/after", odd), "/after");
    }
    for odd in ["main", &SHA[1..], &SHA.to_uppercase(), &format!("{SHA}\n"), "../../etc/passwd"] {
        assert_eq!(with("status", "/sha", json!(odd)), "/sha", "{odd:?}");
    }
    let (dots, spaces, long) = ("acme/..", "ac me/gitops", format!("acme/{}", "x".repeat(101)));
    for odd in [
        "",
        "gitops",
        "/gitops",
        "acme/",
        "a/b/c",
        "acme/.",
        dots,
        spaces,
        "acme/git\u{a}ops",
        "acme/gitöps",
        "acme/gitops#1",
        "acme/gitops@x",
        &long,
    ] {
        assert_eq!(with("push", "/repository/full_name", json!(odd)), "/repository/full_name", "{odd:?}");
    }
    assert_eq!(with("push", "/repository", json!(null)), "/repository/full_name");
}

#[test]
fn a_branch_a_tag_and_any_other_ref_are_named_by_what_is_theirs() {
    for (full, name) in [
        ("refs/heads/main", "main"),
        ("refs/heads/team/refs/heads/x", "team/refs/heads/x"),
        ("refs/tags/v1.2", "v1.2"),
        ("refs/heads/größe", "größe"),
        ("refs/notes/commits", "refs/notes/commits"),
    ] {
        let mut body = body_of("push");
        body["ref"] = json!(full);
        assert_eq!(only("push", &body).0.subject, format!("acme/gitops@{name}"));
    }
}

#[test]
fn an_event_without_a_time_of_its_own_happened_when_it_was_received() {
    let mut body = body_of("push");
    body["repository"]["pushed_at"] = json!(null);
    assert_eq!(only("push", &body).0.time, noon());
    body["head_commit"] = json!({"timestamp": "2026-11-20T13:00:00+02:00"});
    assert_eq!(only("push", &body).0.time.to_string(), "2026-11-20T11:00:00.000Z");
    body["repository"]["pushed_at"] = json!(i64::MAX);
    assert_eq!(only("push", &body).0.time.to_string(), "9999-12-31T23:59:59.999Z");
}

#[test]
fn two_hooks_that_tell_of_one_comment_tell_one_thing() {
    for event in ["pull_request_review", "pull_request_review_comment", "issue_comment", "check_run", "status", "deployment_status"] {
        let body = body_of(event);
        let mut again = body.clone();
        again["installation"] = json!({"id": 14});
        assert_eq!(only(event, &body).1, only(event, &again).1, "{event}");
        assert_ne!(told(event, &body).expect("a webhook").dedup_key, told(event, &again).expect("a webhook").dedup_key);
        again["repository"]["full_name"] = json!("acme/other");
        assert_ne!(only(event, &body).1, only(event, &again).1, "{event}");
    }
    let differs = |event: &str, pointer: &str, value: Value| {
        let body = body_of(event);
        let mut other = body.clone();
        *other.pointer_mut(pointer).expect("a place") = value;
        assert_ne!(only(event, &body).1, only(event, &other).1, "{pointer}");
    };
    differs("issue_comment", "/comment/id", json!(70));
    differs("issue_comment", "/comment/updated_at", json!("2026-11-20T12:00:03Z"));
    differs("issue_comment", "/action", json!("deleted"));
    differs("pull_request_review", "/review/state", json!("dismissed"));
    differs("check_run", "/check_run/conclusion", json!("failure"));
    differs("check_run", "/check_run/completed_at", json!("2026-11-20T12:09:05Z"));
    differs("status", "/id", json!(100));
}

#[test]
fn what_can_happen_twice_alike_is_known_by_its_delivery() {
    for (event, action) in [("pull_request", "labeled"), ("issue_comment", "pinned"), ("check_run", "rerequested"), ("pull_request_review", "edited")]
    {
        let mut body = body_of(event);
        body["action"] = json!(action);
        let mut again = body.clone();
        again["sender"] = json!({"login": "somebody"});
        assert_ne!(only(event, &body).1, only(event, &again).1, "{event}.{action}");
    }
}

#[test]
fn the_unsigned_headers_are_kept_and_the_proof_is_not() {
    let headers = [
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("X-GitHub-Hook-ID", "292430182"),
        ("X-GitHub-Hook-Installation-Target-ID", "79929171"),
        ("X-GitHub-Hook-Installation-Target-Type", "repository"),
        ("User-Agent", "GitHub-Hookshot/044aadd"),
        ("X-Hub-Signature", "sha1=00"),
        ("X-Hub-Signature-256", "sha256=00"),
    ];
    let kept = read(&github(), &headers, body_of("push").to_string().as_bytes()).expect("an event").attributes;
    let names = [
        "user-agent",
        "x-github-delivery",
        "x-github-event",
        "x-github-hook-id",
        "x-github-hook-installation-target-id",
        "x-github-hook-installation-target-type",
    ];
    assert_eq!(kept.keys().collect::<Vec<_>>(), names);
}

proptest! {
    #[test]
    fn accepting_comes_to_the_same_as_receiving(
        event in prop::sample::select(EVENTS.to_vec()),
        header in prop::sample::select(EVENTS.to_vec()),
        matching in any::<bool>(),
        pointer in prop::sample::select(vec![
            "", "/action", "/repository", "/repository/full_name", "/repository/pushed_at", "/pull_request", "/pull_request/number", "/pull_request/merged",
            "/pull_request/updated_at", "/review", "/review/submitted_at", "/comment", "/comment/updated_at", "/issue", "/issue/number", "/ref", "/before",
            "/after", "/sha", "/state", "/context", "/commit", "/id", "/updated_at", "/check_suite", "/check_suite/head_sha", "/check_run",
            "/check_run/head_sha", "/check_run/completed_at", "/deployment", "/deployment/sha", "/deployment_status", "/merge_group",
            "/merge_group/head_sha", "/merge_group/head_commit/timestamp", "/installation", "/installation/id", "/installation/account",
        ]),
        value in prop::sample::select(vec![
            json!(null), json!(7), json!(-1), json!("x y"), json!("closed"), json!("refs/heads/x"), json!(SHA), json!([]), json!([1]), json!({}), json!({"id": 3}), json!(true),
        ]),
        as_form in any::<bool>(),
    ) {
        let source = source(json!({"kind": "github", "authentication": "none"}));
        let mut body = body_of(event);
        if let Some(place) = body.pointer_mut(pointer) {
            *place = value;
        }
        let mut bytes = body.to_string().into_bytes();
        let mut headers = vec![("x-github-event", if matching { event } else { header }.as_bytes())];
        if as_form {
            bytes = form(&bytes);
            headers.push(("content-type", FORM.1.as_bytes()));
        }
        let headers = headers.as_slice();
        let incoming = Incoming { headers: &headers, body: &bytes, peer: "192.0.2.7".parse().expect("an address"), received_at: noon() };
        let secrets = Secrets::default();
        let received = source.receive(&incoming, &secrets);
        let accepted = source.accept(&incoming, &secrets);
        prop_assert_eq!(accepted, received.map(|received| Accepted { dedup_key: received.dedup_key, handled: received.handled, attributes: received.attributes }));
    }

    #[test]
    fn no_bytes_under_any_name_do_harm(event in "[a-z_]{0,12}|push|status|pull_request", body in prop::collection::vec(any::<u8>(), 0..200), as_form in any::<bool>()) {
        let mut headers = vec![("X-GitHub-Event", event.as_str())];
        headers.extend(as_form.then_some(FORM));
        drop(read(&github(), &headers, &body));
        let prefixed = [b"payload=".as_slice(), &body].concat();
        drop(read(&github(), &headers, &prefixed));
    }
}
