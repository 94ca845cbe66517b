//! Which tools of MCP servers an automation's model may use, as its author writes it. Whether there are such servers and tools is looked at
//! where the resources are put together.

use crate::types::{McpServerName, SpecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Tools of all servers together: they are sent with every turn.
const MOST_TOOLS: usize = 32;

/// Tools of one MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct McpToolsSpec {
    /// Name of the `McpServer`.
    pub server: McpServerName,
    /// Its tools that the model may use, by their names at the server; each is one that the `McpServer` lets through.
    pub tools: Vec<String>,
    /// Whether the draft begins without them where the server cannot be reached; otherwise it waits and tries again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// What is wrong with `draft.mcp`, as far as it can be said without the servers.
pub(super) fn check(entries: &[McpToolsSpec]) -> Vec<SpecError> {
    let mut errors = Vec::new();
    let mut servers = BTreeSet::new();
    for (index, entry) in entries.iter().enumerate() {
        if !servers.insert(&entry.server) {
            let message = format!("the server {} is named twice", entry.server);
            errors.push(SpecError::new(format!("/draft/mcp/{index}/server"), message).hint("name all of its tools in one entry"));
        }
        if entry.tools.is_empty() {
            errors.push(SpecError::new(format!("/draft/mcp/{index}/tools"), "no tool is offered that is not named here: there is at least one"));
        }
        let mut tools = BTreeSet::new();
        for (at, tool) in entry.tools.iter().enumerate().filter(|(_, tool)| !tools.insert(*tool)) {
            errors.push(SpecError::new(format!("/draft/mcp/{index}/tools/{at}"), format!("the tool {tool:?} is named twice")));
        }
    }
    let all: usize = entries.iter().map(|entry| entry.tools.len()).sum();
    if all > MOST_TOOLS {
        let message = format!("{all} tools; {MOST_TOOLS} are allowed, because they are sent with every turn");
        errors.push(SpecError::new("/draft/mcp", message));
    }
    errors
}
