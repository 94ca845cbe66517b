//! Every order of events: thousands of stories of one request each, told in any order and as often as senders like, while people act at
//! the forge and the steps are done in between. What holds in the end is told by a model that knows nothing of the order.

mod forge;
mod hand;
mod model;
mod settings;
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
    let tell = |first: u64| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let told = (first..waves).step_by(WORLDS as usize).filter_map(|seed| {
            let wrong = runtime.block_on(Wave::of(seed, TOGETHER).tell()).err()?;
            Some(format!("seed {seed}: {wrong}"))
        });
        told.inspect(|wrong| eprintln!("{wrong}\n")).collect::<Vec<_>>()
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let worlds: Vec<_> = (0..WORLDS).map(|first| scope.spawn(move || tell(first))).collect();
        worlds.into_iter().flat_map(|world| world.join().expect("it was told")).collect()
    });
    assert!(wrong.is_empty(), "{} of {waves} worlds end otherwise; the first of them:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n\n"));
}
