//! Tasks without which the process only seems to work: when one ends or panics unasked, everybody hears of it.
//! It starts nothing anew: what such a task held is in the store, and the next process goes on with it.

use crate::api::AppState;
use std::fmt::Display;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Watches over tasks, and tells of the first that ended unasked.
pub(super) struct Vital {
    state: Arc<AppState>,
    stopped: watch::Receiver<bool>,
    failure: watch::Sender<Option<String>>,
}

impl Vital {
    /// A watch until `stopped` says true. `/ready` of `state` says no from the first failure on.
    pub(super) fn new(state: Arc<AppState>, stopped: watch::Receiver<bool>) -> Self {
        Self { state, stopped, failure: watch::Sender::new(None) }
    }

    /// Why the process cannot go on, once it cannot.
    pub(super) fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.subscribe()
    }

    /// Watches over a task, from the moment of this call; what is returned ends when the task does.
    pub(super) fn watch<E: Display + Send + 'static>(&self, name: &'static str, task: JoinHandle<Result<(), E>>) -> JoinHandle<()> {
        let (state, stopped, failure) = (Arc::clone(&self.state), self.stopped.clone(), self.failure.clone());
        tokio::spawn(async move {
            let reason = match task.await {
                Ok(Ok(())) => format!("{name} ended unasked"),
                Ok(Err(error)) => format!("{name} ended unasked: {error}"),
                Err(error) if error.is_panic() => format!("{name} panicked, which is a fault of KubeOps; please report it"),
                Err(_) => format!("{name} was aborted"),
            };
            if *stopped.borrow() {
                return;
            }
            tracing::error!("{reason}; nothing that was acknowledged is lost, the next start goes on with it");
            state.break_down(reason.clone());
            failure.send_if_modified(|first| first.is_none().then(|| *first = Some(reason)).is_some());
        })
    }
}
