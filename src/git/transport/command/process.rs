//! One child process under limits: its output is read as it comes, and it ends in time with everything it started.
//! It never leaves a process behind: the whole group is killed before its leader is reaped, while its number cannot be another's.

use super::super::Limits;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The most that is kept of standard output, in bytes: a list of some hundred thousand branches.
const MAX_STDOUT: usize = 64 * 1024 * 1024;
/// The most that is kept of standard error, in bytes; the last ones, where git says why it gave up.
const MAX_STDERR: usize = 64 * 1024;
/// How long a process that is told to end may take to remove its lock files.
const ENDING: Duration = Duration::from_secs(2);
/// How often it is looked whether to stop.
const ATTENTION: Duration = Duration::from_millis(200);

/// What a process said, and how it ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Why there is no [`Finished`].
#[derive(Debug)]
pub(super) enum Failed {
    /// It could not be started.
    Start(io::Error),
    /// It took too long, and was killed.
    Timeout(String),
    /// It was killed because this process ends.
    Stopped,
    /// The system did not let it be watched.
    Watch(io::Error),
}

enum Said {
    Out(Vec<u8>),
    Err(Vec<u8>),
    Exited,
}

/// Runs a command to its end, or until `stop` is set. `input` is its standard input. Whatever it writes counts as progress.
pub(super) fn run(mut command: Command, input: Option<Vec<u8>>, limits: Limits, stop: &AtomicBool) -> Result<Finished, Failed> {
    command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own group: it is killed as one, and a Ctrl-C at the terminal is the server's to handle.
        .process_group(0);
    let mut child = command.spawn().map_err(Failed::Start)?;
    let watched = Watched::start(&mut child, input);
    let mut group = Group { child, gone: false };
    // Dropping the group ends it.
    let said = watched.map_err(Failed::Watch)?;
    let mut finished = Output::default();
    let begun = Instant::now();
    let mut heard = begun;
    loop {
        let left = limits.total.saturating_sub(begun.elapsed()).min(limits.idle.saturating_sub(heard.elapsed()));
        match said.recv_timeout(left.min(ATTENTION)) {
            Ok(Said::Exited) => break,
            Ok(part) => {
                finished.keep(part);
                heard = Instant::now();
                if begun.elapsed() < limits.total {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // Every thread ended, and none told of its end.
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let failed = match () {
            () if stop.load(Ordering::SeqCst) => Failed::Stopped,
            () if begun.elapsed() >= limits.total => Failed::Timeout(format!("it took more than {} s", limits.total.as_secs_f32())),
            () if heard.elapsed() >= limits.idle => Failed::Timeout(format!("no progress for {} s", limits.idle.as_secs_f32())),
            () => continue,
        };
        group.terminate(&said, &mut finished);
        return Err(failed);
    }
    let status = group.end().map_err(Failed::Watch)?;
    finished.drain(&said);
    Ok(Finished { status, stdout: finished.stdout, stderr: finished.stderr })
}

/// The threads that read a process's output and wait for its end.
struct Watched;

impl Watched {
    fn start(child: &mut Child, input: Option<Vec<u8>>) -> io::Result<Receiver<Said>> {
        let (say, said) = channel();
        let pid = Pid::from_child(child);
        if let Some(pipe) = child.stdout.take() {
            Self::read(pipe, "git-out", say.clone(), Said::Out)?;
        }
        if let Some(pipe) = child.stderr.take() {
            Self::read(pipe, "git-err", say.clone(), Said::Err)?;
        }
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
            // A process that ends without reading says why on standard error.
            thread::Builder::new().name("git-in".to_owned()).spawn(move || drop(pipe.write_all(&input)))?;
        }
        thread::Builder::new().name("git-wait".to_owned()).spawn(move || {
            // Left unreaped: until then its number, and so its group's, is its own.
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {}
            let _ = say.send(Said::Exited);
        })?;
        Ok(said)
    }

    fn read(mut pipe: impl Read + Send + 'static, name: &str, say: Sender<Said>, part: fn(Vec<u8>) -> Said) -> io::Result<()> {
        let read = move || {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                if say.send(part(buffer[..length].to_vec())).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(read).map(drop)
    }
}

/// A child and everything it started. Ended when dropped.
struct Group {
    child: Child,
    gone: bool,
}

impl Group {
    fn signal(&self, signal: Signal) {
        // Nobody left to signal is what was wanted.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }

    /// Kills what is left of the group and reaps the leader.
    fn end(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.gone = true;
        self.child.wait()
    }

    /// Asks the group to end, so that it removes its lock files, and then makes it.
    fn terminate(&mut self, said: &Receiver<Said>, output: &mut Output) {
        self.signal(Signal::TERM);
        let until = Instant::now() + ENDING;
        loop {
            match said.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Said::Exited) | Err(_) => break,
                Ok(part) => output.keep(part),
            }
        }
        if let Err(error) = self.end() {
            tracing::warn!(%error, "a git process that took too long could not be reaped");
        }
        output.drain(said);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.gone {
            let _ = self.end();
        }
    }
}

#[derive(Debug, Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    /// Reads what still stands in the pipes of a group that was killed. They are closed when the last of it is gone, and with it
    /// whoever might still write somewhere.
    fn drain(&mut self, said: &Receiver<Said>) {
        let until = Instant::now() + ENDING;
        while let Ok(part) = said.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.keep(part);
        }
    }

    fn keep(&mut self, said: Said) {
        match said {
            Said::Out(bytes) => self.stdout.extend(bytes.iter().take(MAX_STDOUT.saturating_sub(self.stdout.len()))),
            Said::Err(bytes) => {
                self.stderr.extend_from_slice(&bytes);
                if self.stderr.len() > 2 * MAX_STDERR {
                    self.stderr.drain(..self.stderr.len() - MAX_STDERR);
                }
            }
            Said::Exited => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn limits(idle: u64, total: u64) -> Limits {
        Limits { idle: Duration::from_millis(idle), total: Duration::from_millis(total) }
    }

    static GO_ON: AtomicBool = AtomicBool::new(false);

    #[test]
    fn one_that_is_told_to_stop_is_killed_at_once() {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| run(shell("sleep 600"), None, limits(60_000, 60_000), &stop));
            stop.store(true, Ordering::SeqCst);
            assert!(matches!(running.join().expect("a thread"), Err(Failed::Stopped)));
        });
    }

    /// Waits until a process is gone, or a zombie: one that was killed is reaped by whoever adopts it.
    fn is_gone(pid: &str) -> bool {
        let until = Instant::now() + Duration::from_secs(20);
        while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X ")) {
            if Instant::now() > until {
                return false;
            }
            thread::yield_now();
        }
        true
    }

    #[test]
    fn what_it_says_and_how_it_ends_is_told() {
        let finished = run(shell("cat; echo sorry >&2; exit 3"), Some(b"input".to_vec()), limits(5000, 5000), &GO_ON).expect("it ended");
        assert_eq!((finished.status.code(), finished.stdout.as_slice(), finished.stderr.as_slice()), (Some(3), &b"input"[..], &b"sorry\n"[..]));
        assert!(matches!(run(Command::new("/nowhere/at/all"), None, limits(5000, 5000), &GO_ON), Err(Failed::Start(_))));
    }

    #[test]
    fn one_that_says_nothing_is_killed_with_its_descendants() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pids");
        // The grandchild ignores the polite request, and holds the pipes open.
        let script = format!("(trap '' TERM; echo $$ >>{0}; sh -c 'trap \"\" TERM; echo $$ >>{0}; sleep 600') & wait", file.display());
        let begun = Instant::now();
        let ended = run(shell(&script), None, limits(3000, 60_000), &GO_ON);
        assert!(matches!(&ended, Err(Failed::Timeout(message)) if message.contains("no progress")), "{ended:?}");
        assert!(begun.elapsed() < Duration::from_secs(20));
        let pids = std::fs::read_to_string(&file).expect("they ran");
        assert_eq!(pids.lines().count(), 2, "{pids}");
        assert!(pids.lines().all(is_gone), "{pids}");
    }

    #[test]
    fn one_that_chatters_for_ever_ends_with_the_total() {
        let ended = run(shell("while :; do echo x >&2; done"), None, limits(60_000, 300), &GO_ON);
        assert!(matches!(&ended, Err(Failed::Timeout(message)) if message.contains("more than")), "{ended:?}");
    }

    #[test]
    fn what_outlives_the_leader_is_killed_and_holds_nothing_up() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("pid");
        let begun = Instant::now();
        let script = format!("sleep 600 & echo $! >{}; echo done", file.display());
        let finished = run(shell(&script), None, limits(60_000, 60_000), &GO_ON).expect("it ended");
        assert_eq!(finished.stdout, b"done\n");
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert!(is_gone(std::fs::read_to_string(&file).expect("a pid").trim()));
    }
}
