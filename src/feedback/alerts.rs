//! The alerts of an Alertmanager as they are now, read through its API, version 2. It tells it nothing.
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>

use super::http::Http;
use super::{FeedbackError, Makings, SecretSource};
use crate::ingress::ReconcileAuthentication;
use crate::types::{SourceName, is_loopback};
use secrecy::ExposeSecret;
use serde_json::Value;
use url::Url;

/// Where the alerts are.
#[derive(Debug, Clone, Copy)]
pub struct AlertsAt<'a> {
    /// Alertmanager's address, without a slash at its end.
    pub url: &'a str,
    /// Who we are there; [`Makings::secret`] is asked for nothing without it.
    pub authentication: Option<&'a ReconcileAuthentication>,
}

/// An Alertmanager.
pub struct Alerts {
    http: Http,
    base: String,
    authentication: Option<ReconcileAuthentication>,
    secret: SecretSource,
}

impl Alerts {
    /// The Alertmanager that sends to a source; nothing is called yet.
    ///
    /// # Errors
    /// [`FeedbackError::Setup`] when the settings make no client.
    pub fn new(source: &SourceName, at: AlertsAt<'_>, makings: Makings) -> Result<Self, FeedbackError> {
        let local = Url::parse(at.url).is_ok_and(|url| is_loopback(&url));
        let http = Http::new(format!("the Alertmanager of source {source}"), local, makings.clock, makings.timeout)?;
        Ok(Self { http, base: at.url.to_owned(), authentication: at.authentication.cloned(), secret: makings.secret })
    }

    /// Every alert that has not ended, silenced ones too, in the groups it is notified in: `[{labels, receiver, alerts}]`.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn groups(&self) -> Result<Vec<Value>, FeedbackError> {
        let request = self.http.client().get(format!("{}/api/v2/alerts/groups", self.base)).header("accept", "application/json");
        let secret = || (self.secret)().map_err(|message| self.http.setup(format!("there is no secret: {message}")));
        let request = match &self.authentication {
            Some(ReconcileAuthentication::Basic { username, .. }) => request.basic_auth(username, Some(secret()?.expose_secret())),
            Some(ReconcileAuthentication::Bearer { .. }) => request.bearer_auth(secret()?.expose_secret()),
            None => request,
        };
        let answer = self.http.send(request).await?;
        if !answer.is_success() {
            return Err(self.http.refused(answer.status, format!("status {}", answer.status)));
        }
        match answer.json() {
            Some(Value::Array(groups)) => Ok(groups),
            _ => Err(self.http.unavailable("its answer is no list of groups; is something else in front of it?")),
        }
    }
}
