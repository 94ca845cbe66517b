//! The texts of an automation: compiled with their places, and what values may stand in them.

use super::WITH_VARIABLES;
use crate::automation::compile_at;
use crate::event::Event;
use crate::expression::{Expression, Variable, Variables};
use crate::plan::{Inputs, PlanError};
use crate::render::{TextError, TextKind, TextTemplate};
use crate::types::{ManifestPath, SpecError, nearest};

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
        for name in names_after(variable, source).filter(|name| !known.contains(name)) {
            let message = format!("there is no `{variable}{name}`");
            errors.push(SpecError::new(pointer, message).hint(format!("known are: {}", known.join(", "))));
        }
    }
}

/// The names that stand after `variable` (with its dot) in the gaps of a text.
pub(in crate::plan) fn names_after<'s>(variable: &'s str, source: &'s str) -> impl Iterator<Item = &'s str> {
    let gaps = source.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(gap, _)| gap);
    let places = gaps.flat_map(move |gap| gap.match_indices(variable).map(|(at, _)| (&gap[..at], &gap[at + variable.len()..])));
    let own = places.filter(|(before, _)| !before.ends_with(|c: char| c.is_ascii_alphanumeric() || "_.\"'".contains(c)));
    own.map(|(_, after)| &after[..after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len())])
}

pub(super) fn compile_text(source: &str, kind: TextKind, pointer: &str, parameters: &[&str], errors: &mut Vec<SpecError>) -> Option<TextTemplate> {
    check_names(source, pointer, parameters, errors);
    TextTemplate::compile(source, kind).map_err(|error| errors.push(spec_error(pointer, error))).ok()
}

/// An expression over what texts read as well.
pub(super) fn compile_value(source: &str, pointer: &str, parameters: &[&str], errors: &mut Vec<SpecError>) -> Option<Expression> {
    let value = compile_at(source, pointer, WITH_VARIABLES, errors)?;
    for name in value.parameters().filter(|name| !parameters.contains(name)) {
        let hint = match nearest(name, parameters.iter().copied()) {
            Some(near) => format!("did you mean parameters.{near}?"),
            None => format!("known are: {}", parameters.join(", ")),
        };
        errors.push(SpecError::new(pointer, format!("there is no `parameters.{name}`")).hint(hint));
    }
    Some(value)
}

/// What is wrong with a text, at its place within the text.
pub(in crate::plan) fn spec_error(pointer: &str, error: TextError) -> SpecError {
    SpecError { pointer: pointer.to_owned(), message: error.message, hint: None, within: (error.line > 0).then_some((error.line, error.column)) }
}

pub(super) fn text(template: &TextTemplate, context: &Variables<'_>, place: &str) -> Result<String, PlanError> {
    template.render(context.clone()).map_err(|error| PlanError::Text { place: place.to_owned(), message: error.to_string() })
}

/// What texts and `with` read.
pub(in crate::plan) fn variables<'i>(inputs: Inputs<'i>) -> Variables<'i> {
    Variables::new([("event", Variable::Event(inputs.event)), ("parameters", Variable::Fields(inputs.parameters))])
}
