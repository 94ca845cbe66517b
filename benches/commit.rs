//! A commit of one changed file, warm, in repositories of 1,000, 20,000 and 100,000 files.

use crate::Setting;
use crate::report::{Reference, Report, Sorted};
use crate::server::Scratch;
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
const CHANGED: &str = "clusters/c00/team-3/app-301.yaml";

/// A repository, fetched into a mirror.
pub struct Repository {
    files: usize,
    upstream: std::path::PathBuf,
    mirror: Arc<Mirror>,
    base: CommitSha,
    times: Vec<Duration>,
    git_times: Vec<Duration>,
}

/// Measures `commit.*`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let place = Scratch::new(setting, "commit")?;
    let mut repositories = SIZES.iter().map(|files| Repository::make(&place, *files)).collect::<anyhow::Result<Vec<_>>>()?;
    let (warm_up, count) = setting.effort.pick((20, 500), (2, 20));
    // In turns, so that whatever else the machine does falls on all alike.
    for number in 0..warm_up + count {
        for repository in &mut repositories {
            let took = repository.commit(number)?;
            if number >= warm_up {
                repository.times.push(took);
            }
        }
    }
    for number in 0..setting.effort.pick(10, 2) {
        for repository in &mut repositories {
            let took = repository.commit_with_git(&place, number)?;
            repository.git_times.push(took);
        }
    }
    let measured: Vec<(usize, Sorted, Sorted)> =
        repositories.into_iter().map(|one| (one.files, Sorted::new(one.times), Sorted::new(one.git_times))).collect();
    let [(_, small, _), _, (_, large, large_git)] = measured.as_slice() else { anyhow::bail!("three repositories") };
    let git = Reference { value: large_git.millis(50.0), what: "git with an index, as many files" };
    report.figure("commit.build_p50_ms", large.millis(50.0), "ms", git)?;
    let scale = Reference { value: small.millis(50.0), what: "1,000 files" };
    report.figure("commit.scale_100k_vs_1k", large.millis(50.0), "ms", scale)?;
    for (files, times, _) in &measured {
        report.note(&format!("{files:>7} files: {}", times.told()));
    }
    Ok(())
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
        let mirror = mirrors.get(&RemoteSpec { name: "gitops".parse()?, url, base: "main".parse()?, credentials: None });
        let base = mirror.fetch()?;
        Ok(Self { files, upstream, mirror, base, times: Vec::new(), git_times: Vec::new() })
    }

    fn commit(&self, number: usize) -> anyhow::Result<Duration> {
        let change = self.change(number)?;
        let meta = meta()?;
        let begun = Instant::now();
        let commit = self.mirror.commit(&self.base, &change, &meta)?;
        let took = begun.elapsed();
        ensure!(commit != self.base, "nothing was committed");
        Ok(took)
    }

    /// A commit on `base` that is unlike that of any other number.
    pub fn commit_on(mirror: &Arc<Mirror>, base: &CommitSha, number: usize) -> anyhow::Result<CommitSha> {
        Ok(mirror.commit(base, &change(mirror, base, number)?, &meta()?)?)
    }

    fn change(&self, number: usize) -> anyhow::Result<ValidatedChange> {
        change(&self.mirror, &self.base, number)
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
        let blob = run(&["hash-object", "-w", "--stdin"], Some(&config_map(1_000_000 + number)))?;
        run(&["update-index", "--cacheinfo", &format!("100644,{blob},{CHANGED}")], None)?;
        let tree = run(&["write-tree"], None)?;
        run(&["commit-tree", &tree, "-p", self.base.as_str(), "-m", "Measured"], None)?;
        let took = begun.elapsed();
        std::fs::remove_file(&index)?;
        Ok(took)
    }
}

fn change(mirror: &Arc<Mirror>, base: &CommitSha, number: usize) -> anyhow::Result<ValidatedChange> {
    let mut change = ChangeSet { files: BTreeMap::new(), templates: BTreeMap::from([("config".to_owned(), "ab".repeat(32))]) };
    change.files.insert(CHANGED.parse()?, FileChange::Write(config_map(number).into_bytes()));
    let rules = Rules { kubernetes: KubernetesVersion::default(), within: DirectoryPath::root(), unknown_kinds: UnknownKinds::Allow };
    Ok(validate(change, &mirror.snapshot(base)?, &rules)?)
}

/// A believable layout: 100 files in a directory, 50 directories in a cluster; as a stream for `git fast-import`.
fn layout(files: usize) -> String {
    let mut stream = String::from("commit refs/heads/main\ncommitter Seed <seed@example.com> 1700000001 +0000\ndata 4\nmany\n");
    for number in 0..files {
        let body = format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app-{number}\n  namespace: team-{}\n", number / 100);
        let path = format!("clusters/c{:02}/team-{}/app-{number}.yaml", number / 5_000, number / 100);
        stream.push_str(&format!("M 100644 inline {path}\ndata {}\n{body}\n", body.len()));
    }
    stream
}

fn config_map(number: usize) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app-301\n  namespace: team-3\ndata:\n  value: \"{number}\"\n")
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
