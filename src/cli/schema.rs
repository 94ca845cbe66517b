//! `kubeops schema`: the JSON Schemas editors use.

use super::output;
use super::test::AutomationTest;
use crate::resources::{Kind, schema_like, schema_of};
use crate::validate::policy::{PARAMETERS_KIND, PolicyTest};
use serde_json::{Map, Value};
use std::process::ExitCode;

/// Where schemas keep their definitions.
const DEFINITIONS: &str = "$defs";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  kubeops schema Automation > automation.schema.json\n\nIn an editor with the YAML language server, put on a file's first line:\n  # yaml-language-server: $schema=./automation.schema.json"
)]
pub struct Arguments {
    /// Source, Repository, Cluster, Channel, Calendar or Automation; AutomationTest, PolicyTest or PolicyParameters; without it one schema for
    /// the first six.
    #[arg(value_parser = parse_kind)]
    kind: Option<Shown>,
}

/// What a schema is shown of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Resource(Kind),
    AutomationTest,
    PolicyTest,
    PolicyParameters,
}

impl Shown {
    fn all() -> impl Iterator<Item = Self> {
        Kind::ALL.into_iter().map(Self::Resource).chain([Self::AutomationTest, Self::PolicyTest, Self::PolicyParameters])
    }

    fn name(self) -> &'static str {
        match self {
            Self::Resource(kind) => kind.as_str(),
            Self::AutomationTest => "AutomationTest",
            Self::PolicyTest => "PolicyTest",
            Self::PolicyParameters => PARAMETERS_KIND,
        }
    }

    fn schema(self) -> Value {
        match self {
            Self::Resource(kind) => schema_of(kind),
            Self::AutomationTest => schema_like::<AutomationTest>(self.name()),
            Self::PolicyTest => schema_like::<PolicyTest>(self.name()),
            // Whatever the policies read.
            Self::PolicyParameters => schema_like::<Map<String, Value>>(self.name()),
        }
    }
}

fn parse_kind(text: &str) -> Result<Shown, String> {
    let known = || Shown::all().map(Shown::name).collect::<Vec<_>>().join(", ");
    Shown::all().find(|kind| kind.name().eq_ignore_ascii_case(text)).ok_or_else(|| format!("one of {}", known()))
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let schema = match arguments.kind {
        Some(kind) => kind.schema(),
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
