//! A model's answer: operations with literal values, and what it says to people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a model proposes. Its JSON Schema is what the model is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// What is to be done, in order, each on what those before left.
    pub operations: Vec<Operation>,
    /// Why, for the people who review it.
    pub explanation: String,
}

/// One thing to be done. Files are named below the target's path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Operation {
    /// Changes fields of an object there is; everything else in its file stays as it is, byte for byte.
    Edit {
        /// The file; without it the object is looked for below the target's path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// The object, as `kind/namespace/name`; not needed where the file has one document.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<String>,
        /// The fields that get a value: path (`spec.template.spec.containers[name=api].image`) and value.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        set: Map<String, Value>,
        /// The mappings that are merged field by field (RFC 7386): path and mapping.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        merge: Map<String, Value>,
        /// The lists that get an element at their end: path and element.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        append: Map<String, Value>,
        /// The fields and elements that go, by path.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        remove: Vec<String>,
    },
    /// Puts a text in the place of another that stands in a file exactly once.
    Replace {
        /// The file.
        file: String,
        /// What stands there now, exactly once, to the byte.
        search: String,
        /// What stands there afterwards.
        replace: String,
    },
    /// Writes a whole file: a new one, or a small one anew.
    File {
        /// The file.
        file: String,
        /// All of it.
        content: String,
    },
    /// Takes a file, or an object, away.
    Remove {
        /// The file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// The object, as `kind/namespace/name`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<String>,
    },
}

impl Answer {
    /// Reads what a model gave.
    ///
    /// # Errors
    /// A sentence with the place.
    pub fn parse(value: &Value) -> Result<Self, AnswerError> {
        Self::deserialize(value).map_err(|error| AnswerError(error.to_string()))
    }
}

/// Why an answer is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AnswerError(pub String);
