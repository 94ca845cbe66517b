//! What a repository's commits say: its message template, checked at load, filled for a request.
//! It gives subject and body; it never writes a trailer, which is `git`'s alone.

use super::recipe::texts::{names_after, spec_error, variables};
use super::{Inputs, PlanError};
use crate::event::Event;
use crate::expression::{Variable, Variables};
use crate::inventory::RepositorySpec;
use crate::render::{TextKind, TextTemplate};
use crate::types::{RequestId, SpecError};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The variables of a message.
const VARIABLES: [&str; 5] = ["event", "parameters", "request", "summary", "title"];

/// A repository's message template, compiled; without one a message is title and summary.
#[derive(Debug, Clone, Default)]
pub struct CommitText {
    template: Option<TextTemplate>,
    parameters: BTreeSet<String>,
}

/// A message: the subject, and the paragraphs below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The first line.
    pub subject: String,
    /// The rest; may be empty.
    pub body: String,
}

impl CommitText {
    /// Compiles a repository's template.
    ///
    /// # Errors
    /// Everything that is wrong, with pointers into the repository's spec.
    pub fn compile(spec: &RepositorySpec) -> Result<Self, Vec<SpecError>> {
        const AT: &str = "/commitMessage";
        let Some(source) = &spec.commit_message else { return Ok(Self::default()) };
        let mut errors = Vec::new();
        if source.trim().is_empty() {
            errors.push(SpecError::new(AT, "a message that is empty says nothing").hint("leave it out, or write `{{ title }}`"));
        }
        let unknown =
            |what: String, known: &[&str]| SpecError::new(AT, format!("there is no `{what}`")).hint(format!("known are: {}", known.join(", ")));
        errors.extend(first_names(source).filter(|name| !VARIABLES.contains(name)).map(|name| unknown(name.to_owned(), &VARIABLES)));
        for (variable, known) in [("event.", Event::FIELDS.as_slice()), ("request.", &["id"])] {
            errors.extend(names_after(variable, source).filter(|name| !known.contains(name)).map(|name| unknown(format!("{variable}{name}"), known)));
        }
        let parameters = names_after("parameters.", source).map(str::to_owned).collect();
        match TextTemplate::compile(source, TextKind::Message) {
            Ok(template) if errors.is_empty() => return Ok(Self { template: Some(template), parameters }),
            Ok(_) => {}
            Err(error) => errors.push(spec_error(AT, error)),
        }
        Err(errors)
    }

    /// The parameters the template reads.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(String::as_str)
    }

    /// The message of a request's commit.
    ///
    /// # Errors
    /// When the template reads what this request does not have.
    pub fn say(&self, inputs: Inputs<'_>, title: &str, summary: &[String], request: &RequestId) -> Result<Said, PlanError> {
        let Some(template) = &self.template else { return Ok(Said { subject: title.to_owned(), body: summary.join("\n") }) };
        let (title, summary, request) = (Value::from(title), Value::from(summary), json!({ "id": request }));
        let own = [("title", Variable::Value(&title)), ("summary", Variable::Value(&summary)), ("request", Variable::Value(&request))];
        let shared = variables(inputs);
        let text = template
            .render(Variables::new(shared.iter().chain(own)))
            .map_err(|error| PlanError::Text { place: "the repository's commitMessage".to_owned(), message: error.to_string() })?;
        let text = text.trim();
        let (subject, body) = text.split_once('\n').unwrap_or((text, ""));
        Ok(Said { subject: subject.to_owned(), body: body.trim_matches('\n').to_owned() })
    }
}

/// The first name of each gap that is a path, or a path with filters.
pub(super) fn first_names(source: &str) -> impl Iterator<Item = &str> {
    let gaps = source.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(gap, _)| gap);
    let paths = gaps.map(|gap| gap.trim_matches(|c: char| c.is_ascii_whitespace() || c == '-').split(['|', '.']).next().unwrap_or_default().trim());
    paths.filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{EventId, Timestamp};
    use serde_json::Map;

    fn compiled(template: Option<&str>) -> Result<CommitText, Vec<SpecError>> {
        let mut spec = json!({ "url": "/srv/git/gitops.git" });
        if let Some(template) = template {
            spec["commitMessage"] = template.into();
        }
        CommitText::compile(&serde_json::from_value(spec).expect("a spec"))
    }

    fn said(template: Option<&str>, team: &str) -> Result<Said, PlanError> {
        let parameters: Map<String, Value> = json!({ "team": team }).as_object().cloned().unwrap_or_default();
        let event = Event {
            id: EventId::from_parts(Timestamp::from_unix_millis(0), 1),
            delivery: None,
            source: None,
            traceparent: None,
            kind: "jira.issue.transitioned".parse().expect("a type"),
            subject: "OPS-42".into(),
            time: Timestamp::from_unix_millis(0),
            data: json!({ "reporter": "Ada\nSigned-off-by: x <y@z>" }),
        };
        let summary = ["Namespace web: added".to_owned(), "Quota web: added".to_owned()];
        let request = RequestId::from_parts(Timestamp::from_unix_millis(1), 1);
        compiled(template).expect("sound").say(Inputs { event: &event, parameters: &parameters }, "Namespace web", &summary, &request)
    }

    #[test]
    fn without_a_template_a_message_is_title_and_summary() {
        let said = said(None, "web").expect("a message");
        assert_eq!((said.subject.as_str(), said.body.as_str()), ("Namespace web", "Namespace web: added\nQuota web: added"));
    }

    #[test]
    fn a_template_decides_subject_and_body_and_a_value_is_one_line() {
        let template = "{{ event.subject }}: {{ title }}\n\n{{ summary }}\n\nAsked for by {{ event.data.reporter }}, team {{ parameters.team | upper }}, {{ request.id }}\n";
        let said = said(Some(template), "we\nb").expect("a message");
        assert_eq!(said.subject, "OPS-42: Namespace web");
        assert_eq!(
            said.body,
            "Namespace web: added\nQuota web: added\n\nAsked for by Ada Signed-off-by: x <y@z>, team WE B, req_00000000010000000000000001"
        );
    }

    #[test]
    fn what_a_request_does_not_have_is_named() {
        let error = said(Some("{{ title }} {{ parameters.gone }}"), "web").expect_err("refused").to_string();
        assert!(error.contains("commitMessage") && error.contains("parameters.gone"), "{error}");
        assert_eq!(
            said(Some("{{ title }} {{ parameters.gone | default(value=\"none\") }}"), "web").expect("a message").subject,
            "Namespace web none"
        );
    }

    #[test]
    fn what_is_wrong_with_a_template_is_told_at_load() {
        for (template, word) in [
            ("{{ titel }}", "there is no `titel`"),
            ("{{ event.subjekt }}", "there is no `event.subjekt`"),
            ("{{ request.key }}", "there is no `request.key`"),
            ("{% for x in summary %}{% endfor %}", "`for`"),
            ("{{ title ", ""),
            (" \n", "says nothing"),
        ] {
            let errors = compiled(Some(template)).expect_err(template);
            assert!(errors.iter().any(|error| error.pointer == "/commitMessage" && error.message.contains(word)), "{template}: {errors:?}");
        }
        let sound = compiled(Some("{{ title }} {{ parameters.team }} {{ \"x\" }}")).expect("sound");
        assert_eq!(sound.parameters().collect::<Vec<_>>(), ["team"]);
    }
}
