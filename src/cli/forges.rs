//! `kubeops forges`: the accounts at forges, their rate budgets and what waits for them.

use super::client::Server;
use super::output::{self, Colour, OutputFormat, cell, paint, table};
use super::requests::items;
use super::runtime;
use reqwest::Method;
use serde_json::Value;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "One line for each budget: the calls left, when they are counted anew, whether the forge asked to\nwait, and the repositories that share it with the tasks that wait for each.\n\nExamples:\n  kubeops forges\n  kubeops forges --output json"
)]
pub struct Arguments {
    #[command(flatten)]
    server: Server,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let page = arguments.server.json(Method::GET, "/forges", &[], None).await?;
        output::value(format, &page, || list(&page))?;
        Ok(ExitCode::SUCCESS)
    })
}

fn list(page: &Value) -> String {
    let mut rows = Vec::new();
    for forge in items(page) {
        let of = |pointer: &str| forge.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
        let waiting = of("/repositories").iter().map(|one| format!("{} ({})", cell(one, "/name"), cell(one, "/queued_tasks"))).collect::<Vec<_>>();
        let limited = match forge.pointer("/limited_until") {
            None | Some(Value::Null) => "-".to_owned(),
            Some(_) => paint(Colour::Red, &cell(forge, "/limited_until")),
        };
        let row =
            |resource: String, left: String, resets: String| vec![cell(forge, "/name"), resource, left, resets, limited.clone(), waiting.join(", ")];
        let budgets = of("/budgets");
        if budgets.is_empty() {
            rows.push(row("-".to_owned(), "-".to_owned(), "-".to_owned()));
        }
        for budget in &budgets {
            let left = format!("{} of {}", cell(budget, "/remaining"), cell(budget, "/limit"));
            rows.push(row(cell(budget, "/resource"), left, cell(budget, "/resets_at")));
        }
    }
    table(&["account", "budget", "left", "resets", "limited until", "repositories (waiting)"], &rows)
}
