//! What comes of a case, and how it differs from what is expected.

use super::beside;
use super::case::{Case, Expected, Files, Kind, Suite};
use crate::cli::folder::Texts;
use crate::cli::local::{recorded, source_of};
use crate::clock::SystemClock;
use crate::event::Event;
use crate::pipeline::{Preview, Rules, asked, events_of, preview_on};
use crate::types::{AutomationName, EventId, Timestamp};
use anyhow::Context;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What an automation made of a payload.
pub(super) struct Outcome {
    pub(super) automation: AutomationName,
    preview: Preview,
}

/// What every automation that takes the payload makes of it, in the order of events and names.
pub(super) fn of(rules: &Rules, suite: &Suite, case: &Case, base: &Texts) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    let mut add = |automation: &AutomationName, event: &Event, given: Option<&Map<String, Value>>| -> anyhow::Result<()> {
        let preview = preview_on(rules, automation, event, given, base)?;
        outcomes.push(Outcome { automation: automation.clone(), preview });
        Ok(())
    };
    let Some(body) = case.body(suite)? else {
        let automation = case.automation.as_ref().context("`automation` names what is asked for")?;
        let given = case.parameters.clone().unwrap_or_default();
        // The same every time, so that what it says can be expected.
        let event = Event {
            id: EventId::from_parts(Timestamp::from_unix_millis(0), 0),
            time: Timestamp::from_unix_millis(0),
            subject: case.correlation.clone().unwrap_or_else(|| "test".to_owned()),
            ..asked(automation, &given, &SystemClock)
        };
        add(automation, &event, Some(&given))?;
        return Ok(outcomes);
    };
    let source = source_of(rules, suite.source.as_ref())?;
    for event in events_of(rules, &recorded(source, body, &case.headers())).map_err(|error| anyhow::anyhow!("the payload: {error}"))? {
        let (mut matched, _) = rules.current().set.automations.matching(&event);
        matched.sort_by(|a, b| a.name.cmp(&b.name));
        for automation in matched.iter().filter(|automation| case.automation.as_ref().is_none_or(|only| *only == automation.name)) {
            add(&automation.name, &event, None)?;
        }
    }
    Ok(outcomes)
}

impl Outcome {
    fn kind(&self) -> Kind {
        match &self.preview {
            preview if preview.shown.refused.is_some() || !preview.findings_stop().is_empty() => Kind::Rejected,
            preview if preview.shown.drafted.is_some() => Kind::Drafted,
            preview if preview.files.is_empty() && preview.removed.is_empty() => Kind::Unchanged,
            _ => Kind::Proposed,
        }
    }

    /// What is not as expected; with `update` expected directories are written instead.
    pub(super) fn held_against(&self, expected: &Expected, suite: &Suite, update: bool) -> anyhow::Result<Vec<String>> {
        let preview = &self.preview;
        let mut problems = Vec::new();
        let mut differs = |what: &str, wanted: &str, found: &str| {
            if wanted != found {
                problems.push(format!("{what}: expected {wanted}, found {found}"));
            }
        };
        if let Some(automation) = &expected.automation {
            differs("automation", automation.as_str(), self.automation.as_str());
        }
        if let Some(kind) = expected.outcome {
            let found = self.kind();
            let why = preview.shown.refused.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            differs("outcome", kind.as_str(), &if kind == found { found.as_str().to_owned() } else { format!("{}{why}", found.as_str()) });
        }
        for (name, wanted) in &expected.parameters {
            let found = preview.parameters.as_ref().and_then(|parameters| parameters.get(name));
            differs(&format!("parameter {name}"), &wanted.to_string(), &found.map_or("nothing".to_owned(), Value::to_string));
        }
        for (what, wanted, found) in [("target", &expected.target, &preview.shown.target), ("title", &expected.title, &preview.shown.title)] {
            if let Some(wanted) = wanted {
                differs(what, wanted, found.as_deref().unwrap_or("nothing"));
            }
        }
        if let Some(wanted) = &expected.removed {
            let sorted = |paths: &[String]| {
                let mut paths = paths.to_vec();
                paths.sort();
                format!("[{}]", paths.join(", "))
            };
            differs("removed", &sorted(wanted), &sorted(&preview.removed));
        }
        let rules: Vec<&str> = preview.shown.findings.iter().map(|finding| finding.rule.as_str()).collect();
        for rule in expected.findings.iter().filter(|rule| !rules.contains(&rule.as_str())) {
            problems.push(format!("the finding {rule} is not among [{}]", rules.join(", ")));
        }
        if let Some(wanted) = &expected.message {
            let found: Vec<&str> =
                preview.shown.refused.iter().chain(preview.shown.findings.iter().map(|finding| &finding.message)).map(String::as_str).collect();
            if !found.iter().any(|found| found.contains(wanted.as_str())) {
                problems.push(format!("message: {wanted:?} is no part of {found:?}"));
            }
        }
        if let Some(files) = &expected.files {
            problems.extend(self.files_against(files, suite, update)?);
        }
        Ok(problems)
    }

    fn files_against(&self, expected: &Files, suite: &Suite, update: bool) -> anyhow::Result<Vec<String>> {
        if let (Files::Directory(directory), true) = (expected, update) {
            self.write(&beside(&suite.file, directory))?;
            return Ok(Vec::new());
        }
        let wanted = suite.files(expected)?;
        let found: BTreeMap<&String, &String> = self.preview.files.iter().collect();
        let mut problems = Vec::new();
        for (path, bytes) in &wanted {
            let text = String::from_utf8_lossy(bytes);
            match found.get(path) {
                None => problems.push(format!("{path} is expected, and not written")),
                Some(written) if **written != text => {
                    let diff = similar::TextDiff::from_lines(&*text, written.as_str());
                    problems.push(format!("{path} differs:\n{}", diff.unified_diff().context_radius(2).header("expected", "found")));
                }
                Some(_) => {}
            }
        }
        problems.extend(found.keys().filter(|path| !wanted.contains_key(**path)).map(|path| format!("{path} is written, and not expected")));
        Ok(problems)
    }

    /// Writes the files as they are now; what is in the directory besides is left there for its author to remove.
    fn write(&self, directory: &std::path::Path) -> anyhow::Result<()> {
        for (path, text) in &self.preview.files {
            let at = directory.join(path);
            if let Some(parent) = at.parent() {
                std::fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
            }
            std::fs::write(&at, text).with_context(|| format!("{} cannot be written", at.display()))?;
        }
        Ok(())
    }
}
