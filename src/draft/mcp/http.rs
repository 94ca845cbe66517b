//! Streamable HTTP (MCP 2025-11-25, transports), as far as it is wanted here: a message is sent, and the answer to it is read, along no
//! redirect, bounded in time and bytes. What a server would say besides is not listened to, and a stream that broke off is not resumed.

use super::super::http::{brief, why};
use super::ToolError;
use crate::inventory::{McpHttpSpec, McpServer, McpValueSpec};
use crate::lease::{self, Lease};
use crate::types::{McpServerName, SecretName, is_loopback};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, redirect, retry};
use rmcp::RoleClient;
use rmcp::model::{ClientRequest, JsonRpcMessage, RequestId, ServerResult};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use secrecy::{ExposeSecret, SecretString};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use url::Url;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the end of a session may take: nothing depends on it.
const GOODBYE: Duration = Duration::from_secs(2);
/// The session a server opened (transports: session management).
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The version that was agreed on (transports: protocol version header).
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Gives a secret, freshly at each use. Its error is text without a secret.
pub type SecretSource = Arc<dyn Fn(&SecretName) -> Result<SecretString, String> + Send + Sync>;

/// The first thing that went wrong below the protocol, which the SDK tells in words of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Fault(Arc<Mutex<Option<ToolError>>>);

impl Fault {
    pub(super) fn set(&self, error: &ToolError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
    }

    pub(super) fn take(&self) -> Option<ToolError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A client of one server's endpoint.
pub(super) fn client(server: &McpServer, http: &McpHttpSpec) -> Result<(Client, Url), ToolError> {
    let setup = |reason: String| ToolError::Setup { server: server.name.clone(), reason };
    let url: Url = http.url.parse().map_err(|error| setup(format!("its address is no URL: {error}")))?;
    let builder = Client::builder()
        .user_agent(concat!("kubeops/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .connector_layer(lease::Asked)
        .timeout(server.spec.timeout.get())
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false);
    let builder = if is_loopback(&url) { builder.no_proxy() } else { builder };
    Ok((builder.build().map_err(|error| setup(brief(error)))?, url))
}

/// The headers that go with every message, with secrets as they are now.
pub(super) fn headers(server: &McpServerName, http: &McpHttpSpec, secrets: &SecretSource) -> Result<HeaderMap, ToolError> {
    let setup = |reason: String| ToolError::Setup { server: server.clone(), reason };
    let secret = |name: &SecretName, before: &str| {
        let secret = secrets(name).map_err(setup)?;
        let value = SecretString::from(format!("{before}{}", secret.expose_secret()));
        let mut value =
            HeaderValue::from_str(value.expose_secret()).map_err(|_| setup(format!("the secret {name} holds characters that no header may hold")))?;
        value.set_sensitive(true);
        Ok::<_, ToolError>(value)
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &http.headers {
        let header: HeaderName = name.parse().map_err(|_| setup(format!("{name:?} is no name of a header")))?;
        let value = match value {
            McpValueSpec::Value(value) => {
                HeaderValue::from_str(value).map_err(|_| setup(format!("the header {name} has no value that can be sent")))?
            }
            McpValueSpec::Secret(name) => secret(name, "")?,
        };
        headers.insert(header, value);
    }
    if let Some(token) = &http.token {
        headers.insert(AUTHORIZATION, secret(token, "Bearer ")?);
    }
    Ok(headers)
}

/// One session at an endpoint.
pub(super) struct HttpTransport {
    endpoint: Arc<Endpoint>,
    answers: UnboundedReceiver<RxJsonRpcMessage<RoleClient>>,
    /// Held so that the answers do not end before the session does.
    answered: UnboundedSender<RxJsonRpcMessage<RoleClient>>,
}

struct Endpoint {
    server: McpServerName,
    client: Client,
    url: Url,
    headers: HeaderMap,
    /// What the server gave us to show: its session, and the version agreed on.
    given: Mutex<HeaderMap>,
    timeout: Duration,
    most: usize,
    fault: Fault,
    /// That of whoever opened the session: the SDK sends from a task of its own.
    lease: Option<Lease>,
}

impl HttpTransport {
    /// A session, under the lease of this task, in which each answer has at most `most` bytes.
    pub(super) fn new(server: &McpServer, (client, url): (Client, Url), headers: HeaderMap, most: usize, fault: Fault) -> Self {
        let (answered, answers) = unbounded_channel();
        let (server, timeout) = (server.name.clone(), server.spec.timeout.get());
        Self {
            endpoint: Arc::new(Endpoint { server, client, url, headers, given: Mutex::default(), timeout, most, fault, lease: lease::held() }),
            answers,
            answered,
        }
    }
}

impl Transport<RoleClient> for HttpTransport {
    type Error = ToolError;

    fn send(&mut self, message: TxJsonRpcMessage<RoleClient>) -> impl Future<Output = Result<(), ToolError>> + Send + 'static {
        let (endpoint, answered) = (Arc::clone(&self.endpoint), self.answered.clone());
        async move {
            match lease::under(endpoint.lease.clone(), endpoint.post(&message)).await {
                // Who waits for it no more is gone.
                Ok(answer) => answer.map_or(Ok(()), |answer| answered.send(answer).or(Ok(()))),
                Err(error) => {
                    endpoint.fault.set(&error);
                    Err(error)
                }
            }
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        self.answers.recv().await
    }

    async fn close(&mut self) -> Result<(), ToolError> {
        let endpoint = &self.endpoint;
        let given = endpoint.given();
        if given.contains_key(SESSION) {
            let goodbye = endpoint.client.delete(endpoint.url.clone()).headers(endpoint.headers.clone()).headers(given).timeout(GOODBYE);
            // A server that keeps its sessions forgets this one by itself.
            let _ = goodbye.send().await;
        }
        Ok(())
    }
}

impl Endpoint {
    fn given(&self) -> HeaderMap {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, name: HeaderName, value: HeaderValue) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).insert(name, value);
    }

    /// Sends a message, and reads the answer to it where it is a request.
    async fn post(&self, message: &TxJsonRpcMessage<RoleClient>) -> Result<Option<RxJsonRpcMessage<RoleClient>>, ToolError> {
        let wanted = if let JsonRpcMessage::Request(request) = message { Some(request) } else { None };
        let greets = wanted.is_some_and(|request| matches!(request.request, ClientRequest::InitializeRequest(_)));
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).headers(self.given());
        let request = request.header(ACCEPT, "application/json, text/event-stream").json(message);
        let lost = |lost: lease::Lost| ToolError::Unreachable { server: self.server.clone(), reason: lost.to_string() };
        let response = lease::call(request.send()).await.map_err(lost)?.map_err(|error| self.transport(error))?;
        let status = response.status().as_u16();
        tracing::debug!(server = %self.server, status, "an MCP server answered");
        if !(200..=299).contains(&status) {
            return Err(self.refusal(status));
        }
        let Some(wanted) = wanted else { return Ok(None) };
        let session = response.headers().get(SESSION).cloned();
        let answer = self.read(response, &wanted.id).await?;
        if greets {
            session.into_iter().for_each(|session| self.keep(SESSION, session));
            if let JsonRpcMessage::Response(response) = &answer
                && let ServerResult::InitializeResult(greeted) = &response.result
                && let Ok(version) = HeaderValue::from_str(greeted.protocol_version.as_str())
            {
                self.keep(VERSION, version);
            }
        }
        Ok(Some(answer))
    }

    /// The answer to the request of this id: the whole body, or an event of it.
    async fn read(&self, mut response: Response, id: &RequestId) -> Result<RxJsonRpcMessage<RoleClient>, ToolError> {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let events = match kind.as_str() {
            "application/json" => false,
            "text/event-stream" => true,
            _ => return Err(self.unreadable("it is neither JSON nor a stream of events")),
        };
        let (mut body, mut read, mut stream) = (Vec::new(), 0, Events::default());
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(error))? {
            read += chunk.len();
            if read > self.most {
                return Err(self.unreadable(format!("it has more than {} bytes", self.most)));
            }
            if !events {
                body.extend_from_slice(&chunk);
                continue;
            }
            for event in stream.push(&chunk) {
                let message = self.message(&event)?;
                if answers(&message, id) {
                    return Ok(message);
                }
            }
        }
        match events {
            false => self.message(&body),
            true => Err(self.unreadable("the stream ended without an answer")),
        }
    }

    fn message(&self, bytes: &[u8]) -> Result<RxJsonRpcMessage<RoleClient>, ToolError> {
        serde_json::from_slice(bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => self.unreadable("it is no message of the protocol"),
            _ => self.unreadable(why(&error)),
        })
    }

    fn unreadable(&self, reason: impl Into<String>) -> ToolError {
        ToolError::Unreadable { server: self.server.clone(), reason: reason.into() }
    }

    fn transport(&self, error: reqwest::Error) -> ToolError {
        let server = self.server.clone();
        match error.is_timeout() && !error.is_connect() {
            true => ToolError::TimedOut { server, within: self.timeout },
            false => ToolError::Unreachable { server, reason: brief(error) },
        }
    }

    fn refusal(&self, status: u16) -> ToolError {
        let (server, session) = (self.server.clone(), self.given().contains_key(SESSION));
        let reason = match status {
            // It forgot the session (transports: session management): another one may be opened.
            404 if session => return ToolError::Unreachable { server, reason: "it ended the session".to_owned() },
            408 | 425 | 429 | 500..=599 => return ToolError::Busy { server, status },
            300..=399 => format!("it leads to another address (HTTP {status}), which is not followed"),
            401 | 403 => format!("HTTP {status}: look at its token"),
            404 | 405 => format!("HTTP {status}: is this the address of its endpoint?"),
            _ => format!("HTTP {status}"),
        };
        ToolError::Refused { server, reason }
    }
}

/// Whether a message answers the request of this id.
fn answers(message: &RxJsonRpcMessage<RoleClient>, id: &RequestId) -> bool {
    match message {
        JsonRpcMessage::Response(response) => response.id == *id,
        JsonRpcMessage::Error(error) => error.id.as_ref().is_none_or(|of| of == id),
        _ => false,
    }
}

/// The data of server-sent events (WHATWG HTML, 9.2.6), whatever they are called.
#[derive(Default)]
struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
}

impl Events {
    /// The events that end with this chunk.
    fn push(&mut self, chunk: &[u8]) -> Vec<Vec<u8>> {
        let mut whole = Vec::new();
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if !piece.ends_with(b"\n") {
                break;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match line.strip_prefix(b"data:") {
                Some(data) => {
                    self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
                    self.data.push(b'\n');
                }
                None if line.is_empty() && !self.data.trim_ascii().is_empty() => whole.push(std::mem::take(&mut self.data)),
                None if line.is_empty() => self.data.clear(),
                None => {}
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::Events;

    #[test]
    fn events_are_read_wherever_they_are_cut() {
        let stream = b": hello\r\nevent: message\r\nid: 7\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\n\ndata:\n\ndata:{}\n\ndata: cut";
        for size in 1..=stream.len() {
            let mut events = Events::default();
            let read: Vec<Vec<u8>> = stream.chunks(size).flat_map(|chunk| events.push(chunk)).collect();
            assert_eq!(read, [b"{\"a\":\n1}\n".to_vec(), b"{}\n".to_vec()], "{size}");
        }
    }
}
