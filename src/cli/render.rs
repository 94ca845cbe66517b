//! `kubeops render`: the manifests an automation or a template makes, on standard output, without a server.

use super::EXIT_REFUSED;
use super::local::{Payload, Resources, known_automation, read};
use super::output::{self, Colour, OutputFormat, paint};
use super::templates::gate::{self, Gate};
use super::templates::known;
use crate::clock::SystemClock;
use crate::event::Event;
use crate::pipeline::{Preview, Rules, preview, preview_asked};
use crate::render::{RenderError, RenderJob};
use crate::types::{AutomationName, ErrorClass, TemplateName};
use crate::validate::Severity;
use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kubeops render --automation namespace-request --payload ticket.json --source service-desk\n  kubeops render --automation namespace-request --parameters values.yaml\n  kubeops render --template namespace --parameters values.yaml"
)]
pub struct Arguments {
    #[command(flatten)]
    resources: Resources,
    /// The automation to render; without it, every one that matches the payload.
    #[arg(long, short, conflicts_with = "template")]
    automation: Option<AutomationName>,
    /// The template to render by itself, from --parameters.
    #[arg(long, short, requires = "parameters")]
    template: Option<TemplateName>,
    /// File with the payload as the sender sends it; `-` for standard input.
    #[arg(long, short, value_name = "FILE", conflicts_with = "parameters")]
    payload: Option<PathBuf>,
    /// The source that is taken to have sent the payload.
    #[arg(long, short)]
    source: Option<crate::types::SourceName>,
    /// A header the payload came with, where the source reads it: `X-GitHub-Event: push`. May be given again.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = super::local::header)]
    headers: Vec<super::local::Header>,
    /// YAML or JSON file with parameters, instead of a payload.
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,
    /// Show whole files only: do not fetch the repository to compare with.
    #[arg(long)]
    no_diff: bool,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    if let Some(template) = &arguments.template {
        return by_template(arguments, template, format);
    }
    let rules = arguments.resources.in_force()?;
    arguments.automation.as_ref().map_or(Ok(()), |name| known_automation(&rules, name))?;
    let previews = match (&arguments.payload, &arguments.parameters, &arguments.automation) {
        (Some(payload), _, automation) => {
            let payload = Payload { payload: payload.clone(), source: arguments.source.clone(), headers: arguments.headers.clone() };
            from_events(&rules, payload.events(&rules)?, automation.as_ref(), arguments.no_diff)?
        }
        (None, Some(file), Some(automation)) => vec![preview_asked(&rules, automation, parameters(file)?, !arguments.no_diff, &SystemClock)?],
        _ => bail!("what is to be rendered? --payload FILE, or --automation NAME --parameters FILE, or --template NAME --parameters FILE"),
    };
    if previews.is_empty() {
        output::error("no automation takes this payload; `kubeops explain` with the same arguments says why");
        return Ok(ExitCode::from(EXIT_REFUSED));
    }
    let refused = previews.iter().any(|preview| !preview.findings_stop().is_empty() || preview.shown.refused.is_some());
    output::value(format, &previews, || previews.iter().map(human).collect::<Vec<_>>().join("\n"))?;
    Ok(if refused { ExitCode::from(EXIT_REFUSED) } else { ExitCode::SUCCESS })
}

pub(super) fn from_events(rules: &Rules, events: Vec<Event>, only: Option<&AutomationName>, no_diff: bool) -> anyhow::Result<Vec<Preview>> {
    let mut previews = Vec::new();
    for event in events {
        let (matched, _) = rules.current().set.automations.matching(&event);
        for automation in matched.iter().filter(|automation| only.is_none_or(|name| *name == automation.name)) {
            previews.push(preview(rules, &automation.name, &event, None, !no_diff)?);
        }
    }
    Ok(previews)
}

fn by_template(arguments: &Arguments, template: &TemplateName, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let catalogue = arguments.resources.catalogue()?;
    known(&catalogue, template)?;
    let file = arguments.parameters.as_deref().context("--parameters FILE")?;
    let parameters = match catalogue.with_defaults(template, &parameters(file)?) {
        Ok(parameters) => parameters,
        Err(error) => return refused(error),
    };
    let context = json!({ "parameters": parameters, "event": {}, "target": {} });
    let rendered = match catalogue.render_direct(&RenderJob { template: template.clone(), context }) {
        Ok(rendered) => String::from_utf8_lossy(&rendered).into_owned(),
        Err(error) => return refused(error),
    };
    let findings = Gate::new(&arguments.resources.known)?.findings(template, &rendered)?;
    match format {
        // The manifest itself: it goes into a file or a pipe, and what is to be said of it beside it.
        OutputFormat::Table | OutputFormat::Yaml => {
            output::text(&rendered);
            findings.iter().for_each(|finding| output::error(&gate::told(finding)));
        }
        OutputFormat::Json => output::value(format, &json!({ "template": template, "manifest": rendered, "findings": findings }), String::new)?,
    }
    let invalid = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if invalid { ExitCode::from(EXIT_REFUSED) } else { ExitCode::SUCCESS })
}

/// What the author of the parameters can mend is a refusal; anything else is a failure.
fn refused(error: RenderError) -> anyhow::Result<ExitCode> {
    if error.class() == ErrorClass::User {
        output::error(&error.told());
        return Ok(ExitCode::from(EXIT_REFUSED));
    }
    Err(error.into())
}

fn parameters(file: &std::path::Path) -> anyhow::Result<Map<String, Value>> {
    let text = String::from_utf8(read(file)?).with_context(|| format!("{} is not UTF-8", file.display()))?;
    let documents = crate::manifest::parse(&text, crate::manifest::Limits::default())
        .map_err(|error| anyhow::anyhow!("{}:{}:{}: {}", file.display(), error.line, error.column, error.message))?;
    match documents.into_iter().next().map(|document| document.value) {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => bail!("{} must hold one object: a line `name: value` for each parameter", file.display()),
    }
}

/// One preview for a person.
pub(super) fn human(preview: &Preview) -> String {
    let mut lines = vec![format!(
        "{} {} -> {}",
        paint(Colour::Bold, preview.automation.as_str()),
        preview.event.subject,
        preview.shown.target.as_deref().unwrap_or("no target")
    )];
    if let Some(refused) = &preview.shown.refused {
        // What is wrong follows, each with its rule; told here as well it would stand there twice.
        let why = if preview.findings_stop().is_empty() { format!(": {refused}") } else { String::new() };
        lines.push(format!("{}{why}", paint(Colour::Red, "rejected")));
    }
    if let Some(drafted) = &preview.shown.drafted {
        lines.push(format!("{}: {drafted}", paint(Colour::Green, "drafted")));
    }
    for finding in &preview.shown.findings {
        let place = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
        lines.push(format!(
            "  {} {} {}{place}: {}",
            if finding.severity == Severity::Error { paint(Colour::Red, "error") } else { paint(Colour::Yellow, "warning") },
            finding.rule,
            finding.path,
            finding.message
        ));
        lines.extend(finding.hint.iter().map(|hint| format!("    hint: {hint}")));
    }
    for (path, text) in &preview.files {
        lines.push(paint(Colour::Cyan, &format!("# {path}")));
        lines.push(text.clone());
    }
    for path in &preview.removed {
        lines.push(paint(Colour::Cyan, &format!("# {path} goes")));
    }
    for line in &preview.shown.summary {
        lines.push(format!("  {line}"));
    }
    let ttl = |ttl: &String| format!("  wanted for {ttl}; then the pull request that takes it back is opened");
    lines.extend(preview.shown.ttl.as_ref().map(ttl));
    match &preview.shown.diff {
        Some(diff) if diff.is_empty() => lines.push("nothing differs from the base".to_owned()),
        Some(diff) => lines.push(output::diff(diff)),
        None => {}
    }
    lines.extend(preview.shown.note.iter().map(|note| paint(Colour::Dim, note)));
    lines.join("\n")
}
