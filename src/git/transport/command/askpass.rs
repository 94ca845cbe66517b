//! How git asks for a token: it runs our own program, which asks this process over a socket in the conversation's directory.
//! So the token is in no argument, environment, file or configuration. It goes to the configured origin alone, once.

use crate::clock::{Clock, SystemClock};
use crate::git::error::plain;
use crate::git::{Credentials, GitError, RemoteSpec};
use secrecy::{ExposeSecret, SecretString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Tells the program that git runs it to ask: the directory of the socket.
const DIRECTORY: &str = "KUBEOPS_ASKPASS_DIRECTORY";
/// The word of one conversation; without it nothing is told.
const NONCE: &str = "KUBEOPS_ASKPASS_NONCE";
/// The socket's name in the conversation's directory.
const SOCKET: &str = "askpass";
/// The longest question read, in bytes.
const MAX_QUESTION: u64 = 8 * 1024;
/// How long one who connected may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers git's questions for the length of one conversation.
pub(super) struct Askpass {
    directory: PathBuf,
    nonce: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    remote: RemoteSpec,
    nonce: String,
    ended: AtomicBool,
    told: AtomicBool,
    /// Why nothing was told, when it was so.
    refused: Mutex<Option<GitError>>,
}

impl Askpass {
    /// Listens in a directory that only this user may enter.
    pub(super) fn listen(directory: &Path, remote: &RemoteSpec) -> io::Result<Self> {
        let listener = with_short_path(directory, |path| UnixListener::bind(path))?;
        let nonce = format!("{:032x}", SystemClock.random());
        let shared = Arc::new(Shared {
            remote: remote.clone(),
            nonce: nonce.clone(),
            ended: AtomicBool::new(false),
            told: AtomicBool::new(false),
            refused: Mutex::new(None),
        });
        let answering = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("git-askpass".to_owned()).spawn(move || answering.serve(&listener))?;
        Ok(Self { directory: directory.to_owned(), nonce, shared, thread: Some(thread) })
    }

    /// Lets git find the program that asks. Neither value helps anybody who cannot enter the directory.
    pub(super) fn announce(&self, command: &mut Command, program: &Path) {
        command.env("GIT_ASKPASS", program).env(DIRECTORY, &self.directory).env(NONCE, &self.nonce);
    }

    /// Why nothing was told, when it was so.
    pub(super) fn refused(&self) -> Option<GitError> {
        self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Askpass {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread; where that fails it stays until the process ends, and holds no token.
        if with_short_path(&self.directory, |path| UnixStream::connect(path)).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, listener: &UnixListener) {
        for stream in listener.incoming() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let answered = stream.and_then(|stream| self.converse(&stream));
            if let Err(error) = answered {
                // Whoever asked went away: git says so itself.
                tracing::debug!(%error, "a question for credentials was not answered");
            }
        }
    }

    fn converse(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut question = String::new();
        stream.take(MAX_QUESTION).read_to_string(&mut question)?;
        let Some((nonce, prompt)) = question.split_once('\n') else { return Ok(()) };
        if !bool::from(subtle::ConstantTimeEq::ct_eq(nonce.as_bytes(), self.nonce.as_bytes())) {
            return Ok(());
        }
        match self.answer(prompt) {
            Ok(answer) => (&*stream).write_all(format!("+{}", answer.expose_secret()).as_bytes()),
            Err(message) => {
                let refused = GitError::Unauthorised { repository: self.remote.name.clone(), message };
                self.refused.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refused);
                Ok(())
            }
        }
    }

    /// What git is told; an error's text is for people.
    fn answer(&self, prompt: &str) -> Result<SecretString, String> {
        let Some(credentials) = &self.remote.credentials else {
            return Err("it asks for credentials, and the repository's resource names none".to_owned());
        };
        match Question::read(prompt) {
            Some((_, url)) if !self.remote.url.same_origin(url) => Err("another host asked for the credentials; they were not sent".to_owned()),
            Some((Question::Username, _)) => Ok(credentials.username().to_owned().into()),
            Some((Question::Password, _)) => self.token(credentials),
            None => Err("git asked something unknown".to_owned()),
        }
    }

    fn token(&self, credentials: &Credentials) -> Result<SecretString, String> {
        if self.told.swap(true, Ordering::SeqCst) {
            return Err("it does not accept the credentials".to_owned());
        }
        let token = credentials.token().map_err(|message| format!("there is no token: {}", plain(&message, 200)))?;
        // git reads one line.
        if token.expose_secret().contains(['\n', '\r', '\0']) {
            return Err("the token has more than one line".to_owned());
        }
        Ok(token)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Username,
    Password,
}

impl Question {
    /// Reads `Password for 'https://bot@host': `, as git asks it in the C locale.
    fn read(prompt: &str) -> Option<(Self, &str)> {
        let (question, rest) = [(Self::Username, "Username for '"), (Self::Password, "Password for '")]
            .into_iter()
            .find_map(|(question, words)| prompt.strip_prefix(words).map(|rest| (question, rest)))?;
        rest.trim_end().strip_suffix("':").map(|url| (question, url))
    }
}

/// A socket's path has at most 108 bytes; a data directory's may have more. Through the open directory it is always short.
fn with_short_path<T>(directory: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let open = File::open(directory)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
    if cfg!(target_os = "linux") && short.exists() { work(&short.join(SOCKET)) } else { work(&directory.join(SOCKET)) }
}

/// Whether git runs this process to ask for a user name or a token: then [`askpass_main`] is all it does.
pub fn is_askpass() -> bool {
    std::env::var_os(DIRECTORY).is_some() && std::env::var_os(NONCE).is_some()
}

/// Asks the process that runs the conversation, and prints the answer for git. It runs before anything else is set up.
pub fn askpass_main() -> ExitCode {
    match ask() {
        Ok(answer) => {
            // The answer and the end of its line in one piece, and to git alone.
            let mut line = answer.expose_secret().to_owned();
            line.push('\n');
            let written = io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush());
            if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("no credentials: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask() -> io::Result<SecretString> {
    let missing = |what: &str| io::Error::other(format!("{what} is missing"));
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).ok_or_else(|| missing(DIRECTORY))?);
    let nonce = std::env::var(NONCE).map_err(|_| missing(NONCE))?;
    let prompt = std::env::args().nth(1).ok_or_else(|| missing("the question"))?;
    let mut stream = with_short_path(&directory, |path| UnixStream::connect(path))?;
    stream.write_all(format!("{nonce}\n{prompt}").as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.strip_prefix('+') {
        Some(answer) => Ok(answer.to_owned().into()),
        None => Err(io::Error::other("refused")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "t0ken";

    fn remote(credentials: Option<Credentials>) -> RemoteSpec {
        let url = "https://git.example/a/b.git".parse().expect("an address");
        RemoteSpec { credentials, ..RemoteSpec::new("gitops".parse().expect("a name"), url, "main".parse().expect("a branch")) }
    }

    fn bot() -> Option<Credentials> {
        Some(Credentials::new("bot", || Ok(TOKEN.into())))
    }

    fn asked(askpass: &Askpass, nonce: &str, prompt: &str) -> String {
        let mut stream = with_short_path(&askpass.directory, |path| UnixStream::connect(path)).expect("connected");
        stream.write_all(format!("{nonce}\n{prompt}").as_bytes()).expect("asked");
        stream.shutdown(std::net::Shutdown::Write).expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[test]
    fn the_configured_origin_is_told_once_and_nobody_else() {
        let directory = tempfile::tempdir().expect("a directory");
        // A path that no socket could have.
        let deep = directory.path().join("d".repeat(120));
        std::fs::create_dir(&deep).expect("made");
        let askpass = Askpass::listen(&deep, &remote(bot())).expect("listening");
        let nonce = askpass.nonce.clone();
        assert_eq!(asked(&askpass, &nonce, "Username for 'https://git.example': "), "+bot");
        for (nonce, prompt) in [
            ("", "Password for 'https://bot@git.example': "),
            (&nonce[1..], "Password for 'https://bot@git.example': "),
            (&nonce, "Password for 'https://bot@git.example.evil': "),
            (&nonce, "Password for 'http://bot@git.example': "),
            (&nonce, "Password for 'https://git.example@evil': "),
            (&nonce, "Password for 'https://evil/'https://git.example': "),
            (&nonce, "Enter passphrase for key 'https://git.example': "),
            (&nonce, ""),
        ] {
            assert_eq!(asked(&askpass, nonce, prompt), "", "{prompt}");
        }
        assert_eq!(asked(&askpass, &nonce, "Password for 'https://bot@git.example': "), format!("+{TOKEN}"));
        assert!(askpass.refused().is_some_and(|error| error.to_string().contains("another host")));
        assert_eq!(asked(&askpass, &nonce, "Password for 'https://bot@git.example': "), "");
        assert!(askpass.refused().is_some_and(|error| error.to_string().contains("does not accept")));
    }

    #[test]
    fn why_there_is_no_token_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        for (credentials, word) in [
            (None, "names none"),
            (Some(Credentials::new("bot", || Err("the file\nis gone".to_owned()))), "there is no token: the file is gone"),
            (Some(Credentials::new("bot", || Ok("two\nlines".into()))), "more than one line"),
        ] {
            let place = tempfile::tempdir_in(&directory).expect("a directory");
            let askpass = Askpass::listen(place.path(), &remote(credentials)).expect("listening");
            assert_eq!(asked(&askpass, &askpass.nonce, "Password for 'https://bot@git.example': "), "");
            let error = askpass.refused().expect("refused").to_string();
            assert!(error.contains(word) && !error.contains("lines\n"), "{error}");
        }
    }
}
