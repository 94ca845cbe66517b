//! Resources in force, as the API shows them.

use crate::types::{
    AutomationName, BranchName, CalendarName, ChannelName, ClusterName, McpServerName, RepositoryName, SourceName, TemplateName, Timestamp,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An automation in force.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AutomationView {
    /// Its name.
    #[schema(value_type = String, example = "namespace-request")]
    pub name: AutomationName,
    /// What it is for.
    pub description: Option<String>,
    /// The sources it listens to.
    #[schema(value_type = Vec<String>)]
    pub sources: Vec<SourceName>,
    /// The event types it listens to.
    pub types: Vec<String>,
    /// Its condition, in CEL.
    pub when: Option<String>,
    /// JSON Schema of the object its parameters make.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// Templates it renders.
    #[schema(value_type = Vec<String>)]
    pub templates: Vec<TemplateName>,
    /// The files it edits, or the objects where it names no file, as their texts are written.
    #[schema(example = json!(["apps/{{ parameters.app }}/deployment.yaml"]))]
    pub edits: Vec<String>,
    /// The files and objects it removes, as their texts are written.
    pub removes: Vec<String>,
    /// The whole document, as loaded.
    #[schema(value_type = Object)]
    pub document: Value,
}

/// A source in force. Never a secret: only the names under which secrets are looked up stay out as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceView {
    /// Its name.
    #[schema(value_type = String, example = "service-desk")]
    pub name: SourceName,
    /// What sends: jira, alertmanager, generic, ...
    #[schema(example = "jira")]
    pub kind: String,
    /// How a delivery proves where it comes from.
    #[schema(example = json!(["hmac-sha256"]))]
    pub authentication: Vec<String>,
    /// Where it sends to, below this server; null where its messages are fetched.
    #[schema(example = "/api/v1/webhooks/service-desk")]
    pub path: Option<String>,
    /// The longest body it may send, in bytes.
    pub max_body_bytes: u64,
    /// How the connection of the process that answers stands, where messages are fetched.
    pub connection: Option<StreamView>,
    /// What an operator should know, such as that nothing authenticates it.
    pub warnings: Vec<String>,
}

/// How a connection stands over which messages are fetched. Never a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct StreamView {
    /// Whether messages are fetched now.
    pub connected: bool,
    /// Since when it stands so; null before the first attempt came to its end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Why not, where they are not.
    #[schema(example = "there is no stream ops")]
    pub error: Option<String>,
    /// Messages that wait to be delivered, to whichever process, when it was last asked.
    pub pending: u64,
    /// Messages that were delivered and are not acknowledged.
    pub unacknowledged: u64,
    /// Messages of those that were delivered more than once.
    pub redelivered: u64,
}

/// A cluster in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClusterView {
    /// Its name.
    #[schema(value_type = String, example = "prod")]
    pub name: ClusterName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where its manifests live.
    #[schema(value_type = String, example = "gitops")]
    pub repository: RepositoryName,
    /// The directory there.
    #[schema(example = "clusters/prod")]
    pub path: String,
    /// The Kubernetes version its manifests are held against.
    #[schema(example = "1.33")]
    pub kubernetes_version: String,
}

/// A repository in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RepositoryView {
    /// Its name.
    #[schema(value_type = String, example = "gitops")]
    pub name: RepositoryName,
    /// local or github.
    #[schema(example = "local")]
    pub forge: String,
    /// Where it is, without credentials.
    pub url: String,
    /// The base branch.
    #[schema(value_type = String, example = "main")]
    pub base: BranchName,
}

/// A channel in force. Never a secret: an address that is one stays out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChannelView {
    /// Its name.
    #[schema(value_type = String, example = "service-desk")]
    pub name: ChannelName,
    /// jira, webhook or slack.
    #[schema(example = "jira")]
    pub kind: String,
    /// Where it is; none where the address is the secret.
    #[schema(example = "https://acme.atlassian.net")]
    pub url: Option<String>,
}

/// A calendar in force, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CalendarView {
    /// Its name.
    #[schema(value_type = String, example = "office-hours")]
    pub name: CalendarName,
    /// What it is for.
    pub description: Option<String>,
    /// The time zone its times are in.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    /// Whether changes may take effect now.
    pub open: bool,
    /// Why not, where they may not.
    #[schema(example = "calendar office-hours: outside its windows")]
    pub reason: Option<String>,
    /// When that changes; null where it never does.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// An MCP server in force, whose tools models may use. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct McpServerView {
    /// Its name.
    #[schema(value_type = String, example = "prometheus")]
    pub name: McpServerName,
    /// What it is for.
    pub description: Option<String>,
    /// http or stdio.
    #[schema(example = "http")]
    pub kind: String,
    /// Where it is; none of a program.
    #[schema(example = "https://mcp.example/mcp")]
    pub url: Option<String>,
    /// The tools that are let through, as models call them.
    #[schema(example = json!(["prometheus__query"]))]
    pub tools: Vec<String>,
}

/// A template of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TemplateView {
    /// Its name.
    #[schema(value_type = String, example = "namespace")]
    pub name: TemplateName,
    /// What it is for, in a line.
    pub purpose: String,
    /// JSON Schema of its parameters.
    #[schema(value_type = Object)]
    pub parameters: Value,
    /// SHA-256 over its folder, in hexadecimal.
    pub digest: String,
    /// Parameters to try it with, by the example's name.
    #[schema(value_type = Object)]
    pub examples: BTreeMap<String, Value>,
}
