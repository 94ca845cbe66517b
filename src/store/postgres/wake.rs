//! Word from other processes that they left work which is due: `LISTEN`, on a connection of its own that is opened when somebody first
//! waits. It is a hint and nothing more: it may be lost with the connection, and who waits looks from time to time as well. A connection on
//! which nothing is told is asked whether it still answers, and made anew when it does not.

use super::connection::Connections;
use super::door::Door;
use super::lent::{Silence, silent};
use sqlx::postgres::PgListener;
use sqlx::{Acquire, ConnectOptions, Connection};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The channel on which the schema's trigger tells.
const CHANNEL: &str = "kubeops_work";
/// How long it is waited before a connection that broke is opened anew.
const AGAIN: Duration = Duration::from_secs(1);

/// Listens for as long as it lives.
pub(super) struct Ear {
    /// What this process calls itself in what it tells.
    name: String,
    told: Arc<Notify>,
    listening: OnceLock<JoinHandle<()>>,
}

impl Ear {
    /// One that does not listen yet, of the process whose connections say `name`.
    pub(super) fn new(name: String) -> Self {
        Self { name, told: Arc::default(), listening: OnceLock::new() }
    }

    /// Returns when another process told of work, perhaps before this was called.
    pub(super) async fn told(&self, connections: &Connections) {
        self.listening.get_or_init(|| {
            let (patience, silence) = connections.silence();
            let hearing = Hearing {
                door: Arc::clone(connections.door()),
                name: self.name.clone(),
                told: Arc::clone(&self.told),
                patience,
                silence: silence.clone(),
            };
            tokio::spawn(hearing.listen())
        });
        self.told.notified().await;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.get() {
            listening.abort();
        }
    }
}

/// What the task that listens knows.
struct Hearing {
    door: Arc<Door>,
    name: String,
    told: Arc<Notify>,
    /// How long nothing is told until it is asked whether anybody is there, and how long the answer is waited for.
    patience: Duration,
    silence: Silence,
}

impl Hearing {
    async fn listen(self) {
        while !self.door.pool().is_closed() {
            if let Err(error) = self.hear().await {
                tracing::debug!(%error, "nobody tells of work left by other processes; it is looked for");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Listens on a connection until it breaks.
    async fn hear(&self) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(self.door.pool()).await?;
        let _out = self.door.out();
        // What is lost with a connection is looked for, as is what was told before it listened.
        listener.eager_reconnect(false);
        let ended = self.follow(&mut listener).await;
        if matches!(&ended, Err(sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut) {
            self.silence.fell(self.patience);
            self.part(&mut listener).await;
        }
        ended
    }

    async fn follow(&self, listener: &mut PgListener) -> Result<(), sqlx::Error> {
        timeout(self.patience, listener.listen(CHANNEL)).await.unwrap_or_else(|_| Err(silent(self.patience)))?;
        self.told.notify_one();
        loop {
            match timeout(self.patience, listener.try_recv()).await {
                Ok(word) => match word? {
                    Some(word) if word.payload() == self.name => {}
                    Some(_) => self.told.notify_one(),
                    None => return Ok(()),
                },
                Err(_) => self.ask(listener).await?,
            }
        }
    }

    /// Asks whether anybody is there.
    async fn ask(&self, listener: &mut PgListener) -> Result<(), sqlx::Error> {
        let answer = async { listener.acquire().await?.ping().await };
        timeout(self.patience, answer).await.unwrap_or_else(|_| Err(silent(self.patience)))
    }

    /// Parts with the connection that fell silent. A listener takes its leave of its connection and would wait for an answer for ever, with a
    /// place in the pool: it gets another to take its leave of.
    async fn part(&self, listener: &mut PgListener) {
        let connect = self.door.pool().connect_options();
        while !self.door.pool().is_closed() {
            if let (Ok(Ok(other)), Ok(connection)) = (timeout(self.patience, connect.connect()).await, listener.acquire().await) {
                return drop(std::mem::replace(connection, other));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
