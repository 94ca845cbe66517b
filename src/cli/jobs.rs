//! `kubeops jobs`: what a language model is asked for in one's own words.

use super::EXIT_REFUSED;
use super::client::Server;
use super::drafts::{LOOKS, told};
use super::naming::request_id;
use super::output::{self, OutputFormat, cell, state, table};
use super::requests::assignments;
use crate::types::SpecDuration;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kubeops jobs start 'Give the checkout service in shop 512Mi of memory' --cluster prod-eu --follow\n  kubeops jobs list\n  kubeops jobs logs req_01k... --follow\n  kubeops jobs cancel req_01k..."
)]
pub struct Arguments {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Have a language model draft what you ask for: a person reviews what comes of it
    #[command(after_help = "Example:\n  kubeops jobs start 'Scale the web front end of shop to four' --cluster prod-eu --max-turns 8 --follow")]
    Start {
        /// What is to be changed, in your own words.
        goal: String,
        /// The automation it is done under; left out where only one takes jobs.
        #[arg(long)]
        automation: Option<String>,
        /// Becomes the automation's parameter `cluster`.
        #[arg(long)]
        cluster: Option<String>,
        /// Becomes the automation's parameter `repository`.
        #[arg(long)]
        repository: Option<String>,
        /// Becomes the automation's parameter `environment`.
        #[arg(long)]
        environment: Option<String>,
        /// Another parameter. The value is read as YAML: `replicas=3` is a number, `cpu='"4"'` a text.
        #[arg(long = "parameter", short = 'p', value_name = "NAME=VALUE")]
        parameters: Vec<String>,
        /// Answers of the model, at most.
        #[arg(long)]
        max_turns: Option<u32>,
        /// How long it may take: 90s, 10m.
        #[arg(long = "within")]
        within: Option<SpecDuration>,
        /// Show what is said until it is over; ends with 1 when it failed and with 3 when nothing may be proposed.
        #[arg(long)]
        follow: bool,
    },
    /// List jobs, newest first
    #[command(after_help = "Example:\n  kubeops jobs list --automation anything")]
    List {
        /// Of this automation.
        #[arg(long)]
        automation: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one
    #[command(after_help = "Example:\n  kubeops jobs show req_01k...")]
    Show {
        /// The job.
        id: String,
    },
    /// Show what was said, turn by turn
    #[command(after_help = "Example:\n  kubeops jobs logs req_01k... --follow")]
    Logs {
        /// The job.
        id: String,
        /// Go on until it is over.
        #[arg(long)]
        follow: bool,
    },
    /// Cancel one: the model is asked no more
    #[command(after_help = "Example:\n  kubeops jobs cancel req_01k...")]
    Cancel {
        /// The job.
        id: String,
    },
}

pub fn run(arguments: Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let Arguments { server, command } = arguments;
    super::runtime()?.block_on(async {
        match command {
            Command::Start { goal, automation, cluster, repository, environment, parameters, max_turns, within, follow: follows } => {
                let body = json!({
                    "goal": goal, "automation": automation, "cluster": cluster, "repository": repository, "environment": environment,
                    "parameters": assignments(&parameters)?, "max_turns": max_turns, "timeout_seconds": within.map(|within| within.get().as_secs().max(1)),
                });
                let filed = server.json(Method::POST, "/jobs", &[], Some(&body)).await?;
                let id = cell(&filed, "/job_id");
                if !follows {
                    output::value(format, &filed, || format!("filed: {id}\nfollow it: kubeops jobs logs {id} --follow"))?;
                } else {
                    return follow(&server, &id, format).await;
                }
            }
            Command::List { automation, limit } => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(automation.map(|automation| ("automation", automation)));
                let page = server.json(Method::GET, "/jobs", &query, None).await?;
                output::value(format, &page, || list(&page))?;
            }
            Command::Show { id } => {
                let id = request_id(&id)?;
                let job = server.json(Method::GET, &format!("/jobs/{id}"), &[], None).await?;
                output::value(format, &job, || shown(&job))?;
            }
            Command::Logs { id, follow: true } => return follow(&server, request_id(&id)?.as_str(), format).await,
            Command::Logs { id, follow: false } => {
                let id = request_id(&id)?;
                let lines = server.json(Method::GET, &format!("/jobs/{id}/logs"), &[], None).await?;
                output::value(format, &lines, || told(lines.as_array().into_iter().flatten()))?;
            }
            Command::Cancel { id } => {
                let id = request_id(&id)?;
                let job = server.json(Method::DELETE, &format!("/jobs/{id}"), &[], None).await?;
                output::value(format, &job, || format!("{id} is {}", state(&cell(&job, "/status"))))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Shows what is said as it is said, why it waits where it does, and at the end what came of it, which the exit code tells too.
async fn follow(server: &Server, id: &str, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let (mut seen, mut waits) = (0, None);
    loop {
        let job = server.json(Method::GET, &format!("/jobs/{id}"), &[], None).await?;
        let lines = server.json(Method::GET, &format!("/jobs/{id}/logs"), &[], None).await?;
        let lines = lines.as_array().map_or(&[][..], Vec::as_slice);
        if format == OutputFormat::Table && lines.len() > seen {
            output::text(&format!("{}\n", told(lines[seen..].iter())));
        }
        seen = lines.len();
        // Once for each reason, however often it is tried.
        let waits_now = job["waits"].as_str().map(|waits| waits.split_once(": ").map_or(waits, |(_, reason)| reason).to_owned());
        if format == OutputFormat::Table && waits_now.is_some() && waits_now != waits {
            output::text(&format!("waits: {}\n", cell(&job, "/waits")));
        }
        waits = waits_now.or(waits);
        if !matches!(job["status"].as_str(), Some("created" | "running" | "planned")) {
            output::value(format, &job, || shown(&job))?;
            return Ok(match job["status"].as_str() {
                Some("failed") => ExitCode::FAILURE,
                Some("rejected") => ExitCode::from(EXIT_REFUSED),
                _ => ExitCode::SUCCESS,
            });
        }
        tokio::time::sleep(LOOKS).await;
    }
}

fn list(page: &Value) -> String {
    let rows: Vec<Vec<String>> = page["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|job| {
            let pull = job.pointer("/pull/number").map_or_else(|| "-".to_owned(), |number| format!("#{number}"));
            vec![cell(job, "/job_id"), state(&cell(job, "/status")), cell(job, "/automation"), cell(job, "/by"), pull, cell(job, "/goal")]
        })
        .collect();
    table(&["JOB", "STATUS", "AUTOMATION", "BY", "PULL", "GOAL"], &rows)
}

fn shown(job: &Value) -> String {
    let mut lines = vec![
        format!("{} {}", cell(job, "/job_id"), state(&cell(job, "/status"))),
        format!("goal:       {}", cell(job, "/goal")),
        format!("asked by:   {}", cell(job, "/by")),
        format!("automation: {}", cell(job, "/automation")),
        format!("message:    {}", cell(job, "/message")),
    ];
    if job["waits"].is_string() {
        lines.push(format!("waits:      {}", cell(job, "/waits")));
    }
    if job["pull"].is_object() {
        lines.push(format!("pull:       #{} {}", cell(job, "/pull/number"), cell(job, "/pull/url")));
    }
    if job["draft"].is_object() {
        let cost =
            if job.pointer("/draft/cost").is_some_and(Value::is_null) { String::new() } else { format!(", cost {}", cell(job, "/draft/cost")) };
        lines.push(format!(
            "draft:      {} by {} of {}, {} turns, {} tokens{cost}",
            cell(job, "/draft/state"),
            cell(job, "/draft/model"),
            cell(job, "/draft/provider"),
            cell(job, "/draft/turns"),
            cell(job, "/draft/tokens")
        ));
    }
    lines.join("\n")
}
