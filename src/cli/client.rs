//! A client of a running server's API.

use super::output;
use anyhow::{Context, bail};
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::time::Duration;

/// Which server, and as whom.
#[derive(Debug, Clone, clap::Args)]
pub struct Server {
    /// Address of the server.
    #[arg(long, env = "KUBEOPS_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL", value_parser = address, global = true, help_heading = "Server")]
    server: String,
    /// The API token; `kubeops token create` makes one.
    #[arg(long, env = "KUBEOPS_TOKEN", hide_env_values = true, value_name = "TOKEN", global = true, help_heading = "Server")]
    token: Option<SecretString>,
}

fn address(text: &str) -> Result<String, String> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "https") => Ok(text.to_owned()),
        _ => Err("it needs http:// or https://, as in http://127.0.0.1:8080".to_owned()),
    }
}

impl Server {
    /// Sends a request and reads JSON; `null` for an empty answer.
    ///
    /// # Errors
    /// When the server cannot be reached or says no, in its words.
    pub async fn json(&self, method: Method, path: &str, query: &[(&str, String)], body: Option<&Value>) -> anyhow::Result<Value> {
        read(self.send(method, path, query, body).await?).await
    }

    /// The same for a call that may take this long.
    ///
    /// # Errors
    /// As [`Self::json`].
    pub async fn json_within(&self, within: Duration, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.request(method, path)?.timeout(within).json(body);
        read(self.checked(request.send().await).await?).await
    }

    /// Sends a request and reads text.
    ///
    /// # Errors
    /// As [`Self::json`].
    pub async fn text(&self, path: &str, accept: &str) -> anyhow::Result<String> {
        let request = self.request(Method::GET, path)?.header("accept", accept);
        let response = self.checked(request.send().await).await?;
        response.text().await.context("the server's answer broke off")
    }

    /// The token; an empty one is none, as where a variable is set to nothing.
    fn token(&self) -> Option<&SecretString> {
        self.token.as_ref().filter(|token| !token.expose_secret().trim().is_empty())
    }

    async fn send(&self, method: Method, path: &str, query: &[(&str, String)], body: Option<&Value>) -> anyhow::Result<Response> {
        let mut request = self.request(method, path)?.query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.checked(request.send().await).await
    }

    fn request(&self, method: Method, path: &str) -> anyhow::Result<reqwest::RequestBuilder> {
        crate::tls::install_provider();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        let mut request = client.request(method, format!("{}/api/v1{path}", self.server.trim_end_matches('/')));
        if let Some(token) = self.token() {
            request = request.bearer_auth(token.expose_secret());
        }
        Ok(request)
    }

    async fn checked(&self, sent: reqwest::Result<Response>) -> anyhow::Result<Response> {
        let response = sent.with_context(|| {
            format!("the server at {} cannot be reached\n  hint: is it running? `kubeops serve`, or name another with --server", self.server)
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let error: Value = response.json().await.unwrap_or_default();
        let message = error.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
        let details = match error.pointer("/error/details") {
            None | Some(Value::Null) => String::new(),
            Some(Value::Object(details)) if details.is_empty() => String::new(),
            Some(Value::Object(details)) if details.get("problems").is_some_and(Value::is_array) => {
                details["problems"].as_array().into_iter().flatten().map(|detail| format!("\n  - {}", output::printable(&readable(detail)))).collect()
            }
            Some(Value::Array(details)) => details.iter().map(|detail| format!("\n  - {}", output::printable(&readable(detail)))).collect(),
            Some(details) => format!("\n  {}", output::printable(&details.to_string())),
        };
        let hint = match (status, self.token()) {
            (StatusCode::UNAUTHORIZED, None) => {
                "\n  hint: set KUBEOPS_TOKEN; on the server, `kubeops token create --name me --role operator` makes one"
            }
            (StatusCode::UNAUTHORIZED, Some(_)) => {
                "\n  hint: `kubeops token create` makes one that the server knows only with the server's DATA_DIR (or STORE_URL); `kubeops token list` there shows those it knows"
            }
            _ => "",
        };
        bail!("{} ({}){details}{hint}", output::printable(message), status.as_u16())
    }
}

/// The JSON of an answer.
async fn read(response: Response) -> anyhow::Result<Value> {
    let text = response.text().await.context("the server's answer broke off")?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).context("the server's answer is not JSON; is --server a KubeOps server?")
}

/// `team: is required` from an object with a field and a message.
fn readable(detail: &Value) -> String {
    let text = |pointer: &str| detail.pointer(pointer).and_then(Value::as_str);
    let subject = text("/field").map(|field| field.trim_start_matches("/parameters").trim_start_matches('/')).filter(|field| !field.is_empty());
    match (subject, text("/message")) {
        (Some(subject), Some(message)) => format!("{subject}: {message}"),
        (None, Some(message)) => message.to_owned(),
        _ => detail.as_str().map_or_else(|| detail.to_string(), str::to_owned),
    }
}
