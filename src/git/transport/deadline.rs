//! Ends conversations that stall. libgit2's own time-outs can only be set through unsafe calls, which this crate forbids,
//! so each conversation runs on a thread of its own and is given up when it shows no progress.
//! A thread that is given up ends at its next sign of life, or with its connection; there are never more than a few.

use super::super::GitError;
use crate::types::RepositoryName;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::{sync::Arc, time::Duration};

/// How long a conversation with a remote may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Without any sign of progress.
    pub idle: Duration,
    /// In all.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), total: Duration::from_secs(30 * 60) }
    }
}

/// How many given-up threads may hang before no more are started.
const MAX_STUCK: u32 = 16;

/// Runs conversations under [`Limits`].
#[derive(Debug)]
pub(super) struct Deadline {
    limits: Limits,
    stuck: Arc<AtomicU32>,
}

/// What a conversation holds of its watcher: it shows progress and hears that it was given up.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse {
    beats: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Pulse {
    /// Shows progress. False when the conversation was given up and must stop.
    pub(super) fn beat(&self) -> bool {
        self.beats.fetch_add(1, Ordering::Relaxed);
        !self.ended.load(Ordering::Relaxed)
    }
}

impl Deadline {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, stuck: Arc::default() }
    }

    /// Runs `talk` on a thread of its own until it ends or shows no progress for too long.
    pub(super) fn run<T: Send + 'static>(
        &self,
        repository: &RepositoryName,
        talk: impl FnOnce(&Pulse) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, GitError> {
        let timeout = |message: String| Err(GitError::Timeout { repository: repository.clone(), message });
        if self.stuck.load(Ordering::Relaxed) >= MAX_STUCK {
            return timeout(format!("{MAX_STUCK} earlier connections still hang"));
        }
        let pulse = Pulse::default();
        let (done, result) = sync_channel(1);
        let theirs = pulse.clone();
        std::thread::Builder::new()
            .name("git-remote".to_owned())
            .spawn(move || drop(done.send(talk(&theirs))))
            .map_err(|error| GitError::storage(repository, &error))?;
        let (mut beats, mut waited) = (0, Duration::ZERO);
        loop {
            match result.recv_timeout(self.limits.idle) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(GitError::Bug { repository: repository.clone(), message: "the conversation ended without a result".to_owned() });
                }
                Err(RecvTimeoutError::Timeout) => {
                    waited += self.limits.idle;
                    let now = pulse.beats.load(Ordering::Relaxed);
                    if now != beats && waited < self.limits.total {
                        beats = now;
                        continue;
                    }
                    pulse.ended.store(true, Ordering::Relaxed);
                    self.watch(result);
                    return timeout(format!("no progress for {} s", self.limits.idle.as_secs_f32()));
                }
            }
        }
    }

    /// Counts a given-up conversation until its thread ends.
    fn watch<T: Send + 'static>(&self, result: std::sync::mpsc::Receiver<Result<T, GitError>>) {
        self.stuck.fetch_add(1, Ordering::Relaxed);
        let stuck = Arc::clone(&self.stuck);
        let watcher = std::thread::Builder::new().name("git-stuck".to_owned()).spawn(move || {
            // Returns when the thread sends its late result or drops the channel.
            let _ = result.recv();
            stuck.fetch_sub(1, Ordering::Relaxed);
        });
        if watcher.is_err() {
            tracing::warn!("no thread to watch a hanging git connection; it stays counted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn what_shows_no_progress_is_given_up_and_told_so() {
        let deadline = Deadline::new(Limits { idle: Duration::from_millis(20), total: Duration::from_secs(5) });
        let name: RepositoryName = "gitops".parse().expect("a name");
        let (release, hang) = channel::<()>();
        let (told, ended) = channel::<bool>();
        let result = deadline.run(&name, move |pulse| {
            let _ = hang.recv();
            let _ = told.send(pulse.beat());
            Ok(())
        });
        assert!(matches!(result, Err(GitError::Timeout { .. })), "{result:?}");
        assert_eq!(deadline.stuck.load(Ordering::Relaxed), 1);
        drop(release);
        assert_eq!(ended.recv(), Ok(false), "the late conversation hears that it was given up");
    }
}
