//! `kubeops test`: what automations make of a payload, held against what their authors expect.

mod case;
mod outcome;

use super::EXIT_REFUSED;
use super::local::{Resources, files_in};
use super::output::{self, Colour, OutputFormat, paint};
use anyhow::{Context, bail};
pub use case::Spec as AutomationTest;
use case::{Case, Suite};
use outcome::Outcome;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A test file holds a payload (or parameters), the files of the repository that matter, and what is\nexpected: docs/testing.md. Nothing is fetched and no server is needed.\n\nExamples:\n  kubeops test config/tests\n  kubeops test config/tests/namespace.yaml --only 'an approved ticket'\n  kubeops test config/tests --update      write the expected files as they are now"
)]
pub struct Arguments {
    /// Test files, or directories of them (`.yaml` and `.yml` of kind AutomationTest).
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    resources: Resources,
    /// Only cases whose name holds this text.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Write the files of expected directories as they are now, instead of failing.
    #[arg(long)]
    update: bool,
}

/// What came of one case.
#[derive(serde::Serialize)]
struct Tested {
    file: String,
    case: String,
    passed: bool,
    /// What is not as expected.
    problems: Vec<String>,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let rules = arguments.resources.in_force()?;
    let mut tested = Vec::new();
    for path in files_in(&arguments.paths, "AutomationTest")? {
        let Some(suite) = Suite::read(&path)? else { continue };
        for case in suite.cases.iter().filter(|case| arguments.only.as_ref().is_none_or(|only| case.name.contains(only.as_str()))) {
            let problems = test(&rules, &suite, case, arguments.update).with_context(|| format!("{}: {:?}", path.display(), case.name))?;
            tested.push(Tested { file: path.display().to_string(), case: case.name.clone(), passed: problems.is_empty(), problems });
        }
    }
    if tested.is_empty() {
        bail!("there is no case to test: a file of kind AutomationTest is wanted (docs/testing.md)");
    }
    output::value(format, &tested, || human(&tested))?;
    Ok(if tested.iter().all(|tested| tested.passed) { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REFUSED) })
}

fn test(rules: &crate::pipeline::Rules, suite: &Suite, case: &Case, update: bool) -> anyhow::Result<Vec<String>> {
    let base = case.base(suite)?;
    let outcomes: Vec<Outcome> = outcome::of(rules, suite, case, &base)?;
    let mut problems = Vec::new();
    let mut expected = case.expect.iter();
    let mut found = outcomes.iter();
    loop {
        match (expected.next(), found.next()) {
            (None, None) => return Ok(problems),
            (Some(expected), Some(found)) => problems.extend(found.held_against(expected, suite, update)?),
            (Some(expected), None) => problems.push(format!("nothing came of {}, which is expected", expected.name())),
            (None, Some(found)) => problems.push(format!("{} takes it, which is not expected", found.automation)),
        }
    }
}

fn human(tested: &[Tested]) -> String {
    let mut lines = Vec::new();
    let mut file = "";
    for tested in tested {
        if tested.file != file {
            file = &tested.file;
            lines.push(paint(Colour::Bold, file));
        }
        let mark = if tested.passed { paint(Colour::Green, "ok") } else { paint(Colour::Red, "FAILED") };
        lines.push(format!("  {mark} {}", tested.case));
        for problem in &tested.problems {
            lines.extend(problem.lines().map(|line| format!("       {line}")));
        }
    }
    let failed = tested.iter().filter(|tested| !tested.passed).count();
    lines.push(format!("{} passed, {failed} failed", tested.len() - failed));
    lines.join("\n")
}

/// A path beside the test file.
fn beside(file: &Path, relative: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(relative)
}
