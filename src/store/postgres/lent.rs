//! A connection that the pool lent, and how long its database may say nothing on it. Whoever hears nothing in time goes on without it: a wire
//! that was cut somewhere, or a server that is gone, ends nothing by itself. One that fell silent is closed and never comes back to the pool,
//! and nobody waits for the farewell to it. No statement stands here but those that begin and end a transaction, or say that it goes on.

use super::door::Out;
use crate::store::StoreError;
use futures_util::stream::{self, BoxStream, StreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Connection as _, Executor, PgConnection, Postgres};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// When the database last fell silent on one of the connections: those that were made before are believed no more.
#[derive(Debug, Clone, Default)]
pub(super) struct Silence(Arc<Mutex<Option<Instant>>>);

/// A connection, in a transaction or not. Dropped in one, that is rolled back.
pub(in crate::store) struct Lent {
    connection: Kept,
    /// How long the answer to a statement, or the next of its rows, is waited for.
    patience: Duration,
    /// How long it is waited for when it is given back.
    farewell: Duration,
    silence: Silence,
    is_silent: bool,
    is_open: bool,
}

/// The pool's, which asks it whether it still answers before it takes it back; dropped here, it is not asked but closed. It counts as lent for as
/// long as this is there.
struct Kept(Option<PoolConnection<Postgres>>, Option<Out>);

/// What it is called that nobody answered in time.
pub(super) fn silent(patience: Duration) -> sqlx::Error {
    let told = format!("PostgreSQL said nothing for {patience:?}; what it was asked for last, it may have done");
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, told))
}

impl Silence {
    /// Notes that the database fell silent on a connection.
    pub(super) fn fell(&self, patience: Duration) {
        tracing::warn!("PostgreSQL said nothing for {patience:?} on a connection, which is closed, as are those that were idle at that time");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection of this age that was idle still answers.
    pub(super) async fn spared(&self, connection: &mut PgConnection, age: Duration, patience: Duration) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < age) {
            return false;
        }
        let answer = timeout(patience, connection.ping()).await;
        if answer.is_err() {
            self.fell(patience);
        }
        matches!(answer, Ok(Ok(())))
    }
}

impl Lent {
    /// The pool's `connection`, whose answers are waited for so long.
    pub(super) fn new(connection: PoolConnection<Postgres>, out: Out, patience: Duration, silence: Silence) -> Self {
        Self { connection: Kept(Some(connection), Some(out)), patience, farewell: patience, silence, is_silent: false, is_open: false }
    }

    /// Waits so long for each answer from now on, until it is given back.
    pub(super) fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// How long an answer is waited for.
    pub(in crate::store) fn patience(&self) -> Duration {
        self.patience
    }

    /// The connection, to ask something of it; whoever does waits for the answer no longer than [`Lent::patience`], and says what came to
    /// [`Lent::heard`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it fell silent before.
    pub(in crate::store) fn wire(&mut self) -> Result<&mut PgConnection, StoreError> {
        match &mut self.connection.0 {
            Some(connection) if !self.is_silent => Ok(connection),
            _ => Err(silent(self.patience).into()),
        }
    }

    /// What came of something asked. When nothing came, the connection is used no more.
    pub(in crate::store) fn heard<T, E: Into<StoreError>>(&mut self, answer: Result<Result<T, E>, Elapsed>) -> Result<T, StoreError> {
        match answer {
            Ok(answer) => answer.map_err(Into::into),
            Err(_) => {
                self.is_silent = true;
                self.silence.fell(self.patience);
                Err(silent(self.patience).into())
            }
        }
    }

    /// It is closed when it is given back.
    pub(super) fn use_no_more(&mut self) {
        self.is_silent = true;
    }

    /// Each row of what is asked, as the database tells it: each is waited for.
    pub(in crate::store) fn rows(
        &mut self,
        asked: Query<'static, Postgres, PgArguments>,
    ) -> Result<BoxStream<'_, Result<PgRow, StoreError>>, StoreError> {
        let (patience, silence) = (self.patience, self.silence.clone());
        let Self { connection: Kept(Some(connection), _), is_silent: is_silent @ false, .. } = self else {
            return Err(silent(patience).into());
        };
        let rows = asked.fetch(&mut **connection);
        let each = stream::unfold((rows, is_silent, silence), move |(mut rows, is_silent, silence)| async move {
            if *is_silent {
                return None;
            }
            let row = match timeout(patience, rows.next()).await {
                Ok(row) => row?.map_err(StoreError::from),
                Err(_) => {
                    *is_silent = true;
                    silence.fell(patience);
                    Err(silent(patience).into())
                }
            };
            Some((row, (rows, is_silent, silence)))
        });
        Ok(each.boxed())
    }

    /// Begins a transaction with these words.
    pub(super) async fn begin(mut self, words: &'static str) -> Result<Self, StoreError> {
        // Broken off in the middle, it may have begun.
        self.is_open = true;
        self.tell(words).await?;
        Ok(self)
    }

    /// Commits the transaction. When that fails for another reason than a refusal, nobody knows whether it was done.
    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    /// Takes the transaction back.
    pub(super) async fn roll_back(&mut self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    /// Says something that asks for nothing, so that the server knows that the transaction goes on.
    pub(super) async fn speak(&mut self) -> Result<(), StoreError> {
        self.tell("SELECT 1").await
    }

    async fn end(&mut self, word: &'static str) -> Result<(), StoreError> {
        let ended = self.tell(word).await;
        self.is_open = false;
        ended
    }

    async fn tell(&mut self, words: &'static str) -> Result<(), StoreError> {
        let answer = timeout(self.patience, self.wire()?.execute(words)).await;
        self.heard(answer).map(|_| ())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let kept = Kept(self.connection.0.take(), self.connection.1.take());
        if self.is_silent {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(kept.give_back(self.is_open, self.farewell, self.silence.clone()));
        }
    }
}

impl Kept {
    /// Ends what is under way on it, and gives it back to the pool; neither takes longer than `patience`.
    async fn give_back(mut self, is_open: bool, patience: Duration, silence: Silence) {
        if let (true, Some(connection)) = (is_open, &mut self.0) {
            let ended = timeout(patience, connection.execute("ROLLBACK")).await;
            if ended.is_err() {
                silence.fell(patience);
            }
            if !matches!(ended, Ok(Ok(_))) {
                return;
            }
        }
        if let Some(mut connection) = self.0.take() {
            // The pool asks it whether it still answers, and would wait for ever. What is not back by then is closed.
            // `return_to_pool` is public but `#[doc(hidden)]` in sqlx: with a new version of it this is the first thing to look at.
            if timeout(patience, connection.return_to_pool()).await.is_err() {
                silence.fell(patience);
            }
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}
