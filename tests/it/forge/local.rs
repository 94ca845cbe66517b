//! The local forge against a real bare repository.

use super::{Hand, again, spec};
use crate::support::upstream::{UpstreamRepo, config_map};
use kubeops::automation::MergeMethod;
use kubeops::forge::local::{LocalPull, Person, RecordError};
use kubeops::forge::{Forge, ForgeError, HELD_LABEL, LocalForge, Pull, PullRecords, PullSpec, PullState, Review, Tools};
use kubeops::lease::Lease;
use kubeops::types::{BranchName, ChangeKind, CommitSha, ErrorClass, RepositoryName};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What another does to a record.
type Meanwhile = Box<dyn FnOnce(&mut LocalPull) + Send>;

/// Records in memory.
#[derive(Default)]
struct Memory {
    records: Mutex<Vec<LocalPull>>,
    /// What others write each just before one of our writes.
    meanwhile: Mutex<Vec<Meanwhile>>,
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
        if let Some(other) = self.meanwhile.lock().expect("others").pop() {
            let kept = records.iter_mut().find(|kept| kept.pull.number == record.pull.number).expect("a record");
            other(kept);
            kept.version += 1;
        }
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
        Arc::new(Hand::default()),
        "http://localhost/pulls",
    );
    Local { upstream, forge: Arc::new(forge), records }
}

impl Local {
    /// A branch off the present main with one file written, and its pull request.
    async fn propose(&self, branch: &str, path: &str, content: &str) -> (PullSpec, u64) {
        self.propose_as(spec(), branch, path, content).await
    }

    /// The same, to be merged by itself.
    async fn propose_to_merge(&self, held: bool) -> (PullSpec, u64) {
        self.propose_as(PullSpec { auto_merge: Some(MergeMethod::Squash), held, ..spec() }, "kubeops/one", APP, &config_map("app", "1")).await
    }

    async fn propose_as(&self, spec: PullSpec, branch: &str, path: &str, content: &str) -> (PullSpec, u64) {
        self.upstream.git(&["branch", branch, "main"]);
        let commit = self.upstream.write(branch, path, content);
        let spec = PullSpec { head: branch.parse().expect("a branch"), head_commit: commit, ..spec };
        let pull = self.forge.ensure_pull(&spec).await.expect("a pull request");
        (spec, pull.number)
    }

    /// What the next look at it finds.
    async fn look(&self, number: u64) -> Pull {
        self.forge.look(&[number], None).await.expect("a look").pulls.remove(0)
    }

    /// Changes what is kept of it, as another would.
    fn kept(&self, number: u64, change: impl FnOnce(&mut LocalPull)) {
        let mut records = self.records.records.lock().expect("records");
        change(records.iter_mut().find(|kept| kept.pull.number == number).expect("a record"));
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
    let approved = local.forge.approve(number, &ada(), false).await.expect("approved");
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
    local.forge.approve(number, &ada(), false).await.expect("approved");
    let before = local.upstream.tip("main");
    let sneaked: CommitSha = local.upstream.write("kubeops/one", APP, &config_map("app", "evil"));
    let error = local.forge.merge(number, &ada()).await.expect_err("changed");
    assert!(matches!(error, ForgeError::Changed { .. }), "{error}");
    assert_eq!(local.upstream.tip("main"), before);
    let pull = local.forge.get(number).await.expect("the pull request");
    assert_eq!((pull.head_commit.as_ref(), pull.approved_by.len()), (Some(&sneaked), 0));
    // Now it was shown and may be merged; and a new push of ours drops approvals, too.
    local.forge.approve(number, &ada(), false).await.expect("approved");
    let ours = PullSpec { head_commit: spec.head_commit.clone(), ..again(&spec) };
    assert!(local.forge.ensure_pull(&ours).await.expect("brought up").approved_by.is_empty());
}

#[tokio::test]
async fn what_another_writes_meanwhile_is_kept_unless_it_is_what_was_looked_at() {
    let local = local();
    let (_, number) = local.propose("kubeops/one", APP, &config_map("app", "1")).await;
    let meanwhile = |other: fn(&mut LocalPull)| local.records.meanwhile.lock().expect("others").push(Box::new(other));

    meanwhile(|record| record.pull.labels.push("urgent".to_owned()));
    meanwhile(|record| record.pull.title = "Another title".to_owned());
    let pull = local.forge.approve(number, &ada(), false).await.expect("approved");
    assert_eq!((pull.title.as_str(), pull.approved_by.as_slice()), ("Another title", ["ada".to_owned()].as_slice()));
    assert!(pull.labels.contains(&"urgent".to_owned()), "{:?}", pull.labels);

    // A head that nobody has seen yet is not approved with the one that was.
    meanwhile(|record| record.pull.head_commit = Some("0123456789abcdef0123456789abcdef01234567".parse().expect("a commit")));
    let grace = Person { name: "grace".to_owned(), ..ada() };
    let error = local.forge.approve(number, &grace, false).await.expect_err("another head");
    assert!(matches!(error, ForgeError::Outdated { .. }), "{error}");
    assert_eq!(local.forge.find(&"kubeops/one".parse().expect("a branch")).await.expect("read").expect("there").approved_by, ["ada"]);
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
async fn a_closed_pull_request_of_another_commit_of_a_local_branch_is_not_taken_for_ones_own() {
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
async fn a_declined_pull_request_is_a_veto() {
    let local = local();
    let (spec, number) = local.propose("kubeops/one", APP, &config_map("app", "1")).await;
    let pull = local.forge.decline(number, &ada(), Some("Not this quarter.")).await.expect("declined");
    assert_eq!((pull.state, pull.closed_by.as_deref()), (PullState::Closed, Some("ada")));
    assert_eq!(local.forge.ensure_pull(&again(&spec)).await.expect("told").state, PullState::Closed);
    assert!(matches!(local.forge.merge(number, &ada()).await, Err(ForgeError::NotOpen { .. })));
    assert!(matches!(local.forge.approve(number, &ada(), false).await, Err(ForgeError::NotOpen { .. })));
    assert!(matches!(local.forge.get(9).await, Err(ForgeError::NoPull { .. })));
    assert_eq!(local.records.records.lock().expect("records")[0].comments[0].body, "Not this quarter.");
}

#[tokio::test]
async fn what_merges_by_itself_here_does_so_once_a_person_has_approved_it_and_not_before() {
    let local = local();
    let (spec, number) = local.propose_to_merge(false).await;
    let before = local.upstream.tip("main");
    assert_eq!(local.forge.ensure_pull(&again(&spec)).await.expect("the pull request").state, PullState::Open);
    let open = local.look(number).await;
    assert_eq!((open.state, open.auto_merge, local.upstream.tip("main")), (PullState::Open, true, before), "nobody has approved it");
    let merged = local.forge.approve(number, &ada(), false).await.expect("approved");
    assert_eq!(
        (merged.state, merged.closed_by.as_deref(), merged.approved_by.as_slice()),
        (PullState::Merged, Some("ada"), ["ada".to_owned()].as_slice())
    );
    assert_eq!(merged.merge_commit, local.upstream.tip("main"));
    let told = local.upstream.git(&["show", "--no-patch", "--format=%an <%ae>", "main"]);
    assert_eq!(told.trim(), "ada <ada@users.kubeops.invalid>");
    assert_eq!((local.upstream.show(APP, "main"), local.upstream.tip("kubeops/one")), (config_map("app", "1"), None));
    assert_eq!(local.forge.ensure_pull(&again(&spec)).await.expect("told").state, PullState::Merged);
    local.upstream.fsck();
}

#[tokio::test]
async fn a_draft_may_be_approved_and_is_merged_only_after_a_person_marked_it_ready() {
    let local = local();
    let wanted = PullSpec { draft: true, ..spec() };
    let (spec, number) = local.propose_as(wanted, "kubeops/one", APP, &config_map("app", "1")).await;
    assert!(local.look(number).await.draft);
    assert_eq!(local.forge.approve(number, &ada(), false).await.expect("approved").approved_by, ["ada"]);
    let before = local.upstream.tip("main");
    let refused = local.forge.merge(number, &ada()).await.expect_err("a draft");
    assert!(matches!(refused, ForgeError::Draft { .. }) && refused.to_string().contains("mark it ready first"), "{refused}");
    assert_eq!((local.look(number).await.state, local.upstream.tip("main")), (PullState::Open, before));

    assert!(!local.forge.ready(number).await.expect("ready").draft);
    assert!(!local.forge.ready(number).await.expect("again").draft);
    // What a person did is not undone when it is brought up to date.
    let updated = PullSpec { title: "Another title".to_owned(), ..again(&spec) };
    let pull = local.forge.ensure_pull(&updated).await.expect("brought up");
    assert_eq!((pull.draft, pull.title.as_str()), (false, "Another title"));
    let merged = local.forge.merge(number, &ada()).await.expect("merged");
    assert_eq!((merged.state, merged.merge_commit), (PullState::Merged, local.upstream.tip("main")));
    assert!(matches!(local.forge.ready(number).await, Err(ForgeError::NotOpen { .. })));
}

#[tokio::test]
async fn a_draft_becomes_ready_where_its_automation_says_so_since_and_nothing_becomes_one_again() {
    let local = local();
    let wanted = PullSpec { draft: true, ..spec() };
    let (spec, number) = local.propose_as(wanted, "kubeops/one", APP, &config_map("app", "1")).await;
    for (draft, expected) in [(true, true), (false, false), (true, false)] {
        local.forge.ensure_pull(&PullSpec { draft, ..again(&spec) }).await.expect("brought up");
        assert_eq!(local.look(number).await.draft, expected);
    }
}

#[tokio::test]
async fn a_draft_and_what_does_not_ask_for_it_are_not_merged_by_themselves() {
    let local = local();
    let (_, plain) = local.propose("kubeops/two", "clusters/prod/config/other.yaml", &config_map("other", "1")).await;
    let (spec, number) = local.propose_to_merge(false).await;
    let draft = PullSpec { draft: true, ..again(&spec) };
    assert!(!local.forge.ensure_pull(&draft).await.expect("brought up").auto_merge);
    for number in [plain, number] {
        assert_eq!(local.forge.approve(number, &ada(), false).await.expect("approved").state, PullState::Open);
        assert_eq!(local.look(number).await.state, PullState::Open);
    }
    // Asked for since: the approval that is there counts.
    assert_eq!(local.forge.ensure_pull(&again(&spec)).await.expect("brought up").state, PullState::Merged);
}

#[tokio::test]
async fn what_is_held_is_merged_by_itself_when_it_is_let_through_in_the_name_of_who_approved_it() {
    // Held as it shows, and by a word that it does not show yet.
    for (shown, by_now) in [(true, true), (true, false), (false, true)] {
        let local = local();
        let (spec, number) = local.propose_to_merge(shown).await;
        let before = local.upstream.tip("main");
        let approved = local.forge.approve(number, &ada(), by_now).await.expect("approved");
        assert_eq!((approved.state, approved.approved_by.as_slice()), (PullState::Open, ["ada".to_owned()].as_slice()));
        let looked = local.look(number).await;
        assert_eq!((looked.state, local.upstream.tip("main")), (PullState::Open, before), "shown {shown}, by now {by_now}");
        assert_eq!(looked.labels.iter().filter(|label| *label == HELD_LABEL).count(), 1);
        let held = PullSpec { held: true, ..again(&spec) };
        assert_eq!(local.forge.ensure_pull(&held).await.expect("brought up").state, PullState::Open);

        let free = PullSpec { held: false, ..again(&spec) };
        let merged = local.forge.ensure_pull(&free).await.expect("let through");
        assert_eq!((merged.state, merged.closed_by.as_deref()), (PullState::Merged, Some("ada")));
        assert!(!merged.labels.iter().any(|label| label == HELD_LABEL), "{:?}", merged.labels);
        assert_eq!(local.upstream.git(&["show", "--no-patch", "--format=%an", "main"]).trim(), "ada");
    }
}

#[tokio::test]
async fn a_merge_by_itself_that_conflicts_leaves_the_approval_and_says_why_once() {
    let local = local();
    let (_, number) = local.propose_to_merge(false).await;
    let (_, other) = local.propose("kubeops/two", APP, &config_map("app", "2")).await;
    local.forge.merge(other, &ada()).await.expect("merged");
    let tip = local.upstream.tip("main");
    let approved = local.forge.approve(number, &ada(), false).await.expect("approved, whatever becomes of the merge");
    assert_eq!((approved.state, approved.approved_by.as_slice()), (PullState::Open, ["ada".to_owned()].as_slice()));
    assert!(approved.notes[0].starts_with("it is not merged by itself: ") && approved.notes[0].contains(APP), "{:?}", approved.notes);
    let looked = local.look(number).await;
    assert_eq!((looked.state, looked.notes, local.upstream.tip("main")), (PullState::Open, approved.notes, tip));
    let comments = local.records.get(&"gitops".parse().expect("a name"), number).await.expect("read").expect("there").comments;
    assert_eq!(comments.len(), 1, "{comments:?}");
    assert!(comments[0].body.contains("Approved, and not merged by itself") && comments[0].body.contains(APP), "{comments:?}");
    local.upstream.fsck();
}

#[tokio::test]
async fn a_death_between_an_approval_and_its_merge_is_made_good_by_the_next_look_and_by_no_other_question() {
    let local = local();
    let (spec, number) = local.propose_to_merge(false).await;
    local.kept(number, |record| record.pull.approved_by.push("ada".to_owned()));
    assert_eq!(local.forge.get(number).await.expect("the pull request").state, PullState::Open, "who only reads it merges nothing");
    let merged = local.look(number).await;
    assert_eq!((merged.state, merged.closed_by.as_deref()), (PullState::Merged, Some("ada")));
    assert_eq!(local.forge.ensure_pull(&again(&spec)).await.expect("told").merge_commit, merged.merge_commit);
    // What is to be closed is closed, and not merged on the way.
    let (_, other) = local
        .propose_as(
            PullSpec { auto_merge: Some(MergeMethod::Merge), ..super::spec() },
            "kubeops/two",
            "clusters/prod/config/other.yaml",
            &config_map("other", "1"),
        )
        .await;
    local.kept(other, |record| record.pull.approved_by.push("ada".to_owned()));
    let tip = local.upstream.tip("main");
    assert_eq!(local.forge.close(other, None).await.expect("closed").state, PullState::Closed);
    assert_eq!((local.look(other).await.state, local.upstream.tip("main")), (PullState::Closed, tip));
}

#[tokio::test]
async fn a_commit_that_nobody_approved_is_not_merged_by_itself() {
    let local = local();
    let (spec, number) = local.propose_to_merge(false).await;
    local.kept(number, |record| record.pull.approved_by.push("ada".to_owned()));
    let before = local.upstream.tip("main");
    let sneaked = local.upstream.write("kubeops/one", APP, &config_map("app", "evil"));
    let looked = local.look(number).await;
    assert_eq!((looked.state, looked.head_commit.as_ref(), looked.approved_by.len()), (PullState::Open, Some(&sneaked), 0));
    let shown = PullSpec { head_commit: sneaked, ..again(&spec) };
    assert_eq!(local.forge.ensure_pull(&shown).await.expect("brought up").state, PullState::Open);
    assert_eq!(local.upstream.tip("main"), before);
    // Now it was shown.
    assert_eq!(local.forge.approve(number, &ada(), false).await.expect("approved").state, PullState::Merged);
    assert_eq!(local.upstream.show(APP, "main"), config_map("app", "evil"));
}

#[tokio::test]
async fn a_process_whose_lease_is_over_moves_no_branch() {
    let local = local();
    let over = || Lease::new(Arc::new(kubeops::clock::SystemClock), Duration::ZERO, Duration::ZERO);
    let (spec, number) = local.propose("kubeops/one", APP, &config_map("app", "1")).await;
    let before = local.upstream.tip("main");
    let refused = over().over(local.forge.merge(number, &ada())).await;
    assert!(matches!(refused, Err(ForgeError::Storage { class: ErrorClass::Transient, .. })), "{refused:?}");
    assert_eq!(local.upstream.tip("main"), before);
    // Merged by another meanwhile: its branch is for that one to delete.
    let merged = local.upstream.git(&["rev-parse", "kubeops/one"]);
    local.upstream.git(&["update-ref", "refs/heads/main", merged.trim()]);
    let _ = over().over(local.forge.get(number)).await;
    assert_eq!(local.upstream.tip("kubeops/one"), Some(spec.head_commit));
}
