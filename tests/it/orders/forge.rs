//! A forge in memory, over the bare repository that branches are pushed to: what a person does there, and what KubeOps asks of it.

use super::hand::Hand;
use async_trait::async_trait;
use git2::{Oid, Repository};
use kubeops::clock::Clock as _;
use kubeops::forge::{CheckSpec, Forge, ForgeError, Look, Mark, Pull, PullSpec, PullState, Reaction, Remark, WindowSpec};
use kubeops::request::RemarkAddress;
use kubeops::types::{BranchName, CommitSha, Timestamp};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Who closes what KubeOps closes.
pub const OURSELVES: &str = "kubeops";
const ADA: &str = "ada";

pub struct Memory {
    upstream: PathBuf,
    clock: Arc<Hand>,
    pulls: Mutex<Vec<Pull>>,
    merged: Mutex<HashMap<u64, Timestamp>>,
    told_to_merge: Mutex<Vec<(u64, Timestamp)>>,
}

impl Memory {
    pub fn new(upstream: PathBuf, clock: Arc<Hand>) -> Self {
        Self { upstream, clock, pulls: Mutex::default(), merged: Mutex::default(), told_to_merge: Mutex::default() }
    }

    /// A bare repository with one file on its base branch.
    pub fn seed(upstream: &Path) {
        let repository = Repository::init_opts(upstream, git2::RepositoryInitOptions::new().bare(true).initial_head("main")).expect("a repository");
        let mut tree = repository.treebuilder(None).expect("a tree");
        tree.insert("README.md", repository.blob(b"# GitOps\n").expect("a file"), 0o100_644).expect("a file");
        let tree = repository.find_tree(tree.write().expect("a tree")).expect("the tree");
        let signature = git2::Signature::new("Seed", "seed@example.com", &git2::Time::new(1_700_000_000, 0)).expect("a signature");
        repository.commit(Some("refs/heads/main"), &signature, &signature, "Seed", &tree, &[]).expect("a commit");
    }

    /// Whether a commit is in the history of another, or is it.
    pub fn is_in(&self, commit: &CommitSha, of: &CommitSha) -> bool {
        let id = |sha: &CommitSha| Oid::from_str(sha.as_str()).expect("an id");
        commit == of || self.repository().graph_descendant_of(id(of), id(commit)).expect("both are there")
    }

    pub fn pulls(&self) -> Vec<Pull> {
        let (repository, mut pulls) = (self.repository(), self.pulls.lock().expect("a lock"));
        for pull in pulls.iter_mut().filter(|pull| pull.state == PullState::Open) {
            match tip(&repository, &pull.head) {
                Some(tip) => pull.head_commit = Some(tip),
                // Without its branch it is closed, as at GitHub.
                None => {
                    pull.state = PullState::Closed;
                    pull.closed_by = Some(OURSELVES.to_owned());
                    pull.auto_merge = false;
                }
            }
        }
        pulls.clone()
    }

    /// When a pull request was merged.
    pub fn merged_at(&self, number: u64) -> Option<Timestamp> {
        self.merged.lock().expect("a lock").get(&number).copied()
    }

    /// Which pull requests the forge was told to merge by itself, and when.
    pub fn told_to_merge(&self) -> Vec<(u64, Timestamp)> {
        self.told_to_merge.lock().expect("a lock").clone()
    }

    /// A file on the base branch.
    pub fn file(&self, path: &str) -> Option<String> {
        let repository = self.repository();
        let tree = repository.find_commit(Oid::from_str(self.base().as_str()).expect("an id")).expect("the base").tree().expect("its tree");
        let blob = repository.find_blob(tree.get_name(path)?.id()).expect("a file");
        Some(String::from_utf8(blob.content().to_vec()).expect("text"))
    }

    pub fn approve(&self, number: u64) {
        self.change(number, |pull| pull.approved_by = vec![ADA.to_owned()]);
        self.merge_what_may(number);
    }

    pub fn close_as_a_person(&self, number: u64) {
        self.change(number, |pull| {
            pull.state = PullState::Closed;
            pull.closed_by = Some(ADA.to_owned());
            pull.auto_merge = false;
        });
    }

    /// Opens it again, where its branch is still there.
    pub fn reopen(&self, number: u64) {
        let Pull { state, closed_by, head, .. } = self.pull(number);
        if state == PullState::Closed && closed_by.as_deref() == Some(ADA) && self.tip(&head).is_some() {
            self.change(number, |pull| pull.state = PullState::Open);
        }
    }

    /// Merges what it was told to merge by itself once that is approved.
    fn merge_what_may(&self, number: u64) {
        let pull = self.pull(number);
        if pull.state == PullState::Open && pull.auto_merge && !pull.approved_by.is_empty() {
            self.merge(number);
        }
    }

    /// Merges with a merge commit, unless somebody else's change is in the way.
    pub fn merge(&self, number: u64) {
        let head = self.tip(&self.pull(number).head).expect("the branch is there");
        let repository = self.repository();
        let commit = |sha: &str| repository.find_commit(Oid::from_str(sha).expect("an id")).expect("the commit");
        let (ours, theirs) = (commit(self.base().as_str()), commit(head.as_str()));
        let mut index = repository.merge_commits(&ours, &theirs, None).expect("an index");
        if index.has_conflicts() {
            return;
        }
        let tree = repository.find_tree(index.write_tree_to(&repository).expect("a tree")).expect("the tree");
        let signature = git2::Signature::new("Ada", "ada@example.com", &git2::Time::new(1_800_000_000, 0)).expect("a signature");
        let merged = repository.commit(Some("refs/heads/main"), &signature, &signature, "Merge", &tree, &[&ours, &theirs]).expect("merged");
        self.merged.lock().expect("a lock").insert(number, self.clock.now());
        self.change(number, |pull| {
            pull.state = PullState::Merged;
            pull.auto_merge = false;
            pull.closed_by = Some(ADA.to_owned());
            pull.head_commit = Some(head.clone());
            pull.merge_commit = Some(merged.to_string().parse().expect("a commit"));
        });
    }

    /// The tip of the base branch.
    pub fn base(&self) -> CommitSha {
        self.tip("main").expect("a base")
    }

    fn pull(&self, number: u64) -> Pull {
        self.pulls().into_iter().find(|pull| pull.number == number).expect("the pull request")
    }

    fn change(&self, number: u64, how: impl FnOnce(&mut Pull)) {
        how(self.pulls.lock().expect("a lock").iter_mut().find(|pull| pull.number == number).expect("the pull request"));
    }

    fn repository(&self) -> Repository {
        Repository::open_bare(&self.upstream).expect("the upstream")
    }

    fn tip(&self, branch: &str) -> Option<CommitSha> {
        tip(&self.repository(), branch)
    }

    /// Has an open pull request merged by itself once it may be, or not.
    fn switch(&self, number: u64, by_itself: bool) {
        let pull = self.pull(number);
        if pull.state != PullState::Open || pull.auto_merge == by_itself {
            return;
        }
        if by_itself {
            self.told_to_merge.lock().expect("a lock").push((number, self.clock.now()));
        }
        self.change(number, |pull| pull.auto_merge = by_itself);
        self.merge_what_may(number);
    }

    fn opened(&self, spec: &PullSpec) -> Pull {
        let mut pulls = self.pulls.lock().expect("a lock");
        assert!(!pulls.iter().any(|pull| pull.state == PullState::Open && pull.head == spec.head.as_str()), "a second pull request of one branch");
        let pull = Pull {
            number: pulls.len() as u64 + 1,
            url: format!("https://github.com/acme/gitops/pull/{}", pulls.len() + 1),
            state: PullState::Open,
            title: spec.title.clone(),
            body: spec.body.clone(),
            labels: spec.labels.clone(),
            assignees: Vec::new(),
            milestone: None,
            draft: false,
            auto_merge: false,
            queued: false,
            reviewers: Vec::new(),
            head: spec.head.to_string(),
            base: spec.base.to_string(),
            head_commit: Some(spec.head_commit.clone()),
            merge_commit: None,
            approved_by: Vec::new(),
            author: OURSELVES.to_owned(),
            closed_by: None,
            created_at: Timestamp::from_unix_millis(0),
            updated_at: Timestamp::from_unix_millis(0),
            notes: Vec::new(),
        };
        pulls.push(pull.clone());
        pull
    }
}

#[async_trait]
impl Forge for Memory {
    async fn ensure_pull(&self, spec: &PullSpec) -> Result<Pull, ForgeError> {
        let of_this_request = |pull: &&Pull| match (&spec.written, pull.state) {
            (Some(written), _) => pull.number == written.number,
            (None, PullState::Open) => pull.head == spec.head.as_str(),
            (None, _) => {
                let mut heads = std::iter::once(&spec.head_commit).chain(&spec.earlier);
                Some(pull.number) != spec.former && heads.any(|head| pull.head_commit.as_ref() == Some(head))
            }
        };
        if let Some(known) = self.pulls().iter().find(of_this_request) {
            self.switch(known.number, spec.auto_merge().is_some());
            return Ok(self.pull(known.number));
        }
        let pull = self.opened(spec);
        self.switch(pull.number, spec.auto_merge().is_some());
        Ok(self.pull(pull.number))
    }

    async fn get(&self, number: u64) -> Result<Pull, ForgeError> {
        Ok(self.pull(number))
    }

    async fn find(&self, head: &BranchName) -> Result<Option<Pull>, ForgeError> {
        let pulls = self.pulls();
        let mut of_branch = pulls.iter().filter(|pull| pull.head == head.as_str());
        let open = of_branch.clone().find(|pull| pull.state == PullState::Open);
        Ok(open.or_else(|| of_branch.next_back()).cloned())
    }

    async fn close(&self, number: u64, _: Option<&str>) -> Result<Pull, ForgeError> {
        let head = self.pull(number).head_commit;
        self.change(number, |pull| {
            if pull.state == PullState::Open {
                pull.state = PullState::Closed;
                pull.closed_by = Some(OURSELVES.to_owned());
                pull.head_commit = head;
                pull.auto_merge = false;
            }
        });
        Ok(self.pull(number))
    }

    fn follows_branches(&self) -> bool {
        true
    }

    async fn comment_once(&self, _: u64, _: &str, _: &str, _: bool) -> Result<(), ForgeError> {
        Ok(())
    }

    async fn answer_once(&self, _: &RemarkAddress, _: &str, _: &str, _: bool) -> Result<(), ForgeError> {
        Ok(())
    }

    async fn remark(&self, _: &RemarkAddress) -> Result<Option<Remark>, ForgeError> {
        Ok(None)
    }

    async fn may_write(&self, _: &str) -> Result<bool, ForgeError> {
        Ok(false)
    }

    async fn react(&self, _: &RemarkAddress, _: Reaction) -> Result<(), ForgeError> {
        Ok(())
    }

    async fn look(&self, numbers: &[u64], _: Option<&Mark>) -> Result<Look, ForgeError> {
        let pulls = self.pulls().into_iter().filter(|pull| numbers.contains(&pull.number)).collect();
        Ok(Look { pulls, mark: Mark::default() })
    }

    async fn why_refused(&self) -> Result<(), ForgeError> {
        Ok(())
    }

    async fn show_window(&self, _: &WindowSpec) -> Result<bool, ForgeError> {
        Ok(false)
    }

    async fn report(&self, _: &CheckSpec) -> Result<bool, ForgeError> {
        Ok(false)
    }
}

fn tip(repository: &Repository, branch: &str) -> Option<CommitSha> {
    let target = repository.find_reference(&format!("refs/heads/{branch}")).ok()?.target()?;
    target.to_string().parse().ok()
}
