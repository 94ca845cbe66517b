//! Mirrors that are damaged, half-written or of another repository: noticed, and made anew without losing what was asked for.

use super::world::{FILE, Setting, Way, With, branch};
use crate::support::upstream::{UpstreamRepo, command, config_map, meta, validated};
use kubeops::git::{Expected, GitError, RemoteSpec};
use kubeops::plan::{BaseTree, EntryKind};
use kubeops::types::ErrorClass;
use rstest::rstest;
use std::path::{Path, PathBuf};

/// What may become of a mirror.
#[derive(Debug, Clone, Copy)]
pub enum Damage {
    PacksGone,
    PacksEmptied,
    PacksCutShort,
    PacksWithoutIndex,
    IndexGarbage,
    NoObjectDirectory,
    NoHead,
    GarbageHead,
    GarbageRef,
    RefToNowhere,
    EmptyRef,
    NoMarker,
    GarbageConfiguration,
    LocksAndScraps,
    Gone,
}

impl Damage {
    pub const ALL: [Self; 15] = [
        Self::PacksGone,
        Self::PacksEmptied,
        Self::PacksCutShort,
        Self::PacksWithoutIndex,
        Self::IndexGarbage,
        Self::NoObjectDirectory,
        Self::NoHead,
        Self::GarbageHead,
        Self::GarbageRef,
        Self::RefToNowhere,
        Self::EmptyRef,
        Self::NoMarker,
        Self::GarbageConfiguration,
        Self::LocksAndScraps,
        Self::Gone,
    ];

    /// Does it to a mirror that nobody has open.
    pub fn befall(self, mirror: &Path) {
        let write = |name: &str, bytes: &[u8]| std::fs::write(mirror.join(name), bytes).expect("written");
        // Packs are not to be written to: another file is put in their place, as a broken disk would show one.
        let replace = |file: &Path, bytes: &[u8]| {
            std::fs::remove_file(file).expect("removed");
            std::fs::write(file, bytes).expect("written");
        };
        match self {
            Self::PacksGone => packed(mirror, "").iter().for_each(|file| std::fs::remove_file(file).expect("removed")),
            Self::PacksEmptied => packed(mirror, "pack").iter().for_each(|file| replace(file, b"PACK")),
            Self::PacksCutShort => {
                for file in packed(mirror, "pack") {
                    let bytes = std::fs::read(&file).expect("a pack");
                    replace(&file, &bytes[..bytes.len() / 2]);
                }
            }
            Self::PacksWithoutIndex => packed(mirror, "idx").iter().for_each(|file| std::fs::remove_file(file).expect("removed")),
            Self::IndexGarbage => packed(mirror, "idx").iter().for_each(|file| replace(file, b"no index at all")),
            Self::NoObjectDirectory => std::fs::remove_dir_all(mirror.join("objects")).expect("removed"),
            Self::NoHead => std::fs::remove_file(mirror.join("HEAD")).expect("removed"),
            Self::GarbageHead => write("HEAD", b"\0\x01garbage"),
            Self::GarbageRef => write("refs/kubeops/base/main", b"garbage\n"),
            Self::RefToNowhere => write("refs/kubeops/base/main", format!("{}\n", "1".repeat(40)).as_bytes()),
            Self::EmptyRef => write("refs/kubeops/base/main", b""),
            Self::NoMarker => std::fs::remove_file(mirror.join("kubeops-mirror")).expect("removed"),
            Self::GarbageConfiguration => write("config", b"[[["),
            // What a git that was killed leaves: locks, and packs it had not finished.
            Self::LocksAndScraps => {
                let locks = ["refs/kubeops/base/main.lock", "packed-refs.lock", "HEAD.lock", "shallow.lock", "config.lock"];
                for file in locks.into_iter().chain(["objects/pack/tmp_pack_x1y2z3", "objects/pack/pack_git2_x1y2z3"]) {
                    write(file, b"");
                }
                std::fs::create_dir_all(mirror.join("objects/tmp_objdir-incoming-x1y2z3/pack")).expect("made");
            }
            Self::Gone => std::fs::remove_dir_all(mirror).expect("removed"),
        }
    }
}

/// The files of a mirror's packs with this extension; all of them with none.
fn packed(mirror: &Path, extension: &str) -> Vec<PathBuf> {
    let files: Vec<PathBuf> = std::fs::read_dir(mirror.join("objects/pack")).expect("packs").flatten().map(|entry| entry.path()).collect();
    assert!(!files.is_empty());
    files.into_iter().filter(|file| extension.is_empty() || file.extension().is_some_and(|found| found == extension)).collect()
}

#[rstest]
fn a_damaged_mirror_is_built_anew(#[values(With::Libgit2, With::Git)] with: With, #[values(Way::File, Way::Http)] way: Way) {
    let setting = Setting::new(with, way);
    setting.commit("1");
    for damage in Damage::ALL {
        let mirrors = setting.reopened();
        damage.befall(&setting.mirror_path());
        let base = setting.upstream.write("main", "a.yaml", &format!("a: {damage:?}\n"));
        let mirror = mirrors.get(&setting.remote);
        assert_eq!(mirror.fetch().unwrap_or_else(|error| panic!("{damage:?}: {error}")), base);
        let make = || -> Result<_, GitError> {
            let read = mirror.snapshot(&base)?.read(&"clusters/prod/kustomization.yaml".parse().expect("a path"));
            read.map_err(|error| GitError::Corrupt { repository: setting.remote.name.clone(), message: error.to_string() })?;
            let change = validated(&mirror, &base, &[(FILE, Some(&config_map("app", "1")))]);
            mirror.commit(&base, &change, &meta("Set the value"))
        };
        let made = make().or_else(|error| {
            // Deeper damage shows when it is read; then the next fetch mends it, as the next attempt of a step would.
            assert_eq!(error.class(), ErrorClass::Transient, "{damage:?}: {error}");
            mirror.fetch()?;
            make()
        });
        let commit = made.unwrap_or_else(|error| panic!("{damage:?}: {error}"));
        mirror.push(&branch("kubeops/x"), &commit, Expected::Any).unwrap_or_else(|error| panic!("{damage:?}: {error}"));
        drop(mirrors);
        setting.fsck();
        assert!(packed(&setting.mirror_path(), "").iter().all(|file| !file.to_string_lossy().contains("x1y2z3")), "{damage:?}");
    }
}

#[rstest]
fn a_push_from_a_damaged_mirror_is_tried_again_after_the_commit_is_made_again(#[values(With::Libgit2, With::Git)] with: With) {
    for damage in Damage::ALL {
        let setting = Setting::new(with, Way::File);
        let (_, commit) = setting.commit("1");
        let mirrors = setting.reopened();
        damage.befall(&setting.mirror_path());
        let mirror = mirrors.get(&setting.remote);
        // What the pipeline does: push; when the commit is not there any more, plan again; any other trouble, try again.
        let mut attempts = 0;
        while let Err(error) = mirror.push(&branch("kubeops/x"), &commit, Expected::Absent) {
            assert_eq!(error.class(), ErrorClass::Transient, "{damage:?}: {error}");
            attempts += 1;
            assert!(attempts < 5, "{damage:?}: {error}");
            if matches!(error, GitError::NoCommit { .. }) {
                let base = mirror.fetch().unwrap_or_else(|error| panic!("{damage:?}: {error}"));
                let change = validated(&mirror, &base, &[(FILE, Some(&config_map("app", "1")))]);
                assert_eq!(mirror.commit(&base, &change, &meta("Set the value")).expect("a commit"), commit);
            }
        }
        assert_eq!(setting.upstream.tip("kubeops/x"), Some(commit), "{damage:?}");
        setting.upstream.fsck();
    }
}

#[rstest]
fn a_missing_tree_below_the_tip_is_found_and_mended_by_the_next_fetch(#[values(With::Libgit2, With::Git)] with: With) {
    let setting = Setting::new(with, Way::File);
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

#[rstest]
fn another_address_under_the_same_name_is_another_mirror(#[values(With::Libgit2, With::Git)] with: With) {
    let (one, other) = (Setting::new(with, Way::File), UpstreamRepo::new());
    one.mirror().fetch().expect("fetched");
    let tip = other.write("main", "only-here.yaml", "a: b\n");
    let moved = RemoteSpec { url: other.path().to_str().expect("UTF-8").parse().expect("an address"), ..one.remote.clone() };
    let mirror = one.mirrors.get(&moved);
    assert_eq!(mirror.fetch().expect("fetched"), tip);
    assert_eq!(mirror.snapshot(&tip).expect("a snapshot").entry("only-here.yaml").expect("read"), Some(EntryKind::File));
}

#[rstest]
fn a_damaged_proposal_is_noticed_dropped_and_made_again(#[values(With::Libgit2, With::Git)] with: With) {
    let setting = Setting::new(with, Way::File);
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
    setting.fsck();
}
