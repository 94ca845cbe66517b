//! Mirrors stay small: after any number of requests, moves of the base and looks at others' branches a mirror is hardly larger than
//! a fresh bare clone of its base branch, and nobody who uses it meanwhile notices. Sizes are those of files on the real disk.

use crate::support::server::eventually;
use crate::support::upstream::{HttpUpstream, UpstreamRepo, command, config_map, fsck, meta, run, validated};
use kubeops::git::{Expected, GitError, Identity, Libgit2, Mirror, Mirrors, Owner, RemoteSpec, Standing, Upkeep, Worth};
use kubeops::plan::BaseTree;
use kubeops::types::{CommitSha, RequestId, Timestamp};
use rstest::rstest;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Who merges.
const PERSON: [&str; 4] = ["-c", "user.name=Person", "-c", "user.email=person@example.com"];

/// How the mirror reaches its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    File,
    Http,
}

/// An upstream of some size and a mirror of it.
struct World {
    /// Its address, and the server behind it: packs from a server hold differences to what it knows us to have.
    url: String,
    _server: Option<HttpUpstream>,
    upstream: UpstreamRepo,
    mirrors: Mirrors,
    /// The contents made so far, so that none is made twice.
    made: u64,
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            fsck(&self.path());
        }
    }
}

impl World {
    fn new() -> Self {
        Self::reached(Way::File)
    }

    fn reached(way: Way) -> Self {
        let upstream = UpstreamRepo::new();
        let server = (way == Way::Http).then(|| upstream.serve(None));
        let url = server.as_ref().map_or_else(|| format!("file://{}", upstream.path().display()), |server| server.url.clone());
        let mirrors = Mirrors::new(upstream.scratch("mirrors"), Arc::new(Libgit2::default())).expect("a directory");
        let mut world = Self { url, _server: server, upstream, mirrors, made: 0 };
        let files: Vec<(String, String)> =
            (0..400).map(|number| (format!("clusters/prod/t{}/app-{number}.yaml", number % 20), world.content())).collect();
        world.write("main", &files);
        world.mirror().fetch().expect("fetched");
        world
    }

    fn remote(&self) -> RemoteSpec {
        let url = self.url.parse().expect("an address");
        RemoteSpec::new("gitops".parse().expect("a name"), url, "main".parse().expect("a branch"))
    }

    fn mirror(&self) -> Arc<Mirror> {
        self.mirrors.get(&self.remote())
    }

    fn path(&self) -> PathBuf {
        self.upstream.scratch("mirrors").join("gitops.git")
    }

    /// A file nobody has seen, half of which cannot be compressed.
    fn content(&mut self) -> String {
        self.made += 1;
        let mut state = self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let noise: String = (0..20)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                format!("  k{state:016x}: v\n")
            })
            .collect();
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app-{}\ndata:\n{noise}", self.made)
    }

    fn write(&self, branch: &str, files: &[(String, String)]) -> CommitSha {
        let from = self.upstream.tip(branch).map_or_else(String::new, |tip| format!("from {tip}\n"));
        let mut stream = format!("commit refs/heads/{branch}\ncommitter Person <person@example.com> 1700000100 +0000\ndata 6\nperson\n{from}");
        for (path, content) in files {
            stream.push_str(&format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len()));
        }
        self.upstream.fast_import(&stream);
        self.upstream.tip(branch).expect("the branch exists")
    }

    /// One more commit on a branch, which changes a few files.
    fn moves(&mut self, branch: &str) -> CommitSha {
        let files: Vec<(String, String)> =
            (0..3).map(|_| (format!("clusters/prod/t{}/app-{}.yaml", self.made % 20, self.made % 400), self.content())).collect();
        self.write(branch, &files)
    }

    /// A branch with large files, made of a commit of the base, which nobody merges.
    fn aside(&mut self, branch: &str) -> CommitSha {
        self.upstream.git(&["update-ref", &format!("refs/heads/{branch}"), "refs/heads/main"]);
        let files: Vec<(String, String)> = (0..30).map(|number| (format!("aside/{number}.yaml"), (0..5).map(|_| self.content()).collect())).collect();
        self.write(branch, &files)
    }

    /// A branch looked at as a proposal's is.
    fn look(&self, branch: &str) -> Standing {
        let committer = Identity::new("KubeOps", "kubeops@example.com").expect("an identity");
        let time = Timestamp::from_unix_millis(1_760_000_000_123);
        let request = RequestId::from_parts(time, 77);
        let owner = Owner { request: &request, committer: &committer, time: Some(time), known: &[] };
        self.mirror().standing(&branch.parse().expect("a branch"), &owner).expect("a look")
    }

    /// How much larger than a fresh bare clone of the base branch the whole mirror is.
    fn ratio(&self) -> f64 {
        let clone = self.upstream.scratch("clone.git");
        let from = format!("file://{}", self.upstream.path().display());
        let arguments = ["clone", "--quiet", "--bare", "--template=", "--single-branch", "--branch", "main", &from, clone.to_str().expect("UTF-8")];
        run(self.upstream.path(), &arguments);
        let (ours, theirs) = (bytes(&self.path()), bytes(&clone));
        std::fs::remove_dir_all(&clone).expect("removed");
        assert!(theirs > 60_000, "a clone of some size: {theirs}");
        ours as f64 / theirs as f64
    }

    fn packs(&self) -> usize {
        let packs = std::fs::read_dir(self.path().join("objects/pack")).expect("packs");
        packs.flatten().filter(|entry| entry.path().extension().is_some_and(|ending| ending == "pack")).count()
    }

    /// Everything in the base is there, as the upstream has it.
    fn is_whole(&self) {
        let tip = self.mirror().fetch().expect("fetched");
        assert_eq!(Some(&tip), self.upstream.tip("main").as_ref());
        let listed = |path: &Path| run(path, &["rev-list", "--objects", tip.as_str()]);
        assert_eq!(listed(&self.path()), listed(self.upstream.path()));
    }
}

/// The bytes of all files below a directory.
fn bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    entries.map(|entry| if entry.path().is_dir() { bytes(&entry.path()) } else { entry.metadata().expect("a size").len() }).sum()
}

#[rstest]
fn a_mirror_stays_as_small_as_a_fresh_clone_however_often_the_base_moved(#[values(Way::File, Way::Http)] way: Way) {
    let mut world = World::reached(way);
    assert_eq!(world.mirror().upkeep().expect("kept"), Upkeep::AsItWas, "a fresh mirror is as small as can be");
    for round in 0..4 {
        for _ in 0..15 {
            world.moves("main");
            world.mirror().fetch().expect("fetched");
        }
        let before = (world.packs(), world.ratio());
        assert!(before.0 > 8, "every fetch leaves a pack");
        let Upkeep::Repacked { before, after } = world.mirror().upkeep().expect("kept") else { panic!("nothing done in round {round}") };
        assert!(after < before);
        assert!(world.ratio() <= 1.1, "round {round}: {}", world.ratio());
        assert!(world.packs() <= 2);
        assert_eq!(world.mirror().upkeep().expect("kept"), Upkeep::AsItWas);
        world.is_whole();
    }
}

#[rstest]
fn what_a_force_push_left_behind_goes(#[values(Way::File, Way::Http)] way: Way) {
    let mut world = World::reached(way);
    let first = world.upstream.tip("main").expect("a tip");
    for round in 0..3 {
        // Large, and gone again: what stays is older than it.
        let aside = world.aside("heavy");
        world.upstream.git(&["update-ref", "refs/heads/main", aside.as_str()]);
        world.mirror().fetch().expect("fetched");
        world.mirror().upkeep().expect("kept");
        world.is_whole();
        world.upstream.git(&["update-ref", "refs/heads/main", first.as_str()]);
        world.upstream.git(&["update-ref", "-d", "refs/heads/heavy"]);
        world.mirror().fetch().expect("fetched");
        assert!(world.ratio() > 1.2, "round {round}: the large files are still there");
        assert!(matches!(world.mirror().upkeep().expect("kept"), Upkeep::Repacked { .. }));
        assert!(world.ratio() <= 1.1, "round {round}: {}", world.ratio());
        world.is_whole();
        // What is gone can come again.
        assert!(world.mirror().snapshot(&aside).is_err());
    }
    // A history that shares nothing with the one before.
    world.upstream.git(&["update-ref", "-d", "refs/heads/main"]);
    let files: Vec<(String, String)> = (0..300).map(|number| (format!("new/{number}.yaml"), world.content())).collect();
    world.write("main", &files);
    world.mirror().fetch().expect("fetched");
    world.mirror().upkeep().expect("kept");
    assert!(world.ratio() <= 1.1, "{}", world.ratio());
    world.is_whole();
}

#[test]
fn branches_of_others_that_were_looked_at_leave_nothing() {
    let mut world = World::new();
    for round in 0..12 {
        let branch = format!("theirs/{round}");
        world.aside(&branch);
        assert!(matches!(world.look(&branch), Standing::Foreign(_)));
        world.upstream.git(&["update-ref", "-d", &format!("refs/heads/{branch}")]);
    }
    // A look that was cut short left its reference, and so all that the branch holds.
    let cut = world.aside("theirs/cut");
    run(&world.path(), &["fetch", "--quiet", world.upstream.path().to_str().expect("UTF-8"), "theirs/cut:refs/kubeops/seen/theirs/cut"]);
    world.upstream.git(&["update-ref", "-d", "refs/heads/theirs/cut"]);
    assert!(world.ratio() > 1.5);
    assert!(matches!(world.mirror().upkeep().expect("kept"), Upkeep::Repacked { .. }));
    assert!(world.ratio() <= 1.1, "{}", world.ratio());
    assert!(world.mirror().snapshot(&cut).is_err());
    world.is_whole();
}

#[rstest]
fn requests_that_passed_leave_nothing_whether_merged_squashed_or_declined(#[values(Way::File, Way::Http)] way: Way) {
    let world = World::reached(way);
    let mut ended = Vec::new();
    for number in 0..120 {
        let mirror = world.mirror();
        let base = mirror.fetch().expect("fetched");
        let path = format!("clusters/prod/t{}/requested-{number}.yaml", number % 20);
        let change = validated(&mirror, &base, &[(&path, Some(&config_map("app", &format!("{number}"))))]);
        let commit = mirror.commit(&base, &change, &meta(&format!("Request {number}"))).expect("a commit");
        let branch = format!("kubeops/x/{number}");
        mirror.push(&branch.parse().expect("a branch"), &commit, Expected::Absent).expect("pushed");
        let tree = format!("{commit}^{{tree}}");
        let merged = match number % 3 {
            0 => world.upstream.git(&[PERSON.as_slice(), &["commit-tree", &tree, "-p", "main", "-p", commit.as_str(), "-m", "Merge"]].concat()),
            1 => world.upstream.git(&[PERSON.as_slice(), &["commit-tree", &tree, "-p", "main", "-m", "Squashed"]].concat()),
            _ => base.to_string(),
        };
        world.upstream.git(&["update-ref", "refs/heads/main", merged.trim()]);
        world.upstream.git(&["update-ref", "-d", &format!("refs/heads/{branch}")]);
        ended.push(commit);
        if number % 40 == 39 {
            mirror.fetch().expect("fetched");
            mirror.prune(|commit| if ended.contains(commit) { Worth::Little } else { Worth::Nothing }).expect("pruned");
            mirror.upkeep().expect("kept");
            assert!(world.ratio() <= 1.1, "after {number}: {}", world.ratio());
            world.is_whole();
        }
    }
    // The newest is still there to be looked at; of the oldest only what was merged.
    let held = |commit: &CommitSha| world.mirror().snapshot(commit).is_ok();
    assert!(held(&ended[119]) && held(&ended[0]) && !held(&ended[2]));
}

#[test]
fn what_is_being_read_stays_until_it_was_read() {
    let mut world = World::new();
    let mirror = world.mirror();
    let aside = world.aside("heavy");
    let first = world.upstream.tip("main").expect("a tip");
    world.upstream.git(&["update-ref", "refs/heads/main", aside.as_str()]);
    let base = mirror.fetch().expect("fetched");
    let snapshot = mirror.snapshot(&base).expect("a snapshot");
    world.upstream.git(&["update-ref", "refs/heads/main", first.as_str()]);
    mirror.fetch().expect("fetched");
    mirror.upkeep().expect("kept");
    let read = |path: &str| snapshot.read(&path.parse().expect("a path")).expect("read").is_some();
    assert!(read("aside/7.yaml") && !read("aside/99.yaml"));
    // And a change is committed on it, and read.
    let change = validated(&mirror, &base, &[("aside/7.yaml", Some(&config_map("app", "1")))]);
    let ours = mirror.commit(&base, &change, &meta("On what is gone")).expect("a commit");
    let on_top = mirror.snapshot(&ours).expect("a snapshot");
    drop(snapshot);
    mirror.upkeep().expect("kept");
    assert!(on_top.read(&"aside/9.yaml".parse().expect("a path")).expect("read").is_some());
    drop(on_top);
    assert!(matches!(mirror.upkeep().expect("kept"), Upkeep::Repacked { .. }));
    assert!(matches!(mirror.snapshot(&base), Err(GitError::NoCommit { .. })));
    world.is_whole();
}

#[rstest]
fn steps_go_on_while_packs_are_exchanged(#[values(Way::File, Way::Http)] way: Way) {
    let mut world = World::reached(way);
    let (one, first) = (world.aside("one"), world.upstream.tip("main").expect("a tip"));
    let other = world.aside("other");
    let done = AtomicBool::new(false);
    let (repacked, read) = std::thread::scope(|scope| {
        let upkeep = scope.spawn(|| {
            let mut repacked = 0;
            while !done.load(Ordering::Relaxed) {
                repacked += usize::from(matches!(world.mirror().upkeep().expect("kept"), Upkeep::Repacked { .. }));
            }
            repacked
        });
        let reader = scope.spawn(|| {
            let mut read = 0;
            while !done.load(Ordering::Relaxed) {
                let mirror = world.mirror();
                let base = mirror.fetch().expect("fetched");
                // Between the two somebody may have moved the base and removed this one: then it is missing, never half there.
                let Ok(snapshot) = mirror.snapshot(&base) else { continue };
                for path in ["clusters/prod/t7/app-7.yaml", "aside/3.yaml", "aside/29.yaml", "clusters/staging/quota/payments.yaml"] {
                    snapshot.read(&path.parse().expect("a path")).expect("read");
                }
                let change = validated(&mirror, &base, &[("clusters/prod/t1/x.yaml", Some(&config_map("x", &read.to_string())))]);
                let commit = mirror.commit(&base, &change, &meta("Meanwhile")).expect("a commit");
                mirror.push(&"kubeops/x".parse().expect("a branch"), &commit, Expected::Any).expect("pushed");
                read += 1;
            }
            read
        });
        for round in 0..60 {
            let tip = [&one, &first, &other][round % 3];
            world.upstream.git(&["update-ref", "refs/heads/main", tip.as_str()]);
            world.mirror().fetch().expect("fetched");
        }
        done.store(true, Ordering::Relaxed);
        (upkeep.join().expect("upkeep"), reader.join().expect("a reader"))
    });
    assert!(repacked > 0 && read > 0, "{repacked} {read}");
    world.is_whole();
}

#[test]
fn another_process_on_the_same_directory_is_not_harmed_and_does_not_do_it_too() {
    let mut world = World::new();
    // Another handle on the same files, as another process has it: it read what stands in packs that go.
    let others = Mirrors::new(world.upstream.scratch("mirrors"), Arc::new(Libgit2::default())).expect("a directory");
    let (theirs, base) = (others.get(&world.remote()), world.upstream.tip("main").expect("a tip"));
    let snapshot = theirs.snapshot(&base).expect("a snapshot");
    assert!(snapshot.read(&"clusters/prod/t7/app-7.yaml".parse().expect("a path")).expect("read").is_some());
    for _ in 0..10 {
        world.moves("main");
        theirs.fetch().expect("fetched");
    }
    assert!(world.mirrors.are_ours() && !others.are_ours() && world.mirrors.are_ours());
    // While it talks with the remote nobody exchanges packs.
    let lock = std::fs::File::open(world.upstream.scratch("mirrors").join("gitops.lock")).expect("a lock");
    lock.lock_shared().expect("locked");
    assert_eq!(world.mirror().upkeep().expect("kept"), Upkeep::Busy);
    drop(lock);
    assert!(matches!(world.mirror().upkeep().expect("kept"), Upkeep::Repacked { .. }));
    // It goes on with the handle it has.
    for path in ["clusters/prod/t7/app-7.yaml", "clusters/prod/t19/app-399.yaml", "README.md"] {
        assert!(path == "README.md" || snapshot.read(&path.parse().expect("a path")).expect("read").is_some(), "{path}");
    }
    let change = validated(&theirs, &base, &[("clusters/prod/t1/x.yaml", Some(&config_map("x", "1")))]);
    let commit = theirs.commit(&base, &change, &meta("Elsewhere")).expect("a commit");
    theirs.push(&"kubeops/x".parse().expect("a branch"), &commit, Expected::Absent).expect("pushed");
    // When the one process ends, the other takes over.
    drop(snapshot);
    let elsewhere = Mirrors::new(world.upstream.scratch("elsewhere"), Arc::new(Libgit2::default())).expect("a directory");
    drop(std::mem::replace(&mut world.mirrors, elsewhere));
    // A child that another test forks at this moment holds the lock a little longer.
    eventually("the other takes over", || others.are_ours().then_some(()));
    world.mirrors = others;
    world.is_whole();
}

#[test]
fn what_gits_own_programs_left_is_packed_with_the_rest() {
    let mut world = World::new();
    for round in 0..3 {
        for _ in 0..3 {
            world.moves("main");
            world.mirror().fetch().expect("fetched");
        }
        world.mirrors.release();
        // Differences named by id, objects one by one, an index over all packs, a graph of commits, bitmaps.
        let path = world.path();
        match round {
            0 => drop(run(&path, &["-c", "repack.useDeltaBaseOffset=false", "repack", "-q", "-a", "-d", "-F", "--depth=40", "--write-bitmap-index"])),
            1 => drop(run(&path, &["multi-pack-index", "write"])),
            _ => {
                drop(run(&path, &["commit-graph", "write", "--reachable"]));
                let loose = run(&path, &["rev-list", "--objects", "--max-count=2", "refs/kubeops/base/main"]);
                for id in loose.lines().filter_map(|line| line.split(' ').next()) {
                    let kind = run(&path, &["cat-file", "-t", id]);
                    let content = command(&path, &["cat-file", kind.trim(), id]).output().expect("git").stdout;
                    let file = world.upstream.scratch("object");
                    std::fs::write(&file, content).expect("written");
                    let hex = run(&path, &["hash-object", "-t", kind.trim(), "--literally", file.to_str().expect("UTF-8")]);
                    assert_eq!(hex.trim(), id);
                    loosen(&path, id);
                }
            }
        }
        for _ in 0..9 {
            world.moves("main");
            world.mirror().fetch().expect("fetched");
        }
        assert!(matches!(world.mirror().upkeep().expect("kept"), Upkeep::Repacked { .. }), "round {round}");
        assert!(world.ratio() <= 1.1, "round {round}: {}", world.ratio());
        assert_eq!(run(&path, &["count-objects"]).split(' ').next(), Some("0"), "no loose objects");
        assert!(!path.join("objects/pack/multi-pack-index").exists() && !path.join("objects/info/commit-graph").exists());
        fsck(&path);
        world.is_whole();
    }
}

/// Writes an object once more, as a file of its own.
fn loosen(mirror: &Path, id: &str) {
    use std::io::Write as _;
    let kind = run(mirror, &["cat-file", "-t", id]);
    let content = command(mirror, &["cat-file", kind.trim(), id]).output().expect("git").stdout;
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(format!("{} {}\0", kind.trim(), content.len()).as_bytes()).expect("packed");
    packed.write_all(&content).expect("packed");
    let place = mirror.join("objects").join(&id[..2]);
    std::fs::create_dir_all(&place).expect("a directory");
    std::fs::write(place.join(&id[2..]), packed.finish().expect("packed")).expect("written");
}

#[test]
fn what_a_killed_process_left_goes_when_it_is_old_and_counts_for_nothing_before() {
    let mut world = World::new();
    let (path, packs) = (world.path(), world.path().join("objects/pack"));
    let old = SystemTime::now() - Duration::from_secs(7200);
    let left = |name: &str, age: Option<SystemTime>| {
        let file = packs.join(name);
        std::fs::write(&file, b"half").expect("written");
        if let Some(at) = age {
            std::fs::File::options().write(true).open(&file).expect("opened").set_modified(at).expect("aged");
        }
        file
    };
    let id = "0123456789012345678901234567890123456789";
    let gone = [
        left(&format!("pack-{id}.pack"), Some(old)),
        left(&format!("pack-{}.idx", id.replace('0', "a")), Some(old)),
        left("pack_git2_ab12cd", Some(old)),
        left("tmp_pack_XyZ", Some(old)),
    ];
    let young = [left(&format!("pack-{}.pack", id.replace('0', "b")), None), left("pack_git2_99", None)];
    let scratch = path.join("repack-1-1");
    std::fs::create_dir(&scratch).expect("made");
    std::fs::write(scratch.join("new.pack"), b"PACK").expect("written");
    for _ in 0..10 {
        world.moves("main");
        world.mirror().fetch().expect("fetched");
    }
    assert!(matches!(world.mirror().upkeep().expect("kept"), Upkeep::Repacked { .. }));
    assert!(gone.iter().all(|file| !file.exists()), "{gone:?}");
    assert!(young.iter().all(|file| file.exists()), "another process may be writing them");
    assert!(scratch.exists(), "it is young");
    world.is_whole();
    young.iter().for_each(|file| std::fs::remove_file(file).expect("removed"));
    std::fs::remove_dir_all(scratch).expect("removed");
    assert!(world.ratio() <= 1.1);
}

#[test]
fn a_mirror_that_is_not_whole_is_left_to_its_transport() {
    let mut world = World::new();
    for _ in 0..10 {
        world.moves("main");
        world.mirror().fetch().expect("fetched");
    }
    let (packs, marks) = (world.packs(), [world.path().join("shallow"), world.path().join("objects/pack/pack-x.promisor")]);
    for mark in &marks {
        std::fs::write(mark, "").expect("written");
        assert_eq!(world.mirror().upkeep().expect("kept"), Upkeep::Transports);
        assert_eq!(world.packs(), packs);
        std::fs::remove_file(mark).expect("removed");
    }
    // A pack that a fetch holds on to is not touched, nor counted.
    let keep = std::fs::read_dir(world.path().join("objects/pack")).expect("packs").flatten().map(|entry| entry.path());
    let keep: Vec<PathBuf> =
        keep.filter(|path| path.extension().is_some_and(|ending| ending == "pack")).map(|path| path.with_extension("keep")).collect();
    std::fs::write(&keep[0], "").expect("written");
    assert!(matches!(world.mirror().upkeep().expect("kept"), Upkeep::Repacked { .. }));
    assert!(keep[0].with_extension("pack").exists());
    world.is_whole();
}

#[rstest]
fn damage_found_on_the_way_is_mended_by_the_next_fetch_and_never_spread(#[values(Way::File, Way::Http)] way: Way) {
    let mut world = World::reached(way);
    for _ in 0..10 {
        world.moves("main");
        world.mirror().fetch().expect("fetched");
    }
    world.mirrors.release();
    // One byte in the middle of the largest pack, in what is copied and never unpacked.
    let packs = std::fs::read_dir(world.path().join("objects/pack")).expect("packs").flatten().map(|entry| entry.path());
    let largest =
        packs.filter(|path| path.extension().is_some_and(|ending| ending == "pack")).max_by_key(|path| path.metadata().expect("a size").len());
    let largest = largest.expect("a pack");
    let mut content = std::fs::read(&largest).expect("a pack");
    let middle = content.len() / 2;
    content[middle] ^= 0x10;
    std::fs::remove_file(&largest).expect("removed");
    std::fs::write(&largest, content).expect("written");
    let fresh = Mirrors::new(world.upstream.scratch("mirrors"), Arc::new(Libgit2::default())).expect("a directory");
    let mirror = fresh.get(&world.remote());
    let error = mirror.upkeep().expect_err("damaged");
    assert!(matches!(error, GitError::Corrupt { .. }), "{error}");
    mirror.fetch().expect("built anew");
    world.mirrors = fresh;
    world.is_whole();
    // What libgit2 packs by itself, for a repository on the same machine, is a little larger than what git would send.
    assert!(world.ratio() <= if way == Way::Http { 1.1 } else { 1.2 });
}

#[test]
fn a_killed_upkeep_leaves_a_whole_mirror() {
    const DIRECTORY: &str = "KUBEOPS_TEST_UPKEEP_CHILD";
    // The part below runs in a child, which is killed: it fetches and exchanges packs for ever.
    if let Ok(directory) = std::env::var(DIRECTORY) {
        let mirrors = Mirrors::new(Path::new(&directory).join("mirrors"), Arc::new(Libgit2::default())).expect("a directory");
        let url = format!("file://{directory}/upstream.git").parse().expect("an address");
        let remote = RemoteSpec::new("gitops".parse().expect("a name"), url, "main".parse().expect("a branch"));
        let upstream = git2::Repository::open_bare(Path::new(&directory).join("upstream.git")).expect("the upstream");
        loop {
            for branch in ["one", "other"] {
                // In this process, so that nothing goes on when it is killed.
                let tip = upstream.refname_to_id(&format!("refs/heads/{branch}")).expect("a tip");
                upstream.reference("refs/heads/main", tip, true, "").expect("moved");
                mirrors.get(&remote).fetch().expect("fetched");
                mirrors.get(&remote).upkeep().expect("kept");
                println!("round");
            }
        }
    }
    let mut world = World::new();
    world.aside("one");
    world.aside("other");
    let directory = world.upstream.scratch("");
    for round in 0..12_u64 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "upkeep::a_killed_upkeep_leaves_a_whole_mirror", "--nocapture"])
            .env(DIRECTORY, directory.to_str().expect("UTF-8").trim_end_matches('/'))
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the child runs");
        // It is killed at another moment of its work each time.
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("stdout")));
        assert!(lines.any(|line| line.is_ok_and(|line| line == "round")), "it worked at all");
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_micros(700 * round) {
            std::hint::spin_loop();
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        let _ = std::fs::remove_file(world.upstream.path().join("refs/heads/main.lock"));
        fsck(&world.path());
        world.is_whole();
    }
    // What was half-written goes when it is old.
    let old = SystemTime::now() - Duration::from_secs(7200);
    for directory in [world.path(), world.path().join("objects/pack")] {
        for entry in std::fs::read_dir(directory).expect("a directory").flatten() {
            std::fs::File::open(entry.path()).expect("opened").set_modified(old).expect("aged");
        }
    }
    world.mirror().upkeep().expect("kept");
    world.is_whole();
    assert!(world.ratio() <= 1.1, "{}", world.ratio());
    let left =
        std::fs::read_dir(world.path()).expect("a directory").flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("repack-"));
    assert_eq!(left.count(), 0);
}
