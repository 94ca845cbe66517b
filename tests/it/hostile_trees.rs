//! Any path a ticket could lead to, on a base that was made to mislead: what is committed lies where it may, and nowhere else.

use crate::support::upstream::{UpstreamRepo, meta};
use kubeops::git::{Expected, Libgit2, Mirror, Mirrors, RemoteSpec};
use kubeops::plan::{ChangeSet, FileChange};
use kubeops::types::{CommitSha, DirectoryPath, ManifestPath};
use kubeops::validate::{KubernetesVersion, Rules, UnknownKinds, validate};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Links out of the directory and back into git's own, submodules, twins that differ in case, files where directories are
/// wanted, attributes that would run a filter, names that are no text.
const TREE: &[(&str, &str, &str)] = &[
    ("100644", "apps/web/deployment.yaml", "a: 1\n"),
    ("100755", "apps/web/run.yaml", "a: 1\n"),
    ("100644", "apps/file.yaml/inner.yaml", "a: 1\n"),
    ("100644", "apps/plain", "no directory\n"),
    ("120000", "apps/up", ".."),
    ("120000", "apps/git", "../.git"),
    ("120000", "apps/etc", "/etc"),
    ("120000", "apps/link.yaml", "../other/secret.yaml"),
    ("100644", "Apps/Web/deployment.yaml", "a: 2\n"),
    ("100644", "APPS/plain.yaml", "a: 3\n"),
    ("100644", "apps/case/A.yaml", "a: 4\n"),
    ("100644", "other/secret.yaml", "a: 5\n"),
    ("100644", ".gitattributes", "*.yaml filter=evil diff=evil merge=evil\n"),
    ("100644", "apps/.gitattributes", "*.yaml filter=evil text eol=crlf ident\n"),
    ("100644", "\"apps/\\303\\244.yaml\"", "a: 6\n"),
    ("100644", "\"apps/a\\342\\200\\213.yaml\"", "a: 7\n"),
    ("100644", "\"apps/b\\377.yaml\"", "a: 8\n"),
];

fn upstream() -> UpstreamRepo {
    let upstream = UpstreamRepo::new();
    let mut stream = format!(
        "commit refs/heads/main\ncommitter Seed <seed@example.com> 1700000001 +0000\ndata 4\nevil\nfrom {}\n",
        upstream.tip("main").expect("a tip")
    );
    for (mode, path, content) in TREE {
        stream.push_str(&format!("M {mode} inline {path}\ndata {}\n{content}\n", content.len()));
    }
    stream.push_str(&format!("M 160000 {} apps/module\nM 160000 {} apps/module.yaml\n", "1".repeat(40), "2".repeat(40)));
    upstream.fast_import(&stream);
    upstream
}

/// Parts a path is put together from, good and bad.
const PARTS: &[&str] = &[
    "apps",
    "apps",
    "apps",
    "Apps",
    "APPS",
    "web",
    "Web",
    "WEB",
    "other",
    "up",
    "git",
    "etc",
    "plain",
    "module",
    "case",
    "new",
    "file.yaml",
    "..",
    ".",
    "",
    ".git",
    ".GIT",
    "git~1",
    ".git ",
    ".git\u{200d}",
    "\u{e4}",
    "a\u{300}",
    "\\..\\",
    "con",
    "-rf",
    "$(id)",
    "a\nb",
    "a\0b",
    "%2e%2e",
    "...",
];
const FILES: &[&str] = &[
    "deployment.yaml",
    "Deployment.yaml",
    "DEPLOYMENT.YAML",
    "run.yaml",
    "link.yaml",
    "module.yaml",
    "a.yaml",
    "A.yaml",
    "plain.yaml",
    "secret.yaml",
    "inner.yaml",
    ".gitattributes",
    ".gitmodules",
    ".gitmodules.yaml",
    ".Gitignore.yaml",
    "x.yaml.",
    "x.yaml ",
    "x.yml",
    "x.json",
    "x",
    ".yaml",
    "\u{e4}.yaml",
    "a\u{200b}.yaml",
    "file.yaml",
];

/// Names that git lets stand in a tree, of which some are each other's twins where case or form does not count.
const NAMES: &[&str] =
    &["apps", "Apps", "APPS", "web", "Web", "other", "up", "plain", "module", "case", "new", "con", "-rf", "$(id)", "%2e%2e", "...", "\u{e4}"];

/// What a random tree holds: mode and path. Where one is in another's way, the later one stays.
fn tree() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let mode = prop_oneof![5 => Just("100644"), 1 => Just("100755"), 2 => Just("120000"), 1 => Just("160000")];
    // What git itself reads must be sound, or its own check complains.
    let files: Vec<&str> = FILES.iter().copied().filter(|name| !name.starts_with(".git")).collect();
    let file = prop_oneof![3 => prop::sample::select(files), 1 => prop::sample::select(NAMES)];
    let path = (prop::collection::vec(prop::sample::select(NAMES), 0..3), file)
        .prop_map(|(parts, file)| parts.into_iter().chain([file]).collect::<Vec<_>>().join("/"));
    prop::collection::vec((mode, path), 1..40)
}

/// A commit of exactly these entries on the base branch.
fn grow(upstream: &UpstreamRepo, entries: &[(&'static str, String)]) {
    let mut stream = format!(
        "commit refs/heads/main\ncommitter Seed <seed@example.com> 1700000002 +0000\ndata 4\nevil\nfrom {}\ndeleteall\n",
        upstream.tip("main").expect("a tip")
    );
    for (number, (mode, path)) in entries.iter().enumerate() {
        let path: String = path.bytes().map(|byte| format!("\\{byte:03o}")).collect();
        let content = match *mode {
            "160000" => {
                stream.push_str(&format!("M 160000 {:040x} \"{path}\"\n", number + 1));
                continue;
            }
            "120000" => ["..", "../.git", "/etc", "apps", "../other"][number % 5],
            _ => "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\n",
        };
        stream.push_str(&format!("M {mode} inline \"{path}\"\ndata {}\n{content}\n", content.len()));
    }
    upstream.fast_import(&stream);
}

fn paths() -> impl Strategy<Value = Vec<(String, bool)>> {
    let path = (prop::collection::vec(prop::sample::select(PARTS), 0..4), prop::sample::select(FILES), any::<bool>())
        .prop_map(|(parts, file, remove)| (parts.into_iter().chain([file]).collect::<Vec<_>>().join("/"), remove));
    prop::collection::vec(path, 1..4)
}

/// The upstream, a mirror of it and its tip.
struct Ground {
    upstream: UpstreamRepo,
    mirror: Arc<Mirror>,
    base: CommitSha,
    committed: Cell<u32>,
}

impl Ground {
    /// Every entry of a commit, byte for byte.
    fn entries(&self, commit: &str) -> BTreeSet<String> {
        self.upstream.git(&["ls-tree", "-r", "--full-tree", commit]).lines().map(str::to_owned).collect()
    }

    /// Lets a change through the gate, if it passes, and looks at what git has then.
    fn try_change(&self, asked: &[(String, bool)], within: &DirectoryPath) {
        let mut change = ChangeSet { files: BTreeMap::new(), templates: BTreeMap::new(), notes: Vec::new() };
        for (path, remove) in asked {
            let Ok(path) = path.parse::<ManifestPath>() else { continue };
            let file =
                if *remove { FileChange::Remove } else { FileChange::Write(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n".to_vec()) };
            change.files.insert(path, file);
        }
        let rules = Rules::new(KubernetesVersion::default(), within.clone(), UnknownKinds::Allow);
        let snapshot = self.mirror.snapshot(&self.base).expect("a snapshot");
        let Ok(change) = validate(change, &snapshot, &rules) else { return };
        let commit = self.mirror.commit(&self.base, &change, &meta("Hostile")).expect("what passed the gate can be committed");
        if commit == self.base {
            return;
        }
        self.committed.set(self.committed.get() + 1);
        let branch = format!("kubeops/{}", self.committed.get()).parse().expect("a branch");
        self.mirror.push(&branch, &commit, Expected::Absent).expect("pushed");
        let (before, after) = (self.entries(self.base.as_str()), self.entries(commit.as_str()));
        let place = |entry: &String| entry.split_once('\t').map(|(_, path)| path.to_owned()).expect("an entry");
        for entry in before.symmetric_difference(&after) {
            let path = place(entry);
            assert!(asked.iter().any(|(asked, _)| *asked == path), "{path} was touched, asked for was {asked:?}");
            assert!(within.as_str() == "." || path.starts_with(&format!("{within}/")), "{path} is outside {within}");
        }
        for entry in after.difference(&before) {
            assert!(entry.starts_with("100644 ") || entry.starts_with("100755 "), "{entry} is no plain file");
            let path = place(entry);
            let twins = after.iter().map(place).filter(|other| other.eq_ignore_ascii_case(&path)).count();
            assert_eq!(twins, 1, "{path} stands beside another spelling of it");
        }
    }
}

#[test]
fn whatever_tree_it_meets_a_change_lies_where_it_may() {
    let upstream = UpstreamRepo::new();
    let mirrors = Mirrors::new(upstream.scratch("mirrors"), Arc::new(Libgit2::default())).expect("a directory");
    let url = format!("file://{}", upstream.path().display()).parse().expect("an address");
    let mirror = mirrors.get(&RemoteSpec::new("gitops".parse().expect("a name"), url, "main".parse().expect("a branch")));
    let mut ground = Ground { base: mirror.fetch().expect("fetched"), upstream, mirror, committed: Cell::new(0) };
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() });
    let asked = (paths(), prop::sample::select(vec!["apps", ".", "apps/web", "new"]));
    // How many of the changes pass is a matter of chance: as many trees as it takes, and of a gate that lets nothing pass not for ever.
    let mut trees = 0;
    while trees < 40 || (ground.committed.get() < 40 && trees < 400) {
        trees += 1;
        let entries = tree().new_tree(&mut runner).expect("a tree").current();
        grow(&ground.upstream, &entries);
        ground.base = ground.mirror.fetch().expect("fetched");
        for _ in 0..30 {
            let (asked, within) = asked.new_tree(&mut runner).expect("paths").current();
            ground.try_change(&asked, &within.parse().expect("a directory"));
        }
    }
    assert!(ground.committed.get() >= 40, "only {} changes passed the gate: the test shows little", ground.committed.get());
}

#[test]
fn whatever_path_is_asked_for_nothing_outside_the_allowed_ones_is_touched() {
    let upstream = upstream();
    let mirrors = Mirrors::new(upstream.scratch("mirrors"), Arc::new(Libgit2::default())).expect("a directory");
    let url = format!("file://{}", upstream.path().display()).parse().expect("an address");
    let mirror = mirrors.get(&RemoteSpec::new("gitops".parse().expect("a name"), url, "main".parse().expect("a branch")));
    let base = mirror.fetch().expect("fetched");
    let ground = Ground { upstream, mirror, base, committed: Cell::new(0) };
    let mut runner = TestRunner::new(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() });
    let strategy = (paths(), prop::sample::select(vec!["apps", ".", "apps/web", "new"]));
    let outcome = runner.run(&strategy, |(asked, within)| {
        ground.try_change(&asked, &within.parse().expect("a directory"));
        Ok(())
    });
    outcome.expect("every case holds");
    assert!(ground.committed.get() >= 20, "only {} changes passed the gate: the test shows little", ground.committed.get());
    ground.upstream.fsck();
}
