//! Exchanges kept in a file, and a model that answers from it: a decision is run again without a network, and a miss is an error.
//!
//! A cassette has one JSON object a line: the exchange's digest, what was asked and what was answered, both scrubbed.

use super::{Exchange, Model, ModelError, ModelId, Reply};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Takes out of a text what may not be kept.
pub type Scrub = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// One line of a cassette.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// The model that was asked.
    model: ModelId,
    /// The digest of the exchange as it was asked, not as it is kept.
    digest: String,
    /// What was asked, for people.
    exchange: Value,
    /// What was answered.
    reply: Value,
}

/// A model whose answers are kept. What it answers goes on unscrubbed; what fails is not kept.
pub struct Recording {
    model: Arc<dyn Model>,
    path: PathBuf,
    scrub: Scrub,
    /// One line is written at a time.
    writing: Mutex<()>,
}

impl Recording {
    /// Appends the answers of `model` to the file at `path`, which is made when there is none, each text in them scrubbed.
    pub fn new(model: Arc<dyn Model>, path: impl Into<PathBuf>, scrub: Scrub) -> Self {
        Self { model, path: path.into(), scrub, writing: Mutex::default() }
    }

    fn keep(&self, exchange: &Exchange, reply: &Reply) -> std::io::Result<()> {
        let scrubbed = |value| serde_json::to_value(value).map(|value| scrub(value, &*self.scrub));
        let line = Line {
            model: self.model.id().clone(),
            digest: exchange.digest(),
            exchange: serde_json::to_value(exchange).map(|value| scrub(value, &*self.scrub))?,
            reply: scrubbed(reply)?,
        };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::OpenOptions::new().create(true).append(true).open(&self.path)?.write_all(text.as_bytes())
    }
}

#[async_trait::async_trait]
impl Model for Recording {
    fn id(&self) -> &ModelId {
        self.model.id()
    }

    async fn answer(&self, exchange: &Exchange) -> Result<Reply, ModelError> {
        let reply = self.model.answer(exchange).await?;
        self.keep(exchange, &reply)
            .map_err(|error| ModelError::NotConfigured(format!("the cassette {} cannot be written: {error}", self.path.display())))?;
        Ok(reply)
    }
}

/// Answers from a cassette alone.
pub struct Replaying {
    id: ModelId,
    path: PathBuf,
    replies: BTreeMap<String, Reply>,
}

impl Replaying {
    /// Reads the cassette at `path`. Of two answers to one exchange the later counts.
    ///
    /// # Errors
    /// [`ModelError::NotConfigured`] when it cannot be read, or holds nothing.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let refuse = |problem: String| ModelError::NotConfigured(format!("the cassette {} cannot be used: {problem}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        let mut id = None;
        let mut replies = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let read = || {
                let Line { model, digest, reply, .. } = serde_json::from_str(line)?;
                serde_json::from_value(reply).map(|reply: Reply| (model, digest, reply))
            };
            let (model, digest, reply) =
                read().map_err(|error: serde_json::Error| refuse(format!("line {}: {}", number + 1, super::http::why(&error))))?;
            id = Some(model);
            replies.insert(digest, reply);
        }
        let id = id.ok_or_else(|| refuse("it is empty".to_owned()))?;
        Ok(Self { id, path: path.to_owned(), replies })
    }
}

#[async_trait::async_trait]
impl Model for Replaying {
    fn id(&self) -> &ModelId {
        &self.id
    }

    async fn answer(&self, exchange: &Exchange) -> Result<Reply, ModelError> {
        let digest = exchange.digest();
        let miss = || ModelError::NotConfigured(format!("the cassette {} has no answer to the exchange {digest}", self.path.display()));
        self.replies.get(&digest).cloned().ok_or_else(miss)
    }
}

/// Every text of a value scrubbed, the names of fields as well.
fn scrub(value: Value, with: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => with(&text).into(),
        Value::Array(items) => items.into_iter().map(|item| scrub(item, with)).collect(),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (with(&name), scrub(value, with))).collect()),
        plain => plain,
    }
}
