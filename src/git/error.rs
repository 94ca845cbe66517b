//! What can go wrong between a mirror and its remote, in words a person can act on.
//! It names the repository and the next step; it never holds a secret.

use crate::types::{BranchName, CommitSha, ErrorClass, RepositoryName, SecretName};

/// Why a git operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// The remote wants other credentials, or these may not do this.
    #[error("repository {repository}: the remote refuses access ({message}); check that the token is current and may read and write the repository")]
    Unauthorised {
        /// The repository.
        repository: RepositoryName,
        /// The remote's words.
        message: String,
    },
    /// The remote's certificate or host key is not trusted.
    #[error(
        "repository {repository}: the remote's identity cannot be verified ({message}); add its authority to the trusted certificates, or its key to the repository's known hosts"
    )]
    Untrusted {
        /// The repository.
        repository: RepositoryName,
        /// What did not fit.
        message: String,
    },
    /// There is no such repository, or the credentials may not see it.
    #[error(
        "repository {repository}: the remote has no such repository, or hides it ({message}); check its address (`spec.url`) and, over a network, the token's rights"
    )]
    NoRepository {
        /// The repository.
        repository: RepositoryName,
        /// The remote's words.
        message: String,
    },
    /// The remote sends everybody to another address. None is followed: it may be anybody's.
    #[error(
        "repository {repository}: the remote sends us to another address ({message}); if the repository was renamed or moved, put its new address into its resource (`spec.url`)"
    )]
    Elsewhere {
        /// The repository.
        repository: RepositoryName,
        /// The remote's words.
        message: String,
    },
    /// The branch does not exist at the remote.
    #[error("repository {repository}: the remote has no branch {branch}; create it or name another one")]
    NoBranch {
        /// The repository.
        repository: RepositoryName,
        /// The branch.
        branch: BranchName,
    },
    /// The mirror does not hold this commit: fetch, or make it again.
    #[error("repository {repository}: the mirror does not hold commit {commit}; it is fetched or made again")]
    NoCommit {
        /// The repository.
        repository: RepositoryName,
        /// The commit.
        commit: CommitSha,
    },
    /// The remote is away or broken for now.
    #[error("repository {repository}: the remote cannot be reached ({message}); it is tried again")]
    Network {
        /// The repository.
        repository: RepositoryName,
        /// What was seen.
        message: String,
    },
    /// The remote did not answer in time.
    #[error("repository {repository}: the remote did not answer in time ({message}); it is tried again")]
    Timeout {
        /// The repository.
        repository: RepositoryName,
        /// What was waited for.
        message: String,
    },
    /// The remote's branch is not where it was expected.
    #[error("repository {repository}: branch {branch} is {} at the remote, which was not expected; look at it again", found.as_ref().map_or("absent or elsewhere", CommitSha::as_str))]
    Moved {
        /// The repository.
        repository: RepositoryName,
        /// The branch.
        branch: BranchName,
        /// Where it is; none when it is absent or the server did not say.
        found: Option<CommitSha>,
    },
    /// The server says no: a hook, a protected branch, a rule.
    #[error("repository {repository}: the server refused branch {branch}: {message}; change the server's rule or the request")]
    Rejected {
        /// The repository.
        repository: RepositoryName,
        /// The branch.
        branch: BranchName,
        /// The server's words.
        message: String,
    },
    /// The mirror is damaged; the next fetch builds it anew.
    #[error("repository {repository}: the mirror is damaged ({message}); the next fetch builds it anew")]
    Corrupt {
        /// The repository.
        repository: RepositoryName,
        /// What was found.
        message: String,
    },
    /// The disk or the file system refuses.
    #[error("repository {repository}: the mirror cannot be written or read ({message}); check free space and permissions of the data directory")]
    Storage {
        /// The repository.
        repository: RepositoryName,
        /// The system's words.
        message: String,
    },
    /// The git program of the machine is missing, too old, or cannot be run.
    #[error("repository {repository}: {message}; or choose `git: {{ transport: libgit2 }}` for the repository")]
    Program {
        /// The repository.
        repository: RepositoryName,
        /// What is wrong and what to install.
        message: String,
    },
    /// A path of the change is not a file in the base; validation should have said so.
    #[error("repository {repository}: {path} cannot be written: {message}")]
    Path {
        /// The repository.
        repository: RepositoryName,
        /// The path.
        path: String,
        /// What stands in the way.
        message: String,
    },
    /// The commit cannot be signed with the key there is.
    #[error("repository {repository}: the commit cannot be signed with the secret {secret}: {message}; then retry")]
    Signing {
        /// The repository.
        repository: RepositoryName,
        /// The secret that was to sign.
        secret: SecretName,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// Ours: should not happen.
    #[error("repository {repository}: an unexpected git error: {message}; please report it")]
    Bug {
        /// The repository.
        repository: RepositoryName,
        /// What happened.
        message: String,
    },
}

impl GitError {
    /// How it is to be treated.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Untrusted { .. } | Self::NoBranch { .. } | Self::Rejected { .. } | Self::Signing { .. } => ErrorClass::Permanent,
            // A token that is being rotated and a disk that is being mounted look like this: whoever mends it in time loses nothing.
            Self::Unauthorised { .. }
            | Self::NoRepository { .. }
            | Self::Elsewhere { .. }
            | Self::NoCommit { .. }
            | Self::Network { .. }
            | Self::Timeout { .. }
            | Self::Moved { .. }
            | Self::Corrupt { .. }
            | Self::Program { .. }
            | Self::Storage { .. } => ErrorClass::Transient,
            Self::Path { .. } | Self::Bug { .. } => ErrorClass::Bug,
        }
    }

    /// Reads what libgit2 said while it worked on the mirror.
    pub(super) fn local(repository: &RepositoryName, error: &git2::Error) -> Self {
        use git2::{ErrorClass as Class, ErrorCode as Code};
        let (repository, message) = (repository.clone(), words(error));
        match (error.class(), error.code()) {
            (Class::Os | Class::Filesystem | Class::NoMemory, _) | (_, Code::Locked | Code::Owner) => Self::Storage { repository, message },
            (
                Class::Odb
                | Class::Object
                | Class::Reference
                | Class::Zlib
                | Class::Indexer
                | Class::Tree
                | Class::Sha1
                | Class::Repository
                | Class::Config,
                _,
            )
            | (_, Code::NotFound | Code::HashsumMismatch) => Self::Corrupt { repository, message },
            _ => Self::Bug { repository, message },
        }
    }

    /// Reads what libgit2 said while it spoke with the remote. It keeps an HTTP status only in the message's text.
    pub(super) fn remote(repository: &RepositoryName, error: &git2::Error) -> Self {
        use git2::{ErrorClass as Class, ErrorCode as Code};
        let (owned, message) = (repository.clone(), words(error));
        let status = message.rsplit_once("status code: ").and_then(|(_, code)| code.trim().parse::<u16>().ok());
        match (error.class(), error.code(), status) {
            (_, Code::Certificate, _) => Self::Untrusted { repository: owned, message },
            (_, Code::Auth, _) | (_, _, Some(401 | 403)) => Self::Unauthorised { repository: owned, message },
            (_, _, Some(404 | 410)) => Self::NoRepository { repository: owned, message },
            (_, _, Some(301..=308)) => Self::Elsewhere { repository: owned, message },
            (Class::Http | Class::Net, _, None) if message.contains("redirect") => Self::Elsewhere { repository: owned, message },
            (_, Code::Timeout, _) => Self::Timeout { repository: owned, message },
            (_, Code::Eof, _) | (Class::Net | Class::Http | Class::Ssl | Class::Ssh | Class::Callback, ..) => {
                Self::Network { repository: owned, message }
            }
            (Class::Os, ..) if message.contains("connect") || message.contains("resolve address") => Self::Network { repository: owned, message },
            (Class::Repository, ..) if message.contains("could not find repository") => Self::NoRepository { repository: owned, message },
            (Class::Repository, Code::NotFound, _) => Self::NoRepository { repository: owned, message },
            _ => Self::local(repository, error),
        }
    }

    pub(super) fn storage(repository: &RepositoryName, error: &std::io::Error) -> Self {
        Self::Storage { repository: repository.clone(), message: error.to_string() }
    }
}

/// libgit2's message on one line, bounded.
fn words(error: &git2::Error) -> String {
    plain(error.message(), 400)
}

/// Text from outside, fit for one line of a message.
pub(super) fn plain(text: &str, limit: usize) -> String {
    let joined = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    joined.chars().take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use git2::{ErrorClass as Class, ErrorCode as Code};

    #[test]
    fn what_the_remote_says_is_sorted_into_wait_and_do_not_wait() {
        let name: RepositoryName = "gitops".parse().expect("a name");
        let class = |class, code, message: &str| GitError::remote(&name, &git2::Error::new(code, class, message)).class();
        for status in [401, 403, 404, 429, 500, 502, 503] {
            assert_eq!(class(Class::Http, Code::GenericError, &format!("unexpected http status code: {status}")), ErrorClass::Transient);
        }
        assert_eq!(class(Class::Os, Code::GenericError, "failed to connect to 127.0.0.1: Connection refused"), ErrorClass::Transient);
        assert_eq!(class(Class::Ssl, Code::Certificate, "the SSL certificate is invalid"), ErrorClass::Permanent);
        assert_eq!(class(Class::Zlib, Code::GenericError, "error inflating zlib stream"), ErrorClass::Transient);
    }
}
