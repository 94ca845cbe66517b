//! One exchange with GitHub's API: octocrab carries it, the answer comes back with status, headers and text, unjudged.
//! The token stands in a header marked sensitive, nowhere else. Redirects are not followed here: octocrab would turn a
//! POST into a GET.

use crate::forge::{ForgeError, cut};
use crate::lease;
use crate::spans;
use crate::types::{Timestamp, with_causes};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, IF_NONE_MATCH, USER_AGENT};
use http::{Method, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use octocrab::OctoBody;
use octocrab::service::middleware::base_uri::BaseUriLayer;
use rustls::crypto::CryptoProvider;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tower_layer::Layer;
use tracing::Instrument;
use url::Url;

/// Carries calls to one API.
pub(super) struct Transport {
    octocrab: octocrab::Octocrab,
    timeout: Duration,
    base: Url,
}

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Path and query below the API's address.
    pub(super) route: &'a str,
    pub(super) body: Option<&'a Value>,
    /// The version of the answer that is known already.
    pub(super) known: Option<&'a str>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

/// Why nothing came back.
pub(super) enum Lost {
    /// The call could not be made at all: nothing happened.
    Setup(String),
    /// No whole answer: whether the effect happened is not known.
    Unreachable(String),
}

impl Lost {
    pub(super) fn of(self, forge: &str) -> ForgeError {
        let forge = forge.to_owned();
        match self {
            Self::Setup(message) => ForgeError::Setup { forge, message },
            Self::Unreachable(message) => ForgeError::Unreachable { forge, message },
        }
    }
}

impl Transport {
    /// A transport to the API at `api`; nothing is called yet. It must be made within a tokio runtime.
    ///
    /// # Errors
    /// When the address is none, or the machine has no trusted certificates.
    pub(super) fn new(api: &str, timeout: Duration) -> Result<Self, String> {
        let base = Url::parse(api).map_err(|error| format!("the API's address is no URL: {error}"))?;
        // Only the origin: the path stands in each route, because GraphQL lives beside the REST path, not below it.
        let origin = Uri::try_from(base.origin().ascii_serialization()).map_err(|error| format!("the API's address is no URL: {error}"))?;
        let octocrab = octocrab::OctocrabBuilder::new_empty()
            .with_service(client(timeout)?)
            .with_layer(&BaseUriLayer::new(origin))
            .with_auth(octocrab::AuthState::None)
            .build();
        let Ok(octocrab) = octocrab;
        Ok(Self { octocrab, timeout, base })
    }

    /// Makes the call and waits for the whole answer.
    pub(super) async fn exchange(&self, ask: Ask<'_>, token: &SecretString) -> Result<Answer, Lost> {
        let span = spans::http_client(ask.method.as_str(), &self.base);
        let answer = match tokio::time::timeout(self.timeout, self.carry(ask, token)).instrument(span.clone()).await {
            Ok(answer) => answer,
            Err(_) => Err(Lost::Unreachable(format!("no answer within {} s", self.timeout.as_secs_f32()))),
        };
        spans::http_answered(&span, answer.as_ref().ok().map(|answer| answer.status.as_u16()));
        answer
    }

    async fn carry(&self, ask: Ask<'_>, token: &SecretString) -> Result<Answer, Lost> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(|_| Lost::Setup("the token holds characters that no token has".to_owned()))?;
        authorization.set_sensitive(true);
        let mut request = http::Request::builder()
            .method(ask.method)
            .uri(self.path_of(ask.route))
            .header(AUTHORIZATION, authorization)
            .header(USER_AGENT, concat!("kubeops/", env!("CARGO_PKG_VERSION")))
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        if let Some(known) = ask.known {
            request = request.header(IF_NONE_MATCH, known);
        }
        let request = self.octocrab.build_request(request, ask.body).map_err(|error| Lost::Setup(brief(&error)))?;
        let answer = lease::call(self.octocrab.send(request)).await.map_err(|lost| Lost::Unreachable(lost.to_string()))?;
        let response = answer.map_err(|error| Lost::Unreachable(brief(&error)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = self.octocrab.body_to_string(response).await.map_err(|error| Lost::Unreachable(brief(&error)))?;
        Ok(Answer { status, headers, text })
    }

    /// Path and query of a route. GraphQL's stands at `/graphql` of github.com, and at `/api/graphql` where the rest stands at
    /// `/api/v3`.
    fn path_of(&self, route: &str) -> String {
        let base = self.base.path().trim_end_matches('/');
        match (route, base.strip_suffix("/v3")) {
            (GRAPHQL, Some(beside)) => format!("{beside}{route}"),
            _ => format!("{base}{route}"),
        }
    }

    /// The route an answer leads on to; none when it leads away from this API, where no token of ours may go.
    pub(super) fn route_of(&self, location: &str) -> Option<String> {
        let target = self.base.join(location).ok()?;
        if target.origin() != self.base.origin() || !target.username().is_empty() || target.password().is_some() {
            return None;
        }
        let below = target.path().strip_prefix(self.base.path().trim_end_matches('/'))?;
        let query = target.query().map_or_else(String::new, |query| format!("?{query}"));
        below.starts_with('/').then(|| format!("{below}{query}"))
    }
}

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

type Connector = lease::Connector<TimeoutConnector<HttpsConnector<HttpConnector>>>;

/// The client that octocrab would make, but with a connector that asks for the lease.
fn client(timeout: Duration) -> Result<Client<Connector, OctoBody>, String> {
    let provider = CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let https = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider).map_err(|error| error.to_string())?;
    let mut connector = TimeoutConnector::new(https.https_or_http().enable_http1().build());
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_read_timeout(Some(timeout));
    connector.set_write_timeout(Some(timeout));
    Ok(Client::builder(TokioExecutor::new()).build(lease::Asked.layer(connector)))
}

/// The route of GraphQL.
pub(super) const GRAPHQL: &str = "/graphql";

impl Answer {
    /// A header that is a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.trim().parse().ok()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What GitHub's clock said (RFC 9110, 6.6.1).
    pub(super) fn date(&self) -> Option<Timestamp> {
        let moment = OffsetDateTime::parse(self.header("date")?, &Rfc2822).ok()?;
        Some(Timestamp::from_unix_millis(moment.unix_timestamp().saturating_mul(1000)))
    }
}

/// An octocrab error on one line: its own text holds a backtrace.
fn brief(error: &octocrab::Error) -> String {
    cut(&with_causes(error), 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(api: &str) -> Transport {
        crate::tls::install_provider();
        Transport::new(api, Duration::from_secs(1)).expect("a transport")
    }

    #[tokio::test]
    async fn graphql_stands_beside_the_rest_of_an_enterprise_server() {
        let enterprise = at("https://git.example/api/v3");
        assert_eq!(enterprise.path_of("/repos/a/b"), "/api/v3/repos/a/b");
        assert_eq!(enterprise.path_of(GRAPHQL), "/api/graphql");
        let own = at("https://api.github.com");
        assert_eq!((own.path_of("/repos/a/b").as_str(), own.path_of(GRAPHQL).as_str()), ("/repos/a/b", "/graphql"));
    }

    #[tokio::test]
    async fn an_answer_leads_on_within_the_same_api_alone() {
        let enterprise = at("https://git.example/api/v3");
        assert_eq!(enterprise.route_of("https://git.example/api/v3/repositories/7/pulls?head=a").as_deref(), Some("/repositories/7/pulls?head=a"));
        assert_eq!(enterprise.route_of("/api/v3/repositories/7").as_deref(), Some("/repositories/7"));
        for elsewhere in [
            "https://evil.example/api/v3/repositories/7",
            "http://git.example/api/v3/repositories/7",
            "https://git.example:8443/api/v3/repositories/7",
            "https://me@git.example/api/v3/repositories/7",
            "https://git.example/login",
            "//evil.example/api/v3/x",
        ] {
            assert_eq!(enterprise.route_of(elsewhere), None, "{elsewhere}");
        }
    }
}
