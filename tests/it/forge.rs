//! The forges: GitHub against a fake with state and faults, the local forge against a real bare repository.

use crate::support::fake_github::{FakeGithub, Fault, Seen, TOKEN};
use crate::support::github_openapi::violations;
use crate::support::upstream::{UpstreamRepo, config_map};
use kubeops::clock::Clock;
use kubeops::forge::local::{LocalPull, Person, RecordError};
use kubeops::forge::{Forge, ForgeError, GitHub, GitHubSettings, LocalForge, PullRecords, PullSpec, PullState, Review, Tools};
use kubeops::types::{BranchName, ChangeKind, CommitSha, ErrorClass, RepositoryName, Timestamp};
use rstest::rstest;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A clock that stands still.
#[derive(Debug, Clone, Copy)]
struct Still;

const NOW: i64 = 1_763_640_000;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(NOW * 1000)
    }
    fn random(&self) -> u128 {
        4
    }
}

fn spec() -> PullSpec {
    PullSpec {
        head: "kubeops/namespace-request/ops-42".parse().expect("a branch"),
        base: "main".parse().expect("a branch"),
        title: "Namespace web (OPS-42)".to_owned(),
        body: "Asked for by Ada.".to_owned(),
        labels: vec!["namespace".to_owned(), "kubeops".to_owned()],
        reviewers: vec!["ada".parse().expect("a reviewer"), "acme/platform".parse().expect("a reviewer")],
        head_commit: "1".repeat(40).parse().expect("a commit"),
        earlier: Vec::new(),
        asked_before: false,
        former: None,
    }
}

fn again(spec: &PullSpec) -> PullSpec {
    PullSpec { asked_before: true, ..spec.clone() }
}

fn github_at(url: &str, token: &'static str) -> GitHub {
    let settings =
        GitHubSettings { api: url.to_owned(), timeout: Duration::from_secs(10), ..GitHubSettings::of("acme/gitops").expect("a repository") };
    GitHub::new(&settings, Arc::new(move || Ok(token.into())), Arc::new(Still)).expect("a client")
}

fn github(fake: &FakeGithub) -> GitHub {
    github_at(&fake.url(), TOKEN)
}

#[tokio::test]
async fn a_new_pull_request_takes_three_calls_and_an_unchanged_one_a_single_look() {
    let fake = FakeGithub::start();
    let github = github(&fake);
    let pull = github.ensure_pull(&spec()).await.expect("a pull request");
    assert_eq!((pull.number, pull.state), (1, PullState::Open));
    assert_eq!(pull.url, "https://github.com/acme/gitops/pull/1");
    let kept = &fake.pulls()[0];
    assert_eq!((kept.title.as_str(), kept.body.as_str()), ("Namespace web (OPS-42)", "Asked for by Ada."));
    assert_eq!(kept.labels, ["namespace", "kubeops"]);
    assert_eq!((kept.reviewers.as_slice(), kept.teams.as_slice()), (["ada".to_owned()].as_slice(), ["platform".to_owned()].as_slice()));
    let calls: Vec<String> = fake.ledger().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    let route = "/repos/acme/gitops";
    assert_eq!(calls, [format!("POST {route}/pulls"), format!("POST {route}/issues/1/labels"), format!("POST {route}/pulls/1/requested_reviewers")]);
    assert_eq!(fake.ledger()[2].body, serde_json::json!({ "reviewers": ["ada"], "team_reviewers": ["platform"] }));
    fake.clear_ledger();
    let same = github.ensure_pull(&again(&spec())).await.expect("the pull request");
    assert_eq!(same, pull);
    assert_eq!(fake.ledger().len(), 1);
    assert_eq!(github.budget().expect("a budget").remaining, 4_996);
}

#[tokio::test]
async fn what_differs_is_brought_up_and_what_a_person_added_stays() {
    let fake = FakeGithub::start();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    fake.person(1, |pull| {
        pull.labels.push("urgent".to_owned());
        pull.body = "Asked for by Ada.\r\n".to_owned();
    });
    fake.clear_ledger();
    let wanted = PullSpec { title: "Namespace web-2".to_owned(), labels: vec!["Namespace".to_owned(), "new".to_owned()], ..again(&spec()) };
    let pull = github.ensure_pull(&wanted).await.expect("the pull request");
    assert_eq!(pull.title, "Namespace web-2");
    assert_eq!(fake.pulls()[0].labels, ["namespace", "kubeops", "urgent", "new"]);
    assert_eq!(fake.ledger().len(), 3, "look, change, label");
}

#[tokio::test]
async fn who_has_reviewed_is_not_asked_again() {
    let fake = FakeGithub::start();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    fake.person(1, |pull| {
        pull.reviewers.clear();
        pull.teams.clear();
        pull.reviews = vec![
            ("ada".to_owned(), "APPROVED".to_owned()),
            ("bob".to_owned(), "APPROVED".to_owned()),
            ("bob".to_owned(), "CHANGES_REQUESTED".to_owned()),
            ("ada".to_owned(), "COMMENTED".to_owned()),
        ];
    });
    github.ensure_pull(&again(&spec())).await.expect("the pull request");
    assert!(fake.pulls()[0].reviewers.is_empty());
    assert_eq!(github.get(1).await.expect("the pull request").approved_by, ["ada"]);
}

#[tokio::test]
async fn what_a_person_closed_or_merged_is_told_and_not_touched() {
    for (merged, state) in [(false, PullState::Closed), (true, PullState::Merged)] {
        let fake = FakeGithub::start();
        let github = github(&fake);
        github.ensure_pull(&spec()).await.expect("a pull request");
        fake.end(1, merged);
        fake.clear_ledger();
        let pull = github.ensure_pull(&PullSpec { title: "Another".to_owned(), ..again(&spec()) }).await.expect("the pull request");
        assert_eq!(pull.state, state);
        assert_eq!(pull.merge_commit.is_some(), merged);
        assert_eq!((fake.pulls().len(), fake.ledger().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_closed_pull_request_of_another_requests_commit_is_not_taken_for_ones_own() {
    let other = PullSpec { head_commit: "2".repeat(40).parse().expect("a commit"), ..again(&spec()) };
    for merged in [false, true] {
        let fake = FakeGithub::start();
        let github = github(&fake);
        github.ensure_pull(&spec()).await.expect("a pull request");
        fake.end(1, merged);
        // A commit of one's own that the branch was at before is what tells.
        let same = PullSpec { earlier: vec![spec().head_commit], ..other.clone() };
        assert_eq!(github.ensure_pull(&same).await.expect("the first").number, 1);
        let pull = github.ensure_pull(&other).await.expect("one of its own");
        assert_eq!((pull.number, pull.state), (2, PullState::Open));
    }
    let local = local();
    let (first, number) = local.propose("kubeops/one", APP, &config_map("app", "1")).await;
    local.forge.decline(number, &ada(), None).await.expect("declined");
    let commit = local.upstream.write("kubeops/one", APP, &config_map("app", "2"));
    let second = PullSpec { head_commit: commit, ..again(&first) };
    let same = PullSpec { earlier: vec![first.head_commit.clone()], ..second.clone() };
    assert_eq!(local.forge.ensure_pull(&same).await.expect("the first").number, number);
    let pull = local.forge.ensure_pull(&second).await.expect("one of its own");
    assert_eq!((pull.number, pull.state), (number + 1, PullState::Open));
}

#[tokio::test]
async fn an_open_pull_request_counts_before_a_closed_one_of_the_same_branch() {
    let fake = FakeGithub::start();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    fake.end(1, false);
    github.ensure_pull(&spec()).await.expect("a second, because nothing is known of the first");
    let head = spec().head;
    assert_eq!(github.find(&head).await.expect("found").expect("a pull request").number, 2);
    fake.end(2, false);
    assert_eq!(github.find(&head).await.expect("found").expect("a pull request").number, 2);
    assert_eq!(github.find(&"other".parse().expect("a branch")).await.expect("looked"), None);
}

/// Whatever goes wrong in whichever of the three calls: the next attempt ends with one whole pull request.
#[rstest]
#[tokio::test]
async fn a_fault_in_any_call_ends_with_one_whole_pull_request(
    #[values(
        Fault::BadGateway,
        Fault::TooMany(None),
        Fault::Secondary(Some(7)),
        Fault::DroppedAfter,
        Fault::DroppedBefore,
        Fault::Truncated,
        Fault::Html
    )]
    fault: Fault,
    #[values(0, 1, 2)] call: usize,
) {
    let fake = FakeGithub::start();
    let github = github(&fake);
    fake.fail_after(call, fault.clone());
    let first = github.ensure_pull(&spec()).await;
    assert_eq!(first.expect_err("a fault").class(), ErrorClass::Transient);
    github.ensure_pull(&again(&spec())).await.expect("the second attempt");
    let pulls = fake.pulls();
    assert_eq!(pulls.len(), 1);
    assert!(pulls[0].labels.starts_with(&["namespace".to_owned(), "kubeops".to_owned()]));
    assert_eq!((pulls[0].reviewers.len(), pulls[0].teams.len()), (1, 1));
}

#[tokio::test]
async fn a_refusal_because_there_is_one_finds_it_even_when_nothing_was_recorded() {
    let fake = FakeGithub::start();
    let github = github(&fake);
    fake.fail(Fault::DroppedAfter);
    github.ensure_pull(&spec()).await.expect_err("dropped");
    // The caller's note of the first attempt was lost as well.
    let pull = github.ensure_pull(&spec()).await.expect("found");
    assert_eq!((pull.number, fake.pulls().len()), (1, 1));
    assert_eq!(fake.pulls()[0].labels, ["namespace", "kubeops"]);
}

#[tokio::test]
async fn a_refusal_because_it_is_merged_already_tells_the_merged_one() {
    let fake = FakeGithub::start();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    fake.person(1, |pull| {
        pull.merged = true;
        pull.state = "closed";
    });
    // Nothing was recorded, and the branch was deleted with the merge and pushed again.
    fake.fail(Fault::Unprocessable);
    let pull = github.ensure_pull(&spec()).await.expect("found");
    assert_eq!((pull.number, pull.state), (1, PullState::Merged));
    // Another commit is not what was merged.
    fake.fail(Fault::Unprocessable);
    let other = PullSpec { head_commit: "2".repeat(40).parse().expect("a commit"), ..spec() };
    assert!(matches!(github.ensure_pull(&other).await, Err(ForgeError::Refused { .. })));
}

#[rstest]
#[case(Fault::Secondary(Some(17)), Some(17))]
#[case(Fault::Secondary(None), Some(60))]
#[case(Fault::TooMany(Some(5)), Some(5))]
#[case(Fault::TooMany(None), Some(60))]
// Whatever it says, nothing waits longer than an hour.
#[case(Fault::TooMany(Some(u64::MAX)), Some(3600))]
#[case(Fault::Secondary(Some(86_400)), Some(3600))]
#[case(Fault::Exhausted { reset: u64::MAX }, Some(3600))]
#[case(Fault::Exhausted { reset: NOW as u64 + 90 }, Some(90))]
#[case(Fault::BadGateway, None)]
#[tokio::test]
async fn a_limit_says_how_long_to_wait(#[case] fault: Fault, #[case] seconds: Option<u64>) {
    let fake = FakeGithub::start();
    let github = github(&fake);
    fake.fail(fault);
    let error = github.find(&spec().head).await.expect_err("a limit");
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert_eq!(error.retry_after(), seconds.map(Duration::from_secs), "{error}");
}

#[rstest]
#[case(Fault::Forbidden, "not accessible")]
#[case(Fault::Archived, "archived")]
#[case(Fault::NotFound, "hides it from this token")]
#[case(Fault::Unprocessable, "No commits between")]
#[tokio::test]
async fn a_lost_permission_is_final_and_says_what_to_do(#[case] fault: Fault, #[case] words: &str) {
    let fake = FakeGithub::start();
    let github = github(&fake);
    fake.fail(fault);
    let error = github.ensure_pull(&spec()).await.expect_err("refused");
    assert_eq!(error.class(), ErrorClass::Permanent, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(fake.pulls().is_empty());
}

#[tokio::test]
async fn a_wrong_token_is_final_and_never_shown() {
    let fake = FakeGithub::start();
    let github = github_at(&fake.url(), "ghp_wrongwrong");
    let error = github.ensure_pull(&spec()).await.expect_err("refused");
    assert!(matches!(error, ForgeError::Unauthorised { .. }), "{error}");
    assert!(!format!("{error:?} {error}").contains("ghp_"), "{error:?}");
    let broken = github_at(&fake.url(), "ghp_with\nnewline");
    let error = broken.find(&spec().head).await.expect_err("no header");
    assert!(!format!("{error:?} {error}").contains("ghp_"), "{error:?}");
}

#[tokio::test]
async fn silence_ends_with_the_time_out_and_nobody_there_is_transient() {
    let fake = FakeGithub::start();
    let settings =
        GitHubSettings { api: fake.url(), timeout: Duration::from_millis(300), ..GitHubSettings::of("acme/gitops").expect("a repository") };
    let github = GitHub::new(&settings, Arc::new(|| Ok(TOKEN.into())), Arc::new(Still)).expect("a client");
    fake.fail(Fault::Silent);
    let error = github.ensure_pull(&spec()).await.expect_err("silence");
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert_eq!(github.ensure_pull(&again(&spec())).await.expect("found").number, 1);
    let gone = github_at("http://127.0.0.1:1", TOKEN);
    assert_eq!(gone.find(&spec().head).await.expect_err("nobody").class(), ErrorClass::Transient);
}

#[tokio::test]
async fn a_reviewer_nobody_knows_is_a_note_and_the_pull_request_stands() {
    let fake = FakeGithub::start();
    let github = github(&fake);
    let reviewers = vec!["nobody".parse().expect("a reviewer"), "kubeops-bot".parse().expect("a reviewer")];
    let pull = github.ensure_pull(&PullSpec { reviewers, ..spec() }).await.expect("a pull request");
    assert_eq!(pull.notes.len(), 2, "{:?}", pull.notes);
    assert!(pull.notes[1].contains("collaborators"), "{:?}", pull.notes);
}

#[tokio::test]
async fn an_enterprise_address_has_a_path_and_long_texts_are_cut() {
    let fake = FakeGithub::start();
    let github = github_at(&format!("{}/api/v3/", fake.url()), TOKEN);
    let spec = PullSpec { title: "ä".repeat(400), body: "ö".repeat(70_000), ..spec() };
    github.ensure_pull(&spec).await.expect("a pull request");
    assert!(fake.ledger().iter().all(|seen| seen.path.starts_with("/api/v3/repos/acme/gitops/")));
    fake.clear_ledger();
    github.ensure_pull(&again(&spec)).await.expect("the pull request");
    assert_eq!(fake.ledger().len(), 1, "the cut texts are the wanted ones");
}

#[tokio::test]
async fn closing_says_why_once() {
    let fake = FakeGithub::start();
    let github = github(&fake);
    github.ensure_pull(&spec()).await.expect("a pull request");
    for _ in 0..2 {
        let pull = github.close(1, Some("The ticket was cancelled.")).await.expect("closed");
        assert_eq!(pull.state, PullState::Closed);
    }
    assert_eq!(fake.pulls()[0].comments, ["The ticket was cancelled."]);
    assert!(matches!(github.close(9, None).await, Err(ForgeError::NoPull { number: 9, .. })));
    assert!(matches!(github.comment(9, "x").await, Err(ForgeError::NoPull { number: 9, .. })));
}

#[test]
fn a_repository_is_owner_and_name_and_cannot_leave_its_route() {
    assert!(GitHubSettings::of("acme/git.ops_2").is_ok());
    for bad in ["", "acme", "acme/", "/x", "a/b/c", "acme/..", "acme/x?y", "acme/x y", "../x"] {
        assert!(GitHubSettings::of(bad).is_err(), "{bad:?}");
    }
}

/// Records in memory.
#[derive(Default)]
struct Memory {
    records: Mutex<Vec<LocalPull>>,
}

#[async_trait::async_trait]
impl PullRecords for Memory {
    async fn insert(&self, record: &LocalPull) -> Result<LocalPull, RecordError> {
        let mut records = self.records.lock().expect("records");
        if records.iter().any(|kept| kept.pull.head == record.pull.head && kept.pull.state == PullState::Open) {
            return Err(RecordError::Exists);
        }
        let mut record = record.clone();
        record.pull.number = records.len() as u64 + 1;
        record.pull.url = format!("{}/{}", record.pull.url, record.pull.number);
        record.version = 1;
        records.push(record.clone());
        Ok(record)
    }

    async fn update(&self, record: &LocalPull) -> Result<LocalPull, RecordError> {
        let mut records = self.records.lock().expect("records");
        let kept = records.iter_mut().find(|kept| kept.pull.number == record.pull.number && kept.version == record.version);
        let kept = kept.ok_or(RecordError::Outdated)?;
        *kept = LocalPull { version: record.version + 1, ..record.clone() };
        Ok(kept.clone())
    }

    async fn find(&self, _: &RepositoryName, head: &BranchName) -> Result<Option<LocalPull>, RecordError> {
        let records = self.records.lock().expect("records");
        let of_head = || records.iter().filter(|kept| kept.pull.head == head.as_str());
        Ok(of_head().find(|kept| kept.pull.state == PullState::Open).or_else(|| of_head().next_back()).cloned())
    }

    async fn get(&self, _: &RepositoryName, number: u64) -> Result<Option<LocalPull>, RecordError> {
        Ok(self.records.lock().expect("records").iter().find(|kept| kept.pull.number == number).cloned())
    }

    async fn list(&self, _: &RepositoryName, state: Option<PullState>, limit: usize) -> Result<Vec<LocalPull>, RecordError> {
        let records = self.records.lock().expect("records");
        Ok(records.iter().rev().filter(|kept| state.is_none_or(|state| kept.pull.state == state)).take(limit).cloned().collect())
    }
}

struct Local {
    upstream: UpstreamRepo,
    forge: Arc<LocalForge>,
    records: Arc<Memory>,
}

fn local() -> Local {
    let upstream = UpstreamRepo::new();
    let records = Arc::new(Memory::default());
    let tools = Tools { open: kubeops::git::open_isolated, diff: kubeops::git::tree_diff };
    let forge = LocalForge::new(
        "gitops".parse().expect("a name"),
        upstream.path().to_path_buf(),
        tools,
        Arc::clone(&records) as Arc<dyn PullRecords>,
        Arc::new(Still),
        "http://localhost/pulls",
    );
    Local { upstream, forge: Arc::new(forge), records }
}

impl Local {
    /// A branch off the present main with one file written, and its pull request.
    async fn propose(&self, branch: &str, path: &str, content: &str) -> (PullSpec, u64) {
        self.upstream.git(&["branch", branch, "main"]);
        let commit = self.upstream.write(branch, path, content);
        let spec = PullSpec { head: branch.parse().expect("a branch"), head_commit: commit, ..spec() };
        let pull = self.forge.ensure_pull(&spec).await.expect("a pull request");
        (spec, pull.number)
    }
}

fn ada() -> Person {
    Person { name: "ada".to_owned(), email: "ada@example.com".to_owned() }
}

const APP: &str = "clusters/prod/config/app.yaml";

#[tokio::test]
async fn a_local_pull_request_is_opened_once_shown_approved_and_merged() {
    let local = local();
    let before = local.upstream.tip("main").expect("a tip");
    let (spec, number) = local.propose("kubeops/one", APP, &config_map("app", "1")).await;
    let same = local.forge.ensure_pull(&again(&spec)).await.expect("the pull request");
    assert_eq!((same.number, same.url.as_str()), (1, "http://localhost/pulls/gitops/1"));
    assert_eq!(local.records.records.lock().expect("records")[0].version, 1, "nothing was written");
    let diff = local.forge.diff(number, 10_000).await.expect("a diff");
    let [file] = diff.files.as_slice() else { panic!("one file: {diff:?}") };
    assert_eq!((file.path.as_str(), file.kind), (APP, ChangeKind::Added));
    assert!(file.patch.contains(&format!("+++ b/{APP}")) && file.patch.contains("+  name: app"), "{}", file.patch);
    let approved = local.forge.approve(number, &ada()).await.expect("approved");
    assert_eq!((approved.approved_by.as_slice(), approved.reviewers.len()), (["ada".to_owned()].as_slice(), 1));
    let merged = local.forge.merge(number, &ada()).await.expect("merged");
    assert_eq!(merged.state, PullState::Merged);
    let commit = merged.merge_commit.clone().expect("a commit");
    assert_eq!(local.upstream.tip("main").as_ref(), Some(&commit));
    let parents = local.upstream.git(&["show", "--no-patch", "--format=%P|%an|%s", commit.as_str()]);
    assert_eq!(parents.trim(), format!("{before} {}|ada|Merge pull request 1 from kubeops/one", spec.head_commit));
    assert_eq!(local.upstream.show(APP, "main"), config_map("app", "1"));
    assert_eq!(local.forge.merge(number, &ada()).await.expect("told"), merged, "merging again does nothing");
    assert_eq!(local.forge.diff(number, 10_000).await.expect("a diff"), diff);
    assert_eq!(local.upstream.tip("kubeops/one"), None, "the merged branch is gone");
    assert_eq!(local.forge.ensure_pull(&again(&spec)).await.expect("told").state, PullState::Merged);
    assert_eq!(local.forge.ensure_pull(&spec).await.expect("told").state, PullState::Merged, "the commit tells that it was asked for before");
    local.upstream.fsck();
}

#[tokio::test]
async fn a_moved_base_is_merged_with_and_a_conflict_names_the_files() {
    let local = local();
    let (_, one) = local.propose("kubeops/one", APP, &config_map("app", "1")).await;
    let (_, two) = local.propose("kubeops/two", "clusters/prod/config/other.yaml", &config_map("other", "1")).await;
    let (_, three) = local.propose("kubeops/three", APP, &config_map("app", "3")).await;
    local.forge.merge(one, &ada()).await.expect("merged");
    local.forge.merge(two, &ada()).await.expect("merged with the moved base");
    assert_eq!(local.upstream.show(APP, "main"), config_map("app", "1"));
    assert_eq!(local.upstream.show("clusters/prod/config/other.yaml", "main"), config_map("other", "1"));
    let tip = local.upstream.tip("main");
    let error = local.forge.merge(three, &ada()).await.expect_err("a conflict");
    assert!(matches!(&error, ForgeError::Conflict { files, .. } if files == &[APP]), "{error}");
    assert_eq!(local.upstream.tip("main"), tip);
    let open = local.forge.list(Some(PullState::Open), 10).await.expect("listed");
    assert_eq!(open.iter().map(|pull| pull.number).collect::<Vec<_>>(), [three]);
    local.upstream.fsck();
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_at_the_same_time_lose_nothing() {
    let local = local();
    let mut numbers = Vec::new();
    for number in 0..6 {
        let path = format!("clusters/prod/config/app-{number}.yaml");
        numbers.push(local.propose(&format!("kubeops/{number}"), &path, &config_map("app", "1")).await.1);
    }
    let merges: Vec<_> = numbers
        .iter()
        .map(|number| {
            let (forge, number) = (Arc::clone(&local.forge), *number);
            tokio::spawn(async move { forge.merge(number, &ada()).await })
        })
        .collect();
    for merge in merges {
        let merged = merge.await.expect("joined");
        // Who lost every race is told to try again, and does.
        if let Err(error) = &merged {
            assert_eq!(error.class(), ErrorClass::Transient, "{error}");
        }
    }
    for number in numbers {
        assert_eq!(local.forge.merge(number, &ada()).await.expect("merged").state, PullState::Merged);
        local.upstream.show(&format!("clusters/prod/config/app-{}.yaml", number - 1), "main");
    }
    local.upstream.fsck();
}

#[tokio::test]
async fn commits_nobody_looked_at_are_neither_approved_nor_merged() {
    let local = local();
    let (spec, number) = local.propose("kubeops/one", APP, &config_map("app", "1")).await;
    local.forge.approve(number, &ada()).await.expect("approved");
    let before = local.upstream.tip("main");
    let sneaked: CommitSha = local.upstream.write("kubeops/one", APP, &config_map("app", "evil"));
    let error = local.forge.merge(number, &ada()).await.expect_err("changed");
    assert!(matches!(error, ForgeError::Changed { .. }), "{error}");
    assert_eq!(local.upstream.tip("main"), before);
    let pull = local.forge.get(number).await.expect("the pull request");
    assert_eq!((pull.head_commit.as_ref(), pull.approved_by.len()), (Some(&sneaked), 0));
    // Now it was shown and may be merged; and a new push of ours drops approvals, too.
    local.forge.approve(number, &ada()).await.expect("approved");
    let ours = PullSpec { head_commit: spec.head_commit.clone(), ..again(&spec) };
    assert!(local.forge.ensure_pull(&ours).await.expect("brought up").approved_by.is_empty());
}

#[tokio::test]
async fn a_merge_that_was_not_recorded_is_found_again() {
    let local = local();
    let (_, number) = local.propose("kubeops/one", APP, &config_map("app", "1")).await;
    let kept = local.records.records.lock().expect("records").clone();
    let merged = local.forge.merge(number, &ada()).await.expect("merged");
    // The record is lost with the crash; the branch is gone already.
    *local.records.records.lock().expect("records") = kept;
    assert_eq!(local.upstream.tip("kubeops/one"), None);
    let tip = local.upstream.tip("main");
    assert_eq!(local.forge.merge(number, &ada()).await.expect("found").merge_commit, merged.merge_commit);
    assert_eq!(local.upstream.tip("main"), tip);
}

#[tokio::test]
async fn what_was_merged_with_git_alone_is_seen() {
    let local = local();
    let (spec, number) = local.propose("kubeops/one", APP, &config_map("app", "1")).await;
    local.upstream.git(&["update-ref", "refs/heads/main", spec.head_commit.as_str()]);
    let pull = local.forge.get(number).await.expect("the pull request");
    assert_eq!((pull.state, pull.merge_commit), (PullState::Merged, Some(spec.head_commit)));
    assert_eq!(local.upstream.tip("kubeops/one"), None, "its branch goes as well");
}

#[tokio::test]
async fn a_merged_branch_that_a_person_has_pushed_to_since_stays() {
    let local = local();
    let (spec, number) = local.propose("kubeops/one", APP, &config_map("app", "1")).await;
    local.upstream.git(&["update-ref", "refs/heads/main", spec.head_commit.as_str()]);
    let theirs = local.upstream.write("kubeops/one", APP, &config_map("app", "2"));
    assert_eq!(local.forge.get(number).await.expect("the pull request").state, PullState::Merged);
    assert_eq!(local.upstream.tip("kubeops/one"), Some(theirs));
}

#[tokio::test]
async fn a_declined_pull_request_is_a_veto() {
    let local = local();
    let (spec, number) = local.propose("kubeops/one", APP, &config_map("app", "1")).await;
    let pull = local.forge.decline(number, &ada(), Some("Not this quarter.")).await.expect("declined");
    assert_eq!((pull.state, pull.closed_by.as_deref()), (PullState::Closed, Some("ada")));
    assert_eq!(local.forge.ensure_pull(&again(&spec)).await.expect("told").state, PullState::Closed);
    assert!(matches!(local.forge.merge(number, &ada()).await, Err(ForgeError::NotOpen { .. })));
    assert!(matches!(local.forge.approve(number, &ada()).await, Err(ForgeError::NotOpen { .. })));
    assert!(matches!(local.forge.get(9).await, Err(ForgeError::NoPull { .. })));
    assert_eq!(local.records.records.lock().expect("records")[0].comments[0].body, "Not this quarter.");
}

#[tokio::test]
async fn what_we_send_is_what_github_describes() {
    let fake = FakeGithub::start();
    let github = github(&fake);
    let pull = github.ensure_pull(&spec()).await.expect("a pull request");
    let changed = PullSpec { title: "Another".to_owned(), body: "Other words.".to_owned(), labels: vec!["more".to_owned()], ..again(&spec()) };
    github.ensure_pull(&changed).await.expect("brought up to date");
    github.get(pull.number).await.expect("the pull request");
    github.find(&spec().head).await.expect("the pull request");
    github.comment(pull.number, "A word.").await.expect("a comment");
    github.close(pull.number, Some("Why.")).await.expect("closed");
    let ledger = fake.ledger();
    assert!(ledger.len() >= 9, "every operation was called: {ledger:?}");
    let wrong: Vec<String> = ledger.iter().flat_map(violations).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_description_notices_what_github_does_not_take() {
    let seen = |method: &str, path: &str, body: serde_json::Value| Seen { method: method.to_owned(), path: path.to_owned(), body };
    let pulls = "/repos/acme/gitops/pulls";
    assert!(violations(&seen("POST", pulls, serde_json::json!({ "title": "t", "head": "h", "base": "b" }))).is_empty());
    for wrong in [
        seen("POST", pulls, serde_json::json!({ "title": 1, "head": "h", "base": "b" })),
        seen("POST", pulls, serde_json::json!({ "title": "t" })),
        seen("POST", pulls, serde_json::json!({ "title": "t", "head": "h", "base": "b", "labels": ["x"] })),
        seen("PUT", pulls, serde_json::json!({})),
        seen("GET", "/repos/acme/gitops/pulls?hed=x", serde_json::Value::Null),
        seen("GET", "/repos/acme/gitops/nothing", serde_json::Value::Null),
    ] {
        assert!(!violations(&wrong).is_empty(), "{wrong:?}");
    }
}
