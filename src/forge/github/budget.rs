//! The rate budget of one account at GitHub: what is left of its primary limits, whether GitHub asked us to wait, who may
//! still call. Everyone who uses the account shares it. It knows no token, and while GitHub wants us to wait it lets nobody call.
//! <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>

use super::transport::Answer;
use super::turns::{Turn, Turns};
use super::wire::WireError;
use crate::clock::Clock;
use crate::forge::{AccountReport, Calls, Priority, WindowReport};
use crate::types::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a call does over there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only reads.
    Read,
    /// It changes something: one at a time.
    Write,
    /// It creates what people are notified of: one at a time, with a pause between two.
    Content,
}

/// What is counted apart: REST's calls.
pub(super) const CORE: &str = "core";
/// GraphQL's calls.
pub(super) const GRAPHQL: &str = "graphql";

/// GitHub's windows last an hour; what asks for more is a mistake, or a proxy's, and must not park a request for years.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// What GitHub wants where it gives no time: at least a minute, and more each time.
const SHORTEST_WAIT: Duration = Duration::from_secs(60);

/// The budget of one account.
pub(super) struct Budget {
    name: String,
    clock: Arc<dyn Clock>,
    pause: Duration,
    turns: Turns,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    windows: BTreeMap<String, Window>,
    /// Until when, and in whose words.
    limited: Option<(Timestamp, String)>,
    /// Limits without a time in a row.
    strikes: u32,
    calls: Calls,
}

#[derive(Clone)]
struct Window {
    limit: u64,
    remaining: u64,
    /// GitHub's time of its end: which window this is.
    reset: u64,
    /// The same by our clock.
    until: Timestamp,
}

/// Nobody may call now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) wait: Duration,
    pub(super) message: String,
}

impl Budget {
    pub(super) fn new(name: String, clock: Arc<dyn Clock>, pause: Duration) -> Self {
        Self { name, clock, pause, turns: Turns::default(), state: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call of this priority would be let through, and if not, how long that lasts.
    pub(super) fn check(&self, resource: &str, priority: Priority) -> Result<(), Limited> {
        let (now, mut state) = (self.clock.now(), self.state());
        let held = held(&state, resource, priority, now);
        if held.is_err() {
            state.calls.held += 1;
        }
        held
    }

    /// Waits for the call's turn and takes it off the budget.
    pub(super) async fn admit(&self, resource: &str, kind: Kind, priority: Priority) -> Result<Option<Turn>, Limited> {
        self.check(resource, priority)?;
        let turn = match kind {
            Kind::Read => None,
            Kind::Write => Some(self.turns.take(priority).await),
            Kind::Content => {
                let mut turn = self.turns.take(priority).await;
                turn.for_content(self.pause).await;
                Some(turn)
            }
        };
        // Whoever was before us may have met a limit.
        self.check(resource, priority)?;
        if let Some(window) = self.state().windows.get_mut(resource) {
            window.remaining = window.remaining.saturating_sub(1);
        }
        Ok(turn)
    }

    /// Learns from an answer. Tells how long to wait when it is a limit.
    pub(super) fn learn(&self, resource: &str, answer: &Answer) -> Option<Duration> {
        let now = self.clock.now();
        let mut state = self.state();
        let until = note_window(&mut state, resource, answer, now);
        if let Some(limit) = limit_of(answer) {
            return Some(state.limit(limit, until, now));
        }
        let over = state.limited.as_ref().is_none_or(|(until, _)| *until <= now);
        match answer.status.as_u16() {
            200..=399 => {
                state.calls.done += 1;
                if over {
                    (state.strikes, state.limited) = (0, None);
                }
            }
            400..=499 => state.calls.refused += 1,
            _ => state.calls.failed += 1,
        }
        None
    }

    /// A call got no answer.
    pub(super) fn lost(&self) {
        self.state().calls.failed += 1;
    }

    /// GraphQL tells a limit in the body of a good answer.
    pub(super) fn limited_by_graphql(&self, answer: &Answer, message: String) -> Duration {
        let now = self.clock.now();
        let mut state = self.state();
        let until = state.windows.get(GRAPHQL).map(|window| window.until);
        let advice = if answer.number("x-ratelimit-remaining") == Some(0) { Advice::Spent } else { Advice::Nothing };
        state.limit(Limit { advice, message }, until, now)
    }

    pub(super) fn report(&self, api: &str) -> AccountReport {
        let (now, state) = (self.clock.now(), self.state());
        let limited = state.limited.as_ref().filter(|(until, _)| *until > now);
        let windows = state.windows.iter().map(|(resource, window)| WindowReport {
            resource: resource.clone(),
            limit: window.limit,
            remaining: if window.until > now { window.remaining } else { window.limit },
            resets_at: window.until,
        });
        AccountReport {
            name: self.name.clone(),
            api: api.to_owned(),
            windows: windows.collect(),
            limited_until: limited.map(|(until, _)| *until),
            limited_because: limited.map(|(_, message)| message.clone()),
            calls: state.calls,
        }
    }
}

/// Why a call may not be made now.
fn held(state: &State, resource: &str, priority: Priority, now: Timestamp) -> Result<(), Limited> {
    if let Some((until, message)) = state.limited.as_ref().filter(|(until, _)| *until > now) {
        return Err(Limited { wait: until.since(now), message: message.clone() });
    }
    let Some(window) = state.windows.get(resource).filter(|window| window.until > now) else { return Ok(()) };
    let kept = priority.reserve(window.limit);
    if window.remaining > kept {
        return Ok(());
    }
    let message = match kept {
        0 => format!("the {} calls of this hour are spent", window.limit),
        _ => format!("the last {} of {} calls of this hour are kept for what is more urgent", window.remaining, window.limit),
    };
    Err(Limited { wait: window.until.since(now), message })
}

/// Notes what is left of the answer's window, and tells when that ends. Answers may come out of order: of one window the
/// lowest number is the newest.
fn note_window(state: &mut State, resource: &str, answer: &Answer, now: Timestamp) -> Option<Timestamp> {
    let (limit, remaining, reset) =
        (answer.number("x-ratelimit-limit")?, answer.number("x-ratelimit-remaining")?, answer.number("x-ratelimit-reset")?);
    // The end is told by GitHub's clock; what counts is how far off it is.
    let theirs = answer.date().unwrap_or(now).unix_seconds();
    let left = Duration::from_secs(reset.saturating_sub(u64::try_from(theirs).unwrap_or(0))).clamp(Duration::from_secs(1), LONGEST_WAIT);
    let resource = answer.header("x-ratelimit-resource").unwrap_or(resource).to_owned();
    let known = state.windows.get(&resource).filter(|window| window.until > now);
    let window = match known {
        Some(known) if known.reset > reset => known.clone(),
        Some(known) if known.reset == reset => Window { limit, remaining: known.remaining.min(remaining), ..known.clone() },
        _ => Window { limit, remaining, reset, until: now.plus(left) },
    };
    let until = window.until;
    state.windows.insert(resource, window);
    Some(until)
}

/// A limit, as an answer tells it.
struct Limit {
    advice: Advice,
    message: String,
}

/// What it says about the time.
enum Advice {
    After(Duration),
    /// The window is spent.
    Spent,
    Nothing,
}

impl State {
    /// Nobody calls until it is over; tells how long that is.
    fn limit(&mut self, limit: Limit, window: Option<Timestamp>, now: Timestamp) -> Duration {
        self.calls.limited += 1;
        let running = self.limited.as_ref().filter(|(until, _)| *until > now).map(|(until, _)| *until);
        let wait = match (limit.advice, window) {
            (Advice::After(wait), _) => wait,
            // Only this resource is spent, and its window holds the calls back.
            (Advice::Spent, Some(until)) => return until.since(now).clamp(Duration::from_secs(1), LONGEST_WAIT),
            (Advice::Spent | Advice::Nothing, _) => {
                // Several that were under way at once are one strike.
                if running.is_none() {
                    self.strikes = self.strikes.saturating_add(1);
                }
                SHORTEST_WAIT.saturating_mul(1_u32.checked_shl(self.strikes.saturating_sub(1)).unwrap_or(u32::MAX))
            }
        };
        let until = now.plus(wait.min(LONGEST_WAIT)).max(running.unwrap_or(now));
        self.limited = Some((until, limit.message));
        until.since(now)
    }
}

/// Whether the answer is a limit, and what it says.
fn limit_of(answer: &Answer) -> Option<Limit> {
    if !matches!(answer.status.as_u16(), 403 | 429) {
        return None;
    }
    let words = WireError::read(&answer.text).words();
    let said = words.to_ascii_lowercase();
    let advice = match (answer.number("retry-after"), answer.number("x-ratelimit-remaining")) {
        (Some(seconds), _) => Advice::After(Duration::from_secs(seconds)),
        (None, Some(0)) => Advice::Spent,
        _ => {
            let secondary = ["rate limit", "abuse detection", "temporarily blocked"].iter().any(|part| said.contains(part));
            (secondary || answer.status.as_u16() == 429).then_some(Advice::Nothing)?
        }
    };
    Some(Limit { advice, message: if words.is_empty() { format!("status {}", answer.status.as_u16()) } else { words } })
}

#[cfg(test)]
mod tests;
