//! The MCP servers whose tools models use, as far as the flow knows them.

use crate::draft::{McpServer, ToolError};
use crate::inventory;
use std::sync::Arc;

/// Gives the MCP servers whose tools models use.
pub trait ToolServers: Send + Sync + 'static {
    /// The server with these settings. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`ToolError::Setup`] when its settings do not serve.
    fn server(&self, settings: &Arc<inventory::McpServer>) -> Result<Arc<McpServer>, ToolError>;
}
