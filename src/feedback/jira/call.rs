//! One call of Jira's API, authenticated, and its answer judged.

use super::Jira;
use crate::feedback::FeedbackError;
use crate::feedback::http::{Answer, shown};
use crate::inventory::JiraAuthentication;
use reqwest::{Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// What is asked for, by its path below `/rest/api/<version>`.
pub(super) struct Call<'a> {
    method: Method,
    version: Option<u8>,
    path: String,
    query: &'a [(&'a str, &'a str)],
    body: Option<&'a Value>,
    /// What a 404 is about.
    subject: String,
}

impl<'a> Call<'a> {
    /// A call about something that people know as `subject`.
    pub(super) fn new(method: Method, path: String, subject: impl Into<String>) -> Self {
        Self { method, version: None, path, query: &[], body: None, subject: subject.into() }
    }

    pub(super) fn query(self, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { query, ..self }
    }

    pub(super) fn body(self, body: &'a Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Of a certain version of the API.
    pub(super) fn version(self, version: u8) -> Self {
        Self { version: Some(version), ..self }
    }
}

impl Jira {
    /// The path of an issue and what is below it.
    ///
    /// # Errors
    /// When that is no key of an issue: it would stand in an address.
    pub(super) fn of_issue(&self, key: &str, below: &str) -> Result<String, FeedbackError> {
        let is_key = key.split_once('-').is_some_and(|(project, number)| {
            project.starts_with(|c: char| c.is_ascii_alphabetic())
                && project.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && (1..=19).contains(&number.len())
                && number.bytes().all(|b| b.is_ascii_digit())
        });
        match is_key && key.len() <= 255 {
            true => Ok(format!("/issue/{key}{below}")),
            false => Err(self.http.invalid(format!("{:?} is no key of an issue", shown(key)))),
        }
    }

    /// Makes the call and tells the answer's JSON; null for an empty one.
    ///
    /// # Errors
    /// When it was refused, or nobody knows what became of it.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Value, FeedbackError> {
        let version = call.version.unwrap_or(if self.is_cloud() { 3 } else { 2 });
        let url = format!("{}/rest/api/{version}{}", self.base, call.path);
        let mut request = self.http.client().request(call.method, url).query(call.query).header("accept", "application/json");
        if let Some(body) = call.body {
            request = request.json(body);
        }
        let secret = (self.secret)().map_err(|message| self.http.setup(format!("there is no secret: {message}")))?;
        let answer = self.http.send(self.authenticated(request, &secret)).await?;
        match answer.is_success() {
            true if answer.is_empty() => Ok(Value::Null),
            // A cut or foreign answer: the effect may have happened, and the next attempt will find it.
            true => answer.json().ok_or_else(|| self.http.unavailable("its answer is no JSON; is a login page in front of it?")),
            false => Err(self.judge(&answer, call.subject, &secret)),
        }
    }

    fn authenticated(&self, request: RequestBuilder, secret: &SecretString) -> RequestBuilder {
        match &self.authentication {
            JiraAuthentication::Basic { user, .. } => request.basic_auth(user, Some(secret.expose_secret())),
            JiraAuthentication::Bearer { .. } => request.bearer_auth(secret.expose_secret()),
        }
    }

    /// What a refusal means.
    fn judge(&self, answer: &Answer, issue: String, secret: &SecretString) -> FeedbackError {
        let channel = self.http.channel.clone();
        let words = answer.json().map(|body| words(&body)).unwrap_or_default();
        let words = shown(&words.replace(secret.expose_secret(), "***"));
        let message = if words.is_empty() { format!("status {}", answer.status) } else { words };
        let told = |name: &str| answer.header(name).unwrap_or_default();
        if told("x-authentication-denied-reason").contains("CAPTCHA") {
            let message = "it wants a CAPTCHA solved after failed logins: log in once as this account in a browser".to_owned();
            return FeedbackError::Unauthorised { channel, message };
        }
        // Jira goes on as nobody where it does not know the secret, and then shows no issue.
        if told("x-seraph-loginreason").contains("AUTHENTICATED_FAILED") || told("x-seraph-loginreason").contains("AUTHENTICATION_DENIED") {
            return FeedbackError::Unauthorised { channel, message };
        }
        match answer.status {
            300..=399 => self.http.setup("it leads to another address, where no secret is sent; put the present address into `url` of the channel"),
            401 => FeedbackError::Unauthorised { channel, message },
            403 => FeedbackError::Forbidden { channel, message },
            404 => FeedbackError::NotFound { channel, issue, message },
            410 => FeedbackError::Gone { channel, message },
            408 | 409 | 425 | 500..=599 => self.http.unavailable(message),
            _ => FeedbackError::Invalid { channel, message },
        }
    }
}

/// What Jira says in an error: `errorMessages`, then `errors` by field, then `message`.
fn words(body: &Value) -> String {
    let texts = body["errorMessages"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let fields = body["errors"].as_object().into_iter().flatten();
    let fields = fields.filter_map(|(field, text)| Some(format!("{field}: {}", text.as_str()?)));
    let others = ["errorMessage", "message"].into_iter().filter_map(|name| Some(body[name].as_str()?.to_owned()));
    let all: Vec<String> = texts.chain(fields).chain(others).filter(|text| !text.is_empty()).collect();
    all.join("; ")
}
