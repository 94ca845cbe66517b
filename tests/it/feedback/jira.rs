//! Each act, in the cloud and in a Data Center: done once, found again, or explained.

use super::*;
use crate::support::adf;
use crate::support::fake_jira::{FakeComment, Step};
use kubeops::feedback::{Done, FeedbackError, Tracker};
use rstest::rstest;

#[rstest]
#[tokio::test]
async fn a_comment_is_written_once_and_found_again_among_others(#[values(true, false)] cloud: bool, #[values(false, true)] hidden: bool) {
    let fake = FakeJira::start(cloud);
    let jira = jira(&fake);
    assert_eq!(jira.act(KEY, &says("**Merged.** See [the change](https://x.example/7)."), false).await, Ok(Done::Did));
    fake.person(KEY, |issue| (0..250).for_each(|n| issue.comments.push(FakeComment::of_a_person(n, "thanks"))));
    fake.page_of(40);
    if hidden {
        fake.hide_properties();
    }
    assert_eq!(jira.act(KEY, &says("**Merged.**"), true).await, Ok(Done::Already));
    let other = Act::Comment { marker: "req_1/2".to_owned(), text: "Applied.".to_owned(), public: None };
    assert_eq!(jira.act(KEY, &other, true).await, Ok(Done::Did));
    let ours: Vec<FakeComment> = fake.issue(KEY).comments.into_iter().filter(|comment| comment.by_us).collect();
    assert_eq!(ours.len(), 2);
    assert_eq!(ours[0].properties["kubeops"]["marker"], "req_1/1");
    match cloud {
        true => assert_eq!(adf::text_of(&ours[0].body), "Merged. See the change.\n"),
        false => assert_eq!(ours[0].body, "{*}Merged.{*} See [the change|https://x.example/7]."),
    }
}

#[rstest]
#[tokio::test]
async fn customers_see_a_comment_only_where_that_is_said(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    let with = |marker: &str, public| Act::Comment { marker: marker.to_owned(), text: "x".to_owned(), public };
    let internal = jira(&fake);
    let open = made(&JiraSpec { public: true, ..spec(&fake) }, makings(secret(TOKEN), &Arc::default()));
    for (jira, act) in [(&internal, with("a", None)), (&internal, with("b", Some(true))), (&open, with("c", None)), (&open, with("d", Some(false)))] {
        jira.act(KEY, &act, false).await.expect("written");
    }
    let seen: Vec<bool> = fake.issue(KEY).comments.iter().map(FakeComment::is_public).collect();
    assert_eq!(seen, [false, true, true, false]);
}

#[rstest]
#[tokio::test]
async fn an_issue_is_moved_with_what_the_transition_asks_for(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    let jira = jira(&fake);
    assert_eq!(jira.act(KEY, &moves("in progress", None), false).await, Ok(Done::Did));
    assert_eq!(jira.act(KEY, &moves("In Progress", None), true).await, Ok(Done::Already));
    assert_eq!(
        jira.act(KEY, &moves("Done", None), false).await,
        Ok(Done::Cannot("OPS-42 cannot be moved to Done by \"Finish\" without: Resolution (resolution)".to_owned()))
    );
    assert_eq!(jira.act(KEY, &moves("Done", Some("Declined")), false).await, Ok(Done::Did));
    let issue = fake.issue(KEY);
    assert_eq!((issue.status.as_str(), issue.resolution.as_deref()), ("Done", Some("Declined")));
    fake.clear_ledger();
    assert_eq!(jira.act(KEY, &moves("DONE", Some("Declined")), false).await, Ok(Done::Already));
    assert_eq!(fake.writes(), [] as [&str; 0]);
}

#[rstest]
#[tokio::test]
async fn a_transition_that_is_not_there_is_told_with_those_that_are(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    let done = jira(&fake).act(KEY, &moves("Done", None), false).await.expect("an answer");
    assert_eq!(done, Done::Cannot("no transition of OPS-42 leads to Done from where it is; there are: \"Start\" to In Progress".to_owned()));
    fake.workflow(Vec::new());
    let Ok(Done::Cannot(why)) = jira(&fake).act(KEY, &moves("Done", None), false).await else { panic!("it cannot") };
    assert!(why.contains("none at all; may the account transition issues?"), "{why}");
    assert_eq!(fake.writes(), [] as [&str; 0]);
}

#[tokio::test]
async fn of_several_transitions_the_one_of_that_name_is_taken_and_otherwise_it_is_said_which() {
    let fake = FakeJira::cloud();
    let step = |id: &str, name: &str| Step::new(id, name, &["To Do", "Done"], "Done", json!({}));
    fake.workflow(vec![step("1", "Skip"), step("2", "done")]);
    assert_eq!(jira(&fake).act(KEY, &moves("Done", None), false).await, Ok(Done::Did));
    assert_eq!(fake.ledger().last().expect("a call").body["transition"]["id"], "2");
    fake.person(KEY, |issue| issue.status = "To Do".to_owned());
    fake.workflow(vec![step("1", "Skip"), step("2", "Close")]);
    let done = jira(&fake).act(KEY, &moves("Done", Some("Fixed")), false).await;
    let said = "2 transitions lead to Done; \"Skip\" was taken; the transition \"Skip\" takes no resolution, so \"Fixed\" was left out";
    assert_eq!(done, Ok(Done::DidBut(said.to_owned())));
}

#[rstest]
#[tokio::test]
async fn a_link_is_one_link_however_often_it_changes(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    let jira = jira(&fake);
    for (icon, resolved) in [(LinkIcon::Open, false), (LinkIcon::Open, false), (LinkIcon::Merged, true)] {
        assert_eq!(jira.act(KEY, &links(icon, resolved), true).await, Ok(Done::Did));
    }
    let [(id, link)] = &fake.issue(KEY).links[..] else { panic!("one link") };
    assert_eq!(id, "kubeops=req_1");
    assert_eq!(link["object"]["url"], "https://github.com/acme/gitops/pull/7");
    assert_eq!((&link["object"]["status"]["resolved"], &link["object"]["status"]["icon"]["title"]), (&json!(true), &json!("merged")));
    assert_eq!(link["object"]["icon"].get("url16x16"), None, "browsers elsewhere would find nothing");
    let pictured = made(&spec(&fake), makings(secret(TOKEN), &Arc::default())).with_pictures(Some("https://kubeops.example/icons"));
    assert_eq!(pictured.act(KEY, &links(LinkIcon::Failed, true), true).await, Ok(Done::Did));
    let link = fake.issue(KEY).links[0].1.clone();
    let picture = json!("https://kubeops.example/icons/pull-failed.svg");
    assert_eq!((&link["object"]["icon"]["url16x16"], &link["object"]["status"]["icon"]["url16x16"]), (&picture, &picture));
    let Act::Link { global_id, title, icon, .. } = links(LinkIcon::Open, false) else { unreachable!("a link") };
    let bad = Act::Link { global_id, url: "javascript:alert(1)".to_owned(), title, summary: None, relationship: None, icon, resolved: false };
    assert!(matches!(jira.act(KEY, &bad, false).await, Err(FeedbackError::Invalid { .. })));
}

#[rstest]
#[tokio::test]
async fn labels_fields_and_assignee_are_set_once_and_then_left_alone(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    fake.person(KEY, |issue| {
        issue.labels = vec!["waiting".to_owned(), "urgent".to_owned()];
        issue.fields.insert("priority".to_owned(), json!({ "name": "High", "id": "2" }));
    });
    let jira = jira(&fake);
    let acts = [
        labels(&["applied", "urgent"], &["waiting", "absent"]),
        fields(json!({ "customfield_10010": { "value": "yes" }, "priority": { "name": "High" } })),
        assigns(Some("ada")),
    ];
    for act in &acts {
        assert_eq!(jira.act(KEY, act, false).await, Ok(Done::Did), "{act:?}");
    }
    let issue = fake.issue(KEY);
    assert_eq!(issue.labels, ["urgent", "applied"]);
    assert_eq!(issue.fields["customfield_10010"]["value"], "yes");
    assert_eq!(issue.assignee.as_deref(), Some("ada"));
    fake.clear_ledger();
    for act in &acts {
        assert_eq!(jira.act(KEY, act, true).await, Ok(Done::Already), "{act:?}");
    }
    assert_eq!(fake.writes(), [] as [&str; 0]);
    assert_eq!(jira.act(KEY, &assigns(None), false).await, Ok(Done::Did));
    assert_eq!(fake.issue(KEY).assignee, None);
}

#[rstest]
#[tokio::test]
async fn what_we_change_can_be_told_apart_in_jiras_webhooks(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    let jira = jira(&fake);
    jira.act(KEY, &moves("In Progress", None), false).await.expect("moved");
    let us = jira.myself().await.expect("an account");
    let [told] = &fake.webhooks()[..] else { panic!("one webhook") };
    assert_eq!(told["webhookEvent"], "jira:issue_updated");
    assert_eq!(told["user"][if cloud { "accountId" } else { "name" }], us.id.as_str());
    assert_eq!((&told["changelog"]["items"][0]["field"], &told["changelog"]["items"][0]["toString"]), (&json!("status"), &json!("In Progress")));
}

#[rstest]
#[tokio::test]
async fn hostile_text_stays_text(#[values(true, false)] cloud: bool) {
    let fake = FakeJira::start(cloud);
    let hostile = "[~ada] @ada {include:Secrets} !https://x.example/a.png! <script>alert(1)</script> \u{202e}\u{0} ``` h1. x\n\n> > > {code}\n\n[x](javascript:alert(1))";
    assert_eq!(jira(&fake).act(KEY, &says(hostile), false).await, Ok(Done::Did));
    let body = fake.issue(KEY).comments[0].body.to_string();
    assert!(!body.contains("\"mention\"") && !body.contains("javascript:") && !body.contains("<script>") && !body.contains('\u{202e}'), "{body}");
    if !cloud {
        assert!(!body.contains("[~") && !body.contains(" @") && !body.contains(" {"), "{body}");
    }
    let long = "x\\ ".repeat(60_000);
    let act = Act::Comment { marker: "req_1/9".to_owned(), text: long, public: None };
    assert_eq!(jira(&fake).act(KEY, &act, false).await, Ok(Done::Did));
}

#[tokio::test]
async fn a_key_that_is_none_is_never_part_of_an_address() {
    let fake = FakeJira::cloud();
    for key in ["", "OPS", "../myself", "OPS-1/comment", "OPS-1?x", "OPS-", "-1", "ops 1", "OPS-1\n"] {
        for act in
            [says("x"), moves("Done", None), links(LinkIcon::Open, false), labels(&["a"], &[]), fields(json!({ "summary": "x" })), assigns(None)]
        {
            assert!(matches!(jira(&fake).act(key, &act, true).await, Err(FeedbackError::Invalid { .. })), "{key:?} {act:?}");
        }
    }
    assert_eq!(fake.calls(), [] as [&str; 0]);
}
