//! `kubeops diff`: what differs between two states of manifests, object by object and field by field.

use super::folder::files_of;
use super::output::{self, Colour, OutputFormat, paint};
use crate::manifest::{Action, Document, Limits, ObjectChange, diff, parse};
use crate::types::ManifestPath;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Objects are matched by group, kind, namespace and name, wherever they stand: one that only moved to\nanother file does not differ. The values of Secrets are not shown. Comments, the order of keys and\nhow a value is written make no difference.\n\nExamples:\n  kubeops diff old.yaml new.yaml\n  kubectl kustomize clusters/dev | kubeops diff before.yaml -\n  kubeops diff <(kubectl kustomize a) <(kubectl kustomize b)\n  git worktree add ../before main && kubeops diff ../before . --exit-code"
)]
pub struct Arguments {
    /// A file, a directory, a pipe or `-` (standard input): how it was.
    before: PathBuf,
    /// A file, a directory, a pipe or `-` (standard input): how it is.
    after: PathBuf,
    /// End with status 3 when something differs, or cannot be read.
    #[arg(long)]
    exit_code: bool,
}

/// What differs, and what could not be read.
#[derive(Serialize)]
struct Report {
    changes: Vec<ObjectChange>,
    unread: Vec<String>,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    if [&arguments.before, &arguments.after].into_iter().all(|path| path.as_os_str() == "-") {
        anyhow::bail!("the standard input can be read once: give one of the two as a file");
    }
    let mut unread = Vec::new();
    let before = documents(files_of(&arguments.before)?, &arguments.before, &mut unread);
    let after = documents(files_of(&arguments.after)?, &arguments.after, &mut unread);
    let report = Report { changes: compared(before, after), unread };
    output::value(format, &report, || human(&report))?;
    // Of what cannot be read nobody knows.
    let differs = !report.changes.is_empty() || !report.unread.is_empty();
    Ok(if differs && arguments.exit_code { ExitCode::from(super::EXIT_REFUSED) } else { ExitCode::SUCCESS })
}

type Files = BTreeMap<String, Vec<Document>>;

fn documents(files: BTreeMap<String, Vec<u8>>, root: &std::path::Path, unread: &mut Vec<String>) -> Files {
    let mut read = Files::new();
    let alone = !root.is_dir();
    for (path, bytes) in files {
        if ![".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end)) && !alone {
            continue;
        }
        match String::from_utf8(bytes)
            .map_err(|_| "it is not UTF-8".to_owned())
            .and_then(|text| parse(&text, Limits::default()).map_err(|error| error.to_string()))
        {
            // Two files are two states of one, whatever they are called.
            Ok(documents) => drop(read.insert(if alone { String::new() } else { path }, documents)),
            Err(error) => unread.push(format!("{}: {error}", if alone { root.to_owned() } else { root.join(path) }.display())),
        }
    }
    read
}

/// File by file first, so that what is no object is compared with itself; then what left one file and came to another is put together.
fn compared(mut before: Files, mut after: Files) -> Vec<ObjectChange> {
    let paths: BTreeSet<String> = before.keys().chain(after.keys()).cloned().collect();
    let moved = |files: &Files| -> BTreeMap<String, (String, usize)> {
        let mut places = BTreeMap::new();
        for (path, documents) in files {
            for document in documents {
                if let Ok(object) = document.object() {
                    places.insert(format!("{} {object}", object.group()), (path.clone(), document.index));
                }
            }
        }
        places
    };
    let (was, is) = (moved(&before), moved(&after));
    for (object, (from, index)) in &was {
        let Some((to, _)) = is.get(object).filter(|(to, _)| to != from) else { continue };
        let at = before.get(from).and_then(|documents| documents.iter().position(|document| document.index == *index));
        if let Some(at) = at
            && let Some(document) = before.get_mut(from).map(|documents| documents.remove(at))
        {
            before.entry(to.clone()).or_default().push(document);
        }
    }
    let mut changes = Vec::new();
    for path in paths {
        let (old, new) = (before.remove(&path).unwrap_or_default(), after.remove(&path).unwrap_or_default());
        let file: Option<ManifestPath> = path.parse().ok();
        changes.extend(diff(&old, &new).into_iter().map(|change| ObjectChange { file: file.clone(), ..change }));
    }
    changes
}

fn human(report: &Report) -> String {
    let mut lines = Vec::new();
    for change in &report.changes {
        let colour = match change.action {
            Action::Added => Colour::Green,
            Action::Removed => Colour::Red,
            Action::Changed => Colour::Yellow,
        };
        let file = change.file.as_ref().map_or(String::new(), |file| paint(Colour::Dim, &format!("  {file}")));
        let what = change.what();
        let action = match change.action {
            Action::Added => "added",
            Action::Removed => "removed",
            Action::Changed => "changed",
        };
        lines.push(format!("{} {}{file}", paint(colour, action), paint(Colour::Bold, &what)));
        for field in &change.fields {
            let shown = |value: &Option<serde_json::Value>| value.as_ref().map_or_else(|| "(none)".to_owned(), crate::manifest::write_value);
            lines.push(format!("    {}: {} -> {}", field.path, shown(&field.old), shown(&field.new)));
        }
    }
    if report.changes.is_empty() {
        lines.push(if report.unread.is_empty() { "nothing differs" } else { "nothing differs in what could be read" }.to_owned());
    }
    lines.extend(report.unread.iter().map(|unread| format!("{} {unread}", paint(Colour::Yellow, "not read:"))));
    lines.join("\n")
}
