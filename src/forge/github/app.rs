//! A GitHub App: signs for itself, finds its installation at a repository, and keeps one token per installation, minted once
//! for all who ask and renewed ahead of its end. Key and tokens are never printed. GitHub's clock counts, not ours.
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app>

use super::account::Myself;
use super::budget::{Budget, CORE, Kind};
use super::transport::{Answer, Ask, Transport};
use super::wire::{WireApp, WireError, WireInstallation, WireToken};
use super::{SecretSource, judge};
use crate::clock::Clock;
use crate::forge::{ForgeError, Priority};
use crate::inventory::AppId;
use crate::types::Timestamp;
use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long before its end a token is renewed.
const AHEAD: Duration = Duration::from_secs(5 * 60);
/// A token that cannot be renewed is used until so long before its end.
const LAST_USE: Duration = Duration::from_secs(30);
/// A signature is dated back, and ends before the ten minutes that GitHub allows, because clocks differ.
const BACK: i64 = 60;
const LASTS: i64 = 9 * 60;

/// One App.
pub(super) struct App {
    id: AppId,
    key: SecretSource,
    transport: Arc<Transport>,
    clock: Arc<dyn Clock>,
    pause: Duration,
    budget: Budget,
    /// GitHub's clock less ours, in milliseconds, as far as it mattered.
    skew: AtomicI64,
    /// The installation that is configured, for every repository.
    fixed: Option<u64>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    installations: BTreeMap<u64, Arc<Installation>>,
    /// Which one a repository has, where GitHub was asked.
    of: BTreeMap<String, u64>,
}

/// One installation of an App: who we are at its repositories.
pub(super) struct Installation {
    id: u64,
    pub(super) budget: Budget,
    /// Held while a token is minted: whoever comes meanwhile gets the same.
    minted: tokio::sync::Mutex<Option<Minted>>,
}

#[derive(Clone)]
struct Minted {
    token: SecretString,
    /// From when on it is renewed, by our clock.
    renew: Timestamp,
    /// Its end, by our clock.
    until: Timestamp,
    /// Whether it may not write the repositories' contents, as far as GitHub told.
    reads: bool,
}

impl App {
    pub(super) fn new(id: AppId, key: SecretSource, fixed: Option<u64>, transport: Arc<Transport>, clock: Arc<dyn Clock>, pause: Duration) -> Self {
        let budget = Budget::new(format!("app {id}"), Arc::clone(&clock), pause);
        Self { id, key, transport, clock, pause, budget, skew: AtomicI64::new(0), fixed, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The budgets of the App and of every installation seen.
    pub(super) fn installations(&self) -> Vec<Arc<Installation>> {
        self.known().installations.values().cloned().collect()
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    fn numbered(&self, id: u64) -> Arc<Installation> {
        let made = || {
            let budget = Budget::new(format!("app {}, installation {id}", self.id), Arc::clone(&self.clock), self.pause);
            Arc::new(Installation { id, budget, minted: tokio::sync::Mutex::default() })
        };
        Arc::clone(self.known().installations.entry(id).or_insert_with(made))
    }

    /// The installation at a repository where that is known without asking.
    pub(super) fn installation_known(&self, slug: &str) -> Option<Arc<Installation>> {
        let id = self.fixed.or_else(|| self.known().of.get(slug).copied())?;
        Some(self.numbered(id))
    }

    /// The installation at a repository, `owner/name`.
    ///
    /// # Errors
    /// When the App is not installed there, or GitHub cannot be asked.
    pub(super) async fn installation(&self, forge: &str, slug: &str, priority: Priority) -> Result<Arc<Installation>, ForgeError> {
        if let Some(known) = self.installation_known(slug) {
            return Ok(known);
        }
        let answer = self.call(forge, Method::GET, &format!("/repos/{slug}/installation"), None, priority).await?;
        let found: WireInstallation = super::read(forge, &answer.text)?;
        self.known().of.insert(slug.to_owned(), found.id);
        Ok(self.numbered(found.id))
    }

    /// The installation's token: the one that is there, or a new one. When a new one cannot be had, the old one is used to its end.
    ///
    /// # Errors
    /// When there is none and none can be had.
    pub(super) async fn token(&self, forge: &str, installation: &Installation, priority: Priority) -> Result<SecretString, ForgeError> {
        let mut minted = installation.minted.lock().await;
        let now = self.clock.now();
        let standing = minted.clone().filter(|minted| now.plus(LAST_USE) < minted.until);
        if let Some(fresh) = standing.as_ref().filter(|minted| now < minted.renew) {
            return Ok(fresh.token.clone());
        }
        match self.mint(forge, installation.id, priority).await {
            Ok(new) => {
                let token = new.token.clone();
                *minted = Some(new);
                Ok(token)
            }
            Err(error) => match standing {
                Some(old) => {
                    tracing::warn!(%error, "the installation's token could not be renewed yet; the one there is still good");
                    Ok(old.token)
                }
                None => Err(error),
            },
        }
    }

    /// Drops a token that GitHub did not take, so that the next one who asks gets a new one. What came after it stays.
    pub(super) async fn refused(&self, installation: &Installation, token: &SecretString) {
        let mut minted = installation.minted.lock().await;
        if minted.as_ref().is_some_and(|minted| minted.token.expose_secret() == token.expose_secret()) {
            *minted = None;
        }
    }

    /// Drops whatever token a repository's installation has.
    pub(super) async fn refused_anywhere(&self, slug: &str) {
        if let Some(installation) = self.installation_known(slug) {
            *installation.minted.lock().await = None;
        }
    }

    /// Whether the installation's token, if there is one, may write no contents.
    pub(super) async fn writes_nothing(&self, installation: &Installation) -> bool {
        installation.minted.lock().await.as_ref().is_some_and(|minted| minted.reads)
    }

    /// Whose acts the App's are, as GitHub tells it.
    ///
    /// # Errors
    /// What GitHub gives.
    pub(super) async fn myself(&self, priority: Priority) -> Result<Myself, ForgeError> {
        let forge = self.title();
        let found: WireApp = super::read(&forge, &self.call(&forge, Method::GET, "/app", None, priority).await?.text)?;
        Ok(Myself { login: format!("{}[bot]", found.slug), id: None })
    }

    /// What people know it by.
    pub(super) fn title(&self) -> String {
        format!("GitHub App {}", self.id)
    }

    async fn mint(&self, forge: &str, installation: u64, priority: Priority) -> Result<Minted, ForgeError> {
        let route = format!("/app/installations/{installation}/access_tokens");
        let answer = match self.call(forge, Method::POST, &route, Some(json!({})), priority).await {
            Err(ForgeError::NotFound { .. }) if self.fixed.is_none() => {
                // Uninstalled, perhaps installed anew since: the next attempt asks which one it is now.
                self.known().of.retain(|_, known| *known != installation);
                let message = format!("GitHub App {} has no installation {installation} any more", self.id);
                return Err(ForgeError::Unreachable { forge: forge.to_owned(), message });
            }
            answer => answer?,
        };
        let now = self.clock.now();
        let wire: WireToken = super::read(forge, &answer.text)?;
        let lasts = wire.expires_at.since(answer.date().unwrap_or(now));
        tracing::debug!(installation, seconds = lasts.as_secs(), "a token of the GitHub App was minted");
        let renew = now.plus(lasts.saturating_sub(AHEAD.min(lasts / 2)));
        let reads = wire.permissions.is_some_and(|rights| rights.contents.as_deref() != Some("write"));
        Ok(Minted { token: wire.token.into(), renew, until: now.plus(lasts), reads })
    }

    /// Calls GitHub as the App itself. A signature that is refused for its time is made once more by GitHub's clock.
    pub(super) async fn call(&self, forge: &str, method: Method, route: &str, body: Option<Value>, priority: Priority) -> Result<Answer, ForgeError> {
        let (mut corrected, mut route) = (false, route.to_owned());
        for _ in 0..4 {
            let limited = |limited: super::budget::Limited| limited.of(forge);
            let _turn = self.budget.admit(CORE, if method == Method::GET { Kind::Read } else { Kind::Write }, priority).await.map_err(limited)?;
            let proof = self.signature(forge)?;
            let ask = Ask { method: method.clone(), route: &route, body: body.as_ref(), known: None };
            let answer = self.transport.exchange(ask, &proof).await.map_err(|lost| {
                self.budget.lost();
                lost.of(forge)
            })?;
            if let Some(wait) = self.budget.learn(CORE, &answer) {
                return Err(ForgeError::Limited { forge: forge.to_owned(), retry_after: Some(wait), message: WireError::read(&answer.text).words() });
            }
            match answer.status.as_u16() {
                200..=299 => return Ok(answer),
                // A repository that was renamed.
                301 | 302 | 307 | 308 if let Some(next) = answer.header("location").and_then(|location| self.transport.route_of(location)) => {
                    route = next;
                }
                401 if !corrected && self.correct(&answer) => corrected = true,
                _ => return Err(self.explained(judge(forge, &answer))),
            }
        }
        Err(ForgeError::Unreachable { forge: forge.to_owned(), message: "it leads round in a circle".to_owned() })
    }

    /// Path and query of an address at the same GitHub.
    pub(super) fn route_of(&self, address: &str) -> Option<String> {
        self.transport.route_of(address)
    }

    /// Whether the signature was refused for its time, and GitHub said what time it is.
    fn correct(&self, answer: &Answer) -> bool {
        let words = WireError::read(&answer.text).words().to_ascii_lowercase();
        let about_time = ["iat", "exp", "issued at", "expiration"].iter().any(|part| words.contains(part));
        let Some(theirs) = answer.date().filter(|_| about_time) else { return false };
        let skew = theirs.unix_millis() - self.clock.now().unix_millis();
        self.skew.store(skew, Ordering::Relaxed);
        tracing::warn!(seconds = skew / 1000, "this machine's clock differs from GitHub's; GitHub's is used to sign");
        true
    }

    /// A signature of the App (RFC 7519, RS256).
    fn signature(&self, forge: &str) -> Result<SecretString, ForgeError> {
        let setup = |message: String| ForgeError::Setup { forge: forge.to_owned(), message };
        let key = (self.key)().map_err(|message| setup(format!("there is no private key: {message}")))?;
        // What the library says of a broken key is not repeated.
        let key = EncodingKey::from_rsa_pem(key.expose_secret().as_bytes())
            .map_err(|_| setup(format!("the private key of GitHub App {} is no RSA key in PEM; take the file GitHub gave", self.id)))?;
        let now = (self.clock.now().unix_millis() + self.skew.load(Ordering::Relaxed)).div_euclid(1000);
        let claims = json!({ "iss": self.id, "iat": now - BACK, "exp": now + LASTS });
        let token = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key)
            .map_err(|_| setup(format!("the private key of GitHub App {} does not sign", self.id)))?;
        Ok(token.into())
    }

    /// The same error in words that name the App.
    fn explained(&self, error: ForgeError) -> ForgeError {
        match error {
            ForgeError::Unauthorised { forge, message } => ForgeError::Unauthorised {
                forge,
                message: format!("it does not take GitHub App {}'s signature: {message}; see whether id and private key belong together", self.id),
            },
            ForgeError::NotFound { forge, message } => {
                ForgeError::NotFound { forge, message: format!("GitHub App {} is not installed there: {message}", self.id) }
            }
            error => error,
        }
    }
}
