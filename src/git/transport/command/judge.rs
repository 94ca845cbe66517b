//! What git's words mean: its exit code tells only that something failed, so the text of its last lines is read.
//! git runs in the C locale, so that the words are the same everywhere. They never hold a token, because git never has one in an address.

use crate::git::GitError;
use crate::git::error::plain;
use crate::types::RepositoryName;

/// What a failure is about.
#[derive(Clone, Copy)]
enum About {
    Unauthorised,
    Untrusted,
    NoRepository,
    Elsewhere,
    Network,
    Timeout,
    Storage,
    Corrupt,
    Program,
}

/// Words and what they tell, in the order in which they are looked for: ssh's own reason comes before git's "could not read from
/// remote repository", and what a server says of access before what git says of the connection.
const WORDS: &[(&str, About)] = &[
    ("cannot run ssh", About::Program),
    ("ssh: not found", About::Program),
    ("unable to find remote helper", About::Program),
    ("is not a git command", About::Program),
    ("Host key verification failed", About::Untrusted),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", About::Untrusted),
    ("certificate verification failed", About::Untrusted),
    ("SSL certificate problem", About::Untrusted),
    ("server certificate", About::Untrusted),
    ("certificate subject name", About::Untrusted),
    ("Permission denied (", About::Unauthorised),
    ("Too many authentication failures", About::Unauthorised),
    ("Authentication failed", About::Unauthorised),
    ("could not read Username", About::Unauthorised),
    ("could not read Password", About::Unauthorised),
    ("returned error: 401", About::Unauthorised),
    ("returned error: 403", About::Unauthorised),
    ("returned error: 30", About::Elsewhere),
    ("returned error: 404", About::NoRepository),
    ("returned error: 410", About::NoRepository),
    ("Repository not found", About::NoRepository),
    ("' not found", About::NoRepository),
    ("does not appear to be a git repository", About::NoRepository),
    ("unable to update url base from redirection", About::Elsewhere),
    ("No space left on device", About::Storage),
    ("Disk quota exceeded", About::Storage),
    ("Read-only file system", About::Storage),
    ("detected dubious ownership", About::Storage),
    ("Operation timed out", About::Timeout),
    ("Connection timed out", About::Timeout),
    ("returned error: ", About::Network),
    ("unable to access", About::Network),
    ("Could not resolve", About::Network),
    ("Connection refused", About::Network),
    ("Connection reset", About::Network),
    ("Connection closed", About::Network),
    ("unable to connect", About::Network),
    ("RPC failed", About::Network),
    ("unexpected disconnect", About::Network),
    ("the remote end hung up", About::Network),
    ("early EOF", About::Network),
    ("expected flush", About::Network),
    ("bad line length", About::Network),
    ("invalid server response", About::Network),
    ("not valid: is this a git repository", About::NoRepository),
    ("not our ref", About::Network),
    ("Server does not allow request for unadvertised object", About::Network),
    ("unable to create temporary", About::Storage),
    ("unable to write", About::Storage),
    ("Permission denied", About::Storage),
    ("not a git repository", About::Corrupt),
    ("bad config", About::Corrupt),
    ("bad object", About::Corrupt),
    ("missing blob", About::Corrupt),
    ("missing tree", About::Corrupt),
    ("missing commit", About::Corrupt),
    ("missing necessary objects", About::Corrupt),
    ("did not send all necessary objects", About::Corrupt),
    ("is corrupt", About::Corrupt),
    ("unable to read", About::Corrupt),
    ("error: Could not read ", About::Corrupt),
    ("object file", About::Corrupt),
    ("packfile", About::Corrupt),
    ("index file", About::Corrupt),
    ("unable to get type of object", About::Corrupt),
    ("pack-objects died", About::Corrupt),
    ("unresolved deltas", About::Corrupt),
    ("cannot lock ref", About::Corrupt),
    ("unable to update local ref", About::Corrupt),
    ("revision walk setup failed", About::Corrupt),
    // What is left when ssh gave no reason.
    ("Could not read from remote repository", About::Network),
];

/// Reads what git said on standard error when it failed.
pub(super) fn failure(repository: &RepositoryName, stderr: &[u8]) -> GitError {
    let text = String::from_utf8_lossy(stderr);
    let told: Vec<&str> = text.split(['\n', '\r']).map(str::trim).filter(|line| tells(line)).collect();
    // What the server says of itself is nothing of this machine's.
    let means = |about: About, line: &str| !line.starts_with("remote:") || !matches!(about, About::Storage | About::Corrupt | About::Program);
    let about = WORDS.iter().find(|(words, about)| told.iter().any(|line| line.contains(words) && means(*about, line)));
    let (repository, message) = (repository.clone(), plain(&reasons(&told), 400));
    match about.map(|(_, about)| *about) {
        Some(About::Unauthorised) => GitError::Unauthorised { repository, message },
        Some(About::Untrusted) => GitError::Untrusted { repository, message },
        Some(About::NoRepository) => GitError::NoRepository { repository, message },
        Some(About::Elsewhere) => GitError::Elsewhere { repository, message },
        Some(About::Timeout) => GitError::Timeout { repository, message },
        Some(About::Storage) => GitError::Storage { repository, message },
        Some(About::Corrupt) => GitError::Corrupt { repository, message },
        Some(About::Program) => {
            GitError::Program { repository, message: format!("the git program cannot do its work ({message}); install what it lacks") }
        }
        Some(About::Network) => GitError::Network { repository, message },
        None if message.is_empty() => GitError::Network { repository, message: "git ended without a word".to_owned() },
        None => GitError::Network { repository, message },
    }
}

/// The reasons on one line, each once; what git died of first, because it may repeat other things many times.
fn reasons(told: &[&str]) -> String {
    let (fatal, other): (Vec<&str>, Vec<&str>) = told.iter().partition(|line| line.starts_with("fatal:"));
    let mut lines: Vec<&str> = Vec::new();
    for line in fatal.into_iter().chain(other) {
        if !lines.contains(&line) && lines.len() < 8 {
            lines.push(line);
        }
    }
    if lines.first().is_some_and(|line| line.contains("Authentication failed")) {
        lines.insert(0, "it does not accept the credentials");
    }
    lines.join("; ")
}

/// Whether a line is a reason: no progress, no advice, no summary.
fn tells(line: &str) -> bool {
    !line.is_empty()
        && !line.contains("% (")
        && !["hint:", "To ", "From ", "Total ", " * ", "and the repository exists", "Please make sure"].iter().any(|start| line.starts_with(start))
}

/// What the server's hooks and the server itself printed, on one line.
pub(super) fn remote_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.split(['\n', '\r']).filter_map(|line| line.trim().strip_prefix("remote:")).map(str::trim);
    plain(&lines.filter(|line| !line.is_empty() && !line.contains("% (")).collect::<Vec<_>>().join(" "), 500)
}

/// The damage git met in the mirror and went around: it fetches anew what it cannot read, and leaves the broken pack where it is.
pub(super) fn damage(repository: &RepositoryName, stderr: &[u8]) -> Option<GitError> {
    let text = String::from_utf8_lossy(stderr);
    let told: Vec<&str> = text.split(['\n', '\r']).map(str::trim).filter(|line| line.starts_with("error:")).collect();
    let damaged = |line: &&str| WORDS.iter().any(|(words, about)| matches!(about, About::Corrupt) && line.contains(words));
    told.iter().any(damaged).then(|| GitError::Corrupt { repository: repository.clone(), message: plain(&reasons(&told), 400) })
}

/// Whether git says that the remote has no such branch.
pub(super) fn no_such_branch(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).contains("couldn't find remote ref")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ErrorClass;

    fn read(text: &str) -> GitError {
        failure(&"gitops".parse().expect("a name"), text.as_bytes())
    }

    #[test]
    fn gits_words_have_the_meaning_that_libgit2s_errors_have() {
        let unable = |what: &str| read(&format!("fatal: unable to access 'https://git.example/x.git/': {what}\n"));
        assert!(matches!(unable("The requested URL returned error: 403"), GitError::Unauthorised { .. }));
        assert!(matches!(unable("The requested URL returned error: 302"), GitError::Elsewhere { .. }));
        assert!(matches!(unable("The requested URL returned error: 503"), GitError::Network { .. }));
        assert!(matches!(unable("The requested URL returned error: 429"), GitError::Network { .. }));
        assert!(matches!(unable("Could not resolve host: git.example"), GitError::Network { .. }));
        assert!(matches!(unable("server certificate verification failed. CAfile: none CRLfile: none"), GitError::Untrusted { .. }));
        assert!(matches!(unable("SSL certificate problem: self-signed certificate"), GitError::Untrusted { .. }));
        assert!(matches!(read("fatal: Authentication failed for 'https://git.example/x.git/'"), GitError::Unauthorised { .. }));
        assert!(matches!(read("fatal: repository 'https://git.example/x.git/' not found"), GitError::NoRepository { .. }));
        let hung_up =
            "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.";
        assert!(matches!(read(&format!("git@h: Permission denied (publickey).\n{hung_up}")), GitError::Unauthorised { .. }));
        assert!(matches!(read(&format!("Host key verification failed.\n{hung_up}")), GitError::Untrusted { .. }));
        assert!(matches!(read(&format!("ERROR: Repository not found.\n{hung_up}")), GitError::NoRepository { .. }));
        assert!(matches!(read(hung_up), GitError::Network { .. }));
        assert!(matches!(read("error: inflate: data stream error\nfatal: loose object 1 (stored in x) is corrupt"), GitError::Corrupt { .. }));
        assert!(matches!(read("fatal: write error: No space left on device"), GitError::Storage { .. }));
        assert!(matches!(read("remote: fatal: bad object\nfatal: early EOF"), GitError::Network { .. }));
        assert_eq!(read("").class(), ErrorClass::Transient);
        assert_eq!(read("something new").class(), ErrorClass::Transient);
    }

    #[test]
    fn damage_that_git_went_around_is_seen() {
        let read = |text: &str| damage(&"gitops".parse().expect("a name"), text.as_bytes()).is_some();
        assert!(read("error: file ./objects/pack/pack-1.pack is far too short to be a packfile\nFrom file:///x\n"));
        assert!(!read("remote: error: packfile ./objects/pack/pack-1.pack cannot be accessed\n"));
        assert!(!read("From file:///x\n * [new branch] main -> refs/kubeops/base/main\n"));
    }

    #[test]
    fn progress_and_advice_are_no_reasons() {
        let error = read("remote: Counting objects:  50% (1/2)\rremote: Counting objects: 100% (2/2)\rhint: try again\nfatal: early EOF\n");
        assert!(matches!(&error, GitError::Network { message, .. } if message == "fatal: early EOF"), "{error}");
        assert_eq!(
            remote_words(b"remote: Resolving deltas:  50% (1/2)\rremote: frozen until Monday        \nremote: \nTo x\n"),
            "frozen until Monday"
        );
    }
}
