//! What the budget lets through, by a clock that the test moves.

use super::*;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::sync::atomic::{AtomicI64, Ordering};

const START: i64 = 1_763_640_000;

/// A clock that the test moves, in seconds.
#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis((START + self.0.load(Ordering::SeqCst)) * 1000)
    }
    fn random(&self) -> u128 {
        4
    }
}

struct World {
    clock: Arc<Hand>,
    budget: Budget,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(Hand::default());
        Self { budget: Budget::new("token T".to_owned(), Arc::clone(&clock) as Arc<dyn Clock>, Duration::ZERO), clock }
    }

    fn wait(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn may(&self, priority: Priority) -> bool {
        self.budget.check(CORE, priority).is_ok()
    }

    fn learn(&self, status: u16, text: &str, headers: &[(&str, &str)]) -> Option<u64> {
        self.budget.learn(CORE, &answer(status, text, headers)).map(|wait| wait.as_secs())
    }
}

fn answer(status: u16, text: &str, headers: &[(&str, &str)]) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_bytes(name.as_bytes()).expect("a name"), HeaderValue::from_str(value).expect("a value"));
    }
    Answer { status: http::StatusCode::from_u16(status).expect("a status"), headers: map, text: text.to_owned() }
}

fn window(remaining: &str, reset: i64) -> Vec<(&'static str, String)> {
    vec![("x-ratelimit-limit", "5000".to_owned()), ("x-ratelimit-remaining", remaining.to_owned()), ("x-ratelimit-reset", reset.to_string())]
}

impl World {
    fn left(&self, remaining: &str, reset: i64) {
        let headers = window(remaining, reset);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.learn(200, "{}", &headers);
    }
}

const SECONDARY: &str = r#"{"message":"You have exceeded a secondary rate limit."}"#;

#[test]
fn each_priority_leaves_its_reserve_to_those_before_it() {
    let world = World::new();
    let all = [Priority::Alert, Priority::Ticket, Priority::Housekeeping];
    for (reset, (remaining, wanted)) in (START + 600..).zip([
        ("1001", [true, true, true]),
        ("1000", [true, true, false]),
        ("250", [true, false, false]),
        ("0", [false, false, false]),
    ]) {
        world.left(remaining, reset);
        assert_eq!(all.map(|priority| world.may(priority)), wanted, "{remaining} left");
    }
    let held = world.budget.check(CORE, Priority::Ticket).expect_err("spent");
    assert!(held.wait > Duration::from_secs(590) && held.message.contains("kept for what is more urgent"), "{held:?}");
    assert!(world.budget.check(GRAPHQL, Priority::Housekeeping).is_ok(), "another resource is counted apart");
    world.wait(700);
    assert!(world.may(Priority::Housekeeping), "the window is over");
}

#[tokio::test]
async fn calls_under_way_are_taken_off_at_once_and_late_answers_add_none() {
    let world = World::new();
    world.left("1002", START + 600);
    for _ in 0..2 {
        world.budget.admit(CORE, Kind::Read, Priority::Housekeeping).await.expect("room");
    }
    assert!(!world.may(Priority::Housekeeping));
    // An answer that was under way for long knows an older number.
    world.left("1500", START + 600);
    assert!(!world.may(Priority::Housekeeping));
    world.left("4999", START + 4000);
    assert!(world.may(Priority::Housekeeping), "a new window");
    world.left("3", START + 600);
    assert!(world.may(Priority::Housekeeping), "an answer of the window before");
}

#[test]
fn a_limit_with_a_time_holds_everybody_for_that_time() {
    let world = World::new();
    assert_eq!(world.learn(403, SECONDARY, &[("retry-after", "17")]), Some(17));
    assert!(!world.may(Priority::Alert));
    assert!(world.budget.check(GRAPHQL, Priority::Alert).is_err(), "a secondary limit is the account's");
    world.wait(16);
    let held = world.budget.check(CORE, Priority::Alert).expect_err("a second is left");
    assert_eq!((held.wait, held.message.as_str()), (Duration::from_secs(1), "You have exceeded a secondary rate limit."));
    world.wait(1);
    assert!(world.may(Priority::Housekeeping));
    assert_eq!(world.learn(429, "", &[("retry-after", "86400")]), Some(3600), "never more than an hour");
}

#[test]
fn a_limit_without_a_time_is_waited_for_twice_as_long_each_time() {
    let world = World::new();
    for wanted in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
        assert_eq!(world.learn(403, SECONDARY, &[]), Some(wanted));
        assert_eq!(world.learn(403, SECONDARY, &[]), Some(wanted), "one that was under way at the same time is no further strike");
        world.wait(i64::try_from(wanted).expect("seconds"));
        assert!(world.may(Priority::Housekeeping));
    }
    world.learn(200, "{}", &[]);
    assert_eq!(world.learn(429, "", &[]), Some(60), "after a good answer it begins anew");
}

#[test]
fn a_good_answer_that_was_under_way_does_not_end_a_limit() {
    let world = World::new();
    world.learn(403, SECONDARY, &[]);
    world.learn(200, "{}", &[]);
    assert!(!world.may(Priority::Alert));
}

#[test]
fn a_spent_window_is_waited_for_by_githubs_clock() {
    let world = World::new();
    // GitHub's clock is an hour ahead of ours.
    let reset = (START + 3600 + 90).to_string();
    let theirs = [
        ("x-ratelimit-limit", "5000"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", reset.as_str()),
        ("date", "Thu, 20 Nov 2025 13:00:00 GMT"),
    ];
    assert_eq!(world.learn(403, r#"{"message":"API rate limit exceeded"}"#, &theirs), Some(90));
    assert!(!world.may(Priority::Alert) && world.budget.check(GRAPHQL, Priority::Alert).is_ok());
    world.wait(90);
    assert!(world.may(Priority::Alert));
}

#[test]
fn the_resource_an_answer_names_is_the_one_that_is_counted() {
    let world = World::new();
    let mut headers = window("0", START + 600);
    headers.push(("x-ratelimit-resource", "graphql".to_owned()));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    world.learn(200, "{}", &headers);
    assert!(world.may(Priority::Housekeeping) && world.budget.check(GRAPHQL, Priority::Alert).is_err());
}

#[test]
fn a_lost_permission_is_no_limit() {
    let world = World::new();
    assert_eq!(world.learn(403, r#"{"message":"Resource not accessible by integration"}"#, &[("x-ratelimit-remaining", "4000")]), None);
    assert!(world.may(Priority::Housekeeping));
}

#[test]
fn the_report_tells_windows_limits_and_calls() {
    let world = World::new();
    world.left("4000", START + 600);
    world.learn(404, "{}", &[]);
    world.budget.lost();
    world.learn(403, SECONDARY, &[("retry-after", "30")]);
    world.may(Priority::Alert);
    let report = world.budget.report("https://api.github.com");
    assert_eq!((report.name.as_str(), report.windows[0].resource.as_str(), report.windows[0].remaining), ("token T", "core", 4000));
    assert_eq!(report.limited_until, Some(world.clock.now().plus(Duration::from_secs(30))));
    assert!(report.limited_because.is_some_and(|because| because.contains("secondary")));
    assert_eq!(report.calls, Calls { done: 1, refused: 1, failed: 1, limited: 1, held: 1 });
    world.wait(3600);
    let later = world.budget.report("https://api.github.com");
    assert_eq!((later.limited_until, later.windows[0].remaining), (None, 5000), "an over window is full again");
}
