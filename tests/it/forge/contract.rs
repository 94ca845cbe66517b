//! What GitHub publishes about itself: our requests are held against it by the fake, and here its own examples are read.

use super::*;
use crate::support::github_graphql;
use crate::support::github_openapi::{example, notifies, violations};
use crate::support::loopback::{Answer, Loopback, Request};
use kubeops::forge::{Forge, PullState};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/contracts/webhooks-examples.json");

/// Answers what it is told to answer.
struct Echo {
    server: Loopback,
    answers: Arc<Mutex<(Value, Value)>>,
}

impl Echo {
    fn start() -> Self {
        let answers: Arc<Mutex<(Value, Value)>> = Arc::default();
        let theirs = Arc::clone(&answers);
        let server = Loopback::serve(move |request| {
            let (pull, reviews) = theirs.lock().expect("the answers").clone();
            let body = match request.path.as_str() {
                path if path.ends_with("/reviews") => reviews,
                "/graphql" => json!({ "data": { "repository": { "pullRequest": { "isInMergeQueue": false } } } }),
                path if path.ends_with("/pulls") => json!([pull]),
                _ => pull,
            };
            Answer::new(200, "application/json", body.to_string())
        });
        Self { server, answers }
    }
}

/// Every pull request in GitHub's published payloads and in its description.
fn published() -> Vec<(String, Value)> {
    let text = std::fs::read(EXAMPLES).unwrap_or_else(|error| panic!("{EXAMPLES}: {error}; `make setup` fetches it"));
    let events: Value = serde_json::from_slice(&text).expect("the examples are JSON");
    let mut found = Vec::new();
    for event in events.as_array().expect("events") {
        for (at, payload) in event["examples"].as_array().into_iter().flatten().enumerate() {
            if payload["pull_request"]["head"].is_object() {
                found.push((format!("{} {at}", event["name"]), payload["pull_request"].clone()));
            }
        }
    }
    for name in ["pull-request", "pull-request-review-request"] {
        found.push((name.to_owned(), example(name)));
    }
    found.push(("pull-request-simple-items".to_owned(), example("pull-request-simple-items")[0].clone()));
    found
}

#[tokio::test]
async fn every_pull_request_that_github_publishes_is_read() {
    let echo = Echo::start();
    let github = github_at(&echo.server.url(), TOKEN);
    let published = published();
    assert!(published.len() > 35, "{}", published.len());
    for (name, wire) in published {
        *echo.answers.lock().expect("the answers") = (wire.clone(), example("pull-request-review-items"));
        let pull = github.get(1).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(json!(pull.number), wire["number"], "{name}");
        assert_eq!(
            (json!(pull.title), json!(pull.head), json!(pull.url)),
            (wire["title"].clone(), wire["head"]["ref"].clone(), wire["html_url"].clone()),
            "{name}"
        );
        let merged = !wire["merged_at"].is_null();
        let state = if merged {
            PullState::Merged
        } else if wire["state"] == "open" {
            PullState::Open
        } else {
            PullState::Closed
        };
        assert_eq!((pull.state, pull.draft, pull.merge_commit.is_some()), (state, wire["draft"] == true, merged), "{name}");
        let many = |field: &str| wire[field].as_array().map_or(0, Vec::len);
        assert_eq!(pull.labels.len(), many("labels"), "{name}");
        assert_eq!(pull.assignees.len(), many("assignees"), "{name}");
        assert_eq!(pull.reviewers.len(), many("requested_reviewers") + many("requested_teams"), "{name}");
        assert_eq!(json!(pull.milestone), wire["milestone"]["title"], "{name}");
        assert_eq!(pull.auto_merge, wire["auto_merge"].is_object(), "{name}");
        // And as an item of the listing.
        let look = github.look(&[pull.number], None).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(look.pulls.len(), 1, "{name}");
        let approved_by: &[&str] = if state == PullState::Open { &["octocat"] } else { &[] };
        assert_eq!(look.pulls[0].approved_by, approved_by, "{name}: GitHub's example of a review approves");
    }
}

fn request(method: &str, path: &str, query: &str, body: Value) -> Request {
    let headers = [
        ("user-agent", "kubeops/0"),
        ("accept", "application/vnd.github+json"),
        ("authorization", "Bearer x"),
        ("x-github-api-version", "2022-11-28"),
        ("content-type", "application/json"),
    ];
    Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect(),
        body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
    }
}

#[test]
fn the_description_notices_what_github_does_not_take() {
    let pulls = "/repos/acme/gitops/pulls";
    let good = json!({ "title": "t", "head": "h", "base": "b" });
    let wrong = |request: Request| violations(&request, &request.path);
    assert_eq!(wrong(request("POST", pulls, "", good.clone())), [] as [&str; 0]);
    assert_eq!(wrong(request("GET", pulls, "state=all&per_page=100", Value::Null)), [] as [&str; 0]);
    let without = |name: &str| {
        let mut request = request("POST", pulls, "", good.clone());
        request.headers = request.headers.into_iter().filter(|(known, _)| known != name).collect::<BTreeMap<_, _>>();
        request
    };
    for wrong_one in [
        request("POST", pulls, "", json!({ "title": 1, "head": "h", "base": "b" })),
        request("POST", pulls, "", json!({ "title": "t" })),
        request("POST", pulls, "", json!({ "title": "t", "head": "h", "base": "b", "labels": ["x"] })),
        request("PUT", pulls, "", json!({})),
        request("GET", pulls, "hed=x", Value::Null),
        request("GET", pulls, "state=everything", Value::Null),
        request("GET", "/repos/acme/gitops/pulls/one", "", Value::Null),
        request("GET", "/repos/acme/gitops/nothing", "", Value::Null),
        without("user-agent"),
        without("accept"),
        without("authorization"),
        without("x-github-api-version"),
        without("content-type"),
    ] {
        assert!(!wrong(wrong_one.clone()).is_empty(), "{wrong_one:?}");
    }
}

#[test]
fn the_graphql_schema_notices_what_github_does_not_take() {
    let good = "mutation($pull: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $pull}) { pullRequest { isDraft } } }";
    assert_eq!(github_graphql::violations(good, &json!({ "pull": "x" })), [] as [&str; 0]);
    for (document, variables) in [
        (good, json!({})),
        (good, json!({ "pull": 1 })),
        (good, json!({ "pull": "x", "more": 1 })),
        ("mutation($pull: ID!) { markReady(input: {pullRequestId: $pull}) { pullRequest { isDraft } } }", json!({ "pull": "x" })),
        ("mutation($pull: ID!) { markPullRequestReadyForReview(input: {pull: $pull}) { pullRequest { isDraft } } }", json!({ "pull": "x" })),
        (
            "mutation($pull: String!) { markPullRequestReadyForReview(input: {pullRequestId: $pull}) { pullRequest { isDraft } } }",
            json!({ "pull": "x" }),
        ),
        ("mutation($pull: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $pull}) { pullRequest { isReady } } }", json!({ "pull": "x" })),
        ("mutation($pull: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $pull}) { pullRequest } }", json!({ "pull": "x" })),
        ("mutation($pull: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $pull}) { pullRequest { isDraft } }", json!({ "pull": "x" })),
    ] {
        assert!(!github_graphql::violations(document, &variables).is_empty(), "{document} {variables}");
    }
}

#[test]
#[should_panic(expected = "GitHub would not take this")]
fn a_request_github_would_not_take_fails_the_test_by_itself() {
    kubeops::tls::install_provider();
    let fake = fake();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // A title that is no text: nothing of ours sends it, so it is sent by hand.
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let sent = client.post(format!("{}/repos/acme/gitops/pulls", fake.url())).body("{\"title\":1}").send().await.expect("sent");
        assert_eq!(sent.status(), 400);
    });
}

/// The calls that GitHub says people are notified of are those we pause between.
#[test]
fn the_calls_with_a_pause_are_those_github_names() {
    let mut named: Vec<&str> = [
        "POST /pulls",
        "PATCH /pulls/1",
        "POST /pulls/1/requested_reviewers",
        "POST /issues/1/labels",
        "POST /issues/1/assignees",
        "PATCH /issues/1",
        "POST /issues/1/comments",
        "POST /issues/comments/1/reactions",
        "POST /pulls/1/comments/1/replies",
        "POST /pulls/comments/1/reactions",
        "POST /check-runs",
    ]
    .into_iter()
    .filter(|call| {
        let (method, path) = call.split_once(' ').expect("method and path");
        notifies(method, &format!("/repos/acme/gitops{path}"))
    })
    .collect();
    named.sort_unstable();
    assert_eq!(named, ["POST /issues/1/comments", "POST /pulls", "POST /pulls/1/comments/1/replies", "POST /pulls/1/requested_reviewers"]);
    // In the sources: `Kind::Content` stands at just these four.
    let sources = crate::support::sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/forge/github"));
    let written: usize = sources.iter().map(|file| std::fs::read_to_string(file).expect("a source").matches("Kind::Content, &").count()).sum();
    assert_eq!(written, named.len());
}
