//! Where manifests live: repositories, and clusters as a name, labels and a path in a repository. And channels: where it is told
//! what became of a request. And calendars: when changes may take effect. And MCP servers: whose tools models may use.
//! Pure data with its checks. Secrets stand here only as names; nothing here connects to anything.

mod address;
mod calendar;
mod channel;
mod commits;
mod forge;
mod limits;
mod mcp;
mod programs;
mod repository;
mod sealing;
mod transport;

pub(crate) use calendar::{BLACKOUT_DAY, TIME_OF_DAY};
pub use calendar::{BlackoutDay, BlackoutSpec, Calendar, CalendarReverts, CalendarSpec, Day, NO_CALENDAR, Standing, TimeOfDay, WindowSpec, together};
pub use channel::{ChannelSpec, JiraAuthentication, JiraDeployment, JiraSpec, SlackSpec, WebhookSpec};
pub use commits::{AuthorSpec, SigningFormat, SigningSpec};
pub use forge::{AppId, AppSpec, ForgeSpec, api as github_api};
pub use limits::ChangeLimits;
pub use mcp::{McpHttpSpec, McpServerSpec, McpStdioSpec, McpToolSpec, McpValueSpec};
pub use programs::McpPrograms;
pub use repository::{AppliedBySpec, CredentialsSpec, RepositorySpec};
pub use sealing::SealingSpec;
pub use transport::{GitSpec, GitTransport, KnownHosts, SshSpec};

use crate::types::{
    CalendarName, ChannelName, ClusterName, DirectoryPath, KubernetesVersion, McpServerName, RepositoryName, SpecDuration, SpecError, UnknownKinds,
    listed,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names that an error lists where one is unknown.
const MOST_NAMED: usize = 20;

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
    /// Directories of the repository with CustomResourceDefinitions or JSON Schemas, besides those of the `Repository`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<DirectoryPath>,
    /// The most one change may do.
    #[serde(default)]
    pub limits: ChangeLimits,
    /// How values are sealed for it; by default as its `Repository` says (`render[].seal` of an automation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SealingSpec>")]
    pub sealing: Option<Arc<SealingSpec>>,
    /// How soon after its merge a change should be in force, such as `30m`; later it is told that nobody has said so. By default as its
    /// `Repository` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_within: Option<SpecDuration>,
    /// Name of the `Calendar` that says when changes to it may take effect; without one always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarName>,
    /// What delivery tools call it beside its name: names, such as `in-cluster`, and addresses of its API server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
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

impl Repository {
    /// Whether comments in its pull requests steer requests: those of the local forge have none.
    pub fn is_steered_by_comments(&self) -> bool {
        matches!(self.spec.forge, ForgeSpec::Github { .. })
    }
}

/// A channel as configured.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Its settings.
    pub spec: ChannelSpec,
}

/// An MCP server as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpServer {
    /// Its name.
    pub name: McpServerName,
    /// Its settings.
    pub spec: McpServerSpec,
}

/// Every repository, cluster, channel, calendar and MCP server in force.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Repositories by name.
    pub repositories: BTreeMap<RepositoryName, Arc<Repository>>,
    /// Clusters by name.
    pub clusters: BTreeMap<ClusterName, Arc<ClusterSpec>>,
    /// Channels by name.
    pub channels: BTreeMap<ChannelName, Arc<Channel>>,
    /// Calendars by name.
    pub calendars: BTreeMap<CalendarName, Arc<Calendar>>,
    /// MCP servers by name.
    pub mcp_servers: BTreeMap<McpServerName, Arc<McpServer>>,
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
    /// Directories of the repository with schemas.
    pub schemas: Vec<DirectoryPath>,
    /// The most one change may do.
    pub limits: ChangeLimits,
    /// How values are sealed there.
    pub sealing: Option<Arc<SealingSpec>>,
    /// How soon after its merge a change should be in force there.
    pub applied_within: Option<SpecDuration>,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.cluster {
            Some(cluster) => write!(f, "the cluster {cluster}"),
            None => write!(f, "the repository {}", self.repository.name),
        }
    }
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
            path: spec.path.clone(),
            cluster: Some(cluster.clone()),
            labels: spec.labels.clone(),
            kubernetes: spec.kubernetes.unwrap_or(self.kubernetes),
            unknown_kinds: spec.unknown_kinds,
            schemas: repository.spec.schemas.iter().chain(&spec.schemas).cloned().collect(),
            sealing: spec.sealing.clone().or_else(|| repository.spec.sealing.clone()),
            applied_within: spec.applied_within.or(repository.spec.applied_within),
            repository: Arc::clone(repository),
            limits: spec.limits,
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
            schemas: repository.spec.schemas.clone(),
            limits: ChangeLimits::default(),
            sealing: repository.spec.sealing.clone(),
            applied_within: repository.spec.applied_within,
        })
    }

    /// The cluster that a delivery tool means by a name or an address: by its own name, else by an alias.
    pub fn cluster_called(&self, called: &str) -> Option<(&ClusterName, &Arc<ClusterSpec>)> {
        let is_it = |alias: &String| same_name(alias, called);
        self.clusters.get_key_value(called).or_else(|| self.clusters.iter().find(|(_, spec)| spec.aliases.iter().any(is_it)))
    }

    /// What is wrong with a cluster's aliases beside the clusters there are: a name that means two clusters means neither.
    pub fn check_aliases(&self, name: &ClusterName, spec: &ClusterSpec) -> Vec<SpecError> {
        let check = |(index, alias): (usize, &String)| {
            let other = self.cluster_called(alias).filter(|(other, _)| *other != name)?.0;
            let message = format!("{:?} means the cluster {other} as well", alias.chars().take(80).collect::<String>());
            Some(SpecError::new(format!("/aliases/{index}"), message).hint("have each delivery tool send the cluster's own name"))
        };
        spec.aliases.iter().enumerate().filter_map(check).collect()
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

/// Whether two names of a cluster are one; an address may end with a slash.
fn same_name(one: &str, other: &str) -> bool {
    one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
}

fn unknown<'a>(what: &'static str, name: &str, known: impl Iterator<Item = &'a (impl AsRef<str> + 'a)>) -> Unknown {
    let known = listed(known.map(AsRef::as_ref), MOST_NAMED);
    let known = if known.is_empty() { "none".to_owned() } else { known };
    Unknown { what, name: name.chars().take(80).collect(), known }
}
