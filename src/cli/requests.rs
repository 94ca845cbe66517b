//! `kubeops requests`: what was asked for, and what became of it.

mod shown;

pub(super) use shown::owed;

use super::client::Server;
use super::drafts;
use super::naming::{event_id, request_id, segment};
use super::output::{self, Colour, OutputFormat, cell, paint, printable, state, table};
use super::runtime;
use crate::manifest;
use crate::types::SpecDuration;
use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kubeops requests list --state proposed\n  kubeops requests show req_01k...\n  kubeops requests ask namespace-request -p team=web -p cluster=prod-eu\n  kubeops requests retry req_01k..."
)]
pub struct Arguments {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List requests, newest first
    #[command(
        after_help = "Examples:\n  kubeops requests list --state failed --state rejected\n  kubeops requests list --correlation OPS-42 --output json"
    )]
    List {
        /// In this state; may be given several times.
        #[arg(long)]
        state: Vec<String>,
        /// Of this automation.
        #[arg(long)]
        automation: Option<String>,
        /// For this repository.
        #[arg(long)]
        repository: Option<String>,
        /// With exactly this correlation key, such as an issue key.
        #[arg(long)]
        correlation: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Where the page before ended.
        #[arg(long)]
        after: Option<String>,
    },
    /// Show one with its timeline and diff
    #[command(after_help = "Example:\n  kubeops requests show req_01k...")]
    Show {
        /// The request.
        id: String,
    },
    /// Show what one changes
    #[command(after_help = "Example:\n  kubeops requests diff req_01k... | less -R")]
    Diff {
        /// The request.
        id: String,
    },
    /// Ask for an automation directly
    #[command(
        after_help = "Examples:\n  kubeops requests ask namespace-request -p team=web -p cluster=prod-eu\n  kubeops requests ask namespace-request -p team=web -p cpu='\"8\"' --correlation OPS-42"
    )]
    Ask {
        /// The automation.
        automation: String,
        /// A parameter. The value is read as YAML: `replicas=3` is a number, `cpu='"4"'` a text.
        #[arg(long = "parameter", short = 'p', value_name = "NAME=VALUE")]
        parameters: Vec<String>,
        /// Asking twice with one key asks for one request.
        #[arg(long)]
        correlation: Option<String>,
    },
    /// Ask again for what failed, was rejected or declined; hurry what waits or is owed
    #[command(after_help = "Example:\n  kubeops requests retry req_01k...")]
    Retry {
        /// The request.
        id: String,
    },
    /// Withdraw a live one: its pull request is closed
    #[command(after_help = "Example:\n  kubeops requests cancel req_01k... --reason 'asked for by mistake'")]
    Cancel {
        /// The request.
        id: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Take a merged change back: a pull request for that is opened
    #[command(after_help = "Example:\n  kubeops requests revert req_01k... --reason 'it made things worse'")]
    Revert {
        /// The request.
        id: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Have a live one wait until it is released: its pull request says so
    #[command(after_help = "Example:\n  kubeops requests hold req_01k... --reason 'the database is being moved'")]
    Hold {
        /// The request.
        id: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Have the language model that drafted a change revise it
    #[command(after_help = "Example:\n  kubeops requests revise req_01k... 'keep the memory limit as it was' --follow")]
    Revise {
        /// The request.
        id: String,
        /// What is wanted otherwise, in your own words.
        text: String,
        /// Show what is said until its draft is over; ends with 1 when that failed and with 3 when nothing may be proposed.
        #[arg(long)]
        follow: bool,
    },
    /// Keep a merged change with a time to live for longer
    #[command(after_help = "Example:\n  kubeops requests extend req_01k... 2h")]
    Extend {
        /// The request.
        id: String,
        /// By how much, counted from the end it has: 30m, 2h, 7d.
        by: SpecDuration,
    },
    /// Let a live one through, whatever holds it: a person or a calendar
    #[command(after_help = "Example:\n  kubeops requests release req_01k...")]
    Release {
        /// The request.
        id: String,
    },
    /// Take one member out of a group: only its commit goes
    #[command(
        after_help = "Examples:\n  kubeops requests withdraw req_01k... 3\n  kubeops requests withdraw req_01k... prod-eu/web/storefront --reason 'the alert is over'"
    )]
    Withdraw {
        /// The request.
        id: String,
        /// The member's correlation key, or its number.
        member: String,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// List events, or show what was decided on one
    #[command(after_help = "Examples:\n  kubeops requests events --subject OPS-42\n  kubeops requests events --explain evt_01k...")]
    Events {
        /// The event to show.
        #[arg(long, value_name = "EVENT")]
        explain: Option<String>,
        /// About this subject.
        #[arg(long)]
        subject: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
}

pub fn run(arguments: Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let Arguments { server, command } = arguments;
    runtime()?.block_on(async {
        match command {
            Command::List { state: states, automation, repository, correlation, limit, after } => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(states.into_iter().map(|state| ("state", state)));
                for (name, value) in [("automation", automation), ("repository", repository), ("correlation", correlation), ("after", after)] {
                    query.extend(value.map(|value| (name, value)));
                }
                let page = server.json(Method::GET, "/requests", &query, None).await?;
                output::value(format, &page, || list(&page))?;
            }
            Command::Show { id } => show(&server, &id, format).await?,
            Command::Diff { id } => {
                let id = request_id(&id)?;
                output::text(&output::diff(&server.text(&format!("/requests/{id}/diff"), "text/x-diff").await?));
            }
            Command::Ask { automation, parameters, correlation } => {
                let body = json!({ "parameters": assignments(&parameters)?, "correlation": correlation });
                let request = server.json(Method::POST, &format!("/automations/{}/requests", segment(&automation)), &[], Some(&body)).await?;
                output::value(format, &request, || {
                    format!("asked for: {id}\nsee what becomes of it: kubeops requests show {id}", id = cell(&request, "/id"))
                })?;
            }
            Command::Retry { id } => changed(&server, &id, "retry", json!({}), format).await?,
            Command::Cancel { id, reason } => changed(&server, &id, "cancel", json!({ "reason": reason }), format).await?,
            Command::Revert { id, reason } => {
                let id = request_id(&id)?;
                let request = server.json(Method::POST, &format!("/requests/{id}/revert"), &[], Some(&json!({ "reason": reason }))).await?;
                output::value(format, &request, || {
                    let by = cell(&request, "/id");
                    let there = if request["status"] == "joined" { " already" } else { "" };
                    format!("request {by} takes it back{there}\nsee what becomes of it: kubeops requests show {by}")
                })?;
            }
            Command::Revise { id, text, follow } => {
                let id = request_id(&id)?;
                let asked = server.json(Method::POST, &format!("/requests/{id}/revise"), &[], Some(&json!({ "text": text }))).await?;
                if follow {
                    return drafts::follow(&server, &id, asked["revision"].as_u64().unwrap_or_default(), format).await;
                }
                let number = cell(&asked, "/revision");
                let see = format!("kubeops drafts show {id} --revision {number}");
                output::value(format, &asked, || format!("the model is asked for revision {number} of {id}\nsee what is said: {see}"))?;
            }
            Command::Extend { id, by } => {
                let id = request_id(&id)?;
                let request = server.json(Method::POST, &format!("/requests/{id}/extend"), &[], Some(&json!({ "by": by }))).await?;
                output::value(format, &request, || format!("{id} is wanted until {}", cell(&request, "/expires_at")))?;
            }
            Command::Hold { id, reason } => {
                let id = request_id(&id)?;
                let request = server.json(Method::POST, &format!("/requests/{id}/hold"), &[], Some(&json!({ "reason": reason }))).await?;
                output::value(format, &request, || held_by_now(id.as_str(), &request, reason.as_deref()))?;
            }
            Command::Release { id } => {
                let id = request_id(&id)?;
                let before = server.json(Method::GET, &format!("/requests/{id}"), &[], None).await?;
                let request = server.json(Method::POST, &format!("/requests/{id}/release"), &[], Some(&json!({}))).await?;
                let released = held(&before).map_or_else(|| "nothing held it".to_owned(), |held| format!("released; it was {held}"));
                output::value(format, &request, || format!("{id} is {}: {released}", state(&cell(&request, "/state"))))?;
            }
            Command::Withdraw { id, member, reason } => {
                let path = format!("members/{}/withdraw", segment(&member));
                changed(&server, &id, &path, json!({ "reason": reason }), format).await?;
            }
            Command::Events { explain: Some(id), .. } => {
                let id = event_id(&id)?;
                let event = server.json(Method::GET, &format!("/events/{id}"), &[], None).await?;
                let nobody = event.pointer("/decisions").and_then(Value::as_array).is_none_or(Vec::is_empty);
                let listeners = if nobody && format == OutputFormat::Table { nobody_wants(&server, &event).await? } else { Vec::new() };
                output::value(format, &event, || [vec![shown::decisions(&event)], listeners].concat().join("\n"))?;
            }
            Command::Events { explain: None, subject, limit } => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(subject.map(|subject| ("subject", subject)));
                let page = server.json(Method::GET, "/events", &query, None).await?;
                output::value(format, &page, || events(&page))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn changed(server: &Server, id: &str, verb: &str, body: Value, format: OutputFormat) -> anyhow::Result<()> {
    let id = request_id(id)?;
    let request = server.json(Method::POST, &format!("/requests/{id}/{verb}"), &[], Some(&body)).await?;
    let held = held(&request).map(|held| format!(", {held}")).unwrap_or_default();
    output::value(format, &request, || format!("{id} is {}{held}", state(&cell(&request, "/state"))))
}

/// Whose hold stands; who held it first is not talked over by who does so again for another reason.
fn held_by_now(id: &str, request: &Value, reason: Option<&str>) -> String {
    let held = held(request).unwrap_or_default();
    let state = state(&cell(request, "/state"));
    let since = request.pointer("/held/since").and_then(Value::as_str).map(|since| format!(", since {}", printable(since)));
    let other = reason.filter(|reason| request.pointer("/held/reason").and_then(Value::as_str) != Some(*reason));
    let stands = other.map(|_| "; that hold stands, and the new reason was not kept").unwrap_or_default();
    format!("{id} is {state}, {held}{}{stands}", since.unwrap_or_default())
}

/// Why it waits, where it does.
fn held(request: &Value) -> Option<String> {
    Some(format!("held {}", printable(request.pointer("/held/message")?.as_str()?)))
}

fn list(page: &Value) -> String {
    let rows: Vec<Vec<String>> = items(page)
        .map(|request| {
            let pull = request.pointer("/pull/number").map_or_else(|| "-".to_owned(), |number| format!("#{number}"));
            vec![
                cell(request, "/id"),
                state(&cell(request, "/state")),
                cell(request, "/automation"),
                cell(request, "/correlation"),
                cell(request, "/repository"),
                pull,
                cell(request, "/updated_at"),
            ]
        })
        .collect();
    with_next(table(&["request", "state", "automation", "for", "repository", "pull", "updated"], &rows), page)
}

fn events(page: &Value) -> String {
    let rows: Vec<Vec<String>> = items(page)
        .map(|event| {
            let requests = event.pointer("/requests").and_then(Value::as_array).map_or(0, Vec::len);
            vec![
                cell(event, "/id"),
                cell(event, "/source"),
                cell(event, "/type"),
                cell(event, "/subject"),
                cell(event, "/time"),
                requests.to_string(),
            ]
        })
        .collect();
    with_next(table(&["event", "source", "type", "subject", "time", "requests"], &rows), page)
}

async fn show(server: &Server, id: &str, format: OutputFormat) -> anyhow::Result<()> {
    let id = request_id(id)?;
    let request = server.json(Method::GET, &format!("/requests/{id}"), &[], None).await?;
    let diff = if request.pointer("/commit").is_some_and(|commit| !commit.is_null()) {
        server.text(&format!("/requests/{id}/diff"), "text/x-diff").await.ok()
    } else {
        None
    };
    output::value(format, &request, || shown::request(&id, &request, diff.as_deref()))
}

/// Why nothing was decided on an event: which automations listen to its source, and what they want.
async fn nobody_wants(server: &Server, event: &Value) -> anyhow::Result<Vec<String>> {
    let source = cell(event, "/source");
    if source == "-" {
        return Ok(vec!["  somebody asked for it in person, so no condition was looked at".to_owned()]);
    }
    let automations = server.json(Method::GET, "/automations", &[], None).await?;
    let words = |value: &Value| value.as_array().into_iter().flatten().filter_map(Value::as_str).map(printable).collect::<Vec<_>>();
    let mut lines = vec!["  no automation listened to this source and type".to_owned()];
    for automation in items(&automations).filter(|automation| words(&automation["sources"]).contains(&source)) {
        let types = words(&automation["types"]);
        let types = if types.is_empty() { "every type".to_owned() } else { types.join(", ") };
        lines.push(format!("    {} on this source wants {types}", paint(Colour::Bold, &cell(automation, "/name"))));
    }
    Ok(lines)
}

/// The rows of a page.
pub(super) fn items(page: &Value) -> impl Iterator<Item = &Value> {
    page.pointer("/items").and_then(Value::as_array).into_iter().flatten()
}

/// A listing with the way to its next page.
pub(super) fn with_next(listing: String, page: &Value) -> String {
    match page.pointer("/next").and_then(Value::as_str) {
        Some(next) => format!("{listing}\n{}", paint(Colour::Dim, &format!("more: --after {next}"))),
        None => listing,
    }
}

/// A value as YAML reads it; what is no YAML is text.
fn yaml(text: &str) -> Value {
    match manifest::parse(text, manifest::Limits::default()).as_deref() {
        Ok([document]) => document.value.clone(),
        _ => Value::String(text.to_owned()),
    }
}

pub(super) fn assignments(given: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut parameters = Map::new();
    for assignment in given {
        let (name, value) = assignment.split_once('=').with_context(|| format!("{assignment:?} is not NAME=VALUE"))?;
        let value = yaml(value);
        if parameters.insert(name.to_owned(), value).is_some() {
            bail!("the parameter {name} is given twice");
        }
    }
    Ok(parameters)
}
