//! A repository as the git adapter needs it, and how one may enter: credentials are asked for at use.
//! A token is never printed.

use crate::types::{BranchName, RemoteUrl, RepositoryName};
use secrecy::SecretString;
use std::{fmt, sync::Arc};

/// A user name and a way to the token of the moment. The token is asked for at each use, so that it may rotate.
#[derive(Clone)]
pub struct Credentials {
    username: String,
    token: Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>,
}

impl Credentials {
    /// Credentials for HTTPS: the user name (GitHub takes any; `x-access-token` by custom) and where the token comes from.
    /// The closure's error is shown to people and must hold no secret.
    pub fn new(username: impl Into<String>, token: impl Fn() -> Result<SecretString, String> + Send + Sync + 'static) -> Self {
        Self { username: username.into(), token: Arc::new(token) }
    }

    pub(super) fn username(&self) -> &str {
        &self.username
    }

    pub(super) fn token(&self) -> Result<SecretString, String> {
        (self.token)()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// One repository as the git adapter needs it.
#[derive(Debug, Clone)]
pub struct RemoteSpec {
    /// Its name: the mirror's directory and the word in messages.
    pub name: RepositoryName,
    /// Where it lives.
    pub url: RemoteUrl,
    /// The branch changes are made for.
    pub base: BranchName,
    /// How to enter; none for a public or local repository. Used for `https://` and `http://` only.
    pub credentials: Option<Credentials>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_token() {
        let credentials = Credentials::new("bot", || Ok(SecretString::from("hunter2")));
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
