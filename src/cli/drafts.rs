//! `kubeops drafts`: what language models drafted for a request, and everything that was said in it.

mod eval;

use super::EXIT_REFUSED;
use super::client::Server;
use super::naming::request_id;
use super::output::{self, Colour, OutputFormat, cell, paint, printable, table};
use crate::types::RequestId;
use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Whoever follows a draft looks this often.
pub const LOOKS: Duration = Duration::from_millis(700);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kubeops drafts list req_01k...\n  kubeops drafts show req_01k...            the newest, everything that was said\n  kubeops drafts show req_01k... --draft 1\n  kubeops drafts show req_01k... --revision 2\n  kubeops drafts replay req_01k...\n  kubeops drafts eval evals --check         without a model: is the suite sound?\n  kubeops drafts eval evals --model local/qwen3-coder"
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
        /// The draft that was made for this wish for a revision, from 1.
        #[arg(long, conflicts_with = "draft")]
        revision: Option<u64>,
    },
    /// Decide a draft once more with the model's kept replies, without asking it
    #[command(
        after_help = "The server works everything out again that followed from each reply, on the commit the draft was begun on\nand under the resources in force. Ends with status 3 where the course is another.\n\nExample:\n  kubeops drafts replay req_01k..."
    )]
    Replay {
        /// The request.
        request: String,
        /// Which of its drafts, from 1; left out, the newest.
        #[arg(long)]
        draft: Option<u32>,
    },
    /// Have a model draft the tasks of a suite on this machine, and count what is right
    Eval(eval::Arguments),
}

pub fn run(arguments: Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let Arguments { server, command } = arguments;
    let command = match command {
        Command::Eval(arguments) => return eval::run(&arguments, format),
        command => command,
    };
    super::runtime()?.block_on(async {
        match command {
            Command::List { request } => {
                let id = request_id(&request)?;
                let drafts = drafts(&server, &id).await?;
                output::value(format, &drafts, || list(&drafts))?;
            }
            Command::Eval(_) => {}
            Command::Replay { request, draft } => {
                let id = request_id(&request)?;
                let number = numbered(&server, &id, draft).await?;
                let replayed = server.json(Method::POST, &format!("/requests/{id}/drafts/{number}/replay"), &[], Some(&json!({}))).await?;
                output::value(format, &replayed, || again(&replayed))?;
                return Ok(if replayed["same"] == true { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REFUSED) });
            }
            Command::Show { request, draft, revision } => {
                let id = request_id(&request)?;
                let number = match revision {
                    Some(revision) => {
                        let found = of_revision(&drafts(&server, &id).await?, revision).map(|draft| cell(draft, "/number"));
                        found.with_context(|| {
                            format!("no draft was begun for revision {revision} of {id} yet: kubeops requests show {id} tells why")
                        })?
                    }
                    None => numbered(&server, &id, draft).await?,
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

/// The draft that is meant: the one named, or the newest.
async fn numbered(server: &Server, id: &RequestId, draft: Option<u32>) -> anyhow::Result<String> {
    if let Some(number) = draft {
        return Ok(number.to_string());
    }
    let drafts = drafts(server, id).await?;
    let newest = drafts.as_array().and_then(|drafts| drafts.last());
    let none = || anyhow::anyhow!("no language model was asked for {id}: kubeops requests show {id} tells where it stands");
    newest.map(|newest| cell(newest, "/number")).ok_or_else(none)
}

/// The newest draft that was made for a wish for a revision.
fn of_revision(drafts: &Value, revision: u64) -> Option<&Value> {
    drafts.as_array()?.iter().rfind(|draft| draft["revision"] == revision)
}

/// Shows what is said in the draft that is made for a wish, as it is said, why it waits where it does, and at the end what came of it,
/// which the exit code tells too.
pub async fn follow(server: &Server, id: &RequestId, revision: u64, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let (mut seen, mut waits) = ((String::new(), 0), None);
    loop {
        // Before the drafts: where none is owed any more and none is there, none will be.
        let request = server.json(Method::GET, &format!("/requests/{id}"), &[], None).await?;
        let owed = request["tasks"].as_array().into_iter().flatten().find(|task| task["kind"] == "draft" && task["state"] != "dead");
        let all = drafts(server, id).await?;
        let draft = of_revision(&all, revision);
        if let Some(draft) = draft {
            let number = cell(draft, "/number");
            let lines = server.json(Method::GET, &format!("/requests/{id}/drafts/{number}/lines"), &[], None).await?;
            let told_before = if seen.0 == number { seen.1 } else { 0 };
            let lines = lines.as_array().map_or(&[][..], Vec::as_slice);
            if format == OutputFormat::Table && lines.len() > told_before {
                output::text(&format!("{}\n", told(lines[told_before..].iter())));
            }
            seen = (number, lines.len());
        }
        let goes_on = match draft.and_then(|draft| draft["state"].as_str()) {
            // It is begun, goes on, or another one is begun in its place, as long as somebody is to do it.
            Some("running" | "cancelled") | None => owed.is_some(),
            Some(_) => false,
        };
        if !goes_on {
            return ended(id, revision, draft, format);
        }
        let why = owed.and_then(|task| task["last_error"].as_str()).map(str::to_owned);
        if format == OutputFormat::Table && why != waits {
            why.iter().for_each(|why| output::text(&format!("waits: {}\n", printable(why))));
        }
        waits = why.or(waits);
        tokio::time::sleep(LOOKS).await;
    }
}

/// What came of a wish.
fn ended(id: &RequestId, revision: u64, draft: Option<&Value>, format: OutputFormat) -> anyhow::Result<ExitCode> {
    output::value(format, draft.unwrap_or(&Value::Null), || match draft {
        Some(draft) => list(&json!([draft])),
        None => format!("nothing was drafted for revision {revision}: kubeops requests show {id} tells why"),
    })?;
    Ok(match draft.and_then(|draft| draft["state"].as_str()) {
        Some("answered" | "declined" | "cancelled") => ExitCode::SUCCESS,
        Some("refused") => ExitCode::from(EXIT_REFUSED),
        _ => ExitCode::FAILURE,
    })
}

/// What came of a draft that was decided once more.
fn again(replayed: &Value) -> String {
    let turns = match replayed["turns"].as_u64() {
        Some(1) => "1 turn".to_owned(),
        turns => format!("{} turns", turns.unwrap_or_default()),
    };
    let mut lines = vec![match &replayed["difference"] {
        Value::Null => {
            format!("{}: draft {}, {turns}, ended as then: {}", paint(Colour::Green, "the same"), cell(replayed, "/draft"), cell(replayed, "/ended"))
        }
        difference => format!(
            "{}: draft {} takes another course at turn {} of {turns}\n  then: {}\n  now:  {}",
            paint(Colour::Red, "not the same"),
            cell(replayed, "/draft"),
            cell(difference, "/turn"),
            printable(&cell(difference, "/then")),
            printable(&cell(difference, "/now"))
        ),
    }];
    if let begins @ Value::Object(_) = &replayed["begins"] {
        let (then, now) = (printable(&cell(begins, "/then")), printable(&cell(begins, "/now")));
        lines.push(format!("the model would be told otherwise today, and might answer otherwise:\n  then: {then}\n  now:  {now}"));
    }
    lines.join("\n")
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
