//! The process itself: its memory at rest, and how long it takes from its start until `/ready` says so.

use crate::Setting;
use crate::deliveries::body_of;
use crate::report::{Reference, Report};
use crate::server::{self, Scratch};
use anyhow::ensure;
use kubeops::store::{Appended, NewDelivery, Store};
use kubeops::store::{SqlStore, SqliteOptions};
use kubeops::types::{DeliveryId, Timestamp};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Deliveries that wait when the server starts.
const QUEUED: usize = 100_000;

/// Measures `process.*`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let place = Scratch::new(setting, "process")?;
    server::write_resources(&place)?;
    let starts = setting.effort.pick(7, 1);
    let (mut ready, mut bare_ready) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        bare_ready.push(server::reference(&place, server::workers())?.ready_after);
        let data = place.join("data");
        if data.exists() {
            std::fs::remove_dir_all(data)?;
        }
        let kubeops = server::kubeops(setting, &place, false)?;
        ready.push(kubeops.ready_after);
        kubeops.end()?;
    }
    let (ready, bare_ready) = (middle(ready), middle(bare_ready));
    report.figure("process.ready_ms", ready, "ms", Reference { value: bare_ready, what: "a bare actix server" })?;

    let (kubeops, bare) = (server::kubeops(setting, &place, false)?, server::reference(&place, server::workers())?);
    std::thread::sleep(setting.effort.pick(Duration::from_secs(5), Duration::from_secs(1)));
    report.figure("process.idle_rss_mib", kubeops.rss_mib()?, "MiB", Reference { value: bare.rss_mib()?, what: "a bare actix server" })?;
    drop(bare);
    kubeops.end()?;

    let queued = setting.effort.pick(QUEUED, 1000);
    let mut after = Vec::new();
    for _ in 0..setting.effort.pick(3, 1) {
        std::fs::remove_dir_all(place.join("data"))?;
        std::fs::create_dir_all(place.join("data"))?;
        // Written by a process of its own, which ends as a killed one does: its log is left for the start to recover.
        let filled = Command::new(std::env::current_exe()?).arg("fill").arg(place.join("data/kubeops.db")).arg(queued.to_string()).status()?;
        ensure!(filled.success(), "the store was not filled: {filled}");
        let kubeops = server::kubeops(setting, &place, false)?;
        after.push(kubeops.ready_after);
        // It dies in the middle of dispatching: the next round begins with a new store.
        drop(kubeops);
    }
    report.figure("process.ready_100k_ms", middle(after), "ms", Reference { value: ready, what: "an empty store" })
}

/// The median, in milliseconds.
fn middle(times: Vec<Duration>) -> f64 {
    crate::report::Sorted::new(times).millis(50.0)
}

/// Fills a store with `count` deliveries that wait to be dispatched, and ends without closing it.
pub fn fill(file: &Path, count: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let store = SqlStore::sqlite(&file.to_string_lossy(), SqliteOptions::default()).await?;
        let now = Timestamp::from_unix_millis(1_795_262_400_250);
        for numbers in (0..count).collect::<Vec<_>>().chunks(2000) {
            let batch: Vec<NewDelivery> = numbers
                .iter()
                .map(|number| {
                    Ok(NewDelivery {
                        id: DeliveryId::from_parts(now, *number as u128),
                        source: "service-desk".parse()?,
                        received_at: now,
                        dedup_key: format!("{number:064x}"),
                        attributes: serde_json::json!({ "content-type": "application/json", "user-agent": "Atlassian Webhook HTTP Client" }),
                        body: body_of(*number).into_bytes(),
                        handled: true,
                    })
                })
                .collect::<anyhow::Result<_>>()?;
            let written = store.append(&batch).await?;
            ensure!(written.iter().all(|appended| matches!(appended, Appended::New)), "a delivery was there before");
        }
        // Before the store is dropped.
        std::process::exit(0);
    })
}
