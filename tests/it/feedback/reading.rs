//! What is read of a Jira: an issue, a search over pages, who we are.

use super::*;
use crate::support::fake_jira::{ACCOUNT, BEGIN};
use kubeops::feedback::{FeedbackError, Issue, Outlet, Tracker};
use kubeops::inventory::Channel;
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn an_issue_is_read_also_under_its_former_key(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    fake.person(KEY, |issue| {
        issue.labels = vec!["a".to_owned()];
        issue.assignee = Some("ada".to_owned());
        issue.resolution = Some("Done".to_owned());
    });
    fake.move_to(KEY, "WEB-7");
    let found = jira(&fake).issue(KEY).await.expect("an issue");
    let wanted = Issue {
        key: "WEB-7".to_owned(),
        status: "To Do".to_owned(),
        updated: kubeops::types::Timestamp::from_unix_millis((BEGIN + 2) * 1000),
        labels: vec!["a".to_owned()],
        assignee: Some("ada".to_owned()),
        resolution: Some("Done".to_owned()),
    };
    assert_eq!(found, wanted);
}

#[rstest]
#[tokio::test]
async fn a_search_goes_over_its_pages_and_ends_at_its_limit(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    for number in 100..170 {
        fake.add(&format!("OPS-{number}"), if number % 2 == 0 { "Approved" } else { "To Do" });
    }
    fake.add("WEB-1", "Approved");
    fake.page_of(20);
    let jira = jira(&fake);
    let jql = "project = OPS AND status = \"Approved\" AND updated >= \"2025-11-20 00:00\" ORDER BY updated ASC";
    let keys = |found: Vec<kubeops::feedback::Found>| found.into_iter().map(|found| found.issue.key).collect::<Vec<_>>();
    let wanted: Vec<String> = (100..170).step_by(2).map(|number| format!("OPS-{number}")).collect();
    assert_eq!(keys(jira.search(jql, 1_000).await.expect("issues")), wanted);
    assert_eq!(keys(jira.search(jql, 25).await.expect("issues")), wanted[..25]);
    assert!(jira.search(jql, 0).await.expect("none").is_empty());
    let found = jira.search("key in (OPS-100)", 1).await.expect("one");
    assert_eq!(found[0].raw["fields"]["summary"], "Summary of OPS-100");
    // As in webhooks, which are of version 2 in the cloud as well.
    assert!(fake.calls().iter().all(|call| call.contains("/rest/api/2/search")), "{:?}", fake.calls());
    let error = jira.search("colour = red", 5).await.expect_err("refused");
    assert!(matches!(&error, FeedbackError::Invalid { message, .. } if message.contains("Field 'colour' does not exist")), "{error}");
}

#[rstest]
#[tokio::test]
async fn a_hundred_issues_are_one_call_with_the_history_of_each(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    (100..200).for_each(|number| fake.add(&format!("OPS-{number}"), "To Do"));
    let told = fake.move_status("OPS-150", "Approved");
    let keys = (100..200).map(|number| format!("OPS-{number}")).collect::<Vec<_>>().join(", ");
    let found = jira(&fake).search(&format!("key in ({keys})"), 100).await.expect("issues");
    assert_eq!((found.len(), fake.calls().len()), (100, 1));
    let moved = found.iter().find(|found| found.issue.key == "OPS-150").expect("the issue");
    let entry = &moved.raw["changelog"]["histories"][0];
    assert_eq!((&entry["id"], &entry["items"][0]["toString"]), (&told["changelog"]["id"], &json!("Approved")), "as the webhook has it");
}

#[rstest]
#[tokio::test]
async fn who_we_are_is_asked_once(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    let jira = jira(&fake);
    for _ in 0..3 {
        let us = jira.myself().await.expect("an account");
        assert_eq!((us.id.as_str(), us.name.as_str()), (if cloud { ACCOUNT } else { NAME }, "KubeOps"));
    }
    assert_eq!(fake.calls().len(), 1);
}

#[rstest]
#[case("/ex/jira/11223344-a1b2", "cloud")]
#[case("/jira/", "dataCenter")]
#[tokio::test]
async fn a_path_before_the_api_and_a_token_alone_will_do(#[case] path: &str, #[case] deployment: &str) {
    let fake = FakeJira::start(deployment == "cloud");
    let spec =
        json!({ "jira": { "url": format!("{}{path}", fake.url()), "deployment": deployment, "authentication": { "bearer": { "secret": "T" } } } });
    let channel = Channel { name: "desk".parse().expect("a name"), spec: serde_json::from_value(spec).expect("a channel") };
    let Outlet::Tracker(tracker) = Outlet::open(&channel, makings(secret(TOKEN), &Arc::default()), None).expect("open") else { panic!("a tracker") };
    assert_eq!(tracker.issue(KEY).await.expect("an issue").status, "To Do");
    assert!(fake.ledger()[0].path.starts_with(&format!("{}/rest/api/", path.trim_end_matches('/'))), "{:?}", fake.calls());
}
