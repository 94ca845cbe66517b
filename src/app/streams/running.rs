//! Which streams are fetched from. Each source is changed by itself: one whose messages in hand take long to be stored holds up no other.

use crate::types::SourceName;
use futures_util::future::{BoxFuture, join_all};
use std::collections::{BTreeSet, HashMap};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is fetched of each source, said by a `W`.
pub(super) struct Running<W>(HashMap<SourceName, Fetching<W>>);

struct Fetching<W> {
    /// None where nothing is fetched any more, and what was is being ended.
    what: Option<W>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl<W> Fetching<W> {
    async fn end(self) {
        let _ = self.stop.send(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "fetching messages did not end in order");
        }
    }
}

impl<W: Clone + PartialEq + Send + 'static> Running<W> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Whether something ended unasked, or came to its end.
    pub(super) fn any_ended(&self) -> bool {
        self.0.values().any(|fetching| fetching.task.is_finished())
    }

    /// Ends what is fetched no more, or in another way, and begins what is new. `begin` is given what is to be fetched until its flag says true,
    /// or none where a source is to be forgotten; of one source it is done after what was before has ended.
    pub(super) fn follow(
        &mut self,
        wanted: &HashMap<SourceName, W>,
        begin: impl Fn(&SourceName, Option<W>, watch::Receiver<bool>) -> BoxFuture<'static, ()>,
    ) {
        let names: BTreeSet<SourceName> = self.0.keys().chain(wanted.keys()).cloned().collect();
        for name in names {
            let what = wanted.get(&name);
            let before = self.0.remove(&name);
            match before {
                Some(before) if before.what.as_ref() == what && !before.task.is_finished() => drop(self.0.insert(name, before)),
                // It is forgotten.
                Some(before) if before.what.is_none() && what.is_none() => {}
                before => {
                    let (stop, stopped) = watch::channel(false);
                    let next = begin(&name, what.cloned(), stopped);
                    if let Some(before) = &before {
                        let _ = before.stop.send(true);
                    }
                    let task = tokio::spawn(async move {
                        if let Some(before) = before {
                            before.end().await;
                        }
                        next.await;
                    });
                    self.0.insert(name, Fetching { what: what.cloned(), stop, task });
                }
            }
        }
    }

    /// Ends all of it.
    pub(super) async fn end(self) {
        join_all(self.0.into_values().map(Fetching::end)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::sync::{Arc, Mutex};
    use tokio::sync::Notify;

    /// Fetching that writes down what happens, and of which `slow` ends only when it is let.
    #[derive(Default)]
    struct World {
        said: Mutex<Vec<String>>,
        happened: Notify,
        let_go: Notify,
    }

    impl World {
        fn say(&self, what: String) {
            self.said.lock().expect("what was said").push(what);
            self.happened.notify_one();
        }

        fn follow(self: &Arc<Self>, running: &mut Running<u32>, wanted: &[(&str, u32)]) {
            let wanted = wanted.iter().map(|(name, what)| (name.parse().expect("a name"), *what)).collect();
            running.follow(&wanted, |name, what, mut stop| {
                let (world, name) = (Arc::clone(self), name.to_string());
                async move {
                    let Some(what) = what else { return world.say(format!("{name} is forgotten")) };
                    world.say(format!("{name} begins with {what}"));
                    let _ = stop.wait_for(|stop| *stop).await;
                    if name == "slow" && what == 1 {
                        world.let_go.notified().await;
                    }
                    world.say(format!("{name} ends with {what}"));
                }
                .boxed()
            });
        }

        /// Waits until so much was said; tells it in the order of words.
        async fn heard(&self, count: usize) -> Vec<String> {
            loop {
                let mut said = self.said.lock().expect("what was said").clone();
                if said.len() >= count {
                    said.sort();
                    return said;
                }
                self.happened.notified().await;
            }
        }

        fn forget(&self) {
            self.said.lock().expect("what was said").clear();
        }
    }

    #[tokio::test]
    async fn a_source_that_takes_long_to_end_holds_up_no_other() {
        let (world, mut running) = (Arc::new(World::default()), Running::new());
        world.follow(&mut running, &[("slow", 1), ("gone", 1), ("same", 1)]);
        world.heard(3).await;
        world.forget();
        world.follow(&mut running, &[("slow", 2), ("same", 1), ("new", 1)]);
        assert_eq!(world.heard(3).await, ["gone ends with 1", "gone is forgotten", "new begins with 1"]);
        // Changed again before it has ended: what was wanted in between is passed over but for its end.
        world.forget();
        world.follow(&mut running, &[("slow", 3), ("same", 1), ("new", 1)]);
        world.let_go.notify_one();
        assert_eq!(world.heard(4).await, ["slow begins with 2", "slow begins with 3", "slow ends with 1", "slow ends with 2"]);
        assert_eq!(world.said.lock().expect("what was said").last().map(String::as_str), Some("slow begins with 3"));
        world.forget();
        running.end().await;
        assert_eq!(world.heard(3).await, ["new ends with 1", "same ends with 1", "slow ends with 3"]);
    }

    #[tokio::test]
    async fn what_ended_unasked_begins_again() {
        let mut running = Running::new();
        let begun = Arc::new(Mutex::new(0));
        let source: SourceName = "ops".parse().expect("a name");
        for round in 1..=3 {
            let begun_here = Arc::clone(&begun);
            running.follow(&HashMap::from([(source.clone(), 1)]), |_, _, _| {
                let begun = Arc::clone(&begun_here);
                async move { *begun.lock().expect("a count") += 1 }.boxed()
            });
            while !running.any_ended() {
                tokio::task::yield_now().await;
            }
            assert_eq!(*begun.lock().expect("a count"), round);
        }
    }
}
