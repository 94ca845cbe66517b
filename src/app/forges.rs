//! Glue: which forge keeps a repository's pull requests, made from its settings.

use super::pulls::StoredPulls;
use crate::clock::Clock;
use crate::forge::local::Tools;
use crate::forge::{Forge, ForgeError, GitHub, GitHubSettings, LocalForge, Pull, PullSpec, Review};
use crate::git::{open_isolated, tree_diff};
use crate::inventory::{ForgeSpec, Repository};
use crate::pipeline::Forges;
use crate::secrets::SecretProvider;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::types::{BranchName, RepositoryName};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The forges of the repositories, each made once for its settings.
pub struct ConfiguredForges {
    store: Arc<dyn Store>,
    secrets: Arc<dyn SecretProvider>,
    clock: Arc<dyn Clock>,
    public_url: String,
    metrics: Arc<Metrics>,
    /// GitHub clients, with the settings they were made for: they keep connections and the rate budget.
    github: Mutex<HashMap<RepositoryName, (String, Arc<GitHub>)>>,
}

impl ConfiguredForges {
    /// Forges that keep local pull requests in `store`; `public_url` is where people reach this server.
    pub fn new(store: Arc<dyn Store>, secrets: Arc<dyn SecretProvider>, clock: Arc<dyn Clock>, public_url: String, metrics: Arc<Metrics>) -> Self {
        Self { store, secrets, clock, public_url, metrics, github: Mutex::default() }
    }

    fn counted(&self, kind: &'static str, forge: Arc<dyn Forge>) -> Arc<dyn Forge> {
        Arc::new(Counted { kind, forge, metrics: Arc::clone(&self.metrics) })
    }

    fn local(&self, repository: &Repository) -> Option<Arc<LocalForge>> {
        let path = repository.spec.url.local_path().filter(|_| matches!(repository.spec.forge, ForgeSpec::Local))?;
        let pages = format!("{}/api/v1/pulls", self.public_url);
        let records = Arc::new(StoredPulls::new(Arc::clone(&self.store), pages.clone()));
        let tools = Tools { open: open_isolated, diff: tree_diff };
        Some(Arc::new(LocalForge::new(repository.name.clone(), path.to_owned(), tools, records, Arc::clone(&self.clock), pages)))
    }

    fn github(
        &self,
        repository: &Repository,
        slug: &str,
        api_url: Option<&str>,
        token: &crate::types::SecretName,
    ) -> Result<Arc<GitHub>, ForgeError> {
        let made_for = format!("{slug} {api_url:?} {token}");
        let mut clients = self.github.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = clients.get(&repository.name)
            && *known == made_for
        {
            return Ok(Arc::clone(client));
        }
        let unusable = |message: String| ForgeError::NotFound { forge: format!("GitHub repository {slug}"), message };
        let mut settings = GitHubSettings::of(slug).map_err(|error| unusable(error.to_string()))?;
        if let Some(api) = api_url {
            settings.api = api.to_owned();
        }
        let (secrets, token) = (Arc::clone(&self.secrets), token.clone());
        let source = Arc::new(move || secrets.secret(&token).map_err(|error| error.to_string()));
        let client = Arc::new(GitHub::new(&settings, source, Arc::clone(&self.clock))?);
        clients.insert(repository.name.clone(), (made_for, Arc::clone(&client)));
        Ok(client)
    }
}

impl Forges for ConfiguredForges {
    fn forge(&self, repository: &Repository) -> Result<Arc<dyn Forge>, ForgeError> {
        match &repository.spec.forge {
            ForgeSpec::Github { repository: slug, api_url, token } => {
                let slug = slug.clone().or_else(|| repository.spec.url.owner_and_name()).unwrap_or_default();
                let forge: Arc<dyn Forge> = self.github(repository, &slug, api_url.as_deref(), token)?;
                Ok(self.counted("github", forge))
            }
            ForgeSpec::Local => {
                let missing = || ForgeError::NotFound {
                    forge: format!("the local forge of {}", repository.name),
                    message: "its URL is not a directory of this machine".to_owned(),
                };
                let forge: Arc<dyn Forge> = self.local(repository).ok_or_else(missing)?;
                Ok(self.counted("local", forge))
            }
        }
    }

    fn review(&self, repository: &Repository) -> Option<Arc<dyn Review>> {
        self.local(repository).map(|forge| forge as Arc<dyn Review>)
    }

    fn budgets(&self) -> Vec<(RepositoryName, u64)> {
        let clients = self.github.lock().unwrap_or_else(PoisonError::into_inner);
        clients.iter().filter_map(|(name, (_, client))| client.budget().map(|budget| (name.clone(), budget.remaining))).collect()
    }
}

/// A forge whose calls are counted.
struct Counted {
    kind: &'static str,
    forge: Arc<dyn Forge>,
    metrics: Arc<Metrics>,
}

impl Counted {
    fn count<T>(&self, operation: &str, outcome: Result<T, ForgeError>) -> Result<T, ForgeError> {
        self.metrics.forge_call(self.kind, operation, if outcome.is_ok() { "done" } else { "failed" });
        outcome
    }
}

#[async_trait]
impl Forge for Counted {
    async fn ensure_pull(&self, spec: &PullSpec) -> Result<Pull, ForgeError> {
        self.count("ensure_pull", self.forge.ensure_pull(spec).await)
    }

    async fn get(&self, number: u64) -> Result<Pull, ForgeError> {
        self.count("get", self.forge.get(number).await)
    }

    async fn find(&self, head: &BranchName) -> Result<Option<Pull>, ForgeError> {
        self.count("find", self.forge.find(head).await)
    }

    async fn close(&self, number: u64, comment: Option<&str>) -> Result<Pull, ForgeError> {
        self.count("close", self.forge.close(number, comment).await)
    }

    async fn comment(&self, number: u64, body: &str) -> Result<(), ForgeError> {
        self.count("comment", self.forge.comment(number, body).await)
    }
}
