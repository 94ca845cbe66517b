//! What no webhook brought: deliveries of an App that were not taken, and comments.

use super::*;
use crate::support::fake_github::{FakeDelivery, FakeRemark};
use kubeops::forge::{Forge, Remark};
use kubeops::request::{RemarkAddress, RemarkPlace};

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
    for place in [RemarkPlace::Conversation, RemarkPlace::Thread] {
        fake.repository(SLUG, |repository| repository.remarks.iter_mut().for_each(|remark| remark.place = place));
        fake.clear_ledger();
        let comments = github(&fake).comments(place, since(NOW + 20)).await.expect("comments");
        assert_eq!((comments.len(), comments[0].at, comments[0].updated_at), (110, RemarkAddress { pull: 1, place, id: 20 }, since(NOW + 20)));
        assert_eq!((&comments[109].raw["body"], fake.calls().len()), (&serde_json::json!("words 129"), 2), "one call for a hundred");
    }

    let app = fake_with_app();
    app.repository(SLUG, |repository| repository.remarks = vec![said(3)]);
    let github = repository(&account(&app.url(), as_app(None), &Arc::default()), SLUG);
    for place in [RemarkPlace::Conversation, RemarkPlace::Thread] {
        app.repository(SLUG, |repository| repository.remarks.iter_mut().for_each(|remark| remark.place = place));
        let comments = github.comments(place, since(NOW)).await.expect("comments");
        assert_eq!(comments.iter().map(|comment| &comment.raw["body"]).collect::<Vec<_>>(), ["words 3"]);
    }
    app.clear_ledger();
    assert!(github.comments(RemarkPlace::Review, since(NOW)).await.expect("none").is_empty(), "there is no such listing");
    assert!(app.calls().is_empty());
    github.ensure_pull(&spec()).await.expect("a pull request");
    app.repository(SLUG, |repository| {
        repository.write(RemarkPlace::Review, 1, None, "ada", "/kubeops help");
    });
    let (reviews, _) = github.reviews(&[1], None).await.expect("a look");
    assert_eq!(reviews.iter().map(|review| review.body.as_str()).collect::<Vec<_>>(), ["/kubeops help"]);
}

#[tokio::test]
async fn reviews_of_a_thousand_open_requests_cost_one_call_where_nothing_changed_and_one_for_a_hundred_where_all_did() {
    let fake = fake();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    fake.repository(SLUG, |repository| {
        for number in 2..=1_000 {
            let more = crate::support::fake_github::FakePull { number, head: format!("kubeops/{number}"), ..repository.pulls[0].clone() };
            repository.pulls.push(more);
        }
    });
    let numbers: Vec<u64> = (1..=1_000).collect();
    fake.clear_ledger();
    let (none, mark) = github.reviews(&numbers, None).await.expect("a look");
    assert!(none.is_empty() && fake.calls().len() <= 10, "{} calls for the first look", fake.calls().len());
    fake.clear_ledger();
    let (none, mark) = github.reviews(&numbers, Some(&mark)).await.expect("a look");
    assert_eq!((none.len(), fake.calls().len()), (0, 1));

    fake.repository(SLUG, |repository| {
        for number in &numbers {
            repository.write(RemarkPlace::Review, *number, None, "ada", "/kubeops help");
        }
    });
    fake.clear_ledger();
    let (reviews, mark) = github.reviews(&numbers, Some(&mark)).await.expect("a look");
    assert!(fake.calls().len() <= 10, "{} calls where all changed", fake.calls().len());
    assert_eq!(reviews.iter().map(|review| review.at.pull).collect::<std::collections::BTreeSet<_>>().len(), 1_000);
    fake.clear_ledger();
    let (none, _) = github.reviews(&numbers, Some(&mark)).await.expect("a look");
    assert_eq!((none.len(), fake.calls().len()), (0, 1), "what was told is not told again");

    // Whoever looks at pull requests for another reason does not pay for the words.
    fake.clear_ledger();
    github.look(&numbers, None).await.expect("a look");
    assert!(fake.ledger().iter().all(|seen| !seen.body.to_string().contains("lastEditedAt")));
}

#[tokio::test]
async fn graphql_and_the_rest_api_tell_the_same_of_a_review() {
    let fake = fake();
    let github = github(&fake);
    for number in 0..2 {
        let spec = PullSpec { head: format!("kubeops/{number}").parse().expect("a branch"), ..spec() };
        github.ensure_pull(&spec).await.expect("a pull request");
    }
    fake.repository(SLUG, |repository| {
        repository.write(RemarkPlace::Review, 1, None, "ada", "/kubeops help");
        repository.write(RemarkPlace::Review, 2, None, "robot[bot]", "beep");
        repository.remarks[1].kind = "Bot";
    });
    let (at_once, _) = github.reviews(&[1, 2], None).await.expect("a look");
    fake.repository(SLUG, |repository| repository.has_many = false);
    let (one_by_one, _) = github.reviews(&[1, 2], None).await.expect("a look");
    let told = |reviews: &[Remark]| {
        let mut told: Vec<_> = reviews
            .iter()
            .map(|review| {
                let raw = ["id", "node_id", "state", "submitted_at", "body", "html_url"].map(|name| review.raw[name].clone());
                (review.at, review.is_bot, review.body.clone(), review.url.clone(), review.updated_at, raw)
            })
            .collect();
        told.sort_by_key(|(at, ..)| *at);
        told
    };
    assert_eq!(told(&at_once), told(&one_by_one));
    assert_eq!(told(&at_once).iter().map(|(_, is_bot, ..)| *is_bot).collect::<Vec<_>>(), [false, true]);
    assert!(at_once.iter().all(|review| review.edited == Some(false)) && one_by_one.iter().all(|review| review.edited.is_none()));
}
