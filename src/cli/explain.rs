//! `kubeops explain`: why a payload matches, or does not.

use super::local::{Payload, Resources, known_automation};
use super::output::{self, Colour, OutputFormat, paint, printable};
use crate::automation::Automation;
use crate::event::{Event, EventType};
use crate::pipeline::{Rules, explain as decisions_on, what_counts};
use crate::store::Decision;
use crate::types::AutomationName;
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  kubeops explain --payload ticket.json --source service-desk\n\nFor an event a server has seen: kubeops requests events --explain EVENT"
)]
pub struct Arguments {
    #[command(flatten)]
    resources: Resources,
    #[command(flatten)]
    payload: Payload,
    /// Only this automation.
    #[arg(long, short)]
    automation: Option<AutomationName>,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let rules = arguments.resources.in_force()?;
    arguments.automation.as_ref().map_or(Ok(()), |name| known_automation(&rules, name))?;
    let events = arguments.payload.events(&rules)?;
    let mut explained: Vec<(Event, Vec<Decision>)> = Vec::new();
    for event in events {
        let mut decisions = decisions_on(&rules, &event, usize::MAX);
        if let Some(name) = &arguments.automation {
            decisions.retain(|decision| decision.automation == *name);
        }
        explained.push((event, decisions));
    }
    let report: Vec<_> = explained.iter().map(|(event, decisions)| json!({ "event": event, "decisions": decisions })).collect();
    output::value(format, &report, || human(&rules, &explained))?;
    Ok(ExitCode::SUCCESS)
}

fn human(rules: &Rules, explained: &[(Event, Vec<Decision>)]) -> String {
    if explained.is_empty() {
        return "The payload is understood, but tells no event that anything listens to.".to_owned();
    }
    explained.iter().map(|(event, decisions)| of_event(rules, event, decisions)).collect::<Vec<_>>().join("\n\n")
}

/// What was decided on one event, for a person.
pub fn of_event(rules: &Rules, event: &Event, decisions: &[Decision]) -> String {
    let mut lines = vec![format!("{} {} about {}", paint(Colour::Bold, "event"), event.kind, printable(&event.subject))];
    if decisions.is_empty() {
        lines.push("  no automation listens to this source and type".to_owned());
        lines.extend(listeners(rules, event));
    }
    for decision in decisions {
        let verdict = if decision.matched { paint(Colour::Green, "matches") } else { paint(Colour::Red, "does not match") };
        lines.push(format!("  {} {verdict}", paint(Colour::Bold, decision.automation.as_str())));
        for predicate in decision.explanation.iter().flat_map(|explanation| &explanation.predicates) {
            let mark = if predicate.value == Some(true) { paint(Colour::Green, "✓") } else { paint(Colour::Red, "✗") };
            lines.push(format!("    {mark} {}", printable(&predicate.in_a_line())));
        }
        lines.extend(decision.message.iter().map(|message| format!("    {}", printable(message))));
    }
    lines.extend(what_counts(rules, event).iter().map(|line| format!("  {}", printable(line))));
    lines.join("\n")
}

/// The automations that listen to the event's source, with the types they want instead.
fn listeners(rules: &Rules, event: &Event) -> Vec<String> {
    let current = rules.current();
    let on_source = current.set.automations.iter().filter(|automation| automation.spec.on.sources().any(|name| Some(name) == event.source.as_ref()));
    let line = |automation: &Arc<Automation>| {
        let types: Vec<&str> = automation.spec.on.types.iter().map(EventType::as_str).collect();
        let types = if types.is_empty() { "every type".to_owned() } else { types.join(", ") };
        format!("    {} on this source wants {types}", paint(Colour::Bold, automation.name.as_str()))
    };
    on_source.map(line).collect()
}
