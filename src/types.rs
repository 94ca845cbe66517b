//! Values parsed once, at the edge, into types that cannot be wrong.
//! Past the edge nobody checks again: a function that takes a [`ManifestPath`] needs no path check of its own.
//! Pure: no I/O, no clock, no environment.

mod causes;
mod diff;
mod duration;
mod identity;
mod ids;
mod kubernetes;
mod link_icon;
mod listed;
mod loopback;
mod names;
mod nearest;
mod paths;
mod pattern;
mod quantity;
mod refs;
mod remote_url;
mod spec;
mod timestamp;
mod trace_parent;
pub(crate) mod wildcard;
mod withheld;

pub(crate) use causes::with_causes;
pub use diff::{ChangeKind, FilePatch, TreeDiff};
pub(crate) use duration::DURATION;
pub use duration::SpecDuration;
pub use identity::Identity;
pub(crate) use identity::is_invisible;
pub use ids::{DeliveryId, EventId, RequestId, SuggestionId, TaskId, TokenId};
pub use kubernetes::{KubernetesVersion, UnknownKinds};
pub use link_icon::LinkIcon;
pub(crate) use listed::listed;
pub use loopback::is_loopback;
pub(crate) use names::SECRET_NAME;
pub use names::{AutomationName, CalendarName, ChannelName, ClusterName, McpServerName, RepositoryName, SecretName, SourceName, TemplateName};
pub(crate) use nearest::{nearest, nearest_within};
pub(crate) use paths::below;
pub use paths::{DirectoryPath, ManifestPath};
pub(crate) use pattern::look_around;
pub use quantity::{Quantity, QuantityError, Rounding};
pub use refs::{BranchName, CommitSha};
pub use remote_url::{PlainHttp, RemoteUrl, SshPlace};
pub use spec::SpecError;
pub use timestamp::Timestamp;
pub use trace_parent::TraceParent;
pub use withheld::Withheld;

/// Why a text is not a value of the wanted type. The message names the value, the rule and, where there is one, the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {what}: {rule}")]
pub struct ParseError {
    /// What was wanted, as a user would call it ("branch name").
    pub what: &'static str,
    /// The refused text, shortened to 120 characters.
    pub value: String,
    /// The rule it breaks.
    pub rule: String,
}

impl ParseError {
    pub(crate) fn new(what: &'static str, value: &str, rule: impl Into<String>) -> Self {
        Self { what, value: value.chars().take(120).collect(), rule: rule.into() }
    }
}

/// How an error is to be treated: it decides retry, wording and exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Somebody's input is wrong: say what and how to mend it; never retried by itself.
    User,
    /// The world is busy or away: the same step may succeed later.
    Transient,
    /// It will not succeed by waiting: a lost permission, a missing repository.
    Permanent,
    /// Ours: should not happen.
    Bug,
}

impl ErrorClass {
    /// The word for it in metrics and traces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Bug => "bug",
        }
    }
}

/// Text types share serde, ordering, display and a JSON Schema pattern.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $pattern:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::types::ParseError;
            fn try_from(value: String) -> Result<Self, Self::Error> {
                value.parse()
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}
pub(crate) use text_type;
