//! The libgit2 transport: fetch and push over HTTP, SSH and the file system.
//! Tokens go to the configured origin alone, and only once per conversation: a refused token is not tried in a loop.

use super::super::error::plain;
use super::super::known_hosts::{self, Verdict};
use super::super::open::{open_in_memory, open_mirror};
use super::super::proposal::Proposals;
use super::super::{GitError, RemoteSpec};
use super::deadline::{Deadline, Pulse};
use super::{Expected, Limits, Place, PushReport, Pushed, RACED, RefUpdate, SEEN, Transport, base_ref, make_way};
use crate::types::{BranchName, CommitSha};
use git2::{AutotagOption, Cred, CredentialType, Direction, FetchOptions, Oid, PushOptions, RemoteCallbacks, RemoteRedirect, Repository};
use git2::{CertificateCheckStatus, cert::Cert};
use secrecy::ExposeSecret;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::PathBuf;

/// Talks with remotes through libgit2.
#[derive(Debug)]
pub struct Libgit2 {
    deadline: Deadline,
}

impl Libgit2 {
    /// A transport whose conversations end within `limits`.
    pub fn new(limits: Limits) -> Self {
        Self { deadline: Deadline::new(limits) }
    }

    fn run<T: Send + 'static>(&self, place: &Place, talk: impl FnOnce(&Talk<'_>) -> Result<T, GitError> + Send + 'static) -> Result<T, GitError> {
        let place = place.clone();
        if let Some(path) = place.remote.url.local_path().filter(|path| !path.is_dir()) {
            // libgit2 would take a missing directory for an unknown protocol.
            let message = format!("there is no directory {}", path.display());
            return Err(GitError::NoRepository { repository: place.remote.name, message });
        }
        self.deadline.run(&place.remote.name.clone(), move |pulse| {
            let repository = open_mirror(&place.path).map_err(|error| GitError::local(&place.remote.name, &error))?;
            talk(&Talk { repository, path: place.path, remote: place.remote, pulse, refused: RefCell::default() })
        })
    }
}

impl Default for Libgit2 {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Transport for Libgit2 {
    fn fetch(&self, place: &Place) -> Result<CommitSha, GitError> {
        self.run(place, |talk| talk.fetch_base())
    }

    fn fetch_branch(&self, place: &Place, branch: &BranchName) -> Result<Option<CommitSha>, GitError> {
        let branch = branch.clone();
        self.run(place, move |talk| talk.fetch_branch(&branch))
    }

    fn push(&self, place: &Place, updates: Vec<RefUpdate>) -> Result<PushReport, GitError> {
        self.run(place, move |talk| talk.push(&updates))
    }

    fn tip(&self, place: &Place, branch: &BranchName) -> Result<Option<CommitSha>, GitError> {
        let branch = branch.clone();
        self.run(place, move |talk| Ok(talk.advertised(Direction::Fetch)?.get(&branch.full_ref()).map(|id| CommitSha::from_bytes(id.as_bytes()))))
    }

    fn fetch_objects(&self, place: &Place, objects: &[Oid]) -> Result<(), GitError> {
        // This transport fetches whole: what is missing is damage.
        let message = format!("{} objects are missing", objects.len());
        Err(GitError::Corrupt { repository: place.remote.name.clone(), message })
    }
}

/// One conversation.
struct Talk<'p> {
    repository: Repository,
    path: PathBuf,
    remote: RemoteSpec,
    pulse: &'p Pulse,
    /// Why the credentials callback gave up, when it did; libgit2 would lose the reason.
    refused: RefCell<Option<GitError>>,
}

impl Talk<'_> {
    fn fetch_base(&self) -> Result<CommitSha, GitError> {
        let base = &self.remote.base;
        let tip = self.fetch(base, &base_ref(base))?;
        tip.ok_or_else(|| GitError::NoBranch { repository: self.remote.name.clone(), branch: base.clone() })
    }

    /// What a proposal's branch holds beside the base is little, so its history is fetched whole: a shallow one would mark
    /// the mirror as cut off, and a mirror cut off can push no more.
    fn fetch_branch(&self, branch: &BranchName) -> Result<Option<CommitSha>, GitError> {
        let reference = format!("{SEEN}{branch}");
        let tip = self.fetch(branch, &reference)?;
        if let Ok(mut seen) = self.repository.find_reference(&reference) {
            // Looked at once; the next fetch must not count on it.
            seen.delete().map_err(|error| GitError::local(&self.remote.name, &error))?;
        }
        Ok(tip)
    }

    /// Fetches a branch into a reference and tells its tip; none when the remote has no such branch.
    fn fetch(&self, branch: &BranchName, reference: &str) -> Result<Option<CommitSha>, GitError> {
        let mut remote = self.repository.remote_anonymous(self.remote.url.as_str()).map_err(|error| self.failed(&error))?;
        let mut connection = remote.connect_auth(Direction::Fetch, Some(self.callbacks()), None).map_err(|error| self.failed(&error))?;
        let heads = heads(&connection).map_err(|error| self.failed(&error))?;
        let Some(tip) = heads.get(&branch.full_ref()).copied() else { return Ok(None) };
        let known = self.repository.refname_to_id(reference).ok();
        if known.is_none() {
            make_way(&self.repository, reference).map_err(|error| GitError::local(&self.remote.name, &error))?;
        }
        let here = known == Some(tip);
        if !here || self.repository.find_commit(tip).is_err() {
            let mut options = FetchOptions::new();
            options.remote_callbacks(self.callbacks());
            options.download_tags(AutotagOption::None).update_fetchhead(false).follow_redirects(RemoteRedirect::None);
            let refspec = format!("+{}:{reference}", branch.full_ref());
            connection.remote().fetch(&[refspec.as_str()], Some(&mut options), None).map_err(|error| self.failed(&error))?;
        }
        Ok(Some(CommitSha::from_bytes(tip.as_bytes())))
    }

    fn push(&self, updates: &[RefUpdate]) -> Result<PushReport, GitError> {
        // What is read of our commits stays in memory; only a fetch writes to the mirror.
        let repository = open_in_memory(&self.path).map_err(|error| GitError::local(&self.remote.name, &error))?;
        let mut remote = repository.remote_anonymous(self.remote.url.as_str()).map_err(|error| self.failed(&error))?;
        let mut connection = remote.connect_auth(Direction::Push, Some(self.callbacks()), None).map_err(|error| self.failed(&error))?;
        let heads = heads(&connection).map_err(|error| self.failed(&error))?;
        self.know_the_base(updates, &heads)?;
        // The server compares each branch with what it told us here, so nothing can slip in between.
        let mut results: Vec<Option<Result<Pushed, GitError>>> = updates.iter().map(|update| self.settled(&repository, update, &heads)).collect();
        let refspecs: Vec<String> = updates.iter().zip(&results).filter(|(_, result)| result.is_none()).map(|(update, _)| refspec(update)).collect();
        let (statuses, said) = (RefCell::new(HashMap::new()), RefCell::new(String::new()));
        if !refspecs.is_empty() {
            let mut callbacks = self.callbacks();
            callbacks.push_update_reference(|reference, status| {
                statuses.borrow_mut().insert(reference.to_owned(), status.map(str::to_owned));
                Ok(())
            });
            callbacks.sideband_progress(|bytes| {
                let mut said = said.borrow_mut();
                if said.len() < 2048 {
                    said.push_str(&String::from_utf8_lossy(bytes));
                }
                self.pulse.beat()
            });
            let mut options = PushOptions::new();
            options.remote_callbacks(callbacks).packbuilder_parallelism(1).follow_redirects(RemoteRedirect::None);
            connection.remote().push(&refspecs, Some(&mut options)).map_err(|error| self.failed(&error))?;
        }
        for (update, result) in updates.iter().zip(&mut results) {
            if result.is_none() {
                *result = Some(self.judge(update, statuses.borrow().get(&update.branch.full_ref()), &said.borrow()));
            }
        }
        let base = heads.get(&self.remote.base.full_ref()).map(|id| CommitSha::from_bytes(id.as_bytes()));
        Ok(PushReport { results: results.into_iter().flatten().collect(), base })
    }

    /// What the remote's branches hold is left out of a push, as far as the mirror knows it. A base that moved since it was fetched is
    /// fetched first, or the whole history would be sent.
    fn know_the_base(&self, updates: &[RefUpdate], heads: &HashMap<String, Oid>) -> Result<(), GitError> {
        let moved = heads.get(&self.remote.base.full_ref()).is_some_and(|tip| self.repository.find_commit(*tip).is_err());
        if moved && updates.iter().any(|update| update.commit.is_some()) {
            self.fetch_base()?;
        }
        Ok(())
    }

    /// The result that needs no push: it is there already, or it is not where it was expected.
    fn settled(&self, repository: &Repository, update: &RefUpdate, heads: &HashMap<String, Oid>) -> Option<Result<Pushed, GitError>> {
        let found = heads.get(&update.branch.full_ref()).map(|id| CommitSha::from_bytes(id.as_bytes()));
        if found == update.commit {
            return Some(Ok(Pushed::AlreadyThere));
        }
        let as_expected = match &update.expected {
            Expected::Any => true,
            Expected::Absent => found.is_none(),
            Expected::At(commit) => found.as_ref() == Some(commit),
        };
        if !as_expected {
            return Some(Err(GitError::Moved { repository: self.remote.name.clone(), branch: update.branch.clone(), found }));
        }
        let commit = update.commit.as_ref()?;
        match Proposals::of(&self.remote.name, &self.path).load(repository, commit) {
            Ok(Some(_)) => None,
            Ok(None) => Some(Err(GitError::NoCommit { repository: self.remote.name.clone(), commit: commit.clone() })),
            Err(error) => Some(Err(error)),
        }
    }

    /// What the server's word about one branch means. `said` is what its hooks printed.
    fn judge(&self, update: &RefUpdate, status: Option<&Option<String>>, said: &str) -> Result<Pushed, GitError> {
        let (repository, branch) = (self.remote.name.clone(), update.branch.clone());
        match status {
            Some(None) => Ok(Pushed::Updated),
            Some(Some(status)) => {
                if RACED.iter().any(|word| status.contains(word)) {
                    return Err(GitError::Moved { repository, branch, found: None });
                }
                Err(GitError::Rejected { repository, branch, message: plain(&format!("{status} {said}"), 600) })
            }
            None => Err(GitError::Network { repository, message: format!("the server told nothing of {branch}") }),
        }
    }

    fn advertised(&self, direction: Direction) -> Result<HashMap<String, Oid>, GitError> {
        let mut remote = self.repository.remote_anonymous(self.remote.url.as_str()).map_err(|error| self.failed(&error))?;
        let connection = remote.connect_auth(direction, Some(self.callbacks()), None).map_err(|error| self.failed(&error))?;
        heads(&connection).map_err(|error| self.failed(&error))
    }

    fn callbacks(&self) -> RemoteCallbacks<'_> {
        let mut callbacks = RemoteCallbacks::new();
        let asked = Cell::new(false);
        callbacks.credentials(move |url, _, allowed| self.credentials(url, allowed, asked.replace(true)));
        callbacks.transfer_progress(|_| self.pulse.beat());
        callbacks.push_transfer_progress(|_, _, _| {
            self.pulse.beat();
        });
        callbacks.pack_progress(|_, _, _| {
            self.pulse.beat();
        });
        callbacks.sideband_progress(|_| self.pulse.beat());
        if self.remote.ssh.is_some() {
            callbacks.certificate_check(|shown, _| self.recognise(shown));
        }
        callbacks
    }

    /// Holds the key the host shows against the repository's known hosts; whatever libgit2 found in the file of whoever runs
    /// this process does not count.
    fn recognise(&self, shown: &Cert<'_>) -> Result<CertificateCheckStatus, git2::Error> {
        let (Some(access), Some(place), Some(key)) = (&self.remote.ssh, self.remote.url.ssh(), shown.as_hostkey()) else {
            return Ok(CertificateCheckStatus::CertificatePassthrough);
        };
        let refuse = |message: String| {
            let error = git2::Error::new(git2::ErrorCode::Certificate, git2::ErrorClass::Ssh, &message);
            *self.refused.borrow_mut() = Some(GitError::Untrusted { repository: self.remote.name.clone(), message });
            error
        };
        let known = access.known_hosts().map_err(|message| refuse(format!("there are no known hosts: {}", plain(&message, 200))))?;
        let kind = key.hostkey_type().map_or("unknown", |kind| kind.name());
        let host = format!("{} shows a key of type {kind}", place.host);
        match known_hosts::judge(&known, &place.host, place.port, key.hostkey().unwrap_or_default()) {
            Verdict::Known => Ok(CertificateCheckStatus::CertificateOk),
            Verdict::Revoked => Err(refuse(format!("{host} that is marked as revoked"))),
            Verdict::Unknown(others) if others.is_empty() => Err(refuse(format!("{host}, and the known hosts name no key of it"))),
            Verdict::Unknown(others) => Err(refuse(format!("{host}, and the known hosts name others, of type {}", others.join(", ")))),
        }
    }

    /// Answers the server's demand for credentials.
    fn credentials(&self, url: &str, allowed: CredentialType, again: bool) -> Result<Cred, git2::Error> {
        let refuse = |message: &str| {
            *self.refused.borrow_mut() = Some(GitError::Unauthorised { repository: self.remote.name.clone(), message: message.to_owned() });
            git2::Error::new(git2::ErrorCode::Auth, git2::ErrorClass::Http, message)
        };
        if let Some(place) = self.remote.url.ssh() {
            return match (allowed.contains(CredentialType::USERNAME), &self.remote.ssh, again) {
                (true, ..) => Cred::username(&place.user),
                (false, None, false) => Cred::ssh_key_from_agent(&place.user),
                (false, None, true) => Err(refuse("the server accepts no key of the ssh agent")),
                (false, Some(_), true) => Err(refuse("the server does not accept the key")),
                (false, Some(access), false) => {
                    let key = access.key().map_err(|message| refuse(&format!("there is no key: {}", plain(&message, 200))))?;
                    Cred::ssh_key_from_memory(&place.user, None, key.expose_secret(), None)
                }
            };
        }
        let Some(credentials) = &self.remote.credentials else {
            return Err(refuse("it asks for credentials, and the repository's resource names none"));
        };
        if again {
            return Err(refuse("it does not accept the credentials"));
        }
        if !self.remote.url.same_origin(url) {
            return Err(refuse("another host asked for the credentials; they were not sent"));
        }
        if !allowed.contains(CredentialType::USER_PASS_PLAINTEXT) {
            return Err(refuse("it accepts no user name and token"));
        }
        let token = credentials.token().map_err(|message| refuse(&format!("there is no token: {}", plain(&message, 200))))?;
        Cred::userpass_plaintext(credentials.username(), token.expose_secret())
    }

    /// Reads a failure of this conversation.
    fn failed(&self, error: &git2::Error) -> GitError {
        self.refused.borrow_mut().take().unwrap_or_else(|| GitError::remote(&self.remote.name, error))
    }
}

/// What the server says it has: full reference names and where they are.
fn heads(connection: &git2::RemoteConnection<'_, '_, '_>) -> Result<HashMap<String, Oid>, git2::Error> {
    Ok(connection.list()?.iter().map(|head| (head.name().to_owned(), head.oid())).collect())
}

fn refspec(update: &RefUpdate) -> String {
    let source = update.commit.as_ref().map_or("", CommitSha::as_str);
    let force = if update.commit.is_some() { "+" } else { "" };
    format!("{force}{source}:{}", update.branch.full_ref())
}
