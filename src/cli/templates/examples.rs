//! `kubeops templates test`: every example rendered and compared with what is expected.
//! It writes the expected files of one's own directory when told to, and nothing else.

use crate::app::resources_dir;
use crate::cli::local::Templates;
use crate::cli::output::{self, Colour, OutputFormat, paint};
use crate::render::{Catalogue, Example, Origin, Template};
use anyhow::{Context, bail};
use serde::Serialize;
use similar::TextDiff;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kubeops templates test                        the shipped templates\n  kubeops templates test templates              and those of a directory of your own\n  kubeops templates test templates --update     write its expected files anew; look at the difference"
)]
pub struct Arguments {
    /// Directory of templates of one's own; the same as `--templates`.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Write the expected files of the own directory instead of comparing.
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    templates: Templates,
}

/// What came of one example.
#[derive(Debug, Serialize)]
struct Outcome {
    template: String,
    example: String,
    result: Result,
    /// The difference as a unified diff, or why there is no output.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Result {
    /// It gives what is expected.
    Passed,
    /// It gives something, which shared files of one's own may change: there is nothing to compare it with.
    Rendered,
    /// Its expected file was written.
    Written,
    /// It gives something else.
    Differs,
    /// It gives nothing.
    Failed,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let directory = arguments.directory.as_deref().or(arguments.templates.directory());
    if arguments.update && directory.is_none() {
        bail!("which expected files are to be written? `kubeops templates test DIR --update`; those of the shipped templates are compiled in");
    }
    let mut files = directory.map(resources_dir::template_files).transpose().context("the templates cannot be read")?;
    if let Some(files) = files.as_mut().filter(|_| arguments.update) {
        complete(files);
    }
    let catalogue = resources_dir::with_own(files).map_err(|message| anyhow::anyhow!("{message}"))?;
    let outcomes = catalogue
        .templates()
        .flat_map(|template| template.examples().iter().map(move |example| (template, example)))
        .map(|(template, example)| outcome(&catalogue, template, example, directory.filter(|_| arguments.update)))
        .collect::<anyhow::Result<Vec<Outcome>>>()?;
    let templates = catalogue.templates().count();
    output::value(format, &outcomes, || human(&outcomes, templates))?;
    let failed = outcomes.iter().any(|outcome| matches!(outcome.result, Result::Differs | Result::Failed));
    Ok(if failed { ExitCode::from(crate::cli::EXIT_REFUSED) } else { ExitCode::SUCCESS })
}

/// An empty expected file for each example that has none yet: a catalogue is not read without.
fn complete(files: &mut Vec<(String, Vec<u8>)>) {
    let cases = files.iter().filter_map(|(path, _)| path.strip_suffix("/parameters.yaml").or(path.strip_suffix("/parameters.json")));
    let expected: Vec<String> = cases.map(|case| format!("{case}/expected.yaml")).collect();
    for path in expected {
        if !files.iter().any(|(known, _)| *known == path) {
            files.push((path, Vec::new()));
        }
    }
}

fn outcome(catalogue: &Catalogue, template: &Template, example: &Example, update: Option<&Path>) -> anyhow::Result<Outcome> {
    let own = matches!(template.origin(), Origin::Own | Origin::Replaced);
    let (result, why) = match catalogue.render_example(template.name(), example) {
        Err(error) => (Result::Failed, error.to_string()),
        Ok(text) if text == example.expected => (Result::Passed, String::new()),
        Ok(text) => match update.filter(|_| own) {
            Some(directory) => {
                let file = directory.join(template.name().as_str()).join("examples").join(&example.name).join("expected.yaml");
                std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
                (Result::Written, String::new())
            }
            None if template.origin() == Origin::Affected => (Result::Rendered, String::new()),
            None => (Result::Differs, difference(&example.expected, &text)),
        },
    };
    Ok(Outcome { template: template.name().to_string(), example: example.name.clone(), result, why })
}

fn difference(expected: &str, given: &str) -> String {
    TextDiff::from_lines(expected, given).unified_diff().context_radius(2).header("expected", "rendered").to_string()
}

fn human(outcomes: &[Outcome], templates: usize) -> String {
    let mut lines = Vec::new();
    for outcome in outcomes {
        let name = format!("{}/{}", outcome.template, outcome.example);
        match outcome.result {
            Result::Passed | Result::Rendered => {}
            Result::Written => lines.push(format!("{name}: {}", paint(Colour::Yellow, "written"))),
            Result::Differs => lines.push(format!("{name}: {}\n{}", paint(Colour::Red, "gives something else"), output::diff(&outcome.why))),
            Result::Failed => lines.push(format!("{name}: {}: {}", paint(Colour::Red, "fails"), outcome.why)),
        }
    }
    let count = |wanted: &[Result]| outcomes.iter().filter(|outcome| wanted.contains(&outcome.result)).count();
    let mut told = vec![format!("{} passed", count(&[Result::Passed]))];
    for (result, words) in
        [(Result::Written, "written"), (Result::Rendered, "rendered and not compared, because shared files of your own change what they give")]
    {
        let number = count(&[result]);
        told.extend((number > 0).then(|| format!("{number} {words}")));
    }
    told.push(format!("{} failed", count(&[Result::Differs, Result::Failed])));
    lines.push(format!("{} examples of {templates} templates: {}", outcomes.len(), told.join(", ")));
    lines.join("\n")
}
