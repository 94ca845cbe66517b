//! What no delivery brought: senders are asked how things stand, and what never arrived is filed as a delivery, in the very form their
//! webhook has. From there it goes its way like any other; what did arrive is known by its key and is not filed.
//! It decides nothing about requests, and writes nothing but deliveries.

mod alertmanager;
mod github;
mod jira;
mod open;

use super::Pipeline;
use crate::feedback::FeedbackError;
use crate::forge::{ForgeError, Mark};
use crate::ingress::{Asks, Attributes, IngressError, RECONCILED, Reconcile, Source};
use crate::request::RemarkPlace;
use crate::store::inbox::Inbox;
use crate::store::{Appended, NewDelivery, StoreError};
use crate::types::{DeliveryId, ErrorClass, RepositoryName, SourceName, Timestamp};
use open::OpenEvents;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Why a look came to nothing. The next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The sender could not be asked.
    #[error(transparent)]
    Sender(#[from] FeedbackError),
    /// The forge could not be asked.
    #[error(transparent)]
    Forge(#[from] ForgeError),
    /// What was found is not read by the source.
    #[error("what was found cannot be read as a delivery: {0}")]
    Unread(#[from] IngressError),
    /// The store failed, or takes nothing now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReconcileError {
    /// How the error is to be treated.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Sender(error) => error.class(),
            Self::Forge(error) => error.class(),
            Self::Unread(_) => ErrorClass::Permanent,
            Self::Store(error) => error.class(),
        }
    }
}

/// What a look found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Deliveries filed.
    pub filed: u64,
    /// Deliveries that GitHub was asked to send again.
    pub redelivered: u64,
}

/// Looks again and again, and remembers what only time can tell.
pub struct Reconciler {
    pipeline: Arc<Pipeline>,
    inbox: Arc<Inbox>,
    /// Since when alerts of open requests are gone, by source and fingerprint.
    gone: HashMap<SourceName, HashMap<String, Timestamp>>,
    /// How far comments were looked at, in each place by itself.
    comments: HashMap<(RepositoryName, RemarkPlace), Timestamp>,
    /// How far reviews were looked at.
    reviews: HashMap<RepositoryName, Mark>,
}

impl Reconciler {
    /// A reconciler that has seen nothing yet, and files through `inbox`.
    pub fn new(pipeline: Arc<Pipeline>, inbox: Arc<Inbox>) -> Self {
        Self { pipeline, inbox, gone: HashMap::new(), comments: HashMap::new(), reviews: HashMap::new() }
    }

    /// Asks a source's sender once. It may be dropped at any moment: what was filed is not filed again.
    ///
    /// # Errors
    /// When the sender cannot be asked or the store fails; what was found before stays filed.
    pub async fn round(&mut self, source: &Source, reconcile: &Reconcile) -> Result<Reconciled, ReconcileError> {
        let since = self.now().minus(reconcile.look_back);
        let filed = match &reconcile.asks {
            Asks::Jira { channel, jql } => self.tickets(source, channel, jql, since).await?,
            Asks::Alertmanager { url, receiver, authentication, gone_for } => {
                let at = alertmanager::At { url, receiver, authentication: authentication.as_ref() };
                self.alerts(source, at, since, *gone_for).await?
            }
            Asks::Github => return self.github(source, since).await,
        };
        Ok(Reconciled { filed, redelivered: 0 })
    }

    fn now(&self) -> Timestamp {
        self.pipeline.clock.now()
    }

    /// Which of the things a body tells are recorded already, in its order; none when the source does not handle such a body.
    async fn known(&self, source: &Source, attributes: &Attributes, body: &Value) -> Result<Option<Vec<bool>>, ReconcileError> {
        let read = source.read(attributes, body.to_string().as_bytes(), self.now())?;
        if !read.handled {
            return Ok(None);
        }
        Ok(Some(self.pipeline.store.are_recorded(source.name(), &read.occurrence_keys).await?))
    }

    /// Files a body as a delivery of the source, unless everything it tells is known; tells whether it did.
    async fn file(&self, source: &Source, attributes: &Attributes, body: &Value) -> Result<bool, ReconcileError> {
        let (now, body) = (self.now(), body.to_string().into_bytes());
        let read = source.read(attributes, &body, now)?;
        if !read.handled || self.pipeline.store.are_recorded(source.name(), &read.occurrence_keys).await?.into_iter().all(|known| known) {
            return Ok(false);
        }
        let kept = read.attributes.into_iter().chain([(RECONCILED.to_owned(), "true".to_owned())]);
        let delivery = NewDelivery {
            id: DeliveryId::from_parts(now, self.pipeline.clock.random()),
            source: source.name().clone(),
            received_at: now,
            dedup_key: read.dedup_key,
            attributes: kept.map(|(name, value)| (name, Value::String(value))).collect(),
            body,
            handled: true,
        };
        let id = delivery.id.clone();
        let is_new = self.inbox.accept(delivery).await? == Appended::New;
        if is_new {
            tracing::info!(source = %source.name(), delivery = %id, "filed what no delivery had brought");
        }
        Ok(is_new)
    }

    /// The events of this source that open requests, and the members of groups, came of.
    fn open_events<'r>(&'r self, source: &'r SourceName) -> OpenEvents<'r> {
        OpenEvents::of(self.pipeline.store.as_ref(), source)
    }
}

/// The headers of a body that is JSON, and some more.
fn headers(more: &[(&str, &str)]) -> Attributes {
    [("content-type", "application/json")].iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
