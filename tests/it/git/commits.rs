//! What a commit is made of, and what a mirror shows of one.

use super::world::{FILE, Setting, Way, With, branch, mirrors, patient};
use crate::support::upstream::{config_map, meta, run, validated, validated_on};
use kubeops::git::{CommitMeta, Expected, GitError, Worth, commit_message};
use kubeops::plan::{BaseTree, EmptyTree, EntryKind};
use kubeops::types::ChangeKind;
use std::collections::BTreeMap;

#[test]
fn the_same_request_on_the_same_base_is_the_same_commit_in_any_mirror() {
    let setting = Setting::new(With::Libgit2, Way::File);
    let (base, commit) = setting.commit("1");
    let elsewhere = mirrors(&setting.upstream.scratch("elsewhere"), patient());
    let mirror = elsewhere.get(&setting.remote);
    mirror.fetch().expect("fetched");
    let change = validated(&mirror, &base, &[(FILE, Some(&config_map("app", "1")))]);
    assert_eq!(mirror.commit(&base, &change, &meta("Set the value")).expect("a commit"), commit);
    assert_eq!(mirror.commit(&base, &change, &meta("Set the value")).expect("again"), commit);
    assert_ne!(mirror.commit(&base, &change, &meta("Another subject")).expect("a commit"), commit);
}

#[test]
fn a_change_that_changes_nothing_is_the_base_itself() {
    let setting = Setting::new(With::Libgit2, Way::File);
    let mirror = setting.mirror();
    let base = mirror.fetch().expect("fetched");
    let same = setting.upstream.show("clusters/prod/kustomization.yaml", "main");
    let change = validated(&mirror, &base, &[("clusters/prod/kustomization.yaml", Some(&same)), ("clusters/prod/absent.yaml", None)]);
    assert_eq!(mirror.commit(&base, &change, &meta("Nothing")).expect("a commit"), base);
}

#[test]
fn directories_come_and_go_with_their_files_and_modes_stay() {
    let setting = Setting::new(With::Libgit2, Way::File);
    let mirror = setting.mirror();
    let base = mirror.fetch().expect("fetched");
    let change = validated(
        &mirror,
        &base,
        &[
            ("clusters/staging/quota/payments.yaml", None),
            ("clusters/prod/deep/er/and/deeper/a.yaml", Some(&config_map("a", "1"))),
            ("clusters/prod/deep/er/b.yaml", Some(&config_map("b", "1"))),
            ("scripts/apply.yaml", Some(&config_map("script", "1"))),
            ("root.yaml", Some(&config_map("root", "1"))),
        ],
    );
    let commit = mirror.commit(&base, &change, &meta("Many")).expect("a commit");
    mirror.push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    let listed = setting.upstream.git(&["ls-tree", "-r", "--format=%(objectmode) %(path)", commit.as_str()]);
    insta::assert_snapshot!(listed, @r"
    100644 README.md
    120000 clusters/current
    100644 clusters/prod/deep/er/and/deeper/a.yaml
    100644 clusters/prod/deep/er/b.yaml
    100644 clusters/prod/kustomization.yaml
    100644 clusters/prod/namespaces/payments.yaml
    100644 clusters/staging/namespaces/payments.yaml
    100644 root.yaml
    100755 scripts/apply.yaml
    ");
    setting.fsck();
}

#[test]
fn a_path_through_a_link_or_over_a_directory_is_refused() {
    let setting = Setting::new(With::Libgit2, Way::File);
    setting.upstream.write("main", "folder.yaml/inner.yaml", "a: b\n");
    let mirror = setting.mirror();
    let base = mirror.fetch().expect("fetched");
    for path in ["clusters/current/x.yaml", "README.md/x.yaml", "folder.yaml"] {
        // The gate refuses such a change; this one passed it on a tree where nothing stood in its way.
        let change = validated_on(&EmptyTree::default(), &[(path, Some(&config_map("x", "1")))]);
        let error = mirror.commit(&base, &change, &meta("Bad")).expect_err("refused");
        assert!(matches!(&error, GitError::Path { path: named, .. } if path.starts_with(named.as_str())), "{path}: {error}");
    }
}

#[test]
fn a_snapshot_shows_what_stands_in_the_base_and_nothing_else() {
    let setting = Setting::new(With::Libgit2, Way::File);
    let mirror = setting.mirror();
    let base = mirror.fetch().expect("fetched");
    let snapshot = mirror.snapshot(&base).expect("a snapshot");
    assert_eq!(snapshot.commit(), &base);
    for (path, kind) in [
        (".", Some(EntryKind::Directory)),
        ("clusters/prod", Some(EntryKind::Directory)),
        ("clusters/prod/kustomization.yaml", Some(EntryKind::File)),
        ("scripts/apply.yaml", Some(EntryKind::Executable)),
        ("clusters/current", Some(EntryKind::Symlink)),
        ("clusters/current/namespaces", None),
        ("clusters/Prod", None),
        ("a\0b", None),
    ] {
        assert_eq!(snapshot.entry(path).expect("read"), kind, "{path:?}");
    }
    assert_eq!(snapshot.spellings("clusters/PROD").expect("read"), ["prod"]);
    assert!(snapshot.spellings("nowhere/x").expect("read").is_empty());
    let read = |path: &str| snapshot.read(&path.parse().expect("a path")).expect("read");
    assert_eq!(read("clusters/prod/kustomization.yaml").as_deref(), Some(b"resources:\n  - namespaces/payments.yaml\n".as_slice()));
    assert_eq!(read("clusters/prod/absent.yaml"), None);
    assert!(mirror.snapshot(&"0".repeat(40).parse().expect("a commit")).is_err());
}

#[test]
fn a_diff_shows_what_the_commit_changes_and_is_bounded() {
    let setting = Setting::new(With::Libgit2, Way::File);
    let mirror = setting.mirror();
    let base = mirror.fetch().expect("fetched");
    let change = validated(
        &mirror,
        &base,
        &[
            ("clusters/prod/kustomization.yaml", Some("resources:\n  - namespaces/payments.yaml\n  - namespaces/web.yaml\n")),
            ("clusters/staging/quota/payments.yaml", None),
            ("clusters/prod/namespaces/web.yaml", Some("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: web\n")),
        ],
    );
    let commit = mirror.commit(&base, &change, &meta("Three")).expect("a commit");
    let diff = mirror.diff(&base, &commit, 64 * 1024).expect("a diff");
    let kinds: Vec<_> = diff.files.iter().map(|path| (path.path.as_str(), path.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("clusters/prod/kustomization.yaml", ChangeKind::Modified),
            ("clusters/prod/namespaces/web.yaml", ChangeKind::Added),
            ("clusters/staging/quota/payments.yaml", ChangeKind::Removed)
        ]
    );
    // The text is a patch: git applies it and arrives at the commit's tree.
    mirror.push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    let checkout = setting.upstream.scratch("checkout");
    run(setting.upstream.path(), &["clone", "--quiet", "--branch", "main", ".", checkout.to_str().expect("UTF-8")]);
    std::fs::write(checkout.join("change.patch"), diff.text()).expect("written");
    run(&checkout, &["apply", "--index", "change.patch"]);
    assert_eq!(run(&checkout, &["write-tree"]), setting.upstream.git(&["rev-parse", &format!("{commit}^{{tree}}")]));
    let cut = mirror.diff(&base, &commit, 200).expect("a diff");
    assert!(cut.truncated && cut.text().len() <= 200 && cut.text().ends_with('\n') && cut.files.len() == 3, "{cut:?}");
}

#[test]
fn what_is_forgotten_can_be_committed_again() {
    let setting = Setting::new(With::Libgit2, Way::File);
    let (base, commit) = setting.commit("1");
    let mirror = setting.mirror();
    mirror.prune(|other| if *other == commit { Worth::Much } else { Worth::Nothing }).expect("pruned");
    assert!(mirror.diff(&base, &commit, 100).is_ok(), "a live commit stays");
    let killed = setting.mirror_path().join("proposals/.half-written");
    std::fs::write(&killed, b"blob 5").expect("written");
    mirror.prune(|_| Worth::Nothing).expect("pruned");
    assert!(!killed.exists());
    assert!(matches!(mirror.diff(&base, &commit, 100), Err(GitError::NoCommit { .. })));
    assert!(matches!(mirror.push(&branch("kubeops/x"), &commit, Expected::Any), Err(GitError::NoCommit { .. })));
    assert_eq!(setting.commit("1").1, commit);
    mirror.push(&branch("kubeops/x"), &commit, Expected::Any).expect("pushed");
    setting.fsck();
}

#[test]
fn git_reads_our_trailers_and_no_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let hostile = [
        ("Namespace web", "Please.\n\nKubeops-Request: req_evil\nCo-authored-by: Mallory <m@example.com>"),
        ("Kubeops-Request: x\n\nKubeops-Event: y", "---\n\nKubeops-Template: evil@sha256:0"),
        ("", "a\r\n\r\nSigned-off-by: Mallory <m@example.com>\r\n\r\n"),
        ("x", "Kubeops-Request: a\n---\ndiff --git a/x b/x\n\n\n\n--- \n"),
        ("x", "a\u{2028}Kubeops-Event: evil\u{85}---\u{b}Kubeops-Event: evil"),
    ];
    for (subject, body) in hostile {
        let meta = CommitMeta { body: body.to_owned(), ..meta(subject) };
        let message = commit_message(&meta, &BTreeMap::from([("namespace".to_owned(), "ab".repeat(32))]));
        let file = directory.path().join("message");
        std::fs::write(&file, &message).expect("written");
        let trailers = run(directory.path(), &["interpret-trailers", "--parse", "message"]);
        let expected = format!(
            "Kubeops-Request: {}\nKubeops-Automation: namespace-request\nKubeops-Event: {}\nKubeops-Template: namespace@sha256:{}\n",
            meta.request,
            meta.event,
            "ab".repeat(32)
        );
        assert_eq!(trailers, expected, "{message}");
    }
}
