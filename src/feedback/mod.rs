//! Tells those who wait what became of a request: a Jira issue is commented, moved, linked; a webhook or a Slack channel is notified.
//! Every act can be repeated: what is done already is found again. It must never decide when something is told, never try again by
//! itself what may have been done, and never put a secret or somebody's mention into what it says.

mod adf;
mod alerts;
mod error;
mod http;
mod jira;
mod markdown;
mod slack;
mod webhook;
mod wiki;

pub use alerts::{Alerts, AlertsAt};
pub use error::FeedbackError;
pub use jira::Jira;
pub use slack::Slack;
pub use webhook::Webhook;

use crate::clock::Clock;
use crate::inventory::{Channel, ChannelSpec};
use crate::types::{LinkIcon, Timestamp};
use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// Gives the channel's secret freshly at each use, so that a rotated one is used at once; or says why there is none.
pub type SecretSource = Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>;

/// How long one call may take in all, where nothing else is said.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// What every channel is made with.
#[derive(Clone)]
pub struct Makings {
    /// The channel's one secret: [`ChannelSpec::secret`] is its name.
    pub secret: SecretSource,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long one call may take in all: [`TIMEOUT`].
    pub timeout: Duration,
}

/// A channel, ready for use.
#[derive(Clone)]
pub enum Outlet {
    /// It has issues.
    Tracker(Arc<dyn Tracker>),
    /// It is notified.
    Notifier(Arc<dyn Notifier>),
}

impl Outlet {
    /// Makes a channel ready; nothing is called yet. Below `pictures` the browsers of its users find the pictures of [`LinkIcon`].
    ///
    /// # Errors
    /// [`FeedbackError::Setup`] when the settings make no client.
    pub fn open(channel: &Channel, makings: Makings, pictures: Option<&str>) -> Result<Self, FeedbackError> {
        Ok(match &channel.spec {
            ChannelSpec::Jira(spec) => Self::Tracker(Arc::new(Jira::new(&channel.name, spec, makings)?.with_pictures(pictures))),
            ChannelSpec::Webhook(spec) => Self::Notifier(Arc::new(Webhook::new(&channel.name, spec, makings)?)),
            ChannelSpec::Slack(_) => Self::Notifier(Arc::new(Slack::new(&channel.name, makings)?)),
        })
    }
}

/// Why a secret cannot serve a channel, in words that tell nothing of it; none where it has the form.
pub fn wrong_form(spec: &ChannelSpec, secret: &SecretString) -> Option<&'static str> {
    match spec {
        ChannelSpec::Jira(_) => None,
        ChannelSpec::Webhook(_) => webhook::key(secret).is_none().then_some(webhook::FORM),
        ChannelSpec::Slack(_) => slack::address_in(secret).is_none().then_some("the secret of a Slack channel is a URL that begins with https://"),
    }
}

/// One thing to bring about at an issue. Each can be repeated: what is done already is found again and not done twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Says something.
    Comment {
        /// What the comment is found again by: unique, such as `<request id>/<n>`.
        marker: String,
        /// Markdown (CommonMark, tables, strikethrough).
        text: String,
        /// Whether customers of a service desk see it; by default as the channel says.
        public: Option<bool>,
    },
    /// Moves the issue to another status.
    Transition {
        /// The status, in any case of letters.
        to: String,
        /// Fields the transition is given, as Jira's API takes them.
        fields: Map<String, Value>,
        /// The name of the resolution, where the transition takes one.
        resolution: Option<String>,
    },
    /// Puts a link to somewhere else at the issue, or brings the one with this id up to date.
    Link {
        /// What the link is known by at the issue, 255 characters at most.
        global_id: String,
        /// Where it leads: `http` or `https`.
        url: String,
        /// Its text.
        title: String,
        /// A line besides.
        summary: Option<String>,
        /// The heading it stands under.
        relationship: Option<String>,
        /// What it looks like.
        icon: LinkIcon,
        /// Whether it is crossed out, because what it leads to is over.
        resolved: bool,
    },
    /// Adds and removes labels; others stay.
    Labels {
        /// Labels it has afterwards.
        add: Vec<String>,
        /// Labels it does not have afterwards.
        remove: Vec<String>,
    },
    /// Sets fields, as Jira's API takes them (version 3 in the cloud, 2 in a Data Center).
    Fields {
        /// The fields by their ids.
        fields: Map<String, Value>,
    },
    /// Gives it to somebody, or to nobody.
    Assignee {
        /// The account id in the cloud, the user's name in a Data Center.
        account: Option<String>,
    },
}

/// What came of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It was done now.
    Did,
    /// It was done now, and there is something a person should know about how.
    DidBut(String),
    /// It was done before: nothing was changed.
    Already,
    /// It cannot be done, and why, with what could be; asking again does not help before a person changes something.
    Cannot(String),
}

/// An issue as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its present key.
    pub key: String,
    /// The name of its status.
    pub status: String,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Its labels.
    pub labels: Vec<String>,
    /// Whose it is: the account id in the cloud, the user's name in a Data Center.
    pub assignee: Option<String>,
    /// The name of its resolution.
    pub resolution: Option<String>,
}

/// An issue that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What is read of it.
    pub issue: Issue,
    /// All of it, in the form that Jira's webhooks have under `issue`.
    pub raw: Value,
}

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account id in the cloud, the user's name in a Data Center.
    pub id: String,
    /// The name people see.
    pub name: String,
    /// The Jira's address, without a slash at its end.
    pub base: String,
    /// Where users have that id in what this Jira writes: `accountId` or `name`.
    pub field: &'static str,
}

/// What has issues.
#[async_trait]
pub trait Tracker: Send + Sync + 'static {
    /// Brings something about at an issue. `asked_before` says that an earlier attempt may have done it: then what may be there is
    /// looked for first. Nothing is tried again in here.
    ///
    /// # Errors
    /// When it is not done, or nobody knows whether it was.
    async fn act(&self, issue: &str, act: &Act, asked_before: bool) -> Result<Done, FeedbackError>;

    /// An issue as it is now.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn issue(&self, key: &str) -> Result<Issue, FeedbackError>;

    /// The issues a JQL query finds, in its order, at most `limit`, each with its latest changes under `changelog.histories`.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn search(&self, jql: &str, limit: u32) -> Result<Vec<Found>, FeedbackError>;

    /// Who we are there; asked once.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn myself(&self) -> Result<Account, FeedbackError>;

    /// The same, where it was asked before.
    fn known_account(&self) -> Option<Account>;
}

/// Something that happened, to be told to whoever listens.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Unique, and the same when it is told again: whoever gets it twice knows it by this.
    pub id: String,
    /// What happened, such as `request.merged`.
    pub kind: String,
    /// When.
    pub at: Timestamp,
    /// One line.
    pub title: String,
    /// Markdown.
    pub text: String,
    /// Where a person reads more.
    pub url: String,
    /// For machines.
    pub data: Value,
}

/// What is notified.
#[async_trait]
pub trait Notifier: Send + Sync + 'static {
    /// Tells it.
    ///
    /// # Errors
    /// When it was not taken, or nobody knows whether it was.
    async fn notify(&self, notice: &Notice) -> Result<(), FeedbackError>;
}
