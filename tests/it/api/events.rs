//! `/api/v1/events`.

use super::world::*;
use kubeops::expression::{Explanation, Operand, Predicate};
use kubeops::store::{Decision, EventRecord};
use serde_json::json;

fn record(n: u128, kind: &str) -> EventRecord {
    let predicate = Predicate {
        text: "event.data.status == \"firing\"".to_owned(),
        value: Some(false),
        error: None,
        operands: vec![Operand { path: "event.data.status".to_owned(), value: Some(json!("resolved")) }],
    };
    EventRecord {
        id: event_id(n),
        delivery: Some(delivery_id(n)),
        source: "alertmanager".parse().ok(),
        kind: kind.parse().expect("a type"),
        subject: "fingerprint".to_owned(),
        time: at(1),
        recorded_at: at(2),
        repeats: None,
        decisions: vec![Decision {
            automation: "scale-up".parse().expect("a name"),
            matched: false,
            explanation: Some(Explanation { holds: false, predicates: vec![predicate] }),
            message: None,
        }],
        requests: Vec::new(),
    }
}

#[actix_web::test]
async fn an_event_says_why_nothing_came_of_it() {
    let world = World::new();
    world.store.events.lock().expect("a lock").extend([record(1, "alert.resolved"), record(2, "alert.firing")]);
    let event = world.get(&format!("/api/v1/events/{}", event_id(1))).await.json();
    assert_eq!(event["decisions"][0]["matched"], false);
    assert_eq!(event["decisions"][0]["explanation"]["predicates"][0]["operands"][0]["value"], "resolved");
    let listed = world.get("/api/v1/events?type=alert.firing").await.json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["items"][0]["type"], "alert.firing");
    assert_eq!(world.get(&format!("/api/v1/events/{}", event_id(3))).await.error_code(), "not_found");
}
