//! Tools of MCP servers in a draft: what of them is offered when it begins, and stays so to its end, and how their calls are answered.
//! A server hears a tool's name and the arguments a model wrote, once nothing secret was found in them, and nothing else.

use super::bench::spec_of;
use crate::automation::McpToolsSpec;
use crate::draft::{CallResult, Given, McpServer, McpSession, Tool, ToolError, fit};
use crate::inventory::{self, McpToolSpec};
use crate::pipeline::{InForce, Pipeline, StepError, ToolServers};
use crate::request::Request;
use crate::types::{ErrorClass, McpServerName};
use futures_util::future::join_all;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the calls of one reply may take together: they share a step with the model's answer.
const MOST_WAITING: Duration = Duration::from_secs(120);

/// What a draft has of MCP servers when it begins.
#[derive(Debug, Default)]
pub(super) struct Offered {
    /// The tools, as they are described; not freed of secrets yet.
    pub(super) tools: Vec<Tool>,
    /// The servers it does without.
    pub(super) without: Vec<McpServerName>,
}

/// Where calls of servers' tools are answered.
pub(super) enum Outside {
    /// The servers are asked.
    Asked(Asked),
    /// Nobody is asked: what was given then is given again.
    Kept(Mutex<Vec<CallResult>>),
    /// There is no server.
    Nobody,
}

/// The servers that are asked for one reply.
pub(super) struct Asked {
    servers: Arc<dyn ToolServers>,
    /// Sessions by server, and how long may still be waited. They end with the reply.
    open: tokio::sync::Mutex<(BTreeMap<McpServerName, McpSession>, Duration)>,
}

/// That a draft was made without tools it should have had, for people; none where it had them all.
pub(super) fn told(without: &[McpServerName]) -> Option<String> {
    let names: Vec<&str> = without.iter().map(McpServerName::as_str).collect();
    (!names.is_empty()).then(|| format!("it was drafted without the tools of {}, which could not be reached when it began", names.join(", ")))
}

/// The tool that a model calls by this name, where its automation may use it now.
pub(super) fn named<'r>(
    rules: &'r InForce,
    request: &Request,
    called: &str,
) -> Result<Option<(&'r Arc<inventory::McpServer>, &'r McpToolSpec)>, StepError> {
    let entries = spec_of(rules, request)?.mcp.iter();
    let mut tools = entries.filter_map(|entry| Some((rules.set.inventory.mcp_servers.get(&entry.server)?, entry))).flat_map(|(server, entry)| {
        let tools = entry.tools.iter().filter_map(|tool| server.spec.tool(tool));
        tools.map(move |tool| (server, tool))
    });
    Ok(tools.find(|(server, tool)| tool.shown(&server.name) == called))
}

impl Offered {
    /// What a draft that is kept was offered, as far as its automation may use it today.
    pub(super) fn again(rules: &InForce, request: &Request, tools: &[Tool], without: &[McpServerName]) -> Result<Self, StepError> {
        let mut offered = Self { tools: Vec::new(), without: without.to_vec() };
        for tool in tools {
            if named(rules, request, &tool.name)?.is_some() {
                offered.tools.push(tool.clone());
            }
        }
        Ok(offered)
    }
}

impl Pipeline {
    /// Asks the servers that the request's automation names for what they say of its tools.
    pub(super) async fn offered(&self, rules: &InForce, request: &Request) -> Result<Offered, StepError> {
        let entries = &spec_of(rules, request)?.mcp;
        let answers = join_all(entries.iter().map(|entry| self.offered_by(rules, entry))).await;
        let mut offered = Offered::default();
        for (entry, answer) in entries.iter().zip(answers) {
            match answer {
                Ok(tools) => offered.tools.extend(tools),
                Err(error) if entry.optional && error.class() == ErrorClass::Transient => {
                    tracing::warn!(request = %request.id, %error, "a draft begins without tools that are optional");
                    offered.without.push(entry.server.clone());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(offered)
    }

    async fn offered_by(&self, rules: &InForce, entry: &McpToolsSpec) -> Result<Vec<Tool>, ToolError> {
        let missing = || ToolError::Setup { server: entry.server.clone(), reason: "there is no such server any more".to_owned() };
        let settings = rules.set.inventory.mcp_servers.get(&entry.server).ok_or_else(missing)?;
        let offered = self.tools.server(settings)?.open().await?.tools().await?;
        let wanted = entry.tools.iter().filter_map(|tool| settings.spec.tool(tool));
        wanted.map(|tool| fit(&settings.name, tool, &offered)).collect()
    }
}

impl Outside {
    /// The servers are asked, each in one session.
    pub(super) fn asked(servers: &Arc<dyn ToolServers>) -> Self {
        Self::Asked(Asked { servers: Arc::clone(servers), open: tokio::sync::Mutex::new((BTreeMap::new(), MOST_WAITING)) })
    }

    /// What the calls of a reply gave is given again.
    pub(super) fn kept(results: &[CallResult]) -> Self {
        Self::Kept(Mutex::new(results.to_vec()))
    }

    /// What was given to this call then, word for word.
    pub(super) fn again(&self, id: &str, name: &str) -> Option<String> {
        let Self::Kept(results) = self else { return None };
        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
        let at = results.iter().position(|result| result.id == id && result.name == name);
        Some(at.map_or_else(|| "What it gave was not kept.".to_owned(), |at| results.remove(at).content))
    }

    /// What a server gives to a call now, or why it gives nothing, in words for the model.
    pub(super) async fn ask(&self, server: &Arc<inventory::McpServer>, tool: &str, arguments: &Map<String, Value>) -> Result<Given, String> {
        let Self::Asked(asked) = self else { return Err("The tools of servers cannot be used here.".to_owned()) };
        let mut open = asked.open.lock().await;
        let (sessions, left) = &mut *open;
        if left.is_zero() {
            return Err(format!("Not asked: the calls of one reply take {} s at most together.", MOST_WAITING.as_secs()));
        }
        let begun = Instant::now();
        let answer = asked.call(sessions, server, tool, arguments, *left).await;
        *left = left.saturating_sub(begun.elapsed());
        answer.map_err(|error| {
            tracing::warn!(%error, "a tool could not be asked; the model is told");
            format!("The tool cannot be had now: {error}.")
        })
    }
}

impl Asked {
    async fn call(
        &self,
        sessions: &mut BTreeMap<McpServerName, McpSession>,
        settings: &Arc<inventory::McpServer>,
        tool: &str,
        arguments: &Map<String, Value>,
        left: Duration,
    ) -> Result<Given, ToolError> {
        let begun = Instant::now();
        let session = match sessions.remove(&settings.name) {
            Some(session) => session,
            None => {
                let server: Arc<McpServer> = self.servers.server(settings)?;
                let late = ToolError::TimedOut { server: settings.name.clone(), within: left };
                tokio::time::timeout(left, server.open()).await.unwrap_or(Err(late))?
            }
        };
        let given = session.call(tool, arguments, left.saturating_sub(begun.elapsed())).await;
        // Of a session in which something went wrong nobody knows how it stands: the next call opens another.
        if given.is_ok() {
            sessions.insert(settings.name.clone(), session);
        }
        given
    }
}
