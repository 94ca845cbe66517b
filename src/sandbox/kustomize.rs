//! `kubectl kustomize`, or `kustomize build`, run where it can be killed: on files of its own in a directory of its own, with no
//! environment, under limits that a small bomb of aliases would otherwise run away from.

use crate::plan::{BuildError, Builder};
use rlimit::{Resource, setrlimit};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The hidden subcommand that limits itself and becomes the program.
pub const BUILD_ARGUMENT: &str = "build-worker";
/// Processor time of it, in seconds.
const CPU_SECONDS: u64 = 15;
/// Memory of its data, in bytes; what the Go runtime aims at is less.
const DATA: u64 = 1 << 30;
/// The most it may say, in bytes.
const MAX_OUTPUT: u64 = 32 << 20;
/// Characters of its complaint that are told.
const TOLD: usize = 400;

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Builds with a program of this machine.
#[derive(Debug, Clone)]
pub struct KustomizeProgram {
    /// Our own binary, which becomes the program once it is limited.
    pub executable: PathBuf,
    /// `kubectl`, `kustomize`, or the path of one of them.
    pub program: PathBuf,
    /// Where its directories are made.
    pub scratch: PathBuf,
    /// How long a build may take.
    pub time: Duration,
}

impl KustomizeProgram {
    /// How long a build usually may take: a large overlay takes a second.
    pub const TIME: Duration = Duration::from_secs(20);
}

impl Builder for KustomizeProgram {
    fn build(&self, files: &BTreeMap<String, Vec<u8>>, directory: &str) -> Result<String, BuildError> {
        let failed = |error: std::io::Error| BuildError::Failed(format!("{}: {error}", self.program.display()));
        let root = Directory::make(&self.scratch).map_err(failed)?;
        for (path, bytes) in files {
            let at = root.0.join(path);
            if let Some(parent) = at.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
            }
            std::fs::write(&at, bytes).map_err(failed)?;
        }
        let verb = if self.program.file_name().is_some_and(|name| name == "kustomize") { "build" } else { "kustomize" };
        let mut command = Command::new(&self.executable);
        command.arg(BUILD_ARGUMENT).arg(&self.program).arg(verb).arg(root.0.join(directory));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", &root.0).env("GOMEMLIMIT", "512MiB");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir(&root.0).process_group(0);
        let (status, out, error) = finished(command.spawn().map_err(failed)?, self.time).map_err(failed)?;
        match status {
            Some(true) => String::from_utf8(out).map_err(|_| BuildError::Failed("what it builds is not UTF-8".to_owned())),
            // The directory's name tells nobody anything.
            Some(false) => Err(BuildError::Refused(complaint(&error).replace(&*root.0.to_string_lossy(), ""))),
            None => Err(BuildError::Failed(format!("the build took more than {} s, and was ended", self.time.as_secs_f32()))),
        }
    }
}

/// Whether it ended well (none: it had to be ended), what it said, and what it complained of.
fn finished(mut child: Child, time: Duration) -> std::io::Result<(Option<bool>, Vec<u8>, Vec<u8>)> {
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(pipe) = pipe {
                let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut bytes);
            }
            bytes
        })
    };
    let out = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let error = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let begun = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status.success()),
            None if begun.elapsed() > time => {
                // With all it started: one of those would keep the pipes open.
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                child.wait()?;
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    Ok((status, out.join().unwrap_or_default(), error.join().unwrap_or_default()))
}

fn complaint(error: &[u8]) -> String {
    let text = String::from_utf8_lossy(error);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    lines.join(" ").chars().take(TOLD).collect()
}

/// A directory that goes with its content.
struct Directory(PathBuf);

impl Directory {
    fn make(scratch: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::create_dir_all(scratch)?;
        let path = scratch.join(format!("build-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the hidden subcommand `build-worker` does: it gives up what a build does not need, and becomes the program named.
pub fn build_worker_main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments;
    let Some(program) = arguments.next() else { return ExitCode::FAILURE };
    let limits = [(Resource::CPU, CPU_SECONDS), (Resource::DATA, DATA), (Resource::CORE, 0), (Resource::FSIZE, MAX_OUTPUT)];
    for (resource, limit) in limits {
        if let Err(error) = setrlimit(resource, limit, limit) {
            eprintln!("{BUILD_ARGUMENT}: {error}");
            return ExitCode::FAILURE;
        }
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("{}: {error}", program.to_string_lossy());
    ExitCode::FAILURE
}
