//! What of a server's tools a model may be shown. A description is somebody else's text in the model's instructions, so it is bounded,
//! freed of secrets and said to be the server's; a tool that says it changes something is refused.

use super::super::{Redactor, TextKind, Tool};
use super::ToolError;
use crate::inventory::McpToolSpec;
use crate::types::McpServerName;
use serde_json::Value;

/// The longest description that is shown, in characters.
const MAX_DESCRIPTION: usize = 4_000;
/// What stands where one was cut.
const CUT: &str = " (cut here)";
/// The largest schema that is shown, in bytes of JSON.
const MAX_SCHEMA: usize = 16 * 1024;
/// How deep a schema may be nested.
const MAX_DEPTH: usize = 24;

/// A tool as its server describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct OfferedTool {
    /// Its name there.
    pub name: String,
    /// What it does, in the server's words.
    pub description: String,
    /// JSON Schema of its arguments.
    pub schema: Value,
    /// Whether it says that it changes nothing.
    pub reads_only: Option<bool>,
    /// Whether it says that it destroys something.
    pub destroys: Option<bool>,
}

impl OfferedTool {
    pub(super) fn of(tool: rmcp::model::Tool) -> Self {
        let annotations = tool.annotations.unwrap_or_default();
        Self {
            name: tool.name.into_owned(),
            description: tool.description.unwrap_or_default().into_owned(),
            schema: Value::Object(tool.input_schema.as_ref().clone()),
            reads_only: annotations.read_only_hint,
            destroys: annotations.destructive_hint,
        }
    }
}

/// The tool that an author lets through, of those a server offers, as far as a model may be shown it. It is not freed of secrets yet.
///
/// # Errors
/// [`ToolError::Unfit`] when it is not there, says that it changes something, or has a schema that no model could be given.
pub fn fit(server: &McpServerName, wanted: &McpToolSpec, offered: &[OfferedTool]) -> Result<Tool, ToolError> {
    let unfit = |reason: &str| ToolError::Unfit { server: server.clone(), tool: wanted.name.clone(), reason: reason.to_owned() };
    let mut named = offered.iter().filter(|tool| tool.name == wanted.name);
    let tool = named.next().ok_or_else(|| unfit("the server has no tool of this name"))?;
    if named.next().is_some() {
        return Err(unfit("the server has two tools of this name"));
    }
    if tool.reads_only == Some(false) || tool.destroys == Some(true) {
        return Err(unfit("it says that it does not only read"));
    }
    if tool.schema.get("type").is_some_and(|kind| kind != "object") {
        return Err(unfit("its arguments are no object"));
    }
    if deeper_than(&tool.schema, MAX_DEPTH) {
        return Err(unfit("the schema of its arguments is nested too deeply"));
    }
    if tool.schema.to_string().len() > MAX_SCHEMA {
        return Err(unfit("the schema of its arguments is too large"));
    }
    let mut parameters = tool.schema.clone();
    if let Value::Object(fields) = &mut parameters {
        ["$schema", "$id", "title"].iter().for_each(|key| drop(fields.shift_remove(*key)));
        fields.entry("type").or_insert_with(|| "object".into());
        fields.entry("properties").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    let description = match tool.description.trim() {
        "" => format!("A tool of the server {server}, which says nothing of it."),
        said => format!("A tool of the server {server}, in its words: {said}"),
    };
    Ok(Tool { name: wanted.shown(server), description, parameters })
}

impl Redactor {
    /// A server's tool without what must not leave, in its description and in every text of its schema. Given what it gave before, it changes nothing.
    pub fn redact_tool(&mut self, tool: &Tool) -> Tool {
        let description = self.redact(&tool.description, TextKind::Other);
        let description = match description.char_indices().nth(MAX_DESCRIPTION) {
            Some((end, _)) if &description[end..] != CUT => format!("{}{CUT}", &description[..end]),
            _ => description,
        };
        Tool { name: tool.name.clone(), description, parameters: self.redact_texts(&tool.parameters) }
    }

    /// A value in which every text has passed [`Self::redact`], the names of fields as well.
    pub fn redact_texts(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.redact(text, TextKind::Other)),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.redact_texts(item)).collect()),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, field)| (self.redact(name, TextKind::Other), self.redact_texts(field)));
                Value::Object(fields.collect())
            }
            plain => plain.clone(),
        }
    }
}

fn deeper_than(value: &Value, most: usize) -> bool {
    let below = |value: &Value| most == 0 || deeper_than(value, most - 1);
    match value {
        Value::Array(items) => items.iter().any(below),
        Value::Object(fields) => fields.values().any(below),
        _ => false,
    }
}
