//! Which automations take an event. Thousands of rules stay cheap: they are found by source, type and one equality of
//! their condition, and only those are evaluated.

use super::{Automation, scope_of};
use crate::event::Event;
use crate::expression::{Equality, Explanation, Scope};
use crate::types::{AutomationName, SourceName};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One automation looked at for one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Considered {
    /// The automation.
    pub automation: AutomationName,
    /// Whether it takes the event.
    pub matched: bool,
    /// Its condition, part by part; none when it has none.
    pub explanation: Option<Explanation>,
}

/// The automations in force, indexed for matching.
#[derive(Debug, Default)]
pub struct Automations {
    all: BTreeMap<AutomationName, Arc<Automation>>,
    by_source: HashMap<SourceName, Listeners>,
    withdrawing: HashMap<SourceName, Listeners>,
}

/// The automations of one source: behind an equality on a field of the event where their condition demands one.
#[derive(Debug, Default)]
struct Listeners {
    unconditional: Vec<Arc<Automation>>,
    by_field: HashMap<Vec<String>, HashMap<String, Vec<Arc<Automation>>>>,
}

impl Automations {
    /// Indexes `automations`; of two with one name the later stays.
    pub fn new(automations: impl IntoIterator<Item = Automation>) -> Self {
        let all: BTreeMap<_, _> = automations.into_iter().map(|automation| (automation.name.clone(), Arc::new(automation))).collect();
        let (mut by_source, mut withdrawing): (HashMap<SourceName, Listeners>, HashMap<SourceName, Listeners>) = Default::default();
        for automation in all.values() {
            for source in automation.spec.on.sources() {
                let equality = automation.when.as_ref().and_then(|when| when.required_equalities().into_iter().max_by_key(selectivity));
                by_source.entry(source.clone()).or_default().add(automation, equality);
                if let Some(withdraw) = automation.withdraw() {
                    withdrawing.entry(source.clone()).or_default().add(automation, withdraw.required_equality(automation));
                }
            }
        }
        Self { all, by_source, withdrawing }
    }

    /// The automation of this name.
    pub fn get(&self, name: &AutomationName) -> Option<&Arc<Automation>> {
        self.all.get(name)
    }

    /// Every automation, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Automation>> {
        self.all.values()
    }

    /// The automations that take the event, by name, and the scope they were evaluated in.
    pub fn matching<'e>(&self, event: &'e Event) -> (Vec<Arc<Automation>>, Scope<'e>) {
        let scope = scope_of(event);
        let mut matched: Vec<Arc<Automation>> = Vec::new();
        let listeners = event.source.as_ref().and_then(|source| self.by_source.get(source));
        for automation in listeners.into_iter().flat_map(|listeners| listeners.candidates(&scope)) {
            if automation.spec.on.takes(&event.kind) && automation.when.as_ref().is_none_or(|when| when.holds(&scope)) {
                matched.push(Arc::clone(automation));
            }
        }
        matched.sort_by(|a, b| a.name.cmp(&b.name));
        (matched, scope)
    }

    /// The automations whose request with this event's key is taken back by it, by name. What `asked` for a request takes none back.
    pub fn taking_back(&self, event: &Event, asked: &[&AutomationName], scope: &Scope<'_>) -> Vec<Arc<Automation>> {
        let listeners = event.source.as_ref().and_then(|source| self.withdrawing.get(source));
        let mut found: Vec<Arc<Automation>> = listeners
            .into_iter()
            .flat_map(|listeners| listeners.candidates(scope))
            .filter(|automation| {
                automation.withdraw().is_some_and(|withdraw| withdraw.holds(&event.kind, scope)) && !asked.contains(&&automation.name)
            })
            .cloned()
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// Automations whose `on` fits the event, with their conditions explained: those that `matched`, then others, at most `limit`.
    pub fn explain(&self, event: &Event, matched: &[Arc<Automation>], scope: &Scope<'_>, limit: usize) -> Vec<Considered> {
        let is_matched = |automation: &Arc<Automation>| matched.iter().any(|other| other.name == automation.name);
        let others = self.all.values().filter(|automation| automation.listens_to(event) && !is_matched(automation));
        matched.iter().chain(others).take(limit).map(|automation| automation.consider(scope)).collect()
    }
}

impl Listeners {
    /// Adds one that can be about an event only where the equality holds.
    fn add(&mut self, automation: &Arc<Automation>, equality: Option<Equality>) {
        match equality {
            Some(Equality { path, literal }) => self.by_field.entry(path).or_default().entry(literal).or_default().push(Arc::clone(automation)),
            None => self.unconditional.push(Arc::clone(automation)),
        }
    }

    fn candidates<'a>(&'a self, scope: &'a Scope<'_>) -> impl Iterator<Item = &'a Arc<Automation>> {
        let indexed = self.by_field.iter().filter_map(|(path, by_literal)| {
            let found = scope.variables().find(path.iter().map(String::as_str))?;
            by_literal.get(found.as_str()?)
        });
        self.unconditional.iter().chain(indexed.flatten())
    }
}

/// Of several equalities the one on the deepest field of the payload tells most: `event.type` is often the same for all.
fn selectivity(equality: &Equality) -> usize {
    equality.path.len()
}
