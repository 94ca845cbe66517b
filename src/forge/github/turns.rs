//! Calls that change something are made one at a time: whoever wants to make one takes a turn, the more urgent first.
//! A turn passes on by itself when it is dropped, so a step that is cut short never keeps the others waiting.

use crate::forge::Priority;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Gives out turns.
#[derive(Default)]
pub(super) struct Turns(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    taken: bool,
    /// By priority, then in order of arrival.
    waiting: BTreeMap<(Priority, u64), oneshot::Sender<Turn>>,
    arrived: u64,
    /// When content was created last.
    content_at: Option<Instant>,
}

/// The right to make one call that changes something.
pub(super) struct Turn {
    queue: Arc<Mutex<Queue>>,
    content: bool,
}

impl Turns {
    /// Waits for a turn.
    pub(super) async fn take(&self, priority: Priority) -> Turn {
        loop {
            let passed_on = {
                let mut queue = lock(&self.0);
                if !queue.taken {
                    queue.taken = true;
                    return Turn { queue: Arc::clone(&self.0), content: false };
                }
                let (sender, receiver) = oneshot::channel();
                let place = (priority, queue.arrived);
                queue.arrived += 1;
                queue.waiting.insert(place, sender);
                receiver
            };
            if let Ok(turn) = passed_on.await {
                return turn;
            }
        }
    }
}

impl Turn {
    /// Waits until `pause` has passed since content was created last. The turn counts as one that creates content.
    pub(super) async fn for_content(&mut self, pause: Duration) {
        let last = lock(&self.queue).content_at;
        if let Some(last) = last {
            tokio::time::sleep_until(last + pause).await;
        }
        self.content = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut queue = lock(&self.queue);
            if self.content {
                queue.content_at = Some(Instant::now());
            }
            let next = queue.waiting.pop_first();
            queue.taken = next.is_some();
            next
        };
        if let Some((_, waiting)) = next {
            // One that nobody waits for any more is dropped here, and so passes on in its turn.
            drop(waiting.send(Turn { queue: Arc::clone(&self.queue), content: false }));
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_more_urgent_go_first_and_who_gave_up_is_passed_over() {
        let turns = Arc::new(Turns::default());
        let held = turns.take(Priority::Ticket).await;
        let order: Arc<Mutex<Vec<&str>>> = Arc::default();
        let mut tasks = Vec::new();
        let names = [("housekeeping", Priority::Housekeeping), ("first", Priority::Ticket), ("second", Priority::Ticket), ("alert", Priority::Alert)];
        for (name, priority) in names {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let _turn = turns.take(priority).await;
                order.lock().expect("the order").push(name);
            }));
            // It stands in the queue before the next one comes.
            tokio::task::yield_now().await;
        }
        tasks.remove(1).abort();
        tokio::task::yield_now().await;
        drop(held);
        for task in tasks {
            task.await.expect("its turn came");
        }
        assert_eq!(*order.lock().expect("the order"), ["alert", "second", "housekeeping"]);
        let _free = turns.take(Priority::Ticket).await;
    }

    #[tokio::test]
    async fn one_has_the_turn_at_a_time() {
        let turns = Arc::new(Turns::default());
        let inside: Arc<Mutex<u32>> = Arc::default();
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (turns, inside) = (Arc::clone(&turns), Arc::clone(&inside));
                tokio::spawn(async move {
                    // Who had one comes again at once, while it is still on its way to the next.
                    for _ in 0..3 {
                        let _turn = turns.take(Priority::Ticket).await;
                        *inside.lock().expect("the count") += 1;
                        tokio::task::yield_now().await;
                        let mut count = inside.lock().expect("the count");
                        assert_eq!(*count, 1);
                        *count -= 1;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("alone");
        }
    }

    #[tokio::test]
    async fn content_is_created_with_a_pause_and_other_changes_are_not() {
        let turns = Turns::default();
        let pause = Duration::from_millis(40);
        let begun = Instant::now();
        for _ in 0..3 {
            turns.take(Priority::Ticket).await.for_content(pause).await;
            drop(turns.take(Priority::Ticket).await);
        }
        assert!(begun.elapsed() >= pause * 2, "{:?}", begun.elapsed());
        let last = lock(&turns.0).content_at.expect("content was created");
        drop(turns.take(Priority::Ticket).await);
        assert_eq!(lock(&turns.0).content_at, Some(last), "a plain change is no content");
    }
}
