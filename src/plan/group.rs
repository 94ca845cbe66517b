//! The texts of a group's pull request: of its key and of how many members it has, and of no member's own values.

use super::PlanError;
use crate::automation::{AutomationSpec, GroupSpec};
use crate::expression::Variables;
use crate::render::{TextKind, TextTemplate};
use crate::types::{AutomationName, SpecError};
use serde_json::json;

/// What may stand in them.
const NAMES: [&str; 2] = ["group.key", "group.count"];

/// The title and body of a group's pull request, compiled.
pub struct GroupText {
    title: Option<TextTemplate>,
    body: Option<TextTemplate>,
}

impl GroupText {
    /// Compiles them; none when the automation groups nothing.
    ///
    /// # Errors
    /// Everything that is wrong, with pointers into the spec.
    pub fn compile(spec: &AutomationSpec) -> Result<Option<Self>, Vec<SpecError>> {
        let Some(GroupSpec { title, body, .. }) = &spec.group else { return Ok(None) };
        let mut errors = Vec::new();
        let title = title.as_deref().and_then(|text| compile(text, TextKind::Line, "/group/title", &mut errors));
        let body = body.as_deref().and_then(|text| compile(text, TextKind::Markdown, "/group/body", &mut errors));
        if errors.is_empty() { Ok(Some(Self { title, body })) } else { Err(errors) }
    }

    /// Title and body for so many members.
    ///
    /// # Errors
    /// When one of them has no text.
    pub fn say(&self, automation: &AutomationName, key: &str, count: usize) -> Result<(String, Option<String>), PlanError> {
        let variables = json!({ "group": { "key": key, "count": count } });
        let text = |template: &TextTemplate, place: &str| {
            let text = template.render(Variables::from(&variables));
            text.map_err(|error| PlanError::Text { place: place.to_owned(), message: error.to_string() })
        };
        let title = match &self.title {
            Some(title) => text(title, "group.title")?,
            None => Self::usual_title(automation, key, count),
        };
        Ok((title, self.body.as_ref().map(|body| text(body, "group.body")).transpose()?))
    }

    /// The title where nobody wrote one.
    pub fn usual_title(automation: &AutomationName, key: &str, count: usize) -> String {
        let key: String = key.chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect();
        format!("{automation}: {count} change{} for {key}", if count == 1 { "" } else { "s" })
    }
}

fn compile(source: &str, kind: TextKind, pointer: &str, errors: &mut Vec<SpecError>) -> Option<TextTemplate> {
    let gaps = source.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(gap, _)| gap);
    let paths = gaps.map(|gap| gap.trim_matches(|c: char| c == '-' || c.is_ascii_whitespace()).split(['|', ' ']).next().unwrap_or_default());
    for path in paths.filter(|path| !NAMES.contains(path) && path.starts_with(|c: char| c.is_ascii_alphabetic())) {
        let message = format!("there is no `{path}` here: the text is about the group, not about one of its members");
        errors.push(SpecError::new(pointer, message).hint(format!("known are: {}", NAMES.join(", "))));
    }
    let compiled = TextTemplate::compile(source, kind);
    let refuse = |error: crate::render::TextError| SpecError {
        pointer: pointer.to_owned(),
        message: error.message,
        hint: None,
        within: (error.line > 0).then_some((error.line, error.column)),
    };
    compiled.map_err(|error| errors.push(refuse(error))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(title: &str, body: &str) -> Result<Option<GroupText>, Vec<SpecError>> {
        let spec = json!({
            "on": { "source": "alertmanager" }, "target": { "cluster": "prod" }, "render": [], "pullRequest": { "title": "t" },
            "group": { "by": "event.subject", "title": title, "body": body },
        });
        GroupText::compile(&serde_json::from_value(spec).expect("a spec"))
    }

    #[test]
    fn the_texts_tell_key_and_count_and_no_key_breaks_out() {
        let name = "scale-up".parse().expect("a name");
        let texts = compiled("{{ group.count }} autoscalers of {{ group.key }}", "All of `{{ group.key }}`: {{ group.count }}.").expect("sound");
        let (title, body) = texts.expect("a group").say(&name, "prod\n# @all `x`", 3).expect("texts");
        assert_eq!(title, "3 autoscalers of prod # @all `x`");
        assert!(body.as_deref().is_some_and(|body| !body.contains('\n') && body.contains("3.")), "{body:?}");
        assert_eq!(GroupText::usual_title(&name, "prod\nx", 1), "scale-up: 1 change for prod x");
        assert_eq!(GroupText::usual_title(&name, "prod", 2), "scale-up: 2 changes for prod");
    }

    #[test]
    fn a_member_s_own_values_are_refused_at_load() {
        for (title, body, pointer) in [
            ("{{ parameters.team }}", "x", "/group/title"),
            ("{{ group.keys }}", "x", "/group/title"),
            ("x", "{{ event.subject }}", "/group/body"),
            ("{{ group.key", "x", "/group/title"),
        ] {
            let errors = compiled(title, body).err().unwrap_or_else(|| panic!("{title} {body}"));
            assert!(errors.iter().any(|error| error.pointer == pointer), "{title} {body}: {errors:?}");
        }
    }
}
