//! `/api/v1/tokens`.

use super::world::*;
use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use kubeops::api::Token;
use serde_json::{Value, json};

fn as_admin(request: TestRequest) -> TestRequest {
    request.insert_header(("authorization", format!("Bearer {}", admin())))
}

#[actix_web::test]
async fn a_token_is_shown_once_works_at_once_and_stops_at_once_when_revoked() {
    let world = World::new();
    let made = world.call(as_admin(TestRequest::post().uri("/api/v1/tokens")).set_json(json!({ "name": "ci", "role": "viewer" }))).await;
    assert_eq!((made.status, made.header("cache-control")), (StatusCode::CREATED, Some("no-store")));
    let made = made.json();
    let text = made["token"].as_str().expect("a token").to_owned();
    assert!(Token::parse(&text).is_some());
    let kept = world.store.tokens.lock().expect("a lock").last().cloned().expect("a record");
    assert_eq!(kept.hash, Token::from_key([42; 32]).hash());

    let with_it = || TestRequest::get().uri("/api/v1/sources").insert_header(("authorization", format!("Bearer {text}")));
    assert_eq!(world.call(with_it()).await.status, StatusCode::OK);
    let listed = world.call(as_admin(TestRequest::get().uri("/api/v1/tokens"))).await;
    assert!(!listed.text().contains(&text) && !listed.text().contains("hash"));

    let path = format!("/api/v1/tokens/{}", made["id"].as_str().expect("an id"));
    assert_eq!(world.call(as_admin(TestRequest::delete().uri(&path))).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.call(with_it()).await.status, StatusCode::UNAUTHORIZED);
    let absent = format!("/api/v1/tokens/{}", token_id(99));
    assert_eq!(world.call(as_admin(TestRequest::delete().uri(&absent))).await.error_code(), "not_found");
}

#[actix_web::test]
async fn a_token_that_makes_no_sense_is_not_made() {
    let world = World::new();
    let bodies: [Value; 6] = [
        json!({ "name": "", "role": "viewer" }),
        json!({ "name": "a\nb", "role": "viewer" }),
        json!({ "name": "x".repeat(101), "role": "viewer" }),
        json!({ "name": "ci", "role": "owner" }),
        json!({ "name": "ci", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z" }),
        json!({ "name": "ci", "role": "viewer", "scope": "all" }),
    ];
    for body in bodies {
        let answer = world.call(as_admin(TestRequest::post().uri("/api/v1/tokens")).set_json(&body)).await;
        assert_eq!(answer.error_code(), "invalid_body", "{body}");
    }
    assert_eq!(world.store.tokens.lock().expect("a lock").len(), 3);
}
