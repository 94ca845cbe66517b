//! Commits in repositories of 1,000, 20,000 and 100,000 files: of one changed file, of a file nobody has written before, of fifty
//! files at once; and what keeping the largest mirror small costs.

use crate::Setting;
use crate::report::{Reference, Report, Sorted};
use crate::server::{Scratch, memory_mib};
use anyhow::{Context, ensure};
use kubeops::git::{CommitMeta, Identity, Libgit2, Mirror, Mirrors, RemoteSpec};
use kubeops::plan::{ChangeSet, FileChange};
use kubeops::types::{CommitSha, DirectoryPath, EventId, KubernetesVersion, RequestId, Timestamp, UnknownKinds};
use kubeops::validate::{Rules, ValidatedChange, validate};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Files of the repositories.
const SIZES: [usize; 3] = [1_000, 20_000, 100_000];
/// The file that is changed; it is in each of them.
const CHANGED: usize = 301;
/// The files changed in one commit, each in a directory of its own.
const EDITS: usize = 50;

/// A repository, fetched into a mirror.
pub struct Repository {
    files: usize,
    upstream: std::path::PathBuf,
    mirror: Arc<Mirror>,
    base: CommitSha,
    times: Times,
}

/// How long what took.
#[derive(Default)]
struct Times {
    /// One file, the same each time.
    repeated: Vec<Duration>,
    /// One file, another each time.
    first: Vec<Duration>,
    edits: Vec<Duration>,
    index: Vec<Duration>,
    import: Vec<Duration>,
    import_edits: Vec<Duration>,
}

/// Measures `commit.*`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let place = Scratch::new(setting, "commit")?;
    let mut repositories = SIZES.iter().map(|files| Repository::make(&place, *files)).collect::<anyhow::Result<Vec<_>>>()?;
    let (warm_up, count) = setting.effort.pick((20, 500), (2, 20));
    let mut synced = Vec::new();
    // In turns, so that whatever else the machine does falls on all alike.
    for number in 0..warm_up + count {
        let mut took = Vec::new();
        for repository in &repositories {
            took.push([repository.commit(number, &[CHANGED])?, repository.commit(number, &[number * 7919 % repository.files])?]);
        }
        synced.push(sync_a_file(&place.join("synced"))?);
        if number >= warm_up {
            for (repository, [repeated, first]) in repositories.iter_mut().zip(took) {
                repository.times.repeated.push(repeated);
                repository.times.first.push(first);
            }
        }
    }
    for number in 0..setting.effort.pick(40, 2) {
        for repository in &mut repositories {
            // Other directories each time: those of an earlier turn are in the cache.
            let edited: Vec<usize> = (0..EDITS).map(|edit| (edit * 100 + number) * 4 % repository.files).collect();
            repository.times.edits.push(repository.commit(1_000 + number, &edited)?);
            repository.times.import_edits.push(repository.import(2_000 + number, &edited)?);
            repository.times.import.push(repository.import(3_000 + number, &[number * 7919 % repository.files])?);
        }
    }
    for number in 0..setting.effort.pick(10, 2) {
        for repository in &mut repositories {
            repository.times.index.push(repository.commit_with_git(&place, number)?);
        }
    }
    let [small, middle, large] = repositories.as_slice() else { anyhow::bail!("three repositories") };
    let p50 = |times: &[Duration]| Sorted::new(times.to_vec()).millis(50.0);
    let git = Reference { value: p50(&large.times.index), what: "git with an index, as many files" };
    report.figure("commit.build_p50_ms", p50(&large.times.repeated), "ms", git)?;
    let import = Reference { value: p50(&large.times.import), what: "git fast-import, the same commit" };
    report.figure("commit.first_write_p50_ms", p50(&large.times.first), "ms", import)?;
    let p99 = |times: &[Duration]| Sorted::new(times.to_vec()).millis(99.0);
    let sync = Reference { value: p99(&synced), what: "p99 of an fdatasync of 16 KiB here" };
    report.figure("commit.first_write_p99_ms", p99(&large.times.first), "ms", sync)?;
    let scale = Reference { value: p50(&small.times.first), what: "1,000 files" };
    report.figure("commit.scale_100k_vs_1k", p50(&large.times.first), "ms", scale)?;
    let import = Reference { value: p50(&middle.times.import_edits), what: "git fast-import, the same commit" };
    report.figure("commit.50_edits_ms", p50(&middle.times.edits), "ms", import)?;
    for repository in &repositories {
        let told = |times: &[Duration]| Sorted::new(times.to_vec()).told();
        report.note(&format!("{:>7} files: the same file {}", repository.files, told(&repository.times.repeated)));
        report.note(&format!("{:>7}        another file {}; fifty files {}", "", told(&repository.times.first), told(&repository.times.edits)));
    }
    report.note(&format!("fdatasync: {}", Sorted::new(synced).told()));
    large.keep_small(report)
}

impl Repository {
    /// A bare repository of so many files.
    pub fn bare(place: &Scratch, files: usize) -> anyhow::Result<std::path::PathBuf> {
        let upstream = place.join(&format!("upstream-{files}.git"));
        git(&["init", "--quiet", "--bare", "--initial-branch=main", &upstream.to_string_lossy()], place.join("").as_path(), None)?;
        git(&["fast-import", "--quiet", "--force"], &upstream, Some(&layout(files)))?;
        Ok(upstream)
    }

    fn make(place: &Scratch, files: usize) -> anyhow::Result<Self> {
        let upstream = Self::bare(place, files)?;
        let mirrors = Mirrors::new(place.join(&format!("mirror-{files}")), Arc::new(Libgit2::default()))?;
        let url = format!("file://{}", upstream.display()).parse()?;
        let mirror = mirrors.get(&RemoteSpec::new("gitops".parse()?, url, "main".parse()?));
        let base = mirror.fetch()?;
        Ok(Self { files, upstream, mirror, base, times: Times::default() })
    }

    fn commit(&self, number: usize, files: &[usize]) -> anyhow::Result<Duration> {
        let change = self.change(number, files)?;
        let meta = meta()?;
        let begun = Instant::now();
        let commit = self.mirror.commit(&self.base, &change, &meta)?;
        let took = begun.elapsed();
        ensure!(commit != self.base, "nothing was committed");
        Ok(took)
    }

    /// A commit on `base` that is unlike that of any other number.
    pub fn commit_on(mirror: &Arc<Mirror>, base: &CommitSha, number: usize) -> anyhow::Result<CommitSha> {
        Ok(mirror.commit(base, &change(mirror, base, number, &[CHANGED])?, &meta()?)?)
    }

    fn change(&self, number: usize, files: &[usize]) -> anyhow::Result<ValidatedChange> {
        change(&self.mirror, &self.base, number, files)
    }

    /// The same with the git program's fastest way: one process, one pack.
    fn import(&self, number: usize, files: &[usize]) -> anyhow::Result<Duration> {
        let mut stream =
            format!("commit refs/heads/measured\ncommitter KubeOps <kubeops@example.com> 1760000000 +0000\ndata 8\nMeasuredfrom {}\n", self.base);
        for file in files {
            let body = config_map(*file, number);
            stream.push_str(&format!("M 100644 inline {}\ndata {}\n{body}\n", path(*file), body.len()));
        }
        let begun = Instant::now();
        git(&["fast-import", "--quiet", "--force"], &self.upstream, Some(&stream))?;
        Ok(begun.elapsed())
    }

    /// Moves the base a few times and lets the mirror be kept small.
    fn keep_small(&self, report: &Report) -> anyhow::Result<()> {
        for number in 0..10 {
            self.import(4_000 + number, &[number])?;
            git(&["update-ref", "refs/heads/main", "refs/heads/measured"], &self.upstream, None)?;
            self.mirror.fetch()?;
            // Each stands on the same base, so all but the last are left behind.
        }
        let resident = || memory_mib(std::process::id(), "VmRSS");
        let (before, begun) = (resident()?, Instant::now());
        let kept = self.mirror.upkeep()?;
        let took = begun.elapsed().as_millis();
        report.note(&format!("upkeep of {} files: {kept:?} in {took} ms; resident {before:.1} MiB before, {:.1} after", self.files, resident()?));
        Ok(())
    }

    /// The same with the git program, as it is usually done: the whole tree into an index, one entry changed, and back.
    fn commit_with_git(&self, place: &Scratch, number: usize) -> anyhow::Result<Duration> {
        let index = place.join("index");
        let run = |arguments: &[&str], input: Option<&str>| -> anyhow::Result<String> {
            let mut command = command(arguments, &self.upstream);
            command.env("GIT_INDEX_FILE", &index);
            output(command, input)
        };
        let begun = Instant::now();
        run(&["read-tree", self.base.as_str()], None)?;
        let blob = run(&["hash-object", "-w", "--stdin"], Some(&config_map(CHANGED, 1_000_000 + number)))?;
        run(&["update-index", "--cacheinfo", &format!("100644,{blob},{}", path(CHANGED))], None)?;
        let tree = run(&["write-tree"], None)?;
        run(&["commit-tree", &tree, "-p", self.base.as_str(), "-m", "Measured"], None)?;
        let took = begun.elapsed();
        std::fs::remove_file(&index)?;
        Ok(took)
    }
}

fn change(mirror: &Arc<Mirror>, base: &CommitSha, number: usize, files: &[usize]) -> anyhow::Result<ValidatedChange> {
    let mut change = ChangeSet { files: BTreeMap::new(), templates: BTreeMap::from([("config".to_owned(), "ab".repeat(32))]), notes: Vec::new() };
    for file in files {
        change.files.insert(path(*file).parse()?, FileChange::Write(config_map(*file, number).into_bytes()));
    }
    let rules = Rules::new(KubernetesVersion::default(), DirectoryPath::root(), UnknownKinds::Allow);
    Ok(validate(change, &mirror.snapshot(base)?, &rules)?)
}

/// Writes what a proposal's file holds, and waits for the disk.
fn sync_a_file(path: &Path) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut file = std::fs::File::create(path)?;
    file.write_all(&[7; 16 * 1024])?;
    file.sync_data()?;
    Ok(begun.elapsed())
}

/// Where the nth file stands.
fn path(number: usize) -> String {
    format!("clusters/c{:02}/team-{}/app-{number}.yaml", number / 5_000, number / 100)
}

/// A believable layout: 100 files in a directory, 50 directories in a cluster; as a stream for `git fast-import`.
fn layout(files: usize) -> String {
    let mut stream = String::from("commit refs/heads/main\ncommitter Seed <seed@example.com> 1700000001 +0000\ndata 4\nmany\n");
    for number in 0..files {
        let body = format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app-{number}\n  namespace: team-{}\n", number / 100);
        stream.push_str(&format!("M 100644 inline {}\ndata {}\n{body}\n", path(number), body.len()));
    }
    stream
}

fn config_map(file: usize, value: usize) -> String {
    let team = file / 100;
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app-{file}\n  namespace: team-{team}\ndata:\n  value: \"{value}\"\n")
}

fn meta() -> anyhow::Result<CommitMeta> {
    let identity = Identity::new("KubeOps", "kubeops@example.com")?;
    let time = Timestamp::from_unix_millis(1_760_000_000_123);
    Ok(CommitMeta {
        author: identity.clone(),
        committer: identity,
        time,
        subject: "Measured".to_owned(),
        body: String::new(),
        request: RequestId::from_parts(time, 1),
        automation: "namespace-request".parse()?,
        event: EventId::from_parts(time, 2),
        drafted: None,
        co_authors: Vec::new(),
        signed_off_by: false,
        signing: None,
    })
}

/// The real git, deaf to the machine's configuration.
fn command(arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(directory).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    for (name, value) in [("GIT_AUTHOR", "KubeOps"), ("GIT_COMMITTER", "KubeOps")] {
        command.env(format!("{name}_NAME"), value).env(format!("{name}_EMAIL"), "kubeops@example.com");
    }
    command
}

/// The real git; what it printed.
pub fn git(arguments: &[&str], directory: &Path, input: Option<&str>) -> anyhow::Result<String> {
    output(command(arguments, directory), input)
}

fn output(mut command: Command, input: Option<&str>) -> anyhow::Result<String> {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).spawn().context("git cannot be started")?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
