//! `kubeops copilot`: says in a sentence what is wanted, shows what a model makes of it, and files that once a person agrees.

use super::EXIT_REFUSED;
use super::client::Server;
use super::output::{self, Colour, OutputFormat, cell, paint, printable, table};
use crate::types::SuggestionId;
use anyhow::bail;
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

/// The server makes something of a sentence within two minutes, or says that it did not.
const WITHIN: Duration = Duration::from_secs(150);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A language model picks one of the automations whose spec says `copilot: true` and fills its parameters. Nothing is filed before you agree, and what comes of it is a pull request like any other.\n\nExamples:\n  kubeops copilot 'a namespace for payments on prod-eu with 8 CPUs and 16Gi'\n  kubeops copilot --automation scale-workload 'the shop front end needs four replicas'\n  kubeops copilot --confirm sug_01k..."
)]
pub struct Arguments {
    #[command(flatten)]
    server: Server,
    /// What you want, in your own words.
    #[arg(required_unless_present = "confirm", conflicts_with = "confirm")]
    sentence: Option<String>,
    /// The automation, where you know which: then only its parameters are filled.
    #[arg(long, conflicts_with = "confirm")]
    automation: Option<String>,
    /// File it without asking, unless it would be refused or an open request does the same already.
    #[arg(long, short)]
    yes: bool,
    /// File it also where an open request does the same already.
    #[arg(long, requires = "yes")]
    again: bool,
    /// File a suggestion that was shown before.
    #[arg(long, value_name = "SUGGESTION")]
    confirm: Option<String>,
}

pub fn run(arguments: Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let Arguments { server, sentence, automation, yes, again, confirm } = arguments;
    super::runtime()?.block_on(async {
        if let Some(id) = confirm {
            let id: SuggestionId = id.parse()?;
            return file(&server, id.as_str(), format).await;
        }
        let body = json!({ "sentence": sentence, "automation": automation });
        let made = server.json_within(WITHIN, Method::POST, "/copilot", &body).await?;
        let suggestion = &made["suggestion"];
        if !suggestion.is_object() {
            output::value(format, &made, || format!("{}: {}\n{}", paint(Colour::Red, "nothing to ask for"), cell(&made, "/reason"), asked(&made)))?;
            return Ok(ExitCode::from(EXIT_REFUSED));
        }
        let id = cell(suggestion, "/id");
        let open = already_open(suggestion);
        let stops = !suggestion["refused"].is_null() || (yes && !again && !open.is_empty());
        // For programs one document is printed: what was filed, or what may be.
        if format == OutputFormat::Table || !yes || stops {
            output::value(format, &made, || format!("{}\n{}\n{}", shown(suggestion), asked(&made), look_twice(suggestion)).trim_end().to_owned())?;
        }
        if stops {
            if suggestion["refused"].is_null() {
                let open = open.join("; ");
                output::error(&format!("nothing is filed: {open}\n  hint: is it wanted once more? say --again, or: kubeops copilot --confirm {id}"));
            }
            return Ok(ExitCode::from(EXIT_REFUSED));
        }
        if yes || (format == OutputFormat::Table && agrees()?) {
            return file(&server, &id, format).await;
        }
        if format == OutputFormat::Table {
            output::text(&format!("nothing is filed; within a day: kubeops copilot --confirm {id}"));
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn file(server: &Server, id: &str, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let request = server.json(Method::POST, &format!("/copilot/{id}/confirm"), &[], None).await?;
    output::value(format, &request, || {
        let there = if request["status"] == "joined" { " before" } else { "" };
        format!("filed{there}: {id}\nsee what becomes of it: kubeops requests show {id}", id = cell(&request, "/id"))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a person at the terminal says yes; nobody is asked where there is none.
fn agrees() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut out = std::io::stdout().lock();
    write!(out, "File this? [y/N] ")?;
    out.flush()?;
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        bail!("no answer");
    }
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// What would be filed, and what it would do.
fn shown(suggestion: &Value) -> String {
    let mut lines = vec![
        format!("{}  {}", paint(Colour::Bold, &cell(suggestion, "/automation")), cell(suggestion, "/description")),
        format!("target: {}", cell(suggestion, "/target")),
    ];
    let rows: Vec<Vec<String>> = suggestion["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|filled| {
            let from = match filled["from"].as_str() {
                _ if is_inferred(filled) => paint(Colour::Yellow, "not in your words: look twice"),
                Some("default") => "the default".to_owned(),
                _ => "you said it".to_owned(),
            };
            vec![cell(filled, "/name"), cell(filled, "/value"), from]
        })
        .collect();
    if !rows.is_empty() {
        lines.push(table(&["parameter", "value", "from"], &rows));
    }
    lines.extend(suggestion["title"].as_str().map(|title| format!("title: {}", printable(title))));
    lines.extend(suggestion["ttl"].as_str().map(|ttl| format!("wanted for {}; then the pull request that takes it back is opened", printable(ttl))));
    for line in suggestion["summary"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        lines.push(format!("  {}", printable(line)));
    }
    match suggestion["diff"].as_str() {
        Some("") => lines.push("nothing differs from the base".to_owned()),
        Some(diff) => lines.push(output::diff(diff)),
        None => {}
    }
    lines.join("\n")
}

/// What a person should look at before they agree: it stands last, where no diff pushes it off the screen.
fn look_twice(suggestion: &Value) -> String {
    let each = |list: &str| suggestion[list].as_array().cloned().unwrap_or_default();
    let mut lines = Vec::new();
    lines.extend(suggestion["note"].as_str().map(|note| paint(Colour::Dim, &printable(note))));
    for finding in each("findings") {
        lines.push(format!(
            "{} {} {}: {}",
            cell(&finding, "/severity"),
            cell(&finding, "/rule"),
            cell(&finding, "/path"),
            cell(&finding, "/message")
        ));
    }
    for filled in each("parameters").iter().filter(|filled| is_inferred(filled)) {
        let told = format!("look twice: {} {} is not in your words", cell(filled, "/name"), cell(filled, "/value"));
        lines.push(paint(Colour::Yellow, &told));
    }
    let open = already_open(suggestion);
    lines.extend(open.iter().map(|open| paint(Colour::Yellow, &format!("look twice: {open}"))));
    lines.extend(suggestion["refused"].as_str().map(|why| format!("{}: {}", paint(Colour::Red, "it would be rejected"), printable(why))));
    lines.join("\n")
}

/// The open requests that do the same, a line each.
fn already_open(suggestion: &Value) -> Vec<String> {
    let told = |open: &Value| {
        let request = format!("{}, {}", cell(open, "/request"), cell(open, "/state"));
        match open["pull"]["number"].as_u64() {
            Some(number) => format!("{}#{number} ({request}) does the same already", cell(open, "/repository")),
            None => format!("a request ({request}) does the same already"),
        }
    };
    suggestion["already_open"].as_array().into_iter().flatten().map(told).collect()
}

/// Whether a model made a value of the sentence that does not stand in it.
fn is_inferred(filled: &Value) -> bool {
    !matches!(filled["from"].as_str(), Some("said" | "default"))
}

/// The model, and what it cost.
fn asked(made: &Value) -> String {
    let cost = made.pointer("/model/cost").and_then(Value::as_f64).map(|cost| format!(", cost {cost:.4}")).unwrap_or_default();
    let (calls, tokens) = (cell(made, "/model/calls"), cell(made, "/model/tokens"));
    let said = format!("{} of {}: {calls} calls, {tokens} tokens{cost}", cell(made, "/model/name"), cell(made, "/model/provider"));
    paint(Colour::Dim, &said)
}
