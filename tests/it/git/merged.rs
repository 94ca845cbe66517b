//! What the base was before a pull request was merged, whichever way: read from histories that git itself made.

use super::world::{Setting, Way, With};
use crate::support::upstream::{meta, run};
use kubeops::git::commit_message;
use kubeops::inventory::GitSpec;
use kubeops::types::{CommitSha, RequestId, Timestamp};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// A clone in which people work.
struct Clone(PathBuf);

impl Clone {
    fn of(setting: &Setting) -> Self {
        let place = setting.upstream.scratch("clone");
        run(setting.upstream.path(), &["clone", "--quiet", ".", place.to_str().expect("UTF-8")]);
        for (name, value) in [("user.name", "Ada"), ("user.email", "ada@example.com")] {
            run(&place, &["config", name, value]);
        }
        Self(place)
    }

    fn git(&self, arguments: &[&str]) -> String {
        run(&self.0, arguments).trim().to_owned()
    }

    fn tip(&self) -> CommitSha {
        self.git(&["rev-parse", "HEAD"]).parse().expect("a commit")
    }

    fn commit(&self, file: &str, message: &str) -> CommitSha {
        std::fs::create_dir_all(self.0.join(file).parent().unwrap_or(Path::new("."))).expect("a directory");
        std::fs::write(self.0.join(file), message).expect("a file");
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "-m", message]);
        self.tip()
    }
}

/// The message of a commit of the request.
fn ours(subject: &str) -> String {
    commit_message(&meta(subject), &BTreeMap::new())
}

fn request() -> RequestId {
    meta("").request
}

/// Which commits a pull request has: ours, and a person's.
#[derive(Debug, Clone, Copy)]
enum Commit {
    Ours,
    Persons,
}

const BRANCHES: [&[Commit]; 5] = [
    &[Commit::Ours],
    &[Commit::Ours, Commit::Ours, Commit::Ours],
    &[Commit::Ours, Commit::Persons],
    &[Commit::Ours, Commit::Persons, Commit::Persons],
    &[Commit::Ours, Commit::Persons, Commit::Ours],
];

/// Makes the pull request's branch while the base goes on, and tells what it was planned on and where the base was when it was merged.
fn proposed(clone: &Clone, commits: &[Commit]) -> (CommitSha, CommitSha) {
    let planned_on = clone.tip();
    clone.git(&["checkout", "--quiet", "-b", "kubeops/a"]);
    for (number, commit) in commits.iter().enumerate() {
        match commit {
            Commit::Ours => clone.commit(&format!("ours-{number}.yaml"), &ours(&format!("Ours {number}"))),
            Commit::Persons => clone.commit(&format!("persons-{number}.yaml"), "a person's"),
        };
    }
    clone.git(&["checkout", "--quiet", "main"]);
    (planned_on, clone.commit("others.yaml", "somebody else's"))
}

fn merge(clone: &Clone, way: &str) -> CommitSha {
    match way {
        "merge" => drop(clone.git(&["merge", "--quiet", "--no-ff", "-m", "Merge pull request #1", "kubeops/a"])),
        "rebase" => {
            clone.git(&["rebase", "--quiet", "main", "kubeops/a"]);
            clone.git(&["checkout", "--quiet", "main"]);
            clone.git(&["merge", "--quiet", "--ff-only", "kubeops/a"]);
        }
        way => {
            clone.git(&["merge", "--quiet", "--squash", "kubeops/a"]);
            let message = if way == "squash" { "Squashed (#1)".to_owned() } else { ours("Squashed, with our words") };
            clone.git(&["commit", "--quiet", "-m", &message]);
        }
    }
    clone.tip()
}

#[test]
fn what_the_base_was_before_a_merge_is_found_whichever_way_it_was_merged() {
    for commits in BRANCHES {
        for way in ["merge", "squash", "squash with our trailers", "rebase"] {
            let setting = Setting::new(With::Libgit2, Way::File);
            let clone = Clone::of(&setting);
            let (planned_on, before) = proposed(&clone, commits);
            let merged = merge(&clone, way);
            clone.commit("later.yaml", "and it went on");
            clone.git(&["push", "--quiet", "origin", "main"]);
            let mirror = setting.mirror();
            mirror.fetch().expect("fetched");
            let found = mirror.before_merge(&merged, &request(), Some(&planned_on)).expect("read");
            assert_eq!(found, Some(before), "{commits:?} by {way}");
        }
    }
}

#[test]
fn the_commits_of_another_request_stay_its_own() {
    let setting = Setting::new(With::Libgit2, Way::File);
    let clone = Clone::of(&setting);
    let (_, before) = proposed(&clone, &[Commit::Ours]);
    let merged = merge(&clone, "rebase");
    let other = RequestId::from_parts(Timestamp::from_unix_millis(1), 7);
    clone.git(&["push", "--quiet", "origin", "main"]);
    let mirror = setting.mirror();
    mirror.fetch().expect("fetched");
    assert_eq!(mirror.before_merge(&merged, &other, None).expect("read"), Some(before));
}

#[test]
fn a_history_that_was_cut_off_tells_nothing_rather_than_something_wrong() {
    let depth = NonZeroU32::new(1);
    let setting = Setting::shaped(GitSpec { depth, ..With::Git.spec() }, Way::File);
    let clone = Clone::of(&setting);
    proposed(&clone, &[Commit::Ours]);
    let merged = merge(&clone, "squash");
    clone.git(&["push", "--quiet", "origin", "main"]);
    let mirror = setting.mirror();
    mirror.fetch().expect("fetched");
    assert_eq!(mirror.before_merge(&merged, &request(), None).expect("read"), None);
}
