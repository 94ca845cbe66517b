//! Who we are at one GitHub: a token, or an App with its installations. Everyone who uses the same account shares its
//! connections, its tokens and its rate budget.

use super::SecretSource;
use super::app::{App, Installation};
use super::budget::{Budget, CORE, Limited};
use super::transport::Transport;
use super::wire::WireUser;
use crate::clock::Clock;
use crate::forge::{AccountReport, ForgeError, Priority};
use crate::inventory::AppId;
use crate::types::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What an account is made of.
pub struct AccountSettings {
    /// The API's address: `https://api.github.com`, or `https://<host>/api/v3` for GitHub Enterprise Server.
    pub api: String,
    /// Who we are.
    pub identity: Identity,
    /// How long one call may take in all.
    pub timeout: Duration,
    /// The least time between two calls that people are notified of.
    pub pause: Duration,
}

/// How we show who we are.
pub enum Identity {
    /// With a token, fine-grained or classic.
    Token {
        /// The secret's name, for people.
        name: String,
        /// Where it comes from.
        token: SecretSource,
    },
    /// As a GitHub App.
    App {
        /// Its id.
        id: AppId,
        /// Where its private key comes from.
        key: SecretSource,
        /// Its installation; without it, the one at each repository.
        installation: Option<u64>,
    },
}

/// One account at one GitHub.
pub struct Account {
    api: String,
    pub(super) transport: Arc<Transport>,
    who: Who,
    /// Whose acts ours are, once GitHub was asked.
    pub(super) myself: OnceLock<Myself>,
}

/// Whose acts ours are at a GitHub: the user a token is of, or an App's bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Myself {
    /// The login.
    pub login: String,
    /// The user's number, which stays when the login changes; of an App's bot it is not known.
    pub id: Option<u64>,
}

impl Myself {
    /// Whether a user, as GitHub writes one into events, is this one.
    pub fn is(&self, user: &Value) -> bool {
        let told = (user.get("id").and_then(Value::as_u64), user.get("login").and_then(Value::as_str));
        match (self.id, told) {
            (Some(known), (Some(told), _)) => known == told,
            (_, (_, login)) => login.is_some_and(|login| login.eq_ignore_ascii_case(&self.login)),
        }
    }
}

impl From<WireUser> for Myself {
    fn from(user: WireUser) -> Self {
        Self { login: user.login, id: user.id }
    }
}

enum Who {
    Token { token: SecretSource, budget: Budget },
    App(Box<App>),
}

/// Who we are at one repository.
pub(super) enum Access<'a> {
    Token(&'a SecretSource, &'a Budget),
    Installation(&'a App, Arc<Installation>),
}

impl Account {
    /// An account; nothing is called yet. It must be made within a tokio runtime.
    ///
    /// # Errors
    /// [`ForgeError::Setup`] when the address is none, or the machine has no trusted certificates.
    pub fn new(settings: AccountSettings, clock: Arc<dyn Clock>) -> Result<Self, ForgeError> {
        let AccountSettings { api, identity, timeout, pause } = settings;
        let transport = Transport::new(&api, timeout).map_err(|message| ForgeError::Setup { forge: format!("GitHub at {api}"), message })?;
        let transport = Arc::new(transport);
        let who = match identity {
            Identity::Token { name, token } => Who::Token { token, budget: Budget::new(format!("token {name}"), clock, pause) },
            Identity::App { id, key, installation } => Who::App(Box::new(App::new(id, key, installation, Arc::clone(&transport), clock, pause))),
        };
        Ok(Self { api, transport, who, myself: OnceLock::new() })
    }

    /// Whether it is an App, which alone may write check runs.
    pub(super) fn is_app(&self) -> bool {
        matches!(self.who, Who::App(_))
    }

    /// The App, where it is one.
    pub(super) fn app(&self) -> Option<&App> {
        match &self.who {
            Who::Token { .. } => None,
            Who::App(app) => Some(app),
        }
    }

    /// Who we are at a repository, `owner/name`.
    pub(super) async fn access(&self, forge: &str, slug: &str, priority: Priority) -> Result<Access<'_>, ForgeError> {
        match &self.who {
            Who::Token { token, budget } => Ok(Access::Token(token, budget)),
            Who::App(app) => Ok(Access::Installation(app, app.installation(forge, slug, priority).await?)),
        }
    }

    /// Whether a call of this priority about a repository may be made now; it asks nobody.
    ///
    /// # Errors
    /// [`ForgeError::Limited`] with the time that is left.
    pub fn check(&self, forge: &str, slug: &str, priority: Priority) -> Result<(), ForgeError> {
        let held = |limited: Limited| limited.of(forge);
        match &self.who {
            Who::Token { budget, .. } => budget.check(CORE, priority).map_err(held),
            Who::App(app) => match app.installation_known(slug) {
                Some(installation) => installation.budget.check(CORE, priority).map_err(held),
                None => app.budget().check(CORE, priority).map_err(held),
            },
        }
    }

    /// Has every delivery to an App's webhook that was not taken since a moment sent again, each once; tells how many. With a token
    /// there is no such thing.
    ///
    /// # Errors
    /// What GitHub gives.
    pub async fn redeliver(&self, since: Timestamp) -> Result<u64, ForgeError> {
        match &self.who {
            Who::Token { .. } => Ok(0),
            Who::App(app) => app.redeliver(since).await,
        }
    }

    /// The token that opens a repository over HTTPS: what git shows.
    ///
    /// # Errors
    /// When there is none, or GitHub cannot be asked for one.
    pub async fn git_token(&self, forge: &str, slug: &str) -> Result<SecretString, ForgeError> {
        // Git waits for it in the middle of a conversation.
        self.access(forge, slug, Priority::Alert).await?.token(forge, Priority::Alert).await
    }

    /// Git was refused with the token: the next one who asks gets a new one, where we can make one.
    pub async fn git_refused(&self, slug: &str) {
        if let Who::App(app) = &self.who {
            app.refused_anywhere(slug).await;
        }
    }

    /// The name of the budget that calls about a repository come from, as far as it is known without asking.
    pub(super) fn budget_name(&self, slug: &str) -> Option<String> {
        match &self.who {
            Who::Token { budget, .. } => Some(budget.name().to_owned()),
            Who::App(app) => app.installation_known(slug).map(|installation| installation.budget.name().to_owned()),
        }
    }

    /// How its budgets stand: one for a token; for an App its own and one for each installation seen.
    pub fn reports(&self) -> Vec<AccountReport> {
        match &self.who {
            Who::Token { budget, .. } => vec![budget.report(&self.api)],
            Who::App(app) => {
                let own = std::iter::once(app.budget().report(&self.api));
                own.chain(app.installations().iter().map(|installation| installation.budget.report(&self.api))).collect()
            }
        }
    }
}

impl Access<'_> {
    pub(super) fn budget(&self) -> &Budget {
        match self {
            Self::Token(_, budget) => budget,
            Self::Installation(_, installation) => &installation.budget,
        }
    }

    pub(super) async fn token(&self, forge: &str, priority: Priority) -> Result<SecretString, ForgeError> {
        match self {
            Self::Token(token, _) => {
                token().map_err(|message| ForgeError::Setup { forge: forge.to_owned(), message: format!("there is no token: {message}") })
            }
            Self::Installation(app, installation) => app.token(forge, installation, priority).await,
        }
    }

    /// GitHub did not take the token; tells whether another one can be had.
    pub(super) async fn refused(&self, token: &SecretString) -> bool {
        match self {
            Self::Token(..) => false,
            Self::Installation(app, installation) => {
                app.refused(installation, token).await;
                true
            }
        }
    }
}

impl Limited {
    pub(super) fn of(self, forge: &str) -> ForgeError {
        ForgeError::Limited { forge: forge.to_owned(), retry_after: Some(self.wait), message: self.message }
    }
}
