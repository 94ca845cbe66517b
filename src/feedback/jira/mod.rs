//! A Jira, in the cloud (REST version 3) or a Data Center (version 2): the acts, each so that it can be repeated.
//! It never decides when, and never calls anything but the address it was given.

mod call;
mod change;
mod comment;
mod read;
mod transition;

use super::{Account, Act, Done, FeedbackError, Found, Issue, Makings, SecretSource, Tracker};
use crate::feedback::http::Http;
use crate::inventory::{JiraAuthentication, JiraDeployment, JiraSpec};
use crate::types::{ChannelName, is_loopback};
use async_trait::async_trait;
use std::fmt;
use tokio::sync::OnceCell;
use url::Url;

/// One Jira and who we are there.
pub struct Jira {
    http: Http,
    base: String,
    deployment: JiraDeployment,
    authentication: JiraAuthentication,
    secret: SecretSource,
    /// Whether customers of a service desk see comments that do not say.
    public: bool,
    /// The address of the pictures of links.
    pictures: Option<String>,
    myself: OnceCell<Account>,
}

impl Jira {
    /// A Jira; nothing is called yet.
    ///
    /// # Errors
    /// [`FeedbackError::Setup`] when the settings make no client.
    pub fn new(name: &ChannelName, spec: &JiraSpec, makings: Makings) -> Result<Self, FeedbackError> {
        let channel = format!("Jira at {} (channel {name})", spec.base());
        let setup = |message: &str| FeedbackError::Setup { channel: channel.clone(), message: message.to_owned() };
        let url = Url::parse(&spec.url).map_err(|_| setup("its address is no URL"))?;
        let deployment = spec.deployment().ok_or_else(|| setup("whether it is in the cloud or a Data Center is not said"))?;
        let local = is_loopback(&url);
        Ok(Self {
            http: Http::new(channel, local, makings.clock, makings.timeout)?,
            base: spec.base().to_owned(),
            deployment,
            authentication: spec.authentication.clone(),
            secret: makings.secret,
            public: spec.public,
            pictures: None,
            myself: OnceCell::new(),
        })
    }

    /// Has links show the pictures below this address.
    pub fn with_pictures(self, pictures: Option<&str>) -> Self {
        Self { pictures: pictures.map(str::to_owned), ..self }
    }

    fn is_cloud(&self) -> bool {
        self.deployment == JiraDeployment::Cloud
    }

    /// What an account is known by in the API's bodies.
    fn account_field(&self) -> &'static str {
        if self.is_cloud() { "accountId" } else { "name" }
    }
}

impl fmt::Debug for Jira {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jira").field("base", &self.base).field("deployment", &self.deployment).finish_non_exhaustive()
    }
}

#[async_trait]
impl Tracker for Jira {
    async fn act(&self, issue: &str, act: &Act, asked_before: bool) -> Result<Done, FeedbackError> {
        match act {
            Act::Comment { marker, text, public } => self.comment(issue, marker, text, public.unwrap_or(self.public), asked_before).await,
            Act::Transition { to, fields, resolution } => self.transition(issue, to, fields, resolution.as_deref()).await,
            Act::Link { .. } => self.link(issue, act).await,
            Act::Labels { add, remove } => self.labels(issue, add, remove).await,
            Act::Fields { fields } => self.fields(issue, fields).await,
            Act::Assignee { account } => self.assign(issue, account.as_deref()).await,
        }
    }

    async fn issue(&self, key: &str) -> Result<Issue, FeedbackError> {
        self.read_issue(key).await
    }

    async fn search(&self, jql: &str, limit: u32) -> Result<Vec<Found>, FeedbackError> {
        self.find(jql, limit).await
    }

    async fn myself(&self) -> Result<Account, FeedbackError> {
        self.myself.get_or_try_init(|| self.read_myself()).await.cloned()
    }

    fn known_account(&self) -> Option<Account> {
        self.myself.get().cloned()
    }
}
