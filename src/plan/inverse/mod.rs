//! What takes a change back: computed when the change is planned, kept with the request, and made on whatever the base is by then.
//! A file nobody else has touched gets the very bytes it had. In one that went on living, each field is put back that still says
//! what the change made of it; what somebody else has changed since is left to them, and told.

mod apply;
mod compare;
mod lines;

use super::{BaseTree, ChangeSet, FileChange, Note, PlanError};
use crate::manifest::{Document, Limits, ObjectAddress, holds_secrets, parse};
use crate::types::ManifestPath;
use compare::steps;
use lines::{Stretch, stretches};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The most that is kept of one change, in bytes of text.
const MAX_BYTES: usize = 512 * 1024;

/// What takes a change back, file by file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Inverse {
    files: BTreeMap<ManifestPath, Undo>,
}

/// What takes the change of one file back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Undo {
    /// SHA-256 in hex of what the change made of the file; none when it removed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is: Option<String>,
    /// What the file said before; none when it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    was: Option<String>,
    /// What to do where the file says something else by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Step>,
    /// The same as lines, for the bytes that steps do not know: comments, quotes, the order of fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stretches: Vec<Stretch>,
}

/// One thing to put back in a file that somebody else has changed as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// A field that was changed, added (`was` is none) or taken out (`is` is none).
    Field {
        /// The object, as `kind.group/namespace/name`; none where the file's only document is no object.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<String>,
        /// Its path.
        field: String,
        /// What it was.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
        was: Option<Value>,
        /// What the change made of it.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
        is: Option<Value>,
    },
    /// An element that was taken out of a list.
    Element {
        /// As of a field.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<String>,
        /// The list's path.
        list: String,
        /// The field that tells its elements apart; empty where they are scalars.
        #[serde(default)]
        key: String,
        /// What it was.
        was: Value,
    },
    /// An object that was added.
    Object {
        /// Which.
        object: String,
        /// SHA-256 in hex of what the change made it say ([`said`]). Of one that was kept without it nobody knows, and it stays.
        #[serde(default)]
        is: String,
    },
    /// A document that was taken out.
    Document {
        /// Its text.
        text: String,
    },
}

/// A value that is there, `null` too: a field that says nothing is another thing than no field.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// What came of an inverse on today's base.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undone {
    /// The change that takes back what can be.
    pub change: ChangeSet,
    /// What somebody else has changed since, and why it is left to them.
    pub left: Vec<Note>,
}

impl Inverse {
    /// What takes `change` back from where `base` was.
    ///
    /// # Errors
    /// [`PlanError::Object`] when that cannot be kept: a Secret is touched, whose values are not stored, or there is too much of it.
    pub fn of(change: &ChangeSet, base: &dyn BaseTree) -> Result<Self, PlanError> {
        let mut inverse = Self::default();
        for (path, file) in &change.files {
            let before = base.read(path)?;
            let after = match file {
                FileChange::Write(bytes) if before.as_ref() == Some(bytes) => continue,
                FileChange::Write(bytes) => Some(bytes.as_slice()),
                FileChange::Remove if before.is_none() => continue,
                FileChange::Remove => None,
            };
            inverse.files.insert(path.clone(), Undo::of(path, before, after)?);
        }
        let bytes = serde_json::to_vec(&inverse).map_or(usize::MAX, |text| text.len());
        if bytes > MAX_BYTES {
            return Err(PlanError::Object(format!(
                "what takes this change back has {bytes} bytes, and {MAX_BYTES} are kept: make several requests of it"
            )));
        }
        Ok(inverse)
    }

    /// Whether every file is what the change made of it.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub fn is_of(&self, tree: &dyn BaseTree) -> Result<bool, PlanError> {
        for (path, undo) in &self.files {
            if tree.read(path)?.as_deref().map(digest) != undo.is {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether there is nothing to take back.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files it is about.
    pub fn files(&self) -> impl Iterator<Item = &ManifestPath> {
        self.files.keys()
    }
}

impl Undo {
    fn of(path: &ManifestPath, before: Option<Vec<u8>>, after: Option<&[u8]>) -> Result<Self, PlanError> {
        let refuse = |why: &str| PlanError::Object(format!("the change of {path} cannot be taken back later: {why}"));
        let is = after.map(digest);
        let Some(before) = before else { return Ok(Self { is, was: None, steps: Vec::new(), stretches: Vec::new() }) };
        let before = String::from_utf8(before).map_err(|_| refuse("what it says now is not UTF-8"))?;
        let old =
            parse(&before, Limits::default()).map_err(|_| refuse("what it says now cannot be read, so nobody knows whether it holds a Secret"))?;
        if old.iter().any(|document| holds_secrets(&document.value)) {
            return Err(refuse("it holds a Secret, and the values of Secrets are not kept"));
        }
        let Some(text) = after.and_then(|bytes| std::str::from_utf8(bytes).ok()) else {
            return Ok(Self { is, was: Some(before), steps: Vec::new(), stretches: Vec::new() });
        };
        let steps = steps(&before, &old, &documents(text));
        let stretches = if steps.is_empty() { Vec::new() } else { stretches(&before, text) };
        Ok(Self { is, was: Some(before), steps, stretches })
    }
}

fn documents(text: &str) -> Vec<Document> {
    parse(text, Limits::default()).unwrap_or_default()
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The digest of what an object says, in whatever order its fields stand.
fn said(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields: BTreeMap<&String, Value> = fields.iter().map(|(key, value)| (key, sorted(value))).collect();
                Value::Object(fields.into_iter().map(|(key, value)| (key.clone(), value)).collect())
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            scalar => scalar.clone(),
        }
    }
    digest(sorted(value).to_string().as_bytes())
}

/// The address of an object, with its group.
fn address(object: &crate::manifest::ObjectRef) -> String {
    ObjectAddress::exactly(object).to_string()
}
