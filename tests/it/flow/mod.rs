//! The whole job, told as stories against the real program: from what a sender sends to what stands in git afterwards,
//! through crashes, full disks and refusals. A story looks only at what people can see: answers, the API, git, logs.

mod alert;
mod applied;
mod backlog;
mod base_moves;
mod builds;
mod clock;
mod commands;
mod commands_again;
mod commits;
mod copilot;
mod crash;
mod deliveries;
mod disk_full;
mod drafted;
mod duties;
mod drafted_canaries;
mod drafted_bounds;
mod drafted_github;
mod drafted_learnt;
mod drafted_locally;
mod drafted_recorded;
mod drafted_tools;
mod drafted_withdrawn;
mod edits;
mod github;
mod groups;
mod groups_reverted;
mod heard;
mod held;
mod hurried;
mod jobs;
mod lines;
mod many;
mod metrics;
mod github_app;
mod github_branches;
mod github_endings;
mod github_limits;
mod github_queue;
mod github_refused;
mod mirror;
mod noticed;
mod outage;
mod own;
mod policies;
mod postgres_away;
mod postgres_full;
mod postgres_tls;
mod power_cut;
mod reconciled;
mod reload;
mod replayed;
mod replicas;
mod replicas_cut_off;
mod reverted;
mod revised;
mod revised_again;
mod rivals;
mod run_senders;
mod runs;
mod sealed;
mod secrets;
mod shutdown;
mod standby;
mod stores;
mod storms;
mod streams;
mod streams_login;
mod templates;
mod ticket;
mod timeouts;
mod told;
mod told_failures;
mod traced;
mod traces;
mod transports;
mod unkept;
mod upgrade;
mod vital;
mod whose_word;
mod withdrawn;

use crate::support::server::TestServer;
use crate::support::upstream::{UpstreamRepo, command, run};
use kubeops::request::State;
use kubeops::store::{NewTask, RequestUpdate, Store, TaskKind};
use kubeops::store::{SqlStore, SqliteOptions};
use kubeops::types::{RequestId, TaskId};
use serde_json::Value;
use std::path::Path;

/// The branches KubeOps made, with their commits.
fn branches(upstream: &UpstreamRepo) -> Vec<(String, String)> {
    let lines = upstream.git(&["for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads/kubeops"]);
    lines.lines().filter_map(|line| line.split_once(' ')).map(|(name, commit)| (name.to_owned(), commit.to_owned())).collect()
}

/// The objects of the bare repositories at or below a path that hold one of these texts, unpacked.
fn objects_with(path: &Path, texts: &[&str]) -> Vec<String> {
    if !path.join("objects").is_dir() {
        let below = std::fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path());
        return below.filter(|path| path.is_dir()).flat_map(|path| objects_with(&path, texts)).collect();
    }
    let listed = run(path, &["cat-file", "--batch-check=%(objectname) %(objecttype)", "--batch-all-objects"]);
    assert!(!listed.is_empty(), "{} has objects", path.display());
    let holds = |name: &str, kind: &str| {
        let content = command(path, &["cat-file", kind, name]).output().expect("git").stdout;
        texts.iter().any(|text| content.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    listed.lines().filter_map(|line| line.split_once(' ')).filter(|(name, kind)| holds(name, kind)).map(|(name, _)| name.to_owned()).collect()
}

/// Has a request planned again, as when its base moved on.
fn plan_again(server: &TestServer, key: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let id: RequestId = server.at().requests_of(key)[0]["id"].as_str().expect("an id").parse().expect("an id");
    runtime.block_on(async {
        let store = SqlStore::sqlite(server.data().join("kubeops.db").to_str().expect("UTF-8"), SqliteOptions::default()).await.expect("the store");
        let mut request = store.request(&id).await.expect("the request");
        let now = request.updated_at.plus(std::time::Duration::from_millis(1));
        let task = NewTask { id: TaskId::from_parts(now, 7), kind: TaskKind::Plan, request: id, lane: "gitops".to_owned(), run_at: now };
        request.state = State::Accepted;
        store.update_request(&request, &RequestUpdate { tasks: vec![task], ..Default::default() }, now).await.expect("written");
        store.close().await;
    });
}

/// A ticket left exactly one request in this state, one branch with one commit on it, and one pull request; git is whole.
fn left_exactly_one(server: &TestServer, key: &str, state: &str) {
    let requests = server.at().requests_of(key);
    assert_eq!(requests.len(), 1, "{requests:#?}");
    let request = &requests[0];
    assert_eq!(request["state"], state, "{request:#}");
    let branch = request["branch"].as_str().expect("a branch");
    assert_eq!(branches(&server.upstream), [(branch.to_owned(), request["commit"].as_str().expect("a commit").to_owned())]);
    assert_eq!(server.upstream.git(&["rev-list", "--count", &format!("main..{branch}")]).trim(), "1");
    let pulls: Vec<Value> = server.at().all("/pulls");
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    assert_eq!((&pulls[0]["number"], &pulls[0]["head"]), (&request["pull"]["number"], &request["branch"]));
    assert_eq!(pulls[0]["state"], "open");
    server.upstream.fsck();
}
