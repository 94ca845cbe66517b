//! What a language model may do for an automation, as its author writes it. The limits here are held by code (`plan::drafted`), whatever
//! the model is told and whatever it answers.

use super::{AutomationSpec, McpToolsSpec, mcp};
use crate::types::{SpecDuration, SpecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most turns an author may allow.
const MOST_TURNS: u32 = 100;
/// The most revisions an author may allow: a request is drafted 20 times at most, also for other reasons.
const MOST_REVISIONS: u32 = 15;
/// The longest an author may let a draft take.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// The longest instructions, in bytes: they are sent with every turn.
const MAX_INSTRUCTIONS: usize = 32 * 1024;
/// Entries of each list.
const MAX_ENTRIES: usize = 50;
/// The highest price and budget, in whatever currency.
const MOST_MONEY: f64 = 1_000_000.0;

/// Has a language model draft the change. It reads what it may read, and answers with a change that goes through the same gate as every
/// other; what it may touch is said here. A person merges it: its pull request is opened as a draft and never merges by itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DraftSpec {
    /// What the model is to do. The event and the parameters are given to it beside this, as data; no value is put into this text.
    pub instructions: String,
    /// The files it may read beside those it may write: globs below the target's path, or from the repository's root with a leading `/`.
    /// `**` stands for any directories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// The files it may change, add or remove: globs below the target's path. Files and directories whose names begin with a dot are
    /// never among them.
    pub write: Vec<String>,
    /// What it may do to which objects; what is not said here is refused.
    pub allow: Vec<AllowSpec>,
    /// The images it may bring in: patterns for repository and tag (`ghcr.io/example/*`), `*` for any text. Without them a container
    /// keeps the repository of its image, and an object that is new brings none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// The Markdown files it may search for how things are done here: globs as in `read`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runbooks: Vec<String>,
    /// Tools of MCP servers it may use beside those that read the repository; what is not said here is not offered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mcp: Vec<McpToolsSpec>,
    /// What is withheld from the model beside what is known to be secret: regular expressions, of which the first group alone counts where
    /// there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withhold: Vec<String>,
    /// Whether operators may have it draft what they ask for in their own words: `kubeops jobs start`, `POST /api/v1/jobs`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub jobs: bool,
    /// In which ways it may answer; without them in every way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formats: Vec<AnswerFormat>,
    /// Answers of the model before the draft counts as failed, 1 to 100.
    #[serde(default = "fifteen")]
    pub max_turns: u32,
    /// How often people may have one pull request revised by the model, 0 to 15.
    #[serde(default = "ten")]
    pub max_revisions: u32,
    /// How long the draft may take altogether.
    #[serde(default = "an_hour")]
    pub timeout: SpecDuration,
    /// What it may cost.
    #[serde(default)]
    pub budget: BudgetSpec,
    /// Which model, where not the one of the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelSpec>,
    /// Worked examples the model is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<ExampleSpec>,
}

/// What a model may do to objects of some kinds.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowSpec {
    /// The kinds, as `Deployment` or, of one API group alone, `Ingress.networking.k8s.io` (`Service.core` for the group without a name).
    /// `*` stands for all but those that live in no namespace, give rights, hold secrets or steer a delivery tool, which are named or
    /// refused. `none` stands for documents that are no objects, such as the values of a Helm chart.
    pub kinds: Vec<String>,
    /// The fields of an object there is that may change, each with everything below it: `spec.replicas`, `spec.template.spec.containers[*].resources`,
    /// `metadata.labels.*`. Without them none may change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Whether it may add objects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub add: bool,
    /// Whether it may remove objects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove: bool,
}

/// A way in which a model says what is to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswerFormat {
    /// Operations on fields of objects, as in `edit`.
    Edit,
    /// A piece of a file's text, found exactly once, and what takes its place.
    Replace,
    /// A whole file, new or small.
    File,
}

impl AnswerFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Edit, Self::Replace, Self::File];

    /// The word used in documents and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Replace => "replace",
            Self::File => "file",
        }
    }
}

/// What the drafts of an automation may cost. Each call is reckoned at the most it can cost before it is made, and at what it did cost
/// afterwards; a call that may go beyond a budget is not made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BudgetSpec {
    /// Tokens one request may use, those sent and those answered together.
    #[serde(default = "half_a_million")]
    pub tokens: u64,
    /// What one request may cost, in the currency of the model's prices, which must be known then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// What all requests of the automation may use in a day (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<DayBudgetSpec>,
}

impl Default for BudgetSpec {
    fn default() -> Self {
        Self { tokens: half_a_million(), cost: None, per_day: None }
    }
}

/// A budget for a day.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DayBudgetSpec {
    /// Tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

/// Who offers a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// A server of one's own that speaks OpenAI's chat completions: vLLM, Ollama and others, at `LLM_LOCAL_URL`.
    Local,
    /// OpenAI.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Google (Gemini).
    Google,
    /// xAI.
    Xai,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 5] = [Self::Local, Self::OpenAi, Self::Anthropic, Self::Google, Self::Xai];

    /// The word used in settings, documents and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Google => "google",
            Self::Xai => "xai",
        }
    }
}

impl std::str::FromStr for Provider {
    type Err = crate::types::ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|provider| provider.as_str()).collect();
            crate::types::ParseError::new("provider of language models", text, format!("known are {}", known.join(", ")))
        })
    }
}

/// Which model drafts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelSpec {
    /// Who offers it, where not `LLM_PROVIDER`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// Its name there, where not the provider's of the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Tokens one answer may have, where not `LLM_MAX_TOKENS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceSpec>,
}

/// What a million tokens cost, in whatever currency budgets are written in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceSpec {
    /// A million tokens sent.
    pub input: f64,
    /// A million tokens answered.
    pub output: f64,
}

/// A worked example.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExampleSpec {
    /// What was asked for.
    pub task: String,
    /// The answer, in the form the model gives: see docs/drafts.md.
    pub answer: serde_json::Value,
}

/// What is wrong with `draft`, as far as it can be said without compiling its patterns.
pub(super) fn check(spec: &AutomationSpec) -> Vec<SpecError> {
    let Some(draft) = &spec.draft else { return Vec::new() };
    let mut errors = Vec::new();
    if !(spec.render.is_empty() && spec.edit.is_empty() && spec.remove.is_empty()) {
        errors.push(
            SpecError::new("/draft", "an automation has its change drafted, or makes it itself: `draft` stands alone")
                .hint("leave `render`, `edit` and `remove` out, or make two automations of it"),
        );
    }
    if spec.group.is_some() {
        errors.push(SpecError::new("/draft", "a model drafts one request at a time: leave `group` or `draft` out"));
    }
    if spec.pull_request.auto_merge.is_some() {
        errors.push(SpecError::new("/pullRequest/autoMerge", "what a model drafted is merged by a person: leave `autoMerge` or `draft` out"));
    }
    match draft.instructions.trim().len() {
        0 => errors.push(
            SpecError::new("/draft/instructions", "the model is told what to do")
                .hint("instructions: Give the workload that the ticket names what it asks for."),
        ),
        1..=MAX_INSTRUCTIONS => {}
        length => errors.push(SpecError::new(
            "/draft/instructions",
            format!("{length} bytes; {MAX_INSTRUCTIONS} are allowed, because they are sent with every turn"),
        )),
    }
    for (field, length, needed) in [
        ("read", draft.read.len(), false),
        ("write", draft.write.len(), true),
        ("allow", draft.allow.len(), true),
        ("images", draft.images.len(), false),
        ("runbooks", draft.runbooks.len(), false),
        ("examples", draft.examples.len(), false),
        ("withhold", draft.withhold.len(), false),
    ] {
        if length > MAX_ENTRIES {
            errors.push(SpecError::new(format!("/draft/{field}"), format!("{length} entries; {MAX_ENTRIES} are allowed")));
        }
        if needed && length == 0 {
            errors.push(SpecError::new(format!("/draft/{field}"), "nothing is allowed that is not said here: it has at least one entry"));
        }
    }
    if draft.max_revisions > MOST_REVISIONS {
        let message = format!("one pull request is revised {MOST_REVISIONS} times at most, and this says {}", draft.max_revisions);
        errors.push(SpecError::new("/draft/maxRevisions", message));
    }
    if !(1..=MOST_TURNS).contains(&draft.max_turns) {
        errors.push(SpecError::new("/draft/maxTurns", format!("a draft has 1 to {MOST_TURNS} turns, and this says {}", draft.max_turns)));
    }
    if draft.timeout.get() > LONGEST || draft.timeout.get().is_zero() {
        errors.push(SpecError::new("/draft/timeout", format!("a draft takes between a second and a day, and this says {}", draft.timeout)));
    }
    for (number, pattern) in draft.withhold.iter().enumerate() {
        if let Err(error) = regex::Regex::new(pattern) {
            errors.push(SpecError::new(format!("/draft/withhold/{number}"), format!("not a regular expression: {error}")));
        }
    }
    errors.extend(mcp::check(&draft.mcp));
    errors.extend(money(draft));
    errors
}

/// What is wrong with budgets and prices.
fn money(draft: &DraftSpec) -> Vec<SpecError> {
    let mut errors = Vec::new();
    let mut amount = |place: &str, value: Option<f64>| {
        if value.is_some_and(|value| !value.is_finite() || !(0.0..=MOST_MONEY).contains(&value)) {
            errors.push(SpecError::new(place, format!("an amount between 0 and {MOST_MONEY} is wanted")));
        }
    };
    amount("/draft/budget/cost", draft.budget.cost);
    amount("/draft/budget/perDay/cost", draft.budget.per_day.as_ref().and_then(|day| day.cost));
    let price = draft.model.as_ref().and_then(|model| model.price);
    amount("/draft/model/price/input", price.map(|price| price.input));
    amount("/draft/model/price/output", price.map(|price| price.output));
    if draft.model.as_ref().is_some_and(|model| model.max_tokens == Some(0)) {
        errors.push(SpecError::new("/draft/model/maxTokens", "an answer of no token says nothing").hint("leave it out for LLM_MAX_TOKENS"));
    }
    if draft.budget.tokens == 0 {
        errors.push(SpecError::new("/draft/budget/tokens", "with a budget of no token nothing can be drafted"));
    }
    errors
}

fn fifteen() -> u32 {
    15
}

fn ten() -> u32 {
    10
}

fn an_hour() -> SpecDuration {
    SpecDuration::from_millis(3_600_000)
}

fn half_a_million() -> u64 {
    500_000
}
