//! Glue: the exporter of traces, with the secret it needs, as long as the process runs.

use crate::secrets::{SecretError, SecretProvider};
use crate::telemetry::{Exporter, HeaderSource, Metrics};
use crate::types::SecretName;
use anyhow::Context;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The secret that holds the headers a collector wants.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// The longest a shutdown waits for the last spans: nobody's work is among them.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// The exporter, running; nothing where traces are not exported.
pub(super) struct Export(Option<(watch::Sender<bool>, JoinHandle<()>)>);

impl Export {
    pub(super) fn start(exporter: Option<Exporter>, secrets: &Arc<dyn SecretProvider>, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let Some(exporter) = exporter else { return Ok(Self(None)) };
        metrics.follow_traces(exporter.counts());
        let name: SecretName = HEADERS.parse().context("the name of the headers' secret")?;
        let secrets = Arc::clone(secrets);
        let headers: HeaderSource = Arc::new(move || match secrets.secret(&name) {
            Ok(headers) => Ok(Some(headers)),
            Err(SecretError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.to_string()),
        });
        let (stop, stopped) = watch::channel(false);
        Ok(Self(Some((stop, tokio::spawn(exporter.run(headers, stopped))))))
    }

    /// Exports what still waits, for so long at most.
    pub(super) async fn end(self, within: Duration) {
        let Some((stop, running)) = self.0 else { return };
        let _ = stop.send(true);
        if tokio::time::timeout(within.min(LAST_WAIT), running).await.is_err() {
            tracing::warn!("the last traces could not be exported in time");
        }
    }
}
