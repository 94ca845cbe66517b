//! `kubeops demo`: the main job on this machine, with no account: a ticket and an alert, each turned into a pull request.
//! It is the real server with real resources on a directory of its own; only the senders are played.

mod seed;

use super::output::{self, Colour, paint};
use crate::app::{App, new_key};
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use anyhow::{Context, bail};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Client;
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

const TICKET: &str = include_str!("ticket.json");
const ALERT: &str = include_str!("alert.json");
/// The resources of `config/resources`: the demo runs on what a user would start from.
const RESOURCES: &[(&str, &str)] = &[
    ("sources.yaml", include_str!("../../../config/resources/sources.yaml")),
    ("inventory.yaml", include_str!("../../../config/resources/inventory.yaml")),
    ("namespace-request.yaml", include_str!("../../../config/resources/namespace-request.yaml")),
    ("autoscaler-maxed-out.yaml", include_str!("../../../config/resources/autoscaler-maxed-out.yaml")),
];
/// The URL in the shipped inventory, which the demo replaces by its own repository's.
const SHIPPED_URL: &str = "file:///srv/git/gitops.git";
/// How long the pull requests may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kubeops demo            stay up for exploring; Ctrl-C ends it and removes its directory\n  kubeops demo --once     end by itself and leave the directory to look at; exit code 0 when both pull requests are there"
)]
pub struct Arguments {
    /// End when both pull requests are there.
    #[arg(long)]
    once: bool,
    /// Keep everything in this directory, instead of a temporary one, which is removed at the end unless --once is given.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Port to listen on; by default 8080, or another when that is taken.
    #[arg(long)]
    port: Option<u16>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(show(arguments))
}

/// A directory that is removed at the end, unless the user named it.
struct Place {
    path: PathBuf,
    temporary: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

async fn show(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut place = place(arguments.directory.as_deref())?;
    let repository = place.path.join("gitops.git");
    step("a bare GitOps repository", &repository.display().to_string());
    if !repository.exists() {
        seed::repository(&repository, SystemClock.now().unix_seconds())?;
    }
    let secrets = prepare(&place.path, &repository)?;
    let settings = settings(&place.path, arguments.port)?;
    let app = App::start(&settings, crate::sandbox::own_executable()?, crate::telemetry::Telemetry::default()).await?;
    let address = app.addresses().first().context("the server listens nowhere")?.to_string();
    let server = format!("http://{address}");
    let token = app.create_token("demo", crate::store::Role::Admin).await?;
    step("the server", &server);
    let world = World { client: Client::builder().timeout(Duration::from_secs(10)).build()?, server, token };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::pin!(stopped);
    let shown = tokio::select! {
        shown = play(&world, &secrets) => shown,
        () = &mut stopped => Err(anyhow::anyhow!("stopped")),
    };
    let code = match shown {
        Ok(()) if arguments.once => {
            output::text(&format!(
                "\nDone: two pull requests, as they would wait for a review. What was made stays in {at}:\n  \
                 git --git-dir {at}/gitops.git log --patch --all --not main\n  \
                 rm -r {at}\n`kubeops demo` without --once stays up for exploring.",
                at = place.path.display()
            ));
            place.temporary = false;
            ExitCode::SUCCESS
        }
        Ok(()) => {
            explore(&world, &repository);
            stopped.await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    };
    app.stop().await;
    Ok(code)
}

struct World {
    client: Client,
    server: String,
    token: String,
}

struct Secrets {
    jira: String,
    alertmanager: String,
}

fn place(named: Option<&Path>) -> anyhow::Result<Place> {
    if let Some(path) = named {
        std::fs::create_dir_all(path).with_context(|| format!("the directory {} cannot be made", path.display()))?;
        return Ok(Place { path: path.canonicalize()?, temporary: false });
    }
    let path = std::env::temp_dir().join(format!("kubeops-demo-{}", hex::encode(&new_key()[..6])));
    std::fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| format!("the directory {} cannot be made", path.display()))?;
    Ok(Place { path, temporary: true })
}

/// Resources and secrets, written where the server looks for them.
fn prepare(place: &Path, repository: &Path) -> anyhow::Result<Secrets> {
    let (resources, secrets) = (place.join("resources"), place.join("secrets"));
    std::fs::create_dir_all(&resources)?;
    std::fs::create_dir_all(&secrets)?;
    for (name, text) in RESOURCES {
        let text = text.replace(SHIPPED_URL, &format!("file://{}", repository.display()));
        std::fs::write(resources.join(name), text)?;
    }
    let made = Secrets { jira: hex::encode(new_key()), alertmanager: hex::encode(new_key()) };
    for (name, secret) in [("JIRA_WEBHOOK_SECRET", &made.jira), ("ALERTMANAGER_TOKEN", &made.alertmanager)] {
        std::fs::write(secrets.join(name), secret)?;
    }
    Ok(made)
}

fn settings(place: &Path, port: Option<u16>) -> anyhow::Result<Settings> {
    // A port that was asked for is taken or refused; else one that is free.
    let port = port.unwrap_or_else(|| std::net::TcpListener::bind(("127.0.0.1", 8080)).map_or(0, |_| 8080));
    let path = |name: &str| place.join(name).display().to_string();
    let mut environment: HashMap<&str, String> = HashMap::from([
        ("HOST", "127.0.0.1".to_owned()),
        ("PORT", port.to_string()),
        ("DATA_DIR", path("data")),
        ("RESOURCES_DIR", path("resources")),
        ("SECRET_PROVIDER", format!("file:{}", path("secrets"))),
        ("ENABLE_METRICS", "true".to_owned()),
        ("GRACEFUL_TIMEOUT", "5".to_owned()),
    ]);
    if port == 0 {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        environment.insert("PORT", free.to_string());
    }
    Ok(Settings::from_env(&|name| environment.get(name).cloned())?)
}

/// The two senders, and what came of what they sent.
async fn play(world: &World, secrets: &Secrets) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let mut ticket: Value = serde_json::from_str(TICKET)?;
    ticket["timestamp"] = json!(now.unix_millis());
    let body = serde_json::to_vec(&ticket)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secrets.jira.as_bytes())?;
    mac.update(&body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    step("Jira says", "ticket OPS-42, \"Namespace for the payments team\", was approved");
    deliver(world, "service-desk", ("x-hub-signature", signature), body).await?;

    let mut alert: Value = serde_json::from_str(ALERT)?;
    alert["alerts"][0]["startsAt"] = json!(now.minus(Duration::from_secs(900)).to_string());
    step("Alertmanager says", "autoscaler web/storefront has run at its maximum for 15 minutes");
    deliver(world, "alertmanager", ("authorization", format!("Bearer {}", secrets.alertmanager)), serde_json::to_vec(&alert)?).await?;

    let requests = proposed(world, 2).await?;
    for request in &requests {
        let number = request.pointer("/pull/number").and_then(Value::as_u64).unwrap_or_default();
        let repository = request.pointer("/repository").and_then(Value::as_str).unwrap_or_default();
        let pull: Value = world.get(&format!("/pulls/{repository}/{number}")).await?.json().await?;
        let title = pull.pointer("/title").and_then(Value::as_str).unwrap_or_default();
        let diff = world.get(&format!("/pulls/{repository}/{number}/diff")).await?.text().await?;
        output::text(&format!("\n{}", paint(Colour::Bold, &format!("{repository}#{number}  {title}"))));
        output::text(&output::diff(&diff));
    }
    Ok(())
}

async fn deliver(world: &World, source: &str, (header, value): (&str, String), body: Vec<u8>) -> anyhow::Result<()> {
    let url = format!("{}/api/v1/webhooks/{source}", world.server);
    let response = world.client.post(&url).header(header, value).header("content-type", "application/json").body(body).send().await?;
    let status = response.status();
    let answer: Value = response.json().await.unwrap_or_default();
    if status.as_u16() != 202 {
        bail!("the server answered {status} to {source}: {answer}");
    }
    step("  the server answers", &format!("202, {} is on disk", answer.pointer("/id").and_then(Value::as_str).unwrap_or("it")));
    Ok(())
}

impl World {
    async fn get(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let url = format!("{}/api/v1{path}", self.server);
        Ok(self.client.get(&url).bearer_auth(&self.token).send().await?.error_for_status()?)
    }
}

/// Waits until `count` requests have their pull requests, showing each change of state.
async fn proposed(world: &World, count: usize) -> anyhow::Result<Vec<Value>> {
    let begun = Instant::now();
    let mut seen: HashMap<String, String> = HashMap::new();
    loop {
        let page: Value = world.get("/requests").await?.json().await?;
        let requests: Vec<Value> = page.pointer("/items").and_then(Value::as_array).cloned().unwrap_or_default();
        let word = |request: &Value, pointer: &str| request.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        for request in &requests {
            let (id, state) = (word(request, "/id"), word(request, "/state"));
            if seen.insert(id, state.clone()).as_ref() != Some(&state) {
                step(&format!("  {}", word(request, "/automation")), &format!("{} {}", output::state(&state), word(request, "/message")));
            }
            if matches!(state.as_str(), "failed" | "rejected" | "unchanged") {
                bail!("the request for {} is {state}: {}", word(request, "/automation"), word(request, "/message"));
            }
        }
        if requests.len() >= count && requests.iter().all(|request| word(request, "/state") == "proposed") {
            let mut requests = requests;
            requests.sort_by_key(|request| request.pointer("/pull/number").and_then(Value::as_u64));
            return Ok(requests);
        }
        if begun.elapsed() > PATIENCE {
            bail!("the pull requests are not there after {} s", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn step(what: &str, detail: &str) {
    output::text(&format!("{:<26} {detail}", paint(Colour::Cyan, what)));
    let _ = std::io::stdout().flush();
}

/// What to try next, ready to be pasted.
fn explore(world: &World, repository: &Path) {
    let program = std::env::current_exe().map_or_else(|_| "kubeops".to_owned(), |path| path.display().to_string());
    output::text(&format!(
        "\n{}\n\n  export KUBEOPS_SERVER={} KUBEOPS_TOKEN={}\n  alias kubeops={program}\n\n  kubeops requests list\n  kubeops trace OPS-42                                  # why: from the webhook's bytes to the pull request\n  kubeops pulls approve gitops#1\n  kubeops pulls merge gitops#1\n  kubeops requests revert REQUEST                       # an id of the list: takes what is merged back\n  kubeops requests hold REQUEST --reason 'not today'    # has an open one wait; `release` lets it through\n  git --git-dir {} log --graph --oneline --all\n  kubeops requests ask namespace-request -p team=search -p cluster=staging-eu\n  {}/api/v1/docs   the API in a browser\n\nCtrl-C ends the demo.",
        paint(Colour::Bold, "It stays up. In another terminal:"),
        world.server,
        world.token,
        repository.display(),
        world.server,
    ));
}
