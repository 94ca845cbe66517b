//! `kubeops edit`: the edits of automations on files of this machine.

use super::EXIT_REFUSED;
use super::folder::Folder;
use super::local::{Schemas, Switch};
use super::output::{self, Colour, OutputFormat, paint};
use crate::automation::AutomationSpec;
use crate::event::Event;
use crate::inventory::{Inventory, Repository};
use crate::plan::{BaseTree, ChangeSet, FileChange, Inputs, Placeholders, Recipe};
use crate::render::Catalogue;
use crate::types::{DirectoryPath, ErrorClass, EventId, ManifestPath, Quantity, SpecError, Timestamp, UnknownKinds};
use crate::validate::{Rules, Severity, ValidateError, ValidatedChange, validate};
use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A path is one of an automation's edit: spec.replicas, metadata.annotations[\"a.b/c\"],\nspec.template.spec.containers[name=api].image, finalizers[=example.com/hold].\nA value is YAML on one line; what does not look like anything else is text.\nOperations are done in the order of this help.\n\nWithout --file the object is looked for below --path, and the field is changed\nwhere a kustomization decides it: `replicas`, `images`, patches, generators.\n\nWhat comes out is held against the Kubernetes schemas and the policies that are\nshipped. Policies of one's own, and limits of a cluster, are the server's: a\nrequest is held against those as well.\n\nExamples:\n  kubeops edit --object Deployment/shop/web --set spec.replicas=4 --dry-run\n  kubeops edit -f apps/web.yaml \\\n    --increase 'spec.template.spec.containers[name=web].resources.limits.memory=256Mi'\n  kubeops edit --path clusters/prod --object Deployment/shop/web \\\n    --set 'spec.template.spec.containers[name=web].image=web:1.5'",
    group(clap::ArgGroup::new("what").args(["file", "object"]).required(true).multiple(true))
)]
pub struct Arguments {
    /// Directory the files are in, such as a repository's working copy.
    #[arg(long, short = 'C', default_value = ".", value_name = "DIR")]
    directory: PathBuf,
    /// Directory below it that may be changed, as a cluster's `path`.
    #[arg(long, default_value = ".", value_name = "PATH")]
    path: DirectoryPath,
    /// The file, below --path.
    #[arg(long, short, value_name = "FILE")]
    file: Option<String>,
    /// The object, as kind/namespace/name.
    #[arg(long, value_name = "OBJECT")]
    object: Option<String>,
    /// Give a field a value.
    #[arg(long, value_name = "PATH=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Add a number, a quantity or a percentage to a field.
    #[arg(long, value_name = "PATH=AMOUNT", value_parser = assignment)]
    increase: Vec<(String, String)>,
    /// Multiply a field.
    #[arg(long, value_name = "PATH=FACTOR", value_parser = assignment)]
    multiply: Vec<(String, String)>,
    /// Never lower what --increase and --multiply change below this.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    min: Option<String>,
    /// Never raise what --increase and --multiply change above this.
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    max: Option<String>,
    /// Merge a mapping into a field; null takes a field out.
    #[arg(long, value_name = "PATH=MAPPING", value_parser = assignment)]
    merge: Vec<(String, String)>,
    /// Add an element to a list.
    #[arg(long, value_name = "PATH=VALUE", value_parser = assignment)]
    append: Vec<(String, String)>,
    /// Have a list hold an element.
    #[arg(long, value_name = "PATH=VALUE", value_parser = assignment)]
    ensure: Vec<(String, String)>,
    /// Take a field or an element out.
    #[arg(long, value_name = "PATH")]
    remove: Vec<String>,
    /// Take the whole object, or the file, away.
    #[arg(long, conflicts_with_all = ["set", "increase", "multiply", "merge", "append", "ensure", "remove"])]
    delete: bool,
    /// Show what would change, and write nothing.
    #[arg(long, short = 'n')]
    dry_run: bool,
    #[command(flatten)]
    schemas: Schemas,
    /// Whether the policies that are shipped are in force.
    #[arg(long, env = "POLICY_BASELINE", value_name = "SWITCH", value_enum, default_value_t = Switch::On, help_heading = "Resources")]
    policy_baseline: Switch,
}

/// `path=value`, split at the first `=` outside of brackets.
fn assignment(text: &str) -> Result<(String, String), String> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            '=' if depth == 0 && !quoted => return Ok((text[..at].to_owned(), text[at + 1..].to_owned())),
            _ => {}
        }
    }
    Err("a path, `=` and a value are wanted: spec.replicas=4".to_owned())
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let folder = Folder::open(&arguments.directory)?;
    let change = match change(arguments, &folder)? {
        Ok(change) => change,
        Err(refused) => {
            output::error(&refused);
            return Ok(ExitCode::from(EXIT_REFUSED));
        }
    };
    let rules = Rules {
        schemas: arguments.schemas.load()?,
        policies: arguments.policy_baseline.policies()?,
        ..Rules::new(arguments.schemas.kubernetes, arguments.path.clone(), UnknownKinds::Allow)
    };
    let validated = match validate(change, &folder, &rules) {
        Ok(change) => change,
        Err(ValidateError::Rejected(rejection)) => {
            for finding in rejection.findings.iter().filter(|finding| finding.severity == Severity::Error) {
                output::error(&finding.to_string());
            }
            return Ok(ExitCode::from(EXIT_REFUSED));
        }
        Err(ValidateError::Base(error)) => return Err(error.into()),
    };
    let shown = shown(&validated, &folder)?;
    output::value(format, &shown, || human(&shown, arguments.dry_run))?;
    if !arguments.dry_run {
        write(arguments, &validated)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The change, or why it cannot be made.
fn change(arguments: &Arguments, folder: &Folder) -> anyhow::Result<Result<ChangeSet, String>> {
    let spec: AutomationSpec = serde_json::from_value(spec(arguments)?)?;
    let recipe = match Recipe::compile(&spec, &Arc::new(Catalogue::from_files([]).map_err(|_| anyhow::anyhow!("the empty catalogue is refused"))?)) {
        Ok(recipe) => recipe,
        Err(errors) => return Ok(Err(errors.iter().map(|error| told(error, &spec)).collect::<Vec<_>>().join("\n"))),
    };
    let event = Event {
        id: EventId::from_parts(Timestamp::from_unix_millis(0), 0),
        delivery: None,
        source: None,
        traceparent: None,
        kind: "kubeops.edit".parse().context("the event's type")?,
        subject: String::new(),
        time: Timestamp::from_unix_millis(0),
        data: Value::Null,
    };
    let repository =
        Repository { name: "files".parse().context("the repository's name")?, spec: serde_json::from_value(json!({ "url": "/srv/files" }))? };
    let inventory = Inventory { repositories: [(repository.name.clone(), Arc::new(repository))].into(), ..Inventory::default() };
    let inputs = Inputs { event: &event, parameters: &Map::new() };
    let target = recipe.target(inputs, &inventory)?;
    let nothing = Catalogue::from_files([]).map_err(|_| anyhow::anyhow!("the empty catalogue is refused"))?;
    match recipe.change(inputs, &target, folder, &nothing, &Placeholders) {
        Ok(change) => Ok(Ok(change)),
        Err(error) if error.class() == ErrorClass::User => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// An error of the automation in terms of the command line it was made of.
fn told(error: &SpecError, spec: &AutomationSpec) -> String {
    let mut steps = error.pointer.split('/').skip(1);
    let option = match (steps.next(), steps.next(), steps.next(), steps.next()) {
        (Some("remove"), _, Some(field), _) => format!("--{field}: "),
        (Some("edit"), _, Some(field @ ("file" | "object")), _) => format!("--{field}: "),
        (Some("edit"), Some(number), Some("remove"), _) => {
            let edit = number.parse::<usize>().ok().and_then(|number| spec.edit.get(number)?.remove.first());
            edit.map_or_else(|| "--remove: ".to_owned(), |path| format!("--remove {path}: "))
        }
        (Some("edit"), _, Some(verb), Some(path)) => format!("--{verb} {}: ", path.replace("~1", "/").replace("~0", "~")),
        _ => String::new(),
    };
    let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
    format!("{option}{}{hint}", error.message)
}

/// An automation that does what the arguments say.
fn spec(arguments: &Arguments) -> anyhow::Result<Value> {
    let place = |mut entry: Value| {
        for (name, value) in [("file", &arguments.file), ("object", &arguments.object)] {
            if let Some(value) = value {
                entry[name] = Value::from(value.as_str());
            }
        }
        entry
    };
    let mut spec =
        json!({ "on": { "source": "files" }, "target": { "repository": "files", "path": arguments.path }, "pullRequest": { "title": "edit" } });
    if arguments.delete {
        spec["remove"] = json!([place(json!({ "ifMissing": "refuse" }))]);
        return Ok(spec);
    }
    let mut edits = Vec::new();
    let mut values = |verb: &str, entries: &[(String, String)]| -> anyhow::Result<()> {
        for (path, value) in entries {
            let value = match verb {
                "increase" | "multiply" => amount(arguments, (verb, path), value)?,
                _ => Value::from(expression(path, value)?),
            };
            edits.push(place(json!({ verb: { path: value } })));
        }
        Ok(())
    };
    values("set", &arguments.set)?;
    values("increase", &arguments.increase)?;
    values("multiply", &arguments.multiply)?;
    values("merge", &arguments.merge)?;
    values("append", &arguments.append)?;
    values("ensure", &arguments.ensure)?;
    edits.extend(arguments.remove.iter().map(|path| place(json!({ "remove": [path] }))));
    if (arguments.min.is_some() || arguments.max.is_some()) && arguments.increase.is_empty() && arguments.multiply.is_empty() {
        bail!("--min and --max are for what --increase and --multiply change");
    }
    if edits.is_empty() {
        bail!("what is to be done? --set, --increase, --multiply, --merge, --append, --ensure, --remove or --delete");
    }
    spec["edit"] = Value::Array(edits);
    Ok(spec)
}

/// By how much a field grows, within the bounds given.
fn amount(arguments: &Arguments, (verb, path): (&str, &str), by: &str) -> anyhow::Result<Value> {
    let is_quantity = |text: &str| text.trim().parse::<Quantity>().is_ok();
    if !is_quantity(by.trim().strip_suffix('%').unwrap_or(by)) {
        bail!("--{verb} {path}: {by:?} is no amount: a number, a quantity (256Mi, 250m) or a percentage (20%) is");
    }
    let mut amount = json!({ "by": by });
    for (bound, value) in [("min", &arguments.min), ("max", &arguments.max)] {
        let Some(value) = value else { continue };
        if !is_quantity(value) {
            bail!("--{bound}: {value:?} is no amount: a number or a quantity (256Mi, 250m) is");
        }
        amount[bound] = Value::from(value.as_str());
    }
    Ok(amount)
}

/// A value of the command line as an expression: every JSON value is one.
fn expression(path: &str, value: &str) -> anyhow::Result<String> {
    let documents =
        crate::manifest::parse(value, crate::manifest::Limits::default()).map_err(|error| anyhow::anyhow!("{path}: {}", error.message))?;
    let value = match documents.as_slice() {
        [] => Value::from(""),
        // `1.10` is a version sooner than the number 1.1.
        [document] if is_written_otherwise(&document.value, value.trim()) => Value::from(value.trim()),
        [document] => document.value.clone(),
        _ => bail!("{path}: one value is wanted"),
    };
    Ok(value.to_string())
}

/// Whether a number would be written otherwise than its author did.
fn is_written_otherwise(value: &Value, text: &str) -> bool {
    let written = value.to_string();
    value.is_f64() && written != text
}

/// What is printed.
#[derive(serde::Serialize)]
struct Shown {
    summary: Vec<String>,
    files: Vec<String>,
    warnings: Vec<String>,
    diff: String,
}

fn shown(change: &ValidatedChange, folder: &Folder) -> anyhow::Result<Shown> {
    let mut diff = String::new();
    for (path, file) in change.files() {
        let before = folder.read(path)?.unwrap_or_default();
        let after = match file {
            FileChange::Write(bytes) => bytes.as_slice(),
            FileChange::Remove => &[],
        };
        diff.push_str(&unified(path, &before, after));
    }
    Ok(Shown {
        summary: change.summary().iter().map(ToString::to_string).collect(),
        files: change.files().keys().map(ToString::to_string).collect(),
        warnings: change.warnings().iter().map(ToString::to_string).collect(),
        diff,
    })
}

fn unified(path: &ManifestPath, before: &[u8], after: &[u8]) -> String {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    similar::TextDiff::from_lines(&*before, &*after).unified_diff().context_radius(3).header(&format!("a/{path}"), &format!("b/{path}")).to_string()
}

fn human(shown: &Shown, dry_run: bool) -> String {
    if shown.files.is_empty() {
        return "nothing differs".to_owned();
    }
    let mut lines = vec![output::diff(&shown.diff)];
    lines.extend(shown.summary.iter().map(|line| format!("  {line}")));
    lines.extend(shown.warnings.iter().map(|warning| format!("{} {warning}", paint(Colour::Yellow, "warning"))));
    let written = if dry_run { "would be written" } else { "written" };
    lines.push(format!("{written}: {}", shown.files.join(", ")));
    lines.join("\n")
}

fn write(arguments: &Arguments, change: &ValidatedChange) -> anyhow::Result<()> {
    for (path, file) in change.files() {
        let at = arguments.directory.join(path.as_str());
        match file {
            FileChange::Write(bytes) => replace(&at, bytes).with_context(|| format!("{} cannot be written", at.display()))?,
            FileChange::Remove => std::fs::remove_file(&at).with_context(|| format!("{} cannot be removed", at.display()))?,
        }
    }
    Ok(())
}

/// Puts bytes in the place of a file's, at once: a file is never half written. Its permissions stay.
fn replace(at: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = at.with_file_name(format!(".{}.kubeops-{}", at.file_name().unwrap_or_default().to_string_lossy(), std::process::id()));
    let result = (|| {
        std::fs::write(&beside, bytes)?;
        if let Ok(metadata) = std::fs::metadata(at) {
            std::fs::set_permissions(&beside, metadata.permissions())?;
        }
        std::fs::rename(&beside, at)
    })();
    if result.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_at_the_first_equals_sign_outside_of_brackets() {
        let split = |text: &str| assignment(text).map(|(path, value)| format!("{path} <- {value}"));
        assert_eq!(split("spec.replicas=4").as_deref(), Ok("spec.replicas <- 4"));
        assert_eq!(split("c[name=api].image=web:1=2").as_deref(), Ok("c[name=api].image <- web:1=2"));
        assert_eq!(split("a[\"x]=\\\"y\"].b=c").as_deref(), Ok("a[\"x]=\\\"y\"].b <- c"));
        assert!(split("a[name=x]").is_err());
    }
}
