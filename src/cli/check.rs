//! `kubeops check`: lint for a resources directory, for people and for pipelines.

use super::EXIT_REFUSED;
use super::local::Resources;
use super::output::{self, Colour, OutputFormat, paint};
use crate::app::known_models;
use crate::clock::{Clock, SystemClock};
use crate::config::LanguageModels;
use crate::resources::{Diagnostic, Level};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 when the set is valid, 3 when it is not.\nThe language models it is checked beside are those of the environment's LLM_... variables, as the server reads them.\n\nExamples:\n  kubeops check config/resources\n  kubeops check --output json | jq '.diagnostics[] | .message'"
)]
pub struct Arguments {
    /// Directory of resource files; the same as --resources.
    directory: Option<PathBuf>,
    #[command(flatten)]
    resources: Resources,
    /// Refuse warnings as well.
    #[arg(long)]
    strict: bool,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let resources = Resources {
        resources: arguments.directory.clone().unwrap_or_else(|| arguments.resources.resources.clone()),
        templates: arguments.resources.templates.clone(),
        known: arguments.resources.known.clone(),
        policy_baseline: arguments.resources.policy_baseline,
        mcp_programs: arguments.resources.mcp_programs.clone(),
    };
    // What a server with this environment would know of models: it is the one that refuses a cost that nobody can reckon.
    let environment = |name: &str| std::env::var(name).ok();
    let models = known_models(&LanguageModels::from_env(&environment)?, LanguageModels::are_given(&environment));
    let (diagnostics, counts) = match resources.load_beside(models)? {
        Ok(set) => {
            let servers = set.inventory.mcp_servers.len();
            let counts = [
                counted(set.sources.len(), "source", "sources"),
                counted(set.inventory.repositories.len(), "repository", "repositories"),
                counted(set.inventory.clusters.len(), "cluster", "clusters"),
                counted(set.inventory.channels.len(), "channel", "channels"),
                counted(set.inventory.calendars.len(), "calendar", "calendars"),
                counted(set.automations.iter().len(), "automation", "automations"),
            ]
            .into_iter()
            .chain((servers > 0).then(|| counted(servers, "MCP server", "MCP servers")))
            .collect::<Vec<_>>()
            .join(", ");
            let ended = set.ended_certificates(SystemClock.now());
            (set.warnings.into_iter().chain(ended).collect(), Some(counts))
        }
        Err(diagnostics) => (diagnostics, None),
    };
    let valid = counts.is_some() && (!arguments.strict || diagnostics.is_empty());
    let report = serde_json::json!({ "valid": valid, "diagnostics": diagnostics });
    output::value(format, &report, || human(&diagnostics, counts.as_deref()))?;
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REFUSED) })
}

fn human(diagnostics: &[Diagnostic], counts: Option<&str>) -> String {
    let mut lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.level == Level::Error).count();
    let warnings = diagnostics.len() - errors;
    let warnings = counted(warnings, "warning", "warnings");
    lines.push(match counts {
        Some(counts) => format!("{}: {counts}; {warnings}", paint(Colour::Green, "valid")),
        None => format!("{}: {}, {warnings}", paint(Colour::Red, "not valid"), counted(errors, "error", "errors")),
    });
    lines.join("\n")
}

/// `1 source`, `2 sources`.
fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
