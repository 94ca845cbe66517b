//! `kubeops schema`: the JSON Schemas editors use.

use super::output;
use crate::resources::{Kind, schema_of};
use serde_json::{Map, Value};
use std::process::ExitCode;

/// Where schemas keep their definitions.
const DEFINITIONS: &str = "$defs";

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
        None => of_all(),
    };
    output::text(&serde_json::to_string_pretty(&schema)?);
    Ok(ExitCode::SUCCESS)
}

/// One schema that takes a document of any kind. The definitions of each stand at the top under the kind's name, because a
/// reference is read from the root of the whole schema.
fn of_all() -> Value {
    let mut definitions = Map::new();
    let branches: Vec<Value> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let mut schema = schema_of(kind);
            move_references(&mut schema, kind.as_str());
            let own = schema.as_object_mut().and_then(|schema| {
                schema.remove("$schema");
                schema.remove(DEFINITIONS)
            });
            if let Some(Value::Object(own)) = own {
                definitions.extend(own.into_iter().map(|(name, definition)| (format!("{}.{name}", kind.as_str()), definition)));
            }
            schema
        })
        .collect();
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "KubeOps resource",
        "oneOf": branches,
        DEFINITIONS: definitions,
    })
}

/// `#/$defs/Name` becomes `#/$defs/Kind.Name`, wherever it stands.
fn move_references(schema: &mut Value, kind: &str) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(target) if name == "$ref" => {
                        if let Some(definition) = target.strip_prefix("#/$defs/") {
                            *target = format!("#/$defs/{kind}.{definition}");
                        }
                    }
                    other => move_references(other, kind),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_references(item, kind)),
        _ => {}
    }
}
