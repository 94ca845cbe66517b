//! Every order of events: thousands of stories of one request each, told in any order and as often as senders like, while people act at
//! the forge and the steps are done in between. What holds in the end is told by a model that knows nothing of the order.

mod forge;
mod story;
mod world;

use story::Wave;

/// Stories told, and how many of them share a world.
const STORIES: u64 = 10_000;
const TOGETHER: u64 = 20;
/// Worlds at the same time.
const WORLDS: u64 = 2;

#[test]
fn ten_thousand_orders_of_events_and_of_what_people_do_end_as_the_model_says() {
    let waves = STORIES / TOGETHER;
    std::thread::scope(|scope| {
        for first in 0..WORLDS {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                for seed in (first..waves).step_by(WORLDS as usize) {
                    runtime.block_on(Wave::of(seed, TOGETHER).tell());
                }
            });
        }
    });
}
