//! A model's answer: operations with literal values, and what it says to people.

use crate::automation::AnswerFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Operations of an answer, at most.
const MAX_OPERATIONS: usize = 50;
/// The longest file an answer may write, and the longest piece of one it may put in another's place, in bytes.
const MAX_FILE: usize = 64 * 1024;
/// All texts of an answer, in bytes.
const MAX_TEXT: usize = 256 * 1024;
/// Mappings and lists within each other.
const MAX_DEPTH: usize = 64;
/// Characters of a message of the reader's that are repeated.
const MAX_MESSAGE: usize = 300;

/// What a model proposes. Its JSON Schema is what the model is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "A whole change, and why.")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// What is to be done, in order, each on what those before left.
    pub operations: Vec<Operation>,
    /// Why, for the people who review it.
    pub explanation: String,
}

/// One thing to be done. Files are named from the repository's root.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", rename_all_fields = "camelCase", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "an answer has fifty at most")]
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

/// Why an answer is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AnswerError(pub String);

impl AnswerError {
    fn at(place: &str, message: impl std::fmt::Display) -> Self {
        let message: String = message.to_string().chars().take(MAX_MESSAGE).collect();
        Self(if place.is_empty() { message } else { format!("{place}: {message}") })
    }
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// A field that is unknown, missing or of another type, or an answer beyond its bounds, with its place as a JSON pointer.
    pub fn parse(value: &Value) -> Result<Self, AnswerError> {
        let Value::Object(fields) = value else { return Err(AnswerError::at("", "an answer is an object with `operations` and `explanation`")) };
        let mut room = MAX_TEXT;
        weigh(value, 0, &mut room).ok_or_else(|| {
            AnswerError::at("", format!("the texts of an answer have {MAX_TEXT} bytes together at most, within {MAX_DEPTH} levels of nesting"))
        })?;
        if let Some(other) = fields.keys().find(|key| !matches!(key.as_str(), "operations" | "explanation")) {
            return Err(AnswerError::at("", format!("there is no field `{other}`: an answer has `operations` and `explanation`")));
        }
        let Some(Value::String(explanation)) = fields.get("explanation") else {
            return Err(AnswerError::at("/explanation", "a text is wanted here, for the people who review the change"));
        };
        let Some(Value::Array(operations)) = fields.get("operations") else {
            return Err(AnswerError::at("/operations", "a list of operations is wanted here"));
        };
        if operations.len() > MAX_OPERATIONS {
            return Err(AnswerError::at("/operations", format!("{} operations; {MAX_OPERATIONS} are allowed", operations.len())));
        }
        let read = |(number, operation): (usize, &Value)| Operation::read(operation, &format!("/operations/{number}"));
        let operations = operations.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { operations, explanation: explanation.clone() })
    }

    /// The JSON Schema of an answer in these formats, in every one where there is none; what it describes is held by [`Self::parse`].
    pub fn schema(formats: &[AnswerFormat]) -> Value {
        let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<Self>().to_value();
        if let Some(Value::Array(ways)) = schema.pointer_mut("/properties/operations/items/oneOf") {
            ways.retain(|way| {
                let is = |format: &AnswerFormat| way.pointer(&format!("/properties/{}", format.as_str())).is_some();
                formats.is_empty() || formats.iter().any(is) || way.pointer("/properties/remove").is_some()
            });
        }
        schema
    }
}

impl Operation {
    fn read(value: &Value, place: &str) -> Result<Self, AnswerError> {
        let named = value.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.keys().next());
        let Some(way) = named else {
            return Err(AnswerError::at(place, "an operation is an object with one field: `edit`, `replace`, `file` or `remove`"));
        };
        let place = format!("{place}/{}", way.chars().take(20).collect::<String>());
        let operation: Self = serde_json::from_value(value.clone()).map_err(|error| AnswerError::at(&place, error))?;
        let wrong = match &operation {
            Self::Edit { file: None, object: None, .. } | Self::Remove { file: None, object: None } => {
                Some("what is meant is named by its `file`, its `object`, or both".to_owned())
            }
            Self::Replace { search, .. } if search.is_empty() => Some("`search` is empty, which stands everywhere".to_owned()),
            Self::Replace { search, replace, .. } => too_long(search).or_else(|| too_long(replace)),
            Self::File { content, .. } => too_long(content),
            _ => None,
        };
        wrong.map_or(Ok(operation), |wrong| Err(AnswerError::at(&place, wrong)))
    }

    /// The format it belongs to; none for what is taken away, which needs no words.
    pub(super) fn format(&self) -> Option<AnswerFormat> {
        match self {
            Self::Edit { .. } => Some(AnswerFormat::Edit),
            Self::Replace { .. } => Some(AnswerFormat::Replace),
            Self::File { .. } => Some(AnswerFormat::File),
            Self::Remove { .. } => None,
        }
    }
}

fn too_long(text: &str) -> Option<String> {
    (text.len() > MAX_FILE).then(|| format!("a text of {} bytes; {MAX_FILE} are allowed", text.len()))
}

/// Takes the texts of a value from what is left; none where that, or the depth, is used up.
fn weigh(value: &Value, depth: usize, room: &mut usize) -> Option<()> {
    let mut take = |bytes: usize| {
        *room = room.checked_sub(bytes)?;
        Some(())
    };
    if depth > MAX_DEPTH {
        return None;
    }
    match value {
        Value::String(text) => take(text.len()),
        Value::Array(items) => {
            take(items.len())?;
            items.iter().try_for_each(|item| weigh(item, depth + 1, room))
        }
        Value::Object(fields) => {
            take(fields.keys().map(|key| key.len() + 1).sum())?;
            fields.values().try_for_each(|value| weigh(value, depth + 1, room))
        }
        _ => Some(()),
    }
}
