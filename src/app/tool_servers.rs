//! Glue: the MCP servers in force, each made once for its settings.

use crate::draft::{McpServer, SecretSource, ToolError};
use crate::inventory;
use crate::pipeline::ToolServers;
use crate::secrets::SecretProvider;
use crate::types::McpServerName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The MCP servers of the resources, with secrets that are asked for at each use.
pub struct ConfiguredToolServers {
    secrets: Arc<dyn SecretProvider>,
    made: Mutex<BTreeMap<McpServerName, Arc<McpServer>>>,
}

impl ConfiguredToolServers {
    /// Servers that are made when they are first wanted.
    pub fn new(secrets: Arc<dyn SecretProvider>) -> Self {
        Self { secrets, made: Mutex::default() }
    }
}

impl ToolServers for ConfiguredToolServers {
    fn server(&self, settings: &Arc<inventory::McpServer>) -> Result<Arc<McpServer>, ToolError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = made.get(&settings.name).filter(|server| server.settings() == settings.as_ref()) {
            return Ok(Arc::clone(server));
        }
        let secrets = Arc::clone(&self.secrets);
        let secrets: SecretSource = Arc::new(move |name| secrets.secret(name).map_err(|error| error.to_string()));
        let server = Arc::new(McpServer::new(Arc::clone(settings), secrets)?);
        made.insert(settings.name.clone(), Arc::clone(&server));
        Ok(server)
    }
}
