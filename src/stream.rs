//! Messages of a NATS JetStream, pulled through a durable consumer that any number of processes share, and acknowledged one by one.
//! It holds a bounded number of messages, and never acknowledges one by itself, makes a stream, or puts a secret into an error.
//! <https://docs.nats.io/nats-concepts/jetstream/consumers>

mod consumer;
mod error;
mod message;
mod options;

pub use error::StreamError;
pub use message::{Message, MessageHeaders, Settlement};

use crate::ingress::Subscription;
use crate::types::{SecretName, SourceName};
use async_nats::jetstream::{self, consumer::PullConsumer, consumer::pull::Batch};
use futures_util::stream::ReadyChunks;
use futures_util::{FutureExt, StreamExt};
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;

/// How long the whole of a connection may take, its TLS and its log-in included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer of JetStream is waited for.
const API_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request for messages stands before it is made anew.
const PULL_EXPIRES: Duration = Duration::from_secs(5);
/// How long a connection that is given back may take to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of messages one source may hold at a time; a single message is held whatever its size.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Messages one source may hold at a time.
const MOST_MESSAGES: usize = 256;

/// How a consumer stands, over all processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Messages that wait to be delivered: how far we lag behind.
    pub pending: u64,
    /// Messages that were delivered and are not acknowledged.
    pub unacknowledged: u64,
    /// Messages of those that were delivered more than once.
    pub redelivered: u64,
}

/// A connection to one cluster, and the consumer there.
pub struct Link {
    client: async_nats::Client,
    consumer: PullConsumer,
    heard: Arc<options::Heard>,
    batch: Option<ReadyChunks<Batch>>,
    most: usize,
}

impl Link {
    /// Connects, and finds or makes the consumer. `secret` looks a secret up; its error is a text that may be shown.
    ///
    /// # Errors
    /// What keeps it from being done. It tries once: whoever calls tries again, with secrets looked up anew.
    pub async fn open(
        name: &SourceName,
        subscription: &Subscription,
        secret: &(dyn Fn(&SecretName) -> Result<SecretString, String> + Sync),
    ) -> Result<Self, StreamError> {
        let heard = Arc::new(options::Heard::default());
        let options = options::of(name, subscription, secret, &heard)?;
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, options.connect(subscription.servers.clone()));
        let client = connecting.await.map_err(|_| StreamError::Away("it did not answer in time".to_owned()))?.map_err(StreamError::of_connect)?;
        let mut context = match &subscription.domain {
            Some(domain) => jetstream::with_domain(client.clone(), domain),
            None => jetstream::new(client.clone()),
        };
        context.set_timeout(API_TIMEOUT);
        // What the server says meanwhile, such as which permission is lacking, tells more than that an answer did not come.
        let consumer = consumer::find_or_make(&context, subscription).await.map_err(|error| error.with(heard.last()))?;
        let room = MOST_BYTES.checked_div(client.server_info().max_payload).unwrap_or(MOST_MESSAGES);
        let allowed = usize::try_from(consumer.cached_info().config.max_batch).ok().filter(|most| *most > 0).unwrap_or(MOST_MESSAGES);
        let most = room.min(allowed).clamp(1, MOST_MESSAGES);
        Ok(Self { client, consumer, heard, batch: None, most })
    }

    /// The next messages, as soon as there are any; none when there were none for a while. What is dropped while it waits loses nothing.
    ///
    /// # Errors
    /// When the connection or the consumer is gone: then a new link is to be opened. Messages that were not given out are delivered again.
    pub async fn next(&mut self) -> Result<Vec<Message>, StreamError> {
        let broken = |error: &dyn std::fmt::Display| StreamError::Away(error.to_string()).with(self.heard.last());
        if self.heard.is_closed() {
            return Err(broken(&"the connection was lost"));
        }
        let batch = match &mut self.batch {
            Some(batch) => batch,
            none => {
                let asked = self.consumer.batch().max_messages(self.most).expires(PULL_EXPIRES).messages().await;
                none.insert(asked.map_err(|error| broken(&error))?.ready_chunks(self.most))
            }
        };
        let given = tokio::select! {
            given = batch.next() => given,
            () = self.heard.closed() => return Err(broken(&"the connection was lost")),
        };
        let Some(given) = given else {
            self.batch = None;
            return Ok(Vec::new());
        };
        let mut messages = Vec::with_capacity(given.len());
        for message in given {
            match message {
                Ok(message) => messages.push(Message::new(message)),
                // What came before it is given out first; the next request tells the error again.
                Err(_) if !messages.is_empty() => self.batch = None,
                Err(error) => {
                    self.batch = None;
                    return Err(broken(&error));
                }
            }
        }
        Ok(messages)
    }

    /// How the consumer stands.
    ///
    /// # Errors
    /// When NATS does not say.
    pub async fn standing(&self) -> Result<Standing, StreamError> {
        let info = self.consumer.get_info().await.map_err(|error| StreamError::Away(error.to_string()).with(self.heard.last()))?;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(Standing { pending: info.num_pending, unacknowledged: count(info.num_ack_pending), redelivered: count(info.num_redelivered) })
    }

    /// Gives back what was delivered and not given out, so that others have it at once, and ends the connection.
    pub async fn close(mut self) {
        if let Some(mut batch) = self.batch.take() {
            while let Some(Some(given)) = batch.next().now_or_never() {
                for message in given.into_iter().flatten() {
                    let _ = message.ack_with(jetstream::AckKind::Nak(None)).await;
                }
            }
        }
        let ended = async {
            let _ = self.client.flush().await;
            let _ = self.client.drain().await;
        };
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, ended).await;
    }
}
