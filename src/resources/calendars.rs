//! Calendars of a set, and the names that stand for them.

use super::document::{Document, Kind};
use super::set::{ResourceSet, diagnostic, is_broken, no_such, typed};
use super::{Diagnostic, Level};
use crate::automation::AutomationSpec;
use crate::inventory::{Calendar, CalendarSpec, Standing, together};
use crate::types::{CalendarName, SpecError, Timestamp};
use std::sync::Arc;

impl ResourceSet {
    pub(super) fn add_calendar(&mut self, document: &Document<'_>, found: &mut Vec<Diagnostic>) {
        let Some((name, spec)) = typed::<CalendarName, CalendarSpec>(document, found) else { return };
        match Calendar::compile(name.clone(), spec) {
            Ok(calendar) => drop(self.inventory.calendars.insert(name, Arc::new(calendar))),
            Err(errors) => found.extend(errors.into_iter().map(|error| diagnostic(document, Level::Error, error))),
        }
    }

    /// An error where a calendar is named that is not there.
    pub(super) fn no_such_calendar(&self, name: Option<&CalendarName>, found: &[Diagnostic]) -> Option<SpecError> {
        let name = name.filter(|name| !self.inventory.calendars.contains_key(*name) && !is_broken(found, Kind::Calendar, name.as_str()))?;
        let known: Vec<&str> = self.inventory.calendars.keys().map(|name| name.as_str()).collect();
        Some(no_such("/calendar", Kind::Calendar, name.as_str(), &known))
    }

    /// A warning where the automation's calendar and that of its cluster are never open at one time.
    pub(super) fn never_together(&self, spec: &AutomationSpec) -> Option<SpecError> {
        let cluster = self.inventory.clusters.get(spec.target.cluster.as_deref()?)?;
        let [own, theirs] = [spec.calendar.as_ref()?, cluster.calendar.as_ref()?].map(|name| self.inventory.calendars.get(name));
        let (own, theirs) = (own?, theirs?);
        let calendars = [own.as_ref(), theirs.as_ref()];
        let settled = calendars.iter().map(|calendar| calendar.settled()).max().unwrap_or(Timestamp::from_unix_millis(0));
        let never = matches!(together(&calendars, settled), Standing::Closed { until: None, .. });
        let message =
            format!("the calendars {} and {} (of the cluster) are never open at the same time: its changes are held for ever", own.name, theirs.name);
        never.then(|| {
            SpecError::new("/calendar", message).hint("let their windows overlap, or write `calendar: none` where the cluster's shall not count")
        })
    }
}
