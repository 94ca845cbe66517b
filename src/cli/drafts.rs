//! `kubeops drafts`: what language models drafted for a request, and everything that was said in it.

use super::client::Server;
use super::naming::request_id;
use super::output::{self, Colour, OutputFormat, cell, paint, printable, table};
use crate::types::RequestId;
use reqwest::Method;
use serde_json::Value;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kubeops drafts list req_01k...\n  kubeops drafts show req_01k...            the newest, everything that was said\n  kubeops drafts show req_01k... --draft 1"
)]
pub struct Arguments {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the drafts of a request, oldest first
    #[command(after_help = "Example:\n  kubeops drafts list req_01k...")]
    List {
        /// The request.
        request: String,
    },
    /// Show everything that was said in a draft, turn by turn
    #[command(after_help = "Example:\n  kubeops drafts show req_01k... | less -R")]
    Show {
        /// The request.
        request: String,
        /// Which of its drafts, from 1; left out, the newest.
        #[arg(long)]
        draft: Option<u32>,
    },
}

pub fn run(arguments: Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let Arguments { server, command } = arguments;
    super::runtime()?.block_on(async {
        match command {
            Command::List { request } => {
                let id = request_id(&request)?;
                let drafts = drafts(&server, &id).await?;
                output::value(format, &drafts, || list(&drafts))?;
            }
            Command::Show { request, draft } => {
                let id = request_id(&request)?;
                let drafts = drafts(&server, &id).await?;
                let newest = drafts.as_array().and_then(|drafts| drafts.last());
                let number = match (draft, newest) {
                    (Some(number), _) => number.to_string(),
                    (None, Some(newest)) => cell(newest, "/number"),
                    (None, None) => anyhow::bail!("no language model was asked for {id}: kubeops requests show {id} tells where it stands"),
                };
                let lines = server.json(Method::GET, &format!("/requests/{id}/drafts/{number}/lines"), &[], None).await?;
                output::value(format, &lines, || told(lines.as_array().into_iter().flatten()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn drafts(server: &Server, id: &RequestId) -> anyhow::Result<Value> {
    server.json(Method::GET, &format!("/requests/{id}/drafts"), &[], None).await
}

fn list(drafts: &Value) -> String {
    let rows: Vec<Vec<String>> = drafts
        .as_array()
        .into_iter()
        .flatten()
        .map(|draft| {
            let said = [cell(draft, "/message"), cell(draft, "/explanation")].into_iter().find(|text| text != "-").unwrap_or_default();
            vec![
                cell(draft, "/number"),
                cell(draft, "/state"),
                format!("{} of {}", cell(draft, "/model"), cell(draft, "/provider")),
                cell(draft, "/turns"),
                cell(draft, "/tokens"),
                cell(draft, "/cost"),
                said.lines().next().unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    if rows.is_empty() {
        "no language model was asked".to_owned()
    } else {
        table(&["DRAFT", "STATE", "MODEL", "TURNS", "TOKENS", "COST", "WHAT CAME OF IT"], &rows)
    }
}

/// Lines of drafts, as people read them.
pub fn told<'l>(lines: impl Iterator<Item = &'l Value>) -> String {
    let mut told = Vec::new();
    let mut last = String::new();
    for line in lines {
        let heading = format!("draft {}, turn {}", cell(line, "/draft"), cell(line, "/turn"));
        if heading != last {
            told.push(format!("\n{}", paint(Colour::Bold, &heading)));
            last = heading;
        }
        let kind = line["kind"].as_str().unwrap_or_default();
        let who = match (kind, line["tool"].as_str()) {
            ("called" | "gave", Some(tool)) => format!("{kind} {}", printable(tool)),
            _ => kind.to_owned(),
        };
        let text = line["text"].as_str().unwrap_or_default();
        let text: Vec<String> = text.lines().map(|line| format!("  {}", printable(line))).collect();
        let colour = if kind == "refused" { Colour::Red } else { Colour::Dim };
        told.push(format!("{}\n{}", paint(colour, &who), text.join("\n")));
    }
    told.join("\n").trim_start().to_owned()
}
