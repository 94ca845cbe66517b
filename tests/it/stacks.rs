//! Stacks of commits: one commit of ours on the other, read back, compared, pushed, and told from what others made.

use crate::support::upstream::{UpstreamRepo, config_map, meta, run, validated};
use kubeops::git::{Expected, GitError, Identity, Libgit2, Mirror, Mirrors, Owner, RemoteSpec, Stack, Standing, Worth};
use kubeops::plan::BaseTree;
use kubeops::types::{BranchName, CommitSha, RequestId, Timestamp};
use std::path::PathBuf;
use std::sync::Arc;

struct Setting {
    upstream: UpstreamRepo,
    mirrors: Mirrors,
    remote: RemoteSpec,
}

impl Setting {
    fn new() -> Self {
        let upstream = UpstreamRepo::new();
        let url = format!("file://{}", upstream.path().display());
        let remote = RemoteSpec::new(parsed("gitops"), parsed(&url), parsed("main"));
        let mirrors = Self::mirrors_in(&upstream);
        Self { upstream, mirrors, remote }
    }

    fn mirrors_in(upstream: &UpstreamRepo) -> Mirrors {
        Mirrors::new(upstream.scratch("mirrors"), Arc::new(Libgit2::default())).expect("a directory")
    }

    fn mirror(&self) -> Arc<Mirror> {
        self.mirrors.get(&self.remote)
    }

    fn proposals(&self) -> PathBuf {
        self.upstream.scratch("mirrors/gitops.git/proposals")
    }

    /// A mirror that holds nothing in memory.
    fn reopened(&mut self) -> Arc<Mirror> {
        self.mirrors = Self::mirrors_in(&self.upstream);
        self.mirror()
    }

    /// Commits each of these values to a file of its own, one on the other.
    fn stack(&self, base: &CommitSha, values: &[(&str, &str)]) -> Vec<CommitSha> {
        let (mirror, mut below, mut commits) = (self.mirror(), base.clone(), Vec::new());
        for (name, value) in values {
            let change = validated(&mirror, &below, &[(&file(name), Some(&config_map(name, value)))]);
            below = mirror.commit(&below, &change, &meta(&format!("Set {name} to {value}"))).expect("a commit");
            commits.push(below.clone());
        }
        commits
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a valid value")
}

fn file(name: &str) -> String {
    format!("clusters/prod/config/{name}.yaml")
}

fn branch() -> BranchName {
    parsed("kubeops/x/stack")
}

/// The request that [`meta`] names, and who commits for it.
fn owner() -> (RequestId, Identity) {
    let meta = meta("x");
    (meta.request, meta.committer)
}

#[test]
fn a_deep_stack_is_read_back_by_a_new_handle_pushed_whole_and_the_same_each_time() {
    let mut setting = Setting::new();
    let base = setting.mirror().fetch().expect("fetched");
    let names: Vec<String> = (0..200).map(|n| format!("c{n}")).collect();
    let values: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let commits = setting.stack(&base, &values);
    let tip = commits.last().expect("a tip");
    let snapshot = setting.mirror().snapshot(tip).expect("a snapshot");
    // A handle is replaced after 256 uses: what is only in proposals is found again.
    for name in names.iter().cycle().take(600) {
        assert_eq!(snapshot.read(&parsed(&file(name))).expect("read"), Some(config_map(name, "1").into_bytes()));
    }
    let mirror = setting.reopened();
    mirror.push(&branch(), tip, Expected::Absent).expect("pushed");
    let log = setting.upstream.git(&["log", "--reverse", "--format=%H", &format!("main..{}", branch())]);
    assert_eq!(log.lines().collect::<Vec<_>>(), commits.iter().map(CommitSha::as_str).collect::<Vec<_>>());
    assert_eq!(setting.stack(&base, &values), commits, "the same commits again");
    setting.upstream.fsck();
}

#[test]
fn pruning_keeps_what_a_live_commit_stands_on_and_half_a_stack_is_none() {
    let mut setting = Setting::new();
    let base = setting.mirror().fetch().expect("fetched");
    let live = setting.stack(&base, &[("a", "1"), ("b", "1"), ("c", "1")]);
    let dead = setting.stack(&live[0], &[("d", "1"), ("e", "1")]);
    setting.mirror().prune(|commit| if *commit == live[2] { Worth::Much } else { Worth::Nothing }).expect("pruned");
    let left = |setting: &Setting| std::fs::read_dir(setting.proposals()).expect("proposals").count();
    assert_eq!(left(&setting), 3, "the three that the live one is made of");
    assert!(matches!(setting.mirror().diff(&base, &dead[1], 9), Err(GitError::NoCommit { .. })));
    let mirror = setting.reopened();
    assert_eq!(mirror.diff(&base, &live[2], 9000).expect("a diff").files.len(), 3);
    // The lowest is lost, as by a power cut: then there is no such commit, however often it is asked for.
    std::fs::remove_file(setting.proposals().join(live[0].as_str())).expect("removed");
    let mirror = setting.reopened();
    for _ in 0..2 {
        assert!(matches!(mirror.diff(&base, &live[2], 9), Err(GitError::NoCommit { .. })));
        assert!(matches!(mirror.push(&branch(), &live[2], Expected::Absent), Err(GitError::NoCommit { .. })));
    }
    assert_eq!(setting.stack(&base, &[("a", "1"), ("b", "1"), ("c", "1")]), live);
    mirror.push(&branch(), &live[2], Expected::Absent).expect("pushed");
    setting.upstream.fsck();
}

#[test]
fn two_stacks_are_the_same_when_each_commit_does_the_same_on_another_base() {
    let setting = Setting::new();
    let base = setting.mirror().fetch().expect("fetched");
    let first = setting.stack(&base, &[("a", "1"), ("b", "1"), ("a", "2")]);
    setting.upstream.write("main", "README.md", "other\n");
    let moved = setting.mirror().fetch().expect("fetched");
    let same = |commits: &[CommitSha]| {
        let (one, other) = (Stack { base: &base, tip: &first[2] }, Stack { base: &moved, tip: commits.last().expect("a tip") });
        setting.mirror().same_stack(&one, &other).expect("an answer")
    };
    let again = setting.stack(&moved, &[("a", "1"), ("b", "1"), ("a", "2")]);
    assert_ne!(again[2], first[2]);
    assert!(same(&again));
    assert!(!same(&again[..2]), "one commit less");
    assert!(!same(&setting.stack(&moved, &[("b", "1"), ("a", "1"), ("a", "2")])), "in another order");
    assert!(!same(&setting.stack(&moved, &[("a", "1"), ("b", "2"), ("a", "2")])), "another value");
    assert!(!same(&setting.stack(&moved, &[("a", "9"), ("b", "1"), ("a", "2")])), "the same in the end, by another way");
    // A base that holds a part of it already.
    setting.upstream.write("main", &file("b"), &config_map("b", "0"));
    let with_b = setting.mirror().fetch().expect("fetched");
    let on_b = setting.stack(&with_b, &[("a", "1"), ("b", "1"), ("a", "2")]);
    let (one, other) = (Stack { base: &base, tip: &first[2] }, Stack { base: &with_b, tip: &on_b[2] });
    assert!(!setting.mirror().same_stack(&one, &other).expect("an answer"), "from another value");
    let gone: CommitSha = parsed(&"7".repeat(40));
    let (one, other) = (Stack { base: &base, tip: &first[2] }, Stack { base: &base, tip: &gone });
    assert!(!setting.mirror().same_stack(&one, &other).expect("an answer"));
}

/// A commit on a branch with this message, by this committer, on these parents; tells it.
fn write(setting: &Setting, message: &str, committer: &str, parents: &[&str]) -> CommitSha {
    let (head, rest) = parents.split_first().expect("a parent");
    let merges: String = rest.iter().map(|parent| format!("merge {parent}\n")).collect();
    setting.upstream.fast_import(&format!(
        "commit refs/heads/{}\nauthor KubeOps <kubeops@example.com> 1700000100 +0000\ncommitter {committer} 1700000100 +0000\ndata {}\n{message}\nfrom {head}\n{merges}M 100644 inline by-hand.txt\ndata {}\n{message}\n",
        branch(),
        message.len(),
        message.len()
    ));
    setting.upstream.tip(branch().as_str()).expect("a tip")
}

#[test]
fn a_branch_is_ours_while_every_commit_on_it_is_ours_and_of_this_request() {
    const OURS: &str = "KubeOps <kubeops@example.com>";
    let setting = Setting::new();
    let mirror = setting.mirror();
    let base = mirror.fetch().expect("fetched");
    let (request, committer) = owner();
    let known: Vec<CommitSha> = Vec::new();
    let standing = || mirror.standing(&branch(), &Owner { request: &request, committer: &committer, time: None, known: &known }).expect("a standing");
    assert_eq!(standing(), Standing::Absent);
    let stack = setting.stack(&base, &[("a", "1"), ("b", "1"), ("c", "1")]);
    let mut before = Expected::Absent;
    for commit in &stack {
        mirror.push(&branch(), commit, before).expect("pushed");
        assert_eq!(standing(), Standing::Ours(commit.clone()), "nobody noted it, and its words say so");
        before = Expected::At(commit.clone());
    }
    let message = |request: &RequestId| format!("x\n\nKubeops-Request: {request}\n");
    let tip = stack[2].as_str();
    // A person on top, or below; a commit of another request; ours, committed by another; a merge.
    let other = RequestId::from_parts(Timestamp::from_unix_millis(5), 5);
    for (what, text, by, parents) in [
        ("a person's", "by hand".to_owned(), "Ann <ann@example.com>", vec![tip]),
        ("another request's", message(&other), OURS, vec![tip]),
        ("ours, amended by a person", message(&request), "Ann <ann@example.com>", vec![stack[1].as_str()]),
        ("a merge", message(&request), OURS, vec![tip, "refs/heads/main"]),
    ] {
        setting.upstream.git(&["update-ref", &format!("refs/heads/{}", branch()), tip]);
        let now = write(&setting, &text, by, &parents);
        assert_eq!(standing(), Standing::Continued(now), "{what}");
    }
    setting.upstream.git(&["update-ref", &format!("refs/heads/{}", branch()), base.as_str()]);
    let by_hand = write(&setting, "by hand", "Ann <ann@example.com>", &[base.as_str()]);
    assert_eq!(standing(), Standing::Foreign(by_hand.clone()));
    // One of ours on top of a person's is not ours to move.
    let ours_on_top = write(&setting, &message(&request), OURS, &[by_hand.as_str()]);
    assert_eq!(standing(), Standing::Continued(ours_on_top));
    run(setting.upstream.path(), &["fsck", "--strict"]);
}
