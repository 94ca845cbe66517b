//! The `spec:` of a document of kind `Automation`, as its author writes it.

use super::storm::{DebounceSpec, GroupSpec, LimitsSpec};
use crate::event::EventType;
use crate::types::{SourceName, TemplateName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A rule that turns events into pull requests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AutomationSpec {
    /// What it is for, in a sentence; shown wherever the automation is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Which events it looks at.
    pub on: Trigger,
    /// CEL over `event`: the request is wanted when this is true. A missing field is false. Without it every event is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// CEL over `event`: what makes two events the same request. By default `event.subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlate: Option<String>,
    /// Has many events ask for one pull request together, with a commit for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupSpec>,
    /// Waits for further events before a request is planned for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounce: Option<DebounceSpec>,
    /// How many pull requests it may open.
    #[serde(default, skip_serializing_if = "LimitsSpec::is_default")]
    pub limits: LimitsSpec,
    /// Values taken from the event (or given by a person), each checked against its schema.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, ParameterSpec>,
    /// Where the change goes.
    pub target: TargetSpec,
    /// Files written from templates.
    pub render: Vec<RenderSpec>,
    /// How the pull request looks.
    pub pull_request: PullRequestSpec,
}

/// Which events an automation looks at.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trigger {
    /// The source, or sources, by name.
    pub source: OneOrMany<SourceName>,
    /// The event types; without them every type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<EventType>,
}

/// One value, or a list of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl Trigger {
    /// The sources by name.
    pub fn sources(&self) -> impl Iterator<Item = &SourceName> {
        match &self.source {
            OneOrMany::One(name) => std::slice::from_ref(name).iter(),
            OneOrMany::Many(names) => names.iter(),
        }
    }

    /// Whether events of this type are looked at.
    pub fn takes(&self, kind: &EventType) -> bool {
        self.types.is_empty() || self.types.contains(kind)
    }
}

/// One parameter.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParameterSpec {
    /// CEL over `event` that gives the value. Without it the value is the default, or given by the person who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The value when `from` finds nothing or `null`. Without it the parameter is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// Whether it may be absent altogether.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// JSON Schema (2020-12) the value must fit.
    pub schema: serde_json::Map<String, serde_json::Value>,
}

/// Where a change goes: a cluster, which gives repository and path, or a repository and a path in it.
/// All three are texts in which `{{ parameters.x }}` and `{{ event.x }}` may stand.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetSpec {
    /// Name of a `Cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Name of a `Repository`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Directory in the repository; the root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A file written from a template.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenderSpec {
    /// The template's name in the catalogue.
    pub template: TemplateName,
    /// Where the file goes, below the target's path: a text in which `{{ parameters.x }}` may stand; a value never adds a directory.
    pub path: String,
    /// The template's parameters, as CEL over `event` and `parameters`. Parameters of the automation that the template knows
    /// by the same name need not be repeated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, String>,
    /// What to do when the base already has a file at this path.
    #[serde(default)]
    pub if_exists: IfExists,
}

/// What to do when the base already has a file where one is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IfExists {
    /// Propose the new content; the reviewer sees the difference.
    #[default]
    Replace,
    /// Leave the file as it is.
    Keep,
    /// Reject the request.
    Refuse,
}

/// How the pull request looks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PullRequestSpec {
    /// The title: a text in which `{{ parameters.x }}` and `{{ event.x }}` may stand. It is the commit's subject too.
    pub title: String,
    /// The first paragraphs of the body, in Markdown; what changed and why is added by KubeOps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Labels to put on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Users, or `organisation/team`, asked for a review.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<String>,
}
