//! What an automation's author has said outside in words of their own: texts compiled at load, filled for a request.
//! It says nothing by itself, and a value never becomes markup in it.

use super::commit_text::first_names;
use super::recipe::texts::{names_after, spec_error, variables};
use super::{Inputs, PlanError};
use crate::automation::{AutomationSpec, News};
use crate::event::Event;
use crate::expression::{Variable, Variables};
use crate::render::{TextKind, TextTemplate};
use crate::types::SpecError;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What stands in them.
const VARIABLES: [&str; 6] = ["changes", "event", "message", "parameters", "pull", "request"];

/// The texts of an automation's `feedback`, by entry and by what is told.
#[derive(Debug, Default)]
pub struct Words {
    said: BTreeMap<(usize, News), TextTemplate>,
    fields: BTreeMap<(usize, News, String), TextTemplate>,
}

/// What texts about a request read beside its event and parameters.
#[derive(Debug, Clone)]
pub struct About {
    /// `number` and `url` of the pull request, empty before it is there.
    pub pull: Value,
    /// `id` and `state`.
    pub request: Value,
    /// What happened, in a sentence.
    pub message: Value,
    /// What changes, a line for each object.
    pub changes: Value,
}

impl Words {
    /// Compiles the texts of a spec.
    ///
    /// # Errors
    /// Everything that is wrong, with pointers into the spec.
    pub fn compile(spec: &AutomationSpec) -> Result<Self, Vec<SpecError>> {
        let (mut words, mut errors) = (Self::default(), Vec::new());
        let parameters: Vec<&str> = spec.parameters.keys().map(String::as_str).collect();
        for (entry, feedback) in spec.feedback.iter().enumerate() {
            for (news, on) in &feedback.on {
                let at = format!("/feedback/{entry}/on/{}", news.as_str());
                if let Some(text) = &on.say {
                    let compiled = compiled(text, TextKind::Markdown, &format!("{at}/say"), &parameters, &mut errors);
                    words.said.extend(compiled.map(|text| ((entry, *news), text)));
                }
                for (name, value) in &on.fields {
                    let Value::String(text) = value else { continue };
                    let compiled = compiled(text, TextKind::Message, &format!("{at}/fields/{name}"), &parameters, &mut errors);
                    words.fields.extend(compiled.map(|text| ((entry, *news, name.clone()), text)));
                }
            }
        }
        if errors.is_empty() { Ok(words) } else { Err(errors) }
    }

    /// What is said of the news under an entry; none where nobody wrote anything.
    ///
    /// # Errors
    /// When the text reads what this request does not have.
    pub fn say(&self, entry: usize, news: News, inputs: Inputs<'_>, about: &About) -> Result<Option<String>, PlanError> {
        let place = || format!("feedback[{entry}].on.{}.say", news.as_str());
        self.said.get(&(entry, news)).map(|text| filled(text, inputs, about, &place())).transpose()
    }

    /// The fields as written, their texts filled.
    ///
    /// # Errors
    /// As of [`Self::say`].
    pub fn fields(
        &self,
        entry: usize,
        news: News,
        written: &Map<String, Value>,
        inputs: Inputs<'_>,
        about: &About,
    ) -> Result<Map<String, Value>, PlanError> {
        let mut fields = written.clone();
        for (name, value) in &mut fields {
            if let Some(text) = self.fields.get(&(entry, news, name.clone())) {
                *value = filled(text, inputs, about, &format!("feedback[{entry}].on.{}.fields.{name}", news.as_str()))?.into();
            }
        }
        Ok(fields)
    }
}

fn compiled(source: &str, kind: TextKind, pointer: &str, parameters: &[&str], errors: &mut Vec<SpecError>) -> Option<TextTemplate> {
    let known: [(&str, &[&str]); 4] =
        [("event.", &Event::FIELDS), ("parameters.", parameters), ("pull.", &["number", "url"]), ("request.", &["id", "state"])];
    for (variable, known) in known {
        for name in names_after(variable, source).filter(|name| !known.contains(name)) {
            let message = format!("there is no `{variable}{name}`");
            errors.push(SpecError::new(pointer, message).hint(format!("known are: {}", known.join(", "))));
        }
    }
    for name in first_names(source).filter(|name| !VARIABLES.contains(name)) {
        errors.push(SpecError::new(pointer, format!("there is no `{name}`")).hint(format!("known are: {}", VARIABLES.join(", "))));
    }
    TextTemplate::compile(source, kind).map_err(|error| errors.push(spec_error(pointer, error))).ok()
}

fn filled(text: &TextTemplate, inputs: Inputs<'_>, about: &About, place: &str) -> Result<String, PlanError> {
    let shared = variables(inputs);
    let own = [("pull", &about.pull), ("request", &about.request), ("message", &about.message), ("changes", &about.changes)];
    let own = own.map(|(name, value)| (name, Variable::Value(value)));
    text.render(Variables::new(shared.iter().chain(own))).map_err(|error| PlanError::Text { place: place.to_owned(), message: error.to_string() })
}
