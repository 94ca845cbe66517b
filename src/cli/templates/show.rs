//! `kubeops templates show`: a template's README, parameters, examples and source.

use super::{known, origin, summary};
use crate::cli::local::Templates;
use crate::cli::output::{self, Colour, OutputFormat, paint};
use crate::render::{Catalogue, Example, Template};
use crate::types::TemplateName;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Characters of a default that are shown in the table; `--output json` has all.
const SHOWN_DEFAULT: usize = 40;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kubeops templates show deployment\n  kubeops templates show deployment --example minimal\n  kubeops templates show deployment --source\n  kubeops templates show deployment --write templates    begin one of your own with it\n  kubeops templates show deployment --json"
)]
pub struct Arguments {
    /// The template's name.
    name: TemplateName,
    /// Show what one of its examples gives.
    #[arg(long, value_name = "CASE", conflicts_with = "source")]
    example: Option<String>,
    /// Show its source, as it would be written into a catalogue of one's own.
    #[arg(long)]
    source: bool,
    /// Write its folder, and the shared files it uses, into a directory of one's own, to change them there.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["source", "example"])]
    write: Option<PathBuf>,
    /// The same as `--output json`.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    templates: Templates,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let format = if arguments.json { OutputFormat::Json } else { format };
    let catalogue = arguments.templates.catalogue()?;
    let template = known(&catalogue, &arguments.name)?;
    let source = catalogue.source(template.name())?;
    if let Some(directory) = &arguments.write {
        return write(&catalogue, template, directory);
    }
    if arguments.source && format == OutputFormat::Table {
        output::text(source);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(case) = &arguments.example {
        output::text(&example(template, case)?.expected);
        return Ok(ExitCode::SUCCESS);
    }
    output::value(format, &whole(template, source), || human(template))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes what a template is made of; a file that is there already stops it before anything is written.
fn write(catalogue: &Catalogue, template: &Template, directory: &Path) -> anyhow::Result<ExitCode> {
    let files = catalogue.files_of(template.name())?;
    // A shared file that is there is one's own, and is used as it is.
    let (there, missing): (Vec<_>, Vec<_>) = files.into_iter().partition(|(path, _)| directory.join(path).exists());
    if let Some((path, _)) = there.iter().find(|(path, _)| !path.starts_with("_shared/")) {
        bail!("{} is there already, and is not written over", directory.join(path).display());
    }
    for (path, text) in missing {
        let at = directory.join(path);
        if let Some(parent) = at.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        }
        std::fs::write(&at, text).with_context(|| format!("{} cannot be written", at.display()))?;
        output::text(&at.display().to_string());
    }
    let dir = directory.display();
    output::text(&format!(
        "It takes the place of the shipped one wherever `--templates {dir}` (TEMPLATES_DIR) is given, and files below `_shared` for every template:\n\
         remove those you do not change. `kubeops templates test {dir}` holds its examples against what it gives."
    ));
    Ok(ExitCode::SUCCESS)
}

fn example<'t>(template: &'t Template, case: &str) -> anyhow::Result<&'t Example> {
    let cases = || template.examples().iter().map(|example| example.name.as_str()).collect::<Vec<_>>().join(", ");
    template.examples().iter().find(|example| example.name == case).with_context(|| format!("there is no example {case}; there are: {}", cases()))
}

/// All of it, for programs.
fn whole(template: &Template, source: &str) -> Value {
    let examples: Vec<Value> = template
        .examples()
        .iter()
        .map(|example| json!({ "name": example.name, "parameters": example.parameters, "expected": example.expected }))
        .collect();
    let mut whole = summary(template);
    whole["readme"] = json!(template.readme());
    whole["schema"] = template.schema().clone();
    whole["examples"] = json!(examples);
    whole["source"] = json!(source);
    whole
}

fn human(template: &Template) -> String {
    let heading = |text: &str| paint(Colour::Bold, text);
    let mut rows = Vec::new();
    rows_of("", template.schema(), &mut rows);
    let mut parts = vec![
        template.readme().trim_end().to_owned(),
        format!("{} {}\n{} {}", heading("Catalogue:"), origin(template.origin()), heading("Makes:"), template.kinds().join(", ")),
        format!("{}\n{}", heading("Parameters"), output::table(&["name", "type", "required", "default", "meaning"], &rows)),
    ];
    // The smallest one teaches most.
    let mut examples: Vec<&Example> = template.examples().iter().collect();
    examples.sort_by_key(|example| example.parameters.len());
    parts.extend(examples.iter().map(|example| {
        let parameters = serde_saphyr::to_string(&example.parameters).unwrap_or_default();
        format!("{}\n{}", heading(&format!("Example: {}", example.name)), parameters.trim_end())
    }));
    if let Some(first) = examples.first() {
        parts.push(format!("What an example gives: kubeops templates show {} --example {}", template.name(), first.name));
    }
    parts.join("\n\n")
}

/// A row for each parameter and, below it, for each field of objects: `issuer.name`, `ports[].port`, `secretEnv.*.key`.
fn rows_of(prefix: &str, schema: &Value, rows: &mut Vec<Vec<String>>) {
    let required: Vec<&str> = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{prefix}{name}");
        rows.push(row(&path, property, required.contains(&name.as_str()) && property.get("default").is_none()));
        rows_of(&format!("{path}."), property, rows);
        for (nested, mark) in [("items", "[]."), ("additionalProperties", ".*.")] {
            if let Some(within) = property.get(nested) {
                rows_of(&format!("{path}{mark}"), within, rows);
            }
        }
    }
}

fn row(name: &str, schema: &Value, required: bool) -> Vec<String> {
    let default = schema.get("default").map_or_else(|| "-".to_owned(), |default| short(&default.to_string()));
    let meaning = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let allowed = bounds(schema);
    let meaning = if allowed.is_empty() { meaning.to_owned() } else { format!("{meaning} ({allowed})").trim_start().to_owned() };
    vec![name.to_owned(), type_of(schema), if required { "yes" } else { "-" }.to_owned(), default, output::printable(&meaning)]
}

/// What values are allowed, as far as it is not their type: `1 to 1000`, `matches ^[a-z]+$`.
fn bounds(schema: &Value) -> String {
    let mut told = Vec::new();
    for (least, most, what) in [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " entries"),
    ] {
        told.extend(match (schema.get(least), schema.get(most)) {
            (Some(least), Some(most)) => Some(format!("{least} to {most}{what}")),
            (Some(least), None) => Some(format!("at least {least}{what}")),
            (None, Some(most)) => Some(format!("at most {most}{what}")),
            (None, None) => None,
        });
    }
    let pattern = |schema: &Value| schema.get("pattern").and_then(Value::as_str).map(str::to_owned);
    told.extend(pattern(schema).map(|pattern| format!("matches {pattern}")));
    told.extend(schema.get("not").and_then(pattern).map(|pattern| format!("not {pattern}")));
    told.join(", ")
}

fn short(text: &str) -> String {
    if text.chars().count() <= SHOWN_DEFAULT { text.to_owned() } else { text.chars().take(SHOWN_DEFAULT).chain(['…']).collect() }
}

/// A schema's type in words: `string`, `list of object`, `Forbid | Allow`.
fn type_of(schema: &Value) -> String {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect::<Vec<_>>().join(" | ");
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(branches) = schema.get(word).and_then(Value::as_array).filter(|_| schema.get("type").is_none()) {
            return branches.iter().map(type_of).collect::<Vec<_>>().join(" or ");
        }
    }
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "array" => {
            schema.get("items").map_or_else(|| "list".to_owned(), |items| format!("list of {}", type_of(items)))
        }
        Some(Value::String(kind)) if kind == "object" => match schema.get("additionalProperties") {
            Some(values) if values.is_object() => format!("map to {}", type_of(values)),
            _ => kind.clone(),
        },
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_told_in_words() {
        for (schema, told) in [
            (json!({"type": "string"}), "string"),
            (json!({"type": "string", "enum": ["a", "b"]}), "a | b"),
            (json!({"type": "array", "items": {"type": "object"}}), "list of object"),
            (json!({"type": "object", "additionalProperties": {"type": "string"}}), "map to string"),
            (json!({"type": "object", "additionalProperties": false}), "object"),
            (json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}), "integer or string"),
            (json!({}), "any"),
        ] {
            assert_eq!(type_of(&schema), told, "{schema}");
        }
    }
}
