//! When changes may take effect: windows and blackouts on the clock of a time zone.
//! Pure: whether a calendar is open is a function of the calendar and the moment that is asked about.

mod blackout;
mod spec;
#[cfg(test)]
mod tests;
mod window;
mod zone;

pub(crate) use spec::{BLACKOUT_DAY, TIME_OF_DAY};
pub use spec::{BlackoutDay, BlackoutSpec, CalendarReverts, CalendarSpec, Day, TimeOfDay, WindowSpec};

use crate::types::{CalendarName, SpecError, Timestamp};
use blackout::Blackout;
use std::time::Duration;
use window::Window;
use zone::Zone;

/// The name that stands for no calendar at all, where one is named.
pub const NO_CALENDAR: &str = "none";

/// How far ahead it is looked for the end of what is open; what does not close until then never does.
const FAR: Duration = Duration::from_secs(800 * 86_400);
/// Windows that follow each other without a pause, and blackouts and windows that are tried, at most.
const MOST_STEPS: u32 = 50_000;
const MOST_TRIES: u32 = 2_000;
/// A moment at which every calendar can be asked whether it ever opens: no rule of a calendar depends on the year.
const SOME_TIME: i64 = 1_767_225_600_000;

/// A calendar as configured.
#[derive(Debug, Clone)]
pub struct Calendar {
    /// Its name.
    pub name: CalendarName,
    /// Its settings.
    pub spec: CalendarSpec,
    zone: Zone,
    windows: Vec<Window>,
    blackouts: Vec<Blackout>,
}

/// How a calendar stands at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Changes may take effect.
    Open {
        /// The first moment at which they may not; none where that never comes.
        until: Option<Timestamp>,
    },
    /// They may not.
    Closed {
        /// Why, as a person is told: which calendar, and which blackout.
        reason: String,
        /// The first moment at which they may; none where that never comes.
        until: Option<Timestamp>,
        /// That moment as the clock shows it in the calendar's time zone: `Mon 2026-11-23 09:00 Europe/Berlin`.
        shown: Option<String>,
    },
}

impl Standing {
    /// When it changes; none where it never does.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Open { until } | Self::Closed { until, .. } => *until,
        }
    }

    /// Whether changes may take effect.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

impl Calendar {
    /// The calendar of a document.
    ///
    /// # Errors
    /// What is wrong, with pointers into the spec; also when it never opens.
    pub fn compile(name: CalendarName, spec: CalendarSpec) -> Result<Self, Vec<SpecError>> {
        let mut errors = Vec::new();
        if name.as_str() == NO_CALENDAR {
            errors.push(SpecError::new("", "`none` stands for no calendar where one is named").hint("give it another name"));
        }
        let zone = Zone::named(&spec.time_zone).map_err(|near| {
            let hint = near.map_or("an IANA name is wanted, such as Europe/Berlin or UTC".to_owned(), |near| format!("did you mean {near}?"));
            errors.push(SpecError::new("/timeZone", format!("there is no time zone {:?}", spec.time_zone)).hint(hint));
        });
        let mut at =
            |list: &str, index: usize, error: SpecError| errors.push(SpecError { pointer: format!("/{list}/{index}{}", error.pointer), ..error });
        let windows = spec.windows.iter().enumerate().filter_map(|(index, window)| {
            let compiled = Window::compile(window).map_err(|error| at("windows", index, error)).ok()?;
            let begins = zone.is_err() || zone.is_ok_and(|zone| compiled.opens(zone, Timestamp::from_unix_millis(SOME_TIME)).is_some());
            if !begins {
                at("windows", index, SpecError::new("/cron", "this moment never comes").hint("is there such a day in such a month?"));
            }
            Some(compiled)
        });
        let windows: Vec<Window> = windows.collect();
        let blackouts = spec.blackouts.iter().enumerate();
        let blackouts: Vec<Blackout> =
            blackouts.filter_map(|(index, blackout)| Blackout::compile(blackout).map_err(|error| at("blackouts", index, error)).ok()).collect();
        let Ok(zone) = zone else { return Err(errors) };
        let calendar = Self { name, spec, zone, windows, blackouts };
        if errors.is_empty() && calendar.opens(calendar.settled()).is_none() {
            errors.push(SpecError::new("", "it never opens: a blackout stands over every window").hint("a change under it would be held for ever"));
        }
        if errors.is_empty() { Ok(calendar) } else { Err(errors) }
    }

    /// How it stands at a moment.
    pub fn standing(&self, at: Timestamp) -> Standing {
        let blackout = self.blackouts.iter().find(|blackout| blackout.ends(self.zone, at).is_some());
        let reason = match (blackout, self.closes(at)) {
            (Some(blackout), _) => blackout.words.clone(),
            (None, None) => "outside its windows".to_owned(),
            (None, Some(closes)) => {
                let blackout = self.blackouts.iter().filter_map(|blackout| blackout.begins(self.zone, at)).min();
                return Standing::Open { until: closes.into_iter().chain(blackout).min() };
            }
        };
        let until = self.opens(at);
        Standing::Closed { reason: format!("calendar {}: {reason}", self.name), until, shown: until.map(|until| self.shown(until)) }
    }

    /// A moment as the clock shows it in its time zone: `Mon 2026-11-23 09:00 Europe/Berlin`.
    pub fn shown(&self, at: Timestamp) -> String {
        format!("{} {}", self.zone.wall(at).format("%a %Y-%m-%d %H:%M"), self.zone.name())
    }

    /// When the windows that are open at a moment, and those that follow without a pause, are over: none when none is open, and
    /// none within where they never are.
    fn closes(&self, at: Timestamp) -> Option<Option<Timestamp>> {
        if self.windows.is_empty() {
            return Some(None);
        }
        let mut closes = at;
        for _ in 0..MOST_STEPS {
            match self.windows.iter().filter_map(|window| window.closes(self.zone, closes)).max() {
                None if closes == at => return None,
                None => return Some(Some(closes)),
                Some(later) if later.since(at) > FAR => return Some(None),
                Some(later) => closes = later,
            }
        }
        Some(None)
    }

    /// The first moment after one at which it is closed when it is open.
    fn opens(&self, at: Timestamp) -> Option<Timestamp> {
        let mut moment = at;
        for _ in 0..MOST_TRIES {
            if let Some(ends) = self.blackouts.iter().filter_map(|blackout| blackout.ends(self.zone, moment)).max() {
                moment = ends;
            } else if self.windows.is_empty() || self.windows.iter().any(|window| window.closes(self.zone, moment).is_some()) {
                return Some(moment);
            } else {
                moment = self.windows.iter().filter_map(|window| window.opens(self.zone, moment)).min()?;
            }
        }
        None
    }

    /// A moment at which every blackout that comes once is over: how it stands from there, it stands for good.
    pub fn settled(&self) -> Timestamp {
        let over = self.blackouts.iter().filter_map(|blackout| blackout.over_for_good(self.zone));
        over.fold(Timestamp::from_unix_millis(SOME_TIME), Timestamp::max)
    }
}

/// How several calendars stand together: open where each of them is.
pub fn together(calendars: &[&Calendar], at: Timestamp) -> Standing {
    let standings: Vec<Standing> = calendars.iter().map(|calendar| calendar.standing(at)).collect();
    let Some((first, Standing::Closed { reason, .. })) = calendars.iter().zip(&standings).find(|(_, standing)| !standing.is_open()) else {
        return Standing::Open { until: standings.iter().filter_map(Standing::until).min() };
    };
    let until = open_together(calendars, at);
    Standing::Closed { reason: reason.clone(), until, shown: until.map(|until| first.shown(until)) }
}

fn open_together(calendars: &[&Calendar], at: Timestamp) -> Option<Timestamp> {
    let mut moment = at;
    for _ in 0..MOST_TRIES {
        let closed: Vec<Standing> = calendars.iter().map(|calendar| calendar.standing(moment)).filter(|standing| !standing.is_open()).collect();
        if closed.is_empty() {
            return Some(moment);
        }
        // None of them opens before the last one does.
        let opens: Option<Vec<Timestamp>> = closed.iter().map(Standing::until).collect();
        moment = opens?.into_iter().max()?;
    }
    None
}
