//! `kubeops drafts eval`: tasks that a model drafts on this machine, in memory and behind the same gate as in the server, and how many of
//! its changes are the right ones.

mod expected;
mod measured;
mod suite;

use crate::app::{ConfiguredModels, secret_provider};
use crate::automation::{ModelSpec, Provider};
use crate::cli::EXIT_REFUSED;
use crate::cli::local::{Schemas, Templates};
use crate::cli::output::{self, Colour, OutputFormat, paint};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::draft::{Recording, Replaying, Scrub, Tape};
use crate::inventory::McpPrograms;
use crate::pipeline::{ChosenModel, Models, StepError};
use crate::resources::Defaults;
use crate::store::Limit;
use anyhow::{Context, bail};
use measured::{Measured, Report, of_reference};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use suite::{Suite, Task};

/// Runs of a task, at most.
const MOST_RUNS: u32 = 100;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The model is the one of the settings (LLM_PROVIDER and what belongs to it), as in `kubeops serve`. Nothing is\nproposed anywhere. docs/evals.md says what a task is and what is counted. Ends with status 3 where fewer\nruns are right than --at-least says, or where --check finds something, and with 1 where the model answered nothing.\n\nExamples:\n  kubeops drafts eval evals --check                      the suite alone, without a model\n  kubeops drafts eval evals --only replicas --runs 3\n  kubeops drafts eval evals --model openai/gpt-5 --record gpt-5.jsonl --at-least 0.9\n  kubeops drafts eval evals --cassette gpt-5.jsonl       the same again, without a network"
)]
pub struct Arguments {
    /// The suite: a directory with a directory for each task.
    suite: PathBuf,
    /// Check the suite alone: each reference answer passes the gate and is right, and doing nothing is not.
    #[arg(long, conflicts_with_all = ["model", "record", "cassette", "runs", "at_least"])]
    check: bool,
    /// Another model than that of the settings and automations: `provider/name`.
    #[arg(long, value_name = "PROVIDER/NAME", conflicts_with = "cassette")]
    model: Option<String>,
    /// Only tasks whose directory's name holds this text.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How often each task is drafted.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_RUNS)))]
    runs: u32,
    /// Keep what the model answers in this file, which is added to.
    #[arg(long, value_name = "FILE", conflicts_with = "cassette")]
    record: Option<PathBuf>,
    /// Take the answers from this file, and ask nobody.
    #[arg(long, value_name = "FILE")]
    cassette: Option<PathBuf>,
    /// The part of the runs that must be right, from 0 to 1.
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    at_least: f64,
    /// Programs that an McpServer of the suite's resources may name, by their exact paths, separated by commas. None of them is started.
    #[arg(long, env = "MCP_PROGRAMS", value_name = "PATHS", default_value = "", hide_default_value = true, help_heading = "Resources")]
    mcp_programs: McpPrograms,
    #[command(flatten)]
    templates: Templates,
    #[command(flatten)]
    known: Schemas,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    if !(0.0..=1.0).contains(&arguments.at_least) {
        bail!("--at-least is a part of the runs, from 0 to 1: 0.9 for nine of ten");
    }
    // Nobody is asked where a suite is checked: no settings are needed.
    let asked = if arguments.check { None } else { Some(Asked::new(arguments)?) };
    let withheld = asked.as_ref().map(|asked| asked.settings.language_models.withheld.clone()).unwrap_or_default();
    let defaults = Defaults { programs: arguments.mcp_programs.clone(), withheld, ..Defaults::from(arguments.known.kubernetes) };
    let suite = Suite::open(&arguments.suite, &arguments.templates, &arguments.known, defaults)?;
    let tasks = suite.tasks(arguments.only.as_deref())?;
    // Tools and the gate work on threads of their own.
    super::super::runtime()?.block_on(async {
        match &asked {
            None => check(&tasks, format).await,
            Some(asked) => measure(arguments, asked, &tasks, format).await,
        }
    })
}

/// What is wrong with a suite.
#[derive(serde::Serialize)]
struct Checked {
    tasks: usize,
    problems: Vec<String>,
}

async fn check(tasks: &[Task], format: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut problems = Vec::new();
    for task in tasks {
        let found = of_reference(task).await.with_context(|| task.place())?;
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", task.place())));
    }
    let checked = Checked { tasks: tasks.len(), problems };
    output::value(format, &checked, || {
        let verdict = match checked.problems.len() {
            0 => paint(Colour::Green, "sound"),
            1 => paint(Colour::Red, "1 problem"),
            more => paint(Colour::Red, &format!("{more} problems")),
        };
        let lines = checked.problems.iter().cloned().chain([format!("{} tasks: {verdict}", checked.tasks)]);
        lines.collect::<Vec<_>>().join("\n")
    })?;
    Ok(if checked.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REFUSED) })
}

async fn measure(arguments: &Arguments, asked: &Asked, tasks: &[Task], format: OutputFormat) -> anyhow::Result<ExitCode> {
    let mut ran = Vec::new();
    for task in tasks {
        for run in 1..=arguments.runs {
            let chosen = asked.model(task, run)?;
            let rehearsed = task.rehearsal(run).run(&chosen).await;
            let rehearsed = rehearsed.map_err(|error| match error {
                StepError::Model(error) => anyhow::anyhow!("{}: {error}", task.id),
                other => anyhow::anyhow!("{}: {other}", task.place()),
            })?;
            let measured = Measured::of(task, run, &rehearsed, &chosen)?;
            if format == OutputFormat::Table {
                output::text(&measured.line(arguments.runs > 1));
            }
            ran.push(measured);
        }
    }
    let report = Report::of(ran);
    output::value(format, &report, || report.totals())?;
    if report.nobody_answered() {
        return Ok(ExitCode::FAILURE);
    }
    Ok(if report.right_rate() >= arguments.at_least { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REFUSED) })
}

/// Who is asked.
struct Asked {
    settings: Settings,
    models: ConfiguredModels,
    instead: Option<ModelSpec>,
    record: Option<Arc<Tape>>,
    cassette: Option<Replaying>,
}

impl Asked {
    fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let settings = Settings::from_env(&|name| std::env::var(name).ok())?;
        let secrets = secret_provider(&settings.secret_provider);
        let models = ConfiguredModels::new(settings.language_models.clone(), secrets, Arc::new(SystemClock))?;
        let instead = arguments.model.as_deref().map(named).transpose()?;
        // A suite holds nothing that may not be kept, and what is said about it passed the redactor.
        let as_it_is = || -> Scrub { Arc::new(str::to_owned) };
        let cassette = arguments.cassette.as_deref().map(|path| Replaying::open(path, as_it_is())).transpose()?;
        let record = arguments.record.as_ref().map(|path| Arc::new(Tape::new(path, as_it_is())));
        Ok(Self { settings, models, instead, record, cassette })
    }

    /// The model of a task's run: that of the cassette, of the command line, of its automation, of the settings.
    fn model(&self, task: &Task, run: u32) -> anyhow::Result<ChosenModel> {
        let own = task.draft().model.as_ref();
        let max_tokens = own.and_then(|own| own.max_tokens).unwrap_or(self.settings.language_models.max_tokens);
        if let Some(cassette) = &self.cassette {
            let price = own.and_then(|own| own.price).or(self.settings.language_models.price);
            return Ok(ChosenModel { model: Arc::new(cassette.in_run(run)), max_tokens, price, per_day: Limit::default() });
        }
        let chosen = self.models.model(self.instead.as_ref().or(own))?;
        let model = match &self.record {
            Some(tape) => Arc::new(Recording::new(Arc::clone(&chosen.model), Arc::clone(tape), true).in_run(run)),
            None => Arc::clone(&chosen.model),
        };
        Ok(ChosenModel { model, max_tokens, ..chosen })
    }
}

/// A model as it is named on the command line.
fn named(text: &str) -> anyhow::Result<ModelSpec> {
    let (provider, name) = text.split_once('/').context("--model is written provider/name: openai/gpt-5, local/qwen3-coder")?;
    let provider: Provider = provider.parse()?;
    Ok(ModelSpec { provider: Some(provider), name: Some(name.to_owned()), max_tokens: None, price: None })
}
