//! Tools of MCP servers (Model Context Protocol, <https://modelcontextprotocol.io>), spoken with through the protocol's official SDK.
//! A server is believed nothing: its answers are bounded in time and bytes, what it asks of us is refused, and nothing it says is in an
//! error or a log line.

mod error;
mod http;
mod offer;
mod stdio;
#[cfg(test)]
mod tests;

pub use error::ToolError;
pub use http::SecretSource;
pub use offer::{OfferedTool, fit};

use crate::inventory;
use crate::types::McpServerName;
use http::{Fault, HttpTransport};
use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientConfig, ContentBlock, Implementation};
use rmcp::model::{PaginatedRequestParams, ResourceContents};
use rmcp::service::{RunningService, ServiceError};
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use stdio::Group;
use url::Url;

/// The largest answer of a server that is read, in bytes.
const MAX_MESSAGE: usize = 512 * 1024;
/// Pages of a server's list of tools that are read.
const MOST_PAGES: usize = 10;
/// The largest arguments that are sent, in bytes of JSON.
const MAX_ARGUMENTS: usize = 32 * 1024;

/// A server as it is configured. Nothing is connected to and nothing started before [`Self::open`].
pub struct McpServer {
    settings: Arc<inventory::McpServer>,
    client: Option<(reqwest::Client, Url)>,
    secrets: SecretSource,
}

/// What a tool gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Its text; of what is none, that it is not shown.
    pub text: String,
    /// Whether the server says that the call failed.
    pub failed: bool,
}

/// A conversation with a server, which ends when it is dropped; a program is killed then.
pub struct McpSession {
    server: McpServerName,
    timeout: Duration,
    running: RunningService<RoleClient, Client>,
    fault: Fault,
    _program: Option<Group>,
}

/// Who we are to servers. What they ask of a client is refused: it has no capability.
struct Client;

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(ClientCapabilities::default(), Implementation::new("kubeops", env!("CARGO_PKG_VERSION")))
    }
}

impl McpServer {
    /// A server with these settings, whose secrets are asked for at each opening.
    ///
    /// # Errors
    /// [`ToolError::Setup`] when no client can be made of them.
    pub fn new(settings: Arc<inventory::McpServer>, secrets: SecretSource) -> Result<Self, ToolError> {
        let client = settings.spec.http.as_ref().map(|http| http::client(&settings, http)).transpose()?;
        Ok(Self { settings, client, secrets })
    }

    /// Its settings.
    pub fn settings(&self) -> &inventory::McpServer {
        &self.settings
    }

    /// Opens a session: connects, or starts the program, and greets.
    ///
    /// # Errors
    /// See [`ToolError`].
    pub async fn open(&self) -> Result<McpSession, ToolError> {
        let (settings, fault) = (&self.settings, Fault::default());
        let (server, timeout) = (settings.name.clone(), settings.spec.timeout.get());
        let (greeting, program) = match (&settings.spec.http, &settings.spec.stdio, &self.client) {
            (Some(http), None, Some(client)) => {
                let headers = http::headers(&server, http, &self.secrets)?;
                let transport = HttpTransport::new(settings, client.clone(), headers, MAX_MESSAGE, fault.clone());
                (tokio::time::timeout(timeout, Client.serve(transport)).await, None)
            }
            (None, Some(stdio), _) => {
                let (transport, program) = stdio::start(settings, stdio, &self.secrets, MAX_MESSAGE)?;
                (tokio::time::timeout(timeout, Client.serve(transport)).await, Some(program))
            }
            _ => return Err(ToolError::Setup { server, reason: "it has neither an address nor a program".to_owned() }),
        };
        match greeting {
            Ok(Ok(running)) => Ok(McpSession { server, timeout, running, fault, _program: program }),
            Ok(Err(_)) => {
                let reason = "it does not greet as the protocol wants".to_owned();
                Err(fault.take().unwrap_or(ToolError::Unreadable { server, reason }))
            }
            Err(_) => Err(fault.take().unwrap_or(ToolError::TimedOut { server, within: timeout })),
        }
    }
}

impl McpSession {
    /// Every tool the server offers, as it describes them.
    ///
    /// # Errors
    /// See [`ToolError`].
    pub async fn tools(&self) -> Result<Vec<OfferedTool>, ToolError> {
        self.within(self.timeout, async {
            let (mut tools, mut cursor) = (Vec::new(), None);
            for _ in 0..MOST_PAGES {
                let page = self.running.list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor))).await;
                let page = page.map_err(|error| self.failed(&error))?;
                tools.extend(page.tools.into_iter().map(OfferedTool::of));
                cursor = page.next_cursor;
                if cursor.is_none() {
                    return Ok(tools);
                }
            }
            Err(self.unreadable(format!("its list of tools has more than {MOST_PAGES} pages")))
        })
        .await
    }

    /// Calls a tool, for `most` at most. What goes wrong at the server is an answer too.
    ///
    /// # Errors
    /// See [`ToolError`]: whoever gets one opens another session for the next call.
    pub async fn call(&self, tool: &str, arguments: &Map<String, Value>, most: Duration) -> Result<Given, ToolError> {
        if serde_json::to_string(arguments).map_or(usize::MAX, |text| text.len()) > MAX_ARGUMENTS {
            return Ok(Given { text: format!("arguments have {MAX_ARGUMENTS} bytes at most"), failed: true });
        }
        let wanted = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.clone());
        self.within(self.timeout.min(most), async {
            crate::lease::check().map_err(|lost| ToolError::Unreachable { server: self.server.clone(), reason: lost.to_string() })?;
            match self.running.call_tool_once(wanted).await {
                Ok(CallToolResponse::Complete(result)) => Ok(given(result)),
                // Neither is asked for: a client says so with capabilities that ours has not.
                Ok(_) => Ok(Given { text: "the server wants to be asked again, or later, which is not done".to_owned(), failed: true }),
                // The server's own word on this call.
                Err(ServiceError::McpError(error)) => Ok(Given { text: error.message.into_owned(), failed: true }),
                Err(error) => Err(self.failed(&error)),
            }
        })
        .await
    }

    async fn within<T>(&self, most: Duration, work: impl Future<Output = Result<T, ToolError>>) -> Result<T, ToolError> {
        let late = ToolError::TimedOut { server: self.server.clone(), within: most };
        tokio::time::timeout(most, work).await.unwrap_or(Err(late))
    }

    /// What the SDK says, in words without the server's.
    fn failed(&self, error: &ServiceError) -> ToolError {
        let server = self.server.clone();
        self.fault.take().unwrap_or_else(|| match error {
            ServiceError::TransportClosed | ServiceError::TransportSend(_) | ServiceError::Cancelled { .. } => {
                ToolError::Unreachable { server, reason: "the connection ended".to_owned() }
            }
            _ => self.unreadable("it is not what was asked for".to_owned()),
        })
    }

    fn unreadable(&self, reason: String) -> ToolError {
        ToolError::Unreadable { server: self.server.clone(), reason }
    }
}

/// The text of a result. A server that gives data for programs gives the same as text; where it does not, the data are the text.
fn given(result: CallToolResult) -> Given {
    let failed = result.is_error.unwrap_or(false);
    let mut parts: Vec<String> = result.content.into_iter().map(shown).collect();
    if parts.is_empty() {
        parts.extend(result.structured_content.map(|data| serde_json::to_string_pretty(&data).unwrap_or_default()));
    }
    Given { text: parts.join("\n"), failed }
}

/// A part of a result as a model is shown it: text, and nothing else.
fn shown(part: ContentBlock) -> String {
    match part {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Image(_) => "(an image, which is not shown)".to_owned(),
        ContentBlock::Audio(_) => "(a sound, which is not shown)".to_owned(),
        ContentBlock::Resource(embedded) => match embedded.resource {
            ResourceContents::TextResourceContents { .. } => "(a resource, which is not shown)".to_owned(),
            _ => "(a file, which is not shown)".to_owned(),
        },
        _ => "(something that is no text, which is not shown)".to_owned(),
    }
}
