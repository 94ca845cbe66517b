//! Exchanges kept in a file, and a model that answers from it: a decision is run again without a network, and a miss is an error.
//!
//! A cassette has one JSON object a line: what was asked and what was answered, both scrubbed, and the digest of what was asked as it stands
//! there. It is as readable as what is said: nobody but its owner may read it.

use super::measure::digest_of;
use super::{Exchange, Message, Model, ModelError, ModelId, Reply};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The largest cassette, in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// Takes out of a text what may not be kept.
pub type Scrub = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// One line of a cassette.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// The model that was asked.
    model: ModelId,
    /// The digest of the exchange as it is kept.
    digest: String,
    /// In which of several runs of the same it was asked, from 1; none where there is no such thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<u32>,
    /// What was asked, for people.
    exchange: Value,
    /// What was answered.
    reply: Value,
}

/// A cassette that is written. Several models may share one.
pub struct Tape {
    path: PathBuf,
    scrub: Scrub,
    /// The most it may hold, in bytes.
    most: u64,
    /// One line is written at a time.
    writing: Mutex<()>,
    /// It was said that it cannot be written.
    warned: AtomicBool,
}

impl Tape {
    /// Appends to the file at `path`, which is made when there is none, for its owner alone. Each text is scrubbed; what was scrubbed has to
    /// come out as it went in. It holds 64 MiB at most.
    pub fn new(path: impl Into<PathBuf>, scrub: Scrub) -> Self {
        Self { path: path.into(), scrub, most: MOST_BYTES, writing: Mutex::default(), warned: AtomicBool::new(false) }
    }

    /// The same with room for so many bytes, where that is less.
    #[must_use]
    pub fn of_at_most(self, bytes: u64) -> Self {
        Self { most: bytes.min(MOST_BYTES), ..self }
    }

    /// Whether the file can be written, which is made when there is none.
    ///
    /// # Errors
    /// [`ModelError::NotConfigured`] when it cannot be opened.
    pub fn check(&self) -> Result<(), ModelError> {
        self.open().map(drop).map_err(|error| ModelError::NotConfigured(format!("the cassette {} cannot be written: {error}", self.path.display())))
    }

    fn open(&self) -> std::io::Result<File> {
        let file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&self.path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(file)
    }

    /// Appends an exchange. It is on the disk when this returns.
    fn keep(&self, model: &ModelId, run: Option<u32>, exchange: &Exchange, reply: &Reply) -> std::io::Result<()> {
        let exchange = scrubbed(exchange, &self.scrub)?;
        let reply = scrub(serde_json::to_value(reply)?, &*self.scrub);
        let line = Line { model: model.clone(), digest: digest_of(&exchange), run, exchange, reply };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.open()?;
        let size = whole_lines(&mut file)?;
        if size.saturating_add(text.len() as u64) > self.most {
            return Err(Error::new(ErrorKind::StorageFull, format!("it is full: it holds {} KiB at most", self.most / 1024)));
        }
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }
}

/// Takes away a last line that was not written to its end, and tells how large the file is then.
fn whole_lines(file: &mut File) -> std::io::Result<u64> {
    let size = file.metadata()?.len();
    if size == 0 || size > MOST_BYTES {
        return Ok(size);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(size);
    }
    let mut text = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut text)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1) as u64;
    file.set_len(whole)?;
    Ok(whole)
}

/// A model whose answers are kept. What it answers goes on unscrubbed; what fails is not kept.
pub struct Recording {
    model: Arc<dyn Model>,
    tape: Arc<Tape>,
    run: Option<u32>,
    vital: bool,
}

impl Recording {
    /// Keeps what `model` answers. Where that cannot be done the call fails if it is `vital`, and is warned of once if it is not.
    pub fn new(model: Arc<dyn Model>, tape: Arc<Tape>, vital: bool) -> Self {
        Self { model, tape, run: None, vital }
    }

    /// The same in one of several runs of the same, from 1: what is answered is kept for that run alone.
    #[must_use]
    pub fn in_run(self, run: u32) -> Self {
        Self { run: Some(run), ..self }
    }
}

#[async_trait::async_trait]
impl Model for Recording {
    fn id(&self) -> &ModelId {
        self.model.id()
    }

    async fn answer(&self, exchange: &Exchange) -> Result<Reply, ModelError> {
        let reply = self.model.answer(exchange).await?;
        let (tape, id, run, asked, answered) = (Arc::clone(&self.tape), self.id().clone(), self.run, exchange.clone(), reply.clone());
        let kept = tokio::task::spawn_blocking(move || tape.keep(&id, run, &asked, &answered)).await.unwrap_or_else(|error| Err(Error::other(error)));
        let path = self.tape.path.display();
        match kept {
            Err(error) if self.vital => Err(ModelError::NotConfigured(format!("the cassette {path} cannot be written: {error}"))),
            Err(error) => {
                if !self.tape.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%path, %error, "what is said with language models is recorded no more");
                }
                Ok(reply)
            }
            Ok(()) => Ok(reply),
        }
    }
}

/// Answers from a cassette alone.
#[derive(Clone)]
pub struct Replaying {
    id: ModelId,
    path: PathBuf,
    scrub: Scrub,
    run: u32,
    /// By run and digest.
    replies: Arc<BTreeMap<(u32, String), Reply>>,
}

impl Replaying {
    /// Reads the cassette at `path`, which was scrubbed in the same way. Of two answers to one exchange in one run the later counts; where no
    /// run is named it is the first.
    ///
    /// # Errors
    /// [`ModelError::NotConfigured`] when it cannot be read, or holds nothing.
    pub fn open(path: &Path, scrub: Scrub) -> Result<Self, ModelError> {
        let refuse = |problem: String| ModelError::NotConfigured(format!("the cassette {} cannot be used: {problem}", path.display()));
        let mut text = String::new();
        let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
        file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| refuse(error.to_string()))?;
        if text.len() as u64 > MOST_BYTES {
            return Err(refuse(format!("it is larger than {} MiB", MOST_BYTES >> 20)));
        }
        let mut id = None;
        let mut replies = BTreeMap::new();
        // A last line that was not written to its end says nothing.
        for (number, line) in text.split_inclusive('\n').enumerate().filter(|(_, line)| line.ends_with('\n')) {
            let read = || {
                let Line { model, digest, run, reply, .. } = serde_json::from_str(line)?;
                serde_json::from_value(reply).map(|reply: Reply| (model, (run.unwrap_or(1), digest), reply))
            };
            let (model, asked, reply) =
                read().map_err(|error: serde_json::Error| refuse(format!("line {}: {}", number + 1, super::http::why(&error))))?;
            id = Some(model);
            replies.insert(asked, reply);
        }
        let id = id.ok_or_else(|| refuse("it is empty".to_owned()))?;
        Ok(Self { id, path: path.to_owned(), scrub, run: 1, replies: Arc::new(replies) })
    }

    /// The same in one of several runs, from 1: it answers what was answered in that run alone.
    #[must_use]
    pub fn in_run(&self, run: u32) -> Self {
        Self { run, ..self.clone() }
    }

    /// The same in the place of this model.
    #[must_use]
    pub fn in_place_of(&self, id: ModelId) -> Self {
        Self { id, ..self.clone() }
    }
}

#[async_trait::async_trait]
impl Model for Replaying {
    fn id(&self) -> &ModelId {
        &self.id
    }

    async fn answer(&self, exchange: &Exchange) -> Result<Reply, ModelError> {
        let path = self.path.display();
        let asked = scrubbed(exchange, &self.scrub);
        let asked = asked.map_err(|error| ModelError::NotConfigured(format!("the cassette {path} cannot be asked: {error}")))?;
        let digest = digest_of(&asked);
        let miss = || {
            let turn = 1 + exchange.messages.iter().filter(|message| matches!(message, Message::Model { .. })).count();
            let (ModelId { provider, name }, held) = (&self.id, self.replies.len());
            let run = if self.run > 1 { format!(" in run {}", self.run) } else { String::new() };
            let asked = format!("turn {turn} with {name} of {}{run}", provider.as_str());
            ModelError::NotConfigured(format!("the cassette {path} has no answer to the exchange {digest} ({asked}) among the {held} it holds"))
        };
        self.replies.get(&(self.run, digest.clone())).cloned().ok_or_else(miss)
    }
}

/// An exchange as it is kept.
fn scrubbed(exchange: &Exchange, with: &Scrub) -> Result<Value, serde_json::Error> {
    Ok(scrub(serde_json::to_value(exchange)?, &**with))
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
