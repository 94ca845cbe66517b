//! The base moves while hundreds of requests are open: all are planned again, and the few branches that come out differently are pushed.

use crate::Setting;
use crate::commit::{Repository, git};
use crate::report::{Reference, Report};
use crate::server::{self, Running, Scratch};
use anyhow::{bail, ensure};
use kubeops::request::{Request, State};
use kubeops::store::{PageQuery, RequestFilter, Store};
use kubeops::store::{SqlStore, SqliteOptions};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Requests that are open, and how many of them the base's move concerns.
const OPEN: usize = 500;
const CONCERNED: usize = 10;
const FILES: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(90);

/// Measures `replan.500_open_s`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let open = setting.effort.pick(OPEN, 30);
    let place = Scratch::new(setting, "replan")?;
    let upstream = Repository::bare(&place, FILES)?;
    server::write_resources(&place)?;
    let inventory = place.join("resources").join("inventory.yaml");
    let text = std::fs::read_to_string(&inventory)?.replace("file:///srv/git/gitops.git", &format!("file://{}", upstream.display()));
    std::fs::write(&inventory, text)?;
    let kubeops = server::kubeops_with(setting, &place, &[("OBSERVE_SECONDS", "1")])?;
    let store = place.join("data/kubeops.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for number in 0..open {
        fire(&kubeops, number)?;
    }
    let before = until(&runtime, &store, |requests| requests.len() == open && requests.iter().all(|request| request.state == State::Proposed))?;

    let push = concern(&upstream, &place)?;
    let begun = Instant::now();
    let tip = git(&["rev-parse", "main"], &upstream, None)?.trim().to_owned();
    let planned_on = |request: &Request| request.checked.as_ref().is_some_and(|checked| checked.as_str() == tip);
    let settled = |requests: &[Request]| requests.iter().all(|request| request.state == State::Proposed && planned_on(request));
    let after = until(&runtime, &store, settled)?;
    let took = begun.elapsed();

    let commits = |requests: &[Request]| requests.iter().map(|request| (request.id.clone(), request.commit.clone())).collect::<BTreeMap<_, _>>();
    let (before, after) = (commits(&before), commits(&after));
    let moved = after.iter().filter(|(id, commit)| before.get(*id) != Some(*commit)).count();
    ensure!(moved == CONCERNED, "{moved} branches were updated, and {CONCERNED} differ");
    report.figure("replan.500_open_s", took.as_secs_f64(), "s", Reference { value: push.as_secs_f64(), what: "the push, by the git program" })?;
    report.note(&format!("{open} open, {moved} came out differently and were pushed; it looks at the base once a second here"));
    kubeops.end()
}

/// An alert about the autoscaler with this number.
fn fire(kubeops: &Running, number: usize) -> anyhow::Result<()> {
    let alert = json!({
        "status": "firing",
        "labels": { "alertname": "KubeHpaMaxedOut", "severity": "warning", "cluster": "prod-eu", "namespace": "web", "horizontalpodautoscaler": name(number) },
        "annotations": { "summary": "It has run at its maximum.", "max_replicas": "6" },
        "startsAt": "2026-11-20T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": format!("{number:016x}"),
    });
    server::post_alert(kubeops.address, &json!({ "version": "4", "status": "firing", "receiver": "kubeops", "groupKey": "{}", "alerts": [alert] }))
}

fn name(number: usize) -> String {
    format!("hpa-{number}")
}

/// Somebody else pushes files that some of the requests are about.
fn concern(upstream: &Path, place: &Scratch) -> anyhow::Result<Duration> {
    let checkout = place.join("checkout");
    git(&["clone", "--quiet", &upstream.to_string_lossy(), &checkout.to_string_lossy()], Path::new("/"), None)?;
    let directory = checkout.join("clusters/prod-eu/apps/web");
    std::fs::create_dir_all(&directory)?;
    for number in 0..CONCERNED {
        std::fs::write(directory.join(format!("{}-hpa.yaml", name(number))), "# To come.\n")?;
    }
    git(&["add", "clusters"], &checkout, None)?;
    git(&["commit", "--quiet", "--message", "Somebody else's"], &checkout, None)?;
    let begun = Instant::now();
    git(&["push", "--quiet", "origin", "HEAD:main"], &checkout, None)?;
    Ok(begun.elapsed())
}

/// Looks into the store until the requests are as wanted.
fn until(runtime: &tokio::runtime::Runtime, store: &Path, wanted: impl Fn(&[Request]) -> bool) -> anyhow::Result<Vec<Request>> {
    runtime.block_on(async {
        let store = SqlStore::sqlite(&store.to_string_lossy(), SqliteOptions { create: false, ..SqliteOptions::default() }).await?;
        let begun = Instant::now();
        loop {
            let mut requests = Vec::new();
            let mut query = PageQuery { limit: 500, after: None };
            loop {
                let page = store.requests(&RequestFilter::default(), &query).await?;
                requests.extend(page.items);
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            if wanted(&requests) {
                store.close().await;
                return Ok(requests);
            }
            if begun.elapsed() > PATIENCE {
                let mut states: BTreeMap<State, usize> = BTreeMap::new();
                requests.iter().for_each(|request| *states.entry(request.state).or_default() += 1);
                bail!("after {} s the requests are {states:?}", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
}
