//! `kubeops schema`: the JSON Schemas editors use.

use super::output;
use crate::resources::{Kind, schema_of};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  kubeops schema Automation > automation.schema.json\n\nIn an editor with the YAML language server, put on a file's first line:\n  # yaml-language-server: $schema=./automation.schema.json"
)]
pub struct Arguments {
    /// Source, Repository, Cluster or Automation; without it one schema for all of them.
    #[arg(value_parser = parse_kind)]
    kind: Option<Kind>,
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    Kind::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| format!("one of {}", known.join(", ")))
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let schema = match arguments.kind {
        Some(kind) => schema_of(kind),
        None => serde_json::json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "KubeOps resource",
            "oneOf": Kind::ALL.map(schema_of),
        }),
    };
    output::text(&serde_json::to_string_pretty(&schema)?);
    Ok(ExitCode::SUCCESS)
}
