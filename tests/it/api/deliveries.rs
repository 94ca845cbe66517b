//! `/api/v1/deliveries`: told to viewers, given byte for byte to admins.

use super::world::*;
use actix_web::test::TestRequest;
use kubeops::store::{Delivery, DeliveryState};
use serde_json::json;

fn stored(n: u128) -> Delivery {
    Delivery {
        id: delivery_id(n),
        source: "service-desk".parse().expect("a name"),
        received_at: at(1),
        attributes: json!({ "content-type": "application/json" }),
        body: b"<script>alert(1)</script>".to_vec(),
        body_bytes: 25,
        state: DeliveryState::Failed,
        error: Some("not JSON".to_owned()),
    }
}

#[actix_web::test]
async fn a_viewer_sees_that_it_came_and_an_admin_what() {
    let world = World::new();
    world.store.deliveries.lock().expect("a lock").push(stored(1));
    let shown = world.get(&format!("/api/v1/deliveries/{}", delivery_id(1))).await;
    assert_eq!(shown.json()["body_bytes"], 25);
    assert!(!shown.text().contains("script"));
    assert_eq!(world.get("/api/v1/deliveries?state=failed").await.json()["items"][0]["error"], "not JSON");
    assert_eq!(world.get("/api/v1/deliveries?state=pending").await.json()["items"], json!([]));
    let path = format!("/api/v1/deliveries/{}/body", delivery_id(1));
    assert_eq!(world.get(&path).await.error_code(), "forbidden");
    let body = world.call(TestRequest::get().uri(&path).insert_header(("authorization", format!("Bearer {}", admin())))).await;
    assert_eq!(body.body, b"<script>alert(1)</script>");
    assert_eq!(body.header("content-type"), Some("application/octet-stream"));
    assert!(body.header("content-disposition").is_some_and(|value| value.starts_with("attachment")));
    assert_eq!(body.header("x-content-type-options"), Some("nosniff"));
}
