//! Where manifests live: repositories, and clusters as a name, labels and a path in a repository.
//! Pure data with its checks. Secrets stand here only as names; nothing here connects to anything.

use crate::types::{BranchName, ClusterName, DirectoryPath, KubernetesVersion, RemoteUrl, RepositoryName, SecretName, SpecError, UnknownKinds};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The `spec:` of a document of kind `Repository`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepositorySpec {
    /// Where it is fetched from and pushed to: `https://`, `ssh://`, `git@host:path`, `file://` or an absolute path.
    pub url: RemoteUrl,
    /// The base branch pull requests go to.
    #[serde(default = "main_branch")]
    pub branch: BranchName,
    /// What head branches start with.
    #[serde(default = "branch_prefix")]
    pub branch_prefix: BranchName,
    /// Who opens and keeps pull requests.
    #[serde(default)]
    pub forge: ForgeSpec,
    /// What fetching and pushing over HTTPS authenticates with; without it, the forge's token where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsSpec>,
    /// Whose name stands on commits.
    #[serde(default)]
    pub author: AuthorSpec,
}

/// A user name and the secret that goes with it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialsSpec {
    /// The user name; GitHub takes any with a token.
    #[serde(default = "token_user")]
    pub username: String,
    /// Name of the secret that holds the token.
    pub secret: SecretName,
}

/// Who opens and keeps pull requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ForgeSpec {
    /// KubeOps itself: the branch is in the repository, the pull request in the store. For a bare repository on this machine.
    #[default]
    Local,
    /// GitHub, or GitHub Enterprise.
    #[serde(rename_all = "camelCase")]
    Github {
        /// `owner/name` at GitHub; by default read from the repository's URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repository: Option<String>,
        /// The API's address, for GitHub Enterprise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        api_url: Option<String>,
        /// Name of the secret that holds the token.
        token: SecretName,
    },
}

/// Whose name stands on commits.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorSpec {
    /// Name.
    #[serde(default = "author_name")]
    pub name: String,
    /// Address.
    #[serde(default = "author_email")]
    pub email: String,
}

impl Default for AuthorSpec {
    fn default() -> Self {
        Self { name: author_name(), email: author_email() }
    }
}

fn main_branch() -> BranchName {
    known("main")
}
fn branch_prefix() -> BranchName {
    known("kubeops")
}
fn known(name: &str) -> BranchName {
    name.parse().unwrap_or_else(|_| unreachable!("a literal branch name"))
}
fn token_user() -> String {
    "x-access-token".to_owned()
}
fn author_name() -> String {
    "KubeOps".to_owned()
}
fn author_email() -> String {
    "kubeops@localhost".to_owned()
}

/// The `spec:` of a document of kind `Cluster`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// What it is, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Name of the `Repository` its manifests live in.
    pub repository: RepositoryName,
    /// Directory of its manifests in the repository.
    #[serde(default = "DirectoryPath::root")]
    pub path: DirectoryPath,
    /// Its Kubernetes version: changes are held against these schemas. By default `KUBERNETES_VERSION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesVersion>,
    /// What to do with kinds that have no schema.
    #[serde(default)]
    pub unknown_kinds: UnknownKinds,
    /// Labels, for choosing and for templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A repository as configured.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Its name.
    pub name: RepositoryName,
    /// Its settings.
    pub spec: RepositorySpec,
}

/// Every repository and cluster in force.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Repositories by name.
    pub repositories: BTreeMap<RepositoryName, Arc<Repository>>,
    /// Clusters by name.
    pub clusters: BTreeMap<ClusterName, Arc<ClusterSpec>>,
    /// The version of clusters that do not say theirs, and of bare repositories.
    pub kubernetes: KubernetesVersion,
}

/// Where one change goes.
#[derive(Debug, Clone)]
pub struct Target {
    /// The repository.
    pub repository: Arc<Repository>,
    /// The directory every file lies under.
    pub path: DirectoryPath,
    /// The cluster, when the target was named by one.
    pub cluster: Option<ClusterName>,
    /// The cluster's labels.
    pub labels: BTreeMap<String, String>,
    /// Which schemas apply.
    pub kubernetes: KubernetesVersion,
    /// What to do with kinds that have no schema.
    pub unknown_kinds: UnknownKinds,
}

/// A name that stands for nothing, and those there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} {name:?}; known are: {known}")]
pub struct Unknown {
    /// `cluster` or `repository`.
    pub what: &'static str,
    /// The name asked for, shortened.
    pub name: String,
    /// The names there are, shortened.
    pub known: String,
}

impl Inventory {
    /// The target a cluster's name stands for.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn by_cluster(&self, name: &str) -> Result<Target, Unknown> {
        let (cluster, spec) = self.clusters.get_key_value(name).ok_or_else(|| unknown("cluster", name, self.clusters.keys()))?;
        let repository =
            self.repositories.get(&spec.repository).ok_or_else(|| unknown("repository", spec.repository.as_str(), self.repositories.keys()))?;
        Ok(Target {
            repository: Arc::clone(repository),
            path: spec.path.clone(),
            cluster: Some(cluster.clone()),
            labels: spec.labels.clone(),
            kubernetes: spec.kubernetes.unwrap_or(self.kubernetes),
            unknown_kinds: spec.unknown_kinds,
        })
    }

    /// The target a repository's name and a directory stand for.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn by_repository(&self, name: &str, path: DirectoryPath) -> Result<Target, Unknown> {
        let repository = self.repositories.get(name).ok_or_else(|| unknown("repository", name, self.repositories.keys()))?;
        Ok(Target {
            repository: Arc::clone(repository),
            path,
            cluster: None,
            labels: BTreeMap::new(),
            kubernetes: self.kubernetes,
            unknown_kinds: UnknownKinds::default(),
        })
    }

    /// What is wrong between clusters and repositories: per cluster, errors with pointers into its spec.
    pub fn check_cluster(&self, spec: &ClusterSpec) -> Vec<SpecError> {
        if self.repositories.contains_key(&spec.repository) {
            return Vec::new();
        }
        let unknown = unknown("repository", spec.repository.as_str(), self.repositories.keys());
        vec![SpecError::new("/repository", unknown.to_string()).hint("add a document of kind Repository with this name, or correct the name")]
    }
}

impl RepositorySpec {
    /// User name and secret for fetching and pushing over HTTPS: its own, else the forge's.
    pub fn git_credentials(&self) -> Option<(String, &SecretName)> {
        match (&self.credentials, &self.forge) {
            (Some(own), _) => Some((own.username.clone(), &own.secret)),
            (None, ForgeSpec::Github { token, .. }) => Some((token_user(), token)),
            (None, ForgeSpec::Local) => None,
        }
    }

    /// Every secret it names.
    pub fn secret_names(&self) -> impl Iterator<Item = SecretName> {
        let own = self.credentials.as_ref().map(|credentials| credentials.secret.clone());
        let forge = match &self.forge {
            ForgeSpec::Github { token, .. } => Some(token.clone()),
            ForgeSpec::Local => None,
        };
        own.into_iter().chain(forge)
    }

    /// What is wrong beyond the types: pointers into the spec.
    pub fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        match &self.forge {
            ForgeSpec::Local if !self.url.is_local() => errors.push(
                SpecError::new("/url", "the local forge keeps pull requests beside a bare repository on this machine, and this URL is elsewhere")
                    .hint("forge: { kind: github, token: GITHUB_TOKEN }, or an absolute path or file:// URL"),
            ),
            ForgeSpec::Github { repository, .. } => match repository.clone().or_else(|| self.url.owner_and_name()) {
                Some(slug) if is_slug(&slug) => {}
                _ => errors.push(
                    SpecError::new("/forge", "which repository at GitHub this is cannot be read from the URL")
                        .hint("forge: { kind: github, repository: owner/name, token: GITHUB_TOKEN }"),
                ),
            },
            ForgeSpec::Local => {}
        }
        for (pointer, text) in [("/author/name", &self.author.name), ("/author/email", &self.author.email)] {
            if text.is_empty() || text.chars().any(|c| c.is_control() || "<>".contains(c)) {
                errors.push(SpecError::new(pointer, "a name or address on a commit is not empty and holds no `<`, `>` or control characters"));
            }
        }
        errors
    }
}

fn is_slug(slug: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    slug.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

fn unknown<'a>(what: &'static str, name: &str, known: impl Iterator<Item = &'a (impl AsRef<str> + 'a)>) -> Unknown {
    let mut names: Vec<&str> = known.map(AsRef::as_ref).collect();
    let more = names.len().saturating_sub(20);
    names.truncate(20);
    let mut known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    if more > 0 {
        known.push_str(&format!(" and {more} more"));
    }
    Unknown { what, name: name.chars().take(80).collect(), known }
}
