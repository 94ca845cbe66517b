//! `kubeops pulls`: the pull requests of the local forge.

use super::client::Server;
use super::output::{self, Colour, OutputFormat, cell, paint, table};
use super::requests::{items, with_next};
use super::runtime;
use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A pull request is named by its repository and number.\n\nExamples:\n  kubeops pulls list\n  kubeops pulls diff gitops#1\n  kubeops pulls approve gitops#1\n  kubeops pulls merge gitops#1"
)]
pub struct Arguments {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List pull requests, newest first
    #[command(after_help = "Example:\n  kubeops pulls list --state open")]
    List {
        /// Of this repository.
        #[arg(long)]
        repository: Option<String>,
        /// open, closed or merged.
        #[arg(long)]
        state: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Where the page before ended.
        #[arg(long)]
        after: Option<String>,
    },
    /// Show one with its diff
    #[command(after_help = "Example:\n  kubeops pulls show gitops#1")]
    Show {
        /// The pull request, `repository#number`.
        pull: String,
    },
    /// Show what one changes
    #[command(after_help = "Example:\n  kubeops pulls diff gitops#1 | less -R")]
    Diff {
        /// The pull request, `repository#number`.
        pull: String,
    },
    /// Approve one, which also merges it where it is to be merged by itself and is not held
    #[command(after_help = "Example:\n  kubeops pulls approve gitops#1")]
    Approve {
        /// The pull request, `repository#number`.
        pull: String,
    },
    /// Mark a draft ready, so that it may be merged
    #[command(after_help = "Example:\n  kubeops pulls ready gitops#1")]
    Ready {
        /// The pull request, `repository#number`.
        pull: String,
    },
    /// Merge one into its base branch
    #[command(after_help = "Example:\n  kubeops pulls merge gitops#1")]
    Merge {
        /// The pull request, `repository#number`.
        pull: String,
    },
    /// Close one without a merge: a veto
    #[command(after_help = "Example:\n  kubeops pulls close gitops#1 --comment 'not this quarter'")]
    Close {
        /// The pull request, `repository#number`.
        pull: String,
        /// Why.
        #[arg(long)]
        comment: Option<String>,
    },
}

pub fn run(arguments: Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let Arguments { server, command } = arguments;
    runtime()?.block_on(async {
        match command {
            Command::List { repository, state, limit, after } => {
                let mut query = vec![("limit", limit.to_string())];
                for (name, value) in [("repository", repository), ("state", state), ("after", after)] {
                    query.extend(value.map(|value| (name, value)));
                }
                let page = server.json(Method::GET, "/pulls", &query, None).await?;
                output::value(format, &page, || list(&page))?;
            }
            Command::Show { pull } => {
                let path = path(&pull)?;
                let found = server.json(Method::GET, &path, &[], None).await?;
                let diff = server.text(&format!("{path}/diff"), "text/x-diff").await?;
                output::value(format, &found, || show(&pull, &found, &diff))?;
            }
            Command::Diff { pull } => output::text(&output::diff(&server.text(&format!("{}/diff", path(&pull)?), "text/x-diff").await?)),
            Command::Approve { pull } => act(&server, &pull, "approve", json!({}), format).await?,
            Command::Ready { pull } => act(&server, &pull, "ready", json!({}), format).await?,
            Command::Merge { pull } => act(&server, &pull, "merge", json!({}), format).await?,
            Command::Close { pull, comment } => act(&server, &pull, "close", json!({ "comment": comment }), format).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn act(server: &Server, pull: &str, verb: &str, body: Value, format: OutputFormat) -> anyhow::Result<()> {
    let found = server.json(Method::POST, &format!("{}/{verb}", path(pull)?), &[], Some(&body)).await?;
    output::value(format, &found, || {
        let approved = found.pointer("/approved_by").and_then(Value::as_array).filter(|by| !by.is_empty());
        let by = approved.map(|by| by.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "));
        let ready = if verb == "ready" && state(&found) == "open" { ", and ready for review" } else { "" };
        format!("{pull} is {}{ready}{}", state(&found), by.map_or_else(String::new, |by| format!(", approved by {by}")))
    })
}

/// `/pulls/gitops/1` of `gitops#1` or `gitops/1`.
fn path(pull: &str) -> anyhow::Result<String> {
    let (repository, number) = pull.split_once(['#', '/']).with_context(|| format!("{pull:?} is not repository#number"))?;
    let repository: crate::types::RepositoryName = repository.parse()?;
    let number: u64 = number.parse().with_context(|| format!("{number:?} is not a number"))?;
    Ok(format!("/pulls/{repository}/{number}"))
}

/// `open`, `draft`, `closed` or `merged`: a draft is open, and waits to be marked ready.
fn state(pull: &Value) -> String {
    match pull.pointer("/draft") {
        Some(Value::Bool(true)) if cell(pull, "/state") == "open" => "draft".to_owned(),
        _ => cell(pull, "/state"),
    }
}

fn list(page: &Value) -> String {
    let rows: Vec<Vec<String>> = items(page)
        .map(|pull| {
            vec![
                format!("{}#{}", cell(pull, "/repository"), cell(pull, "/number")),
                state(pull),
                cell(pull, "/title"),
                cell(pull, "/head"),
                cell(pull, "/updated_at"),
            ]
        })
        .collect();
    with_next(table(&["pull", "state", "title", "branch", "updated"], &rows), page)
}

fn show(pull: &str, found: &Value, diff: &str) -> String {
    let mut lines = vec![format!("{} {} ({})", paint(Colour::Bold, pull), cell(found, "/title"), state(found))];
    lines.push(format!("  {} -> {}", cell(found, "/head"), cell(found, "/base")));
    let body = found.pointer("/body").and_then(Value::as_str).unwrap_or_default();
    lines.extend(body.lines().map(|line| format!("  {}", output::printable(line))));
    for comment in found.pointer("/comments").and_then(Value::as_array).into_iter().flatten() {
        lines.push(format!("  {} said: {}", cell(comment, "/author"), cell(comment, "/body")));
    }
    lines.push(output::diff(diff));
    lines.join("\n")
}
