//! `kubeops serve`: the server.

use super::output;
use crate::app::App;
use crate::config::Settings;
use crate::telemetry::{self, LogOptions};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Settings come from the environment alone; docs/settings.md lists them.\nSIGTERM and SIGINT stop it, finishing what is in flight; SIGHUP reads the resources again.\n\nExamples:\n  RESOURCES_DIR=config/resources LOG_LEVEL=INFO kubeops serve\n  BIND=unix:/run/kubeops.sock ENABLE_METRICS=true kubeops serve"
)]
pub struct Arguments {}

/// How long threads that still work are waited for when everything else has ended.
const LAST_WAIT: std::time::Duration = std::time::Duration::from_millis(100);

pub fn run(_: &Arguments) -> anyhow::Result<ExitCode> {
    let settings = Settings::from_env(&|name| std::env::var(name).ok())?;
    let telemetry = telemetry::init(&LogOptions {
        level: settings.log_level,
        server_level: settings.server_log_level,
        format: settings.log_format,
        target: settings.error_log.clone(),
        access: settings.access_log.clone(),
        traces: settings.traces.clone(),
    })?;
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    // Web workers have threads of their own; these two drive the worker, the inbox and signals.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("kubeops").enable_all().build()?;
    let code = runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let executable = crate::sandbox::own_executable()?;
        // It may take its time, where a database is waited for.
        let app = tokio::select! {
            app = App::start(&settings, executable, telemetry) => app?,
            _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
            _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
        };
        match app.addresses() {
            [] => output::error(&format!("listening on {}", settings.listen)),
            addresses => addresses.iter().for_each(|address| output::error(&format!("listening on http://{address}"))),
        }
        let failed = tokio::select! {
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
            reason = app.failed() => Some(reason),
        };
        tracing::info!("stopping");
        app.stop().await;
        match failed {
            None => Ok(ExitCode::SUCCESS),
            // Whoever runs us starts us again; a process that lives and does nothing would be left alone.
            Some(reason) => Err(anyhow::anyhow!(reason)),
        }
    });
    // A step that hangs on a silent remote would be waited for; it is done again at the next start.
    runtime.shutdown_timeout(LAST_WAIT);
    code
}
