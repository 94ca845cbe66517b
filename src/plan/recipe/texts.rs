//! The texts of an automation: compiled with their places, and what values may stand in them.

use crate::event::Event;
use crate::expression::{Variable, Variables};
use crate::plan::{Inputs, PlanError};
use crate::render::{TextKind, TextTemplate};
use crate::types::{ManifestPath, SpecError};

/// Refuses a path that no value could make one: every gap is taken for a plain word.
pub(super) fn check_path(source: &str, pointer: &str, errors: &mut Vec<SpecError>) {
    if let Some(Err(error)) = filled(source).map(|tried| tried.parse::<ManifestPath>()) {
        errors.push(SpecError::new(pointer, format!("this can never be a path of a manifest: {}", error.rule)));
    }
}

/// The text with a plain word in every gap; none where conditions decide what it is.
pub(super) fn filled(source: &str) -> Option<String> {
    if source.contains("{%") {
        return None;
    }
    let mut parts = source.split("{{");
    let mut tried = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        tried.push('x');
        tried.push_str(part.split_once("}}").map_or("", |(_, rest)| rest));
    }
    Some(tried)
}

/// Names after `parameters.` and `event.` in a text that stand for nothing.
fn check_names(source: &str, pointer: &str, parameters: &[&str], errors: &mut Vec<SpecError>) {
    for (variable, known) in [("parameters.", parameters), ("event.", Event::FIELDS.as_slice())] {
        let gaps = source.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(gap, _)| gap);
        for (before, after) in gaps.flat_map(|gap| gap.match_indices(variable).map(|(at, _)| (&gap[..at], &gap[at + variable.len()..]))) {
            let name: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let part_of_another = before.ends_with(|c: char| c.is_ascii_alphanumeric() || "_.\"'".contains(c));
            if !part_of_another && !known.contains(&name.as_str()) {
                let message = format!("there is no `{variable}{name}`");
                errors.push(SpecError::new(pointer, message).hint(format!("known are: {}", known.join(", "))));
            }
        }
    }
}

pub(super) fn compile_text(source: &str, kind: TextKind, pointer: &str, parameters: &[&str], errors: &mut Vec<SpecError>) -> Option<TextTemplate> {
    check_names(source, pointer, parameters, errors);
    TextTemplate::compile(source, kind)
        .map_err(|error| {
            errors.push(SpecError {
                pointer: pointer.to_owned(),
                message: error.message,
                hint: None,
                within: (error.line > 0).then_some((error.line, error.column)),
            })
        })
        .ok()
}

pub(super) fn text(template: &TextTemplate, context: &Variables<'_>, place: &str) -> Result<String, PlanError> {
    template.render(context.clone()).map_err(|error| PlanError::Text { place: place.to_owned(), message: error.to_string() })
}

/// What texts and `with` read.
pub(super) fn variables<'i>(inputs: Inputs<'i>) -> Variables<'i> {
    Variables::new([("event", Variable::Event(inputs.event)), ("parameters", Variable::Fields(inputs.parameters))])
}
