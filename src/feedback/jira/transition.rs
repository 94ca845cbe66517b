//! Moving an issue to another status: along the transition that leads there now, with what it asks for.

use super::Jira;
use super::call::Call;
use crate::feedback::http::shown;
use crate::feedback::{Done, FeedbackError};
use crate::types::listed;
use reqwest::Method;
use serde_json::{Map, Value, json};

/// Transitions that are named where none fits.
const MOST_NAMED: usize = 20;

/// One that is available.
struct Transition<'a> {
    id: &'a str,
    name: &'a str,
    to: &'a str,
    /// The fields of its screen.
    fields: &'a Map<String, Value>,
}

impl Jira {
    pub(super) async fn transition(
        &self,
        issue: &str,
        to: &str,
        fields: &Map<String, Value>,
        resolution: Option<&str>,
    ) -> Result<Done, FeedbackError> {
        if same(&self.read_issue(issue).await?.status, to) {
            return Ok(Done::Already);
        }
        let path = self.of_issue(issue, "/transitions")?;
        let subject = format!("issue {issue}");
        let listed = self.call(Call::new(Method::GET, path.clone(), subject.as_str()).query(&[("expand", "transitions.fields")])).await?;
        let none = Map::new();
        let available = available(&listed, &none).ok_or_else(|| self.nonsense("transitions"))?;
        let fitting: Vec<&Transition<'_>> = available.iter().filter(|transition| same(transition.to, to)).collect();
        let named = fitting.iter().find(|transition| same(transition.name, to));
        let Some(chosen) = named.or(fitting.first()) else {
            return Ok(Done::Cannot(cannot(issue, to, &available)));
        };
        let mut notes = Vec::new();
        if named.is_none() && fitting.len() > 1 {
            notes.push(format!("{} transitions lead to {}; {:?} was taken", fitting.len(), shown(to), shown(chosen.name)));
        }
        let mut fields = fields.clone();
        match resolution {
            Some(name) if chosen.fields.contains_key("resolution") => {
                fields.insert("resolution".to_owned(), json!({ "name": name }));
            }
            // Jira refuses the whole transition for a field that is not on its screen.
            Some(name) => notes.push(format!("the transition {:?} takes no resolution, so {:?} was left out", shown(chosen.name), shown(name))),
            None => {}
        }
        let missing = missing(chosen, &fields);
        if !missing.is_empty() {
            let message = format!("{issue} cannot be moved to {} by {:?} without: {}", shown(to), shown(chosen.name), missing.join(", "));
            return Ok(Done::Cannot(message));
        }
        let mut body = json!({ "transition": { "id": chosen.id } });
        if !fields.is_empty() {
            body["fields"] = Value::Object(fields);
        }
        self.call(Call::new(Method::POST, path, subject).body(&body)).await?;
        Ok(if notes.is_empty() { Done::Did } else { Done::DidBut(notes.join("; ")) })
    }
}

/// The transitions of a listing; none when it is no listing.
fn available<'a>(listed: &'a Value, none: &'a Map<String, Value>) -> Option<Vec<Transition<'a>>> {
    let read = |found: &'a Value| {
        let fields = found["fields"].as_object().unwrap_or(none);
        Some(Transition { id: found["id"].as_str()?, name: found["name"].as_str()?, to: found["to"]["name"].as_str()?, fields })
    };
    listed["transitions"].as_array()?.iter().map(read).collect()
}

/// The required fields that nothing is given for, as people know them and by their ids.
fn missing(transition: &Transition<'_>, given: &Map<String, Value>) -> Vec<String> {
    let required = transition.fields.iter().filter(|(id, field)| {
        let has_default = field["hasDefaultValue"] == true;
        field["required"] == true && !has_default && !given.contains_key(*id)
    });
    required
        .map(|(id, field)| match field["name"].as_str() {
            Some(name) => format!("{} ({})", shown(name), shown(id)),
            None => shown(id),
        })
        .collect()
}

fn cannot(issue: &str, to: &str, available: &[Transition<'_>]) -> String {
    let names = listed(available.iter().map(|one| format!("{:?} to {}", shown(one.name), shown(one.to))), MOST_NAMED);
    let names = if names.is_empty() { "none at all; may the account transition issues?".to_owned() } else { names };
    format!("no transition of {issue} leads to {} from where it is; there are: {names}", shown(to))
}

/// Names of statuses and transitions are compared without case.
fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}
