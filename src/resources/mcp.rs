//! MCP servers of a set, and the tools of them that automations name.

use super::document::{Document, Kind};
use super::set::{ResourceSet, diagnostic, is_broken, no_such, typed};
use super::{Diagnostic, Level};
use crate::automation::{AutomationSpec, McpToolsSpec};
use crate::inventory::{McpPrograms, McpServer, McpServerSpec};
use crate::types::{McpServerName, SpecError, nearest};
use std::sync::Arc;

impl ResourceSet {
    pub(super) fn add_mcp_server(&mut self, document: &Document<'_>, programs: &McpPrograms, found: &mut Vec<Diagnostic>) {
        let Some((name, spec)) = typed::<McpServerName, McpServerSpec>(document, found) else { return };
        found.extend(spec.check(&name, programs).into_iter().map(|error| diagnostic(document, Level::Error, error)));
        self.add_secrets(document, spec.secret_names().cloned());
        self.inventory.mcp_servers.insert(name.clone(), Arc::new(McpServer { name, spec }));
    }

    /// What is wrong with the tools that an automation's model may use: each is one that its server lets through.
    pub(super) fn check_tools(&self, spec: &AutomationSpec, found: &[Diagnostic]) -> Vec<SpecError> {
        let entries = spec.draft.iter().flat_map(|draft| draft.mcp.iter().enumerate());
        entries.flat_map(|(index, entry)| self.check_entry(&format!("/draft/mcp/{index}"), entry, found)).collect()
    }

    fn check_entry(&self, pointer: &str, entry: &McpToolsSpec, found: &[Diagnostic]) -> Vec<SpecError> {
        if is_broken(found, Kind::McpServer, entry.server.as_str()) {
            return Vec::new();
        }
        let Some(server) = self.inventory.mcp_servers.get(&entry.server) else {
            let known: Vec<&str> = self.inventory.mcp_servers.keys().map(|name| name.as_str()).collect();
            return vec![no_such(&format!("{pointer}/server"), Kind::McpServer, entry.server.as_str(), &known)];
        };
        let names = || server.spec.tools.iter().map(|tool| tool.name.as_str());
        let unknown = entry.tools.iter().enumerate().filter(|(_, tool)| server.spec.tool(tool).is_none());
        let error = |(at, tool): (usize, &String)| {
            let message = format!("the MCP server {} does not let through a tool {:?}", entry.server, tool.chars().take(80).collect::<String>());
            let hint = match nearest(tool, names()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("it lets through: {}", names().collect::<Vec<_>>().join(", ")),
            };
            SpecError::new(format!("{pointer}/tools/{at}"), message).hint(hint)
        };
        unknown.map(error).collect()
    }
}
