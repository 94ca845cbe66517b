//! The git program of the machine as a transport: one process for each conversation, in an environment of its own.
//! It must never show a token in an argument, an environment or a file, run what a repository brings along, or leave a process behind.

mod askpass;
mod environment;
mod fetch;
mod judge;
mod process;
mod push;
mod runtime;
mod ssh;
mod upkeep;
mod version;

pub use askpass::{askpass_main, is_askpass};

use super::{Limits, Place, PushReport, RefUpdate, Transport};
use crate::git::GitError;
use crate::types::{BranchName, CommitSha};
use askpass::Askpass;
use git2::Oid;
use process::{Failed, Finished};
use runtime::{Directory, Runtime};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For so long after a fetch the base is taken to be where it was then: a push need not look again before it packs.
const FRESH: Duration = Duration::from_secs(30);
/// How long the end of the process waits for programs that are told to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What the transport works with.
#[derive(Debug, Clone)]
pub struct GitCommandOptions {
    /// The git program: a path, or a name that is looked up in `PATH`.
    pub git: PathBuf,
    /// The ssh program (OpenSSH), likewise.
    pub ssh: PathBuf,
    /// A program that calls [`askpass_main`] when [`is_askpass`] says so: our own. git runs it, so the path must hold for its children.
    pub askpass: PathBuf,
    /// A directory for what conversations need in files. It is made when missing, for this user alone.
    pub runtime: PathBuf,
    /// How long a conversation may take.
    pub limits: Limits,
}

/// Talks with remotes through the git program.
#[derive(Debug)]
pub struct GitCommand {
    options: GitCommandOptions,
    /// Whether the program was found to be one that can do the work.
    checked: Mutex<bool>,
    runtime: Mutex<Option<Arc<Runtime>>>,
    /// When each mirror's base was last seen at the remote.
    seen: Mutex<HashMap<PathBuf, Instant>>,
    /// Whether the process ends, and with it every conversation.
    ending: AtomicBool,
}

impl GitCommand {
    /// A transport that starts no program and makes no directory yet.
    pub fn new(options: GitCommandOptions) -> Self {
        Self { options, checked: Mutex::new(false), runtime: Mutex::default(), seen: Mutex::default(), ending: AtomicBool::new(false) }
    }

    /// See [`super::PerRepository::end`].
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        let Some(runtime) = lock(&self.runtime).take() else { return };
        let left = Arc::downgrade(&runtime);
        drop(runtime);
        // Each conversation has a part in the directory, and gives it back when its program is gone.
        let until = Instant::now() + LAST_WORDS;
        while left.strong_count() > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// # Errors
    /// When the program is missing or too old; it is asked again at the next call.
    fn check(&self, place: &Place) -> Result<(), GitError> {
        let mut checked = lock(&self.checked);
        if !*checked {
            version::check(&self.options.git).map_err(|message| GitError::Program { repository: place.remote.name.clone(), message })?;
            *checked = true;
        }
        Ok(())
    }

    /// The private directory of one conversation, and the home that all share.
    fn directory(&self) -> io::Result<(Directory, PathBuf)> {
        let mut runtime = lock(&self.runtime);
        if let Some(made) = &*runtime
            && let Ok(directory) = made.conversation()
        {
            return Ok((directory, made.home()));
        }
        // The first one; or somebody tidied our directory away.
        let made = runtime.insert(Runtime::open(&self.options.runtime)?);
        Ok((made.conversation()?, made.home()))
    }

    fn saw_base(&self, place: &Place) {
        lock(&self.seen).insert(place.path.clone(), Instant::now());
    }

    fn saw_base_lately(&self, place: &Place) -> bool {
        lock(&self.seen).get(&place.path).is_some_and(|seen| seen.elapsed() < FRESH)
    }

    /// One conversation with the remote, not yet begun.
    fn talk<'t>(&'t self, place: &'t Place) -> Result<Talk<'t>, GitError> {
        if let Some(path) = place.remote.url.local_path().filter(|path| !path.is_dir()) {
            // git would take a file for a bundle.
            let message = format!("there is no directory {}", path.display());
            return Err(GitError::NoRepository { repository: place.remote.name.clone(), message });
        }
        let mut talk = self.work(place)?;
        match place.remote.url.protocol() {
            "https" | "http" => {
                let askpass = Askpass::listen(talk.directory.path(), &place.remote).map_err(|error| GitError::storage(&place.remote.name, &error))?;
                askpass.announce(&mut talk.command, &self.options.askpass);
                talk.askpass = Some(askpass);
            }
            "ssh" => ssh::announce(&mut talk.command, &self.options.ssh, &talk.directory, &place.remote)?,
            _ => {}
        }
        Ok(talk)
    }

    /// One run of git on the mirror, not yet started.
    fn work<'t>(&'t self, place: &'t Place) -> Result<Talk<'t>, GitError> {
        if self.ending.load(Ordering::SeqCst) {
            return Err(ended(place));
        }
        self.check(place)?;
        let storage = |error: io::Error| GitError::storage(&place.remote.name, &error);
        let (directory, home) = self.directory().map_err(storage)?;
        // A relative path would mean another place in the directory git runs in.
        let mirror = std::path::absolute(&place.path).map_err(storage)?;
        let mut command = Command::new(&self.options.git);
        environment::set(&mut command, &self.options.git, &home, &mirror, &place.remote.url);
        command.current_dir(directory.path());
        Ok(Talk { git: self, place, command, askpass: None, directory, limits: self.options.limits })
    }
}

impl Transport for GitCommand {
    fn fetch(&self, place: &Place) -> Result<CommitSha, GitError> {
        fetch::base(self, place)
    }

    fn fetch_branch(&self, place: &Place, branch: &BranchName) -> Result<Option<CommitSha>, GitError> {
        fetch::branch(self, place, branch)
    }

    fn push(&self, place: &Place, updates: Vec<RefUpdate>) -> Result<PushReport, GitError> {
        push::push(self, place, &updates)
    }

    fn tip(&self, place: &Place, branch: &BranchName) -> Result<Option<CommitSha>, GitError> {
        Ok(fetch::tips(self, place)?.remove(&branch.full_ref()))
    }

    fn upkeep(&self, place: &Place) -> Result<(), GitError> {
        upkeep::repack(self, place)
    }

    fn fetch_objects(&self, place: &Place, objects: &[Oid]) -> Result<(), GitError> {
        fetch::objects(self, place, objects)
    }
}

/// One run of git, with what must live as long as it does.
struct Talk<'t> {
    git: &'t GitCommand,
    place: &'t Place,
    command: Command,
    askpass: Option<Askpass>,
    directory: Directory,
    limits: Limits,
}

/// How a run ended, and why it failed where it did.
struct Heard {
    finished: Finished,
    failure: Option<GitError>,
}

impl Heard {
    /// What git said, when it did not fail.
    fn success(self) -> Result<Finished, GitError> {
        self.failure.map_or(Ok(self.finished), Err)
    }
}

impl Talk<'_> {
    /// Runs git with these arguments to its end.
    ///
    /// # Errors
    /// When git could not be run or took too long. That git failed is no error yet.
    fn run(self, arguments: &[String], input: Option<Vec<u8>>) -> Result<Heard, GitError> {
        let Self { git, place, mut command, askpass, directory, limits } = self;
        let repository = || place.remote.name.clone();
        command.args(arguments);
        tracing::debug!(repository = %place.remote.name, ?arguments, "git runs");
        let finished = process::run(command, input, limits, &git.ending).map_err(|failed| match failed {
            Failed::Start(error) if error.kind() == io::ErrorKind::NotFound => {
                *lock(&git.checked) = false;
                GitError::Program { repository: repository(), message: format!("the program {} is gone", git.options.git.display()) }
            }
            Failed::Start(error) | Failed::Watch(error) => GitError::storage(&place.remote.name, &error),
            Failed::Stopped => ended(place),
            Failed::Timeout(message) => GitError::Timeout { repository: repository(), message },
        });
        let refused = askpass.as_ref().and_then(Askpass::refused);
        // The socket goes before its directory.
        drop(askpass);
        drop(directory);
        let finished = finished?;
        let failure = (!finished.status.success()).then(|| refused.unwrap_or_else(|| judge::failure(&place.remote.name, &finished.stderr)));
        Ok(Heard { finished, failure })
    }
}

/// Locks; a panic elsewhere while it was held left nothing half-done that a next use would not repair.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is under way is done again by the next process.
fn ended(place: &Place) -> GitError {
    GitError::Timeout { repository: place.remote.name.clone(), message: "this process ends".to_owned() }
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}
