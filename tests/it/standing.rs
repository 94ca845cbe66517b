//! Whose a branch is, told by its commits alone: ours also under settings of before, a person's as soon as a person touched it.

use crate::support::upstream::{UpstreamRepo, command, config_map, fsck, meta, validated};
use kubeops::git::{Expected, Identity, Libgit2, Mirror, Mirrors, Owner, RemoteSpec, Standing};
use kubeops::types::CommitSha;
use std::sync::Arc;

const BRANCH: &str = "kubeops/x";

struct World {
    upstream: UpstreamRepo,
    mirror: Arc<Mirror>,
    /// Our commit of the request, as it was pushed.
    ours: CommitSha,
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            fsck(&self.upstream.scratch("mirrors").join("gitops.git"));
        }
    }
}

impl World {
    fn new() -> Self {
        let upstream = UpstreamRepo::new();
        let mirrors = Mirrors::new(upstream.scratch("mirrors"), Arc::new(Libgit2::default())).expect("a directory");
        let url = format!("file://{}", upstream.path().display()).parse().expect("an address");
        let mirror = mirrors.get(&RemoteSpec::new("gitops".parse().expect("a name"), url, "main".parse().expect("a branch")));
        let base = mirror.fetch().expect("fetched");
        let change = validated(&mirror, &base, &[("clusters/prod/config/app.yaml", Some(&config_map("app", "1")))]);
        let ours = mirror.commit(&base, &change, &meta("Ours")).expect("a commit");
        mirror.push(&BRANCH.parse().expect("a branch"), &ours, Expected::Absent).expect("pushed");
        Self { upstream, mirror, ours }
    }

    /// The branch's standing for whoever commits as `committer` by now, and knows these commits.
    fn standing(&self, committer: &str, known: &[CommitSha]) -> Standing {
        let committer = Identity::new(committer, "kubeops@example.com").expect("an identity");
        let meta = meta("Ours");
        let owner = Owner { request: &meta.request, committer: &committer, time: Some(meta.time), known };
        self.mirror.standing(&BRANCH.parse().expect("a branch"), &owner).expect("a look")
    }

    /// The branch is at a commit like ours, but with these in its environment and that tree.
    fn rewritten(&self, tree: &str, parent: &str, people: &[(&str, &str)]) -> CommitSha {
        let message = self.upstream.scratch("message");
        std::fs::write(&message, self.upstream.git(&["show", "--no-patch", "--format=%B", self.ours.as_str()]).trim_end()).expect("written");
        let mut git = command(self.upstream.path(), &["commit-tree", tree, "-p", parent, "-F", message.to_str().expect("UTF-8")]);
        let ours = [("GIT_AUTHOR_NAME", "KubeOps"), ("GIT_AUTHOR_EMAIL", "kubeops@example.com"), ("GIT_AUTHOR_DATE", "1760000000 +0000")];
        let output = git.envs(ours).envs(people.iter().copied()).output().expect("git");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let commit = String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned();
        self.upstream.git(&["update-ref", &format!("refs/heads/{BRANCH}"), &commit]);
        commit.parse().expect("a commit")
    }
}

#[test]
fn a_commit_of_ours_is_ours_under_any_committer_that_is_set_by_now() {
    let world = World::new();
    assert_eq!(world.standing("KubeOps", &[]), Standing::Ours(world.ours.clone()));
    assert_eq!(world.standing("Another", &[]), Standing::Ours(world.ours.clone()));
    // One that is known is ours whatever it says: here nobody who sets things so could tell by its words.
    let committer = [("GIT_COMMITTER_NAME", "Former"), ("GIT_COMMITTER_EMAIL", "former@example.com"), ("GIT_COMMITTER_DATE", "1760000000 +0000")];
    let tip = world.rewritten(&format!("{}^{{tree}}", world.ours), "main", &committer);
    assert_eq!(world.standing("Another", std::slice::from_ref(&tip)), Standing::Ours(tip.clone()));
    assert_eq!(world.standing("Another", &[]), Standing::Continued(tip));
}

#[test]
fn whoever_amends_or_rebases_makes_it_theirs() {
    let world = World::new();
    let person = [("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.com")];
    let (now, kept) = (("GIT_COMMITTER_DATE", "1760009999 +0200"), ("GIT_COMMITTER_DATE", "1760000000 +0000"));
    // Amended: another tree, at another time. Rebased: another parent, and perhaps the time of before.
    let tree = format!("{}^{{tree}}", world.ours);
    let parent = world.upstream.write("main", "notes.yaml", "a: b\n");
    for (tree, parent, date) in [("main^{tree}", "main~1", now), (&tree, parent.as_str(), now), (&tree, parent.as_str(), kept)] {
        let tip = world.rewritten(tree, parent, &[person[0], person[1], date]);
        for committer in ["KubeOps", "Another"] {
            assert_eq!(world.standing(committer, &[]), Standing::Continued(tip.clone()), "{committer} {date:?}");
        }
    }
    // With a committer of the name we had before, but at another time.
    let former = [("GIT_COMMITTER_NAME", "KubeOps"), ("GIT_COMMITTER_EMAIL", "kubeops@example.com"), now];
    let tip = world.rewritten(&tree, parent.as_str(), &former);
    assert_eq!(world.standing("Another", &[]), Standing::Continued(tip));
    // And with one on top of ours.
    world.upstream.git(&["update-ref", &format!("refs/heads/{BRANCH}"), world.ours.as_str()]);
    let tip = world.upstream.write(BRANCH, "more.yaml", "a: b\n");
    assert_eq!(world.standing("KubeOps", std::slice::from_ref(&world.ours)), Standing::Continued(tip));
}

#[test]
fn what_has_nothing_of_the_request_is_foreign_and_what_is_gone_is_absent() {
    let world = World::new();
    world.upstream.git(&["update-ref", &format!("refs/heads/{BRANCH}"), "refs/heads/main"]);
    let tip = world.upstream.write(BRANCH, "theirs.yaml", "a: b\n");
    assert_eq!(world.standing("KubeOps", std::slice::from_ref(&world.ours)), Standing::Foreign(tip));
    world.upstream.git(&["update-ref", "-d", &format!("refs/heads/{BRANCH}")]);
    assert_eq!(world.standing("KubeOps", &[]), Standing::Absent);
}
