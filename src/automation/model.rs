//! The `spec:` of a document of kind `Automation`, as its author writes it.

use super::draft::DraftSpec;
use super::feedback::FeedbackSpec;
use super::seal::SealSpec;
use super::storm::{DebounceSpec, GroupSpec, LimitsSpec};
use super::ttl::TtlSpec;
use super::withdraw::WithdrawSpec;
use crate::event::EventType;
use crate::types::{CalendarName, SourceName, TemplateName};
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
    /// Which events it looks at. One that only operators ask, for jobs (`draft.jobs`) or by the copilot (`copilot`), needs none.
    #[serde(default, skip_serializing_if = "Trigger::is_none")]
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
    /// When a request is taken back. An automation about alerts that fire (`types: [alert.firing]`) takes a request back when its alert
    /// resolves, unless something else is said here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdraw: Option<WithdrawSpec>,
    /// Offers it to operators who say in a sentence what they want (`kubeops copilot`, `POST /api/v1/copilot`): a language model picks it by its
    /// `description` and fills its parameters by their schemas.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub copilot: bool,
    /// Values taken from the event (or given by a person), each checked against its schema.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, ParameterSpec>,
    /// Where the change goes.
    pub target: TargetSpec,
    /// Files written from templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub render: Vec<RenderSpec>,
    /// Changes to files there are, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edit: Vec<EditSpec>,
    /// Files and objects that go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<RemoveSpec>,
    /// Has a language model draft the change, where no template and no edit fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<DraftSpec>,
    /// How long the change is wanted, such as `4h`, or CEL over `event` and `parameters` that gives that (`null`: for good); or that with how
    /// the time begins and ends. When it is over, the pull request that takes the change back is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<TtlSpec>,
    /// Name of a `Calendar` that says when its changes may take effect, beside that of the cluster they go to. `none`: always, whatever
    /// the cluster says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarName>,
    /// What the commit says beside what its repository decides.
    #[serde(default, skip_serializing_if = "CommitSpec::is_empty")]
    pub commit: CommitSpec,
    /// How the pull request looks.
    pub pull_request: PullRequestSpec,
    /// What is told of its requests, and where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feedback: Vec<FeedbackSpec>,
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

impl Default for Trigger {
    fn default() -> Self {
        Self { source: OneOrMany::Many(Vec::new()), types: Vec::new() }
    }
}

impl Trigger {
    fn is_none(&self) -> bool {
        self.sources().next().is_none()
    }

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
    /// Secrets that are sealed into the file, for a template that takes `encryptedData`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<SealSpec>,
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

/// What the commit says beside what its repository decides.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommitSpec {
    /// Who is named as co-author, such as the ticket's reporter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub co_authors: Vec<CoAuthorSpec>,
}

impl CommitSpec {
    fn is_empty(&self) -> bool {
        self.co_authors.is_empty()
    }
}

/// A person named as co-author: left out when the name or the address is missing or `null`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CoAuthorSpec {
    /// CEL over `event` and `parameters`: the name.
    pub name: String,
    /// CEL over `event` and `parameters`: the e-mail address.
    pub email: String,
}

/// Changes to a file there is: everything else in it stays as it is, byte for byte. Within one entry the operations are done in the order
/// in which they stand here.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EditSpec {
    /// The file, below the target's path: a text in which `{{ parameters.x }}` may stand; a value never adds a directory. Without it the
    /// object is looked for in every file below the target's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The object, as `kind/namespace/name` (`Deployment/web/api`, `Namespace//web`): a text in which `{{ parameters.x }}` may
    /// stand. Not needed where the file has one document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The fields that get a value: the field's path (`spec.replicas`, `spec.containers[name=api].image`,
    /// `metadata.annotations["example.com/owner"]`), and CEL over `event` and `parameters`. `null` leaves a field as it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// The numbers and quantities that grow: the field's path, and by how much (`1`, `256Mi`, `20%`, CEL), or that with bounds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub increase: BTreeMap<String, AmountSpec>,
    /// The numbers and quantities that are multiplied: the field's path, and the factor (`1.5`, CEL), or that with bounds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub multiply: BTreeMap<String, AmountSpec>,
    /// The mappings that get fields: the mapping's path, and CEL for a mapping. Mappings are merged field by field, `null` takes a field
    /// out, everything else takes the place of what was there (RFC 7386).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub merge: BTreeMap<String, String>,
    /// The lists that get an element at their end: the list's path, and CEL for the element.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub append: BTreeMap<String, String>,
    /// The lists that must have an element: the list's path, and CEL for the element, or that with the field elements are told apart by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ensure: BTreeMap<String, ElementSpec>,
    /// The fields and elements that go, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// By how much a field changes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AmountSpec {
    /// The amount alone.
    Amount(Amount),
    /// With bounds.
    Bounded(BoundedSpec),
}

/// An amount with bounds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BoundedSpec {
    /// By how much.
    pub by: Amount,
    /// The value is never lowered below this; one that is lower already stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Amount>,
    /// The value is never raised above this; one that is higher already stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Amount>,
    /// How a result is rounded that the field cannot hold, such as half a replica.
    #[serde(default)]
    pub round: RoundSpec,
}

/// An amount as its author writes it: a number, a quantity (`256Mi`, `250m`), a percentage (`20%`), or CEL over `event` and `parameters`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Amount {
    /// A number.
    Number(serde_json::Number),
    /// Anything else.
    Text(String),
}

/// How a result is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoundSpec {
    /// To the next one above.
    #[default]
    Up,
    /// To the next one below.
    Down,
    /// To the nearest, halves up.
    Nearest,
}

/// An element that a list must have.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ElementSpec {
    /// One that equals this, CEL over `event` and `parameters`.
    Value(String),
    /// One whose field `key` is that of the value; the value is merged into it.
    Keyed(KeyedSpec),
}

/// An element that is told apart by one of its fields.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyedSpec {
    /// CEL for the element, a mapping.
    pub value: String,
    /// The field, such as `name`.
    pub key: String,
}

/// A file, or an object of one, that goes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoveSpec {
    /// The file, below the target's path: a text in which `{{ parameters.x }}` may stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The object, as `kind/namespace/name`: in the file, or in whichever file below the target's path it stands. A file that is left
    /// without an object goes as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What to do when it is not there.
    #[serde(default)]
    pub if_missing: IfMissing,
}

/// What to do when what is to go is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IfMissing {
    /// It is gone already: nothing is to be done.
    #[default]
    Ignore,
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
    /// Users, or `organisation/team`, asked for a review. Who CODEOWNERS asks is the forge's to say, and stays asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<String>,
    /// Users it is assigned to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignees: Vec<String>,
    /// Its milestone: the number, or the title of an open one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milestone: Option<Milestone>,
    /// Whether it is opened as a draft, which nobody can merge before it is marked ready.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draft: bool,
    /// Has the forge merge it by itself, this way, once reviews and checks allow it; on a branch with a merge queue it is queued. The
    /// local forge, which has no checks, does so once a person has approved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MergeMethod")]
    pub auto_merge: Option<MergeMethod>,
}

/// A milestone as its author names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Milestone {
    /// By its number in the repository.
    Number(u64),
    /// By its title.
    Title(String),
}

/// How a pull request is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MergeMethod {
    /// A merge commit.
    Merge,
    /// One commit of all.
    Squash,
    /// The commits anew on the base.
    Rebase,
}
