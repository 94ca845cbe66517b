//! Word from other processes that they left work which is due: `LISTEN`, on a connection of its own that is opened when somebody first
//! waits. It is a hint and nothing more: it may be lost with the connection, and who waits looks from time to time as well.

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

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
    pub(super) async fn told(&self, pool: &PgPool) {
        self.listening.get_or_init(|| tokio::spawn(listen(pool.clone(), self.name.clone(), Arc::clone(&self.told))));
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

async fn listen(pool: PgPool, name: String, told: Arc<Notify>) {
    while !pool.is_closed() {
        if let Err(error) = hear(&pool, &name, &told).await {
            tracing::debug!(%error, "nobody tells of work left by other processes; it is looked for");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Listens until the connection breaks for good.
async fn hear(pool: &PgPool, name: &str, told: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // What was told before it listened, or while the connection was broken, nobody heard.
        told.notify_one();
        while let Some(word) = listener.try_recv().await? {
            if word.payload() != name {
                told.notify_one();
            }
        }
    }
}
