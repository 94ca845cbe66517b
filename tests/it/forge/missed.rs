//! What no webhook brought: deliveries of an App that were not taken, and comments.

use super::*;
use crate::support::fake_github::{FakeDelivery, FakeRemark};
use kubeops::forge::Forge;

fn delivery(id: u64, at: i64, status: u16) -> FakeDelivery {
    FakeDelivery { id, guid: format!("guid-{id}"), at, status, redelivery: false }
}

fn since(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(seconds * 1000)
}

#[tokio::test]
async fn what_an_apps_webhook_did_not_take_is_asked_for_again_until_it_is_taken_three_times_at_most() {
    let (fake, clock) = (fake_with_app(), Arc::new(Hand::default()));
    fake.app(|app| {
        // The newest first, over two pages: all was taken but two, one of which was sent again by hand, and what is long past.
        app.deliveries = (0..150).rev().map(|id| delivery(id, NOW - 1_000 + i64::try_from(id).expect("small"), 200)).collect();
        app.deliveries[10].status = 502;
        app.deliveries[120].status = 0;
        app.deliveries[121].status = 500;
        app.deliveries[149].status = 500;
        let by_hand = FakeDelivery { id: 7_000, redelivery: true, status: 200, ..app.deliveries[121].clone() };
        app.deliveries.insert(0, by_hand);
    });
    let account = account(&fake.url(), as_app(None), &clock);
    let begin = since(NOW - 999);
    assert_eq!(account.redeliver(begin).await.expect("asked"), 2);
    let posts = |fake: &FakeGithub| fake.calls().into_iter().filter(|call| call.starts_with("POST ")).collect::<Vec<_>>();
    assert_eq!(posts(&fake), ["POST /app/hook/deliveries/29/attempts", "POST /app/hook/deliveries/139/attempts"], "the oldest first");
    // One is taken now; the other is not, however often.
    fake.app(|app| app.deliveries.iter_mut().find(|again| again.redelivery && again.guid == "guid-139").expect("asked for").status = 200);
    for wanted in [1, 1, 0, 0] {
        assert_eq!(account.redeliver(begin).await.expect("asked"), wanted);
    }
    assert_eq!(posts(&fake)[2..], ["POST /app/hook/deliveries/29/attempts", "POST /app/hook/deliveries/29/attempts"]);
}

#[tokio::test]
async fn comments_since_a_moment_are_told_over_pages_with_a_token_and_with_an_app() {
    let fake = fake();
    let said = |number: u64| FakeRemark {
        created: NOW,
        updated: NOW + i64::try_from(number).expect("small"),
        ..FakeRemark::new(number, 1, "ada", &format!("words {number}"))
    };
    fake.repository(SLUG, |repository| repository.remarks = (0..130).map(said).collect());
    let comments = github(&fake).comments(since(NOW + 20)).await.expect("comments");
    assert_eq!((comments.len(), comments[0].number, comments[0].updated_at), (110, 1, since(NOW + 20)));
    assert_eq!((&comments[109].raw["body"], fake.calls().len()), (&serde_json::json!("words 129"), 2), "one call for a hundred");

    let app = fake_with_app();
    app.repository(SLUG, |repository| repository.remarks = vec![said(3)]);
    let github = repository(&account(&app.url(), as_app(None), &Arc::default()), SLUG);
    let comments = github.comments(since(NOW)).await.expect("comments");
    assert_eq!(comments.iter().map(|comment| &comment.raw["body"]).collect::<Vec<_>>(), ["words 3"]);
}
