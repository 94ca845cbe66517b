//! The way into the database. The pool knocks again and again where it is not let in, and says in the end only that its time is over: who waits
//! here learns what stands in the way, and where that was seen just now, nobody waits for it once more. It asks nothing of the database.

use super::{PostgresOptions, tls};
use crate::store::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long a connection is waited for until somebody looks what stands in the way.
const LOOK_AFTER: Duration = Duration::from_millis(200);
/// How long what was seen is believed.
const FRESH: Duration = Duration::from_secs(1);
/// How long nobody may answer, as while PostgreSQL is started anew, until who waits is sent away.
const GRACE: Duration = Duration::from_secs(1);
/// How long a connection is waited for where the server has no more to give: one that others of this process give back will do.
const FULL: Duration = Duration::from_secs(2);
/// When nothing was seen for so long, what is seen next is something new.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// For how long it is told that somebody was sent away.
const TOLD: Duration = Duration::from_secs(5);

/// What stands in the way, in words.
#[derive(Debug, Clone)]
enum Hindrance {
    /// Nobody is let in.
    Shut(String),
    /// Nobody more is let in.
    Full(String),
}

/// What was seen at the door.
#[derive(Debug, Default)]
struct Seen {
    last: Option<(Instant, Result<(), Hindrance>)>,
    /// Since when nobody is let in.
    since: Option<Instant>,
    /// Who was sent away last, and why.
    denied: Option<(Instant, StoreError)>,
}

/// What was seen, as those know it who make connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Threshold(Arc<Mutex<Seen>>);

impl Threshold {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection was made.
    pub(super) fn let_in(&self) {
        *self.seen() = Seen { last: Some((Instant::now(), Ok(()))), ..Seen::default() };
    }

    /// What somebody saw who tried since a moment.
    fn note(&self, began: Instant, hindrance: Option<Hindrance>) -> Result<(), Hindrance> {
        let Some(hindrance) = hindrance else {
            self.let_in();
            return Ok(());
        };
        let mut seen = self.seen();
        let goes_on = seen.last.as_ref().is_some_and(|(at, seen)| seen.is_err() && at.elapsed() < FORGOTTEN);
        seen.since = seen.since.filter(|_| goes_on).or(Some(began));
        seen.last = Some((Instant::now(), Err(hindrance.clone())));
        Err(hindrance)
    }
}

/// How many connections are lent, and word of those that come back.
#[derive(Default)]
struct Lending {
    out: AtomicU32,
    back: Notify,
}

/// A connection that is lent, for as long as this lives.
pub(super) struct Out(Arc<Lending>);

impl Drop for Out {
    fn drop(&mut self) {
        self.0.out.fetch_sub(1, Ordering::Relaxed);
        self.0.back.notify_one();
    }
}

/// The pool, and what stands before it.
pub(super) struct Door {
    pool: PgPool,
    connect: PgConnectOptions,
    options: PostgresOptions,
    threshold: Threshold,
    /// One at a time looks.
    looking: tokio::sync::Mutex<()>,
    lending: Arc<Lending>,
}

impl Door {
    /// The door of a pool that tells `threshold` of each connection it makes with `connect`.
    pub(super) fn new(pool: PgPool, connect: PgConnectOptions, options: PostgresOptions, threshold: Threshold) -> Self {
        Self { pool, connect, options, threshold, looking: tokio::sync::Mutex::default(), lending: Arc::default() }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Counts a connection as lent.
    pub(super) fn out(&self) -> Out {
        self.lending.out.fetch_add(1, Ordering::Relaxed);
        Out(Arc::clone(&self.lending))
    }

    /// A connection of the pool.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with what stands in the way, at once where that was seen just now; else what the database says.
    pub(super) async fn enter(&self) -> Result<(PoolConnection<Postgres>, Out), StoreError> {
        let begun = Instant::now();
        if let Some(told) = self.is_shut() {
            return Err(self.denied(away(told)));
        }
        loop {
            if let Some(told) = self.is_full() {
                if begun.elapsed() >= FULL {
                    return Err(self.denied(away(told)));
                }
                // The pool would not give one that comes back to who waits for a new one.
                let _ = timeout(LOOK_AFTER, self.lending.back.notified()).await;
                if self.is_full().is_some() {
                    continue;
                }
            }
            let hindered = tokio::select! {
                biased;
                acquired = self.pool.acquire() => return match acquired {
                    Ok(connection) => Ok((connection, self.out())),
                    Err(sqlx::Error::PoolTimedOut) => Err(self.denied(away(self.why_none_came()))),
                    Err(error) => Err(self.denied(error.into())),
                },
                hindered = self.hindered() => hindered,
            };
            if let Some(told) = hindered {
                return Err(self.denied(away(told)));
            }
        }
    }

    /// Who got no connection a moment ago, if none was made since: then some go on with those there are, and others get nowhere.
    pub(super) fn denies(&self) -> Option<StoreError> {
        let denied = self.threshold.seen().denied.clone();
        denied.filter(|(at, _)| at.elapsed() < TOLD).map(|(_, why)| why)
    }

    fn denied(&self, why: StoreError) -> StoreError {
        self.threshold.seen().denied = Some((Instant::now(), why.clone()));
        why
    }

    /// What was seen just now, where there are none but those that are lent.
    fn is_full(&self) -> Option<String> {
        match &self.threshold.seen().last {
            Some((at, Err(Hindrance::Full(told)))) if at.elapsed() < FRESH && self.pool.num_idle() == 0 => Some(told.clone()),
            _ => None,
        }
    }

    /// What was seen just now and has stood in the way for a while, where there is no connection that could still be good.
    fn is_shut(&self) -> Option<String> {
        if self.pool.num_idle() > 0 {
            return None;
        }
        let seen = self.threshold.seen();
        match &seen.last {
            Some((at, Err(Hindrance::Shut(told)))) if at.elapsed() < FRESH && seen.since.is_some_and(|since| since.elapsed() >= GRACE) => {
                Some(told.clone())
            }
            _ => None,
        }
    }

    /// Returns when it is of no use to wait on: with the reason, or with none where one that comes back is what there is to wait for.
    async fn hindered(&self) -> Option<String> {
        loop {
            tokio::time::sleep(LOOK_AFTER).await;
            if self.all_are_lent() {
                continue;
            }
            match self.look().await {
                Err(Hindrance::Shut(told)) if self.threshold.seen().since.is_none_or(|since| since.elapsed() >= GRACE) => return Some(told),
                Err(Hindrance::Full(_)) => return None,
                Ok(()) | Err(Hindrance::Shut(_)) => {}
            }
        }
    }

    /// Whether those who wait wait for others of this process.
    fn all_are_lent(&self) -> bool {
        self.pool.size() <= self.lending.out.load(Ordering::Relaxed)
    }

    /// What stands in the way, if something does that the pool does not tell of.
    async fn look(&self) -> Result<(), Hindrance> {
        let _turn = self.looking.lock().await;
        if let Some((at, seen)) = &self.threshold.seen().last
            && at.elapsed() < FRESH
        {
            return seen.clone();
        }
        let began = Instant::now();
        let hindrance = match self.connect.connect().await {
            Ok(connection) => {
                let patience = self.options.deadline;
                tokio::spawn(async move { timeout(patience, connection.close()).await });
                None
            }
            Err(error) => hindrance(&error, &self.connect, &self.options),
        };
        self.threshold.note(began, hindrance)
    }

    /// What to say when the pool had none in time.
    fn why_none_came(&self) -> String {
        if self.all_are_lent() {
            let many = self.pool.options().get_max_connections();
            return format!("all {many} connections of this process are in use (STORE_CONNECTIONS)");
        }
        let last = self.threshold.seen().last.clone();
        match last {
            Some((_, Err(Hindrance::Shut(told) | Hindrance::Full(told)))) => told,
            _ => no_answer(&self.connect, &self.options),
        }
    }
}

/// A connection of one's own, beside the pool.
///
/// # Errors
/// At once, with what the server or the system says, and what to do.
pub(super) async fn connected(connect: &PgConnectOptions, options: &PostgresOptions) -> Result<PgConnection, StoreError> {
    match timeout(options.busy_timeout, connect.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(explained(error, connect, options)),
        Err(_) => Err(away(no_answer(connect, options))),
    }
}

fn explained(error: sqlx::Error, connect: &PgConnectOptions, options: &PostgresOptions) -> StoreError {
    if let Some(Hindrance::Shut(told) | Hindrance::Full(told)) = hindrance(&error, connect, options) {
        return away(told);
    }
    match &error {
        sqlx::Error::Database(why) if why.code().as_deref() == Some("28P01") && options.password.is_none() => {
            StoreError::Unusable(format!("{}: no secret STORE_PASSWORD was found", why.message()))
        }
        // A name that nobody knows; that the one who should know it is away passes.
        sqlx::Error::Io(why) if is_unknown_name(&why.to_string()) => StoreError::Unusable(format!("{}: {why}", connect.get_host())),
        sqlx::Error::Io(why) if why.kind() == ErrorKind::UnexpectedEof => away(format!("{}: the server ended the connection", place(connect))),
        sqlx::Error::Io(why) if why.get_ref().is_none_or(|why| !why.is::<rustls::Error>()) => away(format!("{}: {why}", place(connect))),
        _ => tls::explained(error, connect),
    }
}

fn is_unknown_name(why: &str) -> bool {
    why.contains("failed to lookup address") && !["emporary failure", "ry again"].iter().any(|passes| why.contains(passes))
}

/// Those things that the pool does not tell of, because they may pass.
fn hindrance(error: &sqlx::Error, connect: &PgConnectOptions, options: &PostgresOptions) -> Option<Hindrance> {
    match error {
        sqlx::Error::Io(why) if why.kind() == ErrorKind::ConnectionRefused => Some(Hindrance::Shut(format!("{}: {why}", place(connect)))),
        sqlx::Error::Database(why) => match why.code().as_deref() {
            Some("57P03") => Some(Hindrance::Shut(format!("{}: {}", place(connect), why.message()))),
            Some("53300") => Some(Hindrance::Full(format!(
                "{}: every process takes up to {} connections (STORE_CONNECTIONS) and one that holds its name, and all of them have to fit into \
                 max_connections, or the limit of the role or the database",
                why.message(),
                options.most()
            ))),
            _ => None,
        },
        _ => None,
    }
}

fn no_answer(connect: &PgConnectOptions, options: &PostgresOptions) -> String {
    format!("{}: no answer within {:?}", place(connect), options.busy_timeout)
}

/// Where the database is.
fn place(connect: &PgConnectOptions) -> String {
    match connect.get_socket() {
        Some(directory) => directory.display().to_string(),
        None => format!("{}:{}", connect.get_host(), connect.get_port()),
    }
}

fn away(told: String) -> StoreError {
    // Counted as what the pool says of it.
    let _ = StoreError::from(sqlx::Error::PoolTimedOut);
    StoreError::Unavailable(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_way_for_a_moment_is_something_new_when_it_was_gone_in_between() {
        let threshold = Threshold::default();
        let shut = || Some(Hindrance::Shut("refused".to_owned()));
        let (first, second) = (Instant::now(), Instant::now() + Duration::from_millis(500));
        assert!(threshold.note(first, shut()).is_err() && threshold.note(second, shut()).is_err());
        assert_eq!(threshold.seen().since, Some(first), "it goes on");
        threshold.seen().denied = Some((first, StoreError::Unavailable("refused".to_owned())));
        threshold.let_in();
        assert!(threshold.seen().since.is_none() && threshold.seen().denied.is_none());
        assert!(threshold.note(second, shut()).is_err());
        assert_eq!(threshold.seen().since, Some(second));
    }

    #[test]
    fn a_name_that_nobody_knows_is_told_from_one_that_cannot_be_looked_up_now() {
        assert!(is_unknown_name("failed to lookup address information: Name or service not known"));
        assert!(!is_unknown_name("failed to lookup address information: Temporary failure in name resolution"));
        assert!(!is_unknown_name("Connection refused (os error 111)"));
    }
}
