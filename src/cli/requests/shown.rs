//! One request, and one event, as a person reads them.

use super::held;
use crate::cli::output::{self, Colour, cell, paint, printable, state};
use crate::manifest;
use crate::types::{ManifestPath, RequestId};
use serde_json::Value;

/// A request with everything about it, and its diff where there is one.
pub(super) fn request(id: &RequestId, request: &Value, diff: Option<&str>) -> String {
    let mut lines = vec![format!("{} {}", paint(Colour::Bold, id.as_str()), state(&cell(request, "/state")))];
    for (name, pointer) in [
        ("automation", "/automation"),
        ("for", "/correlation"),
        ("repository", "/repository"),
        ("branch", "/branch"),
        ("pull", "/pull/url"),
        ("message", "/message"),
    ] {
        lines.push(format!("  {:<11}{}", name, cell(request, pointer)));
    }
    if let Some(ttl) = request.pointer("/changes/ttl").and_then(Value::as_str) {
        let until = request.pointer("/expires_at").and_then(Value::as_str).map(|end| format!(", until {}", printable(end)));
        let from = match request.pointer("/changes/ttl_from").and_then(Value::as_str) {
            Some("applied") => " once it is in force",
            Some("finished") => " once what it runs is finished",
            _ => "",
        };
        lines.push(format!("  {:<11}{}{from}{}", "wanted for", printable(ttl), until.unwrap_or_default()));
    }
    lines.extend(runs(request));
    for (name, pointer, standing) in
        [("undoes", "/reverts", None), ("undone by", "/reverted_by", request.get("undone").filter(|undone| undone.is_object()))]
    {
        let standing = standing.map(|undone| format!(", which is {}: {}", cell(undone, "/state"), cell(undone, "/message")));
        let line = |id: &str| format!("  {name:<11}{}{}", printable(id), standing.clone().unwrap_or_default());
        lines.extend(request.pointer(pointer).and_then(Value::as_str).map(line));
    }
    lines.extend(held(request).map(|held| format!("  {:<11}{held}", "held", held = held.trim_start_matches("held "))));
    for finding in request.pointer("/findings").and_then(Value::as_array).into_iter().flatten() {
        let place = finding.pointer("/path").and_then(Value::as_str).filter(|path| !path.is_empty());
        let place = place.map(|path| format!("{}: ", printable(path))).unwrap_or_default();
        lines.push(format!("  {:<11}{place}{}", cell(finding, "/severity"), cell(finding, "/message")));
    }
    lines.extend(owed(request).map(|(kind, text)| format!("  {kind:<11}{text}")));
    lines.extend(changes(request));
    let members = request.pointer("/members").and_then(Value::as_array).into_iter().flatten();
    if members.clone().next().is_some() {
        lines.push(paint(Colour::Dim, "MEMBERS"));
    }
    for member in members {
        let said = ["/title", "/message"].map(|pointer| cell(member, pointer)).into_iter().find(|said| said != "-");
        lines.push(format!(
            "  {:<4}{:<11}{:<13}{}: {}",
            cell(member, "/number"),
            cell(member, "/state"),
            cell(member, "/commit").chars().take(12).collect::<String>(),
            cell(member, "/correlation"),
            said.unwrap_or_default()
        ));
    }
    lines.push(paint(Colour::Dim, "TIMELINE"));
    for entry in request.pointer("/timeline").and_then(Value::as_array).into_iter().flatten() {
        lines.push(format!("  {}  {:<10} {} ({})", cell(entry, "/at"), state(&cell(entry, "/to")), cell(entry, "/message"), cell(entry, "/actor")));
    }
    lines.extend(diff.map(output::diff));
    lines.join("\n")
}

/// Its runs that are finished.
fn runs(request: &Value) -> Vec<String> {
    let runs = request.pointer("/runs").and_then(Value::as_array).into_iter().flatten();
    let line = |run: &Value| {
        let namespace = run["namespace"].as_str().map(|namespace| format!("{}/", printable(namespace))).unwrap_or_default();
        let message = run["message"].as_str().map(|message| format!(": {}", printable(message))).unwrap_or_default();
        let (kind, name, outcome, at) = (cell(run, "/kind"), cell(run, "/name"), cell(run, "/outcome"), cell(run, "/at"));
        format!("  {:<11}{kind} {namespace}{name} {outcome} at {at}{message}", "run")
    };
    runs.map(line).collect()
}

/// The steps that are still to be done and were tried in vain, each with why.
pub(in crate::cli) fn owed(request: &Value) -> impl Iterator<Item = (String, String)> {
    let tasks = request.pointer("/tasks").and_then(Value::as_array).into_iter().flatten();
    tasks.filter(|task| task["last_error"].is_string() || task["state"] == "dead").map(|task| {
        let when = if task["state"] == "waiting" { format!(", again at {}", cell(task, "/run_at")) } else { String::new() };
        (cell(task, "/kind"), format!("{}, attempt {}{when}: {}", cell(task, "/state"), cell(task, "/attempts"), cell(task, "/last_error")))
    })
}

/// What a request changes, a line for each field.
fn changes(request: &Value) -> Vec<String> {
    let Some(objects) = request.pointer("/changes/objects").and_then(Value::as_array).filter(|objects| !objects.is_empty()) else {
        return Vec::new();
    };
    let mut lines = vec![paint(Colour::Dim, "CHANGES")];
    for object in objects {
        let words = [cell(object, "/kind"), cell(object, "/namespace"), cell(object, "/name")];
        let name = match &words {
            [kind, _, _] if kind == "-" => match cell(object, "/file").parse::<ManifestPath>() {
                Ok(file) if manifest::is_kustomization(&file) => "Kustomization".to_owned(),
                _ => format!("document {}", object["document"].as_u64().unwrap_or_default() + 1),
            },
            [kind, namespace, name] if namespace == "-" => format!("{kind} {name}"),
            [kind, namespace, name] => format!("{kind} {namespace}/{name}"),
        };
        lines.push(format!("  {name} {} in {}", cell(object, "/action"), cell(object, "/file")));
        let fields = object.pointer("/fields").and_then(Value::as_array).into_iter().flatten();
        let fields = fields.filter_map(|field| serde_json::from_value::<manifest::FieldChange>(field.clone()).ok());
        lines.extend(fields.map(|field| format!("    {}", printable(&field.to_string()))));
    }
    if request.pointer("/changes/cut") == Some(&Value::Bool(true)) {
        lines.push("  there is more: see the diff".to_owned());
    }
    lines
}

/// What was decided on an event, and why.
pub(super) fn decisions(event: &Value) -> String {
    let mut lines = vec![format!("{} {} about {}", paint(Colour::Bold, &cell(event, "/id")), cell(event, "/type"), cell(event, "/subject"))];
    for decision in event.pointer("/decisions").and_then(Value::as_array).into_iter().flatten() {
        let matched = decision.pointer("/matched") == Some(&Value::Bool(true));
        lines.push(format!(
            "  {} {}",
            cell(decision, "/automation"),
            if matched { paint(Colour::Green, "matched") } else { paint(Colour::Red, "did not match") }
        ));
        let explanation =
            decision.pointer("/explanation").cloned().and_then(|value| serde_json::from_value::<crate::expression::Explanation>(value).ok());
        for predicate in explanation.iter().flat_map(|explanation| &explanation.predicates) {
            lines.push(format!("    {} {}", if predicate.value == Some(true) { "✓" } else { "✗" }, printable(&predicate.in_a_line())));
        }
        lines.extend(decision["message"].as_str().map(|message| format!("    {}", printable(message))));
    }
    let requests = event.pointer("/requests").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    lines.extend(requests.map(|id| format!("  is of request {}; `kubeops requests show` tells what came of it", printable(id))));
    let deployment = event.pointer("/deployment").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    lines.extend(deployment.map(|line| format!("  {}", printable(line))));
    lines.join("\n")
}
