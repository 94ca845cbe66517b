//! What is told outside of an automation's requests, and where, as its author writes it.
//! Pure: when something is told, and whether it was told already, is decided elsewhere.

use super::{Automation, EVENT_VARIABLES, SpecError, compile_at};
use crate::expression::{Expression, Scope};
use crate::types::{ChannelName, ParseError};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::str::FromStr;

/// What is told on one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeedbackSpec {
    /// Name of a `Channel`.
    pub channel: ChannelName,
    /// CEL over `event`: the key of the issue that is told, on a channel that has issues. By default `event.subject`; a request that a
    /// person asked for directly has no issue, and is not told of there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<String>,
    /// What is said in words. By default everything but that a request was withdrawn.
    #[serde(default = "News::usual", skip_serializing_if = "is_usual")]
    pub tell: Vec<News>,
    /// Whether customers of a service desk see what is said; by default as the channel says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Whether the issue gets a link to the pull request, which shows how it stands.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub link: bool,
    /// What else is done, and other words, by what there is to tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "by_news")]
    pub on: BTreeMap<News, NewsSpec>,
}

/// What there is to tell: the state a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum News {
    /// The pull request is open.
    Proposed,
    /// A reviewer approved it.
    Approved,
    /// It is merged.
    Merged,
    /// What was merged is in force.
    Applied,
    /// What was merged is not well where it was applied.
    Degraded,
    /// It is merged, and nobody has said in time that it is in force.
    Overdue,
    /// There is nothing to change.
    Unchanged,
    /// Validation or policy said no.
    Rejected,
    /// A person closed the pull request.
    Declined,
    /// What asked for it went away.
    Withdrawn,
    /// It is merged, and its time to live is nearly over.
    Expiring,
    /// Its time to live ran out.
    Expired,
    /// Attempts are exhausted.
    Failed,
}

impl News {
    /// Everything there is to tell.
    pub const ALL: [News; 13] = [
        News::Proposed,
        News::Approved,
        News::Merged,
        News::Applied,
        News::Degraded,
        News::Overdue,
        News::Unchanged,
        News::Rejected,
        News::Declined,
        News::Withdrawn,
        News::Expiring,
        News::Expired,
        News::Failed,
    ];

    /// The word an author writes; that of the request's state where it is one.
    pub fn as_str(self) -> &'static str {
        match self {
            News::Proposed => "proposed",
            News::Approved => "approved",
            News::Merged => "merged",
            News::Applied => "applied",
            News::Degraded => "degraded",
            News::Overdue => "overdue",
            News::Unchanged => "unchanged",
            News::Rejected => "rejected",
            News::Declined => "declined",
            News::Withdrawn => "withdrawn",
            News::Expiring => "expiring",
            News::Expired => "expired",
            News::Failed => "failed",
        }
    }

    fn usual() -> Vec<News> {
        Self::ALL.into_iter().filter(|news| *news != News::Withdrawn).collect()
    }
}

impl FromStr for News {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|news| news.as_str() == text)
            .ok_or_else(|| ParseError::new("state to tell of", text, format!("known are {}", known())))
    }
}

/// A field for each piece of news there is: a word that is none is refused where it stands.
fn by_news(generator: &mut SchemaGenerator) -> Schema {
    let spec = generator.subschema_for::<NewsSpec>();
    let fields: Map<String, Value> = News::ALL.into_iter().map(|news| (news.as_str().to_owned(), spec.clone().to_value())).collect();
    json_schema!({ "type": "object", "additionalProperties": false, "properties": fields })
}

fn is_usual(told: &[News]) -> bool {
    told == News::usual()
}

fn yes() -> bool {
    true
}

/// What is done about one piece of news.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewsSpec {
    /// What is said instead of the usual words, in Markdown: a text in which `{{ event.x }}`, `{{ parameters.x }}`, `{{ pull.number }}`,
    /// `{{ request.id }}`, `{{ message }}` and `{{ changes | fence }}` may stand. Where the pull request and the request are is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub say: Option<String>,
    /// The status the issue moves to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<TransitionSpec>,
    /// Labels that come and go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelsSpec>,
    /// Fields that are set, by their ids: a text in which the same may stand as in `say`, or any other value as Jira's API takes it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
    /// Whose the issue becomes: the account id in the cloud, the user's name in a Data Center; `""` is nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
}

/// Where an issue moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TransitionSpec {
    /// To the status of this name.
    Status(String),
    /// With fields.
    With(TransitionWithSpec),
}

/// Where an issue moves, and what the move is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransitionWithSpec {
    /// The status, by name.
    pub to: String,
    /// The resolution, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// Fields of the transition, as Jira's API takes them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

/// Labels that come and go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelsSpec {
    /// Those it has afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    /// Those it has no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

impl NewsSpec {
    /// Whether it does something that only an issue can have done to it.
    pub fn needs_issue(&self) -> bool {
        self.transition.is_some() || self.labels.is_some() || !self.fields.is_empty() || self.assignee.is_some()
    }
}

impl Automation {
    /// The key of the issue that is told of the event's request under this entry of `feedback`.
    ///
    /// # Errors
    /// A sentence, when there is none.
    pub fn issue(&self, entry: usize, scope: &Scope<'_>) -> Result<String, String> {
        match self.issues.get(entry) {
            Some(issue) => super::key(&format!("feedback[{entry}].issue"), issue, scope),
            None => Err("there is no such entry".to_owned()),
        }
    }
}

/// The expressions for the issues, one for each entry.
pub(super) fn compile(specs: &[FeedbackSpec], errors: &mut Vec<SpecError>) -> Vec<Expression> {
    let mut issues = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        if let Some(first) = specs.iter().position(|other| other.channel == spec.channel).filter(|first| *first < index) {
            let message = format!("`feedback[{first}]` is about the channel {} already", spec.channel);
            errors.push(SpecError::new(format!("/feedback/{index}/channel"), message).hint("write both into one entry"));
        }
        let issue = spec.issue.as_deref().unwrap_or("event.subject");
        issues.extend(compile_at(issue, &format!("/feedback/{index}/issue"), EVENT_VARIABLES, errors));
    }
    issues
}
