//! Named points at which a test build can be made to die, as by `kill -9`: between every two stages of the flow.
//! Without the feature `failpoints` they are nothing. `KUBEOPS_FAILPOINT=<name>[:<n>]` names the point, and at which pass; with
//! `panic@` before the name only the task that passes dies there, as by a mistake of ours.

/// Every point there is, in the order of the flow.
pub const ALL: &[&str] = &[
    "inbox.committed",
    "stream.stored",
    "dispatch.read",
    "dispatch.recorded",
    "plan.fetched",
    "plan.committed",
    "plan.settling",
    "draft.begun",
    "draft.reserved",
    "draft.answered",
    "draft.looked",
    "draft.told",
    "draft.settling",
    "propose.pushed",
    "propose.going-on",
    "propose.opened",
    "propose.window",
    "propose.settling",
    "clock.settling",
    "command.refused",
    "command.effect",
    "command.carried-out",
    "command.kept",
    "command.reacted",
    "command.answered",
    "command.settling",
    "confirm.settling",
    "observe.settling",
    "replan.settling",
    "retract.said",
    "revert.opened",
    "clock.reminded",
    "retract.settling",
    "tell.begun",
    "tell.acted",
    "tell.settling",
    "withdraw.closed",
    "withdraw.going-on",
    "withdraw.settling",
    "settled",
    "store.migrating",
    "store.migrated",
    "store.copying",
    "store.copied",
];

/// Points in the tasks that must run as long as the process does, at each of their rounds.
pub const ROUNDS: &[&str] = &["upkeep.round"];

/// Points at which one of many is worked on. `<name>=<text>` names the one by what it holds, and it dies there each time.
pub const ONE_OF_MANY: &[&str] = &["dispatch.reading"];

/// Dies here when the environment names what is worked on.
#[cfg(feature = "failpoints")]
pub fn hit_by(name: &str, worked_on: &[u8]) {
    debug_assert!(ONE_OF_MANY.contains(&name), "{name} is listed");
    let Ok(wanted) = std::env::var("KUBEOPS_FAILPOINT") else { return };
    let (panics, wanted) = panics(&wanted);
    let Some((_, text)) = wanted.split_once('=').filter(|(point, text)| *point == name && !text.is_empty()) else { return };
    if worked_on.windows(text.len()).any(|part| part == text.as_bytes()) {
        die(name, panics);
    }
}

/// Nothing, in a build without failpoints.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit_by(_name: &str, _worked_on: &[u8]) {}

/// Dies here when the environment says so.
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSES: AtomicU64 = AtomicU64::new(0);
    debug_assert!(ALL.contains(&name) || ROUNDS.contains(&name), "{name} is listed");
    let Ok(wanted) = std::env::var("KUBEOPS_FAILPOINT") else { return };
    let (panics, wanted) = panics(&wanted);
    let (point, nth) = wanted.split_once(':').unwrap_or((wanted, "1"));
    if point == name && PASSES.fetch_add(1, Ordering::SeqCst) + 1 >= nth.parse().unwrap_or(1) {
        die(name, panics);
    }
}

/// Whether the task alone dies, and the rest of what is wanted.
#[cfg(feature = "failpoints")]
fn panics(wanted: &str) -> (bool, &str) {
    wanted.strip_prefix("panic@").map_or((false, wanted), |rest| (true, rest))
}

#[cfg(feature = "failpoints")]
fn die(name: &str, panics: bool) -> ! {
    assert!(!panics, "the failpoint {name} was reached");
    // No destructor runs and nothing is flushed: as close to a kill as a process comes by itself.
    std::process::abort();
}

/// Nothing, in a build without failpoints.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &str) {}
