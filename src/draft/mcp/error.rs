//! Why a tool of an MCP server cannot be had.

use crate::types::{ErrorClass, McpServerName};
use std::time::Duration;

/// Why a tool of an MCP server cannot be had. Nothing that was said to the server, and nothing of what it said, stands in here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// It cannot be reached, or the connection broke off.
    #[error("the MCP server {server} cannot be reached: {reason}")]
    Unreachable {
        /// The server.
        server: McpServerName,
        /// Why, in the words of the transport.
        reason: String,
    },
    /// It did not answer in time.
    #[error("the MCP server {server} did not answer within {} s", .within.as_secs())]
    TimedOut {
        /// The server.
        server: McpServerName,
        /// How long was waited.
        within: Duration,
    },
    /// It asks us to wait (429), or is out of order (5xx).
    #[error("the MCP server {server} is not to be had now: HTTP {status}")]
    Busy {
        /// The server.
        server: McpServerName,
        /// The status.
        status: u16,
    },
    /// What it answers is no answer of the protocol, or larger than what is read.
    #[error("what the MCP server {server} answers cannot be read: {reason}")]
    Unreadable {
        /// The server.
        server: McpServerName,
        /// Why, without what was answered.
        reason: String,
    },
    /// It refuses the call: credentials, the address.
    #[error("the MCP server {server} refuses the call: {reason}")]
    Refused {
        /// The server.
        server: McpServerName,
        /// Why, in words of ours.
        reason: String,
    },
    /// Its settings do not serve: a secret that is missing, a program that cannot be started.
    #[error("the MCP server {server} cannot be used: {reason}")]
    Setup {
        /// The server.
        server: McpServerName,
        /// Why, without a secret.
        reason: String,
    },
    /// A tool that is let through is not one a model may be shown.
    #[error("the tool {tool} of the MCP server {server} cannot be used: {reason}")]
    Unfit {
        /// The server.
        server: McpServerName,
        /// The tool, as its author names it.
        tool: String,
        /// Why.
        reason: String,
    },
}

impl ToolError {
    /// How the error is to be treated.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Busy { .. } | Self::Unreadable { .. } => ErrorClass::Transient,
            Self::Refused { .. } | Self::Setup { .. } | Self::Unfit { .. } => ErrorClass::Permanent,
        }
    }
}
