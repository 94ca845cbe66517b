//! Whatever goes wrong at Jira: everything once in the end, or a sentence a person understands; never a secret.

use super::*;
use crate::forge::NOW;
use crate::support::door::{Door, Ends, not_there};
use crate::support::fake_jira::Fault;
use kubeops::feedback::{Done, FeedbackError, Tracker};
use kubeops::types::ErrorClass;
use rstest::rstest;
use std::io::Read;

/// One of everything, with the calls each makes.
fn everything() -> Vec<Act> {
    let act = |text: &str| Act::Comment { marker: format!("req_1/{text}"), text: text.to_owned(), public: None };
    vec![
        act("one"),
        moves("In Progress", None),
        links(LinkIcon::Open, false),
        labels(&["applied"], &[]),
        fields(json!({ "customfield_1": 7 })),
        assigns(Some("ada")),
        act("two"),
    ]
}

#[rstest]
#[tokio::test]
async fn a_fault_in_any_call_ends_with_everything_done_once(
    #[values(
        Fault::BadGateway,
        Fault::Status(500, "Internal"),
        Fault::Status(409, "Conflict"),
        Fault::TooMany(None),
        Fault::TooMany(Some("7")),
        Fault::Maintenance("9"),
        Fault::DroppedAfter,
        Fault::DroppedBefore,
        Fault::Truncated,
        Fault::Html
    )]
    fault: Fault,
    #[values(true, false)] cloud: bool,
) {
    for at in 0..12 {
        let (fake, clock) = (FakeJira::start(cloud), Arc::new(Hand::default()));
        let jira = made(&spec(&fake), makings(secret(TOKEN), &clock));
        fake.fail_after(at, fault.clone());
        for act in everything() {
            let mut asked = false;
            while let Err(error) = jira.act(KEY, &act, asked).await {
                assert_eq!(error.class(), ErrorClass::Transient, "{error}");
                clock.wait(error.retry_after().map_or(1, |wait| i64::try_from(wait.as_secs()).expect("seconds")));
                asked = true;
            }
        }
        assert!(fake.faults_are_over(), "{at}: {:?}", fake.calls());
        let issue = fake.issue(KEY);
        assert_eq!((issue.comments.len(), issue.links.len(), issue.status.as_str()), (2, 1, "In Progress"), "{fault:?} at {at}");
        // One change each: nobody is notified twice.
        assert_eq!(fake.changes().len(), everything().len(), "{fault:?} at {at}: {:?}", fake.changes());
    }
}

#[rstest]
#[tokio::test]
async fn of_many_writes_whose_replies_are_dropped_each_happens_once(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    let jira = jira(&fake);
    fake.drop_replies_to_writes(40);
    for number in 0..40 {
        let act = Act::Comment { marker: format!("req_1/{number}"), text: format!("Number {number}"), public: None };
        jira.act(KEY, &act, false).await.expect_err("no reply");
        assert_eq!(jira.act(KEY, &act, true).await, Ok(Done::Already));
    }
    assert_eq!(fake.issue(KEY).comments.len(), 40);
}

#[rstest]
#[case::seconds(Fault::TooMany(Some("17")), Some(17))]
#[case::a_date(Fault::TooMany(Some("Thu, 20 Nov 2025 12:01:30 GMT")), Some(90))]
#[case::reset(Fault::Reset("2025-11-20T12:02Z"), Some(120))]
#[case::nothing(Fault::TooMany(None), None)]
#[case::no_sense(Fault::TooMany(Some("soon")), None)]
#[case::too_long(Fault::TooMany(Some("999999999")), Some(3600))]
#[tokio::test]
async fn a_limit_is_waited_out_and_nobody_is_called_meanwhile(#[case] fault: Fault, #[case] seconds: Option<u64>) {
    assert_eq!(NOW, 1_763_640_000, "20 November 2025, 12:00 UTC");
    let (fake, clock) = (FakeJira::cloud(), Arc::new(Hand::default()));
    let jira = made(&spec(&fake), makings(secret(TOKEN), &clock));
    fake.fail(fault);
    let error = jira.issue(KEY).await.expect_err("a limit");
    assert_eq!((error.class(), error.retry_after()), (ErrorClass::Transient, seconds.map(Duration::from_secs)), "{error}");
    assert!(matches!(error, FeedbackError::Limited { .. }), "{error}");
    let Some(seconds) = seconds else { return };
    fake.clear_ledger();
    clock.wait(i64::try_from(seconds).expect("seconds") - 1);
    let held = jira.act(KEY, &says("x"), false).await.expect_err("still limited");
    assert!(matches!(held, FeedbackError::Limited { retry_after: Some(left), .. } if left == Duration::from_secs(1)), "{held}");
    assert_eq!(fake.calls(), [] as [&str; 0]);
    clock.wait(1);
    jira.act(KEY, &says("x"), false).await.expect("it is over");
}

#[rstest]
#[case(
    Fault::Status(401, "Client must be authenticated"),
    "does not accept who we are (Client must be authenticated); put a valid secret",
    ErrorClass::Permanent
)]
#[case(Fault::Anonymous, "does not accept who we are", ErrorClass::Permanent)]
#[case(Fault::Captcha, "a CAPTCHA solved after failed logins", ErrorClass::Permanent)]
#[case(Fault::Status(403, "You may not comment"), "does not allow it (You may not comment); give the account the right", ErrorClass::Permanent)]
#[case(Fault::Status(404, "Issue does not exist"), "knows no issue OPS-42, or hides it", ErrorClass::User)]
#[case(Fault::Status(400, "Comment body is too long"), "does not take it: Comment body is too long", ErrorClass::User)]
#[case(Fault::Status(410, "removed"), "gone for good", ErrorClass::Permanent)]
#[case(Fault::Elsewhere, "leads to another address, where no secret is sent", ErrorClass::Permanent)]
#[tokio::test]
async fn what_cannot_pass_is_final_and_says_what_to_do(#[case] fault: Fault, #[case] words: &str, #[case] class: ErrorClass) {
    let fake = FakeJira::data_center();
    fake.fail(fault);
    let error = jira(&fake).act(KEY, &says("x"), false).await.expect_err("refused");
    let said = error.to_string();
    assert!(said.contains(words) && said.contains("(channel service-desk)"), "{said}");
    assert_eq!(error.class(), class, "{said}");
    assert!(fake.issue(KEY).comments.is_empty());
}

#[rstest]
#[tokio::test]
async fn jiras_own_words_on_fields_are_told(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    let jira = jira(&fake);
    for (act, words) in [
        (labels(&["two words"], &[]), "labels: The label 'two words' contains spaces"),
        (fields(json!({ "colour": "red" })), "colour: Field cannot be set. It is not on the appropriate screen"),
        (assigns(Some("nobody-knows")), "assignee: User 'nobody-knows' does not exist."),
    ] {
        let error = jira.act(KEY, &act, false).await.expect_err("refused");
        assert!(matches!(&error, FeedbackError::Invalid { message, .. } if message.contains(words)), "{error}");
    }
    fake.delete(KEY);
    assert!(matches!(jira.act(KEY, &says("x"), true).await, Err(FeedbackError::NotFound { .. })));
}

#[rstest]
#[tokio::test]
async fn a_wrong_secret_is_never_shown_and_a_new_one_is_used_at_once(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    let now = Arc::new(std::sync::Mutex::new("hunter2-wrong".to_owned()));
    let source = Arc::clone(&now);
    let jira = made(&spec(&fake), makings(Arc::new(move || Ok(source.lock().expect("a lock").clone().into())), &Arc::default()));
    let shown = |error: FeedbackError| format!("{error:?} {error} {jira:?}");
    let error = jira.issue(KEY).await.expect_err("refused");
    assert!(matches!(error, FeedbackError::Unauthorised { .. }), "{error}");
    assert!(!shown(error).contains("hunter2"));
    // Even where Jira repeats it.
    fake.fail(Fault::Status(400, "bad token hunter2-wrong given"));
    assert!(!shown(jira.issue(KEY).await.expect_err("refused")).contains("hunter2"));
    TOKEN.clone_into(&mut now.lock().expect("a lock"));
    jira.issue(KEY).await.expect("an issue");
    "hunter2\nsplit".clone_into(&mut now.lock().expect("a lock"));
    if let Err(error) = jira.issue(KEY).await {
        assert!(!shown(error).contains("hunter2"));
    }
    let missing = made(&spec(&fake), makings(Arc::new(|| Err("the secret JIRA_TOKEN is not there".to_owned())), &Arc::default()));
    let error = missing.issue(KEY).await.expect_err("no secret");
    assert!(matches!(error, FeedbackError::Setup { .. }) && error.to_string().contains("JIRA_TOKEN"), "{error}");
}

#[tokio::test]
async fn silence_ends_with_the_time_out_and_who_is_slow_is_waited_for() {
    let fake = FakeJira::cloud();
    let quick = Makings { timeout: Duration::from_millis(1500), ..makings(secret(TOKEN), &Arc::default()) };
    let jira = made(&spec(&fake), quick);
    fake.fail(Fault::Silent);
    let error = jira.act(KEY, &says("x"), false).await.expect_err("silence");
    assert!(error.class() == ErrorClass::Transient && error.to_string().contains("no answer in time"), "{error}");
    fake.fail(Fault::Slow(200));
    assert_eq!(jira.act(KEY, &says("x"), true).await, Ok(Done::Already));
    let gone = JiraSpec { url: "http://127.0.0.1:1".to_owned(), ..spec(&fake) };
    let error = made(&gone, makings(secret(TOKEN), &Arc::default())).issue(KEY).await.expect_err("nobody");
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
}

#[tokio::test]
async fn what_jira_would_not_take_is_noticed_by_the_fake() {
    let fake = FakeJira::data_center();
    let strange =
        made(&JiraSpec { deployment: Some(kubeops::inventory::JiraDeployment::Cloud), ..spec(&fake) }, makings(secret(TOKEN), &Arc::default()));
    strange.act(KEY, &says("x"), false).await.expect_err("no version 3 there");
    assert_eq!(fake.take_violations().len(), 1);
}

/// A Jira at this address, whose calls may be made from several tasks.
fn jira_at(url: &str) -> Arc<Jira> {
    let spec = JiraSpec { url: url.to_owned(), ..spec(&FakeJira::cloud()) };
    Arc::new(made(&spec, makings(secret(TOKEN), &Arc::default())))
}

/// So long that a call has begun to wait for a connection.
const BEGUN: Duration = Duration::from_millis(300);

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_connection_until_its_lease_is_over_is_not_sent(#[values(true, false)] lasts: bool) {
    let (door, ends) = (Door::shut(), Ends::default());
    let jira = jira_at(&door.url());
    let act = tokio::spawn(ends.lease().over(async move { jira.act(KEY, &says("one"), false).await }));
    tokio::time::sleep(BEGUN).await;
    if !lasts {
        ends.now();
    }
    let opened = door.opens();
    let error = act.await.expect("an end").expect_err("nothing is done");
    let said = opened.said();
    match lasts {
        true => assert!(said.contains(KEY), "{said}: {error}"),
        false => {
            assert_eq!(said, "", "nothing of it arrives");
            assert!(error.class() == ErrorClass::Transient && error.to_string().contains("stood still"), "{error}");
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_until_its_lease_is_over_is_not_sent_on_anothers_connection_either(#[values(true, false)] lasts: bool) {
    let (mut door, ends) = (Door::shut(), Ends::default());
    let jira = jira_at(&door.url());
    let theirs = Arc::clone(&jira);
    let first = tokio::spawn(async move { theirs.act(KEY, &says("one"), false).await });
    let mut connection = door.lets_one_in();
    let mut piece = [0; 4096];
    assert!(connection.read(&mut piece).expect("a request") > 0);
    let act = tokio::spawn(ends.lease().over(async move { jira.act("OPS-43", &says("two"), false).await }));
    tokio::time::sleep(BEGUN).await;
    if !lasts {
        ends.now();
    }
    // The connection is free again, and the other call waits for one.
    not_there(&mut connection).expect("an answer");
    first.await.expect("an end").expect_err("it is not there");
    connection.set_read_timeout(Some(BEGUN * 5)).expect("a patience");
    let many = connection.read(&mut piece).unwrap_or(0);
    assert_eq!(String::from_utf8_lossy(&piece[..many]).contains("OPS-43"), lasts);
    drop(connection);
    let error = act.await.expect("an end").expect_err("nothing is done");
    assert_eq!(error.to_string().contains("stood still"), !lasts, "{error}");
}
