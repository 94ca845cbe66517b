//! `kubeops replay`: a delivery looked at again. Dry unless told otherwise.

use super::client::Server;
use super::local::{Header, Resources, header, read, recorded, source_of};
use super::output::{self, OutputFormat, cell};
use super::{explain, render, runtime};
use crate::pipeline::{events_of, explain as decisions_on};
use crate::types::{DeliveryId, SourceName};
use anyhow::{Context, bail};
use base64::Engine;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A stored delivery is fetched from the server and looked at with the resources here, so that a\nchanged automation can be tried on what really came: this needs a token of the role admin, who\nalone reads what senders sent. With --apply the server dispatches it again, under the resources\nin force there: this needs the role operator. A recorded payload in a file needs no server.\n\nExamples:\n  kubeops replay dlv_01k...                      what would come of it now\n  kubeops replay dlv_01k... --apply              let the server do it\n  kubeops replay ticket.json --source service-desk"
)]
pub struct Arguments {
    /// A delivery's id, or a file with a recorded payload.
    delivery: String,
    /// The source that is taken to have sent a recorded payload; may be left out when there is only one.
    #[arg(long, short)]
    source: Option<SourceName>,
    /// A header a recorded payload came with, where the source reads it: `X-GitHub-Event: push`. May be given again.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<Header>,
    /// Let the server dispatch the stored delivery again.
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    resources: Resources,
    #[command(flatten)]
    server: Server,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let stored: Option<DeliveryId> = arguments.delivery.parse().ok();
    if arguments.apply {
        let id =
            stored.context("only a stored delivery can be applied: name its id, dlv_...; a recorded payload is sent to the webhook by its sender")?;
        let applied = runtime()?.block_on(arguments.server.json(Method::POST, &format!("/deliveries/{id}/replay"), &[], Some(&json!({}))))?;
        output::value(format, &applied, || {
            let requests: Vec<String> =
                applied.pointer("/requests").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            if requests.is_empty() {
                "dispatched again; no automation takes it".to_owned()
            } else {
                format!("dispatched again: {}", requests.join(", "))
            }
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let (rules, delivery) = match stored {
        Some(id) => {
            let delivery = fetch(&arguments.server, &id)?;
            (arguments.resources.in_force()?, delivery)
        }
        None => {
            let body = payload(&arguments.delivery)?;
            let rules = arguments.resources.in_force()?;
            let source = source_of(&rules, arguments.source.as_ref())?;
            (rules, recorded(source, body, &arguments.headers))
        }
    };
    let events = events_of(&rules, &delivery).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut shown = Vec::new();
    for event in events {
        let decisions = decisions_on(&rules, &event, usize::MAX);
        let previews = render::from_events(&rules, vec![event.clone()], None, false)?;
        shown.push((event, decisions, previews));
    }
    let report: Vec<Value> =
        shown.iter().map(|(event, decisions, previews)| json!({ "event": event, "decisions": decisions, "previews": previews })).collect();
    output::value(format, &report, || {
        let parts = shown.iter().map(|(event, decisions, previews)| {
            let previews: Vec<String> = previews.iter().map(render::human).collect();
            format!("{}\n{}", explain::of_event(&rules, event, decisions), previews.join("\n"))
        });
        parts.collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The payload recorded in a file; what looks like a delivery's id and is no file was meant as one.
fn payload(name: &str) -> anyhow::Result<Vec<u8>> {
    let path = Path::new(name);
    if name != "-" && !path.exists() {
        if let Err(error) = name.parse::<DeliveryId>()
            && name.starts_with("dlv_")
        {
            bail!("no such file, and this is no delivery id: {error}");
        }
        bail!("{name}: no such file, and no delivery id, which is dlv_ and 26 letters and digits");
    }
    read(path)
}

fn fetch(server: &Server, id: &DeliveryId) -> anyhow::Result<crate::store::Delivery> {
    runtime()?.block_on(async {
        let meta = server.json(Method::GET, &format!("/deliveries/{id}"), &[], None).await?;
        let source: SourceName = cell(&meta, "/source").parse()?;
        let body = match meta.pointer("/body_base64").and_then(Value::as_str) {
            Some(encoded) => base64::engine::general_purpose::STANDARD.decode(encoded)?,
            None => server.text(&format!("/deliveries/{id}/body"), "*/*").await?.into_bytes(),
        };
        if body.is_empty() {
            bail!("the delivery has no body");
        }
        let mut delivery = recorded(source, body, &[]);
        delivery.id = id.clone();
        delivery.attributes = meta.pointer("/attributes").cloned().unwrap_or_else(|| json!({}));
        if let Some(received_at) = meta.pointer("/received_at").and_then(Value::as_str) {
            delivery.received_at = received_at.parse()?;
        }
        Ok(delivery)
    })
}
