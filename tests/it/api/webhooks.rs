//! `POST /api/v1/webhooks/{source}`: what is passed on, and what each outcome is answered with.

use super::world::*;
use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use kubeops::api::{Receipt, Refusal};
use serde_json::json;
use std::time::Duration;

fn delivery(source: &str, body: &str) -> TestRequest {
    TestRequest::post().uri(&format!("/api/v1/webhooks/{source}")).set_payload(body.to_owned())
}

#[actix_web::test]
async fn a_delivery_is_passed_on_byte_for_byte() {
    let world = World::new();
    let body = "{ \"a\" :\t1 }\r\n";
    let request = TestRequest::post().uri("/api/v1/webhooks/service-desk?token=x").set_payload(body);
    let answer = world.call(request.insert_header(("x-hub-signature", "sha256=00")).peer_addr(([203, 0, 113, 9], 4711).into())).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.json(), json!({ "id": delivery_id(1), "status": "accepted" }));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let seen = world.receiver.seen.lock().expect("a lock").clone();
    let expected = Seen {
        source: "service-desk".to_owned(),
        query: "token=x".to_owned(),
        client: "203.0.113.9".parse().ok(),
        body: body.as_bytes().to_vec(),
        signature: Some("sha256=00".to_owned()),
    };
    assert_eq!(seen, [expected]);
}

#[actix_web::test]
async fn put_is_taken_as_well() {
    let world = World::new();
    let answer = world.call(delivery("service-desk", "{}").method(Method::PUT)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[actix_web::test]
async fn each_outcome_has_its_answer() {
    let malformed = Refusal::Malformed { message: "expected `,`".to_owned(), line: Some(3), column: Some(7) };
    let busy = Refusal::Busy { message: "the queue is full".to_owned(), retry_after: Duration::from_secs(30) };
    let outcomes = [
        (Ok(Receipt::Duplicate(delivery_id(5))), 200, "duplicate"),
        (Ok(Receipt::Ignored(delivery_id(6))), 200, "ignored"),
        (Err(Refusal::Unauthenticated("the signature is wrong".to_owned())), 401, "unauthenticated"),
        (Err(Refusal::Forbidden("not from this address".to_owned())), 403, "forbidden"),
        (Err(Refusal::TooLarge { limit: 9 }), 413, "too_large"),
        (Err(Refusal::Unsupported("gzip is not allowed".to_owned())), 415, "unsupported_media_type"),
        (Err(malformed), 400, "malformed"),
        (Err(busy), 503, "busy"),
        (Err(Refusal::Failed("a secret".to_owned())), 500, "internal"),
    ];
    let world = World::new();
    for (outcome, status, word) in outcomes {
        let taken = outcome.is_ok();
        world.receiver.answers.lock().expect("a lock").push(outcome);
        let answer = world.call(delivery("service-desk", "{}")).await;
        assert_eq!(answer.status.as_u16(), status, "{word}");
        if taken {
            assert_eq!(answer.json()["status"], word);
        } else {
            assert_eq!(answer.error_code(), word);
        }
        match status {
            400 => assert_eq!(answer.json()["error"]["details"], json!({ "line": 3, "column": 7 })),
            401 => assert!(answer.header("www-authenticate").is_some()),
            500 => assert!(!answer.text().contains("a secret")),
            503 => assert_eq!(answer.header("retry-after"), Some("30")),
            _ => {}
        }
    }
}

#[actix_web::test]
async fn an_unknown_source_is_404_and_reads_its_body_like_any_other() {
    let world = World::new();
    let answer = world.call(delivery("nobody", "{}")).await;
    assert_eq!((answer.status, answer.error_code().as_str()), (StatusCode::NOT_FOUND, "not_found"));
    let answer = world.call(delivery("nobody", &"x".repeat(1024 * 1024 + 1))).await;
    assert_eq!(answer.error_code(), "too_large");
}

#[actix_web::test]
async fn a_body_over_the_source_s_cap_is_not_passed_on() {
    let world = World::new();
    assert_eq!(world.call(delivery("tiny", "0123456789abcdef")).await.status, StatusCode::ACCEPTED);
    let answer = world.call(delivery("tiny", "0123456789abcdef!")).await;
    assert_eq!((answer.status, answer.error_code().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
    assert_eq!(answer.json()["error"]["details"]["limit_bytes"], 16);
    assert_eq!(world.receiver.seen.lock().expect("a lock").len(), 1);
}

#[actix_web::test]
async fn the_address_is_read_through_trusted_proxies_alone() {
    let trusted = || Wishes { trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")], ..Wishes::default() };
    for (wishes, peer, expected) in
        [(trusted(), [10, 0, 0, 1], "198.51.100.7"), (trusted(), [203, 0, 113, 9], "203.0.113.9"), (Wishes::default(), [10, 0, 0, 1], "10.0.0.1")]
    {
        let world = World::with(wishes);
        world.call(delivery("service-desk", "{}").peer_addr((peer, 1).into()).insert_header(("x-forwarded-for", "198.51.100.7"))).await;
        assert_eq!(world.receiver.seen.lock().expect("a lock")[0].client, expected.parse().ok());
    }
}
