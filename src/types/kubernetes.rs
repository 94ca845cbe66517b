//! What manifests are held against: the Kubernetes minors whose schemas are known, and what to do about unknown kinds.

use super::ParseError;
use std::str::FromStr;

/// A Kubernetes minor whose schemas are embedded, such as `1.33`. The default is the oldest: what a cluster that does not
/// say its own is certain to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KubernetesVersion {
    minor: u16,
}

/// The embedded minors, oldest first; a test holds them against the schemas.
const MINORS: [u16; 5] = [33, 34, 35, 36, 37];

impl KubernetesVersion {
    /// Every version there are schemas for, oldest first.
    pub fn supported() -> [Self; MINORS.len()] {
        MINORS.map(|minor| Self { minor })
    }

    /// The newest.
    pub fn newest() -> Self {
        Self { minor: MINORS[MINORS.len() - 1] }
    }

    /// The part after `1.`.
    pub fn minor(self) -> u16 {
        self.minor
    }
}

impl Default for KubernetesVersion {
    fn default() -> Self {
        Self { minor: MINORS[0] }
    }
}

impl std::fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "1.{}", self.minor)
    }
}

impl FromStr for KubernetesVersion {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::supported().into_iter().find(|version| version.to_string() == text).ok_or_else(|| {
            let known: Vec<String> = Self::supported().iter().map(ToString::to_string).collect();
            ParseError::new("Kubernetes version", text, format!("schemas are known for {}", known.join(", ")))
        })
    }
}

impl TryFrom<String> for KubernetesVersion {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<KubernetesVersion> for String {
    fn from(version: KubernetesVersion) -> String {
        version.to_string()
    }
}

impl schemars::JsonSchema for KubernetesVersion {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "KubernetesVersion".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "enum": Self::supported().map(|version| version.to_string()) })
    }
}

/// What to do with an object whose kind has no schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownKinds {
    /// The change is refused.
    Deny,
    /// The reviewer is told.
    #[default]
    Warn,
    /// Nothing is said.
    Allow,
}
