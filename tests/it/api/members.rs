//! Members of a group, as the API shows them and takes them out.

use super::world::*;
use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use kubeops::request::{Member, MemberState, Request, State};
use serde_json::json;

fn member(number: u32, state: MemberState, planned: bool) -> Member {
    Member {
        number,
        correlation: format!("prod/web/{number}"),
        state,
        event: request(1, State::Accepted).event,
        parameters: None,
        planned,
        proposed: false,
        commit: None,
        title: None,
        summary: Vec::new(),
        findings: Vec::new(),
        message: None,
        joined_at: at(1),
        updated_at: at(2),
    }
}

#[actix_web::test]
async fn a_group_is_shown_with_its_members_and_a_sender_s_words_stay_inside() {
    let world = World::new();
    let shown = Request { members: 2, ..request(1, State::Proposed) };
    world.store.requests.lock().expect("a lock").push(shown);
    world.store.members.lock().expect("a lock").extend([member(1, MemberState::Active, false), member(2, MemberState::Withdrawn, false)]);
    let detail = world.get(&format!("/api/v1/requests/{}", request_id(1))).await.json();
    assert_eq!(detail["member_count"], 2);
    let members = detail["members"].as_array().expect("members");
    assert_eq!(
        (&members[0]["correlation"], &members[0]["state"], &members[0]["message"]),
        (&json!("prod/web/1"), &json!("active"), &json!("waits to be planned"))
    );
    assert_eq!((&members[1]["state"], &members[1]["message"], &members[1]["joined_at"]), (&json!("withdrawn"), &json!(null), &json!(at(1))));
    assert!(members[0]["event"].get("data").is_none(), "{detail:#}");
    // A request that stands alone has none, and nobody asks the store.
    world.store.requests.lock().expect("a lock").push(request(2, State::Proposed));
    let alone = world.get(&format!("/api/v1/requests/{}", request_id(2))).await.json();
    assert_eq!((&alone["member_count"], &alone["members"]), (&json!(0), &json!([])));
}

#[actix_web::test]
async fn a_member_is_named_by_its_key_or_number_and_taken_out_with_a_reason() {
    let world = World::new();
    let id = request_id(1);
    let path = |member: &str| format!("/api/v1/requests/{id}/members/{member}/withdraw");
    assert_eq!(world.post(&path("3"), &json!({ "reason": "over" })).await.status, StatusCode::ACCEPTED);
    let bare = TestRequest::post().uri(&path("prod%2Fweb%20x%2Fstorefront")).insert_header(("authorization", format!("Bearer {}", operator())));
    assert_eq!(world.call(bare).await.status, StatusCode::ACCEPTED);
    let done = world.operations.done.lock().expect("a lock").clone();
    assert_eq!(done, [format!("withdraw 3 of {id} by an operator: over"), format!("withdraw prod/web x/storefront of {id} by an operator: -")]);
    assert_eq!(world.post(&path("3"), &json!({ "reason": "a\nb" })).await.error_code(), "invalid_body");
    assert_eq!(world.post(&path("3"), &json!({ "why": "x" })).await.error_code(), "invalid_body");
    let viewer = TestRequest::post().uri(&path("3")).insert_header(("authorization", format!("Bearer {}", viewer())));
    assert_eq!(world.call(viewer).await.status, StatusCode::FORBIDDEN);
}
