//! What any transport promises, run over each git and each way to the upstream.

use super::world::{FILE, Server, Setting, Way, With, branch};
use crate::support::upstream::{UpstreamRepo, config_map, meta, validated};
use kubeops::git::{Expected, GitError, Identity, Owner, Pushed, RefUpdate, Standing};
use kubeops::types::{CommitSha, ErrorClass, RequestId};
use rstest::rstest;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn update(name: &str, commit: Option<&CommitSha>, expected: Expected) -> RefUpdate {
    RefUpdate { branch: branch(name), commit: commit.cloned(), expected }
}

#[rstest]
fn a_change_travels_from_the_base_to_a_branch_of_the_upstream(
    #[values(With::Libgit2, With::Git)] with: With,
    #[values(Way::File, Way::Http, Way::Ssh)] way: Way,
) {
    let setting = Setting::new(with, way);
    let (base, commit) = setting.commit("1");
    assert_eq!(Some(&base), setting.upstream.tip("main").as_ref());
    let pushed = setting.mirror().push(&branch("kubeops/x/one"), &commit, Expected::Absent).expect("pushed");
    assert_eq!(pushed, Pushed::Updated);
    assert_eq!(setting.upstream.tip("kubeops/x/one").as_ref(), Some(&commit));
    assert_eq!(setting.mirror().remote_tip(&branch("kubeops/x/one")).expect("a tip").as_ref(), Some(&commit));
    assert_eq!(setting.mirror().remote_tip(&branch("x/one")).expect("a tip"), None);
    assert_eq!(setting.upstream.show(FILE, commit.as_str()), config_map("app", "1"));
    // Everything else is as it was.
    assert_eq!(setting.upstream.git(&["diff", "--name-status", base.as_str(), commit.as_str()]).trim(), format!("A\t{FILE}"));
    let header = setting.upstream.git(&["show", "--no-patch", "--format=%an|%ae|%at|%cn|%ct|%P", commit.as_str()]);
    assert_eq!(header.trim(), format!("KubeOps|kubeops@example.com|1760000000|KubeOps|1760000000|{base}"));
    // The mirror is as it was: the base under its reference, no branches, no tags, no loose objects, nothing half-done.
    let references = crate::support::upstream::run(&setting.mirror_path(), &["for-each-ref", "--format=%(refname) %(objectname)"]);
    assert_eq!(references.trim(), format!("refs/kubeops/base/main {base}"));
    assert_eq!(std::fs::read_dir(setting.mirror_path().join("objects")).expect("objects").count(), 2, "info and pack");
    setting.fsck();
}

#[rstest]
fn pushing_the_same_commit_again_sends_nothing_and_deleting_twice_is_fine(
    #[values(With::Libgit2, With::Git)] with: With,
    #[values(Way::File, Way::Http, Way::Ssh)] way: Way,
) {
    let setting = Setting::new(with, way);
    let (_, commit) = setting.commit("1");
    let (mirror, name) = (setting.mirror(), branch("kubeops/x"));
    mirror.push(&name, &commit, Expected::Absent).expect("pushed");
    // Even when the caller still believes that the branch is absent: its answer was lost.
    assert_eq!(mirror.push(&name, &commit, Expected::Absent).expect("pushed"), Pushed::AlreadyThere);
    assert_eq!(mirror.delete_branch(&name, Expected::At(commit.clone())).expect("deleted"), Pushed::Updated);
    assert_eq!(setting.upstream.tip("kubeops/x"), None);
    assert_eq!(mirror.delete_branch(&name, Expected::At(commit)).expect("deleted"), Pushed::AlreadyThere);
    assert_eq!(mirror.delete_branch(&name, Expected::Any).expect("deleted"), Pushed::AlreadyThere);
    setting.fsck();
}

#[rstest]
fn a_branch_that_moved_is_left_alone(#[values(With::Libgit2, With::Git)] with: With, #[values(Way::File, Way::Http, Way::Ssh)] way: Way) {
    let setting = Setting::new(with, way);
    let (mirror, name) = (setting.mirror(), branch("kubeops/x"));
    let (base, first) = setting.commit("1");
    let second = setting.commit_on(&base, "2");
    mirror.push(&name, &first, Expected::Absent).expect("pushed");
    let persons = setting.upstream.write("kubeops/x", "notes.yaml", "by: hand\n");
    for expected in [Expected::Absent, Expected::At(first.clone())] {
        let error = mirror.push(&name, &second, expected).expect_err("moved");
        assert!(matches!(&error, GitError::Moved { found: Some(found), .. } if *found == persons), "{error}");
        assert_eq!(error.class(), ErrorClass::Transient);
    }
    let error = mirror.delete_branch(&name, Expected::At(first.clone())).expect_err("moved");
    assert!(matches!(&error, GitError::Moved { found: Some(found), .. } if *found == persons), "{error}");
    let error = mirror.push(&branch("kubeops/y"), &second, Expected::At(first)).expect_err("there is none");
    assert!(matches!(&error, GitError::Moved { found: None, .. }), "{error}");
    assert_eq!((setting.upstream.tip("kubeops/x").as_ref(), setting.upstream.tip("kubeops/y")), (Some(&persons), None));
    // Knowing where it is, or not caring, moves it: also to a commit that does not descend from it.
    mirror.push(&name, &second, Expected::At(persons)).expect("pushed");
    assert_eq!(setting.upstream.tip("kubeops/x").as_ref(), Some(&second));
    let third = setting.commit_on(&base, "3");
    mirror.push(&name, &third, Expected::Any).expect("pushed");
    assert_eq!(setting.upstream.tip("kubeops/x").as_ref(), Some(&third));
    mirror.delete_branch(&name, Expected::Any).expect("deleted");
    assert_eq!(setting.upstream.tip("kubeops/x"), None);
    setting.fsck();
}

#[rstest]
fn in_one_push_each_branch_has_its_own_outcome(#[values(With::Libgit2, With::Git)] with: With, #[values(Way::File, Way::Http, Way::Ssh)] way: Way) {
    let setting = Setting::new(with, way);
    let (base, commit) = setting.commit("1");
    let mirror = setting.mirror();
    for name in ["there", "moved", "deleted"] {
        mirror.push(&branch(&format!("kubeops/{name}")), &commit, Expected::Absent).expect("pushed");
    }
    let persons = setting.upstream.write("kubeops/lost", "notes.yaml", "by: hand\n");
    setting.upstream.install_hook("update", "case $1 in refs/heads/kubeops/frozen) echo 'frozen until Monday'; exit 1;; esac");
    let second = setting.commit_on(&base, "2");
    let nowhere: CommitSha = "1".repeat(40).parse().expect("a commit");
    let updates = vec![
        update("kubeops/lost", Some(&second), Expected::Absent),
        update("kubeops/new", Some(&second), Expected::Absent),
        update("kubeops/frozen", Some(&second), Expected::Absent),
        update("kubeops/nowhere", Some(&nowhere), Expected::Absent),
        update("kubeops/there", Some(&commit), Expected::Absent),
        update("kubeops/moved", Some(&second), Expected::At(commit.clone())),
        update("kubeops/deleted", None, Expected::At(commit.clone())),
        update("kubeops/absent", None, Expected::Any),
        update("kubeops/other", Some(&commit), Expected::Any),
    ];
    let outcomes = setting.transport.push(&setting.place(), updates).expect("the conversation").results;
    let [lost, new, frozen, unknown, there, moved, deleted, absent, other] = outcomes.try_into().expect("an outcome for each");
    assert!(
        matches!(&lost, Err(GitError::Moved { found: Some(found), branch, .. }) if *found == persons && branch.as_str() == "kubeops/lost"),
        "{lost:?}"
    );
    assert!(matches!(&unknown, Err(GitError::NoCommit { commit, .. }) if *commit == nowhere), "{unknown:?}");
    // On this machine's file system no hook is run.
    match way {
        Way::File => assert_eq!(frozen, Ok(Pushed::Updated)),
        _ => assert!(matches!(&frozen, Err(GitError::Rejected { message, .. }) if message.contains("frozen until Monday")), "{frozen:?}"),
    }
    assert_eq!([new, moved, deleted, other], [const { Ok(Pushed::Updated) }; 4]);
    assert_eq!([there, absent], [const { Ok(Pushed::AlreadyThere) }; 2]);
    let tip = |name: &str| setting.upstream.tip(&format!("kubeops/{name}"));
    assert_eq!((tip("lost"), tip("new"), tip("there")), (Some(persons), Some(second.clone()), Some(commit.clone())));
    assert_eq!((tip("moved"), tip("deleted"), tip("nowhere"), tip("other")), (Some(second.clone()), None, None, Some(commit)));
    assert_eq!(tip("frozen"), (way == Way::File).then_some(second));
    setting.fsck();
}

#[rstest]
fn a_hundred_branches_go_up_in_one_conversation(#[values(With::Libgit2, With::Git)] with: With) {
    let upstream = UpstreamRepo::new();
    let posts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&posts);
    let server = upstream.serve_watched(Some(super::world::TOKEN), move |request| {
        counted.fetch_add(usize::from(request.method == "POST" && request.path.ends_with("/git-receive-pack")), Ordering::SeqCst);
    });
    let setting = Setting::behind(upstream, with.spec(), Server::Http(server));
    let base = setting.mirror().fetch().expect("fetched");
    let commits: Vec<CommitSha> = (0..100).map(|number| setting.commit_on(&base, &number.to_string())).collect();
    let name = |number: usize| format!("kubeops/many/{number}");
    let updates = commits.iter().enumerate().map(|(number, commit)| update(&name(number), Some(commit), Expected::Absent)).collect();
    let outcomes = setting.transport.push(&setting.place(), updates).expect("the conversation").results;
    assert_eq!(outcomes, vec![Ok(Pushed::Updated); 100]);
    assert!(commits.iter().enumerate().all(|(number, commit)| setting.upstream.tip(&name(number)).as_ref() == Some(commit)));
    assert_eq!(posts.load(Ordering::SeqCst), 1);
    setting.fsck();
}

#[rstest]
fn a_branch_made_while_we_push_is_not_overwritten(#[values(With::Libgit2, With::Git)] with: With, #[values(Way::Http, Way::Ssh)] way: Way) {
    let setting = Setting::new(with, way);
    let (_, commit) = setting.commit("1");
    let upstream_path = setting.upstream.path().to_path_buf();
    let other = setting.upstream.tip("main").expect("a tip");
    let hook = format!("git update-ref refs/heads/kubeops/x {other} && exit 0");
    // pre-receive runs after our lease was checked and before the branch is made.
    setting.upstream.install_hook("pre-receive", &format!("unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY; cd {}; {hook}", upstream_path.display()));
    let error = setting.mirror().push(&branch("kubeops/x"), &commit, Expected::Absent).expect_err("raced");
    assert!(matches!(error, GitError::Moved { .. }), "{error}");
    assert_eq!(setting.upstream.tip("kubeops/x").as_ref(), Some(&other));
}

#[rstest]
fn a_hook_that_refuses_is_quoted_and_final(#[values(With::Libgit2, With::Git)] with: With, #[values(Way::Http, Way::Ssh)] way: Way) {
    let setting = Setting::new(with, way);
    setting.upstream.install_hook("pre-receive", "echo 'branches of robots are frozen until Monday' >&2; exit 1");
    let (_, commit) = setting.commit("1");
    let error = setting.mirror().push(&branch("kubeops/x"), &commit, Expected::Absent).expect_err("refused");
    assert!(matches!(error, GitError::Rejected { .. }), "{error}");
    assert!(error.to_string().contains("frozen until Monday"), "{error}");
    assert_eq!(error.class(), ErrorClass::Permanent);
    assert_eq!(setting.upstream.tip("kubeops/x"), None);
}

#[rstest]
fn the_base_is_followed_also_when_it_is_rewritten_or_deleted(
    #[values(With::Libgit2, With::Git)] with: With,
    #[values(Way::File, Way::Http, Way::Ssh)] way: Way,
) {
    let setting = Setting::new(with, way);
    let mirror = setting.mirror();
    let first = mirror.fetch().expect("fetched");
    assert_eq!(mirror.fetch().expect("nothing is new"), first);
    let second = setting.upstream.write("main", "a.yaml", "a: b\n");
    assert_eq!(mirror.fetch().expect("fetched"), second);
    // Back, and on to where the mirror has never been.
    setting.upstream.git(&["update-ref", "refs/heads/main", first.as_str()]);
    assert_eq!(mirror.fetch().expect("fetched"), first);
    let third = setting.upstream.write("main", "c.yaml", "c: d\n");
    assert_eq!(mirror.fetch().expect("fetched"), third);
    let commit = setting.commit_on(&third, "1");
    mirror.push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    setting.upstream.git(&["update-ref", "-d", "refs/heads/main"]);
    let error = mirror.fetch().expect_err("no branch");
    assert!(matches!(error, GitError::NoBranch { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Permanent);
    // Branches of ours can still go.
    assert_eq!(mirror.delete_branch(&branch("kubeops/x"), Expected::At(commit)).expect("deleted"), Pushed::Updated);
    setting.fsck();
}

#[rstest]
fn a_base_may_stand_where_the_name_of_the_old_one_is_a_directory(#[values(With::Libgit2, With::Git)] with: With) {
    let setting = Setting::new(with, Way::File);
    let tip = setting.mirror().fetch().expect("fetched");
    setting.upstream.git(&["update-ref", "-d", "refs/heads/main"]);
    setting.upstream.git(&["update-ref", "refs/heads/main/2", tip.as_str()]);
    let remote = kubeops::git::RemoteSpec { base: branch("main/2"), ..setting.remote.clone() };
    assert_eq!(setting.mirrors.get(&remote).fetch().expect("fetched"), tip);
}

#[rstest]
fn a_push_after_the_base_moved_sends_the_change_alone(#[values(With::Libgit2, With::Git)] with: With) {
    let upstream = UpstreamRepo::new();
    // Hexadecimal digits of hashes: a history that is large however it is packed.
    let noise: String =
        (0..4000).map(|number: u32| format!("# {}\n", hex::encode(<sha2::Sha256 as sha2::Digest>::digest(number.to_be_bytes())))).collect();
    upstream.write("main", "noise.yaml", &noise);
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let server = upstream.serve_watched(Some(super::world::TOKEN), move |request| {
        if request.path.ends_with("/git-receive-pack") {
            counted.fetch_add(request.body.len(), Ordering::SeqCst);
        }
    });
    let setting = Setting::behind(upstream, with.spec(), Server::Http(server));
    let (_, commit) = setting.commit("1");
    // Another process pushes: it has not seen the base, which meanwhile is where this mirror has never been.
    setting.upstream.write("main", "a.yaml", "a: b\n");
    setting.reopened().get(&setting.remote).push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    let sent = sent.load(Ordering::SeqCst);
    assert!((1..20_000).contains(&sent), "{sent} bytes");
    setting.fsck();
}

#[rstest]
fn a_branch_is_looked_at_and_nothing_of_it_stays(#[values(With::Libgit2, With::Git)] with: With, #[values(Way::File, Way::Http, Way::Ssh)] way: Way) {
    let setting = Setting::new(with, way);
    let (base, commit) = setting.commit("1");
    let (mirror, name) = (setting.mirror(), branch("kubeops/x"));
    let us = meta("ours");
    let standing = |known: &[CommitSha]| {
        mirror.standing(&name, &Owner { request: &us.request, committer: &us.committer, time: Some(us.time), known }).expect("looked at")
    };
    assert_eq!(standing(&[]), Standing::Absent);
    mirror.push(&name, &commit, Expected::Absent).expect("pushed");
    assert_eq!(standing(&[]), Standing::Ours(commit.clone()));
    let other = Identity::new("Other", "other@example.com").expect("an identity");
    let others = Owner { request: &RequestId::from_parts(us.time, 9), committer: &other, time: Some(us.time), known: &[] };
    assert_eq!(mirror.standing(&name, &others).expect("looked at"), Standing::Foreign(commit.clone()));
    let persons = setting.upstream.write("kubeops/x", "notes.yaml", "by: hand\n");
    assert_eq!(standing(std::slice::from_ref(&commit)), Standing::Continued(persons.clone()));
    // Rewritten by a person, on another place of the base.
    let moved = setting.upstream.write("main", "a.yaml", "a: b\n");
    setting.upstream.git(&["update-ref", "refs/heads/kubeops/x", moved.as_str()]);
    let foreign = setting.upstream.write("kubeops/x", "notes.yaml", "by: hand\n");
    assert_eq!(standing(&[]), Standing::Foreign(foreign.clone()));
    let place = setting.place();
    assert_eq!(setting.transport.fetch_branch(&place, &name).expect("fetched"), Some(foreign));
    assert_eq!(setting.transport.fetch_branch(&place, &branch("kubeops/none")).expect("fetched"), None);
    assert_ne!(moved, base);
    let references = crate::support::upstream::run(&setting.mirror_path(), &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(references.trim(), "refs/kubeops/base/main");
    setting.fsck();
}

#[rstest]
fn commits_of_ours_may_stand_on_each_other_and_be_made_by_a_process_that_is_gone(
    #[values(With::Libgit2, With::Git)] with: With,
    #[values(Way::File, Way::Http, Way::Ssh)] way: Way,
) {
    let setting = Setting::new(with, way);
    let (base, mut commit) = setting.commit("1");
    for value in ["2", "3"] {
        setting.mirrors.release();
        commit = setting.commit_on(&commit, value);
    }
    setting.reopened().get(&setting.remote).push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    assert_eq!(setting.upstream.git(&["rev-list", "--count", &format!("{base}..kubeops/x")]).trim(), "3");
    assert_eq!(setting.upstream.show(FILE, "kubeops/x"), config_map("app", "3"));
    setting.fsck();
}

#[rstest]
fn many_writers_each_get_their_commit(#[values(With::Libgit2, With::Git)] with: With, #[values(Way::File, Way::Http)] way: Way) {
    let setting = Setting::new(with, way);
    let mirror = setting.mirror();
    let base = mirror.fetch().expect("fetched");
    let commits: Mutex<Vec<(usize, CommitSha)>> = Mutex::default();
    std::thread::scope(|scope| {
        for number in 0..12 {
            let (mirror, base, commits) = (Arc::clone(&mirror), base.clone(), &commits);
            scope.spawn(move || {
                let path = format!("clusters/prod/config/app-{}.yaml", number % 6);
                let change = validated(&mirror, &base, &[(&path, Some(&config_map("app", &(number % 6).to_string())))]);
                let commit = mirror.commit(&base, &change, &meta("One of many")).expect("a commit");
                mirror.push(&branch(&format!("kubeops/x/{number}")), &commit, Expected::Absent).expect("pushed");
                commits.lock().expect("a list").push((number, commit));
            });
        }
    });
    let mut commits = commits.into_inner().expect("a list");
    commits.sort();
    for (number, commit) in &commits {
        assert_eq!(setting.upstream.tip(&format!("kubeops/x/{number}")).as_ref(), Some(commit));
        assert_eq!(commit, &commits[number % 6].1, "equal changes are one commit");
    }
    assert_eq!(commits.len(), 12);
    assert_eq!(setting.upstream.log().lines().filter(|line| line.ends_with("One of many")).count(), 6);
    setting.fsck();
}

/// What one conversation showed of the base spares the next: for a while, until somebody tells that it moved, and only while it holds.
#[rstest]
fn what_a_conversation_showed_of_the_base_spares_the_next_one(#[values(With::Libgit2, With::Git)] with: With) {
    let upstream = UpstreamRepo::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let server = upstream.serve_watched(None, move |_| _ = counted.fetch_add(1, Ordering::SeqCst));
    let setting = Setting::behind(upstream, with.spec(), Server::Http(server));
    let (mirror, long) = (setting.mirror(), Duration::from_secs(600));
    let asked = || asked.swap(0, Ordering::SeqCst);
    let tip = mirror.fetch().expect("fetched");
    assert!(asked() > 0);
    assert_eq!((mirror.known_tip(long), mirror.fetch_within(long)), (Some(tip.clone()), Ok(tip.clone())));
    assert_eq!(asked(), 0, "nobody was asked");
    // It moved, and nobody tells: it is believed, and asked for where nothing may be believed.
    let moved = setting.upstream.write("main", "README.md", "moved on\n");
    assert_eq!(mirror.fetch_within(long), Ok(tip.clone()));
    assert_eq!(asked(), 0);
    assert_eq!(mirror.fetch_within(Duration::ZERO), Ok(moved.clone()));
    assert!(asked() > 0);
    let again = setting.upstream.write("main", "README.md", "and on\n");
    mirror.forget_tip();
    assert_eq!((mirror.known_tip(long), mirror.fetch_within(long)), (None, Ok(again.clone())), "somebody told");
    // A push by libgit2 shows it as well, though the mirror does not hold it yet; git's tells nothing of other branches.
    let commit = setting.commit_on(&again, "1");
    let newest = setting.upstream.write("main", "README.md", "and on\nand on\n");
    mirror.push(&branch("kubeops/x/one"), &commit, Expected::Absent).expect("pushed");
    let shown = if with == With::Libgit2 { newest } else { again };
    assert_eq!((mirror.known_tip(long), mirror.fetch_within(long)), (Some(shown.clone()), Ok(shown)));
}
