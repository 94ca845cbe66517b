//! Mirrors that hold less than the repository: no file contents until they are read, or a history that is cut off.

use super::world::{FILE, Server, Setting, TOKEN, Way, branch};
use crate::support::upstream::{UpstreamRepo, config_map, meta, run, validated};
use kubeops::git::{Expected, GitError, Owner, Pushed, Standing, Upkeep};
use kubeops::inventory::{GitSpec, GitTransport};
use kubeops::plan::BaseTree;
use kubeops::types::{CommitSha, ManifestPath};
use rstest::rstest;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

fn git(partial_clone: bool, depth: u32) -> GitSpec {
    GitSpec { transport: GitTransport::Git, partial_clone, depth: std::num::NonZeroU32::new(depth) }
}

/// An upstream that hands out less when asked, as GitHub and others do.
fn willing() -> UpstreamRepo {
    let upstream = UpstreamRepo::new();
    upstream.git(&["config", "uploadpack.allowFilter", "true"]);
    upstream
}

/// The kinds of the objects that the mirror itself holds.
fn held(setting: &Setting) -> Vec<String> {
    let listed = run(&setting.mirror_path(), &["cat-file", "--batch-check=%(objecttype)", "--batch-all-objects"]);
    listed.lines().map(str::to_owned).collect()
}

fn blobs(setting: &Setting) -> usize {
    held(setting).iter().filter(|kind| *kind == "blob").count()
}

fn path(text: &str) -> ManifestPath {
    text.parse().expect("a path")
}

#[rstest]
fn a_partial_mirror_holds_no_file_contents_until_they_are_read(#[values(Way::File, Way::Http, Way::Ssh)] way: Way) {
    let setting = Setting::around(willing(), git(true, 0), way);
    let mirror = setting.mirror();
    let base = mirror.fetch().expect("fetched");
    assert_eq!(blobs(&setting), 0);
    let snapshot = mirror.snapshot(&base).expect("a snapshot");
    let file = path("clusters/prod/kustomization.yaml");
    assert!(snapshot.entry(file.as_str()).expect("read").is_some());
    assert_eq!(blobs(&setting), 0, "looking at names reads no contents");
    let expected = b"resources:\n  - namespaces/payments.yaml\n".as_slice();
    assert_eq!(snapshot.read(&file).expect("read").as_deref(), Some(expected));
    assert_eq!(blobs(&setting), 1);
    assert_eq!(snapshot.read(&path("clusters/prod/absent.yaml")).expect("read"), None);
    // Another process finds it there.
    let reopened = setting.reopened();
    assert_eq!(reopened.get(&setting.remote).snapshot(&base).expect("a snapshot").read(&file).expect("read").as_deref(), Some(expected));
    assert_eq!(blobs(&setting), 1);
    setting.fsck();
}

#[rstest]
fn a_change_travels_from_a_partial_mirror(#[values(Way::File, Way::Http, Way::Ssh)] way: Way, #[values(0, 1)] depth: u32) {
    let setting = Setting::around(willing(), git(true, depth), way);
    let (mirror, name) = (setting.mirror(), branch("kubeops/x"));
    let base = mirror.fetch().expect("fetched");
    let files = [
        ("clusters/prod/kustomization.yaml", Some("resources:\n  - namespaces/payments.yaml\n  - config/app.yaml\n")),
        ("clusters/staging/quota/payments.yaml", None),
        (FILE, Some(&config_map("app", "1"))),
    ];
    let change = validated(&mirror, &base, &files);
    let commit = mirror.commit(&base, &change, &meta("Three")).expect("a commit");
    let diff = mirror.diff(&base, &commit, 64 * 1024).expect("a diff").text();
    assert!(diff.contains("+  - config/app.yaml") && diff.contains("-kind: ResourceQuota"), "{diff}");
    assert_eq!(blobs(&setting), 2, "what the change replaces, and nothing else");
    assert_eq!(mirror.push(&name, &commit, Expected::Absent).expect("pushed"), Pushed::Updated);
    assert_eq!(mirror.push(&name, &commit, Expected::Absent).expect("pushed"), Pushed::AlreadyThere);
    let us = meta("ours");
    let owner = Owner { request: &us.request, committer: &us.committer, time: Some(us.time), known: &[] };
    assert_eq!(mirror.standing(&name, &owner).expect("looked at"), Standing::Ours(commit.clone()));
    // The base moves on, and a commit is made on the new one.
    let moved = setting.upstream.write("main", "a.yaml", "a: b\n");
    assert_eq!(mirror.fetch().expect("fetched"), moved);
    let next = setting.commit_on(&moved, "2");
    mirror.push(&name, &next, Expected::At(commit)).expect("pushed");
    assert_eq!(setting.upstream.git(&["rev-list", "--count", "main..kubeops/x"]).trim(), "1");
    assert_eq!(blobs(&setting), 2);
    let persons = setting.upstream.write("kubeops/x", "notes.yaml", "by: hand\n");
    assert_eq!(mirror.standing(&name, &owner).expect("looked at"), Standing::Continued(persons));
    setting.fsck();
}

#[test]
fn what_is_known_to_be_needed_is_fetched_at_once() {
    let upstream = willing();
    let files: Vec<String> = (0..20).map(|number| format!("clusters/prod/config/app-{number}.yaml")).collect();
    for (number, file) in files.iter().enumerate() {
        upstream.write("main", file, &config_map(&format!("app-{number}"), "0"));
    }
    let fetches = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&fetches);
    let server = upstream.serve_watched(Some(TOKEN), move |request| {
        // What is long is sent compressed.
        let mut plain = Vec::new();
        let packed = request.headers.get("content-encoding").is_some_and(|coding| coding == "gzip");
        let read = if packed {
            flate2::read::GzDecoder::new(request.body.as_slice()).read_to_end(&mut plain)
        } else {
            (&mut request.body.as_slice()).read_to_end(&mut plain)
        };
        read.expect("a body");
        let asks = plain.windows(13).any(|window| window == b"command=fetch");
        *counted.lock().expect("a number") += usize::from(asks);
    });
    let setting = Setting::behind(upstream, git(true, 0), Server::Http(server));
    let mirror = setting.mirror();
    let base = mirror.fetch().expect("fetched");
    let before = *fetches.lock().expect("a number");
    let changed: Vec<(String, String)> =
        files.iter().enumerate().map(|(number, file)| (file.clone(), config_map(&format!("app-{number}"), "1"))).collect();
    let changed: Vec<(&str, Option<&str>)> = changed.iter().map(|(file, text)| (file.as_str(), Some(text.as_str()))).collect();
    let change = validated(&mirror, &base, &changed);
    let commit = mirror.commit(&base, &change, &meta("Twenty")).expect("a commit");
    assert_eq!(mirror.diff(&base, &commit, 1024 * 1024).expect("a diff").files.len(), 20);
    assert_eq!(*fetches.lock().expect("a number") - before, 1, "one conversation for twenty files");
}

#[test]
fn a_server_that_hands_out_no_less_is_taken_whole() {
    let setting = Setting::shaped(git(true, 0), Way::Http);
    let (_, commit) = setting.commit("1");
    assert!(blobs(&setting) > 0);
    setting.mirror().push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    setting.fsck();
}

#[test]
fn a_remote_that_is_away_is_told_when_contents_are_missing() {
    let setting = Setting::around(willing(), git(true, 0), Way::File);
    let base = setting.mirror().fetch().expect("fetched");
    let away = setting.upstream.scratch("away.git");
    std::fs::rename(setting.upstream.path(), &away).expect("moved");
    let snapshot = setting.mirror().snapshot(&base).expect("a snapshot");
    let error = snapshot.read(&path("clusters/prod/kustomization.yaml")).expect_err("away");
    assert_eq!(error.class, kubeops::types::ErrorClass::Transient, "{error}");
    std::fs::rename(&away, setting.upstream.path()).expect("moved back");
    assert!(snapshot.read(&path("clusters/prod/kustomization.yaml")).expect("read").is_some());
}

#[test]
fn a_commit_on_a_base_that_was_rewritten_goes_up_or_is_made_again() {
    let setting = Setting::around(willing(), git(true, 0), Way::File);
    let first = setting.mirror().fetch().expect("fetched");
    setting.upstream.write("main", "later.yaml", "a: b\n");
    let (_, commit) = setting.commit("1");
    // The base is put back and goes another way; what the commit stands on is on no branch any more.
    setting.upstream.git(&["update-ref", "refs/heads/main", first.as_str()]);
    let other = setting.upstream.write("main", "other.yaml", "c: d\n");
    match setting.reopened().get(&setting.remote).push(&branch("kubeops/x"), &commit, Expected::Absent) {
        Ok(_) => assert_eq!(setting.upstream.tip("kubeops/x"), Some(commit)),
        Err(error) => assert!(matches!(error, GitError::NoCommit { .. }), "{error}"),
    }
    assert_eq!(setting.mirror().fetch().expect("fetched"), other);
    let again = setting.commit_on(&other, "1");
    setting.mirror().push(&branch("kubeops/y"), &again, Expected::Absent).expect("pushed");
    setting.fsck();
}

#[rstest]
#[case(git(false, 0), git(true, 0))]
#[case(git(true, 0), git(false, 0))]
#[case(git(false, 1), GitSpec::default())]
#[case(git(false, 0), GitSpec::default())]
fn a_mirror_of_another_shape_is_built_anew_and_another_git_uses_what_is_there(#[case] before: GitSpec, #[case] after: GitSpec) {
    let setting = Setting::around(willing(), before.clone(), Way::File);
    let base = setting.mirror().fetch().expect("fetched");
    let trace = setting.mirror_path().join("a-file-of-the-old-mirror");
    std::fs::write(&trace, "").expect("written");
    let remote = kubeops::git::RemoteSpec { git: after.clone(), ..setting.remote.clone() };
    let mirror = setting.mirrors.get(&remote);
    assert_eq!(mirror.fetch().expect("fetched"), base);
    let same_shape = (before.partial_clone, before.depth) == (after.partial_clone, after.depth);
    assert_eq!(trace.exists(), same_shape);
    assert_eq!(blobs(&setting) == 0, after.partial_clone);
    assert!(mirror.snapshot(&base).expect("a snapshot").read(&path("clusters/prod/kustomization.yaml")).expect("read").is_some());
}

/// How many commits the mirror holds of its base.
fn commits(setting: &Setting) -> usize {
    run(&setting.mirror_path(), &["rev-list", "--count", "refs/kubeops/base/main"]).trim().parse().expect("a number")
}

/// An upstream with a history: the commits of `main`, the oldest first.
fn with_history(length: usize) -> (UpstreamRepo, Vec<CommitSha>) {
    let upstream = willing();
    let first = upstream.tip("main").expect("a tip");
    let later = (1..length).map(|number| upstream.write("main", "a.yaml", &format!("a: {number}\n")));
    let history = std::iter::once(first).chain(later).collect();
    (upstream, history)
}

#[rstest]
fn a_shallow_mirror_is_cut_off_and_works(#[values(Way::File, Way::Http, Way::Ssh)] way: Way) {
    let (upstream, history) = with_history(6);
    let setting = Setting::around(upstream, git(false, 2), way);
    let mirror = setting.mirror();
    assert_eq!(Some(&mirror.fetch().expect("fetched")), history.last());
    assert_eq!(commits(&setting), 2);
    let (_, commit) = setting.commit("1");
    mirror.push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    assert_eq!(setting.upstream.git(&["rev-list", "--count", "main..kubeops/x"]).trim(), "1");
    assert_eq!(setting.upstream.git(&["rev-list", "--count", "kubeops/x"]).trim(), "7", "at the remote the history is whole");
    // Later fetches add to it and cut nothing off anew.
    let moved = setting.upstream.write("main", "b.yaml", "b: c\n");
    assert_eq!(mirror.fetch().expect("fetched"), moved);
    assert_eq!(commits(&setting), 3);
    // A base that is put back behind the cut is followed as well.
    setting.upstream.git(&["update-ref", "refs/heads/main", history[1].as_str()]);
    assert_eq!(mirror.fetch().expect("fetched"), history[1]);
    let commit = setting.commit_on(&history[1], "2");
    mirror.push(&branch("kubeops/y"), &commit, Expected::Absent).expect("pushed");
    setting.fsck();
}

#[rstest]
fn whose_a_branch_is_is_told_right_though_history_is_cut_off(#[values(true, false)] partial: bool) {
    // A whole mirror makes a commit on an old base; one that is cut off looks at its branch.
    let (upstream, history) = with_history(2);
    let setting = Setting::around(upstream, git(false, 0), Way::File);
    let us = meta("ours");
    let name = branch("kubeops/x");
    let (_, commit) = setting.commit("1");
    setting.mirror().push(&name, &commit, Expected::Absent).expect("pushed");
    for number in 0..4 {
        setting.upstream.write("main", "b.yaml", &format!("b: {number}\n"));
    }
    let remote = kubeops::git::RemoteSpec { git: git(partial, 1), ..setting.remote.clone() };
    let mirror = setting.mirrors.get(&remote);
    let owner = Owner { request: &us.request, committer: &us.committer, time: Some(us.time), known: &[] };
    mirror.fetch().expect("fetched");
    assert_eq!(commits(&setting), 1);
    assert_eq!(mirror.standing(&name, &owner).expect("looked at"), Standing::Ours(commit.clone()));
    let persons = setting.upstream.write("kubeops/x", "notes.yaml", "by: hand\n");
    assert_eq!(mirror.standing(&name, &owner).expect("looked at"), Standing::Continued(persons));
    assert_eq!(commits(&setting), history.len() + 4, "the history was fetched, because it was needed");
}

#[rstest]
fn a_mirror_that_is_not_whole_is_packed_by_git_and_loses_nothing_that_is_needed(#[values(true, false)] partial: bool, #[values(0, 2)] depth: u32) {
    if !partial && depth == 0 {
        return;
    }
    let (upstream, _) = with_history(6);
    let setting = Setting::around(upstream, git(partial, depth), Way::File);
    let mirror = setting.mirror();
    let packs = || {
        std::fs::read_dir(setting.mirror_path().join("objects/pack"))
            .expect("packs")
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "pack"))
            .count()
    };
    for number in 0..6 {
        setting.upstream.write("main", &format!("many/{number}.yaml"), "a: b\n");
        let base = mirror.fetch().expect("fetched");
        mirror.snapshot(&base).expect("a snapshot").read(&path(&format!("many/{number}.yaml"))).expect("read").expect("there");
        setting.upstream.git(&["update-ref", "refs/heads/kubeops/x", base.as_str()]);
        setting.upstream.write("kubeops/x", "notes.yaml", &format!("by: {number}\n"));
        setting.transport.fetch_branch(&setting.place(), &branch("kubeops/x")).expect("looked at");
    }
    let (base, commit) = setting.commit("1");
    let before = packs();
    assert!(before > 8, "{before}");
    let in_use = mirror.snapshot(&base).expect("a snapshot");
    assert_eq!(mirror.upkeep().expect("looked at"), Upkeep::Busy, "what is being read is left alone");
    assert_eq!(packs(), before);
    drop(in_use);
    assert_eq!(mirror.upkeep().expect("packed"), Upkeep::Transports);
    assert!(packs() <= 2, "{}", packs());
    setting.fsck();
    let read = |number: u32| mirror.snapshot(&base).expect("a snapshot").read(&path(&format!("many/{number}.yaml"))).expect("read");
    assert!((0..6).all(|number| read(number).as_deref() == Some(b"a: b\n")));
    mirror.push(&branch("kubeops/y"), &commit, Expected::Absent).expect("pushed");
    let moved = setting.upstream.write("main", "last.yaml", "a: b\n");
    assert_eq!(mirror.fetch().expect("fetched"), moved);
    assert_eq!(mirror.upkeep().expect("looked at"), Upkeep::Transports);
    setting.fsck();
}
