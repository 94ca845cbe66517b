//! Glue: which forge keeps a repository's pull requests, made from its settings. Repositories that are the same account at
//! the same GitHub share it: its connections, its tokens, its rate budget.

use super::pulls::StoredPulls;
use crate::clock::Clock;
use crate::forge::github::{AccountSettings, Identity, SecretSource};
use crate::forge::local::Tools;
use crate::forge::{
    Account, AccountReport, CheckSpec, Forge, ForgeError, GitHub, GitHubSettings, LocalForge, Look, Mark, Myself, Priority, Pull, PullSpec, Reaction,
    Remark, Review, WindowSpec,
};
use crate::git::{Credentials, open_isolated, tree_diff};
use crate::inventory::{AppSpec, ForgeSpec, Repository, github_api};
use crate::pipeline::{Forges, Rules};
use crate::request::{RemarkAddress, RemarkPlace};
use crate::secrets::SecretProvider;
use crate::spans;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::types::{BranchName, RepositoryName, SecretName, Timestamp};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tracing::Instrument;

/// How long one call to GitHub may take in all.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long git waits for a token: it may have to be asked for in a few calls.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(45);

/// The forges of the repositories, each made once for its settings.
pub struct ConfiguredForges {
    store: Arc<dyn Store>,
    secrets: Arc<dyn SecretProvider>,
    clock: Arc<dyn Clock>,
    rules: Arc<Rules>,
    public_url: String,
    metrics: Arc<Metrics>,
    /// The least time between two calls that people are notified of.
    pause: Duration,
    /// Where calls are made for those who block.
    runtime: Handle,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    /// Accounts by what they are: they keep connections, tokens and budgets.
    accounts: BTreeMap<AccountKey, Arc<Account>>,
    /// Repositories with what they were made for: they know where the repository is now.
    repositories: BTreeMap<RepositoryName, (AccountKey, GitHubSettings, Arc<GitHub>)>,
}

/// What makes two repositories the same account: the API and the names of the secrets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct AccountKey {
    api: String,
    who: Who,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Token(SecretName),
    App { id: crate::inventory::AppId, key: SecretName, installation: Option<u64> },
}

/// What forges are made with.
pub struct Makings {
    /// Keeps local pull requests.
    pub store: Arc<dyn Store>,
    /// Where tokens and keys come from.
    pub secrets: Arc<dyn SecretProvider>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The resources in force.
    pub rules: Arc<Rules>,
    /// Where people reach this server.
    pub public_url: String,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The least time between two calls that people are notified of.
    pub pause: Duration,
}

impl ConfiguredForges {
    /// Forges made of `makings`. It must be made within a tokio runtime, which makes the calls.
    pub fn new(makings: Makings) -> Self {
        let Makings { store, secrets, clock, rules, public_url, metrics, pause } = makings;
        Self { store, secrets, clock, rules, public_url, metrics, pause, runtime: Handle::current(), made: Mutex::default() }
    }

    fn counted(&self, kind: &'static str, forge: Arc<dyn Forge>) -> Arc<dyn Forge> {
        Arc::new(Counted { kind, forge, metrics: Arc::clone(&self.metrics) })
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn local(&self, repository: &Repository) -> Option<Arc<LocalForge>> {
        let path = repository.spec.url.local_path().filter(|_| matches!(repository.spec.forge, ForgeSpec::Local))?;
        let pages = format!("{}/api/v1/pulls", self.public_url);
        let records = Arc::new(StoredPulls::new(Arc::clone(&self.store), pages.clone()));
        let tools = Tools { open: open_isolated, diff: tree_diff };
        Some(Arc::new(LocalForge::new(repository.name.clone(), path.to_owned(), tools, records, Arc::clone(&self.clock), pages)))
    }

    /// The repository at GitHub; none when its forge is another.
    fn github(&self, repository: &Repository) -> Option<Result<Arc<GitHub>, ForgeError>> {
        let ForgeSpec::Github { api_url, token, app, .. } = &repository.spec.forge else { return None };
        let slug = repository.spec.forge.github_name(&repository.spec.url).unwrap_or_default();
        let unusable = |message: String| ForgeError::Setup { forge: format!("GitHub repository {slug}"), message };
        let made = || {
            let settings = GitHubSettings::of(&slug).map_err(|error| unusable(error.to_string()))?;
            let api = github_api(api_url.as_deref(), &repository.spec.url).map_err(|error| unusable(error.message))?;
            let who = match (token, app) {
                (Some(token), _) => Who::Token(token.clone()),
                (None, Some(AppSpec { id, private_key, installation })) => {
                    Who::App { id: id.clone(), key: private_key.clone(), installation: *installation }
                }
                (None, None) => return Err(unusable("it names neither a token nor an App".to_owned())),
            };
            self.github_of(&repository.name, AccountKey { api, who }, settings)
        };
        Some(made())
    }

    fn github_of(&self, name: &RepositoryName, key: AccountKey, settings: GitHubSettings) -> Result<Arc<GitHub>, ForgeError> {
        let mut made = self.made();
        if let Some((known_key, known, github)) = made.repositories.get(name)
            && *known_key == key
            && *known == settings
        {
            return Ok(Arc::clone(github));
        }
        let account = match made.accounts.get(&key) {
            Some(account) => Arc::clone(account),
            None => {
                let account = Arc::new(self.account(&key)?);
                made.accounts.insert(key.clone(), Arc::clone(&account));
                account
            }
        };
        let github = Arc::new(GitHub::new(&settings, account));
        made.repositories.insert(name.clone(), (key, settings, Arc::clone(&github)));
        Ok(github)
    }

    fn account(&self, key: &AccountKey) -> Result<Account, ForgeError> {
        let identity = match &key.who {
            Who::Token(name) => Identity::Token { name: name.to_string(), token: self.source(name) },
            Who::App { id, key, installation } => Identity::App { id: id.clone(), key: self.source(key), installation: *installation },
        };
        let settings = AccountSettings { api: key.api.clone(), identity, timeout: CALL_TIMEOUT, pause: self.pause };
        Account::new(settings, Arc::clone(&self.clock))
    }

    fn source(&self, name: &SecretName) -> SecretSource {
        let (secrets, name) = (Arc::clone(&self.secrets), name.clone());
        Arc::new(move || secrets.secret(&name).map_err(|error| error.to_string()))
    }
}

#[async_trait]
impl Forges for ConfiguredForges {
    fn forge(&self, repository: &Repository, priority: Priority) -> Result<Arc<dyn Forge>, ForgeError> {
        if let Some(github) = self.github(repository) {
            let github = github?.with(priority);
            github.check().inspect_err(|_| self.metrics.forge_call("github", "check", "limited"))?;
            return Ok(self.counted("github", Arc::new(github)));
        }
        let missing = || ForgeError::NotFound {
            forge: format!("the local forge of {}", repository.name),
            message: "its URL is not a directory of this machine".to_owned(),
        };
        let forge: Arc<dyn Forge> = self.local(repository).ok_or_else(missing)?;
        Ok(self.counted("local", forge))
    }

    fn review(&self, repository: &Repository) -> Option<Arc<dyn Review>> {
        self.local(repository).map(|forge| forge as Arc<dyn Review>)
    }

    fn git_credentials(&self, repository: &Repository) -> Option<Credentials> {
        let github = self.github(repository)?.ok()?;
        let runtime = self.runtime.clone();
        Some(Credentials::new("x-access-token", move || {
            let (github, (told, token)) = (Arc::clone(&github), sync_channel(1));
            // Git blocks on a thread of its own, which no runtime must be entered from.
            runtime.spawn(async move { drop(told.send(github.git_token().await)) });
            match token.recv_timeout(TOKEN_TIMEOUT) {
                Ok(token) => token.map_err(|error| error.to_string()),
                Err(RecvTimeoutError::Timeout) => Err("GitHub gave none in time".to_owned()),
                Err(RecvTimeoutError::Disconnected) => Err("the process is shutting down".to_owned()),
            }
        }))
    }

    async fn git_refused(&self, repository: &Repository) {
        if let Some(Ok(github)) = self.github(repository) {
            github.git_refused().await;
        }
    }

    async fn introduce(&self) {
        let rules = self.rules.current();
        let mut asked = BTreeSet::new();
        for repository in rules.set.inventory.repositories.values() {
            let Some(Ok(github)) = self.github(repository) else { continue };
            let account = self.made().repositories.get(&repository.name).map(|(account, ..)| account.clone());
            if !asked.insert(account) {
                continue;
            }
            if let Err(error) = github.with(Priority::Housekeeping).introduce().await {
                tracing::debug!(repository = %repository.name, %error, "who we are there is asked again later");
            }
        }
    }

    fn myself(&self, repository: &Repository) -> Option<Myself> {
        self.github(repository)?.ok()?.myself()
    }

    async fn redeliver(&self, since: Timestamp) -> Result<u64, ForgeError> {
        let rules = self.rules.current();
        for repository in rules.set.inventory.repositories.values() {
            // An account is made with the first of its repositories.
            if let Some(Err(error)) = self.github(repository) {
                tracing::debug!(repository = %repository.name, %error, "its account cannot be used");
            }
        }
        let accounts: Vec<Arc<Account>> = self.made().accounts.values().cloned().collect();
        let mut asked = 0;
        for account in accounts {
            asked += account.redeliver(since).await?;
        }
        Ok(asked)
    }

    fn accounts(&self) -> Vec<(AccountReport, Vec<RepositoryName>)> {
        let configured = self.rules.current();
        let configured = &configured.set.inventory.repositories;
        let made = self.made();
        let mut told = Vec::new();
        for (key, account) in &made.accounts {
            let of_account = |name: &RepositoryName| made.repositories.get(name).is_some_and(|(of, ..)| of == key);
            let repositories: Vec<&RepositoryName> = configured.keys().filter(|name| of_account(name)).collect();
            if repositories.is_empty() {
                continue;
            }
            let budget_of = |name: &RepositoryName| made.repositories.get(name).and_then(|(_, _, github)| github.budget_name());
            for report in account.reports() {
                let names = repositories.iter().filter(|name| budget_of(name).as_deref() == Some(report.name.as_str()));
                let names = names.map(|name| (*name).clone()).collect();
                told.push((report, names));
            }
        }
        told
    }
}

/// A forge whose calls are counted.
struct Counted {
    kind: &'static str,
    forge: Arc<dyn Forge>,
    metrics: Arc<Metrics>,
}

impl Counted {
    /// Makes a call in a span of its own, and counts it.
    async fn count<T>(&self, operation: &'static str, call: impl Future<Output = Result<T, ForgeError>> + Send) -> Result<T, ForgeError> {
        let span =
            tracing::debug_span!("forge", otel.name = format!("forge {operation}"), kubeops.forge = self.kind, kubeops.forge.operation = operation);
        let outcome = spans::told(&span, call.instrument(span.clone()).await, ForgeError::class);
        let word = match &outcome {
            Ok(_) => "done",
            Err(ForgeError::Limited { .. }) => "limited",
            Err(_) => "failed",
        };
        self.metrics.forge_call(self.kind, operation, word);
        outcome
    }
}

#[async_trait]
impl Forge for Counted {
    async fn ensure_pull(&self, spec: &PullSpec) -> Result<Pull, ForgeError> {
        self.count("ensure_pull", self.forge.ensure_pull(spec)).await
    }

    async fn get(&self, number: u64) -> Result<Pull, ForgeError> {
        self.count("get", self.forge.get(number)).await
    }

    async fn find(&self, head: &BranchName) -> Result<Option<Pull>, ForgeError> {
        self.count("find", self.forge.find(head)).await
    }

    async fn close(&self, number: u64, comment: Option<&str>) -> Result<Pull, ForgeError> {
        self.count("close", self.forge.close(number, comment)).await
    }

    fn follows_branches(&self) -> bool {
        self.forge.follows_branches()
    }

    async fn comment_once(&self, number: u64, body: &str, marker: &str, asked_before: bool) -> Result<(), ForgeError> {
        self.count("comment", self.forge.comment_once(number, body, marker, asked_before)).await
    }

    async fn answer_once(&self, remark: &RemarkAddress, body: &str, marker: &str, asked_before: bool) -> Result<(), ForgeError> {
        self.count("answer", self.forge.answer_once(remark, body, marker, asked_before)).await
    }

    async fn remark(&self, remark: &RemarkAddress) -> Result<Option<Remark>, ForgeError> {
        self.count("remark", self.forge.remark(remark)).await
    }

    async fn may_write(&self, login: &str) -> Result<bool, ForgeError> {
        self.count("may_write", self.forge.may_write(login)).await
    }

    async fn react(&self, remark: &RemarkAddress, reaction: Reaction) -> Result<(), ForgeError> {
        self.count("react", self.forge.react(remark, reaction)).await
    }

    async fn look(&self, numbers: &[u64], since: Option<&Mark>) -> Result<Look, ForgeError> {
        self.count("look", self.forge.look(numbers, since)).await
    }

    async fn comments(&self, place: RemarkPlace, since: Timestamp) -> Result<Vec<Remark>, ForgeError> {
        self.count("comments", self.forge.comments(place, since)).await
    }

    async fn reviews(&self, numbers: &[u64], since: Option<&Mark>) -> Result<(Vec<Remark>, Mark), ForgeError> {
        self.count("reviews", self.forge.reviews(numbers, since)).await
    }

    async fn surroundings(&self, remark: &RemarkAddress) -> Result<(Value, Value), ForgeError> {
        self.count("surroundings", self.forge.surroundings(remark)).await
    }

    async fn why_refused(&self) -> Result<(), ForgeError> {
        self.count("why_refused", self.forge.why_refused()).await
    }

    async fn report(&self, check: &CheckSpec) -> Result<bool, ForgeError> {
        self.count("report", self.forge.report(check)).await
    }

    async fn show_window(&self, window: &WindowSpec) -> Result<bool, ForgeError> {
        self.count("show_window", self.forge.show_window(window)).await
    }
}
