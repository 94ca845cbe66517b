//! What holds a proposed request up: a person's word, or calendars that are closed. Pure: calendars are looked at elsewhere, and how
//! they stood then is kept here.

use super::{State, Steering};
use crate::types::Timestamp;
use serde::{Deserialize, Serialize};

/// A person's word that a request waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who said so.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// A person's word that a request does not wait for its calendars to open, this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// When they open by themselves: from then on the word does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// How a request's calendars stood when they were last looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Why they are closed; none while they are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
    /// When that changes; none where it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// That moment as the clock of the calendar's time zone shows it, while they are closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

/// Why a request is held up, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldUp {
    /// Who said so; none where its calendars do.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When it goes on by itself; none where only a person lets it.
    pub until: Option<Timestamp>,
    /// That moment as the clock of the calendar's time zone shows it.
    pub shown: Option<String>,
    /// Since when, where a person said so.
    pub since: Option<Timestamp>,
}

impl HeldUp {
    /// In a line without its beginning `held`: `by ada: the database is being moved`, `until Mon 2026-11-23 09:00 Europe/Berlin (calendar
    /// office: outside its windows)`.
    pub fn words(&self) -> String {
        let reason = self.reason.as_deref();
        match (&self.by, &self.shown) {
            (Some(by), _) => format!("by {by}{}", reason.map(|reason| format!(": {reason}")).unwrap_or_default()),
            (None, Some(shown)) => format!("until {shown}{}", reason.map(|reason| format!(" ({reason})")).unwrap_or_default()),
            (None, None) => format!("for good, unless a person releases it{}", reason.map(|reason| format!(" ({reason})")).unwrap_or_default()),
        }
    }
}

impl Steering {
    /// What holds the request up, as far as was known when its calendars were last looked at. A person's word comes first.
    pub fn held_up(&self) -> Option<HeldUp> {
        if let Some(Hold { by, reason, since }) = &self.held {
            return Some(HeldUp { by: Some(by.clone()), reason: reason.clone(), until: None, shown: None, since: Some(*since) });
        }
        let window = self.window.as_ref().filter(|_| self.released.is_none())?;
        let reason = window.closed.clone()?;
        Some(HeldUp { by: None, reason: Some(reason), until: window.until, shown: window.shown.clone(), since: None })
    }

    /// Takes note of how the calendars stand now. A release that is over is forgotten.
    pub fn look(&mut self, window: Option<Window>, now: Timestamp) {
        let over = |release: &Release| release.until.is_some_and(|until| until <= now);
        let open = window.as_ref().is_none_or(|window| window.closed.is_none());
        if open || self.released.as_ref().is_some_and(over) {
            self.released = None;
        }
        self.window = window;
    }

    /// When its calendars have to be looked at again, of a request in this state.
    pub fn window_turns(&self, state: State) -> Option<Timestamp> {
        self.window.as_ref().filter(|_| matches!(state, State::Proposed | State::Approved))?.until
    }
}
