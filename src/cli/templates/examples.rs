//! `kubeops templates test`: every example rendered and compared with what is expected.
//! It writes the expected files of one's own directory when told to, and nothing else.

use super::gate::{self, Gate};
use crate::app::resources_dir;
use crate::cli::local::{Schemas, Templates};
use crate::cli::output::{self, Colour, OutputFormat, paint};
use crate::render::{Catalogue, Example, Origin, Template};
use crate::validate::{Finding, Severity};
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
    #[command(flatten)]
    known: Schemas,
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
    /// What the schemas have to say about what it gives.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
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
    /// It gives what is expected, which Kubernetes would not take.
    Invalid,
    /// It gives something else.
    Differs,
    /// It gives nothing.
    Failed,
}

/// What ends with an error.
const FAILURES: [Result; 3] = [Result::Invalid, Result::Differs, Result::Failed];

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
    let gate = Gate::new(&arguments.known)?;
    let outcomes = catalogue
        .templates()
        .flat_map(|template| template.examples().iter().map(move |example| (template, example)))
        .map(|(template, example)| outcome(&catalogue, &gate, template, example, directory.filter(|_| arguments.update)))
        .collect::<anyhow::Result<Vec<Outcome>>>()?;
    output::value(format, &outcomes, || human(&outcomes, &catalogue))?;
    let failed = outcomes.iter().any(|outcome| FAILURES.contains(&outcome.result));
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

fn outcome(catalogue: &Catalogue, gate: &Gate, template: &Template, example: &Example, update: Option<&Path>) -> anyhow::Result<Outcome> {
    let own = matches!(template.origin(), Origin::Own | Origin::Replaced);
    let rendered = catalogue.render_example(template.name(), example);
    let mut findings = rendered.as_ref().map_or(Ok(Vec::new()), |text| gate.findings(template.name(), text))?;
    findings.retain(|finding| gate::concerns(template, finding));
    let invalid = findings.iter().any(|finding| finding.severity == Severity::Error);
    let (result, why) = match rendered {
        Err(error) => (Result::Failed, error.told()),
        Ok(text) if text == example.expected && invalid => (Result::Invalid, String::new()),
        Ok(text) if text == example.expected => (Result::Passed, String::new()),
        Ok(text) => match update.filter(|_| own) {
            Some(directory) => {
                let file = directory.join(template.name().as_str()).join("examples").join(&example.name).join("expected.yaml");
                std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
                (if invalid { Result::Invalid } else { Result::Written }, String::new())
            }
            None if template.origin() == Origin::Affected => (if invalid { Result::Invalid } else { Result::Rendered }, String::new()),
            None => (Result::Differs, difference(&example.expected, &text)),
        },
    };
    Ok(Outcome { template: template.name().to_string(), example: example.name.clone(), result, why, findings })
}

fn difference(expected: &str, given: &str) -> String {
    TextDiff::from_lines(expected, given).unified_diff().context_radius(2).header("expected", "rendered").to_string()
}

fn human(outcomes: &[Outcome], catalogue: &Catalogue) -> String {
    let mut lines = Vec::new();
    for outcome in outcomes {
        let name = format!("{}/{}", outcome.template, outcome.example);
        match outcome.result {
            Result::Passed | Result::Rendered => {}
            Result::Written => lines.push(format!("{name}: {}", paint(Colour::Yellow, "written"))),
            Result::Differs => lines.push(format!("{name}: {}\n{}", paint(Colour::Red, "gives something else"), output::diff(&outcome.why))),
            Result::Failed => lines.push(format!("{name}: {}: {}", paint(Colour::Red, "fails"), outcome.why)),
            Result::Invalid => lines.push(format!("{name}: {}", paint(Colour::Red, "gives what a change may not hold"))),
        }
        let findings = outcome.findings.iter().map(|finding| format!("{name}: {}", gate::told(finding)));
        lines.extend(findings);
    }
    let count = |wanted: &[Result]| outcomes.iter().filter(|outcome| wanted.contains(&outcome.result)).count();
    let mut told = vec![format!("{} passed", count(&[Result::Passed]))];
    for (result, words) in
        [(Result::Written, "written"), (Result::Rendered, "rendered and not compared, because shared files of your own change what they give")]
    {
        let number = count(&[result]);
        told.extend((number > 0).then(|| format!("{number} {words}")));
    }
    told.push(format!("{} failed", count(&FAILURES)));
    lines.push(format!("{} examples of {} templates: {}", outcomes.len(), catalogue.templates().count(), told.join(", ")));
    let untested: Vec<&str> =
        catalogue.templates().filter(|template| template.examples().is_empty()).map(|template| template.name().as_str()).collect();
    if !untested.is_empty() {
        let have = if untested.len() == 1 { "template has" } else { "templates have" };
        let told = format!("{} {have} no example, and so no test: {}", untested.len(), untested.join(", "));
        lines.push(paint(Colour::Yellow, &told));
        lines.push(format!("  hint: write {}/examples/minimal/parameters.yaml, then `kubeops templates test DIR --update`", untested[0]));
    }
    lines.join("\n")
}
