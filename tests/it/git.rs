//! The git adapter against real repositories: over the file system and behind `git http-backend`.

use crate::support::loopback::{Answer, Loopback};
use crate::support::upstream::{HttpUpstream, UpstreamRepo, command, config_map, fsck, meta, run, validated, validated_on};
use kubeops::git::{CommitMeta, Credentials, Expected, GitError, Libgit2, Limits, Mirror, Mirrors, Pushed, RemoteSpec, Worth, commit_message};
use kubeops::plan::{BaseTree, EmptyTree, EntryKind};
use kubeops::types::{ChangeKind, CommitSha, ErrorClass};
use rstest::rstest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOKEN: &str = "t0p-secret-token";
const FILE: &str = "clusters/prod/config/app.yaml";

/// How the mirror reaches its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    File,
    Http,
}

/// An upstream, a mirror of it, and the server between them.
struct Setting {
    upstream: UpstreamRepo,
    mirrors: Mirrors,
    remote: RemoteSpec,
    _server: Option<HttpUpstream>,
}

/// Whatever a test did, the mirror holds nothing in the end that git would complain of; nor does the upstream, whose own end says so.
impl Drop for Setting {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.fsck();
        }
    }
}

impl Setting {
    fn new(way: Way) -> Self {
        Self::around(UpstreamRepo::new(), way)
    }

    fn around(upstream: UpstreamRepo, way: Way) -> Self {
        let server = (way == Way::Http).then(|| upstream.serve(Some(TOKEN)));
        let url = server.as_ref().map_or_else(|| format!("file://{}", upstream.path().display()), |server| server.url.clone());
        let remote = remote(&url, Some(TOKEN));
        let mirrors = mirrors(&upstream.scratch("mirrors"));
        Self { upstream, mirrors, remote, _server: server }
    }

    fn mirror(&self) -> Arc<Mirror> {
        self.mirrors.get(&self.remote)
    }

    fn mirror_path(&self) -> PathBuf {
        self.upstream.scratch("mirrors").join("gitops.git")
    }

    /// A commit that sets the value of one ConfigMap, on a fetched base.
    fn commit(&self, value: &str) -> (CommitSha, CommitSha) {
        let mirror = self.mirror();
        let base = mirror.fetch().expect("fetched");
        let change = validated(&mirror, &base, &[(FILE, Some(&config_map("app", value)))]);
        let commit = mirror.commit(&base, &change, &meta("Set the value")).expect("a commit");
        (base, commit)
    }

    /// Both sides hold nothing that git would complain of.
    fn fsck(&self) {
        self.upstream.fsck();
        if self.mirror_path().exists() {
            fsck(&self.mirror_path());
        }
    }
}

fn remote(url: &str, token: Option<&'static str>) -> RemoteSpec {
    RemoteSpec {
        name: "gitops".parse().expect("a name"),
        url: url.parse().expect("an address"),
        base: "main".parse().expect("a branch"),
        credentials: token.map(|token| Credentials::new("bot", move || Ok(token.into()))),
    }
}

fn mirrors(directory: &Path) -> Mirrors {
    let limits = Limits { idle: Duration::from_secs(20), total: Duration::from_secs(60) };
    Mirrors::new(directory, Arc::new(Libgit2::new(limits))).expect("a directory")
}

fn branch(name: &str) -> kubeops::types::BranchName {
    name.parse().expect("a branch")
}

#[rstest]
fn a_change_travels_from_the_base_to_a_branch_of_the_upstream(#[values(Way::File, Way::Http)] way: Way) {
    let setting = Setting::new(way);
    let (base, commit) = setting.commit("1");
    assert_eq!(Some(&base), setting.upstream.tip("main").as_ref());
    let pushed = setting.mirror().push(&branch("kubeops/x/one"), &commit, Expected::Absent).expect("pushed");
    assert_eq!(pushed, Pushed::Updated);
    assert_eq!(setting.upstream.tip("kubeops/x/one").as_ref(), Some(&commit));
    assert_eq!(setting.mirror().remote_tip(&branch("kubeops/x/one")).expect("a tip").as_ref(), Some(&commit));
    assert_eq!(setting.upstream.show(FILE, commit.as_str()), config_map("app", "1"));
    // Everything else is as it was.
    assert_eq!(setting.upstream.git(&["diff", "--name-status", base.as_str(), commit.as_str()]).trim(), format!("A\t{FILE}"));
    let header = setting.upstream.git(&["show", "--no-patch", "--format=%an|%ae|%at|%cn|%ct|%P", commit.as_str()]);
    assert_eq!(header.trim(), format!("KubeOps|kubeops@example.com|1760000000|KubeOps|1760000000|{base}"));
}

#[rstest]
fn pushing_the_same_commit_again_sends_nothing_and_deleting_twice_is_fine(#[values(Way::File, Way::Http)] way: Way) {
    let setting = Setting::new(way);
    let (_, commit) = setting.commit("1");
    let (mirror, name) = (setting.mirror(), branch("kubeops/x"));
    mirror.push(&name, &commit, Expected::Absent).expect("pushed");
    // Even when the caller still believes that the branch is absent: its answer was lost.
    assert_eq!(mirror.push(&name, &commit, Expected::Absent).expect("pushed"), Pushed::AlreadyThere);
    assert_eq!(mirror.delete_branch(&name, Expected::At(commit)).expect("deleted"), Pushed::Updated);
    assert_eq!(setting.upstream.tip("kubeops/x"), None);
    assert_eq!(mirror.delete_branch(&name, Expected::Any).expect("deleted"), Pushed::AlreadyThere);
}

#[rstest]
fn a_branch_that_moved_is_left_alone(#[values(Way::File, Way::Http)] way: Way) {
    let setting = Setting::new(way);
    let (mirror, name) = (setting.mirror(), branch("kubeops/x"));
    let (_, first) = setting.commit("1");
    let (_, second) = setting.commit("2");
    mirror.push(&name, &first, Expected::Absent).expect("pushed");
    let persons = setting.upstream.write("kubeops/x", "notes.yaml", "by: hand\n");
    for expected in [Expected::Absent, Expected::At(first.clone())] {
        let error = mirror.push(&name, &second, expected).expect_err("moved");
        assert!(matches!(&error, GitError::Moved { found: Some(found), .. } if *found == persons), "{error}");
        assert_eq!(error.class(), ErrorClass::Transient);
    }
    assert!(mirror.delete_branch(&name, Expected::At(first)).is_err());
    assert_eq!(setting.upstream.tip("kubeops/x").as_ref(), Some(&persons));
    // Knowing where it is, or not caring, moves it: also to a commit that does not descend from it.
    mirror.push(&name, &second, Expected::At(persons)).expect("pushed");
    assert_eq!(setting.upstream.tip("kubeops/x").as_ref(), Some(&second));
}

#[test]
fn a_branch_made_while_we_push_is_not_overwritten() {
    // The server answers the first look at its branches from before the other's push.
    let upstream = UpstreamRepo::new();
    let setting = Setting::around(upstream, Way::Http);
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

#[test]
fn a_hook_that_refuses_is_quoted_and_final() {
    let setting = Setting::new(Way::Http);
    setting.upstream.install_hook("pre-receive", "echo 'branches of robots are frozen until Monday' >&2; exit 1");
    let (_, commit) = setting.commit("1");
    let error = setting.mirror().push(&branch("kubeops/x"), &commit, Expected::Absent).expect_err("refused");
    assert!(matches!(error, GitError::Rejected { .. }), "{error}");
    assert!(error.to_string().contains("frozen until Monday"), "{error}");
    assert_eq!(error.class(), ErrorClass::Permanent);
    assert_eq!(setting.upstream.tip("kubeops/x"), None);
}

#[rstest]
fn no_hook_of_upstream_or_mirror_runs_on_this_side(#[values(Way::File)] way: Way) {
    let setting = Setting::new(way);
    let trace = setting.upstream.scratch("trace");
    let script = format!("touch {}", trace.display());
    for hook in ["pre-push", "post-checkout", "reference-transaction", "post-commit", "pre-receive", "update", "post-update"] {
        setting.upstream.install_hook(hook, &script);
    }
    setting.mirror().fetch().expect("fetched");
    let hooks = setting.mirror_path().join("hooks");
    std::fs::create_dir_all(&hooks).expect("hooks");
    for entry in std::fs::read_dir(setting.upstream.path().join("hooks")).expect("hooks").flatten() {
        std::fs::copy(entry.path(), hooks.join(entry.file_name())).expect("copied");
    }
    let (_, commit) = setting.commit("1");
    setting.mirror().push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    assert!(!trace.exists(), "a hook ran");
}

#[test]
fn the_same_request_on_the_same_base_is_the_same_commit_in_any_mirror() {
    let setting = Setting::new(Way::File);
    let (base, commit) = setting.commit("1");
    let elsewhere = mirrors(&setting.upstream.scratch("elsewhere"));
    let mirror = elsewhere.get(&setting.remote);
    mirror.fetch().expect("fetched");
    let change = validated(&mirror, &base, &[(FILE, Some(&config_map("app", "1")))]);
    assert_eq!(mirror.commit(&base, &change, &meta("Set the value")).expect("a commit"), commit);
    assert_eq!(mirror.commit(&base, &change, &meta("Set the value")).expect("again"), commit);
    assert_ne!(mirror.commit(&base, &change, &meta("Another subject")).expect("a commit"), commit);
}

#[test]
fn a_change_that_changes_nothing_is_the_base_itself() {
    let setting = Setting::new(Way::File);
    let mirror = setting.mirror();
    let base = mirror.fetch().expect("fetched");
    let same = setting.upstream.show("clusters/prod/kustomization.yaml", "main");
    let change = validated(&mirror, &base, &[("clusters/prod/kustomization.yaml", Some(&same)), ("clusters/prod/absent.yaml", None)]);
    assert_eq!(mirror.commit(&base, &change, &meta("Nothing")).expect("a commit"), base);
}

#[test]
fn directories_come_and_go_with_their_files_and_modes_stay() {
    let setting = Setting::new(Way::File);
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
}

#[test]
fn a_path_through_a_link_or_over_a_directory_is_refused() {
    let setting = Setting::new(Way::File);
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
    let setting = Setting::new(Way::File);
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

#[rstest]
fn the_base_is_followed_also_when_it_is_rewritten_or_deleted(#[values(Way::File, Way::Http)] way: Way) {
    let setting = Setting::new(way);
    let mirror = setting.mirror();
    let first = mirror.fetch().expect("fetched");
    let second = setting.upstream.write("main", "a.yaml", "a: b\n");
    assert_eq!(mirror.fetch().expect("fetched"), second);
    setting.upstream.git(&["update-ref", "refs/heads/main", first.as_str()]);
    assert_eq!(mirror.fetch().expect("fetched"), first);
    setting.upstream.git(&["update-ref", "-d", "refs/heads/main"]);
    let error = mirror.fetch().expect_err("no branch");
    assert!(matches!(error, GitError::NoBranch { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Permanent);
}

#[test]
fn a_damaged_mirror_is_built_anew() {
    let setting = Setting::new(Way::File);
    let (base, _) = setting.commit("1");
    let path = setting.mirror_path();
    let damages: [(&str, &dyn Fn()); 5] = [
        ("the packs are gone", &|| {
            std::fs::remove_dir_all(path.join("objects/pack")).expect("removed");
            std::fs::create_dir_all(path.join("objects/pack")).expect("made");
        }),
        ("a pack is cut short", &|| {
            for entry in std::fs::read_dir(path.join("objects/pack")).expect("packs").flatten() {
                std::fs::remove_file(entry.path()).expect("removed");
                std::fs::write(entry.path(), b"PACK").expect("written");
            }
        }),
        ("HEAD is gone", &|| std::fs::remove_file(path.join("HEAD")).expect("removed")),
        ("it is half-written", &|| std::fs::remove_file(path.join("kubeops-mirror")).expect("removed")),
        ("its configuration is garbage", &|| std::fs::write(path.join("config"), "[[[").expect("written")),
    ];
    for (what, damage) in damages {
        // A new process: nothing is open, and libgit2 shares no pack with what was.
        setting.mirrors.release();
        damage();
        let fresh = mirrors(&setting.upstream.scratch("mirrors"));
        let mirror = fresh.get(&setting.remote);
        assert_eq!(mirror.fetch().unwrap_or_else(|error| panic!("{what}: {error}")), base);
        let change = validated(&mirror, &base, &[(FILE, Some(&config_map("app", "1")))]);
        let commit = mirror.commit(&base, &change, &meta("Set the value")).unwrap_or_else(|error| panic!("{what}: {error}"));
        mirror.push(&branch("kubeops/x"), &commit, Expected::Any).unwrap_or_else(|error| panic!("{what}: {error}"));
        setting.fsck();
    }
}

#[test]
fn a_missing_tree_below_the_tip_is_found_and_mended_by_the_next_fetch() {
    let setting = Setting::new(Way::File);
    let mirror = setting.mirror();
    let base = mirror.fetch().expect("fetched");
    // The objects loose, so that one can go.
    let path = setting.mirror_path();
    for entry in
        std::fs::read_dir(path.join("objects/pack")).expect("packs").flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "pack"))
    {
        let pack = setting.upstream.scratch("moved.pack");
        std::fs::rename(entry.path(), &pack).expect("moved");
        std::fs::remove_file(entry.path().with_extension("idx")).expect("removed");
        let input = std::fs::File::open(&pack).expect("opened");
        assert!(command(&path, &["unpack-objects", "-q"]).stdin(input).status().expect("git").success());
    }
    let tree = setting.upstream.git(&["rev-parse", "main:clusters/prod"]);
    let tree = tree.trim();
    std::fs::remove_file(path.join("objects").join(&tree[..2]).join(&tree[2..])).expect("removed");
    setting.mirrors.release();
    let error = mirror.snapshot(&base).expect("the root is there").entry("clusters/prod/kustomization.yaml").expect_err("a tree is missing");
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert_eq!(mirror.fetch().expect("rebuilt"), base);
    let kind = mirror.snapshot(&base).expect("a snapshot").entry("clusters/prod/kustomization.yaml").expect("read");
    assert_eq!(kind, Some(EntryKind::File));
}

#[test]
fn another_address_under_the_same_name_is_another_mirror() {
    let (one, other) = (Setting::new(Way::File), UpstreamRepo::new());
    one.mirror().fetch().expect("fetched");
    let tip = other.write("main", "only-here.yaml", "a: b\n");
    let moved = RemoteSpec { url: other.path().to_str().expect("UTF-8").parse().expect("an address"), ..one.remote.clone() };
    let mirror = one.mirrors.get(&moved);
    assert_eq!(mirror.fetch().expect("fetched"), tip);
    assert_eq!(mirror.snapshot(&tip).expect("a snapshot").entry("only-here.yaml").expect("read"), Some(EntryKind::File));
}

#[test]
fn a_wrong_token_may_be_mended_in_time_and_is_never_shown() {
    let upstream = UpstreamRepo::new();
    let server = upstream.serve(Some(TOKEN));
    for (token, word) in [(Some("wr0ng-token"), "does not accept"), (None, "names none")] {
        let mirrors = mirrors(&upstream.scratch(if token.is_some() { "a" } else { "b" }));
        let mirror = mirrors.get(&remote(&server.url, token));
        let error = mirror.fetch().expect_err("refused");
        assert_eq!(error.class(), ErrorClass::Transient, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(!format!("{error:?} {error} {mirror:?}").contains("wr0ng"), "{error:?}");
    }
}

#[test]
fn a_rotated_token_is_used_at_once_and_stands_nowhere_on_disk() {
    let upstream = UpstreamRepo::new();
    let server = upstream.serve(Some(TOKEN));
    let directory = upstream.scratch("mirrors");
    let mirrors = mirrors(&directory);
    assert!(mirrors.get(&remote(&server.url, Some("old-token"))).fetch().is_err());
    mirrors.get(&remote(&server.url, Some(TOKEN))).fetch().expect("the new token counts");
    let found = std::process::Command::new("grep").args(["-rl", TOKEN]).arg(&directory).output().expect("grep");
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
}

#[rstest]
#[case(503, ErrorClass::Transient)]
#[case(500, ErrorClass::Transient)]
#[case(429, ErrorClass::Transient)]
#[case(403, ErrorClass::Transient)]
#[case(404, ErrorClass::Transient)]
fn what_a_broken_server_answers_has_its_class(#[case] status: u16, #[case] class: ErrorClass) {
    let server = Loopback::serve(move |_| Answer::new(status, "text/html", "<html>sorry</html>"));
    let directory = tempfile::tempdir().expect("a directory");
    let error = mirrors(directory.path()).get(&remote(&format!("{}/x.git", server.url()), Some(TOKEN))).fetch().expect_err("broken");
    assert_eq!(error.class(), class, "{error:?}");
}

#[test]
fn a_redirect_to_another_host_gets_no_token() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let thief = Loopback::serve(move |request| {
        record.lock().expect("a list").push(request.headers.get("authorization").cloned());
        let mut answer = Answer::new(401, "text/plain", "");
        answer.headers.push(("www-authenticate".to_owned(), "Basic realm=\"git\"".to_owned()));
        answer
    });
    let target = thief.url().replace("127.0.0.1", "localhost");
    let server = Loopback::serve(move |request| {
        let mut answer = Answer::new(302, "text/plain", "");
        answer.headers.push(("location".to_owned(), format!("{target}{}?{}", request.path, request.query)));
        answer
    });
    let directory = tempfile::tempdir().expect("a directory");
    let error = mirrors(directory.path()).get(&remote(&format!("{}/x.git", server.url()), Some(TOKEN))).fetch().expect_err("refused");
    assert_eq!(error.class(), ErrorClass::Transient, "{error:?}");
    assert!(seen.lock().expect("a list").iter().all(Option::is_none), "the token was sent on");
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_given_up() {
    // Connections are accepted by the kernel and never answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/x.git", silent.local_addr().expect("an address"));
    let directory = tempfile::tempdir().expect("a directory");
    let transport = Libgit2::new(Limits { idle: Duration::from_millis(200), total: Duration::from_secs(2) });
    let mirrors = Mirrors::new(directory.path(), Arc::new(transport)).expect("a directory");
    let begun = Instant::now();
    let error = mirrors.get(&remote(&url, None)).fetch().expect_err("silent");
    assert!(matches!(error, GitError::Timeout { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn nobody_listens_is_transient() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let directory = tempfile::tempdir().expect("a directory");
    let error = mirrors(directory.path()).get(&remote(&format!("http://127.0.0.1:{port}/x.git"), None)).fetch().expect_err("refused");
    assert_eq!(error.class(), ErrorClass::Transient, "{error:?}");
    let error = mirrors(directory.path()).get(&remote("/nowhere/at/all.git", None)).fetch().expect_err("no such directory");
    assert_eq!(error.class(), ErrorClass::Transient, "{error:?}");
}

#[rstest]
fn many_writers_each_get_their_commit(#[values(Way::File, Way::Http)] way: Way) {
    let setting = Setting::new(way);
    let mirror = setting.mirror();
    let base = mirror.fetch().expect("fetched");
    let commits: Vec<CommitSha> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..12)
            .map(|number| {
                let (mirror, base) = (Arc::clone(&mirror), base.clone());
                scope.spawn(move || {
                    let path = format!("clusters/prod/config/app-{}.yaml", number % 6);
                    let change = validated(&mirror, &base, &[(&path, Some(&config_map("app", &(number % 6).to_string())))]);
                    let commit = mirror.commit(&base, &change, &meta("One of many")).expect("a commit");
                    mirror.push(&branch(&format!("kubeops/x/{number}")), &commit, Expected::Absent).expect("pushed");
                    commit
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker")).collect()
    });
    for (number, commit) in commits.iter().enumerate() {
        assert_eq!(setting.upstream.tip(&format!("kubeops/x/{number}")).as_ref(), Some(commit));
        assert_eq!(commit, &commits[number % 6], "equal changes are one commit");
    }
    assert_eq!(setting.upstream.log().lines().filter(|line| line.ends_with("One of many")).count(), 6);
}

#[test]
fn a_diff_shows_what_the_commit_changes_and_is_bounded() {
    let setting = Setting::new(Way::File);
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
    let setting = Setting::new(Way::File);
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
}

#[test]
fn a_damaged_proposal_is_noticed_dropped_and_made_again() {
    let setting = Setting::new(Way::File);
    let (_, commit) = setting.commit("1");
    let file = setting.mirror_path().join("proposals").join(commit.as_str());
    let whole = std::fs::read(&file).expect("the proposal");
    let flipped: Vec<u8> = whole.iter().enumerate().map(|(at, byte)| if at == whole.len() - 20 { byte ^ 1 } else { *byte }).collect();
    let no_blob = whole[whole.windows(5).position(|window| window == b"tree ").expect("a tree")..].to_vec();
    for damaged in
        [Vec::new(), whole[..whole.len() / 2].to_vec(), whole[..whole.len() - 3].to_vec(), flipped, no_blob, b"blob 99999999999999999999\0".to_vec()]
    {
        std::fs::write(&file, &damaged).expect("written");
        setting.mirrors.release();
        let error = setting.mirror().push(&branch("kubeops/x"), &commit, Expected::Any).expect_err("damaged");
        assert_eq!(error.class(), ErrorClass::Transient, "{error:?}");
        assert_eq!(setting.upstream.tip("kubeops/x"), None);
        assert_eq!(setting.commit("1").1, commit);
        assert_eq!(std::fs::read(&file).expect("the proposal"), whole);
    }
    setting.mirror().push(&branch("kubeops/x"), &commit, Expected::Any).expect("pushed");
}

#[rstest]
fn commits_of_ours_may_stand_on_each_other(#[values(Way::File, Way::Http)] way: Way) {
    let setting = Setting::new(way);
    let (base, mut commit) = setting.commit("1");
    for value in ["2", "3"] {
        setting.mirrors.release();
        let change = validated(&setting.mirror(), &commit, &[(FILE, Some(&config_map("app", value)))]);
        commit = setting.mirror().commit(&commit, &change, &meta("On top")).expect("a commit");
    }
    setting.mirrors.release();
    setting.mirror().push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    assert_eq!(setting.upstream.git(&["rev-list", "--count", &format!("{base}..kubeops/x")]).trim(), "3");
    assert_eq!(setting.upstream.show(FILE, "kubeops/x"), config_map("app", "3"));
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

#[test]
fn the_machines_configuration_is_not_obeyed() {
    // A user's configuration that would send every fetch elsewhere. libgit2 finds it through HOME, which is set for a
    // child of this test alone: the test runs itself with an argument that selects the part below.
    if std::env::var_os("KUBEOPS_TEST_CONFIG_CHILD").is_some() {
        let setting = Setting::new(Way::File);
        setting.mirror().fetch().expect("fetched from where it was told");
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(
        home.path().join(".gitconfig"),
        "[url \"/nowhere/\"]\n\tinsteadOf = file:///\n[core]\n\thooksPath = /nowhere\n[http]\n\tproxy = http://127.0.0.1:1\n",
    )
    .expect("written");
    let child = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "git::the_machines_configuration_is_not_obeyed", "--nocapture"])
        .env("HOME", home.path())
        .env("KUBEOPS_TEST_CONFIG_CHILD", "1")
        .output()
        .expect("the child runs");
    assert!(child.status.success(), "{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
}
