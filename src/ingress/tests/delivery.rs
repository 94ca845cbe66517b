use super::*;
use proptest::prelude::*;
use std::io::Write;

fn open(extra: Value) -> Source {
    let mut value = json!({"kind": "jira", "authentication": "none"});
    value.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    source(value)
}

fn refusal(source: &Source, headers: &[(&str, &str)], body: &[u8]) -> Option<Refusal> {
    receive(source, &Secrets::default(), headers, body).err().map(|error| error.refusal())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

const ISSUE: &[u8] = br#"{"issue":{"key":"OPS-1"}}"#;

#[test]
fn only_allowed_addresses_may_send_and_the_address_is_for_the_log() {
    // Deliveries of these tests come from 192.0.2.7.
    assert_eq!(refusal(&open(json!({"allowFrom": ["192.0.2.0/24", "2001:db8::/32"]})), &[], ISSUE), None);
    assert_eq!(refusal(&open(json!({"allowFrom": ["192.0.2.7"]})), &[], ISSUE), None);
    let error = receive(&open(json!({"allowFrom": ["198.51.100.0/24"]})), &Secrets::default(), &[], ISSUE).expect_err("a refusal");
    assert_eq!(error.refusal(), Refusal::Forbidden);
    assert!(!error.to_string().contains("192.0.2.7") && error.detail().contains("192.0.2.7"));
}

#[test]
fn the_checks_come_in_an_order_that_tells_strangers_least() {
    let source = source(json!({"kind": "jira", "authentication": {"hmac": {"secrets": ["KEY"]}}, "maxBodyBytes": 10, "allowFrom": ["10.0.0.0/8"]}));
    assert_eq!(refusal(&source, &[], ISSUE), Some(Refusal::Forbidden));
    let source = super::source(json!({"kind": "jira", "authentication": {"hmac": {"secrets": ["KEY"]}}, "maxBodyBytes": 10}));
    assert_eq!(refusal(&source, &[("content-type", "text/plain")], ISSUE), Some(Refusal::TooLarge));
    assert_eq!(refusal(&source, &[("content-type", "text/plain")], b"{"), Some(Refusal::UnsupportedMedia));
    assert_eq!(refusal(&source, &[], b"{"), Some(Refusal::Unauthorized), "what an unproven body holds is not told");
}

#[test]
fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let source = open(json!({"maxBodyBytes": ISSUE.len()}));
    assert_eq!(source.max_body_bytes(), 25);
    assert_eq!(refusal(&source, &[], ISSUE), None);
    let error = receive(&source, &Secrets::default(), &[], &[ISSUE, b" "].concat()).expect_err("a refusal");
    assert_eq!(error.to_string(), "the body is larger than 25 bytes, which is this source's limit");
    assert_eq!(open(json!({})).max_body_bytes(), 1024 * 1024);
}

#[test]
fn only_json_in_utf_8_is_read() {
    let source = open(json!({}));
    for good in [
        "application/json",
        "Application/JSON; charset=UTF-8",
        "application/json;charset=\"utf-8\"",
        "application/vnd.acme+json",
        "text/json; boundary=x",
    ] {
        assert_eq!(refusal(&source, &[("Content-Type", good)], ISSUE), None, "{good}");
    }
    for bad in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/xml",
        "json",
        "multipart/form-data; x=application/json",
    ] {
        assert_eq!(refusal(&source, &[("Content-Type", bad)], ISSUE), Some(Refusal::UnsupportedMedia), "{bad}");
    }
}

#[test]
fn gzip_is_refused_unless_allowed_and_says_the_same_when_it_is() {
    let packed = gzip(ISSUE);
    let header = [("Content-Encoding", "gzip")];
    assert_eq!(refusal(&open(json!({})), &header, &packed), Some(Refusal::UnsupportedMedia));
    let source = open(json!({"gzip": {"maxBytes": 1000}}));
    for other in ["br", "gzip, gzip", "deflate", "zstd"] {
        assert_eq!(refusal(&source, &[("Content-Encoding", other)], &packed), Some(Refusal::UnsupportedMedia), "{other}");
    }
    assert_eq!(refusal(&source, &[("Content-Encoding", "identity")], ISSUE), None);
    let received = receive(&source, &Secrets::default(), &header, &packed).expect("an event");
    assert_eq!(received.dedup_key, receive(&source, &Secrets::default(), &[], ISSUE).expect("an event").dedup_key);
    assert_eq!(source.read(&received.attributes, &packed, noon()).expect("an event"), received);
    for broken in [&packed[..packed.len() - 1], &[&packed[..], b"x"].concat(), b"", ISSUE] {
        assert_eq!(refusal(&source, &header, broken), Some(Refusal::Unreadable));
    }
}

#[test]
fn a_bomb_is_not_unpacked_beyond_the_limit() {
    let source = open(json!({"gzip": {"maxBytes": 1000}}));
    let header = [("Content-Encoding", "gzip")];
    let mut bomb = gzip(&vec![b' '; 10_000_000]);
    assert!(bomb.len() < 20_000);
    // Whoever unpacked all of it would find that the end is broken.
    bomb.truncate(bomb.len() - 4);
    let error = receive(&source, &Secrets::default(), &header, &bomb).expect_err("a refusal");
    assert_eq!(error, IngressError::TooLarge { what: Oversized::Unpacked, limit: 1000 });
    let pair = [gzip(&[b' '; 600]), gzip(&[b' '; 600])].concat();
    assert_eq!(refusal(&source, &header, &pair), Some(Refusal::TooLarge), "members add up");
    assert_eq!(refusal(&source, &header, &gzip(&[ISSUE, &[b' '; 975]].concat())), None);
}

#[test]
fn what_is_kept_never_holds_a_proof_and_has_a_bound() {
    let source = source(json!({
        "kind": "jira", "authentication": {"header": {"name": "User-Agent", "secrets": ["KEY"]}}, "headers": ["X-Trace"],
    }));
    let long = "é".repeat(5000);
    let headers =
        [("Authorization", "Bearer x"), ("Cookie", "a=b"), ("X-Hub-Signature", "sha256=00"), ("USER-AGENT", "the token"), ("x-trace", &long)];
    let received = read(&source, &headers, ISSUE).expect("an event");
    assert_eq!(received.attributes.len(), 1);
    assert_eq!(received.attributes["x-trace"].chars().count(), 1024);
}

#[test]
#[ignore = "measures; run it in release mode with --nocapture"]
fn what_a_signed_jira_delivery_costs() {
    use hmac::{KeyInit, Mac};
    let source = source(json!({"kind": "jira", "authentication": {"hmac": {"secrets": ["KEY"]}}}));
    let secrets = Secrets::of(&[("KEY", "a secret of a usual length, here")]);
    let body = fixture("jira-cloud-transitioned");
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"a secret of a usual length, here").expect("any key");
    mac.update(&body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let headers = [("content-type", "application/json; charset=UTF-8"), ("x-atlassian-webhook-identifier", "id-1"), ("x-hub-signature", &signature)];
    let timed = |name: &str, work: &dyn Fn()| {
        let rounds = 20_000;
        (0..1000).for_each(|_| work());
        let begun = std::time::Instant::now();
        (0..rounds).for_each(|_| work());
        println!("{name}: {:.2} us", begun.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
    };
    println!("{} bytes", body.len());
    timed("receive", &|| drop(std::hint::black_box(receive(&source, &secrets, &headers, &body).expect("an event"))));
    timed("read", &|| drop(std::hint::black_box(read(&source, &headers, &body).expect("an event"))));
    timed("strict JSON", &|| drop(std::hint::black_box(crate::ingress::json::read(&body, 64, crate::ingress::json::Part::Whole).expect("JSON"))));
    timed("serde_json", &|| drop(std::hint::black_box(serde_json::from_slice::<Value>(&body).expect("JSON"))));
}

proptest! {
    #[test]
    fn accepting_comes_to_the_same_as_receiving(
        name in prop::sample::select(vec!["jira-cloud-transitioned", "jira-cloud-comment-created", "jira-datacenter-transitioned", "jira-post-function", "jira-automation-webhook"]),
        pointer in prop::sample::select(vec!["", "/timestamp", "/webhookEvent", "/issue", "/issue/key", "/issue/fields", "/issue/fields/status", "/issue/fields/status/name", "/changelog", "/changelog/items", "/transition"]),
        value in prop::sample::select(vec![json!(null), json!(7), json!("x y"), json!("jira:issue_deleted"), json!("comment_created"), json!("OPS-7"), json!([]), json!([{"fieldId": "status", "toString": "Done"}]), json!({}), json!({"key": "OPS-9"}), json!({"name": 3})]),
        gone in any::<bool>(),
    ) {
        let source = open(json!({}));
        let body = changed(name, |body| {
            if let Some(place) = body.pointer_mut(pointer) {
                *place = value;
            }
            if gone && let Some(body) = body.as_object_mut() {
                body.remove("webhookEvent");
            }
        });
        let headers = [("x-atlassian-webhook-identifier", b"1".as_slice())];
        let headers = headers.as_slice();
        let incoming = Incoming { headers: &headers, body: &body, peer: "192.0.2.7".parse().expect("an address"), received_at: noon() };
        let secrets = Secrets::default();
        let received = source.receive(&incoming, &secrets).map(|all| Accepted { dedup_key: all.dedup_key, handled: all.handled, attributes: all.attributes });
        prop_assert_eq!(source.accept(&incoming, &secrets), received);
    }
}
